//! Scales of axes and the places of their ticks.

use crate::plot::panel::Tick;
use crate::text::number::grouped;

/// A vertical axis of accuracies in %.
pub(crate) struct AccuracyAxis {
    low: f64,
    high: f64,
    ticks: Vec<f64>,
    decimals: usize,
}

impl AccuracyAxis {
    /// Covers all values, with ticks at 1, 2 or 5 times a power of ten; the values span at most `most_steps` of them.
    pub(crate) fn covering(values: impl Iterator<Item = f64>, most_steps: f64) -> Self {
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
        let span = (high - low).max(0.5);
        let (low, high) = (low - 0.06 * span, high + 0.06 * span);
        let step = tick_step(span, most_steps);
        // No tick for an accuracy that cannot be.
        let (first, last) = (low.max(0.0) / step, high.min(100.0) / step);
        let ticks = (first.ceil() as i64..=last.floor() as i64).map(|i| i as f64 * step).collect();
        Self { low, high, ticks, decimals: (-step.log10().floor()).max(0.0) as usize }
    }

    /// Pixel of a value between the pixels `bottom` and `top`.
    pub(crate) fn y(&self, percent: f64, (bottom, top): (i32, i32)) -> i32 {
        let part = (percent - self.low) / (self.high - self.low);
        (f64::from(bottom) - part * f64::from(bottom - top)).round() as i32
    }

    pub(crate) fn ticks(&self, edges: (i32, i32)) -> Vec<Tick> {
        let label = |tick: f64| format!("{tick:.*}", self.decimals);
        self.ticks.iter().map(|tick| (self.y(*tick, edges), label(*tick))).collect()
    }
}

/// The smallest of 1, 2 and 5 times the powers of ten of which `span` holds at most `most`.
fn tick_step(span: f64, most: f64) -> f64 {
    let magnitude = 10f64.powf((span / most).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * magnitude).into_iter().find(|s| span / s <= most);
    step.expect("ten times the power of ten below that part of the span exceeds it")
}

/// A vertical axis of counts over several powers of ten, and of 0: logarithmic in 1 + n.
pub(crate) struct CountAxis {
    most: u64,
}

impl CountAxis {
    /// Covers 0 and all counts.
    pub(crate) fn covering(counts: impl Iterator<Item = u64>) -> Self {
        Self { most: counts.max().unwrap_or(0).max(1) }
    }

    /// Pixel of a count between the pixels of 0 and `top`; the largest stays a little below `top`.
    pub(crate) fn y(&self, count: u64, (zero, top): (i32, i32)) -> i32 {
        let part = (1.0 + count as f64).ln() / (1.0 + self.most as f64).ln();
        (f64::from(zero) - 0.95 * part * f64::from(zero - top)).round() as i32
    }

    /// 0 and the powers of ten.
    pub(crate) fn ticks(&self, edges: (i32, i32)) -> Vec<Tick> {
        std::iter::once(0).chain(self.powers()).map(|n| (self.y(n, edges), grouped(n))).collect()
    }

    /// The multiples of the powers of ten between the ticks.
    pub(crate) fn minor_ticks(&self) -> Vec<u64> {
        let multiples = self.powers().flat_map(|power| (2..10).map(move |m| power.saturating_mul(m)));
        multiples.filter(|multiple| *multiple <= self.most).collect()
    }

    fn powers(&self) -> impl Iterator<Item = u64> {
        std::iter::successors(Some(1u64), |power| power.checked_mul(10)).take_while(|p| *p <= self.most)
    }
}

/// Whole ticks from 0 to at most `last`, which spans at most `most_steps` of them.
pub(crate) fn count_ticks(last: u64, most_steps: f64) -> Vec<u64> {
    let step = tick_step(last.max(1) as f64, most_steps).max(1.0);
    (0..=last).step_by(step as usize).collect()
}
