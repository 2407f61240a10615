use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::values::{output, read, slice, tensor};

/// ResNet's shortcut without parameters ([`zoo::Op::PadShortcut`]): every `stride`-th row and column,
/// `before` zero channels in front and `after` behind. NHWC to NHWC.
///
/// # Errors
/// A stride of 0, images without pixels.
pub fn pad_shortcut(x: &Tensor, stride: usize, before: usize, after: usize) -> Result<Tensor> {
    x.contiguous()?.apply_op1(PadShortcut { stride, before, after })
}

struct PadShortcut {
    stride: usize,
    before: usize,
    after: usize,
}

impl PadShortcut {
    /// The pixels that stay: where each lies in the input, in values.
    fn kept(&self, x: &Shape) -> Result<Vec<usize>> {
        let (images, height, width, channels) = x.dims4()?;
        if self.stride == 0 || x.elem_count() == 0 {
            bail!("a shortcut with stride {} does not take images {x:?}", self.stride);
        }
        let mut kept = Vec::new();
        for row in (0..images).flat_map(|n| (0..height).step_by(self.stride).map(move |y| n * height + y)) {
            kept.extend((0..width).step_by(self.stride).map(|x| (row * width + x) * channels));
        }
        Ok(kept)
    }
}

impl CustomOp1 for PadShortcut {
    fn name(&self) -> &'static str {
        "pad-shortcut"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let kept = self.kept(layout.shape())?;
        let (images, height, width, channels) = layout.shape().dims4()?;
        let x = slice(x, layout)?;
        let wide = self.before + channels + self.after;
        let mut y = vec![0.0; kept.len() * wide];
        for (y, from) in y.chunks_exact_mut(wide).zip(kept) {
            y[self.before..][..channels].copy_from_slice(&x[from..from + channels]);
        }
        output(y, (images, height.div_ceil(self.stride), width.div_ceil(self.stride), wide))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let kept = self.kept(x.shape())?;
        let channels = x.dim(3)?;
        let wide = self.before + channels + self.after;
        let dy = dy.contiguous()?;
        let dx = read(&dy, |dy| {
            let mut dx = vec![0.0; x.elem_count()];
            for (dy, to) in dy.chunks_exact(wide).zip(kept) {
                dx[to..to + channels].copy_from_slice(&dy[self.before..][..channels]);
            }
            dx
        })?;
        Ok(Some(tensor(dx, x.shape())?))
    }
}
