//! The float operations between the layers of a network with dynamic ranges; see [`crate::DynamicNetwork`].
//! Values are in [height, width, channels]; an [`Image`] also carries its size.

use std::borrow::Cow;

use graph::{Dims, Function, Window};

use crate::frame::Frame;
use crate::requantize::{Affine, Bounds};

/// The values of a node, with their size.
pub(crate) type Image<'a> = (Cow<'a, [f32]>, Dims);

/// Converts u8 pixels in [channels, height, width], by a table for each channel.
pub(crate) fn pixels(pixels: &[u8], tables: &[Vec<f32>], to: Dims) -> Vec<f32> {
    let mut values = vec![0.0; to.len()];
    for (channel, plane) in pixels.chunks_exact(to.pixels()).enumerate() {
        for (value, &pixel) in values[channel..].iter_mut().step_by(to.channels).zip(plane) {
            *value = tables[channel][usize::from(pixel)];
        }
    }
    values
}

pub(crate) fn affine(mut values: Vec<f32>, affine: &Affine) -> Vec<f32> {
    for pixel in values.chunks_exact_mut(affine.multiplier.len()) {
        let scales = affine.multiplier.iter().zip(&affine.offset);
        pixel.iter_mut().zip(scales).for_each(|(x, (multiplier, offset))| *x = *x * multiplier + offset);
    }
    values
}

/// Computes a ReLU with an upper bound, which may be infinite.
pub(crate) fn clip(mut values: Vec<f32>, high: f32) -> Vec<f32> {
    let finish = Bounds::unrounded(0.0, high);
    values.iter_mut().for_each(|x| *x = finish.finish(*x));
    values
}

/// Computes a leaky ReLU: x if it is positive, otherwise `slope` times x.
pub(crate) fn leaky(mut values: Vec<f32>, slope: f32) -> Vec<f32> {
    values.iter_mut().filter(|value| **value <= 0.0).for_each(|value| *value *= slope);
    values
}

/// Computes a parametric ReLU, with a slope for each channel.
pub(crate) fn parametric(mut values: Vec<f32>, slopes: &[f32]) -> Vec<f32> {
    for pixel in values.chunks_exact_mut(slopes.len()) {
        let negative = pixel.iter_mut().zip(slopes).filter(|(value, _)| **value <= 0.0);
        negative.for_each(|(value, slope)| *value *= slope);
    }
    values
}

pub(crate) fn function(mut values: Vec<f32>, function: Function) -> Vec<f32> {
    values.iter_mut().for_each(|x| *x = function.value(f64::from(*x)) as f32);
    values
}

/// Multiplies by values of the same size, or by one factor for each channel.
pub(crate) fn multiply(mut a: Vec<f32>, b: &[f32]) -> Vec<f32> {
    for pixels in a.chunks_exact_mut(b.len()) {
        pixels.iter_mut().zip(b).for_each(|(a, b)| *a *= b);
    }
    a
}

/// Normalizes over the channels of each pixel.
pub(crate) fn layer_norm(mut values: Vec<f32>, epsilon: f64, affine: &Affine) -> Vec<f32> {
    let channels = affine.multiplier.len();
    for pixel in values.chunks_exact_mut(channels) {
        let mean = pixel.iter().map(|&x| f64::from(x)).sum::<f64>() / channels as f64;
        let square = |&x: &f32| (f64::from(x) - mean) * (f64::from(x) - mean);
        let root = (pixel.iter().map(square).sum::<f64>() / channels as f64 + epsilon).sqrt();
        let reciprocal = if root > 0.0 { 1.0 / root } else { 0.0 };
        let scales = affine.multiplier.iter().zip(&affine.offset);
        for (x, (multiplier, offset)) in pixel.iter_mut().zip(scales) {
            *x = ((f64::from(*x) - mean) * reciprocal) as f32 * multiplier + offset;
        }
    }
    values
}

pub(crate) fn channel_slice((x, from): Image<'_>, to: Dims, first: usize) -> Vec<f32> {
    x.chunks_exact(from.channels).flat_map(|pixel| &pixel[first..][..to.channels]).copied().collect()
}

/// Interleaves the channels of groups.
pub(crate) fn channel_shuffle((x, from): Image<'_>, groups: usize) -> Vec<f32> {
    let size = from.channels / groups;
    let channel = |i: usize| i % groups * size + i / groups;
    x.chunks_exact(from.channels)
        .flat_map(|pixel| (0..from.channels).map(move |i| pixel[channel(i)]))
        .collect()
}

pub(crate) fn add(mut a: Vec<f32>, b: &[f32]) -> Vec<f32> {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
    a
}

pub(crate) fn concat(inputs: &[Image<'_>], to: Dims) -> Vec<f32> {
    let mut values = Vec::with_capacity(to.len());
    for pixel in 0..to.pixels() {
        for (x, from) in inputs {
            values.extend_from_slice(&x[pixel * from.channels..][..from.channels]);
        }
    }
    values
}

pub(crate) fn max_pool((x, from): Image<'_>, to: Dims, window: &Window) -> Vec<f32> {
    let mut values = vec![f32::NEG_INFINITY; to.len()];
    each_window(&x, from, to, window, |out, inside| {
        let out = &mut values[out * to.channels..][..to.channels];
        for x in inside {
            out.iter_mut().zip(x).for_each(|(out, x)| *out = if x > out { *x } else { *out });
        }
    });
    values
}

pub(crate) fn avg_pool((x, from): Image<'_>, to: Dims, window: &Window, whole: bool) -> Vec<f32> {
    let mut values = Vec::with_capacity(to.len());
    each_window(&x, from, to, window, |_, inside| {
        let (sums, inside) = sums(inside, to.channels);
        let count = if whole { window.kernel[0] * window.kernel[1] } else { inside };
        values.extend(sums.iter().map(|sum| (sum / count as f64) as f32));
    });
    values
}

/// Computes the mean over all pixels.
pub(crate) fn mean((x, from): Image<'_>) -> Vec<f32> {
    let (sums, pixels) = sums(&mut x.chunks_exact(from.channels), from.channels);
    sums.iter().map(|sum| (sum / pixels as f64) as f32).collect()
}

/// Returns the sum of each channel over some pixels, and the number of pixels.
fn sums(pixels: &mut dyn Iterator<Item = &[f32]>, channels: usize) -> (Vec<f64>, usize) {
    let (mut sums, mut count) = (vec![0f64; channels], 0);
    for x in pixels {
        sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += f64::from(*x));
        count += 1;
    }
    (sums, count)
}

/// Calls `take` for each window with the pixels inside the input, row by row, and the position of the output
/// pixel.
fn each_window<'a>(
    x: &'a [f32],
    from: Dims,
    to: Dims,
    window: &Window,
    mut take: impl FnMut(usize, &mut dyn Iterator<Item = &'a [f32]>),
) {
    for row in 0..to.height {
        for column in 0..to.width {
            let columns = window.taps(1, column, from.width);
            let mut inside = window.taps(0, row, from.height).flat_map(|row| {
                columns
                    .clone()
                    .map(move |column| &x[(row * from.width + column) * from.channels..][..from.channels])
            });
            take(row * to.width + column, &mut inside);
        }
    }
}

/// Converts to [channels, height, width].
pub(crate) fn flatten((x, from): Image<'_>) -> Vec<f32> {
    let channel = |channel: usize| x[channel..].iter().step_by(from.channels).copied();
    (0..from.channels).flat_map(channel).collect()
}

/// Adds zeros around an image: rows above and columns on the left; the output size determines the other
/// sides.
pub(crate) fn pad((x, from): Image<'_>, to: Dims, [top, left]: [usize; 2]) -> Vec<f32> {
    let mut values = vec![0.0; to.len()];
    for (row, x) in x.chunks_exact(from.width * from.channels).enumerate() {
        values[((row + top) * to.width + left) * to.channels..][..x.len()].copy_from_slice(x);
    }
    values
}

/// Takes every stride-th row and column, and adds zero channels: `before` in front, the rest behind.
pub(crate) fn pad_shortcut((x, from): Image<'_>, to: Dims, stride: usize, before: usize) -> Vec<f32> {
    let mut values = vec![0.0; to.len()];
    for (pixel, out) in values.chunks_exact_mut(to.channels).enumerate() {
        let (row, column) = (pixel / to.width * stride, pixel % to.width * stride);
        let x = &x[(row * from.width + column) * from.channels..][..from.channels];
        out[before..][..from.channels].copy_from_slice(x);
    }
    values
}

/// Writes the levels of an image into a frame.
pub(crate) fn quantize(values: &[f32], levels_per_unit: f32, frame: &Frame, bytes: &mut [u8]) {
    let bounds = Bounds::levels(-127, 127, frame.zero);
    let row_len = frame.dims.width * frame.dims.channels;
    for (row, values) in values.chunks_exact(row_len).enumerate() {
        let bytes = &mut bytes[frame.pixel(row, 0)..][..row_len];
        bytes.iter_mut().zip(values).for_each(|(byte, x)| *byte = bounds.finish(x * levels_per_unit));
    }
}

/// Returns the largest magnitude in each channel.
pub(crate) fn largest_magnitudes(values: &[f32], channels: usize) -> Vec<f32> {
    let mut largest = vec![0f32; channels];
    for pixel in values.chunks_exact(channels) {
        largest
            .iter_mut()
            .zip(pixel)
            .for_each(|(most, x)| *most = if x.abs() > *most { x.abs() } else { *most });
    }
    largest
}
