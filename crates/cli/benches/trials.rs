//! Milliseconds of a trial in which some weights have a flipped bit, evaluated on a baseline and by a full pass, in
//! turns, with the longest of the trials in parts of its full pass: `cargo bench -p zerospace --bench trials -- CHECKPOINT SET IMAGES THREADS`, where SET is a data set that
//! needs no cutting (default: experiments/networks/resnet18-synthetic.safetensors, synthetic, 1000, 1). One thread is measured
//! in processor time. A few trials before the others make the baseline keep sums.
//! ZEROSPACE_DATA is the directory of data sets.

// A bench reads the clock, its arguments and the environment.
#![allow(clippy::disallowed_methods)]
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

use std::time::{Duration, Instant};

use campaign::StoredNetwork;
use data::{DataSource, ImageSet, Split};
use design::{BitErrorRate, FaultKind};
use ecc::MemoryLayout;
use infer::{Baseline, Network};
use quant::Checkpoint;

/// Bytes of clean activations and sums that may be kept.
const MEMORY: usize = 1 << 30;

/// Number of trials before the measured ones.
const WARM_UP: u64 = 8;

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
    let clock = Clock { processor: threads == 1, begin: Instant::now() };
    let bits = 8 * plane.len();
    let [label, digest, evaluator] = [const { String::new() }; 3];
    let stored = campaign::Network { label, digest, evaluator, layout, plane };
    let stored = StoredNetwork::new(&stored, ecc::by_id("faulty").expect("known")).expect("no constraint");
    for (flips, trials) in [(1, 200), (3, 60), (20, 30), (200, 15), (bits / 1000, 15)] {
        // Half a flip more, so that rounding down gives their number.
        let rate = BitErrorRate::new((flips as f64 + 0.5) / bits as f64).expect("a rate");
        let changes = |trial| stored.trial(FaultKind::FixedCount, rate, 1, trial).changes;
        if flips == 1 {
            for trial in 0..WARM_UP {
                baseline.predict(&[&changes(trials as u64 + trial)]);
            }
            println!("after {WARM_UP} trials the sums of {} layers are kept", baseline.layers_with_sums());
        }
        let mut times: [Vec<f64>; 2] = Default::default();
        let mut worst = 0f64;
        for trial in 0..trials as u64 {
            let changes = changes(trial);
            let begin = clock.time();
            let found = baseline.predict(&[&changes]);
            let middle = clock.time();
            let expected = full.predict(&inputs, &changes);
            let end = clock.time();
            assert_eq!(found, [expected]);
            let [own, whole] = [middle - begin, end - middle].map(|time| time.as_secs_f64() * 1e3);
            worst = worst.max(own / whole);
            times[0].push(own);
            times[1].push(whole);
        }
        let [mean, mean_full] = times.each_ref().map(|times| times.iter().sum::<f64>() / trials as f64);
        times.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
        let [median, median_full] = times.map(|times| times[trials / 2]);
        println!(
            "{flips:6} flips, {trials:3} trials: mean {mean:8.2} ms against {mean_full:8.2}, {:5.2} times as fast; median \
             {median:8.2} against {median_full:8.2}, {:5.2}; worst {worst:.3} of a full pass",
            mean_full / mean,
            median_full / median
        );
    }
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
                let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
                Duration::try_from(time).expect("a time that has passed")
            }
            false => self.begin.elapsed(),
        }
    }
}
