use std::path::PathBuf;

use polars_core::error::PolarsError;

/// Reason why records cannot be turned into a report or a figure.
#[derive(Debug, thiserror::Error)]
pub enum AnalysisError {
    /// The table of trials is empty.
    #[error("there are no trials")]
    NoTrials,
    /// The list of trainings is empty.
    #[error("there are no trainings")]
    NoTrainings,
    /// A training without checks.
    #[error("{training} has no checks")]
    NoChecks {
        /// The training.
        training: String,
    },
    /// The checks of a training are not in order.
    #[error("{training}: iteration {iteration} follows iteration {before}")]
    Iterations {
        /// The training.
        training: String,
        /// Iteration of a check.
        before: u64,
        /// Iteration of the next check.
        iteration: u64,
    },
    /// The list of networks is empty.
    #[error("there are no networks")]
    NoNetworks,
    /// More large weights at one position than blocks, or more blocks than weights.
    #[error("{network}: {most} large weights at a position of {blocks} blocks of {weights} weights")]
    Blocks {
        /// The network.
        network: String,
        /// Large weights at the position with most of them.
        most: u64,
        /// Blocks of 8 weights.
        blocks: u64,
        /// Weights.
        weights: u64,
    },
    /// A table of many cells in another order than that of the plan.
    #[error(
        "the trials of cell {cell} do not follow each other, expected a table as `zerospace merge` writes it"
    )]
    Scattered {
        /// Id of the cell.
        cell: String,
    },
    /// The rate is not a probability.
    #[error("{cell}: the rate {rate} is outside [0, 1]")]
    Rate {
        /// The cell.
        cell: String,
        /// The rate found.
        rate: f64,
    },
    /// The probability with which a cell's trials count is outside (0, 1].
    #[error("{cell}: changed_probability is {probability}, outside (0, 1]")]
    ChangedProbability {
        /// The cell.
        cell: String,
        /// The number found.
        probability: f64,
    },
    /// The number of evaluated images is zero or absurd.
    #[error("{cell}: {images} images, outside [1, {max}]", max = u32::MAX)]
    Images {
        /// The cell, the check of a training, or the network.
        cell: String,
        /// The number found.
        images: u64,
    },
    /// More images classified correctly than were evaluated.
    #[error("{place}: {field} is {correct} of {images} images")]
    Correct {
        /// The trial and its cell, the check of a training, or the network.
        place: String,
        /// `correct`, `clean_correct` or `throttled_correct`; of a network `float_correct` or `int8_correct`.
        field: &'static str,
        /// The number found.
        correct: u64,
        /// Images evaluated.
        images: u64,
    },
    /// A trial has counts of a block of images, and its row names no number of images a trial, or the other way round.
    #[error("{trial}: counts of a block and images_per_trial, expected both or neither")]
    Block {
        /// The trial and its cell.
        trial: String,
    },
    /// A trial has a score too many or too few.
    #[error("{trial}: {field} has {scores} numbers, expected one for each metric ({metrics})")]
    Scores {
        /// The trial and its cell.
        trial: String,
        /// `clean_scores` or `scores`.
        field: &'static str,
        /// The number of scores found.
        scores: usize,
        /// The metrics, or `none`.
        metrics: String,
    },
    /// A score is infinite, no number or absurd.
    #[error("{trial}: {field} of {metric} is {score}, expected a finite number of at most 1e150 in size")]
    Score {
        /// The trial and its cell.
        trial: String,
        /// `clean_scores` or `scores`.
        field: &'static str,
        /// Name of the metric.
        metric: String,
        /// The score found.
        score: f64,
    },
    /// A rule ends cells after losses in points, and the trials have scores.
    #[error("the stop rule counts images, expected none for trials with scores of {metric}")]
    StopWithScores {
        /// Name of the first metric.
        metric: String,
    },
    /// Two trials, or checks of trainings, differ in a condition that they must share.
    #[error("{field} is {one_value} in {one}, but {other_value} in {other}")]
    Disagreement {
        /// The column of their table.
        field: &'static str,
        /// A trial and its cell, or a check and its training.
        one: String,
        /// Value in the first.
        one_value: String,
        /// Another trial and its cell, or check and its training.
        other: String,
        /// Value in the other.
        other_value: String,
    },
    /// A trial in which every word read back right contradicts what was measured without faults.
    #[error(
        "{trial}: every word reads back right and correct is {correct}, but {measured} was measured without faults"
    )]
    FaultFree {
        /// The trial and its cell.
        trial: String,
        /// Images right in it.
        correct: u64,
        /// Images right without faults, as measured.
        measured: u64,
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
        /// Error of the system.
        source: std::io::Error,
    },
}
