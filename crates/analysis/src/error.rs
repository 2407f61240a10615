use std::path::PathBuf;

use polars_core::error::PolarsError;

/// Why records cannot be turned into a report.
#[derive(Debug, thiserror::Error)]
pub enum AnalysisError {
    /// Nothing to analyse.
    #[error("there are no trials")]
    NoTrials,
    /// The bit error rate is not a probability.
    #[error("{cell}: the bit error rate {rate} is outside [0, 1]")]
    Rate {
        /// The cell.
        cell: String,
        /// The rate found.
        rate: f64,
    },
    /// The number of evaluated images is zero or absurd.
    #[error("{cell}: {images} images, outside [1, {max}]", max = u32::MAX)]
    Images {
        /// The cell.
        cell: String,
        /// The number found.
        images: u64,
    },
    /// More images classified correctly than were evaluated.
    #[error("{place}: {field} is {correct} of {images} images")]
    Correct {
        /// The trial and its cell.
        place: String,
        /// `correct` or `clean_correct`.
        field: &'static str,
        /// The number found.
        correct: u64,
        /// Images evaluated.
        images: u64,
    },
    /// Two trials that must share a condition do not.
    #[error("{field} is {one_value} in {one}, but {other_value} in {other}")]
    Disagreement {
        /// The column of the trials table.
        field: &'static str,
        /// A trial and its cell.
        one: String,
        /// Its value.
        one_value: String,
        /// Another trial and its cell.
        other: String,
        /// Its value.
        other_value: String,
    },
    /// One trial of one cell is recorded twice with different outcomes.
    #[error("trial {trial} of {cell} is recorded twice, with different content")]
    DuplicateTrial {
        /// The cell.
        cell: String,
        /// The trial's number.
        trial: u64,
    },
    /// The data frame library refused.
    #[error("data frame: {0}")]
    Frame(#[from] PolarsError),
    /// The figure cannot be drawn.
    #[error("figure: {0}")]
    Figure(String),
    /// A file of the report cannot be written.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}
