use rayon::prelude::*;

/// Writes the channels of all parts, one part after the other, into `y`, `[.., channels]`. A part is its
/// values and its number of channels.
///
/// # Panics
/// Panics if the channels do not add up, or if the parts have different numbers of pixels.
pub fn concat(parts: &[(&[f32], usize)], y: &mut [f32]) {
    let channels = parts.iter().map(|(_, channels)| channels).sum();
    let pixels = pixels(y.len(), channels, parts.iter().map(|(part, channels)| (part.len(), *channels)));
    y.par_chunks_mut(pixels * channels).enumerate().for_each(|(index, y)| {
        let mut start = 0;
        for &(part, wide) in parts {
            let from = part[index * pixels * wide..].chunks_exact(wide);
            for (y, part) in y.chunks_exact_mut(channels).zip(from) {
                y[start..start + wide].copy_from_slice(part);
            }
            start += wide;
        }
    });
}

/// Computes the gradient of [`concat()`]: writes the share of `dy` into each part of `dx`, given with its
/// number of channels.
///
/// # Panics
/// Panics like [`concat()`].
pub fn concat_backward(dy: &[f32], dx: &mut [(&mut [f32], usize)]) {
    let channels = dx.iter().map(|(_, channels)| channels).sum();
    let pixels = pixels(dy.len(), channels, dx.iter().map(|(part, channels)| (part.len(), *channels)));
    let mut start = 0;
    for (part, wide) in dx {
        let wide = *wide;
        let tasks = part.par_chunks_mut(pixels * wide).zip(dy.par_chunks(pixels * channels));
        tasks.for_each(|(part, dy)| {
            for (part, dy) in part.chunks_exact_mut(wide).zip(dy.chunks_exact(channels)) {
                part.copy_from_slice(&dy[start..start + wide]);
            }
        });
        start += wide;
    }
}

/// Returns the number of pixels that one task takes.
fn pixels(values: usize, channels: usize, parts: impl Iterator<Item = (usize, usize)>) -> usize {
    for (len, wide) in parts {
        assert!(wide > 0 && len * channels == values * wide, "{len} values of {wide} of {channels} channels");
    }
    (1usize << 14).div_ceil(channels)
}
