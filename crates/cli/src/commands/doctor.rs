//! `doctor`: describes the machine and checks that everything works on it.

mod exactness;
mod places;
mod speed;

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;
use serde::{Deserialize, Serialize};

use self::exactness::{Comparison, RecordedTrial};
use self::places::{DataRoot, Place};
use self::speed::{Compared, Loops, Speed};
use crate::commands::{reproduce, run};
use crate::terminal::document::{Document, Shown};
use crate::terminal::exit::Outcome;
use crate::terminal::machine::Machine;
use crate::terminal::output::{data, markdown};
use crate::terminal::progress::Terminal;
use crate::terminal::{document, signals};
use harness::Failure;
use harness::Recomputation;

/// Output of `zerospace doctor --record` on the reference machine.
const RECORD: &str = include_str!("../../carried/doctor.json");

const RECORD_FORMAT: &str = "zerospace.doctor-record/1";

/// Free bytes that a run directory needs: a campaign of a million trials takes about 500 MB.
const ROOM: u64 = 1 << 30;

const HELP: &str = "\
The check of exactness computes one trial of each network that the program carries and compares it with its published
record. Any difference means that no result of this machine can be trusted. Speeds use the processor time of one thread
in the fastest of several passes; the table compares them with results/bench/2026-11-28-intel-xeon/doctor.json. They are
lower if other processes share the core.

The exit code is 1 if results differ or the run directory cannot be written. Missing data sets are reported, and are no
error.

Examples:
  zerospace doctor
  zerospace doctor --data /data --format json | jq .ready
  zerospace doctor --record speeds.json";

/// Check this machine: exactness, speed, data sets and free space
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Directory of the run directories
    #[arg(long, value_name = "DIR", default_value = "runs")]
    out: PathBuf,
    /// Write the speeds and trials of this machine into a file for comparison with others, and print nothing else
    #[arg(long, value_name = "FILE", conflicts_with = "format")]
    record: Option<PathBuf>,
    #[command(flatten)]
    shown: Shown,
    #[command(flatten)]
    machine: Machine,
}

/// A reference machine.
#[derive(Serialize, Deserialize)]
struct Record {
    format: String,
    program: String,
    platform: String,
    cpu: String,
    inference_kernel: String,
    codec_kernel: String,
    speeds: Vec<Speed>,
    trials: Vec<RecordedTrial>,
}

pub(crate) fn execute(arguments: &Arguments) -> Result<Outcome, Failure> {
    let threads = arguments.machine.start()?;
    let about = About::new(threads);
    let carried = reproduce::carried(&arguments.machine)?;
    let (speeds, trials) = speed::one_thread(|| -> Result<_, Failure> {
        let mut recomputation = Recomputation::new(&carried, &Terminal::default())?;
        Ok((speed::measured(&carried, &mut recomputation)?, exactness::trials(&carried, &mut recomputation)?))
    })??;
    if let Some(file) = &arguments.record {
        let About { program, platform, cpu, .. } = about;
        let [inference_kernel, codec_kernel] =
            [about.inference_kernels, about.codec_kernels].map(|forms| taken(&forms).into());
        let format = RECORD_FORMAT.into();
        let record =
            Record { format, program, platform, cpu, inference_kernel, codec_kernel, speeds, trials };
        let text = serde_json::to_string_pretty(&record).expect("plain data serializes") + "\n";
        signals::last(|| durable::write(file, text.as_bytes()))
            .with_context(|| file.display().to_string())
            .map_err(Failure::Machine)?;
        data(&document::path(file));
        return Ok(Outcome::Done);
    }
    let recorded: Record = serde_json::from_str(RECORD).expect("a test reads the record");
    let data_root = &arguments.machine.data_root;
    let speeds: Vec<Compared> =
        speeds.into_iter().map(|speed| Compared::new(speed, &recorded.speeds)).collect();
    let loops = Loops {
        inference: [taken(&about.inference_kernels), &recorded.inference_kernel],
        codec: [taken(&about.codec_kernels), &recorded.codec_kernel],
    };
    let slow = speeds.iter().filter_map(|speed| speed.slowness(&loops)).collect();
    let mut diagnosis = Diagnosis {
        about,
        places: vec![
            Place::examine("runs", &arguments.out),
            Place::examine("cache", &arguments.machine.data().cache()),
        ],
        data: DataRoot::examine(data_root),
        recorded_cpu: recorded.cpu,
        speeds,
        slow,
        trials: trials.into_iter().map(|trial| Comparison::new(trial, &recorded.trials)).collect(),
        to_mend: Vec::new(),
        ready: false,
    };
    let fatal = diagnosis.judge();
    arguments.shown.format.show(&diagnosis);
    match fatal {
        None => Ok(Outcome::Done),
        Some(reason) => Err(Failure::Machine(anyhow!("this machine is not ready: {reason}"))),
    }
}

/// The fastest form that the machine can run.
fn taken<'a>(forms: &[&'a str]) -> &'a str {
    forms.last().expect("the portable form is always there")
}

/// The program and the machine.
#[derive(Serialize)]
struct About {
    program: String,
    platform: String,
    cpu: String,
    cores: usize,
    threads: usize,
    memory_bytes: Option<u64>,
    available_bytes: Option<u64>,
    /// Forms of the loops that this machine can run, the one that is taken last.
    inference_kernels: Vec<&'static str>,
    codec_kernels: Vec<&'static str>,
}

impl About {
    fn new(threads: usize) -> Self {
        let environment = run::environment(threads);
        let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let bytes = |field: &str| {
            let kib = memory.lines().find_map(|line| line.strip_prefix(field)?.trim().strip_suffix(" kB"));
            Some(1024 * kib?.trim().parse::<u64>().ok()?)
        };
        Self {
            program: environment.program,
            platform: environment.platform,
            cpu: environment.cpu,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            threads,
            memory_bytes: bytes("MemTotal:"),
            available_bytes: bytes("MemAvailable:"),
            inference_kernels: infer::kernel_forms(),
            codec_kernels: ecc::Kernel::available().into_iter().map(ecc::Kernel::id).collect(),
        }
    }

    fn text(&self) -> String {
        let memory = match (self.memory_bytes, self.available_bytes) {
            (Some(all), Some(free)) => format!("{} of memory, {} available", gib(all), gib(free)),
            _ => "memory unknown".into(),
        };
        let kernel = |forms: &[&str]| format!("{} (of {})", taken(forms), forms.join(", "));
        format!(
            "{}, {}\n{}: {} cores, {} threads in use, {memory}\ninference: {}\ncodecs: {}",
            self.program,
            self.platform,
            self.cpu,
            self.cores,
            self.threads,
            kernel(&self.inference_kernels),
            kernel(&self.codec_kernels),
        )
    }
}

/// Bytes for people.
fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / (1u64 << 30) as f64)
}

#[derive(Serialize)]
struct Diagnosis {
    #[serde(flatten)]
    about: About,
    places: Vec<Place>,
    data: DataRoot,
    /// The machine of the recorded speeds.
    recorded_cpu: String,
    speeds: Vec<Compared>,
    /// A sentence for each speed that is far below the recorded one.
    slow: Vec<String>,
    trials: Vec<Comparison>,
    /// A sentence each.
    to_mend: Vec<String>,
    /// True if every requirement of a run is met.
    ready: bool,
}

impl Diagnosis {
    /// Finds what is to be mended; returns the first that every run needs.
    fn judge(&mut self) -> Option<String> {
        let differing = self.trials.iter().filter(|trial| !trial.same).map(Comparison::complaint);
        let [runs, cache] = &self.places[..] else { unreachable!("two places are examined") };
        let mut fatal: Vec<String> = differing.collect();
        fatal.extend(runs.problem.as_ref().map(|problem| {
            format!(
                "{}: run directories cannot be made there: {problem} (choose a place with --out)",
                runs.path
            )
        }));
        let mut other = Vec::new();
        if let Some(free) = runs.free_bytes.filter(|free| *free < ROOM) {
            other.push(format!("{}: {} are free, expected {} for records", runs.path, gib(free), gib(ROOM)));
        }
        other.extend(cache.problem.as_ref().map(|problem| {
            format!(
                "{}: decoded images cannot be kept there: {problem} (choose a place with --cache)",
                cache.path
            )
        }));
        let first = fatal.first().cloned();
        self.ready = first.is_none();
        self.to_mend = [fatal, other].concat();
        first
    }
}

impl Document for Diagnosis {
    const FORMAT: &'static str = "zerospace.doctor/1";

    fn text(&self) -> String {
        let places: Vec<Vec<String>> = self.places.iter().map(Place::row).collect();
        let speeds: Vec<Vec<String>> = self.speeds.iter().map(Compared::row).collect();
        let trials: Vec<Vec<String>> = self.trials.iter().map(Comparison::row).collect();
        let end = match &self.to_mend[..] {
            [] => "ready".into(),
            to_mend => {
                let list: String = to_mend.iter().map(|sentence| format!("\n- {sentence}")).collect();
                format!("{}to mend:{list}", if self.ready { "ready, but " } else { "" })
            }
        };
        let slow = match &self.slow[..] {
            [] => String::new(),
            slow => format!(
                "slow:\n{}\n",
                slow.iter().map(|sentence| format!("- {sentence}\n")).collect::<String>()
            ),
        };
        let columns = ["speed of one thread", ">here", &format!(">{}", self.recorded_cpu), ">ratio"];
        format!(
            "{}\n\n{}\n{}\n{}\n{slow}{}\n{end}",
            self.about.text(),
            markdown(&["place", "path", "writable", ">free"], &places),
            self.data.text(),
            markdown(&columns, &speeds),
            markdown(&["exactness", "cell", ">trial", "record"], &trials),
        )
    }
}

/// The nearest directory above a path that is there, or the path itself.
fn existing(path: &Path) -> &Path {
    let there = path.ancestors().find(|ancestor| ancestor.is_dir() && !ancestor.as_os_str().is_empty());
    there.unwrap_or(Path::new("."))
}
