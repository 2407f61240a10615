use std::fmt;

use anyhow::Error;
use campaign::RunError;
use records::{StoreError, TableError};

/// Error of the harness, by the party that has to act.
///
/// Each variant holds the chain of causes; [`Display`](fmt::Display) prints it in one line.
#[derive(Debug)]
pub enum Failure {
    /// The machine refused: a file could not be read or written, or the disk is full.
    Machine(Error),
    /// A file, a setting or an argument is wrong.
    Input(Error),
    /// The run directory holds records of another plan.
    OtherPlan(Error),
    /// A recomputed record differs from the stored one.
    Verification(Error),
}

impl Failure {
    /// A [`Failure::Input`].
    pub fn input(error: impl Into<Error>) -> Self {
        Self::Input(error.into())
    }

    /// A [`Failure::Machine`].
    pub fn machine(error: impl Into<Error>) -> Self {
        Self::Machine(error.into())
    }

    /// The same failure with the place where it happened in front.
    pub fn at(self, place: impl fmt::Display + Send + Sync + 'static) -> Self {
        match self {
            Self::Machine(error) => Self::Machine(error.context(place)),
            Self::Input(error) => Self::Input(error.context(place)),
            Self::OtherPlan(error) => Self::OtherPlan(error.context(place)),
            Self::Verification(error) => Self::Verification(error.context(place)),
        }
    }

    /// The chain of causes.
    pub fn error(&self) -> &Error {
        let (Self::Machine(error) | Self::Input(error) | Self::OtherPlan(error) | Self::Verification(error)) =
            self;
        error
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Io { .. } | StoreError::Table(TableError::Io { .. } | TableError::Parquet(_)) => {
                Self::machine(error)
            }
            StoreError::OtherPlan { .. } | StoreError::FewerTrials { .. } => Self::OtherPlan(error.into()),
            StoreError::Manifest { .. }
            | StoreError::Newer { .. }
            | StoreError::Table(TableError::Schema { .. }) => Self::input(error),
            StoreError::Contradiction { .. } => Self::Verification(error.into()),
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Store(error) => error.into(),
            RunError::Cell { .. } | RunError::Evaluator { .. } => Self::input(error),
        }
    }
}

impl fmt::Display for Failure {
    /// Joins the causes with colons and leaves out a cause that the text before it quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for cause in self.error().chain().map(ToString::to_string) {
            if text.is_empty() {
                text = cause;
            } else if !text.contains(&cause) {
                text = format!("{text}: {cause}");
            }
        }
        f.write_str(&text)
    }
}

impl std::error::Error for Failure {}
