//! Protections that change weights by storing them: accuracy of the stored network without any fault.

use design::{ProtectionName, TrialRecord};
use records::TrialRow;

use crate::AnalysisError;
use crate::estimate::cell::{Cell, trial_name};

/// A network under a protection that may change weights by storing them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LossyStorage {
    /// The plan's label for the network.
    pub model: String,
    /// Protection id.
    pub protection: ProtectionName,
    /// Images that the stored network classifies correctly without faults; `None` when it was not measured.
    pub correct: Option<u64>,
}

impl LossyStorage {
    pub(crate) fn is_of(&self, model: &str, protection: &ProtectionName) -> bool {
        self.model == model && self.protection == *protection
    }

    /// Checks the count against the trials in which every word read back right, which also give it where it was not
    /// measured. `None` if these trials show that storing changes no weight.
    pub(crate) fn checked(mut self, cells: &[Cell]) -> Result<Option<Self>, AnalysisError> {
        let rows = cells.iter().flat_map(|cell| &cell.trials);
        let own = |row: &&TrialRow| self.is_of(&row.model, &row.protection) && reads_back_right(&row.record);
        let mut right = rows.filter(own);
        let Some(first) = right.next() else { return Ok(Some(self)) };
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
}

/// True if every word reads back as it does without faults, and so the whole network.
fn reads_back_right(record: &TrialRecord) -> bool {
    record.detected == 0 && record.miscorrected == 0 && record.silent == 0
}
