use design::BitErrorRate;
use rand_chacha::ChaCha8Rng;

use crate::sampling::{bernoulli, distinct, uniform};
use crate::stream::stream;

/// Random draws of a trial under conditional sampling, where faults are drawn not plane by plane but given what words read
/// back as, which only a decoder can judge. The caller knows the condition; the draws are those of
/// [`design::FaultKind::Bernoulli`].
///
/// Trial t of a campaign with seed s has stream t of ChaCha8 with key (s, `changed`): unrelated to the planes' streams,
/// so such a trial shares no fault with the ordinary trial of its number. The draws depend on the order of calls.
#[derive(Clone, Debug)]
pub struct WordFaults {
    rng: ChaCha8Rng,
}

impl WordFaults {
    /// Starts the stream of trial `trial` of a campaign with seed `seed`.
    pub fn new(seed: u64, trial: u64) -> Self {
        Self { rng: stream(seed, *b"changed\0", trial) }
    }

    /// Draws the flips among `bits` bits, each of which flips with probability `rate`; ascending.
    pub fn flips(&mut self, bits: u64, rate: BitErrorRate) -> Vec<u64> {
        bernoulli(&mut self.rng, bits, rate.get())
    }

    /// Draws `count` distinct bits of `bits`, all sets equally likely; ascending.
    ///
    /// # Panics
    /// When `count` is above `bits`.
    pub fn distinct(&mut self, bits: u64, count: u64) -> Vec<u64> {
        distinct(&mut self.rng, bits, count)
    }

    /// Draws a uniform number in (0, 1], a multiple of 2^-53.
    pub fn uniform(&mut self) -> f64 {
        uniform(&mut self.rng)
    }

    /// Draws an exponential variate of mean 1, given that it is not above `bound`: the place at which the first failure
    /// falls in a row of independent words, when word i fails with probability 1 - e^(-h_i) and the h_i add up to `bound`.
    ///
    /// # Precision
    /// From a 53-bit uniform u, as -ln(1 - u (1 - e^-bound)), accurate for small bounds too.
    pub fn exponential_within(&mut self, bound: f64) -> f64 {
        let within = -libm::expm1(-bound);
        (-libm::log1p(-self.uniform() * within)).min(bound)
    }
}
