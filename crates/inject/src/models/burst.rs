//! Bursts that flip bits at a rate.
//!
//! # Precision
//! Starts are drawn like independent flips ([`super::bernoulli`]), over all positions from which a burst reaches into the
//! plane. Their probability is the f64 at which the flip probability of a bit reaches the rate.

use rand_core::RngCore;

use super::Planes;
use crate::Faults;
use crate::sampling::{below, bernoulli};

pub(super) fn sample(planes: &mut Planes, p: f64, length: (u64, u64), distance: u64) -> Faults {
    let start = start_probability(length, p);
    Faults::Flips(planes.draw(|rng, bits| draw(rng, bits, length, distance, start)))
}

/// Draws the bits below `bits` that bursts cover, ascending: first all starts, then their lengths.
fn draw(rng: &mut impl RngCore, bits: u64, (least, most): (u64, u64), distance: u64, start: f64) -> Vec<u64> {
    // Position i starts a burst at bit i - reach.
    let reach = (most - 1) * distance;
    let positions = if bits == 0 { 0 } else { bits + reach };
    let mut covered = Vec::new();
    for start in bernoulli(rng, positions, start) {
        let length = if least == most { most } else { least + below(rng, most - least + 1) };
        let burst = (0..length).map(|j| start + j * distance);
        covered.extend(burst.filter_map(|position| position.checked_sub(reach)).filter(|&bit| bit < bits));
    }
    covered.sort_unstable();
    covered.dedup();
    covered
}

/// Finds the s in [0, 1] with 1 - prod over j < most of (1 - s P(length > j)) = rate, by bisection: products and sums
/// only, so that every machine finds the same number.
fn start_probability((least, most): (u64, u64), rate: f64) -> f64 {
    let lengths = (most - least + 1) as f64;
    let reached = |j: u64| if j < least { 1.0 } else { (most - j) as f64 / lengths };
    // The probability that a bit is covered, summed over the bursts that could cover it: no cancellation at small s.
    let covered = |s: f64| (0..most).fold(0.0, |covered, j| covered + (1.0 - covered) * s * reached(j));
    // Between rate / most and rate: a bit is covered by at most `most` bursts, and at least by one that starts there.
    let (mut low, mut high) = (rate / most as f64, rate);
    loop {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            return high;
        }
        if covered(middle) < rate { low = middle } else { high = middle }
    }
}
