//! Failures in time (FIT), the unit of memory reliability, and the bit error rates that they amount to.

use design::{BitErrorRate, RateError};

/// Number of bits of a megabit: 2^20, as memories are sized.
pub const BITS_OF_MEGABIT: f64 = (1 << 20) as f64;

/// Rate at which each bit of a memory flips: a Poisson process in every bit, independent of all others.
///
/// 1 FIT is one failure in 10^9 hours of operation (JEDEC JESD89), here of a megabit of 2^20 bits.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct FlipRate {
    /// Mean number of flips of a bit in an hour.
    per_bit_hour: f64,
}

/// A number that is no failure rate.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{0} FIT, expected a positive number")]
pub struct FitError(pub f64);

impl FlipRate {
    /// Converts a number of failures in 10^9 hours and 2^20 bits.
    ///
    /// # Errors
    /// When `fit` is not a positive finite number.
    pub fn of_fit_per_megabit(fit: f64) -> Result<Self, FitError> {
        let positive = fit > 0.0 && fit.is_finite();
        positive.then_some(Self { per_bit_hour: fit / (1e9 * BITS_OF_MEGABIT) }).ok_or(FitError(fit))
    }

    /// Returns the mean number of flips of a bit in an hour.
    pub fn per_bit_hour(self) -> f64 {
        self.per_bit_hour
    }

    /// Computes the probability that a bit differs from the stored value after `hours` hours without rewriting: the
    /// probability of an odd number of flips, (1 - exp(-2 rate hours)) / 2. For one hour it is the rate that
    /// [`design::FaultKind::Accumulate`] takes.
    ///
    /// # Errors
    /// When `hours` is negative or NaN.
    pub fn bit_error_rate(self, hours: f64) -> Result<BitErrorRate, RateError> {
        BitErrorRate::new(-0.5 * libm::expm1(-2.0 * self.per_bit_hour * hours))
    }

    /// Computes the hours after which the bit error rate is `rate`; infinite from 1/2 on, which it never reaches.
    pub fn hours_until(self, rate: BitErrorRate) -> f64 {
        if rate.get() >= 0.5 {
            return f64::INFINITY;
        }
        -libm::log1p(-2.0 * rate.get()) / (2.0 * self.per_bit_hour)
    }
}
