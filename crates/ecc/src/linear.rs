//! The reference codec: a parity-check matrix H and the textbook rules, bit by bit.
//!
//! A word x of n stored cells is a code word when H x = 0. The *syndrome* H x is the sum of H's columns at the cells
//! that are set, and flips add the sum of their columns to it. When the patterns of up to t flips all have different
//! syndromes, each is known by its own and can be undone; t is the *correction radius*. Every other syndrome is
//! declared uncorrectable (*bounded-distance decoding*).
//!
//! * t = 1, all columns distinct and of odd weight (Hsiao 1970): double flips have syndromes of even weight, which
//!   are no column. SEC-DED.
//! * t = 2, columns (1, x, x^3) for distinct x of a field GF(2^m): five of them are independent (BCH codes with an
//!   overall parity), so no triple has the syndrome of a pair, a single flip or none. DEC-TED.

use crate::law::{bounded_distance_law, choose};
use crate::{OutcomeLaw, WordStatus};

/// A binary linear code in systematic form, at most 96 cells a word and 16 check bits, with bounded-distance decoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinearCode {
    columns: Vec<u16>,
    check_cells: Vec<usize>,
    radius: usize,
}

impl LinearCode {
    /// The code whose parity-check matrix has `columns` (bit j of a column is row j), with check bit j
    /// in cell `check_cells[j]`, which corrects up to `radius` flips.
    ///
    /// # Panics
    /// When two patterns of up to `radius` flips have the same syndrome, or the check cells' columns are not the unit
    /// vectors.
    pub fn new(columns: Vec<u16>, check_cells: Vec<usize>, radius: usize) -> Self {
        for (j, &cell) in check_cells.iter().enumerate() {
            assert_eq!(columns[cell], 1 << j, "check cell {cell} must have unit column {j}");
        }
        let code = Self { columns, check_cells, radius };
        let mut taken = vec![false; 1 << code.check_cells.len()];
        taken[0] = true;
        for (syndrome, pattern) in code.correctable() {
            let again = std::mem::replace(&mut taken[usize::from(syndrome)], true);
            assert!(!again, "another pattern has the syndrome of {pattern:x}");
        }
        code
    }

    /// The same with any matrix of the code: its rows are combined until the check cells have the unit columns.
    ///
    /// # Panics
    /// As for [`LinearCode::new`], and when the check cells' columns are dependent.
    pub fn systematic(mut columns: Vec<u16>, check_cells: Vec<usize>, radius: usize) -> Self {
        for (j, &cell) in check_cells.iter().enumerate() {
            let rest = columns[cell] >> j;
            assert!(rest != 0, "the column of check cell {cell} depends on those before it");
            let pivot = j as u32 + rest.trailing_zeros();
            for column in &mut columns {
                let swapped = (*column >> j ^ *column >> pivot) & 1;
                *column ^= swapped << j | swapped << pivot;
            }
            // Row j is subtracted from every other row that the check cell is in.
            let others = columns[cell] ^ 1 << j;
            for column in &mut columns {
                *column ^= if *column >> j & 1 == 1 { others } else { 0 };
            }
        }
        Self::new(columns, check_cells, radius)
    }

    /// Cells of a word.
    pub fn cells(&self) -> usize {
        self.columns.len()
    }

    /// The columns of the parity-check matrix, cell by cell.
    pub fn columns(&self) -> &[u16] {
        &self.columns
    }

    /// The cells that hold check bits.
    pub fn check_cells(&self) -> &[usize] {
        &self.check_cells
    }

    /// Flips of a word that are corrected.
    pub fn radius(&self) -> usize {
        self.radius
    }

    /// Sum of the columns at the set cells; cell i is bit i of `word`.
    pub fn syndrome(&self, word: u128) -> u16 {
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

    /// Corrects up to radius flips, detects what they do not explain.
    pub fn decode(&self, word: u128) -> (u128, WordStatus) {
        match self.explain(self.syndrome(word), self.radius, self.cells()) {
            Some(0) => (word, WordStatus::Clean),
            Some(flips) => (word ^ flips, WordStatus::Corrected),
            None => (word, WordStatus::Detected),
        }
    }

    /// The pattern of at most `most` flips of cells before `end` that has this syndrome.
    fn explain(&self, syndrome: u16, most: usize, end: usize) -> Option<u128> {
        match (syndrome, most) {
            (0, _) => Some(0),
            (_, 0) => None,
            _ => (0..end).find_map(|cell| {
                let rest = self.explain(syndrome ^ self.columns[cell], most - 1, cell)?;
                Some(rest | 1 << cell)
            }),
        }
    }

    /// All patterns of 1 to radius flips, with their syndromes.
    pub(crate) fn correctable(&self) -> Vec<(u16, u128)> {
        // Patterns of one flip more begin with each of the last ones, and go on below its lowest cell.
        let mut patterns = vec![(0, 0u128)];
        let mut last = 0..1;
        for _ in 0..self.radius {
            for i in last.clone() {
                let (syndrome, pattern) = patterns[i];
                let end = self.cells().min(pattern.trailing_zeros() as usize);
                patterns.extend((0..end).map(|cell| (syndrome ^ self.columns[cell], pattern | 1 << cell)));
            }
            last = last.end..patterns.len();
        }
        patterns.split_off(1)
    }

    /// What flips do to a word whose data cells are what is read, with detected words left as received.
    ///
    /// Detected words are right when check cells alone have flipped: one pattern a syndrome, its bits.
    pub fn outcome_law(&self) -> OutcomeLaw {
        let (cells, checks) = (self.cells(), self.check_cells.len());
        let words = self.code_words_by_weight();
        let mut detected_right: Vec<u128> = (0..=cells).map(|flips| choose(checks, flips)).collect();
        detected_right[0] = 0;
        for (syndrome, _) in self.correctable() {
            detected_right[syndrome.count_ones() as usize] -= 1;
        }
        bounded_distance_law(&words, self.radius, &detected_right)
    }

    /// Numbers of code words by weight, from those of the dual code, the 2^r sums of rows (MacWilliams' identity).
    fn code_words_by_weight(&self) -> Vec<u128> {
        let cells = self.cells();
        let mut dual = vec![0i128; cells + 1];
        for rows in 0..1u32 << self.check_cells.len() {
            let sum = self.columns.iter().filter(|&&c| (u32::from(c) & rows).count_ones() % 2 == 1);
            dual[sum.count()] += 1;
        }
        let of_weight = |weight| {
            let terms = dual.iter().enumerate().filter(|(_, words)| **words > 0);
            let sum: i128 = terms.map(|(w, words)| words * krawtchouk(cells, weight, w)).sum();
            (sum >> self.check_cells.len()).unsigned_abs()
        };
        (0..=cells).map(of_weight).collect()
    }

    /// The columns as hex, for [`crate::Protection::parameters`].
    pub(crate) fn columns_hex(&self) -> String {
        let digits = 2 * self.check_cells.len().div_ceil(8);
        self.columns.iter().map(|c| format!("{c:0digits$x}")).collect()
    }
}

/// Sum over all patterns of `flips` flips of (-1)^(flips in `weight` given cells).
fn krawtchouk(cells: usize, flips: usize, weight: usize) -> i128 {
    let terms = (0..=flips).map(|inside| {
        let patterns = (choose(weight, inside) * choose(cells - weight, flips - inside)).cast_signed();
        if inside % 2 == 0 { patterns } else { -patterns }
    });
    terms.sum()
}
