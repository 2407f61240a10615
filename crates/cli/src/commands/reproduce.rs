use std::path::{Path, PathBuf};

use anyhow::Context;
use campaign::{Experiment, ModelSection};
use clap::Args;
use quant::Checkpoint;
use records::RunArguments;

use crate::commands::run;
use crate::terminal::exit::Outcome;
use crate::terminal::machine::Machine;
use crate::terminal::progress::Terminal;
use crate::terminal::signals;
use harness::Failure;
use harness::LoadedExperiment;

macro_rules! carried {
    ($($name:literal),*) => { [$(($name, include_bytes!(concat!("../../carried/", $name)))),*] };
}

/// The experiment and its networks. `carried/` links to the repository's `experiments/`; a package replaces the links by
/// files.
const FILES: [(&str, &[u8]); 4] = carried![
    "reproduce.toml",
    "networks/vgg16-synthetic.safetensors",
    "networks/resnet18-synthetic.safetensors",
    "networks/squeezenet-synthetic.safetensors"
];

const HELP: &str = "\
The command needs no data and no network connection: the program carries an experiment and three thin networks,
trained with WOT on images that it draws itself. It writes both into the run directory, where you can read, change
and run them with `zerospace run`. After a kill the same command resumes.

Example:
  zerospace reproduce";

/// Run the paper's experiment offline: three networks, four protections, four fault rates
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Run directory
    #[arg(long, value_name = "DIR", default_value = "runs/reproduce")]
    out: PathBuf,
    #[command(flatten)]
    machine: Machine,
}

/// Loads the carried experiment and its networks without reading a file.
pub(crate) fn carried(machine: &Machine) -> Result<LoadedExperiment, Failure> {
    let bytes = |path: &Path| {
        let (_, bytes) =
            FILES.iter().find(|(name, _)| Path::new(name) == path).expect("every file is carried");
        *bytes
    };
    let path = Path::new(FILES[0].0);
    let source = String::from_utf8(bytes(path).into()).expect("an experiment is text");
    let experiment = Experiment::parse(&source, path).map_err(Failure::input)?;
    let load = |model: &ModelSection| Checkpoint::parse(bytes(&model.checkpoint), &model.checkpoint);
    let checkpoints = experiment.models.iter().map(load).collect::<Result<_, _>>().map_err(Failure::input)?;
    LoadedExperiment::new(experiment, source, checkpoints, &machine.data(), &Terminal::default())
}

pub(crate) fn execute(arguments: &Arguments) -> Result<Outcome, Failure> {
    let networks = arguments.out.join("networks");
    std::fs::create_dir_all(&networks)
        .with_context(|| networks.display().to_string())
        .map_err(Failure::Machine)?;
    for (name, bytes) in FILES {
        let path = arguments.out.join(name);
        signals::whole(|| durable::write(&path, bytes))
            .with_context(|| path.display().to_string())
            .map_err(Failure::Machine)?;
    }
    let experiment = arguments.out.join("reproduce.toml");
    run::run(&experiment, RunArguments::Reproduce {}, Some(&arguments.out), None, &arguments.machine)
}
