//! The loops of the executor, as custom operations on candle's tensors.
//!
//! candle multiplies matrices well. Its convolution spends most of its time on unfolding windows, its broadcasts
//! walk strides value by value, and its windows take one stride and one padding for both axes. Written here, the
//! loops know the layout, are optimized with this crate, and leave candle itself to be compiled fast (see the
//! profiles of the workspace).

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};

use crate::graph::Window;

/// The values of a tensor that lies in one piece.
fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("a tensor in pieces") };
    Ok(&storage.as_slice::<f32>()?[start..end])
}

/// `[n, c, h, w]` to `[n * groups, kernel * c / groups, rows * columns]`: for each place in a window, and each
/// channel, the values found there by all windows, 0 outside the input. A convolution is the product of its weights
/// with this.
pub(super) struct Unfold {
    pub(super) window: Window,
    pub(super) groups: usize,
}

impl CustomOp1 for Unfold {
    fn name(&self) -> &'static str {
        "unfold"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let Self { window, groups } = self;
        let (n, channels, height, width) = layout.shape().dims4()?;
        let [rows, columns] = window.output(height, width);
        let [_, kernel_width] = window.kernel;
        let [down, right] = window.stride;
        let (places, channels) = (window.kernel.iter().product::<usize>(), channels / groups);
        let terms = places * channels;
        let mut unfolded = vec![0.0; n * groups * terms * rows * columns];
        let images = values(storage, layout)?.chunks_exact(channels * height * width);
        for (image, unfolded) in images.zip(unfolded.chunks_exact_mut(terms * rows * columns)) {
            for (term, found) in unfolded.chunks_exact_mut(rows * columns).enumerate() {
                let (place, channel) = (term / channels, term % channels);
                let [below, beside] = window.dilation;
                let at = [place / kernel_width * below, place % kernel_width * beside];
                let plane = &image[channel * height * width..][..height * width];
                let inside = outputs_inside(window, 1, at[1], width, columns);
                if inside.is_empty() {
                    continue;
                }
                for row in outputs_inside(window, 0, at[0], height, rows) {
                    let line = &plane[(row * down + at[0] - window.padding[0]) * width..][..width];
                    let found = &mut found[row * columns..][inside.clone()];
                    let first = inside.start * right + at[1] - window.padding[1];
                    if right == 1 {
                        found.copy_from_slice(&line[first..first + found.len()]);
                    } else {
                        let read = line[first..].iter().step_by(right);
                        found.iter_mut().zip(read).for_each(|(found, value)| *found = *value);
                    }
                }
            }
        }
        Ok((CpuStorage::F32(unfolded), (n * groups, terms, rows * columns).into()))
    }
}

/// The outputs along `axis`, of `outputs` in all, whose window has the value `at` from its begin inside an input of
/// `size`.
fn outputs_inside(
    window: &Window,
    axis: usize,
    at: usize,
    size: usize,
    outputs: usize,
) -> std::ops::Range<usize> {
    let (stride, padding) = (window.stride[axis], window.padding[axis]);
    let begin = padding.saturating_sub(at).div_ceil(stride);
    let end = (size + padding).saturating_sub(at).div_ceil(stride).min(outputs);
    begin.min(end)..end
}

/// The largest value of each window that lies inside the input.
pub(super) struct MaxPool(pub(super) Window);

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        "max-pool"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        pool(&self.0, storage, layout, f32::NEG_INFINITY, f32::max, |largest, _| largest)
    }
}

/// The mean of each window: over the values inside the input, or over all, the padding being 0.
pub(super) struct AvgPool {
    pub(super) window: Window,
    pub(super) count_include_pad: bool,
}

impl CustomOp1 for AvgPool {
    fn name(&self) -> &'static str {
        "avg-pool"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let whole = self.window.kernel.iter().product();
        pool(
            &self.window,
            storage,
            layout,
            0.0,
            |sum, x| sum + x,
            |sum, inside| sum / if self.count_include_pad { whole } else { inside } as f32,
        )
    }
}

/// Folds the values of each window that lie inside the input, and finishes with their number.
fn pool(
    window: &Window,
    storage: &CpuStorage,
    layout: &Layout,
    start: f32,
    fold: impl Fn(f32, f32) -> f32,
    finish: impl Fn(f32, usize) -> f32,
) -> Result<(CpuStorage, Shape)> {
    let (n, channels, height, width) = layout.shape().dims4()?;
    let [rows, columns] = window.output(height, width);
    let mut pooled = Vec::with_capacity(n * channels * rows * columns);
    for plane in values(storage, layout)?.chunks_exact(height * width) {
        for row in 0..rows {
            let lines = window.inside(0, row, height);
            for column in 0..columns {
                let across = window.inside(1, column, width);
                let mut value = start;
                for line in lines.clone() {
                    value =
                        plane[line * width..][across.clone()].iter().fold(value, |value, x| fold(value, *x));
                }
                pooled.push(finish(value, lines.len() * across.len()));
            }
        }
    }
    Ok((CpuStorage::F32(pooled), (n, channels, rows, columns).into()))
}

/// y = x * scale + shift, with a scale and a shift for each channel of `[n, c, h, w]` or each feature of `[n, f]`.
pub(super) struct PerChannel<'a> {
    pub(super) scale: &'a [f32],
    pub(super) shift: &'a [f32],
}

impl CustomOp1 for PerChannel<'_> {
    fn name(&self) -> &'static str {
        "per-channel"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let plane = layout.shape().dims()[2..].iter().product();
        let channels = self.scale.iter().zip(self.shift).cycle();
        let x = values(storage, layout)?;
        let mut y = Vec::with_capacity(x.len());
        for (plane, (scale, shift)) in x.chunks_exact(plane).zip(channels) {
            y.extend(plane.iter().map(|x| x * scale + shift));
        }
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }
}

/// A function of each value.
pub(super) struct Each<F>(pub(super) F);

impl<F: Fn(f32) -> f32> CustomOp1 for Each<F> {
    fn name(&self) -> &'static str {
        "each"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let results = values(storage, layout)?.iter().map(|&x| (self.0)(x)).collect();
        Ok((CpuStorage::F32(results), layout.shape().clone()))
    }
}

/// The sum of two tensors of one shape.
pub(super) struct Sum;

impl CustomOp2 for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn cpu_fwd(
        &self,
        left: &CpuStorage,
        left_layout: &Layout,
        right: &CpuStorage,
        right_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let pairs = values(left, left_layout)?.iter().zip(values(right, right_layout)?);
        Ok((CpuStorage::F32(pairs.map(|(a, b)| a + b).collect()), left_layout.shape().clone()))
    }
}

/// Weights as matrices, one a group: `[groups, o / groups, h * w * i]`.
pub(super) fn convolution(x: &Tensor, weight: &Tensor, window: &Window) -> Result<Tensor> {
    let (n, _, height, width) = x.dims4()?;
    let (groups, outputs, terms) = weight.dims3()?;
    let [rows, columns] = window.output(height, width);
    let unfolded = match *window == Window::square(1, 1, 0) {
        true => x.reshape((n * groups, terms, height * width))?,
        false => x.apply_op1_no_bwd(&Unfold { window: *window, groups })?,
    };
    let weight = match groups {
        1 => weight.broadcast_as((n, outputs, terms))?,
        _ => weight.repeat((n, 1, 1))?,
    };
    weight.matmul(&unfolded)?.reshape((n, groups * outputs, rows, columns))
}
