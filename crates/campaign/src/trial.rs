use design::TrialRecord;
use graph::WeightChange;
use inject::FaultPattern;

use crate::evaluation::Score;

/// Result of decoding one trial's faults; input to the evaluator.
#[derive(Debug, Default)]
pub struct Trial {
    /// Flipped bits.
    pub pattern: FaultPattern,
    /// Number of code words with a flipped bit.
    pub words_hit: u64,
    /// Number of words corrected rightly.
    pub corrected: u64,
    /// Number of words declared uncorrectable (DUE).
    pub detected: u64,
    /// Number of words corrected wrongly.
    pub miscorrected: u64,
    /// Number of words that pass as clean and are read wrong (SDC).
    pub silent: u64,
    /// Weights that the network reads with other values than its own, in memory order: those of words that were hit,
    /// and storage losses in other words ([`crate::StoredNetwork::losses`]).
    pub changes: Vec<WeightChange>,
    /// Number of padding weights that are read with another value than 0.
    pub padding_changed: u64,
}

impl Trial {
    /// Number of flips and of changed weights: the size of the trial.
    pub(crate) fn flips(&self) -> usize {
        self.pattern.data.len() + self.pattern.check.len() + self.changes.len()
    }

    /// First 16 hex digits of the SHA-256 of the flipped offsets, as records have it.
    pub fn pattern_hash(&self) -> String {
        let [data, check] =
            [&self.pattern.data, &self.pattern.check].map(|p| p.iter().map(|o| o.to_le_bytes()));
        hash(data.chain([u64::MAX.to_le_bytes()]).chain(check))
    }

    /// First 16 hex digits of the SHA-256 of the changed weights and their values, as records have it.
    pub fn weights_hash(&self) -> String {
        hash(self.changes.iter().map(|change| {
            let mut bytes = [0; 17];
            bytes[..8].copy_from_slice(&(change.tensor as u64).to_le_bytes());
            bytes[8..16].copy_from_slice(&(change.index as u64).to_le_bytes());
            bytes[16] = change.value.cast_unsigned();
            bytes
        }))
    }

    pub(crate) fn record(self, trial: u64, score: Score) -> TrialRecord {
        let Score { correct, agree, hash: predictions_hash, scores, block } = score;
        let (pattern_hash, weights_hash) = (self.pattern_hash(), self.weights_hash());
        TrialRecord {
            trial,
            flips_data: self.pattern.data.len() as u64,
            flips_check: self.pattern.check.len() as u64,
            pattern_hash,
            words_hit: self.words_hit,
            corrected: self.corrected,
            detected: self.detected,
            miscorrected: self.miscorrected,
            silent: self.silent,
            weights_changed: self.changes.len() as u64,
            padding_changed: self.padding_changed,
            weights_hash,
            correct,
            agree,
            predictions_hash,
            scores,
            block,
        }
    }
}

/// First 16 hex digits of a SHA-256.
pub(crate) fn hash<const N: usize>(pieces: impl Iterator<Item = [u8; N]>) -> String {
    // In one piece: feeding it in small ones costs more than the hash.
    let pieces: Vec<[u8; N]> = pieces.collect();
    durable::sha256_hex(pieces.as_flattened())[..16].into()
}
