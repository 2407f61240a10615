use std::path::{Path, PathBuf};

use analysis::{CellSummary, Context, Interval, Measure, Report, Run, Sensitivity, Statistic};
use clap::Args;
use records::{Manifest, Store, TableError, read_trials};
use serde::Serialize;

use crate::digest::file_sha256;
use crate::document::{Document, Format, Shown, path, paths};
use crate::exit::{Failure, Outcome};
use crate::fault_free::{self, lossy_storages};
use crate::images::{LABEL_FREE, SYNTHETIC, is_synthetic, left_out};
use crate::loading::{Machine, Prepared};
use crate::merge::merge;
use crate::signals;
use crate::splice::splice;
use crate::table1::word;

/// Write tables and the figure of a merged run
///
/// Writes report.html, one page with everything in it, report.md, summary.csv, outcomes.csv, paired.csv, accuracy-vs-rate.svg
/// and .png beside trials.parquet, and prints the headline table. Of a sweep over tensors or bits, sensitivity.csv, .svg and .png take
/// the place of the figure, and the most sensitive are printed. For images without labels agreement with the fault-free
/// network takes the place of accuracy, in file names too. (The figures of a training are drawn by
/// `zerospace train --figures-only`.)
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Run directory
    #[arg(required_unless_present = "splice")]
    run: Option<PathBuf>,
    /// Where to write [default: the run directory]
    #[arg(long, value_name = "DIR", requires = "run")]
    out: Option<PathBuf>,
    /// Measure first what lossy protections leave of the networks without faults, where the run has not: its experiment
    /// file; the images are looked for as by `run`
    #[arg(long, value_name = "EXPERIMENT", requires = "run")]
    fault_free: Option<PathBuf>,
    /// Write the parts of Markdown files anew that come from runs
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["run", "format"])]
    splice: Vec<PathBuf>,
    /// With --splice: write nothing; exit 6 when a part is not what the records say
    #[arg(long, requires = "splice")]
    check: bool,
    #[command(flatten)]
    machine: Machine,
    #[command(flatten)]
    shown: Shown,
}

const HELP: &str = "\
A part of a Markdown file that comes from a run stands between two comments and is named by the first:
`drops DIR` is the table of accuracy drops of the run in DIR, `runs DIR` a table of all runs that lie in
DIR. Directories are relative to the file.
  <!-- zerospace report: drops results/reproduce -->
  <!-- zerospace report: end -->

Examples:
  zerospace report runs/resnet20-cifar10 --out results/resnet20-cifar10
  zerospace report results/compare --fault-free experiments/compare.toml
  zerospace report --splice README.md results/README.md
  zerospace report --splice README.md results/README.md --check";

pub(crate) fn execute(arguments: &Arguments) -> Result<Outcome, Failure> {
    let Some(run) = &arguments.run else { return splice(&arguments.splice, arguments.check) };
    let store = Store::open(run)?;
    let format = arguments.shown.format;
    if let Some(experiment) = &arguments.fault_free {
        arguments.machine.start()?;
        let prepared = Prepared::load(experiment, &arguments.machine)?;
        fault_free::measure(&store, &prepared, &mut prepared.evaluators()?)?;
    }
    // The table of an extended run may be that of the shorter one.
    let may_be_short = !store.manifest().extensions.is_empty() && run.join("parts").exists();
    let merged = run.join("trials.parquet").exists() && !may_be_short;
    if !merged && merge(&store, format)? == Outcome::Incomplete {
        return Ok(Outcome::Incomplete);
    }
    report(&store, arguments.out.as_deref().unwrap_or(run), format)
}

/// Merges a run and reports it in its own directory.
pub(crate) fn merge_and_report(store: &Store, root: &Path) -> Result<Outcome, Failure> {
    if merge(store, Format::Text)? == Outcome::Incomplete {
        return Ok(Outcome::Incomplete);
    }
    report(store, root, Format::Text)
}

/// Rows of each ranking of a sweep that are printed.
const FIRST_OF_RANKING: usize = 10;

fn report(store: &Store, out: &Path, format: Format) -> Result<Outcome, Failure> {
    let manifest = store.manifest();
    let label_free = label_free(manifest);
    let report = analysed(store)?;
    let notes = notes(manifest);
    let command = whole_run(&manifest.latest().command);
    let trials_sha256 = file_sha256(&store.root().join("trials.parquet")).map_err(Failure::Machine)?;
    let classes: Vec<u64> = manifest.networks.iter().map(|n| n.classes).collect();
    let chance = classes.first().filter(|c| classes.iter().all(|d| d == *c));
    let context = Context {
        title: &manifest.experiment,
        chance_percent: chance.filter(|_| !label_free).map(|&classes| 100.0 / classes as f64),
        stop: manifest.stop,
        networks: &manifest.networks,
        notes: &notes,
        run: Some(Run {
            manifest,
            command: &command,
            needs_data: !synthetic(manifest),
            experiment: experiment_file(&manifest.latest().command),
            trials_sha256: &trials_sha256,
        }),
    };
    let written =
        signals::last(|| analysis::write_report(&report, &context, out)).map_err(Failure::machine)?;
    let table = match Sensitivity::new(&report, &manifest.networks) {
        swept if swept.is_empty() => report.drop_table(Statistic::AllTrials),
        swept => swept.markdown(FIRST_OF_RANKING),
    };
    format.show(&Reported {
        run: path(store.root()),
        experiment: &manifest.experiment,
        measure: measure(manifest),
        synthetic: synthetic(manifest),
        cells: report.summaries().iter().map(ReportedCell::new).collect(),
        written: paths(&written),
        table,
    });
    Ok(Outcome::Done)
}

/// What a merged run says.
pub(crate) fn analysed(store: &Store) -> Result<Report, Failure> {
    let manifest = store.manifest();
    let rows = read_trials(&store.root().join("trials.parquet")).map_err(|error| match error {
        TableError::Schema { .. } => Failure::input(error),
        TableError::Io { .. } | TableError::Parquet(_) => Failure::machine(error),
    })?;
    let report = Report::from_rows(&rows).map_err(Failure::input)?;
    let report = report.with_lossy(lossy_storages(store)?).map_err(Failure::input)?;
    Ok(report.with_measure(measure(manifest)).with_expected(&manifest.expected))
}

/// What the records count as correct.
fn measure(manifest: &Manifest) -> Measure {
    if label_free(manifest) { Measure::Agreement } else { Measure::Accuracy }
}

#[derive(Serialize)]
struct Reported<'a> {
    run: String,
    experiment: &'a str,
    #[serde(serialize_with = "word")]
    measure: Measure,
    synthetic: bool,
    cells: Vec<ReportedCell<'a>>,
    written: Vec<String>,
    #[serde(skip)]
    table: String,
}

/// What summary.csv has of a cell; `percent` are of the images, by the measure.
#[derive(Serialize)]
struct ReportedCell<'a> {
    model: &'a str,
    protection: &'a str,
    fault_model: &'a str,
    rate: f64,
    trials: u64,
    images: u64,
    changed_probability: Option<f64>,
    clean_percent: f64,
    fault_free_percent: Option<f64>,
    mean_percent: f64,
    drop_mean_points: f64,
    drop_sd_points: Option<f64>,
    drop_median_points: f64,
    drop_min_points: f64,
    drop_max_points: f64,
    interval_low_points: Option<f64>,
    interval_high_points: Option<f64>,
}

impl<'a> ReportedCell<'a> {
    fn new(summary: &'a CellSummary) -> Self {
        let drop = &summary.drop_points;
        let (interval_low_points, interval_high_points) = match drop.interval {
            Interval::Bca { low, high } => (Some(low), Some(high)),
            Interval::Absent | Interval::AllEqual { .. } => (None, None),
        };
        Self {
            model: &summary.key.model,
            protection: &summary.key.protection,
            fault_model: &summary.key.fault_model,
            rate: summary.key.rate,
            trials: summary.trials,
            images: summary.images,
            changed_probability: summary.changed_probability,
            clean_percent: summary.clean_accuracy_percent,
            fault_free_percent: summary.fault_free_percent,
            mean_percent: summary.accuracy_percent,
            drop_mean_points: drop.mean,
            drop_sd_points: drop.sd,
            drop_median_points: drop.median,
            drop_min_points: drop.min,
            drop_max_points: drop.max,
            interval_low_points,
            interval_high_points,
        }
    }
}

impl Document for Reported<'_> {
    const FORMAT: &'static str = "zerospace.report/1";

    fn text(&self) -> String {
        let note = if self.synthetic { format!("\n{SYNTHETIC}\n") } else { String::new() };
        format!("{}{note}\n{}", self.table, self.written.join("\n"))
    }
}

/// Options that say where a process works and on which share of a run: they are of a machine, and no record depends on them.
const OF_THE_MACHINE: [&str; 5] = ["--shard", "--data", "--cache", "--out", "--threads"];

/// The command line that started a run, without what was only of the machine that it ran on.
pub(crate) fn whole_run(command: &[String]) -> String {
    let mut words = Vec::new();
    let mut rest = command.iter();
    while let Some(word) = rest.next() {
        let (option, value) = word.split_once('=').map_or((word.as_str(), None), |(o, v)| (o, Some(v)));
        match (OF_THE_MACHINE.contains(&option), value) {
            (true, None) => drop(rest.next()),
            (true, Some(_)) => {}
            (false, _) => words.push(word.as_str()),
        }
    }
    words.join(" ")
}

/// The experiment file that a run was started with; `zerospace reproduce` carries the one in the repository.
fn experiment_file(command: &[String]) -> &str {
    command.iter().find(|word| word.ends_with(".toml")).map_or("experiments/reproduce.toml", String::as_str)
}

/// What a command that computes a run again needs beside its experiment: the folder of the image sets, if it has any.
pub(crate) fn data_option(manifest: &Manifest) -> &'static str {
    if synthetic(manifest) { "" } else { " --data $DATA" }
}

fn synthetic(manifest: &Manifest) -> bool {
    manifest.cells.first().is_some_and(|cell| is_synthetic(&cell.spec.evaluation.name))
}

/// Whether the fault-free predictions stand for labels.
fn label_free(manifest: &Manifest) -> bool {
    manifest.cells.first().is_some_and(|cell| cell.spec.evaluation.label_free)
}

/// What the report says of the networks and the images.
fn notes(manifest: &Manifest) -> String {
    let label_free = label_free(manifest);
    let mut lines = Vec::new();
    if let Some(first) = manifest.extensions.first() {
        let later = manifest.extensions[1..].iter().map(|extension| extension.trials);
        let then: Vec<String> = later.chain([manifest.trials]).map(|trials| trials.to_string()).collect();
        lines.push(format!(
            "- **trials**: {} trials a cell at first, then extended to {}",
            first.trials,
            then.join(" and to ")
        ));
    }
    for network in &manifest.networks {
        let correct = match label_free {
            true => String::new(),
            false => format!("; {} images correct without faults", network.clean_correct),
        };
        lines.push(format!(
            "- **{}**: {}; content hash `{}`{correct}",
            network.label, network.architecture, network.network
        ));
        lines.extend(network.provenance.iter().map(|line| format!("  - {line}")));
    }
    if let Some(cell) = manifest.cells.first() {
        let set = &cell.spec.evaluation;
        if synthetic(manifest) {
            lines.push(format!("- **{SYNTHETIC}**"));
        }
        if label_free {
            lines.push(format!("- **{LABEL_FREE}**"));
        }
        lines.push(format!(
            "- **evaluation**: first {} images of {} {}{}, SHA-256 of the decoded images `{}`",
            set.images,
            set.name,
            set.split,
            left_out(set),
            set.digest
        ));
    }
    lines.join("\n")
}
