//! From nodes to layers.
//!
//! Every value of the ONNX graph is a place in the layer list, a constant, or a list of integers that was
//! computed from shapes. A place also remembers the shape that ONNX gives it, since reshapes around the
//! classifier (a mean as `[1, C, 1, 1]`, say) exist only there. The batch has one image, as if a symbolic
//! batch were 1.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use quant::{FloatTensor, Layer, LayerOp, ModelSpec, Parameters};

use super::attribute::{MAX_EXTENT, attribute, extent, float, int, ints, pair, pool};
use super::border::{Border, border};
use super::message::{Dimension, Graph, Node, Tensor};
use super::tensor::{Constant, MAX_INTEGERS, read};
use super::{OnnxModel, OnnxProblem};
use crate::architectures::MAX_CHANNELS;
use crate::graph::Window;
use crate::import::shown;
use crate::layers;

/// Operators that are understood, for messages.
pub(super) const OPERATORS: &[&str] = &[
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Clip",
    "Concat",
    "Constant",
    "Conv",
    "Dropout",
    "Flatten",
    "Gather",
    "Gemm",
    "GlobalAveragePool",
    "Identity",
    "LogSoftmax",
    "MatMul",
    "MaxPool",
    "Pad",
    "ReduceMean",
    "Relu",
    "Reshape",
    "Shape",
    "Softmax",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
];

/// Whether a domain is that of ONNX's own operators.
pub(super) fn is_standard(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

/// What a name of the ONNX graph stands for.
#[derive(Clone)]
pub(super) enum Value<'a> {
    /// The output of a layer, or the input.
    Place(Place),
    /// A place with zeros around it that no layer adds yet.
    Padded {
        place: Place,
        border: Border,
    },
    /// The class probabilities: nothing may read them.
    Probabilities(Place),
    /// A tensor of the file, read when it is needed.
    Tensor(&'a Tensor),
    Constant(Constant),
}

/// A place of the layer list as ONNX sees it.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) place: usize,
    /// ONNX's shape, batch first.
    pub(super) dims: Vec<usize>,
}

/// `bytes` may be spent on constants: those that are read, and those that are made of them.
pub(super) fn convert(graph: &Graph, folder: &Path, bytes: usize) -> Result<OnnxModel, OnnxProblem> {
    let initializers: HashMap<&str, &Tensor> =
        graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let (name, input) = input(graph, &initializers)?;
    let [output] = graph.output.as_slice() else {
        let names: Vec<&str> = graph.output.iter().map(|o| o.name.as_str()).collect();
        return Err(graph_problem("outputs", format!("{names:?}, expected one, the logits")));
    };

    let mut converter = Converter {
        folder,
        limit: bytes,
        left: Cell::new(bytes),
        values: initializers.into_iter().map(|(name, tensor)| (name, Value::Tensor(tensor))).collect(),
        readers: HashMap::new(),
        shapes: vec![input.to_vec()],
        layers: Vec::new(),
        names: BTreeSet::from(["input".to_string()]),
        parameters: Parameters::new(),
        stored: HashMap::new(),
        biasless: HashSet::new(),
    };
    let dims = std::iter::once(1).chain(input).collect();
    converter.values.insert(name, Value::Place(Place { place: 0, dims }));
    let needed = needed(graph, &output.name);
    for name in needed.iter().flat_map(|node| &node.input).chain([&output.name]) {
        *converter.readers.entry(name).or_default() += 1;
    }
    for node in needed {
        converter.node(node)?;
    }

    let value = converter.values.get(output.name.as_str()).cloned();
    let Some(Value::Place(last) | Value::Probabilities(last)) = value else {
        return Err(graph_problem("output", format!("{} is not computed by its nodes", shown(&output.name))));
    };
    let last = converter.flat(last, "logits").map_err(|problem| graph_problem("output", problem))?;
    let classes = converter.shapes[last.place][0];
    let architecture = if graph.name.is_empty() { "onnx".into() } else { shown(&graph.name) };
    Ok(OnnxModel {
        model: ModelSpec { architecture, classes, input, width: 1.0, variant: None },
        layers: converter.layers,
        parameters: converter.parameters,
    })
}

/// Name and shape of the image.
fn input<'a>(
    graph: &'a Graph,
    initializers: &HashMap<&str, &Tensor>,
) -> Result<(&'a str, [usize; 3]), OnnxProblem> {
    let inputs = graph.input.iter().filter(|input| !initializers.contains_key(input.name.as_str()));
    let inputs: Vec<_> = inputs.collect();
    let [image] = inputs.as_slice() else {
        let names: Vec<String> = inputs.iter().map(|input| shown(&input.name)).collect();
        return Err(graph_problem("inputs", format!("{names:?}, expected one, the image")));
    };
    let shape = image.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()).and_then(|t| t.shape.as_ref());
    let dims: &[Dimension] = shape.map_or(&[], |shape| &shape.dim);
    let size = |dim: &Dimension| dim.dim_value.and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0);
    if let [batch, rest @ ..] = dims
        && batch.dim_value.is_none_or(|n| n == 1)
        && let [Some(channels), Some(height), Some(width)] = *rest.iter().map(size).collect::<Vec<_>>()
    {
        if channels > MAX_CHANNELS || !layers::is_size([height, width]) {
            let problem = format!(
                "{} is [1, {channels}, {height}, {width}], expected at most {MAX_CHANNELS} channels and 4194304 \
                 pixels, 4096 a side",
                shown(&image.name)
            );
            return Err(graph_problem("input", problem));
        }
        return Ok((&image.name, [channels, height, width]));
    }
    let size = |dim: &Dimension| match (dim.dim_value, &dim.dim_param) {
        (Some(value), _) => value.to_string(),
        (None, name) => shown(name.as_deref().unwrap_or("?")),
    };
    let found = dims.iter().map(size).collect::<Vec<_>>().join(", ");
    let problem = format!(
        "{} is [{found}], expected [1 or a name, channels, height, width] with fixed sizes",
        shown(&image.name)
    );
    Err(graph_problem("input", problem))
}

/// The nodes that an output depends on, in the order of the file.
fn needed<'a>(graph: &'a Graph, output: &'a str) -> Vec<&'a Node> {
    let mut wanted = HashSet::from([output]);
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

/// What is known so far.
pub(super) struct Converter<'a> {
    folder: &'a Path,
    /// Bytes that may be spent on constants, and those that are left: any node can name any constant again.
    limit: usize,
    left: Cell<usize>,
    values: HashMap<&'a str, Value<'a>>,
    /// How often each name is read by needed nodes, or is the graph's output.
    readers: HashMap<&'a str, usize>,
    /// Shape of every place, without the batch.
    pub(super) shapes: Vec<Vec<usize>>,
    layers: Vec<Layer>,
    names: BTreeSet<String>,
    parameters: Parameters,
    /// The node that reads each tensor that became a stored weight.
    stored: HashMap<&'a str, String>,
    /// Places of linear layers that had no bias, which an `Add` may still give.
    biasless: HashSet<usize>,
}

/// A result, or what is wrong with the node.
pub(super) type Done<T> = Result<T, String>;

impl<'a> Converter<'a> {
    fn node(&mut self, node: &'a Node) -> Result<(), OnnxProblem> {
        let operator = shown(&node.op_type);
        if !is_standard(&node.domain) || !OPERATORS.contains(&node.op_type.as_str()) {
            let operator = if is_standard(&node.domain) {
                operator
            } else {
                format!("{}.{operator}", shown(&node.domain))
            };
            return Err(OnnxProblem::Operator { node: label(node), operator });
        }
        let value =
            self.value(node).map_err(|problem| OnnxProblem::Node { node: label(node), operator, problem })?;
        if let Some(output) = node.output.first() {
            self.values.insert(output, value);
        }
        Ok(())
    }

    fn value(&mut self, node: &'a Node) -> Done<Value<'a>> {
        match node.op_type.as_str() {
            "Identity" | "Dropout" | "Cast" => return self.lookup(node, 0),
            "Constant" => return constant(node),
            "Shape" => {
                let dims = self.place(node, 0)?.dims;
                return Ok(Value::Constant(Constant::Int(dims.iter().map(|&n| n as i64).collect())));
            }
            "Softmax" | "LogSoftmax" => {
                let place = self.place(node, 0)?;
                return Ok(Value::Probabilities(place));
            }
            "Gather" => return self.gather(node),
            "Concat" if self.integers(node, 0).is_ok() => {
                let mut all = Vec::new();
                for i in 0..node.input.len() {
                    all.extend(self.integers(node, i)?);
                    if all.len() > MAX_INTEGERS {
                        return Err(format!("joins {} integers, expected at most {MAX_INTEGERS}", all.len()));
                    }
                }
                return Ok(Value::Constant(Constant::Int(all)));
            }
            "Squeeze" | "Unsqueeze" if self.integers(node, 0).is_ok() => return self.lookup(node, 0),
            "Pad" => return self.pad(node),
            "Transpose" => {
                // Read once: it may be the largest weight of the model.
                if let Ok(weight) = self.floats(node, 0) {
                    if ints(node, "perm").is_some_and(|perm| perm != [1, 0]) || weight.shape().len() != 2 {
                        return Err("expected perm [1, 0] of a matrix".into());
                    }
                    self.spend(size_of_val(weight.values()))?;
                    return Ok(Value::Constant(Constant::Float(transposed(&weight))));
                }
            }
            _ => {}
        }
        let place = match node.op_type.as_str() {
            "Conv" => self.conv(node),
            "Gemm" | "MatMul" => self.linear(node),
            "BatchNormalization" => self.batch_norm(node),
            "Relu" => {
                let x = self.place(node, 0)?;
                self.push(label(node), LayerOp::Relu, &[&x], x.dims.clone())
            }
            "Clip" => self.clip(node),
            "MaxPool" => self.max_pool(node),
            "AveragePool" => self.average_pool(node),
            "GlobalAveragePool" => {
                let x = self.place(node, 0)?;
                let channels = self.image(&x)?[0];
                self.push(label(node), LayerOp::GlobalAvgPool, &[&x], vec![1, channels, 1, 1])
            }
            "ReduceMean" => self.reduce_mean(node),
            "Add" => self.add(node),
            "Concat" => self.concat(node),
            "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" | "Transpose" => self.reshape(node),
            other => unreachable!("{other} is in the list of operators and not here"),
        };
        Ok(Value::Place(place?))
    }

    /// Puts a layer at the end of the list; `dims` is ONNX's shape of what it gives.
    pub(super) fn push(
        &mut self,
        name: String,
        op: LayerOp,
        inputs: &[&Place],
        dims: Vec<usize>,
    ) -> Done<Place> {
        let shapes: Vec<&[usize]> = inputs.iter().map(|x| self.shapes[x.place].as_slice()).collect();
        let (_, shape) = layers::node(&op, &shapes)?;
        if self.layers.len() == layers::MAX_LAYERS {
            return Err(format!("is layer {}, expected at most that many", self.layers.len()));
        }
        let mut free = name.clone();
        for n in self.layers.len().. {
            if !free.is_empty() && self.names.insert(free.clone()) {
                break;
            }
            free = format!("{name}_{n}");
        }
        self.layers.push(Layer { name: free, inputs: inputs.iter().map(|x| x.place).collect(), op });
        self.shapes.push(shape);
        Ok(Place { place: self.layers.len(), dims })
    }

    /// As [`Converter::push`], for a layer that gives an image.
    fn push_image(&mut self, name: String, op: LayerOp, inputs: &[&Place]) -> Done<Place> {
        let mut place = self.push(name, op, inputs, vec![])?;
        place.dims = std::iter::once(1).chain(self.shapes[place.place].iter().copied()).collect();
        Ok(place)
    }

    fn set(&mut self, place: &Place, suffix: &str, values: FloatTensor) {
        let name = format!("{}.{suffix}", self.layers[place.place - 1].name);
        self.parameters.insert(name, values);
    }

    fn lookup(&self, node: &'a Node, i: usize) -> Done<Value<'a>> {
        let name = node.input.get(i).filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| format!("input {i} is missing"))?;
        let value = self.values.get(name.as_str());
        if let Some(Value::Constant(constant)) = value {
            self.spend(constant.bytes())?;
        }
        value.cloned().ok_or_else(|| format!("input {} is computed by no node before it", shown(name)))
    }

    fn spend(&self, bytes: usize) -> Done<()> {
        let left = self.left.get().checked_sub(bytes);
        self.left.set(left.ok_or_else(|| {
            format!("constants take more than {} bytes, which a file of this size cannot need", self.limit)
        })?);
        Ok(())
    }

    pub(super) fn has(&self, node: &Node, i: usize) -> bool {
        node.input.get(i).is_some_and(|name| !name.is_empty())
    }

    /// The place that an input is, with its border, if it has one.
    fn padded(&self, node: &'a Node, i: usize) -> Done<(Place, Border)> {
        let name = || shown(&node.input[i]);
        match self.lookup(node, i)? {
            Value::Place(place) => Ok((place, Border::default())),
            Value::Padded { place, border } => Ok((place, border)),
            Value::Probabilities(_) => {
                Err(format!("input {} is a Softmax's output, expected it at the end only", name()))
            }
            Value::Tensor(_) | Value::Constant(_) => {
                Err(format!("input {} is a constant, expected the output of another node", name()))
            }
        }
    }

    /// The place that an input is; a border becomes a layer.
    pub(super) fn place(&mut self, node: &'a Node, i: usize) -> Done<Place> {
        let (place, border) = self.padded(node, i)?;
        self.with_border(label(node), place, border)
    }

    fn with_border(&mut self, name: String, place: Place, border: Border) -> Done<Place> {
        if border == Border::default() {
            return Ok(place);
        }
        let Border { before, after } = border;
        self.push_image(format!("{name}.pad"), LayerOp::Pad { before, after }, &[&place])
    }

    /// Channels, height and width of a place.
    fn image(&self, place: &Place) -> Done<[usize; 3]> {
        let shape = &self.shapes[place.place];
        shape.as_slice().try_into().map_err(|_| {
            format!(
                "reads [1, {shape:?}], a mean or a flattened image, expected [1, channels, height, width]"
            )
        })
    }

    fn constant(&self, node: &'a Node, i: usize) -> Done<Constant> {
        match self.lookup(node, i)? {
            Value::Tensor(tensor) => {
                self.spend(tensor.bytes())?;
                read(tensor, self.folder)
            }
            Value::Constant(constant) => Ok(constant),
            _ => Err(format!("input {} is computed, expected a constant", shown(&node.input[i]))),
        }
    }

    fn floats(&self, node: &'a Node, i: usize) -> Done<FloatTensor> {
        match self.constant(node, i)? {
            Constant::Float(tensor) => Ok(tensor),
            Constant::Int(_) => {
                Err(format!("input {} holds integers, expected floats", shown(&node.input[i])))
            }
        }
    }

    pub(super) fn integers(&self, node: &'a Node, i: usize) -> Done<Vec<i64>> {
        match self.constant(node, i)? {
            Constant::Int(values) => Ok(values),
            Constant::Float(_) => {
                Err(format!("input {} holds floats, expected integers", shown(&node.input[i])))
            }
        }
    }

    /// A parameter with one value a channel.
    fn vector(&self, node: &'a Node, i: usize, length: usize) -> Done<FloatTensor> {
        let tensor = self.floats(node, i)?;
        let shape = tensor.shape();
        if shape.iter().product::<usize>() != length || shape.last() != Some(&length) {
            return Err(format!("input {} is {shape:?}, expected [{length}]", shown(&node.input[i])));
        }
        Ok(FloatTensor::new(vec![length], tensor.values().to_vec()))
    }

    /// A weight, and the name of its layer.
    fn weight(&mut self, node: &'a Node, i: usize, dimensions: usize) -> Done<(FloatTensor, String)> {
        let weight = self.floats(node, i)?;
        let (name, shape) = (node.input[i].as_str(), weight.shape());
        if shape.len() != dimensions || shape.contains(&0) {
            return Err(format!("weight {} is {shape:?}, expected {dimensions} dimensions", shown(name)));
        }
        if let Some(other) = self.stored.insert(name, label(node)) {
            return Err(format!("shares weight {} with node {other}, expected one of its own", shown(name)));
        }
        let layer = name.strip_suffix(".weight").filter(|layer| !layer.is_empty());
        Ok((weight, layer.map_or_else(|| label(node), shown)))
    }

    fn conv(&mut self, node: &'a Node) -> Done<Place> {
        let (x, outer) = self.padded(node, 0)?;
        if self.shapes[x.place].len() == 1 && x.dims.len() == 4 && outer == Border::default() {
            return self.conv_of_a_mean(node, &x);
        }
        let [channels, height, width] = self.image(&x)?;
        let (weight, name) = self.weight(node, 1, 4)?;
        let [out, inputs, rows, columns] = *weight.shape() else { unreachable!("four dimensions") };
        if pair(node, "dilations", [1, 1])? != [1, 1] {
            return Err(format!("dilations are {:?}, expected 1", ints(node, "dilations")));
        }
        let (kernel, stride) = ([rows, columns], pair(node, "strides", [1, 1])?);
        if pair(node, "kernel_shape", kernel)? != kernel {
            return Err(format!(
                "kernel_shape is {:?}, expected that of the weight",
                ints(node, "kernel_shape")
            ));
        }
        let groups = usize::try_from(int(node, "group", 1)).unwrap_or(0);
        if inputs.checked_mul(groups) != Some(channels) {
            return Err(format!("weight is {:?} for {channels} channels in {groups} groups", weight.shape()));
        }
        let own = border(node, outer, [height, width], kernel, stride)?;
        let (x, padding) = self.fit(&name, x, outer.plus(own), kernel, stride)?;
        let bias = self.has(node, 2).then(|| self.vector(node, 2, out)).transpose()?;
        let op = LayerOp::Conv { channels: out, groups, bias: bias.is_some(), kernel, stride, padding };
        let place = self.push_image(name, op, &[&x])?;
        self.set(&place, "weight", weight);
        if let Some(bias) = bias {
            self.set(&place, "bias", bias);
        }
        Ok(place)
    }

    /// A 1x1 convolution of `[1, C, 1, 1]`, where classifiers follow the mean as one: a linear layer.
    fn conv_of_a_mean(&mut self, node: &'a Node, x: &Place) -> Done<Place> {
        let features = self.shapes[x.place][0];
        let (weight, name) = self.weight(node, 1, 4)?;
        let out = weight.shape()[0];
        let padded = ints(node, "pads").is_some_and(|pads| pads.iter().any(|&n| n != 0));
        if *weight.shape() != [out, features, 1, 1] || int(node, "group", 1) != 1 || padded {
            return Err(format!("weight of a mean is {:?}, expected [_, {features}, 1, 1]", weight.shape()));
        }
        let bias = match self.has(node, 2) {
            true => self.vector(node, 2, out)?,
            false => FloatTensor::new(vec![out], vec![0.0; out]),
        };
        let weight = FloatTensor::new(vec![out, features], weight.values().to_vec());
        let place = self.push(name, LayerOp::Linear { features: out }, &[x], vec![1, out, 1, 1])?;
        self.set(&place, "weight", weight);
        self.set(&place, "bias", bias);
        Ok(place)
    }

    /// A window over zeros around an image: one padding for both sides where that meets the same values, a
    /// layer of zeros elsewhere.
    fn fit(
        &mut self,
        name: &str,
        x: Place,
        border: Border,
        kernel: [usize; 2],
        stride: [usize; 2],
    ) -> Done<(Place, [usize; 2])> {
        let [_, height, width] = self.image(&x)?;
        if let Some(padding) = border.symmetric([height, width], kernel, stride) {
            return Ok((x, padding));
        }
        Ok((self.with_border(name.into(), x, border)?, [0, 0]))
    }

    fn linear(&mut self, node: &'a Node) -> Done<Place> {
        let gemm = node.op_type == "Gemm";
        let x = self.place(node, 0)?;
        let [features] = *self.shapes[x.place] else {
            return Err(format!("reads an image [1, {:?}], expected features", self.shapes[x.place]));
        };
        if x.dims.len() != 2 {
            return Err(format!("reads {:?}, expected [1, features]", x.dims));
        }
        if gemm {
            let plain = float(node, "alpha", 1.0) == 1.0 && float(node, "beta", 1.0) == 1.0;
            if !plain || int(node, "transA", 0) != 0 {
                return Err("expected alpha 1, beta 1 and transA 0".into());
            }
        }
        let (weight, name) = self.weight(node, 1, 2)?;
        let is_oi = gemm && int(node, "transB", 0) != 0;
        let weight = if is_oi { weight } else { transposed(&weight) };
        let [out, inputs] = *weight.shape() else { unreachable!("two dimensions") };
        if inputs != features {
            return Err(format!("weight takes {inputs} features, expected {features}"));
        }
        let given = gemm && self.has(node, 2);
        let bias = match given {
            true => self.vector(node, 2, out)?,
            false => FloatTensor::new(vec![out], vec![0.0; out]),
        };
        let place = self.push(name, LayerOp::Linear { features: out }, &[&x], vec![1, out])?;
        self.set(&place, "weight", weight);
        self.set(&place, "bias", bias);
        if !given {
            self.biasless.insert(place.place);
        }
        Ok(place)
    }

    fn batch_norm(&mut self, node: &'a Node) -> Done<Place> {
        let x = self.place(node, 0)?;
        if int(node, "training_mode", 0) != 0 {
            return Err("is in training mode, expected a model exported for inference".into());
        }
        let channels = self.image(&x)?[0];
        let layer = node.input.get(1).and_then(|name| name.strip_suffix(".weight"));
        let name = layer.filter(|layer| !layer.is_empty()).map_or_else(|| label(node), shown);
        // The decimal that was meant: 1e-5, where the nearest f32 is 0.00000999999974...
        let epsilon = float(node, "epsilon", 1e-5).to_string();
        let epsilon = epsilon.parse().expect("a float prints as a float");
        let suffixes = ["weight", "bias", "running_mean", "running_var"];
        let mut values = Vec::new();
        for (i, suffix) in (1..).zip(suffixes) {
            values.push((suffix, self.vector(node, i, channels)?));
        }
        let place = self.push_image(name, LayerOp::BatchNorm { epsilon }, &[&x])?;
        for (suffix, values) in values {
            self.set(&place, suffix, values);
        }
        Ok(place)
    }

    fn clip(&mut self, node: &'a Node) -> Done<Place> {
        let x = self.place(node, 0)?;
        let bound = |i: usize, absent: f32| -> Done<f32> {
            if !self.has(node, i) {
                return Ok(absent);
            }
            match *self.floats(node, i)?.values() {
                [value] => Ok(value),
                _ => Err("its bounds are tensors, expected numbers".into()),
            }
        };
        let (low, high) = (bound(1, f32::NEG_INFINITY)?, bound(2, f32::INFINITY)?);
        if low != 0.0 || high <= 0.0 || high.is_nan() {
            return Err(format!("clips to [{low}, {high}], expected [0, a positive number]"));
        }
        let op = if high >= f32::MAX { LayerOp::Relu } else { LayerOp::ClippedRelu { max: high } };
        self.push(label(node), op, &[&x], x.dims.clone())
    }

    fn max_pool(&mut self, node: &'a Node) -> Done<Place> {
        let x = self.place(node, 0)?;
        let [_, height, width] = self.image(&x)?;
        let (kernel, stride) = pool(node)?;
        let own = border(node, Border::default(), [height, width], kernel, stride)?;
        let (padding, mut ceil) = (own.before, int(node, "ceil_mode", 0) != 0);
        if own.before != own.after {
            // Padding never wins, so only where windows begin and how many there are matters.
            let needed = own.output([height, width], kernel, stride);
            let rounded = |ceil| {
                let fits = (0..2).all(|i| kernel[i] <= [height, width][i] + 2 * padding[i]);
                fits.then(|| Window { kernel, stride, padding, ceil }.output(height, width))
            };
            let found = [false, true].into_iter().find(|&up| !ceil && rounded(up) == needed);
            ceil = found.ok_or_else(|| {
                format!("pads are {:?} before and {:?} after, expected equal ones", own.before, own.after)
            })?;
        }
        self.push_image(label(node), LayerOp::MaxPool { kernel, stride, padding, ceil }, &[&x])
    }

    fn average_pool(&mut self, node: &'a Node) -> Done<Place> {
        let (x, outer) = self.padded(node, 0)?;
        let [_, height, width] = self.image(&x)?;
        let (kernel, stride) = pool(node)?;
        let own = border(node, outer, [height, width], kernel, stride)?;
        let included = int(node, "count_include_pad", 0) != 0;
        let all = outer.plus(own);
        let room = |i: usize| [height, width][i] + all.before[i] + all.after[i];
        let even = |i: usize| room(i).checked_sub(kernel[i]).is_some_and(|n| n.is_multiple_of(stride[i]));
        if int(node, "ceil_mode", 0) != 0 && !(even(0) && even(1)) {
            return Err("ceil_mode is 1, expected 0, or windows that leave nothing over".into());
        }
        // Zeros of a Pad node count; the node's own only if it says so.
        let none = Border::default();
        let (x, padding, count_include_pad) = if included || own == none {
            let (x, padding) = self.fit(&label(node), x, all, kernel, stride)?;
            (x, padding, true)
        } else {
            let x = self.with_border(label(node), x, outer)?;
            let [_, height, width] = self.image(&x)?;
            let padding = own.symmetric([height, width], kernel, stride).ok_or_else(|| {
                format!("pads are {:?} before and {:?} after, expected equal ones", own.before, own.after)
            })?;
            (x, padding, false)
        };
        self.push_image(label(node), LayerOp::AvgPool { kernel, stride, padding, count_include_pad }, &[&x])
    }

    fn reduce_mean(&mut self, node: &'a Node) -> Done<Place> {
        let x = self.place(node, 0)?;
        let channels = self.image(&x)?[0];
        let axes = match ints(node, "axes") {
            Some(axes) => axes.to_vec(),
            None if self.has(node, 1) => self.integers(node, 1)?,
            None => Vec::new(),
        };
        let mut positive: Vec<i64> =
            axes.iter().map(|&axis| if axis < 0 { axis + 4 } else { axis }).collect();
        positive.sort_unstable();
        if positive != [2, 3] {
            return Err(format!("axes are {axes:?}, expected height and width, [2, 3]"));
        }
        let kept = int(node, "keepdims", 1) != 0;
        let dims = if kept { vec![1, channels, 1, 1] } else { vec![1, channels] };
        self.push(label(node), LayerOp::GlobalAvgPool, &[&x], dims)
    }

    fn add(&mut self, node: &'a Node) -> Done<Place> {
        // A bias, on either side.
        for (x, bias) in [(0, 1), (1, 0)] {
            if let (Ok((place, _)), Ok(_)) = (self.padded(node, x), self.floats(node, bias)) {
                let alone = self.readers.get(node.input[x].as_str()) == Some(&1);
                if !alone || !self.biasless.remove(&place.place) {
                    return Err("adds a constant, expected a bias right after a MatMul".into());
                }
                let values = self.vector(node, bias, self.shapes[place.place][0])?;
                self.set(&place, "bias", values);
                return Ok(place);
            }
        }
        let [a, b] = [self.place(node, 0)?, self.place(node, 1)?];
        if a.dims != b.dims {
            return Err(format!("adds {:?} and {:?}, expected equal shapes", a.dims, b.dims));
        }
        self.push(label(node), LayerOp::Add, &[&a, &b], a.dims.clone())
    }

    fn concat(&mut self, node: &'a Node) -> Done<Place> {
        let axis = int(node, "axis", i64::MIN);
        if axis != 1 && axis != -3 {
            return Err(format!("axis is {axis}, expected 1, the channels"));
        }
        let places: Vec<Place> = (0..node.input.len()).map(|i| self.place(node, i)).collect::<Done<_>>()?;
        for place in &places {
            self.image(place)?;
        }
        self.push_image(label(node), LayerOp::Concat, &places.iter().collect::<Vec<_>>())
    }

    fn pad(&mut self, node: &'a Node) -> Done<Value<'a>> {
        let (place, outer) = self.padded(node, 0)?;
        self.image(&place)?;
        let mode = attribute(node, "mode").map_or("constant".into(), |a| String::from_utf8_lossy(&a.s));
        let zero = !self.has(node, 2) || self.floats(node, 2)?.values().iter().all(|&v| v == 0.0);
        if mode != "constant" || !zero {
            return Err(format!("mode is {}, expected constant, with zeros", shown(&mode)));
        }
        let pads = self.integers(node, 1)?;
        let axes = if self.has(node, 3) { self.integers(node, 3)? } else { vec![0, 1, 2, 3] };
        if pads.len() != 2 * axes.len() {
            return Err(format!("{} pads for {} axes, expected two each", pads.len(), axes.len()));
        }
        let mut own = Border::default();
        for (i, &axis) in axes.iter().enumerate() {
            let [before, after] = [pads[i], pads[axes.len() + i]];
            let axis = if axis < 0 { axis + 4 } else { axis };
            match axis {
                2 | 3 => {
                    let axis = usize::from(axis == 3);
                    own.before[axis] = extent(before, 0, "pads")?;
                    own.after[axis] = extent(after, 0, "pads")?;
                }
                _ if before == 0 && after == 0 => {}
                _ => return Err(format!("pads axis {axis}, expected height and width only")),
            }
        }
        let border = outer.plus(own);
        let large = border.before.iter().chain(&border.after).any(|&n| n as i64 > MAX_EXTENT);
        if large {
            return Err(format!("pads {border:?} in all, expected at most {MAX_EXTENT}"));
        }
        Ok(Value::Padded { place, border })
    }
}

/// The value of a `Constant` node.
fn constant<'a>(node: &'a Node) -> Done<Value<'a>> {
    let [attribute] = node.attribute.as_slice() else {
        return Err(format!("has {} attributes, expected one", node.attribute.len()));
    };
    let constant = match attribute.name.as_str() {
        "value" => match &attribute.t {
            Some(tensor) => return Ok(Value::Tensor(tensor)),
            None => return Err("value is missing".into()),
        },
        "value_int" => Constant::Int(vec![attribute.i]),
        "value_ints" if attribute.ints.len() > MAX_INTEGERS => {
            return Err(format!("holds {} integers, expected at most {MAX_INTEGERS}", attribute.ints.len()));
        }
        "value_ints" => Constant::Int(attribute.ints.clone()),
        "value_float" => Constant::Float(FloatTensor::new(vec![], vec![attribute.f])),
        other => return Err(format!("holds {}, expected numbers", shown(other))),
    };
    Ok(Value::Constant(constant))
}

fn transposed(matrix: &FloatTensor) -> FloatTensor {
    let [rows, columns] = *matrix.shape() else { unreachable!("a matrix has two dimensions") };
    let values = matrix.values();
    let moved = (0..columns * rows).map(|i| values[i % rows * columns + i / rows]).collect();
    FloatTensor::new(vec![columns, rows], moved)
}

/// A node's name, or that of its first output where it has none.
pub(super) fn label(node: &Node) -> String {
    let output = node.output.first().map_or("", String::as_str);
    shown(if node.name.is_empty() { output } else { &node.name })
}

fn graph_problem(what: &'static str, problem: String) -> OnnxProblem {
    OnnxProblem::Graph { what, problem }
}
