//! Int8 networks, of either evaluator, on the images of a set.

use std::time::{Duration, Instant};

use anyhow::anyhow;
use campaign::{Evaluator, WeightChange};
use data::ImageSet;
use infer::{Baseline, DynamicNetwork, Inputs, Network};
use quant::{Activations, Checkpoint, ModelSpec};

/// A compiled network.
pub(crate) enum Compiled {
    Static(Network),
    Dynamic(DynamicNetwork),
}

/// A checkpoint made ready to run on the images of a set.
pub(crate) fn compiled(checkpoint: &Checkpoint, images: &ImageSet) -> anyhow::Result<Compiled> {
    check_fit(&checkpoint.model, images)?;
    let graph = zoo::build_stored(&checkpoint.model, &checkpoint.layers)?;
    Ok(match checkpoint.activations {
        Activations::Static(_) => Compiled::Static(Network::new(&graph, checkpoint)?),
        Activations::Dynamic { .. } => Compiled::Dynamic(DynamicNetwork::new(&graph, checkpoint)?),
    })
}

/// The rules by which a checkpoint is evaluated, as records name them.
pub(crate) fn evaluator(checkpoint: &Checkpoint) -> String {
    match checkpoint.activations {
        Activations::Static(_) => infer::EVALUATOR.into(),
        Activations::Dynamic { batch } => DynamicNetwork::evaluator(batch),
    }
}

impl Compiled {
    /// The class of each image; `done` hears of images as they are finished.
    pub(crate) fn predict(
        &self,
        images: &ImageSet,
        done: &(dyn Fn(usize) + Sync),
    ) -> anyhow::Result<Vec<u16>> {
        match self {
            Self::Static(network) => Ok(network.predict_watched(&network.prepare(images.pixels())?, done)),
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

/// How long the evaluation of several trials in one call may take: a signal waits for its end.
const CALL: Duration = Duration::from_secs(20);

/// Trials in a call below which nothing is gained by several.
const FEWEST_TOGETHER: usize = 3;

/// A network on the images of a set, for `campaign`.
pub(crate) enum Int8<'a> {
    Static {
        baseline: Baseline<'a>,
        /// Trials that a call is finished with in [`CALL`], by the last call.
        together: usize,
    },
    /// Each trial is a full pass: a change reaches every image of its batch through the ranges.
    Dynamic { network: DynamicNetwork, inputs: Inputs<'a>, clean: Vec<u16> },
}

impl<'a> Int8<'a> {
    /// `memory`: bytes of clean activations that may be kept. `done` hears of images as the fault-free network has
    /// finished them.
    pub(crate) fn new(
        checkpoint: &Checkpoint,
        images: &'a ImageSet,
        memory: usize,
        done: &(dyn Fn(usize) + Sync),
    ) -> anyhow::Result<Self> {
        let compiled = compiled(checkpoint, images)?;
        let clean = match compiled {
            Compiled::Dynamic(_) => compiled.predict(images, done)?,
            Compiled::Static(_) => Vec::new(),
        };
        Ok(match compiled {
            Compiled::Static(network) => {
                let inputs = network.prepare(images.pixels())?;
                let baseline = Baseline::new(network, inputs, memory, done);
                Self::Static { baseline, together: FEWEST_TOGETHER }
            }
            Compiled::Dynamic(network) => {
                let inputs = network.prepare(images.pixels())?;
                Self::Dynamic { network, inputs, clean }
            }
        })
    }

    /// The fault-free predictions.
    pub(crate) fn clean(&self) -> &[u16] {
        match self {
            Self::Static { baseline, .. } => baseline.clean(),
            Self::Dynamic { clean, .. } => clean,
        }
    }
}

impl Evaluator for Int8<'_> {
    fn predict(&mut self, trials: &[&[WeightChange]]) -> Vec<Vec<u16>> {
        let change =
            |&WeightChange { tensor, index, value }: &_| infer::WeightChange { tensor, index, value };
        let trials: Vec<Vec<infer::WeightChange>> =
            trials.iter().map(|changes| changes.iter().map(change).collect()).collect();
        match self {
            Self::Static { baseline, together } => {
                let begun = Instant::now();
                let predictions = baseline.predict(&trials.iter().map(Vec::as_slice).collect::<Vec<_>>());
                let of_a_trial = begun.elapsed().as_secs_f64() / trials.len() as f64;
                *together = ((CALL.as_secs_f64() / of_a_trial) as usize).max(FEWEST_TOGETHER);
                predictions
            }
            Self::Dynamic { network, inputs, .. } => {
                trials.iter().map(|changes| network.predict(inputs, changes)).collect()
            }
        }
    }

    fn together(&self) -> usize {
        match self {
            Self::Static { baseline, together } if baseline.images_kept() < baseline.clean().len() => {
                *together
            }
            Self::Static { .. } | Self::Dynamic { .. } => 1,
        }
    }
}

/// Whether a network takes the images of a set and knows as many classes, where images have labels.
pub(crate) fn check_fit(model: &ModelSpec, images: &ImageSet) -> anyhow::Result<()> {
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
