use rand_core::RngCore;

use crate::sampling::{below, bernoulli};

/// Bursts that flip cells at a rate; see [`crate::FaultModel::Burst`].
pub(crate) struct Bursts {
    length: (u64, u64),
    distance: u64,
    /// The probability that a burst starts at a position.
    start: f64,
}

impl Bursts {
    pub(crate) fn new(length: (u64, u64), distance: u64, rate: f64) -> Self {
        Self { length, distance, start: start_probability(length, rate) }
    }

    /// The cells below `cells` that bursts cover, ascending: all starts are drawn, then their lengths.
    pub(crate) fn draw(&self, rng: &mut impl RngCore, cells: u64) -> Vec<u64> {
        let (least, most) = self.length;
        // Position i starts a burst at cell i - reach.
        let reach = (most - 1) * self.distance;
        let positions = if cells == 0 { 0 } else { cells + reach };
        let mut covered = Vec::new();
        for start in bernoulli(rng, positions, self.start) {
            let length = if least == most { most } else { least + below(rng, most - least + 1) };
            let burst = (0..length).map(|j| start + j * self.distance);
            covered.extend(burst.filter_map(|position| position.checked_sub(reach)).filter(|&c| c < cells));
        }
        covered.sort_unstable();
        covered.dedup();
        covered
    }
}

/// The s in [0, 1] with 1 - prod over j < most of (1 - s P(length > j)) = rate, by bisection: products and sums
/// only, so that every machine finds the same number.
fn start_probability((least, most): (u64, u64), rate: f64) -> f64 {
    let lengths = (most - least + 1) as f64;
    let reached = |j: u64| if j < least { 1.0 } else { (most - j) as f64 / lengths };
    // Of covering a cell, from the sum over the bursts that could: no cancellation at small s.
    let covered = |s: f64| (0..most).fold(0.0, |covered, j| covered + (1.0 - covered) * s * reached(j));
    // Between rate / most and rate: a cell is covered by at most `most` bursts, and at least by one that starts there.
    let (mut low, mut high) = (rate / most as f64, rate);
    loop {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            return high;
        }
        if covered(middle) < rate { low = middle } else { high = middle }
    }
}
