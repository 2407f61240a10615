use std::fmt;
use std::process::ExitCode;

use anyhow::Error;
use records::{StoreError, TableError};
use signal_hook::consts::SIGINT;

/// How a verb ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Incomplete,
    /// By a signal, and resumable.
    Stopped(i32),
}

impl Outcome {
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(self.number())
    }

    /// The exit code as a number.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Incomplete => 5,
            Self::Stopped(SIGINT) => 130,
            Self::Stopped(_) => 75,
        }
    }
}

/// Why a verb failed; decides the exit code.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The machine refused, or the network.
    Machine(Error),
    /// Usage, configuration or input.
    Input(Error),
    /// Records of another plan.
    OtherPlan(Error),
    /// Records that do not come out again.
    Verification(Error),
}

impl Failure {
    pub(crate) fn input(error: impl Into<Error>) -> Self {
        Self::Input(error.into())
    }

    pub(crate) fn machine(error: impl Into<Error>) -> Self {
        Self::Machine(error.into())
    }

    /// The same failure, said to have happened at a place.
    pub(crate) fn at(self, place: impl fmt::Display + Send + Sync + 'static) -> Self {
        match self {
            Self::Machine(error) => Self::Machine(error.context(place)),
            Self::Input(error) => Self::Input(error.context(place)),
            Self::OtherPlan(error) => Self::OtherPlan(error.context(place)),
            Self::Verification(error) => Self::Verification(error.context(place)),
        }
    }

    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Machine(_) => 1,
            Self::Input(_) => 2,
            Self::OtherPlan(_) => 4,
            Self::Verification(_) => 6,
        })
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

impl fmt::Display for Failure {
    /// The chain of causes in one line; a cause that the message before it already quotes is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Machine(error) | Self::Input(error) | Self::OtherPlan(error) | Self::Verification(error)) =
            self;
        let mut said = String::new();
        for cause in error.chain().map(ToString::to_string) {
            if said.is_empty() {
                said = cause;
            } else if !said.contains(&cause) {
                said = format!("{said}: {cause}");
            }
        }
        f.write_str(&said)
    }
}
