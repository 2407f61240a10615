use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use campaign::{Evaluation, Experiment, NetworkUnderTest, Shard};
use clap::Args;
use design::{CellSpec, EvaluationSet, Metric, StopRule};
use harness::{Failure, LoadedExperiment, left_out, measure_fault_free};
use records::{Environment, RunArguments, Store};

use crate::commands::{report, single_fault};
use crate::terminal::exit::Outcome;
use crate::terminal::machine::Machine;
use crate::terminal::output::progress_line;
use crate::terminal::paced::Paced;
use crate::terminal::progress::{Terminal, bar, log_line};
use crate::terminal::signals;

const HELP: &str = "\
The run directory (default runs/NAME) receives the trials as they finish. After a kill at any moment the
same command resumes. The records are equal to the byte for any number of threads.

Without --shard the command computes all missing trials, then merges and reports. With --shard K/N it
computes one share of the plan; the shares K = 0 to N-1 have equal work. `zerospace merge` and `zerospace
report` finish the run when all shards are done. Shards may run at the same time, on several machines that
share the run directory. N may change between calls, and two processes may compute the same unit.

SIGUSR1 and SIGTERM (exit code 75) and Ctrl-C (130) stop a run after the trials in work, and all finished
trials are stored; a second SIGTERM or Ctrl-C stops it at once. The last line on stderr is then the command
that resumes. A kill loses the trials in work and at most half a minute before them. (`unit_trials` of the
experiment is the number of trials in one file. As many trials are in work together as take about half a
second, or 20 s if the activations of all images do not fit into memory.)

You may raise `trials` of an experiment that has run, also beside a `[stop]` rule: the same command then
computes the new trials, and the records equal those of a run that had this number from the start. The
manifest keeps the earlier numbers. A lower number is refused, like every other change of the plan.

If stderr is not a terminal, it receives lines: the plan, the first stored unit, and then, at growing
intervals of at most a minute, the number of finished trials and the remaining time.

Examples:
  zerospace run experiments/resnet20-cifar10.toml
  zerospace run experiments/resnet20-cifar10.toml --out /scratch/r20 --threads 8
  zerospace run experiments/resnet20-cifar10.toml --shard 3/8";

/// Run the missing trials of an experiment, then merge and report
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Experiment file (TOML)
    experiment: PathBuf,
    /// Run directory [default: runs/NAME, by the experiment's name]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Compute one of N shares only, K from 0 to N-1
    #[arg(long, value_name = "K/N")]
    shard: Option<Shard>,
    #[command(flatten)]
    machine: Machine,
}

pub(crate) fn execute(arguments: &Arguments) -> Result<Outcome, Failure> {
    let by = RunArguments::run(&arguments.experiment);
    if let Some(source) = single_fault::source(&arguments.experiment) {
        let experiment = (arguments.experiment.as_path(), source);
        return single_fault::run(
            experiment,
            by,
            arguments.out.as_deref(),
            arguments.shard,
            &arguments.machine,
        );
    }
    run(&arguments.experiment, by, arguments.out.as_deref(), arguments.shard, &arguments.machine)
}

/// Runs what is missing of an experiment in `out` (default: `runs/NAME`); then merges and reports, unless it was only a
/// shard. The manifest keeps `by`.
pub(crate) fn run(
    experiment: &Path,
    by: RunArguments,
    out: Option<&Path>,
    shard: Option<Shard>,
    machine: &Machine,
) -> Result<Outcome, Failure> {
    let threads = machine.start()?;
    let observer = Terminal::default();
    let loaded = LoadedExperiment::load(experiment, &machine.data(), &observer)?;
    let experiment = &loaded.experiment;
    let root = run_directory(experiment, out);
    log_line(&planned(&loaded, shard, &root));
    let mut ready = loaded.ready(&observer)?;
    let manifest = loaded.manifest(&ready, Environment { arguments: Some(by), ..environment(threads) });
    let store = signals::whole(|| Store::create(&root, manifest))?;
    store.remove_leftovers(SystemTime::now())?;
    if let Some(before) = store.extended_from() {
        progress_line(&format!(
            "{}: extended from {before} to {} trials a cell; what is stored stays",
            root.display(),
            experiment.trials
        ));
    }

    let (mut evaluators, evaluations): (Vec<Paced<'_, '_>>, Vec<&Evaluation>) =
        ready.iter_mut().map(|network| (Paced(&mut network.evaluator), &network.evaluation)).unzip();
    let mut subjects: Vec<NetworkUnderTest<'_>> = loaded
        .networks
        .iter()
        .zip(evaluators.iter_mut().zip(evaluations))
        .map(|(network, (evaluator, evaluation))| NetworkUnderTest { network, evaluator, evaluation })
        .collect();
    let bar = bar(experiment.trials * loaded.cells.len() as u64, "trials");
    let share = shard.unwrap_or(Shard::WHOLE);
    let mut units = None;
    let outcome = signals::polled(|| {
        campaign::run(&store, &mut subjects, share, &signals::control, &mut |progress| {
            signals::unkept(progress.unkept);
            bar.set_length(progress.total);
            bar.set_message(progress.cell.spec.label());
            match units.replace(progress.units) {
                None => bar.begin_at(progress.done),
                Some(0) if progress.units > 0 => log_line(&format!(
                    "{} of {} trials; the first unit was stored after {}: {}",
                    progress.done,
                    progress.total,
                    bar.elapsed(),
                    progress.cell.spec.label()
                )),
                Some(_) => bar.set_position(progress.done),
            }
        })
    });
    bar.finish_and_clear();
    let outcome = outcome?;
    for aside in &outcome.set_aside {
        progress_line(&format!("set aside {}: {}", aside.path.display(), aside.reason));
    }
    drop(subjects);
    drop(evaluators);
    let stored = outcome.kept + outcome.computed + outcome.spared;
    // A shard without missing units has ended; a run still has to merge and report.
    if (outcome.left > 0 || shard.is_none())
        && let Some(stopped) = signals::stopped(stored, stored + outcome.left, outcome.begun)
    {
        return Ok(stopped);
    }
    if let Some(measured) = measure_fault_free(&store, &loaded, &mut ready, &observer)? {
        signals::whole(|| measured.write(&store))?;
    }
    let spared = match outcome.spared {
        0 => String::new(),
        units if matches!(loaded.experiment.stop, Some(StopRule::HalfWidth(_))) => {
            format!(", {units} not needed, the intervals of their cells are narrow enough")
        }
        units => format!(", {units} not needed, their cells have enough failures"),
    };
    let counts = format!("{} units were there, {} computed{spared}", outcome.kept, outcome.computed);
    if let Some(shard) = shard {
        progress_line(&format!("shard {shard}: {counts}"));
        return Ok(Outcome::Done);
    }
    progress_line(&counts);
    report::merge_and_report(&Store::open(&root)?, &root)
}

/// Line that describes the work of a run.
fn planned(loaded: &LoadedExperiment, shard: Option<Shard>, root: &Path) -> String {
    let LoadedExperiment { experiment, cells, .. } = loaded;
    let trials = experiment.trials.saturating_mul(cells.len() as u64);
    let of_shard = shard.map_or(String::new(), |shard| format!(", of which shard {shard} is computed"));
    format!(
        "{}: {} cells x {}{} trials = {trials} trials, in units of {}{of_shard}, {}, to {}",
        experiment.name,
        cells.len(),
        if experiment.stop.is_some() { "at most " } else { "" },
        experiment.trials,
        experiment.unit_trials,
        evaluated_on(&cells[0]),
        root.display()
    )
}

/// Starts the machine and loads an experiment; returns it with its run directory.
pub(crate) fn open(
    experiment: &Path,
    out: Option<&Path>,
    machine: &Machine,
) -> Result<(LoadedExperiment, PathBuf), Failure> {
    machine.start()?;
    let loaded = LoadedExperiment::load(experiment, &machine.data(), &Terminal::default())?;
    let root = run_directory(&loaded.experiment, out);
    Ok((loaded, root))
}

/// Images of a plan's cells, or the metrics in their place: `on 40 images of cifar10 test`, `scored by mAP (higher is better)`.
pub(crate) fn evaluated_on(cell: &CellSpec) -> String {
    let EvaluationSet { name, split, images, .. } = &cell.evaluation;
    match &cell.metrics[..] {
        [] => {
            let drawn = match cell.evaluation.images_per_trial {
                Some(block) => format!("{block} images a trial, drawn from "),
                None => String::new(),
            };
            format!("on {drawn}{images} images of {name} {split}{}", left_out(&cell.evaluation))
        }
        metrics => {
            let metrics: Vec<String> = metrics.iter().map(Metric::to_string).collect();
            format!("scored by {}", metrics.join(", "))
        }
    }
}

/// Run directory of an experiment: `out`, or `runs/NAME`.
pub(crate) fn run_directory(experiment: &Experiment, out: Option<&Path>) -> PathBuf {
    out.map_or_else(|| Path::new("runs").join(&experiment.name), Path::to_path_buf)
}

/// Program, platform and time of this process.
pub fn environment(threads: usize) -> Environment {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    Environment {
        program: concat!("zerospace ", env!("CARGO_PKG_VERSION")).into(),
        platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        cpu: cpu.map_or("unknown", |(_, name)| name).into(),
        threads,
        started_unix_s: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs()),
        command: Vec::new(),
        arguments: None,
    }
}
