//! Measures what a trial with one flipped bit costs on a baseline, in parts of a full pass, and which layers the mean pays for:
//! `cargo bench -p zerospace-infer --bench incremental -- CHECKPOINT [PIXELS IMAGES TRIALS SEED MIB TURNS]`. PIXELS is a file of u8
//! in [image, channel, height, width], or `random`. Each tensor gets TRIALS flips of random bits, which alternate with full
//! passes of the same trials; predictions must be equal. The mean weighs the tensors by their numbers of bits, so it is that of a bit
//! drawn from the whole memory. MIB bounds the kept levels and sums. A trial and its full pass take TURNS turns, of which the best count. One
//! thread, in processor time.

// A bench reads the clock and its arguments.
#![allow(clippy::disallowed_methods)]
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

extern crate infer as infer; // its name in the rest of the workspace

#[path = "../tests/it/random.rs"]
#[allow(dead_code, reason = "the benchmark needs the images and numbers only")]
mod random;

use std::time::Duration;

use graph::WeightChange;
use rustix::time::{ClockId, clock_gettime};

/// Trials before the measured ones, after which sums are kept.
const WARM_UP: usize = 8;

fn main() {
    // cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let number = |i: usize, default| arguments.get(i).map_or(default, |a| a.parse().expect("a number"));
    let (images, trials, seed) = (number(2, 100), number(3, 10), number(4, 1));
    let (mib, turns) = (number(5, 1024), number(6, 3));
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().expect("a thread pool");
    let checkpoint = quant::Checkpoint::load(arguments[0].as_ref()).expect("a checkpoint");
    let graph = zoo::build_stored(&checkpoint.model, &checkpoint.layers).expect("its graph");
    let network = || infer::Network::new(&graph, &checkpoint).expect("a whole checkpoint");
    let mut full = network();
    let pixels = match arguments.get(1).map_or("random", String::as_str) {
        "random" => random::pixels(images, graph.spec(), 2),
        file => {
            let size = images * graph.spec().input.iter().product::<usize>();
            std::fs::read(file).expect("pixels").get(..size).expect("enough images").to_vec()
        }
    };
    let inputs = full.prepare(&pixels).expect("whole images");
    let mut baseline = infer::Baseline::new(network(), inputs, mib << 20, &|_| ());
    let mut random = random::SplitMix64(seed as u64);
    let mut flip = |tensor: usize| {
        let values = checkpoint.weights[tensor].values();
        let index = (random.next() % values.len() as u64) as usize;
        WeightChange { tensor, index, value: values[index] ^ (1u8 << (random.next() % 8)) as i8 }
    };
    let begin = time();
    (0..WARM_UP).for_each(|trial| drop(baseline.predict(&[&[flip(trial % checkpoint.weights.len())]])));
    let spent = (time() - begin).as_secs_f64();
    println!(
        "{}, {images} images, the levels of {} kept; {WARM_UP} trials before, {spent:.2} s; sums of {} layers kept",
        checkpoint.model.architecture,
        baseline.images_kept(),
        baseline.layers_with_sums()
    );
    let all: usize = checkpoint.weights.iter().map(|weight| weight.values().len()).sum();
    let mut costs: Vec<Vec<f64>> = Vec::new();
    let (mut own, mut whole) = (0.0, 0.0);
    for (tensor, weight) in checkpoint.weights.iter().enumerate() {
        let share = weight.values().len() as f64 / all as f64;
        let mut ratios = Vec::new();
        let (mut own_of, mut whole_of) = (0.0, 0.0);
        for _ in 0..trials {
            let change = [flip(tensor)];
            let mut best = [Duration::MAX; 2];
            for _ in 0..turns {
                let begin = time();
                let found = baseline.predict(&[&change]);
                let middle = time();
                let expected = full.predict(&inputs, &change);
                let end = time();
                assert_eq!(found, [expected], "{change:?}");
                best = [best[0].min(middle - begin), best[1].min(end - middle)];
            }
            let [part, pass] = best.map(|time| time.as_secs_f64() / trials as f64);
            own_of += part;
            whole_of += pass;
            ratios.push(part / pass);
        }
        own += share * own_of;
        whole += share * whole_of;
        let worst = ratios.iter().copied().fold(0.0, f64::max);
        println!(
            "{:32} {:5.2} % of the bits, mean {:.3} of a full pass, worst {worst:.3}",
            weight.name(),
            100.0 * share,
            own_of / whole_of
        );
        costs.push(ratios);
    }
    let mut weighted: Vec<(f64, f64)> = Vec::new();
    for (weight, ratios) in checkpoint.weights.iter().zip(&costs) {
        weighted.extend(
            ratios.iter().map(|&ratio| (ratio, (weight.values().len() as f64) / (all * trials) as f64)),
        );
    }
    weighted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut below = 0.0;
    let median = weighted.iter().find(|(_, share)| {
        below += share;
        below >= 0.5
    });
    println!(
        "one flipped bit: mean {:.2} ms against {:.2}, {:.2} times as fast; median {:.2} times; worst {:.3} of a full pass",
        own * 1e3,
        whole * 1e3,
        whole / own,
        1.0 / median.expect("a trial").0,
        weighted.last().expect("a trial").0
    );
}

/// Processor time of the process.
fn time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).expect("a time that has passed")
}
