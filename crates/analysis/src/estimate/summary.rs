use std::collections::HashMap;

use design::{FaultModel, ProtectionName, TrialRecord};
use records::{ExpectedOutcomes, TrialRow};
use statrs::distribution::{Binomial, DiscreteCDF};

use crate::estimate::cell::{Cell, CellKey, drop_of};
use crate::estimate::drawn::DrawnImages;
use crate::estimate::interval::Interval;
use crate::estimate::measure::Unit;

/// The paper's statistic: the best and the worst trial are dropped. For comparison with the paper
/// only, since it hides exactly the trials that matter in a heavy tail.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trimmed {
    /// Mean of the other trials.
    pub mean: f64,
    /// Population standard deviation (divisor: their number) of the other trials.
    pub population_sd: f64,
}

/// The accuracy drops of a cell, in points: clean - faulty accuracy, each in % of images. If trials have scores, the amounts by
/// which faults make the score worse.
///
/// If only trials that change something were drawn ([`CellSummary::changed_probability`]), mean, standard deviation
/// and interval are estimates for ordinary trials, whose drop is 0 unless something changes. Median, smallest and largest
/// are of the trials drawn, and the paper's statistic is absent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DropStatistics {
    /// Mean of all trials.
    pub mean: f64,
    /// Standard deviation of all trials (divisor n - 1; n where only changed trials were drawn); absent for a single trial.
    pub sd: Option<f64>,
    /// Median; the mean of the middle two for an even number.
    pub median: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// 95 % interval of the mean of all trials.
    pub interval: Interval,
    /// The paper's statistic; absent for fewer than three trials.
    pub trimmed: Option<Trimmed>,
}

/// Accuracy of a cell, or its score by one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct CellSummary {
    /// The cell.
    pub key: CellKey,
    /// Number of trials.
    pub trials: u64,
    /// Images evaluated in each; may be 0 if trials have scores.
    pub images: u64,
    /// The evaluation set and the sources of variance, if each trial sees a block of the set. Accuracies and the mean drop are
    /// then estimates for the whole set; median, smallest and largest drop are those of blocks, and the paper's statistic is absent.
    pub drawn: Option<DrawnImages>,
    /// Accuracy of the fault-free network, % of images, or its score. Drops are relative to it.
    pub clean: f64,
    /// Accuracy, % of images, or score of the network as the protection stores it, without faults: that of the fault-free network
    /// unless the protection is lossy ([`crate::LossyStorage`]), and then absent when it was not measured.
    pub fault_free: Option<f64>,
    /// Mean accuracy over the trials, % of images, or mean score.
    pub mean: f64,
    /// Probability P that some stored word reads back wrong in an ordinary trial, if the cell draws only such trials. The mean over ordinary trials is then P times that over the trials drawn.
    pub changed_probability: Option<f64>,
    /// Accuracy drop in points, or loss of score.
    pub drop: DropStatistics,
}

/// Outcomes of decoding, summed over the trials of a cell; see [`TrialRecord`] for the terms.
#[derive(Clone, Debug, PartialEq)]
pub struct CellOutcomes {
    /// The cell.
    pub key: CellKey,
    /// Number of trials.
    pub trials: u64,
    /// Flipped data bits.
    pub flips_data: u64,
    /// Flipped check bits.
    pub flips_check: u64,
    /// Code words with at least one flipped bit.
    pub words_hit: u64,
    /// Words rightly corrected.
    pub corrected: u64,
    /// Words declared uncorrectable.
    pub detected: u64,
    /// Words changed to a value that was not stored.
    pub miscorrected: u64,
    /// Words that the decoder passed as clean although they read back wrong.
    pub silent: u64,
    /// Weights that read back changed, without padding.
    pub weights_changed: u64,
    /// Trials in which no weight read back changed.
    pub trials_unchanged: u64,
    /// True if only trials were drawn in which some stored word reads back wrong.
    pub changed_only: bool,
    /// Expected counts of an ordinary trial ([`crate::Estimates::with_expected`]); absent if only changed trials were
    /// drawn.
    pub expected: Option<ExpectedOutcomes>,
}

/// Two protections compared trial by trial, under the same faults in the data plane.
#[derive(Clone, Debug, PartialEq)]
pub struct PairedDifference {
    /// The plan's label for the network.
    pub model: String,
    /// Fault model.
    pub fault_model: FaultModel,
    /// Rate of the fault model, as in [`CellKey`].
    pub rate: f64,
    /// The protection that comes first in the plan.
    pub first: ProtectionName,
    /// The other protection.
    pub second: ProtectionName,
    /// Trials that both cells have.
    pub pairs: u64,
    /// Pairs with equally many flipped data bits; fewer than `pairs` means that the two
    /// did not meet the same faults.
    pub pairs_same_flips: u64,
    /// Mean of drop(first) - drop(second), points or the unit of a metric; negative when the first loses less.
    pub mean_difference: f64,
    /// 95 % interval of that mean.
    pub interval: Interval,
    /// Pairs in which the first lost less.
    pub wins: u64,
    /// Pairs with equal drops.
    pub ties: u64,
    /// Pairs in which the first lost more.
    pub losses: u64,
    /// Exact two-sided sign test over the pairs without ties; 1 when there are none.
    pub sign_test_p: f64,
    /// The same after Holm's correction for all pairs of the estimates.
    pub sign_test_p_corrected: f64,
}

pub(crate) fn summary(cell: &Cell) -> CellSummary {
    summary_with(cell, Interval::of_mean)
}

/// A summary whose interval is absent, which costs nearly all of the time.
pub(crate) fn summary_without_interval(cell: &Cell) -> CellSummary {
    summary_with(cell, |_, _| Interval::Absent)
}

fn summary_with(cell: &Cell, interval: fn(&[f64], Unit) -> Interval) -> CellSummary {
    let (mut drops, unit) = (cell.drops(), cell.unit());
    // Sums of scores depend on their order.
    drops.sort_unstable_by(f64::total_cmp);
    let (clean, changed) = (cell.unit_of_set().shown(cell.clean_of_set()), cell.changed_probability());
    let drawn = DrawnImages::of(cell);
    CellSummary {
        key: cell.key.clone(),
        trials: drops.len() as u64,
        images: cell.images(),
        drawn,
        clean,
        fault_free: Some(clean),
        mean: unit.shown(cell.after(changed.unwrap_or(1.0) * mean(&drops))),
        changed_probability: changed,
        drop: match changed {
            None if drawn.is_some() => {
                DropStatistics { trimmed: None, ..drop_statistics(&drops, unit, interval) }
            }
            None => drop_statistics(&drops, unit, interval),
            Some(probability) => weighted_statistics(&drops, unit, interval, probability),
        },
    }
}

/// Statistics of `drops`, ascending and in this unit. They are shown in the last step, so that equal trials give exactly
/// equal points.
fn drop_statistics(drops: &[f64], unit: Unit, interval: fn(&[f64], Unit) -> Interval) -> DropStatistics {
    let n = drops.len();
    let middle = (drops[(n - 1) / 2] + drops[n / 2]) / 2.0;
    let sd = (n >= 2).then(|| unit.shown((sum_of_squares(drops) / (n - 1) as f64).sqrt()));
    let trimmed = (n >= 3).then(|| {
        let kept = &drops[1..n - 1];
        let population_sd = (sum_of_squares(kept) / kept.len() as f64).sqrt();
        Trimmed { mean: unit.shown(mean(kept)), population_sd: unit.shown(population_sd) }
    });
    DropStatistics {
        mean: unit.shown(mean(drops)),
        sd,
        median: unit.shown(middle),
        min: unit.shown(drops[0]),
        max: unit.shown(drops[n - 1]),
        interval: interval(drops, unit),
        trimmed,
    }
}

/// Statistics of ordinary trials from the drops of the trials that change something. `probability` is the share of these;
/// all other trials lose nothing.
fn weighted_statistics(
    drops: &[f64],
    unit: Unit,
    interval: fn(&[f64], Unit) -> Interval,
    probability: f64,
) -> DropStatistics {
    let drawn = drop_statistics(drops, unit, interval);
    let square = drops.iter().map(|d| d.powi(2)).sum::<f64>() / drops.len() as f64;
    let variance = probability * square - (probability * mean(drops)).powi(2);
    DropStatistics {
        mean: probability * drawn.mean,
        sd: drawn.sd.map(|_| unit.shown(variance.max(0.0).sqrt())),
        interval: drawn.interval.scaled(probability),
        trimmed: None,
        ..drawn
    }
}

/// Mean of ascending values; of equal ones exactly their value.
pub(crate) fn mean(values: &[f64]) -> f64 {
    let (first, last) = (values[0], values[values.len() - 1]);
    if first == last { first } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// Sum of squared deviations from the mean of ascending values.
fn sum_of_squares(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|v| (v - mean).powi(2)).sum()
}

pub(crate) fn outcomes(cell: &Cell) -> CellOutcomes {
    let total = |get: fn(&TrialRecord) -> u64| cell.trials.iter().map(|r| get(&r.record)).sum();
    CellOutcomes {
        key: cell.key.clone(),
        trials: cell.trials.len() as u64,
        flips_data: total(|r| r.flips_data),
        flips_check: total(|r| r.flips_check),
        words_hit: total(|r| r.words_hit),
        corrected: total(|r| r.corrected),
        detected: total(|r| r.detected),
        miscorrected: total(|r| r.miscorrected),
        silent: total(|r| r.silent),
        weights_changed: total(|r| r.weights_changed),
        trials_unchanged: total(|r| u64::from(r.weights_changed == 0)),
        changed_only: cell.changed_probability().is_some(),
        expected: None,
    }
}

/// Compares two cells that differ in their protection, without the correction for other pairs; `None` without a common trial, or when one of them draws only
/// changed trials: those meet faults of their own.
pub(crate) fn paired(first: &Cell, second: &Cell) -> Option<PairedDifference> {
    if first.changed_probability().or(second.changed_probability()).is_some() {
        return None;
    }
    let others: HashMap<u64, &TrialRow> = second.trials.iter().map(|r| (r.record.trial, r)).collect();
    let pairs: Vec<(&TrialRow, &TrialRow)> =
        first.trials.iter().filter_map(|r| Some((r, *others.get(&r.record.trial)?))).collect();
    if pairs.is_empty() {
        return None;
    }
    let metric = first.metric;
    let difference = |(a, b): &(&TrialRow, &TrialRow)| drop_of(a, metric) - drop_of(b, metric);
    let mut differences: Vec<f64> = pairs.iter().map(difference).collect();
    differences.sort_unstable_by(f64::total_cmp);
    let count = |which: fn(&f64) -> bool| differences.iter().filter(|d| which(d)).count() as u64;
    let (wins, ties, losses) = (count(|d| *d < 0.0), count(|d| *d == 0.0), count(|d| *d > 0.0));
    let same_flips = pairs.iter().filter(|(a, b)| a.record.flips_data == b.record.flips_data).count();
    Some(PairedDifference {
        model: first.key.model.clone(),
        fault_model: first.key.fault_model.clone(),
        rate: first.key.rate,
        first: first.key.protection.clone(),
        second: second.key.protection.clone(),
        pairs: pairs.len() as u64,
        pairs_same_flips: same_flips as u64,
        mean_difference: first.unit().shown(mean(&differences)),
        interval: Interval::of_mean(&differences, first.unit()),
        wins,
        ties,
        losses,
        sign_test_p: sign_test(wins, losses),
        sign_test_p_corrected: 1.0,
    })
}

/// Two-sided exact sign test: twice the smaller binomial tail with probability 1/2, at most 1.
fn sign_test(wins: u64, losses: u64) -> f64 {
    let fair = Binomial::new(0.5, wins + losses).expect("1/2 is a probability");
    (2.0 * fair.cdf(wins.min(losses))).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::sign_test;

    /// From the binomial coefficients: e.g. 2 (1 + 5) / 2^5 = 0.375.
    #[test]
    fn sign_test_is_exact() {
        let cases = [
            (0, 0, 1.0),
            (1, 0, 1.0),
            (1, 1, 1.0),
            (0, 5, 2.0 / 32.0),
            (5, 0, 2.0 / 32.0),
            (4, 1, 12.0 / 32.0),
            (8, 2, 2.0 * 56.0 / 1024.0),
            (10, 0, 2.0 / 1024.0),
        ];
        for (wins, losses, p) in cases {
            let found = sign_test(wins, losses);
            assert!((found - p).abs() < 1e-12, "{wins} to {losses}: {found}, expected {p}");
        }
    }
}
