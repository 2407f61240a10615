use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use zoo::Window;

use super::values::{output, read, slice, tensor};

/// Maximum over a window, NHWC to NHWC; padding never wins. The gradient goes to the first of equal
/// maxima in row-major order, as in PyTorch.
///
/// # Errors
/// A window that does not fit, or whose padding is more than half of it.
pub fn max_pool(x: &Tensor, window: &Window) -> Result<Tensor> {
    x.contiguous()?.apply_op1(MaxPool { window: *window, winners: Mutex::default() })
}

/// Mean over height and width, `[n, h, w, c]` to `[n, c]`.
///
/// # Errors
/// Images without pixels.
pub fn global_avg_pool(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(GlobalAvgPool)
}

struct MaxPool {
    window: Window,
    /// For each output value, the index in its image of the input value that won. Written by the forward
    /// pass, read by the backward pass.
    winners: Mutex<Vec<u32>>,
}

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        "max-pool"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (images, height, width, channels) = layout.shape().dims4()?;
        let Window { kernel, stride, padding, .. } = self.window;
        let fits = (0..2).all(|a| {
            stride[a] > 0
                && kernel[a] > 0
                && 2 * padding[a] <= kernel[a]
                && [height, width][a] + 2 * padding[a] >= kernel[a]
        });
        if !fits || images * channels == 0 {
            bail!("{:?} does not take images {:?}", self.window, layout.shape());
        }
        let x = slice(x, layout)?;
        let [oh, ow] = self.window.output(height, width);
        let mut y = vec![0.0; images * oh * ow * channels];
        let mut winners = vec![0u32; y.len()];
        let image = height * width * channels;
        let tasks = y.par_chunks_mut(oh * ow * channels).zip(winners.par_chunks_mut(oh * ow * channels));
        tasks.zip(x.par_chunks(image)).for_each(|((y, winners), x)| {
            let pixels = y.chunks_exact_mut(channels).zip(winners.chunks_exact_mut(channels));
            for (at, (best, winners)) in pixels.enumerate() {
                // The part of the window that lies inside the image.
                let [rows, columns] = std::array::from_fn(|a| {
                    let from = [at / ow, at % ow][a] * stride[a];
                    let end = (from + kernel[a]).saturating_sub(padding[a]).min([height, width][a]);
                    from.saturating_sub(padding[a])..end
                });
                let mut first = true;
                for row in rows {
                    for column in columns.clone() {
                        let start = (row * width + column) * channels;
                        let values = &x[start..start + channels];
                        for (c, &value) in values.iter().enumerate() {
                            if first || value > best[c] || value.is_nan() {
                                best[c] = value;
                                winners[c] = (start + c) as u32;
                            }
                        }
                        first = false;
                    }
                }
            }
        });
        *self.winners.lock().expect("nothing panics while it holds the lock") = winners;
        output(y, (images, oh, ow, channels))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let winners = self.winners.lock().expect("nothing panics while it holds the lock");
        let images = x.dim(0)?;
        let dy = dy.contiguous()?;
        let dx = read(&dy, |dy| {
            let mut dx = vec![0.0f32; x.elem_count()];
            let image = dx.len() / images;
            let pooled = dy.len() / images;
            let tasks = dx.par_chunks_mut(image).zip(dy.par_chunks(pooled)).zip(winners.par_chunks(pooled));
            tasks.for_each(|((dx, dy), winners)| {
                dy.iter().zip(winners).for_each(|(dy, &winner)| dx[winner as usize] += dy);
            });
            dx
        })?;
        Ok(Some(tensor(dx, x.shape())?))
    }
}

struct GlobalAvgPool;

impl CustomOp1 for GlobalAvgPool {
    fn name(&self) -> &'static str {
        "global-avg-pool"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (images, height, width, channels) = layout.shape().dims4()?;
        if layout.shape().elem_count() == 0 {
            bail!("images are {:?}, expected at least one pixel", layout.shape());
        }
        let x = slice(x, layout)?;
        let mut y = vec![0.0f32; images * channels];
        let pixels = (height * width) as f32;
        y.par_chunks_mut(channels).zip(x.par_chunks(height * width * channels)).for_each(|(y, x)| {
            for pixel in x.chunks_exact(channels) {
                y.iter_mut().zip(pixel).for_each(|(y, x)| *y += x);
            }
            y.iter_mut().for_each(|y| *y /= pixels);
        });
        output(y, (images, channels))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (_, height, width, channels) = x.dims4()?;
        let pixels = (height * width) as f32;
        let dy = dy.contiguous()?;
        let dx = read(&dy, |dy| {
            let mut dx = vec![0.0; x.elem_count()];
            dx.par_chunks_mut(height * width * channels).zip(dy.par_chunks(channels)).for_each(|(dx, dy)| {
                for pixel in dx.chunks_exact_mut(channels) {
                    pixel.iter_mut().zip(dy).for_each(|(dx, dy)| *dx = dy / pixels);
                }
            });
            dx
        })?;
        Ok(Some(tensor(dx, x.shape())?))
    }
}
