//! Real factors as integers, and the levels that they make of exact sums: the rule `tflite-reference`.
//!
//! The reference kernels of TensorFlow Lite multiply no sum in floating point. A factor m is an integer f of 31 bits and a
//! shift s, m ~ f 2^(s - 31), and a sum x becomes
//!
//! ```text
//! high  = floor((x 2^max(s, 0) f + 2^30) / 2^31)        a product in i64; halves go up
//! value = high / 2^max(-s, 0)                           rounded to nearest, halves away from 0
//! ```
//!
//! Both divisions round, which gives other levels than one rounding of the exact product for about one value in a thousand.
//! (gemmlowp writes the first as a truncation toward 0 of the product plus 2^30, or minus 2^30 plus 1 if it is
//! negative. This is the same number.)
//!
//! Linear layers of int8 are the exception: they multiply by m in f64 and round once.

use crate::conv::{Conv, Pixels};
use crate::kernel::{Kernel, Loop};

/// Number of sums that are kept at a time, so that they stay in a second-level cache.
const SUMS: usize = 1 << 15;

/// A factor that is not negative: `factor` 2^(`shift` - 31).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FixedFactor {
    /// 0, or in 2^30..2^31; smaller only in a [`FixedFactor::mean`].
    factor: i32,
    shift: i32,
}

impl FixedFactor {
    /// Rounds a finite number that is not negative to 31 bits, halves up. Numbers below 2^-32 become 0.
    pub(crate) fn of(real: f64) -> Self {
        const FRACTION: u32 = f64::MANTISSA_DIGITS - 1;
        let bits = real.to_bits();
        let mut shift = (bits >> FRACTION) as i32 - 1022;
        // Numbers without a leading one are far below 2^-32.
        let fraction = bits & ((1 << FRACTION) - 1) | 1 << FRACTION;
        let mut factor = (fraction + (1 << (FRACTION - 31))) >> (FRACTION - 30);
        if factor == 1 << 31 {
            factor /= 2;
            shift += 1;
        }
        match shift < -31 {
            true => Self { factor: 0, shift: 0 },
            false => Self { factor: factor as i32, shift },
        }
    }

    /// The factor on a sum of `count` levels that makes it a mean. The quotient of the integers is rounded down.
    pub(crate) fn mean(self, count: u32) -> Self {
        let shift = count.ilog2().min((31 + self.shift) as u32);
        let factor = (i64::from(self.factor) << shift) / i64::from(count);
        Self { factor: factor as i32, shift: self.shift - shift as i32 }
    }

    /// True if the products of all numbers up to `most` are defined, with room for a zero point.
    pub(crate) fn takes(self, most: u64) -> bool {
        let limit = (i32::MAX - 256) as u64;
        self.shift <= 31 && most <= limit >> self.shift.max(0)
    }

    /// Multiplies a number that [`FixedFactor::takes`].
    pub(crate) fn times(self, x: i32) -> i32 {
        let [left, right] = self.shifts();
        multiply(x, self.factor, left, right)
    }

    /// The shifts before and after the product.
    fn shifts(self) -> [i32; 2] {
        [self.shift.max(0), (-self.shift).max(0)]
    }
}

#[inline(always)]
fn multiply(x: i32, factor: i32, left: i32, right: i32) -> i32 {
    let product = i64::from(x << left) * i64::from(factor);
    let high = ((product + (1 << 30)) >> 31) as i32;
    let mask = ((1u32 << right) - 1) as i32;
    let threshold = (mask >> 1) + i32::from(high < 0);
    (high >> right) + i32::from(high & mask > threshold)
}

/// The numbers by which a layer multiplies its sums, one for each channel.
#[derive(Clone, Debug)]
pub(crate) enum Factors {
    Fixed(Vec<FixedFactor>),
    /// In f64, with one rounding, halves away from 0.
    Real(Vec<f64>),
}

/// The levels of a layer with weights.
#[derive(Clone, Debug)]
pub(crate) struct FixedLevels {
    /// For each channel, the factor and its shifts.
    factors: Vec<i32>,
    left: Vec<i32>,
    right: Vec<i32>,
    /// In place of factors; otherwise empty.
    reals: Vec<f64>,
    /// Number of channels.
    channels: usize,
    /// Byte of 0 in the output.
    zero: u8,
    windows: Option<WindowSums>,
    /// Start of each output pixel in a tile of images.
    pixels: Vec<u32>,
}

/// The sums of the input levels of windows, which all weights of a layer multiply in addition.
#[derive(Clone, Debug)]
pub(crate) struct WindowSums {
    /// A convolution by ones, with one output channel for each group.
    pub(crate) ones: Conv,
    /// Number that all weights miss.
    pub(crate) summand: i32,
}

impl FixedLevels {
    /// Takes the factor of each channel and the start of each output pixel of a tile.
    pub(crate) fn new(factors: Factors, zero: u8, windows: Option<WindowSums>, pixels: Vec<u32>) -> Self {
        let (factors, reals) = match factors {
            Factors::Fixed(factors) => (factors, Vec::new()),
            Factors::Real(reals) => (Vec::new(), reals),
        };
        Self {
            channels: factors.len().max(reals.len()),
            factors: factors.iter().map(|factor| factor.factor).collect(),
            left: factors.iter().map(|factor| factor.shifts()[0]).collect(),
            right: factors.iter().map(|factor| factor.shifts()[1]).collect(),
            reals,
            zero,
            windows,
            pixels,
        }
    }

    /// Computes the levels of some images. The output frame of `conv` has no border.
    pub(crate) fn run(&self, conv: &Conv, kernel: Kernel, input: &[u8], images: usize, output: &mut [u8]) {
        let channels = self.channels;
        let (begins, _) = conv.windows(images);
        // Whole images have a faster way, and few pixels read all weights for little work.
        let least = if conv.prefers_whole_images() { begins.len() } else { conv.weight_bytes() / channels };
        let part = (SUMS / channels).max(least).max(1).min(begins.len());
        let is_whole = part == begins.len();
        let dense: Vec<u32> = (0..part).map(|pixel| (pixel * channels) as u32).collect();
        let mut sums = vec![0; part * channels];
        let groups = self.windows.as_ref().map_or(0, |windows| windows.ones.shape().output.channels);
        let dense_windows: Vec<u32> = (0..part).map(|pixel| (pixel * groups) as u32).collect();
        let mut window_sums = vec![0; part * groups];
        for (begins, pixels) in begins.chunks(part).zip(self.pixels.chunks(part)) {
            let at = |dense| match is_whole {
                true => Pixels::Of(images),
                false => Pixels::Some { begins, pixels: dense },
            };
            let sums = &mut sums[..begins.len() * channels];
            conv.run(kernel, 0..conv.panels(), input, at(&dense[..begins.len()]), sums);
            if let Some(WindowSums { ones, summand }) = &self.windows {
                let window_sums = &mut window_sums[..begins.len() * groups];
                let pixels = &dense_windows[..begins.len()];
                ones.run(kernel, 0..ones.panels(), input, at(pixels), window_sums);
                kernel.vectorize(AddWindows { sums, window_sums, summand: *summand, channels, groups });
            }
            kernel.vectorize(Levels { layer: self, sums, pixels, output });
        }
    }
}

/// Adds the window sums of a pixel's groups to the sums of their channels.
struct AddWindows<'a> {
    sums: &'a mut [i32],
    window_sums: &'a [i32],
    summand: i32,
    channels: usize,
    groups: usize,
}

impl Loop for AddWindows<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { sums, window_sums, summand, channels, groups } = self;
        let each = channels / groups;
        if each == 1 {
            sums.iter_mut().zip(window_sums).for_each(|(sum, window)| *sum += summand * window);
            return;
        }
        for (sums, window) in sums.chunks_exact_mut(each).zip(window_sums) {
            let window = summand * window;
            sums.iter_mut().for_each(|sum| *sum += window);
        }
    }
}

/// Writes the levels of dense sums to the channels of their pixels.
struct Levels<'a> {
    layer: &'a FixedLevels,
    sums: &'a [i32],
    pixels: &'a [u32],
    output: &'a mut [u8],
}

impl Loop for Levels<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { layer, sums, pixels, output } = self;
        let channels = layer.channels;
        let zero = i32::from(layer.zero);
        for (sums, &pixel) in sums.chunks_exact(channels).zip(pixels) {
            let out = &mut output[pixel as usize..][..channels];
            if !layer.reals.is_empty() {
                for ((out, &sum), real) in out.iter_mut().zip(sums).zip(&layer.reals) {
                    let value = (f64::from(sum) * real).round() as i32;
                    *out = value.saturating_add(zero).clamp(0, 255) as u8;
                }
                continue;
            }
            let (factors, left, right) =
                (&layer.factors[..channels], &layer.left[..channels], &layer.right[..channels]);
            for channel in 0..channels {
                let value = multiply(sums[channel], factors[channel], left[channel], right[channel]);
                out[channel] = (value + zero).clamp(0, 255) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The formulas of gemmlowp, with truncation toward 0.
    fn gemmlowp(x: i32, factor: i32, shift: i32) -> i32 {
        let product = (i64::from(x) << shift.max(0)) * i64::from(factor);
        let nudge = if product >= 0 { 1 << 30 } else { 1 - (1 << 30) };
        let high = (product + nudge) / (1 << 31);
        let right = (-shift).max(0);
        let mask = (1i64 << right) - 1;
        let threshold = (mask >> 1) + i64::from(high < 0);
        ((high >> right) + i64::from(high & mask > threshold)) as i32
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn products_round_as_those_of_gemmlowp(
            x in any::<i32>(),
            factor in prop_oneof![Just(0), 1 << 30..=i32::MAX],
            shift in -31..=8i32,
        ) {
            let x = x >> (shift.max(0) + 1);
            prop_assert_eq!(FixedFactor { factor, shift }.times(x), gemmlowp(x, factor, shift));
        }

        #[test]
        fn a_factor_is_the_number_within_half_a_unit_of_its_last_place(real in 1e-9..1e3f64) {
            let FixedFactor { factor, shift } = FixedFactor::of(real);
            prop_assert!((1 << 30..=i32::MAX).contains(&factor));
            let scale = 2f64.powi(31 - shift);
            prop_assert!((real * scale - f64::from(factor)).abs() <= 0.5);
        }
    }

    #[test]
    fn factors_at_the_edges() {
        let of = |real| {
            let FixedFactor { factor, shift } = FixedFactor::of(real);
            (factor, shift)
        };
        assert_eq!(of(1.0), (1 << 30, 1));
        assert_eq!(of(0.5), (1 << 30, 0));
        assert_eq!(of(1f64.next_down()), (1 << 30, 1));
        assert_eq!(of(0.0), (0, 0));
        assert_eq!(of(f64::MIN_POSITIVE / 4.0), (0, 0));
        assert_eq!(of(2f64.powi(-32)), (1 << 30, -31));
        assert_eq!(of(2f64.powi(-32).next_down()), (1 << 30, -31));
        assert_eq!(of(2f64.powi(-33)), (0, 0));
        // Halves of the last place go up.
        assert_eq!(of(0.5 + 2f64.powi(-32)), ((1 << 30) + 1, 0));
    }
}
