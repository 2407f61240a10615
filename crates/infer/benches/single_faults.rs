//! Measures what one flipped bit of one weight costs: all eight bits of every STEP-th weight of each tensor, by
//! `Network::effects` and, for every 64th of these, by `Baseline`:
//! `cargo bench -p zerospace-infer --bench single_faults -- CHECKPOINT [IMAGES STEP THREADS]`.

// A bench reads the clock and its arguments.
#![allow(clippy::disallowed_methods)]
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

extern crate infer as infer; // its name in the rest of the workspace

#[path = "../tests/it/random.rs"]
#[allow(dead_code, reason = "the benchmark needs the images only")]
mod random;

use std::time::Instant;

use graph::WeightChange;

fn main() {
    // cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let number = |i: usize, default| arguments.get(i).map_or(default, |a| a.parse().expect("a number"));
    let (images, step, threads) = (number(1, 16), number(2, 37), number(3, 1));
    let checkpoint = quant::Checkpoint::load(arguments[0].as_ref()).expect("a checkpoint");
    let graph = zoo::build_stored(&checkpoint.model, &checkpoint.layers).expect("its graph");
    let network = infer::Network::new(&graph, &checkpoint).expect("a whole checkpoint");
    let pixels = random::pixels(images, graph.spec(), 2);
    let inputs = network.prepare(&pixels).expect("whole images");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
    pool.install(|| {
        let start = Instant::now();
        let labels = network.predict_clean(&inputs);
        let full = start.elapsed().as_secs_f64() / images as f64;
        println!("a full pass {:8.2} us an image", full * 1e6);
        let mut baseline =
            infer::Baseline::new(infer::Network::new(&graph, &checkpoint).expect("as above"), inputs, usize::MAX, &|_| ());
        let (mut all, mut count) = (0.0, 0);
        for (tensor, weight) in checkpoint.weights.iter().enumerate() {
            let values = weight.values();
            let changes: Vec<WeightChange> = (0..values.len())
                .step_by(step)
                .flat_map(|index| {
                    (0..8).map(move |bit| WeightChange { tensor, index, value: values[index] ^ (1u8 << bit) as i8 })
                })
                .collect();
            let start = Instant::now();
            std::hint::black_box(network.effects(&inputs, &labels, &changes));
            let one = start.elapsed().as_secs_f64() / (changes.len() * images) as f64;
            let few: Vec<&[WeightChange]> = changes.chunks(1).step_by(67).collect();
            let start = Instant::now();
            std::hint::black_box(baseline.predict(&few));
            let before = start.elapsed().as_secs_f64() / (few.len() * images) as f64;
            println!(
                "{:32} {:8.2} us a fault and image, baseline {:8.2} us",
                weight.name(),
                one * 1e6,
                before * 1e6
            );
            all += one * (values.len() * 8) as f64;
            count += values.len() * 8;
        }
        println!(
            "mean {:.2} us a fault and image; {count} faults take {:.1} s on an image, 256 images {:.1} min on {threads} threads",
            all / count as f64 * 1e6,
            all,
            all * 256.0 / 60.0
        );
    });
}
