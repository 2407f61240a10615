use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use quant::{ActivationScale, MAX_LEVEL};
use rayon::prelude::*;

use super::values::{CHUNK, output, read, slice, tensor};
use crate::throttle::round;

/// `x` rounded to 8 bits as [`ActivationScale::quantize`] does, and back: any shape.
///
/// The gradient is the straight-through estimator's: 1 where `x` lies in the range of the scale (both ends
/// included), 0 where it was clamped.
///
/// # Errors
/// A tensor that is not f32 on the CPU.
pub fn fake_quantize_activation(x: &Tensor, scale: ActivationScale) -> Result<Tensor> {
    let (low, high) = scale.levels();
    let rounding = Rounding { scale: scale.levels_per_unit, low: f32::from(low), high: f32::from(high) };
    x.contiguous()?.apply_op1(FakeQuantize { rounding, clamps: true })
}

/// Weights rounded to levels `clamp(round_half_even(w * scale), -127, 127)`, and back: any shape; `scale`
/// in levels per unit, as in [`quant::QuantTensor`].
///
/// The gradient passes everywhere (straight-through estimator).
///
/// # Errors
/// A tensor that is not f32 on the CPU.
pub fn fake_quantize_weight(weight: &Tensor, scale: f32) -> Result<Tensor> {
    let high = f32::from(MAX_LEVEL);
    let rounding = Rounding { scale, low: -high, high };
    weight.contiguous()?.apply_op1(FakeQuantize { rounding, clamps: false })
}

#[derive(Clone, Copy)]
struct Rounding {
    /// Levels per unit.
    scale: f32,
    low: f32,
    high: f32,
}

impl Rounding {
    /// Clamping before rounding gives the same level, since the bounds are integers.
    fn apply(self, x: f32) -> f32 {
        round((x * self.scale).clamp(self.low, self.high)) / self.scale
    }

    fn holds(self, x: f32) -> bool {
        let level = x * self.scale;
        self.low <= level && level <= self.high
    }
}

struct FakeQuantize {
    rounding: Rounding,
    /// Whether the gradient is 0 outside the range.
    clamps: bool,
}

impl CustomOp1 for FakeQuantize {
    fn name(&self) -> &'static str {
        "fake-quantize"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut y = slice(x, layout)?.to_vec();
        let rounding = self.rounding;
        y.par_chunks_mut(CHUNK).for_each(|y| y.iter_mut().for_each(|y| *y = rounding.apply(*y)));
        output(y, layout.shape())
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dy = dy.contiguous()?;
        if !self.clamps {
            return Ok(Some(dy));
        }
        let rounding = self.rounding;
        let dx = read(x, |x| {
            read(&dy, |dy| {
                let mut dx = dy.to_vec();
                dx.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(dx, x)| {
                    dx.iter_mut().zip(x).for_each(|(dx, &x)| *dx = if rounding.holds(x) { *dx } else { 0.0 });
                });
                dx
            })
        })??;
        Ok(Some(tensor(dx, x.shape())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_the_scales_own() {
        for (max_abs, signed) in [(1.0, true), (3.7, false), (127.0, true), (255.0, false)] {
            let scale = ActivationScale::from_range(max_abs, signed);
            let (low, high) = scale.levels();
            let rounding =
                Rounding { scale: scale.levels_per_unit, low: f32::from(low), high: f32::from(high) };
            for step in -4000..4000 {
                let x = step as f32 / 1000.0 * max_abs;
                let expected = f32::from(scale.quantize(x)) / scale.levels_per_unit;
                assert_eq!(rounding.apply(x), expected, "{x} with {scale:?}");
            }
        }
    }
}
