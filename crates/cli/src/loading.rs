//! From files to what a verb works with.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use campaign::{Evaluation, Experiment};
use clap::Args;
use data::ImageSet;
use ecc::MemoryLayout;
use inject::ScopedFaultModel;
use quant::{Activations, Checkpoint};
use records::{CellSpec, EvaluationSet, NetworkEntry, TensorEntry};

use crate::exit::Failure;
use crate::images::{DEFAULT_SIDE, Images, is_folder};
use crate::int8::{Int8, evaluator};
use crate::making::agreeing;
use crate::network_text;
use crate::output::progress_line;
use crate::progress::bar;

/// How many threads may work, and where decoded images are kept.
#[derive(Args)]
pub(crate) struct Resources {
    /// Where decoded images of folders are kept, to be decoded once [default: .zerospace-cache in the
    /// directory of images or data sets]
    #[arg(long, value_name = "DIR", env = "ZEROSPACE_CACHE")]
    pub(crate) cache: Option<PathBuf>,
    /// Threads; the results do not depend on it [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
}

/// Where data sets lie, and what may be used to work on them.
#[derive(Args)]
pub(crate) struct Machine {
    /// Directory of data sets; `cifar10` is looked for in DIR/cifar10, as Hugging Face parquet, in the published binary
    /// form (`zerospace data fetch cifar10`) or as torchvision's pickles, `imagenet` in DIR/imagenet/val/CLASS/*.JPEG,
    /// `images` (any, without labels) in DIR/images; others: `zerospace data list --help`
    #[arg(long = "data", value_name = "DIR", env = "ZEROSPACE_DATA", default_value = "data")]
    pub(crate) data_root: PathBuf,
    #[command(flatten)]
    pub(crate) resources: Resources,
}

impl Machine {
    /// As [`Resources::start`].
    pub(crate) fn start(&self) -> Result<usize, Failure> {
        self.resources.start()
    }
}

impl Resources {
    /// Starts the worker threads; returns how many there are.
    pub(crate) fn start(&self) -> Result<usize, Failure> {
        let threads = self.threads.map_or(0, usize::from);
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build_global()
            .context("worker threads")
            .map_err(Failure::Machine)?;
        Ok(rayon::current_num_threads())
    }
}

/// Bytes of clean activations that the networks of an experiment may keep for their trials.
const KEPT_LEVELS: usize = 768 << 20;

/// The weights of a checkpoint as the memory sees them.
pub(crate) fn stored_network(label: &str, checkpoint: &Checkpoint) -> campaign::Network {
    let sizes = checkpoint.weights.iter().map(|w| (w.name.as_str(), w.values.len()));
    let layout = MemoryLayout::new(sizes);
    let plane = layout.pack(checkpoint.weights.iter().map(|w| w.values.as_slice()));
    campaign::Network {
        label: label.into(),
        digest: checkpoint.digest(),
        evaluator: evaluator(checkpoint),
        layout,
        plane,
    }
}

/// An experiment with everything it needs.
pub(crate) struct Prepared {
    pub(crate) experiment: Experiment,
    /// The experiment file, word for word.
    pub(crate) source: String,
    pub(crate) images: ImageSet,
    pub(crate) checkpoints: Vec<Checkpoint>,
    pub(crate) networks: Vec<campaign::Network>,
    pub(crate) cells: Vec<CellSpec>,
}

impl Prepared {
    /// Reads and checks an experiment, its checkpoints and its data; runs nothing.
    pub(crate) fn load(path: &Path, machine: &Machine) -> Result<Self, Failure> {
        let (experiment, source) = Experiment::load(path).map_err(Failure::input)?;
        let load = |model: &campaign::ModelSection| Checkpoint::load(&model.checkpoint);
        let checkpoints: Vec<Checkpoint> =
            experiment.models.iter().map(load).collect::<Result<_, _>>().map_err(Failure::input)?;
        Self::new(experiment, source, checkpoints, machine)
    }

    /// Checks an experiment with its checkpoints, one a model, and reads its data.
    pub(crate) fn new(
        experiment: Experiment,
        source: String,
        checkpoints: Vec<Checkpoint>,
        machine: &Machine,
    ) -> Result<Self, Failure> {
        let data = &experiment.data;
        let side = input_side(&data.set, &checkpoints[0]).map_err(Failure::Input)?;
        let Images { set: images, unreadable, .. } =
            machine.images(&data.set, &data.split, data.images, side)?;
        let labelled = experiment.models.iter().zip(&checkpoints);
        let networks: Vec<_> = labelled.map(|(model, c)| stored_network(&model.label, c)).collect();
        let evaluation = EvaluationSet {
            name: images.name().into(),
            split: images.split().to_string(),
            images: images.len() as u64,
            digest: images.digest(),
            unreadable_files: unreadable as u64,
            label_free: !images.is_labelled(),
        };
        let cells = campaign::plan(&experiment, &networks, &evaluation).map_err(Failure::input)?;
        Ok(Self { experiment, source, images, checkpoints, networks, cells })
    }

    /// The networks ready to run, with their fault-free predictions.
    pub(crate) fn evaluators(&self) -> Result<Vec<(Int8<'_>, Evaluation)>, Failure> {
        let memory = KEPT_LEVELS / self.checkpoints.len();
        let bar = bar((self.images.len() * self.checkpoints.len()) as u64, "images");
        let ready = |(model, checkpoint): (&campaign::ModelSection, &Checkpoint)| {
            bar.set_message(format!("{}, fault-free", model.label));
            let network = Int8::new(checkpoint, &self.images, memory, &|images| bar.inc(images as u64))
                .with_context(|| model.checkpoint.display().to_string())
                .map_err(Failure::Input)?;
            let clean = network.clean().to_vec();
            let correct = agreeing(&clean, &self.images);
            if let Some(warning) =
                network_text::at_chance(correct, &self.images, &checkpoint.model, &checkpoint.preprocessing)
            {
                progress_line(&format!("{}: {warning}", model.label));
            }
            let evaluation = match self.images.is_labelled() {
                true => Evaluation::new(self.images.labels().to_vec(), clean),
                false => Evaluation::label_free(clean),
            };
            Ok((network, evaluation))
        };
        let ready = self.experiment.models.iter().zip(&self.checkpoints).map(ready).collect();
        bar.finish_and_clear();
        ready
    }

    /// What the manifest tells people about the networks.
    pub(crate) fn entries(&self, evaluators: &[(Int8<'_>, Evaluation)]) -> Vec<NetworkEntry> {
        let entry = |i: usize| {
            let (network, checkpoint) = (&self.networks[i], &self.checkpoints[i]);
            NetworkEntry {
                label: network.label.clone(),
                network: network.digest.clone(),
                architecture: network_text::architecture(&checkpoint.model, &checkpoint.layers),
                family: self.experiment.models[i].family.clone(),
                classes: checkpoint.model.classes as u64,
                clean_correct: evaluators[i].1.clean_correct(),
                provenance: provenance(checkpoint, Some(&self.experiment.data.set)),
                tensors: self.named_tensors(network),
            }
        };
        (0..self.networks.len()).map(entry).collect()
    }

    /// The tensors of a network, if fault models are confined to some.
    fn named_tensors(&self, network: &campaign::Network) -> Vec<TensorEntry> {
        let of_a_tensor = |cell: &CellSpec| {
            let model: Result<ScopedFaultModel, _> = cell.fault_model.parse();
            cell.network == network.digest && model.is_ok_and(|model| model.scope.tensor.is_some())
        };
        if !self.cells.iter().any(of_a_tensor) {
            return Vec::new();
        }
        let tensors = network.layout.tensors().iter();
        tensors.map(|span| TensorEntry { name: span.name.clone(), weights: span.len as u64 }).collect()
    }
}

/// Rows and columns that the images of a set are to have for a network.
fn input_side(set: &str, checkpoint: &Checkpoint) -> anyhow::Result<usize> {
    let [_, height, width] = checkpoint.model.input;
    match is_folder(set) {
        false => Ok(DEFAULT_SIDE),
        true if height == width => Ok(height),
        true => {
            Err(anyhow!("the network takes images of {height} rows of {width} pixels, {set} has squares"))
        }
    }
}

/// Where a checkpoint came from and what it takes as input, a line for each step. `set` is the one whose images it is
/// given, if any.
pub(crate) fn provenance(checkpoint: &Checkpoint, set: Option<&str>) -> Vec<String> {
    let p = &checkpoint.provenance;
    let mut lines = vec![format!("weights from {} (SHA-256 {})", p.source, p.source_sha256)];
    lines.extend(p.reading.iter().map(|choice| format!("read as: {choice}")));
    lines.extend([
        format!("weights after rounding: {}", p.weight_edits),
        match checkpoint.activations {
            Activations::Static(_) => {
                format!("activation ranges from {} (SHA-256 {})", p.calibration, p.calibration_digest)
            }
            Activations::Dynamic { .. } => format!("activation ranges from {}", p.calibration),
        },
        format!(
            "preprocessing: {}",
            network_text::preprocessing(&checkpoint.preprocessing, checkpoint.model.input, set)
        ),
        format!("written by {}", p.written_by),
    ]);
    lines
}
