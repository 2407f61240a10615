//! Pillow's antialiased bilinear resize of 8-bit images (`Resample.c`), exact to the bit, and torchvision's
//! geometry around it (`Resize` of the shorter side, then `CenterCrop`).
//!
//! Each output pixel is a weighted mean of the input pixels under a triangle as wide as two output pixels
//! (two input pixels when enlarging). Rows are resized first, rounded to `u8`, then columns. Weights are
//! computed in `f64` with operations that IEEE 754 defines to the last bit, normalised to sum 1, and rounded
//! to fixed point, so that the result is the same on every machine. Only pixels inside the crop are computed;
//! the others do not influence them.
//!
//! Existing resize crates do not give this result: `fast_image_resize` rounds its weights to 16 bits where
//! Pillow keeps 22, and like `pic-scale` it chooses the order of summation by the machine's vector unit.

use std::ops::Range;

use crate::decode::Raster;
use crate::{ImageShape, MAX_SIDE};

/// Fractional bits of a weight. An `i32` holds 8 bits of pixel, these bits, and 2 spare bits.
const PRECISION_BITS: u32 = 32 - 8 - 2;

/// The conversion of an image of any size to a square: the shorter side is resized to a fixed length,
/// bilinear with antialiasing, and the middle is cut out (torchvision's `Resize` and `CenterCrop`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResizeCrop {
    resize: usize,
    crop: usize,
    grey: bool,
}

impl ResizeCrop {
    /// Returns the published lengths for networks with inputs of `side` x `side` pixels: 256, cropped to 224,
    /// and, for Inception, 342 cropped to 299. Other sides use the first proportion: the shorter side becomes
    /// 8/7 of `side`, rounded.
    ///
    /// `None` unless `side` is 1 to [`MAX_SIDE`].
    pub fn for_side(side: usize) -> Option<Self> {
        // 299 * 8 / 7 is 341.7, so the rule gives both published lengths.
        (1..=MAX_SIDE).contains(&side).then_some(Self {
            resize: (side * 16 + 7) / 14,
            crop: side,
            grey: false,
        })
    }

    /// Length of the shorter side before the crop, in pixels.
    pub fn resize(self) -> usize {
        self.resize
    }

    /// Side of the cropped square, in pixels.
    pub fn crop(self) -> usize {
        self.crop
    }

    /// The same with one channel. Colour becomes grey before it is resized, by the weights of ITU-R BT.601 in Pillow's
    /// fixed point: (19595 red + 38470 green + 7471 blue + 32768) / 65536, rounded down.
    pub fn grey(self) -> Self {
        Self { grey: true, ..self }
    }

    /// The shape of the result: three channels, or one if it is grey.
    pub fn shape(self) -> ImageShape {
        ImageShape { channels: if self.grey { 1 } else { 3 }, height: self.crop, width: self.crop }
    }

    /// Number of bytes of the result, in CHW order.
    pub(crate) fn image_bytes(self) -> usize {
        self.shape().image_bytes()
    }

    /// Resizes and crops into `out`, [`image_bytes`](Self::image_bytes) in CHW order. A grey image fills all
    /// three channels of a result in colour.
    pub(crate) fn apply(self, image: &Raster, out: &mut [u8]) {
        if self.grey && image.channels == 3 {
            return self.apply(&image.grey(), out);
        }
        let (height, width) = (image.height, image.width);
        let short = height.min(width);
        // The shorter side is exact; the longer one is rounded down to whole pixels.
        let side = |length: usize| self.resize * length / short;
        let columns = weights(width, side(width), self.window(side(width)));
        let rows = weights(height, side(height), self.window(side(height)));

        // The input rows that contribute to the output rows inside the crop.
        let first = rows[0].first;
        let last = rows.iter().map(|row| row.first + row.weights.len()).max().unwrap_or(first);
        let stride = width * image.samples;
        let plane = self.crop * self.crop;
        let mut narrowed = vec![0; (last - first) * self.crop];
        for channel in 0..image.channels {
            for (row, narrow) in (first..last).zip(narrowed.chunks_exact_mut(self.crop)) {
                let pixels = &image.pixels[row * stride..(row + 1) * stride];
                for (column, pixel) in columns.iter().zip(narrow) {
                    let under = pixels[column.first * image.samples + channel..].iter();
                    *pixel = to_pixel(sum(&column.weights, under.step_by(image.samples)));
                }
            }
            let resized = out[channel * plane..(channel + 1) * plane].chunks_exact_mut(self.crop);
            let mut sums = vec![0; self.crop];
            for (row, resized) in rows.iter().zip(resized) {
                sums.fill(HALF);
                let under = narrowed[(row.first - first) * self.crop..].chunks_exact(self.crop);
                for (&weight, narrow) in row.weights.iter().zip(under) {
                    sums.iter_mut().zip(narrow).for_each(|(sum, &pixel)| *sum += weight * i32::from(pixel));
                }
                resized.iter_mut().zip(&sums).for_each(|(pixel, &sum)| *pixel = to_pixel(sum));
            }
        }
        if image.channels == 1 && !self.grey {
            let (grey, others) = out.split_at_mut(plane);
            others.chunks_exact_mut(plane).for_each(|other| other.copy_from_slice(grey));
        }
    }

    /// Returns the pixels of a side of `length` that lie inside the crop. Halves are rounded to even, as in
    /// Python.
    fn window(self, length: usize) -> Range<usize> {
        let excess = length - self.crop;
        let half = excess / 2;
        let first = if excess % 2 == 1 && half % 2 == 1 { half + 1 } else { half };
        first..first + self.crop
    }
}

/// One half in fixed point: the initial value of a sum, which rounds it.
const HALF: i32 = 1 << (PRECISION_BITS - 1);

fn sum<'a>(weights: &[i32], pixels: impl Iterator<Item = &'a u8>) -> i32 {
    weights.iter().zip(pixels).fold(HALF, |sum, (&weight, &pixel)| sum + weight * i32::from(pixel))
}

/// Rounds a sum down; `HALF` is already included.
fn to_pixel(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// The input pixels and weights of one output pixel along one axis.
struct Weights {
    /// Index of the first input pixel.
    first: usize,
    /// Weights of the input pixels from `first` on, in fixed point.
    weights: Vec<i32>,
}

/// The weights for the output pixels in `window` when a side of `from` pixels becomes one of `to`.
fn weights(from: usize, to: usize, window: Range<usize>) -> Vec<Weights> {
    let scale = from as f64 / to as f64;
    // The triangle is never narrower than two input pixels.
    let support = scale.max(1.0);
    let inverse = 1.0 / support;
    let one = |output: usize| {
        let center = (output as f64 + 0.5) * scale;
        // The conversion truncates towards 0, as a cast in C does.
        let first = (center - support + 0.5).max(0.0) as usize;
        let end = ((center + support + 0.5) as usize).min(from);
        let weight = |input: usize| {
            let distance = ((input as f64 - center + 0.5) * inverse).abs();
            if distance < 1.0 { 1.0 - distance } else { 0.0 }
        };
        let real: Vec<f64> = (first..end).map(weight).collect();
        let total: f64 = real.iter().fold(0.0, |total, weight| total + weight);
        let fixed = |weight: &f64| (0.5 + weight / total * f64::from(1 << PRECISION_BITS)) as i32;
        Weights { first, weights: real.iter().map(fixed).collect() }
    };
    window.map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_pairs_and_the_proportion_between() {
        for (side, resize) in [(224, 256), (299, 342), (64, 73), (32, 37), (1, 1), (7, 8), (4096, 4681)] {
            assert_eq!(
                ResizeCrop::for_side(side),
                Some(ResizeCrop { resize, crop: side, grey: false }),
                "{side}"
            );
        }
        assert_eq!((ResizeCrop::for_side(0), ResizeCrop::for_side(4097)), (None, None));
    }

    /// The test's expected values are `int(round((length - 4) / 2.0))` in Python.
    #[test]
    fn the_crop_rounds_halves_to_even() {
        let crop = ResizeCrop { resize: 4, crop: 4, grey: false };
        let firsts: Vec<usize> = (4..12).map(|length| crop.window(length).start).collect();
        assert_eq!(firsts, [0, 0, 1, 2, 2, 2, 3, 4]);
    }

    #[test]
    fn weights_add_up_to_one() {
        for (from, to) in [(500, 256), (375, 256), (16384, 37), (3, 256), (1, 37), (256, 256), (257, 256)] {
            for one in weights(from, to, 0..to) {
                let total: i32 = one.weights.iter().sum();
                assert!((total - (1 << PRECISION_BITS)).abs() <= one.weights.len() as i32, "{from} to {to}");
                assert!(one.first + one.weights.len() <= from);
            }
        }
    }
}
