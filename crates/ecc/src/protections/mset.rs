use crate::{BLOCK, Constraint, MemoryImage, OutcomeLaw, Protection, WordShape, WordStatus};

/// The sign bit of a weight is stored three times, its copies in place of bits 1 and 0, and the majority is read (after
/// MSET of arXiv 2605.07417, which does it to floating-point weights). Lossy: bits 1 and 0 are read as 0, which moves
/// weights down by 1.5 in the mean, where `cep-8` moves them toward zero. Flips of the five other bits pass unseen.
#[derive(Clone, Copy, Debug)]
pub struct Mset;

/// Where the copies are.
const COPIES: u8 = 0b11;

impl Protection for Mset {
    fn id(&self) -> &'static str {
        "mset-8"
    }

    fn parameters(&self) -> String {
        "bit 7 three times, in bits 7, 1 and 0".into()
    }

    fn word(&self) -> WordShape {
        WordShape { weights: 1, check_bits: 0 }
    }

    fn constraint(&self) -> Constraint {
        Constraint::NONE
    }

    fn as_stored(&self, weights: [i8; BLOCK]) -> [i8; BLOCK] {
        weights.map(|weight| (weight.cast_unsigned() & !COPIES).cast_signed())
    }

    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize) {
        let bytes = self.as_stored(*weights).map(|w| w.cast_unsigned() | if w < 0 { COPIES } else { 0 });
        image.set_block(block, u64::from_le_bytes(bytes));
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        let syndrome = self.syndrome(image, word);
        // Both copies differ from the bit, and outvote it.
        let flip = if syndrome == 0b11 { 0x80 } else { 0 };
        weights[0] = (image.data()[word] & !COPIES ^ flip).cast_signed();
        if syndrome == 0 { WordStatus::Clean } else { WordStatus::Corrected }
    }

    /// Which copies differ from bit 7.
    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64 {
        let byte = image.data()[word];
        u64::from((byte ^ (COPIES * (byte >> 7))) & COPIES)
    }

    /// One: what a flip does depends on no bit's value.
    fn outcome_laws(&self) -> Option<Vec<OutcomeLaw>> {
        Some(vec![OutcomeLaw::of_weight(self, 0)])
    }
}
