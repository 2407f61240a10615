use std::collections::BTreeMap;
use std::fmt;

use ecc::{BLOCK, WordStatus};
use inject::FaultPattern;

use crate::StoredNetwork;

/// What became of a code word with a flipped cell, as one knows who has the original. Right is what a memory without
/// faults reads back ([`ecc::Protection::as_stored`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordOutcome {
    /// Passed as clean, and read back right.
    Harmless,
    /// Changed, and rightly so (CE).
    Corrected,
    /// Declared uncorrectable (DUE), whatever it reads as.
    Detected,
    /// Changed to something that was never stored.
    Miscorrected,
    /// Passed as clean although it reads back wrong (SDC).
    Silent,
}

impl WordOutcome {
    /// What a decoder's answer means, given whether the word read back right.
    pub(crate) fn new(status: WordStatus, right: bool) -> Self {
        match (status, right) {
            (WordStatus::Clean, true) => Self::Harmless,
            (WordStatus::Clean, false) => Self::Silent,
            (WordStatus::Corrected, true) => Self::Corrected,
            (WordStatus::Corrected, false) => Self::Miscorrected,
            (WordStatus::Detected, _) => Self::Detected,
        }
    }
}

impl fmt::Display for WordOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Harmless => "harmless",
            Self::Corrected => "corrected",
            Self::Detected => "detected",
            Self::Miscorrected => "miscorrected",
            Self::Silent => "silent",
        })
    }
}

/// All that happened to one code word in a trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordAccount {
    /// Number of the word in the memory.
    pub word: u64,
    /// Plane index of its first weight.
    pub first: usize,
    /// The weights that were stored, as they read back without faults.
    pub weights: Vec<i8>,
    /// The bytes that hold them, check bits inside included, before the flips.
    pub stored: Vec<u8>,
    /// The same bytes after the flips.
    pub received: Vec<u8>,
    /// Flipped cells of the data plane, as offsets into it.
    pub data_flips: Vec<u64>,
    /// Flipped cells of the check plane, as offsets into it.
    pub check_flips: Vec<u64>,
    /// [`ecc::Protection::syndrome`] of what was received.
    pub syndrome: u64,
    /// What became of it.
    pub outcome: WordOutcome,
    /// The weights that were read.
    pub read: Vec<i8>,
}

impl StoredNetwork<'_> {
    /// Goes through the words that a pattern hits, one by one, in the order of memory; slowly, and by another way
    /// than [`StoredNetwork::trial`]. The entries of an exception list are in an account of their own
    /// ([`StoredNetwork::memories`]).
    ///
    /// # Panics
    /// When the pattern flips cells that the memory does not have.
    pub fn account(&self, pattern: &FaultPattern) -> Vec<WordAccount> {
        let shape = self.protection().word();
        let mut hit: BTreeMap<u64, [Vec<u64>; 2]> = BTreeMap::new();
        let planes = [(&pattern.data, 8 * shape.weights), (&pattern.check, shape.check_bits)];
        for (plane, (offsets, cells)) in planes.into_iter().enumerate() {
            for &offset in offsets {
                hit.entry(offset / cells as u64).or_default()[plane].push(offset);
            }
        }
        hit.into_iter().map(|(word, [data, check])| self.account_of(word, data, check)).collect()
    }

    fn account_of(&self, word: u64, data_flips: Vec<u64>, check_flips: Vec<u64>) -> WordAccount {
        let (protection, shape) = (self.protection(), self.protection().word());
        let first = word as usize * shape.weights;
        let block = first / BLOCK;
        let plane = &self.network().plane;
        let mut memory = self.stored(block as u64);
        let bytes = first % BLOCK..first % BLOCK + shape.weights;
        let stored = memory.data()[bytes.clone()].to_vec();

        let [data_cells, check_cells] = self.cells_of_block();
        data_flips.iter().for_each(|offset| memory.flip_data(offset - block as u64 * data_cells));
        check_flips.iter().for_each(|offset| memory.flip_check(offset - block as u64 * check_cells));
        let in_block = bytes.start / shape.weights;
        let mut read = vec![0; shape.weights];
        let status = protection.decode_word(&memory, in_block, &mut read);
        let as_stored = protection.as_stored(plane.as_chunks().0[block]);
        let weights = as_stored[bytes.clone()].to_vec();
        WordAccount {
            word,
            first,
            outcome: WordOutcome::new(status, read == weights),
            weights,
            stored,
            received: memory.data()[bytes].to_vec(),
            data_flips,
            check_flips,
            syndrome: protection.syndrome(&memory, in_block),
            read,
        }
    }
}
