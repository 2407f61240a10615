use serde::{Deserialize, Serialize};

use crate::FloatTensor;

/// Largest magnitude a clean quantized value takes; -128 is left to faults.
pub const MAX_LEVEL: i8 = 127;

/// Why a tensor cannot be quantized.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum QuantError {
    /// A NaN or an infinity, which has no place on a linear scale.
    #[error("weight {index} of {tensor} is {value}, expected a finite number")]
    NonFinite {
        /// Tensor name.
        tensor: String,
        /// Row-major index.
        index: usize,
        /// The offending value.
        value: f32,
    },
    /// The range is so small that `127 / max|w|` overflows f32.
    #[error("the largest weight of {tensor} is {max_abs:e}, too small for a finite scale")]
    RangeTooSmall {
        /// Tensor name.
        tensor: String,
        /// max|w|.
        max_abs: f32,
    },
}

/// An int8 tensor with its scale: the real value is `value / scale`.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantTensor {
    /// Parameter name, as in the model's state dict.
    pub name: String,
    /// Dimensions, outermost first (OIHW for convolutions, OI for linear layers).
    pub shape: Vec<usize>,
    /// Elements in row-major order.
    pub values: Vec<i8>,
    /// Levels per unit, 127 / max|w|; finite and positive.
    pub scale: f32,
}

impl QuantTensor {
    /// Quantizes symmetrically with `127 / max|w|`, rounding half to even, as the paper does.
    ///
    /// The product `w * scale` is taken in f32, as PyTorch does, so the levels agree with it. A tensor
    /// of zeros gets scale 1.
    ///
    /// # Errors
    /// A value that is not finite, or a range too small for a finite scale.
    pub fn quantize(name: &str, tensor: &FloatTensor) -> Result<Self, QuantError> {
        if let Some((index, value)) = tensor.first_non_finite() {
            return Err(QuantError::NonFinite { tensor: name.into(), index, value });
        }
        let max_abs = tensor.values().iter().fold(0f32, |m, v| m.max(v.abs()));
        let scale = if max_abs == 0.0 { 1.0 } else { f32::from(MAX_LEVEL) / max_abs };
        if !scale.is_finite() {
            return Err(QuantError::RangeTooSmall { tensor: name.into(), max_abs });
        }
        let limit = f32::from(MAX_LEVEL);
        let values = tensor
            .values()
            .iter()
            .map(|w| (w * scale).round_ties_even().clamp(-limit, limit) as i8)
            .collect();
        Ok(Self { name: name.into(), shape: tensor.shape().to_vec(), values, scale })
    }

    /// The real values, `q / scale`.
    pub fn dequantize(&self) -> FloatTensor {
        let values = self.values.iter().map(|&q| f32::from(q) / self.scale).collect();
        FloatTensor::new(self.shape.clone(), values)
    }
}

/// How one activation is quantized: fixed at calibration, the same for every image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivationScale {
    /// Levels per unit; the real value is `level / levels_per_unit`.
    pub levels_per_unit: f32,
    /// `true`: i8 in -127..=127. `false`: the value is never negative and takes u8, 0..=255.
    pub signed: bool,
}

impl ActivationScale {
    /// The scale that maps a largest magnitude `max_abs` onto the last level.
    ///
    /// A range of zero (an activation that never fires) gets one level per unit.
    pub fn from_range(max_abs: f32, signed: bool) -> Self {
        let levels = if signed { 127.0 } else { 255.0 };
        let levels_per_unit = levels / max_abs;
        let usable = levels_per_unit.is_finite() && levels_per_unit > 0.0;
        Self { levels_per_unit: if usable { levels_per_unit } else { 1.0 }, signed }
    }

    /// Smallest and largest level.
    pub fn levels(self) -> (i16, i16) {
        if self.signed { (-127, 127) } else { (0, 255) }
    }

    /// Nearest level, half to even, clamped.
    pub fn quantize(self, value: f32) -> i16 {
        let (low, high) = self.levels();
        (value * self.levels_per_unit).round_ties_even().clamp(f32::from(low), f32::from(high)) as i16
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tensor(values: &[f32]) -> FloatTensor {
        FloatTensor::new(vec![values.len()], values.to_vec())
    }

    #[test]
    fn rounds_half_to_even_as_torch_round_does() {
        // max|w| = 127 makes the scale exactly 1, so the values are their own levels.
        let q = QuantTensor::quantize("w", &tensor(&[127.0, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5])).unwrap();
        assert_eq!(q.scale, 1.0);
        assert_eq!(q.values, [127, 0, 2, 2, 0, -2, -2]);
    }

    #[test]
    fn zeros_keep_scale_one() {
        let q = QuantTensor::quantize("w", &tensor(&[0.0, -0.0])).unwrap();
        assert_eq!((q.scale, q.values.as_slice()), (1.0, &[0i8, 0][..]));
    }

    #[test]
    fn a_nan_is_named() {
        let error = QuantTensor::quantize("conv1.weight", &tensor(&[1.0, f32::NAN])).unwrap_err();
        assert_eq!(error.to_string(), "weight 1 of conv1.weight is NaN, expected a finite number");
    }

    #[test]
    fn a_denormal_range_is_refused() {
        let error = QuantTensor::quantize("w", &tensor(&[1e-40])).unwrap_err();
        assert!(matches!(error, QuantError::RangeTooSmall { .. }), "{error}");
    }

    #[test]
    fn an_unsigned_activation_clamps_at_both_ends() {
        let scale = ActivationScale::from_range(2.0, false);
        assert_eq!([-1.0, 0.0, 2.0, 9.0].map(|v| scale.quantize(v)), [0, 0, 255, 255]);
        let scale = ActivationScale::from_range(2.0, true);
        assert_eq!([-9.0, -2.0, 2.0, 9.0].map(|v| scale.quantize(v)), [-127, -127, 127, 127]);
    }

    proptest! {
        #[test]
        fn clean_levels_stay_in_range_and_within_half_a_step(
            values in proptest::collection::vec(-10f32..10.0, 1..50)
        ) {
            let q = QuantTensor::quantize("w", &tensor(&values)).unwrap();
            prop_assert!(q.values.iter().all(|&v| v != i8::MIN));
            for (w, back) in values.iter().zip(q.dequantize().values()) {
                prop_assert!((w - back).abs() <= 0.501 / q.scale, "{w} came back as {back}");
            }
        }
    }
}
