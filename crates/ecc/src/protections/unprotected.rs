use super::word;
use crate::dense::Code;
use crate::{
    BLOCK, Constraint, Dense, Kernel, MemoryImage, OutcomeDistribution, Protection, WordShape, WordStatus,
};

/// No protection: a weight is its own word, and every flip is silent.
#[derive(Clone, Copy, Debug)]
pub struct Unprotected {
    kernel: Kernel,
}

impl Unprotected {
    /// Makes the protection with a given form of the dense loops.
    pub fn new(kernel: Kernel) -> Self {
        Self { kernel }
    }
}

impl Protection for Unprotected {
    fn id(&self) -> &'static str {
        "faulty"
    }

    fn definition(&self) -> String {
        String::new()
    }

    fn word(&self) -> WordShape {
        WordShape { weights: 1, check_bits: 0 }
    }

    fn constraint(&self) -> Constraint {
        Constraint::NONE
    }

    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize) {
        image.set_block(block, word(weights));
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        weights[0] = image.data()[word].cast_signed();
        WordStatus::Clean
    }

    fn syndrome(&self, _: &MemoryImage, _: usize) -> u64 {
        0
    }

    fn outcome_distributions(&self) -> Option<Vec<OutcomeDistribution>> {
        Some(vec![OutcomeDistribution::of_weight(self, 0)])
    }

    fn dense(&self) -> Option<Dense<'_>> {
        Some(Dense::new(self.kernel, Code::Unprotected))
    }
}
