//! The fault models: one file each, and what they share.

mod accumulate;
mod asymmetric;
mod bernoulli;
mod burst;
mod dram;
mod fixed_count;
mod stuck_at;

use design::{BitErrorRate, FaultKind};
use rand_chacha::ChaCha8Rng;

use crate::sampling;
use crate::stream::stream;
use crate::{FaultPattern, Faults, PlaneSizes};

/// Draws the faults of trial `trial` of a campaign with seed `seed`, on all bits of a memory.
///
/// # Cost
/// Proportional to the number of flips: one draw and one logarithm each, or for `fixed-count` one draw and the sorting.
/// `accumulate` draws one interval between scrubs after another. `dram` goes through a byte for every eight bits of a plane if
/// a region of several bits is hit.
///
/// # Panics
/// At a rate that [`FaultKind::check_rate`] refuses.
pub fn sample(kind: FaultKind, rate: BitErrorRate, sizes: PlaneSizes, seed: u64, trial: u64) -> Faults {
    assert_eq!(kind.check_rate(rate), Ok(()));
    let p = rate.get();
    let mut planes = Planes {
        data: (stream(seed, *b"data\0\0\0\0", trial), sizes.data_bits),
        check: (stream(seed, *b"check\0\0\0", trial), sizes.check_bits),
    };
    match kind {
        FaultKind::Bernoulli => bernoulli::sample(&mut planes, p),
        FaultKind::FixedCount => fixed_count::sample(&mut planes, p),
        FaultKind::Burst { length, distance } => burst::sample(&mut planes, p, length, distance),
        FaultKind::StuckAt { one } => stuck_at::sample(&mut planes, p, one),
        FaultKind::Asymmetric { share } => asymmetric::sample(&mut planes, p, share),
        FaultKind::Accumulate { hours, scrub } => accumulate::sample(&mut planes, p, hours, scrub),
        FaultKind::Dram { mix } => dram::sample(&mut planes, p, mix),
    }
}

/// Mean number of flips of a trial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MeanFlips {
    /// Flips in the whole memory. For `fixed-count` it is the number of every trial; for `accumulate` the sum over all
    /// intervals.
    OfMemory(f64),
    /// Flips of a stored bit, by its value.
    OfBit {
        /// Probability that a stored 0 flips.
        zero: f64,
        /// Probability that a stored 1 flips.
        one: f64,
    },
}

impl MeanFlips {
    /// Returns the number of flips that a trial draws on average in a memory of this size, including those that the stored
    /// bits then rule out.
    pub fn drawn(self, sizes: PlaneSizes) -> f64 {
        match self {
            Self::OfMemory(flips) => flips,
            Self::OfBit { zero, one } => (zero + one) * (sizes.data_bits + sizes.check_bits) as f64,
        }
    }
}

/// Returns the mean number of flips of a trial, on all bits of a memory.
pub fn mean_flips(kind: FaultKind, rate: BitErrorRate, sizes: PlaneSizes) -> MeanFlips {
    let p = rate.get();
    let bits = (sizes.data_bits + sizes.check_bits) as f64;
    match kind {
        FaultKind::Bernoulli | FaultKind::Burst { .. } => MeanFlips::OfMemory(p * bits),
        FaultKind::FixedCount => MeanFlips::OfMemory(fixed_count::mean_flips(p, sizes)),
        FaultKind::StuckAt { one } => stuck_at::mean_flips(p, one),
        FaultKind::Asymmetric { share } => asymmetric::mean_flips(p, share),
        FaultKind::Accumulate { hours, scrub } => {
            MeanFlips::OfMemory(accumulate::mean_flips_of_bit(p, hours, scrub) * bits)
        }
        FaultKind::Dram { mix } => MeanFlips::OfMemory(dram::mean_flips(p, mix, sizes)),
    }
}

/// The planes of a memory, each with its stream and its number of bits.
struct Planes {
    data: (ChaCha8Rng, u64),
    check: (ChaCha8Rng, u64),
}

impl Planes {
    /// Draws in the data plane, then in the check plane. `draw` takes a stream and a number of bits.
    fn draw(&mut self, draw: impl Fn(&mut ChaCha8Rng, u64) -> Vec<u64>) -> FaultPattern {
        FaultPattern {
            data: draw(&mut self.data.0, self.data.1),
            check: draw(&mut self.check.0, self.check.1),
        }
    }

    /// Draws every bit with probability `p`, independently.
    fn independent(&mut self, p: f64) -> FaultPattern {
        self.draw(|rng, bits| sampling::bernoulli(rng, bits, p))
    }
}
