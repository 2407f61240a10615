use std::collections::BTreeMap;

use design::{CellId, DropSums, StopRule, TrialRecord};

use crate::{Manifest, Part, Unit};

/// Counts of the trials of finished units, which stand for the trials where these are not needed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FinishedUnit {
    /// Trials without a changed weight.
    pub unchanged: u64,
    /// Trials that are failures by the plan's stop rule; 0 without one.
    failures: u64,
    drops: DropSums,
    /// Images of a trial.
    images: u64,
    /// Probability of the event under which trials are drawn, or 1.
    weight: f64,
}

impl FinishedUnit {
    /// Counts the trials of a part.
    pub fn of(part: &Part, stop: Option<StopRule>) -> Self {
        let images = part.cell.evaluation.images_of_trial();
        let mut finished =
            Self { images, weight: part.cell.changed_probability.unwrap_or(1.0), ..Self::default() };
        for TrialRecord { correct, block, weights_changed, .. } in &part.trials {
            let clean_correct = block.map_or(part.clean_correct, |block| block.clean_correct);
            finished.unchanged += u64::from(*weights_changed == 0);
            finished.drops.add(clean_correct, *correct);
            if let Some(StopRule::Failures(rule)) = stop {
                finished.failures += u64::from(rule.is_failure(clean_correct, *correct, images));
            }
        }
        finished
    }

    /// Adds the trials of the cell's next unit.
    pub(crate) fn join(&mut self, next: &Self) {
        self.unchanged += next.unchanged;
        self.failures += next.failures;
        self.drops.join(&next.drops);
        (self.images, self.weight) = (next.images, next.weight);
    }
}

/// Progress of a cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CellProgress {
    /// Finished units that count, ascending.
    pub counted: Vec<Unit>,
    /// Missing units, ascending; none if the cell is finished. A stop rule may make some of them unnecessary.
    pub missing: Vec<Unit>,
}

impl Manifest {
    /// Returns the progress of a cell, whose finished units are among `done`.
    pub fn progress(&self, cell: &CellId, done: &BTreeMap<Unit, FinishedUnit>) -> CellProgress {
        let mut progress = CellProgress::default();
        let mut seen = FinishedUnit::default();
        for unit in self.units_of(cell) {
            let Some(finished) = done.get(&unit) else {
                progress.missing.push(unit);
                continue;
            };
            seen.join(finished);
            let ends = progress.missing.is_empty() && self.ends_with(&unit, &seen);
            progress.counted.push(unit);
            if ends {
                break;
            }
        }
        progress
    }

    /// Returns true if the stop rule ends a cell with a unit, up to which it has these trials and no unit is missing. No cell ends
    /// with the short last unit of a run before its extension: a run that was long from the beginning has no such unit.
    pub(crate) fn ends_with(&self, unit: &Unit, seen: &FinishedUnit) -> bool {
        let whole = (unit.first + unit.count).is_multiple_of(self.unit_trials);
        whole
            && match self.stop {
                None => false,
                Some(StopRule::Failures(rule)) => seen.failures >= rule.failures,
                Some(StopRule::HalfWidth(rule)) => rule.is_reached(&seen.drops, seen.images, seen.weight),
            }
    }
}
