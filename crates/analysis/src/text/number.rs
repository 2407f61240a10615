//! Numbers, intervals and overheads as text.

use crate::estimate::interval::Interval;
use crate::estimate::summary::CellSummary;

/// Text in place of a statistic that does not exist.
pub(crate) const ABSENT: &str = "–";

/// Text in place of the accuracy that a lossy protection leaves without faults, if nobody has measured it.
pub(crate) const NOT_MEASURED: &str = "not measured";

/// Fixed decimals, without a negative zero.
pub(crate) fn fixed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    if text.contains(|c: char| ('1'..='9').contains(&c)) { text } else { text.replace('-', "") }
}

/// Format of a cell's drops in points: drops of rare events may be far below fixed decimals.
pub(crate) fn summary_number(summary: &CellSummary) -> fn(f64) -> String {
    match summary.changed_probability {
        None => |value| fixed(value, 3),
        Some(_) => small,
    }
}

/// Text of a number that may be far below fixed decimals.
pub(crate) fn small(value: f64) -> String {
    if value == 0.0 { "0".into() } else { format!("{value:.1e}") }
}

/// Text of an interval; `number` writes an end in points, or a bound on a probability.
pub(crate) fn interval_text(interval: Interval, trials: u64, number: fn(f64) -> String) -> String {
    match interval {
        Interval::Absent => ABSENT.into(),
        Interval::AllEqual { differing_at_most } => {
            format!("all {trials} equal (P ≤ {})", number(differing_at_most))
        }
        Interval::Bca { low, high } => format!("[{}, {}]", number(low), number(high)),
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
