//! Where ticks are, and how numbers are written there.

/// An axis of accuracies in %.
pub(crate) struct AccuracyAxis {
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) ticks: Vec<f64>,
    pub(crate) decimals: usize,
}

impl AccuracyAxis {
    /// Covers all values, with ticks at 1, 2 or 5 times a power of ten: so far apart that the values span at
    /// most `most_steps` of them.
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

    /// Where a value is between the pixels `bottom` and `top`.
    pub(crate) fn y(&self, accuracy_percent: f64, (bottom, top): (i32, i32)) -> i32 {
        let part = (accuracy_percent - self.low) / (self.high - self.low);
        (f64::from(bottom) - part * f64::from(bottom - top)).round() as i32
    }

    /// A tick as text.
    pub(crate) fn label(&self, tick: f64) -> String {
        format!("{tick:.*}", self.decimals)
    }
}

/// The smallest of 1, 2 and 5 times the powers of ten of which `span` holds at most `most`.
fn tick_step(span: f64, most: f64) -> f64 {
    let magnitude = 10f64.powf((span / most).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * magnitude).into_iter().find(|s| span / s <= most);
    step.expect("ten times the power of ten below that part of the span exceeds it")
}
