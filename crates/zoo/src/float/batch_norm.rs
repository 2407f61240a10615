use candle_core::{Result, Tensor};
use candle_nn::ModuleT;

use super::per_channel::per_channel;

/// Batch normalization: candle's in training, one multiplication and one addition a value in inference. Candle's inference
/// makes four passes over the values (5 to 173 times the time) and rounds differently.
pub(super) struct BatchNorm(pub(super) candle_nn::BatchNorm);

impl ModuleT for BatchNorm {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let Self(norm) = self;
        if train {
            return norm.forward_t(x, true);
        }
        let (weight, bias) = norm.weight_and_bias().expect("`batch_norm` makes both");
        let scale = (weight / (norm.running_var().detach() + norm.eps())?.sqrt()?)?;
        let shift = (bias - (norm.running_mean().detach() * &scale)?)?;
        per_channel(x, &scale, &shift)
    }
}
