use super::per_weight::{WeightCode, parity};
use crate::WordStatus;

/// Weights as sign and magnitude, in two chunks with an even-parity bit each: bits 7, 6 and 5 with theirs in bit 1, bits 4,
/// 3 and 2 with theirs in bit 0. A chunk whose parity does not match is read as 0 (after CEP of arXiv 2605.07417, which does
/// it to floating-point weights). Lossy: bits 1 and 0 of the magnitude are read as 0, -128 as -124.
#[derive(Debug)]
pub(super) struct Cep;

/// Sign and the two upper bits of the magnitude; their parity is in bit 1.
const UPPER: u8 = 0b1110_0000;
/// The three bits below; their parity is in bit 0.
const LOWER: u8 = 0b0001_1100;

impl WeightCode for Cep {
    const ID: &'static str = "cep-8";
    const DEFINITION: &'static str =
        "sign and magnitude, even parity of bits 5..=7 in bit 1 and of bits 2..=4 in bit 0";
    /// A chunk that is stored as 0 survives a mismatch, so each chunk is 0 or not.
    const CLASSES: &'static [i8] = &[0, 4, 32, 36];

    /// There is no negative zero.
    fn store(weight: i8) -> (u8, u8) {
        let magnitude = weight.unsigned_abs().min(127) & (UPPER | LOWER);
        let sign = if weight < 0 && magnitude != 0 { 0x80 } else { 0 };
        (sign | magnitude | parities(sign | magnitude), 0)
    }

    /// Bit 1 for the upper chunk, bit 0 for the lower.
    #[inline(always)]
    fn syndrome(byte: u8, _: u8) -> u8 {
        (byte ^ parities(byte)) & 0b11
    }

    #[inline(always)]
    fn read(byte: u8, syndrome: u8) -> (i8, WordStatus) {
        let upper = if syndrome & 0b10 == 0 { byte & UPPER } else { 0 };
        let lower = if syndrome & 0b01 == 0 { byte & LOWER } else { 0 };
        let status = if syndrome == 0 { WordStatus::Clean } else { WordStatus::Detected };
        let magnitude = (upper & 0x7f | lower).cast_signed();
        (if upper & 0x80 == 0 { magnitude } else { -magnitude }, status)
    }

    fn class_of(weight: i8) -> usize {
        let (byte, _) = Self::store(weight);
        2 * usize::from(byte & UPPER != 0) + usize::from(byte & LOWER != 0)
    }
}

/// Parities of both chunks, at their bits.
#[inline(always)]
fn parities(byte: u8) -> u8 {
    parity(byte & UPPER) << 1 | parity(byte & LOWER)
}
