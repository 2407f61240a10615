//! Convolutions: candle's product of the weights with unfolded windows.
//!
//! Candle's own convolution unfolds windows value by value, in strides of its tile. It takes 2 to 57 times the time, one
//! stride and one padding for both axes, and its gradient fails on some images that are not square.
//!
//! In a depthwise convolution each product would be of a single row. Where no gradient is wanted, it adds a multiple of
//! the input for each position of the window instead.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use candle_nn::init::{DEFAULT_KAIMING_NORMAL, Init};
use candle_nn::{Module, VarBuilder};
use graph::{Conv, Window};

use super::per_channel::per_channel;
use super::{flat, values};

/// Two-dimensional convolution with groups, dilation, and a stride and padding for each axis.
pub(super) struct Convolution {
    /// OIHW where it is a variable, which a step of training changes; otherwise laid out by [`matrices`].
    weight: Tensor,
    bias: Option<Tensor>,
    window: Window,
    groups: usize,
}

impl Convolution {
    /// Reads `weight` (OIHW) and, if the convolution has one, `bias` of a convolution that reads `inputs` channels.
    pub(super) fn new(inputs: usize, conv: &Conv, variables: VarBuilder) -> Result<Self> {
        let &Conv { channels: outputs, groups, bias, kernel: [height, width], .. } = conv;
        let shape = (outputs, inputs / groups, height, width);
        let weight = variables.get_with_hints(shape, "weight", DEFAULT_KAIMING_NORMAL)?;
        let weight = if weight.track_op() { weight } else { matrices(&weight, groups)? };
        let bound = 1.0 / ((inputs / groups * height * width) as f64).sqrt();
        let uniform = Init::Uniform { lo: -bound, up: bound };
        let bias = bias.then(|| variables.get_with_hints(outputs, "bias", uniform)).transpose()?;
        Ok(Self { weight, bias, window: conv.window(), groups })
    }
}

impl Module for Convolution {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let Self { weight, bias, window, groups } = self;
        let (n, channels, height, width) = x.dims4()?;
        let [rows, columns] = window.output(height, width);
        if weight.rank() == 3 && !x.track_op() && *groups == channels && weight.dims3()?.1 == 1 {
            let op = Depthwise {
                window: *window,
                weights: flat(weight)?,
                bias: bias.as_ref().map(flat).transpose()?,
            };
            return x.contiguous()?.apply_op1_no_bwd(&op);
        }
        let unfolded = match *window == Window::square(1, 1, 0) {
            true => x.reshape((n * groups, channels / groups, height * width))?,
            false => x.contiguous()?.apply_op1(Unfold { window: *window, groups: *groups })?,
        };
        let weight = if weight.rank() == 4 { matrices(weight, *groups)? } else { weight.clone() };
        let (_, outputs, terms) = weight.dims3()?;
        let weight = match groups {
            1 => weight.broadcast_as((n, outputs, terms))?,
            _ => weight.repeat((n, 1, 1))?,
        };
        let y = weight.matmul(&unfolded)?.reshape((n, groups * outputs, rows, columns))?;
        match bias {
            Some(bias) => per_channel(&y, &bias.ones_like()?, bias),
            None => Ok(y),
        }
    }
}

/// Weights OIHW as one matrix a group: `[groups, O / groups, H * W * I]`.
fn matrices(weight: &Tensor, groups: usize) -> Result<Tensor> {
    weight.permute((0, 2, 3, 1))?.reshape((groups, weight.dim(0)? / groups, ()))
}

/// A depthwise convolution: `[n, c, h, w]` to `[n, c, rows, columns]`.
struct Depthwise {
    window: Window,
    /// The kernels of the channels, one after the other.
    weights: Vec<f32>,
    /// A summand for each channel.
    bias: Option<Vec<f32>>,
}

impl CustomOp1 for Depthwise {
    fn name(&self) -> &'static str {
        "depthwise"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, channels, height, width) = layout.shape().dims4()?;
        let [rows, columns] = self.window.output(height, width);
        let (right, terms) = (self.window.stride[1], self.window.kernel.iter().product::<usize>());
        let mut planes = vec![0.0; n * channels * rows * columns];
        let images = values(storage, layout)?.chunks_exact(height * width);
        for (i, (values, plane)) in images.zip(planes.chunks_exact_mut(rows * columns)).enumerate() {
            let channel = i % channels;
            if let Some(bias) = &self.bias {
                plane.fill(bias[channel]);
            }
            let weights = &self.weights[channel * terms..][..terms];
            Unfold { window: self.window, groups: 1 }.each_run([1, height, width], |first, places| {
                let weight = weights[places.start / (rows * columns)];
                let sums = &mut plane[places.start % (rows * columns)..][..places.len()];
                if right == 1 {
                    let read = &values[first..][..sums.len()];
                    sums.iter_mut().zip(read).for_each(|(sum, value)| *sum += weight * value);
                } else {
                    let read = values[first..].iter().step_by(right);
                    sums.iter_mut().zip(read).for_each(|(sum, value)| *sum += weight * value);
                }
            });
        }
        Ok((CpuStorage::F32(planes), (n, channels, rows, columns).into()))
    }
}

/// `[n, c, h, w]` to `[n * groups, kernel * c / groups, rows * columns]`: for each place in a window, and each
/// channel, the values that all windows hold there, 0 outside the input.
#[derive(Clone, Copy)]
pub(super) struct Unfold {
    pub(super) window: Window,
    pub(super) groups: usize,
}

impl Unfold {
    /// Calls `visit` with each run of values that both tensors hold, of an image of one group: the place of its first value
    /// in the image, from where the others follow in steps of the stride, and the places of the run among the unfolded.
    fn each_run(&self, [channels, height, width]: [usize; 3], mut visit: impl FnMut(usize, Range<usize>)) {
        let Self { window, .. } = self;
        let [rows, columns] = window.output(height, width);
        let [down, right] = window.stride;
        for term in 0..window.kernel.iter().product::<usize>() * channels {
            let (place, channel) = (term / channels, term % channels);
            let [below, beside] = window.dilation;
            let at = [place / window.kernel[1] * below, place % window.kernel[1] * beside];
            let inside = outputs_inside(window, 1, at[1], width, columns);
            if inside.is_empty() {
                continue;
            }
            let first = inside.start * right + at[1] - window.padding[1];
            for row in outputs_inside(window, 0, at[0], height, rows) {
                let line = channel * height + row * down + at[0] - window.padding[0];
                let begin = (term * rows + row) * columns;
                visit(line * width + first, begin + inside.start..begin + inside.end);
            }
        }
    }

    /// Channels of a group, height and width of an image, and the values that all its windows hold.
    fn sizes(&self, shape: &Shape) -> Result<([usize; 3], usize)> {
        let (_, channels, height, width) = shape.dims4()?;
        let channels = channels / self.groups;
        let windows: usize = self.window.output(height, width).iter().product();
        Ok(([channels, height, width], self.window.kernel.iter().product::<usize>() * channels * windows))
    }
}

impl CustomOp1 for Unfold {
    fn name(&self) -> &'static str {
        "unfold"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, _, height, width) = layout.shape().dims4()?;
        let (image, size) = self.sizes(layout.shape())?;
        let windows: usize = self.window.output(height, width).iter().product();
        let right = self.window.stride[1];
        let mut unfolded = vec![0.0; n * self.groups * size];
        let images = values(storage, layout)?.chunks_exact(image.iter().product());
        for (values, unfolded) in images.zip(unfolded.chunks_exact_mut(size)) {
            self.each_run(image, |first, places| {
                let found = &mut unfolded[places];
                if right == 1 {
                    found.copy_from_slice(&values[first..first + found.len()]);
                } else {
                    let read = values[first..].iter().step_by(right);
                    found.iter_mut().zip(read).for_each(|(found, value)| *found = *value);
                }
            });
        }
        Ok((CpuStorage::F32(unfolded), (n * self.groups, size / windows, windows).into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (image, size) = self.sizes(x.shape())?;
        let mut of_x = vec![0.0; x.elem_count()];
        let images = of_x.chunks_exact_mut(image.iter().product());
        for (of_image, gradients) in images.zip(flat(gradient)?.chunks_exact(size)) {
            self.each_run(image, |first, places| {
                let read = of_image[first..].iter_mut().step_by(self.window.stride[1]);
                read.zip(&gradients[places]).for_each(|(of_value, gradient)| *of_value += gradient);
            });
        }
        Tensor::from_vec(of_x, x.shape(), x.device()).map(Some)
    }
}

/// The outputs along `axis`, of `outputs` in all, whose window holds a value of an input of `size` at distance `at` from
/// its begin.
fn outputs_inside(window: &Window, axis: usize, at: usize, size: usize, outputs: usize) -> Range<usize> {
    let (stride, padding) = (window.stride[axis], window.padding[axis]);
    let begin = padding.saturating_sub(at).div_ceil(stride);
    let end = (size + padding).saturating_sub(at).div_ceil(stride).min(outputs);
    begin.min(end)..end
}
