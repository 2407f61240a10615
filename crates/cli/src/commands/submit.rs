//! `submit`: job files for the shards of an experiment.

mod kubernetes;
mod parallel;
mod slurm;

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use campaign::Experiment;
use clap::{Args, ValueEnum};
use quant::Checkpoint;
use records::Store;

use crate::commands::run::run_directory;
use crate::commands::single_fault;
use crate::commands::status::finished_trials;
use crate::terminal::exit::Outcome;
use crate::terminal::output::{data, progress_line};
use harness::Failure;

const HELP: &str = "\
The command writes readable files into RUN/slurm, RUN/kubernetes or RUN/parallel, for all shards of
`zerospace run --shard K/N`. Every machine must see the run directory, the images and the checkpoints;
`zerospace plan` checks them, submit reads only the experiment and its checkpoints.

slurm: shards.sbatch is an array job, and finish.sbatch merges and reports after it. The command submits
both and prints their ids. Slurm queues a task again if its node is lost or preempts it. A task that runs
out of time receives a warning 2 minutes before, stores its trials and ends with exit code 75. After the
last task finish.sbatch merges; if units are missing and the shards still make progress, it submits the
unfinished shards again, with itself behind them. The nodes need only sbatch; --signal and --requeue need
no change to Slurm's configuration, and no accounting is read.

kubernetes: job.yaml is an Indexed Job that mounts a claim at /campaign; EXPERIMENT, --out and --data are
relative paths in it. parallel: shards.txt holds commands for GNU parallel. Nothing is submitted for these two.

Examples:
  zerospace submit x.toml --engine slurm --shards 32 --time 01:00:00 --sbatch-arg=--mem=4G
  zerospace submit x.toml --engine kubernetes --shards 32 --image zerospace:0.1 --claim pool
  zerospace submit x.toml --engine parallel --shards 32 --max-running 8";

/// Run an experiment's shards on a cluster: Slurm, Kubernetes or GNU parallel
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Experiment file (TOML)
    experiment: PathBuf,
    /// System that runs the shards
    #[arg(long, value_enum)]
    engine: Engine,
    /// Number of shards; each should take minutes to hours
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    shards: u64,
    /// Run directory [default: runs/NAME, by the experiment's name]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Directory of data sets, as for `zerospace run`
    #[arg(long = "data", value_name = "DIR", env = "ZEROSPACE_DATA", default_value = "data")]
    data_root: PathBuf,
    /// Threads and CPUs of each shard
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
    /// Largest number of shards that run at once [default: the cluster decides]
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u64).range(1..))]
    max_running: Option<u64>,
    /// Slurm: time limit of a shard, at least 5 minutes, in any of sbatch's forms: MINUTES, MINUTES:SECONDS,
    /// HOURS:MINUTES:SECONDS, DAYS-HOURS, DAYS-HOURS:MINUTES, DAYS-HOURS:MINUTES:SECONDS [default: the partition's]
    #[arg(long, value_name = "TIME", value_parser = time_limit)]
    time: Option<String>,
    /// Slurm: partition
    #[arg(long, value_name = "NAME")]
    partition: Option<String>,
    /// Slurm: account to charge
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Slurm: any other option of sbatch, for both jobs; may be repeated
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    sbatch_arg: Vec<String>,
    /// Kubernetes: container image with `zerospace` on its path
    #[arg(long, value_name = "IMAGE", required_if_eq("engine", "kubernetes"))]
    image: Option<String>,
    /// Kubernetes: persistent volume claim that holds experiment, run directory and images
    #[arg(long, value_name = "NAME", required_if_eq("engine", "kubernetes"))]
    claim: Option<String>,
    /// Print the files; write and submit nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Engine {
    Slurm,
    Kubernetes,
    Parallel,
}

/// The shards of an experiment, for any engine.
struct Job<'a> {
    /// The experiment's name.
    name: &'a str,
    /// Path of this program.
    program: PathBuf,
    experiment: PathBuf,
    /// The run directory.
    run: PathBuf,
    data_root: PathBuf,
    shards: u64,
    threads: u16,
    max_running: Option<u64>,
}

impl Job<'_> {
    /// The arguments that run a shard, between the program and the shard's name.
    fn run_arguments(&self) -> Vec<String> {
        let path = |path: &Path| path.display().to_string();
        let (experiment, run, data_root) = (path(&self.experiment), path(&self.run), path(&self.data_root));
        let threads = self.threads.to_string();
        ["run", &experiment, "--out", &run, "--data", &data_root, "--threads", &threads, "--shard"]
            .map(String::from)
            .into()
    }
}

pub(crate) fn execute(arguments: &Arguments, executable: io::Result<PathBuf>) -> Result<Outcome, Failure> {
    check_engine(arguments)?;
    let (name, run, units) = match single_fault::source(&arguments.experiment) {
        Some(source) => single_fault::shards_of((&arguments.experiment, source), arguments.out.as_deref())?,
        None => shards_of(arguments)?,
    };
    if arguments.shards > units {
        let message =
            format!("--shards is {}, expected at most {units}, the units of the plan", arguments.shards);
        return Err(Failure::Input(anyhow!(message)));
    }
    let mut job = Job {
        name: &name,
        program: "zerospace".into(),
        experiment: arguments.experiment.clone(),
        run: run.clone(),
        data_root: arguments.data_root.clone(),
        shards: arguments.shards,
        threads: arguments.threads,
        max_running: arguments.max_running,
    };
    if arguments.engine != Engine::Kubernetes {
        job.program = executable.context("this program's path").map_err(Failure::Machine)?;
        for path in [&mut job.experiment, &mut job.run, &mut job.data_root] {
            *path = std::path::absolute(&*path).context("the current directory").map_err(Failure::Machine)?;
        }
    }
    let (folder, files) = match arguments.engine {
        Engine::Slurm => ("slurm", slurm::files(&job, arguments)?),
        Engine::Kubernetes => ("kubernetes", kubernetes::files(&job, arguments)?),
        Engine::Parallel => ("parallel", parallel::files(&job)),
    };
    if arguments.dry_run {
        let shown =
            files.iter().map(|(name, text)| format!("==> {}\n{text}", run.join(folder).join(name).display()));
        data(&shown.collect::<Vec<_>>().join("\n"));
        return Ok(Outcome::Done);
    }
    let folder = run.join(folder);
    std::fs::create_dir_all(&folder)
        .with_context(|| folder.display().to_string())
        .map_err(Failure::Machine)?;
    for (name, text) in &files {
        let path = folder.join(name);
        let written = durable::write(&path, text.as_bytes());
        written.with_context(|| path.display().to_string()).map_err(Failure::Machine)?;
    }
    match arguments.engine {
        Engine::Slurm => data(&slurm::submit(&folder, stored(&run)?)?),
        Engine::Kubernetes => {
            data(&folder.join(kubernetes::FILE).display().to_string());
            progress_line(
                "submit it with `kubectl apply -f FILE`; then `zerospace merge` and `zerospace report`",
            );
        }
        Engine::Parallel => {
            data(&folder.join(parallel::FILE).display().to_string());
            let jobs = job.max_running.map_or(String::new(), |jobs| format!("--jobs {jobs} "));
            progress_line(&format!(
                "run it with `parallel {jobs}< FILE`; then `zerospace merge` and `zerospace report`"
            ));
        }
    }
    Ok(Outcome::Done)
}

/// Returns name, run directory and number of units of an experiment of trials.
fn shards_of(arguments: &Arguments) -> Result<(String, PathBuf, u64), Failure> {
    let (experiment, _) = Experiment::load(&arguments.experiment).map_err(Failure::input)?;
    let mut tensors = Vec::new();
    for model in &experiment.models {
        tensors.push(Checkpoint::load(&model.checkpoint).map_err(Failure::input)?.weights.len());
    }
    let (units, run) = (experiment.units(&tensors), run_directory(&experiment, arguments.out.as_deref()));
    Ok((experiment.name, run, units))
}

/// Refuses options of another engine, which would have no effect.
fn check_engine(arguments: &Arguments) -> Result<(), Failure> {
    let options = [
        ("--time", arguments.time.is_some(), Engine::Slurm),
        ("--partition", arguments.partition.is_some(), Engine::Slurm),
        ("--account", arguments.account.is_some(), Engine::Slurm),
        ("--sbatch-arg", !arguments.sbatch_arg.is_empty(), Engine::Slurm),
        ("--image", arguments.image.is_some(), Engine::Kubernetes),
        ("--claim", arguments.claim.is_some(), Engine::Kubernetes),
    ];
    let misplaced = options.iter().find(|(_, given, engine)| *given && *engine != arguments.engine);
    match misplaced {
        None => Ok(()),
        Some((option, _, engine)) => {
            let engine = engine.to_possible_value().expect("no engine is hidden");
            let instead = match (*option, arguments.engine) {
                ("--time", Engine::Parallel) => "; GNU parallel has `parallel --timeout SECONDS`",
                ("--time", Engine::Kubernetes) => "; a Kubernetes job runs until it is done",
                _ => "",
            };
            Err(Failure::Input(anyhow!("{option} is for --engine {}{instead}", engine.get_name())))
        }
    }
}

/// Returns the number of finished trials or single faults in a run directory.
fn stored(run: &Path) -> Result<u64, Failure> {
    if !run.join("manifest.json").exists() {
        return Ok(0);
    }
    if let Some(faults) = single_fault::stored(run)? {
        return Ok(faults);
    }
    let store = Store::open(run)?;
    Ok(finished_trials(store.manifest(), &store.scan()?))
}

/// Checks that a time limit leaves room for the warning before its end; Slurm receives the text unchanged.
fn time_limit(text: &str) -> Result<String, String> {
    let forms = "expected minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes or days-hours:minutes:seconds";
    match slurm_seconds(text) {
        None => Err(forms.into()),
        // No limit but the partition's.
        Some(0) => Ok(text.into()),
        Some(seconds) if seconds < LEAST_TIME => {
            Err("expected at least 5 minutes: shards are warned 2 minutes before its end".into())
        }
        Some(_) => Ok(text.into()),
    }
}

/// Shortest time limit of a shard in seconds.
const LEAST_TIME: u64 = 300;

/// Seconds of a time in one of Slurm's forms. As in Slurm, a field may be any number: 90:00 is an hour and a half.
fn slurm_seconds(text: &str) -> Option<u64> {
    let number = |digits: &str| match digits.bytes().all(|byte| byte.is_ascii_digit()) {
        true => digits.parse::<u32>().ok().map(u64::from),
        false => None,
    };
    let (days, rest) = match text.split_once('-') {
        Some((days, rest)) => (Some(number(days)?), rest),
        None => (None, text),
    };
    let fields: Vec<u64> = rest.split(':').map(number).collect::<Option<_>>()?;
    let [hours, minutes, seconds] = match (days, &fields[..]) {
        (None, &[minutes]) => [0, minutes, 0],
        (None, &[minutes, seconds]) => [0, minutes, seconds],
        (Some(_), &[hours]) => [hours, 0, 0],
        (Some(_), &[hours, minutes]) => [hours, minutes, 0],
        (_, &[hours, minutes, seconds]) => [hours, minutes, seconds],
        _ => return None,
    };
    Some(days.unwrap_or(0) * 86_400 + hours * 3_600 + minutes * 60 + seconds)
}

#[cfg(test)]
mod tests {
    use super::{slurm_seconds, time_limit};

    /// The forms are those of sbatch's manual page, under --time.
    #[test]
    fn times_are_read_as_slurm_reads_them() {
        for (text, seconds) in [
            ("90", 5_400),
            ("90:00", 5_400),
            ("5:30", 330),
            ("01:30:00", 5_400),
            ("1:90:00", 9_000),
            ("1-0", 86_400),
            ("1-00:00:00", 86_400),
            ("2-12:30", 217_800),
            ("0-0:5:1", 301),
            ("0", 0),
        ] {
            assert_eq!(slurm_seconds(text), Some(seconds), "{text}");
            assert_eq!(time_limit(text).as_deref(), Ok(text));
        }
        for text in
            ["", "1h", "-1", "1-", "1-2-3", "1:2:3:4", "1-2:3:4:5", ":5", "+5", " 5", "5.5", "99999999999"]
        {
            assert_eq!(slurm_seconds(text), None, "{text}");
        }
        assert!(time_limit("00:04:59").unwrap_err().starts_with("expected at least 5 minutes: "));
    }
}
