use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::values;

/// Computes y = x * scale + shift, with a scale and a shift, `[c]`, for each channel of `[n, c, h, w]` or each feature of
/// `[n, c]`.
pub(super) fn per_channel(x: &Tensor, scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op3(scale, shift, PerChannel)
}

struct PerChannel;

impl CustomOp3 for PerChannel {
    fn name(&self) -> &'static str {
        "per-channel"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        scale: &CpuStorage,
        scale_layout: &Layout,
        shift: &CpuStorage,
        shift_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let plane = layout.shape().dims()[2..].iter().product();
        let channels = values(scale, scale_layout)?.iter().zip(values(shift, shift_layout)?).cycle();
        let x = values(x, layout)?;
        let mut y = Vec::with_capacity(x.len());
        for (plane, (scale, shift)) in x.chunks_exact(plane).zip(channels) {
            y.extend(plane.iter().map(|x| x * scale + shift));
        }
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        scale: &Tensor,
        shift: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let of_x = gradient.contiguous()?.apply_op3_no_bwd(scale, &shift.zeros_like()?, &PerChannel)?;
        let by_channel = |x: Tensor| x.transpose(0, 1)?.flatten_from(1)?.sum(1);
        let of_scale = scale.track_op().then(|| by_channel((gradient * x.detach())?)).transpose()?;
        Ok((Some(of_x), of_scale, Some(by_channel(gradient.clone())?)))
    }
}
