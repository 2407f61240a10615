use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use campaign::{RunError, Subject};
use clap::Args;
use records::{Environment, Manifest, Store};

use crate::exit::{Failure, Outcome};
use crate::loading::{Machine, Prepared};
use crate::output::progress_line;
use crate::progress::bar;
use crate::report;

const HELP: &str = "\
The run directory (default runs/NAME) takes the trials as they are finished. After a kill at any moment
the same command resumes; the records come out the same to the byte, on any number of threads.

Examples:
  zerospace run experiments/resnet20-cifar10.toml
  zerospace run experiments/resnet20-cifar10.toml --out /scratch/r20 --threads 8";

/// Run an experiment, or what is left of it; then merge and report
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Experiment file (TOML)
    experiment: PathBuf,
    /// Run directory [default: runs/NAME, by the experiment's name]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    machine: Machine,
}

pub(crate) fn execute(arguments: &Arguments) -> Result<Outcome, Failure> {
    run(&arguments.experiment, arguments.out.as_deref(), &arguments.machine)
}

/// Runs an experiment in `out` (default: `runs/NAME`), or what is left of it; then merges and reports.
pub(crate) fn run(experiment: &Path, out: Option<&Path>, machine: &Machine) -> Result<Outcome, Failure> {
    let threads = machine.start()?;
    let prepared = Prepared::load(experiment, machine)?;
    let mut evaluators = prepared.evaluators()?;
    let experiment = &prepared.experiment;
    let root = out.map_or_else(|| Path::new("runs").join(&experiment.name), Path::to_path_buf);
    let manifest = Manifest {
        expected: campaign::expected_outcomes(&prepared.networks, &prepared.cells),
        ..Manifest::new(
            &experiment.title,
            &prepared.source,
            prepared.entries(&evaluators),
            prepared.cells.clone(),
            experiment.trials,
            experiment.unit_trials,
            environment(threads),
        )
    };
    let store = Store::create(&root, manifest)?;

    let mut subjects: Vec<Subject<'_>> = prepared
        .networks
        .iter()
        .zip(evaluators.iter_mut().map(|(evaluator, evaluation)| (evaluator, &*evaluation)))
        .map(|(network, (evaluator, evaluation))| Subject { network, evaluator, evaluation })
        .collect();
    let bar = bar(experiment.trials * prepared.cells.len() as u64, "trials");
    let outcome = campaign::run(&store, &mut subjects, &mut |progress| {
        bar.set_message(progress.cell.spec.label());
        bar.set_position(progress.done);
    });
    bar.finish_and_clear();
    let outcome = outcome.map_err(|error| match error {
        RunError::Store(error) => Failure::from(error),
        RunError::Cell { .. } => Failure::input(error),
    })?;
    for aside in &outcome.set_aside {
        progress_line(&format!("set aside {}: {}", aside.path.display(), aside.reason));
    }
    progress_line(&format!("{} units were there, {} computed", outcome.kept, outcome.computed));
    report::merge_and_report(&store, &root)
}

fn environment(threads: usize) -> Environment {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    Environment {
        program: concat!("zerospace ", env!("CARGO_PKG_VERSION")).into(),
        platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        cpu: cpu.map_or("unknown", |(_, name)| name).into(),
        threads,
        started_unix_s: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs()),
        command: std::env::args().skip(1).collect(),
    }
}
