//! Protections that change weights by storing them, and what they leave of a network without any fault.

use design::TrialRecord;
use records::TrialRow;

use crate::AnalysisError;
use crate::cell::{points, trial_name};
use crate::report::Report;

/// A network under a protection that may change weights by storing them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LossyStorage {
    /// The plan's label for the network.
    pub model: String,
    /// Protection id.
    pub protection: String,
    /// Images that the stored network classifies correctly without faults; `None` when it was not measured.
    pub correct: Option<u64>,
}

impl Report {
    /// The same report, which says of these networks and protections what storing alone costs. Where that was not
    /// measured, a trial in which every word read back right tells it, at rate 0 or at any other; where there is none
    /// either, the report says that it was not measured.
    ///
    /// # Errors
    /// When such trials differ from each other, or from what was measured.
    pub fn with_lossy(mut self, storages: Vec<LossyStorage>) -> Result<Self, AnalysisError> {
        for mut storage in storages {
            let own = |row: &&TrialRow| row.model == storage.model && row.protection == storage.protection;
            let rows = self.cells.iter().flat_map(|cell| &cell.trials);
            let mut right = rows.filter(own).filter(|row| reads_back_right(&row.record));
            if let Some(first) = right.next() {
                if let Some(other) = right.find(|row| row.record.correct != first.record.correct) {
                    return Err(AnalysisError::Disagreement {
                        field: "correct",
                        one: trial_name(first),
                        one_value: first.record.correct.to_string(),
                        other: trial_name(other),
                        other_value: other.record.correct.to_string(),
                    });
                }
                if let Some(measured) = storage.correct.filter(|measured| *measured != first.record.correct) {
                    return Err(AnalysisError::FaultFree {
                        trial: trial_name(first),
                        correct: first.record.correct,
                        measured,
                    });
                }
                storage.correct = Some(first.record.correct);
                if first.record.weights_changed == 0 {
                    continue;
                }
            }
            self.lossy.push(storage);
        }
        let lossy = std::mem::take(&mut self.lossy);
        for summary in &mut self.summaries {
            let key = &summary.key;
            if let Some(storage) =
                lossy.iter().find(|s| s.model == key.model && s.protection == key.protection)
            {
                let images = summary.images;
                summary.fault_free_percent = storage.correct.map(|correct| points(correct as f64, images));
            }
        }
        self.lossy = lossy;
        Ok(self)
    }

    /// Whether a protection may change the weights of a network by storing them.
    pub(crate) fn is_lossy(&self, model: &str, protection: &str) -> bool {
        self.lossy.iter().any(|storage| storage.model == model && storage.protection == protection)
    }
}

/// Whether every word reads back as it does without faults, and so the whole network.
fn reads_back_right(record: &TrialRecord) -> bool {
    record.detected == 0 && record.miscorrected == 0 && record.silent == 0
}

/// Shown where nobody has measured what a lossy protection leaves without faults.
pub(crate) const NOT_MEASURED: &str = "not measured";

/// Below a table with a column `fault-free`.
pub(crate) const FAULT_FREE_NOTE: &str = "`fault-free`: drop without any fault, which is what a lossy protection costs by \
     changing weights when it stores them.\n";
