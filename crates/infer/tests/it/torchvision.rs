//! Compares the int8 networks with PyTorch's emulation of the same quantization on torchvision's modules,
//! whose logits `zoo/tests/it/golden/torchvision.py` recorded.

use std::collections::BTreeMap;

use graph::{Graph, ModelSpec, Preprocessing};
use infer::Network;
use quant::{Activations, Checkpoint, Contents, Provenance, QuantTensor};
use serde_json::Value;

use crate::seeded::{hashed, parameters};

/// An image of blocks of 8x8 equal pixels, as in the script.
pub(crate) fn pixels(image: usize, side: usize) -> Vec<u8> {
    let blocks = side.div_ceil(8);
    let channel = |c: usize| {
        let levels: Vec<u8> =
            hashed(&format!("image{image}.{c}"), blocks * blocks).map(|hash| (hash % 256) as u8).collect();
        (0..side * side).map(move |i| levels[i / side / 8 * blocks + i % side / 8])
    };
    (0..3).flat_map(channel).collect()
}

/// Returns the network that the script quantizes, calibrated on `pixels`.
pub(crate) fn checkpoint(graph: &Graph, pixels: &[u8], per_channel: bool) -> Checkpoint {
    let quantize = if per_channel { QuantTensor::quantize_per_channel } else { QuantTensor::quantize };
    let (stored, parameters) =
        parameters(graph).into_iter().partition::<BTreeMap<_, _>, _>(|(_, tensor)| tensor.shape().len() > 1);
    let weights = graph.stored_weights().into_iter();
    let mut contents = Contents {
        model: graph.spec().clone(),
        layers: vec![],
        preprocessing: Preprocessing::new(vec![0.5, 0.45, 0.4], vec![0.25, 0.2, 0.3]).unwrap(),
        weights: weights.map(|p| quantize(&p.name, &stored[&p.name]).unwrap()).collect(),
        parameters,
        activations: Activations::Static(BTreeMap::new()),
        provenance: Provenance::default(),
    };
    let scales = zoo::calibrate(graph, &contents.dequantized(), &contents.preprocessing, pixels).unwrap();
    contents.activations = Activations::Static(scales);
    Checkpoint::new(contents).unwrap()
}

/// Largest difference in a logit, relative to the largest difference between an image's logit and the mean
/// image's. One activation near the middle between two levels is enough to start a difference, and depth
/// amplifies it. Measured: 0.015, 0.26, 6e-7, 0.08, 0.23, 0.48, 0.06, 0.016, 0.07.
const TOLERANCES: [(&str, f64); 9] = [
    ("alexnet", 0.1),
    ("inception_v3", 0.6),
    ("resnet18", 0.1),
    ("resnet34", 0.3),
    ("resnet50", 0.6),
    ("resnet152", 1.0),
    ("squeezenet1_0", 0.2),
    ("squeezenet1_1", 0.1),
    ("vgg16_bn", 0.2),
];

fn best(logits: impl IntoIterator<Item = f64>) -> usize {
    let indexed = logits.into_iter().enumerate();
    indexed.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0
}

#[test]
fn predictions_agree_with_pytorch() {
    let golden: Value =
        serde_json::from_str(include_str!("../../../zoo/tests/it/golden/torchvision.json")).unwrap();
    for entry in golden.as_array().unwrap() {
        let architecture = entry["architecture"].as_str().unwrap();
        let (width, side) = (entry["width"].as_f64().unwrap(), entry["side"].as_u64().unwrap() as usize);
        let rows = entry["int8"].as_array().unwrap().iter();
        let row = |row: &Value| row.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        let expected: Vec<Vec<f64>> = rows.map(row).collect();

        let model = ModelSpec { width, ..ModelSpec::new(architecture, 5, [3, side, side]) };
        let graph = zoo::build(&model).unwrap();
        let pixels: Vec<u8> = (0..expected.len()).flat_map(|i| pixels(i, side)).collect();
        let checkpoint = checkpoint(&graph, &pixels, false);
        let mut network = Network::new(&graph, &checkpoint).unwrap();
        let inputs = network.prepare(&pixels).unwrap();
        let found: Vec<f64> = network.logits(&inputs, &[]).into_iter().map(f64::from).collect();
        let classes = network.predict_clean(&inputs);

        // An untrained network predicts the same class for every image, so differences between images are compared too.
        let mean: Vec<f64> = (0..5)
            .map(|class| expected.iter().map(|row| row[class]).sum::<f64>() / expected.len() as f64)
            .collect();
        let apart = expected.iter().flat_map(|row| row.iter().zip(&mean).map(|(v, m)| (v - m).abs()));
        let spread = apart.fold(0.0, f64::max);
        let tolerance = TOLERANCES.iter().find(|(name, _)| *name == architecture).expect("a tolerance").1;
        for (n, (found, expected)) in found.chunks(5).zip(&expected).enumerate() {
            assert_eq!(usize::from(classes[n]), best(expected.iter().copied()), "{architecture}, image {n}");
            let error = found.iter().zip(expected).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs()));
            assert!(
                error <= tolerance * spread,
                "{architecture}, image {n}: {found:?}, expected {expected:?}"
            );
        }
    }
}
