use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::channel_sums::channel_sums;
use super::values::{output, read, slice, tensor};

/// Adds a bias for each channel: `x` is `[.., channels]`, `bias` is `[channels]`.
///
/// # Errors
/// A bias of another length than the last dimension.
pub fn add_bias(x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op2(bias, AddBias)
}

struct AddBias;

impl CustomOp2 for AddBias {
    fn name(&self) -> &'static str {
        "add-bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, bias) = (slice(x, x_layout)?, slice(bias, bias_layout)?);
        if bias.is_empty() || x_layout.dims().last() != Some(&bias.len()) {
            bail!("a bias of {} values does not fit {:?}", bias.len(), x_layout.shape());
        }
        let mut y = x.to_vec();
        y.par_chunks_mut(bias.len() * 64).for_each(|pixels| {
            for pixel in pixels.chunks_exact_mut(bias.len()) {
                pixel.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
            }
        });
        output(y, x_layout.shape())
    }

    fn bwd(
        &self,
        _x: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let channels = bias.elem_count();
        let dy = dy.contiguous()?;
        let [sums] = read(&dy, |dy| {
            channel_sums(dy.len(), channels, |range, [sums]| {
                for pixel in dy[range].chunks_exact(channels) {
                    sums.iter_mut().zip(pixel).for_each(|(sum, dy)| *sum += dy);
                }
            })
        })?;
        let sums = sums.into_iter().map(|sum| sum as f32).collect();
        Ok((Some(dy), Some(tensor(sums, channels)?)))
    }
}
