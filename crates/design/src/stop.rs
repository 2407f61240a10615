use serde::{Deserialize, Serialize};

/// Condition under which a cell ends before the plan's last trial: at the end of the unit in which the number of failed
/// trials, counted from the first trial on, reaches `failures`. The records alone decide it, in whatever order and by
/// whichever process they are computed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopRule {
    /// Number of failures that ends a cell.
    pub failures: u64,
    /// Accuracy drop, in points (percent of the images), from which on a trial is a failure.
    pub drop_points: f64,
}

impl StopRule {
    /// Returns true if a trial fails that classifies `correct` of `images` images correctly, where the fault-free network
    /// classifies `clean_correct` correctly.
    pub fn is_failure(&self, clean_correct: u64, correct: u64, images: u64) -> bool {
        100.0 * (clean_correct as f64 - correct as f64) / images as f64 >= self.drop_points
    }
}
