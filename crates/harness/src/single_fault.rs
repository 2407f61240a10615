//! A campaign of single faults with its checkpoint and its images.

use std::fs::File;
use std::path::{Path, PathBuf};

use analysis::{FaultCommands, FaultEstimates};
use anyhow::{Context, anyhow};
use campaign::{SingleFaultExperiment, drawn_faults};
use data::ImageSet;
use design::{EvaluationSet, FAULT_RECORD_VERSION, FaultRecord, FaultedTensor, SingleFaultSpec};
use graph::WeightChange;
use infer::Network;
use quant::Checkpoint;
use records::{Environment, FAULTS, FaultManifest, FaultStore, NetworkEntry};

use crate::evaluator::evaluator;
use crate::experiment::{input_cut, provenance};
use crate::images::{Images, is_synthetic};
use crate::{CompiledNetwork, DataSets, Failure, Observer, network_text};

/// Strata in the headline.
const FIRST_STRATA: usize = 10;

/// A campaign of single faults, ready to evaluate them.
#[derive(Debug)]
pub struct SingleFaults {
    /// The experiment file's content.
    pub experiment: SingleFaultExperiment,
    /// The experiment file, word for word.
    pub source: String,
    /// Conditions of the campaign.
    pub spec: SingleFaultSpec,
    /// Numbers of the faults that are drawn, ascending.
    pub faults: Vec<u64>,
    checkpoint: Checkpoint,
    images: ImageSet,
    network: Network,
    /// Class of each image: its label or, without labels, the fault-free prediction.
    labels: Vec<u16>,
    clean_correct: u64,
}

impl SingleFaults {
    /// Reads an experiment file with `design = "single-fault"`, its checkpoint and its images, compiles the network and computes
    /// its fault-free predictions.
    ///
    /// # Errors
    /// With the file, the field, its value and the expectation.
    pub fn load(
        source: String,
        path: &Path,
        data: &DataSets,
        observer: &dyn Observer,
    ) -> Result<Self, Failure> {
        let experiment = SingleFaultExperiment::parse(&source, path).map_err(Failure::input)?;
        let model = experiment.model();
        let checkpoint = Checkpoint::load(&model.checkpoint).map_err(Failure::input)?;
        let section = &experiment.data;
        let cut = input_cut(&section.set, &checkpoint).map_err(Failure::Input)?;
        let Images { set: images, unreadable, .. } =
            data.images(&section.set, &section.split, section.images, cut, observer)?;
        let place = || model.checkpoint.display().to_string();
        let compiled =
            CompiledNetwork::new(&checkpoint, &images).with_context(place).map_err(Failure::Input)?;
        let network = match compiled {
            CompiledNetwork::Static(network) => network,
            CompiledNetwork::Dynamic(_) => {
                return Err(Failure::Input(anyhow!(
                    "{}: its activations have dynamic ranges, expected static ones: under dynamic ranges a fault in one image \
                     reaches the others",
                    place()
                )));
            }
            CompiledNetwork::Given(_) => {
                return Err(Failure::Input(anyhow!(
                    "{}: another program quantized it, expected a network that `zerospace quantize` rounded: the executor of such \
                     networks evaluates no single faults; a campaign with `trials` does",
                    place()
                )));
            }
        };
        observer.begin(images.len() as u64, "images");
        observer.subject(&format!("{}, fault-free", model.label));
        let inputs = network.prepare(images.pixels()).map_err(Failure::input)?;
        let clean = network.predict_watched(&inputs, &|images| observer.advance(images as u64));
        observer.end();
        let labels = if images.is_labelled() { images.labels().to_vec() } else { clean.clone() };
        let clean_correct = labels.iter().zip(&clean).filter(|(label, class)| label == class).count() as u64;
        let tensors = checkpoint.weights.iter().map(|weight| FaultedTensor {
            name: weight.name().into(),
            weights: weight.values().len() as u64,
        });
        let spec = SingleFaultSpec {
            record_version: FAULT_RECORD_VERSION,
            evaluator: evaluator(&checkpoint),
            model: model.label.clone(),
            network: checkpoint.digest(),
            tensors: tensors.collect(),
            seed: experiment.seed,
            sample: experiment.sample(),
            evaluation: EvaluationSet {
                name: images.name().into(),
                split: images.split().to_string().into(),
                images: images.len() as u64,
                digest: images.digest().into(),
                unreadable_files: unreadable as u64,
                label_free: !images.is_labelled(),
                images_per_trial: None,
            },
        };
        let faults = drawn_faults(&spec);
        Ok(Self { experiment, source, spec, faults, checkpoint, images, network, labels, clean_correct })
    }

    /// The manifest of a run. `environment` says where the run begins.
    pub fn manifest(&self, environment: Environment) -> FaultManifest {
        let set = &self.experiment.data.set;
        let entry = NetworkEntry {
            label: self.spec.model.clone(),
            network: self.spec.network.clone(),
            architecture: network_text::architecture(&self.checkpoint.model, &self.checkpoint.layers),
            family: None,
            training: None,
            classes: self.checkpoint.model.classes as u64,
            clean_correct: self.clean_correct,
            clean_scores: Vec::new(),
            provenance: provenance(&self.checkpoint, Some(set)),
            tensors: Vec::new(),
        };
        FaultManifest::new(
            &self.experiment.title,
            &self.source,
            self.spec.clone(),
            self.faults.len() as u64,
            self.experiment.unit_faults,
            self.experiment.drop_points,
            entry,
            environment,
        )
    }

    /// Evaluates some faults; returns their records in order. Ascending faults share work.
    ///
    /// # Panics
    /// When a fault does not exist.
    pub fn evaluate(&self, faults: &[u64]) -> Vec<FaultRecord> {
        let inputs = self.network.prepare(self.images.pixels()).expect("prepared before");
        let changes: Vec<WeightChange> = faults
            .iter()
            .map(|&fault| {
                let (tensor, index, bit) = self.spec.place(fault);
                let index = index as usize;
                let value = self.checkpoint.weights[tensor].values()[index] ^ (1u8 << bit).cast_signed();
                WeightChange { tensor, index, value }
            })
            .collect();
        let effects = self.network.effects(&inputs, &self.labels, &changes);
        let records = faults.iter().zip(effects).map(|(&fault, effect)| FaultRecord {
            fault,
            logits: effect.logits,
            top1: effect.top1,
            correct: effect.correct,
        });
        records.collect()
    }

    /// Evaluates some faults by full passes of the changed network, which shares no code with [`SingleFaults::evaluate`] beyond
    /// the executor itself.
    ///
    /// # Panics
    /// When a fault does not exist.
    pub fn evaluate_in_full(&mut self, faults: &[u64]) -> Vec<FaultRecord> {
        let Self { spec, checkpoint, images, network, labels, .. } = self;
        let inputs = network.prepare(images.pixels()).expect("prepared before");
        let (clean, clean_classes) = (network.logits(&inputs, &[]), network.predict_clean(&inputs));
        let classes = network.classes();
        let mut record = |&fault: &u64| {
            let (tensor, index, bit) = spec.place(fault);
            let index = index as usize;
            let value = checkpoint.weights[tensor].values()[index] ^ (1u8 << bit).cast_signed();
            let change = [WeightChange { tensor, index, value }];
            let (logits, top1) = (network.logits(&inputs, &change), network.predict(&inputs, &change));
            let bits = |logits: &[f32]| logits.iter().map(|logit| logit.to_bits()).collect::<Vec<u32>>();
            let images = clean.chunks_exact(classes).zip(logits.chunks_exact(classes));
            let count = |a: &[u16], b: &[u16], equal| {
                a.iter().zip(b).filter(|(a, b)| (a == b) == equal).count() as u32
            };
            FaultRecord {
                fault,
                logits: images.filter(|(a, b)| bits(a) != bits(b)).count() as u32,
                top1: count(&clean_classes, &top1, false),
                correct: count(labels, &top1, true),
            }
        };
        faults.iter().map(&mut record).collect()
    }
}

/// The report of a merged campaign.
#[derive(Debug)]
pub struct FaultReport<'a> {
    store: &'a FaultStore,
    /// The estimates.
    pub estimates: FaultEstimates,
}

impl<'a> FaultReport<'a> {
    /// Reads the records of a campaign and estimates critical rates.
    ///
    /// # Errors
    /// If records are missing or damaged.
    pub fn new(store: &'a FaultStore) -> Result<Self, Failure> {
        let manifest = store.manifest();
        let records = store.all()?;
        let correct = manifest.network.clean_correct;
        let estimates = FaultEstimates::new(manifest.spec.clone(), manifest.drop_points, correct, &records);
        Ok(Self { store, estimates })
    }

    /// Writes tables, the heat map and the report as Markdown and HTML into a folder; returns the files.
    ///
    /// # Errors
    /// If `faults.parquet` is missing, or the disk refuses.
    pub fn write(&self, folder: &Path) -> Result<Vec<PathBuf>, Failure> {
        let manifest = self.store.manifest();
        let arguments = manifest.environment.arguments();
        let data = if is_synthetic(&manifest.spec.evaluation.name) { "" } else { " --data $DATA" };
        let table = self.store.root().join(FAULTS);
        let faults_sha256 = File::open(&table)
            .and_then(durable::sha256_hex_of)
            .map_err(|error| Failure::Machine(anyhow!("{}: {error}", table.display())))?;
        let commands = FaultCommands {
            repeat: &format!("{arguments}{data}"),
            verify: &format!("zerospace verify {} --out DIR{data}", arguments.experiment()),
            faults_sha256: &faults_sha256,
        };
        analysis::write_fault_report(&self.estimates, manifest, &commands, folder).map_err(Failure::machine)
    }

    /// The estimate of all faults and the first strata, as Markdown.
    pub fn headline(&self) -> String {
        let conditions = analysis::fault_conditions(&self.estimates);
        let total = analysis::total_table(&self.estimates);
        match self.estimates.strata.len() {
            1 => format!("{conditions}:\n\n{total}"),
            _ => format!(
                "{conditions}:\n\n{total}\nMost critical strata:\n\n{}",
                analysis::ranking_table(&self.estimates, FIRST_STRATA)
            ),
        }
    }
}
