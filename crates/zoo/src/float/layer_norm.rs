use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::per_channel::per_channel;
use super::{flat, values};

/// Normalizes over the channels of `[n, c, h, w]` or `[n, c]`, with a weight and a bias, `[c]`.
pub(super) fn layer_norm(x: &Tensor, epsilon: f64, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    per_channel(&x.contiguous()?.apply_op1(Normalization { epsilon })?, weight, bias)
}

/// (x - mean) / sqrt(variance + epsilon) over the channels of each pixel, in f64 and rounded once.
struct Normalization {
    epsilon: f64,
}

/// Channels of an image, and values of a channel.
fn sizes(shape: &[usize]) -> (usize, usize) {
    (shape[1], shape[2..].iter().product())
}

impl Normalization {
    /// Calls `visit` with the places of the channels of each pixel, their mean, and the reciprocal of their deviation.
    fn each_pixel(&self, x: &[f32], shape: &[usize], mut visit: impl FnMut(&[usize], f64, f64)) {
        let (channels, plane) = sizes(shape);
        for image in 0..shape[0] {
            for pixel in 0..plane {
                let first = image * channels * plane + pixel;
                let places: Vec<usize> = (0..channels).map(|channel| first + channel * plane).collect();
                let mean = places.iter().map(|&i| f64::from(x[i])).sum::<f64>() / channels as f64;
                let square = |&i: &usize| (f64::from(x[i]) - mean) * (f64::from(x[i]) - mean);
                let variance = places.iter().map(square).sum::<f64>() / channels as f64;
                let root = (variance + self.epsilon).sqrt();
                visit(&places, mean, if root > 0.0 { 1.0 / root } else { 0.0 });
            }
        }
    }
}

impl CustomOp1 for Normalization {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values(storage, layout)?;
        let mut y = vec![0.0; x.len()];
        self.each_pixel(x, layout.shape().dims(), |places, mean, reciprocal| {
            places.iter().for_each(|&i| y[i] = ((f64::from(x[i]) - mean) * reciprocal) as f32);
        });
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (values, normal, gradient) = (flat(x)?, flat(y)?, flat(gradient)?);
        let mut of_x = vec![0.0; values.len()];
        self.each_pixel(&values, x.dims(), |places, _, reciprocal| {
            let mean = |value: &dyn Fn(usize) -> f64| {
                places.iter().map(|&i| value(i)).sum::<f64>() / places.len() as f64
            };
            let shift = mean(&|i| gradient[i].into());
            let slope = mean(&|i| f64::from(gradient[i]) * f64::from(normal[i]));
            for &i in places {
                let rest = f64::from(gradient[i]) - shift - slope * f64::from(normal[i]);
                of_x[i] = (rest * reciprocal) as f32;
            }
        });
        Tensor::from_vec(of_x, x.shape(), x.device()).map(Some)
    }
}
