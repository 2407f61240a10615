use rayon::prelude::*;

/// Number of values that one task takes.
const CHUNK: usize = 1 << 14;

/// Writes a times b into `product`, for any shape. The gradient of one factor is that of the product times the other.
///
/// # Panics
/// Panics if lengths differ.
pub fn multiply(a: &[f32], b: &[f32], product: &mut [f32]) {
    assert!(a.len() == product.len() && b.len() == product.len(), "{} and {} values", a.len(), b.len());
    let tasks = product.par_chunks_mut(CHUNK).zip(a.par_chunks(CHUNK)).zip(b.par_chunks(CHUNK));
    tasks.for_each(|((product, a), b)| {
        product.iter_mut().zip(a).zip(b).for_each(|((product, a), b)| *product = a * b);
    });
}

/// Writes the pixels of `x`, `[n, .., channels]`, times the factors of their image, `[n, channels]`, into `y`. The
/// gradient of `x` is that of the result times the factors, so this function computes it too.
///
/// # Panics
/// Panics if lengths differ, or if `x` is not whole pixels of each image.
pub fn multiply_channels(x: &[f32], factors: &[f32], channels: usize, y: &mut [f32]) {
    let image = image(x.len(), factors.len(), channels);
    assert_eq!(x.len(), y.len(), "a result for each value");
    let tasks = y.par_chunks_mut(image).zip(x.par_chunks(image)).zip(factors.par_chunks(channels));
    tasks.for_each(|((y, x), factors)| {
        for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
            y.iter_mut().zip(x).zip(factors).for_each(|((y, x), factor)| *y = x * factor);
        }
    });
}

/// Writes the gradient of the factors of [`multiply_channels`] into `gradient`, `[n, channels]`: sums over the pixels
/// of an image, in f64.
///
/// # Panics
/// Panics like [`multiply_channels`].
pub fn multiply_channels_backward(x: &[f32], dy: &[f32], channels: usize, gradient: &mut [f32]) {
    let image = image(x.len(), gradient.len(), channels);
    assert_eq!(x.len(), dy.len(), "a gradient for each value");
    let tasks = gradient.par_chunks_mut(channels).zip(x.par_chunks(image)).zip(dy.par_chunks(image));
    tasks.for_each(|((gradient, x), dy)| {
        let mut sums = vec![0.0f64; channels];
        for (x, dy) in x.chunks_exact(channels).zip(dy.chunks_exact(channels)) {
            sums.iter_mut().zip(x).zip(dy).for_each(|((sum, &x), &dy)| *sum += f64::from(x) * f64::from(dy));
        }
        gradient.iter_mut().zip(sums).for_each(|(gradient, sum)| *gradient = sum as f32);
    });
}

/// Returns the number of values of an image.
fn image(values: usize, factors: usize, channels: usize) -> usize {
    assert!(
        channels > 0 && factors > 0 && factors.is_multiple_of(channels) && values.is_multiple_of(factors),
        "{values} values and {factors} factors of {channels} channels"
    );
    values / (factors / channels)
}
