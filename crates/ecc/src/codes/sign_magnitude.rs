//! Blocks of signs and magnitudes, whose check bits replace high bits of small magnitudes or low bits of large ones.

use crate::BLOCK;
use crate::codes::matrix::Matrix;

/// The sign bits.
const SIGNS: u64 = 0x8080_8080_8080_8080;
/// Bits 6 and 5 of weights 0..=6: check bits of blocks where these weights are small.
pub(crate) const HIGH: u64 = 0x0060_6060_6060_6060;
/// Bits 1 and 0 of weights 0..=6: check bits of the other blocks, the *large* ones.
pub(crate) const LOW: u64 = 0x0003_0303_0303_0303;

/// A code whose words are a block and a marker beside it, which is set if the block is large.
#[derive(Debug)]
pub(crate) struct SignMagnitude {
    /// The matrix that has the check bits at [`HIGH`].
    pub(crate) small: Matrix,
    /// The matrix that has them at [`LOW`].
    pub(crate) large: Matrix,
    /// The marker's columns in them.
    pub(crate) marker: [u16; 2],
}

impl SignMagnitude {
    /// Syndrome of a word, in the first matrix.
    pub(crate) fn syndrome(&self, block: u64, large: bool) -> u16 {
        self.small.syndrome(block) ^ if large { self.marker[0] } else { 0 }
    }

    /// Word that stores a block's data bits, and whether the block is large.
    pub(crate) fn encode(&self, weights: &[i8; BLOCK]) -> (u64, bool) {
        let (data, large) = Self::data(weights);
        let check_bits = if large {
            self.large.check_bits(self.large.syndrome(data) ^ self.marker[1])
        } else {
            self.small.check_bits(self.small.syndrome(data))
        };
        (data | check_bits, large)
    }

    /// The bits of a block's data: signs and magnitudes, and whether the block is large. A 0 has no sign.
    pub(crate) fn data(weights: &[i8; BLOCK]) -> (u64, bool) {
        let magnitudes = u64::from_le_bytes(weights.map(|weight| weight.unsigned_abs().min(127)));
        let large = magnitudes & HIGH != 0;
        let magnitudes = magnitudes & !if large { LOW } else { HIGH };
        let mut bits = magnitudes.to_le_bytes();
        for (bit, weight) in bits.iter_mut().zip(weights) {
            *bit |= u8::from(*weight < 0 && *bit > 0) << 7;
        }
        (u64::from_le_bytes(bits), large)
    }

    /// The weights of a block's bits, which may be a code word's. Byte i is weight i.
    #[inline(always)]
    pub(crate) fn weights(bits: u64, large: bool) -> u64 {
        let data = bits & !(HIGH ^ (u64::from(large).wrapping_neg() & (HIGH ^ LOW)));
        // Minus m is the complement of m, plus 1. Without bit 7 the sum of a byte carries into none of the others.
        let negative = (data & SIGNS) >> 7;
        let magnitudes = data & !SIGNS;
        ((magnitudes ^ ((negative << 7) - negative)) + negative) ^ (data & SIGNS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_read_as_its_sign_and_magnitude_at_every_position() {
        for (byte, position, large) in
            (0..=255u8).flat_map(|b| (0..8).flat_map(move |p| [false, true].map(|large| (b, p, large))))
        {
            // The neighbours are of the other sign, and of the largest magnitude that is kept.
            let mut bytes = [if byte & 0x80 == 0 { 0xff } else { 0 }; BLOCK];
            bytes[position] = byte;
            let check_bits = match (position, large) {
                (7, _) => 0,
                (_, false) => 0x60,
                (_, true) => 0x03,
            };
            let magnitude = (byte & 0x7f & !check_bits).cast_signed();
            let expected = if byte & 0x80 == 0 { magnitude } else { -magnitude };
            let weights = SignMagnitude::weights(u64::from_le_bytes(bytes), large).to_le_bytes();
            assert_eq!(weights[position].cast_signed(), expected, "{byte:#x} at {position}, large: {large}");
        }
    }
}
