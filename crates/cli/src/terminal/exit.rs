use campaign::{PlanError, UnstorableNetwork};
use data::DataError;
use ecc::Constraint;
use harness::{Failure, ForeignFaultFree, MissingSet};
use records::StoreError;
use signal_hook::consts::SIGINT;

/// End of a command without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Incomplete,
    /// A signal of this number stopped the command, which can be resumed.
    Stopped(i32),
}

impl Outcome {
    /// Exit code of the program.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Incomplete => 5,
            Self::Stopped(SIGINT) => 130,
            Self::Stopped(_) => 75,
        }
    }
}

/// Exit code of a failure.
pub(crate) fn code(failure: &Failure) -> u8 {
    match failure {
        Failure::Machine(_) => 1,
        Failure::Input(_) => 2,
        Failure::OtherPlan(_) => 4,
        Failure::Verification(_) => 6,
    }
}

/// The failure in one line, with the option or command that helps where there is one.
pub(crate) fn explained(failure: &Failure) -> String {
    const CHOOSE: &str = "choose the directory of data sets with --data DIR or ZEROSPACE_DATA";
    if let Some(PlanError::Unstorable { protection, reason: UnstorableNetwork::Violation(_), .. }) =
        failure.error().downcast_ref()
    {
        if ecc::by_id(protection).is_err() {
            return format!(
                "{failure} (throttle the checkpoint: `zerospace quantize --throttle=FILE`, with the file of the code map, clamps these \
                 weights and measures the cost)"
            );
        }
        let any: Vec<String> = ecc::all()
            .into_iter()
            .filter(|protection| protection.constraint() == Constraint::NONE)
            .map(|protection| protection.id().to_string())
            .collect();
        return format!(
            "{failure} (throttle the checkpoint: `zerospace quantize --throttle={protection}`, which clamps these weights and \
             measures the cost; protections that store any weights: {})",
            any.join(", ")
        );
    }
    if failure.error().is::<ForeignFaultFree>() {
        return format!("{failure}: remove the file and use `zerospace report RUN --fault-free EXPERIMENT`");
    }
    if let Some(StoreError::FewerTrials { .. }) = failure.error().downcast_ref() {
        return format!("{failure}, or another run directory (--out)");
    }
    if let Some(DataError::NoLabels { .. }) = failure.error().downcast_ref() {
        return format!("{failure}; `zerospace data fetch imagenet-labels` brings the labels");
    }
    match failure.error().downcast_ref() {
        None => failure.to_string(),
        Some(MissingSet { fetchable: None, .. }) => format!("{failure}; {CHOOSE}"),
        Some(MissingSet { fetchable: Some(set), .. }) => {
            format!("{failure}; fetch it with `zerospace data fetch {set}`, or {CHOOSE}")
        }
    }
}
