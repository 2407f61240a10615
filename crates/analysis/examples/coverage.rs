//! Coverage of intervals of a mean: seven methods on samples of known populations of accuracy drops.
//!
//! ```sh
//! cargo run --release -p zerospace-analysis --example coverage > table.md
//! ```
//!
//! Prints, for each population and number of trials, the share of 95 % intervals that hold the population's mean and
//! their mean width in points. The result is in `results/coverage/README.md`. Everything has a fixed seed.
//!
//! - **t**: mean +- t(n - 1) * sd / sqrt(n).
//! - **percentile**: the quantiles of the means of resamples.
//! - **BCa**: the interval of this crate's reports.
//! - **BCa or rule**: BCa, and where all values are equal the bound of the reports as an interval: at 95 % a trial
//!   differs with at most the probability p, and then by no more than to an end of the range below.
//! - **bootstrap-t**: the quantiles of (mean* - mean) / se* of resamples, times se (Efron and Tibshirani, "An
//!   Introduction to the Bootstrap", 1993, chapter 12).
//! - **Anderson**: the mean's range over all distribution functions in the Dvoretzky-Kiefer-Wolfowitz band, given
//!   that a drop lies between clean accuracy - 100 and clean accuracy (T. W. Anderson, "Confidence limits for the
//!   expected value of an arbitrary bounded random variable with a continuous distribution function", 1969; Massart's
//!   constant, 1990). Exact: it never covers less than it says, for any n and any drops.
//! - **Bernstein**: empirical Bernstein bounds on both sides for the same range (A. Maurer and M. Pontil, "Empirical
//!   Bernstein Bounds and Sample Variance Penalization", COLT 2009, theorem 4). Exact too.

// An example is a program: it prints.
#![allow(clippy::print_stdout)]

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use analysis::{Interval, SplitMix64, Unit, points};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Samples of each size.
const SAMPLES: usize = 1000;

/// Resamples of percentile and bootstrap-t.
const RESAMPLES: usize = 2000;

const SIZES: [usize; 6] = [10, 20, 50, 100, 200, 1000];

const METHODS: [&str; 7] = ["t", "percentile", "BCa", "BCa or rule", "bootstrap-t", "Anderson", "Bernstein"];

/// Drops to draw from, with equal probability.
struct Population {
    name: String,
    /// In images.
    drops: Vec<i64>,
    images: u64,
    /// Images that the fault-free network classifies correctly: the largest possible drop.
    clean: i64,
}

impl Population {
    fn mean(&self) -> f64 {
        self.drops.iter().sum::<i64>() as f64 / self.drops.len() as f64
    }
}

fn main() {
    let populations: Vec<Population> = campaigns().into_iter().chain(stylized()).collect();
    let jobs: Vec<(usize, usize)> =
        (0..populations.len()).flat_map(|p| (0..SIZES.len()).rev().map(move |s| (p, s))).collect();
    let next = AtomicUsize::new(0);
    let results = Mutex::new(vec![vec![String::new(); SIZES.len()]; populations.len()]);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(&(p, s)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let row = row(&populations[p], SIZES[s], (p * SIZES.len() + s) as u64);
                    results.lock().unwrap_or_else(PoisonError::into_inner)[p][s] = row;
                }
            });
        }
    });
    println!(
        "{SAMPLES} samples each: 95 % has a standard error of {:.1} points, 50 % of {:.1}.\n",
        100.0 * (0.95 * 0.05 / SAMPLES as f64).sqrt(),
        100.0 * (0.25 / SAMPLES as f64).sqrt(),
    );
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (population, rows) in populations.iter().zip(results) {
        let in_points = |images: f64| points(images, population.images);
        let mean = population.mean();
        let variance = population.drops.iter().map(|&d| (d as f64 - mean).powi(2)).sum::<f64>();
        let sd = (variance / population.drops.len() as f64).sqrt();
        let most = population.drops.iter().max().copied().unwrap_or_default();
        println!(
            "**{}**: mean {:.3}, standard deviation {:.3}, largest {:.1} points\n",
            population.name,
            in_points(mean),
            in_points(sd),
            in_points(most as f64)
        );
        println!("| n | all equal | {} |", METHODS.join(" | "));
        println!("|--:|--:|{}", "--:|".repeat(METHODS.len()));
        rows.iter().for_each(|row| println!("{row}"));
        println!();
    }
}

/// Coverage and mean width of each method.
fn row(population: &Population, n: usize, seed: u64) -> String {
    let mut numbers = SplitMix64::new(seed << 32);
    let truth = population.mean();
    let (mut held, mut width, mut equal) = ([0; METHODS.len()], [0.0; METHODS.len()], 0);
    for _ in 0..SAMPLES {
        let mut sample: Vec<i64> =
            (0..n).map(|_| population.drops[numbers.below(population.drops.len())]).collect();
        sample.sort_unstable();
        equal += usize::from(sample[0] == sample[n - 1]);
        for (i, (low, high)) in intervals(&sample, population, &mut numbers).into_iter().enumerate() {
            // Sums of integers times a rounded 1/n: equal ends may differ in the last bit.
            held[i] += usize::from(low - 1e-9 <= truth && truth <= high + 1e-9);
            width[i] += points(high - low, population.images) / SAMPLES as f64;
        }
    }
    let percent = |count: usize| 100.0 * count as f64 / SAMPLES as f64;
    let cells: Vec<String> =
        held.iter().zip(width).map(|(&held, width)| format!("{:.1} % ({width:.3})", percent(held))).collect();
    format!("| {n} | {:.1} % | {} |", percent(equal), cells.join(" | "))
}

/// In images, in the order of [`METHODS`]. `sample` ascends.
fn intervals(
    sample: &[i64],
    population: &Population,
    numbers: &mut SplitMix64,
) -> [(f64, f64); METHODS.len()] {
    let n = sample.len() as f64;
    let (mean, se) = mean_and_error(sample);
    let quantile_of_t = StudentsT::new(0.0, 1.0, n - 1.0).expect("at least two trials").inverse_cdf(0.975);

    let mut means = Vec::with_capacity(RESAMPLES);
    let mut ratios = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let (mut sum, mut squares) = (0, 0);
        for _ in 0..sample.len() {
            let value = sample[numbers.below(sample.len())];
            sum += value;
            squares += value * value;
        }
        let resampled = sum as f64 / n;
        // Exact integers before the division, so that equal values have no variance.
        let variance = (squares * sample.len() as i64 - sum * sum) as f64 / (n * n);
        means.push(resampled);
        let error = (variance / (n - 1.0)).sqrt();
        // A resample of equal values says nothing of a finite ratio.
        ratios.push(if error > 0.0 {
            (resampled - mean) / error
        } else {
            f64::INFINITY * (resampled - mean)
        });
    }
    ratios.retain(|ratio| !ratio.is_nan());
    means.sort_by(f64::total_cmp);
    ratios.sort_by(f64::total_cmp);
    let ends = |sorted: &[f64]| match sorted.len() {
        0 => (0.0, 0.0),
        length => (sorted[(length as f64 * 0.025) as usize], sorted[(length as f64 * 0.975) as usize]),
    };
    let (low, high) = ends(&ratios);
    let (least, most) = ((population.clean - population.images as i64) as f64, population.clean as f64);
    let within = |(low, high): (f64, f64)| (low.clamp(least, most), high.clamp(least, most));
    let studentized = if se == 0.0 { (mean, mean) } else { within((mean - high * se, mean - low * se)) };

    // 100 images make a point one image; equal values stand for themselves.
    let interval =
        Interval::of_mean(&sample.iter().map(|drop| *drop as f64).collect::<Vec<_>>(), Unit::Images(100));
    let bca = interval.bounds().unwrap_or((mean, mean));
    let ruled = match interval {
        Interval::AllEqual { differing_at_most: p } => (mean - p * (mean - least), mean + p * (most - mean)),
        Interval::Absent | Interval::Bca { .. } => bca,
    };

    let range = most - least;
    let deviation = se * n.sqrt();
    let logarithm = (2.0_f64 / 0.025).ln();
    let slack = deviation * (2.0 * logarithm / n).sqrt() + range * 7.0 * logarithm / (3.0 * (n - 1.0));
    [
        (mean - quantile_of_t * se, mean + quantile_of_t * se),
        ends(&means),
        bca,
        ruled,
        studentized,
        anderson(sample, least, most),
        within((mean - slack, mean + slack)),
    ]
}

fn mean_and_error(sample: &[i64]) -> (f64, f64) {
    let n = sample.len() as f64;
    let mean = sample.iter().sum::<i64>() as f64 / n;
    let squares: f64 = sample.iter().map(|&value| (value as f64 - mean).powi(2)).sum();
    (mean, (squares / (n * (n - 1.0))).sqrt())
}

/// The mean if a share epsilon of the probability moves from the largest values to `least`, or from the smallest to
/// `most`; the band has half-width epsilon = sqrt(ln(2 / 0.05) / (2 n)).
fn anderson(sample: &[i64], least: f64, most: f64) -> (f64, f64) {
    let n = sample.len() as f64;
    let epsilon = ((2.0_f64 / 0.05).ln() / (2.0 * n)).sqrt().min(1.0);
    // What remains of the sample in the order given, when `epsilon` of it is taken from the end.
    let rest = |ascending: &mut dyn Iterator<Item = i64>| {
        let mut left = 1.0 - epsilon;
        ascending.fold(0.0, |sum, value| {
            let share = left.min(1.0 / n);
            left -= share;
            sum + share * value as f64
        })
    };
    let low = rest(&mut sample.iter().copied()) + epsilon * least;
    let high = rest(&mut sample.iter().rev().copied()) + epsilon * most;
    (low, high)
}

/// Cells of the campaigns in `results`, their 50 trials taken for the population.
fn campaigns() -> Vec<Population> {
    let cells = [
        ("resnet20-wot-cifar10", "resnet20-wot", "secded-72-64", 1e-4),
        ("resnet20-wot-cifar10", "resnet20-wot", "faulty", 1e-4),
        ("resnet20-wot-cifar10", "resnet20-wot", "faulty", 1e-3),
        ("resnet20-wot-cifar10", "resnet20-wot", "in-place-64-57", 1e-2),
        ("table2-cifar10", "squeezenet", "secded-72-64", 1e-3),
        ("table2-cifar10", "squeezenet", "faulty", 1e-4),
    ];
    cells
        .map(|(campaign, model, protection, rate)| {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../results");
            let rows = records::read_trials(&root.join(campaign).join("trials.parquet")).expect("a campaign");
            let of_cell = rows.iter().filter(|row| {
                row.model == model && row.protection == protection && row.rate.to_bits() == f64::to_bits(rate)
            });
            let of_cell: Vec<_> = of_cell.collect();
            let first = of_cell.first().expect("a cell of the campaign");
            Population {
                name: format!("{model}, {protection}, {rate:e} ({campaign})"),
                drops: of_cell
                    .iter()
                    .map(|row| row.clean_correct as i64 - row.record.correct as i64)
                    .collect(),
                images: first.images,
                clean: first.clean_correct as i64,
            }
        })
        .into()
}

/// Heavy tails of known shape, in images of 2,000, of which 1,800 are right without faults.
fn stylized() -> Vec<Population> {
    const SIZE: usize = 100_000;
    let population = |name: &str, drop: &dyn Fn(f64) -> f64| Population {
        name: name.into(),
        // The middles of equal slices of probability; a drop of a point is 20 images.
        drops: (0..SIZE)
            .map(|i| (20.0 * drop((i as f64 + 0.5) / SIZE as f64)).round().clamp(-200.0, 1800.0) as i64)
            .collect(),
        images: 2000,
        clean: 1800,
    };
    let normal = statrs::distribution::Normal::standard();
    let bell = |u: f64| normal.inverse_cdf(u);
    vec![
        population("one in a hundred loses 70 points, the others nothing", &|u| {
            if u < 0.01 { 70.0 } else { 0.0 }
        }),
        population("one in a thousand loses 70 points, the others nothing", &|u| {
            if u < 0.001 { 70.0 } else { 0.0 }
        }),
        population("log-normal(0, 1)", &|u| bell(u).exp()),
        population("log-normal(0, 2), cut off at 90 points", &|u| (2.0 * bell(u)).exp()),
        population("normal(1, 0.5); one in fifty loses 20 to 80 points", &|u| match u {
            _ if u < 0.02 => 20.0 + 60.0 * u / 0.02,
            _ => 1.0 + 0.5 * bell((u - 0.02) / 0.98),
        }),
    ]
}
