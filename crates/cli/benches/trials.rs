//! Milliseconds of a trial in which some weights have a flipped bit, evaluated on a baseline and by a full pass, in
//! turns: `cargo bench -p zerospace --bench trials -- CHECKPOINT SET IMAGES THREADS`, where SET is a data set that
//! needs no cutting (default: experiments/networks/resnet18-synthetic.safetensors, synthetic, 1000, 1).
//! ZEROSPACE_DATA is the directory of data sets.

// A bench reads the clock, its arguments and the environment.
#![allow(clippy::disallowed_methods)]
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

use std::time::Instant;

use campaign::StoredNetwork;
use data::{DataSource, ImageSet, Split};
use design::{BitErrorRate, FaultKind};
use ecc::MemoryLayout;
use infer::{Baseline, Network};
use quant::Checkpoint;

/// Bytes of clean activations that may be kept.
const MEMORY: usize = 1 << 30;

fn main() {
    // cargo adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let text = |i: usize, default: &'static str| arguments.get(i).map_or(default, String::as_str);
    let number = |i: usize, default| text(i, default).parse::<usize>().expect("a number");
    let network =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../experiments/networks/resnet18-synthetic.safetensors");
    let checkpoint = Checkpoint::load(text(0, network).as_ref()).expect("a checkpoint");
    let set: DataSource = text(1, "synthetic").parse().expect("a data set");
    let (images, threads) = (number(2, "1000"), number(3, "1"));
    let root = std::env::var("ZEROSPACE_DATA").unwrap_or_else(|_| "data".into());
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().expect("threads");

    let set = ImageSet::open(root.as_ref(), set, Split::Test).expect("the data set");
    let set = set.take(images).expect("enough images");
    let graph = zoo::build_stored(&checkpoint.model, &checkpoint.layers).expect("its graph");
    let network = || Network::new(&graph, &checkpoint).expect("a whole checkpoint");
    let mut full = network();
    let inputs = full.prepare(set.pixels()).expect("whole images");
    let mut baseline = Baseline::new(network(), inputs, MEMORY, &|_| ());
    println!(
        "{}, {images} images, the levels of {} kept, {threads} threads",
        checkpoint.model.architecture,
        baseline.images_kept()
    );

    let layout = MemoryLayout::new(checkpoint.weights.iter().map(|w| (w.name(), w.values().len())));
    let plane = layout.pack(checkpoint.weights.iter().map(quant::QuantTensor::values));
    let bits = 8 * plane.len();
    let [label, digest, evaluator] = [const { String::new() }; 3];
    let stored = campaign::Network { label, digest, evaluator, layout, plane };
    let stored = StoredNetwork::new(&stored, ecc::by_id("faulty").expect("known")).expect("no constraint");
    for (flips, trials) in [(1, 200), (3, 60), (20, 30), (200, 15), (bits / 1000, 15)] {
        // Half a flip more, so that rounding down gives their number.
        let rate = BitErrorRate::new((flips as f64 + 0.5) / bits as f64).expect("a rate");
        let mut times: [Vec<f64>; 2] = Default::default();
        for trial in 0..trials as u64 {
            let changes = stored.trial(FaultKind::FixedCount, rate, 1, trial).changes;
            let begin = Instant::now();
            let found = baseline.predict(&[&changes]);
            let middle = Instant::now();
            let expected = full.predict(&inputs, &changes);
            let end = Instant::now();
            assert_eq!(found, [expected]);
            times[0].push((middle - begin).as_secs_f64() * 1e3);
            times[1].push((end - middle).as_secs_f64() * 1e3);
        }
        let [mean, mean_full] = times.each_ref().map(|times| times.iter().sum::<f64>() / trials as f64);
        times.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
        let [median, median_full] = times.map(|times| times[trials / 2]);
        println!(
            "{flips:6} flips, {trials:3} trials: mean {mean:8.2} ms against {mean_full:8.2}, {:5.2} times as fast; median \
             {median:8.2} against {median_full:8.2}, {:5.2}",
            mean_full / mean,
            median_full / median
        );
    }
}
