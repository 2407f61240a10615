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

/// An axis of counts over several powers of ten, and of 0: logarithmic in 1 + n.
pub(crate) struct CountAxis {
    most: u64,
}

impl CountAxis {
    /// Covers 0 and all counts.
    pub(crate) fn covering(counts: impl Iterator<Item = u64>) -> Self {
        Self { most: counts.max().unwrap_or(0).max(1) }
    }

    /// Where a count is between the pixels of 0 and `top`; the largest stays a little below `top`.
    pub(crate) fn y(&self, count: u64, (zero, top): (i32, i32)) -> i32 {
        let part = (1.0 + count as f64).ln() / (1.0 + self.most as f64).ln();
        (f64::from(zero) - 0.95 * part * f64::from(zero - top)).round() as i32
    }

    /// 0 and the powers of ten.
    pub(crate) fn ticks(&self) -> Vec<u64> {
        std::iter::once(0).chain(self.powers()).collect()
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

/// An axis of training iterations, from 0.
pub(crate) struct IterationAxis {
    last: u64,
}

impl IterationAxis {
    pub(crate) fn to(last: u64) -> Self {
        Self { last }
    }

    /// Where an iteration is, from 0 to 1.
    pub(crate) fn part(&self, iteration: u64) -> f64 {
        if self.last == 0 { 0.0 } else { iteration as f64 / self.last as f64 }
    }

    pub(crate) fn ticks(&self) -> Vec<u64> {
        count_ticks(self.last, 6.5)
    }
}

/// Whole ticks from 0 to at most `last`, which spans at most `most_steps` of them.
pub(crate) fn count_ticks(last: u64, most_steps: f64) -> Vec<u64> {
    let step = tick_step(last.max(1) as f64, most_steps).max(1.0);
    (0..=last).step_by(step as usize).collect()
}

/// A count with commas between thousands.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
