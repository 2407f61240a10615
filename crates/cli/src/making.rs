//! Int8 networks from float ones, and how good either is.

use std::num::NonZeroU32;
use std::path::Path;

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use data::ImageSet;
use ecc::Constraint;
use quant::{
    Activations, Checkpoint, FloatTensor, Parameters, Preprocessing, Provenance, QuantError, QuantTensor,
    WeightScale,
};
use rayon::prelude::*;
use zoo::{Bound, Graph, Selection};

use crate::digest::file_sha256;
use crate::int8::compiled;
use crate::progress::{Bar, bar};
use crate::recipe::ScaleRule;

/// Pixels in one pass of the float network: 50 images of CIFAR.
const FLOAT_PIXELS: usize = 50 * 32 * 32;

/// Images in one pass at least: fully connected layers read all their weights in each, but the unfolded windows of one
/// layer of VGG16 take 115 MB an image of ImageNet.
const FLOAT_IMAGES: usize = 4;

/// Images in a batch of the paper's release, on ImageNet.
const BATCH: NonZeroU32 = NonZeroU32::new(100).expect("100 is not 0");

/// How a float network becomes an int8 one, where that is for people to choose.
#[derive(Args, Clone, Copy, Default)]
pub(crate) struct Rounding {
    /// A scale for each output channel of the weights, 127 / max|w| of the channel, instead of one for each
    /// tensor. Not the paper's: an extension
    #[arg(long)]
    pub(crate) per_channel: bool,
    /// How a tensor's scale follows from its weights
    #[arg(long, value_name = "RULE", value_enum, default_value_t, conflicts_with = "per_channel")]
    scale: ScaleRule,
    /// What gives the activations their ranges
    #[arg(long, value_name = "KIND", value_enum, default_value_t)]
    activations: Ranges,
    /// Images in a batch, which dynamic ranges are those of [default: 100, as in the paper's release]
    #[arg(long, value_name = "N")]
    batch: Option<NonZeroU32>,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Ranges {
    /// Fixed before the evaluation, by calibration images
    #[default]
    Static,
    /// The largest magnitudes in each batch of images, as in the paper; every layer rounds its input and its output
    Dynamic,
}

/// What gives the activations of a network their ranges.
#[derive(Clone, Copy)]
pub(crate) enum RangesOf<'a> {
    Calibration(&'a ImageSet),
    /// Of so many images.
    Batches(NonZeroU32),
}

impl<'a> RangesOf<'a> {
    /// Those of batches of so many images, or, without a batch, of the images that `calibration` gives.
    ///
    /// # Panics
    /// With neither.
    pub(crate) fn new(batch: Option<NonZeroU32>, calibration: Option<&'a ImageSet>) -> Self {
        match batch {
            Some(batch) => Self::Batches(batch),
            None => Self::Calibration(calibration.expect("static ranges are those of images")),
        }
    }
}

impl Rounding {
    /// Images in a batch, where ranges are dynamic.
    pub(crate) fn batch(self) -> anyhow::Result<Option<NonZeroU32>> {
        match (self.activations, self.batch) {
            (Ranges::Dynamic, batch) => Ok(Some(batch.unwrap_or(BATCH))),
            (Ranges::Static, None) => Ok(None),
            (Ranges::Static, Some(batch)) => {
                Err(anyhow!("--batch is {batch}, but only --activations dynamic has batches"))
            }
        }
    }

    fn weights(
        self,
        name: &str,
        tensor: &FloatTensor,
        constraint: &Constraint,
    ) -> Result<QuantTensor, QuantError> {
        if self.per_channel {
            return QuantTensor::quantize_per_channel(name, tensor);
        }
        // Refuses what is no weight.
        let largest = QuantTensor::quantize(name, tensor)?;
        match self.scale {
            ScaleRule::Largest => Ok(largest),
            ScaleRule::LeastError => {
                let scale = wot::scale_of(tensor.values(), wot::Scale::LeastError, constraint);
                let values = wot::levels(tensor.values(), scale);
                Ok(QuantTensor { values, scale: WeightScale::Tensor(scale), ..largest })
            }
        }
    }
}

/// A float network.
pub(crate) struct FloatNetwork<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) parameters: &'a Parameters,
    pub(crate) preprocessing: &'a Preprocessing,
    /// The file it came from.
    pub(crate) source: &'a Path,
    /// Choices made in reading it, a sentence each.
    pub(crate) reading: &'a [String],
}

/// An int8 network whose activation scales are not fixed yet. It needs the float network no more.
pub(crate) struct Rounded {
    graph: Graph,
    checkpoint: Checkpoint,
    /// Weights that the constraint forbade.
    pub(crate) clamped: usize,
}

impl FloatNetwork<'_> {
    /// The int8 network, its weights clamped into a constraint after rounding.
    pub(crate) fn quantized(
        &self,
        rounding: Rounding,
        constraint: &Constraint,
        ranges: RangesOf<'_>,
    ) -> anyhow::Result<Checkpoint> {
        self.rounded(rounding, constraint)?.with_ranges(ranges)
    }

    /// The weights of the int8 network, clamped into a constraint after rounding.
    pub(crate) fn rounded(&self, rounding: Rounding, constraint: &Constraint) -> anyhow::Result<Rounded> {
        let mut weights = Vec::new();
        let (mut total, mut clamped) = (0, 0);
        for spec in self.graph.stored_weights() {
            let mut tensor = rounding.weights(&spec.name, &self.parameters[&spec.name], constraint)?;
            total += tensor.values.len();
            clamped += constraint.throttle(&mut tensor.values);
            weights.push(tensor);
        }
        let immune = self.parameters.iter().filter(|(name, _)| !weights.iter().any(|w| w.name == **name));
        let weight_edits = match *constraint {
            Constraint::NONE => "none".into(),
            _ => format!("throttled: {clamped} of {total} clamped into {constraint}"),
        };
        let weight_edits = match rounding.scale {
            ScaleRule::Largest => weight_edits,
            ScaleRule::LeastError => format!("{weight_edits}; scales of least squared error"),
        };
        let checkpoint = Checkpoint {
            model: self.graph.spec().clone(),
            layers: self.graph.layers().to_vec(),
            preprocessing: self.preprocessing.clone(),
            parameters: immune.map(|(name, tensor)| (name.clone(), tensor.clone())).collect(),
            weights,
            activations: Activations::Static(Default::default()),
            provenance: Provenance {
                source: file_name(self.source),
                source_sha256: file_sha256(self.source)?,
                calibration: String::new(),
                calibration_digest: String::new(),
                weight_edits,
                reading: self.reading.to_vec(),
                written_by: concat!("zerospace ", env!("CARGO_PKG_VERSION")).into(),
            },
        };
        Ok(Rounded { graph: self.graph.clone(), checkpoint, clamped })
    }

    /// Top-1 class of every image, by the float network; `bar` advances by each.
    pub(crate) fn predict(&self, images: &ImageSet, bar: &Bar) -> anyhow::Result<Vec<u16>> {
        let float_network = zoo::FloatNetwork::from_parameters(self.graph, self.parameters)?;
        let shape = images.shape();
        let plane = shape.height * shape.width;
        let classes = self.graph.spec().classes;
        let size = (FLOAT_PIXELS / plane).max(FLOAT_IMAGES);
        let batches: Vec<usize> = (0..images.len()).step_by(size).collect();
        let predictions = batches.into_par_iter().map(|first| -> anyhow::Result<Vec<u16>> {
            let batch = first..(first + size).min(images.len());
            let pixels = &images.pixels()[batch.start * shape.image_bytes()..batch.end * shape.image_bytes()];
            let value =
                |(i, &pixel): (usize, &u8)| self.preprocessing.value(i / plane % shape.channels, pixel);
            let values = pixels.iter().enumerate().map(value).collect();
            let batch_shape = vec![batch.len(), shape.channels, shape.height, shape.width];
            let logits = float_network.logits(&FloatTensor::new(batch_shape, values))?;
            bar.inc(batch.len() as u64);
            Ok(logits.values().chunks_exact(classes).map(largest).collect())
        });
        Ok(predictions.collect::<anyhow::Result<Vec<_>>>()?.concat())
    }

    /// Images that the float network classifies correctly.
    pub(crate) fn top1(&self, images: &ImageSet) -> anyhow::Result<usize> {
        Ok(agreeing(&self.predict(images, &image_bar(images))?, images))
    }
}

impl Rounded {
    /// Gives the activations their ranges.
    pub(crate) fn with_ranges(self, ranges: RangesOf<'_>) -> anyhow::Result<Checkpoint> {
        let Self { graph, mut checkpoint, .. } = self;
        let provenance = &mut checkpoint.provenance;
        match ranges {
            RangesOf::Calibration(images) => {
                provenance.calibration = format!(
                    "{} {}, first {} images{}, largest magnitude",
                    images.name(),
                    images.split(),
                    images.len(),
                    if images.is_in_turns() { " of all classes in turns" } else { "" }
                );
                provenance.calibration_digest = images.digest();
                let weights = checkpoint.dequantized();
                let scales = infer::calibrate(&graph, &weights, &checkpoint.preprocessing, images.pixels())?;
                checkpoint.activations = Activations::Static(scales);
            }
            RangesOf::Batches(batch) => {
                provenance.calibration = format!("each batch of {batch} images, largest magnitude");
                checkpoint.activations = Activations::Dynamic { batch };
            }
        }
        Ok(checkpoint)
    }
}

/// A bar for one pass over images.
pub(crate) fn image_bar(images: &ImageSet) -> Bar {
    bar(images.len() as u64, "images")
}

/// Where in a float checkpoint the parameters are, where that is for people to say.
#[derive(Args, Clone, Default)]
pub(crate) struct Within {
    /// Keys that lead to the state dict in a float checkpoint, joined by dots: state_dict_ema, ema.model [default: those
    /// under which all parameters are found; averages are not preferred]
    #[arg(long, value_name = "KEYS", requires = "architecture")]
    key: Option<String>,
    /// Prefix of the parameters' names there: module., model. [default: the one with which all are found]
    #[arg(long, value_name = "TEXT", requires = "architecture")]
    prefix: Option<String>,
}

impl Within {
    pub(crate) fn selection(&self) -> Selection {
        Selection { key: self.key.clone(), prefix: self.prefix.clone() }
    }
}

/// Reads a float checkpoint for a graph.
pub(crate) fn import(graph: &Graph, path: &Path, selection: &Selection) -> anyhow::Result<Bound> {
    Ok(zoo::read_checkpoint(path)?.bind(graph, selection)?)
}

/// Images that an int8 network classifies correctly.
pub(crate) fn int8_top1(checkpoint: &Checkpoint, images: &ImageSet) -> anyhow::Result<usize> {
    Ok(agreeing(&int8_predict(checkpoint, images, &image_bar(images))?, images))
}

/// Top-1 class of every image, by an int8 network; `bar` advances on the way.
pub(crate) fn int8_predict(
    checkpoint: &Checkpoint,
    images: &ImageSet,
    bar: &Bar,
) -> anyhow::Result<Vec<u16>> {
    compiled(checkpoint, images)?.predict(images, &|done| bar.inc(done as u64))
}

/// Images whose prediction is the label.
pub(crate) fn agreeing(predictions: &[u16], images: &ImageSet) -> usize {
    predictions.iter().zip(images.labels()).filter(|(prediction, label)| prediction == label).count()
}

/// Index of the largest logit, the first of equals.
fn largest(logits: &[f32]) -> u16 {
    (1..logits.len()).fold(0, |best, i| if logits[i] > logits[best] { i } else { best }) as u16
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
