use std::path::PathBuf;
use std::time::Instant;

use campaign::{Drawing, TrialsOf};
use clap::Args;
use records::StopRule;

use crate::exit::{Failure, Outcome};
use crate::images::left_out;
use crate::loading::{Machine, Prepared};
use crate::output::{data, markdown};
use crate::progress::bar;
use crate::rerun::Rerun;

/// Check an experiment and show its cells; run nothing
///
/// P(changed) is the probability that in an ordinary trial some stored word, padding included, reads back wrong: where it
/// is small, nearly all trials lose nothing, and `trials_of = "changed"` in the experiment draws only the others.
/// `unknown` where it has no closed form.
///
/// Expected flips are those of all hours for `accumulate`, and the cells that are stuck for `stuck-at`.
///
/// A pilot runs the first trials of each cell, stores nothing, and tells what the plan will cost on this machine and how
/// wide the 95 % interval of each mean drop will be: 1.96 standard deviations of the pilot's drops over the root of the
/// number of trials. Drops have heavy tails, so a small pilot mostly promises too much. `?` where all drops were equal.
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Experiment file (TOML)
    experiment: PathBuf,
    /// Run so many trials of each cell to estimate cost and intervals
    #[arg(long, value_name = "TRIALS", value_parser = clap::value_parser!(u64).range(2..))]
    pilot: Option<u64>,
    #[command(flatten)]
    machine: Machine,
}

const HELP: &str = "\
Examples:
  zerospace plan experiments/resnet20-cifar10.toml
  zerospace plan experiments/resnet20-cifar10.toml --pilot 5";

pub(crate) fn execute(arguments: &Arguments) -> Result<Outcome, Failure> {
    let threads = arguments.machine.start()?;
    let prepared = Prepared::load(&arguments.experiment, &arguments.machine)?;
    let experiment = &prepared.experiment;
    let piloted = match arguments.pilot {
        Some(trials) => pilot(&prepared, trials)?,
        None => Vec::new(),
    };
    let expected = campaign::expected_outcomes(&prepared.networks, &prepared.cells);
    let mut rows: Vec<Vec<String>> = prepared
        .cells
        .iter()
        .map(|cell| {
            let id = cell.id();
            let changed = expected.iter().find(|e| e.cell == id);
            vec![
                id.to_string(),
                cell.model.clone(),
                cell.protection.clone(),
                cell.fault_model.clone(),
                format!("{:e}", cell.rate),
                cell.stored.data_bits.to_string(),
                cell.stored.check_bits.to_string(),
                format!("{:.1}", campaign::mean_flips(&prepared.networks, cell)),
                changed.map_or("unknown".into(), |e| format!("{:.3e}", e.changed_probability)),
            ]
        })
        .collect();
    let mut columns = vec![
        "cell",
        "model",
        "protection",
        "faults",
        ">rate",
        ">data bits",
        ">check bits",
        ">expected flips a trial",
        ">P(changed)",
    ];
    let mut cost = String::new();
    if let Some(pilot) = arguments.pilot {
        columns.extend([">ms a trial", ">interval, points"]);
        for (row, piloted) in rows.iter_mut().zip(&piloted) {
            row.push(format!("{:.3}", 1e3 * piloted.seconds));
            row.push(piloted.interval(experiment.trials));
        }
        let seconds: f64 = piloted.iter().map(|cell| cell.seconds * experiment.trials as f64).sum();
        let most = if experiment.stop.is_some() { "at most " } else { "" };
        cost = format!(
            "\n{most}{} on {threads} threads of this machine, by a pilot of {pilot} trials a cell",
            duration(seconds)
        );
    }
    let trials = match experiment.trials_of {
        TrialsOf::All => "",
        TrialsOf::Changed => " of those in which a stored word reads back wrong",
    };
    let set = &prepared.cells[0].evaluation;
    data(&format!(
        "{}\n{} cells x {} trials{trials} = {} trials{}, seed {}, on {} images of {} {}{}{cost}",
        markdown(&columns, &rows),
        rows.len(),
        experiment.trials,
        rows.len() as u64 * experiment.trials,
        match experiment.stop {
            Some(StopRule { failures, drop_points }) => {
                format!(" at most, a cell until {failures} lose {drop_points} points or more")
            }
            None => String::new(),
        },
        experiment.seed,
        set.images,
        set.name,
        set.split,
        left_out(set),
    ));
    Ok(Outcome::Done)
}

/// What a pilot found of a cell.
struct Piloted {
    /// Of a trial, in the mean.
    seconds: f64,
    /// Standard deviation of the drops in points, times the probability with which the trials count.
    deviation: f64,
}

impl Piloted {
    /// Half the 95 % interval of the mean of so many trials.
    fn interval(&self, trials: u64) -> String {
        match self.deviation {
            0.0 => "?".into(),
            deviation => format!("± {:.2e}", 1.96 * deviation / (trials as f64).sqrt()),
        }
    }
}

/// Runs the first `trials` trials of each cell.
fn pilot(prepared: &Prepared, trials: u64) -> Result<Vec<Piloted>, Failure> {
    let mut rerun = Rerun::new(prepared)?;
    let bar = bar(trials * prepared.cells.len() as u64, "trials");
    let mut piloted = Vec::new();
    for cell in &prepared.cells {
        bar.set_message(cell.label());
        let memory = rerun.memory(cell)?;
        let drawing = Drawing::new(&memory, cell).map_err(Failure::input)?;
        let started = Instant::now();
        let mut correct = Vec::new();
        for number in 0..trials {
            correct.push(rerun.record(cell, number, drawing.trial(number)).correct as f64);
            bar.inc(1);
        }
        let n = trials as f64;
        let mean = correct.iter().sum::<f64>() / n;
        let variance = correct.iter().map(|correct| (correct - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let points = 100.0 / cell.evaluation.images as f64;
        piloted.push(Piloted {
            seconds: started.elapsed().as_secs_f64() / n,
            deviation: cell.changed_probability.unwrap_or(1.0) * points * variance.sqrt(),
        });
    }
    bar.finish_and_clear();
    Ok(piloted)
}

/// Seconds in the unit that suits them.
fn duration(seconds: f64) -> String {
    match seconds {
        _ if seconds < 120.0 => format!("{seconds:.1} s"),
        _ if seconds < 7200.0 => format!("{:.1} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}
