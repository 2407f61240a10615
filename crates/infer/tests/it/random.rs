//! Small random networks and images, as functions of a seed.

use std::collections::BTreeMap;

use graph::{Graph, ModelSpec, Preprocessing};
use quant::{Activations, Checkpoint, Contents, FloatTensor, Parameters, Provenance, QuantTensor};

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
pub(crate) struct SplitMix64(pub(crate) u64);

impl SplitMix64 {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }
}

pub(crate) fn spec(architecture: &str, width: f64, size: usize) -> ModelSpec {
    ModelSpec { width, ..ModelSpec::new(architecture, 10, [3, size, size]) }
}

pub(crate) fn pixels(images: usize, spec: &ModelSpec, seed: u64) -> Vec<u8> {
    let mut random = SplitMix64(seed);
    (0..images * spec.input.iter().product::<usize>()).map(|_| random.next() as u8).collect()
}

/// Makes a checkpoint whose weights keep the activations' variance, whose other parameters are near their
/// usual values, and whose activation scales are calibrated on random images.
pub(crate) fn checkpoint(graph: &Graph, seed: u64) -> Checkpoint {
    checkpoint_with(graph, seed, &Parameters::new())
}

/// Like [`checkpoint`], with the given values of the parameters in `given`.
pub(crate) fn checkpoint_with(graph: &Graph, seed: u64, given: &Parameters) -> Checkpoint {
    let mut random = SplitMix64(seed);
    let mut weights = Vec::new();
    let mut parameters = Parameters::new();
    for parameter in graph.parameters() {
        let size: usize = parameter.shape.iter().product();
        let (low, high) = if parameter.is_stored_weight() {
            let bound = (6.0 / (size / parameter.shape[0]) as f32).sqrt();
            (-bound, bound)
        } else if parameter.name.ends_with(".running_var") || parameter.name.ends_with(".weight") {
            (0.5, 1.5)
        } else {
            (-0.3, 0.3)
        };
        let mut values = || (0..size).map(|_| random.between(low, high)).collect();
        let tensor = given.get(&parameter.name).cloned();
        let tensor = tensor.unwrap_or_else(|| FloatTensor::new(parameter.shape.clone(), values()));
        if parameter.is_stored_weight() {
            weights.push(QuantTensor::quantize(&parameter.name, &tensor).unwrap());
        } else {
            parameters.insert(parameter.name, tensor);
        }
    }
    let preprocessing = Preprocessing::new(vec![0.5, 0.45, 0.4], vec![0.25, 0.2, 0.3]).unwrap();
    let mut contents = Contents {
        model: graph.spec().clone(),
        layers: graph.layers().to_vec(),
        preprocessing,
        weights,
        parameters,
        activations: Activations::Static(BTreeMap::new()),
        provenance: Provenance::default(),
    };
    let images = pixels(4, graph.spec(), seed ^ 1);
    let scales = zoo::calibrate(graph, &contents.dequantized(), &contents.preprocessing, &images).unwrap();
    contents.activations = Activations::Static(scales);
    Checkpoint::new(contents).unwrap()
}
