use super::{store, word};
use crate::fold::{IN_PLACE_CHECKS, copy_signs, in_place_column, in_place_encode, in_place_syndrome};
use crate::kernel::Code;
use crate::{
    BLOCK, Constraint, Dense, DuePolicy, Kernel, LinearCode, MemoryImage, OutcomeLaw, Protection, WordShape,
    WordStatus,
};

/// The paper's protection: SEC-DED (64,57) inside a block of eight weights, its seven check bits on
/// bit 6 of weights 0..=6, which small weights do not need. After decoding, bit 6 := bit 7 there; that
/// holds for detected words too, which are otherwise read as they are stored.
#[derive(Clone, Debug)]
pub struct InPlace {
    /// By syndrome: the cell to flip, for the 64 odd-weight syndromes; 0 for the others.
    flips: [u64; 128],
    kernel: Kernel,
}

impl InPlace {
    /// Cells are the bits of the block.
    pub fn code() -> LinearCode {
        let check_cells = (0..64).filter(|cell| IN_PLACE_CHECKS >> cell & 1 == 1).collect();
        LinearCode::new((0..64).map(|cell| in_place_column(cell).into()).collect(), check_cells, 1)
    }

    /// With a given form of the dense loops.
    pub fn new(kernel: Kernel) -> Self {
        let mut flips = [0; 128];
        for cell in 0..64 {
            flips[usize::from(in_place_column(cell))] = 1 << cell;
        }
        Self { flips, kernel }
    }
}

impl Protection for InPlace {
    fn id(&self) -> &'static str {
        "in-place-64-57"
    }

    fn parameters(&self) -> String {
        format!("columns {} due keep", Self::code().columns_hex())
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

    fn outcome_laws(&self) -> Option<Vec<OutcomeLaw>> {
        Some(vec![Self::code().outcome_law()])
    }

    fn dense(&self) -> Option<Dense> {
        Some(Dense::new(self.kernel, Code::InPlace))
    }
}
