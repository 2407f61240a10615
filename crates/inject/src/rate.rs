use std::fmt;

/// Bit error rate: flips before correction for each stored cell, in [0, 1] (the paper's fault rate).
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct BitErrorRate(f64);

/// Not a rate.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("bit error rate {0}, expected a number in [0, 1]")]
pub struct RateError(pub f64);

impl BitErrorRate {
    /// Checks that `rate` is a probability.
    ///
    /// # Errors
    /// When it is not in [0, 1], or is NaN.
    pub fn new(rate: f64) -> Result<Self, RateError> {
        if (0.0..=1.0).contains(&rate) { Ok(Self(rate)) } else { Err(RateError(rate)) }
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl fmt::Display for BitErrorRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:e}", self.0)
    }
}
