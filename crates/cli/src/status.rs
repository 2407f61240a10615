use std::collections::BTreeSet;
use std::path::PathBuf;

use campaign::Shard;
use clap::Args;
use records::{PlannedCell, Rejected, Standing, Store, Unit};
use serde::Serialize;

use crate::document::{Document, NamedCell, Shown, path};
use crate::exit::{Failure, Outcome};
use crate::output::{markdown, progress_line};

/// Show how much of a run is done; exit 5 while it is incomplete
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Run directory
    run: PathBuf,
    /// Print only which of N shards are unfinished, with commas between them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    unfinished_shards: Option<u64>,
    #[command(flatten)]
    shown: Shown,
}

const HELP: &str = "\
Only files are read: no queue, no accounting.

Examples:
  zerospace status runs/resnet20-cifar10
  zerospace status runs/resnet20-cifar10 --unfinished-shards 8
  zerospace status runs/resnet20-cifar10 --format json | jq '.trials / .needed_trials'";

pub(crate) fn execute(arguments: &Arguments) -> Result<Outcome, Failure> {
    let store = Store::open(&arguments.run)?;
    let scan = store.scan()?;
    scan.rejected.iter().for_each(report_rejected);
    let manifest = store.manifest();
    let standing = |cell: &PlannedCell| manifest.standing(&cell.id, &scan.done);
    let standings: Vec<Standing> = manifest.cells.iter().map(standing).collect();
    if let Some(count) = arguments.unfinished_shards {
        let missing: BTreeSet<&Unit> = standings.iter().flat_map(|cell| &cell.missing).collect();
        let units = manifest.units().into_iter().enumerate().filter(|(_, unit)| missing.contains(unit));
        let unfinished: BTreeSet<u64> =
            units.map(|(position, _)| Shard::of(position, count).index()).collect();
        let outcome = if unfinished.is_empty() { Outcome::Done } else { Outcome::Incomplete };
        let unfinished = unfinished.into_iter().collect();
        arguments.shown.format.show(&Unfinished { run: path(&arguments.run), shards: count, unfinished });
        return Ok(outcome);
    }
    let cell = |(cell, standing): (&PlannedCell, &Standing)| {
        let trials: u64 = standing.counted.iter().map(|unit| unit.count).sum();
        let records = standing.counted.iter().flat_map(|unit| &scan.done[unit].trials);
        CellStatus {
            named: NamedCell::new(&cell.spec),
            trials,
            // A cell with enough failures needs no more.
            needed_trials: if standing.missing.is_empty() { trials } else { manifest.trials },
            unchanged: records.filter(|trial| trial.weights_changed == 0).count() as u64,
        }
    };
    let cells: Vec<CellStatus> = manifest.cells.iter().zip(&standings).map(cell).collect();
    let status = Status {
        run: path(&arguments.run),
        experiment: &manifest.experiment,
        trials: cells.iter().map(|cell| cell.trials).sum(),
        needed_trials: cells.iter().map(|cell| cell.needed_trials).sum(),
        not_counted: scan.rejected.iter().map(NotCounted::new).collect(),
        cells,
    };
    arguments.shown.format.show(&status);
    Ok(if status.trials == status.needed_trials { Outcome::Done } else { Outcome::Incomplete })
}

#[derive(Serialize)]
struct Status<'a> {
    run: String,
    experiment: &'a str,
    trials: u64,
    needed_trials: u64,
    cells: Vec<CellStatus>,
    not_counted: Vec<NotCounted>,
}

#[derive(Serialize)]
struct CellStatus {
    #[serde(flatten)]
    named: NamedCell,
    trials: u64,
    needed_trials: u64,
    unchanged: u64,
}

#[derive(Serialize)]
struct NotCounted {
    path: String,
    reason: String,
}

impl NotCounted {
    fn new(part: &Rejected) -> Self {
        Self { path: path(&part.path), reason: part.reason.to_string() }
    }
}

impl Document for Status<'_> {
    const FORMAT: &'static str = "zerospace.status/1";

    fn text(&self) -> String {
        let row = |cell: &CellStatus| {
            let mut row = cell.named.columns();
            row.extend([format!("{}/{}", cell.trials, cell.needed_trials), cell.unchanged.to_string()]);
            row
        };
        let columns = [&NamedCell::COLUMNS[..], &[">trials", ">unchanged"]].concat();
        let rows: Vec<Vec<String>> = self.cells.iter().map(row).collect();
        format!("{}\n{} of {} trials", markdown(&columns, &rows), self.trials, self.needed_trials)
    }
}

#[derive(Serialize)]
struct Unfinished {
    run: String,
    shards: u64,
    unfinished: Vec<u64>,
}

impl Document for Unfinished {
    const FORMAT: &'static str = "zerospace.unfinished-shards/1";

    fn text(&self) -> String {
        self.unfinished.iter().map(u64::to_string).collect::<Vec<_>>().join(",")
    }
}

/// Tells of a part that does not count.
pub(crate) fn report_rejected(part: &Rejected) {
    progress_line(&format!("not counted: {}: {}", part.path.display(), part.reason));
}
