//! Finds the scale whose levels are nearest to the weights of a tensor.
//!
//! Let the *step* s be the size of a level: one over the scale. A weight of magnitude a whose sign allows
//! levels up to b is stored at the nearest of 0, s, 2 s, ..., b s. Its distance from that is a continuous,
//! piecewise linear function of s, whose slope has at most the magnitude of the level q(s); and levels can
//! only fall as the step grows. The error of the tensor, e(s) = (sum of squared distances)^(1/2), is the
//! length of the vector of distances, so that for s1 <= s <= s2
//!
//! ```text
//! e(s) >= (e(s1) + e(s2) - (s2 - s1) (sum of q(s1)^2)^(1/2)) / 2.
//! ```
//!
//! The search begins with one interval from step 0, at which every weight is stored as 0, to twice the
//! largest magnitude, beyond which every weight is stored as 0 as well; so the interval contains every useful
//! scale. The search halves the interval with the least bound until no bound is below the least error found,
//! up to [`TOLERANCE`]. Therefore **no scale has a squared error that is smaller by more than twice that
//! share**. Among the steps that give the same levels q, the one with the least error is (sum of q a) / (sum
//! of q^2); each evaluation of a step tries it too.
//!
//! Magnitudes are sorted once, with prefix sums. Evaluating a step is then a binary search for each level,
//! whatever the number of weights. All of this is a fixed sequence of IEEE operations, so every machine finds
//! the same scale.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use ecc::{BLOCK, Constraint};
use rayon::prelude::*;

use crate::throttle::bounds;

/// Share by which another scale may have a smaller error than the result; twice this share for the squared
/// error.
const TOLERANCE: f64 = 1e-3;

/// Share of the root of the sum of squared weights below which errors are considered equal, because scales
/// have 24 bits.
const RESOLUTION: f64 = 1e-6;

/// Distance of stored prefix sums, in magnitudes.
const STRIDE: usize = 64;

/// Returns the scale of least squared error, in levels per unit, for finite weights that are not all 0.
pub(crate) fn of_least_error(weights: &[f32], constraint: &Constraint) -> f32 {
    let tensor = Tensor::new(weights, constraint);
    // If all weights must be stored as 0, every scale is equal.
    let Some(largest) =
        tensor.groups.iter().filter_map(|group| group.values.last()).copied().reduce(f32::max)
    else {
        return 1.0;
    };
    let mut best = Best { step: f64::from(largest), square: tensor.square };
    let (start, end) = (tensor.at_zero(), tensor.at(2.0 * f64::from(largest)));
    let mut open = BinaryHeap::from([Interval::new(start, end)]);
    while let Some(Interval { start, end, .. }) =
        open.pop().filter(|interval| interval.may_hold_less(best, &tensor))
    {
        let middle = tensor.at((start.step + end.step) / 2.0);
        best.hear_of(&middle, &tensor);
        open.extend([Interval::new(start, middle), Interval::new(middle, end)]);
    }
    loop {
        let before = best;
        best.hear_of(&tensor.at(best.step), &tensor);
        if best.square >= before.square {
            return (1.0 / before.step) as f32;
        }
    }
}

/// The weights of a tensor, grouped by the levels they allow.
struct Tensor {
    groups: Vec<Group>,
    /// Sum of all squared weights.
    square: f64,
}

/// Magnitudes of the weights whose sign and position allow the same levels, ascending.
struct Group {
    /// The largest level.
    bound: u8,
    values: Vec<f32>,
    /// Prefix sums: the sum of the values before each multiple of [`STRIDE`].
    sums: Vec<f64>,
    sum: f64,
}

/// The levels and the error at a step.
#[derive(Clone, Copy)]
struct Look {
    step: f64,
    /// Sum of q^2.
    levels: f64,
    /// Sum of q times the magnitude.
    product: f64,
    /// e(s).
    error: f64,
}

#[derive(Clone, Copy)]
struct Best {
    step: f64,
    /// Squared error at the best step.
    square: f64,
}

struct Interval {
    start: Look,
    end: Look,
    /// Lower bound of the error of all steps in the interval.
    least: f64,
}

impl Tensor {
    fn new(weights: &[f32], constraint: &Constraint) -> Self {
        let mut magnitudes: BTreeMap<u8, Vec<f32>> = BTreeMap::new();
        let bounds: [[i8; 2]; BLOCK] = std::array::from_fn(|position| bounds(constraint, position));
        for (block, bounds) in weights.chunks(BLOCK).map(|block| (block, bounds)) {
            for (weight, [low, high]) in block.iter().zip(bounds).filter(|(weight, _)| **weight != 0.0) {
                let bound = if *weight > 0.0 { high } else { -low };
                magnitudes.entry(bound.max(0).cast_unsigned()).or_default().push(weight.abs());
            }
        }
        let square = weights.iter().map(|weight| f64::from(*weight).powi(2)).sum();
        magnitudes.remove(&0);
        Self {
            groups: magnitudes.into_iter().map(|(bound, values)| Group::new(bound, values)).collect(),
            square,
        }
    }

    fn at(&self, step: f64) -> Look {
        let (mut levels, mut product) = (0.0, 0.0);
        for group in &self.groups {
            for level in 1..=group.bound {
                let below = group.below((f64::from(level) - 0.5) * step);
                if below == group.values.len() {
                    break;
                }
                // Weights at this level or above; the sums over levels give q, q^2 and q times the magnitude of each weight.
                levels += (2.0 * f64::from(level) - 1.0) * (group.values.len() - below) as f64;
                product += group.sum - group.sum_of(below);
            }
        }
        let square = self.square - 2.0 * step * product + step * step * levels;
        Look { step, levels, product, error: square.max(0.0).sqrt() }
    }

    /// Returns the limit at step 0 from above: every weight has its largest level.
    fn at_zero(&self) -> Look {
        let of = |group: &Group| f64::from(group.bound).powi(2) * group.values.len() as f64;
        let levels = self.groups.iter().map(of).sum();
        Look { step: 0.0, levels, product: 0.0, error: self.square.sqrt() }
    }
}

impl Group {
    fn new(bound: u8, mut values: Vec<f32>) -> Self {
        values.par_sort_unstable_by(f32::total_cmp);
        let mut sum = 0.0;
        let sums = values.chunks(STRIDE).map(|chunk| {
            let before = sum;
            sum += sum_of(chunk);
            before
        });
        Self { sums: sums.collect(), bound, values, sum }
    }

    /// Returns the number of values below a limit.
    fn below(&self, limit: f64) -> usize {
        self.values.partition_point(|&value| f64::from(value) < limit)
    }

    /// Returns the sum of the first `count` values; `count` must be less than their number.
    fn sum_of(&self, count: usize) -> f64 {
        let chunk = count / STRIDE;
        self.sums[chunk] + sum_of(&self.values[chunk * STRIDE..count])
    }
}

fn sum_of(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value)).sum()
}

impl Best {
    /// Replaces the best step by the best one for the levels of `look`, if its error is smaller.
    fn hear_of(&mut self, look: &Look, tensor: &Tensor) {
        if look.levels == 0.0 {
            return;
        }
        let square = (tensor.square - look.product * look.product / look.levels).max(0.0);
        if square < self.square {
            *self = Self { step: look.product / look.levels, square };
        }
    }
}

impl Interval {
    fn new(start: Look, end: Look) -> Self {
        let reach = (end.step - start.step) * start.levels.sqrt();
        Self { start, end, least: ((start.error + end.error - reach) / 2.0).max(0.0) }
    }

    fn may_hold_less(&self, best: Best, tensor: &Tensor) -> bool {
        let error = best.square.sqrt();
        self.least < error - (TOLERANCE * error).max(RESOLUTION * tensor.square.sqrt())
    }

    /// Returns the order of the heap: least bound first, then the larger scale.
    fn key(&self) -> Reverse<(u64, u64)> {
        // The bits of non-negative floats order like the numbers.
        Reverse((self.least.to_bits(), self.start.step.to_bits()))
    }
}

impl PartialEq for Interval {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Interval {}

impl PartialOrd for Interval {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Interval {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::throttle::squared_error;

    /// Returns the least squared error of any scale. Between two steps at which a weight changes its level,
    /// all levels are constant, and the best step for them is known.
    fn least(weights: &[f32], constraint: &Constraint) -> f64 {
        let bounded: Vec<(f64, f64)> = weights
            .iter()
            .enumerate()
            .map(|(index, &weight)| {
                let [low, high] = bounds(constraint, index).map(f64::from);
                (f64::from(weight.abs()), if weight > 0.0 { high } else { -low })
            })
            .collect();
        let mut ends: Vec<f64> = bounded
            .iter()
            .flat_map(|&(value, bound)| (1..=bound as u32).map(move |level| value / (f64::from(level) - 0.5)))
            .chain([0.0])
            .collect();
        ends.sort_by(f64::total_cmp);
        let squares: f64 = bounded.iter().map(|(value, _)| value * value).sum();
        let error = |ends: &[f64]| {
            let middle = (ends[0] + ends[1]) / 2.0;
            let level = |&(value, bound): &(f64, f64)| (value / middle).round_ties_even().min(bound);
            let product: f64 = bounded.iter().map(|weight| level(weight) * weight.0).sum();
            let levels: f64 = bounded.iter().map(|weight| level(weight).powi(2)).sum();
            let step = (product / levels.max(1.0)).clamp(ends[0], ends[1]);
            squares - 2.0 * step * product + step * step * levels
        };
        ends.windows(2).filter(|ends| ends[0] < ends[1]).map(error).fold(squares, f64::min)
    }

    const FOUR_BITS: Constraint = Constraint { low: [-8; 8], high: [7; 8] };
    const UNEVEN: Constraint =
        Constraint { low: [-2, -32, 0, -1, -64, -128, -8, -128], high: [1, 31, 0, 1, 63, 127, 7, 127] };

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// Weights have all sizes and distributions: close together, far apart, with outliers, or with few
        /// distinct values.
        #[test]
        fn no_scale_has_a_smaller_error(
            small in proptest::collection::vec(-1f32..1.0, 1..40),
            power in 0u32..5,
            factor in prop_oneof![Just(1f32), Just(1e-6), Just(1e6)],
            outlier in prop_oneof![Just(0f32), Just(3.0), Just(-300.0), Just(1e4)],
            grid in prop_oneof![Just(0f32), Just(3.0)],
        ) {
            let shape = |value: f32| {
                let value = value.powi(power as i32 * 2 + 1);
                factor * if grid > 0.0 { (value * grid).round() } else { value }
            };
            let weights: Vec<f32> =
                small.iter().map(|&value| shape(value)).chain([outlier * factor, factor]).collect();
            for constraint in [Constraint::NONE, Constraint::WOT, FOUR_BITS, UNEVEN] {
                let scale = of_least_error(&weights, &constraint);
                let (found, least) = (squared_error(&weights, scale, &constraint), least(&weights, &constraint));
                // Weights and levels have 24 bits, and errors below RESOLUTION are considered equal.
                let squares: f64 = weights.iter().map(|weight| f64::from(*weight).powi(2)).sum();
                let rounding = 4.0 * RESOLUTION * (found * squares).sqrt() + 10.0 * RESOLUTION.powi(2) * squares;
                prop_assert!(found <= (1.0 + 2.1 * TOLERANCE) * least + rounding, "{found} at {scale}, least {least}");
                prop_assert!(found >= least - rounding, "{found} at {scale}, below {least}: the test is wrong");
            }
        }
    }

    /// If one weight is far larger than all others, it should be clipped. An earlier search did not try
    /// scales that far from the scale of the largest weight.
    #[test]
    fn the_scale_may_be_far_from_that_of_the_largest_weight() {
        let weights: Vec<f32> = (0..4096).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect();
        for (outliers, factor) in [(0, 1.0), (1, 20.0), (1, 300.0)] {
            let mut weights = weights.clone();
            weights[..outliers].fill(factor);
            let scale = of_least_error(&weights, &FOUR_BITS);
            let (found, least) = (squared_error(&weights, scale, &FOUR_BITS), least(&weights, &FOUR_BITS));
            assert!(
                found <= (1.0 + 2.0 * TOLERANCE) * least,
                "{outliers} of {factor}: {found}, least {least}"
            );
        }
    }

    /// The scale has the same bits on every machine and for any number of threads.
    #[test]
    fn a_scale_is_the_same_everywhere() {
        let weights: Vec<f32> =
            (0..10_000u64).map(|i| (i * i * 2_654_435_761 % 1_000_003) as f32 / 500_000.0 - 1.0).collect();
        let of = |constraint| of_least_error(&weights, &constraint).to_bits();
        let scales = [Constraint::NONE, Constraint::WOT, FOUR_BITS].map(of);
        assert_eq!(scales, [1_123_978_545, 1_115_533_629, 1_089_902_411]);
    }
}
