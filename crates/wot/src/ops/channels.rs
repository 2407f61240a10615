use rayon::prelude::*;

/// Approximate number of values that one task takes.
const CHUNK: usize = 1 << 14;

/// Writes pixels `[.., kept.len()]` into `y`, whose channel i is channel `kept[i]` of `x`, `[.., channels]`: a slice
/// of channels, or a shuffle.
///
/// # Panics
/// Panics if `x` and `y` are not whole pixels, equally many, or if a channel of `kept` does not exist.
pub fn select_channels(x: &[f32], channels: usize, kept: &[usize], y: &mut [f32]) {
    let pixels = pixels(x.len(), channels, kept, y.len());
    y.par_chunks_mut(pixels * kept.len()).zip(x.par_chunks(pixels * channels)).for_each(|(y, x)| {
        for (y, x) in y.chunks_exact_mut(kept.len()).zip(x.chunks_exact(channels)) {
            y.iter_mut().zip(kept).for_each(|(y, &channel)| *y = x[channel]);
        }
    });
}

/// Writes the gradient of [`select_channels`] into `dx`: 0 in channels that were not kept. No channel may be kept
/// twice.
///
/// # Panics
/// Panics like [`select_channels`].
pub fn select_channels_backward(dy: &[f32], channels: usize, kept: &[usize], dx: &mut [f32]) {
    let pixels = pixels(dx.len(), channels, kept, dy.len());
    dx.par_chunks_mut(pixels * channels).zip(dy.par_chunks(pixels * kept.len())).for_each(|(dx, dy)| {
        dx.fill(0.0);
        for (dx, dy) in dx.chunks_exact_mut(channels).zip(dy.chunks_exact(kept.len())) {
            kept.iter().zip(dy).for_each(|(&channel, dy)| dx[channel] = *dy);
        }
    });
}

/// Returns the number of pixels that one task takes.
fn pixels(x: usize, channels: usize, kept: &[usize], y: usize) -> usize {
    let fits = !kept.is_empty() && kept.iter().all(|&channel| channel < channels);
    assert!(
        fits && x.is_multiple_of(channels) && x / channels * kept.len() == y,
        "{y} values are not {} channels of {x} values of {channels}",
        kept.len()
    );
    CHUNK.div_ceil(channels)
}
