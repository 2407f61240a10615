use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::anyhow;
use campaign::CellTrials;
use clap::Args;
use inject::sampling::distinct;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use serde::Serialize;

use crate::commands::{run, single_fault};
use crate::terminal::document::{Document, NamedCell, Shown, path};
use crate::terminal::exit::Outcome;
use crate::terminal::machine::Machine;
use crate::terminal::output::{markdown, progress_line};
use crate::terminal::progress::Terminal;
use crate::terminal::progress::bar;
use harness::Failure;
use harness::{Recomputation, stored_records};

const HELP: &str = "\
A record is a function of its cell and trial, so any machine must compute the same one. On a difference the command
shows both records and ends with exit code 6.

Examples:
  zerospace verify experiments/resnet20-cifar10.toml
  zerospace verify experiments/resnet20-cifar10.toml --out results/resnet20-cifar10 --sample 200 --seed 1";

/// Recompute a random sample of stored trials and compare the records
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Experiment file (TOML)
    experiment: PathBuf,
    /// Run directory [default: runs/NAME, by the experiment's name]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Number of trials in the sample
    #[arg(long, value_name = "N", default_value_t = 20)]
    sample: usize,
    /// Seed of the sample [default: the time, which is printed]
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    #[command(flatten)]
    shown: Shown,
    #[command(flatten)]
    machine: Machine,
}

pub(crate) fn execute(arguments: &Arguments) -> Result<Outcome, Failure> {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let seed = arguments.seed.unwrap_or_else(now);
    if let Some(source) = single_fault::source(&arguments.experiment) {
        let experiment = (arguments.experiment.as_path(), source);
        let sample = (arguments.sample, seed);
        return single_fault::verify(experiment, arguments.out.as_deref(), sample, &arguments.machine);
    }
    let (loaded, root) = run::open(&arguments.experiment, arguments.out.as_deref(), &arguments.machine)?;
    let stored = stored_records(&loaded, &root)?;
    let all: Vec<(&str, u64)> = stored
        .iter()
        .flat_map(|(cell, trials)| trials.keys().map(move |&trial| (cell.as_str(), trial)))
        .collect();
    if all.is_empty() {
        return Err(Failure::Input(anyhow!("{}: no trial is stored there", root.display())));
    }
    let count = arguments.sample.min(all.len()) as u64;
    let chosen = distinct(&mut ChaCha8Rng::seed_from_u64(seed), all.len() as u64, count);
    let chosen: Vec<(&str, u64)> = chosen.into_iter().map(|index| all[index as usize]).collect();

    let mut recomputation = Recomputation::new(&loaded, &Terminal::default())?;
    let bar = bar(chosen.len() as u64, "trials");
    let mut cells = Vec::new();
    for cell in &loaded.cells {
        let id = cell.id();
        let mut trials = chosen.iter().filter(|(of, _)| *of == id.as_str()).peekable();
        if trials.peek().is_none() {
            continue;
        }
        bar.set_message(cell.label());
        let memory = recomputation.memory(cell)?;
        let cell_trials = CellTrials::new(&memory, cell).map_err(Failure::input)?;
        let (mut same, mut changed) = (0u64, 0u64);
        for &(_, number) in trials {
            let there = &stored[id.as_str()][&number];
            let compared = recomputation.compare(cell, number, cell_trials.trial(number), there, &root);
            let computed = compared.inspect_err(|_| bar.finish_and_clear())?;
            same += 1;
            changed += u64::from(computed.weights_changed > 0);
            bar.inc(1);
        }
        cells.push(VerifiedCell { named: NamedCell::new(cell), same, changed });
    }
    bar.finish_and_clear();
    arguments.shown.format.show(&Verified {
        run: path(&root),
        sample: arguments.sample,
        seed,
        verified_trials: chosen.len(),
        stored_trials: all.len(),
        cells,
    });
    progress_line(&format!(
        "{} of {} stored trials came out the same (--sample {} --seed {seed})",
        chosen.len(),
        all.len(),
        arguments.sample
    ));
    Ok(Outcome::Done)
}

#[derive(Serialize)]
struct Verified {
    run: String,
    sample: usize,
    seed: u64,
    verified_trials: usize,
    stored_trials: usize,
    cells: Vec<VerifiedCell>,
}

#[derive(Serialize)]
struct VerifiedCell {
    #[serde(flatten)]
    named: NamedCell,
    same: u64,
    changed: u64,
}

impl Document for Verified {
    const FORMAT: &'static str = "zerospace.verify/1";

    fn text(&self) -> String {
        let row = |cell: &VerifiedCell| {
            let mut row = cell.named.columns();
            row.extend([cell.same.to_string(), cell.changed.to_string()]);
            row
        };
        let columns = [&NamedCell::COLUMNS[..], &[">the same", ">with changed weights"]].concat();
        markdown(&columns, &self.cells.iter().map(row).collect::<Vec<_>>())
    }
}
