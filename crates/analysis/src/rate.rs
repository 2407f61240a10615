//! The meaning of a cell's rate, which is a bit error rate under most fault models and something else under others.

use design::{FaultKind, FaultModel};

/// What the rate of a fault model counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rate {
    /// Cells that differ from what was stored.
    BitErrors,
    /// The same in a memory with as many ones as zeros.
    BalancedBitErrors,
    /// Cells that flip in an hour.
    FlipsAnHour,
    /// Cells that are stuck, of which only those flip that hold the other bit.
    StuckCells,
}

impl Rate {
    fn of(fault_model: &FaultModel) -> Self {
        match fault_model.kind {
            FaultKind::Accumulate { .. } => Self::FlipsAnHour,
            FaultKind::StuckAt { .. } => Self::StuckCells,
            FaultKind::Asymmetric { .. } => Self::BalancedBitErrors,
            FaultKind::Bernoulli | FaultKind::FixedCount | FaultKind::Burst { .. } => Self::BitErrors,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::BitErrors => "bit error rate",
            Self::BalancedBitErrors => "bit error rate if half of the bits are ones",
            Self::FlipsAnHour => "probability that a cell flips in an hour",
            Self::StuckCells => "share of cells that are stuck",
        }
    }
}

/// The rate of a fault model in words, for an axis: `bit error rate`, or what it is instead.
pub(crate) fn rate_name(fault_model: &FaultModel) -> String {
    let name = Rate::of(fault_model).name();
    if fault_model.scope.is_whole() { name.into() } else { format!("{name}, of cells in scope") }
}

/// One name for the rates of several fault models: `bit error rate` where it is that of all, and `rate` otherwise.
pub(crate) fn common_name<'a>(mut fault_models: impl Iterator<Item = &'a FaultModel>) -> &'static str {
    let alike = fault_models.all(|model| Rate::of(model) == Rate::BitErrors);
    if alike { "bit error rate" } else { "rate" }
}

/// For a heading, after the name of a fault model: what its rates are, where these are no bit error rates.
pub(crate) fn heading_note(fault_model: &FaultModel) -> String {
    match Rate::of(fault_model) {
        Rate::BitErrors => String::new(),
        other => format!(" (rate: {})", other.name()),
    }
}

/// For a line below a table with a column `rate`: what the rates are that are no bit error rates; empty without such.
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
            "of `accumulate` the probability that a cell flips in an hour, where the memory is read after all hours"
        }
        Rate::StuckCells => {
            "of `stuck-at` the share of cells that are stuck, of which only those flip that hold the other bit"
        }
    };
    let sentences: Vec<&str> = others.iter().map(sentence).collect();
    format!("`rate`: bit error rate; {}.", sentences.join("; "))
}
