//! Converts nodes to layers.
//!
//! Every value of the ONNX graph is a place in the layer list or a constant. A place also remembers ONNX's
//! shape and order of its values ([`super::place`]). Images of a batch are independent: a symbolic batch size
//! is 1, a fixed one stays in the shapes and has the same meaning.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use graph::{Layer, MAX_LAYERS, ModelSpec, Op};
use quant::{FloatTensor, Parameters};

use super::attribute::{float, floats, int, ints, tensor};
use super::border::Border;
use super::fold::shape_part;
use super::input::{Image, input};
use super::message::{Graph, Node, Tensor};
use super::normalization::Normalization;
use super::place::Place;
use super::scalar::Scalar;
use super::tensor::{Constant, Held, MAX_INTEGERS, held, read, type_name};
use super::tokens::{Scores, View};
use super::{InputArithmetic, OnnxModel, OnnxProblem, nearest, operators};
use crate::import::shown;

/// True if a domain is that of ONNX's own operators.
pub(super) fn is_standard(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

/// The meaning of a name of the ONNX graph.
#[derive(Clone)]
pub(super) enum Value<'a> {
    /// The output of a layer, or the input.
    Place(Place),
    /// A place with a constant border that no layer adds yet.
    Padded { place: Place, border: Border, fill: f32 },
    /// A place whose values are capped at `most`, which no layer does yet.
    Capped { place: Place, most: f32 },
    /// Every `step`-th row or column of a place, along one of ONNX's axes, which no layer selects yet.
    Skipped { place: Place, axis: usize, step: usize },
    /// A function of each value of a place, which may become a part of another one.
    Scalar(Scalar),
    /// A value in the middle of a layer norm that the file writes out.
    Normalization(Normalization),
    /// An image of tokens in a shape that no place has.
    View(View),
    /// A value in the middle of an attention.
    Scores(Scores),
    /// The features of a batch of one image as a list without the batch.
    Listed(Place),
    /// The class probabilities, which no node may read.
    Probabilities(Place),
    /// A tensor of the file, read on demand.
    Tensor(&'a Tensor),
    /// A constant, and the tensor of the file whose values it holds in another order or shape, if there is
    /// one.
    Constant(Constant, Option<&'a Tensor>),
    /// The second or a later output of this node.
    Further(String),
}

/// A converted network whose output may not be the logits.
pub(super) struct Converted {
    pub(super) model: OnnxModel,
    /// True if the output is a list of features, false if it is an image.
    pub(super) is_flat: bool,
}

/// The inputs of a conversion.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) graph: &'a Graph,
    /// Folder of the external data.
    pub(super) folder: &'a Path,
    /// Largest number of bytes that constants may take, both those read and those computed.
    pub(super) bytes: usize,
    pub(super) opset: i64,
}

/// Converts the nodes that one output needs to a network.
pub(super) fn convert<'a>(source: Source<'a>, output: &'a str) -> Result<Converted, OnnxProblem> {
    let Source { graph, folder, bytes, opset } = source;
    let Image { name, size, batch, last, is_bytes, other_type } = input(graph)?;
    let tensors = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), Value::Tensor(tensor)));
    let mut converter = Converter {
        folder,
        opset,
        limit: bytes,
        left: Cell::new(bytes),
        values: tensors.collect(),
        readers: HashMap::new(),
        shapes: vec![size.to_vec()],
        layers: Vec::new(),
        names: BTreeSet::from(["input".to_string()]),
        parameters: Parameters::new(),
        stored: HashMap::new(),
        arithmetic: InputArithmetic::none(size[0]),
        notes: Vec::new(),
    };
    let mut image = Place { bytes: is_bytes, ..Place::new(0, &size, batch.unwrap_or(1)) };
    if last {
        let [channels, height, width] = size;
        let order = [1, 2, 0].into_iter().filter(|&axis| size[axis] != 1).collect();
        image = Place { dims: vec![image.dims[0], height, width, channels], order, ..image };
        converter.note("images are channels-last in the file; the layers here have channels first".into());
    }
    if let Some(batch) = batch
        && batch != 1
    {
        converter.note(format!(
            "the file fixes a batch of {batch}, which is left out: images are processed one by one"
        ));
    }
    if is_bytes {
        converter.arithmetic.bytes = true;
        converter.note(
            "the file takes pixels as bytes, 0 to 255, and has its own mean and standard deviation".into(),
        );
    }
    if let Some(other) = other_type {
        converter.note(format!("the file computes in {other}, the float network here in float32"));
    }
    converter.values.insert(name, Value::Place(image));

    let needed = needed(graph, output);
    for name in needed.iter().flat_map(|node| &node.input).map(String::as_str).chain([output]) {
        *converter.readers.entry(name).or_default() += 1;
    }
    for node in needed {
        converter.node(node)?;
    }

    let problem = |problem| graph_problem("output", problem);
    let value = converter.values.get(output).cloned();
    let last = match value {
        Some(Value::Place(place)) => place,
        Some(Value::Scalar(scalar)) => converter.settle(&scalar).map_err(problem)?,
        Some(Value::Probabilities(place)) => {
            converter.note("the softmax at the end is left out: it keeps the order of the classes".into());
            place
        }
        Some(Value::Listed(_)) => {
            return Err(problem(format!("{} lacks the batch, expected [batch, classes]", shown(output))));
        }
        Some(Value::Padded { .. } | Value::Capped { .. } | Value::Skipped { .. }) => {
            return Err(problem(format!("{} is padded, clipped or sliced, expected logits", shown(output))));
        }
        Some(Value::Tensor(_) | Value::Constant(..)) => {
            return Err(problem(format!("{} is a constant, expected logits", shown(output))));
        }
        Some(Value::Normalization(_)) => {
            return Err(problem(format!("{} is a part of a layer norm, expected logits", shown(output))));
        }
        Some(Value::View(_) | Value::Scores(_)) => {
            return Err(problem(format!("{} is a part of an attention, expected logits", shown(output))));
        }
        Some(Value::Further(node)) => {
            return Err(problem(format!(
                "{} is not the first output of node {node}, expected that",
                shown(output)
            )));
        }
        None => return Err(problem(format!("{} is computed by no node", shown(output)))),
    };
    let is_flat = last.dims[1..].iter().filter(|&&n| n != 1).count() <= 1;
    if !is_flat {
        let model = converter.finish(graph, size, 0);
        return Ok(Converted { model, is_flat });
    }
    let last = converter.flattened(last, "logits").map_err(problem)?;
    if last.is_moved() {
        let found = format!("{} is a flattened image of another order, expected logits", shown(output));
        return Err(problem(found));
    }
    if last.place == 0 || last.place != converter.layers.len() {
        return Err(problem(format!("{} is not the last value computed, expected logits", shown(output))));
    }
    let classes = converter.shapes[last.place][0];
    Ok(Converted { model: converter.finish(graph, size, classes), is_flat })
}

/// Returns a name that no layer has: `name`, or `name`, the separator and the first free number from `first` on.
pub(in crate::import) fn free_name(
    names: &mut BTreeSet<String>,
    name: String,
    separator: char,
    first: usize,
) -> String {
    let mut free = name.clone();
    for n in first.. {
        if !free.is_empty() && names.insert(free.clone()) {
            break;
        }
        free = format!("{name}{separator}{n}");
    }
    free
}

/// Takes the bytes of a constant from those that are left of `limit`.
pub(super) fn spend(left: &Cell<usize>, limit: usize, bytes: usize) -> Done<()> {
    left.set(left.get().checked_sub(bytes).ok_or_else(|| {
        format!("constants take more than {limit} bytes, which a file of this size cannot need")
    })?);
    Ok(())
}

/// Returns the nodes that an output depends on, in file order.
pub(super) fn needed<'a>(graph: &'a Graph, output: &str) -> Vec<&'a Node> {
    let mut wanted = BTreeSet::from([output]);
    let mut nodes: Vec<&Node> = Vec::new();
    for node in graph.node.iter().rev() {
        if node.output.iter().any(|name| !name.is_empty() && wanted.contains(name.as_str())) {
            wanted.extend(node.input.iter().map(String::as_str));
            nodes.push(node);
        }
    }
    nodes.reverse();
    nodes
}

/// The identity of a stored weight, so that two layers cannot share one.
#[derive(PartialEq, Eq, Hash)]
enum Weight {
    /// Address of a tensor of the file.
    Tensor(*const Tensor),
    /// Name of a value of the graph.
    Named(String),
}

/// The state of a conversion.
pub(super) struct Converter<'a> {
    folder: &'a Path,
    opset: i64,
    /// Bytes that constants may take (`limit`), and the bytes left. Several nodes can copy the same constant,
    /// so each copy is charged.
    limit: usize,
    left: Cell<usize>,
    values: HashMap<&'a str, Value<'a>>,
    /// Number of readers of each name: needed nodes, plus one if it is the graph's output.
    readers: HashMap<&'a str, usize>,
    /// Shape of every place, without the batch dimension.
    pub(super) shapes: Vec<Vec<usize>>,
    pub(super) layers: Vec<Layer>,
    names: BTreeSet<String>,
    pub(super) parameters: Parameters,
    /// The node that reads each stored weight.
    stored: HashMap<Weight, String>,
    pub(super) arithmetic: InputArithmetic,
    notes: Vec<String>,
}

/// A result, or the defect of the node.
pub(super) type Done<T> = Result<T, String>;

impl<'a> Converter<'a> {
    fn finish(self, graph: &Graph, input: [usize; 3], classes: usize) -> OnnxModel {
        let architecture = if graph.name.is_empty() { "onnx".into() } else { shown(&graph.name) };
        let mut notes = self.notes;
        if !self.arithmetic.is_none() && !self.arithmetic.bytes {
            notes
                .push("the file's arithmetic on the image is folded into mean and standard deviation".into());
        }
        OnnxModel {
            model: ModelSpec::new(&architecture, classes, input),
            layers: self.layers,
            parameters: self.parameters,
            arithmetic: self.arithmetic,
            notes,
        }
    }

    pub(super) fn opset(&self) -> i64 {
        self.opset
    }

    pub(super) fn folder(&self) -> &'a Path {
        self.folder
    }

    /// Adds a note for the user, unless it exists.
    pub(super) fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn node(&mut self, node: &'a Node) -> Result<(), OnnxProblem> {
        let operator = shown(&node.op_type);
        let known = operators::find(&node.op_type).filter(|_| is_standard(&node.domain));
        let Some(known) = known else {
            let domain = shown(&node.domain);
            let full = if is_standard(&node.domain) { operator } else { format!("{domain}.{operator}") };
            let (opset, instead) = (self.opset, nearest::advice(node));
            return Err(OnnxProblem::Operator { node: label(node), operator: full, opset, instead });
        };
        let checked = known.check(node, self.opset);
        let problem = |problem| OnnxProblem::Node { node: label(node), operator, problem };
        if node.op_type == "Split" {
            return checked.and_then(|()| self.split(node)).map_err(problem);
        }
        let value = checked.and_then(|()| self.value(node)).map_err(problem)?;
        let mut outputs = node.output.iter();
        if let Some(first) = outputs.next() {
            self.values.insert(first, value);
        }
        for further in outputs.filter(|name| !name.is_empty()) {
            self.values.insert(further, Value::Further(label(node)));
        }
        Ok(())
    }

    /// Sets the value of an output, unless nothing reads it.
    pub(super) fn set_output(&mut self, name: &'a str, value: Value<'a>) {
        self.values.insert(name, value);
    }

    /// True if a node that is needed, or the caller, reads this name.
    pub(super) fn is_read(&self, name: &str) -> bool {
        self.readers.contains_key(name)
    }

    fn value(&mut self, node: &'a Node) -> Done<Value<'a>> {
        if let Some(constant) = self.fold(node)? {
            return Ok(constant);
        }
        if let Some(value) = self.normalized(node)? {
            return Ok(value);
        }
        if let Some(value) = self.tokens(node)? {
            return Ok(value);
        }
        match node.op_type.as_str() {
            "Identity" => return self.lookup(node, 0),
            "Dropout" => return self.dropout(node),
            "Cast" => return self.cast(node),
            "Constant" => return constant(node),
            "Reshape" => {
                if let Some(list) = self.listed(node)? {
                    return Ok(list);
                }
            }
            "Gather" => {
                if let Some(place) = self.restored(node)? {
                    return Ok(Value::Place(place));
                }
            }
            "Shape" => {
                let dims = self.any_place(node, 0)?.dims;
                return Ok(Value::Constant(shape_part(node, &dims)?, None));
            }
            "Softmax" | "LogSoftmax" => return self.softmax(node),
            "Pad" => return self.pad(node),
            "Slice" => return self.slice(node),
            "Min" => return self.minimum(node),
            "Relu" | "Clip" | "Max" => return self.clipped(node),
            "Add" | "Sub" | "Mul" | "Div" | "Sum" => return self.arithmetic(node),
            "Neg" => return self.negative(node),
            "Sigmoid" | "HardSigmoid" | "HardSwish" | "Tanh" | "Elu" | "Gelu" | "Mish" | "Softplus"
            | "Swish" | "Selu" | "Celu" | "Erf" | "Pow" | "Greater" | "Less" | "Where" => {
                return self.function(node);
            }
            _ => {}
        }
        let place = match node.op_type.as_str() {
            "Conv" => self.conv(node),
            "Gemm" | "MatMul" => self.linear(node),
            "BatchNormalization" => self.batch_norm(node),
            "MaxPool" => self.max_pool(node),
            "GlobalMaxPool" => self.largest(node),
            "LayerNormalization" => self.layer_norm(node),
            "PRelu" => self.parametric_relu(node),
            "Gather" => self.gather(node),
            "AveragePool" => self.average_pool(node),
            "GlobalAveragePool" | "ReduceMean" | "ReduceSum" | "ReduceMax" => self.mean(node),
            "Concat" => self.concat(node),
            "LeakyRelu" => self.leaky_relu(node),
            "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" | "Transpose" => self.reshape(node),
            _ => Err("is computed of the image here, expected of constants only".into()),
        };
        Ok(Value::Place(place?))
    }

    /// Appends a layer and returns its place.
    pub(super) fn push(&mut self, name: String, op: Op, inputs: &[&Place]) -> Done<usize> {
        let shapes: Vec<&[usize]> = inputs.iter().map(|x| self.shapes[x.place].as_slice()).collect();
        let shape = Layer::output(&op, &shapes)?;
        if self.layers.len() == MAX_LAYERS {
            return Err(format!("is layer {}, expected at most that many", self.layers.len()));
        }
        let free = free_name(&mut self.names, name, '_', self.layers.len());
        self.layers.push(Layer { name: free, inputs: inputs.iter().map(|x| x.place).collect(), op });
        self.shapes.push(shape);
        Ok(self.layers.len())
    }

    /// Appends a layer like [`Converter::push`]. ONNX has its output in the same shape and order as the
    /// layer.
    pub(super) fn push_plain(&mut self, name: String, op: Op, inputs: &[&Place]) -> Done<Place> {
        let place = self.push(name, op, inputs)?;
        Ok(Place::new(place, &self.shapes[place], inputs[0].dims[0]))
    }

    /// Appends a layer like [`Converter::push`] that keeps shape and order.
    pub(super) fn push_alike(&mut self, name: String, op: Op, x: &Place) -> Done<Place> {
        let place = self.push(name, op, &[x])?;
        Ok(Place { place, shared: false, ..x.clone() })
    }

    pub(super) fn set(&mut self, place: usize, suffix: &str, values: FloatTensor) {
        let name = self.parameter_name(place, suffix);
        self.parameters.insert(name, values);
    }

    pub(super) fn parameter_name(&self, place: usize, suffix: &str) -> String {
        format!("{}.{suffix}", self.layers[place - 1].name)
    }

    fn lookup(&self, node: &'a Node, i: usize) -> Done<Value<'a>> {
        let name = node.input.get(i).filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| format!("input {i} is missing"))?;
        let shared = self.is_shared(node, i);
        let value = self.values.get(name.as_str()).cloned();
        if let Some(Value::Constant(constant, _)) = &value {
            self.spend(constant.bytes())?;
        }
        match value {
            Some(Value::Place(place)) => Ok(Value::Place(Place { shared: place.shared || shared, ..place })),
            Some(Value::Further(other)) => {
                Err(format!("reads {}, not the first output of node {other}, expected that", shown(name)))
            }
            Some(value) => Ok(value),
            None => Err(format!("input {} is computed by no node before it", shown(name))),
        }
    }

    /// True if an input has other readers too.
    pub(super) fn is_shared(&self, node: &Node, i: usize) -> bool {
        let name = node.input.get(i).map(String::as_str);
        name.and_then(|name| self.readers.get(name)).is_some_and(|&readers| readers > 1)
    }

    pub(super) fn spend(&self, bytes: usize) -> Done<()> {
        spend(&self.left, self.limit, bytes)
    }

    pub(super) fn has(&self, node: &Node, i: usize) -> bool {
        node.input.get(i).is_some_and(|name| !name.is_empty())
    }

    /// Returns the value of an input.
    pub(super) fn value_of(&self, node: &Node, i: usize) -> Option<&Value<'a>> {
        self.values.get(node.input.get(i)?.as_str())
    }

    /// True if an input is a constant.
    pub(super) fn is_constant(&self, node: &Node, i: usize) -> bool {
        matches!(self.value_of(node, i), Some(Value::Tensor(_) | Value::Constant(..)))
    }

    /// Returns the tensor of the file that a constant input is.
    pub(super) fn origin(&self, node: &Node, i: usize) -> Option<&'a Tensor> {
        match self.value_of(node, i)? {
            Value::Tensor(tensor) => Some(tensor),
            Value::Constant(_, origin) => *origin,
            _ => None,
        }
    }

    /// Makes the layers of an input that is an expression, once for all its readers.
    fn settled(&mut self, node: &'a Node, i: usize) -> Done<()> {
        let Some(Value::Scalar(scalar)) = self.value_of(node, i) else { return Ok(()) };
        let scalar = scalar.clone();
        let place = self.settle(&scalar)?;
        self.values.insert(node.input[i].as_str(), Value::Place(place));
        Ok(())
    }

    /// Returns the place of an input and its border, if it has one.
    pub(super) fn padded(&mut self, node: &'a Node, i: usize) -> Done<(Place, Border, f32)> {
        self.settled(node, i)?;
        let name = || shown(&node.input[i]);
        let (place, border, fill) = match self.lookup(node, i)? {
            Value::Place(place) => (place, Border::default(), 0.0),
            Value::Padded { place, border, fill } => (place, border, fill),
            Value::Capped { most, .. } => {
                return Err(format!("input {} is cut to at most {most}, expected a Relu before it", name()));
            }
            Value::Skipped { step, axis, .. } => {
                let alone = format!("every {step}th along axis {axis}");
                return Err(format!(
                    "input {} is {alone}, expected rows and columns to be skipped alike",
                    name()
                ));
            }
            Value::Normalization(part) => {
                return Err(format!(
                    "input {} is a part of a layer norm, from node {}, expected the rest of it: x minus its mean over \
                     channels, divided by the root of the mean square of that plus epsilon",
                    name(),
                    part.name
                ));
            }
            Value::View(view) => {
                return Err(format!(
                    "input {} is an image of tokens as {:?}, expected [batch, tokens, channels] outside of an attention",
                    name(),
                    view.dims()
                ));
            }
            Value::Scores(_) => {
                return Err(format!(
                    "input {} is a product of queries and keys, expected a Softmax of it and a product with values",
                    name()
                ));
            }
            Value::Listed(_) => {
                return Err(format!("input {} lacks the batch, expected it in front", name()));
            }
            Value::Probabilities(_) => {
                return Err(format!("input {} is a Softmax's output, expected it at the end only", name()));
            }
            Value::Tensor(_) | Value::Constant(..) => {
                return Err(format!("input {} is a constant, expected the output of another node", name()));
            }
            Value::Further(_) => unreachable!("refused by the lookup"),
            Value::Scalar(_) => unreachable!("it has become layers"),
        };
        if place.bytes {
            return Err(format!("input {} holds bytes, expected a Cast to float before it", name()));
        }
        if place.is_divided() {
            return Err(format!(
                "reads {:?}, channels divided into groups, expected a shuffle of channels: Reshape, Transpose and Reshape",
                place.dims
            ));
        }
        Ok((place, border, fill))
    }

    /// Returns the place of an input; a border becomes a layer.
    pub(super) fn place(&mut self, node: &'a Node, i: usize) -> Done<Place> {
        let (place, border, fill) = self.padded(node, i)?;
        self.with_border(label(node), place, border, fill)
    }

    /// Returns the place of an input like [`Converter::place`], for nodes that only move values, which may be
    /// bytes.
    pub(super) fn any_place(&mut self, node: &'a Node, i: usize) -> Done<Place> {
        self.settled(node, i)?;
        match self.lookup(node, i)? {
            Value::Place(place) => Ok(place),
            _ => self.place(node, i),
        }
    }

    pub(super) fn with_border(
        &mut self,
        name: String,
        place: Place,
        border: Border,
        fill: f32,
    ) -> Done<Place> {
        if border == Border::default() {
            return Ok(place);
        }
        if fill != 0.0 {
            return Err(format!(
                "reads a border of {fill}, expected zeros, or in front of a MaxPool alone another value"
            ));
        }
        place.image()?;
        let Border { before, after } = border;
        self.push_plain(format!("{name}.pad"), Op::Pad { before, after }, &[&place])
    }

    pub(super) fn constant(&self, node: &'a Node, i: usize) -> Done<Constant> {
        match self.lookup(node, i)? {
            Value::Tensor(tensor) => {
                self.spend(tensor.bytes())?;
                read(tensor, self.folder)
            }
            Value::Constant(constant, _) => Ok(constant),
            _ => Err(format!("input {} is computed, expected a constant", shown(&node.input[i]))),
        }
    }

    pub(super) fn floats(&self, node: &'a Node, i: usize) -> Done<FloatTensor> {
        match self.constant(node, i)? {
            Constant::Float(tensor) => Ok(tensor),
            Constant::Int { .. } => {
                Err(format!("input {} holds integers, expected floats", shown(&node.input[i])))
            }
        }
    }

    pub(super) fn integers(&self, node: &'a Node, i: usize) -> Done<Vec<i64>> {
        match self.constant(node, i)? {
            Constant::Int { values, .. } => Ok(values),
            Constant::Float(_) => {
                Err(format!("input {} holds floats, expected integers", shown(&node.input[i])))
            }
        }
    }

    /// Returns a constant input that is one number.
    pub(super) fn number(&self, node: &'a Node, i: usize) -> Done<f32> {
        let tensor = self.floats(node, i)?;
        match *tensor.values() {
            [value] => Ok(value),
            _ => Err(format!("input {} is {:?}, expected one number", shown(&node.input[i]), tensor.shape())),
        }
    }

    /// Returns a constant input with one value for each channel.
    pub(super) fn vector(&self, node: &'a Node, i: usize, length: usize) -> Done<FloatTensor> {
        let tensor = self.floats(node, i)?;
        let shape = tensor.shape();
        if shape.iter().product::<usize>() != length || shape.last() != Some(&length) {
            return Err(format!("input {} is {shape:?}, expected [{length}]", shown(&node.input[i])));
        }
        Ok(FloatTensor::new(vec![length], tensor.values().to_vec()))
    }

    /// Returns a weight and the name of its layer.
    pub(super) fn weight(
        &mut self,
        node: &'a Node,
        i: usize,
        dimensions: usize,
    ) -> Done<(FloatTensor, String)> {
        let weight = self.floats(node, i)?;
        let (name, shape) = (node.input[i].as_str(), weight.shape());
        if shape.len() != dimensions || shape.contains(&0) {
            return Err(format!("weight {} is {shape:?}, expected {dimensions} dimensions", shown(name)));
        }
        let tensor = self.origin(node, i).map(|tensor| Weight::Tensor(tensor));
        let stands = tensor.unwrap_or_else(|| Weight::Named(name.into()));
        if let Some(other) = self.stored.insert(stands, label(node)) {
            return Err(format!(
                "shares weight {} with node {other}, expected a separate weight",
                shown(name)
            ));
        }
        let layer = name.strip_suffix(".weight").filter(|layer| !layer.is_empty());
        Ok((weight, layer.map_or_else(|| label(node), shown)))
    }

    fn dropout(&self, node: &'a Node) -> Done<Value<'a>> {
        if self.has(node, 2) && self.integers(node, 2)?.iter().any(|&mode| mode != 0) {
            return Err("training_mode is true, expected a model exported for inference".into());
        }
        if self.has(node, 1) {
            // The ratio matters only in training.
            self.number(node, 1)?;
        }
        self.lookup(node, 0)
    }

    fn cast(&self, node: &'a Node) -> Done<Value<'a>> {
        let to = i32::try_from(int(node, "to", 0)).unwrap_or(0);
        let value = self.lookup(node, 0)?;
        match held(to) {
            Held::Float(_) => Ok(match value {
                Value::Place(place) => Value::Place(Place { bytes: false, ..place }),
                other => other,
            }),
            _ => Err(format!(
                "to is {}, expected float: values that are computed cannot be rounded on their way here",
                type_name(to)
            )),
        }
    }

    /// Converts a softmax. It must cover all classes: over any other axes it would not keep the order of the
    /// classes.
    fn softmax(&mut self, node: &'a Node) -> Done<Value<'a>> {
        let place = self.place(node, 0)?;
        let rank = place.dims.len();
        let since_13 = self.opset >= 13;
        let axis = int(node, "axis", if since_13 { -1 } else { 1 });
        let first = super::fold::axis_of(axis, rank)?;
        let summed = if since_13 { first..first + 1 } else { first..rank };
        let classes: usize = place.sizes.iter().product();
        if summed.start == 0 || place.dims[summed].iter().product::<usize>() != classes {
            return Err(format!(
                "axis is {axis} of {:?}, expected the one with the {classes} classes",
                place.dims
            ));
        }
        Ok(Value::Probabilities(place))
    }
}

/// Returns the value of a `Constant` node.
fn constant<'a>(node: &'a Node) -> Done<Value<'a>> {
    let [attribute] = node.attribute.as_slice() else {
        return Err(format!("has {} attributes, expected one", node.attribute.len()));
    };
    let list = |length: usize| match length {
        0..=MAX_INTEGERS => Ok(()),
        _ => Err(format!("holds {length} integers, expected at most {MAX_INTEGERS}")),
    };
    let constant = match attribute.name.as_str() {
        "value" => match tensor(node, "value") {
            Some(tensor) => return Ok(Value::Tensor(tensor)),
            None => return Err("value is missing".into()),
        },
        "value_int" => Constant::Int { shape: vec![], values: vec![int(node, "value_int", 0)] },
        "value_ints" => {
            let values = ints(node, "value_ints").unwrap_or_default();
            list(values.len())?;
            Constant::list(values.to_vec())
        }
        "value_floats" => {
            let values = floats(node, "value_floats").unwrap_or_default();
            Constant::Float(FloatTensor::new(vec![values.len()], values.to_vec()))
        }
        _ => {
            let value = float(node, "value_float", 0.0);
            Constant::Float(FloatTensor::new(vec![], vec![value]))
        }
    };
    Ok(Value::Constant(constant, None))
}

/// Returns a node's name, or that of its first output if it has none.
pub(super) fn label(node: &Node) -> String {
    let output = node.output.first().map_or("", String::as_str);
    shown(if node.name.is_empty() { output } else { &node.name })
}

pub(super) fn graph_problem(what: &'static str, problem: String) -> OnnxProblem {
    OnnxProblem::Graph { what, problem }
}
