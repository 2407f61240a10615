use serde::{Deserialize, Serialize};

/// Condition under which a cell ends before the plan's last trial: at the end of the first unit after which the trials from the
/// first on fulfil it. The records alone decide it, in whatever order and by whichever process they are computed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "unknown stop rule, expected the keys `failures` and `drop_points`, or `half_width` alone"
)]
pub enum StopRule {
    /// Enough trials have failed.
    Failures(FailureRule),
    /// The mean drop is known well enough.
    HalfWidth(HalfWidthRule),
}

/// Ends a cell when enough trials have failed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailureRule {
    /// Number of failures that ends a cell.
    pub failures: u64,
    /// Accuracy drop, in points (percent of the images), from which on a trial is a failure.
    pub drop_points: f64,
}

impl FailureRule {
    /// Returns true if a trial fails that classifies `correct` of `images` images correctly, where the fault-free network
    /// classifies `clean_correct` correctly.
    pub fn is_failure(&self, clean_correct: u64, correct: u64, images: u64) -> bool {
        100.0 * (clean_correct as f64 - correct as f64) / images as f64 >= self.drop_points
    }
}

/// Ends a cell when the 95 % interval of its mean drop, by the normal distribution, is narrow enough.
///
/// A sample without a large drop is no evidence against one. Therefore no cell ends with fewer trials than [`HalfWidthRule::fewest_trials`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HalfWidthRule {
    /// Largest half width of the interval, in points.
    pub half_width: f64,
}

/// Two-sided 95 % of a normal distribution, in standard deviations.
const Z: f64 = 1.96;

/// Fewest trials of which a cell's variance is estimated.
const FEWEST_TRIALS: u64 = 50;

/// Trials of which none is lost, times the half width in points, that bound the mean drop by the half width: if none of 3 / p
/// trials loses anything, at 95 % confidence a trial loses with probability p at most (the rule of three), and 100 points at most.
const FEWEST_FOR_A_POINT: f64 = 300.0;

impl HalfWidthRule {
    /// Number of trials before which no cell ends: 50, and 300 for a half width of 1 point, 600 for 0.5 and so on. If none of them
    /// loses anything, the mean drop is at most the half width with 95 % confidence, even if a trial that loses, loses all. `weight`
    /// is the probability of the event under which trials are drawn, or 1.
    pub fn fewest_trials(&self, weight: f64) -> u64 {
        ((FEWEST_FOR_A_POINT * weight / self.half_width).ceil() as u64).max(FEWEST_TRIALS)
    }

    /// Writes [`HalfWidthRule::fewest_trials`] for the cells of a plan: a number, or a term if cells draw only `changed` trials, each
    /// with its own weight.
    pub fn fewest_trials_text(&self, changed: bool) -> String {
        match self.fewest_trials(1.0) {
            most if changed && most > FEWEST_TRIALS => format!("max({FEWEST_TRIALS}, {most} P(changed))"),
            most => most.to_string(),
        }
    }

    /// Returns true if a cell ends after these trials, the first of a cell, each on `images` images.
    pub fn is_reached(&self, drops: &DropSums, images: u64, weight: f64) -> bool {
        drops.trials >= self.fewest_trials(weight)
            && weight * drops.half_width() * 100.0 / images as f64 <= self.half_width
    }
}

/// Sums over the drops of trials, in images. They are exact, so that their order does not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropSums {
    trials: u64,
    sum: i128,
    squares: i128,
}

impl DropSums {
    /// Adds a trial that classifies `correct` images correctly, where the fault-free network classifies `clean_correct` correctly.
    pub fn add(&mut self, clean_correct: u64, correct: u64) {
        let drop = i128::from(clean_correct) - i128::from(correct);
        self.trials += 1;
        self.sum += drop;
        self.squares += drop * drop;
    }

    /// Adds the trials of other sums.
    pub fn join(&mut self, other: &Self) {
        self.trials += other.trials;
        self.sum += other.sum;
        self.squares += other.squares;
    }

    /// Half width of the 95 % interval of the mean, in images, by the normal distribution; infinite for fewer than two trials.
    pub fn half_width(&self) -> f64 {
        if self.trials < 2 {
            return f64::INFINITY;
        }
        let n = i128::from(self.trials);
        let variance = (n * self.squares - self.sum * self.sum) as f64 / (n * (n - 1)) as f64;
        Z * (variance / n as f64).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::{DropSums, FailureRule, HalfWidthRule, StopRule};

    #[test]
    fn each_rule_has_its_own_keys() {
        let read = |json: &str| serde_json::from_str::<StopRule>(json);
        let failures = FailureRule { failures: 2, drop_points: 0.5 };
        assert_eq!(read(r#"{"failures":2,"drop_points":0.5}"#).unwrap(), StopRule::Failures(failures));
        let half_width = StopRule::HalfWidth(HalfWidthRule { half_width: 0.5 });
        assert_eq!(read(r#"{"half_width":0.5}"#).unwrap(), half_width);
        assert_eq!(serde_json::to_string(&half_width).unwrap(), r#"{"half_width":0.5}"#);
        let error = read(r#"{"half_width":0.5,"failures":2}"#).unwrap_err().to_string();
        assert!(error.contains("`failures` and `drop_points`, or `half_width` alone"), "{error}");
    }

    /// Drops 0, 1, 2, ... 9 in turns, of 100 images: variance 8.25 n / (n - 1) images, and 1.96 sqrt(8.2580 / 1030) = 0.1755.
    #[test]
    fn a_cell_ends_when_its_interval_is_narrow_and_its_trials_are_many() {
        let mut drops = DropSums::default();
        assert_eq!(drops.half_width(), f64::INFINITY);
        (0..1030).for_each(|trial| drops.add(10, 10 - trial % 10));
        assert!((drops.half_width() - 0.175_505).abs() < 1e-5, "{}", drops.half_width());
        let rule = |half_width| HalfWidthRule { half_width };
        assert_eq!(rule(0.3).fewest_trials(1.0), 1000);
        assert_eq!([rule(0.3).fewest_trials(0.1), rule(0.3).fewest_trials(0.01)], [100, 50]);
        assert_eq!(
            [false, true].map(|changed| rule(0.3).fewest_trials_text(changed)),
            ["1000", "max(50, 1000 P(changed))"]
        );
        assert_eq!(rule(6.0).fewest_trials_text(true), "50");
        // Narrow enough from 0.176 points on, which needs 1705 trials; 0.3 needs 1000.
        assert!(rule(0.3).is_reached(&drops, 100, 1.0));
        assert!(!rule(0.176).is_reached(&drops, 100, 1.0));
        assert!(rule(0.176).is_reached(&drops, 100, 0.5));
        assert!(!rule(0.3).is_reached(&drops, 50, 1.0));
    }
}
