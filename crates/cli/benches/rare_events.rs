//! How many ordinary trials a changed trial is worth, on ResNet18 in full width (11.7 M weights, random ones, clamped into
//! in-place's range) and drawn images: `cargo bench -p zerospace --bench rare_events -- RATE PLAIN CHANGED IMAGES THREADS`
//! (default: 1e-6 300000 600 200 1). What is measured is how many predictions are not those of the fault-free network.
//!
//! Standard errors are sd / sqrt(trials) for ordinary trials and P(changed) sd / sqrt(trials) for changed ones, so equal
//! ones take as many times the trials as the ratio of the variances says.

// A bench reads the clock and its arguments.
#![allow(clippy::disallowed_methods)]
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

use std::collections::BTreeMap;
use std::time::Instant;

use campaign::{StoredNetwork, Trial};
use data::{DataSource, ImageSet, Split};
use design::{BitErrorRate, FaultKind};
use ecc::{Constraint, MemoryDistribution, MemoryLayout};
use graph::{ModelSpec, Preprocessing};
use infer::{Baseline, Network};
use quant::{Activations, Checkpoint, Contents, FloatTensor, Provenance, QuantTensor};

/// Bytes of clean activations that may be kept.
const MEMORY: usize = 1 << 30;
const SEED: u64 = 2019;
/// Of ImageNet.
const CLASSES: usize = 1000;

fn main() {
    // cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let text = |i: usize, default: &'static str| arguments.get(i).map_or(default, String::as_str);
    let number = |i: usize, default| text(i, default).parse::<u64>().expect("a number");
    let rate = BitErrorRate::new(text(0, "1e-6").parse().expect("a number")).expect("a rate");
    let (plain, changed, images) = (number(1, "300000"), number(2, "600"), number(3, "200"));
    rayon::ThreadPoolBuilder::new().num_threads(number(4, "1") as usize).build_global().expect("threads");

    let set = ImageSet::open("".as_ref(), DataSource::Synthetic, Split::Test).expect("drawn images");
    let set = set.take(images as usize).expect("enough images");
    let graph = zoo::build(&ModelSpec::new("resnet18", CLASSES, [3, 32, 32])).expect("a known architecture");
    let mut parameters = wot::initialize(&graph, SEED);
    let weights = graph.stored_weights().into_iter().map(|spec| {
        let float = parameters.remove(&spec.name).expect("a parameter of the graph");
        let tensor = QuantTensor::quantize(&spec.name, &float).expect("finite weights");
        let mut values = tensor.values().to_vec();
        Constraint::WOT.throttle(&mut values);
        tensor.with_values(values).expect("levels of the same tensor")
    });
    let mut contents = Contents {
        model: graph.spec().clone(),
        layers: Vec::new(),
        preprocessing: Preprocessing::new(vec![0.5; 3], vec![0.25; 3]).expect("three channels"),
        weights: weights.collect(),
        parameters,
        activations: Activations::Static(BTreeMap::new()),
        provenance: Provenance::default(),
    };
    let scales = zoo::calibrate(&graph, &contents.dequantized(), &contents.preprocessing, set.pixels());
    contents.activations = Activations::Static(scales.expect("finite ranges"));
    let checkpoint = Checkpoint::new(contents).expect("valid values");
    let mut network = Network::new(&graph, &checkpoint).expect("a whole checkpoint");
    let inputs = network.prepare(set.pixels()).expect("whole images");
    // As it is, a random network answers the same class to every image, by a wide margin. A bias that takes each
    // class's mean away leaves what depends on the image.
    let logits = network.logits(&inputs, &[]);
    let mut contents = checkpoint.into_contents();
    let bias = contents.parameters.get_mut("fc.bias").expect("resnet18 has one");
    let centred = bias.values().iter().enumerate().map(|(class, bias)| {
        let of_class = logits.iter().skip(class).step_by(CLASSES);
        bias - of_class.sum::<f32>() / images as f32
    });
    *bias = FloatTensor::new(bias.shape().to_vec(), centred.collect());
    let checkpoint = Checkpoint::new(contents).expect("valid values");
    let network = Network::new(&graph, &checkpoint).expect("a whole checkpoint");
    let mut baseline = Baseline::new(network, inputs, MEMORY, &|_| ());
    let clean = baseline.clean().to_vec();

    let layout = MemoryLayout::new(checkpoint.weights.iter().map(|w| (w.name(), w.values().len())));
    let plane = layout.pack(checkpoint.weights.iter().map(QuantTensor::values));
    let protection = ecc::by_id("in-place").expect("known");
    let probability =
        MemoryDistribution::of(&*protection, &plane).expect("a closed form").changed_probability(rate.get());
    println!(
        "{} weights, {images} images, in-place at {rate}: P(changed) {probability:.4e}",
        layout.weights()
    );
    let [label, digest, evaluator] = [const { String::new() }; 3];
    let stored = campaign::Network { label, digest, evaluator, layout, plane };
    let stored = StoredNetwork::new(&stored, protection).expect("clamped weights");
    let drawn = stored.changed_trials(rate).expect("not never");

    // Images whose prediction a trial changes.
    let mut drop = |trial: Trial| {
        if trial.changes.is_empty() {
            return 0.0;
        }
        let found = baseline.predict(&[&trial.changes]).swap_remove(0);
        found.iter().zip(&clean).filter(|(found, clean)| found != clean).count() as f64
    };
    let ordinary = measure("ordinary", plain, 1.0, images, |trial| {
        drop(stored.trial(FaultKind::Bernoulli, rate, SEED, trial))
    });
    let weighted = measure("changed", changed, probability, images, |trial| drop(drawn.trial(SEED, trial)));
    println!(
        "an equal standard error takes {:.0} times as many ordinary trials (1 / P(changed) is {:.0})",
        ordinary / weighted,
        1.0 / probability
    );
}

/// Runs trials; returns the variance of the estimate that a single one would be, in squared images.
fn measure(name: &str, trials: u64, weight: f64, images: u64, drop: impl FnMut(u64) -> f64) -> f64 {
    let begin = Instant::now();
    let drops: Vec<f64> = (0..trials).map(drop).collect();
    let seconds = begin.elapsed().as_secs_f64();
    let n = trials as f64;
    let mean = drops.iter().sum::<f64>() / n;
    let variance = drops.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let points = |count: f64| weight * count * 100.0 / images as f64;
    println!(
        "{name:8} {trials:7} trials in {seconds:6.1} s, {:6} of them lose images: drop {:.3e} points, standard error {:.3e}",
        drops.iter().filter(|drop| **drop != 0.0).count(),
        points(mean),
        points((variance / n).sqrt()),
    );
    weight * weight * variance
}
