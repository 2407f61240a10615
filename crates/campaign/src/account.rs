use std::fmt;

use ecc::WordStatus;

/// Outcome of decoding a code word with a flipped bit, beside the original. A word is right if it is read as a memory
/// without faults is ([`ecc::Protection::as_stored`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordOutcome {
    /// The word passes as clean and is read right.
    Harmless,
    /// The word is corrected rightly (CE).
    Corrected,
    /// The word is declared uncorrectable (DUE), whatever is read.
    Detected,
    /// The word is corrected to something that was never stored.
    Miscorrected,
    /// The word passes as clean and is read wrong (SDC).
    Silent,
}

impl WordOutcome {
    /// Outcome of a word with a decoder's status, which is read right or wrong.
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
    /// Number of the word's region.
    pub region: usize,
    /// Number of the word in the region.
    pub word: u64,
    /// Index of the word's first byte in the region.
    pub first: usize,
    /// Weights, or other bytes, that were stored, as they are read without faults.
    pub weights: Vec<i8>,
    /// Stored bytes before the flips, check bits inside included.
    pub stored: Vec<u8>,
    /// Stored bytes after the flips.
    pub received: Vec<u8>,
    /// Flipped bits of the bytes, as offsets into the region's bytes.
    pub data_flips: Vec<u64>,
    /// Flipped check bits, as offsets into the region's check bits.
    pub check_flips: Vec<u64>,
    /// [`ecc::Protection::syndrome`] of the received word.
    pub syndrome: u64,
    /// Outcome of decoding the word.
    pub outcome: WordOutcome,
    /// Weights, or other bytes, that were read.
    pub read: Vec<i8>,
}
