use rayon::prelude::*;

use super::batch_norm::NormGradient;
use super::channel_sums::channel_sums;

/// Approximate number of values that one task takes.
const CHUNK: usize = 1 << 14;

/// Normalization over the channels of each pixel of `[.., channels]`: (x - mean) / sqrt(variance + epsilon) in f64 and
/// rounded to f32, then times weight, plus bias. If variance and epsilon are 0, the quotient is 0 and so is its gradient.
#[derive(Clone, Debug)]
pub struct LayerNorm<'a> {
    /// Factors, `[channels]`.
    pub weight: &'a [f32],
    /// Summands, `[channels]`.
    pub bias: &'a [f32],
    /// Summand of the variance.
    pub epsilon: f64,
}

impl LayerNorm<'_> {
    /// Writes the normalized pixels of `x` into `y`.
    ///
    /// # Panics
    /// Panics if lengths differ, or if `x` is not whole pixels.
    pub fn forward(&self, x: &[f32], y: &mut [f32]) {
        let chunk = self.chunk(x.len());
        assert_eq!(x.len(), y.len(), "a result for each value");
        let channels = self.weight.len();
        y.par_chunks_mut(chunk).zip(x.par_chunks(chunk)).for_each(|(y, x)| {
            for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                let normal = self.normal(x);
                for ((y, &x), (weight, bias)) in y.iter_mut().zip(x).zip(self.weight.iter().zip(self.bias)) {
                    *y = normal.of(x) * weight + bias;
                }
            }
        });
    }

    /// Writes the gradient of `x` into `dx`, and returns those of weight and bias. `x` is the input of the forward
    /// pass, `dy` the gradient of its result.
    ///
    /// # Panics
    /// Panics like [`LayerNorm::forward`].
    pub fn backward(&self, x: &[f32], dy: &[f32], dx: &mut [f32]) -> NormGradient {
        let chunk = self.chunk(x.len());
        assert!(x.len() == dx.len() && dy.len() == dx.len(), "a gradient for each value");
        let channels = self.weight.len();
        let tasks = dx.par_chunks_mut(chunk).zip(x.par_chunks(chunk)).zip(dy.par_chunks(chunk));
        tasks.for_each(|((dx, x), dy)| {
            let pixels = dx.chunks_exact_mut(channels).zip(x.chunks_exact(channels));
            for ((dx, x), dy) in pixels.zip(dy.chunks_exact(channels)) {
                let normal = self.normal(x);
                let gradient = |i: usize| f64::from(dy[i]) * f64::from(self.weight[i]);
                let distance = |i: usize| (f64::from(x[i]) - normal.mean) * normal.reciprocal;
                let mean = |of: &dyn Fn(usize) -> f64| (0..channels).map(of).sum::<f64>() / channels as f64;
                let (shift, slope) = (mean(&gradient), mean(&|i| gradient(i) * distance(i)));
                for (i, dx) in dx.iter_mut().enumerate() {
                    *dx = ((gradient(i) - shift - slope * distance(i)) * normal.reciprocal) as f32;
                }
            }
        });
        let ([weight, bias], _) = channel_sums(x.len(), channels, |range, [weight, bias], _| {
            let pixels = x[range.clone()].chunks_exact(channels).zip(dy[range].chunks_exact(channels));
            for (x, dy) in pixels {
                let normal = self.normal(x);
                let sums = weight.iter_mut().zip(bias.iter_mut());
                for ((weight, bias), (&x, dy)) in sums.zip(x.iter().zip(dy)) {
                    *weight += dy * normal.of(x);
                    *bias += dy;
                }
            }
        });
        let rounded = |sums: Vec<f64>| sums.into_iter().map(|sum| sum as f32).collect();
        NormGradient { weight: rounded(weight), bias: rounded(bias) }
    }

    fn normal(&self, pixel: &[f32]) -> Normal {
        let n = pixel.len() as f64;
        let mean = pixel.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let square = |&x: &f32| (f64::from(x) - mean) * (f64::from(x) - mean);
        let root = (pixel.iter().map(square).sum::<f64>() / n + self.epsilon).sqrt();
        Normal { mean, reciprocal: if root > 0.0 { 1.0 / root } else { 0.0 } }
    }

    /// Returns the number of values that one task takes, in whole pixels.
    fn chunk(&self, values: usize) -> usize {
        let channels = self.weight.len();
        assert!(
            channels > 0 && self.bias.len() == channels && values.is_multiple_of(channels),
            "{values} values are not pixels of {channels} weights and {} biases",
            self.bias.len()
        );
        CHUNK.div_ceil(channels) * channels
    }
}

/// Mean of a pixel's channels, and the reciprocal of their deviation.
struct Normal {
    mean: f64,
    reciprocal: f64,
}

impl Normal {
    fn of(&self, x: f32) -> f32 {
        ((f64::from(x) - self.mean) * self.reciprocal) as f32
    }
}
