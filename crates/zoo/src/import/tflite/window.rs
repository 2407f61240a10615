//! Paddings, strides and bounds of operators.

use graph::{Function, Op};
use quant::GivenPoint;

use super::schema::{ActivationFunctionType, Padding};

type Done<T> = Result<T, String>;

/// Sizes and steps of a window, in the order height, width.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) kernel: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) dilation: [usize; 2],
}

impl Window {
    /// Rows above and columns on the left, then rows below and columns on the right, that are added to an image of this
    /// height and width.
    pub(super) fn padding(&self, padding: Padding, size: [usize; 2]) -> Done<[[usize; 2]; 2]> {
        match padding {
            Padding::VALID => Ok([[0, 0], [0, 0]]),
            Padding::SAME => {
                let total = |axis: usize| {
                    let last = (size[axis].div_ceil(self.stride[axis]) - 1) * self.stride[axis];
                    let extent = (self.kernel[axis] - 1) * self.dilation[axis] + 1;
                    (last + extent).saturating_sub(size[axis])
                };
                let total = [total(0), total(1)];
                Ok([total.map(|n| n / 2), total.map(|n| n - n / 2)])
            }
            Padding(other) => Err(format!("padding is {other}, expected SAME (0) or VALID (1)")),
        }
    }
}

/// A size or step in 1..=4096.
pub(super) fn extent(value: i32, what: &str) -> Done<usize> {
    match usize::try_from(value) {
        Ok(value @ 1..=4096) => Ok(value),
        _ => Err(format!("{what} is {value}, expected 1 to 4096")),
    }
}

/// The layer that an activation inside an operator makes of its levels; none if saturation does the same.
pub(super) fn activation(function: ActivationFunctionType, point: GivenPoint) -> Done<Option<Op>> {
    let (low, high) = point.levels();
    let level = |value: f32| (value / point.scale).round() + f32::from(point.zero_point);
    let (op, min, max) = match function {
        ActivationFunctionType::NONE => return Ok(None),
        ActivationFunctionType::RELU => (Op::Relu, 0.0, f32::INFINITY),
        ActivationFunctionType::RELU6 => (Op::ClippedRelu { max: 6.0 }, 0.0, 6.0),
        ActivationFunctionType::RELU_N1_TO_1 => {
            (Op::Function(Function::Clip { min: -1.0, max: 1.0 }), -1.0, 1.0)
        }
        other => {
            return Err(format!(
                "has activation {}, expected NONE, RELU, RELU6 or RELU_N1_TO_1",
                other.variant_name().map_or(other.0.to_string(), str::to_string)
            ));
        }
    };
    let saturates = level(min) <= f32::from(low) && level(max) >= f32::from(high);
    Ok((!saturates).then_some(op))
}

/// The layer that gives levels of another scale or type: real values between the lowest and the highest level stay.
pub(super) fn requantized(to: GivenPoint) -> Op {
    let (low, high) = to.levels();
    let real = |level: i16| f32::from(level - to.zero_point) * to.scale;
    Op::Function(Function::Clip { min: real(low), max: real(high) })
}
