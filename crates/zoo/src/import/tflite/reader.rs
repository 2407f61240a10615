//! Walks the operators of a file.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use flatbuffers::Vector;
use graph::{AvgPool, Conv, Layer, MAX_LAYERS, MaxPool, ModelSpec, Op, Preprocessing};
use quant::{GivenActivations, GivenPoint, QuantTensor, Rule};

use super::TfliteProblem;
use super::schema::{
    ActivationFunctionType, BuiltinOperator, Model, Operator, OperatorCode, Padding, Pool2DOptions, SubGraph,
    TensorType,
};
use super::stored::{Tensors, Weight};
use super::window::{Window, activation, extent, requantized};
use crate::import::onnx::free_name;
use crate::import::{QuantizedModel, shown};

type Done<T> = Result<T, String>;

/// Operators that are read.
const OPERATORS: &str = "CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED, ADD, MUL, AVERAGE_POOL_2D, MAX_POOL_2D, MEAN, RELU, RELU6, \
     CONCATENATION, PAD, RESHAPE, SQUEEZE, QUANTIZE, DEQUANTIZE, SOFTMAX";

/// The schema version of all files with the mark TFL3.
const VERSION: u32 = 3;

/// The meaning of a tensor.
#[derive(Clone, Copy, Debug)]
enum Value {
    /// The float image.
    Image,
    /// Levels of a place.
    Levels(At),
    /// Real values of the levels of a place.
    Real(At),
    /// The probabilities of the classes of a place.
    Probabilities(At),
}

/// A place, and the image whose values it has in the order height, width, channels.
#[derive(Clone, Copy, Debug)]
struct At {
    place: usize,
    flattened: Option<[usize; 3]>,
}

impl At {
    fn of(place: usize) -> Self {
        Self { place, flattened: None }
    }
}

struct Reader<'a> {
    tensors: Tensors<'a>,
    values: HashMap<i32, Value>,
    /// Shape of every place, without the batch.
    shapes: Vec<Vec<usize>>,
    points: Vec<Option<GivenPoint>>,
    layers: Vec<Layer>,
    names: BTreeSet<String>,
    weights: Vec<QuantTensor>,
    biases: BTreeMap<String, Vec<i32>>,
    notes: Vec<String>,
}

/// An operator with its name and its tensors.
struct Node<'a> {
    operator: Operator<'a>,
    code: BuiltinOperator,
    inputs: Vec<i32>,
    output: i32,
}

pub(super) fn read(model: &Model<'_>) -> Result<QuantizedModel, TfliteProblem> {
    let wrong = |what: &'static str| move |problem: String| TfliteProblem::Model { what, problem };
    if model.version() != VERSION {
        return Err(wrong("version")(format!("is {}, expected {VERSION}", model.version())));
    }
    let graphs = model.subgraphs().map_or(0, |graphs| graphs.len());
    let Some(graph) = model.subgraphs().filter(|graphs| graphs.len() == 1).map(|graphs| graphs.get(0)) else {
        return Err(wrong("graph")(format!("is one of {graphs}, expected a single one")));
    };
    let codes = model.operator_codes();
    let operators = graph.operators().filter(|operators| operators.len() <= MAX_LAYERS).ok_or_else(|| {
        let found = graph.operators().map_or(0, |operators| operators.len());
        wrong("graph")(format!("has {found} operators, expected 1 to {MAX_LAYERS}"))
    })?;
    let mut nodes = Vec::new();
    for (index, operator) in operators.iter().enumerate() {
        let code = codes.filter(|codes| (operator.opcode_index() as usize) < codes.len());
        let Some(code) = code.map(|codes| codes.get(operator.opcode_index() as usize)) else {
            let problem =
                format!("names operator code {}, expected one of the file", operator.opcode_index());
            return Err(TfliteProblem::Operator { index, operator: "unknown".into(), problem });
        };
        nodes.push(Node::of(operator, code).map_err(|problem| TfliteProblem::Operator {
            index,
            operator: operator_name(code),
            problem,
        })?);
    }
    let Some(tensors) = graph.tensors() else {
        return Err(wrong("graph")("has no tensors, expected those of its operators".into()));
    };
    let tensors = Tensors::new(model, tensors);
    let [input, output] = [("input", graph.inputs()), ("output", graph.outputs())]
        .map(|(what, indices)| one(what, indices, &tensors));
    let (input, output) = (input.map_err(wrong("input"))?, output.map_err(wrong("output"))?);
    let (mut reader, size) = Reader::new(tensors, input).map_err(wrong("input"))?;
    let needed = needed(&nodes, output);
    for (index, node) in nodes.iter().enumerate().filter(|(index, _)| needed.contains(index)) {
        reader.node(node).map_err(|problem| TfliteProblem::Operator {
            index,
            operator: node.name(),
            problem,
        })?;
    }
    reader.finish(&graph, output, size).map_err(wrong("output"))
}

/// The only tensor of a list.
fn one(what: &str, indices: Option<Vector<'_, i32>>, tensors: &Tensors<'_>) -> Done<i32> {
    let indices: Vec<i32> = indices.map(|indices| indices.iter().take(17).collect()).unwrap_or_default();
    match indices[..] {
        [index] => tensors.get(index).map(|_| index),
        _ => {
            let names: Vec<String> = indices.iter().map(|&index| tensors.name(index)).collect();
            Err(format!("is one of [{}], expected a single {what}", names.join(", ")))
        }
    }
}

/// Indices of the nodes that a tensor needs.
fn needed(nodes: &[Node<'_>], output: i32) -> HashSet<usize> {
    let mut tensors = HashSet::from([output]);
    let mut needed = HashSet::new();
    for (index, node) in nodes.iter().enumerate().rev() {
        if tensors.contains(&node.output) {
            tensors.extend(&node.inputs);
            needed.insert(index);
        }
    }
    needed
}

/// Builtin code of an operator; old files have it in a byte.
fn builtin(code: OperatorCode<'_>) -> BuiltinOperator {
    BuiltinOperator(code.builtin_code().0.max(code.deprecated_builtin_code().into()))
}

fn operator_name(code: OperatorCode<'_>) -> String {
    match builtin(code) {
        BuiltinOperator::CUSTOM => shown(code.custom_code().unwrap_or("CUSTOM")),
        known => builtin_name(known),
    }
}

fn builtin_name(code: BuiltinOperator) -> String {
    code.variant_name().map_or_else(|| format!("code {}", code.0), str::to_string)
}

impl<'a> Node<'a> {
    fn of(operator: Operator<'a>, code: OperatorCode<'a>) -> Done<Self> {
        let outputs: Vec<i32> =
            operator.outputs().map(|list| list.iter().take(2).collect()).unwrap_or_default();
        let inputs: Vec<i32> =
            operator.inputs().map(|list| list.iter().take(256).collect()).unwrap_or_default();
        let (&[output], false) = (&outputs[..], inputs.is_empty()) else {
            return Err(format!(
                "has {} inputs and {} outputs, expected inputs and one output: read are {OPERATORS}",
                inputs.len(),
                operator.outputs().map_or(0, |list| list.len())
            ));
        };
        Ok(Self { operator, code: builtin(code), inputs, output })
    }

    fn name(&self) -> String {
        builtin_name(self.code)
    }

    /// Checks the number of inputs.
    fn takes(&self, count: std::ops::RangeInclusive<usize>) -> Done<()> {
        match count.contains(&self.inputs.len()) {
            true => Ok(()),
            false => Err(format!(
                "has {} inputs, expected {} to {}",
                self.inputs.len(),
                count.start(),
                count.end()
            )),
        }
    }

    /// Tensor of a bias, which may be left out.
    fn bias(&self) -> Option<i32> {
        self.inputs.get(2).copied().filter(|&index| index != -1)
    }
}

fn options<T>(options: Option<T>) -> Done<T> {
    options.ok_or_else(|| "has no options, expected those of the operator".into())
}

impl<'a> Reader<'a> {
    /// Begins with the image.
    fn new(tensors: Tensors<'a>, input: i32) -> Done<(Self, [usize; 3])> {
        let name = tensors.name(input);
        let dims = tensors.dims(input)?;
        let [1, height, width, channels] = dims[..] else {
            return Err(format!("{name} is {dims:?}, expected [1, height, width, channels]"));
        };
        let (value, point) = match tensors.get(input)?.type_() {
            TensorType::FLOAT32 => (Value::Image, None),
            _ => (Value::Levels(At::of(0)), Some(tensors.point(input)?)),
        };
        let size = [channels, height, width];
        let reader = Self {
            tensors,
            values: HashMap::from([(input, value)]),
            shapes: vec![size.to_vec()],
            points: vec![point],
            layers: Vec::new(),
            names: BTreeSet::from(["input".to_string()]),
            weights: Vec::new(),
            biases: BTreeMap::new(),
            notes: Vec::new(),
        };
        Ok((reader, size))
    }

    fn finish(mut self, graph: &SubGraph<'_>, output: i32, size: [usize; 3]) -> Done<QuantizedModel> {
        let name = self.tensors.name(output);
        let at = match self.values.get(&output).copied() {
            Some(Value::Real(at)) => at,
            Some(Value::Levels(at)) => {
                self.notes.push("the output is levels; the logits are their real values".into());
                at
            }
            Some(Value::Probabilities(at)) => {
                self.notes.push(
                    "the softmax at the end is left out: it keeps the order of the classes, and the logits are the real \
                     values of the levels before it"
                        .into(),
                );
                at
            }
            Some(Value::Image) | None => {
                return Err(format!("{name} is no value of the image, expected logits"));
            }
        };
        let at = match self.shapes[at.place][..] {
            [_] => at,
            [_, 1, 1] => {
                let point = self.points[at.place];
                At::of(self.push("logits".into(), Op::Flatten, &[at], point)?)
            }
            ref shape => {
                return Err(format!("{name} is {shape:?} for each image, expected one value a class"));
            }
        };
        if at.place == 0 || at.place != self.layers.len() || at.flattened.is_some() {
            return Err(format!("{name} is not the last value computed, expected logits"));
        }
        let first = self.points[0].ok_or("no QUANTIZE reads the float image, expected levels")?;
        let takes_bytes = self.values.values().all(|value| !matches!(value, Value::Image));
        let pixels = takes_bytes.then(|| byte_preprocessing(first, size[0])).transpose()?;
        let architecture = graph.name().filter(|name| !name.is_empty()).map_or("tflite".into(), shown);
        Ok(QuantizedModel {
            model: ModelSpec::new(&architecture, self.shapes[at.place][0], size),
            layers: self.layers,
            weights: self.weights,
            activations: GivenActivations {
                rule: Rule::TfliteReference,
                points: self.points,
                biases: self.biases,
            },
            pixels,
            notes: self.notes,
        })
    }

    fn node(&mut self, node: &Node<'a>) -> Done<()> {
        let value = self.value(node)?;
        if let Value::Levels(at) = value {
            self.check_output(node.output, at)?;
        }
        self.values.insert(node.output, value);
        Ok(())
    }

    fn value(&mut self, node: &Node<'a>) -> Done<Value> {
        let at = match node.code {
            BuiltinOperator::CONV_2D => self.conv(node)?,
            BuiltinOperator::DEPTHWISE_CONV_2D => self.depthwise(node)?,
            BuiltinOperator::FULLY_CONNECTED => self.linear(node)?,
            BuiltinOperator::ADD => {
                let found = node.operator.builtin_options_as_add_options();
                let function = found.map(|options| options.fused_activation_function());
                self.pair(node, Op::Add, function)?
            }
            BuiltinOperator::MUL => {
                let found = node.operator.builtin_options_as_mul_options();
                let function = found.map(|options| options.fused_activation_function());
                self.pair(node, Op::Mul, function)?
            }
            BuiltinOperator::AVERAGE_POOL_2D | BuiltinOperator::MAX_POOL_2D => self.pool(node)?,
            BuiltinOperator::MEAN => self.mean(node)?,
            BuiltinOperator::RELU => self.unary(node, Op::Relu)?,
            BuiltinOperator::RELU6 => self.unary(node, Op::ClippedRelu { max: 6.0 })?,
            BuiltinOperator::CONCATENATION => self.concat(node)?,
            BuiltinOperator::PAD => self.pad(node)?,
            BuiltinOperator::RESHAPE | BuiltinOperator::SQUEEZE => match self.lookup(node.inputs[0])? {
                Value::Levels(at) => self.reshaped(node, at)?,
                other => return Ok(other),
            },
            BuiltinOperator::QUANTIZE => match self.lookup(node.inputs[0])? {
                Value::Image => {
                    let point = self.tensors.point(node.output)?;
                    if self.points[0].is_some_and(|other| other != point) {
                        return Err(
                            "gives the image other levels than another QUANTIZE, expected the same".into()
                        );
                    }
                    self.points[0] = Some(point);
                    At::of(0)
                }
                Value::Levels(_) => {
                    let op = requantized(self.tensors.point(node.output)?);
                    self.unary(node, op)?
                }
                other => return Ok(other),
            },
            BuiltinOperator::DEQUANTIZE => {
                return match self.lookup(node.inputs[0])? {
                    Value::Levels(at) => Ok(Value::Real(at)),
                    other @ Value::Probabilities(_) => Ok(other),
                    _ => Err(format!("reads {}, expected levels", self.tensors.name(node.inputs[0]))),
                };
            }
            BuiltinOperator::SOFTMAX => {
                let beta = options(node.operator.builtin_options_as_softmax_options())?.beta();
                if beta.is_nan() || beta <= 0.0 {
                    return Err(format!(
                        "has beta {beta}, expected a positive number, which keeps the order"
                    ));
                }
                return match self.lookup(node.inputs[0])? {
                    Value::Levels(at) | Value::Real(at) => Ok(Value::Probabilities(at)),
                    _ => Err(format!("reads {}, expected levels", self.tensors.name(node.inputs[0]))),
                };
            }
            _ => return Err(format!("is not read, expected one of {OPERATORS}")),
        };
        Ok(Value::Levels(at))
    }

    fn lookup(&self, tensor: i32) -> Done<Value> {
        self.values.get(&tensor).copied().ok_or_else(|| {
            format!(
                "reads {}, expected a value that an operator before it computes",
                self.tensors.name(tensor)
            )
        })
    }

    /// A place that a node reads, which no list of features stands for.
    fn levels(&self, tensor: i32) -> Done<At> {
        match self.lookup(tensor)? {
            Value::Levels(at) => Ok(at),
            Value::Image => Err(format!(
                "reads the float image {}, expected levels: quantize the model to int8, or convert it to ONNX with tf2onnx",
                self.tensors.name(tensor)
            )),
            _ => Err(format!("reads the real value {}, expected levels", self.tensors.name(tensor))),
        }
    }

    /// A place whose values have the order of the layers here.
    fn plain(&self, tensor: i32) -> Done<At> {
        let at = self.levels(tensor)?;
        match at.flattened {
            None => Ok(at),
            Some(_) => Err(format!(
                "reads {}, a flattened image, expected FULLY_CONNECTED after it",
                self.tensors.name(tensor)
            )),
        }
    }

    fn point(&self, at: At) -> GivenPoint {
        self.points[at.place].expect("levels are of a place with them")
    }

    /// Checks that the file gives a result the shape that the layers give it.
    fn check_output(&self, tensor: i32, at: At) -> Done<()> {
        let dims = self.tensors.dims(tensor)?;
        let expected = match self.shapes[at.place][..] {
            [channels, height, width] => vec![1, height, width, channels],
            ref features => [&[1], features].concat(),
        };
        let is_pixel = dims.len() == 4 && dims[..3] == [1, 1, 1] && dims[3..] == expected[1..];
        if dims != expected && !is_pixel {
            return Err(format!("gives {} as {dims:?}, expected {expected:?}", self.tensors.name(tensor)));
        }
        Ok(())
    }

    /// Name of a layer after a tensor, up to the first semicolon.
    fn layer_name(&mut self, tensor: i32) -> String {
        let full = self.tensors.name(tensor);
        let name = full.split(';').next().filter(|name| !name.is_empty()).unwrap_or("layer").to_string();
        self.free_name(name)
    }

    fn free_name(&mut self, name: String) -> String {
        free_name(&mut self.names, name, '.', 2)
    }

    /// Adds a layer; returns its place.
    fn push(&mut self, name: String, op: Op, inputs: &[At], point: Option<GivenPoint>) -> Done<usize> {
        if self.layers.len() == MAX_LAYERS {
            return Err(format!("is beyond the {MAX_LAYERS} layers that a network may have"));
        }
        let inputs: Vec<usize> = inputs.iter().map(|at| at.place).collect();
        let shapes: Vec<&[usize]> = inputs.iter().map(|&place| self.shapes[place].as_slice()).collect();
        let shape = Layer::output(&op, &shapes)?;
        self.layers.push(Layer { name, inputs, op });
        self.shapes.push(shape);
        self.points.push(point);
        Ok(self.layers.len())
    }

    /// Adds the layer of an operator without weights, and its activation.
    fn operation(
        &mut self,
        node: &Node<'a>,
        op: Op,
        inputs: &[At],
        function: ActivationFunctionType,
    ) -> Done<At> {
        let point = self.tensors.point(node.output)?;
        let name = self.layer_name(node.output);
        let place = self.push(name.clone(), op, inputs, Some(point))?;
        self.activated(&name, place, function)
    }

    /// Adds the activation inside an operator.
    fn activated(&mut self, name: &str, place: usize, function: ActivationFunctionType) -> Done<At> {
        let point = self.point(At::of(place));
        match activation(function, point)? {
            None => Ok(At::of(place)),
            Some(op) => {
                let name = self.free_name(format!("{name}.activation"));
                self.push(name, op, &[At::of(place)], Some(point)).map(At::of)
            }
        }
    }

    /// Levels of a node's inputs, all of the type of its output.
    fn alike(&self, node: &Node<'a>) -> Done<Vec<At>> {
        let signed = self.tensors.is_signed(node.output)?;
        let at = |&tensor: &i32| {
            let at = self.plain(tensor)?;
            match self.point(at).signed == signed {
                true => Ok(at),
                false => Err(format!("reads {} of another type than its output", self.tensors.name(tensor))),
            }
        };
        node.inputs.iter().map(at).collect()
    }

    fn unary(&mut self, node: &Node<'a>, op: Op) -> Done<At> {
        node.takes(1..=1)?;
        let at = self.plain(node.inputs[0])?;
        self.operation(node, op, &[at], ActivationFunctionType::NONE)
    }

    fn pair(&mut self, node: &Node<'a>, op: Op, function: Option<ActivationFunctionType>) -> Done<At> {
        node.takes(2..=2)?;
        let mut inputs = self.alike(node)?;
        // One factor for each channel comes second.
        let pixels = |at: &At| self.shapes[at.place][1..].iter().product::<usize>();
        if op == Op::Mul && pixels(&inputs[0]) < pixels(&inputs[1]) {
            inputs.swap(0, 1);
        }
        self.operation(node, op, &inputs, function.unwrap_or(ActivationFunctionType::NONE))
    }

    fn concat(&mut self, node: &Node<'a>) -> Done<At> {
        let found = options(node.operator.builtin_options_as_concatenation_options())?;
        if ![3, -1].contains(&found.axis()) {
            return Err(format!("has axis {}, expected 3, the channels", found.axis()));
        }
        let inputs = self.alike(node)?;
        self.operation(node, Op::Concat, &inputs, found.fused_activation_function())
    }

    fn mean(&mut self, node: &Node<'a>) -> Done<At> {
        node.takes(2..=2)?;
        let at = self.alike(&Node { inputs: vec![node.inputs[0]], ..*node })?[0];
        let mut axes = self.tensors.integers(node.inputs[1])?;
        axes.iter_mut().filter(|axis| **axis < 0).for_each(|axis| *axis += 4);
        axes.sort_unstable();
        if axes != [1, 2] {
            return Err(format!("has axes {axes:?}, expected [1, 2], height and width"));
        }
        self.operation(node, Op::GlobalAvgPool, &[at], ActivationFunctionType::NONE)
    }

    fn pool(&mut self, node: &Node<'a>) -> Done<At> {
        node.takes(1..=1)?;
        let at = self.alike(node)?[0];
        let found: Pool2DOptions<'_> = options(node.operator.builtin_options_as_pool_2_doptions())?;
        let window = Window {
            kernel: [
                extent(found.filter_height(), "filter height")?,
                extent(found.filter_width(), "filter width")?,
            ],
            stride: strides(found.stride_h(), found.stride_w())?,
            dilation: [1, 1],
        };
        let [before, after] = self.padding(at, window, found.padding())?;
        let (Window { kernel, stride, .. }, unequal) = (window, (after != before).then_some(after));
        let op = match node.code {
            BuiltinOperator::MAX_POOL_2D => Op::MaxPool(MaxPool {
                kernel,
                stride,
                padding: before,
                dilation: [1, 1],
                ceil: false,
                after: unequal,
            }),
            _ => {
                // Without a padding both divisors are the same, and the layer has one spelling.
                let count_include_pad = [before, after] == [[0, 0], [0, 0]];
                let padding = before;
                let ceil = false;
                Op::AvgPool(AvgPool { kernel, stride, padding, count_include_pad, ceil, after: unequal })
            }
        };
        self.operation(node, op, &[at], found.fused_activation_function())
    }

    /// Padding of a window on a place before and after, in the order height, width.
    fn padding(&self, at: At, window: Window, padding: Padding) -> Done<[[usize; 2]; 2]> {
        match self.shapes[at.place][..] {
            [_, height, width] => window.padding(padding, [height, width]),
            ref shape => Err(format!("reads {shape:?} of each image, expected height, width and channels")),
        }
    }

    fn pad(&mut self, node: &Node<'a>) -> Done<At> {
        node.takes(2..=2)?;
        let at = self.alike(&Node { inputs: vec![node.inputs[0]], ..*node })?[0];
        let found = self.tensors.integers(node.inputs[1])?;
        let sides: Option<Vec<usize>> = found.iter().map(|&n| usize::try_from(n).ok()).collect();
        match sides.as_deref() {
            Some(&[0, 0, top, bottom, left, right, 0, 0]) => {
                let op = Op::Pad { before: [top, left], after: [bottom, right] };
                self.operation(node, op, &[at], ActivationFunctionType::NONE)
            }
            _ => Err(format!("has paddings {found:?}, expected none of batch and channels")),
        }
    }

    fn reshaped(&mut self, node: &Node<'a>, at: At) -> Done<At> {
        let (from, to) = (self.tensors.dims(node.inputs[0])?, self.tensors.dims(node.output)?);
        if self.tensors.point(node.output)? != self.point(at) {
            return Err("gives levels of another scale or zero point than it reads, expected the same".into());
        }
        let shape = self.shapes[at.place].clone();
        match (&shape[..], &to[..]) {
            _ if from == to => Ok(at),
            ([_, _, _], [1, _]) => self.flattened(Some(node.output), at),
            ([features], [1, 1, 1, same] | [1, same]) if features == same => Ok(at),
            _ => Err(format!("makes {to:?} of {from:?}, expected [1, features] of an image")),
        }
    }

    /// Features of an image, in the order of the layers here.
    fn flattened(&mut self, tensor: Option<i32>, at: At) -> Done<At> {
        let [channels, height, width] = self.shapes[at.place][..] else { return Ok(at) };
        let point = self.points[at.place];
        let name = match tensor {
            Some(tensor) => self.layer_name(tensor),
            None => self.free_name("flatten".into()),
        };
        let place = self.push(name, Op::Flatten, &[at], point)?;
        let flattened = (height * width > 1).then_some([channels, height, width]);
        Ok(At { place, flattened })
    }

    fn conv(&mut self, node: &Node<'a>) -> Done<At> {
        node.takes(2..=3)?;
        let found = options(node.operator.builtin_options_as_conv_2_doptions())?;
        let at = self.plain(node.inputs[0])?;
        let weight = self.tensors.weight(node.inputs[1], 4, 0, self.point(at).signed)?;
        let [channels, rows, columns, inputs] = weight.dims[..] else { unreachable!("checked to be four") };
        let window = Window {
            kernel: [rows, columns],
            stride: strides(found.stride_h(), found.stride_w())?,
            dilation: dilations(found.dilation_h_factor(), found.dilation_w_factor())?,
        };
        let place = self.shapes[at.place][0];
        if !place.is_multiple_of(inputs) {
            return Err(format!("has weights for {inputs} channels, expected a divisor of {place}"));
        }
        // From [channels, rows, columns, inputs].
        let bytes = weight.reordered(|position| {
            let (column, rest) = (position % columns, position / columns);
            let (row, rest) = (rest % rows, rest / rows);
            let (input, channel) = (rest % inputs, rest / inputs);
            ((channel * rows + row) * columns + column) * inputs + input
        });
        let shape = vec![channels, inputs, rows, columns];
        let padding = self.padding(at, window, found.padding())?;
        let groups = place / inputs;
        self.convolution(
            node,
            at,
            (weight, shape, bytes),
            (window, padding, groups),
            found.fused_activation_function(),
        )
    }

    fn depthwise(&mut self, node: &Node<'a>) -> Done<At> {
        node.takes(2..=3)?;
        let found = options(node.operator.builtin_options_as_depthwise_conv_2_doptions())?;
        let at = self.plain(node.inputs[0])?;
        let weight = self.tensors.weight(node.inputs[1], 4, 3, self.point(at).signed)?;
        let [one, rows, columns, channels] = weight.dims[..] else { unreachable!("checked to be four") };
        let groups = self.shapes[at.place][0];
        if one != 1 || !channels.is_multiple_of(groups) {
            return Err(format!(
                "has weights {:?}, expected [1, height, width, a multiple of {groups}]",
                weight.dims
            ));
        }
        let window = Window {
            kernel: [rows, columns],
            stride: strides(found.stride_h(), found.stride_w())?,
            dilation: dilations(found.dilation_h_factor(), found.dilation_w_factor())?,
        };
        // From [rows, columns, channels].
        let bytes = weight.reordered(|position| {
            let (place, channel) = (position % (rows * columns), position / (rows * columns));
            place * channels + channel
        });
        let shape = vec![channels, 1, rows, columns];
        let padding = self.padding(at, window, found.padding())?;
        self.convolution(
            node,
            at,
            (weight, shape, bytes),
            (window, padding, groups),
            found.fused_activation_function(),
        )
    }

    /// Adds a convolution, with a layer before it if its padding is unequal and a layer after it if its activation is no
    /// saturation.
    fn convolution(
        &mut self,
        node: &Node<'a>,
        at: At,
        (weight, shape, bytes): (Weight, Vec<usize>, Vec<i8>),
        (window, [before, after], groups): (Window, [[usize; 2]; 2], usize),
        function: ActivationFunctionType,
    ) -> Done<At> {
        let name = self.layer_name(node.inputs[1]);
        let (at, padding) = match before == after {
            true => (at, before),
            false => {
                let pad = self.free_name(format!("{name}.pad"));
                let point = self.points[at.place];
                (At::of(self.push(pad, Op::Pad { before, after }, &[at], point)?), [0, 0])
            }
        };
        let bias = node.bias().map(|index| self.bias(index, shape[0])).transpose()?;
        let op = Op::Conv(Conv {
            channels: shape[0],
            groups,
            bias: bias.is_some(),
            kernel: window.kernel,
            stride: window.stride,
            padding,
            dilation: window.dilation,
        });
        let point = self.tensors.point(node.output)?;
        self.check_type(node, at)?;
        let place = self.push(name.clone(), op, &[at], Some(point))?;
        self.keep(&name, weight, shape, bytes, bias)?;
        self.activated(&name, place, function)
    }

    fn linear(&mut self, node: &Node<'a>) -> Done<At> {
        node.takes(2..=3)?;
        let found = options(node.operator.builtin_options_as_fully_connected_options())?;
        if found.weights_format() != 0 {
            return Err(format!("has weights format {}, expected 0, the default", found.weights_format()));
        }
        let at = self.levels(node.inputs[0])?;
        let at = self.flattened(None, at)?;
        let weight = self.tensors.weight(node.inputs[1], 2, 0, self.point(at).signed)?;
        let [features, inputs] = weight.dims[..] else { unreachable!("checked to be two") };
        let place = &self.shapes[at.place];
        if *place != [inputs] {
            return Err(format!("has weights for {inputs} features, expected {place:?}"));
        }
        let name = self.layer_name(node.inputs[1]);
        let bytes = match at.flattened {
            None => weight.bytes.clone(),
            // From columns in the order height, width, channels.
            Some([channels, height, width]) => weight.reordered(|position| {
                let (column, feature) = (position % inputs, position / inputs);
                let (pixel, channel) = (column % (height * width), column / (height * width));
                feature * inputs + pixel * channels + channel
            }),
        };
        let bias = match node.bias() {
            Some(index) => self.bias(index, features)?,
            None => vec![0; features],
        };
        let point = self.tensors.point(node.output)?;
        self.check_type(node, at)?;
        let place = self.push(name.clone(), Op::Linear { features }, &[at], Some(point))?;
        self.keep(&name, weight, vec![features, inputs], bytes, Some(bias))?;
        self.activated(&name, place, found.fused_activation_function())
    }

    /// Checks that a layer with weights gives levels of the type that it reads.
    fn check_type(&self, node: &Node<'a>, at: At) -> Done<()> {
        match self.tensors.is_signed(node.output)? == self.point(at).signed {
            true => Ok(()),
            false => Err("gives levels of another type than it reads, expected the same".into()),
        }
    }

    fn bias(&self, index: i32, channels: usize) -> Done<Vec<i32>> {
        let values = self.tensors.integers(index)?;
        match values.len() == channels {
            true => Ok(values),
            false => {
                let name = self.tensors.name(index);
                Err(format!("bias {name} has {} values, expected {channels}", values.len()))
            }
        }
    }

    fn keep(
        &mut self,
        name: &str,
        weight: Weight,
        shape: Vec<usize>,
        bytes: Vec<i8>,
        bias: Option<Vec<i32>>,
    ) -> Done<()> {
        let tensor = QuantTensor::new(format!("{name}.weight"), shape, bytes, weight.scale)
            .map_err(|error| format!("weight {}: {error}", weight.name))?;
        self.weights.push(tensor);
        if let Some(bias) = bias {
            self.biases.insert(format!("{name}.bias"), bias);
        }
        Ok(())
    }
}

/// The preprocessing by which the value p of a pixel becomes the byte p of levels: (p - zero) scale.
fn byte_preprocessing(point: GivenPoint, channels: usize) -> Done<Preprocessing> {
    let zero = f32::from(point.zero_point) + if point.signed { 128.0 } else { 0.0 };
    let (mean, std) = (zero / 255.0, 1.0 / (255.0 * point.scale));
    Preprocessing::new(vec![mean; channels], vec![std; channels])
        .map_err(|error| format!("the scale of the image is {}, so that {error}", point.scale))
}

fn strides(height: i32, width: i32) -> Done<[usize; 2]> {
    Ok([extent(height, "stride of height")?, extent(width, "stride of width")?])
}

fn dilations(height: i32, width: i32) -> Done<[usize; 2]> {
    Ok([extent(height, "dilation of height")?, extent(width, "dilation of width")?])
}
