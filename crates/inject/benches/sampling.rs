//! Microseconds to draw the flips of one trial: `cargo bench -p zerospace-inject`.

// A bench reads the clock.
#![allow(clippy::disallowed_methods)]
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use design::{BitErrorRate, FaultKind};
use inject::{Faults, PlaneSizes};

const BUDGET: Duration = Duration::from_millis(400);

fn main() {
    println!(
        "{:11} {:>14} {:>8} {:>10} {:>12} {:>12}",
        "", "weights", "rate", "flips", "best us", "median us"
    );
    for kind in [FaultKind::Bernoulli, FaultKind::FixedCount] {
        for weights in [11_678_912, 138_344_128] {
            for rate in [1e-6, 1e-5, 1e-4, 1e-3] {
                measure(kind, weights, rate);
            }
        }
    }
}

/// Draws trial after trial for a while and prints the best and the median time of one.
fn measure(kind: FaultKind, weights: u64, rate: f64) {
    let planes = PlaneSizes { data_bits: 8 * weights, check_bits: 0 };
    let ber = BitErrorRate::new(rate).expect("a rate");
    let mut times = Vec::new();
    let mut flips = 0;
    let begin = Instant::now();
    while begin.elapsed() < BUDGET || times.len() < 9 {
        let start = Instant::now();
        let faults = inject::sample(kind, black_box(ber), planes, 2019, times.len() as u64);
        times.push(start.elapsed().as_secs_f64() * 1e6);
        let Faults::Flips(pattern) = black_box(faults) else { unreachable!("flips whatever is stored") };
        flips += pattern.data.len();
    }
    times.sort_by(f64::total_cmp);
    let (best, median, flips) = (times[0], times[times.len() / 2], flips / times.len());
    println!("{kind:11} {weights:14} {rate:8e} {flips:10} {best:12.1} {median:12.1}");
}
