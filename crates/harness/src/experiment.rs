//! An experiment file with its checkpoints, its images and the plan that they make.

use std::path::Path;

use anyhow::{Context, anyhow};
use campaign::{Evaluation, EvaluatorSection, Experiment, own_evaluator_id};
use data::ImageSet;
use design::{CellSpec, EvaluationSet, SharedText};
use ecc::MemoryLayout;
use quant::{Activations, Checkpoint, QuantTensor, TensorFile};
use records::{Environment, Manifest, NetworkEntry, TensorEntry};

use crate::evaluator::evaluator;
use crate::images::{ARRAYS, Cut, has_image_files};
use crate::own_evaluator::FaultFreeOwn;
use crate::process::ProcessEvaluator;
use crate::quantizing::agreeing;
use crate::weights_only::is_weights_only;
use crate::{DataSets, Failure, Images, Int8, Observer, OwnEvaluator, ReadyEvaluator, network_text};

/// Bytes of clean activations and sums that all networks of an experiment together may keep for their trials.
const KEPT_LEVELS: usize = 768 << 20;

/// The weights of a checkpoint in memory order, under a label for tables and figures.
pub fn stored_network(label: &str, checkpoint: &Checkpoint) -> campaign::Network {
    let sizes = checkpoint.weights.iter().map(|w| (w.name(), w.values().len()));
    let layout = MemoryLayout::new(sizes);
    let plane = layout.pack(checkpoint.weights.iter().map(QuantTensor::values));
    campaign::Network {
        label: label.into(),
        digest: checkpoint.digest(),
        evaluator: evaluator(checkpoint),
        layout,
        plane,
    }
}

/// The int8 tensors of a file in memory order. They have no evaluator: its name is empty.
pub fn stored_tensors(label: &str, file: &TensorFile) -> campaign::Network {
    let tensors = file.tensors().iter();
    let layout = MemoryLayout::new(tensors.clone().map(|tensor| (tensor.name.as_str(), tensor.values.len())));
    let plane = layout.pack(tensors.map(|tensor| tensor.values.as_slice()));
    campaign::Network {
        label: label.into(),
        digest: file.digest().into(),
        evaluator: String::new(),
        layout,
        plane,
    }
}

/// An experiment with its checkpoints, images, networks and cells; nothing has run yet.
#[derive(Debug)]
pub struct LoadedExperiment {
    /// The experiment file's content.
    pub experiment: Experiment,
    /// The experiment file, word for word.
    pub source: String,
    /// The evaluation images; `None` if evaluators of the user's own have data of their own.
    pub images: Option<ImageSet>,
    /// A checkpoint for each `[[model]]`, in the file's order.
    pub checkpoints: Vec<Checkpoint>,
    /// The same networks in memory order.
    pub networks: Vec<campaign::Network>,
    /// The plan.
    pub cells: Vec<CellSpec>,
    /// The user's own evaluators, one for each network; none: the int8 executor.
    own: Vec<FaultFreeOwn>,
    /// The evaluation images if only the user's own evaluators see them.
    unseen: Option<UnseenImages>,
}

/// The images that an experiment is evaluated on.
#[derive(Debug)]
pub enum EvaluationImages<'a> {
    /// The first images of the set that `[data]` names, in these data sets; none without `[data]`.
    Named(&'a DataSets),
    /// Images of the caller, for which `[data]` has the caller's name.
    Given(ImageSet),
    /// Images that only the evaluators of the user's own see, for which `[data]` has the caller's name.
    Unseen(UnseenImages),
}

/// Images that only an evaluator of the user's own sees.
#[derive(Debug)]
pub struct UnseenImages {
    /// Number of images.
    pub images: usize,
    /// Class of each image; `None`: the fault-free predictions stand for the labels.
    pub labels: Option<Vec<u16>>,
}

impl UnseenImages {
    /// The evaluation set under a name: its digest is that of the labels, two bytes each.
    fn evaluation(&self, name: &str, split: &str) -> EvaluationSet {
        let bytes: Vec<u8> = self.labels.iter().flatten().flat_map(|label| label.to_le_bytes()).collect();
        EvaluationSet {
            name: name.into(),
            split: split.into(),
            images: self.images as u64,
            digest: durable::sha256_hex(&bytes).into(),
            label_free: self.labels.is_none(),
            ..EvaluationSet::default()
        }
    }
}

/// A network of an experiment, ready for trials.
#[derive(Debug)]
pub struct ReadyNetwork<'a> {
    /// Runs it.
    pub evaluator: ReadyEvaluator<'a>,
    /// Its fault-free outputs, with which trials are compared.
    pub evaluation: Evaluation,
}

impl LoadedExperiment {
    /// Reads and checks an experiment file, its checkpoints and its images.
    ///
    /// # Errors
    /// With the file, the field, its value and the expectation.
    pub fn load(path: &Path, data: &DataSets, observer: &dyn Observer) -> Result<Self, Failure> {
        let (experiment, source) = Experiment::load(path).map_err(Failure::input)?;
        let load = |model: &campaign::ModelSection| Checkpoint::load(&model.checkpoint);
        let checkpoints: Vec<Checkpoint> =
            experiment.models.iter().map(load).collect::<Result<_, _>>().map_err(Failure::input)?;
        Self::new(experiment, source, checkpoints, data, observer)
    }

    /// Checks an experiment with its checkpoints, one for each model, and reads its images.
    ///
    /// # Errors
    /// As [`LoadedExperiment::load`].
    pub fn new(
        experiment: Experiment,
        source: String,
        checkpoints: Vec<Checkpoint>,
        data: &DataSets,
        observer: &dyn Observer,
    ) -> Result<Self, Failure> {
        let images = EvaluationImages::Named(data);
        if experiment.evaluator.is_none() && experiment.data.as_ref().is_some_and(|data| data.set == ARRAYS) {
            return Err(Failure::Input(anyhow!(
                "`data.set` is {ARRAYS:?}: the images are arrays of the Python program that began the run, expected zerospace.run, \
                 zerospace.verify or zerospace.replay with these images there"
            )));
        }
        let Some(section) = &experiment.evaluator else {
            return Self::with_images(experiment, source, checkpoints, images, observer);
        };
        let Some(words) = &section.command else {
            let EvaluatorSection { name, version, .. } = section;
            return Err(Failure::Input(anyhow!(
                "`evaluator.command` is absent: evaluator {name}, version {version}, is a function of the program that began the run, \
                 such as a Python callable, expected zerospace.run, zerospace.verify or zerospace.replay with this function \
                 there, or the command of a process"
            )));
        };
        let start = |(model, checkpoint): (&campaign::ModelSection, &Checkpoint)| {
            let folder = &experiment.folder;
            let blocks = experiment.images_per_trial();
            let process = ProcessEvaluator::start(section, words, folder, (model, checkpoint), blocks)?;
            Ok(Box::new(process) as Box<dyn OwnEvaluator>)
        };
        let evaluators: anyhow::Result<_> = experiment.models.iter().zip(&checkpoints).map(start).collect();
        let evaluators = evaluators.map_err(Failure::Input)?;
        Self::with_evaluators(experiment, source, checkpoints, evaluators, images, observer)
    }

    /// Checks an experiment for the int8 executor with its checkpoints, one for each model, on images of any origin.
    ///
    /// # Errors
    /// As [`LoadedExperiment::load`].
    ///
    /// # Panics
    /// When the images are unseen, or the checkpoints differ in number from the models.
    pub fn with_images(
        experiment: Experiment,
        source: String,
        checkpoints: Vec<Checkpoint>,
        images: EvaluationImages<'_>,
        observer: &dyn Observer,
    ) -> Result<Self, Failure> {
        assert!(!matches!(images, EvaluationImages::Unseen(_)), "the executor sees its images");
        Self::assembled(experiment, source, checkpoints, Vec::new(), images, observer)
    }

    /// Checks an experiment whose `[evaluator]` is a function of the caller, one for each model, and evaluates the networks
    /// without faults.
    ///
    /// # Errors
    /// As [`LoadedExperiment::load`]; if an evaluator fails, or gives other outputs than the experiment says.
    ///
    /// # Panics
    /// When `evaluators` or `checkpoints` differ in number from the models.
    pub fn with_evaluators(
        experiment: Experiment,
        source: String,
        checkpoints: Vec<Checkpoint>,
        evaluators: Vec<Box<dyn OwnEvaluator>>,
        images: EvaluationImages<'_>,
        observer: &dyn Observer,
    ) -> Result<Self, Failure> {
        assert_eq!(evaluators.len(), experiment.models.len(), "an evaluator for each model");
        if experiment.evaluator.is_none() {
            return Err(Failure::Input(anyhow!(
                "`evaluator` is absent, expected a section with name and version"
            )));
        }
        observer.begin(evaluators.len() as u64, "networks");
        let evaluate = |(model, evaluator): (&campaign::ModelSection, Box<dyn OwnEvaluator>)| {
            observer.subject(&format!("{}, fault-free", model.label));
            let own = FaultFreeOwn::new(evaluator).with_context(|| model.label.clone());
            observer.advance(1);
            own.map_err(Failure::Input)
        };
        let own = experiment.models.iter().zip(evaluators).map(evaluate).collect::<Result<_, _>>();
        observer.end();
        Self::assembled(experiment, source, checkpoints, own?, images, observer)
    }

    fn assembled(
        experiment: Experiment,
        source: String,
        checkpoints: Vec<Checkpoint>,
        own: Vec<FaultFreeOwn>,
        images: EvaluationImages<'_>,
        observer: &dyn Observer,
    ) -> Result<Self, Failure> {
        assert_eq!(checkpoints.len(), experiment.models.len(), "a checkpoint for each model");
        let (images, unseen, unreadable) = match (images, &experiment.data) {
            (EvaluationImages::Named(_), None) => (None, None, 0),
            (EvaluationImages::Named(data), Some(section)) => {
                let cut = input_cut(&section.set, &checkpoints[0]).map_err(Failure::Input)?;
                let Images { set, unreadable, .. } =
                    data.images(&section.set, &section.split, section.images, cut, observer)?;
                (Some(set), None, unreadable)
            }
            (EvaluationImages::Given(set), _) => (Some(set), None, 0),
            (EvaluationImages::Unseen(unseen), _) => (None, Some(unseen), 0),
        };
        let labelled = experiment.models.iter().zip(&checkpoints);
        let mut networks: Vec<_> = labelled.map(|(model, c)| stored_network(&model.label, c)).collect();
        if let Some(EvaluatorSection { name, version, .. }) = &experiment.evaluator {
            for (network, own) in networks.iter_mut().zip(&own) {
                network.evaluator = own_evaluator_id(name, version, own.outputs());
            }
        }
        let evaluation = match (&images, &unseen, &experiment.data) {
            (None, Some(unseen), Some(data)) => unseen.evaluation(&data.set, &data.split),
            (Some(images), ..) => EvaluationSet {
                name: images.name().into(),
                split: images.split().to_string().into(),
                images: images.len() as u64,
                digest: images.digest().into(),
                unreadable_files: unreadable as u64,
                label_free: !images.is_labelled(),
                images_per_trial: None,
            },
            (None, ..) => EvaluationSet {
                name: experiment
                    .evaluator
                    .as_ref()
                    .map_or_else(SharedText::default, |section| section.name.as_str().into()),
                ..EvaluationSet::default()
            },
        };
        let cells = campaign::plan(&experiment, &networks, &evaluation).map_err(Failure::input)?;
        let loaded = Self { experiment, source, images, checkpoints, networks, cells, own, unseen };
        loaded.own.iter().zip(&loaded.experiment.models).try_for_each(|(own, model)| {
            let checked = loaded.own_evaluation(own).with_context(|| model.label.clone());
            checked.map(|_| ()).map_err(Failure::Input)
        })?;
        Ok(loaded)
    }

    /// The same experiment with this number of images a trial.
    ///
    /// # Errors
    /// If the set has fewer images, or the experiment has an evaluator of the user's own, which learns of blocks when it starts.
    pub fn with_images_per_trial(mut self, images: u64) -> Result<Self, Failure> {
        let data = self.experiment.data.as_mut().filter(|_| self.experiment.evaluator.is_none());
        let Some(data) = data else {
            let expected = "expected `data.images_per_trial` in the experiment file, of which an evaluator learns when it starts";
            return Err(Failure::Input(anyhow!("{images} images a trial with an `[evaluator]`, {expected}")));
        };
        data.images_per_trial = Some(images);
        let evaluation = self.cells[0].evaluation.clone();
        self.cells = campaign::plan(&self.experiment, &self.networks, &evaluation).map_err(Failure::input)?;
        Ok(self)
    }

    /// Compiles the networks and computes their fault-free predictions. The user's own evaluators have done it already.
    ///
    /// # Errors
    /// If a network does not take the images.
    pub fn ready(&self, observer: &dyn Observer) -> Result<Vec<ReadyNetwork<'_>>, Failure> {
        match &self.images {
            Some(images) if self.own.is_empty() => self.ready_int8(images, observer),
            _ => self
                .own
                .iter()
                .map(|own| {
                    let evaluation = self.own_evaluation(own).map_err(Failure::input)?;
                    let blocks = self.experiment.images_per_trial();
                    let evaluation = evaluation.in_blocks(self.experiment.seed, blocks);
                    Ok(ReadyNetwork { evaluator: ReadyEvaluator::Own(own), evaluation })
                })
                .collect(),
        }
    }

    fn ready_int8<'a>(
        &'a self,
        images: &'a ImageSet,
        observer: &dyn Observer,
    ) -> Result<Vec<ReadyNetwork<'a>>, Failure> {
        let memory = KEPT_LEVELS / self.checkpoints.len();
        observer.begin((images.len() * self.checkpoints.len()) as u64, "images");
        let ready = |(model, checkpoint): (&campaign::ModelSection, &Checkpoint)| {
            observer.subject(&format!("{}, fault-free", model.label));
            let done = |images| observer.advance(images as u64);
            let blocks = self.experiment.images_per_trial();
            let made = Int8::new(checkpoint, images, blocks.is_some(), memory, &done);
            let evaluator =
                made.with_context(|| model.checkpoint.display().to_string()).map_err(Failure::Input)?;
            let correct = agreeing(evaluator.clean(), images);
            if let Some(warning) =
                network_text::at_chance(correct, images, &checkpoint.model, &checkpoint.preprocessing)
            {
                observer.remark(&format!("{}: {warning}", model.label));
            }
            let evaluation = evaluator.evaluation(images).in_blocks(self.experiment.seed, blocks);
            Ok(ReadyNetwork { evaluator: ReadyEvaluator::Int8(Box::new(evaluator)), evaluation })
        };
        let ready = self.experiment.models.iter().zip(&self.checkpoints).map(ready).collect();
        observer.end();
        ready
    }

    /// The fault-free outputs of an evaluator of the user's own, checked against the experiment.
    fn own_evaluation(&self, own: &FaultFreeOwn) -> Result<Evaluation, campaign::EvaluationError> {
        let clean = own.outputs().clone();
        match (&self.images, &self.unseen) {
            (None, None) => Evaluation::scores(self.experiment.metrics().to_vec(), clean),
            (None, Some(UnseenImages { images, labels })) => {
                Evaluation::own_predictions(*images, labels.clone(), clean)
            }
            (Some(images), _) => {
                let labels = images.is_labelled().then(|| images.labels().to_vec());
                Evaluation::own_predictions(images.len(), labels, clean)
            }
        }
    }

    /// Writes the experiment file to `path`, and each checkpoint that is not there to the path that its `[[model]]` names.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn save(&self, path: &Path) -> Result<(), Failure> {
        for (model, checkpoint) in self.experiment.models.iter().zip(&self.checkpoints) {
            if model.checkpoint.exists() {
                continue;
            }
            if let Some(folder) = model.checkpoint.parent() {
                let created = durable::create_folder(folder);
                created.with_context(|| folder.display().to_string()).map_err(Failure::Machine)?;
            }
            checkpoint.save(&model.checkpoint).map_err(Failure::machine)?;
        }
        let written = durable::write(path, self.source.as_bytes());
        written.with_context(|| path.display().to_string()).map_err(Failure::Machine)
    }

    /// The manifest of a run of this experiment. `environment` says where the run begins.
    pub fn manifest(&self, ready: &[ReadyNetwork<'_>], environment: Environment) -> Manifest {
        Manifest {
            expected: campaign::expected_outcomes(&self.networks, &self.cells),
            stop: self.experiment.stop,
            ..Manifest::new(
                &self.experiment.title,
                &self.source,
                self.entries(ready),
                self.cells.clone(),
                self.experiment.trials,
                self.experiment.unit_trials,
                environment,
            )
        }
    }

    /// Descriptions of the networks for the manifest.
    fn entries(&self, ready: &[ReadyNetwork<'_>]) -> Vec<NetworkEntry> {
        let entry = |i: usize| {
            let (network, checkpoint) = (&self.networks[i], &self.checkpoints[i]);
            NetworkEntry {
                label: network.label.clone(),
                network: network.digest.clone(),
                architecture: network_text::architecture(&checkpoint.model, &checkpoint.layers),
                family: self.experiment.models[i].family.clone(),
                training: self.experiment.models[i].training,
                classes: checkpoint.model.classes as u64,
                clean_correct: ready[i].evaluation.clean_correct(),
                clean_scores: ready[i].evaluation.clean_scores().to_vec(),
                provenance: provenance(
                    checkpoint,
                    self.experiment.data.as_ref().map(|section| &section.set[..]),
                ),
                tensors: self.named_tensors(network),
            }
        };
        (0..self.networks.len()).map(entry).collect()
    }

    /// The tensors of a network if a fault model is confined to one of them.
    fn named_tensors(&self, network: &campaign::Network) -> Vec<TensorEntry> {
        let of_a_tensor =
            |cell: &CellSpec| cell.network == network.digest && cell.fault_model.scope.tensor.is_some();
        if !self.cells.iter().any(of_a_tensor) {
            return Vec::new();
        }
        let tensors = network.layout.tensors().iter();
        tensors.map(|span| TensorEntry { name: span.name.clone(), weights: span.len as u64 }).collect()
    }
}

/// The cut of the images of a set for a network, if they are image files.
///
/// # Errors
/// If the set has image files and the network takes no squares.
pub fn input_cut(set: &str, checkpoint: &Checkpoint) -> anyhow::Result<Cut> {
    if !has_image_files(set) {
        return Ok(Cut::DEFAULT);
    }
    let [_, height, width] = checkpoint.model.input;
    Cut::of(&checkpoint.model).ok_or_else(|| {
        anyhow!("the network takes images of {height} rows of {width} pixels, {set} has squares")
    })
}

/// Origin and input of a checkpoint, a line for each step. `set` names the data set whose images it receives, if any.
pub fn provenance(checkpoint: &Checkpoint, set: Option<&str>) -> Vec<String> {
    let p = &checkpoint.provenance;
    if is_weights_only(&checkpoint.model) {
        return vec![format!("weights from {}", p.source), format!("written by {}", p.written_by)];
    }
    let mut lines = vec![format!("weights from {} (SHA-256 {})", p.source, p.source_sha256)];
    lines.extend(p.reading.iter().map(|choice| format!("read as: {choice}")));
    lines.extend([
        format!("weights after rounding: {}", p.weight_edits),
        match &checkpoint.activations {
            Activations::Given(given) => {
                format!("already quantized; rule {}; nothing is calibrated", given.rule.id())
            }
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
