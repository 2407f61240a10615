//! Networks that another program quantized: QDQ and QOperator graphs.
//!
//! A QDQ graph has float operators between `DequantizeLinear` and `QuantizeLinear`; a QOperator graph has operators on
//! levels. Both become the layers of [`graph`] with levels for each place. An operator between the two nodes waits as
//! [`Pending`] until the `QuantizeLinear` after it gives its levels; operators that only move values act on the levels at
//! once. A `Relu` or `Clip` after a layer must be what saturation does anyway.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use graph::{Function, Layer, MAX_LAYERS, ModelSpec, Op};
use quant::{GivenActivations, GivenPoint, QuantTensor, Rule};

use super::convert::{Done, free_name, graph_problem, is_standard, label, needed};
use super::input::{check_model, input};
use super::message::{self, Node, Tensor};
use super::{OnnxProblem, tensor};
use crate::import::{Budget, ImportError, QuantizedModel, shown};

mod movement;
mod stored;
#[cfg(test)]
mod tests;
mod window;

/// Operators of a quantized network that are read.
const OPERATORS: &str = "QuantizeLinear, DequantizeLinear, and between them Conv, Gemm, MatMul, Add, Mul, Relu, Clip, LeakyRelu, Sigmoid, \
     HardSigmoid, HardSwish, GlobalAveragePool, AveragePool, Concat; QLinearConv, QLinearMatMul, and of com.microsoft QGemm, \
     QLinearAdd, QLinearMul, QLinearConcat, QLinearGlobalAveragePool, QLinearAveragePool, QLinearSigmoid, \
     QLinearLeakyRelu; MaxPool, Flatten, Reshape, Squeeze, Unsqueeze, Transpose of a channel shuffle, Slice and Split of \
     channels, Identity, Dropout, Softmax at the end";

/// Reads a network from an ONNX file if another program quantized it; none if the file holds a float network or no ONNX
/// model, which [`super::read_onnx`] reads or refuses.
///
/// Activations are uint8 or int8 with any zero point; weights are int8 with zero point 0 or uint8 with zero point 128, with
/// one scale or one for each output channel; biases are int32. `output` chooses one of several outputs.
///
/// # Errors
/// The file cannot be read; a node has an operator or a form that no layer here has, which the error names with the
/// nearest one; levels, weights or biases are not as above; two nodes share a weight; constants take more memory than a
/// file of this size can need. Every error names the file.
pub fn read_quantized_onnx(path: &Path, output: Option<&str>) -> Result<Option<QuantizedModel>, ImportError> {
    super::read(path, |bytes, folder| parse(bytes, folder, output))
}

fn parse(bytes: &[u8], folder: &Path, output: Option<&str>) -> Result<Option<QuantizedModel>, OnnxProblem> {
    let Ok(model) = super::decoded(bytes) else { return Ok(None) };
    network(&model, bytes.len(), folder, output)
}

/// Converts a network of a file of `bytes` bytes; none if no program quantized it.
pub(super) fn network(
    model: &message::Model,
    bytes: usize,
    folder: &Path,
    output: Option<&str>,
) -> Result<Option<QuantizedModel>, OnnxProblem> {
    let Some(graph) = &model.graph else { return Ok(None) };
    if !graph.node.iter().any(|node| is_quantized(&node.op_type)) {
        return Ok(None);
    }
    check_model(model, graph)?;
    super::opset(model)?;
    let external = tensor::external_bytes(&graph.initializer, folder);
    let limit = Budget::new(bytes.saturating_add(external)).left;
    let names: Vec<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
    let name = match (output, names.as_slice()) {
        (Some(output), names) if names.contains(&output) => output,
        (None, [name]) => name,
        _ => {
            let listed = names.iter().take(super::MAX_OUTPUTS).map(|name| shown(name));
            let listed = listed.collect::<Vec<_>>().join(", ");
            let problem = format!("is one of {listed}, expected a choice with --onnx-output NAME");
            return Err(graph_problem("output", problem));
        }
    };
    Reader::read(graph, folder, limit, name).map(Some)
}

fn is_quantized(operator: &str) -> bool {
    const OTHERS: [&str; 6] = [
        "QuantizeLinear",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "QGemm",
        "ConvInteger",
        "MatMulInteger",
    ];
    operator.starts_with("QLinear") || OTHERS.contains(&operator)
}

/// The meaning of a name of the ONNX graph.
#[derive(Clone)]
enum Value<'a> {
    /// The float image.
    Image,
    /// A tensor of the file.
    Tensor(&'a Tensor),
    /// A tensor of integers that a node dequantizes.
    Dequantized(Dequantized<'a>),
    /// Levels of a place.
    Levels(At),
    /// Real values of the levels of a place.
    Real(At),
    /// Real values that no levels exist for yet.
    Pending(Box<Pending>),
    /// The probabilities of the classes of a place.
    Probabilities(At),
}

/// A place, and the shape in which ONNX sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct At {
    place: usize,
    form: Form,
}

/// The shape of a place in the ONNX graph: its own, or one inside a channel shuffle.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Own,
    /// `[batch, groups, channels / groups, height, width]`.
    Grouped(usize),
    /// `[batch, channels / groups, groups, height, width]`.
    Swapped(usize),
}

#[derive(Clone)]
struct Dequantized<'a> {
    values: &'a Tensor,
    scale: &'a Tensor,
    zero: Option<&'a Tensor>,
    axis: i64,
}

/// A layer whose levels are not known yet.
#[derive(Clone)]
struct Pending {
    name: String,
    op: Op,
    inputs: Vec<usize>,
    weight: Option<stored::Weight>,
    bias: Option<Vec<i32>>,
    /// Bounds that nodes after the layer clip to.
    bounds: Vec<[f32; 2]>,
}

impl Pending {
    fn plain(name: String, op: Op, inputs: &[At]) -> Self {
        let inputs = inputs.iter().map(|at| at.place).collect();
        Self { name, op, inputs, weight: None, bias: None, bounds: Vec::new() }
    }
}

struct Reader<'a> {
    folder: &'a Path,
    limit: usize,
    left: Cell<usize>,
    values: HashMap<&'a str, Value<'a>>,
    /// Shape of every place, without the batch.
    shapes: Vec<Vec<usize>>,
    /// Levels of every place; none only if the layer returns real logits.
    points: Vec<Option<GivenPoint>>,
    layers: Vec<Layer>,
    names: BTreeSet<String>,
    weights: Vec<QuantTensor>,
    biases: BTreeMap<String, Vec<i32>>,
    /// Tensors of the file that are stored weights.
    stored: HashSet<*const Tensor>,
    notes: Vec<String>,
}

impl<'a> Reader<'a> {
    fn read(
        graph: &'a message::Graph,
        folder: &'a Path,
        limit: usize,
        output: &'a str,
    ) -> Result<QuantizedModel, OnnxProblem> {
        let image = input(graph)?;
        if image.last || image.is_bytes {
            let found = if image.last { "has channels last" } else { "holds bytes" };
            let problem = format!(
                "{} {found}, expected floats [batch, channels, height, width] that a QuantizeLinear reads",
                shown(image.name)
            );
            return Err(graph_problem("input", problem));
        }
        let tensors = graph.initializer.iter();
        let mut reader = Reader {
            folder,
            limit,
            left: Cell::new(limit),
            values: tensors.map(|tensor| (tensor.name.as_str(), Value::Tensor(tensor))).collect(),
            shapes: vec![image.size.to_vec()],
            points: vec![None],
            layers: Vec::new(),
            names: BTreeSet::from(["input".to_string()]),
            weights: Vec::new(),
            biases: BTreeMap::new(),
            stored: HashSet::new(),
            notes: Vec::new(),
        };
        reader.values.insert(image.name, Value::Image);
        for node in needed(graph, output) {
            reader.node(node).map_err(|problem| OnnxProblem::Node {
                node: label(node),
                operator: operator(node),
                problem,
            })?;
        }
        reader.finish(graph, output, image.size).map_err(|problem| graph_problem("output", problem))
    }

    fn finish(mut self, graph: &message::Graph, output: &str, size: [usize; 3]) -> Done<QuantizedModel> {
        let name = shown(output);
        let at = match self.values.remove(output) {
            Some(Value::Real(at)) => at,
            Some(Value::Levels(at)) => {
                self.notes.push("the output is levels; the logits are their real values".into());
                at
            }
            Some(Value::Probabilities(at)) => {
                self.notes
                    .push("the softmax at the end is left out: it keeps the order of the classes".into());
                at
            }
            Some(Value::Pending(pending)) if pending.bounds.is_empty() => {
                if !matches!(pending.op, Op::Linear { .. }) {
                    return Err(format!(
                        "{name} is the real value of layer {}, expected levels and a DequantizeLinear, or a linear layer",
                        shown(&pending.name)
                    ));
                }
                self.push(*pending, None)?
            }
            _ => return Err(format!("{name} is no value of the image, expected logits")),
        };
        let at = match self.shapes[at.place].as_slice() {
            [_] => at,
            [_, 1, 1] => self.moved("logits".into(), Op::Flatten, at)?,
            shape => return Err(format!("{name} is {shape:?} for each image, expected one value a class")),
        };
        if at.form != Form::Own || at.place == 0 || at.place != self.layers.len() {
            return Err(format!("{name} is not the last value computed, expected logits"));
        }
        let architecture = if graph.name.is_empty() { "onnx".into() } else { shown(&graph.name) };
        Ok(QuantizedModel {
            model: ModelSpec::new(&architecture, self.shapes[at.place][0], size),
            layers: self.layers,
            weights: self.weights,
            activations: GivenActivations { rule: Rule::Ort, points: self.points, biases: self.biases },
            pixels: None,
            notes: self.notes,
        })
    }

    fn node(&mut self, node: &'a Node) -> Done<()> {
        self.check_attributes(node)?;
        if node.op_type == "Split" && is_standard(&node.domain) {
            return self.split(node);
        }
        let value = self.value(node)?;
        if let Some(first) = node.output.first() {
            self.values.insert(first, value);
        }
        Ok(())
    }

    fn value(&mut self, node: &'a Node) -> Done<Value<'a>> {
        let is_own = is_standard(&node.domain);
        let is_microsoft = node.domain == "com.microsoft";
        match node.op_type.as_str() {
            "QuantizeLinear" if is_own || is_microsoft => self.quantize(node),
            "DequantizeLinear" if is_own || is_microsoft => self.dequantize(node),
            "QLinearConv" if is_own || is_microsoft => self.quantized_conv(node),
            "QLinearMatMul" if is_own || is_microsoft => self.quantized_linear(node, [0, 3, 6]),
            "QGemm" if is_microsoft => self.quantized_gemm(node),
            "QLinearAdd" if is_microsoft => self.quantized_pair(node, Op::Add),
            "QLinearMul" if is_microsoft => self.quantized_pair(node, Op::Mul),
            "QLinearConcat" if is_microsoft => self.quantized_concat(node),
            "QLinearGlobalAveragePool" if is_microsoft => self.quantized_unary(node, Op::GlobalAvgPool),
            "QLinearAveragePool" if is_microsoft => {
                let op = window::average_pool(node)?;
                self.quantized_unary(node, op)
            }
            "QLinearSigmoid" if is_microsoft => self.quantized_unary(node, Op::Function(Function::Sigmoid)),
            "QLinearLeakyRelu" if is_microsoft => self.quantized_unary(node, leaky(node)),
            _ if !is_own => Err(unknown(node)),
            "Constant" => match node.attribute.as_slice() {
                [attribute] if attribute.name == "value" && attribute.t.is_some() => {
                    Ok(Value::Tensor(attribute.t.as_ref().expect("it was just seen")))
                }
                _ => Err("has another attribute than `value`, expected a tensor".into()),
            },
            "Identity" | "Dropout" => self.lookup(node, 0).cloned(),
            "Conv" => self.conv(node).map(|pending| Value::Pending(Box::new(pending))),
            "Gemm" | "MatMul" => self.linear(node).map(|pending| Value::Pending(Box::new(pending))),
            "Add" => self.pair(node, Op::Add),
            "Mul" => self.pair(node, Op::Mul),
            "Concat" => {
                check_axis(node, "axis", 1)?;
                let inputs = (0..node.input.len()).map(|i| self.real(node, i)).collect::<Done<Vec<_>>>()?;
                Ok(pending(node, Op::Concat, &inputs))
            }
            "GlobalAveragePool" => Ok(pending(node, Op::GlobalAvgPool, &[self.real(node, 0)?])),
            "AveragePool" => {
                let op = window::average_pool(node)?;
                Ok(pending(node, op, &[self.real(node, 0)?]))
            }
            "Relu" => self.clipped(node, [0.0, f32::INFINITY]),
            "Clip" => {
                let bounds = self.clip_bounds(node)?;
                self.clipped(node, bounds)
            }
            "LeakyRelu" => Ok(pending(node, leaky(node), &[self.real(node, 0)?])),
            "Sigmoid" => Ok(pending(node, Op::Function(Function::Sigmoid), &[self.real(node, 0)?])),
            "HardSwish" => Ok(pending(node, Op::Function(Function::HardSwish), &[self.real(node, 0)?])),
            "HardSigmoid" => {
                let [slope, offset] = [float(node, "alpha", 0.2), float(node, "beta", 0.5)];
                let op = Op::Function(Function::HardSigmoid { slope, offset });
                Ok(pending(node, op, &[self.real(node, 0)?]))
            }
            "MaxPool" => {
                let op = window::max_pool(node)?;
                self.move_value(node, |reader, at| reader.moved(label(node), op, at))
            }
            "Flatten" => {
                check_axis(node, "axis", 1)?;
                self.move_value(node, |reader, at| reader.flattened(label(node), at))
            }
            "Reshape" => {
                let target = self.integers(node, 1)?;
                if int(node, "allowzero", 0) != 0 && target.contains(&0) {
                    return Err("has allowzero and a size of 0, expected values".into());
                }
                self.move_value(node, |reader, at| reader.reshaped(label(node), at, &target))
            }
            "Squeeze" | "Unsqueeze" => self.move_value(node, |reader, at| reader.squeezed(at)),
            "Transpose" => self.move_value(node, |_, at| movement::transposed(node, at)),
            "Slice" => {
                let [first, channels] = self.slice_bounds(node)?;
                let op = Op::ChannelSlice { first, channels };
                self.move_value(node, |reader, at| reader.moved(label(node), op, at))
            }
            "Softmax" | "LogSoftmax" => {
                match self.lookup(node, 0)? {
                    Value::Real(at) => Ok(Value::Probabilities(*at)),
                    _ => Err("reads a value without levels, expected it after a DequantizeLinear at the end"
                        .into()),
                }
            }
            _ => Err(unknown(node)),
        }
    }

    fn lookup(&self, node: &Node, i: usize) -> Done<&Value<'a>> {
        let name = node.input.get(i).filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| format!("input {i} is missing"))?;
        self.values
            .get(name.as_str())
            .ok_or_else(|| format!("input {} is no first output of a node before it", shown(name)))
    }

    fn has(&self, node: &Node, i: usize) -> bool {
        node.input.get(i).is_some_and(|name| !name.is_empty())
    }

    /// The place whose real values an input is.
    fn real(&self, node: &Node, i: usize) -> Done<At> {
        let found = match self.lookup(node, i)? {
            Value::Real(at) if at.form == Form::Own => return Ok(*at),
            Value::Real(_) => "in the middle of a channel shuffle",
            Value::Pending(_) => {
                "real, without levels: put QuantizeLinear and DequantizeLinear before this node, or leave both nodes \
                 unquantized together"
            }
            Value::Levels(_) => "levels, not real values",
            Value::Tensor(_) | Value::Dequantized(_) => "a constant, which only weights and biases can be",
            Value::Image => "the float image",
            Value::Probabilities(_) => "probabilities",
        };
        Err(format!("input {} is {found}, expected the output of a DequantizeLinear", shown(&node.input[i])))
    }

    /// The place whose levels an input is, and checks that the node names the same scale and zero point.
    fn levels(&self, node: &Node, i: usize, scale: usize) -> Done<At> {
        let Value::Levels(at) = self.lookup(node, i)? else {
            return Err(format!("input {} is no levels, expected them", shown(&node.input[i])));
        };
        let point = self.point(node, scale, scale + 1)?;
        if self.points[at.place] != Some(point) || at.form != Form::Own {
            return Err(format!(
                "input {} is read with scale {} and zero point {}, expected those it was computed with",
                shown(&node.input[i]),
                point.scale,
                point.zero_point
            ));
        }
        Ok(*at)
    }

    fn quantize(&mut self, node: &'a Node) -> Done<Value<'a>> {
        let point = self.point(node, 1, 2)?;
        match self.lookup(node, 0)?.clone() {
            Value::Image => {
                if self.points[0].is_some_and(|other| other != point) {
                    return Err("quantizes the image a second time with other levels".into());
                }
                self.points[0] = Some(point);
                Ok(Value::Levels(At { place: 0, form: Form::Own }))
            }
            Value::Real(at) if self.points[at.place] == Some(point) => Ok(Value::Levels(at)),
            Value::Real(at) => {
                // The identity: levels of another scale.
                let all = Function::Clip { min: f32::MIN, max: f32::MAX };
                let pending = Pending::plain(label(node), Op::Function(all), &[at]);
                if at.form != Form::Own {
                    return Err("changes the scale in the middle of a channel shuffle".into());
                }
                self.push(pending, Some(point)).map(Value::Levels)
            }
            Value::Pending(pending) => self.push(*pending, Some(point)).map(Value::Levels),
            Value::Probabilities(at) => Ok(Value::Probabilities(at)),
            Value::Tensor(_) | Value::Dequantized(_) | Value::Levels(_) => {
                Err("quantizes a constant or levels, expected a value of the image".into())
            }
        }
    }

    fn dequantize(&mut self, node: &'a Node) -> Done<Value<'a>> {
        let axis = int(node, "axis", 1);
        match *self.lookup(node, 0)? {
            Value::Levels(at) => {
                let point = self.point(node, 1, 2)?;
                if self.points[at.place] != Some(point) {
                    return Err(format!(
                        "reads levels with scale {} and zero point {}, expected those they were computed with",
                        point.scale, point.zero_point
                    ));
                }
                Ok(Value::Real(at))
            }
            Value::Tensor(_) => self.operand(node, 0, axis).map(Value::Dequantized),
            Value::Probabilities(at) => Ok(Value::Probabilities(at)),
            _ => Err("reads real values, expected levels".into()),
        }
    }

    /// Appends a layer with its levels; returns its place.
    fn push(&mut self, pending: Pending, point: Option<GivenPoint>) -> Done<At> {
        let Pending { name, op, inputs, weight, bias, bounds } = pending;
        if let Some(point) = point {
            let (low, high) = point.levels();
            let value = |level: i16| f32::from(level - point.zero_point) * point.scale;
            if let Some([min, max]) =
                bounds.into_iter().find(|&[min, max]| min > value(low) || max < value(high))
            {
                return Err(format!(
                    "quantizes values clipped to {min}..{max} with levels of {}..{}, expected levels that end there: \
                     then ONNX Runtime computes this clip by saturation, otherwise it computes the layer in float",
                    value(low),
                    value(high)
                ));
            }
        }
        let shapes: Vec<&[usize]> = inputs.iter().map(|&place| self.shapes[place].as_slice()).collect();
        let shape = Layer::output(&op, &shapes)?;
        if self.layers.len() == MAX_LAYERS {
            return Err(format!("is layer {}, expected at most that many", self.layers.len()));
        }
        let free = free_name(&mut self.names, name, '_', self.layers.len());
        if let Some(weight) = weight {
            if !self.stored.insert(weight.origin) {
                return Err("has the weight of another node, expected one of its own".into());
            }
            let tensor = QuantTensor::new(format!("{free}.weight"), weight.shape, weight.bytes, weight.scale);
            self.weights.push(tensor.map_err(|error| error.to_string())?);
        }
        if let Some(bias) = bias {
            self.biases.insert(format!("{free}.bias"), bias);
        }
        self.layers.push(Layer { name: free, inputs, op });
        self.shapes.push(shape);
        self.points.push(point);
        Ok(At { place: self.layers.len(), form: Form::Own })
    }

    /// Appends a layer that moves levels.
    fn moved(&mut self, name: String, op: Op, at: At) -> Done<At> {
        if at.form != Form::Own {
            return Err("acts in the middle of a channel shuffle".into());
        }
        self.push(Pending::plain(name, op, &[at]), self.points[at.place])
    }

    fn pair(&mut self, node: &'a Node, op: Op) -> Done<Value<'a>> {
        let inputs = self.ordered([self.real(node, 0)?, self.real(node, 1)?], &op);
        Ok(pending(node, op, &inputs))
    }

    /// Puts the factors of channels second.
    fn ordered(&self, [a, b]: [At; 2], op: &Op) -> [At; 2] {
        let swapped = *op == Op::Mul && self.shapes[a.place].len() < self.shapes[b.place].len();
        if swapped { [b, a] } else { [a, b] }
    }

    fn quantized_pair(&mut self, node: &'a Node, op: Op) -> Done<Value<'a>> {
        let inputs = self.ordered([self.levels(node, 0, 1)?, self.levels(node, 3, 4)?], &op);
        let point = self.point(node, 6, 7)?;
        self.push(Pending::plain(label(node), op, &inputs), Some(point)).map(Value::Levels)
    }

    fn quantized_unary(&mut self, node: &'a Node, op: Op) -> Done<Value<'a>> {
        let (at, point) = (self.levels(node, 0, 1)?, self.point(node, 3, 4)?);
        if int(node, "channels_last", 0) != 0 {
            return Err("has channels_last, expected channels first".into());
        }
        self.push(Pending::plain(label(node), op, &[at]), Some(point)).map(Value::Levels)
    }

    fn quantized_concat(&mut self, node: &'a Node) -> Done<Value<'a>> {
        check_axis(node, "axis", 1)?;
        let point = self.point(node, 0, 1)?;
        let inputs = (2..node.input.len()).step_by(3).map(|i| self.levels(node, i, i + 1));
        let inputs = inputs.collect::<Done<Vec<_>>>()?;
        self.push(Pending::plain(label(node), Op::Concat, &inputs), Some(point)).map(Value::Levels)
    }

    /// A `Relu` or `Clip`: of a layer without levels a bound, of real values a table.
    fn clipped(&mut self, node: &'a Node, [min, max]: [f32; 2]) -> Done<Value<'a>> {
        if let Value::Pending(pending) = self.lookup(node, 0)? {
            let mut pending = pending.clone();
            pending.bounds.push([min, max]);
            return Ok(Value::Pending(pending));
        }
        let op = match [min, max] {
            [0.0, f32::INFINITY] => Op::Relu,
            [min, max] => Op::Function(Function::Clip { min: min.max(f32::MIN), max: max.min(f32::MAX) }),
        };
        Ok(pending(node, op, &[self.real(node, 0)?]))
    }

    fn move_value(
        &mut self,
        node: &'a Node,
        change: impl FnOnce(&mut Self, At) -> Done<At>,
    ) -> Done<Value<'a>> {
        match *self.lookup(node, 0)? {
            Value::Levels(at) => change(self, at).map(Value::Levels),
            Value::Real(at) => change(self, at).map(Value::Real),
            _ => {
                Err("moves values without levels, expected QuantizeLinear and DequantizeLinear before it"
                    .into())
            }
        }
    }
}

fn pending<'a>(node: &Node, op: Op, inputs: &[At]) -> Value<'a> {
    Value::Pending(Box::new(Pending::plain(label(node), op, inputs)))
}

fn leaky(node: &Node) -> Op {
    Op::LeakyRelu { slope: float(node, "alpha", 0.01) }
}

fn operator(node: &Node) -> String {
    match is_standard(&node.domain) {
        true => shown(&node.op_type),
        false => format!("{}.{}", shown(&node.domain), shown(&node.op_type)),
    }
}

/// Says that an operator is not read, and what comes nearest.
fn unknown(node: &Node) -> String {
    let nearest = match node.op_type.as_str() {
        "ConvInteger" | "MatMulInteger" | "DynamicQuantizeLinear" => {
            "; dynamic quantization has no fixed levels: quantize statically, with quantize_static"
        }
        "ReduceMean" => "; nearest: GlobalAveragePool, as nn.AdaptiveAvgPool2d(1) is exported",
        "BatchNormalization" => "; nearest: a Conv with the batch norm folded in, as quant_pre_process does",
        "Sub" | "Div" => "; nearest: Add or Mul",
        "Shape" | "Gather" | "ConstantOfShape" => {
            "; export the model with fixed sizes, so that shapes are constants"
        }
        "Tanh" | "Elu" | "Gelu" | "Erf" | "Softplus" => {
            "; nearest: Sigmoid, HardSigmoid, HardSwish, LeakyRelu"
        }
        "Pad" => "; nearest: the pads of the Conv or MaxPool after it",
        _ => "",
    };
    format!("is no operator that a quantized network has here, expected one of {OPERATORS}{nearest}")
}

fn attribute<'a>(node: &'a Node, name: &str) -> Option<&'a message::Attribute> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

fn int(node: &Node, name: &str, absent: i64) -> i64 {
    attribute(node, name).and_then(|a| a.i).unwrap_or(absent)
}

fn float(node: &Node, name: &str, absent: f32) -> f32 {
    attribute(node, name).and_then(|a| a.f).unwrap_or(absent)
}

fn ints<'a>(node: &'a Node, name: &str) -> Option<&'a [i64]> {
    attribute(node, name).map(|a| a.ints.as_slice())
}

fn check_axis(node: &Node, name: &str, expected: i64) -> Done<()> {
    match int(node, name, expected) {
        found if found == expected => Ok(()),
        found => Err(format!("{name} is {found}, expected {expected}")),
    }
}
