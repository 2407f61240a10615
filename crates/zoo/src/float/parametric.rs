use candle_core::{Result, Tensor};

use super::activation::Activation;
use super::per_channel::per_channel;

/// Computes x where it is positive and x times the slope, `[c]`, of its channel elsewhere, for `[n, c, h, w]` or `[n, c]`.
pub(super) fn parametric(x: &Tensor, slope: &Tensor) -> Result<Tensor> {
    let x = x.contiguous()?;
    let positive = x.apply_op1(Activation::Relu)?;
    let negative = x.neg()?.apply_op1(Activation::Relu)?;
    super::sum::sum(&positive, &per_channel(&negative, &slope.neg()?, &slope.zeros_like()?)?)
}
