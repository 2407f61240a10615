//! Coverage of the intervals of sampled single-fault campaigns, by drawing samples from the records of an exhaustive one.
//!
//! ```sh
//! cargo run --release -p zerospace-analysis --example single_fault_coverage -- results/single-faults-resnet18
//! ```
//!
//! Prints, for each division into strata, confidence and margin, the number of faults of a sample, the share of samples whose
//! interval of the total holds the true critical rate by each criterion, the share of strata's intervals that hold theirs, and the mean
//! half-width of the total's interval in points. Everything has a fixed seed.

// An example is a program: it reads its arguments and prints.
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

use std::path::Path;

use analysis::{FaultEstimates, MarkdownColumn, SplitMix64, markdown_table};
use design::{FaultRecord, FaultSample, SingleFaultSpec, Strata};
use records::FaultStore;

/// Samples of each design.
const SAMPLES: usize = 1000;

fn main() {
    let directory = std::env::args().nth(1).expect("the directory of an exhaustive campaign");
    let store = FaultStore::open(Path::new(&directory)).expect("a campaign");
    let manifest = store.manifest();
    assert!(manifest.spec.sample.exhaustive, "expected an exhaustive campaign");
    let records = store.all().expect("its records");
    let mut random = SplitMix64::new(1);
    let mut rows = Vec::new();
    for strata in [Strata::Network, Strata::Bit, Strata::Tensor, Strata::Both] {
        for confidence in [0.95, 0.99] {
            for margin in [0.05, 0.02, 0.01] {
                let sample =
                    FaultSample { strata, margin, confidence, expected_rate: 0.5, exhaustive: false };
                let spec = SingleFaultSpec { sample, ..manifest.spec.clone() };
                rows.push(row(
                    &spec,
                    manifest.drop_points,
                    manifest.network.clean_correct,
                    &records,
                    &mut random,
                ));
            }
        }
    }
    let mut columns = vec![MarkdownColumn::text("strata")];
    let names = [
        "confidence",
        "margin",
        "faults",
        "total: any logit %",
        "total: top-1 %",
        "total: accuracy %",
        "strata: top-1 %",
        "half-width",
    ];
    columns.extend(names.map(MarkdownColumn::number));
    println!("{}", markdown_table(&columns, &rows));
}

fn row(
    spec: &SingleFaultSpec,
    drop_points: f64,
    clean_correct: u64,
    records: &[FaultRecord],
    random: &mut SplitMix64,
) -> Vec<String> {
    let estimate =
        |records: &[FaultRecord]| FaultEstimates::new(spec.clone(), drop_points, clean_correct, records);
    let truth = estimate(records);
    let strata = spec.strata(spec.sample.strata);
    let sizes: Vec<u64> = strata.iter().map(|stratum| size(stratum.faults, &spec.sample)).collect();
    let (mut totals, mut held, mut all, mut half) = ([0; 3], 0, 0, 0.0);
    for _ in 0..SAMPLES {
        let mut sample = Vec::new();
        for (stratum, &size) in strata.iter().zip(&sizes) {
            // Selection sampling (Knuth, algorithm S): each subset of this size is equally likely.
            let mut wanted = size;
            for position in 0..stratum.faults {
                if (random.below((stratum.faults - position) as usize) as u64) < wanted {
                    sample.push(records[spec.fault_of(stratum, position) as usize]);
                    wanted -= 1;
                }
            }
        }
        let found = estimate(&sample);
        let holds = |own: &analysis::CriticalRate, truth: &analysis::CriticalRate| {
            own.low - 1e-12 <= truth.rate && truth.rate <= own.high + 1e-12
        };
        for (criterion, count) in totals.iter_mut().enumerate() {
            *count += usize::from(holds(&found.total.rates[criterion], &truth.total.rates[criterion]));
        }
        let strata = found.strata.iter().zip(&truth.strata);
        held += strata.filter(|(own, truth)| holds(&own.rates[1], &truth.rates[1])).count();
        all += found.strata.len();
        half += (found.total.rates[1].high - found.total.rates[1].low) / 2.0;
    }
    let percent = |count: usize, of: usize| format!("{:.1}", 100.0 * count as f64 / of as f64);
    vec![
        format!("{:?}", spec.sample.strata).to_lowercase(),
        spec.sample.confidence.to_string(),
        spec.sample.margin.to_string(),
        sizes.iter().sum::<u64>().to_string(),
        percent(totals[0], SAMPLES),
        percent(totals[1], SAMPLES),
        percent(totals[2], SAMPLES),
        percent(held, all),
        format!("{:.3}", 100.0 * half / SAMPLES as f64),
    ]
}

/// Formula 4 of Leveugle et al. (2009), as campaigns use it.
fn size(population: u64, sample: &FaultSample) -> u64 {
    let t = if sample.confidence == 0.95 { 1.959_963_984_540_054 } else { 2.575_829_303_548_901 };
    let (all, p) = (population as f64, sample.expected_rate);
    let n = all / (1.0 + sample.margin * sample.margin * (all - 1.0) / (t * t * p * (1.0 - p)));
    (n.ceil() as u64).clamp(1, population)
}
