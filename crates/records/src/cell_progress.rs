use std::collections::BTreeMap;

use design::{CellId, DropSums, StopRule, TrialRecord};

use crate::{Manifest, Part, Unit};

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
    pub fn progress(&self, cell: &CellId, done: &BTreeMap<Unit, Part>) -> CellProgress {
        let mut progress = CellProgress::default();
        let mut seen = SeenTrials::default();
        for unit in self.units_of(cell) {
            let Some(part) = done.get(&unit) else {
                progress.missing.push(unit);
                continue;
            };
            progress.counted.push(unit.clone());
            if let Some(stop) = self.stop {
                seen.add(stop, part);
                // No cell ends with the short last unit of a run before its extension: a run that was long from the
                // beginning has no such unit.
                let whole = (unit.first + unit.count).is_multiple_of(self.unit_trials);
                if whole && progress.missing.is_empty() && seen.end(stop, part) {
                    break;
                }
            }
        }
        progress
    }
}

/// Numbers of the first trials of a cell that stop rules look at.
#[derive(Default)]
struct SeenTrials {
    failures: u64,
    drops: DropSums,
}

impl SeenTrials {
    fn add(&mut self, stop: StopRule, part: &Part) {
        let evaluation = &part.cell.evaluation;
        for TrialRecord { correct, block, .. } in &part.trials {
            let clean_correct = block.map_or(part.clean_correct, |block| block.clean_correct);
            self.drops.add(clean_correct, *correct);
            if let StopRule::Failures(rule) = stop {
                let images = evaluation.images_of_trial();
                self.failures += u64::from(rule.is_failure(clean_correct, *correct, images));
            }
        }
    }

    /// True if a cell, of which this is a part, ends after these trials.
    fn end(&self, stop: StopRule, part: &Part) -> bool {
        match stop {
            StopRule::Failures(rule) => self.failures >= rule.failures,
            StopRule::HalfWidth(rule) => {
                let weight = part.cell.changed_probability.unwrap_or(1.0);
                rule.is_reached(&self.drops, part.cell.evaluation.images_of_trial(), weight)
            }
        }
    }
}
