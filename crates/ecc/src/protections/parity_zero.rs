use super::word;
use crate::codes::fold::weight_parities;
use crate::dense::Code;
use crate::{
    BLOCK, Constraint, Dense, Kernel, MemoryImage, OutcomeDistribution, Protection, WordShape, WordStatus,
};

/// One even-parity bit for each weight; a weight whose parity does not match is read as zero (the paper's "Parity
/// Zero"). Check bit i belongs to weight i.
#[derive(Clone, Copy, Debug)]
pub struct ParityZero {
    kernel: Kernel,
}

impl ParityZero {
    /// Makes the protection with a given form of the dense loops.
    pub fn new(kernel: Kernel) -> Self {
        Self { kernel }
    }
}

impl Protection for ParityZero {
    fn id(&self) -> &'static str {
        "parity-zero"
    }

    fn definition(&self) -> String {
        "even".into()
    }

    fn word(&self) -> WordShape {
        WordShape { weights: 1, check_bits: 1 }
    }

    fn constraint(&self) -> Constraint {
        Constraint::NONE
    }

    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize) {
        image.set_block(block, word(weights));
        image.set_check_word(block, 8, weight_parities(word(weights)).into());
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        if self.syndrome(image, word) == 0 {
            weights[0] = image.data()[word].cast_signed();
            WordStatus::Clean
        } else {
            weights[0] = 0;
            WordStatus::Detected
        }
    }

    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64 {
        (u64::from(image.data()[word].count_ones()) ^ image.check_word(word, 1)) & 1
    }

    /// There are two classes: weights that are not zero, and zeros, which a mismatch leaves as they are.
    fn outcome_distributions(&self) -> Option<Vec<OutcomeDistribution>> {
        Some([1, 0].map(|weight| OutcomeDistribution::of_weight(self, weight)).into())
    }

    fn class_of(&self, weights: &[i8]) -> usize {
        usize::from(weights == [0])
    }

    fn dense(&self) -> Option<Dense<'_>> {
        Some(Dense::new(self.kernel, Code::WeightParity))
    }
}
