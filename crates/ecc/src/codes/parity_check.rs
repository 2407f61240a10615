//! Parity-check matrices as users have them.

use std::str::FromStr;

use super::linear::{MOST_BITS, MOST_CHECK_BITS};

/// A parity-check matrix: a row for each check, a column for each bit of the code word.
///
/// As text it has a line of `0` and `1` for each row. Spaces and tabs between them, empty lines and comments from a `#` on
/// have no meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParityCheckMatrix {
    rows: usize,
    /// Bit j of a column is row j.
    columns: Vec<u16>,
}

/// The reason for which rows or a text are no parity-check matrix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatrixError {
    /// There is no row.
    #[error("the matrix has no rows, expected 1 to {MOST_CHECK_BITS}")]
    Empty,
    /// There are more rows than a code may have check bits.
    #[error("the matrix has {rows} rows, expected at most {MOST_CHECK_BITS}, one for each check bit")]
    Rows {
        /// Number of rows.
        rows: usize,
    },
    /// A row is too short or too long.
    #[error("row {row} of the matrix has {bits} bits, expected 1 to {MOST_BITS}")]
    Bits {
        /// Number of the row, from 0.
        row: usize,
        /// Number of its bits.
        bits: usize,
    },
    /// Rows differ in length.
    #[error("row {row} of the matrix has {bits} bits, expected {expected} as row 0")]
    Length {
        /// Number of the row, from 0.
        row: usize,
        /// Number of its bits.
        bits: usize,
        /// Number of the bits of row 0.
        expected: usize,
    },
    /// A line of the text has another character.
    #[error("line {line}: column {column} is {found:?}, expected 0 or 1")]
    Character {
        /// Number of the line, from 1.
        line: usize,
        /// Number of the character in the line, from 1.
        column: usize,
        /// The character.
        found: char,
    },
    /// Another error, in a line of a text.
    #[error("line {line}: {error}")]
    Line {
        /// Number of the line, from 1.
        line: usize,
        /// The error.
        error: Box<MatrixError>,
    },
}

impl ParityCheckMatrix {
    /// Takes the rows of a matrix, from the first bit of the code word to the last.
    ///
    /// # Errors
    /// When there are no rows or too many, or a row is too long or of another length than the first.
    pub fn from_rows<R: AsRef<[bool]>>(rows: &[R]) -> Result<Self, MatrixError> {
        let mut matrix = Self { rows: 0, columns: Vec::new() };
        rows.iter().try_for_each(|row| matrix.push(row.as_ref()))?;
        matrix.checked()
    }

    fn push(&mut self, row: &[bool]) -> Result<(), MatrixError> {
        let (number, bits, expected) = (self.rows, row.len(), self.columns.len());
        if bits == 0 || bits > MOST_BITS {
            return Err(MatrixError::Bits { row: number, bits });
        }
        if number == 0 {
            self.columns = vec![0; bits];
        } else if bits != expected {
            return Err(MatrixError::Length { row: number, bits, expected });
        }
        if number < MOST_CHECK_BITS {
            for (column, &bit) in self.columns.iter_mut().zip(row) {
                *column |= u16::from(bit) << number;
            }
        }
        self.rows += 1;
        Ok(())
    }

    fn checked(self) -> Result<Self, MatrixError> {
        match self.rows {
            0 => Err(MatrixError::Empty),
            1..=MOST_CHECK_BITS => Ok(self),
            rows => Err(MatrixError::Rows { rows }),
        }
    }

    /// Number of rows: check bits of the code.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns, bit by bit of the code word; bit j of a column is row j.
    pub fn columns(&self) -> &[u16] {
        &self.columns
    }
}

impl FromStr for ParityCheckMatrix {
    type Err = MatrixError;

    /// # Errors
    /// With the line.
    fn from_str(text: &str) -> Result<Self, MatrixError> {
        let mut matrix = Self { rows: 0, columns: Vec::new() };
        for (line, content) in (1..).zip(text.lines()) {
            let mut row = Vec::new();
            for (column, found) in (1..).zip(content.chars()) {
                match found {
                    '#' => break,
                    '0' | '1' => row.push(found == '1'),
                    ' ' | '\t' => {}
                    _ => return Err(MatrixError::Character { line, column, found }),
                }
            }
            if !row.is_empty() {
                matrix.push(&row).map_err(|error| MatrixError::Line { line, error: Box::new(error) })?;
            }
        }
        matrix.checked()
    }
}
