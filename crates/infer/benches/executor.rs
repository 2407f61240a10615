//! Measures images per second and multiply-adds per second of the executor, and of the plain reference in the
//! same run: `cargo bench -p zerospace-infer -- THREADS [ARCHITECTURE SIDE IMAGES [FORMS [RATE]]]`, by default
//! one thread on ResNet-20 for CIFAR-10 and 1,024 images of 32 pixels per side. Weights are random unless
//! ARCHITECTURE is a checkpoint file. FORMS are forms of the inner loop separated by commas, measured in turns, by
//! default the fastest; at a bit error RATE every bit of a weight flips with this probability.
//! `pytorch_onnxruntime.py` beside this file is the same benchmark for other executors.

// A bench reads the clock and its arguments.
#![allow(clippy::disallowed_methods)]
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

extern crate infer as infer; // its name in the rest of the workspace

#[path = "../tests/it/random.rs"]
mod random;
#[path = "../tests/it/reference.rs"]
mod reference;

use std::time::Instant;

const ROUNDS: usize = 5;

/// Multiply-adds of an image up to which the plain reference is measured.
const LARGEST_FOR_REFERENCE: usize = 100_000_000;

fn main() {
    // cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let number = |i: usize, default| arguments.get(i).map_or(default, |a| a.parse().expect("a number"));
    let (threads, side, images) = (number(0, 1), number(2, 32), number(3, 1024));
    let architecture = arguments.get(1).map_or("resnet20", String::as_str);

    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
    let (graph, checkpoint) = match architecture.ends_with(".safetensors") {
        true => {
            let checkpoint = quant::Checkpoint::load(architecture.as_ref()).expect("a checkpoint");
            (zoo::build_stored(&checkpoint.model, &checkpoint.layers).expect("its graph"), checkpoint)
        }
        false => {
            let graph = zoo::build(&random::spec(architecture, 1.0, side)).expect("a known architecture");
            let checkpoint = random::checkpoint(&graph, 1);
            (graph, checkpoint)
        }
    };
    let fastest = infer::kernel_forms().pop().unwrap_or_default();
    let forms: Vec<&str> = arguments.get(4).map_or(vec![fastest], |forms| forms.split(',').collect());
    let rate: f64 = arguments.get(5).map_or(0.0, |rate| rate.parse().expect("a rate"));
    let pixels = random::pixels(images, graph.spec(), 2);
    let products = multiply_adds(&graph);
    println!("{architecture}, {:.1} M multiply-adds an image", products as f64 / 1e6);

    let checkpoint = flip(checkpoint, rate);
    let networks = forms.iter().map(|form| infer::Network::with_kernel_form(&graph, &checkpoint, form));
    let mut networks: Vec<_> = networks.map(|network| network.expect("a whole checkpoint")).collect();
    let mut best = vec![0f64; forms.len()];
    for _ in 0..ROUNDS {
        for (network, best) in networks.iter().zip(&mut best) {
            let inputs = network.prepare(&pixels).expect("whole images");
            let start = Instant::now();
            std::hint::black_box(pool.install(|| network.predict_clean(&inputs)));
            *best = best.max(images as f64 / start.elapsed().as_secs_f64());
        }
    }
    for (form, rate) in forms.iter().zip(best) {
        println!(
            "{form:11} {rate:9.1} images/s, {:6.1} G multiply-adds/s, {threads} threads",
            rate * products as f64 / 1e9
        );
    }
    if products > LARGEST_FOR_REFERENCE {
        return;
    }
    let one = &pixels[..pixels.len() / images];
    let network = networks.last_mut().expect("a form");
    let logits = network.logits(&network.prepare(one).expect("an image"), &[]);
    let levels: Vec<Vec<i8>> = checkpoint.weights.iter().map(|w| w.values().to_vec()).collect();
    let start = Instant::now();
    assert_eq!(reference::run(&graph, &checkpoint, &levels, one).logits, logits);
    println!("reference   {:9.1} images/s, 1 thread", 1.0 / start.elapsed().as_secs_f64());
}

/// Returns the multiply-adds of all convolutions and linear layers for one image.
fn multiply_adds(graph: &graph::Graph) -> usize {
    let nodes = graph.nodes().iter();
    let layers = nodes.filter(|node| matches!(node.op, graph::Op::Conv(_) | graph::Op::Linear { .. }));
    let pixels = layers.map(|node| node.shape[1..].iter().product::<usize>());
    let weights = graph.stored_weights().into_iter().map(|spec| spec.shape.iter().product::<usize>());
    pixels.zip(weights).map(|(pixels, weights)| pixels * weights).sum()
}

/// Flips every bit of a weight with probability `rate`.
fn flip(checkpoint: quant::Checkpoint, rate: f64) -> quant::Checkpoint {
    let mut random = random::SplitMix64(3);
    let mut contents = checkpoint.into_contents();
    let flipped = contents.weights.into_iter().map(|tensor| {
        let mut flip = |value: i8| {
            (0..8)
                .filter(|_| ((random.next() >> 11) as f64) < rate * (1u64 << 53) as f64)
                .fold(value, |value, bit| value ^ (1 << bit) as i8)
        };
        let values = tensor.values().iter().map(|&value| flip(value)).collect();
        tensor.with_values(values).expect("as many values")
    });
    contents.weights = flipped.collect();
    quant::Checkpoint::new(contents).expect("a whole checkpoint")
}
