//! Converts an exact integer to a level: one f32 multiplication, one f32 addition, a clamp, a rounding.
//!
//! Everything after the integer sum must give the same bits on every machine, or a record would depend on the
//! machine. IEEE 754 fixes the result of each conversion, product and sum; Rust never contracts `a * b + c`
//! into a fused operation and never reorders float arithmetic. So the only freedom left is which operations
//! are written down, and they are these:
//!
//! ```text
//! value = (acc as f32) * multiplier + offset        level = round_half_even(clamp(value, low, high))
//! ```
//!
//! Clamping before rounding equals rounding before clamping, since the bounds are integers, and it makes the
//! value small enough for a well-known rounding trick: in [2^23, 2^24) neighbouring f32 values differ by
//! exactly 1. Adding 1.5 * 2^23 therefore rounds to the nearest integer, ties to even (the default rounding
//! direction, which Rust guarantees), and leaves that integer in the low bits of the sum.
//! `f32::round_ties_even` is a library call before SSE4.1; this trick needs only an f32 addition and is a
//! vector operation everywhere. A byte holds a level plus 0 or 128 ([`Frame::zero`](crate::frame::Frame));
//! both are even, so adding them before rounding changes no tie. A network that another program quantized may have odd zeros, and
//! adds them after rounding.

/// 1.5 * 2^23; its bit pattern ends in 22 zeros.
pub(crate) const ROUND: f32 = 12_582_912.0;

/// An output element: the byte of a level, or an unrounded logit.
pub(crate) trait Element: Copy + Default + PartialOrd {
    /// Converts the byte of a level that is moved and not computed; `zero` is the byte of level 0.
    fn from_byte(byte: u8, zero: u8) -> Self;

    /// Converts a value that is clamped to the output's range; `round` is [`Bounds::round`].
    fn from_clamped(value: f32, round: f32) -> Self;

    /// Takes the byte of a level, or the unrounded value.
    fn either(byte: u8, value: f32) -> Self;
}

impl Element for u8 {
    #[inline(always)]
    fn from_byte(byte: u8, _: u8) -> u8 {
        byte
    }

    #[inline(always)]
    fn from_clamped(value: f32, round: f32) -> u8 {
        // The low bits hold the integer.
        (value + round).to_bits() as u8
    }

    #[inline(always)]
    fn either(byte: u8, _: f32) -> u8 {
        byte
    }
}

impl Element for f32 {
    #[inline(always)]
    fn from_byte(byte: u8, zero: u8) -> f32 {
        f32::from(byte) - f32::from(zero)
    }

    #[inline(always)]
    fn from_clamped(value: f32, _: f32) -> f32 {
        value
    }

    #[inline(always)]
    fn either(_: u8, value: f32) -> f32 {
        value
    }
}

/// What a convolution writes for a sum: an [`Element`], or the sum itself.
pub(crate) trait Output: Copy + Default {
    /// Converts a complete sum.
    fn of_sum(sum: i32, multiplier: f32, offset: f32, bounds: Bounds) -> Self;
}

impl<E: Element> Output for E {
    #[inline(always)]
    fn of_sum(sum: i32, multiplier: f32, offset: f32, bounds: Bounds) -> Self {
        bounds.finish(sum as f32 * multiplier + offset)
    }
}

impl Output for i32 {
    #[inline(always)]
    fn of_sum(sum: i32, _: f32, _: f32, _: Bounds) -> Self {
        sum
    }
}

/// Bounds of an output, in levels; infinite for logits. A fused ReLU is `low` = 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    low: f32,
    high: f32,
    /// Summand that rounds a level and converts it to the byte of a frame.
    round: f32,
}

impl Bounds {
    /// Bounds of levels from `low` to `high`, in a frame with `zero` as the byte of level 0.
    pub(crate) fn levels(low: i16, high: i16, zero: u8) -> Self {
        debug_assert!(zero.is_multiple_of(2), "an odd zero would change ties");
        Self { low: low.into(), high: high.into(), round: ROUND + f32::from(zero) }
    }

    /// Bounds of unrounded values from `low` to `high`.
    pub(crate) fn unrounded(low: f32, high: f32) -> Self {
        Self { low, high, round: 0.0 }
    }

    /// Clamps and, for levels, rounds.
    #[inline(always)]
    pub(crate) fn finish<E: Element>(self, value: f32) -> E {
        // `value` is never NaN, and two plain comparisons compile to a max and a min instruction.
        let value = if value < self.low { self.low } else { value };
        let value = if value > self.high { self.high } else { value };
        E::from_clamped(value, self.round)
    }
}

/// A function of a level, by the level's byte.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Table {
    bytes: [u8; 256],
    values: [f32; 256],
}

impl Table {
    /// Clamps and, for levels, rounds the value for each byte.
    pub(crate) fn new(values: [f32; 256], bounds: Bounds) -> Self {
        Self {
            bytes: values.map(|value| bounds.finish(value)),
            values: values.map(|value| bounds.finish(value)),
        }
    }

    #[inline(always)]
    pub(crate) fn get<E: Element>(&self, byte: u8) -> E {
        E::either(self.bytes[usize::from(byte)], self.values[usize::from(byte)])
    }
}

/// `value = acc * multiplier + offset`, with a multiplier and an offset for each channel.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Affine {
    pub(crate) multiplier: Vec<f32>,
    pub(crate) offset: Vec<f32>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The two ways of storing levels, each with its zero.
    fn ranges() -> [(Bounds, i16); 2] {
        [(Bounds::levels(-127, 127, 128), 128), (Bounds::levels(0, 255, 0), 0)]
    }

    fn check(value: f32) {
        for (bounds, zero) in ranges() {
            let plain = value.round_ties_even().clamp(bounds.low, bounds.high) as i16;
            assert_eq!(i16::from(bounds.finish::<u8>(value)), plain + zero, "{value}, zero {zero}");
        }
    }

    #[test]
    fn every_half_and_its_neighbours_round_as_round_ties_even_does() {
        for twice in -2000..=2000i16 {
            let half = f32::from(twice) / 2.0;
            [half.next_down(), half, half.next_up()].into_iter().for_each(check);
        }
    }

    #[test]
    fn the_extremes_are_clamped() {
        let values = [f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, -0.0, f32::MIN_POSITIVE];
        values.into_iter().for_each(check);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn any_value_rounds_as_round_ties_even_does(value in prop_oneof![-300f32..300.0, any::<f32>()]) {
            prop_assume!(!value.is_nan());
            check(value);
        }
    }
}
