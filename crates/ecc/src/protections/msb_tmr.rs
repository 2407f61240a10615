use super::per_weight::WeightCode;
use crate::WordStatus;

/// The sign bit of a weight is stored three times, twice beside it, and the majority is read (triple modular redundancy
/// of the most significant bit). Flips of the seven other bits pass unseen. Check bits 2 i and 2 i + 1 belong to
/// weight i.
#[derive(Debug)]
pub(super) struct MsbTmr;

impl WeightCode for MsbTmr {
    const ID: &'static str = "msb-tmr";
    const DEFINITION: &'static str = "bit 7 three times";
    const CHECK_BITS: usize = 2;

    fn store(weight: i8) -> (u8, u8) {
        (weight.cast_unsigned(), if weight < 0 { 0b11 } else { 0 })
    }

    /// Copies that differ from bit 7.
    #[inline(always)]
    fn syndrome(byte: u8, checks: u8) -> u8 {
        checks ^ (0b11 * (byte >> 7))
    }

    #[inline(always)]
    fn read(byte: u8, syndrome: u8) -> (i8, WordStatus) {
        // Both copies differ from the bit, and outvote it.
        let flip = if syndrome == 0b11 { 0x80 } else { 0 };
        let status = if syndrome == 0 { WordStatus::Clean } else { WordStatus::Corrected };
        ((byte ^ flip).cast_signed(), status)
    }
}
