use rand_chacha::ChaCha8Rng;

use crate::BitErrorRate;
use crate::model::stream;
use crate::sampling::{bernoulli, distinct, uniform};

/// The random numbers of a trial whose faults are not drawn plane by plane but under a condition on what words read
/// back as, which only a decoder can judge. The condition is the caller's; the draws are those of
/// [`crate::FaultModel::Bernoulli`].
///
/// Trial t of a campaign with seed s has stream t of ChaCha8 with key (s, `changed`): unrelated to the planes' streams,
/// so such a trial shares no fault with the ordinary trial of its number. What is drawn depends on the order of calls.
#[derive(Clone, Debug)]
pub struct WordFaults {
    rng: ChaCha8Rng,
}

impl WordFaults {
    /// The stream of trial `trial` of a campaign with seed `seed`.
    pub fn new(seed: u64, trial: u64) -> Self {
        Self { rng: stream(seed, *b"changed\0", trial) }
    }

    /// The cells of `cells` that flip when each does with probability `rate`, ascending.
    pub fn flips(&mut self, cells: u64, rate: BitErrorRate) -> Vec<u64> {
        bernoulli(&mut self.rng, cells, rate.get())
    }

    /// `count` distinct cells of `cells`, all sets equally likely, ascending.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn distinct(&mut self, cells: u64, count: u64) -> Vec<u64> {
        distinct(&mut self.rng, cells, count)
    }

    /// A number in (0, 1], a multiple of 2^-53.
    pub fn uniform(&mut self) -> f64 {
        uniform(&mut self.rng)
    }

    /// An exponential variate of mean 1, given that it is not above `bound`: where in a row of independent words
    /// the first failure falls, when word i fails with probability 1 - e^(-h_i) and the h_i add up to `bound`.
    ///
    /// # Precision
    /// From a 53-bit uniform u, as -ln(1 - u (1 - e^-bound)), accurate for small bounds too.
    pub fn exponential_within(&mut self, bound: f64) -> f64 {
        let within = -libm::expm1(-bound);
        (-libm::log1p(-self.uniform() * within)).min(bound)
    }
}
