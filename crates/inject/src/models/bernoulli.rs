//! Independent flips.
//!
//! # Precision
//! Flips are drawn as gaps between them, from 53-bit uniforms: a gap longer than 36.7 / rate, which has probability
//! 2^-53, is never drawn.

use super::Planes;
use crate::Faults;

pub(super) fn sample(planes: &mut Planes, p: f64) -> Faults {
    Faults::Flips(planes.independent(p))
}
