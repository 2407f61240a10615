//! Converts real weights to the levels that store them, with a scale that does not drift.
//!
//! # The scale
//!
//! Quantization takes a tensor's scale from its largest weight, 127 / max|w|. If training recomputed it in
//! every iteration, throttling would feed on itself: the largest weight, at a constrained position, is
//! clamped to level 63 and is no longer the largest. The scale grows; weights that were at level 63 are now
//! at level 100 and are clamped in turn; and so on, until the tensor has shrunk to its unconstrained
//! positions. Therefore **a tensor's scale is fixed once, from the initial weights**, kept in the trainer and
//! its state, and written into the int8 network unchanged.
//!
//! [`crate::Scale`] defines the rules for it.
//!
//! Weights that grow beyond the fixed range are clamped to level +-127 at every position. The real weights
//! are clamped too, so that none drifts so far that its gradient cannot bring it back.
//!
//! # Why the stored integers satisfy the constraint exactly
//!
//! [`level`] is the only conversion of a weight to an integer: in the forward pass, in throttling and in the
//! result. A throttled weight is set to `bound / scale`. Since the bound is an integer of at most 7 bits,
//! `bound / scale * scale` differs from it by a few parts in 10^7 and rounds to it.

use ecc::{BLOCK, Constraint};
use quant::{InvalidLevelsPerUnit, LevelsPerUnit, MAX_LEVEL};
use rayon::prelude::*;

use crate::Scale;
use crate::kernel::{Kernel, Loop};
use crate::scale::of_least_error;

/// Number of weights that one thread throttles at a time, in whole blocks of the constraint.
const CHUNK: usize = 1 << 14;

/// 1.5 * 2^23. Adding and subtracting it rounds a value below 2^22 to an integer, half to even, like
/// [`f32::round_ties_even`], with two instructions that every machine has.
const TO_INTEGER: f32 = 12_582_912.0;

/// Rounds half to even; `value` must be below 2^22.
#[inline(always)]
pub(crate) fn round(value: f32) -> f32 {
    value + TO_INTEGER - TO_INTEGER
}

/// Returns the level that stores a weight, like [`quant::QuantTensor::quantize`] but with a given scale.
/// Clamping before rounding gives the same level, since the bounds are integers.
pub(crate) fn level(weight: f32, scale: f32) -> i8 {
    let limit = f32::from(MAX_LEVEL);
    round((weight * scale).clamp(-limit, limit)) as i8
}

/// Returns all levels of a tensor at a scale, rounded half to even, in [-127, 127]; no constraint is applied.
pub fn levels(weights: &[f32], scale: LevelsPerUnit) -> Vec<i8> {
    weights.iter().map(|&weight| level(weight, scale.get())).collect()
}

/// Returns the scale of a tensor by a rule and for a constraint; 1 for a tensor of zeros.
///
/// # Errors
/// The weights are so small that the scale is not finite.
pub fn scale_of(
    weights: &[f32],
    rule: Scale,
    constraint: &Constraint,
) -> Result<LevelsPerUnit, InvalidLevelsPerUnit> {
    let largest = weights.iter().fold(0f32, |largest, weight| largest.max(weight.abs()));
    if largest == 0.0 {
        return Ok(LevelsPerUnit::ONE);
    }
    let of_largest = f32::from(MAX_LEVEL) / largest;
    LevelsPerUnit::new(match rule {
        Scale::Largest => of_largest,
        Scale::Clipped { deviations } => {
            let squares: f64 = weights.iter().map(|weight| f64::from(*weight).powi(2)).sum();
            let bound = deviations * (squares / weights.len() as f64).sqrt() as f32;
            f32::from(MAX_LEVEL) / bound.min(largest)
        }
        Scale::LeastError => of_least_error(weights, constraint),
    })
}

/// Returns the sum of the squared distances between weights and the nearest levels that the constraint
/// allows.
#[cfg(test)]
pub(crate) fn squared_error(weights: &[f32], scale: f32, constraint: &Constraint) -> f64 {
    let error = |(index, &weight): (usize, &f32)| {
        let [low, high] = bounds(constraint, index);
        let nearest = f32::from(level(weight, scale).clamp(low, high)) / scale;
        f64::from(weight - nearest).powi(2)
    };
    weights.iter().enumerate().map(error).sum()
}

/// Returns the number of weights whose level violates the constraint (the paper's large values).
pub(crate) fn count_outside(weights: &[f32], scale: LevelsPerUnit, constraint: &Constraint) -> usize {
    constraint.violations(&levels(weights, scale)).count()
}

/// Clamps every weight whose level violates the constraint, or that lies outside the scale's range; returns
/// the number of violations.
pub(crate) fn throttle(weights: &mut [f32], scale: LevelsPerUnit, constraint: &Constraint) -> usize {
    let (scale, limit) = (scale.get(), f32::from(MAX_LEVEL));
    let bounds: [[f32; 2]; BLOCK] =
        std::array::from_fn(|position| bounds(constraint, position).map(f32::from));
    let [low, high] = [0, 1].map(|side| bounds.map(|bounds| bounds[side]));
    let kernel = Kernel::fastest();
    let chunks = weights.par_chunks_mut(CHUNK);
    chunks.map(|weights| kernel.enter(Throttle { weights, scale, limit, low, high }) as usize).sum()
}

struct Throttle<'a> {
    weights: &'a mut [f32],
    scale: f32,
    limit: f32,
    low: [f32; BLOCK],
    high: [f32; BLOCK],
}

impl Loop for Throttle<'_> {
    /// Number of weights that violated the constraint.
    type Output = u32;

    #[inline(always)]
    fn run(self) -> u32 {
        let Self { scale, limit, low, high, .. } = self;
        let mut throttled = [0; BLOCK];
        for block in self.weights.chunks_mut(BLOCK) {
            let bounds = low.iter().zip(&high).zip(&mut throttled);
            for (weight, ((&low, &high), throttled)) in block.iter_mut().zip(bounds) {
                let scaled = *weight * scale;
                let stored = round(clamp(scaled, -limit, limit));
                let allowed = clamp(stored, low, high);
                let outside = allowed != stored;
                *throttled += u32::from(outside);
                *weight = if outside | (scaled.abs() > limit) { allowed / scale } else { *weight };
            }
        }
        throttled.iter().sum()
    }
}

/// [`f32::clamp`] without its check of the bounds, for loops.
#[inline(always)]
pub(crate) fn clamp(value: f32, low: f32, high: f32) -> f32 {
    let value = if value < low { low } else { value };
    if value > high { high } else { value }
}

/// Replaces the weights by the nearest point in the constraint's box, `[low / scale, high / scale]` by
/// position.
pub(crate) fn project(weights: &mut [f32], scale: LevelsPerUnit, constraint: &Constraint) {
    for (index, weight) in weights.iter_mut().enumerate() {
        let [low, high] = bounds(constraint, index).map(|bound| f32::from(bound) / scale.get());
        *weight = weight.clamp(low, high);
    }
}

/// Returns the smallest and largest level at a flat index; training never uses -128.
pub(crate) fn bounds(constraint: &Constraint, index: usize) -> [i8; 2] {
    let position = index % BLOCK;
    [constraint.low[position].max(-MAX_LEVEL), constraint.high[position]]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn per_unit(value: f32) -> LevelsPerUnit {
        LevelsPerUnit::new(value).unwrap()
    }

    /// Returns weights around every level and every tie, at every position, for a scale.
    fn weights(scale: f32) -> Vec<f32> {
        (-1200..1200).flat_map(|i| [i as f32 / 8.0 / scale; 8]).collect()
    }

    const NARROW: Constraint =
        Constraint { low: [-32, -32, -32, -32, -32, -32, -32, -64], high: [31, 31, 31, 31, 31, 31, 31, 63] };

    #[test]
    fn throttled_weights_are_stored_inside_for_every_scale() {
        // Scales of all magnitudes and mantissas, 1e-6 to 1e8.
        for exponent in -20..27 {
            for mantissa in [1.0, 1.000_000_1, 1.1, 1.25, 1.333_333, 1.5, 1.700_001, 1.999_999] {
                let scale = per_unit(mantissa * 2f32.powi(exponent));
                for constraint in [Constraint::WOT, NARROW, Constraint::NONE] {
                    let before = weights(scale.get());
                    let mut after = before.clone();
                    let outside = count_outside(&before, scale, &constraint);
                    assert_eq!(throttle(&mut after, scale, &constraint), outside);
                    // The integers equal the throttled integers of the weights before.
                    let mut expected = levels(&before, scale);
                    constraint.throttle(&mut expected);
                    assert_eq!(levels(&after, scale), expected, "scale {scale:?}");
                    assert_eq!(throttle(&mut after, scale, &constraint), 0, "scale {scale:?}");
                    assert!(after.iter().all(|w| (w * scale.get()).abs() < 127.001), "scale {scale:?}");
                }
            }
        }
    }

    #[test]
    fn weights_that_are_allowed_keep_their_value() {
        let mut after = vec![0.1234, -0.63, 0.634_9, 0.9];
        after.resize(8, 1.0);
        let before = after.clone();
        assert_eq!(throttle(&mut after, per_unit(100.0), &Constraint::WOT), 4);
        assert_eq!(after[..3], before[..3]);
        assert_eq!(after[3..], [0.63, 0.63, 0.63, 0.63, 1.0]);
    }

    #[test]
    fn scales_follow_their_rules() {
        let weights: Vec<f32> =
            (0..800).map(|i| if i == 3 { 1.0 } else { (i % 41) as f32 / 160.0 - 0.125 }).collect();
        let scale = |rule, constraint: Constraint| scale_of(&weights, rule, &constraint).unwrap().get();
        assert_eq!(scale(Scale::Largest, NARROW), 127.0);
        let [tight, loose] =
            [2.0, 100.0].map(|deviations| scale(Scale::Clipped { deviations }, Constraint::NONE));
        let squares: f32 = weights.iter().map(|w| w * w).sum();
        assert!((tight * 2.0 * (squares / 800.0).sqrt() - 127.0).abs() < 1e-2, "{tight}");
        assert_eq!(loose, 127.0);
        // All weights but one lie within 0.125: a fine scale for them is worth clamping that one.
        for constraint in [Constraint::NONE, Constraint::WOT, NARROW] {
            let best = scale(Scale::LeastError, constraint);
            let error = |scale| squared_error(&weights, scale, &constraint);
            assert!(error(best) <= error(127.0), "{best}");
            for factor in [0.1, 0.5, 0.8, 0.99, 1.01, 1.3, 2.0, 10.0] {
                assert!(error(best) <= 1.003 * error(best * factor), "{best} {factor}");
            }
        }
        let wide: Vec<f32> = (-64..64).map(|i| i as f32 / 64.0).collect();
        let narrow = scale_of(&wide, Scale::LeastError, &NARROW).unwrap().get();
        assert!((30.0..40.0).contains(&narrow), "most weights span [-32, 31] now: {narrow}");
        assert_eq!(scale_of(&[0.0; 8], Scale::LeastError, &NARROW), Ok(LevelsPerUnit::ONE));
        let error = scale_of(&[1e-40; 8], Scale::Largest, &NARROW).unwrap_err();
        assert_eq!(error.to_string(), "inf, expected a finite positive number");
    }

    #[test]
    fn a_projection_lies_in_the_box() {
        let mut after = vec![0.634; 8];
        project(&mut after, per_unit(100.0), &Constraint::WOT);
        assert_eq!(after, [0.63, 0.63, 0.63, 0.63, 0.63, 0.63, 0.63, 0.634]);
    }
}
