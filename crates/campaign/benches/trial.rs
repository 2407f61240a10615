//! Microseconds a trial without what the network costs: drawing and reading the flips, and making the record, on
//! 11.7 M weights (ResNet18) and 10,000 images: `cargo bench -p zerospace-campaign`. In the last column, drawing and
//! reading the flips of a trial that changes something, however seldom one does.

// A bench reads the clock.
#![allow(clippy::disallowed_methods)]
#![allow(clippy::print_stdout, reason = "a benchmark's result is what it prints")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use campaign::{ChangedTrial, Evaluation, EvaluationError, Evaluator, Network, Outputs, StoredNetwork};
use design::{BitErrorRate, FaultKind};
use ecc::MemoryLayout;

const WEIGHTS: usize = 11_678_912;
const IMAGES: usize = 10_000;
const BUDGET: Duration = Duration::from_millis(300);

/// A network that costs nothing.
struct Free;

impl Evaluator for Free {
    fn evaluate(&mut self, trials: &[ChangedTrial<'_>]) -> Result<Vec<Outputs>, EvaluationError> {
        Ok(vec![Outputs::Predictions(vec![1; IMAGES]); trials.len()])
    }
}

fn main() {
    let tensors = 62;
    let names: Vec<String> = (0..tensors).map(|i| format!("t{i}")).collect();
    let layout = MemoryLayout::new(names.iter().map(|name| (name.as_str(), WEIGHTS / tensors)));
    // In the narrowest range that a protection needs; padding is zero.
    let weight = |i| if layout.locate(i).is_some() { (i * 37 % 16) as i8 - 8 } else { 0 };
    let plane = (0..layout.plane_len()).map(weight).collect();
    let network =
        Network { label: "bench".into(), digest: "d".into(), evaluator: "bench".into(), layout, plane };
    let evaluation = Evaluation::new(vec![1; IMAGES], vec![1; IMAGES]);
    println!(
        "{:24}{:>8}{:>12}{:>12}{:>12}{:>12}{:>12}",
        "median us", "rate", "unchanged", "trial", "record", "both", "changed"
    );
    for protection in ecc::all() {
        let id = protection.id().to_owned();
        let start = Instant::now();
        let stored = StoredNetwork::new(&network, protection).expect("storable weights");
        println!("{id:24} stored in {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
        for rate in [1e-9, 1e-6, 1e-5, 1e-4, 1e-3] {
            let ber = BitErrorRate::new(rate).expect("a rate");
            let (mut trials, mut records, mut both, mut unchanged) = (vec![], vec![], vec![], 0);
            let begin = Instant::now();
            while begin.elapsed() < BUDGET || both.len() < 9 {
                let number = both.len() as u64;
                let start = Instant::now();
                let trial = stored.trial(FaultKind::Bernoulli, ber, 2019, number);
                let middle = Instant::now();
                unchanged += usize::from(trial.changes.is_empty());
                black_box(evaluation.records(number, vec![trial], &mut Free).expect("predictions"));
                let end = Instant::now();
                trials.push((middle - start).as_secs_f64() * 1e6);
                records.push((end - middle).as_secs_f64() * 1e6);
                both.push((end - start).as_secs_f64() * 1e6);
            }
            let mut changed = vec![];
            let begin = Instant::now();
            // Where they can be drawn: under lossless protections with closed forms.
            if let Ok(drawn) = stored.changed_trials(ber) {
                while begin.elapsed() < BUDGET || changed.len() < 9 {
                    let start = Instant::now();
                    black_box(drawn.trial(2019, changed.len() as u64));
                    changed.push(start.elapsed().as_secs_f64() * 1e6);
                }
            }
            let unchanged = 100.0 * unchanged as f64 / both.len() as f64;
            let [trial, record, both, changed] =
                [trials, records, both, changed].map(|mut times: Vec<f64>| {
                    times.sort_by(f64::total_cmp);
                    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
                });
            println!("{id:24}{rate:8e}{unchanged:11.1}%{trial:12.1}{record:12.1}{both:12.1}{changed:12.1}");
        }
    }
}
