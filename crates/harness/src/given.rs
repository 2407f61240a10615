//! Checkpoints of networks that another program quantized.

use std::fs::File;
use std::path::Path;

use anyhow::Context;
use graph::Preprocessing;
use quant::{Activations, Checkpoint, Contents, Parameters, Provenance};
use zoo::QuantizedModel;

/// Makes a checkpoint of a network that [`zoo::read_quantized_onnx`] or [`zoo::read_tflite`] has read from `source`. Its weights are the file's own
/// bytes, and nothing is calibrated.
///
/// # Errors
/// If the source file cannot be read, the network's executor refuses it, or the preprocessing has other channels.
pub fn given_checkpoint(
    source: &Path,
    read: QuantizedModel,
    preprocessing: &Preprocessing,
) -> anyhow::Result<Checkpoint> {
    let place = || source.display().to_string();
    let checkpoint = Checkpoint::new(Contents {
        model: read.model,
        layers: read.layers,
        preprocessing: preprocessing.clone(),
        weights: read.weights,
        parameters: Parameters::new(),
        activations: Activations::Given(read.activations),
        provenance: Provenance {
            source: source.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            source_sha256: File::open(source).and_then(durable::sha256_hex_of).with_context(place)?,
            calibration: String::new(),
            calibration_digest: String::new(),
            weight_edits: "none".into(),
            reading: read.notes,
            written_by: concat!("zerospace ", env!("CARGO_PKG_VERSION")).into(),
        },
    })?;
    let graph = zoo::build_stored(&checkpoint.model, &checkpoint.layers).with_context(place)?;
    infer::GivenNetwork::new(&graph, &checkpoint).with_context(place)?;
    Ok(checkpoint)
}
