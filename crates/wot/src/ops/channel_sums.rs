//! Sums over all pixels for each channel, in an order that threads cannot change.

use std::ops::Range;

use rayon::prelude::*;

/// Number of pixels that are added in f32 before they enter an f64 sum.
const BLOCK: usize = 32;
/// Largest number of parts into which the pixels are divided. It is fixed, so that the order of additions is
/// fixed.
const PARTS: usize = 64;

/// Smallest and largest value of each channel, ignoring NaNs.
#[derive(Clone, Debug, PartialEq)]
pub struct Extremes {
    /// Smallest value of each channel.
    pub low: Vec<f32>,
    /// Largest value of each channel.
    pub high: Vec<f32>,
}

impl Extremes {
    pub(super) fn none(channels: usize) -> Self {
        Self { low: vec![f32::INFINITY; channels], high: vec![f32::NEG_INFINITY; channels] }
    }

    pub(super) fn join(&mut self, other: &Self) {
        self.low.iter_mut().zip(&other.low).for_each(|(low, other)| *low = low.min(*other));
        self.high.iter_mut().zip(&other.high).for_each(|(high, other)| *high = high.max(*other));
    }
}

/// Widens [`low`, `high`] to contain `value`; a NaN is ignored.
#[inline(always)]
pub(super) fn widen(low: &mut f32, high: &mut f32, value: f32) {
    *low = if value < *low { value } else { *low };
    *high = if value > *high { value } else { *high };
}

/// Computes `N` sums for each channel, and the extremes that `add` finds. `add(range, sums, extremes)` adds
/// the terms of a range of values, at most [`BLOCK`] whole pixels, to `N` times `channels` f32 sums.
///
/// Terms of a block are added in f32, blocks in f64, in memory order.
pub(super) fn channel_sums<const N: usize>(
    values: usize,
    channels: usize,
    add: impl Fn(Range<usize>, &mut [Vec<f32>; N], &mut Extremes) + Sync,
) -> ([Vec<f64>; N], Extremes) {
    let pixels = values / channels;
    let blocks = pixels.div_ceil(BLOCK);
    let part = blocks.div_ceil(PARTS).max(1) * BLOCK;
    let parts: Vec<([Vec<f64>; N], Extremes)> = (0..pixels.div_ceil(part))
        .into_par_iter()
        .map(|index| {
            let mut sums: [Vec<f64>; N] = std::array::from_fn(|_| vec![0.0; channels]);
            let mut block: [Vec<f32>; N] = std::array::from_fn(|_| vec![0.0; channels]);
            let mut extremes = Extremes::none(channels);
            let end = ((index + 1) * part).min(pixels);
            for first in (index * part..end).step_by(BLOCK) {
                block.iter_mut().for_each(|sums| sums.fill(0.0));
                add(first * channels..(first + BLOCK).min(end) * channels, &mut block, &mut extremes);
                for (sums, block) in sums.iter_mut().zip(&block) {
                    sums.iter_mut().zip(block).for_each(|(sum, &term)| *sum += f64::from(term));
                }
            }
            (sums, extremes)
        })
        .collect();
    let mut total: [Vec<f64>; N] = std::array::from_fn(|_| vec![0.0; channels]);
    let mut extremes = Extremes::none(channels);
    for (sums, part) in &parts {
        for (total, sums) in total.iter_mut().zip(sums) {
            total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
        }
        extremes.join(part);
    }
    (total, extremes)
}
