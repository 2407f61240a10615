use super::{store, word};
use crate::fold::{secded_check, secded_column};
use crate::kernel::Code;
use crate::{
    BLOCK, Constraint, Dense, DuePolicy, Kernel, LinearCode, MemoryImage, OutcomeLaw, Protection, WordShape,
    WordStatus,
};

/// SEC-DED (72,64): a check byte beside each block of eight weights. A detected word is read as it is
/// stored.
#[derive(Clone, Debug)]
pub struct SecDed {
    /// By syndrome: the cell to flip, 0..64 in the block and 64..72 in the check byte.
    cells: [Option<u8>; 256],
    kernel: Kernel,
}

impl SecDed {
    /// Cells 0..64 are the block, cells 64..72 its check byte.
    pub fn code() -> LinearCode {
        let columns = (0..64).map(|cell| secded_column(cell).into()).chain((0..8).map(|j| 1 << j)).collect();
        LinearCode::new(columns, (64..72).collect(), 1)
    }

    /// With a given form of the dense loops.
    pub fn new(kernel: Kernel) -> Self {
        let mut cells = [None; 256];
        for (cell, &column) in (0..).zip(Self::code().columns()) {
            cells[usize::from(column)] = Some(cell);
        }
        Self { cells, kernel }
    }
}

impl Protection for SecDed {
    fn id(&self) -> &'static str {
        "secded-72-64"
    }

    fn parameters(&self) -> String {
        format!("columns {} due keep", Self::code().columns_hex())
    }

    fn word(&self) -> WordShape {
        WordShape { weights: BLOCK, check_bits: 8 }
    }

    fn constraint(&self) -> Constraint {
        Constraint::NONE
    }

    fn due_policies(&self) -> &'static [DuePolicy] {
        &DuePolicy::ALL
    }

    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize) {
        image.set_block(block, word(weights));
        image.set_check_word(block, 8, secded_check(word(weights)).into());
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        let block = image.block(word);
        let syndrome = self.syndrome(image, word);
        let (block, status) = match (syndrome, self.cells[syndrome as usize]) {
            (0, _) => (block, WordStatus::Clean),
            (_, Some(cell @ 0..64)) => (block ^ 1 << cell, WordStatus::Corrected),
            (_, Some(_)) => (block, WordStatus::Corrected),
            (_, None) => (block, WordStatus::Detected),
        };
        store(block, weights);
        status
    }

    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64 {
        (secded_check(image.block(word)) ^ image.check()[word]).into()
    }

    fn outcome_laws(&self) -> Option<Vec<OutcomeLaw>> {
        Some(vec![Self::code().outcome_law()])
    }

    fn dense(&self) -> Option<Dense> {
        Some(Dense::new(self.kernel, Code::SecDed))
    }
}
