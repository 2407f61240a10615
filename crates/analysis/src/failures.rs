//! How often a trial fails, in campaigns that end with a number of failures.

use design::StopRule;
use polars_core::frame::DataFrame;
use statrs::distribution::{Beta, ContinuousCDF};

use crate::cell::{Cell, CellKey, rate_label};
use crate::column::{count, displayed, real, text};
use crate::report::Report;
use crate::style::display_name;
use crate::table::{MarkdownColumn, csv, markdown, rate_note};

/// The probability that a trial of a cell fails, by the plan's definition of failure.
#[derive(Clone, Debug, PartialEq)]
pub struct FailureEstimate {
    /// The cell.
    pub key: CellKey,
    /// Trials up to the failure that was enough, or all.
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
    fn of(cell: &Cell, stop: StopRule) -> Self {
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

/// The 95 % interval of a probability of which `count` of `trials` trials came true (Clopper and Pearson 1934).
fn clopper_pearson(count: u64, trials: u64) -> (f64, f64) {
    let (r, n) = (count as f64, trials as f64);
    let quantile = |a: f64, b: f64, p: f64| Beta::new(a, b).expect("both are positive").inverse_cdf(p);
    let low = if count == 0 { 0.0 } else { quantile(r, n - r + 1.0, 0.025) };
    let high = if count == trials { 1.0 } else { quantile(r + 1.0, n - r, 0.975) };
    (low, high)
}

impl Report {
    /// How often trials fail in each cell.
    pub fn failures(&self, stop: StopRule) -> Vec<FailureEstimate> {
        self.cells.iter().map(|cell| FailureEstimate::of(cell, stop)).collect()
    }

    /// The same as CSV.
    pub(crate) fn failures_csv(&self, stop: StopRule) -> String {
        let all = self.failures(stop);
        let columns = vec![
            text("model", &all, |f| &f.key.model),
            displayed("fault_model", &all, |f| &f.key.fault_model),
            text("protection", &all, |f| &f.key.protection),
            real("rate", &all, |f| Some(f.key.rate)),
            count("trials", &all, |f| f.trials),
            count("failures", &all, |f| f.failures),
            real("probability", &all, |f| Some(f.probability)),
            real("interval_low", &all, |f| Some(f.interval.0)),
            real("interval_high", &all, |f| Some(f.interval.1)),
        ];
        csv(&DataFrame::new_infer_height(columns).expect("the columns have distinct names and one length"))
    }

    /// The same for people.
    pub(crate) fn failures_markdown(&self, stop: StopRule) -> String {
        let text = ["model", "fault model", "protection"].map(MarkdownColumn::text);
        let numbers = ["rate", "n", "failures", "P(failure)", "95 % interval"].map(MarkdownColumn::number);
        let columns: Vec<MarkdownColumn> = text.into_iter().chain(numbers).collect();
        let row = |f: &FailureEstimate| {
            vec![
                f.key.model.clone(),
                f.key.fault_model.to_string(),
                display_name(&f.key.protection),
                rate_label(f.key.rate),
                f.trials.to_string(),
                f.failures.to_string(),
                format!("{:.3e}", f.probability),
                format!("{:.3e} to {:.3e}", f.interval.0, f.interval.1),
            ]
        };
        let rows: Vec<Vec<String>> = self.failures(stop).iter().map(row).collect();
        let StopRule { failures, drop_points } = stop;
        format!(
            "{}\nA trial fails when it loses {drop_points} points or more. A cell ends with the unit in which its \
             {failures}. failure comes; n counts the trials up to that failure, or all. The interval is Clopper and \
             Pearson's. Means over the trials of cells that ended so lean towards larger drops, because a failure \
             was the last to be waited for: by a share of about 1/{failures}.\n{}",
            markdown(&columns, &rows),
            rate_note(self.cells.iter().map(|cell| &cell.key))
        )
    }
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
