//! Codes that a user gives by a parity-check matrix.

use std::sync::Arc;

use super::block_code::{BlockCode, Design};
use crate::{BLOCK, Constraint, Kernel, LinearCode, LinearCodeError, ParityCheckMatrix};

/// Most stored bits of a block that a code can check: its syndromes have at most this number of bits.
const MOST_CHECK_BITS: usize = 16;

/// A code by its parity-check matrix, and the places of its bits in the memory.
///
/// The stored bits of a word are numbered: bit j of weight i is 8 i + j, and check bits beside the weights follow. Check bits
/// are all beside the weights, or all inside them. A check bit inside takes a bit of its weight that carries nothing:
///
/// * bit 6, or bits 6 and 5, which repeat the sign of a weight in [-64, 63], or [-32, 31]; the constraint demands this range,
///   and the bits are read as the sign;
/// * the lowest bits, from bit 0 up to bit 4 at most, which are lost and read as 0.
///
/// Bits of the weights that are no bits of the code are stored without protection.
#[derive(Clone, Debug)]
pub struct MatrixCode {
    /// Name in experiments and records.
    pub id: String,
    /// The matrix.
    pub matrix: ParityCheckMatrix,
    /// Number of flips in a word that are always corrected.
    pub corrects: usize,
    /// Weights of a word, 8 or 4.
    pub weights: usize,
    /// Stored bit of each bit of the code; `None`: bit i is stored bit i.
    pub positions: Option<Vec<usize>>,
    /// Stored bits that are check bits, one for each row; `None`: the bits beside the weights.
    pub check_bits: Option<Vec<usize>>,
}

/// The reason for which a matrix and its places make no protection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatrixCodeError {
    /// The words have another size than 8 or 4 weights.
    #[error("a word has {0} weights, expected 8 or 4")]
    Weights(usize),
    /// There is not one position for each column.
    #[error("there are {found} positions, expected {columns}, one for each column of the matrix")]
    Positions {
        /// Number of positions.
        found: usize,
        /// Number of columns.
        columns: usize,
    },
    /// A position is beyond the word.
    #[error(
        "column {column} is at bit {position}, expected less than {bits}: {weights} weights of 8 bits, and the check bits \
         beside them"
    )]
    Position {
        /// Number of the column, from 0.
        column: usize,
        /// The position found.
        position: usize,
        /// Bits of a word.
        bits: usize,
        /// Weights of a word.
        weights: usize,
    },
    /// Two columns have one position.
    #[error("columns {first} and {second} are both at bit {position}, expected different bits")]
    Twice {
        /// A column.
        first: usize,
        /// A later column.
        second: usize,
        /// Position of both.
        position: usize,
    },
    /// There is not one check bit for each row.
    #[error("there are {found} check bits, expected {rows}, one for each row of the matrix")]
    CheckBits {
        /// Number of check bits.
        found: usize,
        /// Number of rows.
        rows: usize,
    },
    /// A block would have more check bits than the tables take.
    #[error("{rows} check bits of {weights} weights are {all} of a block of 8, expected at most {MOST_CHECK_BITS}", all = .rows * BLOCK / .weights)]
    Block {
        /// Number of rows.
        rows: usize,
        /// Weights of a word.
        weights: usize,
    },
    /// A check bit is no bit of the code, or is named twice.
    #[error("bit {0} is a check bit, expected bits at which the matrix has a column, each once")]
    NoColumn(usize),
    /// Some check bits are inside the weights, and others beside them.
    #[error(
        "{inside} of the check bits are inside the weights and {beside} beside them, expected all on one side"
    )]
    BothSides {
        /// Number of check bits inside.
        inside: usize,
        /// Number of check bits beside.
        beside: usize,
    },
    /// A check bit takes a bit of its weight that carries something.
    #[error(
        "check bit {position} is bit {bit} of weight {weight}, expected bit 6, bits 6 and 5, or the lowest bits up to bit 4: \
         only these can be rebuilt or spared"
    )]
    Place {
        /// Position of the check bit.
        position: usize,
        /// Its bit of the weight.
        bit: usize,
        /// Its weight.
        weight: usize,
    },
    /// The matrix does not make such a code.
    #[error(transparent)]
    Code(#[from] LinearCodeError),
}

/// Bits of a weight that hold check bits.
struct Places {
    /// Bits 6 and 5.
    signs: [bool; 2],
    /// The range that this leaves.
    range: (i8, i8),
}

impl MatrixCode {
    /// Makes the protection. Its id is checked when it is registered ([`crate::register`]).
    ///
    /// # Errors
    /// When the sizes do not fit together, a column or a check bit has no place, or the matrix cannot correct so many flips.
    pub fn protection(&self, kernel: Kernel) -> Result<BlockCode, MatrixCodeError> {
        let (rows, columns) = (self.matrix.rows(), self.matrix.columns().len());
        if ![4, BLOCK].contains(&self.weights) {
            return Err(MatrixCodeError::Weights(self.weights));
        }
        if rows * BLOCK / self.weights > MOST_CHECK_BITS {
            return Err(MatrixCodeError::Block { rows, weights: self.weights });
        }
        let positions = self.positions.clone().unwrap_or_else(|| (0..columns).collect());
        if positions.len() != columns {
            return Err(MatrixCodeError::Positions { found: positions.len(), columns });
        }
        let inside = 8 * self.weights;
        let check_bits = match &self.check_bits {
            Some(check_bits) => check_bits.clone(),
            None => positions.iter().copied().filter(|position| *position >= inside).collect(),
        };
        if check_bits.len() != rows {
            return Err(MatrixCodeError::CheckBits { found: check_bits.len(), rows });
        }
        let beside = check_bits.iter().filter(|bit| **bit >= inside).count();
        if ![0, rows].contains(&beside) {
            return Err(MatrixCodeError::BothSides { inside: rows - beside, beside });
        }
        let bits = inside + beside;
        for (column, &position) in positions.iter().enumerate() {
            if position >= bits {
                return Err(MatrixCodeError::Position { column, position, bits, weights: self.weights });
            }
            if let Some(first) = positions[..column].iter().position(|other| *other == position) {
                return Err(MatrixCodeError::Twice { first, second: column, position });
            }
        }
        // Columns of the check bits, ascending by position: so check bit j beside the weights is that of row j.
        let mut sorted = check_bits.clone();
        sorted.sort_unstable();
        if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(MatrixCodeError::NoColumn(twice[0]));
        }
        let column_of = |bit: &usize| {
            let column = positions.iter().position(|position| position == bit);
            column.ok_or(MatrixCodeError::NoColumn(*bit))
        };
        let check_columns = sorted.iter().map(column_of).collect::<Result<Vec<usize>, _>>()?;
        let (constraint, signs) = self.places(if beside == 0 { &sorted } else { &[] })?;
        let code = LinearCode::checked(self.matrix.columns().to_vec(), check_columns, self.corrects)?;
        let remark = format!(
            "matrix code, {} weights, {} flips, bits {}, check bits {}, ",
            self.weights,
            self.corrects,
            runs(&positions),
            runs(&sorted)
        );
        let design = Design::new(&self.id, (self.weights, constraint), code, positions, signs);
        Ok(BlockCode::new(Arc::new(design.with_remark(&remark)), kernel))
    }

    /// Constraint of the weights whose bits hold these check bits, and the masks of the check bits that are read as signs.
    fn places(&self, check_bits: &[usize]) -> Result<(Constraint, [u64; 2]), MatrixCodeError> {
        let mut constraint = Constraint::NONE;
        let mut signs = [0; 2];
        for weight in 0..self.weights {
            let held = |bit: usize| check_bits.contains(&(8 * weight + bit));
            let lowest = (0..5).take_while(|bit| held(*bit)).count();
            let places = match (held(6), held(5)) {
                (true, true) => Places { signs: [true, true], range: (-32, 31) },
                (true, false) => Places { signs: [true, false], range: (-64, 63) },
                (false, _) => Places { signs: [false, false], range: (i8::MIN, i8::MAX) },
            };
            let allowed = |bit: usize| match bit {
                0..5 => bit < lowest,
                5 | 6 => places.signs[6 - bit],
                _ => false,
            };
            if let Some(bit) = (0..8).find(|bit| held(*bit) && !allowed(*bit)) {
                return Err(MatrixCodeError::Place { position: 8 * weight + bit, bit, weight });
            }
            for position in (weight..BLOCK).step_by(self.weights) {
                (constraint.low[position], constraint.high[position]) = places.range;
            }
            for (mask, bit) in signs.iter_mut().zip([6, 5]) {
                *mask |= u64::from(places.signs[6 - bit]) << (8 * weight + bit);
            }
        }
        Ok((constraint, signs))
    }
}

/// Numbers as runs of ascending ones, e.g. `0-63 70 68`.
fn runs(numbers: &[usize]) -> String {
    let follows = |a: &usize, b: &usize| *b == a + 1;
    let text = |run: &[usize]| match run {
        [one] => one.to_string(),
        [first, .., last] => format!("{first}-{last}"),
        [] => String::new(),
    };
    numbers.chunk_by(follows).map(text).collect::<Vec<_>>().join(" ")
}
