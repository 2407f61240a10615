use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::channel_sums::channel_sums;
use super::values::{output, read, slice, tensor};

const EPSILON: f32 = zoo::BATCH_NORM_EPSILON as f32;
/// PyTorch's default momentum: the weight of the newest batch in running statistics.
pub const BATCH_NORM_MOMENTUM: f32 = 0.1;

/// Mean and variance of a batch, for each channel.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchStatistics {
    /// Mean.
    pub mean: Vec<f32>,
    /// Biased variance: the mean square distance from the mean.
    pub variance: Vec<f32>,
    /// Values of a channel that were averaged.
    pub count: usize,
}

/// The mean and variance that inference uses, for each channel.
#[derive(Clone, Debug, PartialEq)]
pub struct RunningStatistics {
    /// Running mean; 0 at first.
    pub mean: Vec<f32>,
    /// Running unbiased variance; 1 at first.
    pub variance: Vec<f32>,
}

impl RunningStatistics {
    /// Statistics before the first batch.
    pub fn new(channels: usize) -> Self {
        Self { mean: vec![0.0; channels], variance: vec![1.0; channels] }
    }

    /// Moves by [`BATCH_NORM_MOMENTUM`] towards a batch, whose variance is made unbiased, as PyTorch does.
    ///
    /// # Panics
    /// When the batch has another number of channels.
    pub fn update(&mut self, batch: &BatchStatistics) {
        assert_eq!(self.mean.len(), batch.mean.len(), "statistics of other channels");
        let unbiased = batch.count as f32 / (batch.count as f32 - 1.0);
        let step = |running: &mut f32, new: f32| {
            *running = (1.0 - BATCH_NORM_MOMENTUM) * *running + BATCH_NORM_MOMENTUM * new;
        };
        self.mean.iter_mut().zip(&batch.mean).for_each(|(running, &mean)| step(running, mean));
        self.variance.iter_mut().zip(&batch.variance).for_each(|(running, &v)| step(running, v * unbiased));
    }
}

/// Batch normalization as in training: by the batch's own mean and variance, over all but the last
/// dimension. `x` is `[n, h, w, channels]`, `weight` and `bias` are `[channels]`; all three have gradients.
/// The statistics are for [`RunningStatistics::update`].
///
/// # Errors
/// Shapes that do not fit; fewer than two values a channel, which have no unbiased variance.
pub fn batch_norm(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<(Tensor, BatchStatistics)> {
    let statistics = Arc::new(OnceLock::new());
    let y = x.contiguous()?.apply_op3(weight, bias, BatchNorm { statistics: statistics.clone() })?;
    let statistics = statistics.get().expect("the forward pass has run").clone();
    Ok((y, statistics))
}

/// Batch normalization as in inference, by running statistics. Shapes as in [`batch_norm`]; no gradient.
///
/// # Errors
/// Shapes that do not fit.
pub fn batch_norm_inference(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    running: &RunningStatistics,
) -> Result<Tensor> {
    let x = x.contiguous()?;
    let channels = running.mean.len();
    if x.dims().last() != Some(&channels) || weight.dims() != [channels] || bias.dims() != [channels] {
        bail!("batch norm of {channels} channels does not take {:?}", x.shape());
    }
    let factors = factors(&weight.to_vec1()?, &running.variance);
    let y = read(&x, |x| scaled(x, &running.mean, &factors, &bias.to_vec1()?))??;
    tensor(y, x.shape())
}

fn factors(weight: &[f32], variance: &[f32]) -> Vec<f32> {
    weight.iter().zip(variance).map(|(weight, v)| weight / (v + EPSILON).sqrt()).collect()
}

/// (x - mean) * factor + bias.
fn scaled(x: &[f32], mean: &[f32], factors: &[f32], bias: &[f32]) -> Result<Vec<f32>> {
    let channels = mean.len();
    let mut y = x.to_vec();
    y.par_chunks_mut(channels * 64).for_each(|pixels| {
        for pixel in pixels.chunks_exact_mut(channels) {
            for (((y, mean), factor), bias) in pixel.iter_mut().zip(mean).zip(factors).zip(bias) {
                *y = (*y - mean) * factor + bias;
            }
        }
    });
    Ok(y)
}

struct BatchNorm {
    /// Written by the forward pass, read by the backward pass and the caller.
    statistics: Arc<OnceLock<BatchStatistics>>,
}

impl CustomOp3 for BatchNorm {
    fn name(&self) -> &'static str {
        "batch-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight) = (slice(x, x_layout)?, slice(weight, weight_layout)?);
        let bias = slice(bias, bias_layout)?;
        let channels = weight.len();
        if channels == 0 || x_layout.dims().last() != Some(&channels) || bias.len() != channels {
            bail!("batch norm of {channels} channels does not take {:?}", x_layout.shape());
        }
        let count = x.len() / channels;
        if count < 2 {
            bail!("batch norm over {count} values of a channel, expected at least 2");
        }
        // Around the first pixel, so that a mean far from 0 costs no digits of the variance.
        let origin = &x[..channels];
        let [sums, squares] = channel_sums(x.len(), channels, |range, [sums, squares]| {
            for pixel in x[range].chunks_exact(channels) {
                let sums = sums.iter_mut().zip(squares.iter_mut());
                for (((sum, square), x), origin) in sums.zip(pixel).zip(origin) {
                    let d = x - origin;
                    *sum += d;
                    *square += d * d;
                }
            }
        });
        let n = count as f64;
        let means = sums.iter().map(|sum| sum / n);
        let variance: Vec<f32> = means
            .clone()
            .zip(&squares)
            .map(|(mean, square)| (square / n - mean * mean).max(0.0) as f32)
            .collect();
        let mean: Vec<f32> =
            means.zip(origin).map(|(mean, &origin)| (mean + f64::from(origin)) as f32).collect();
        let y = scaled(x, &mean, &factors(weight, &variance), bias)?;
        self.statistics
            .set(BatchStatistics { mean, variance, count })
            .expect("an operation runs forward once");
        output(y, x_layout.shape())
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _bias: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let BatchStatistics { mean, variance, count } =
            self.statistics.get().expect("the forward pass has run");
        let channels = mean.len();
        let dy = dy.contiguous()?;
        let weight: Vec<f32> = weight.to_vec1()?;
        let (dx, dw, db) = read(x, |x| {
            read(&dy, |dy| {
                let [sums, products] = channel_sums(x.len(), channels, |range, [sums, products]| {
                    let pixels =
                        x[range.clone()].chunks_exact(channels).zip(dy[range].chunks_exact(channels));
                    for (x, dy) in pixels {
                        let sums = sums.iter_mut().zip(products.iter_mut());
                        for ((((sum, product), x), dy), mean) in sums.zip(x).zip(dy).zip(mean) {
                            *sum += dy;
                            *product += dy * (x - mean);
                        }
                    }
                });
                let inverse: Vec<f64> =
                    variance.iter().map(|&v| 1.0 / f64::from(v + EPSILON).sqrt()).collect();
                let dw: Vec<f32> = products.iter().zip(&inverse).map(|(p, inv)| (p * inv) as f32).collect();
                let db: Vec<f32> = sums.iter().map(|&sum| sum as f32).collect();
                // dx = factor * (dy - mean(dy) - (x - mean) / variance * mean(dy * (x - mean)))
                let n = *count as f64;
                let terms: Vec<[f32; 4]> = (0..channels)
                    .map(|c| {
                        let slope = products[c] / n * inverse[c] * inverse[c];
                        let factor = f64::from(weight[c]) * inverse[c];
                        [factor as f32, (sums[c] / n) as f32, slope as f32, mean[c]]
                    })
                    .collect();
                let mut dx = dy.to_vec();
                dx.par_chunks_mut(channels * 64).zip(x.par_chunks(channels * 64)).for_each(|(dx, x)| {
                    for (dx, x) in dx.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                        for ((dx, x), [factor, average, slope, mean]) in dx.iter_mut().zip(x).zip(&terms) {
                            *dx = factor * (*dx - average - (x - mean) * slope);
                        }
                    }
                });
                (dx, dw, db)
            })
        })??;
        Ok((Some(tensor(dx, x.shape())?), Some(tensor(dw, channels)?), Some(tensor(db, channels)?)))
    }
}
