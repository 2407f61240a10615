//! Logits of the float network of an ONNX model, and its int8 network with its logits.
//!
//! `onnx_logits MODEL.onnx IMAGES.u8 FOLDER`: IMAGES.u8 holds pixels, image by image, [channels, height, width]; their
//! first four calibrate the activations. FOLDER gets `float.f32` (logits of the first two images), `int8.f32` (logits
//! of all) and `int8.safetensors`. `results/torchvision` compares these with PyTorch.

use std::error::Error;
use std::path::Path;

use graph::Preprocessing;
use infer::Network;
use quant::{Activations, Checkpoint, Contents, FloatTensor, Parameters, Provenance, QuantTensor};
use zoo::{FloatNetwork, bind, build_stored, calibrate, read_onnx};

/// Images whose float logits are written.
const FLOAT: usize = 2;
/// Images that calibrate the activations.
const CALIBRATION: usize = 4;

#[allow(clippy::disallowed_methods)] // An example is a program.
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, images, folder] = arguments.as_slice() else {
        return Err("expected MODEL.onnx IMAGES.u8 FOLDER".into());
    };
    let (pixels, folder) = (std::fs::read(images)?, Path::new(folder));
    let read = read_onnx(Path::new(model), None)?;
    let graph = build_stored(&read.model, &read.layers)?;
    let input = graph.spec().input;
    let size: usize = input.iter().product();
    let asked = Preprocessing::new(vec![0.485, 0.456, 0.406], vec![0.229, 0.224, 0.225])?;
    let preprocessing = read.arithmetic.preprocessing(&asked)?;
    let mut parameters = bind(&graph, read.parameters)?;

    let values = preprocessing.values(&pixels[..FLOAT * size], size / input[0]);
    let batch = FloatTensor::new([&[FLOAT][..], &input].concat(), values);
    let logits = FloatNetwork::from_parameters(&graph, &parameters)?.logits(&batch)?;
    write(&folder.join("float.f32"), logits.values())?;

    let mut weights = Vec::new();
    for spec in graph.stored_weights() {
        let tensor = parameters.remove(&spec.name).ok_or("a weight is missing")?;
        weights.push(QuantTensor::quantize_per_channel(&spec.name, &tensor)?);
    }
    let mut contents = Contents {
        model: graph.spec().clone(),
        layers: graph.layers().to_vec(),
        preprocessing,
        weights,
        parameters,
        activations: Activations::Static(Default::default()),
        provenance: Provenance::default(),
    };
    let real: Parameters = contents.dequantized();
    let scales = calibrate(&graph, &real, &contents.preprocessing, &pixels[..CALIBRATION * size])?;
    contents.activations = Activations::Static(scales);
    let checkpoint = Checkpoint::new(contents)?;
    checkpoint.save(&folder.join("int8.safetensors"))?;
    let mut network = Network::new(&graph, &checkpoint)?;
    let inputs = network.prepare(&pixels)?;
    write(&folder.join("int8.f32"), &network.logits(&inputs, &[]))?;
    Ok(())
}

fn write(path: &Path, values: &[f32]) -> std::io::Result<()> {
    std::fs::write(path, values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
}
