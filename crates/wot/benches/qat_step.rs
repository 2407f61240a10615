//! Milliseconds of a QATT step (forward, backward, update, throttle) of ResNet-18 for CIFAR, full width,
//! batch 32: `cargo bench -p zerospace-wot -- 2` for two threads (default: 2).
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

use std::time::Instant;

use quant::{FloatTensor, ModelSpec, Preprocessing};
use wot::{Method, Recipe, Schedule, Trainer, Validation};

const BATCH: usize = 32;
const STEPS: usize = 7;

fn main() {
    let threads = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(2);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
    let spec = ModelSpec { architecture: "resnet18".into(), classes: 10, input: [3, 32, 32], width: 1.0 };
    let graph = zoo::build(&spec).expect("a known architecture");
    let recipe = Recipe {
        method: Method::QATT,
        iterations: STEPS as u64,
        batch_images: BATCH,
        schedule: Schedule::Constant { rate: 0.001 },
        momentum: 0.9,
        weight_decay: 1e-4,
        augmentation: None,
        validation: Validation { images: 0, seed: 0 },
        check_every: 1,
        seed: 1,
    };
    let preprocessing = Preprocessing { mean: vec![0.5; 3], std: vec![0.25; 3] };
    let mut trainer = Trainer::new(&graph, wot::initialize(&graph, 1), &preprocessing, recipe)
        .expect("a recipe that can be used");
    let len = BATCH * 3 * 32 * 32;
    let images = (0..len).map(|i| (i * 7919 % 1009) as f32 / 504.5 - 1.0).collect();
    let images = FloatTensor::new(vec![BATCH, 3, 32, 32], images);
    let labels: Vec<u16> = (0..BATCH as u16).map(|i| i % 10).collect();
    for _ in 0..STEPS {
        let start = Instant::now();
        let loss = pool.install(|| trainer.step(&images, &labels)).expect("a finite loss");
        println!(
            "wot   {:8.1} ms/step, {threads} threads, loss {loss:.4}",
            start.elapsed().as_secs_f64() * 1e3
        );
    }
}
