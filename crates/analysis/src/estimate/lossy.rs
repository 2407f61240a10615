//! Protections that change weights by storing them: accuracy of the stored network without any fault.

use design::{ProtectionName, TrialRecord};
use records::TrialRow;

use crate::AnalysisError;
use crate::estimate::cell::{Cell, trial_name, value_of};
use crate::estimate::summary::mean;

/// A network under a protection that may change weights by storing them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LossyStorage {
    /// The plan's label for the network.
    pub model: String,
    /// Protection id.
    pub protection: ProtectionName,
    /// Images that the stored network classifies correctly without faults; `None` when it was not measured, or trials have
    /// scores.
    pub correct: Option<u64>,
}

impl LossyStorage {
    pub(crate) fn is_of(&self, model: &str, protection: &ProtectionName) -> bool {
        self.model == model && self.protection == *protection
    }

    /// Checks the count against the trials in which every word read back right, which also give it where it was not
    /// measured. `None` if these trials show that storing changes no weight.
    pub(crate) fn checked(mut self, cells: &[Cell]) -> Result<Option<Self>, AnalysisError> {
        let rows = cells.iter().flat_map(|cell| cell.trials.iter());
        // A trial on a block of images does not have the value on the whole set.
        let own = |row: &&TrialRow| {
            let whole = row.images_per_trial.is_none();
            whole && self.is_of(&row.model, &row.protection) && reads_back_right(&row.record)
        };
        let mut right = rows.filter(own);
        let Some(first) = right.next() else { return Ok(Some(self)) };
        if !first.metrics.is_empty() {
            return Ok((first.record.weights_changed != 0).then_some(Self { correct: None, ..self }));
        }
        let correct = first.record.correct;
        if let Some(other) = right.find(|row| row.record.correct != correct) {
            return Err(AnalysisError::Disagreement {
                field: "correct",
                one: trial_name(first),
                one_value: correct.to_string(),
                other: trial_name(other),
                other_value: other.record.correct.to_string(),
            });
        }
        if let Some(measured) = self.correct.filter(|measured| *measured != correct) {
            return Err(AnalysisError::FaultFree { trial: trial_name(first), correct, measured });
        }
        self.correct = Some(correct);
        Ok((first.record.weights_changed != 0).then_some(self))
    }

    /// Value of the stored network without faults, in the unit of the cells. A score is the mean of those trials in which every
    /// word read back right, since an evaluator may be nondeterministic.
    pub(crate) fn value(&self, cells: &[Cell]) -> Option<f64> {
        let own = cells.iter().filter(|cell| self.is_of(&cell.key.model, &cell.key.protection));
        let right = own.filter(|cell| cell.metric.is_some()).flat_map(|cell| {
            let rows = cell.trials.iter().filter(|row| reads_back_right(&row.record));
            rows.map(|row| value_of(row, cell.metric))
        });
        let mut scores: Vec<f64> = right.collect();
        scores.sort_unstable_by(f64::total_cmp);
        let score = (!scores.is_empty()).then(|| mean(&scores));
        self.correct.map(|correct| correct as f64).or(score)
    }
}

/// True if every word reads back as it does without faults, and so the whole network.
fn reads_back_right(record: &TrialRecord) -> bool {
    record.detected == 0 && record.miscorrected == 0 && record.silent == 0
}
