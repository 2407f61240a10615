use super::{store, word};
use crate::codes::fold::{secded_check, secded_column};
use crate::dense::Code;
use crate::{
    BLOCK, Constraint, Dense, DuePolicy, Kernel, LinearCode, MemoryImage, OutcomeDistribution, Protection,
    WordShape, WordStatus,
};

/// SEC-DED (72,64): a check byte beside each block of eight weights. A detected word is read as received.
#[derive(Clone, Debug)]
pub struct SecDed {
    /// Bit to flip for each syndrome, 0..64 in the block and 64..72 in the check byte.
    bits: [Option<u8>; 256],
    kernel: Kernel,
}

impl SecDed {
    /// Code whose bits 0..64 are the block and whose bits 64..72 are its check byte.
    pub fn code() -> LinearCode {
        let columns = (0..64).map(|bit| secded_column(bit).into()).chain((0..8).map(|j| 1 << j)).collect();
        LinearCode::new(columns, (64..72).collect(), 1)
    }

    /// Makes the protection with a given form of the dense loops.
    pub fn new(kernel: Kernel) -> Self {
        let mut bits = [None; 256];
        for (bit, &column) in (0..).zip(Self::code().columns()) {
            bits[usize::from(column)] = Some(bit);
        }
        Self { bits, kernel }
    }
}

impl Protection for SecDed {
    fn id(&self) -> &'static str {
        "secded-72-64"
    }

    fn definition(&self) -> String {
        format!("columns {}", Self::code().columns_hex())
    }

    fn word(&self) -> WordShape {
        WordShape { weights: BLOCK, check_bits: 8 }
    }

    fn constraint(&self) -> Constraint {
        Constraint::NONE
    }

    fn due_policies(&self) -> &'static [DuePolicy] {
        &DuePolicy::ALL
    }

    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize) {
        image.set_block(block, word(weights));
        image.set_check_word(block, 8, secded_check(word(weights)).into());
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        let block = image.block(word);
        let syndrome = self.syndrome(image, word);
        let (block, status) = match (syndrome, self.bits[syndrome as usize]) {
            (0, _) => (block, WordStatus::Clean),
            (_, Some(bit @ 0..64)) => (block ^ 1 << bit, WordStatus::Corrected),
            (_, Some(_)) => (block, WordStatus::Corrected),
            (_, None) => (block, WordStatus::Detected),
        };
        store(block, weights);
        status
    }

    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64 {
        (secded_check(image.block(word)) ^ image.check()[word]).into()
    }

    fn outcome_distributions(&self) -> Option<Vec<OutcomeDistribution>> {
        Some(vec![Self::code().outcome_distribution()])
    }

    fn dense(&self) -> Option<Dense<'_>> {
        Some(Dense::new(self.kernel, Code::SecDed))
    }
}
