//! Flips that accumulate for hours, with or without scrubs.
//!
//! # Precision
//! Within an interval flips are drawn like independent flips ([`super::bernoulli`]), with the probability of an odd number
//! of flips, which is accurate for small rates too.

use super::Planes;
use crate::{FaultPattern, Faults};

pub(super) fn sample(planes: &mut Planes, p: f64, hours: u64, scrub: Option<u64>) -> Faults {
    let (between, interval, rest) = intervals(hours, scrub);
    let mut flips = |hours| planes.independent(odd_flips(p, hours));
    let mut intervals: Vec<FaultPattern> = (0..between).map(|_| flips(interval)).collect();
    intervals.push(flips(rest));
    match intervals.len() {
        1 => Faults::Flips(intervals.remove(0)),
        _ => Faults::BetweenScrubs(intervals),
    }
}

/// Sum over the intervals of the probability that a bit differs at the end of the interval.
pub(super) fn mean_flips_of_bit(p: f64, hours: u64, scrub: Option<u64>) -> f64 {
    let (between, interval, rest) = intervals(hours, scrub);
    between as f64 * odd_flips(p, interval) + odd_flips(p, rest)
}

/// Number of intervals that end with a scrub, their hours, and the hours after the last scrub.
fn intervals(hours: u64, scrub: Option<u64>) -> (u64, u64, u64) {
    let interval = scrub.unwrap_or(hours);
    let between = hours.div_ceil(interval) - 1;
    (between, interval, hours - between * interval)
}

/// Probability that a bit which flips with probability `p` in an hour differs after `hours` hours:
/// (1 - (1 - 2p)^hours) / 2.
fn odd_flips(p: f64, hours: u64) -> f64 {
    -0.5 * libm::expm1(hours as f64 * libm::log1p(-2.0 * p))
}
