//! The reference codec: a parity-check matrix H and the textbook rules, bit by bit.
//!
//! A word x of n stored bits is a code word when H x = 0. The *syndrome* H x is the sum of H's columns at the bits
//! that are set, and flips add the sum of their columns to it. If all patterns of up to t flips have different syndromes,
//! a syndrome identifies its pattern, which the decoder undoes; t is the *correction radius*. Every other syndrome is
//! declared uncorrectable (*bounded-distance decoding*).
//!
//! * t = 1, all columns distinct and of odd weight (Hsiao 1970): double flips have syndromes of even weight, which
//!   are no column. SEC-DED.
//! * t = 2, columns (1, x, x^3) for distinct x of a field GF(2^m): five of them are independent (BCH codes with an
//!   overall parity), so no triple has the syndrome of a pair, a single flip or none. DEC-TED.

use crate::codes::outcomes::{bounded_distance_outcomes, choose};
use crate::{OutcomeDistribution, WordStatus};

/// Most bits of a word.
pub(crate) const MOST_BITS: usize = 96;
/// Most check bits of a word.
pub(crate) const MOST_CHECK_BITS: usize = 16;

/// The reason for which a matrix with check bits makes no code that corrects so many flips.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinearCodeError {
    /// A word is too large.
    #[error(
        "a word has {bits} bits, {check_bits} of them check bits, expected at most {MOST_BITS} and {MOST_CHECK_BITS}"
    )]
    Size {
        /// Bits of a word.
        bits: usize,
        /// Check bits of a word.
        check_bits: usize,
    },
    /// The check bits cannot be computed from the data.
    #[error(
        "column {column}, of a check bit, is a sum of columns of the check bits before it, expected independent columns"
    )]
    Dependent {
        /// Number of the column, from 0.
        column: usize,
    },
    /// There are fewer syndromes than patterns.
    #[error(
        "{corrects} flips of {bits} bits cannot be corrected by {check_bits} check bits, which have too few syndromes, \
         expected fewer flips"
    )]
    Syndromes {
        /// Flips to correct.
        corrects: usize,
        /// Bits of a word.
        bits: usize,
        /// Check bits of a word.
        check_bits: usize,
    },
    /// Two patterns that should be corrected have one syndrome.
    #[error(
        "flips of columns {first:?} and of columns {second:?} have the same syndrome, expected different ones"
    )]
    SameSyndrome {
        /// Columns of a pattern; none for a word without a flip.
        first: Vec<usize>,
        /// Columns of another pattern.
        second: Vec<usize>,
    },
}

/// A binary linear code in systematic form, at most 96 bits a word and 16 check bits, with bounded-distance decoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinearCode {
    columns: Vec<u16>,
    check_positions: Vec<usize>,
    radius: usize,
}

impl LinearCode {
    /// Makes the code with a parity-check matrix of `columns` (bit j of a column is row j), whose check bit j is bit
    /// `check_positions[j]` of a word, and which corrects up to `radius` flips.
    ///
    /// # Panics
    /// When two patterns of up to `radius` flips have the same syndrome, or the check bits' columns are not the unit
    /// vectors.
    pub fn new(columns: Vec<u16>, check_positions: Vec<usize>, radius: usize) -> Self {
        for (j, &bit) in check_positions.iter().enumerate() {
            assert_eq!(columns[bit], 1 << j, "check bit {bit} must have unit column {j}");
        }
        Self { columns, check_positions, radius }.distinct().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Makes the code from any parity-check matrix: combines its rows until the check bits have the unit columns.
    ///
    /// # Panics
    /// On any error of [`LinearCode::checked`].
    pub fn systematic(columns: Vec<u16>, check_positions: Vec<usize>, radius: usize) -> Self {
        Self::checked(columns, check_positions, radius).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Makes the code as [`LinearCode::systematic`] does, of a matrix that may be wrong. No column has a row at or beyond the
    /// number of check bits.
    ///
    /// # Errors
    /// When a word is too large, the check bits' columns are dependent, or two patterns of up to `radius` flips have the same
    /// syndrome.
    ///
    /// # Panics
    /// When a check bit has no column.
    pub fn checked(
        mut columns: Vec<u16>,
        check_positions: Vec<usize>,
        radius: usize,
    ) -> Result<Self, LinearCodeError> {
        let (bits, check_bits) = (columns.len(), check_positions.len());
        if bits > MOST_BITS || check_bits > MOST_CHECK_BITS {
            return Err(LinearCodeError::Size { bits, check_bits });
        }
        for (j, &bit) in check_positions.iter().enumerate() {
            let rest = columns[bit] >> j;
            if rest == 0 {
                return Err(LinearCodeError::Dependent { column: bit });
            }
            let pivot = j as u32 + rest.trailing_zeros();
            for column in &mut columns {
                let swapped = (*column >> j ^ *column >> pivot) & 1;
                *column ^= swapped << j | swapped << pivot;
            }
            // Row j is subtracted from every other row that the check bit is in.
            let others = columns[bit] ^ 1 << j;
            for column in &mut columns {
                *column ^= if *column >> j & 1 == 1 { others } else { 0 };
            }
        }
        let patterns = (1..=radius.min(bits)).map(|flips| choose(bits, flips)).sum::<u128>();
        if radius > bits || patterns >= 1 << check_bits {
            return Err(LinearCodeError::Syndromes { corrects: radius, bits, check_bits });
        }
        Self { columns, check_positions, radius }.distinct()
    }

    /// Refuses a code in which two correctable patterns have one syndrome.
    fn distinct(self) -> Result<Self, LinearCodeError> {
        let mut patterns = vec![None; 1 << self.check_positions.len()];
        patterns[0] = Some(0u128);
        for (syndrome, pattern) in self.correctable() {
            if let Some(other) = patterns[usize::from(syndrome)].replace(pattern) {
                let columns = |pattern: u128| (0..self.bits()).filter(|i| pattern >> i & 1 == 1).collect();
                return Err(LinearCodeError::SameSyndrome {
                    first: columns(other),
                    second: columns(pattern),
                });
            }
        }
        Ok(self)
    }

    /// Number of bits of a word.
    pub fn bits(&self) -> usize {
        self.columns.len()
    }

    /// Columns of the parity-check matrix, bit by bit.
    pub fn columns(&self) -> &[u16] {
        &self.columns
    }

    /// Positions of the check bits in a word.
    pub fn check_positions(&self) -> &[usize] {
        &self.check_positions
    }

    /// Largest number of flips in a word that is always corrected.
    pub fn radius(&self) -> usize {
        self.radius
    }

    /// Sum of the columns at the set bits; bit i is bit i of `word`.
    pub fn syndrome(&self, word: u128) -> u16 {
        let set = (0..self.bits()).filter(|i| word >> i & 1 == 1);
        set.fold(0, |sum, i| sum ^ self.columns[i])
    }

    /// Code word with the data bits of `word`; the check bits of `word` are ignored.
    pub fn encode(&self, word: u128) -> u128 {
        let data = self.check_positions.iter().fold(word, |w, bit| w & !(1 << bit));
        let syndrome = self.syndrome(data);
        let checks = self.check_positions.iter().enumerate();
        checks.fold(data, |w, (j, bit)| w | u128::from(syndrome >> j & 1) << bit)
    }

    /// Corrects up to radius flips and detects every other syndrome.
    pub fn decode(&self, word: u128) -> (u128, WordStatus) {
        match self.explain(self.syndrome(word), self.radius, self.bits()) {
            Some(0) => (word, WordStatus::Clean),
            Some(flips) => (word ^ flips, WordStatus::Corrected),
            None => (word, WordStatus::Detected),
        }
    }

    /// The pattern of at most `most` flips of bits before `end` that has this syndrome.
    fn explain(&self, syndrome: u16, most: usize, end: usize) -> Option<u128> {
        match (syndrome, most) {
            (0, _) => Some(0),
            (_, 0) => None,
            _ => (0..end).find_map(|bit| {
                let rest = self.explain(syndrome ^ self.columns[bit], most - 1, bit)?;
                Some(rest | 1 << bit)
            }),
        }
    }

    /// All patterns of 1 to radius flips, with their syndromes.
    pub(crate) fn correctable(&self) -> Vec<(u16, u128)> {
        // Patterns of one flip more begin with each of the last ones, and go on below its lowest bit.
        let mut patterns = vec![(0, 0u128)];
        let mut last = 0..1;
        for _ in 0..self.radius {
            for i in last.clone() {
                let (syndrome, pattern) = patterns[i];
                let end = self.bits().min(pattern.trailing_zeros() as usize);
                patterns.extend((0..end).map(|bit| (syndrome ^ self.columns[bit], pattern | 1 << bit)));
            }
            last = last.end..patterns.len();
        }
        patterns.split_off(1)
    }

    /// Distribution of a word whose data bits are read, with detected words left as received.
    ///
    /// A detected word is right if only check bits have flipped: one pattern for each syndrome, the bits of the syndrome.
    pub fn outcome_distribution(&self) -> OutcomeDistribution {
        let (bits, checks) = (self.bits(), self.check_positions.len());
        let words = self.code_words_by_weight();
        let mut detected_right: Vec<u128> = (0..=bits).map(|flips| choose(checks, flips)).collect();
        detected_right[0] = 0;
        for (syndrome, _) in self.correctable() {
            detected_right[syndrome.count_ones() as usize] -= 1;
        }
        bounded_distance_outcomes(&words, self.radius, &detected_right)
    }

    /// Numbers of code words by weight, from those of the dual code, the 2^r sums of rows (MacWilliams' identity).
    fn code_words_by_weight(&self) -> Vec<u128> {
        let bits = self.bits();
        let mut dual = vec![0i128; bits + 1];
        for rows in 0..1u32 << self.check_positions.len() {
            let sum = self.columns.iter().filter(|&&c| (u32::from(c) & rows).count_ones() % 2 == 1);
            dual[sum.count()] += 1;
        }
        let of_weight = |weight| {
            let terms = dual.iter().enumerate().filter(|(_, words)| **words > 0);
            let sum: i128 = terms.map(|(w, words)| words * krawtchouk(bits, weight, w)).sum();
            (sum >> self.check_positions.len()).unsigned_abs()
        };
        (0..=bits).map(of_weight).collect()
    }

    /// The columns as hex, for [`crate::Protection::parameters`].
    pub(crate) fn columns_hex(&self) -> String {
        let digits = 2 * self.check_positions.len().div_ceil(8);
        self.columns.iter().map(|c| format!("{c:0digits$x}")).collect()
    }
}

/// Sum over all patterns of `flips` flips of (-1)^(flips in `weight` given bits).
fn krawtchouk(bits: usize, flips: usize, weight: usize) -> i128 {
    let terms = (0..=flips).map(|inside| {
        let patterns = (choose(weight, inside) * choose(bits - weight, flips - inside)).cast_signed();
        if inside % 2 == 0 { patterns } else { -patterns }
    });
    terms.sum()
}
