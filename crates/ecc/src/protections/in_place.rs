use super::{store, word};
use crate::codes::fold::{IN_PLACE_CHECKS, copy_signs, in_place_column, in_place_encode, in_place_syndrome};
use crate::dense::Code;
use crate::{
    BLOCK, Constraint, Dense, DuePolicy, Kernel, LinearCode, MemoryImage, OutcomeDistribution, Protection,
    WordShape, WordStatus,
};

/// The paper's protection: SEC-DED (64,57) inside a block of eight weights. Its seven check bits replace bit 6 of weights
/// 0..=6, which equals bit 7 in small weights. After decoding, bit 6 := bit 7 in these weights. A detected word is read as
/// received, with bit 6 rebuilt.
#[derive(Clone, Debug)]
pub struct InPlace {
    /// Mask of the bit to flip for each of the 64 syndromes of odd weight; 0 for the others.
    flips: [u64; 128],
    kernel: Kernel,
}

impl InPlace {
    /// Code whose bits are the bits of the block.
    pub fn code() -> LinearCode {
        let check_positions = (0..64).filter(|bit| IN_PLACE_CHECKS >> bit & 1 == 1).collect();
        LinearCode::new((0..64).map(|bit| in_place_column(bit).into()).collect(), check_positions, 1)
    }

    /// Makes the protection with a given form of the dense loops.
    pub fn new(kernel: Kernel) -> Self {
        let mut flips = [0; 128];
        for bit in 0..64 {
            flips[usize::from(in_place_column(bit))] = 1 << bit;
        }
        Self { flips, kernel }
    }
}

impl Protection for InPlace {
    fn id(&self) -> &'static str {
        "in-place-64-57"
    }

    fn definition(&self) -> String {
        format!("columns {}", Self::code().columns_hex())
    }

    fn word(&self) -> WordShape {
        WordShape { weights: BLOCK, check_bits: 0 }
    }

    fn constraint(&self) -> Constraint {
        Constraint::WOT
    }

    fn due_policies(&self) -> &'static [DuePolicy] {
        &DuePolicy::ALL
    }

    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize) {
        image.set_block(block, in_place_encode(word(weights)));
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        let block = image.block(word);
        let syndrome = in_place_syndrome(block);
        let flip = self.flips[usize::from(syndrome)];
        store(copy_signs(block ^ flip), weights);
        match (syndrome, flip) {
            (0, _) => WordStatus::Clean,
            (_, 0) => WordStatus::Detected,
            _ => WordStatus::Corrected,
        }
    }

    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64 {
        in_place_syndrome(image.block(word)).into()
    }

    fn outcome_distributions(&self) -> Option<Vec<OutcomeDistribution>> {
        Some(vec![Self::code().outcome_distribution()])
    }

    fn dense(&self) -> Option<Dense<'_>> {
        Some(Dense::new(self.kernel, Code::InPlace))
    }
}
