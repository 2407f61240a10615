//! Failures in time: the rates of memory reliability, and the bit error rates that they come to.

use crate::{BitErrorRate, RateError};

/// Bits of a megabit here: 2^20, as memories are sized.
pub const BITS_OF_MEGABIT: f64 = (1 << 20) as f64;

/// How often each cell of a memory flips: a Poisson process in every cell, independent of all others.
///
/// 1 FIT is a failure in 10^9 hours of operation (JEDEC JESD89), here of a megabit of 2^20 bits.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct FlipRate {
    /// Flips of a cell an hour, in the mean.
    per_bit_hour: f64,
}

/// Not a number of failures in time.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{0} FIT, expected a positive number")]
pub struct FitError(pub f64);

impl FlipRate {
    /// That of so many failures in 10^9 hours and 2^20 bits.
    ///
    /// # Errors
    /// When it is not a positive finite number.
    pub fn of_fit_per_megabit(fit: f64) -> Result<Self, FitError> {
        let positive = fit > 0.0 && fit.is_finite();
        positive.then_some(Self { per_bit_hour: fit / (1e9 * BITS_OF_MEGABIT) }).ok_or(FitError(fit))
    }

    /// Flips of a cell an hour, in the mean.
    pub fn per_bit_hour(self) -> f64 {
        self.per_bit_hour
    }

    /// The probability that a cell differs from what was stored after `hours` hours in which nobody rewrites it: that
    /// it has flipped an odd number of times, (1 - exp(-2 rate hours)) / 2. That of one hour is the rate that
    /// [`crate::FaultModel::Accumulate`] takes.
    ///
    /// # Errors
    /// When the hours are negative or no number.
    pub fn bit_error_rate(self, hours: f64) -> Result<BitErrorRate, RateError> {
        BitErrorRate::new(-0.5 * libm::expm1(-2.0 * self.per_bit_hour * hours))
    }

    /// The hours after which the bit error rate is `rate`; infinite from 1/2 on, which it never reaches.
    pub fn hours_until(self, rate: BitErrorRate) -> f64 {
        if rate.get() >= 0.5 {
            return f64::INFINITY;
        }
        -libm::log1p(-2.0 * rate.get()) / (2.0 * self.per_bit_hour)
    }
}
