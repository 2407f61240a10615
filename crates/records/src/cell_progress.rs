use std::collections::BTreeMap;

use design::{CellId, StopRule, TrialRecord};

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
        let mut count = 0;
        for unit in self.units_of(cell) {
            let Some(part) = done.get(&unit) else {
                progress.missing.push(unit);
                continue;
            };
            progress.counted.push(unit.clone());
            if let Some(stop) = self.stop {
                count += failures(stop, part);
                // No cell ends with the short last unit of a run before its extension: a run that was long from the
                // beginning has no such unit.
                let whole = (unit.first + unit.count).is_multiple_of(self.unit_trials);
                if whole && progress.missing.is_empty() && count >= stop.failures {
                    break;
                }
            }
        }
        progress
    }
}

/// Returns the number of failures in a part.
fn failures(stop: StopRule, part: &Part) -> u64 {
    let images = part.cell.evaluation.images;
    let failed = |trial: &&TrialRecord| stop.is_failure(part.clean_correct, trial.correct, images);
    part.trials.iter().filter(failed).count() as u64
}
