use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;
use data::ImageSet;
use ecc::Constraint;
use quant::{Checkpoint, FloatTensor, ModelSpec, Parameters, Preprocessing, Provenance, QuantTensor};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use zoo::Graph;

use crate::exit::{Failure, Outcome};
use crate::loading::{Int8, Machine};
use crate::output::{data, markdown, percent, progress_line};
use crate::progress::bar;

/// Images in one pass of the float network.
const FLOAT_BATCH: usize = 50;

const HELP: &str = "\
Weights: one symmetric scale for each tensor, 127 / max|w|, rounding half to even (the paper's).
Activations: 8 bits, scales fixed from the ranges over the first training images.

In-place protection stores its check bits in bit 6 of weights 0..6 of every 8, which must lie in
[-64, 63]. --throttle clamps those that do not; what it costs in accuracy is printed.

Examples:
  zerospace quantize resnet20.th --arch resnet20 --set cifar10 -o resnet20.safetensors
  zerospace quantize resnet20.th --arch resnet20 --set cifar10 --throttle -o throttled.safetensors";

/// Turn a float checkpoint into an int8 one, and say what that costs
///
/// Reads PyTorch files (zip and legacy pickle, without running anything in them) and safetensors.
#[derive(Args)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// Float checkpoint: a PyTorch state dict (.pth, .th, .pt, .tar) or safetensors
    checkpoint: PathBuf,
    /// Architecture
    #[arg(long = "arch", value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(zoo::ARCHITECTURES))]
    architecture: String,
    /// Where to write the int8 checkpoint
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Data set: its first training images fix the activation scales, its test images measure accuracy
    #[arg(long, value_name = "NAME", default_value = "cifar10")]
    set: String,
    /// Multiplier on the channel counts
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    width: f64,
    /// Clamp the weights at positions 0..6 of each 8 into [-64, 63], as in-place protection requires
    #[arg(long)]
    throttle: bool,
    /// Training images that fix the activation scales
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    calibration_images: u32,
    /// Test images on which accuracy is measured [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    images: Option<u32>,
    /// Mean of each input channel, of pixels in [0, 1] [default: ImageNet's]
    #[arg(long, value_name = "R,G,B", value_delimiter = ',', default_values_t = [0.485, 0.456, 0.406], hide_default_value = true)]
    mean: Vec<f32>,
    /// Standard deviation of each input channel [default: ImageNet's]
    #[arg(long, value_name = "R,G,B", value_delimiter = ',', default_values_t = [0.229, 0.224, 0.225], hide_default_value = true)]
    std: Vec<f32>,
    #[command(flatten)]
    machine: Machine,
}

pub(crate) fn execute(arguments: &Arguments) -> Result<Outcome, Failure> {
    arguments.machine.start()?;
    let training =
        arguments.machine.images(&arguments.set, "train", Some(arguments.calibration_images as usize))?;
    let test = arguments.machine.images(&arguments.set, "test", arguments.images.map(|n| n as usize))?;
    let shape = test.shape();
    let model = ModelSpec {
        architecture: arguments.architecture.clone(),
        classes: test.classes(),
        input: [shape.channels, shape.height, shape.width],
        width: arguments.width,
    };
    let preprocessing = Preprocessing { mean: arguments.mean.clone(), std: arguments.std.clone() };
    check_preprocessing(&preprocessing, shape.channels).map_err(Failure::Input)?;
    let graph = zoo::build(&model).map_err(Failure::input)?;
    let parameters = import(&graph, &arguments.checkpoint).map_err(Failure::Input)?;

    let mut weights = quantize(&graph, &parameters).map_err(Failure::Input)?;
    let total: usize = weights.iter().map(|w| w.values.len()).sum();
    let outside: usize = weights.iter().map(|w| Constraint::WOT.violations(&w.values).count()).sum();

    let provenance = Provenance {
        source: file_name(&arguments.checkpoint),
        source_sha256: file_sha256(&arguments.checkpoint).map_err(Failure::Machine)?,
        calibration: format!("{} train, first {} images, largest magnitude", training.name(), training.len()),
        calibration_digest: training.digest(),
        weight_edits: "none".into(),
        written_by: concat!("zerospace ", env!("CARGO_PKG_VERSION")).into(),
    };
    let finish = |weights: Vec<QuantTensor>, edits: &str| -> anyhow::Result<Checkpoint> {
        let immune = parameters.iter().filter(|(name, _)| !weights.iter().any(|w| w.name == **name));
        let mut checkpoint = Checkpoint {
            model: model.clone(),
            preprocessing: preprocessing.clone(),
            parameters: immune.map(|(name, tensor)| (name.clone(), tensor.clone())).collect(),
            weights,
            activations: Default::default(),
            provenance: Provenance { weight_edits: edits.into(), ..provenance.clone() },
        };
        checkpoint.activations =
            infer::calibrate(&graph, &checkpoint.dequantized(), &preprocessing, training.pixels())?;
        Ok(checkpoint)
    };

    progress_line("float network ...");
    let float = float_top1(&graph, &parameters, &preprocessing, &test).map_err(Failure::Input)?;
    progress_line("int8 network ...");
    let mut checkpoint = finish(weights.clone(), "none").map_err(Failure::Input)?;
    let mut rows = vec![row("float", float, float, test.len())];
    let int8 = int8_top1(&checkpoint, &test).map_err(Failure::Input)?;
    rows.push(row("int8", int8, float, test.len()));
    if arguments.throttle {
        let clamped: usize = weights.iter_mut().map(|w| Constraint::WOT.throttle(&mut w.values)).sum();
        let edits = format!("throttled: {clamped} of {total} clamped into [-64, 63] at positions 0..6");
        checkpoint = finish(weights, &edits).map_err(Failure::Input)?;
        let throttled = int8_top1(&checkpoint, &test).map_err(Failure::Input)?;
        rows.push(row("int8, throttled", throttled, float, test.len()));
    }
    checkpoint.save(&arguments.output).map_err(Failure::machine)?;

    let columns = ["network", ">correct", ">images", ">top-1 %", ">against float, points"];
    data(&format!(
        "{}\n{outside} of {total} weights ({:.3} %) lie outside [-64, 63] at positions 0..6{}\n\n{}",
        markdown(&columns, &rows),
        percent(outside, total),
        if arguments.throttle { "; clamped" } else { "; kept (in-place protection needs --throttle)" },
        arguments.output.display()
    ));
    Ok(Outcome::Done)
}

fn row(name: &str, correct: usize, float: usize, images: usize) -> Vec<String> {
    let top1 = percent(correct, images);
    let against = format!("{:+.2}", top1 - percent(float, images));
    vec![name.into(), correct.to_string(), images.to_string(), format!("{top1:.2}"), against]
}

fn check_preprocessing(p: &Preprocessing, channels: usize) -> anyhow::Result<()> {
    if p.mean.len() != channels || p.mean.iter().any(|m| !m.is_finite()) {
        return Err(anyhow!("--mean is {:?}, expected {channels} finite numbers, one a channel", p.mean));
    }
    if p.std.len() != channels || p.std.iter().any(|s| !s.is_finite() || *s <= 0.0) {
        return Err(anyhow!("--std is {:?}, expected {channels} positive numbers, one a channel", p.std));
    }
    Ok(())
}

/// Reads a float checkpoint for a graph.
fn import(graph: &Graph, path: &Path) -> anyhow::Result<Parameters> {
    let state = zoo::read_state_dict(path)?;
    zoo::bind(graph, state).with_context(|| path.display().to_string())
}

/// The weights that faults can reach, in memory order.
fn quantize(graph: &Graph, parameters: &Parameters) -> anyhow::Result<Vec<QuantTensor>> {
    let quantize = |spec: zoo::ParameterSpec| Ok(QuantTensor::quantize(&spec.name, &parameters[&spec.name])?);
    graph.stored_weights().into_iter().map(quantize).collect()
}

/// Images that the float network classifies correctly.
fn float_top1(
    graph: &Graph,
    parameters: &Parameters,
    preprocessing: &Preprocessing,
    images: &ImageSet,
) -> anyhow::Result<usize> {
    let executor = zoo::Executor::new(graph, parameters)?;
    let shape = images.shape();
    let plane = shape.height * shape.width;
    let bar = bar(images.len() as u64, "images");
    let batches: Vec<usize> = (0..images.len()).step_by(FLOAT_BATCH).collect();
    let correct = batches.into_par_iter().map(|first| -> anyhow::Result<usize> {
        let batch = first..(first + FLOAT_BATCH).min(images.len());
        let pixels = &images.pixels()[batch.start * shape.image_bytes()..batch.end * shape.image_bytes()];
        let value = |(i, &pixel): (usize, &u8)| preprocessing.value(i / plane % shape.channels, pixel);
        let values = pixels.iter().enumerate().map(value).collect();
        let batch_shape = vec![batch.len(), shape.channels, shape.height, shape.width];
        let logits = executor.forward(&FloatTensor::new(batch_shape, values))?;
        let labels = &images.labels()[batch];
        let rows = logits.values().chunks_exact(images.classes());
        bar.inc(labels.len() as u64);
        Ok(rows.zip(labels).filter(|(row, label)| top1(row) == usize::from(**label)).count())
    });
    let correct = correct.sum::<anyhow::Result<usize>>()?;
    bar.finish_and_clear();
    Ok(correct)
}

/// Index of the largest logit, the first of equals.
fn top1(logits: &[f32]) -> usize {
    (1..logits.len()).fold(0, |best, i| if logits[i] > logits[best] { i } else { best })
}

fn int8_top1(checkpoint: &Checkpoint, images: &ImageSet) -> anyhow::Result<usize> {
    let predictions = Int8::new(checkpoint, images)?.predict_clean();
    Ok(predictions.iter().zip(images.labels()).filter(|(p, label)| p == label).count())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn file_sha256(path: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    Ok(Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect())
}
