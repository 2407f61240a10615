//! The reference codec: a parity-check matrix H and the textbook rules, bit by bit.
//!
//! A word x of n stored cells is a code word when H x = 0. The *syndrome* H x is the sum of H's
//! columns at the cells that are set. A single flip at cell i adds column i to it, so when all columns
//! differ and have odd weight (Hsiao 1970), every single flip is known by its syndrome, and every
//! double flip by a syndrome of even weight that is no column: single errors are corrected, double
//! errors detected.

use crate::{OutcomeLaw, Outcomes, WordStatus};

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

    /// What flips do to a word whose data cells are what is read, with detected words left as received.
    ///
    /// What a flip does depends on the syndrome of the flips, which is a sum of columns. So patterns are counted
    /// by number of flips and syndrome, adding one cell after the other, once over all cells and once over the check
    /// cells, whose patterns leave the data as they were.
    pub fn outcome_law(&self) -> OutcomeLaw {
        let all = self.patterns_of(0..self.cells());
        let harmless = self.patterns_of(self.check_cells.iter().copied());
        let mut patterns = vec![Outcomes::default(); self.cells() + 1];
        for (flips, outcomes) in patterns.iter_mut().enumerate() {
            for (syndrome, &total) in (0..=u8::MAX).zip(&all[flips]) {
                let harmless =
                    harmless.get(flips).map_or(0, |of_syndrome| of_syndrome[usize::from(syndrome)]);
                let corrected = self.columns.iter().position(|&column| column == syndrome);
                let (right, wrong, right_patterns) = match corrected {
                    _ if syndrome == 0 => (&mut outcomes.clean_right, &mut outcomes.clean_wrong, harmless),
                    None => (&mut outcomes.detected_right, &mut outcomes.detected_wrong, harmless),
                    Some(cell) => {
                        // Of a data cell, only its own flip is put right: flips of check cells beside it would have
                        // to have syndrome 0, and their columns are independent.
                        let own =
                            if self.check_cells.contains(&cell) { harmless } else { u128::from(flips == 1) };
                        (&mut outcomes.corrected_right, &mut outcomes.corrected_wrong, own)
                    }
                };
                *right += right_patterns;
                *wrong += total - right_patterns;
            }
        }
        OutcomeLaw::new(patterns)
    }

    /// Patterns of flips in some cells, by number of flips and syndrome.
    fn patterns_of(&self, cells: impl ExactSizeIterator<Item = usize>) -> Vec<[u128; 256]> {
        let mut patterns = vec![[0; 256]; cells.len() + 1];
        patterns[0][0] = 1;
        for (known, cell) in cells.enumerate() {
            for flips in (0..=known).rev() {
                for syndrome in 0..256 {
                    let further = syndrome ^ usize::from(self.columns[cell]);
                    patterns[flips + 1][further] += patterns[flips][syndrome];
                }
            }
        }
        patterns
    }

    /// The columns as hex, for [`crate::Protection::parameters`].
    pub(crate) fn columns_hex(&self) -> String {
        self.columns.iter().map(|c| format!("{c:02x}")).collect()
    }
}
