use std::sync::LazyLock;

use super::{powers_of_x, store};
use crate::codes::matrix::Matrix;
use crate::codes::sign_magnitude::{HIGH, LOW, SignMagnitude};
use crate::dense::Code;
use crate::{
    BLOCK, Constraint, Dense, DuePolicy, Kernel, LinearCode, MemoryImage, Protection, WordShape, WordStatus,
};

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
pub struct Dec {
    kernel: Kernel,
}

struct Design {
    code: LinearCode,
    words: SignMagnitude,
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
    Design { code, words: SignMagnitude { small, large, marker }, corrections }
});

impl Dec {
    /// Makes the protection with a given form of the dense loops.
    pub fn new(kernel: Kernel) -> Self {
        Self { kernel }
    }

    /// Bits 0..64 are the block, bit 64 its marker; check bits where small blocks have them.
    pub fn code() -> LinearCode {
        DESIGN.code.clone()
    }
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
        let (data, large) = SignMagnitude::data(&block);
        SignMagnitude::weights(data, large).to_le_bytes().map(u8::cast_signed)
    }

    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize) {
        let (bits, large) = DESIGN.words.encode(weights);
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
        store(SignMagnitude::weights(image.block(word) ^ flips as u64, large), read);
        status
    }

    /// In the matrix with check bits where small blocks have them.
    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64 {
        DESIGN.words.syndrome(image.block(word), image.check_word(word, 1) == 1).into()
    }

    fn dense(&self) -> Option<Dense<'_>> {
        Some(Dense::new(self.kernel, Code::SignMagnitude(&DESIGN.words)))
    }

    // No outcome distributions: whether a word is right depends on more weights than a few classes can tell. The sign of a 0
    // is never read, and a wrong marker changes only weights with ones among the bits that the marker exchanges.
}
