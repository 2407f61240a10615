use std::path::{Path, PathBuf};

use analysis::{CellSummary, Estimates, Interval, Measure};
use anyhow::anyhow;
use clap::Args;
use design::{Better, FaultModel, Metric, ProtectionName};
use harness::{
    Failure, LargeRunReport, LoadedExperiment, RunReport, SYNTHETIC, is_synthetic_run, measure,
    measure_fault_free,
};
use records::{FaultStore, Store};
use serde::Serialize;

use crate::commands::merge::merge;
use crate::commands::single_fault;
use crate::commands::splice::splice;
use crate::commands::table1::word;
use crate::terminal::document::{Document, Format, Shown, path, paths};
use crate::terminal::exit::Outcome;
use crate::terminal::machine::Machine;
use crate::terminal::progress::Terminal;
use crate::terminal::signals;

/// Write tables and figures of a merged run
///
/// Writes report.html (one page with everything), report.md, summary.csv, outcomes.csv, paired.csv, accuracy-vs-rate.svg and
/// .png beside trials.parquet, and prints the headline table. For a sweep over tensors or bits, sensitivity.csv, .svg and
/// .png replace the figure, and the command prints the most sensitive ones. For images without labels, agreement with the
/// fault-free network replaces accuracy, in file names too. (`zerospace train --figures-only` draws the figures of a
/// training.)
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Run directory
    #[arg(required_unless_present = "splice")]
    run: Option<PathBuf>,
    /// Directory for the files [default: the run directory]
    #[arg(long, value_name = "DIR", requires = "run")]
    out: Option<PathBuf>,
    /// Experiment file of the run: first measure the fault-free accuracy under lossy protections, if the run has not;
    /// images are searched as in `run`
    #[arg(long, value_name = "EXPERIMENT", requires = "run")]
    fault_free: Option<PathBuf>,
    /// Rewrite the parts of Markdown files that come from runs
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["run", "format"])]
    splice: Vec<PathBuf>,
    /// With --splice: write nothing; exit with code 6 if a part differs from the records
    #[arg(long, requires = "splice")]
    check: bool,
    #[command(flatten)]
    machine: Machine,
    #[command(flatten)]
    shown: Shown,
}

const HELP: &str = "\
In a Markdown file, a part that comes from a run stands between two comments. The first comment names the part:
`drops DIR` is the table of accuracy drops of the run in DIR, `runs DIR` the table of all runs in DIR.
Directories are relative to the file.
  <!-- zerospace report: drops results/reproduce -->
  <!-- zerospace report: end -->

Examples:
  zerospace report runs/resnet20-cifar10 --out results/resnet20-cifar10
  zerospace report results/compare --fault-free experiments/compare.toml
  zerospace report --splice README.md results/README.md
  zerospace report --splice README.md results/README.md --check";

pub(crate) fn execute(arguments: &Arguments) -> Result<Outcome, Failure> {
    let Some(run) = &arguments.run else { return splice(&arguments.splice, arguments.check) };
    if FaultStore::is_at(run) {
        return single_fault::report(run, arguments.out.as_deref().unwrap_or(run));
    }
    arguments.machine.start()?;
    let store = Store::open(run)?;
    let format = arguments.shown.format;
    if let Some(experiment) = &arguments.fault_free {
        if let Some(metric) = store.manifest().metrics().first() {
            return Err(Failure::Input(anyhow!(
                "--fault-free: the trials of {} have scores ({}, ...), which are compared with those that the run has of each \
                 network, expected a run with predictions",
                run.display(),
                metric.name
            )));
        }
        let observer = Terminal::default();
        let loaded = LoadedExperiment::load(experiment, &arguments.machine.data(), &observer)?;
        let mut ready = loaded.ready(&observer)?;
        if let Some(measured) = measure_fault_free(&store, &loaded, &mut ready, &observer)? {
            signals::whole(|| measured.write(&store))?;
        }
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

fn report(store: &Store, out: &Path, format: Format) -> Result<Outcome, Failure> {
    let manifest = store.manifest();
    if LargeRunReport::is_of(manifest) {
        let run = LargeRunReport::new(store, &Terminal::default())?;
        let written = signals::last(|| run.write(out))?;
        let (cells, trials) = run.size();
        format.show(&Reported {
            run: path(store.root()),
            experiment: &manifest.experiment,
            measure: measure(manifest),
            synthetic: is_synthetic_run(manifest),
            large: Some(Large { cells, trials }),
            cells: Vec::new(),
            scores: Vec::new(),
            written: paths(&written),
            table: run.headline(),
        });
        return Ok(Outcome::Done);
    }
    let run = RunReport::new(store)?;
    let written = signals::last(|| run.write(out))?;
    format.show(&Reported {
        run: path(store.root()),
        experiment: &manifest.experiment,
        measure: measure(manifest),
        synthetic: is_synthetic_run(manifest),
        large: None,
        cells: cells(&run.estimates),
        scores: scores(&run.estimates),
        written: paths(&written),
        table: run.headline(),
    });
    Ok(Outcome::Done)
}

#[derive(Serialize)]
struct Reported<'a> {
    run: String,
    experiment: &'a str,
    #[serde(serialize_with = "word")]
    measure: Measure,
    synthetic: bool,
    /// Size of a large run, whose cells are in `cells.csv` and not here.
    #[serde(skip_serializing_if = "Option::is_none")]
    large: Option<Large>,
    cells: Vec<ReportedCell<'a>>,
    /// Cells by each metric, in place of `cells`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scores: Vec<ReportedScore>,
    written: Vec<String>,
    #[serde(skip)]
    table: String,
}

#[derive(Serialize)]
struct Large {
    cells: u64,
    trials: u64,
}

/// A cell by one metric. Degradations are in the unit of the score, positive if faults made it worse.
#[derive(Serialize)]
struct ReportedScore {
    metric: String,
    better: Better,
    model: String,
    protection: ProtectionName,
    fault_model: FaultModel,
    rate: f64,
    trials: u64,
    changed_probability: Option<f64>,
    clean_score: f64,
    fault_free_score: Option<f64>,
    mean_score: f64,
    degradation_mean: f64,
    degradation_sd: Option<f64>,
    degradation_median: f64,
    degradation_min: f64,
    degradation_max: f64,
    interval_low: Option<f64>,
    interval_high: Option<f64>,
}

impl ReportedScore {
    fn new(metric: &Metric, summary: &CellSummary) -> Self {
        let drop = &summary.drop;
        let interval = drop.interval.bounds();
        Self {
            metric: metric.name.clone(),
            better: metric.better,
            model: summary.key.model.clone(),
            protection: summary.key.protection.clone(),
            fault_model: summary.key.fault_model.clone(),
            rate: summary.key.rate,
            trials: summary.trials,
            changed_probability: summary.changed_probability,
            clean_score: summary.clean,
            fault_free_score: summary.fault_free,
            mean_score: summary.mean,
            degradation_mean: drop.mean,
            degradation_sd: drop.sd,
            degradation_median: drop.median,
            degradation_min: drop.min,
            degradation_max: drop.max,
            interval_low: interval.map(|(low, _)| low),
            interval_high: interval.map(|(_, high)| high),
        }
    }
}

/// Cells whose images are counted; none if trials have scores.
fn cells(estimates: &Estimates) -> Vec<ReportedCell<'_>> {
    let counted = estimates.metrics().is_empty();
    estimates.summaries().iter().filter(|_| counted).map(ReportedCell::new).collect()
}

/// Cells by the first metric, then by each further one.
fn scores(estimates: &Estimates) -> Vec<ReportedScore> {
    let of = |estimates: &Estimates| -> Vec<ReportedScore> {
        let Some(metric) = estimates.measure().metric() else { return Vec::new() };
        estimates.summaries().iter().map(|summary| ReportedScore::new(metric, summary)).collect()
    };
    let mut scores = of(estimates);
    scores.extend(estimates.further().flat_map(|further| of(&further)));
    scores
}

/// Columns of summary.csv for a cell; percentages are of the images.
#[derive(Serialize)]
struct ReportedCell<'a> {
    model: &'a str,
    protection: &'a ProtectionName,
    fault_model: &'a FaultModel,
    rate: f64,
    trials: u64,
    images: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_images: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    between_trials_sd_points: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    within_trial_sd_points: Option<f64>,
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
        let drop = &summary.drop;
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
            set_images: summary.drawn.map(|drawn| drawn.set),
            between_trials_sd_points: summary.drawn.and_then(|drawn| drawn.between_sd()),
            within_trial_sd_points: summary.drawn.and_then(|drawn| drawn.within_sd()),
            changed_probability: summary.changed_probability,
            clean_percent: summary.clean,
            fault_free_percent: summary.fault_free,
            mean_percent: summary.mean,
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
