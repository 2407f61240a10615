use super::channel_sums::{Extremes, channel_sums, widen};
use crate::kernel::{Kernel, Loop};

/// PyTorch's default momentum: the weight of the newest batch in running statistics.
pub const BATCH_NORM_MOMENTUM: f32 = 0.1;

/// Mean and variance of a batch, for each channel.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchStatistics {
    /// Mean.
    pub mean: Vec<f32>,
    /// Biased variance: the mean square distance from the mean.
    pub variance: Vec<f32>,
    /// Number of values of each channel.
    pub count: usize,
    /// Smallest and largest value of each channel.
    pub extremes: Extremes,
}

impl BatchStatistics {
    /// Computes the statistics of `x`, `[.., channels]`.
    ///
    /// # Panics
    /// Panics if `x` is not whole pixels, or has fewer than two, which have no unbiased variance.
    pub fn of(x: &[f32], channels: usize) -> Self {
        assert!(
            channels > 0 && x.len().is_multiple_of(channels),
            "{} values are not pixels of {channels}",
            x.len()
        );
        let count = x.len() / channels;
        assert!(count >= 2, "batch norm over {count} values of a channel, expected at least 2");
        // Moments are taken around the first pixel, so that a mean far from 0 costs no digits of the variance.
        let origin = &x[..channels];
        let kernel = Kernel::fastest();
        let ([sums, squares], extremes) =
            channel_sums(x.len(), channels, |range, [sums, squares], extremes| {
                kernel.enter(Moments { x: &x[range], origin, sums, squares, extremes });
            });
        let n = count as f64;
        let means = sums.iter().map(|sum| sum / n);
        let variance: Vec<f32> = means
            .clone()
            .zip(&squares)
            .map(|(mean, square)| (square / n - mean * mean).max(0.0) as f32)
            .collect();
        let mean = means.zip(origin).map(|(mean, &origin)| (mean + f64::from(origin)) as f32).collect();
        Self { mean, variance, count, extremes }
    }
}

/// Sums distances from the origin and their squares, and widens the extremes.
struct Moments<'a> {
    x: &'a [f32],
    origin: &'a [f32],
    sums: &'a mut [f32],
    squares: &'a mut [f32],
    extremes: &'a mut Extremes,
}

impl Loop for Moments<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let channels = self.origin.len();
        let (sums, squares) = (&mut self.sums[..channels], &mut self.squares[..channels]);
        let (low, high) = (&mut self.extremes.low[..channels], &mut self.extremes.high[..channels]);
        for pixel in self.x.chunks_exact(channels) {
            for c in 0..channels {
                let x = pixel[c];
                let d = x - self.origin[c];
                sums[c] += d;
                squares[c] += d * d;
                widen(&mut low[c], &mut high[c], x);
            }
        }
    }
}

/// Returns the smallest and largest value of each channel of `x`, `[.., channels]`.
///
/// # Panics
/// Panics if `x` is not whole pixels.
pub fn extremes(x: &[f32], channels: usize) -> Extremes {
    assert!(channels > 0 && x.len().is_multiple_of(channels), "{} values, {channels} channels", x.len());
    let kernel = Kernel::fastest();
    channel_sums(x.len(), channels, |range, [], extremes| {
        kernel.enter(Bounds { x: &x[range], extremes });
    })
    .1
}

struct Bounds<'a> {
    x: &'a [f32],
    extremes: &'a mut Extremes,
}

impl Loop for Bounds<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let channels = self.extremes.low.len();
        let (low, high) = (&mut self.extremes.low[..channels], &mut self.extremes.high[..channels]);
        for pixel in self.x.chunks_exact(channels) {
            for c in 0..channels {
                widen(&mut low[c], &mut high[c], pixel[c]);
            }
        }
    }
}

/// The mean and variance that inference uses, for each channel.
#[derive(Clone, Debug, PartialEq)]
pub struct RunningStatistics {
    /// Running mean; initially 0.
    pub mean: Vec<f32>,
    /// Running unbiased variance; initially 1.
    pub variance: Vec<f32>,
}

impl RunningStatistics {
    /// Returns the statistics before the first batch.
    pub fn new(channels: usize) -> Self {
        Self { mean: vec![0.0; channels], variance: vec![1.0; channels] }
    }

    /// Moves by [`BATCH_NORM_MOMENTUM`] towards the mean and the unbiased variance of a batch, as PyTorch
    /// does.
    ///
    /// # Panics
    /// Panics if the batch has another number of channels.
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

/// Batch normalization with given statistics: y = (x - mean) * factor + bias in each channel, with factor =
/// weight / sqrt(variance + epsilon).
#[derive(Clone, Debug, PartialEq)]
pub struct Norm {
    pub(super) mean: Vec<f32>,
    pub(super) factor: Vec<f32>,
    pub(super) bias: Vec<f32>,
    weight: Vec<f32>,
    variance: Vec<f32>,
    epsilon: f32,
}

/// Coefficients of the gradient of a batch norm in training, for each channel: dx = factor * (dy - average -
/// (x - mean) * slope).
pub(super) struct Slopes {
    pub(super) factor: Vec<f32>,
    pub(super) average: Vec<f32>,
    pub(super) slope: Vec<f32>,
}

/// Gradients of a batch norm's weight and bias.
#[derive(Clone, Debug, PartialEq)]
pub struct NormGradient {
    /// Gradient of the weight.
    pub weight: Vec<f32>,
    /// Gradient of the bias.
    pub bias: Vec<f32>,
}

impl Norm {
    /// Makes a batch norm with the statistics of the batch (training) or the running ones (inference); all
    /// slices are `[channels]`. The sum of variance and `epsilon` is one in f32.
    ///
    /// # Panics
    /// Panics if the lengths differ.
    pub fn new(mean: &[f32], variance: &[f32], weight: &[f32], bias: &[f32], epsilon: f64) -> Self {
        let (channels, epsilon) = (mean.len(), epsilon as f32);
        assert!(
            [variance.len(), weight.len(), bias.len()] == [channels; 3],
            "a batch norm of {channels} channels has {} variances, {} weights and {} biases",
            variance.len(),
            weight.len(),
            bias.len()
        );
        let factor = weight.iter().zip(variance).map(|(weight, v)| weight / (v + epsilon).sqrt()).collect();
        let [mean, variance, weight, bias] = [mean, variance, weight, bias].map(<[f32]>::to_vec);
        Self { mean, factor, bias, weight, variance, epsilon }
    }

    /// Returns the gradient. `sums` are those of dy and `products` those of dy * (x - mean), over the `count`
    /// values of each channel from which mean and variance were computed.
    pub(super) fn gradient(&self, sums: &[f64], products: &[f64], count: usize) -> (NormGradient, Slopes) {
        let inverse: Vec<f64> =
            self.variance.iter().map(|&v| 1.0 / f64::from(v + self.epsilon).sqrt()).collect();
        let weight = products.iter().zip(&inverse).map(|(p, inv)| (p * inv) as f32).collect();
        let bias = sums.iter().map(|&sum| sum as f32).collect();
        let n = count as f64;
        let of = |value: &dyn Fn(usize) -> f64| (0..inverse.len()).map(|c| value(c) as f32).collect();
        let slopes = Slopes {
            factor: of(&|c| f64::from(self.weight[c]) * inverse[c]),
            average: of(&|c| sums[c] / n),
            slope: of(&|c| products[c] / n * inverse[c] * inverse[c]),
        };
        (NormGradient { weight, bias }, slopes)
    }
}
