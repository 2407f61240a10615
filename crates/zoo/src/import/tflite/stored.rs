//! Levels, weights and integers from the tensors of a file.

use std::cell::RefCell;
use std::collections::HashSet;

use flatbuffers::{ForwardsUOffset, Vector};
use quant::{GivenPoint, GivenScale, WeightScale};

use super::schema::{Buffer, Model, QuantizationParameters, Tensor, TensorType};
use crate::import::shown;

type Done<T> = Result<T, String>;

/// The tensors of a file's graph.
pub(super) struct Tensors<'a> {
    tensors: Vector<'a, ForwardsUOffset<Tensor<'a>>>,
    buffers: Option<Vector<'a, ForwardsUOffset<Buffer<'a>>>>,
    /// Buffers that weights were taken from.
    taken: RefCell<HashSet<u32>>,
}

/// Weights as the file has them.
#[derive(Clone, Debug)]
pub(super) struct Weight {
    pub(super) name: String,
    /// Dimensions and bytes in the file's order.
    pub(super) dims: Vec<usize>,
    pub(super) bytes: Vec<i8>,
    pub(super) scale: WeightScale,
}

impl Weight {
    /// Reorders the bytes: `source` gives the position in the file for each position in memory.
    pub(super) fn reordered(&self, source: impl Fn(usize) -> usize) -> Vec<i8> {
        (0..self.bytes.len()).map(|position| self.bytes[source(position)]).collect()
    }
}

impl<'a> Tensors<'a> {
    pub(super) fn new(model: &Model<'a>, tensors: Vector<'a, ForwardsUOffset<Tensor<'a>>>) -> Self {
        Self { tensors, buffers: model.buffers(), taken: RefCell::default() }
    }

    /// The tensor of an index, with which no tensor is -1.
    pub(super) fn get(&self, index: i32) -> Done<Tensor<'a>> {
        match usize::try_from(index) {
            Ok(i) if i < self.tensors.len() => Ok(self.tensors.get(i)),
            _ => Err(format!("names tensor {index}, expected 0 to {}", self.tensors.len() as i64 - 1)),
        }
    }

    /// Name of a tensor for messages.
    pub(super) fn name(&self, index: i32) -> String {
        let name = self.get(index).ok().and_then(|tensor| tensor.name()).unwrap_or_default();
        if name.is_empty() { format!("tensor {index}") } else { shown(name) }
    }

    /// Dimensions of a tensor.
    pub(super) fn dims(&self, index: i32) -> Done<Vec<usize>> {
        let shape = self.get(index)?.shape();
        let found: Vec<i32> = shape.map(|shape| shape.iter().take(8).collect()).unwrap_or_default();
        let dims: Option<Vec<usize>> =
            found.iter().map(|&n| usize::try_from(n).ok().filter(|&n| n > 0)).collect();
        dims.ok_or_else(|| format!("{} has shape {found:?}, expected positive numbers", self.name(index)))
    }

    /// Levels of a tensor.
    pub(super) fn point(&self, index: i32) -> Done<GivenPoint> {
        let tensor = self.get(index)?;
        let name = self.name(index);
        let signed = self.is_signed(index)?;
        let quantization = affine(&tensor, &name)?;
        let scales: Vec<f32> = quantization.scale().map(|s| s.iter().take(2).collect()).unwrap_or_default();
        let zeros: Vec<i64> =
            quantization.zero_point().map(|z| z.iter().take(2).collect()).unwrap_or_default();
        let (&[scale], &[zero]) = (&scales[..], &zeros[..]) else {
            return Err(format!(
                "{name} has {} scales and {} zero points, expected one of each",
                quantization.scale().map_or(0, |s| s.len()),
                quantization.zero_point().map_or(0, |z| z.len())
            ));
        };
        if !(scale.is_finite() && scale > 0.0 && (1.0 / scale).is_finite()) {
            return Err(format!("{name} has scale {scale}, expected a finite positive number"));
        }
        let (low, high) = if signed { (-128, 127) } else { (0, 255) };
        if !(low..=high).contains(&zero) {
            return Err(format!("{name} has zero point {zero}, expected {low} to {high}"));
        }
        Ok(GivenPoint { scale, zero_point: zero as i16, signed })
    }

    /// True for int8, false for uint8.
    pub(super) fn is_signed(&self, index: i32) -> Done<bool> {
        match self.get(index)?.type_() {
            TensorType::INT8 => Ok(true),
            TensorType::UINT8 => Ok(false),
            other => Err(format!("{} holds {}, expected INT8 or UINT8", self.name(index), type_name(other))),
        }
    }

    /// Weights of `dimensions` dimensions with their output channels at `channels`, of the type of the levels that they
    /// multiply. The bytes of a buffer are weights once.
    pub(super) fn weight(
        &self,
        index: i32,
        dimensions: usize,
        channels: usize,
        signed: bool,
    ) -> Done<Weight> {
        let name = self.name(index);
        let tensor = self.get(index)?;
        if self.is_signed(index)? != signed {
            return Err(format!(
                "weight {name} holds {}, expected the type of the levels that it multiplies",
                type_name(tensor.type_())
            ));
        }
        let dims = self.dims(index)?;
        if dims.len() != dimensions {
            return Err(format!("weight {name} is {dims:?}, expected {dimensions} dimensions"));
        }
        let bytes = self.bytes(index, &dims, 1)?;
        if !self.taken.borrow_mut().insert(tensor.buffer()) {
            return Err(format!(
                "weight {name} shares its bytes with another one, expected weights that memory holds once"
            ));
        }
        let quantization = affine(&tensor, &name)?;
        let scales: Vec<f32> = quantization.scale().map(|s| s.iter().collect()).unwrap_or_default();
        let zeros: Vec<i64> = quantization.zero_point().map(|z| z.iter().collect()).unwrap_or_default();
        let axis = quantization.quantized_dimension();
        let is_per_channel = scales.len() > 1;
        if scales.len() != 1 && (!signed || scales.len() != dims[channels] || axis != channels as i32) {
            return Err(format!(
                "weight {name} of {dims:?} has {} scales along dimension {axis}, expected one{}",
                scales.len(),
                if signed {
                    format!(", or one for each channel of dimension {channels}")
                } else {
                    String::new()
                }
            ));
        }
        let zero_point = match (signed, &zeros[..]) {
            (true, zeros) if zeros.len() == scales.len() && zeros.iter().all(|&zero| zero == 0) => 0,
            (false, &[zero @ 0..=255]) => (zero - 128) as i8,
            _ => {
                let wrong = zeros.iter().find(|&&zero| zero != 0);
                let found =
                    wrong.map_or(format!("{} zero points", zeros.len()), |zero| format!("zero point {zero}"));
                let expected = match (signed, is_per_channel) {
                    (true, true) => "0 for each scale",
                    (true, false) => "0",
                    (false, _) => "one in 0..=255",
                };
                return Err(format!("weight {name} has {found}, expected {expected}"));
            }
        };
        let scale =
            GivenScale::new(scales, zero_point).map_err(|error| format!("a scale of {name} is {error}"))?;
        // uint8 levels become int8 levels, 128 below: bit 7 is inverted, and codes see small weights as small levels.
        let inverted = if signed { 0 } else { 0x80 };
        let bytes = bytes.iter().map(|&byte| (byte ^ inverted) as i8).collect();
        Ok(Weight { name, dims, bytes, scale: WeightScale::Given(scale) })
    }

    /// Integers of a constant tensor of type int32.
    pub(super) fn integers(&self, index: i32) -> Done<Vec<i32>> {
        let tensor = self.get(index)?;
        if tensor.type_() != TensorType::INT32 {
            return Err(format!("{} holds {}, expected INT32", self.name(index), type_name(tensor.type_())));
        }
        let bytes = self.bytes(index, &self.dims(index)?, 4)?;
        Ok(bytes.as_chunks().0.iter().map(|chunk| i32::from_le_bytes(*chunk)).collect())
    }

    /// Bytes of a constant tensor.
    fn bytes(&self, index: i32, dims: &[usize], element: usize) -> Done<&'a [u8]> {
        let tensor = self.get(index)?;
        let name = self.name(index);
        if tensor.is_variable() || tensor.sparsity().is_some() {
            return Err(format!("{name} is variable or sparse, expected a constant with all its values"));
        }
        let buffer = match (self.buffers, tensor.buffer() as usize) {
            (Some(buffers), i) if i < buffers.len() => buffers.get(i),
            (_, i) => return Err(format!("{name} names buffer {i}, expected one of the file")),
        };
        let data = buffer.data().map(|data| data.bytes()).unwrap_or_default();
        if data.is_empty() {
            let place = if buffer.offset() > 1 { "outside of the model's tables" } else { "not in the file" };
            return Err(format!("{name} has its values {place}, expected a constant"));
        }
        let expected = dims.iter().try_fold(element, |product, &n| product.checked_mul(n));
        if expected != Some(data.len()) {
            return Err(format!("{name} of {dims:?} has {} bytes, expected {element} a value", data.len()));
        }
        Ok(data)
    }
}

fn affine<'a>(tensor: &Tensor<'a>, name: &str) -> Done<QuantizationParameters<'a>> {
    match tensor.quantization() {
        Some(quantization) if quantization.details_type() == 0 => Ok(quantization),
        Some(_) => Err(format!("{name} has a custom quantization, expected scales and zero points")),
        None => Err(format!("{name} has no quantization, expected a scale and a zero point")),
    }
}

pub(super) fn type_name(of: TensorType) -> String {
    of.variant_name().map_or_else(|| format!("type {}", of.0), str::to_string)
}
