use std::sync::Arc;

use super::{store, word};
use crate::codes::matrix::Matrix;
use crate::dense::Code;
use crate::{
    BLOCK, Constraint, Dense, DuePolicy, Kernel, LinearCode, MemoryImage, OutcomeDistribution, Protection,
    WordShape, WordStatus,
};

/// A code over words of several weights, decoded by tables. Its check bits are beside the weights, or replace bits of the
/// weights that are rebuilt after decoding. A detected word is read as received, with these bits rebuilt.
///
/// Other files of `src/protections/` define the codes; a [`crate::MatrixCode`] is one by a user's matrix.
#[derive(Clone, Debug)]
pub struct BlockCode {
    design: Arc<Design>,
    kernel: Kernel,
}

/// Tables of a code, made once.
#[derive(Debug)]
pub(super) struct Design {
    id: String,
    /// Beginning of the definition, before the columns.
    remark: String,
    word: WordShape,
    constraint: Constraint,
    code: LinearCode,
    /// Position of each bit of the code among the stored bits of a word.
    positions: Vec<usize>,
    matrix: Matrix,
    /// Bits of the weights to flip for each syndrome, or [`DETECTED`].
    corrections: Vec<u64>,
}

/// Entry of a syndrome that is declared uncorrectable.
const DETECTED: u64 = u64::MAX;

impl Design {
    /// Design of a code in words of `weights` weights, 8 or 4. Bit i of the code is bit `positions[i]` of the word;
    /// positions beyond the weights' bits are check bits beside the weights, in order; then all check bits are. A check bit inside the weights is
    /// read as the sign one bit above if it is in the first mask of `signs`, as the sign two bits above if it is in the
    /// second, and otherwise as 0.
    pub(super) fn new(
        id: &str,
        (weights, constraint): (usize, Constraint),
        code: LinearCode,
        positions: Vec<usize>,
        signs: [u64; 2],
    ) -> Self {
        let matrix = Matrix::new(&code, &positions, 8 * weights, signs);
        let mut corrections = vec![DETECTED; 1 << code.check_positions().len()];
        corrections[0] = 0;
        for (syndrome, flips) in code.correctable() {
            let flipped =
                positions.iter().enumerate().filter(|(i, bit)| flips >> i & 1 == 1 && **bit < 8 * weights);
            corrections[usize::from(syndrome)] = flipped.fold(0, |all, (_, bit)| all | 1 << bit);
        }
        let check_bits = positions.iter().filter(|bit| **bit >= 8 * weights).count();
        let word = WordShape { weights, check_bits };
        Self { id: id.into(), remark: String::new(), word, constraint, code, positions, matrix, corrections }
    }

    /// Adds a remark to the definition, which tells the code from others with the same columns.
    pub(super) fn with_remark(self, remark: &str) -> Self {
        Self { remark: remark.into(), ..self }
    }
}

impl BlockCode {
    pub(super) fn new(design: Arc<Design>, kernel: Kernel) -> Self {
        Self { design, kernel }
    }

    /// The code.
    pub fn code(&self) -> &LinearCode {
        &self.design.code
    }

    /// Position of each bit of the code among the stored bits of a word: 8 i + j for bit j of weight i, and the check bits
    /// after the weights. Flips of other bits are silent.
    pub fn positions(&self) -> &[usize] {
        &self.design.positions
    }

    /// Received bits of the weights of word `word`.
    fn received(&self, image: &MemoryImage, word: usize) -> u64 {
        match self.design.word.weights {
            BLOCK => image.block(word),
            // The first half of a block whose other half is zero.
            _ => image.block(word / 2) >> (32 * (word % 2)) & 0xffff_ffff,
        }
    }

    /// Syndrome of word `word` with `received` bits of its weights.
    fn syndrome_of(&self, received: u64, image: &MemoryImage, word: usize) -> usize {
        let beside = image.check_word(word, self.design.word.check_bits) as u16;
        usize::from(self.design.matrix.syndrome(received) ^ beside)
    }
}

impl Protection for BlockCode {
    fn id(&self) -> &str {
        &self.design.id
    }

    fn definition(&self) -> String {
        let Design { remark, code, .. } = &*self.design;
        format!("{remark}columns {}", code.columns_hex())
    }

    fn word(&self) -> WordShape {
        self.design.word
    }

    fn constraint(&self) -> Constraint {
        self.design.constraint
    }

    fn due_policies(&self) -> &'static [DuePolicy] {
        &DuePolicy::ALL
    }

    fn as_stored(&self, weights: [i8; BLOCK]) -> [i8; BLOCK] {
        self.design.matrix.weights(word(&weights)).to_le_bytes().map(u8::cast_signed)
    }

    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize) {
        let matrix = &self.design.matrix;
        image.set_block(block, matrix.encode(word(weights)));
        match self.design.word.check_bits_of(BLOCK) {
            0 => {}
            bits => image.set_check_word(block, bits, matrix.syndrome(word(weights)).into()),
        }
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        let received = self.received(image, word);
        let syndrome = self.syndrome_of(received, image, word);
        let (word, status) = match (syndrome, self.design.corrections[syndrome]) {
            (0, _) => (received, WordStatus::Clean),
            (_, DETECTED) => (received, WordStatus::Detected),
            (_, flips) => (received ^ flips, WordStatus::Corrected),
        };
        store(self.design.matrix.weights(word), weights);
        status
    }

    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64 {
        self.syndrome_of(self.received(image, word), image, word) as u64
    }

    /// Distribution of the code. A flip of a bit outside the code makes a word wrong and changes nothing else.
    fn outcome_distributions(&self) -> Option<Vec<OutcomeDistribution>> {
        let shape = self.design.word;
        let outside = 8 * shape.weights + shape.check_bits - self.design.positions.len();
        Some(vec![self.design.code.outcome_distribution().with_unprotected(outside)])
    }

    fn dense(&self) -> Option<Dense<'_>> {
        let matrix = &self.design.matrix;
        let code = match self.design.word.check_bits_of(BLOCK) {
            0 => Code::Matrix(matrix),
            bits => Code::MatrixBeside(matrix, bits),
        };
        Some(Dense::new(self.kernel, code))
    }
}
