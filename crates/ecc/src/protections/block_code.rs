use super::{store, word};
use crate::kernel::Code;
use crate::matrix::Matrix;
use crate::{
    BLOCK, Constraint, Dense, DuePolicy, Kernel, LinearCode, MemoryImage, OutcomeLaw, Protection, WordShape,
    WordStatus,
};

/// A code over words of several weights, read through tables. Its check bits are beside the weights, or on bits of them
/// that are rebuilt after decoding, in detected words too, which are otherwise read as they are stored.
///
/// The files of `src/protections/` make one each.
#[derive(Clone, Copy, Debug)]
pub struct BlockCode {
    design: &'static Design,
    kernel: Kernel,
}

/// What is made once of a code.
#[derive(Debug)]
pub(super) struct Design {
    id: &'static str,
    /// What its parameters say besides columns and policy.
    remark: &'static str,
    word: WordShape,
    constraint: Constraint,
    code: LinearCode,
    /// Stored bits of a word that are the code's cells.
    cells: Vec<usize>,
    matrix: Matrix,
    /// By syndrome: the bits of the weights to flip, or [`DETECTED`].
    corrections: Vec<u64>,
}

/// No pattern of flips that is corrected.
const DETECTED: u64 = u64::MAX;

impl Design {
    /// A code in words of `weights` weights, 8 or 4, whose cell i is bit `cells[i]` of the word; those after the weights'
    /// bits are its check bits, in their order. Check cells in the weights read as copies of the sign one cell above, or
    /// two cells above, where they are set in `signs`, and otherwise as 0.
    pub(super) fn new(
        id: &'static str,
        (weights, constraint): (usize, Constraint),
        code: LinearCode,
        cells: Vec<usize>,
        signs: [u64; 2],
    ) -> Self {
        let matrix = Matrix::new(&code, &cells, 8 * weights, signs);
        let mut corrections = vec![DETECTED; 1 << code.check_cells().len()];
        corrections[0] = 0;
        for (syndrome, flips) in code.correctable() {
            let flipped = cells.iter().enumerate().filter(|(i, cell)| flips >> i & 1 == 1 && **cell < 64);
            corrections[usize::from(syndrome)] = flipped.fold(0, |all, (_, cell)| all | 1 << cell);
        }
        let check_bits = cells.iter().filter(|cell| **cell >= 8 * weights).count();
        let word = WordShape { weights, check_bits };
        Self { id, remark: "", word, constraint, code, cells, matrix, corrections }
    }

    /// The same with something in its parameters that tells it from others with the same columns.
    pub(super) fn with_remark(self, remark: &'static str) -> Self {
        Self { remark, ..self }
    }
}

impl BlockCode {
    pub(super) fn new(design: &'static Design, kernel: Kernel) -> Self {
        Self { design, kernel }
    }

    /// The code.
    pub fn code(&self) -> &LinearCode {
        &self.design.code
    }

    /// The stored bits of a word that are the cells of the code: bit 8 i + j for bit j of its weight i, and check bits
    /// after those. Flips of others are silent.
    pub fn cells(&self) -> &[usize] {
        &self.design.cells
    }

    /// What the cells of word `word` hold that are bits of weights.
    fn received(&self, image: &MemoryImage, word: usize) -> u64 {
        match self.design.word.weights {
            BLOCK => image.block(word),
            // The first half of a block whose other half is zero.
            _ => image.block(word / 2) >> (32 * (word % 2)) & 0xffff_ffff,
        }
    }

    /// The syndrome of word `word` when its weights' cells hold `received`.
    fn syndrome_of(&self, received: u64, image: &MemoryImage, word: usize) -> usize {
        let beside = image.check_word(word, self.design.word.check_bits) as u16;
        usize::from(self.design.matrix.syndrome(received) ^ beside)
    }
}

impl Protection for BlockCode {
    fn id(&self) -> &'static str {
        self.design.id
    }

    fn parameters(&self) -> String {
        let Design { remark, code, .. } = self.design;
        format!("{remark}columns {} due keep", code.columns_hex())
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
        match self.design.word.check_bits {
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

    /// That of the code; a flip of a cell outside the code makes a word wrong and changes nothing else.
    fn outcome_laws(&self) -> Option<Vec<OutcomeLaw>> {
        let shape = self.design.word;
        let outside = 8 * shape.weights + shape.check_bits - self.design.cells.len();
        Some(vec![self.design.code.outcome_law().with_unprotected(outside)])
    }

    fn dense(&self) -> Option<Dense> {
        // The loops know check bits beside a block only where they are a byte.
        let inside = self.design.word.check_bits == 0;
        inside.then(|| Dense::new(self.kernel, Code::Matrix(&self.design.matrix)))
    }
}
