//! Exact intervals for a share of a finite population, from a sample without replacement.
//!
//! The number of critical faults in the sample has a hypergeometric distribution. The interval holds every number K of critical
//! faults in the population under which neither tail beyond the observed number is less likely than half of the error:
//! inversion of two one-sided tests, as in Clopper and Pearson (1934) for infinite populations. Its coverage is at least the
//! confidence for every K.

use std::ops::RangeInclusive;

/// Slack for rounding in tails; it can only widen an interval.
const SLACK: f64 = 1e-9;

/// Interval of the number of critical faults among `population`, of which `sampled` were drawn and `critical` of these were
/// critical.
///
/// # Panics
/// When there are more critical than sampled faults, or more sampled ones than the population has.
pub(crate) fn interval(population: u64, sampled: u64, critical: u64, confidence: f64) -> RangeInclusive<u64> {
    assert!(critical <= sampled && sampled <= population, "{critical} of {sampled} of {population}");
    let half = (1.0 - confidence) / 2.0 * (1.0 - SLACK);
    let (least, most) = (critical, population - (sampled - critical));
    // P(X >= critical) grows with K, P(X <= critical) falls.
    let low = first(least..=most, |all| at_least(population, sampled, all, critical) > half);
    let high = first(least..=most, |all| at_most(population, sampled, all, critical) <= half);
    low.unwrap_or(most)..=high.map_or(most, |beyond| beyond.saturating_sub(1).max(least))
}

/// First number of a range from which on a condition holds; `None` if it never does.
fn first(range: RangeInclusive<u64>, holds: impl Fn(u64) -> bool) -> Option<u64> {
    let (mut low, mut high) = (*range.start(), *range.end() + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) { high = middle } else { low = middle + 1 }
    }
    (low <= *range.end()).then_some(low)
}

fn at_most(population: u64, sampled: u64, all: u64, critical: u64) -> f64 {
    // As many not critical ones in the sample, or more.
    at_least(population, sampled, population - all, sampled - critical)
}

/// P(X >= critical), where X of a sample are among the `all` critical ones of a population.
fn at_least(population: u64, sampled: u64, all: u64, critical: u64) -> f64 {
    let least = (sampled + all).saturating_sub(population);
    let most = sampled.min(all);
    if critical <= least {
        return 1.0;
    }
    if critical > most {
        return 0.0;
    }
    // Ratios of neighbours lead away from the observed number; the smaller tail is summed.
    let [population, sampled, all] = [population, sampled, all].map(|count| count as f64);
    let up = |x: f64| (all - x) * (sampled - x) / ((x + 1.0) * (population - all - sampled + x + 1.0));
    let mode = ((sampled + 1.0) * (all + 1.0) / (population + 2.0)).floor();
    let first = probability(population, sampled, all, critical as f64);
    if critical as f64 > mode {
        return first * sum(up, critical as f64, most as f64, 1.0);
    }
    let down = |x: f64| 1.0 / up(x - 1.0);
    let below = critical as f64 - 1.0;
    1.0 - probability(population, sampled, all, below) * sum(down, below, least as f64, -1.0)
}

/// 1 + r(x) + r(x) r(x + step) + ..., up to `end`, until the terms vanish.
fn sum(ratio: impl Fn(f64) -> f64, start: f64, end: f64, step: f64) -> f64 {
    let (mut term, mut sum, mut x) = (1.0, 1.0, start);
    while x != end && term > 1e-17 * sum {
        term *= ratio(x);
        sum += term;
        x += step;
    }
    sum
}

fn probability(population: f64, sampled: f64, all: f64, x: f64) -> f64 {
    let choose = |n: f64, k: f64| ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k);
    (choose(all, x) + choose(population - all, sampled - x) - choose(population, sampled)).exp()
}

/// Logarithm of n!, by three terms of the Stirling series from 64 on, where the next is below 2^-52.
fn ln_factorial(n: f64) -> f64 {
    if n < 64.0 {
        return (2..=n as u64).map(|k| (k as f64).ln()).sum();
    }
    let inverse = 1.0 / n;
    let series = inverse / 12.0 * (1.0 - inverse * inverse / 30.0 * (1.0 - inverse * inverse * 2.0 / 7.0));
    n * n.ln() - n + 0.5 * (2.0 * std::f64::consts::PI * n).ln() + series
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number of samples with each number of critical faults, by binomial coefficients.
    fn counts(population: u64, sampled: u64, all: u64) -> Vec<u128> {
        let choose = |n: u64, k: u64| (0..k).fold(1u128, |c, i| c * u128::from(n - i) / u128::from(i + 1));
        let count = |x: u64| match x <= all && sampled - x <= population - all {
            true => choose(all, x) * choose(population - all, sampled - x),
            false => 0,
        };
        (0..=sampled).map(count).collect()
    }

    /// Tails and intervals of all populations of up to 22 faults, against enumeration.
    #[test]
    fn intervals_equal_enumeration() {
        for population in 1..=22u64 {
            for sampled in 0..=population {
                for confidence in [0.8, 0.95, 0.99] {
                    // A tail of exactly half of the error counts as possible.
                    let half = (1.0 - confidence) / 2.0 * (1.0 - SLACK);
                    for critical in 0..=sampled {
                        let possible = |all: &u64| {
                            let counts = counts(population, sampled, *all);
                            let total = counts.iter().sum::<u128>() as f64;
                            let above = counts[critical as usize..].iter().sum::<u128>() as f64 / total;
                            let below = counts[..=critical as usize].iter().sum::<u128>() as f64 / total;
                            assert!((at_least(population, sampled, *all, critical) - above).abs() < 1e-12);
                            assert!((at_most(population, sampled, *all, critical) - below).abs() < 1e-12);
                            above > half && below > half
                        };
                        let expected: Vec<u64> =
                            (critical..=population - (sampled - critical)).filter(possible).collect();
                        let found: Vec<u64> = interval(population, sampled, critical, confidence).collect();
                        assert_eq!(
                            found, expected,
                            "{critical} of {sampled} of {population} at {confidence}"
                        );
                    }
                }
            }
        }
    }

    /// The probability that the interval of a sample holds the truth is at least the confidence, for every truth.
    #[test]
    fn coverage_is_at_least_the_confidence() {
        for (population, sampled) in [(20, 7), (30, 15), (40, 3)] {
            for all in 0..=population {
                let counts = counts(population, sampled, all);
                let total = counts.iter().sum::<u128>() as f64;
                let held = (0..=sampled).filter(|&x| {
                    counts[x as usize] > 0 && interval(population, sampled, x, 0.95).contains(&all)
                });
                let coverage = held.map(|x| counts[x as usize] as f64).sum::<f64>() / total;
                assert!(coverage >= 0.95, "{all} of {population}: {coverage}");
            }
        }
    }

    /// A large population behaves as the binomial one of Clopper and Pearson: 0 of 100 leaves up to 3.62 % at 95 %.
    #[test]
    fn large_populations_approach_clopper_and_pearson() {
        let high = *interval(100_000_000, 100, 0, 0.95).end() as f64 / 1e8;
        assert!((high - 0.036_217).abs() < 1e-5, "{high}");
        let half = interval(1_400_000, 10_000, 5_000, 0.95);
        assert!((*half.start() as f64 / 1.4e6 - 0.4902).abs() < 2e-4, "{half:?}");
    }

    #[test]
    fn an_exhaustive_sample_leaves_one_number() {
        assert_eq!(interval(1_000_000, 1_000_000, 1234, 0.95), 1234..=1234);
        assert_eq!(interval(3, 0, 0, 0.95), 0..=3);
    }
}
