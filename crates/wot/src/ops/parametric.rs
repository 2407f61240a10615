use rayon::prelude::*;

use super::channel_sums::channel_sums;

/// Approximate number of values that one task takes.
const CHUNK: usize = 1 << 14;

/// Writes x where it is positive, and elsewhere x times the slope of its channel, into `y`. Values are
/// `[.., channels]`, slopes `[channels]`.
///
/// # Panics
/// Panics if lengths differ, or if `x` is not whole pixels.
pub fn parametric_relu(x: &[f32], slopes: &[f32], y: &mut [f32]) {
    let chunk = chunk(x.len(), slopes.len());
    assert_eq!(x.len(), y.len(), "a result for each value");
    y.par_chunks_mut(chunk).zip(x.par_chunks(chunk)).for_each(|(y, x)| {
        for ((y, &x), slope) in y.iter_mut().zip(x).zip(slopes.iter().cycle()) {
            *y = if x > 0.0 { x } else { x * slope };
        }
    });
}

/// Writes the gradient of the argument of [`parametric_relu`] into `dx`, and returns that of the slopes. At 0 the
/// derivative is the slope, as in PyTorch.
///
/// # Panics
/// Panics like [`parametric_relu`].
pub fn parametric_relu_backward(x: &[f32], slopes: &[f32], dy: &[f32], dx: &mut [f32]) -> Vec<f32> {
    let (channels, chunk) = (slopes.len(), chunk(x.len(), slopes.len()));
    assert!(x.len() == dx.len() && dy.len() == dx.len(), "a gradient for each value");
    let tasks = dx.par_chunks_mut(chunk).zip(x.par_chunks(chunk)).zip(dy.par_chunks(chunk));
    tasks.for_each(|((dx, x), dy)| {
        for (((dx, &x), dy), slope) in dx.iter_mut().zip(x).zip(dy).zip(slopes.iter().cycle()) {
            *dx = if x > 0.0 { *dy } else { dy * slope };
        }
    });
    let ([sums], _) = channel_sums(x.len(), channels, |range, [sums], _| {
        let pixels = x[range.clone()].chunks_exact(channels).zip(dy[range].chunks_exact(channels));
        for (x, dy) in pixels {
            for ((sum, &x), dy) in sums.iter_mut().zip(x).zip(dy) {
                *sum += if x > 0.0 { 0.0 } else { x * dy };
            }
        }
    });
    sums.into_iter().map(|sum| sum as f32).collect()
}

/// Returns the number of values that one task takes, in whole pixels.
fn chunk(values: usize, channels: usize) -> usize {
    assert!(
        channels > 0 && values.is_multiple_of(channels),
        "{values} values are not pixels of {channels} slopes"
    );
    CHUNK.div_ceil(channels) * channels
}
