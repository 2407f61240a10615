//! Failure probability of a trial, in campaigns that end a cell after a number of failures.

use design::FailureRule;
use statrs::distribution::{Beta, ContinuousCDF};

use crate::estimate::cell::{Cell, CellKey};
use crate::estimate::estimates::Estimates;

/// The probability that a trial of a cell fails, by the plan's definition of failure.
#[derive(Clone, Debug, PartialEq)]
pub struct FailureEstimate {
    /// The cell.
    pub key: CellKey,
    /// Trials up to the failure that ended the cell, or all.
    pub trials: u64,
    /// Failures among them.
    pub failures: u64,
    /// Probability of failure: r of n trials give (r - 1) / (n - 1) when the r-th failure ended them, which is
    /// unbiased then (Haldane 1945), and r / n otherwise.
    pub probability: f64,
    /// 95 % interval of it: Clopper and Pearson's of r failures in n trials. It covers at least as often when the
    /// r-th failure decided on n, whose own exact interval has the same lower end and a smaller upper one.
    pub interval: (f64, f64),
}

impl FailureEstimate {
    fn of(cell: &Cell, stop: FailureRule) -> Self {
        let failed = |i: usize| {
            let row = &cell.trials[i];
            stop.is_failure(row.clean_correct, row.record.correct, row.images)
        };
        let mut failing = (0..cell.trials.len()).filter(|&i| failed(i));
        let last = usize::try_from(stop.failures).ok().and_then(|enough| failing.nth(enough.checked_sub(1)?));
        let (trials, failures, probability) = match last {
            Some(last) => {
                let (r, n) = (stop.failures as f64, (last + 1) as f64);
                // The first failure alone says nothing of how often others come, unless every trial fails.
                let unbiased = if n > 1.0 { (r - 1.0) / (n - 1.0) } else { 1.0 };
                (last + 1, stop.failures, unbiased)
            }
            None => {
                let failures = (0..cell.trials.len()).filter(|&i| failed(i)).count();
                (cell.trials.len(), failures as u64, failures as f64 / cell.trials.len() as f64)
            }
        };
        // Other trials than changed ones lose nothing, and so do not fail.
        let drawn = cell.changed_probability().unwrap_or(1.0);
        let (low, high) = clopper_pearson(failures, trials as u64);
        Self {
            key: cell.key.clone(),
            trials: trials as u64,
            failures,
            probability: drawn * probability,
            interval: (drawn * low, drawn * high),
        }
    }
}

/// The 95 % interval of the probability of an event that occurred in `count` of `trials` trials (Clopper and Pearson 1934).
fn clopper_pearson(count: u64, trials: u64) -> (f64, f64) {
    let (r, n) = (count as f64, trials as f64);
    let quantile = |a: f64, b: f64, p: f64| Beta::new(a, b).expect("both are positive").inverse_cdf(p);
    let low = if count == 0 { 0.0 } else { quantile(r, n - r + 1.0, 0.025) };
    let high = if count == trials { 1.0 } else { quantile(r + 1.0, n - r, 0.975) };
    (low, high)
}

/// Estimates for each cell how often its trials fail.
pub fn failures(estimates: &Estimates, stop: FailureRule) -> Vec<FailureEstimate> {
    estimates.cells.iter().map(|cell| FailureEstimate::of(cell, stop)).collect()
}

#[cfg(test)]
mod tests {
    use super::clopper_pearson;

    /// `scipy.stats.binomtest(r, n).proportion_ci(0.95, "exact")`, scipy 1.17.1.
    #[test]
    fn clopper_pearson_agrees_with_scipy() {
        let cases = [
            (0, 10, 0.0, 0.308_497_107_818_762_94),
            (1, 10, 0.002_528_578_544_462_572_8, 0.445_016_117_028_195_43),
            (10, 10, 0.691_502_892_181_237_1, 1.0),
            (5, 200, 0.008_166_166_190_710_24, 0.057_374_351_127_267_13),
        ];
        for (count, trials, low, high) in cases {
            let found = clopper_pearson(count, trials);
            assert!(
                (found.0 - low).abs() < 1e-9 && (found.1 - high).abs() < 1e-9,
                "{count}/{trials}: {found:?}"
            );
        }
    }
}
