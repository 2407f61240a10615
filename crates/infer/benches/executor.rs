//! Measures images per second and multiply-adds per second of the executor, and of the plain reference in the
//! same run: `cargo bench -p zerospace-infer -- THREADS [ARCHITECTURE SIDE IMAGES [FORMS [RATE [turns]]]]`, by default
//! one thread on ResNet-20 for CIFAR-10 and 1,024 images of 32 pixels per side. ARCHITECTURE is one of the program's
//! with random weights, `NAME=FILE` for one with the weights of a PyTorch file, a checkpoint file, or an ONNX file. FORMS are forms of the inner loop separated by commas, measured in turns, by
//! default the fastest; at a bit error RATE every bit of a weight flips with this probability.
//! One thread is measured in processor time. With `turns`, every line of the standard input starts a round.
//! `pytorch_onnxruntime.py` beside this file is the same benchmark for other executors, and calls this one in turns
//! with them.

// A bench reads the clock and its arguments.
#![allow(clippy::disallowed_methods)]
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

extern crate infer as infer; // its name in the rest of the workspace

#[path = "../tests/it/random.rs"]
mod random;
#[path = "../tests/it/reference.rs"]
mod reference;

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

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
    let extension = match architecture.contains('=') {
        true => None,
        false => std::path::Path::new(architecture).extension().and_then(|extension| extension.to_str()),
    };
    let (graph, checkpoint) = match extension {
        Some("safetensors") => {
            let checkpoint = quant::Checkpoint::load(architecture.as_ref()).expect("a checkpoint");
            (zoo::build_stored(&checkpoint.model, &checkpoint.layers).expect("its graph"), checkpoint)
        }
        Some("onnx") => {
            let onnx = zoo::read_onnx(architecture.as_ref(), None).expect("an ONNX model");
            let graph = zoo::build_stored(&onnx.model, &onnx.layers).expect("its graph");
            let checkpoint = random::checkpoint_with(&graph, 1, &onnx.parameters);
            (graph, checkpoint)
        }
        _ => {
            let (architecture, file) = match architecture.split_once('=') {
                Some((architecture, file)) => (architecture, Some(file)),
                None => (architecture, None),
            };
            let graph = zoo::build(&random::spec(architecture, 1.0, side)).expect("a known architecture");
            let read = |file: &str| {
                let file = zoo::read_checkpoint(file.as_ref()).expect("a checkpoint");
                file.bind(&graph, &zoo::Selection::default()).expect("parameters of the network").parameters
            };
            let checkpoint = match file {
                Some(file) => random::checkpoint_with(&graph, 1, &read(file)),
                None => random::checkpoint(&graph, 1),
            };
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
    let clock = Clock { processor: threads == 1, begin: Instant::now() };
    let measure = |network: &infer::Network| {
        let inputs = network.prepare(&pixels).expect("whole images");
        let start = clock.time();
        std::hint::black_box(pool.install(|| network.predict_clean(&inputs)));
        images as f64 / (clock.time() - start).as_secs_f64()
    };
    if arguments.get(6).is_some_and(|mode| mode == "turns") {
        for _ in std::io::stdin().lines() {
            forms.iter().zip(&networks).for_each(|(form, network)| println!("{form} {}", measure(network)));
        }
        return;
    }
    let mut best = vec![0f64; forms.len()];
    for _ in 0..ROUNDS {
        networks.iter().zip(&mut best).for_each(|(network, best)| *best = best.max(measure(network)));
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

/// Processor time of the process, or the time of day.
struct Clock {
    processor: bool,
    begin: Instant,
}

impl Clock {
    fn time(&self) -> Duration {
        match self.processor {
            true => {
                Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).expect("a time that has passed")
            }
            false => self.begin.elapsed(),
        }
    }
}

/// Returns the multiply-adds of all convolutions and linear layers for one image.
fn multiply_adds(graph: &graph::Graph) -> usize {
    let nodes = graph.nodes().iter();
    let layers = nodes.filter(|node| matches!(node.op, graph::Op::Conv(_) | graph::Op::Linear { .. }));
    let pixels = layers.map(|node| node.shape[1..].iter().product::<usize>());
    let weights = graph.stored_weights().into_iter().map(|spec| spec.shape.iter().product::<usize>());
    pixels.zip(weights).map(|(pixels, weights)| pixels * weights).sum()
}

/// Flips every bit of a weight with probability `rate`. A checkpoint holds no -128; -127 takes its place.
fn flip(checkpoint: quant::Checkpoint, rate: f64) -> quant::Checkpoint {
    let mut random = random::SplitMix64(3);
    let mut contents = checkpoint.into_contents();
    let flipped = contents.weights.into_iter().map(|tensor| {
        let mut flip = |value: i8| {
            (0..8)
                .filter(|_| ((random.next() >> 11) as f64) < rate * (1u64 << 53) as f64)
                .fold(value, |value, bit| value ^ (1 << bit) as i8)
        };
        let values = tensor.values().iter().map(|&value| flip(value).max(-127)).collect();
        tensor.with_values(values).expect("as many values")
    });
    contents.weights = flipped.collect();
    quant::Checkpoint::new(contents).expect("a whole checkpoint")
}
