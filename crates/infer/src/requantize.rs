//! From an exact integer to a level: one f32 multiplication, one f32 addition, a clamp, a rounding.
//!
//! Everything after the integer sum must give the same bits on every machine, or a record would
//! depend on who made it. IEEE 754 fixes the result of each conversion, product and sum; Rust never
//! contracts `a * b + c` into a fused operation and never reorders float arithmetic. So the only
//! freedom left is which operations are written down, and they are these:
//!
//! ```text
//! value = (acc as f32) * multiplier + offset        level = round_half_even(clamp(value, low, high))
//! ```
//!
//! Clamping before rounding equals rounding before clamping, since the bounds are integers, and it makes
//! the value small enough for the classic rounding trick: in [2^23, 2^24) neighbouring f32 lie exactly 1
//! apart, so adding 1.5 * 2^23 lets the addition itself round to the nearest integer, ties to even (the
//! default rounding direction, which Rust guarantees), and leaves that integer in the low bits of the
//! sum. Unlike `f32::round_ties_even`, which is a library call before SSE4.1, this needs nothing beyond
//! an f32 addition and is a vector operation everywhere.

/// 1.5 * 2^23; its bit pattern ends in 22 zeros.
const ROUND: f32 = 12_582_912.0;

/// An output element: a level, or an unrounded logit.
pub(crate) trait Element: Copy + Default + PartialOrd + From<i16> {
    /// From a value already clamped to the output's range.
    fn from_clamped(value: f32) -> Self;
}

impl Element for i16 {
    #[inline(always)]
    fn from_clamped(value: f32) -> i16 {
        // The low 16 bits hold the integer in two's complement, for any |value| < 2^15.
        (value + ROUND).to_bits() as i16
    }
}

impl Element for f32 {
    #[inline(always)]
    fn from_clamped(value: f32) -> f32 {
        value
    }
}

/// Bounds of an output, in units of its levels; infinite for logits. A fused ReLU is `low` = 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) low: f32,
    pub(crate) high: f32,
}

impl Bounds {
    /// Clamps and, for levels, rounds.
    #[inline(always)]
    pub(crate) fn finish<E: Element>(self, value: f32) -> E {
        // Two plain comparisons: `value` is never NaN, and this form is a max and a min instruction.
        let value = if value < self.low { self.low } else { value };
        let value = if value > self.high { self.high } else { value };
        E::from_clamped(value)
    }
}

/// `value = acc * multiplier + offset`, a pair for each channel.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Affine {
    pub(crate) multiplier: Vec<f32>,
    pub(crate) offset: Vec<f32>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LEVELS: Bounds = Bounds { low: -127.0, high: 255.0 };

    fn plain(value: f32) -> i16 {
        value.round_ties_even().clamp(LEVELS.low, LEVELS.high) as i16
    }

    #[test]
    fn every_half_and_its_neighbours_round_as_round_ties_even_does() {
        for twice in -2000..=2000i16 {
            let half = f32::from(twice) / 2.0;
            for value in [half.next_down(), half, half.next_up()] {
                assert_eq!(LEVELS.finish::<i16>(value), plain(value), "{value}");
            }
        }
    }

    #[test]
    fn the_extremes_are_clamped() {
        for value in [f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, -0.0, f32::MIN_POSITIVE] {
            assert_eq!(LEVELS.finish::<i16>(value), plain(value), "{value}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn any_value_rounds_as_round_ties_even_does(value in prop_oneof![-300f32..300.0, any::<f32>()]) {
            prop_assume!(!value.is_nan());
            prop_assert_eq!(LEVELS.finish::<i16>(value), plain(value));
        }
    }
}
