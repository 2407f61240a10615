use std::path::PathBuf;
use std::time::Instant;

use campaign::{CellTrials, TrialsOf};
use clap::Args;
use design::{CellSpec, EvaluationSet, FaultKind, Metric, StopRule};
use serde::Serialize;

use crate::commands::run::evaluated_on;
use crate::terminal::document::{Document, NamedCell, Shown};
use crate::terminal::exit::Outcome;
use crate::terminal::machine::Machine;
use crate::terminal::output::{duration, markdown};
use crate::terminal::progress::Terminal;
use crate::terminal::progress::bar;
use harness::Failure;
use harness::LoadedExperiment;
use harness::Recomputation;
use harness::network_text;

/// Check an experiment and show its cells without running any
///
/// P(changed) is the probability that some stored word, padding included, reads back wrong in an ordinary trial. If it is
/// small, nearly all trials lose nothing, and `trials_of = "changed"` in the experiment draws only the other trials.
/// `unknown` means that there is no closed form.
///
/// Flips are expected values over many trials. Under `fixed-count` every trial flips exactly the printed number of bits: the
/// rate times the bits of each plane, rounded down. For `accumulate` the number covers all hours, before any scrub; for
/// `stuck-at` and `asymmetric` it follows from the stored bits.
///
/// A pilot runs the first trials of each cell and stores nothing. It estimates the time of the plan on this machine and the
/// width of the 95 % interval of each mean drop: 1.96 standard deviations of the pilot's drops divided by the root of the
/// number of trials. Drops have heavy tails, so a small pilot usually underestimates the width. `?` means that all drops
/// were equal.
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Experiment file (TOML)
    experiment: PathBuf,
    /// Run this number of trials of each cell to estimate time and intervals
    #[arg(long, value_name = "TRIALS", value_parser = clap::value_parser!(u64).range(2..))]
    pilot: Option<u64>,
    #[command(flatten)]
    shown: Shown,
    #[command(flatten)]
    machine: Machine,
}

const HELP: &str = "\
Examples:
  zerospace plan experiments/resnet20-cifar10.toml
  zerospace plan experiments/resnet20-cifar10.toml --pilot 5";

pub(crate) fn execute(arguments: &Arguments) -> Result<Outcome, Failure> {
    let threads = arguments.machine.start()?;
    let loaded =
        LoadedExperiment::load(&arguments.experiment, &arguments.machine.data(), &Terminal::default())?;
    let experiment = &loaded.experiment;
    let piloted = match arguments.pilot {
        Some(trials) => pilot(&loaded, trials)?,
        None => Vec::new(),
    };
    let expected = campaign::expected_outcomes(&loaded.networks, &loaded.cells);
    let mut piloted = piloted.into_iter();
    let cell = |cell: &CellSpec| -> Result<CellPlan, Failure> {
        let id = cell.id();
        Ok(CellPlan {
            named: NamedCell::new(cell),
            data_bits: cell.stored.data_bits,
            check_bits: cell.stored.check_bits,
            expected_flips: campaign::mean_flips(&loaded.networks, cell).map_err(Failure::input)?,
            changed_probability: expected.iter().find(|e| e.cell == id).map(|e| e.changed_probability),
            pilot: piloted.next().map(|found| CellPilot {
                seconds_a_trial: found.seconds,
                interval_points: found.interval(experiment.trials),
            }),
        })
    };
    let cells: Vec<CellPlan> = loaded.cells.iter().map(cell).collect::<Result<_, Failure>>()?;
    let networks =
        experiment.models.iter().zip(&loaded.checkpoints).map(|(model, checkpoint)| PlannedNetwork {
            label: &model.label,
            architecture: network_text::architecture(&checkpoint.model, &checkpoint.layers),
            preprocessing: network_text::preprocessing(
                &checkpoint.preprocessing,
                checkpoint.model.input,
                experiment.data.as_ref().map(|data| &data.set[..]),
            ),
            warning: network_text::suspicious(&checkpoint.preprocessing),
        });
    arguments.shown.format.show(&Plan {
        experiment: &experiment.name,
        networks: networks.collect(),
        seed: experiment.seed,
        cell_trials: experiment.trials,
        trials: cells.len() as u64 * experiment.trials,
        changed_trials_only: experiment.trials_of == TrialsOf::Changed,
        stop: experiment.stop,
        evaluation: &loaded.cells[0].evaluation,
        metrics: &loaded.cells[0].metrics,
        evaluated_on: evaluated_on(&loaded.cells[0]),
        pilot: arguments.pilot.map(|trials| Pilot {
            trials,
            threads,
            seconds: cells
                .iter()
                .flat_map(|cell| &cell.pilot)
                .map(|cell| cell.seconds_a_trial * experiment.trials as f64)
                .sum(),
        }),
        cells,
    });
    Ok(Outcome::Done)
}

#[derive(Serialize)]
struct Plan<'a> {
    experiment: &'a str,
    networks: Vec<PlannedNetwork<'a>>,
    seed: u64,
    cell_trials: u64,
    trials: u64,
    changed_trials_only: bool,
    stop: Option<StopRule>,
    evaluation: &'a EvaluationSet,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    metrics: &'a [Metric],
    #[serde(skip)]
    evaluated_on: String,
    pilot: Option<Pilot>,
    cells: Vec<CellPlan>,
}

#[derive(Serialize)]
struct PlannedNetwork<'a> {
    label: &'a str,
    architecture: String,
    preprocessing: String,
    warning: Option<String>,
}

impl PlannedNetwork<'_> {
    fn lines(&self) -> String {
        let Self { label, architecture, preprocessing, .. } = self;
        let warning = self.warning.iter().map(|warning| format!("\n{label}: {warning}")).collect::<String>();
        format!("{label}: {architecture}\n{label}: preprocessing: {preprocessing}{warning}")
    }
}

/// Time of the plan, estimated by a pilot with this number of trials per cell.
#[derive(Serialize)]
struct Pilot {
    trials: u64,
    threads: usize,
    seconds: f64,
}

#[derive(Serialize)]
struct CellPlan {
    #[serde(flatten)]
    named: NamedCell,
    data_bits: u64,
    check_bits: u64,
    expected_flips: f64,
    changed_probability: Option<f64>,
    pilot: Option<CellPilot>,
}

#[derive(Serialize)]
struct CellPilot {
    seconds_a_trial: f64,
    /// Half width of the interval; `None` if all drops were equal.
    interval_points: Option<f64>,
}

impl CellPlan {
    /// True if every trial flips the same number of bits.
    fn flips_exactly(&self) -> bool {
        self.named.fault_model.kind == FaultKind::FixedCount
    }

    fn row(&self) -> Vec<String> {
        let mut row = self.named.columns();
        row.extend([
            self.data_bits.to_string(),
            self.check_bits.to_string(),
            match self.flips_exactly() {
                true => format!("exactly {}", self.expected_flips),
                false => format!("{:.1}", self.expected_flips),
            },
            self.changed_probability.map_or("unknown".into(), |probability| format!("{probability:.3e}")),
        ]);
        if let Some(pilot) = &self.pilot {
            let interval = pilot.interval_points.map_or("?".into(), |points| format!("± {points:.2e}"));
            row.extend([format!("{:.3}", 1e3 * pilot.seconds_a_trial), interval]);
        }
        row
    }
}

impl Document for Plan<'_> {
    const FORMAT: &'static str = "zerospace.plan/1";

    fn text(&self) -> String {
        let flips = match self.cells.iter().all(CellPlan::flips_exactly) {
            true => ">flips a trial",
            false => ">expected flips a trial",
        };
        let more = [">data bits", ">check bits", flips, ">P(changed)"];
        let mut columns = [&NamedCell::COLUMNS[..], &more].concat();
        let mut cost = String::new();
        if let Some(pilot) = &self.pilot {
            let interval =
                if self.metrics.is_empty() { ">interval, points" } else { ">interval, in the first metric" };
            columns.extend([">ms a trial", interval]);
            cost = format!(
                "\n{}{} on {} threads of this machine, by a pilot of {} trials a cell",
                if self.stop.is_some() { "at most " } else { "" },
                duration(pilot.seconds),
                pilot.threads,
                pilot.trials
            );
        }
        let changed = match self.changed_trials_only {
            false => "",
            true => " of those in which a stored word reads back wrong",
        };
        let stop = match self.stop {
            Some(StopRule { failures, drop_points }) => {
                format!(" at most, a cell until {failures} lose {drop_points} points or more")
            }
            None => String::new(),
        };
        let networks: Vec<String> = self.networks.iter().map(PlannedNetwork::lines).collect();
        format!(
            "{}\n{} cells x {} trials{changed} = {} trials{stop}, seed {}, {}{cost}\n\n{}",
            markdown(&columns, &self.cells.iter().map(CellPlan::row).collect::<Vec<_>>()),
            self.cells.len(),
            self.cell_trials,
            self.trials,
            self.seed,
            self.evaluated_on,
            networks.join("\n"),
        )
    }
}

/// Result of a pilot for a cell.
struct Piloted {
    /// Mean seconds of a trial.
    seconds: f64,
    /// Standard deviation of the drops in points, times the weight of the trials.
    deviation: f64,
}

impl Piloted {
    /// Half width of the 95 % interval of the mean over `trials` trials, in points; `None` if all drops were equal.
    fn interval(&self, trials: u64) -> Option<f64> {
        (self.deviation != 0.0).then(|| 1.96 * self.deviation / (trials as f64).sqrt())
    }
}

/// Runs the first `trials` trials of each cell.
fn pilot(loaded: &LoadedExperiment, trials: u64) -> Result<Vec<Piloted>, Failure> {
    let mut recomputation = Recomputation::new(loaded, &Terminal::default())?;
    let bar = bar(trials * loaded.cells.len() as u64, "trials");
    let mut piloted = Vec::new();
    for cell in &loaded.cells {
        bar.set_message(cell.label());
        let memory = recomputation.memory(cell)?;
        let cell_trials = CellTrials::new(&memory, cell).map_err(Failure::input)?;
        let started = Instant::now();
        let mut correct = Vec::new();
        for number in 0..trials {
            let record = recomputation.record(cell, number, cell_trials.trial(number))?;
            correct.push(record.scores.first().copied().unwrap_or(record.correct as f64));
            bar.inc(1);
        }
        let n = trials as f64;
        let mean = correct.iter().sum::<f64>() / n;
        let variance = correct.iter().map(|correct| (correct - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let points = if cell.metrics.is_empty() { 100.0 / cell.evaluation.images as f64 } else { 1.0 };
        piloted.push(Piloted {
            seconds: started.elapsed().as_secs_f64() / n,
            deviation: cell.changed_probability.unwrap_or(1.0) * points * variance.sqrt(),
        });
    }
    bar.finish_and_clear();
    Ok(piloted)
}
