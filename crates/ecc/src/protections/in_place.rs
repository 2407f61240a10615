use super::{blocks, store};
use crate::fold::{IN_PLACE_CHECKS, copy_signs, in_place_column, in_place_encode, in_place_syndrome};
use crate::{BLOCK, Constraint, LinearCode, MemoryImage, Protection, WordShape, WordStatus};

/// The paper's protection: SEC-DED (64,57) inside a block of eight weights, its seven check bits on
/// bit 6 of weights 0..=6, which small weights do not need. After decoding, bit 6 := bit 7 there; that
/// holds for detected words too, which are otherwise read as they are stored.
#[derive(Clone, Debug)]
pub struct InPlace {
    /// By syndrome: the cell to flip, for the 64 odd-weight syndromes; 0 for the others.
    flips: [u64; 128],
}

impl InPlace {
    /// Cells are the bits of the block.
    pub fn code() -> LinearCode {
        let check_cells = (0..64).filter(|cell| IN_PLACE_CHECKS >> cell & 1 == 1).collect();
        LinearCode::new((0..64).map(in_place_column).collect(), check_cells)
    }

    /// The working codec.
    pub fn new() -> Self {
        let mut flips = [0; 128];
        for cell in 0..64 {
            flips[usize::from(in_place_column(cell))] = 1 << cell;
        }
        Self { flips }
    }
}

impl Default for InPlace {
    fn default() -> Self {
        Self::new()
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

    fn encode_plane(&self, plane: &[i8]) -> MemoryImage {
        let data = blocks(plane).flat_map(|block| in_place_encode(block).to_le_bytes()).collect();
        MemoryImage::new(data, Vec::new())
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
}
