use std::path::PathBuf;

use clap::Args;
use records::{Merged, Store};

use crate::exit::{Failure, Outcome};
use crate::output::{data, progress_line};
use crate::status::report_rejected;

/// Merge the parts of a finished run into trials.parquet; exit 5 when some are missing
///
/// Rows are in plan order. The file is a function of the records: however the run was interrupted or
/// spread over threads, its bytes are the same.
#[derive(Args)]
#[command(after_help = "Example:\n  zerospace merge runs/resnet20-cifar10")]
pub(crate) struct Arguments {
    /// Run directory
    run: PathBuf,
}

pub(crate) fn execute(arguments: &Arguments) -> Result<Outcome, Failure> {
    merge(&Store::open(&arguments.run)?)
}

/// Merges; says what is missing when it cannot.
pub(crate) fn merge(store: &Store) -> Result<Outcome, Failure> {
    let missing = match store.merge()? {
        Merged::Complete(path) => {
            data(&path.display().to_string());
            return Ok(Outcome::Done);
        }
        Merged::Missing(units) => units,
    };
    store.scan()?.rejected.iter().for_each(report_rejected);
    let first = &missing[0];
    progress_line(&format!(
        "incomplete: {} units are missing, the first is trials {}..{} of cell {}; `zerospace run` resumes",
        missing.len(),
        first.first,
        first.first + first.count,
        first.cell
    ));
    Ok(Outcome::Incomplete)
}
