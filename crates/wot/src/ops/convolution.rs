use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use zoo::Window;

use super::values::{output, read, slice, tensor};
use crate::conv::{Geometry, forward, input_gradient, weight_gradient};
use crate::kernel::Kernel;

/// Two-dimensional convolution (cross-correlation, as in every framework).
///
/// `x` is `[images, height, width, in_channels]`, `weight` is `[out_channels, in_channels / groups, kh,
/// kw]`; the result is `[images, oh, ow, out_channels]`. Both have gradients.
///
/// # Errors
/// Shapes that do not fit together, a window that does not fit into the image, `groups` that do not divide
/// the channels, `window.ceil`.
pub fn conv2d(x: &Tensor, weight: &Tensor, window: &Window, groups: usize) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&weight.contiguous()?, Conv2d { window: *window, groups })
}

/// y = x W^T, `[n, in]` and `[out, in]` to `[n, out]`.
///
/// # Errors
/// Shapes that do not fit together.
pub fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    // A 1x1 convolution of images of one pixel: same kernels, same promise of repeatability.
    let (n, features) = x.dims2()?;
    let (outputs, inputs) = weight.dims2()?;
    let x = x.reshape((n, 1, 1, features))?;
    let weight = weight.reshape((outputs, inputs, 1, 1))?;
    conv2d(&x, &weight, &Window::square(1, 1, 0), 1)?.reshape((n, outputs))
}

#[derive(Clone, Copy)]
struct Conv2d {
    window: Window,
    groups: usize,
}

impl Conv2d {
    fn geometry(&self, x: &Shape, weight: &Shape) -> Result<Geometry> {
        let (images, height, width, in_channels) = x.dims4()?;
        let (out_channels, group_in, kh, kw) = weight.dims4()?;
        let Window { kernel, stride, padding, ceil } = self.window;
        let fits = kernel == [kh, kw]
            && !ceil
            && stride.iter().all(|&s| s > 0)
            && height + 2 * padding[0] >= kh
            && width + 2 * padding[1] >= kw
            && kh * kw > 0
            && self.groups > 0
            && in_channels == group_in * self.groups
            && out_channels.is_multiple_of(self.groups)
            && images * in_channels * out_channels > 0;
        if !fits {
            bail!(
                "{:?} with {} groups does not take images {x:?} and weights {weight:?}",
                self.window,
                self.groups
            );
        }
        Ok(Geometry {
            images,
            input: [height, width],
            in_channels,
            output: self.window.output(height, width),
            out_channels,
            kernel,
            stride,
            padding,
            groups: self.groups,
        })
    }
}

impl CustomOp2 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let g = self.geometry(x_layout.shape(), weight_layout.shape())?;
        let y = forward(Kernel::fastest(), &g, slice(x, x_layout)?, slice(weight, weight_layout)?);
        output(y, (g.images, g.output[0], g.output[1], g.out_channels))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let g = self.geometry(x.shape(), weight.shape())?;
        let kernel = Kernel::fastest();
        let dy = dy.contiguous()?;
        read(&dy, |dy| {
            // The images themselves have no use for a gradient.
            let dx = if x.track_op() {
                let dx = read(weight, |weight| input_gradient(kernel, &g, dy, weight))?;
                Some(tensor(dx, x.shape())?)
            } else {
                None
            };
            let dw = read(x, |x| weight_gradient(kernel, &g, x, dy))?;
            Ok((dx, Some(tensor(dw, weight.shape())?)))
        })?
    }
}
