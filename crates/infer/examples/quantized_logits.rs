//! Logits of a model that another program quantized, by the rule of that program:
//! `quantized_logits MODEL.onnx MEAN STD < images > logits`, or `quantized_logits MODEL.tflite < images > logits`, whose
//! input takes bytes. Images are u8 pixels in [channels, height, width]; each channel has the same mean and standard
//! deviation. Logits are little-endian f32.

use std::io::{Read, Write};
use std::path::Path;

use graph::Preprocessing;
use infer::GivenNetwork;
use quant::{Activations, Checkpoint, Contents, Parameters, Provenance};

#[allow(clippy::disallowed_methods)] // An example is a program.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (read, preprocessing) = match &arguments[..] {
        [path] => {
            let read = zoo::read_tflite(Path::new(path))?;
            let pixels = read.pixels.clone().ok_or("the input takes floats, expected bytes")?;
            (read, pixels)
        }
        [path, mean, std] => {
            let read = zoo::read_quantized_onnx(Path::new(path), None)?
                .ok_or("a float network, expected a quantized one")?;
            let channels = read.model.input[0];
            (read, Preprocessing::new(vec![mean.parse()?; channels], vec![std.parse()?; channels])?)
        }
        _ => return Err("arguments: MODEL.onnx MEAN STD, or MODEL.tflite".into()),
    };
    let checkpoint = Checkpoint::new(Contents {
        model: read.model,
        layers: read.layers,
        preprocessing,
        weights: read.weights,
        parameters: Parameters::new(),
        activations: Activations::Given(read.activations),
        provenance: Provenance::default(),
    })?;
    let graph = zoo::build_stored(&checkpoint.model, &checkpoint.layers)?;
    let mut network = GivenNetwork::new(&graph, &checkpoint)?;
    let mut pixels = Vec::new();
    std::io::stdin().read_to_end(&mut pixels)?;
    let logits = network.logits(&network.prepare(&pixels)?, &[]);
    let bytes: Vec<u8> = logits.iter().flat_map(|logit| logit.to_le_bytes()).collect();
    std::io::stdout().write_all(&bytes)?;
    Ok(())
}
