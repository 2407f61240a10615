use std::path::PathBuf;

use clap::Args;
use records::Store;

use crate::exit::{Failure, Outcome};
use crate::output::{data, progress_line};

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
    match store.merge()? {
        Ok(path) => {
            data(&path.display().to_string());
            Ok(Outcome::Done)
        }
        Err(missing) => {
            let first = &missing[0];
            progress_line(&format!(
                "incomplete: {} units are missing, the first is trials {}..{} of cell {}; run the experiment again to resume",
                missing.len(),
                first.first,
                first.first + first.count,
                first.cell
            ));
            Ok(Outcome::Incomplete)
        }
    }
}
