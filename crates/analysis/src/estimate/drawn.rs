//! Trials that each see a block of the evaluation set: the variance of their drops, by source.
//!
//! Let y be the loss of an image in a trial, 1 if only the fault-free network classifies it correctly, -1 if only the faulty one
//! does, else 0. The drop on the whole set, of N images, is the mean of y over them, and a trial's drop d is the mean over its block
//! of M. The block is a simple random sample, so that d estimates the drop on the whole set without bias, and
//!
//! ```text
//! Var d = B + W (1/M - 1/N)
//! ```
//!
//! where B is the variance between trials of the drop on the whole set, and W the mean over trials of the variance of y within
//! the set (divisor N - 1). The sample variance of y within a block (divisor M - 1) estimates W without bias, and the
//! sample variance of d, less this share, estimates B: the estimators of a nested analysis of variance with sampling from a finite
//! population (W. G. Cochran, "Sampling Techniques", 3rd edition, 1977, chapter 10).
//!
//! Blocks of different trials are not independent: they use images equally often. That makes the mean of n trials no less, but more
//! precise. If image i loses m_i on average over trials, with variance S over the images of the set (divisor N - 1), and f is
//! the fractional part of n M / N,
//!
//! ```text
//! Var mean = B/n + (W - S) (1/M - 1/N) / n + S N f (1 - f) / (n M)^2  <=  Var d / n
//! ```
//!
//! An interval that takes trials for independent is therefore right or, where faults always lose the same images, too wide.

use design::{BlockCounts, TrialRecord};

use crate::estimate::cell::Cell;

/// Two-sided 95 % of a normal distribution, in standard deviations.
const Z: f64 = 1.96;

/// Variances of a trial's drop, in squares of points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VarianceComponents {
    /// Of the drop on the whole evaluation set, between trials; an estimate below 0 counts as 0.
    pub between: f64,
    /// Of one image's loss, within a trial.
    pub within: f64,
}

impl VarianceComponents {
    /// Estimates from trials on blocks of `block` images of a set of `images`. `None` for fewer than two trials or two
    /// images a trial, which have no variance, and for trials without counts of a block.
    pub fn of_trials<'a>(
        trials: impl IntoIterator<Item = &'a TrialRecord>,
        block: u64,
        images: u64,
    ) -> Option<Self> {
        let losses = |trial: &TrialRecord| {
            let BlockCounts { clean_correct, both_correct } = trial.block?;
            let (lost, won) =
                (clean_correct.checked_sub(both_correct)?, trial.correct.checked_sub(both_correct)?);
            Some((lost as f64 - won as f64, lost as f64 + won as f64))
        };
        let losses: Vec<(f64, f64)> = trials.into_iter().map(losses).collect::<Option<_>>()?;
        if losses.len() < 2 || block < 2 {
            return None;
        }
        let (n, block) = (losses.len() as f64, block as f64);
        // In images first: sums are exact.
        let mean = losses.iter().map(|(sum, _)| sum).sum::<f64>() / n;
        let of_drop = losses.iter().map(|(sum, _)| (sum - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let within = losses.iter().map(|(sum, squares)| squares - sum * sum / block).sum::<f64>();
        let within = within / (n * (block - 1.0)) * 1e4;
        let sampling = within * (1.0 / block - 1.0 / images as f64);
        Some(Self { between: (of_drop / block.powi(2) * 1e4 - sampling).max(0.0), within })
    }

    /// Variance of the drop of a trial on a block of `block` images of a set of `images`.
    pub fn of_drop(&self, block: u64, images: u64) -> f64 {
        self.between + self.within * (1.0 / block as f64 - 1.0 / images as f64)
    }

    /// Smallest number of trials on such blocks for which the 95 % interval of the mean drop has this half width in points,
    /// by the normal distribution and without the gain of balanced blocks.
    pub fn trials(&self, half_width: f64, block: u64, images: u64) -> u64 {
        ((Z / half_width).powi(2) * self.of_drop(block, images)).ceil().max(1.0) as u64
    }
}

/// Fewest trials of a cell that [`SampleSize`] proposes: with fewer, intervals of skewed drops cover too little
/// (`results/coverage`).
pub const FEWEST_TRIALS: u64 = 50;

/// Images that all trials of a cell see together at least, times the half width in points: if none of 3 / p images is lost, at 95 %
/// confidence an image is lost with probability p at most (the rule of three, for images that are lost independently).
const FEWEST_IMAGES: f64 = 300.0;

/// A cell whose sample size is sought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PilotedCell {
    /// Variances, from a pilot.
    pub variance: VarianceComponents,
    /// Cost of a trial before it sees any image, in evaluations of an image.
    pub overhead_images: f64,
}

/// Number of trials of each cell, and of images of each trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleSize {
    /// Trials of each cell.
    pub trials: u64,
    /// Images of each trial.
    pub images_per_trial: u64,
}

impl SampleSize {
    /// Sample size at which the 95 % interval of each cell's mean drop on a set of `images` has at most this half width in
    /// points, and the cost, images and overhead of all trials, is least. A trial sees at least two images, without which the
    /// variance within trials is unknown; a cell has at least [`FEWEST_TRIALS`], and its trials see at least 300 images together for a half
    /// width of 1 point, 600 for 0.5 and so on, without which even a cell without losses would not show that they are rare.
    ///
    /// # Panics
    /// Without cells or images, or with a half width that is not positive.
    pub fn cheapest(cells: &[PilotedCell], half_width: f64, images: u64) -> Self {
        let cost = |size: &Self| {
            let of_trial = |cell: &PilotedCell| size.images_per_trial as f64 + cell.overhead_images;
            size.trials as f64 * cells.iter().map(of_trial).sum::<f64>()
        };
        let sizes = (images.min(2)..=images).map(|block| Self::of_block(cells, half_width, block, images));
        sizes.min_by(|a, b| cost(a).total_cmp(&cost(b))).expect("a set has images")
    }

    /// Sample size for the same intervals if every trial sees all images.
    ///
    /// # Panics
    /// As [`SampleSize::cheapest`].
    pub fn fixed(cells: &[PilotedCell], half_width: f64, images: u64) -> Self {
        Self::of_block(cells, half_width, images, images)
    }

    fn of_block(cells: &[PilotedCell], half_width: f64, block: u64, images: u64) -> Self {
        assert!(
            half_width > 0.0 && !cells.is_empty(),
            "a half width of {half_width} for {} cells",
            cells.len()
        );
        let trials = cells.iter().map(|cell| cell.variance.trials(half_width, block, images));
        let fewest = (FEWEST_IMAGES / half_width / block as f64).ceil() as u64;
        let trials = trials.fold(fewest.max(FEWEST_TRIALS), u64::max);
        Self { trials, images_per_trial: block }
    }

    /// Evaluations of an image in the trials of one cell.
    pub fn image_evaluations(&self) -> u64 {
        self.trials.saturating_mul(self.images_per_trial)
    }
}

/// The images of a cell whose trials each see a block of the evaluation set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DrawnImages {
    /// Images of the evaluation set, for which the drop is estimated.
    pub set: u64,
    /// Variances of the drops of the trials that were drawn; `None` for a single trial and for one image a trial.
    pub variance: Option<VarianceComponents>,
}

impl DrawnImages {
    /// Standard deviation of the drop on the whole set between trials, in points.
    pub fn between_sd(&self) -> Option<f64> {
        self.variance.map(|variance| variance.between.sqrt())
    }

    /// Standard deviation of one image's loss within a trial, in points: a lost image counts 100.
    pub fn within_sd(&self) -> Option<f64> {
        self.variance.map(|variance| variance.within.sqrt())
    }

    /// Share of the variance of a trial's drop that the choice of its block has; `None` without variance.
    pub(crate) fn sampling_share(&self, block: u64) -> Option<f64> {
        let variance = self.variance?;
        let of_drop = variance.of_drop(block, self.set);
        (of_drop > 0.0).then(|| 1.0 - variance.between / of_drop)
    }

    pub(crate) fn of(cell: &Cell) -> Option<Self> {
        let first = &cell.trials[0];
        let block = first.images_per_trial?;
        let records = cell.trials.iter().map(|row| &row.record);
        Some(Self {
            set: first.images,
            variance: VarianceComponents::of_trials(records, block, first.images),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A trial on a block of 10 images: (clean, faulty and both correct).
    fn trial(clean_correct: u64, correct: u64, both_correct: u64) -> TrialRecord {
        TrialRecord {
            trial: 0,
            flips_data: 0,
            flips_check: 0,
            pattern_hash: String::new(),
            words_hit: 0,
            corrected: 0,
            detected: 0,
            miscorrected: 0,
            silent: 0,
            weights_changed: 0,
            padding_changed: 0,
            weights_hash: String::new(),
            correct,
            agree: 0,
            predictions_hash: String::new(),
            scores: Vec::new(),
            block: Some(BlockCounts { clean_correct, both_correct }),
        }
    }

    /// By hand. y of the first trial is (1, 1, 1, -1, 0 x 6): sum 2, variance (4 - 4/10) / 9 = 0.4. Of the second: three 1, sum 3,
    /// variance (3 - 9/10) / 9 = 0.2333. Drops 0.2 and 0.3: variance 0.005.
    #[test]
    fn components_of_two_trials() {
        let trials = [trial(9, 7, 6), trial(8, 5, 5)];
        let found = VarianceComponents::of_trials(&trials, 10, 100).unwrap();
        let within: f64 = (0.4 + 0.7 / 3.0) / 2.0;
        assert!((found.within - within * 1e4).abs() < 1e-9, "{found:?}");
        assert_eq!(found.between, 0.0, "0.005 is less than the share of sampling");
        // Blocks of the whole set: nothing is sampled.
        let whole = VarianceComponents::of_trials(&trials, 10, 10).unwrap();
        assert!((whole.between - 50.0).abs() < 1e-9, "{whole:?}");
        assert_eq!(whole.trials(1.0, 10, 10), 193, "1.96^2 x 50 = 192.08");
        assert_eq!(VarianceComponents::of_trials(&trials[..1], 10, 100), None);
        assert_eq!(VarianceComponents::of_trials(&[trial(1, 1, 1), trial(1, 0, 0)], 1, 100), None);
    }

    /// The least cost is near M = sqrt(overhead W / B), and the whole set where trials hardly differ but images do.
    #[test]
    fn the_cheapest_sample_balances_trials_and_images() {
        let cell = |between, within, overhead_images| {
            [PilotedCell { variance: VarianceComponents { between, within }, overhead_images }]
        };
        let found = SampleSize::cheapest(&cell(40.0, 1600.0, 10.0), 0.5, 10_000);
        assert!((18..=22).contains(&found.images_per_trial), "{found:?}, expected about 20");
        // 1.96^2 / 0.25 (40 + 1600 (1/20 - 1/10000)) = 1841.4.
        let near = SampleSize { trials: 1842, images_per_trial: 20 };
        assert!(found.image_evaluations().abs_diff(near.image_evaluations()) < 4_000, "{found:?}");
        let fixed = SampleSize::fixed(&cell(40.0, 1600.0, 10.0), 0.5, 10_000);
        assert_eq!(fixed, SampleSize { trials: 615, images_per_trial: 10_000 });
        // Trials alike: the fewest that an interval needs, and as many images as make up the rest.
        let alike = SampleSize::cheapest(&cell(0.0, 100.0, 0.0), 0.5, 10_000);
        assert!(alike.trials * alike.images_per_trial < 1_600 && alike.trials >= 50, "{alike:?}");
        // Exhaustively, the least cost is never above that of all images.
        for between in [0.0, 1e-3, 1.0, 100.0] {
            for within in [0.0, 10.0, 2500.0] {
                let cells = cell(between, within, 3.0);
                let [one, all] =
                    [SampleSize::cheapest(&cells, 0.5, 500), SampleSize::fixed(&cells, 0.5, 500)];
                assert!(one.image_evaluations() <= all.image_evaluations(), "{between}, {within}: {one:?}");
            }
        }
    }

    /// The nested estimators are unbiased: exhaustively, over all pairs of blocks of 2 of 4 images in two trials with known losses.
    #[test]
    fn components_are_unbiased() {
        let losses: [[f64; 4]; 2] = [[1.0, 1.0, 0.0, -1.0], [1.0, 0.0, 0.0, 0.0]];
        let blocks: Vec<[usize; 2]> = (0..4).flat_map(|a| (a + 1..4).map(move |b| [a, b])).collect();
        let counts = |y: &[f64; 4], block: [usize; 2]| {
            let count = |value: f64| block.iter().filter(|&&i| y[i] == value).count() as u64;
            trial(count(1.0), count(-1.0), 0)
        };
        let (mut within, mut of_drop, mut n) = (0.0, 0.0, 0.0);
        for first in &blocks {
            for second in &blocks {
                let pair = [counts(&losses[0], *first), counts(&losses[1], *second)];
                let found = VarianceComponents::of_trials(&pair, 2, 4).unwrap();
                within += found.within / 1e4;
                let drops = pair.each_ref().map(|t| t.block.unwrap().clean_correct as f64 - t.correct as f64);
                of_drop += (drops[0] - drops[1]).powi(2) / 2.0 / 4.0;
                n += 1.0;
            }
        }
        let variance = |y: &[f64; 4]| {
            let mean = y.iter().sum::<f64>() / 4.0;
            y.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / 3.0
        };
        let w = (variance(&losses[0]) + variance(&losses[1])) / 2.0;
        assert!((within / n - w).abs() < 1e-12, "{}, expected {w}", within / n);
        // Both trials have the mean 1/4, so that all variance of the drops is sampling.
        assert!((of_drop / n - w * (1.0 / 2.0 - 1.0 / 4.0)).abs() < 1e-12, "{}", of_drop / n);
    }
}
