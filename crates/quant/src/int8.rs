use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::{FloatTensor, GivenActivations, GivenScale, LevelsPerUnit};

/// Largest magnitude of a clean quantized value; only faults make -128.
pub const MAX_LEVEL: i8 = 127;

/// Reason that a tensor cannot be quantized.
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

/// Tensor that no network can hold.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InvalidTensor {
    /// Scales of channels that are not one for each output channel.
    #[error(
        "{name} has {found} scales and shape {shape:?}, expected one scale for each output channel (first dimension)"
    )]
    ScaleCount {
        /// Weight tensor.
        name: String,
        /// Number of scales.
        found: usize,
        /// Shape of the tensor.
        shape: Vec<usize>,
    },
    /// A tensor whose number of values is not the product of its shape.
    #[error("{name} has {found} values, expected {expected}")]
    ValueCount {
        /// Weight tensor.
        name: String,
        /// Number of values.
        found: usize,
        /// Product of the shape.
        expected: usize,
    },
    /// A weight that only a fault makes.
    #[error("weight {index} of {tensor} is -128, expected -127..=127 (only a fault makes -128)")]
    OutOfRange {
        /// Weight tensor.
        tensor: String,
        /// Row-major index.
        index: usize,
    },
}

/// Scale of a tensor's weights.
#[derive(Clone, Debug, PartialEq)]
pub enum WeightScale {
    /// One scale for the whole tensor, 127 / max|w|: the paper's rule.
    Tensor(LevelsPerUnit),
    /// One scale for each output channel (the first dimension), 127 / max|w| of the channel.
    Channels(Vec<LevelsPerUnit>),
    /// The scale or scales that the file of a quantized network gives; its bytes may be any.
    Given(GivenScale),
}

impl WeightScale {
    /// Levels per unit of the weights of an output channel.
    ///
    /// # Panics
    /// If there are scales for channels, and none for this one.
    pub fn of(&self, channel: usize) -> LevelsPerUnit {
        match self {
            Self::Tensor(scale) => *scale,
            Self::Channels(scales) => scales[channel],
            Self::Given(given) => match given.levels_per_unit() {
                [scale] => *scale,
                scales => scales[channel],
            },
        }
    }

    /// All scales: a single one, or one for each channel in order.
    pub fn values(&self) -> &[LevelsPerUnit] {
        match self {
            Self::Tensor(scale) => std::slice::from_ref(scale),
            Self::Channels(scales) => scales,
            Self::Given(given) => given.levels_per_unit(),
        }
    }
}

/// An int8 tensor with its scale: the real value is `value / scale`. Values lie in -127..=127, those of a given scale in
/// -128..=127 ([`GivenScale`]).
#[derive(Clone, Debug, PartialEq)]
pub struct QuantTensor {
    name: String,
    shape: Vec<usize>,
    values: Vec<i8>,
    scale: WeightScale,
}

impl QuantTensor {
    /// Takes a parameter name, as in the model's state dict, dimensions, outermost first (OIHW for convolutions, OI for
    /// linear layers), elements in row-major order, and the scale of the tensor or of each output channel.
    ///
    /// # Errors
    /// The number of values is not the product of the shape, the scales are not one for each output channel, or a value
    /// is -128 and the scale is not given.
    pub fn new(
        name: String,
        shape: Vec<usize>,
        values: Vec<i8>,
        scale: WeightScale,
    ) -> Result<Self, InvalidTensor> {
        let expected = shape.iter().product();
        if values.len() != expected {
            return Err(InvalidTensor::ValueCount { name, found: values.len(), expected });
        }
        let scales = scale.values().len();
        let is_whole = match &scale {
            WeightScale::Tensor(_) => true,
            WeightScale::Channels(_) => false,
            WeightScale::Given(_) => scales == 1,
        };
        if !is_whole && shape.first() != Some(&scales) {
            return Err(InvalidTensor::ScaleCount { name, found: scales, shape });
        }
        if let WeightScale::Given(_) = scale {
            return Ok(Self { name, shape, values, scale });
        }
        match values.iter().position(|&value| value == i8::MIN) {
            Some(index) => Err(InvalidTensor::OutOfRange { tensor: name, index }),
            None => Ok(Self { name, shape, values, scale }),
        }
    }

    /// Returns the tensor with other values.
    ///
    /// # Errors
    /// As [`QuantTensor::new`].
    pub fn with_values(self, values: Vec<i8>) -> Result<Self, InvalidTensor> {
        Self::new(self.name, self.shape, values, self.scale)
    }

    /// Parameter name, as in the model's state dict.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Dimensions, outermost first (OIHW for convolutions, OI for linear layers).
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Elements in row-major order, as stored.
    pub fn values(&self) -> &[i8] {
        &self.values
    }

    /// Levels per unit, of the tensor or of each output channel.
    pub fn scale(&self) -> &WeightScale {
        &self.scale
    }

    /// Quantizes symmetrically with `127 / max|w|`, rounding half to even, as the paper does.
    ///
    /// The product `w * scale` is taken in f32, as PyTorch does, so the levels agree with it. A tensor
    /// of zeros gets scale 1.
    ///
    /// # Errors
    /// A value that is not finite, or a range too small for a finite scale.
    pub fn quantize(name: &str, tensor: &FloatTensor) -> Result<Self, QuantError> {
        check_finite(name, tensor)?;
        let scale = scale_of(tensor.values()).map_err(|max_abs| too_small(name, max_abs))?;
        Ok(Self::rounded(name, tensor, WeightScale::Tensor(scale)))
    }

    /// Quantizes like [`QuantTensor::quantize`], with one scale for each output channel: 127 / max|w| of the channel; a
    /// channel of zeros gets scale 1.
    ///
    /// # Errors
    /// As [`QuantTensor::quantize`].
    ///
    /// # Panics
    /// If the tensor has no dimension.
    pub fn quantize_per_channel(name: &str, tensor: &FloatTensor) -> Result<Self, QuantError> {
        check_finite(name, tensor)?;
        let channels = tensor.shape()[0];
        let size = tensor.values().len().checked_div(channels).unwrap_or(0).max(1);
        let scales = tensor.values().chunks_exact(size).map(scale_of).collect::<Result<Vec<_>, _>>();
        let scales = scales.map_err(|max_abs| too_small(name, max_abs))?;
        Ok(Self::rounded(name, tensor, WeightScale::Channels(scales)))
    }

    fn rounded(name: &str, tensor: &FloatTensor, scale: WeightScale) -> Self {
        let limit = f32::from(MAX_LEVEL);
        let level =
            |(w, s): (&f32, LevelsPerUnit)| (w * s.get()).round_ties_even().clamp(-limit, limit) as i8;
        let scales = each(scale.values(), tensor.values().len());
        let values = tensor.values().iter().zip(scales).map(level).collect();
        Self { name: name.into(), shape: tensor.shape().to_vec(), values, scale }
    }

    /// The real values, `q / scale`, or of a given scale `(q - zero point) * units per level`.
    pub fn dequantize(&self) -> FloatTensor {
        FloatTensor::new(self.shape.clone(), real_values(&self.values, &self.scale))
    }
}

/// The real values of a tensor's values.
pub(crate) fn real_values(values: &[i8], scale: &WeightScale) -> Vec<f32> {
    if let WeightScale::Given(given) = scale {
        let units = each(given.units_per_level(), values.len());
        let level = |q: i8| f32::from(i16::from(q) - i16::from(given.zero_point()));
        return values.iter().zip(units).map(|(&q, unit)| level(q) * unit).collect();
    }
    let scales = each(scale.values(), values.len());
    values.iter().zip(scales).map(|(&q, scale)| f32::from(q) / scale.get()).collect()
}

/// The scale of each of a tensor's values.
fn each<T: Copy>(scales: &[T], values: usize) -> impl Iterator<Item = T> {
    let size = values.checked_div(scales.len()).unwrap_or(0);
    scales.iter().flat_map(move |&scale| std::iter::repeat_n(scale, size))
}

fn check_finite(name: &str, tensor: &FloatTensor) -> Result<(), QuantError> {
    let Some((index, value)) = tensor.first_non_finite() else { return Ok(()) };
    Err(QuantError::NonFinite { tensor: name.into(), index, value })
}

fn too_small(name: &str, max_abs: f32) -> QuantError {
    QuantError::RangeTooSmall { tensor: name.into(), max_abs }
}

/// Levels per unit for some values, or max|w| where there are none in f32.
fn scale_of(values: &[f32]) -> Result<LevelsPerUnit, f32> {
    let max_abs = values.iter().fold(0f32, |m, v| m.max(v.abs()));
    if max_abs == 0.0 {
        return Ok(LevelsPerUnit::ONE);
    }
    LevelsPerUnit::new(f32::from(MAX_LEVEL) / max_abs).map_err(|_| max_abs)
}

/// Quantization of one activation: fixed at calibration, equal for every image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivationScale {
    /// The real value is `level / levels_per_unit`.
    pub levels_per_unit: LevelsPerUnit,
    /// `true`: i8 in -127..=127. `false`: the value is never negative and takes u8, 0..=255.
    pub signed: bool,
}

impl ActivationScale {
    /// The scale that maps a largest magnitude `max_abs` onto the last level.
    ///
    /// A range of zero (an activation that never fires) gets one level per unit.
    pub fn from_range(max_abs: f32, signed: bool) -> Self {
        let levels = if signed { 127.0 } else { 255.0 };
        Self { levels_per_unit: LevelsPerUnit::new(levels / max_abs).unwrap_or(LevelsPerUnit::ONE), signed }
    }

    /// Smallest and largest level.
    pub fn levels(self) -> (i16, i16) {
        if self.signed { (-127, 127) } else { (0, 255) }
    }

    /// Nearest level, half to even, clamped.
    pub fn quantize(self, value: f32) -> i16 {
        let (low, high) = self.levels();
        (value * self.levels_per_unit.get()).round_ties_even().clamp(f32::from(low), f32::from(high)) as i16
    }
}

/// Source of the scales of a network's activations.
#[derive(Clone, Debug, PartialEq)]
pub enum Activations {
    /// Fixed at calibration: the scale of every quantization point, by node name.
    Static(BTreeMap<String, ActivationScale>),
    /// From the largest magnitudes in each batch of images.
    Dynamic {
        /// Images in a batch; the last may be smaller.
        batch: NonZeroU32,
    },
    /// From the file of a network that another program quantized.
    Given(GivenActivations),
}

impl Activations {
    /// The fixed scales, if they are fixed.
    pub fn scales(&self) -> Option<&BTreeMap<String, ActivationScale>> {
        match self {
            Self::Static(scales) => Some(scales),
            Self::Dynamic { .. } | Self::Given(_) => None,
        }
    }

    /// The quantization that another program chose, if one did.
    pub fn given(&self) -> Option<&GivenActivations> {
        match self {
            Self::Given(given) => Some(given),
            Self::Static(_) | Self::Dynamic { .. } => None,
        }
    }

    /// Mutable form of [`Activations::scales`].
    pub fn scales_mut(&mut self) -> Option<&mut BTreeMap<String, ActivationScale>> {
        match self {
            Self::Static(scales) => Some(scales),
            Self::Dynamic { .. } | Self::Given(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tensor(values: &[f32]) -> FloatTensor {
        FloatTensor::new(vec![values.len()], values.to_vec())
    }

    fn levels_per_unit(value: f32) -> LevelsPerUnit {
        LevelsPerUnit::new(value).unwrap()
    }

    #[test]
    fn rounds_half_to_even_as_torch_round_does() {
        // max|w| = 127 makes the scale exactly 1, so the values are their own levels.
        let q = QuantTensor::quantize("w", &tensor(&[127.0, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5])).unwrap();
        assert_eq!(q.scale, WeightScale::Tensor(LevelsPerUnit::ONE));
        assert_eq!(q.values, [127, 0, 2, 2, 0, -2, -2]);
    }

    #[test]
    fn zeros_keep_scale_one() {
        let q = QuantTensor::quantize("w", &tensor(&[0.0, -0.0])).unwrap();
        assert_eq!((q.scale, q.values.as_slice()), (WeightScale::Tensor(LevelsPerUnit::ONE), &[0i8, 0][..]));
    }

    #[test]
    fn channels_have_scales_of_their_own() {
        let w = FloatTensor::new(vec![3, 2, 1, 1], vec![127.0, 0.5, 0.0, -0.0, -0.25, 1.0]);
        let q = QuantTensor::quantize_per_channel("w", &w).unwrap();
        assert_eq!(q.scale, WeightScale::Channels([1.0, 1.0, 127.0].map(levels_per_unit).into()));
        // -0.25 * 127 = -31.75
        assert_eq!(q.values, [127, 0, 0, 0, -32, 127]);
        assert_eq!(q.dequantize().values(), [127.0, 0.0, 0.0, 0.0, -32.0 / 127.0, 1.0]);
        let tiny = FloatTensor::new(vec![2, 1], vec![1.0, 1e-40]);
        let error = QuantTensor::quantize_per_channel("w", &tiny).unwrap_err();
        assert_eq!(error, QuantError::RangeTooSmall { tensor: "w".into(), max_abs: 1e-40 });
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
                prop_assert!((w - back).abs() <= 0.501 / q.scale.of(0).get(), "{w} came back as {back}");
            }
        }
    }
}
