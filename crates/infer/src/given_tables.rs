//! The rule `ort` for operations on one or two levels, as tables over bytes.
//!
//! A byte is a uint8 level, or an int8 level plus 128; its zero byte is moved in the same way. Every operation is the
//! f32 operation of ONNX Runtime's x64 kernels, in their order, so the tables have their bits.

use graph::{Function, Op};
use quant::GivenPoint;

/// Levels of a place as bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bytes {
    /// Units per level.
    pub(crate) scale: f32,
    /// Byte of 0.
    pub(crate) zero: u8,
}

impl Bytes {
    pub(crate) fn of(point: GivenPoint) -> Self {
        let offset = if point.signed { 128 } else { 0 };
        Self { scale: point.scale, zero: (point.zero_point + offset) as u8 }
    }

    /// Real value of a byte.
    pub(crate) fn value(self, byte: u8) -> f32 {
        self.scale * self.level(byte)
    }

    /// Level of a byte, counted from the level of 0.
    pub(crate) fn level(self, byte: u8) -> f32 {
        f32::from(i16::from(byte) - i16::from(self.zero))
    }

    /// Byte of a value in levels from the level of 0.
    pub(crate) fn byte(self, levels: f32) -> u8 {
        let zero = f32::from(self.zero);
        (levels.clamp(-zero, 255.0 - zero).round_ties_even() + zero) as u8
    }

    /// Byte of a real value.
    pub(crate) fn quantize(self, value: f32) -> u8 {
        self.byte(value / self.scale)
    }
}

/// All pairs of bytes of two inputs, `a * 256 + b`.
pub(crate) type Pairs = Box<[u8; 1 << 16]>;

/// Table of a function of two bytes.
pub(crate) fn pairs(value: impl Fn(u8, u8) -> u8) -> Pairs {
    let mut table = vec![0; 1 << 16];
    for (index, entry) in table.iter_mut().enumerate() {
        *entry = value((index >> 8) as u8, index as u8);
    }
    table.into_boxed_slice().try_into().expect("the table has this length")
}

/// Rounds a value in levels that already contains the zero, and saturates.
pub(crate) fn saturated(value: f32) -> u8 {
    value.round_ties_even().clamp(0.0, 255.0) as u8
}

/// Sums: two fused products on a constant that holds all zeros.
pub(crate) fn sums(a: Bytes, b: Bytes, to: Bytes) -> Pairs {
    let (ratio_a, ratio_b) = (a.scale / to.scale, b.scale / to.scale);
    let zeros = ratio_a.mul_add(f32::from(a.zero), ratio_b * f32::from(b.zero));
    let constant = f32::from(to.zero) - zeros;
    let parts: Vec<f32> = (0..=255u8).map(|b| f32::from(b).mul_add(ratio_b, constant)).collect();
    pairs(|a, b| saturated(f32::from(a).mul_add(ratio_a, parts[usize::from(b)])))
}

/// Products: an exact integer product, one f32 product and one f32 sum.
pub(crate) fn products(a: Bytes, b: Bytes, to: Bytes) -> Pairs {
    let ratio = a.scale * b.scale / to.scale;
    let zero = f32::from(to.zero);
    pairs(|x, y| saturated(a.level(x) * b.level(y) * ratio + zero))
}

/// Table of one byte: dequantized, changed and quantized.
pub(crate) fn table(from: Bytes, to: Bytes, value: impl Fn(f32) -> f32) -> [u8; 256] {
    std::array::from_fn(|byte| to.quantize(value(from.value(byte as u8))))
}

/// Table that copies bytes between equal levels and requantizes between others.
pub(crate) fn copies(from: Bytes, to: Bytes) -> [u8; 256] {
    match from == to {
        true => std::array::from_fn(|byte| byte as u8),
        false => table(from, to, |value| value),
    }
}

/// Function of a real value, or none where the rule has none.
pub(crate) fn function(op: &Op) -> Option<Box<dyn Fn(f32) -> f32>> {
    Some(match *op {
        Op::Relu => Box::new(|x: f32| x.max(0.0)),
        Op::ClippedRelu { max } => Box::new(move |x: f32| x.max(0.0).min(max)),
        Op::LeakyRelu { slope } => Box::new(move |x: f32| if x >= 0.0 { x } else { x * slope }),
        Op::Function(Function::Sigmoid) => Box::new(logistic),
        Op::Function(Function::HardSigmoid { slope, offset }) => {
            Box::new(move |x: f32| (x * slope + offset).clamp(0.0, 1.0))
        }
        Op::Function(Function::HardSwish) => Box::new(|x: f32| x * (x * (1.0 / 6.0) + 0.5).clamp(0.0, 1.0)),
        Op::Function(Function::Clip { min, max }) => Box::new(move |x: f32| x.max(min).min(max)),
        _ => return None,
    })
}

/// 1 / (1 + exp(-x)) as ONNX Runtime approximates it: x p(x^2) / q(x^2) + 1/2 within +-18, with fused operations. The
/// coefficients are Eigen's.
fn logistic(x: f32) -> f32 {
    const P: [f32; 5] = [4.370_31e-11, 1.156_273_2e-7, 6.085_749e-5, 8.513_771e-3, 2.482_879_5e-1];
    const Q: [f32; 6] =
        [6.102_473_7e-13, 5.761_021_4e-9, 6.291_068e-6, 1.701_988_2e-3, 1.168_176_5e-1, 9.931_519e-1];
    let x = x.clamp(-18.0, 18.0);
    let square = x * x;
    let polynomial = |coefficients: &[f32]| {
        let rest = coefficients[1..].iter();
        rest.fold(coefficients[0], |sum, &coefficient| sum.mul_add(square, coefficient))
    };
    (x * polynomial(&P) / polynomial(&Q) + 0.5).max(0.0)
}
