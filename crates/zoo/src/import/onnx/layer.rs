//! Converts nodes with weights, and arithmetic with constants.

use graph::{Conv, Op};
use quant::FloatTensor;

use super::attribute::{flag, float, int, pair};
use super::border::{Border, border};
use super::convert::{Converter, Done, Value, label};
use super::fold::axis_of;
use super::message::Node;
use super::place::Place;
use crate::import::shown;

/// Weight (OI) and bias of a product with a matrix, and the name of its layer.
struct Matrix {
    weight: FloatTensor,
    bias: Option<FloatTensor>,
    name: String,
}

/// `x * scale + offset`, with one factor and one offset for each channel or feature.
pub(super) struct Affine {
    pub(super) scale: Vec<f64>,
    pub(super) offset: Vec<f64>,
}

fn widened(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| value.into()).collect()
}

fn rounded(values: impl Iterator<Item = f64>) -> FloatTensor {
    let values: Vec<f32> = values.map(|value| value as f32).collect();
    FloatTensor::new(vec![values.len()], values)
}

impl<'a> Converter<'a> {
    pub(super) fn conv(&mut self, node: &'a Node) -> Done<Place> {
        let (x, outer, fill) = self.padded(node, 0)?;
        if self.shapes[x.place].len() == 1 && x.dims.len() == 4 && outer == Border::default() {
            return self.conv_of_features(node, &x);
        }
        let [channels, height, width] = x.image()?;
        let (weight, name) = self.weight(node, 1, 4)?;
        let [out, inputs, rows, columns] = *weight.shape() else { unreachable!("four dimensions") };
        let (kernel, stride) = ([rows, columns], pair(node, "strides", [1, 1])?);
        let dilation = pair(node, "dilations", [1, 1])?;
        let given = pair(node, "kernel_shape", kernel)?;
        if given != kernel {
            return Err(format!("kernel_shape is {given:?}, expected that of the weight, {kernel:?}"));
        }
        let groups = usize::try_from(int(node, "group", 1)).unwrap_or(0);
        if inputs.checked_mul(groups) != Some(channels) {
            return Err(format!("weight is {:?} for {channels} channels in {groups} groups", weight.shape()));
        }
        let wide = [0, 1].map(|axis| (kernel[axis] - 1).saturating_mul(dilation[axis]).saturating_add(1));
        let own = border(node, outer, [height, width], wide, stride)?;
        if outer != Border::default() && fill != 0.0 {
            return Err(format!("reads a border of {fill}, expected zeros"));
        }
        let (x, padding) = self.fit(&name, x, outer.plus(own), wide, stride)?;
        let bias = self.has(node, 2).then(|| self.vector(node, 2, out)).transpose()?;
        let op =
            Op::Conv(Conv { channels: out, groups, bias: bias.is_some(), kernel, stride, padding, dilation });
        let place = self.push_plain(name, op, &[&x])?;
        self.set(place.place, "weight", weight);
        if let Some(bias) = bias {
            self.set(place.place, "bias", bias);
        }
        Ok(place)
    }

    /// Converts a 1x1 convolution of `[1, C, 1, 1]`, a form in which classifiers read the mean, to a linear
    /// layer.
    fn conv_of_features(&mut self, node: &'a Node, x: &Place) -> Done<Place> {
        let features = self.shapes[x.place][0];
        let (weight, name) = self.weight(node, 1, 4)?;
        let out = weight.shape()[0];
        if *weight.shape() != [out, features, 1, 1] || int(node, "group", 1) != 1 || x.dims[1] != features {
            return Err(format!("weight of a mean is {:?}, expected [_, {features}, 1, 1]", weight.shape()));
        }
        for (name, value) in [("strides", 1), ("dilations", 1), ("kernel_shape", 1)] {
            pair(node, name, [value; 2])?;
        }
        if border(node, Border::default(), [1, 1], [1, 1], [1, 1])? != Border::default() {
            return Err("pads a mean, expected pads of 0".into());
        }
        let bias = match self.has(node, 2) {
            true => self.vector(node, 2, out)?,
            false => FloatTensor::new(vec![out], vec![0.0; out]),
        };
        let weight = FloatTensor::new(vec![out, features], weight.values().to_vec());
        let place = self.features(name, x, weight, bias)?;
        let batch = x.dims[0];
        Ok(place.reshaped(vec![batch, out, 1, 1]))
    }

    /// Adds a linear layer; the columns of its weight (OI) are in ONNX's order of the features.
    fn features(&mut self, name: String, x: &Place, weight: FloatTensor, bias: FloatTensor) -> Done<Place> {
        let [out, features] = *weight.shape() else { unreachable!("two dimensions") };
        let weight = if x.is_moved() {
            let mut values = vec![0.0; out * features];
            for (row, own) in weight.values().chunks_exact(features).zip(values.chunks_exact_mut(features)) {
                row.iter().enumerate().for_each(|(i, value)| own[x.own_index(i)] = *value);
            }
            self.note(format!("the weights of {name} are in the order of channels, height, width here"));
            FloatTensor::new(vec![out, features], values)
        } else {
            weight
        };
        let place = self.push_plain(name, Op::Linear { features: out }, &[x])?;
        self.set(place.place, "weight", weight);
        self.set(place.place, "bias", bias);
        Ok(place)
    }

    pub(super) fn linear(&mut self, node: &'a Node) -> Done<Place> {
        let gemm = node.op_type == "Gemm";
        let x = self.place(node, 0)?;
        let rank = x.dims.len();
        let features = x.dims[rank - 1];
        let all: usize = x.sizes.iter().product();
        let is_image = self.shapes[x.place].len() == 3 && x.sizes.len() == 3 && features != all;
        if !gemm && is_image && rank > 2 && x.channel_axis() == Some(rank - 1) {
            return self.pointwise(node, x);
        }
        if rank < 2 || (gemm && rank != 2) || features != all {
            return Err(format!("reads {:?}, expected [batch, {all} features]", x.dims));
        }
        let x = self.flattened(x, &format!("{}.flat", label(node)))?;
        let Matrix { weight, bias, name } = self.matrix(node, features)?;
        let out = weight.shape()[0];
        let bias = bias.unwrap_or_else(|| FloatTensor::new(vec![out], vec![0.0; out]));
        let batch_and_ones = x.dims[..rank - 1].to_vec();
        let place = self.features(name, &x, weight, bias)?;
        Ok(place.reshaped([batch_and_ones, vec![out]].concat()))
    }

    /// Returns the weight and bias of a `Gemm` or `MatMul` of this many features.
    fn matrix(&mut self, node: &'a Node, features: usize) -> Done<Matrix> {
        let gemm = node.op_type == "Gemm";
        let (mut alpha, mut beta) = (1.0, 1.0);
        if gemm {
            (alpha, beta) = (float(node, "alpha", 1.0), float(node, "beta", 1.0));
            if flag(node, "transA", false)? {
                return Err("transA is 1, expected 0: a row is an image".into());
            }
        }
        let (weight, name) = self.weight(node, 1, 2)?;
        let is_oi = gemm && flag(node, "transB", false)?;
        let mut weight = if is_oi { weight } else { transposed(&weight) };
        let [out, inputs] = *weight.shape() else { unreachable!("two dimensions") };
        if inputs != features {
            return Err(format!("weight takes {inputs} features, expected {features}"));
        }
        let mut bias = None;
        if gemm && self.has(node, 2) {
            let given = self.floats(node, 2)?;
            bias = Some(match *given.values() {
                [value] => FloatTensor::new(vec![out], vec![value; out]),
                _ => self.vector(node, 2, out)?,
            });
        }
        if (alpha, beta) != (1.0, 1.0) {
            weight.values_mut().iter_mut().for_each(|value| *value *= alpha);
            bias.iter_mut().flat_map(FloatTensor::values_mut).for_each(|value| *value *= beta);
            self.note(format!("the weights of {name} are those of the file times its alpha, {alpha}"));
        }
        Ok(Matrix { weight, bias, name })
    }

    /// Converts a product of a matrix and the channels of each pixel, which are last, to a 1x1 convolution.
    pub(super) fn pointwise(&mut self, node: &'a Node, x: Place) -> Done<Place> {
        let [channels, ..] = *x.sizes else { unreachable!("an image has channels") };
        let Matrix { weight, bias, name } = self.matrix(node, channels)?;
        let [out, inputs] = *weight.shape() else { unreachable!("two dimensions") };
        let op = Op::Conv(Conv {
            channels: out,
            groups: 1,
            bias: bias.is_some(),
            kernel: [1, 1],
            stride: [1, 1],
            padding: [0, 0],
            dilation: [1, 1],
        });
        let place = self.push(name, op, &[&x])?;
        self.set(place, "weight", FloatTensor::new(vec![out, inputs, 1, 1], weight.values().to_vec()));
        if let Some(bias) = bias {
            self.set(place, "bias", bias);
        }
        let (mut dims, sizes) = (x.dims, self.shapes[place].clone());
        *dims.last_mut().expect("an image has axes") = out;
        let channel = (out > 1).then_some(0);
        let order = x.order.into_iter().filter(|&axis| axis != 0).chain(channel).collect();
        Ok(Place { place, dims, sizes, order, shared: false, bytes: false })
    }

    pub(super) fn batch_norm(&mut self, node: &'a Node) -> Done<Place> {
        let x = self.place(node, 0)?;
        let is_training = node.output[1..].iter().any(|name| !name.is_empty());
        if flag(node, "training_mode", false)? || is_training {
            return Err("is in training mode, expected a model exported for inference".into());
        }
        if int(node, "spatial", 1) != 1 {
            return Err("spatial is 0, expected 1: statistics a channel".into());
        }
        let rank = x.dims.len();
        if rank < 2 {
            return Err(format!("reads {:?}, expected channels or features", x.dims));
        }
        let channels = x.dims[1];
        let layer = node.input.get(1).and_then(|name| name.strip_suffix(".weight"));
        let name = layer.filter(|layer| !layer.is_empty()).map_or_else(|| label(node), shown);
        let epsilon = epsilon(node);
        let suffixes = ["weight", "bias", "running_mean", "running_var"];
        let mut values = Vec::new();
        for (i, suffix) in (1..).zip(suffixes) {
            let vector = self.vector(node, i, channels)?;
            // The constant as broadcasting sees it: a vector along axis 1.
            let along = [vec![channels], vec![1; rank - 2]].concat();
            let vector = FloatTensor::new(along, vector.values().to_vec());
            let vector = x.per_channel(&vector, self.feature_count(&x))?;
            values.push((suffix, FloatTensor::new(vec![vector.len()], vector)));
        }
        let place = self.push_alike(name, Op::BatchNorm { epsilon }, &x)?;
        for (suffix, values) in values {
            self.set(place.place, suffix, values);
        }
        Ok(place)
    }

    /// Returns the number of features of a place that is no image.
    fn feature_count(&self, x: &Place) -> Option<usize> {
        match *self.shapes[x.place] {
            [features] => Some(features),
            _ => None,
        }
    }

    /// Returns the number of channels or features of a place.
    pub(super) fn channels(&self, x: &Place) -> usize {
        self.feature_count(x).unwrap_or(x.sizes[0])
    }

    /// Converts sums and products of two places, and arithmetic of one place with a constant.
    pub(super) fn arithmetic(&mut self, node: &'a Node) -> Done<Value<'a>> {
        let operator = node.op_type.as_str();
        let [first, second] = match node.input.len() {
            2 => [self.is_constant(node, 0), self.is_constant(node, 1)],
            n => return Err(format!("has {n} inputs, expected two")),
        };
        if !first && !second {
            return match self.combined(node)? {
                Some(value) => Ok(value),
                None => self.of_two(node).map(Value::Place),
            };
        }
        let read = usize::from(first);
        let constant = self.floats(node, usize::from(second))?;
        let affine = |values: Vec<f64>| {
            let (ones, zeros) = (vec![1.0; values.len()], vec![0.0; values.len()]);
            Ok(match (operator, first) {
                ("Add" | "Sum", _) => Affine { scale: ones, offset: values },
                ("Sub", false) => Affine { scale: ones, offset: values.iter().map(|value| -value).collect() },
                ("Sub", true) => Affine { scale: vec![-1.0; values.len()], offset: values },
                ("Mul", _) => Affine { scale: values, offset: zeros },
                ("Div", false) => {
                    Affine { scale: values.iter().map(|value| 1.0 / value).collect(), offset: zeros }
                }
                _ => return Err("divides a constant by computed values, expected the other way round"),
            })
        };
        let checked = |affine: Affine| {
            let mut numbers = affine.scale.iter().chain(&affine.offset);
            match numbers.find(|value| !(**value as f32).is_finite()) {
                Some(wrong) => Err(format!("scales or shifts by {wrong}, expected a finite number")),
                None => Ok(affine),
            }
        };
        if let [value] = *constant.values() {
            let Affine { scale, offset } = checked(affine(vec![value.into()])?)?;
            if let Some(value) = self.scaled(node, read, scale[0], offset[0])? {
                return Ok(value);
            }
        }
        let x = self.place(node, read)?;
        let values = widened(&x.per_channel(&constant, self.feature_count(&x))?);
        let affine = checked(affine(values)?)?;
        self.affine(label(node), x, affine).map(Value::Place)
    }

    /// Converts a negation.
    pub(super) fn negative(&mut self, node: &'a Node) -> Done<Value<'a>> {
        if let Some(value) = self.scaled(node, 0, -1.0, 0.0)? {
            return Ok(value);
        }
        let x = self.place(node, 0)?;
        let channels = self.channels(&x);
        let affine = Affine { scale: vec![-1.0; channels], offset: vec![0.0; channels] };
        self.affine(label(node), x, affine).map(Value::Place)
    }

    /// Converts a sum, difference or product of two computed values.
    fn of_two(&mut self, node: &'a Node) -> Done<Place> {
        let operator = node.op_type.as_str();
        let [a, b] = [self.place(node, 0)?, self.place(node, 1)?];
        let is_equal = a.dims == b.dims && a.order == b.order && a.sizes == b.sizes;
        let (op, a, b) = match operator {
            "Mul" if is_equal => (Op::Mul, a, b),
            "Mul" => {
                let [a, b] = if a.sizes.len() < b.sizes.len()
                    || a.dims[1..].contains(&1) && !b.dims[1..].contains(&1)
                {
                    [b, a]
                } else {
                    [a, b]
                };
                if !a.takes_factors(&b) {
                    return Err(format!(
                        "multiplies {:?} by {:?}, expected equal shapes, or one factor for each channel",
                        a.dims, b.dims
                    ));
                }
                (Op::Mul, a, b)
            }
            _ if !is_equal => {
                let adds = if operator == "Div" { "divides" } else { "adds" };
                return Err(format!("{adds} {:?} and {:?}, expected equal shapes", a.dims, b.dims));
            }
            "Add" | "Sum" => (Op::Add, a, b),
            "Sub" => {
                let channels = self.channels(&b);
                let negative = Affine { scale: vec![-1.0; channels], offset: vec![0.0; channels] };
                let b = self.affine(format!("{}.negative", label(node)), b, negative)?;
                (Op::Add, a, b)
            }
            _ => return Err("divides computed values, expected a constant divisor".into()),
        };
        let place = self.push(label(node), op, &[&a, &b])?;
        Ok(Place { place, shared: false, ..a })
    }

    /// Converts a normalization over channels.
    pub(super) fn layer_norm(&mut self, node: &'a Node) -> Done<Place> {
        let x = self.place(node, 0)?;
        let rank = x.dims.len();
        let axis = axis_of(int(node, "axis", -1), rank)?;
        let channels = self.channels(&x);
        let is_over_channels = match x.sizes.len() {
            3 if self.shapes[x.place].len() == 3 => x.channel_axis() == Some(axis),
            _ => !x.is_moved(),
        };
        if axis + 1 != rank || x.dims[axis] != channels || !is_over_channels {
            return Err(format!(
                "normalizes from axis {axis} of {:?} on, expected the channels alone: the last axis",
                x.dims
            ));
        }
        let further = node.output.iter().skip(1).find(|name| self.is_read(name));
        if let Some(name) = further {
            return Err(format!("gives {} beside the normalized values, expected these alone", shown(name)));
        }
        let weight = self.vector(node, 1, channels)?;
        let bias = match self.has(node, 2) {
            true => self.vector(node, 2, channels)?,
            false => FloatTensor::new(vec![channels], vec![0.0; channels]),
        };
        let layer = node.input.get(1).and_then(|name| name.strip_suffix(".weight"));
        let name = layer.filter(|layer| !layer.is_empty()).map_or_else(|| label(node), shown);
        let place = self.push_alike(name, Op::LayerNorm { epsilon: epsilon(node) }, &x)?;
        self.set(place.place, "weight", weight);
        self.set(place.place, "bias", bias);
        Ok(place)
    }

    /// Converts a leaky ReLU; a slope that no leaky ReLU has is that of a parametric one.
    pub(super) fn leaky_relu(&mut self, node: &'a Node) -> Done<Place> {
        let x = self.place(node, 0)?;
        let slope = float(node, "alpha", 0.01);
        if (0.0..=1.0).contains(&slope) || !slope.is_finite() {
            return self.push_alike(label(node), Op::LeakyRelu { slope }, &x);
        }
        let slopes = vec![slope; self.channels(&x)];
        self.with_slopes(label(node), &x, slopes)
    }

    pub(super) fn parametric_relu(&mut self, node: &'a Node) -> Done<Place> {
        let x = self.place(node, 0)?;
        let slopes = x.per_channel(&self.floats(node, 1)?, self.feature_count(&x))?;
        let layer = node.input[1].strip_suffix(".weight").filter(|layer| !layer.is_empty());
        self.with_slopes(layer.map_or_else(|| label(node), shown), &x, slopes)
    }

    fn with_slopes(&mut self, name: String, x: &Place, slopes: Vec<f32>) -> Done<Place> {
        let place = self.push_alike(name, Op::PRelu, x)?;
        self.set(place.place, "weight", FloatTensor::new(vec![slopes.len()], slopes));
        Ok(place)
    }

    /// Scales and shifts a place: inside the layer that computes it if possible, and in the preprocessing for
    /// the image.
    pub(super) fn affine(&mut self, name: String, x: Place, affine: Affine) -> Done<Place> {
        let Affine { scale, offset } = affine;
        let is_shift = scale.iter().all(|&value| value == 1.0);
        if x.place == 0 && !x.shared && self.layers.iter().all(|layer| !layer.inputs.contains(&0)) {
            if scale.iter().all(|&value| value > 0.0) {
                self.arithmetic.then(&scale, &offset);
                return Ok(x);
            }
        } else if x.place > 0 && !x.shared {
            let bias = self.parameter_name(x.place, "bias");
            let shifted =
                |old: &[f32]| rounded(old.iter().zip(&offset).map(|(old, offset)| f64::from(*old) + offset));
            match &mut self.layers[x.place - 1].op {
                Op::Conv(conv) if is_shift => {
                    let old = match conv.bias {
                        true => self.parameters[&bias].values().to_vec(),
                        false => vec![0.0; offset.len()],
                    };
                    conv.bias = true;
                    self.parameters.insert(bias, shifted(&old));
                    return Ok(x);
                }
                Op::Linear { .. } if is_shift => {
                    let new = shifted(self.parameters[&bias].values());
                    self.parameters.insert(bias, new);
                    return Ok(x);
                }
                Op::BatchNorm { .. } | Op::LayerNorm { .. } => {
                    let weight = self.parameter_name(x.place, "weight");
                    let scaled = |name: &str, offset: &[f64]| {
                        let old = self.parameters[name].values().iter().zip(&scale).zip(offset);
                        rounded(old.map(|((old, scale), offset)| f64::from(*old) * scale + offset))
                    };
                    let [weights, biases] =
                        [scaled(&weight, &vec![0.0; scale.len()]), scaled(&bias, &offset)];
                    self.parameters.insert(weight, weights);
                    self.parameters.insert(bias, biases);
                    return Ok(x);
                }
                _ => {}
            }
        }
        let channels = scale.len();
        let place = self.push_alike(name, Op::BatchNorm { epsilon: 0.0 }, &x)?;
        self.set(place.place, "weight", rounded(scale.into_iter()));
        self.set(place.place, "bias", rounded(offset.into_iter()));
        self.set(place.place, "running_mean", FloatTensor::new(vec![channels], vec![0.0; channels]));
        self.set(place.place, "running_var", FloatTensor::new(vec![channels], vec![1.0; channels]));
        Ok(place)
    }
}

/// Returns the intended decimal, such as 1e-5; the nearest f32 is 0.00000999999974...
fn epsilon(node: &Node) -> f64 {
    let epsilon = float(node, "epsilon", 1e-5).to_string();
    epsilon.parse().expect("a float prints as a float")
}

pub(super) fn transposed(matrix: &FloatTensor) -> FloatTensor {
    let [rows, columns] = *matrix.shape() else { unreachable!("a matrix has two dimensions") };
    let values = matrix.values();
    let moved = (0..columns * rows).map(|i| values[i % rows * columns + i / rows]).collect();
    FloatTensor::new(vec![columns, rows], moved)
}
