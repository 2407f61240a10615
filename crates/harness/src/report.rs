//! Report of a merged run.

use std::fs::File;
use std::path::{Path, PathBuf};

use analysis::{
    AnalysisError, Commands, Context, Estimates, Figure, LargeEstimates, LargeEstimator, Measure, Run,
    Sensitivity, Statistic, accuracy_figure, drop_table, sensitivity_markdown, worst_cells_table,
};
use anyhow::anyhow;
use records::{Manifest, RunArguments, Store, StoreError, TableError, read_cells, read_trials};

use crate::fault_free::lossy_storages;
use crate::images::{LABEL_FREE, SYNTHETIC, is_synthetic, left_out};
use crate::{Failure, Observer};

/// Rows of each ranking of a sweep in the headline table.
const FIRST_OF_RANKING: usize = 10;

/// The estimates of a merged run with everything that its report says about them.
#[derive(Debug)]
pub struct RunReport<'a> {
    store: &'a Store,
    /// The estimates.
    pub estimates: Estimates,
}

impl<'a> RunReport<'a> {
    /// Reads `trials.parquet` of a run and estimates accuracy, drops and outcomes.
    ///
    /// # Errors
    /// If the table is missing or damaged, or its trials contradict each other.
    pub fn new(store: &'a Store) -> Result<Self, Failure> {
        let rows = read_trials(&trials(store)).map_err(StoreError::from)?;
        let manifest = store.manifest();
        let estimates = Estimates::from_rows(&rows).map_err(Failure::input)?;
        let estimates = estimates.with_lossy(lossy_storages(store)?).map_err(Failure::input)?;
        let estimates = estimates.with_measure(measure(manifest)).with_expected(&manifest.expected);
        Ok(Self { store, estimates })
    }

    /// The command that computes the run again, on any machine.
    pub fn command(&self) -> String {
        command(self.store.manifest())
    }

    /// Writes tables, figures and the report as Markdown and HTML into a folder; returns the files.
    ///
    /// # Errors
    /// If `determinism.json` is damaged, or the disk refuses.
    pub fn write(&self, folder: &Path) -> Result<Vec<PathBuf>, Failure> {
        let worst = self.estimates.worst_trial();
        in_context(self.store, (&worst.cell, worst.record.trial), |context| {
            analysis::write_report(&self.estimates, context, folder)
        })
    }

    /// The figure of accuracy against bit error rate; `None` if the run only swept tensors or bits.
    pub fn figure(&self) -> Option<Figure> {
        let manifest = self.store.manifest();
        let shown = !self.estimates.panels().is_empty();
        shown.then(|| accuracy_figure(&self.estimates, &manifest.experiment, chance_percent(manifest)))
    }

    /// The headline table as Markdown: accuracy drops, or the most sensitive tensors and bits of a sweep.
    pub fn headline(&self) -> String {
        match Sensitivity::new(&self.estimates, &self.store.manifest().networks) {
            swept if swept.is_empty() => drop_table(&self.estimates, Statistic::AllTrials),
            swept => sensitivity_markdown(&swept, FIRST_OF_RANKING, "sensitivity.csv"),
        }
    }
}

/// Calls `write` with what a run's report says beside the estimates, and with the commands that replay a trial.
fn in_context(
    store: &Store,
    (cell, trial): (&str, u64),
    write: impl FnOnce(&Context) -> Result<Vec<PathBuf>, AnalysisError>,
) -> Result<Vec<PathBuf>, Failure> {
    let manifest = store.manifest();
    let arguments = manifest.latest().arguments();
    let experiment = arguments.experiment();
    let data = data_option(manifest);
    let trials = trials(store);
    let trials_sha256 = File::open(&trials)
        .and_then(durable::sha256_hex_of)
        .map_err(|error| Failure::Machine(anyhow!("{}: {error}", trials.display())))?;
    let verify = arguments.python_call("verify", &[]);
    let replay = arguments.python_call("replay", &[&format!("\"{cell}\""), &trial.to_string()]);
    let commands = Commands {
        repeat: &command(manifest),
        verify: &verify.unwrap_or_else(|| format!("zerospace verify {experiment} --out DIR{data}")),
        replay: &replay
            .unwrap_or_else(|| format!("zerospace replay {experiment} {cell} {trial} --out DIR{data}")),
    };
    let (notes, determinism) = (notes(manifest), store.determinism()?);
    let context = Context {
        title: &manifest.experiment,
        chance_percent: chance_percent(manifest),
        determinism: determinism.as_ref(),
        stop: manifest.stop,
        networks: &manifest.networks,
        notes: &notes,
        run: Some(Run { manifest, commands, trials_sha256: &trials_sha256 }),
    };
    write(&context).map_err(Failure::machine)
}

/// The command that computes a run again, on any machine.
fn command(manifest: &Manifest) -> String {
    format!("{}{}", manifest.latest().arguments(), data_option(manifest))
}

/// The estimates of a merged run that is too large for [`RunReport`], read cell by cell.
#[derive(Debug)]
pub struct LargeRunReport<'a> {
    store: &'a Store,
    estimates: LargeEstimates,
}

impl<'a> LargeRunReport<'a> {
    /// Returns true if a run is reported in this way: if it has more than 2^14 cells or 2^20 planned trials.
    pub fn is_of(manifest: &Manifest) -> bool {
        let cells = manifest.cells.len() as u64;
        LargeEstimates::are_of(cells, cells.saturating_mul(manifest.trials))
    }

    /// Reads `trials.parquet` of a run and estimates the drops of every cell. `observer` is told of the trials.
    ///
    /// # Errors
    /// If the table is missing or damaged, or its trials contradict each other.
    pub fn new(store: &'a Store, observer: &dyn Observer) -> Result<Self, Failure> {
        let manifest = store.manifest();
        let mut estimator = LargeEstimator::new(measure(manifest));
        observer.begin((manifest.cells.len() as u64).saturating_mul(manifest.trials), "trials read");
        let read = read_cells(&trials(store), &mut |rows| {
            observer.advance(rows.len() as u64);
            estimator.add(rows).map_err(ReadError::Estimate)
        });
        observer.end();
        read.map_err(|error| match error {
            ReadError::Table(error) => Failure::from(StoreError::from(error)),
            ReadError::Estimate(error) => Failure::input(error),
        })?;
        Ok(Self { store, estimates: estimator.finish().map_err(Failure::input)? })
    }

    /// Writes tables, a figure and the report as Markdown and HTML into a folder; returns the files.
    ///
    /// # Errors
    /// If `determinism.json` is damaged, or the disk refuses.
    pub fn write(&self, folder: &Path) -> Result<Vec<PathBuf>, Failure> {
        in_context(self.store, self.estimates.worst_trial(), |context| {
            analysis::write_large_report(&self.estimates, context, folder)
        })
    }

    /// The headline table as Markdown: the cells that lose most.
    pub fn headline(&self) -> String {
        worst_cells_table(&self.estimates)
    }

    /// Number of cells and of trials.
    pub fn size(&self) -> (u64, u64) {
        self.estimates.size()
    }
}

/// The reason for which cells cannot be read or estimated.
enum ReadError {
    Table(TableError),
    Estimate(AnalysisError),
}

impl From<TableError> for ReadError {
    fn from(error: TableError) -> Self {
        Self::Table(error)
    }
}

/// The merged table of a run.
fn trials(store: &Store) -> PathBuf {
    store.root().join("trials.parquet")
}

/// Option of a command that computes a run again: the folder of the data sets, unless the program draws the images, or a Python
/// program has them.
fn data_option(manifest: &Manifest) -> &'static str {
    let in_python = matches!(manifest.latest().arguments(), RunArguments::Python { .. });
    if is_synthetic_run(manifest) || in_python { "" } else { " --data $DATA" }
}

/// Quantity by which a run's trials are valued: the first metric, or what `correct` of the records counts.
pub fn measure(manifest: &Manifest) -> Measure {
    if let Some(metric) = manifest.metrics().first() {
        return Measure::Score(metric.clone());
    }
    if is_label_free(manifest) { Measure::Agreement } else { Measure::Accuracy }
}

/// Returns true if the program draws the run's images.
pub fn is_synthetic_run(manifest: &Manifest) -> bool {
    manifest.cells.first().is_some_and(|cell| is_synthetic(&cell.spec.evaluation.name))
}

/// Returns true if the fault-free predictions stand for the labels.
fn is_label_free(manifest: &Manifest) -> bool {
    manifest.cells.first().is_some_and(|cell| cell.spec.evaluation.label_free)
}

/// Accuracy of guessing in % of the images, if the networks share it.
fn chance_percent(manifest: &Manifest) -> Option<f64> {
    let mut classes = manifest.networks.iter().map(|network| network.classes);
    let first = classes.next().filter(|_| measure(manifest) == Measure::Accuracy)?;
    classes.all(|other| other == first).then_some(100.0 / first as f64)
}

/// Lines on the trials, the networks and the images, for the report.
fn notes(manifest: &Manifest) -> String {
    let (label_free, metrics) = (is_label_free(manifest), manifest.metrics());
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
            _ if !metrics.is_empty() => {
                let scores = metrics.iter().zip(&network.clean_scores);
                let scores: Vec<String> =
                    scores.map(|(metric, score)| format!("{metric}: {score}")).collect();
                format!("; without faults {}", scores.join(", "))
            }
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
        if !metrics.is_empty() {
            let names: Vec<String> = metrics.iter().map(ToString::to_string).collect();
            lines.push(format!("- **evaluation**: {} by {}", names.join(", "), cell.spec.evaluator));
            return lines.join("\n");
        }
        if is_synthetic_run(manifest) {
            lines.push(format!("- **{SYNTHETIC}**"));
        }
        if label_free {
            lines.push(format!("- **{LABEL_FREE}**"));
        }
        let drawn = match set.images_per_trial {
            Some(block) => format!("each trial on a block of {block} of the "),
            None => String::new(),
        };
        lines.push(format!(
            "- **evaluation**: {drawn}first {} images of {} {}{}, SHA-256 of the decoded images `{}`",
            set.images,
            set.name,
            set.split,
            left_out(set),
            set.digest
        ));
    }
    lines.join("\n")
}
