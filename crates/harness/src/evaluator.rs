//! Int8 networks with static, dynamic or given activation ranges, on the images of a set.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use anyhow::anyhow;
use campaign::{ChangedTrial, Evaluation, EvaluationError, Evaluator, Outputs};
use data::ImageSet;
use graph::{ModelSpec, WeightChange};
use infer::{Baseline, BlockBaseline, BlockTrial, DynamicNetwork, GivenNetwork, Inputs, Network};
use quant::{Activations, Checkpoint};
use rayon::prelude::*;

/// A compiled int8 network.
#[derive(Debug)]
pub enum CompiledNetwork {
    /// With static activation ranges.
    Static(Network),
    /// With the ranges of each batch.
    Dynamic(DynamicNetwork),
    /// With the levels and the arithmetic of the program that quantized it.
    Given(Box<GivenNetwork>),
}

/// Name of the rules by which a checkpoint is evaluated; part of a cell's identity.
pub(crate) fn evaluator(checkpoint: &Checkpoint) -> String {
    match &checkpoint.activations {
        Activations::Static(_) => infer::EVALUATOR.into(),
        Activations::Dynamic { batch } => DynamicNetwork::evaluator(*batch),
        Activations::Given(given) => GivenNetwork::evaluator(given.rule),
    }
}

impl CompiledNetwork {
    /// Compiles a checkpoint for the images of a set.
    ///
    /// # Errors
    /// If the network does not take the images.
    pub fn new(checkpoint: &Checkpoint, images: &ImageSet) -> anyhow::Result<Self> {
        check_fit(&checkpoint.model, images)?;
        let graph = zoo::build_stored(&checkpoint.model, &checkpoint.layers)?;
        Ok(match checkpoint.activations {
            Activations::Static(_) => Self::Static(Network::new(&graph, checkpoint)?),
            Activations::Dynamic { .. } => Self::Dynamic(DynamicNetwork::new(&graph, checkpoint)?),
            Activations::Given(_) => Self::Given(Box::new(GivenNetwork::new(&graph, checkpoint)?)),
        })
    }

    /// Returns the class of each image. `done` receives the number of images just finished.
    ///
    /// # Errors
    /// If the network does not take the images.
    pub fn predict(&self, images: &ImageSet, done: &(dyn Fn(usize) + Sync)) -> anyhow::Result<Vec<u16>> {
        match self {
            Self::Static(network) => Ok(network.predict_watched(&network.prepare(images.pixels())?, done)),
            Self::Given(network) => Ok(network.predict_watched(&network.prepare(images.pixels())?, done)),
            Self::Dynamic(network) => {
                let image_bytes = images.shape().image_bytes();
                let mut predictions = Vec::with_capacity(images.len());
                for pixels in images.pixels().chunks(network.batch() * image_bytes) {
                    predictions.extend(network.predict_clean(&network.prepare(pixels)?));
                    done(pixels.len() / image_bytes);
                }
                Ok(predictions)
            }
        }
    }
}

/// Fewest trials for which one call is cheaper than a call for each, if the activations of some images are not kept.
const FEWEST_TOGETHER: usize = 3;

/// An int8 network on the images of a set: the [`Evaluator`] of a campaign.
#[derive(Debug)]
pub struct Int8<'a>(Kind<'a>);

#[derive(Debug)]
enum Kind<'a> {
    Static {
        baseline: Baseline<'a>,
        together: usize,
    },
    /// Each trial sees a block of the images.
    Blocks {
        baseline: BlockBaseline<'a>,
        together: usize,
    },
    Dynamic(Dynamic<'a>),
    /// Each trial is a full pass, over all images or over its block.
    Given {
        network: Box<GivenNetwork>,
        inputs: Inputs<'a>,
        clean: Vec<u16>,
    },
}

/// A network whose activation ranges are those of batches. Each trial is a full pass: a change reaches every image of its
/// batch through the ranges.
#[derive(Debug)]
struct Dynamic<'a> {
    /// The network, and copies for as many further trials as run at the same time.
    networks: Vec<DynamicNetwork>,
    inputs: Inputs<'a>,
    clean: Vec<u16>,
    /// Blocks of the last call and their fault-free classes.
    blocks: HashMap<Vec<u32>, Vec<u16>>,
    together: usize,
}

impl<'a> Dynamic<'a> {
    /// `memory` limits the activations of all batches that are evaluated at the same time, in bytes; there is always one.
    fn new(network: DynamicNetwork, inputs: Inputs<'a>, clean: Vec<u16>, memory: usize) -> Self {
        let threads = rayon::current_num_threads();
        let copies = (memory / network.batch_bytes().max(1)).clamp(1, threads);
        let networks = vec![network; copies];
        Self { networks, inputs, clean, blocks: HashMap::new(), together: threads }
    }

    /// Evaluates trials, several at the same time.
    fn predict(&mut self, trials: &[(Option<&[u32]>, &[WeightChange])]) -> Vec<Vec<u16>> {
        let Self { networks, inputs, .. } = self;
        let mut classes = vec![Vec::new(); trials.len()];
        let waiting = Mutex::new(trials.iter().zip(&mut classes));
        networks.par_iter_mut().with_max_len(1).for_each(|network| {
            loop {
                let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some(((images, changes), classes)) = next else { break };
                *classes = match images {
                    None => network.predict(inputs, changes),
                    Some(images) => network.predict_block(inputs, images, changes),
                };
            }
        });
        classes
    }

    /// Fault-free classes on blocks of the images.
    fn clean_on(&mut self, blocks: &[Vec<u32>]) -> Vec<Vec<u16>> {
        let new: Vec<&Vec<u32>> = blocks.iter().filter(|block| !self.blocks.contains_key(*block)).collect();
        let asked: Vec<_> = new.iter().map(|block| (Some(&block[..]), &[][..])).collect();
        let found = self.predict(&asked);
        self.blocks.retain(|block, _| blocks.contains(block));
        self.blocks.extend(new.into_iter().cloned().zip(found));
        blocks.iter().map(|block| self.blocks[block].clone()).collect()
    }
}

impl<'a> Int8<'a> {
    /// Compiles a checkpoint and computes its fault-free predictions. Trials see all images, or `in_blocks` each some of them.
    /// `memory` limits the activations and sums that are kept, in bytes. `done` receives the number of images that the fault-free network has just finished.
    ///
    /// # Errors
    /// If the network does not take the images, or cannot be compiled.
    pub fn new(
        checkpoint: &Checkpoint,
        images: &'a ImageSet,
        in_blocks: bool,
        memory: usize,
        done: &(dyn Fn(usize) + Sync),
    ) -> anyhow::Result<Self> {
        let compiled = CompiledNetwork::new(checkpoint, images)?;
        let clean = match compiled {
            CompiledNetwork::Dynamic(_) | CompiledNetwork::Given(_) => compiled.predict(images, done)?,
            CompiledNetwork::Static(_) => Vec::new(),
        };
        Ok(Self(match compiled {
            CompiledNetwork::Static(network) if in_blocks => {
                let inputs = network.prepare(images.pixels())?;
                let baseline = BlockBaseline::new(network, inputs, done);
                Kind::Blocks { baseline, together: rayon::current_num_threads() }
            }
            CompiledNetwork::Static(network) => {
                let inputs = network.prepare(images.pixels())?;
                let baseline = Baseline::new(network, inputs, memory, done);
                Kind::Static { baseline, together: rayon::current_num_threads() }
            }
            CompiledNetwork::Dynamic(network) => {
                let inputs = network.prepare(images.pixels())?;
                Kind::Dynamic(Dynamic::new(network, inputs, clean, memory))
            }
            CompiledNetwork::Given(network) => {
                let inputs = network.prepare(images.pixels())?;
                Kind::Given { network, inputs, clean }
            }
        }))
    }

    /// The fault-free predictions, one class for each image.
    pub fn clean(&self) -> &[u16] {
        match &self.0 {
            Kind::Static { baseline, .. } => baseline.clean(),
            Kind::Blocks { baseline, .. } => baseline.clean(),
            Kind::Dynamic(dynamic) => &dynamic.clean,
            Kind::Given { clean, .. } => clean,
        }
    }

    /// The fault-free predictions beside the labels; for images without labels the predictions stand for them.
    pub fn evaluation(&self, images: &ImageSet) -> Evaluation {
        match images.is_labelled() {
            true => Evaluation::new(images.labels().to_vec(), self.clean().to_vec()),
            false => Evaluation::label_free(self.clean().to_vec()),
        }
    }

    /// Sets the number of trials that a call evaluates together; the initial number is that of the threads of the rayon pool.
    /// A caller with a clock bounds the time of a call with it. Predictions do not depend on it. Networks that another program
    /// quantized always evaluate one trial.
    pub fn set_together(&mut self, trials: usize) {
        match &mut self.0 {
            Kind::Static { together, .. }
            | Kind::Blocks { together, .. }
            | Kind::Dynamic(Dynamic { together, .. }) => *together = trials,
            Kind::Given { .. } => {}
        }
    }

    /// True if the fault-free activations of all images are kept. If not, each call computes those of the others again, so
    /// long calls with many trials pay.
    pub fn keeps_all_images(&self) -> bool {
        match &self.0 {
            Kind::Static { baseline, .. } => baseline.images_kept() == baseline.clean().len(),
            Kind::Blocks { .. } | Kind::Dynamic(_) | Kind::Given { .. } => true,
        }
    }
}

impl Evaluator for Int8<'_> {
    fn evaluate(&mut self, trials: &[ChangedTrial<'_>]) -> Result<Vec<Outputs>, EvaluationError> {
        let changes: Vec<&[WeightChange]> = trials.iter().map(|trial| trial.changes).collect();
        let predictions: Vec<Vec<u16>> = match &mut self.0 {
            Kind::Static { baseline, .. } => baseline.predict(&changes),
            Kind::Blocks { baseline, .. } => {
                let all: Vec<u32> = match trials.iter().any(|trial| trial.images.is_none()) {
                    true => (0..).take(baseline.clean().len()).collect(),
                    false => Vec::new(),
                };
                let blocks = trials.iter().map(|ChangedTrial { images, changes, .. }| {
                    let images = images.unwrap_or(&all);
                    BlockTrial { images, changes }
                });
                baseline.predict(&blocks.collect::<Vec<_>>())
            }
            Kind::Dynamic(dynamic) => {
                dynamic.predict(&trials.iter().map(|trial| (trial.images, trial.changes)).collect::<Vec<_>>())
            }
            Kind::Given { network, inputs, .. } => {
                let predict = |trial: &ChangedTrial<'_>| match trial.images {
                    Some(images) => network.predict_block(inputs, images, trial.changes),
                    None => network.predict(inputs, trial.changes),
                };
                trials.iter().map(predict).collect()
            }
        };
        Ok(predictions.into_iter().map(Outputs::Predictions).collect())
    }

    fn clean_on(&mut self, blocks: &[Vec<u32>]) -> Result<Option<Vec<Vec<u16>>>, EvaluationError> {
        match &mut self.0 {
            Kind::Static { .. } | Kind::Blocks { .. } | Kind::Given { .. } => Ok(None),
            Kind::Dynamic(dynamic) => Ok(Some(dynamic.clean_on(blocks))),
        }
    }

    fn is_deterministic(&self) -> bool {
        true
    }

    fn together(&self) -> usize {
        match &self.0 {
            Kind::Static { together, .. } if self.keeps_all_images() => *together,
            Kind::Static { together, .. } => (*together).max(FEWEST_TOGETHER),
            Kind::Blocks { together, .. } | Kind::Dynamic(Dynamic { together, .. }) => *together,
            Kind::Given { .. } => 1,
        }
    }
}

/// Checks that a network takes the images of a set and, if these have labels, knows as many classes.
///
/// # Errors
/// With both shapes and numbers of classes.
pub fn check_fit(model: &ModelSpec, images: &ImageSet) -> anyhow::Result<()> {
    let shape = images.shape();
    let given = [shape.channels, shape.height, shape.width];
    let same_classes = !images.is_labelled() || images.classes() == model.classes;
    if given == model.input && same_classes {
        return Ok(());
    }
    Err(anyhow!(
        "the network takes {:?} images of {} classes, {} has {given:?} of {}",
        model.input,
        model.classes,
        images.name(),
        images.classes(),
    ))
}
