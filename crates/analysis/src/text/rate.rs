//! Names of rates: a bit error rate under most fault models, something else under others.

use design::{FaultKind, FaultModel};

use crate::estimate::cell::CellKey;
use crate::estimate::estimates::Estimates;

/// Quantity that the rate of a fault model gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rate {
    /// Probability that a bit differs from the stored one.
    BitErrors,
    /// Probability that a bit differs, in a memory with as many ones as zeros.
    BalancedBitErrors,
    /// Probability that a bit flips in an hour.
    FlipsAnHour,
    /// Share of bits that are stuck; a stuck bit flips only if the other value is stored.
    StuckCells,
    /// Mean number of fault events per stored bit.
    Events,
}

impl Rate {
    fn of(fault_model: &FaultModel) -> Self {
        match fault_model.kind {
            FaultKind::Accumulate { .. } => Self::FlipsAnHour,
            FaultKind::StuckAt { .. } => Self::StuckCells,
            FaultKind::Dram { .. } => Self::Events,
            FaultKind::Asymmetric { .. } => Self::BalancedBitErrors,
            FaultKind::Bernoulli | FaultKind::FixedCount | FaultKind::Burst { .. } => Self::BitErrors,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::BitErrors => "bit error rate",
            Self::BalancedBitErrors => "bit error rate if half of the bits are ones",
            Self::FlipsAnHour => "probability that a bit flips in an hour",
            Self::StuckCells => "share of bits that are stuck",
            Self::Events => "fault events per stored bit",
        }
    }
}

/// Name of the rate of a fault model, for an axis: `bit error rate`, or the quantity in its place.
pub(crate) fn rate_name(fault_model: &FaultModel) -> String {
    let name = Rate::of(fault_model).name();
    if fault_model.scope.is_whole() { name.into() } else { format!("{name}, of bits in scope") }
}

/// One name for the rates of several fault models: `bit error rate` if it is the name of all, and `rate` otherwise.
pub(crate) fn common_name<'a>(mut fault_models: impl Iterator<Item = &'a FaultModel>) -> &'static str {
    let alike = fault_models.all(|model| Rate::of(model) == Rate::BitErrors);
    if alike { "bit error rate" } else { "rate" }
}

/// The common name of all rates of an experiment.
pub(crate) fn common_rate_name(estimates: &Estimates) -> &'static str {
    common_name(estimates.cells.iter().map(|cell| &cell.key.fault_model))
}

/// Note after the name of a fault model in a heading, if its rates are no bit error rates.
pub(crate) fn heading_note(fault_model: &FaultModel) -> String {
    match Rate::of(fault_model) {
        Rate::BitErrors => String::new(),
        other => format!(" (rate: {})", other.name()),
    }
}

/// Line below a table with a column `rate` that explains rates that are no bit error rates; empty without such.
pub(crate) fn note<'a>(fault_models: impl Iterator<Item = &'a FaultModel>) -> String {
    let mut others: Vec<Rate> = Vec::new();
    for rate in fault_models.map(Rate::of).filter(|rate| *rate != Rate::BitErrors) {
        if !others.contains(&rate) {
            others.push(rate);
        }
    }
    if others.is_empty() {
        return String::new();
    }
    let sentence = |rate: &Rate| match rate {
        Rate::BitErrors => unreachable!("left out above"),
        Rate::BalancedBitErrors => {
            "of `asymmetric` the bit error rate of a memory of which half of the bits are ones"
        }
        Rate::FlipsAnHour => {
            "of `accumulate` the probability that a bit flips in an hour, where the memory is read after all hours"
        }
        Rate::StuckCells => {
            "of `stuck-at` the share of bits that are stuck, of which only those flip that store the other value"
        }
        Rate::Events => {
            "of `dram` the mean number of fault events per stored bit, where one event can hit a whole device"
        }
    };
    let sentences: Vec<&str> = others.iter().map(sentence).collect();
    format!("`rate`: bit error rate; {}.", sentences.join("; "))
}

/// Explanation of rates that are no bit error rates, as a paragraph of its own.
pub(crate) fn rate_note<'a>(keys: impl Iterator<Item = &'a CellKey>) -> String {
    paragraph(note(keys.map(|key| &key.fault_model)))
}

pub(crate) fn paragraph(text: String) -> String {
    if text.is_empty() { text } else { format!("\n{text}\n") }
}
