//! The paper's protocol: the same number of flips in every trial.
//!
//! # Precision
//! All sets are exactly equally likely. Their size is the f64 product of bits and rate, rounded down, as in the paper's
//! code.

use super::Planes;
use crate::{Faults, PlaneSizes, sampling};

pub(super) fn sample(planes: &mut Planes, p: f64) -> Faults {
    Faults::Flips(planes.draw(|rng, bits| sampling::distinct(rng, bits, count(bits, p))))
}

pub(super) fn mean_flips(p: f64, sizes: PlaneSizes) -> f64 {
    (count(sizes.data_bits, p) + count(sizes.check_bits, p)) as f64
}

fn count(bits: u64, p: f64) -> u64 {
    ((bits as f64 * p) as u64).min(bits)
}
