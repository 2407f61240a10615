//! Bits that are stuck at one value.
//!
//! # Precision
//! Stuck bits are drawn like independent flips ([`super::bernoulli`]).

use super::{MeanFlips, Planes};
use crate::{FaultPattern, Faults};

pub(super) fn sample(planes: &mut Planes, p: f64, one: bool) -> Faults {
    let stuck = planes.independent(p);
    match one {
        true => Faults::ByStoredBit { ones: FaultPattern::default(), zeros: stuck },
        false => Faults::ByStoredBit { ones: stuck, zeros: FaultPattern::default() },
    }
}

pub(super) fn mean_flips(p: f64, one: bool) -> MeanFlips {
    match one {
        true => MeanFlips::OfBit { zero: p, one: 0.0 },
        false => MeanFlips::OfBit { zero: 0.0, one: p },
    }
}
