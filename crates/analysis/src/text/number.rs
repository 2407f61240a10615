//! Numbers, intervals and overheads as text.

use crate::estimate::interval::Interval;

/// Text in place of a statistic that does not exist.
pub(crate) const ABSENT: &str = "–";

/// Text in place of the accuracy that a lossy protection leaves without faults, if nobody has measured it.
pub(crate) const NOT_MEASURED: &str = "not measured";

/// Fixed decimals, without a negative zero.
pub(crate) fn fixed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    if text.contains(|c: char| ('1'..='9').contains(&c)) { text } else { text.replace('-', "") }
}

/// Format of a column of numbers.
#[derive(Clone, Copy)]
pub(crate) enum Digits {
    /// Decimals of a number in % or in points.
    Fixed(usize),
    /// Decimals of a score; a score with more than nine digits before the point has four in all.
    Score(usize),
    /// Two digits in all: the number may be far below fixed decimals.
    Small,
}

impl Digits {
    pub(crate) fn text(self, value: f64) -> String {
        match self {
            Self::Score(_) if value.abs() >= 1e9 => format!("{value:.3e}"),
            Self::Fixed(decimals) | Self::Score(decimals) => fixed(value, decimals),
            Self::Small => small(value),
        }
    }

    fn probability(self, probability: f64) -> String {
        match self {
            Self::Score(_) => fixed(probability, 3),
            Self::Fixed(_) | Self::Small => self.text(probability),
        }
    }
}

/// Text of a number that may be far below fixed decimals.
pub(crate) fn small(value: f64) -> String {
    if value == 0.0 { "0".into() } else { format!("{value:.1e}") }
}

/// Text of an interval.
pub(crate) fn interval_text(interval: Interval, trials: u64, digits: Digits) -> String {
    match interval {
        Interval::Absent => ABSENT.into(),
        Interval::AllEqual { differing_at_most } => {
            format!("all {trials} equal (P ≤ {})", digits.probability(differing_at_most))
        }
        Interval::Bca { low, high } => format!("[{}, {}]", digits.text(low), digits.text(high)),
    }
}

pub(crate) const INTERVAL_NOTE: &str = "95 % interval of the mean: bias-corrected and accelerated (BCa) bootstrap, \
     10,000 resamples, fixed seed. `all n equal (P ≤ p)`: no value differed from the others, so that there is \
     nothing to resample; at 95 % confidence a trial differs with a probability of at most \
     p = 1 - 0.05^(1/n). An en dash: too few trials.\n";

/// Text of a stored overhead: `0`, `1.56 %`.
pub(crate) fn overhead_label(percent: f64) -> String {
    if percent == 0.0 { "0".into() } else { format!("{} %", (percent * 100.0).round() / 100.0) }
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
