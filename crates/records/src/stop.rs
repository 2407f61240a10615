use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{CellId, Manifest, Part, TrialRecord, Unit};

/// When a cell ends before the plan's last trial: with the unit in which the failures among its trials, counted
/// from the first trial on, reach a number. That is a function of the records, whoever computes them in which order.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopRule {
    /// How many failures are enough.
    pub failures: u64,
    /// A trial fails when its accuracy lies so many points (percent of the images) or more below the fault-free one.
    pub drop_points: f64,
}

impl StopRule {
    /// Whether a trial fails, of whose images `correct` are classified correctly, and `clean_correct` without faults.
    pub fn is_failure(&self, clean_correct: u64, correct: u64, images: u64) -> bool {
        100.0 * (clean_correct as f64 - correct as f64) / images as f64 >= self.drop_points
    }

    /// Failures in a part.
    fn failures_in(&self, part: &Part) -> u64 {
        let images = part.cell.evaluation.images;
        let failed = |trial: &&TrialRecord| self.is_failure(part.clean_correct, trial.correct, images);
        part.trials.iter().filter(failed).count() as u64
    }
}

/// How far a cell has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The units that are there and count, ascending.
    pub counted: Vec<Unit>,
    /// The units that are missing, ascending; none for a finished cell. Under a stop rule not all of them may be
    /// needed.
    pub missing: Vec<Unit>,
}

impl Manifest {
    /// How far a cell has come, of whose units `done` are there.
    pub fn standing(&self, cell: &CellId, done: &BTreeMap<Unit, Part>) -> Standing {
        let mut standing = Standing::default();
        let mut failures = 0;
        for unit in self.units_of(cell) {
            let Some(part) = done.get(&unit) else {
                standing.missing.push(unit);
                continue;
            };
            standing.counted.push(unit.clone());
            if let Some(stop) = self.stop {
                failures += stop.failures_in(part);
                // Where the run ended before an extension no cell ends: a run that was long from the beginning has no
                // unit that does.
                let whole = (unit.first + unit.count).is_multiple_of(self.unit_trials);
                if whole && standing.missing.is_empty() && failures >= stop.failures {
                    break;
                }
            }
        }
        standing
    }
}
