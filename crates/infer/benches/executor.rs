//! Images per second of the executor and of the plain reference, in one run on ResNet-20 for CIFAR-10
//! (40.6 M multiply-adds an image): `cargo bench -p zerospace-infer -- 2` for two threads (default 1).

// A bench reads the clock and its arguments.
#![allow(clippy::disallowed_methods)]
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

extern crate infer as infer; // its name in the rest of the workspace

#[path = "../tests/it/random.rs"]
mod random;
#[path = "../tests/it/reference.rs"]
mod reference;

use std::time::Instant;

const IMAGES: usize = 1024;
const REFERENCE_IMAGES: usize = 4;
const ROUNDS: usize = 5;

fn main() {
    let threads = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(1);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
    let spec = random::spec("resnet20", 1.0, 32);
    let graph = zoo::build(&spec).expect("a known architecture");
    let checkpoint = random::checkpoint(&graph, 1);
    let network = infer::Network::new(&graph, &checkpoint).expect("a whole checkpoint");
    let pixels = random::pixels(IMAGES, &spec, 2);
    let inputs = network.prepare(&pixels).expect("whole images");

    for _ in 0..ROUNDS {
        let start = Instant::now();
        let classes = pool.install(|| network.predict_clean(&inputs));
        println!(
            "executor  {:8.1} images/s, {threads} threads",
            IMAGES as f64 / start.elapsed().as_secs_f64()
        );
        std::hint::black_box(classes);
    }
    let logits = network.logits(&inputs, &[]);
    let classes = spec.classes;
    let start = Instant::now();
    for (n, image) in pixels.chunks(pixels.len() / IMAGES).take(REFERENCE_IMAGES).enumerate() {
        assert_eq!(reference::run(&graph, &checkpoint, image).logits, logits[n * classes..][..classes]);
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("reference {:8.1} images/s, 1 thread", REFERENCE_IMAGES as f64 / seconds);
}
