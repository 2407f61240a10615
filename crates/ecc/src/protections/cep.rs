use crate::{BLOCK, Constraint, MemoryImage, OutcomeLaw, Protection, WordShape, WordStatus};

/// Weights as sign and magnitude, in two chunks with an even-parity bit each: bits 7, 6 and 5 with theirs in bit 1, bits 4,
/// 3 and 2 with theirs in bit 0. A chunk whose parity does not match is read as 0 (after CEP of arXiv 2605.07417, which does
/// it to floating-point weights). Lossy: bits 1 and 0 of the magnitude are read as 0, -128 as -124.
#[derive(Clone, Copy, Debug)]
pub struct Cep;

/// Sign and the two upper bits of the magnitude; their parity is in bit 1.
const UPPER: u8 = 0b1110_0000;
/// The three bits below; their parity is in bit 0.
const LOWER: u8 = 0b0001_1100;

impl Protection for Cep {
    fn id(&self) -> &'static str {
        "cep-8"
    }

    fn parameters(&self) -> String {
        "sign and magnitude, even parity of bits 5..=7 in bit 1 and of bits 2..=4 in bit 0".into()
    }

    fn word(&self) -> WordShape {
        WordShape { weights: 1, check_bits: 0 }
    }

    fn constraint(&self) -> Constraint {
        Constraint::NONE
    }

    fn as_stored(&self, weights: [i8; BLOCK]) -> [i8; BLOCK] {
        weights.map(|weight| value(code_word(weight)))
    }

    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize) {
        image.set_block(block, u64::from_le_bytes(weights.map(code_word)));
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        let received = image.data()[word];
        let (kept, status) = match self.syndrome(image, word) {
            0 => (received, WordStatus::Clean),
            0b10 => (received & LOWER, WordStatus::Detected),
            0b01 => (received & UPPER, WordStatus::Detected),
            _ => (0, WordStatus::Detected),
        };
        weights[0] = value(kept);
        status
    }

    /// Bit 1 for the upper chunk, bit 0 for the lower.
    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64 {
        u64::from((image.data()[word] ^ parities(image.data()[word])) & 0b11)
    }

    /// Four: a chunk that is stored as 0 survives a mismatch, and whether that is so matters of each.
    fn outcome_laws(&self) -> Option<Vec<OutcomeLaw>> {
        Some([0, 4, 32, 36].map(|weight| OutcomeLaw::of_weight(self, weight)).into())
    }

    fn law_of(&self, weights: &[i8]) -> usize {
        let word = code_word(weights[0]);
        2 * usize::from(word & UPPER != 0) + usize::from(word & LOWER != 0)
    }
}

/// The byte that stores a weight. There is no negative zero.
fn code_word(weight: i8) -> u8 {
    let magnitude = weight.unsigned_abs().min(127) & (UPPER | LOWER);
    let sign = if weight < 0 && magnitude != 0 { 0x80 } else { 0 };
    sign | magnitude | parities(sign | magnitude)
}

/// The parities of both chunks, where they belong.
fn parities(byte: u8) -> u8 {
    let parity = |chunk: u8| ((byte & chunk).count_ones() & 1) as u8;
    parity(UPPER) << 1 | parity(LOWER)
}

/// The weight that a byte stands for.
fn value(byte: u8) -> i8 {
    let magnitude = (byte & 0x7f & (UPPER | LOWER)).cast_signed();
    if byte & 0x80 == 0 { magnitude } else { -magnitude }
}
