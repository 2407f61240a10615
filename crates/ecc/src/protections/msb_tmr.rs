use super::word;
use crate::{BLOCK, Constraint, MemoryImage, OutcomeLaw, Protection, WordShape, WordStatus};

/// The sign bit of a weight is stored three times, twice beside it, and the majority is read (triple modular redundancy
/// of the most significant bit). Flips of the seven other bits pass unseen. Check cells 2 i and 2 i + 1 belong to
/// weight i.
#[derive(Clone, Copy, Debug)]
pub struct MsbTmr;

impl Protection for MsbTmr {
    fn id(&self) -> &'static str {
        "msb-tmr"
    }

    fn parameters(&self) -> String {
        "bit 7 three times".into()
    }

    fn word(&self) -> WordShape {
        WordShape { weights: 1, check_bits: 2 }
    }

    fn constraint(&self) -> Constraint {
        Constraint::NONE
    }

    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize) {
        let copies = weights.iter().enumerate();
        let copies =
            copies.fold(0, |copies, (i, weight)| copies | if *weight < 0 { 0b11 << (2 * i) } else { 0 });
        image.set_block(block, word(weights));
        image.set_check_word(block, 2 * BLOCK, copies);
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        let received = image.data()[word];
        // Both copies differ from the bit, and outvote it.
        let flip = if self.syndrome(image, word) == 0b11 { 0x80 } else { 0 };
        weights[0] = (received ^ flip).cast_signed();
        match self.syndrome(image, word) {
            0 => WordStatus::Clean,
            _ => WordStatus::Corrected,
        }
    }

    /// Which copies differ from bit 7.
    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64 {
        image.check_word(word, 2) ^ (0b11 * u64::from(image.data()[word] >> 7))
    }

    /// One: what a flip does depends on no bit's value.
    fn outcome_laws(&self) -> Option<Vec<OutcomeLaw>> {
        Some(vec![OutcomeLaw::of_weight(self, 0)])
    }
}
