use design::StopRule;
use records::{Determinism, Manifest, NetworkEntry};

/// Statements of a report that do not follow from its trials.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// The experiment's name.
    pub title: &'a str,
    /// Accuracy of guessing, % of images (100 / number of classes), which the figure then shows.
    pub chance_percent: Option<f64>,
    /// Rule by which cells ended before the plan's last trial. If it counts failures, a section and `failures.csv` estimate how
    /// often trials fail.
    pub stop: Option<StopRule>,
    /// Networks of the plan, with the sizes of tensors for the table of a sweep.
    pub networks: &'a [NetworkEntry],
    /// Markdown on the networks and the images; may be empty.
    pub notes: &'a str,
    /// Finding about an evaluator of the user's own.
    pub determinism: Option<&'a Determinism>,
    /// The run, if it is known: commands that repeat it, and in `report.html` its plan and its machine.
    pub run: Option<Run<'a>>,
}

/// The run behind the records of a report.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// Its plan and the environment in which it was first started.
    pub manifest: &'a Manifest,
    /// Commands that compute it again.
    pub commands: Commands<'a>,
    /// SHA-256 of its `trials.parquet`, 64 hex digits.
    pub trials_sha256: &'a str,
}

/// Command lines of the program, or calls in Python, in which `$DATA` stands for the folder of the image sets and `DIR` for the
/// folder with `manifest.json` and `trials.parquet`.
#[derive(Clone, Copy, Debug)]
pub struct Commands<'a> {
    /// Repeats the run.
    pub repeat: &'a str,
    /// Computes a sample of the trials again and compares it.
    pub verify: &'a str,
    /// Computes one trial again, flip by flip: [`crate::Estimates::worst_trial`].
    pub replay: &'a str,
}

impl Commands<'_> {
    /// Clause after a command that explains `$DATA`, or the arguments of a call in Python.
    pub(crate) fn explanation(&self) -> &'static str {
        match self.repeat {
            repeat if repeat.starts_with("zerospace.run(") => {
                ", in the Python program that has these objects"
            }
            repeat if repeat.contains("$DATA") => ", where `$DATA` is the folder of the image sets",
            _ => "",
        }
    }
}

/// Command lines on a campaign of single faults, and the hash of its records.
#[derive(Clone, Copy, Debug)]
pub struct FaultCommands<'a> {
    /// Repeats the run.
    pub repeat: &'a str,
    /// Computes a sample of the faults again and compares it.
    pub verify: &'a str,
    /// SHA-256 of `faults.parquet`, 64 hex digits.
    pub faults_sha256: &'a str,
}
