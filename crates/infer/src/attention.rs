//! Multi-head attention on levels.
//!
//! Let q, k and v be the levels of the queries, keys and values of one head, and s_q, s_k, s_v and s_out levels per unit. For
//! a token t, and for each token s that it attends to,
//!
//! ```text
//! A[s] = sum of q[t] k[s]                     exact, i32
//! x    = min(f32(max A - A[s]) b, 9)          b = f32((scale log2(e)) / (s_q s_k)), the inner part in f64
//! E[s] = round(2^-x 255)                      0..=255; the token with the largest product has 255
//! N    = sum of E[s] v[s],  S = sum of E[s]   exact, i32
//! value = f32(N) (m / f32(S))                 m = f32(s_out / s_v)
//! ```
//!
//! So E / S are the probabilities of a softmax, as levels of 8 bits that have a scale of their own in each row, by which the
//! division by S is a multiplication of the sum. Both products are those of int8 hardware; only the softmax leaves it.
//!
//! The power 2^-x needs no library: with i = round(x) and r = x - i, which is exact and in -1/2..=1/2, it is P(r) 2^-i, where
//! the polynomial P is 255 2^-r with a relative error below 3e-6, and 2^-i is a bit pattern. An error of this size moves a
//! level only near a half. The sequence of products and sums is fixed, so every machine finds the same levels.
//!
//! A sum over bytes instead of levels of the keys adds the same number to every A[s], which the difference cancels. For the
//! values, the byte of level 0 times S is subtracted.

use std::ops::Range;

use crate::frame::Frame;
use crate::requantize::{Bounds, Element, ROUND};

/// Number of channels whose sums are computed at once.
const SUMS: usize = 64;

/// Exponent from which on a probability is level 0: 255 2^-9 is below 1/2.
const LARGEST_EXPONENT: f32 = 9.0;

/// Coefficients of the polynomial for 255 2^-r, from the highest power of r to the lowest.
const POWER: [f32; 5] = [2.4436276, -14.256139, 61.26145, -176.74667, 255.0];

/// Attention of equally many queries, keys and values.
#[derive(Clone, Debug)]
pub(crate) struct Attention {
    pub(crate) heads: usize,
    /// Factor that turns a difference of products into an exponent of 2: b above.
    pub(crate) exponent: f32,
    /// Levels per unit of the output by those of the values: m above.
    pub(crate) multiplier: f32,
}

/// The image of an input and its memory layout.
type Image<'a> = (&'a [u8], Frame);

impl Attention {
    /// Computes neighbouring tokens of one row; `output` holds their channels.
    #[inline(always)]
    pub(crate) fn run<E: Element>(
        &self,
        [(q, queries), (k, keys), (v, values)]: [Image<'_>; 3],
        row: usize,
        columns: Range<usize>,
        bounds: Bounds,
        output: &mut [E],
    ) {
        let channels = queries.dims.channels;
        let size = channels / self.heads;
        let (key_places, value_places) = (places(&keys), places(&values));
        let mut query = vec![0i16; size];
        let mut products = vec![0i32; key_places.len()];
        let mut weights = vec![0u8; key_places.len()];
        for first in (0..channels).step_by(size) {
            for (column, out) in columns.clone().zip(output.chunks_exact_mut(channels)) {
                let levels = &q[queries.pixel(row, column) + first..][..size];
                for (level, byte) in query.iter_mut().zip(levels) {
                    *level = i16::from(*byte) - i16::from(queries.zero);
                }
                for (product, place) in products.iter_mut().zip(&key_places) {
                    *product = dot(&query, &k[place + first..][..size]);
                }
                let total = self.weigh(&products, &mut weights);
                let multiplier = self.multiplier / total as f32;
                let zero = i32::from(values.zero) * total;
                for (block, out) in out[first..][..size].chunks_mut(SUMS).enumerate() {
                    let first = first + block * SUMS;
                    let mut sums = [0; SUMS];
                    for (weight, place) in weights.iter().zip(&value_places) {
                        let weight = i32::from(*weight);
                        let values = &v[place + first..][..out.len()];
                        sums.iter_mut().zip(values).for_each(|(sum, v)| *sum += weight * i32::from(*v));
                    }
                    for (out, sum) in out.iter_mut().zip(sums) {
                        *out = bounds.finish((sum - zero) as f32 * multiplier);
                    }
                }
            }
        }
    }

    /// Converts products to the levels of a row's probabilities, and returns the sum of these.
    #[inline(always)]
    fn weigh(&self, products: &[i32], weights: &mut [u8]) -> i32 {
        let largest = products.iter().copied().max().unwrap_or(0);
        let mut total = 0;
        for (weight, product) in weights.iter_mut().zip(products) {
            *weight = probability((largest - product) as f32 * self.exponent);
            total += i32::from(*weight);
        }
        total
    }
}

/// Returns the position of each token, row by row.
fn places(frame: &Frame) -> Vec<usize> {
    let row = |row| (0..frame.dims.width).map(move |column| frame.pixel(row, column));
    (0..frame.dims.height).flat_map(row).collect()
}

/// Returns round(255 2^-x) for x that is not negative.
#[inline(always)]
fn probability(x: f32) -> u8 {
    let x = if x < LARGEST_EXPONENT { x } else { LARGEST_EXPONENT };
    let rounded = x + ROUND;
    let exponent = rounded.to_bits().wrapping_sub(ROUND.to_bits());
    let rest = x - (rounded - ROUND);
    let [first, others @ ..] = POWER;
    let power = others.iter().fold(first, |sum, coefficient| sum * rest + coefficient);
    let scale = f32::from_bits((127u32.wrapping_sub(exponent)) << 23);
    // The low bits hold the integer.
    (power * scale + ROUND).to_bits() as u8
}

/// Returns the sum of the products of levels and bytes.
#[inline(always)]
fn dot(levels: &[i16], bytes: &[u8]) -> i32 {
    levels.iter().zip(bytes).map(|(level, byte)| i32::from(*level) * i32::from(*byte)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule S342 of the specification.
    #[test]
    fn probabilities_are_those_of_an_exact_power_but_near_halves() {
        assert_eq!(probability(0.0), 255);
        assert_eq!([9.0, 9.5, 1e30, f32::INFINITY].map(probability), [0; 4]);
        let mut last = 255;
        for i in 0..=9000 {
            let x = i as f32 / 1000.0;
            let exact = 255.0 * (-f64::from(x)).exp2();
            let level = probability(x);
            let error = (f64::from(level) - exact).abs();
            assert!(error <= 0.5 + 1e-3, "{x}: {level}, expected {exact}");
            assert!(level <= last, "{x}: {level} after {last}");
            last = level;
        }
    }
}
