//! Scales of axes and the places of their ticks.

use crate::estimate::measure::Measure;
use crate::plot::panel::Tick;
use crate::text::number::grouped;

/// A vertical axis of accuracies in %, or of scores.
pub(crate) struct ValueAxis {
    /// Ends, as decimal logarithms if the axis is logarithmic.
    low: f64,
    high: f64,
    ticks: Vec<f64>,
    decimals: usize,
    logarithmic: bool,
}

/// The axis of a score is logarithmic if lower is better and the largest value is at least this many times the smallest: a
/// perplexity grows without bound.
const LOGARITHMIC_FROM: f64 = 30.0;

impl ValueAxis {
    /// Covers all values, with ticks at 1, 2 or 5 times a power of ten; the values span at most `most_steps` of them.
    pub(crate) fn covering(measure: &Measure, values: impl Iterator<Item = f64>, most_steps: f64) -> Self {
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
        if measure.is_lower_better() && low > 0.0 && high / low >= LOGARITHMIC_FROM {
            return Self::logarithmic(low.log10(), high.log10(), most_steps);
        }
        let (fewest, possible) = match measure.metric() {
            None => (0.5, (0.0, 100.0)),
            Some(_) => {
                let size = low.abs().max(high.abs());
                (if size > 0.0 { 0.05 * size } else { 1.0 }, (f64::NEG_INFINITY, f64::INFINITY))
            }
        };
        let span = (high - low).max(fewest);
        let (low, high) = (low - 0.06 * span, high + 0.06 * span);
        let step = tick_step(span, most_steps);
        // No tick for an accuracy that cannot be.
        let (first, last) = (low.max(possible.0) / step, high.min(possible.1) / step);
        let ticks = (first.ceil() as i64..=last.floor() as i64).map(|i| i as f64 * step).collect();
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        Self { low, high, ticks, decimals, logarithmic: false }
    }

    fn logarithmic(low: f64, high: f64, most_steps: f64) -> Self {
        let room = 0.06 * (high - low);
        let (low, high) = (low - room, high + room);
        let every = ((high - low) / most_steps).ceil() as i32;
        let multiples: &[f64] = if high - low < 2.5 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let powers = (low.floor() as i32..=high.ceil() as i32).filter(|power| power % every == 0);
        let ticks =
            powers.flat_map(|power| multiples.iter().map(move |multiple| multiple * 10f64.powi(power)));
        let ticks = ticks.filter(|tick| (low..=high).contains(&tick.log10())).collect();
        Self { low, high, ticks, decimals: 0, logarithmic: true }
    }

    /// Name: `top-1 accuracy, %`, or the metric with its direction.
    pub(crate) fn name(&self, measure: &Measure) -> String {
        match measure {
            Measure::Accuracy => "top-1 accuracy, %".into(),
            Measure::Agreement => "agreement with the fault-free network, %".into(),
            Measure::Score(metric) => self.named(&metric.to_string()),
        }
    }

    /// Adds to a name that the axis is logarithmic.
    pub(crate) fn named(&self, name: &str) -> String {
        if self.logarithmic { format!("{name}, logarithmic") } else { name.into() }
    }

    /// Pixel of a value between the pixels `bottom` and `top`.
    pub(crate) fn y(&self, value: f64, (bottom, top): (i32, i32)) -> i32 {
        let value = if self.logarithmic { value.log10() } else { value };
        let part = (value - self.low) / (self.high - self.low);
        (f64::from(bottom) - part * f64::from(bottom - top)).round() as i32
    }

    pub(crate) fn ticks(&self, edges: (i32, i32)) -> Vec<Tick> {
        let label = |tick: f64| match tick.abs() {
            size if self.logarithmic && !(1e-4..1e6).contains(&size) => format!("{tick:.0e}"),
            _ if self.logarithmic => format!("{tick}"),
            size if size >= 1e9 => format!("{tick:.2e}"),
            _ => format!("{tick:.*}", self.decimals),
        };
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
