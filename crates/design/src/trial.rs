use serde::{Deserialize, Serialize};

/// Version of the trial record; part of every cell's identity.
pub const RECORD_VERSION: u32 = 1;

/// Result of one trial: a function of (cell, trial) and of nothing else.
///
/// A *word* is a code word of the cell's protection, and only words with at least one flipped bit are
/// counted. `corrected`, `detected`, `miscorrected` and `silent` partition the words hit, except for
/// words that a decoder calls clean and that read back right. A word reads back right if it reads as from a memory without
/// faults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrialRecord {
    /// Number of the trial in its cell, from 0; also the stream of its random generator.
    pub trial: u64,
    /// Flipped bits of the data plane.
    pub flips_data: u64,
    /// Flipped bits of the check plane.
    pub flips_check: u64,
    /// First 16 hex digits of the SHA-256 of the flipped offsets.
    pub pattern_hash: String,
    /// Code words with at least one flipped bit.
    pub words_hit: u64,
    /// Words that the decoder corrected rightly (CE).
    pub corrected: u64,
    /// Words that the decoder declared uncorrectable (DUE).
    pub detected: u64,
    /// Words that the decoder changed to something that was never stored (miscorrections).
    pub miscorrected: u64,
    /// Words that the decoder passed as clean although they read back wrong (SDC).
    pub silent: u64,
    /// Weights that read back with another value than the network's, including those that a lossy protection changes by
    /// storing them; padding is not counted here.
    pub weights_changed: u64,
    /// Padding weights that read back changed; they have no effect on the network.
    pub padding_changed: u64,
    /// First 16 hex digits of the SHA-256 of the changed weights and their values.
    pub weights_hash: String,
    /// Images of the trial whose top-1 prediction is the label; 0 in a cell with metrics.
    pub correct: u64,
    /// Images of the trial whose top-1 prediction is that of the fault-free network; 0 in a cell with metrics.
    pub agree: u64,
    /// First 16 hex digits of the SHA-256 of the top-1 predictions of the trial's images in order; with metrics, of the
    /// scores.
    pub predictions_hash: String,
    /// Score of each metric of the cell, in order. Absent in JSON for cells without metrics.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<f64>,
    /// Counts on the trial's block of images. Absent, also in JSON, if every trial sees all images of the evaluation set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<BlockCounts>,
}

/// Counts of a trial that sees a block of the evaluation set ([`crate::EvaluationSet::images_per_trial`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockCounts {
    /// Images of the block that the fault-free network classifies correctly.
    pub clean_correct: u64,
    /// Images of the block that are classified correctly both without faults and in the trial.
    pub both_correct: u64,
}
