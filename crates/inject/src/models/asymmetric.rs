//! Flips whose probability depends on the stored bit.
//!
//! # Precision
//! Flips of ones and of zeros are drawn one after the other, each like independent flips ([`super::bernoulli`]).

use super::{MeanFlips, Planes};
use crate::Faults;

pub(super) fn sample(planes: &mut Planes, p: f64, share: f64) -> Faults {
    Faults::ByStoredBit {
        ones: planes.independent(2.0 * p * share),
        zeros: planes.independent(2.0 * p * (1.0 - share)),
    }
}

pub(super) fn mean_flips(p: f64, share: f64) -> MeanFlips {
    MeanFlips::OfBit { zero: 2.0 * p * (1.0 - share), one: 2.0 * p * share }
}
