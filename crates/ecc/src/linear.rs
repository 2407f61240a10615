//! The reference codec: a parity-check matrix H and the textbook rules, bit by bit.
//!
//! A word x of n stored cells is a code word when H x = 0. The *syndrome* H x is the sum of H's
//! columns at the cells that are set. A single flip at cell i adds column i to it, so when all columns
//! differ and have odd weight (Hsiao 1970), every single flip is known by its syndrome, and every
//! double flip by a syndrome of even weight that is no column: single errors are corrected, double
//! errors detected.

use crate::WordStatus;

/// A binary linear SEC-DED code in systematic form, at most 128 cells a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinearCode {
    columns: Vec<u8>,
    check_cells: Vec<usize>,
}

impl LinearCode {
    /// The code whose parity-check matrix has `columns` (bit j of a column is row j), with check bit j
    /// in cell `check_cells[j]`.
    ///
    /// # Panics
    /// When the columns are not distinct, or the check cells' columns are not the unit vectors.
    pub fn new(columns: Vec<u8>, check_cells: Vec<usize>) -> Self {
        for (i, a) in columns.iter().enumerate() {
            assert!(*a != 0 && !columns[..i].contains(a), "columns must be distinct and not zero");
        }
        for (j, &cell) in check_cells.iter().enumerate() {
            assert_eq!(columns[cell], 1 << j, "check cell {cell} must have unit column {j}");
        }
        Self { columns, check_cells }
    }

    /// Cells of a word.
    pub fn cells(&self) -> usize {
        self.columns.len()
    }

    /// The columns of the parity-check matrix, cell by cell.
    pub fn columns(&self) -> &[u8] {
        &self.columns
    }

    /// The cells that hold check bits.
    pub fn check_cells(&self) -> &[usize] {
        &self.check_cells
    }

    /// Sum of the columns at the set cells; cell i is bit i of `word`.
    pub fn syndrome(&self, word: u128) -> u8 {
        let set = (0..self.cells()).filter(|i| word >> i & 1 == 1);
        set.fold(0, |sum, i| sum ^ self.columns[i])
    }

    /// The code word with the data cells of `word`; its check cells are ignored and filled in.
    pub fn encode(&self, word: u128) -> u128 {
        let data = self.check_cells.iter().fold(word, |w, cell| w & !(1 << cell));
        let syndrome = self.syndrome(data);
        let checks = self.check_cells.iter().enumerate();
        checks.fold(data, |w, (j, cell)| w | u128::from(syndrome >> j & 1) << cell)
    }

    /// Corrects a single flip, detects what no single flip explains.
    pub fn decode(&self, word: u128) -> (u128, WordStatus) {
        let syndrome = self.syndrome(word);
        if syndrome == 0 {
            return (word, WordStatus::Clean);
        }
        match self.columns.iter().position(|&column| column == syndrome) {
            Some(cell) => (word ^ 1 << cell, WordStatus::Corrected),
            None => (word, WordStatus::Detected),
        }
    }

    /// The columns as hex, for [`crate::Protection::parameters`].
    pub(crate) fn columns_hex(&self) -> String {
        self.columns.iter().map(|c| format!("{c:02x}")).collect()
    }
}
