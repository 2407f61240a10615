use quant::{ActivationScale, LevelsPerUnit, MAX_LEVEL};
use rayon::prelude::*;

use crate::kernel::{Kernel, Loop};
use crate::throttle::{clamp, round};

/// Number of values that one task takes.
const CHUNK: usize = 1 << 15;

/// Rounds weights to levels `clamp(round_half_even(w * scale), -127, 127)` and back, and writes them into
/// `rounded`. The gradient passes everywhere (straight-through estimator), so there is no backward pass.
///
/// # Panics
/// Panics if the lengths differ.
pub fn fake_quantize_weight(weights: &[f32], scale: LevelsPerUnit, rounded: &mut [f32]) {
    assert_eq!(weights.len(), rounded.len(), "a result for each weight");
    let high = f32::from(MAX_LEVEL);
    let (rounding, kernel) = (Rounding { scale: scale.get(), low: -high, high }, Kernel::fastest());
    rounded.par_chunks_mut(CHUNK).zip(weights.par_chunks(CHUNK)).for_each(|(y, x)| {
        kernel.enter(Apply { x, y, rounding });
    });
}

struct Apply<'a> {
    x: &'a [f32],
    y: &'a mut [f32],
    rounding: Rounding,
}

impl Loop for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (y, x) in self.y.iter_mut().zip(self.x) {
            *y = self.rounding.apply(*x);
        }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Rounding {
    /// Levels per unit.
    scale: f32,
    low: f32,
    high: f32,
}

impl Rounding {
    /// A placeholder for code paths that do not round.
    pub(super) const NONE: Self = Self { scale: 1.0, low: 0.0, high: 0.0 };

    pub(super) fn of(scale: ActivationScale) -> Self {
        let (low, high) = scale.levels();
        Self { scale: scale.levels_per_unit.get(), low: f32::from(low), high: f32::from(high) }
    }

    /// Rounds a value. Clamping before rounding gives the same level, since the bounds are integers.
    #[inline(always)]
    pub(super) fn apply(self, x: f32) -> f32 {
        round(clamp(x * self.scale, self.low, self.high)) / self.scale
    }

    #[inline(always)]
    pub(super) fn holds(self, x: f32) -> bool {
        let level = x * self.scale;
        (self.low <= level) & (level <= self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_equals_that_of_the_scale() {
        for (max_abs, signed) in [(1.0, true), (3.7, false), (127.0, true), (255.0, false)] {
            let scale = ActivationScale::from_range(max_abs, signed);
            let rounding = Rounding::of(scale);
            for step in -4000..4000 {
                let x = step as f32 / 1000.0 * max_abs;
                let expected = f32::from(scale.quantize(x)) / scale.levels_per_unit.get();
                assert_eq!(rounding.apply(x), expected, "{x} with {scale:?}");
            }
        }
    }
}
