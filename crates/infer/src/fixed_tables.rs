//! The rule `tflite-reference` for operations on one or two levels, as tables over bytes, and for means.
//!
//! A byte is a uint8 level, or an int8 level plus 128. Differences from the zero byte are those of the levels. The
//! operations that turn scales into factors are IEEE operations of the precision that the reference kernels have.

use graph::{Function, Op};

use crate::fixed_point::FixedFactor;
use crate::given_tables::{Bytes, Pairs, pairs};

/// Number of bits by which the levels of a sum are raised before they are scaled.
const RAISED: u32 = 20;

/// Levels of a byte above its zero.
fn level(of: Bytes, byte: u8) -> i32 {
    i32::from(byte) - i32::from(of.zero)
}

/// Byte of a number of levels from the level of 0.
fn byte(to: Bytes, levels: i32) -> u8 {
    (levels + i32::from(to.zero)).clamp(0, 255) as u8
}

/// Refuses a factor whose products are undefined.
fn checked(factor: FixedFactor, most: u64) -> Result<FixedFactor, String> {
    match factor.takes(most) {
        true => Ok(factor),
        false => Err(format!("multiplies up to {most} by {factor:?}, expected products that fit into i32")),
    }
}

/// Byte of a real value of the input, halves away from 0.
pub(crate) fn quantized(to: Bytes, value: f32) -> u8 {
    ((value / to.scale).round() + f32::from(to.zero)).clamp(0.0, 255.0) as u8
}

/// Sums.
pub(crate) fn sums(a: Bytes, b: Bytes, to: Bytes) -> Result<Pairs, String> {
    let twice = f64::from(2.0 * a.scale.max(b.scale));
    let [factor_a, factor_b] = [a, b].map(|input| FixedFactor::of(f64::from(input.scale) / twice));
    let ratio = twice / f64::from((1 << RAISED) as f32 * to.scale);
    if ratio.is_nan() || ratio >= 1.0 {
        return Err(format!(
            "adds levels of {} and {} units to levels of {} units, expected larger ones",
            a.scale, b.scale, to.scale
        ));
    }
    let factor = FixedFactor::of(ratio);
    Ok(pairs(|x, y| {
        let sum = factor_a.times(level(a, x) << RAISED) + factor_b.times(level(b, y) << RAISED);
        byte(to, factor.times(sum))
    }))
}

/// Products.
pub(crate) fn products(a: Bytes, b: Bytes, to: Bytes) -> Result<Pairs, String> {
    let factor = checked(FixedFactor::of(f64::from(a.scale * b.scale / to.scale)), 255 * 255)?;
    Ok(pairs(|x, y| byte(to, factor.times(level(a, x) * level(b, y)))))
}

/// Tables of operations with bounds; none for other operations.
pub(crate) fn bounded(op: &Op, from: Bytes, to: Bytes) -> Option<Result<[u8; 256], String>> {
    let single = || f64::from(from.scale / to.scale);
    let (ratio, min, max) = match *op {
        Op::Relu => (single(), 0.0, f32::INFINITY),
        Op::ClippedRelu { max } => (single(), 0.0, max),
        Op::Function(Function::Clip { min, max }) => (f64::from(from.scale) / f64::from(to.scale), min, max),
        _ => return None,
    };
    let (low, high) = (quantized(to, min), quantized(to, max));
    Some(checked(FixedFactor::of(ratio), 255).map(|factor| {
        // Not `clamp`: the lower bound may lie above the upper one.
        std::array::from_fn(|x| byte(to, factor.times(level(from, x as u8))).max(low).min(high))
    }))
}

/// Table of an input of a concatenation, which copies equal levels; others are scaled in f32, which only uint8 has.
pub(crate) fn copies(from: Bytes, to: Bytes, signed: bool) -> Result<[u8; 256], String> {
    if from == to {
        return Ok(std::array::from_fn(|byte| byte as u8));
    }
    if signed {
        return Err("joins int8 levels of other scales or zero points, expected those of its output".into());
    }
    let scale = from.scale * (1.0 / to.scale);
    let offset = -f32::from(from.zero) * scale;
    Ok(std::array::from_fn(|x| {
        ((x as f32 * scale + offset).round() + f32::from(to.zero)).clamp(0.0, 255.0) as u8
    }))
}

/// Global mean of `count` levels: the factor on their sum, counted from the zero of the input.
pub(crate) fn mean(from: Bytes, to: Bytes, count: usize) -> Result<FixedFactor, String> {
    let ratio = f64::from(from.scale) / f64::from(to.scale);
    let factor = FixedFactor::of(ratio);
    let count = u32::try_from(count).map_err(|_| format!("takes a mean of {count} values"))?;
    checked(factor, 1)?;
    checked(factor.mean(count), 255 * u64::from(count))
}

/// Byte of a global mean.
pub(crate) fn mean_byte(factor: FixedFactor, sum: i32, to: Bytes) -> u8 {
    byte(to, factor.times(sum))
}

/// Mean of a window: the sum of `count` levels, not counted from zero, divided and rounded, halves away from level 0.
/// `signed` says that a byte is a level plus 128.
pub(crate) fn rounded_mean(bytes: i32, count: i32, signed: bool) -> u8 {
    let offset = if signed { 128 } else { 0 };
    let sum = bytes - offset * count;
    let half = count / 2;
    let mean = if sum > 0 { (sum + half) / count } else { (sum - half) / count };
    (mean + offset) as u8
}
