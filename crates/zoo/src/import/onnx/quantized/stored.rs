//! Weights, biases and levels of the file.

use graph::Op;
use quant::{GivenPoint, GivenScale, WeightScale};

use super::{At, Dequantized, Done, Node, Pending, Reader, Value, float, int, label, window};
use crate::import::onnx::convert::spend;
use crate::import::onnx::message::Tensor;
use crate::import::onnx::tensor::{Constant, Held, held, read_at_most, type_name};
use crate::import::shown;

/// A stored weight as the file has it.
#[derive(Clone)]
pub(super) struct Weight {
    pub(super) origin: *const Tensor,
    pub(super) shape: Vec<usize>,
    pub(super) bytes: Vec<i8>,
    pub(super) scale: WeightScale,
}

/// Operators that are read, with their attributes.
const ATTRIBUTES: [(&str, &[&str]); 39] = [
    ("Conv", &["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"]),
    ("QLinearConv", &["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"]),
    ("Gemm", &["alpha", "beta", "transA", "transB"]),
    ("QGemm", &["alpha", "transA", "transB"]),
    ("MaxPool", &["auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "storage_order", "strides"]),
    ("AveragePool", AVERAGE_POOL),
    ("QLinearAveragePool", AVERAGE_POOL),
    ("QLinearGlobalAveragePool", &["channels_last"]),
    ("Clip", &["min", "max"]),
    ("Slice", &["starts", "ends", "axes"]),
    ("Split", &["axis", "split", "num_outputs"]),
    ("Squeeze", &["axes"]),
    ("Unsqueeze", &["axes"]),
    ("Transpose", &["perm"]),
    ("Constant", &["value"]),
    ("LeakyRelu", &["alpha"]),
    ("QLinearLeakyRelu", &["alpha"]),
    ("HardSigmoid", &["alpha", "beta"]),
    ("Dropout", &["ratio", "seed", "is_test"]),
    ("QuantizeLinear", &["axis", "saturate", "block_size", "precision", "output_dtype"]),
    ("Reshape", &["allowzero"]),
    ("DequantizeLinear", &["axis", "block_size", "output_dtype"]),
    ("Concat", &["axis"]),
    ("QLinearConcat", &["axis"]),
    ("Flatten", &["axis"]),
    ("Softmax", &["axis"]),
    ("LogSoftmax", &["axis"]),
    ("Identity", &[]),
    ("MatMul", &[]),
    ("QLinearMatMul", &[]),
    ("Add", &[]),
    ("QLinearAdd", &[]),
    ("Mul", &[]),
    ("QLinearMul", &[]),
    ("GlobalAveragePool", &[]),
    ("Relu", &[]),
    ("Sigmoid", &[]),
    ("QLinearSigmoid", &[]),
    ("HardSwish", &[]),
];

const AVERAGE_POOL: &[&str] = &[
    "auto_pad",
    "ceil_mode",
    "count_include_pad",
    "dilations",
    "kernel_shape",
    "pads",
    "strides",
    "channels_last",
];

impl<'a> Reader<'a> {
    /// Refuses attributes that are not read.
    pub(super) fn check_attributes(&self, node: &Node) -> Done<()> {
        let known = ATTRIBUTES.iter().find(|(operator, _)| *operator == node.op_type);
        let Some((_, known)) = known else { return Ok(()) };
        match node.attribute.iter().find(|attribute| !known.contains(&attribute.name.as_str())) {
            None if int(node, "block_size", 0) != 0 => {
                Err("has block_size, expected one scale a tensor".into())
            }
            None => Ok(()),
            Some(other) => {
                let expected = if known.is_empty() { "none".into() } else { known.join(", ") };
                Err(format!("has attribute {}, expected among {expected}", shown(&other.name)))
            }
        }
    }

    /// A constant tensor of the file.
    fn tensor(&self, node: &Node, i: usize) -> Done<&'a Tensor> {
        match self.lookup(node, i)? {
            Value::Tensor(tensor) => Ok(tensor),
            _ => Err(format!("input {} is computed, expected a constant", shown(&node.input[i]))),
        }
    }

    fn constant(&self, tensor: &Tensor) -> Done<Constant> {
        spend(&self.left, self.limit, tensor.bytes().saturating_mul(2))?;
        read_at_most(tensor, self.folder, usize::MAX)
    }

    fn integers_of(&self, tensor: &Tensor) -> Done<(Vec<usize>, Vec<i64>)> {
        match self.constant(tensor)? {
            Constant::Int { shape, values } => Ok((shape, values)),
            Constant::Float(_) => {
                let name = shown(&tensor.name);
                Err(format!("{name} holds {}, expected integers", type_name(tensor.data_type)))
            }
        }
    }

    /// True if a tensor is int8 and not uint8, with its shape and values, which are of its type.
    fn bytes_of(&self, tensor: &Tensor) -> Done<(bool, Vec<usize>, Vec<i64>)> {
        let signed = is_signed(tensor)?;
        let (shape, values) = self.integers_of(tensor)?;
        let range = if signed { -128..=127 } else { 0..=255 };
        match values.iter().find(|value| !range.contains(*value)) {
            None => Ok((signed, shape, values)),
            Some(value) => {
                let (name, expected) = (shown(&tensor.name), type_name(tensor.data_type));
                Err(format!("{name} holds {value}, expected values of type {expected}"))
            }
        }
    }

    fn floats_of(&self, tensor: &Tensor) -> Done<Vec<f32>> {
        match self.constant(tensor)? {
            Constant::Float(values) => Ok(values.values().to_vec()),
            Constant::Int { .. } => {
                let name = shown(&tensor.name);
                Err(format!("{name} holds {}, expected floats", type_name(tensor.data_type)))
            }
        }
    }

    /// The integers of a constant input.
    pub(super) fn integers(&self, node: &Node, i: usize) -> Done<Vec<i64>> {
        Ok(self.integers_of(self.tensor(node, i)?)?.1)
    }

    /// The levels that a node names with a scale and a zero point.
    pub(super) fn point(&self, node: &Node, scale: usize, zero: usize) -> Done<GivenPoint> {
        let scales = self.floats_of(self.tensor(node, scale)?)?;
        let [scale] = scales[..] else {
            return Err(format!("has {} scales for an activation, expected one", scales.len()));
        };
        let (signed, zero_point) = match self.has(node, zero) {
            false => (false, 0),
            true => {
                let tensor = self.tensor(node, zero)?;
                let (signed, _, values) = self.bytes_of(tensor)?;
                let [value] = values[..] else {
                    return Err(format!("has {} zero points for an activation, expected one", values.len()));
                };
                (signed, value as i16)
            }
        };
        if !(scale.is_finite() && scale > 0.0) {
            return Err(format!("has scale {scale}, expected a finite positive number"));
        }
        Ok(GivenPoint { scale, zero_point, signed })
    }

    /// Lower and upper bound of a `Clip`.
    pub(super) fn clip_bounds(&self, node: &Node) -> Done<[f32; 2]> {
        let bound = |i: usize, name: &str, absent: f32| -> Done<f32> {
            if !self.has(node, i) {
                return Ok(float(node, name, absent));
            }
            let values = match self.lookup(node, i)? {
                Value::Tensor(tensor) => self.floats_of(tensor)?,
                Value::Dequantized(Dequantized { values, scale, zero, .. }) => {
                    let (_, levels) = self.integers_of(values)?;
                    let zero = zero.map(|zero| self.integers_of(zero)).transpose()?;
                    let zero = zero.and_then(|(_, zero)| zero.first().copied()).unwrap_or(0);
                    let scale = self.floats_of(scale)?.first().copied().unwrap_or(1.0);
                    levels.iter().map(|&level| (level - zero) as f32 * scale).collect()
                }
                _ => return Err(format!("{name} is computed, expected a constant")),
            };
            match values[..] {
                [value] if !value.is_nan() => Ok(value),
                _ => Err(format!("{name} is {} values, expected one number", values.len())),
            }
        };
        let [min, max] = [bound(1, "min", f32::NEG_INFINITY)?, bound(2, "max", f32::INFINITY)?];
        match min < max {
            true => Ok([min, max]),
            false => Err(format!("clips to {min}..{max}, expected a range")),
        }
    }

    /// Reads a weight, whose output channels are along `axis`: 0 or 1 (then it is transposed).
    fn weight(&self, weight: &Dequantized<'a>, channels: usize) -> Done<Weight> {
        let Dequantized { values: tensor, scale, zero, axis } = weight;
        let name = shown(&tensor.name);
        let (signed, mut shape, values) = self.bytes_of(tensor)?;
        if shape.len() <= channels {
            return Err(format!("weight {name} is {shape:?}, expected at least {} dimensions", channels + 1));
        }
        let expected = if signed { 0 } else { 128 };
        let zeros = match zero {
            Some(zero) => self.integers_of(zero)?.1,
            None => vec![0],
        };
        if let Some(found) = zeros.iter().find(|&&zero| zero != expected) {
            return Err(format!(
                "weight {name} has zero point {found}, expected 0 for int8 or 128 for uint8: quantize with symmetric \
                 weights (extra_options WeightSymmetric)"
            ));
        }
        let scales = self.floats_of(scale)?;
        let axis = if *axis < 0 { *axis + shape.len() as i64 } else { *axis };
        if scales.len() != 1 && (axis != channels as i64 || scales.len() != shape[channels]) {
            return Err(format!(
                "weight {name} of {shape:?} has {} scales along axis {axis}, expected one, or one for each output \
                 channel along axis {channels}",
                scales.len()
            ));
        }
        let given = GivenScale::new(scales, 0).map_err(|error| format!("a scale of {name} is {error}"))?;
        // uint8 levels, whose zero point is 128, become int8 levels.
        let mut bytes: Vec<i8> = values.iter().map(|&value| (value - expected) as i8).collect();
        if channels == 1 {
            let [inputs, outputs] = shape[..] else {
                return Err(format!("weight {name} is {shape:?}, expected two dimensions"));
            };
            bytes = (0..inputs * outputs).map(|i| bytes[i % inputs * outputs + i / inputs]).collect();
            shape = vec![outputs, inputs];
        }
        Ok(Weight { origin: *tensor, shape, bytes, scale: WeightScale::Given(given) })
    }

    fn bias(&self, tensor: &'a Tensor, channels: usize) -> Done<Vec<i32>> {
        let name = shown(&tensor.name);
        let (_, values) = self.integers_of(tensor)?;
        if values.len() != channels {
            return Err(format!("bias {name} has {} values, expected {channels}", values.len()));
        }
        let values = values.iter().map(|&value| i32::try_from(value));
        values.collect::<Result<_, _>>().map_err(|_| format!("bias {name} has values beyond int32"))
    }

    /// A weight or bias of a QDQ graph.
    fn dequantized(&self, node: &Node, i: usize) -> Done<Dequantized<'a>> {
        match self.lookup(node, i)? {
            Value::Dequantized(constant) => Ok(constant.clone()),
            _ => Err(format!(
                "input {} is not an integer constant with a DequantizeLinear, expected that of a weight or bias",
                shown(&node.input[i])
            )),
        }
    }

    /// A constant of integers, with the scale and zero point that follow it.
    pub(super) fn operand(&self, node: &Node, i: usize, axis: i64) -> Done<Dequantized<'a>> {
        let zero = if self.has(node, i + 2) { Some(self.tensor(node, i + 2)?) } else { None };
        Ok(Dequantized { values: self.tensor(node, i)?, scale: self.tensor(node, i + 1)?, zero, axis })
    }

    pub(super) fn conv(&mut self, node: &'a Node) -> Done<Pending> {
        let at = self.real(node, 0)?;
        let weight = self.dequantized(node, 1)?;
        let bias = if self.has(node, 2) { Some(self.dequantized(node, 2)?.values) } else { None };
        self.conv_of(node, at, &weight, bias)
    }

    pub(super) fn quantized_conv(&mut self, node: &'a Node) -> Done<Value<'a>> {
        let at = self.levels(node, 0, 1)?;
        let weight = self.operand(node, 3, 0)?;
        let point = self.point(node, 6, 7)?;
        let bias = if self.has(node, 8) { Some(self.tensor(node, 8)?) } else { None };
        let pending = self.conv_of(node, at, &weight, bias)?;
        self.push(pending, Some(point)).map(Value::Levels)
    }

    fn conv_of(
        &self,
        node: &Node,
        at: At,
        weight: &Dequantized<'a>,
        bias: Option<&'a Tensor>,
    ) -> Done<Pending> {
        let mut weight_of = self.weight(weight, 0)?;
        let channels = weight_of.shape[0];
        let bias = bias.map(|bias| self.bias(bias, channels)).transpose()?;
        let conv = window::conv(node, &weight_of.shape, bias.is_some())?;
        let name = layer_name(weight.values, node);
        // A convolution of one value a channel is a linear layer.
        if let &[features] = self.shapes[at.place].as_slice() {
            if conv.kernel != [1, 1] || conv.padding != [0, 0] || conv.groups != 1 {
                return Err(
                    "is a convolution of one value a channel, expected a 1x1 kernel without groups".into()
                );
            }
            if weight_of.shape[1] != features {
                return Err(format!("has weights for {} channels, expected {features}", weight_of.shape[1]));
            }
            weight_of.shape.truncate(2);
            return Ok(linear(name, at, weight_of, bias));
        }
        let inputs = self.shapes[at.place][0];
        if weight_of.shape[1].checked_mul(conv.groups) != Some(inputs) {
            let found = weight_of.shape[1];
            return Err(format!(
                "has weights for {found} channels in each of {} groups, expected {inputs} in all",
                conv.groups
            ));
        }
        let plain = Pending::plain(name, Op::Conv(conv), &[at]);
        Ok(Pending { weight: Some(weight_of), bias, ..plain })
    }

    pub(super) fn linear(&mut self, node: &'a Node) -> Done<Pending> {
        let at = self.real(node, 0)?;
        let weight = self.dequantized(node, 1)?;
        let is_gemm = node.op_type == "Gemm";
        if float(node, "beta", 1.0) != 1.0 {
            return Err("has beta, expected 1".into());
        }
        let bias = if is_gemm && self.has(node, 2) { Some(self.dequantized(node, 2)?.values) } else { None };
        self.linear_of(node, at, &weight, bias)
    }

    /// A linear layer on levels; the numbers are the inputs of the image, the weight and the output's levels.
    pub(super) fn quantized_linear(&mut self, node: &'a Node, [x, w, y]: [usize; 3]) -> Done<Value<'a>> {
        let at = self.levels(node, x, x + 1)?;
        let weight = self.operand(node, w, 1)?;
        let point = self.point(node, y, y + 1)?;
        let pending = self.linear_of(node, at, &weight, None)?;
        self.push(pending, Some(point)).map(Value::Levels)
    }

    pub(super) fn quantized_gemm(&mut self, node: &'a Node) -> Done<Value<'a>> {
        let at = self.levels(node, 0, 1)?;
        let axis = if int(node, "transB", 0) == 0 { 1 } else { 0 };
        let weight = self.operand(node, 3, axis)?;
        let bias = if self.has(node, 6) { Some(self.tensor(node, 6)?) } else { None };
        let pending = self.linear_of(node, at, &weight, bias)?;
        match self.has(node, 7) {
            true => {
                let point = self.point(node, 7, 8)?;
                self.push(pending, Some(point)).map(Value::Levels)
            }
            false => Ok(Value::Pending(Box::new(pending))),
        }
    }

    fn linear_of(
        &self,
        node: &Node,
        at: At,
        weight: &Dequantized<'a>,
        bias: Option<&'a Tensor>,
    ) -> Done<Pending> {
        if int(node, "transA", 0) != 0 || float(node, "alpha", 1.0) != 1.0 {
            return Err("has transA or alpha, expected neither".into());
        }
        let weight_of = self.weight(weight, usize::from(int(node, "transB", 0) == 0))?;
        let [outputs, inputs] = weight_of.shape[..] else {
            return Err(format!("has a weight of {:?}, expected two dimensions", weight_of.shape));
        };
        let found = &self.shapes[at.place];
        if *found != [inputs] {
            return Err(format!("reads {found:?} of each image, expected {inputs} features"));
        }
        let bias = bias.map(|bias| self.bias(bias, outputs)).transpose()?;
        Ok(linear(layer_name(weight.values, node), at, weight_of, bias))
    }
}

fn linear(name: String, at: At, weight: Weight, bias: Option<Vec<i32>>) -> Pending {
    let features = weight.shape[0];
    let bias = Some(bias.unwrap_or_else(|| vec![0; features]));
    let plain = Pending::plain(name, Op::Linear { features }, &[at]);
    Pending { weight: Some(weight), bias, ..plain }
}

/// True for int8, false for uint8.
fn is_signed(tensor: &Tensor) -> Done<bool> {
    match held(tensor.data_type) {
        Held::Int { bytes: 1, signed } if tensor.data_type != super::tensor::BOOL => Ok(signed),
        _ => {
            let (name, found) = (shown(&tensor.name), type_name(tensor.data_type));
            Err(format!("{name} holds {found}, expected uint8 or int8"))
        }
    }
}

/// Name of a layer: that of its weight without what quantizers append.
fn layer_name(weight: &Tensor, node: &Node) -> String {
    let name = weight.name.strip_suffix("_quantized").unwrap_or(&weight.name);
    match name.strip_suffix(".weight") {
        Some(name) if !name.is_empty() => shown(name),
        _ => label(node),
    }
}
