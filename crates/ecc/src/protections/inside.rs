use super::{store, word};
use crate::kernel::Code;
use crate::matrix::Matrix;
use crate::{
    BLOCK, Constraint, Dense, DuePolicy, Kernel, LinearCode, MemoryImage, OutcomeLaw, Protection, WordShape,
    WordStatus,
};

/// A code inside the weights, with no cell beside them. Its check bits are on bits of the weights that are rebuilt
/// after decoding, in detected words too, which are otherwise read as they are stored.
///
/// The files of `src/protections/` each make one.
#[derive(Clone, Copy, Debug)]
pub struct Inside {
    design: &'static Design,
    kernel: Kernel,
}

/// What is made once of a code inside the weights.
#[derive(Debug)]
pub(super) struct Design {
    id: &'static str,
    /// What its parameters say besides columns and policy.
    remark: &'static str,
    /// Weights of a word.
    weights: usize,
    constraint: Constraint,
    code: LinearCode,
    /// Bits of a word that are the code's cells.
    cells: Vec<usize>,
    matrix: Matrix,
    /// By syndrome: the bits of a word to flip, or [`DETECTED`].
    corrections: Vec<u64>,
}

/// No pattern of flips that is corrected.
const DETECTED: u64 = u64::MAX;

impl Design {
    /// A code in words of `weights` weights, 8 or 4, whose cell i is bit `cells[i]` of the word. Of its check cells
    /// those that are set in `signs` read as copies of the sign one cell above, and two cells above, and others as 0.
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
            let flipped = cells.iter().enumerate().filter(|(i, _)| flips >> i & 1 == 1);
            corrections[usize::from(syndrome)] = flipped.fold(0, |all, (_, cell)| all | 1 << cell);
        }
        Self { id, remark: "", weights, constraint, code, cells, matrix, corrections }
    }

    /// The same with something in its parameters that tells it from others with the same columns.
    pub(super) fn with_remark(self, remark: &'static str) -> Self {
        Self { remark, ..self }
    }
}

impl Inside {
    pub(super) fn new(design: &'static Design, kernel: Kernel) -> Self {
        Self { design, kernel }
    }

    /// The code.
    pub fn code(&self) -> &LinearCode {
        &self.design.code
    }

    /// The bits of a word, bit 8 i + j for bit j of its weight i, that are the cells of the code. Flips of others are
    /// silent.
    pub fn cells(&self) -> &[usize] {
        &self.design.cells
    }

    /// What is stored of word `word`.
    fn received(&self, image: &MemoryImage, word: usize) -> u64 {
        match self.design.weights {
            BLOCK => image.block(word),
            _ => image.block(word / 2) >> (32 * (word % 2)) & 0xffff_ffff,
        }
    }

    fn syndrome_of(&self, received: u64) -> usize {
        // A word of four weights is the first half of a block whose other half is zero.
        usize::from(self.design.matrix.syndrome(received))
    }
}

impl Protection for Inside {
    fn id(&self) -> &'static str {
        self.design.id
    }

    fn parameters(&self) -> String {
        let Design { remark, code, .. } = self.design;
        format!("{remark}columns {} due keep", code.columns_hex())
    }

    fn word(&self) -> WordShape {
        WordShape { weights: self.design.weights, check_bits: 0 }
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
        image.set_block(block, self.design.matrix.encode(word(weights)));
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        let received = self.received(image, word);
        let (word, status) = match self.design.corrections[self.syndrome_of(received)] {
            0 => (received, WordStatus::Clean),
            DETECTED => (received, WordStatus::Detected),
            flips => (received ^ flips, WordStatus::Corrected),
        };
        store(self.design.matrix.weights(word), weights);
        status
    }

    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64 {
        self.syndrome_of(self.received(image, word)) as u64
    }

    /// That of the code; a flip of a cell outside the code makes a word wrong and changes nothing else.
    fn outcome_laws(&self) -> Option<Vec<OutcomeLaw>> {
        let outside = 8 * self.design.weights - self.design.cells.len();
        Some(vec![self.design.code.outcome_law().with_unprotected(outside)])
    }

    fn dense(&self) -> Option<Dense> {
        Some(Dense::new(self.kernel, Code::Matrix(&self.design.matrix)))
    }
}
