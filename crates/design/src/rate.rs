use std::fmt;

use serde::{Deserialize, Serialize};

/// Bit error rate: flips before correction for each stored bit, in [0, 1] (the paper's fault rate).
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct BitErrorRate(f64);

/// A number that is not a bit error rate.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("bit error rate {0}, expected a number in [0, 1]")]
pub struct RateError(pub f64);

impl BitErrorRate {
    /// Checks that `rate` is a probability.
    ///
    /// # Errors
    /// When `rate` is outside [0, 1] or NaN.
    pub fn new(rate: f64) -> Result<Self, RateError> {
        if (0.0..=1.0).contains(&rate) { Ok(Self(rate)) } else { Err(RateError(rate)) }
    }

    /// Returns the number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for BitErrorRate {
    type Error = RateError;

    fn try_from(rate: f64) -> Result<Self, RateError> {
        Self::new(rate)
    }
}

impl From<BitErrorRate> for f64 {
    fn from(rate: BitErrorRate) -> Self {
        rate.0
    }
}

impl fmt::Display for BitErrorRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:e}", self.0)
    }
}
