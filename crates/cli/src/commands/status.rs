use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use campaign::{Experiment, Shard};
use clap::Args;
use records::{
    CellProgress, Environment, Extension, FinishedUnit, Manifest, PlannedCell, Rejected, Scan, Store, Unit,
};
use serde::Serialize;

use crate::commands::run::run_directory;
use crate::commands::single_fault;
use crate::terminal::document::{Document, MOST_CELLS, NamedCell, Shown, cells_left_out, path};
use crate::terminal::exit::Outcome;
use crate::terminal::output::{markdown, progress_line};
use harness::Failure;

/// Show the progress of a run; exit with code 5 while it is incomplete
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Run directory, or experiment file (TOML)
    run: PathBuf,
    /// Run directory of the experiment file [default: runs/NAME, by the experiment's name]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print only the unfinished shards of N, separated by commas
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    unfinished_shards: Option<u64>,
    #[command(flatten)]
    shown: Shown,
}

const HELP: &str = "\
The command reads files only, no queue and no accounting. A finished trial counts once it is on the disk: a run
writes the trials of the units in work every half minute, and when it stops. If the experiment file has more trials
than its run, the trials that `zerospace run` would add count as missing.

Examples:
  zerospace status runs/resnet20-cifar10
  zerospace status experiments/resnet20-cifar10.toml
  zerospace status runs/resnet20-cifar10 --unfinished-shards 8
  zerospace status runs/resnet20-cifar10 --format json | jq '.trials / .needed_trials'";

pub(crate) fn execute(arguments: &Arguments) -> Result<Outcome, Failure> {
    if let Some(root) = single_fault::directory(&arguments.run, arguments.out.as_deref())? {
        return single_fault::status(&root, arguments.unfinished_shards, &arguments.shown);
    }
    let (root, asked) = run_of(&arguments.run, arguments.out.as_deref())?;
    let store = Store::open(&root).map_err(Failure::from).map_err(|failure| match asked {
        Some(_) if !root.join("manifest.json").exists() => {
            failure.at(format!("no run of {} there yet, `zerospace run` begins one", arguments.run.display()))
        }
        _ => failure,
    })?;
    let scan = store.scan()?;
    scan.rejected.iter().for_each(report_rejected);
    let manifest = &asked_for(store.manifest(), asked);
    if let Some(asked) = asked.filter(|&asked| asked != store.manifest().trials) {
        let there = store.manifest().trials;
        let meaning = if asked > there { "`zerospace run` adds them" } else { "all of the run's are shown" };
        progress_line(&format!(
            "{} has {asked} trials a cell, the run in {} has {there}: {meaning}",
            arguments.run.display(),
            root.display()
        ));
    }
    let progress = |cell: &PlannedCell| manifest.progress(&cell.id, &scan.done);
    let progress: Vec<CellProgress> = manifest.cells.iter().map(progress).collect();
    if let Some(count) = arguments.unfinished_shards {
        let missing: BTreeSet<&Unit> = progress.iter().flat_map(|cell| &cell.missing).collect();
        let units = manifest.units().into_iter().enumerate().filter(|(_, unit)| missing.contains(unit));
        let unfinished: BTreeSet<u64> =
            units.map(|(position, _)| Shard::of(position, count).index()).collect();
        let outcome = if unfinished.is_empty() { Outcome::Done } else { Outcome::Incomplete };
        let unfinished = unfinished.into_iter().collect();
        arguments.shown.format.show(&Unfinished { run: path(&root), shards: count, unfinished });
        return Ok(outcome);
    }
    let cell = |(cell, progress): (&PlannedCell, &CellProgress)| {
        let Finished { trials, unchanged } = Finished::of(progress, &scan);
        CellStatus {
            named: NamedCell::new(&cell.spec),
            trials,
            // A cell with enough failures needs no more.
            needed_trials: if progress.missing.is_empty() { trials } else { manifest.trials },
            unchanged,
        }
    };
    let cells: Vec<CellStatus> = manifest.cells.iter().zip(&progress).map(cell).collect();
    let status = Status {
        run: path(&root),
        experiment: &manifest.experiment,
        trials: cells.iter().map(|cell| cell.trials).sum(),
        needed_trials: cells.iter().map(|cell| cell.needed_trials).sum(),
        not_counted: scan.rejected.iter().map(NotCounted::new).collect(),
        cells,
    };
    arguments.shown.format.show(&status);
    let complete = progress.iter().all(|progress| progress.missing.is_empty());
    Ok(if complete { Outcome::Done } else { Outcome::Incomplete })
}

/// Finds the run directory; for an experiment file also returns its trials per cell.
fn run_of(given: &Path, out: Option<&Path>) -> Result<(PathBuf, Option<u64>), Failure> {
    if given.is_dir() || !given.is_file() && given.extension().is_none_or(|extension| extension != "toml") {
        return match out {
            None => Ok((given.into(), None)),
            Some(out) => Err(Failure::Input(anyhow!(
                "--out is {}, expected none beside a run directory, {}",
                out.display(),
                given.display()
            ))),
        };
    }
    let (experiment, _) = Experiment::load(given)
        .context("expected a run directory or an experiment file (TOML)")
        .map_err(Failure::Input)?;
    Ok((run_directory(&experiment, out), Some(experiment.trials)))
}

/// The manifest after an extension to the requested trials.
fn asked_for(manifest: &Manifest, trials: Option<u64>) -> Manifest {
    let mut manifest = manifest.clone();
    if let Some(trials) = trials.filter(|&trials| trials > manifest.trials) {
        manifest.extensions.push(Extension { trials: manifest.trials, by: Environment::default() });
        manifest.trials = trials;
    }
    manifest
}

/// Finished trials of a cell: those of its stored units, and the first trials of units in work.
struct Finished {
    trials: u64,
    unchanged: u64,
}

impl Finished {
    fn of(progress: &CellProgress, scan: &Scan) -> Self {
        let mut finished = Self { trials: 0, unchanged: 0 };
        for unit in &progress.counted {
            finished.trials += unit.count;
            finished.unchanged += scan.done.get(unit).map_or(0, |stored| stored.unchanged);
        }
        for part in progress.missing.iter().filter_map(|unit| scan.begun.get(unit)) {
            finished.trials += part.trials.len() as u64;
            finished.unchanged += FinishedUnit::of(part, None).unchanged;
        }
        finished
    }
}

/// Number of finished trials of a run.
pub(crate) fn finished_trials(manifest: &Manifest, scan: &Scan) -> u64 {
    let of = |cell: &PlannedCell| Finished::of(&manifest.progress(&cell.id, &scan.done), scan).trials;
    manifest.cells.iter().map(of).sum()
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
        let rows: Vec<Vec<String>> = self.cells.iter().take(MOST_CELLS).map(row).collect();
        format!(
            "{}{}\n{} of {} trials",
            markdown(&columns, &rows),
            cells_left_out(self.cells.len()),
            self.trials,
            self.needed_trials
        )
    }
}

/// Unfinished shards of a run.
#[derive(Serialize)]
pub(crate) struct Unfinished {
    pub(crate) run: String,
    pub(crate) shards: u64,
    pub(crate) unfinished: Vec<u64>,
}

impl Document for Unfinished {
    const FORMAT: &'static str = "zerospace.unfinished-shards/1";

    fn text(&self) -> String {
        self.unfinished.iter().map(u64::to_string).collect::<Vec<_>>().join(",")
    }
}

/// Reports a part that does not count.
pub(crate) fn report_rejected(part: &Rejected) {
    progress_line(&format!("not counted: {}: {}", part.path.display(), part.reason));
}
