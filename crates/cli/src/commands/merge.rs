use std::collections::HashSet;
use std::path::PathBuf;

use clap::Args;
use design::CellId;
use records::{FaultStore, Merged, PlannedCell, Store, Unit};

use crate::commands::single_fault;
use crate::commands::status::report_rejected;
use crate::terminal::document::Format;
use crate::terminal::exit::Outcome;
use crate::terminal::output::{data, progress_line};
use crate::terminal::progress::bar;
use crate::terminal::signals;
use harness::Failure;

/// Merge the parts of a finished run into trials.parquet; exit with code 5 if parts are missing
///
/// Rows are in plan order. The file depends only on the records: its bytes are equal for any interruption of the run
/// and any division among threads, shards and machines. A second merge changes nothing.
#[derive(Args)]
#[command(after_help = "Example:\n  zerospace merge runs/resnet20-cifar10")]
pub(crate) struct Arguments {
    /// Run directory
    run: PathBuf,
}

pub(crate) fn execute(arguments: &Arguments) -> Result<Outcome, Failure> {
    if FaultStore::is_at(&arguments.run) {
        return single_fault::merge(&arguments.run);
    }
    merge(&Store::open(&arguments.run)?, Format::Text)
}

/// Merges the parts, or lists missing trials. The name of the merged file is printed only as text: with JSON a document
/// follows.
///
/// Another process may have extended the run since `store` was opened; this merges the present run.
pub(crate) fn merge(store: &Store, format: Format) -> Result<Outcome, Failure> {
    let store = &Store::open(store.root())?;
    let manifest = store.manifest();
    let bar = bar(manifest.trials.saturating_mul(manifest.cells.len() as u64), "trials merged");
    let merged = signals::whole(|| store.merge_with(&mut |trials| bar.set_position(trials)));
    bar.finish_and_clear();
    let missing = match merged? {
        Merged::Complete(path) => {
            if format == Format::Text {
                data(&path.display().to_string());
            }
            return Ok(Outcome::Done);
        }
        Merged::Missing(units) => units,
    };
    store.scan()?.rejected.iter().for_each(report_rejected);
    let incomplete: HashSet<CellId> = missing.iter().map(|unit| unit.cell).collect();
    let lacking = |cell: &&PlannedCell| incomplete.contains(&cell.id);
    let lacking: Vec<&PlannedCell> = manifest.cells.iter().filter(lacking).collect();
    progress_line(&format!(
        "incomplete: {} of {} units are missing; `zerospace run` resumes",
        missing.len(),
        manifest.units().len(),
    ));
    for cell in lacking.iter().take(MOST_CELLS) {
        let trials = ranges(missing.iter().filter(|unit| unit.cell == cell.id));
        progress_line(&format!("missing: trials {trials} of cell {} ({})", cell.id, cell.spec.label()));
    }
    if lacking.len() > MOST_CELLS {
        progress_line(&format!("missing: trials of {} more cells", lacking.len() - MOST_CELLS));
    }
    Ok(Outcome::Incomplete)
}

/// Most cells whose missing trials are listed.
const MOST_CELLS: usize = 8;

/// The trials of ascending units of one cell.
fn ranges<'a>(units: impl Iterator<Item = &'a Unit>) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for unit in units {
        let end = unit.first + unit.count;
        match ranges.last_mut().filter(|(_, last)| *last == unit.first) {
            Some((_, last)) => *last = end,
            None => ranges.push((unit.first, end)),
        }
    }
    ranges.iter().map(|(first, end)| format!("{first}..{end}")).collect::<Vec<_>>().join(", ")
}
