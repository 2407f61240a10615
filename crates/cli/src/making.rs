//! Int8 networks from float ones, and how good either is.

use std::path::Path;

use anyhow::Context;
use data::ImageSet;
use ecc::Constraint;
use quant::{Checkpoint, FloatTensor, Parameters, Preprocessing, Provenance, QuantTensor};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use zoo::Graph;

use crate::loading::Int8;
use crate::progress::bar;

/// Images in one pass of the float network.
const FLOAT_BATCH: usize = 50;

/// A float network and the images that fix its activation scales.
pub(crate) struct FloatNetwork<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) parameters: &'a Parameters,
    pub(crate) preprocessing: &'a Preprocessing,
    pub(crate) calibration: &'a ImageSet,
    /// The file it came from.
    pub(crate) source: &'a Path,
}

impl FloatNetwork<'_> {
    /// The int8 network, its weights clamped into a constraint after rounding.
    pub(crate) fn quantized(&self, constraint: &Constraint) -> anyhow::Result<Checkpoint> {
        let mut weights = Vec::new();
        let (mut total, mut clamped) = (0, 0);
        for spec in self.graph.stored_weights() {
            let mut tensor = QuantTensor::quantize(&spec.name, &self.parameters[&spec.name])?;
            total += tensor.values.len();
            clamped += constraint.throttle(&mut tensor.values);
            weights.push(tensor);
        }
        let immune = self.parameters.iter().filter(|(name, _)| !weights.iter().any(|w| w.name == **name));
        let images = self.calibration;
        let weight_edits = match *constraint {
            Constraint::NONE => "none".into(),
            _ => format!("throttled: {clamped} of {total} clamped into [-64, 63] at positions 0..6"),
        };
        let mut checkpoint = Checkpoint {
            model: self.graph.spec().clone(),
            layers: self.graph.layers().to_vec(),
            preprocessing: self.preprocessing.clone(),
            parameters: immune.map(|(name, tensor)| (name.clone(), tensor.clone())).collect(),
            weights,
            activations: Default::default(),
            provenance: Provenance {
                source: file_name(self.source),
                source_sha256: file_sha256(self.source)?,
                calibration: format!(
                    "{} {}, first {} images, largest magnitude",
                    images.name(),
                    images.split(),
                    images.len()
                ),
                calibration_digest: images.digest(),
                weight_edits,
                written_by: concat!("zerospace ", env!("CARGO_PKG_VERSION")).into(),
            },
        };
        let weights = checkpoint.dequantized();
        checkpoint.activations = infer::calibrate(self.graph, &weights, self.preprocessing, images.pixels())?;
        Ok(checkpoint)
    }

    /// Top-1 class of every image, by the float network.
    pub(crate) fn predict(&self, images: &ImageSet) -> anyhow::Result<Vec<u16>> {
        let executor = zoo::Executor::new(self.graph, self.parameters)?;
        let shape = images.shape();
        let plane = shape.height * shape.width;
        let classes = self.graph.spec().classes;
        let bar = bar(images.len() as u64, "images");
        let batches: Vec<usize> = (0..images.len()).step_by(FLOAT_BATCH).collect();
        let predictions = batches.into_par_iter().map(|first| -> anyhow::Result<Vec<u16>> {
            let batch = first..(first + FLOAT_BATCH).min(images.len());
            let pixels = &images.pixels()[batch.start * shape.image_bytes()..batch.end * shape.image_bytes()];
            let value =
                |(i, &pixel): (usize, &u8)| self.preprocessing.value(i / plane % shape.channels, pixel);
            let values = pixels.iter().enumerate().map(value).collect();
            let batch_shape = vec![batch.len(), shape.channels, shape.height, shape.width];
            let logits = executor.forward(&FloatTensor::new(batch_shape, values))?;
            bar.inc(batch.len() as u64);
            Ok(logits.values().chunks_exact(classes).map(largest).collect())
        });
        let predictions = predictions.collect::<anyhow::Result<Vec<_>>>()?;
        bar.finish_and_clear();
        Ok(predictions.concat())
    }

    /// Images that the float network classifies correctly.
    pub(crate) fn top1(&self, images: &ImageSet) -> anyhow::Result<usize> {
        Ok(agreeing(&self.predict(images)?, images))
    }
}

/// Reads a float checkpoint for a graph.
pub(crate) fn import(graph: &Graph, path: &Path) -> anyhow::Result<Parameters> {
    let state = zoo::read_state_dict(path)?;
    zoo::bind(graph, state).with_context(|| path.display().to_string())
}

/// Images that an int8 network classifies correctly.
pub(crate) fn int8_top1(checkpoint: &Checkpoint, images: &ImageSet) -> anyhow::Result<usize> {
    Ok(agreeing(&Int8::new(checkpoint, images)?.predict_clean(), images))
}

/// Images whose prediction is the label.
pub(crate) fn agreeing(predictions: &[u16], images: &ImageSet) -> usize {
    predictions.iter().zip(images.labels()).filter(|(prediction, label)| prediction == label).count()
}

/// Weights that in-place protection could not store, and all weights.
pub(crate) fn violations(checkpoint: &Checkpoint) -> (usize, usize) {
    let outside = checkpoint.weights.iter().map(|w| Constraint::WOT.violations(&w.values).count()).sum();
    (outside, checkpoint.weights.iter().map(|w| w.values.len()).sum())
}

/// Index of the largest logit, the first of equals.
fn largest(logits: &[f32]) -> u16 {
    (1..logits.len()).fold(0, |best, i| if logits[i] > logits[best] { i } else { best }) as u16
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn file_sha256(path: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    Ok(Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect())
}
