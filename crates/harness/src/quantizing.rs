//! Quantization of float networks, and the accuracy of float and int8 networks.

use std::fs::File;
use std::num::NonZeroU32;
use std::path::Path;

use anyhow::{Context, anyhow};
use data::ImageSet;
use ecc::{Constraint, TensorRanges};
use graph::{Graph, ParameterSpec, Preprocessing};
use quant::{
    Activations, Checkpoint, Contents, FloatTensor, Parameters, Provenance, QuantTensor, WeightScale,
};
use rayon::prelude::*;
use zoo::{Bound, Selection};

use crate::{CompiledNetwork, Observer, ScaleRule};

/// Pixels in one pass of the float network: 50 images of CIFAR.
const FLOAT_PIXELS: usize = 50 * 32 * 32;

/// Fewest images in one pass. A pass reads all weights of the fully connected layers once, but the unfolded windows of
/// one layer of VGG16 take 115 MB for an image of ImageNet.
const FLOAT_IMAGES: usize = 4;

/// Rule from the float weights of a network to int8 weights.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rounding {
    /// One scale for each output channel, 127 / max|w| of the channel, instead of one for each tensor. An extension
    /// of the paper.
    pub per_channel: bool,
    /// Scale of a tensor; has no effect with scales for each channel.
    pub scale: ScaleRule,
}

/// Source of the activation ranges of an int8 network.
#[derive(Clone, Copy, Debug)]
pub enum Ranges<'a> {
    /// Static ranges: the largest magnitudes that the float network computes on these images.
    Calibration(&'a ImageSet),
    /// Dynamic ranges: the largest magnitudes in each batch of this many images, as in the paper.
    Batches(NonZeroU32),
}

impl<'a> Ranges<'a> {
    /// Dynamic ranges if there is a batch size, otherwise static ranges of `calibration`.
    ///
    /// # Panics
    /// If both are absent.
    pub fn new(batch: Option<NonZeroU32>, calibration: Option<&'a ImageSet>) -> Self {
        match batch {
            Some(batch) => Self::Batches(batch),
            None => Self::Calibration(calibration.expect("static ranges need images")),
        }
    }
}

impl Rounding {
    fn weights(
        self,
        name: &str,
        tensor: &FloatTensor,
        constraint: &Constraint,
    ) -> anyhow::Result<QuantTensor> {
        if self.per_channel {
            return Ok(QuantTensor::quantize_per_channel(name, tensor)?);
        }
        // Refuses values that are not finite.
        let largest = QuantTensor::quantize(name, tensor)?;
        match self.scale {
            ScaleRule::Largest => Ok(largest),
            ScaleRule::LeastError => at_least_error(name, tensor, constraint),
        }
    }
}

/// Rounds finite weights at the scale of least error of a constraint, into which they are not clamped.
pub(crate) fn at_least_error(
    name: &str,
    tensor: &FloatTensor,
    constraint: &Constraint,
) -> anyhow::Result<QuantTensor> {
    let scale = wot::scale_of(tensor.values(), wot::Scale::LeastError, constraint)
        .map_err(|error| anyhow!("scale of {name} is {error}"))?;
    let values = wot::levels(tensor.values(), scale);
    let (name, shape) = (name.into(), tensor.shape().to_vec());
    Ok(QuantTensor::new(name, shape, values, WeightScale::Tensor(scale))?)
}

/// A float network with its origin.
#[derive(Clone, Copy, Debug)]
pub struct FloatNetwork<'a> {
    /// Its layers.
    pub graph: &'a Graph,
    /// Its parameters.
    pub parameters: &'a Parameters,
    /// Map from pixels to its inputs.
    pub preprocessing: &'a Preprocessing,
    /// File of its parameters.
    pub source: &'a Path,
    /// Choices made on reading the file, one sentence each.
    pub reading: &'a [String],
}

/// An int8 network without activation ranges. It does not need the float network any more.
#[derive(Debug)]
pub struct Rounded {
    graph: Graph,
    contents: Contents,
    /// Number of weights that were clamped into the constraint.
    pub clamped: usize,
}

impl FloatNetwork<'_> {
    /// Rounds the weights, clamps them into the range of their tensor, and fixes the activation ranges; `observer` advances by images.
    ///
    /// # Errors
    /// If a weight is not finite, the source file cannot be read, or calibration fails.
    pub fn quantized(
        &self,
        rounding: Rounding,
        storable: &TensorRanges,
        ranges: Ranges<'_>,
        observer: &dyn Observer,
    ) -> anyhow::Result<Checkpoint> {
        self.rounded(rounding, storable)?.with_ranges(ranges, observer)
    }

    /// Rounds the weights and clamps them into the range of their tensor.
    ///
    /// # Errors
    /// If a weight is not finite, or the source file cannot be read.
    pub fn rounded(&self, rounding: Rounding, storable: &TensorRanges) -> anyhow::Result<Rounded> {
        let round = |spec: ParameterSpec| {
            rounding.weights(&spec.name, &self.parameters[&spec.name], storable.of(&spec.name))
        };
        let weights = self.graph.stored_weights().into_iter().map(round).collect::<Result<Vec<_>, _>>()?;
        let total = weights.iter().map(|weight| weight.values().len()).sum();
        let (weights, clamped) = clamped(weights, storable);
        let immune = self.parameters.iter().filter(|(name, _)| !weights.iter().any(|w| w.name() == *name));
        let weight_edits = match storable.is_none() {
            true => "none".into(),
            false => throttle_edit(clamped, total, storable),
        };
        let weight_edits = match rounding.scale {
            ScaleRule::Largest => weight_edits,
            ScaleRule::LeastError => format!("{weight_edits}; scales of least squared error"),
        };
        let mut contents = Contents {
            model: self.graph.spec().clone(),
            layers: self.graph.layers().to_vec(),
            preprocessing: self.preprocessing.clone(),
            parameters: immune.map(|(name, tensor)| (name.clone(), tensor.clone())).collect(),
            weights,
            activations: Activations::Static(Default::default()),
            provenance: Provenance {
                source: file_name(self.source),
                source_sha256: File::open(self.source)
                    .and_then(durable::sha256_hex_of)
                    .with_context(|| self.source.display().to_string())?,
                calibration: String::new(),
                calibration_digest: String::new(),
                weight_edits,
                reading: self.reading.to_vec(),
                written_by: concat!("zerospace ", env!("CARGO_PKG_VERSION")).into(),
            },
        };
        fold_empty_filters(&mut contents, self.graph);
        Ok(Rounded { graph: self.graph.clone(), contents, clamped })
    }

    /// Returns the float network's top-1 class of every image; `observer` advances by images.
    ///
    /// # Errors
    /// If the network does not take the images.
    pub fn predict(&self, images: &ImageSet, observer: &dyn Observer) -> anyhow::Result<Vec<u16>> {
        let network = zoo::FloatNetwork::from_parameters(self.graph, self.parameters)?;
        let shape = images.shape();
        let plane = shape.height * shape.width;
        let classes = self.graph.spec().classes;
        let size = (FLOAT_PIXELS / plane).max(FLOAT_IMAGES);
        let batches: Vec<usize> = (0..images.len()).step_by(size).collect();
        let predictions = batches.into_par_iter().map(|first| -> anyhow::Result<Vec<u16>> {
            let batch = first..(first + size).min(images.len());
            let pixels = &images.pixels()[batch.start * shape.image_bytes()..batch.end * shape.image_bytes()];
            let values = self.preprocessing.values(pixels, plane);
            let batch_shape = vec![batch.len(), shape.channels, shape.height, shape.width];
            let logits = network.logits(&FloatTensor::new(batch_shape, values))?;
            observer.advance(batch.len() as u64);
            Ok(logits.values().chunks_exact(classes).map(largest).collect())
        });
        Ok(predictions.collect::<anyhow::Result<Vec<_>>>()?.concat())
    }

    /// Number of images that the float network classifies correctly.
    ///
    /// # Errors
    /// As [`FloatNetwork::predict`].
    pub fn top1(&self, images: &ImageSet, observer: &dyn Observer) -> anyhow::Result<usize> {
        let predictions = observed(images, observer, || self.predict(images, observer))?;
        Ok(agreeing(&predictions, images))
    }
}

impl Rounded {
    /// Fixes the activation ranges; `observer` advances by the images of calibration.
    ///
    /// # Errors
    /// If the float network computes a value that is not finite, or does not take the images.
    pub fn with_ranges(self, ranges: Ranges<'_>, observer: &dyn Observer) -> anyhow::Result<Checkpoint> {
        let Self { graph, mut contents, .. } = self;
        let provenance = &mut contents.provenance;
        match ranges {
            Ranges::Calibration(images) => {
                provenance.calibration = format!(
                    "{} {}, first {} images{}, largest magnitude",
                    images.name(),
                    images.split(),
                    images.len(),
                    if images.is_in_turns() { " of all classes in turns" } else { "" }
                );
                provenance.calibration_digest = images.digest();
                let (weights, preprocessing) = (contents.dequantized(), &contents.preprocessing);
                let done = |images: usize| observer.advance(images as u64);
                observer.begin(images.len() as u64, "images");
                let scales =
                    zoo::calibrate_observed(&graph, &weights, preprocessing, images.pixels(), &done)?;
                observer.end();
                contents.activations = Activations::Static(scales);
            }
            Ranges::Batches(batch) => {
                provenance.calibration = format!("each batch of {batch} images, largest magnitude");
                contents.activations = Activations::Dynamic { batch };
            }
        }
        Ok(Checkpoint::new(contents)?)
    }
}

/// A range into which some protections need weights, and what it costs to clamp an int8 network into it.
#[derive(Clone, Debug)]
pub struct Clamping {
    /// The range.
    pub range: Constraint,
    /// Ids of the protections that need it.
    pub protections: Vec<String>,
    /// Number of weights outside it, each at its position in the padded memory layout.
    pub outside: usize,
    /// Number of images that the clamped network classifies correctly.
    pub correct: usize,
}

/// Measures the int8 network for each distinct range of the built-in protections that forbids some of its weights, with
/// these clamped and all scales kept; ranges come in the order of the protections.
///
/// # Errors
/// If the network does not take the images.
pub fn clampings(
    checkpoint: &Checkpoint,
    images: &ImageSet,
    observer: &dyn Observer,
) -> anyhow::Result<Vec<Clamping>> {
    let mut clampings: Vec<Clamping> = Vec::new();
    for protection in ecc::all() {
        let (range, id) = (protection.constraint(), protection.id().to_string());
        if range == Constraint::NONE {
            continue;
        }
        if let Some(known) = clampings.iter_mut().find(|known| known.range == range) {
            known.protections.push(id);
            continue;
        }
        let (weights, outside) = clamped(checkpoint.weights.clone(), &range.into());
        if outside > 0 {
            let contents = Contents { weights, ..Contents::clone(checkpoint) };
            let correct = int8_top1(&Checkpoint::new(contents)?, images, observer)?;
            clampings.push(Clamping { range, protections: vec![id], outside, correct });
        }
    }
    Ok(clampings)
}

/// Clamps the weights of a network that is quantized already, and notes it in the provenance; returns the number of weights that
/// changed.
///
/// # Errors
/// If the network's executor refuses it.
pub fn throttled(checkpoint: Checkpoint, storable: &TensorRanges) -> anyhow::Result<(Checkpoint, usize)> {
    let mut contents = checkpoint.into_contents();
    let total = contents.weights.iter().map(|weight| weight.values().len()).sum();
    let (weights, changed) = clamped(std::mem::take(&mut contents.weights), storable);
    contents.weights = weights;
    if changed > 0 {
        contents.provenance.weight_edits = throttle_edit(changed, total, storable);
    }
    Ok((Checkpoint::new(contents)?, changed))
}

/// Clamps weights into the range of their tensor; returns the clamped tensors and the number of weights that changed.
pub(crate) fn clamped(weights: Vec<QuantTensor>, storable: &TensorRanges) -> (Vec<QuantTensor>, usize) {
    let mut changed = 0;
    let tensors = weights.into_iter().map(|tensor| {
        let mut values = tensor.values().to_vec();
        changed += storable.of(tensor.name()).throttle(&mut values);
        tensor.with_values(values).expect("a clamped tensor has as many values")
    });
    (tensors.collect(), changed)
}

/// The clamped weights in the words of the provenance.
fn throttle_edit(clamped: usize, total: usize, storable: &TensorRanges) -> String {
    format!("throttled: {clamped} of {total} clamped into {storable}")
}

/// Replaces batch norms behind filters without weights by constants ([`Contents::fold_empty_filters`]) and notes it in
/// the provenance.
pub fn fold_empty_filters(contents: &mut Contents, graph: &Graph) {
    let folded = contents.fold_empty_filters(graph);
    if folded > 0 {
        let edits = &mut contents.provenance.weight_edits;
        let filters = if folded == 1 { "an empty filter" } else { "empty filters" };
        *edits = format!("{edits}; batch norms of {folded} channels behind {filters} folded into constants");
    }
}

/// Reads the parameters of a graph from a PyTorch or safetensors file.
///
/// # Errors
/// If the file is damaged or does not fit the graph.
pub fn import(graph: &Graph, path: &Path, selection: &Selection) -> anyhow::Result<Bound> {
    Ok(zoo::read_checkpoint(path)?.bind(graph, selection)?)
}

/// Number of images that an int8 network classifies correctly.
///
/// # Errors
/// If the network does not take the images.
pub fn int8_top1(
    checkpoint: &Checkpoint,
    images: &ImageSet,
    observer: &dyn Observer,
) -> anyhow::Result<usize> {
    let predictions = observed(images, observer, || int8_predict(checkpoint, images, observer))?;
    Ok(agreeing(&predictions, images))
}

/// Returns an int8 network's top-1 class of every image; `observer` advances by images.
///
/// # Errors
/// If the network does not take the images.
pub fn int8_predict(
    checkpoint: &Checkpoint,
    images: &ImageSet,
    observer: &dyn Observer,
) -> anyhow::Result<Vec<u16>> {
    CompiledNetwork::new(checkpoint, images)?.predict(images, &|done| observer.advance(done as u64))
}

/// Does one pass over images under an observer.
pub fn observed<T>(images: &ImageSet, observer: &dyn Observer, pass: impl FnOnce() -> T) -> T {
    observer.begin(images.len() as u64, "images");
    let result = pass();
    observer.end();
    result
}

/// Number of images whose prediction is the label.
pub fn agreeing(predictions: &[u16], images: &ImageSet) -> usize {
    predictions.iter().zip(images.labels()).filter(|(prediction, label)| prediction == label).count()
}

/// Index of the largest logit, the first of equals.
fn largest(logits: &[f32]) -> u16 {
    (1..logits.len()).fold(0, |best, i| if logits[i] > logits[best] { i } else { best }) as u16
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
