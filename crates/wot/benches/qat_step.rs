//! Measures milliseconds of a QATT step (forward, backward, update, throttle) of ResNet-18 for CIFAR, full
//! width, batch 32: `cargo bench -p zerospace-wot -- 2` for two threads (default 2). For reference, the same
//! run measures forward and backward of that network's 3x3 convolutions alone, by these operations and by
//! stock candle. `pytorch_qat_step.py` beside this file is the same benchmark for PyTorch.
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock and its arguments")]

use std::time::Instant;

use candle_core::{Device, Tensor, Var};
use graph::{ModelSpec, Preprocessing, Window};
use quant::FloatTensor;
use wot::ops::{Conv2d, Pool};
use wot::{Method, Recipe, Scale, Schedule, Trainer, Validation};

const BATCH: usize = 32;
const STEPS: usize = 7;
/// Channels, side, and number of the network's convolutions with stride 1 of each size.
const CONVOLUTIONS: [(usize, usize, usize); 4] = [(64, 32, 4), (128, 16, 3), (256, 8, 3), (512, 4, 3)];

fn main() {
    let threads = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(2);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
    let spec = ModelSpec::new("resnet18", 10, [3, 32, 32]);
    let graph = zoo::build(&spec).expect("a known architecture");
    let recipe = Recipe {
        method: Method::QATT,
        scale: Scale::Largest,
        bit_errors: None,
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
    let preprocessing = Preprocessing::new(vec![0.5; 3], vec![0.25; 3]).unwrap();
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
    for _ in 0..2 {
        let ours = pool.install(convolutions);
        let stock = pool.install(stock_convolutions);
        println!("3x3 convolutions alone: {ours:8.1} ms here, {stock:8.1} ms in stock candle");
    }
}

fn noise(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i * 7919 % 1009) as f32 / 504.5 - 1.0).collect()
}

/// Returns milliseconds of forward and backward of all of [`CONVOLUTIONS`].
fn convolutions() -> f64 {
    let mut seconds = 0.0;
    for (channels, side, count) in CONVOLUTIONS {
        let images = [BATCH, side, side, channels];
        let (x, weight) = (noise(images.iter().product()), noise(channels * channels * 9));
        let [mut y, mut dx] = [vec![0.0; x.len()], vec![0.0; x.len()]];
        let mut dw = vec![0.0; weight.len()];
        let start = Instant::now();
        let conv = Conv2d::new(images, channels, &Window::square(3, 1, 1), 1, &Pool::default());
        conv.forward(&x, &weight, None, &mut y);
        conv.input_gradient(&y, &weight, &mut dx, false);
        conv.weight_gradient(&x, &y, &mut dw);
        seconds += start.elapsed().as_secs_f64() * count as f64;
        std::hint::black_box((dx, dw));
    }
    seconds * 1e3
}

/// Returns the same for stock candle, which uses its own threads besides the pool's.
fn stock_convolutions() -> f64 {
    let mut seconds = 0.0;
    for (channels, side, count) in CONVOLUTIONS {
        let variable = |shape: [usize; 4]| {
            let values = noise(shape.iter().product());
            let tensor =
                Tensor::from_vec(values, shape.to_vec(), &Device::Cpu).expect("values of that shape");
            Var::from_tensor(&tensor).expect("a new tensor")
        };
        let x = variable([BATCH, channels, side, side]);
        let weight = variable([channels, channels, 3, 3]);
        let start = Instant::now();
        let y = x.conv2d(&weight, 1, 1, 1, 1).expect("shapes that fit");
        std::hint::black_box(y.backward().expect("a gradient"));
        seconds += start.elapsed().as_secs_f64() * count as f64;
    }
    seconds * 1e3
}
