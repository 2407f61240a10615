//! Coverage of the interval of a mean drop if each trial sees a block of the images.
//!
//! ```sh
//! cargo run --release -p zerospace-harness --example coverage_drawn > table.md
//! ```
//!
//! A simulated campaign has 2,000 images, of which the fault-free network classifies 1,800 correctly. A trial draws a severity p.
//! An image of the share `same` has a fixed place u in (0, 1) and is lost if u < p, so that faults always lose the same images; any other
//! image is lost with probability p in each trial anew. Images that are wrong without faults become right with probability 0.1 p. Each
//! row has 1,000 cells with seeds of their own, with the blocks of [`inject::ImageBlocks`] and the interval of reports. `ratio` is the standard deviation
//! of the 1,000 means, divided by the mean of their estimated standard errors, which take trials for independent.
//!
//! The second table has cells that end by [`design::HalfWidthRule`], in units of 50 trials; `n` is the mean number of their trials,
//! `near` the share of cells whose mean is no farther from the true drop than the half width of the rule, and `bias` the mean of all
//! means less the true drop.

// An example is a program: it prints.
#![allow(clippy::print_stdout)]

use analysis::{Interval, SplitMix64, Unit};
use design::{DropSums, HalfWidthRule};
use inject::ImageBlocks;
use rayon::prelude::*;

const CELLS: u64 = 1000;
const IMAGES: u32 = 2000;
const CLEAN: u32 = 1800;
/// Places of severities, equally likely.
const SEVERITIES: usize = 1000;

struct Population {
    name: &'static str,
    /// Severity at a quantile in (0, 1).
    severity: fn(f64) -> f64,
    /// Share of images that are always lost in the same order.
    same: f64,
}

const POPULATIONS: [Population; 6] = [
    Population { name: "severity 0.05 always, other images each time", severity: |_| 0.05, same: 0.0 },
    Population { name: "severity 0 to 0.3, other images each time", severity: |q| 0.3 * q, same: 0.0 },
    Population { name: "severity 0 to 0.3, half the images in order", severity: |q| 0.3 * q, same: 0.5 },
    Population { name: "severity 0 to 0.3, all images in order", severity: |q| 0.3 * q, same: 1.0 },
    Population {
        name: "one trial in ten has 0.2 to 0.9, others 0.002; half the images in order",
        severity: |q| if q < 0.1 { 0.2 + 7.0 * q } else { 0.002 },
        same: 0.5,
    },
    Population { name: "severity 0.9 always, all images in order", severity: |_| 0.9, same: 1.0 },
];

/// Further populations of cells that end by the width of their intervals.
const RARE: [Population; 2] = [
    Population {
        name: "one trial in 50 has 0.9, others 0.002; half the images in order",
        severity: |q| if q < 0.02 { 0.9 } else { 0.002 },
        same: 0.5,
    },
    Population {
        name: "one trial in 500 has 0.9, others 0.002; half the images in order",
        severity: |q| if q < 0.002 { 0.9 } else { 0.002 },
        same: 0.5,
    },
];

const BLOCKS: [u32; 4] = [5, 30, 150, 700];
const TRIALS: [u64; 2] = [50, 200];

fn main() {
    let rows: Vec<(&Population, u32, u64)> = POPULATIONS
        .iter()
        .flat_map(|population| {
            BLOCKS.into_iter().flat_map(move |block| TRIALS.map(|trials| (population, block, trials)))
        })
        .collect();
    println!("| images lost | mean drop | M | n | coverage | half width | ratio |");
    println!("|---|--:|--:|--:|--:|--:|--:|");
    for (population, block, trials) in rows {
        println!("{}", row(population, block, trials));
    }
    println!(
        "\n| images lost | mean drop | M | half width of the rule | n | coverage | half width | near | bias |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|");
    for population in POPULATIONS.iter().chain(&RARE) {
        for half_width in [2.0, 1.0] {
            println!("{}", row_by_width(population, half_width));
        }
    }
}

/// Images of a trial, trials of a unit and most trials of cells that end by the width of their intervals.
const BLOCK: u32 = 30;
const UNIT: usize = 50;
const MOST: u64 = 6000;

/// Coverage of one population if cells end by the width of their intervals.
fn row_by_width(population: &Population, half_width: f64) -> String {
    let rule = HalfWidthRule { half_width };
    let truth = truth(population);
    let found: Vec<(Found, usize)> = (0..CELLS)
        .into_par_iter()
        .map(|cell| {
            let drops = drops(population, cell, BLOCK, MOST);
            let mut sums = DropSums::default();
            let ends = drops.chunks(UNIT).map(|unit| {
                // Offsets: the rule looks at differences only.
                let offset = u64::from(BLOCK);
                unit.iter().for_each(|drop| sums.add((drop + f64::from(BLOCK)) as u64, offset));
                rule.is_reached(&sums, u64::from(BLOCK), 1.0)
            });
            let units = ends.take_while(|end| !end).count() + 1;
            let trials = drops.len().min(UNIT * units);
            (Found::of(&drops[..trials], BLOCK), trials)
        })
        .collect();
    let average = |get: &dyn Fn(&(Found, usize)) -> f64| found.iter().map(get).sum::<f64>() / CELLS as f64;
    format!(
        "| {} | {truth:.2} | {BLOCK} | {half_width} | {:.0} | {:.1} % | {:.2} | {:.1} % | {:+.2} |",
        population.name,
        average(&|(_, trials)| *trials as f64),
        100.0 * average(&|(found, _)| f64::from(u8::from(found.holds(truth)))),
        average(&|(found, _)| found.half_width()),
        100.0 * average(&|(found, _)| f64::from(u8::from((found.mean - truth).abs() <= half_width))),
        average(&|(found, _)| found.mean) - truth,
    )
}

/// A simulated cell, in points.
struct Found {
    mean: f64,
    /// Standard error of the mean, if trials were independent.
    error: f64,
    interval: (f64, f64),
}

impl Found {
    fn of(drops: &[f64], block: u32) -> Self {
        let unit = Unit::Images(u64::from(block));
        let n = drops.len() as f64;
        let mean = drops.iter().sum::<f64>() / n;
        let variance = drops.iter().map(|drop| (drop - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let mean = unit.shown(mean);
        let interval = match Interval::of_mean(drops, unit) {
            Interval::Bca { low, high } => (low, high),
            // At most this share of trials differs, by no more than to an end of the range.
            Interval::AllEqual { differing_at_most: p } => {
                (mean - p * (mean + 100.0), mean + p * (100.0 - mean))
            }
            Interval::Absent => (mean, mean),
        };
        Self { mean, error: unit.shown((variance / n).sqrt()), interval }
    }

    fn holds(&self, truth: f64) -> bool {
        (self.interval.0..=self.interval.1).contains(&truth)
    }

    fn half_width(&self) -> f64 {
        (self.interval.1 - self.interval.0) / 2.0
    }
}

/// Mean drop of all faults on the whole set, in points.
fn truth(population: &Population) -> f64 {
    100.0 * (0..IMAGES).map(|image| mean_loss(population, image)).sum::<f64>() / f64::from(IMAGES)
}

/// Quantiles at which severities are drawn.
fn quantiles() -> impl Iterator<Item = f64> {
    (0..SEVERITIES).map(|place| (place as f64 + 0.5) / SEVERITIES as f64)
}

/// The fixed place of an image that the fault-free network classifies correctly, if it has one.
fn place(population: &Population, image: u32) -> Option<f64> {
    let same = f64::from(image % 10) < 10.0 * population.same;
    same.then(|| (f64::from(image * 7919 % CLEAN) + 0.5) / f64::from(CLEAN))
}

/// Mean loss of an image over all severities.
fn mean_loss(population: &Population, image: u32) -> f64 {
    let severities = quantiles().map(population.severity);
    match place(population, image) {
        _ if image >= CLEAN => -0.1 * severities.sum::<f64>() / SEVERITIES as f64,
        Some(place) => severities.filter(|severity| place < *severity).count() as f64 / SEVERITIES as f64,
        None => severities.sum::<f64>() / SEVERITIES as f64,
    }
}

/// Coverage of one population and sample size.
fn row(population: &Population, block: u32, trials: u64) -> String {
    let truth = truth(population);
    let found: Vec<Found> = (0..CELLS)
        .into_par_iter()
        .map(|cell| Found::of(&drops(population, cell, block, trials), block))
        .collect();
    let average = |get: &dyn Fn(&Found) -> f64| found.iter().map(get).sum::<f64>() / CELLS as f64;
    let held = average(&|found| f64::from(u8::from(found.holds(truth))));
    let mean = average(&|found| found.mean);
    let sd = average(&|found| (found.mean - mean).powi(2)).sqrt();
    format!(
        "| {} | {truth:.2} | {block} | {trials} | {:.1} % | {:.2} | {:.2} |",
        population.name,
        100.0 * held,
        average(&Found::half_width),
        sd / average(&|found| found.error),
    )
}

/// Drops of the trials of a simulated cell, in images.
fn drops(population: &Population, cell: u64, block: u32, trials: u64) -> Vec<f64> {
    let blocks = ImageBlocks::new(cell, IMAGES, block);
    let mut numbers = SplitMix64::new(cell << 32 ^ u64::from(block) << 16 ^ trials);
    let mut uniform = move || (numbers.next_u64() >> 11) as f64 * 2f64.powi(-53);
    (0..trials)
        .map(|trial| {
            let place_of_severity = (uniform() * SEVERITIES as f64).floor();
            let severity = (population.severity)((place_of_severity + 0.5) / SEVERITIES as f64);
            let loss = |image: u32| match place(population, image) {
                _ if image >= CLEAN => -f64::from(u8::from(uniform() < 0.1 * severity)),
                Some(place) => f64::from(u8::from(place < severity)),
                None => f64::from(u8::from(uniform() < severity)),
            };
            blocks.block(trial).into_iter().map(loss).sum()
        })
        .collect()
}
