use super::per_weight::WeightCode;
use crate::WordStatus;

/// The sign bit of a weight is stored three times, its copies in place of bits 1 and 0, and the majority is read (after
/// MSET of arXiv 2605.07417, which does it to floating-point weights). Lossy: bits 1 and 0 are read as 0, which moves
/// weights down by 1.5 in the mean, where `cep-8` moves them toward zero. Flips of the five other bits pass unseen.
#[derive(Debug)]
pub(super) struct Mset;

/// Bits of the copies.
const COPIES: u8 = 0b11;

impl WeightCode for Mset {
    const ID: &'static str = "mset-8";
    const DEFINITION: &'static str = "bit 7 three times, in bits 7, 1 and 0";

    fn store(weight: i8) -> (u8, u8) {
        let kept = weight.cast_unsigned() & !COPIES;
        (if weight < 0 { kept | COPIES } else { kept }, 0)
    }

    /// Copies that differ from bit 7.
    #[inline(always)]
    fn syndrome(byte: u8, _: u8) -> u8 {
        (byte ^ (COPIES * (byte >> 7))) & COPIES
    }

    #[inline(always)]
    fn read(byte: u8, syndrome: u8) -> (i8, WordStatus) {
        // Both copies differ from the bit, and outvote it.
        let flip = if syndrome == 0b11 { 0x80 } else { 0 };
        let status = if syndrome == 0 { WordStatus::Clean } else { WordStatus::Corrected };
        ((byte & !COPIES ^ flip).cast_signed(), status)
    }
}
