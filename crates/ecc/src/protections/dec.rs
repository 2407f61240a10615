use std::sync::LazyLock;

use super::{powers_of_x, word};
use crate::codes::matrix::Matrix;
use crate::{BLOCK, Constraint, DuePolicy, LinearCode, MemoryImage, Protection, WordShape, WordStatus};

/// The sign bits.
const SIGNS: u64 = 0x8080_8080_8080_8080;
/// Bits 6 and 5 of weights 0..=6: check bits of blocks where these weights are small.
const HIGH: u64 = 0x0060_6060_6060_6060;
/// Bits 1 and 0 of weights 0..=6: check bits of the other blocks.
const LOW: u64 = 0x0003_0303_0303_0303;

/// DEC (64,50) inside a block of any eight weights, after VAPI (Lee and Yang, DATE 2022): the bits hold signs and
/// magnitudes, of which large ones are rare.
///
/// If weights 0..=6 have magnitudes below 32, the 14 check bits replace their magnitude bits 6 and 5. Other blocks are
/// *large*, and lose magnitude bits 1 and 0 of weights 0..=6 instead, which are read as 0. A marker beside the block, one
/// bit of 65, distinguishes the two. It is a data bit of the code, so a word is corrected before the marker is used. A
/// detected word is read as received, marker included.
///
/// The code is the BCH code (127,113,5) of which 65 bits are used, columns (x, x^3). It corrects all 2,145 patterns of
/// one and two flips. Of the 43,680 patterns of three it miscorrects 5,510 (12.6 %) and detects the others.
///
/// Lossy for large blocks; and -128, which has no magnitude of seven bits, is stored as -127.
#[derive(Clone, Copy, Debug)]
pub struct Dec;

struct Design {
    code: LinearCode,
    /// The matrices that have the check bits at [`HIGH`] and at [`LOW`].
    small: Matrix,
    large: Matrix,
    /// The marker's columns in them.
    marker: [u16; 2],
    /// By syndrome in the first: the bits to flip, the marker in bit 64; `None` where no two explain it.
    corrections: Vec<Option<u128>>,
}

static DESIGN: LazyLock<Design> = LazyLock::new(|| {
    // Bit i holds the element x^i of GF(2^7); the marker is bit 64.
    let powers = powers_of_x(0x89); // x^7 + x^3 + 1
    let with_checks = |mask: u64| {
        let columns = (0..65).map(|i| powers[i] | powers[3 * i % 127] << 7).collect();
        LinearCode::systematic(columns, (0..64).filter(|bit| mask >> bit & 1 == 1).collect(), 2)
    };
    let codes = [HIGH, LOW].map(with_checks);
    let bits: Vec<usize> = (0..65).collect();
    let [small, large] = [0, 1].map(|i| Matrix::new(&codes[i], &bits, 64, [0, 0]));
    let marker = [0, 1].map(|i| codes[i].columns()[64]);
    let [code, _] = codes;
    let mut corrections = vec![None; 1 << code.check_positions().len()];
    corrections[0] = Some(0);
    for (syndrome, flips) in code.correctable() {
        corrections[usize::from(syndrome)] = Some(flips);
    }
    Design { code, small, large, marker, corrections }
});

impl Dec {
    /// Bits 0..64 are the block, bit 64 its marker; check bits where small blocks have them.
    pub fn code() -> LinearCode {
        DESIGN.code.clone()
    }
}

/// The bits of a block's data: signs and magnitudes, and whether the block is large. A 0 has no sign.
fn data(weights: &[i8; BLOCK]) -> (u64, bool) {
    let magnitudes = word(&weights.map(|weight| weight.unsigned_abs().min(127).cast_signed()));
    let large = magnitudes & HIGH != 0;
    let magnitudes = magnitudes & !if large { LOW } else { HIGH };
    let mut bits = magnitudes.to_le_bytes();
    for (bit, weight) in bits.iter_mut().zip(weights) {
        *bit |= u8::from(*weight < 0 && *bit > 0) << 7;
    }
    (u64::from_le_bytes(bits), large)
}

/// The weights of a block's bits, which may be a code word's.
fn weights(bits: u64, large: bool) -> [i8; BLOCK] {
    let data = bits & !if large { LOW } else { HIGH };
    let signs = (data & SIGNS).to_le_bytes();
    let mut weights = (data & !SIGNS).to_le_bytes().map(u8::cast_signed);
    for (weight, sign) in weights.iter_mut().zip(signs) {
        *weight = if sign == 0 { *weight } else { -*weight };
    }
    weights
}

impl Protection for Dec {
    fn id(&self) -> &'static str {
        "dec-64-50"
    }

    fn definition(&self) -> String {
        format!("sign-magnitude, marker, columns {}", DESIGN.code.columns_hex())
    }

    fn word(&self) -> WordShape {
        WordShape { weights: BLOCK, check_bits: 1 }
    }

    fn constraint(&self) -> Constraint {
        Constraint::NONE
    }

    fn due_policies(&self) -> &'static [DuePolicy] {
        &DuePolicy::ALL
    }

    fn as_stored(&self, block: [i8; BLOCK]) -> [i8; BLOCK] {
        let (data, large) = data(&block);
        weights(data, large)
    }

    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize) {
        let (data, large) = data(weights);
        let bits = if large {
            data | DESIGN.large.check_bits(DESIGN.large.syndrome(data) ^ DESIGN.marker[1])
        } else {
            data | DESIGN.small.check_bits(DESIGN.small.syndrome(data))
        };
        image.set_block(block, bits);
        image.set_check_word(block, 1, large.into());
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, read: &mut [i8]) -> WordStatus {
        let marker = image.check_word(word, 1);
        let syndrome = self.syndrome(image, word) as usize;
        let (flips, status) = match (syndrome, DESIGN.corrections[syndrome]) {
            (0, _) => (0, WordStatus::Clean),
            (_, Some(flips)) => (flips, WordStatus::Corrected),
            (_, None) => (0, WordStatus::Detected),
        };
        let large = (marker ^ (flips >> 64) as u64) == 1;
        read.copy_from_slice(&weights(image.block(word) ^ flips as u64, large));
        status
    }

    /// In the matrix with check bits where small blocks have them.
    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64 {
        let marker = if image.check_word(word, 1) == 1 { DESIGN.marker[0] } else { 0 };
        (DESIGN.small.syndrome(image.block(word)) ^ marker).into()
    }

    // No outcome distributions: whether a word is right depends on more weights than a few classes can tell. The sign of a 0
    // is never read, and a wrong marker changes only weights with ones among the bits that the marker exchanges.
}
