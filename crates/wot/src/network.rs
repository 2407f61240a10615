//! The forward and the backward pass of a graph, for training and for evaluation during it.
//!
//! Values are rounded exactly where the int8 network rounds: every stored weight to its level, and every
//! quantization point of the graph ([`Graph::quantization_points`]) to 8 bits, signed or unsigned as defined
//! there. The range of a point is a moving average of the largest magnitude in each batch, updated before the
//! batch itself is rounded (as in PyTorch's `MovingAverageMinMaxObserver`, with the same averaging constant).
//! The input's range is that of its pixels, as in `infer`.
//!
//! # Steps
//!
//! A graph is a list of nodes, each after all its inputs. The forward pass visits it front to back and the
//! backward pass back to front, so no other record of the computation is needed. If a batch norm, a ReLU (clipped or
//! not) or a rounding is the only reader of a node, it joins that node's [`Step`] as part of its [`Finish`]. Values are
//! then written twice (once raw, once finished); four operations would write them four times. The
//! gradient of a finish needs only the raw values.
//!
//! The first gradient that arrives at a step is stored and later ones are added to it. All values live in
//! buffers from a [`Pool`], so nothing is allocated from the second iteration on.

use std::collections::BTreeMap;
use std::sync::Arc;

use graph::{Graph, NodeId, Op};
use inject::sampling::bernoulli;
use quant::{ActivationScale, FloatTensor, LevelsPerUnit, Parameters};

use crate::BitErrors;
use crate::ops::{
    Activation, AvgPool, BatchStatistics, Buffer, Conv2d, Extremes, Finish, LayerNorm, MaxPool, Norm, Pad,
    PadShortcut, Pool, RunningStatistics, add, add_in_place, concat, concat_backward, extremes,
    fake_quantize_weight, global_avg_pool, global_avg_pool_backward, multiply, multiply_channels,
    multiply_channels_backward, parametric_relu, parametric_relu_backward, select_channels,
    select_channels_backward,
};

use crate::random::{Purpose, stream};

/// Weight of the newest batch in the range of an activation.
const RANGE_MOMENTUM: f32 = 0.01;

/// The bit errors of a forward pass.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Faults {
    pub(crate) errors: BitErrors,
    pub(crate) seed: u64,
    pub(crate) iteration: u64,
}

/// The kind of a forward pass.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Mode {
    /// Uses batch statistics, keeps the inputs of [`Network::backward`], and updates running statistics and
    /// ranges.
    Train,
    /// Trains like `Train` with bit errors in the rounded weights, but does not update running statistics and
    /// ranges.
    TrainFaulty(Faults),
    /// Uses running statistics, does not round activations, and widens ranges to contain every value.
    Calibrate,
    /// Uses running statistics and ranges, and updates neither.
    Evaluate,
}

/// A graph with all state that training changes.
pub(crate) struct Network {
    graph: Graph,
    /// Trained parameters, by name: all except running statistics.
    pub(crate) variables: BTreeMap<String, FloatTensor>,
    /// Running statistics, by the name of the batch norm.
    pub(crate) running: BTreeMap<String, RunningStatistics>,
    /// For each quantization point, true if its values can be negative; `None` for other nodes.
    signed: Vec<Option<bool>>,
    pub(crate) rounding: Option<Rounding>,
    steps: Vec<Step>,
    pool: Pool,
    /// Number of images of the last forward pass.
    images: usize,
    /// Values that the backward pass of each step needs; empty unless the last forward pass was one in
    /// training.
    kept: Vec<Kept>,
}

/// Scales and ranges of a network that rounds values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rounding {
    /// Scale of each stored weight, by name; fixed.
    pub(crate) scales: BTreeMap<String, LevelsPerUnit>,
    /// Range of each quantization point, by node name; empty before the first batch.
    pub(crate) ranges: BTreeMap<String, f32>,
}

/// Gradients of variables, by name.
pub(crate) type Gradients = BTreeMap<String, Buffer>;

/// A node of the graph with the nodes that finish it.
struct Step {
    /// The computing node, and the last of the nodes that finish it.
    first: NodeId,
    last: NodeId,
    /// Indices of the steps that it reads.
    inputs: Vec<usize>,
    /// Index of the last step that reads its result.
    last_use: usize,
    /// Name and epsilon of the batch norm, if there is one.
    norm: Option<(String, f64)>,
    /// Bound of the ReLU, if there is one; infinity if it is not clipped.
    relu: Option<f32>,
    /// The computation of the first node, for the batch size of the last pass.
    work: Work,
    /// Positions of the maxima of a max pool.
    winners: Vec<u32>,
}

/// The computation of a step's first node.
enum Work {
    /// Unknown before the first pass.
    Unknown,
    /// Passes its input on unchanged.
    Same,
    Convolve(Box<Conv2d>),
    MaxPool(MaxPool),
    AvgPool(AvgPool),
    Mean,
    /// Transposes `[n, h * w, c]` to `[n, c, h * w]`.
    Transpose {
        pixels: usize,
    },
    Add,
    Concat,
    Shortcut(PadShortcut),
    Pad(Pad),
    Activation(Activation),
    ParametricRelu,
    Multiply,
    /// Multiplies the channels of each image by one factor each.
    MultiplyChannels,
    /// The input channel of each output channel.
    Select(Vec<usize>),
    LayerNorm {
        epsilon: f64,
    },
}

/// Values that the backward pass of a step needs.
#[derive(Default)]
struct Kept {
    /// The inputs that a gradient depends on.
    inputs: Vec<Arc<Buffer>>,
    /// The rounded weights of a convolution, if they were rounded.
    weights: Option<Buffer>,
    /// The finish, if there is one, and the values that [`Finish::backward`] reads.
    finish: Option<(Finish, Arc<Buffer>)>,
}

impl Faults {
    /// Flips bits of the levels of tensor number `tensor`, which are given as weights, `level / scale`.
    fn hit(self, weights: &mut [f32], scale: LevelsPerUnit, tensor: usize) {
        let scale = scale.get();
        let Self { errors: BitErrors { rate, bits }, seed, iteration } = self;
        let bits: Vec<u32> = (0..8).filter(|bit| bits >> bit & 1 == 1).collect();
        let mut rng = stream(seed, Purpose::BitErrors, iteration << 20 | tensor as u64);
        for place in bernoulli(&mut rng, (weights.len() * bits.len()) as u64, rate.into()) {
            // Below the number of bits, a `usize`.
            let place = place as usize;
            let weight = &mut weights[place / bits.len()];
            let stored = (*weight * scale).round() as i8;
            *weight = f32::from(stored ^ (1 << bits[place % bits.len()]) as u8 as i8) / scale;
        }
    }
}

impl Network {
    /// Makes a network; `parameters` must be those of the graph.
    pub(crate) fn new(graph: &Graph, parameters: &Parameters) -> Self {
        let mut variables = BTreeMap::new();
        let mut running = BTreeMap::new();
        for spec in graph.parameters() {
            let values = &parameters[&spec.name];
            if let Some(node) = spec.name.strip_suffix(".running_mean") {
                let mean = values.values().to_vec();
                let variance = parameters[&format!("{node}.running_var")].values().to_vec();
                running.insert(node.to_string(), RunningStatistics { mean, variance });
            } else if !spec.name.ends_with(".running_var") {
                variables.insert(spec.name, values.clone());
            }
        }
        let mut signed = vec![None; graph.nodes().len()];
        for point in graph.quantization_points() {
            signed[point.node] = Some(point.signed);
        }
        let steps = steps(graph, &signed);
        let (graph, pool) = (graph.clone(), Pool::default());
        Self { graph, variables, running, signed, rounding: None, steps, pool, images: 0, kept: Vec::new() }
    }

    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The pool for the memory of batches and gradients.
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Returns all current parameters, including running statistics.
    pub(crate) fn parameters(&self) -> Parameters {
        let mut parameters = self.variables.clone();
        for (node, statistics) in &self.running {
            for (suffix, values) in
                [("running_mean", &statistics.mean), ("running_var", &statistics.variance)]
            {
                let values = FloatTensor::new(vec![values.len()], values.clone());
                parameters.insert(format!("{node}.{suffix}"), values);
            }
        }
        parameters
    }

    /// Returns the scale of a quantization point, if its range is known.
    pub(crate) fn activation_scale(&self, node: NodeId) -> Option<ActivationScale> {
        let range = self.rounding.as_ref()?.ranges.get(&self.graph.nodes()[node].name)?;
        Some(ActivationScale::from_range(*range, self.signed[node]?))
    }

    /// Returns the logits, `[n, classes]`, of normalized images, `[n, height, width, channels]`.
    pub(crate) fn forward(&mut self, images: Buffer, mode: Mode) -> Arc<Buffer> {
        self.prepare(&images);
        let mut images = Some(Arc::new(images));
        let mut outputs: Vec<Option<Arc<Buffer>>> = vec![None; self.steps.len()];
        for id in 0..self.steps.len() {
            let inputs: Vec<Arc<Buffer>> = match images.take() {
                Some(images) => vec![images],
                None => {
                    let outputs = self.steps[id].inputs.iter().map(|&i| &outputs[i]);
                    outputs.map(|o| o.clone().expect("a result lives until its last reader")).collect()
                }
            };
            for &i in &self.steps[id].inputs {
                if self.steps[i].last_use == id {
                    outputs[i] = None;
                }
            }
            let mut kept = Kept::default();
            let (raw, bounds) = self.compute(id, inputs, mode, &mut kept);
            outputs[id] = Some(self.finish(id, raw, bounds, mode, &mut kept));
            if matches!(mode, Mode::Train | Mode::TrainFaulty(_)) {
                self.kept.push(kept);
            }
        }
        outputs.pop().flatten().expect("the last step has no reader")
    }

    /// Drops the values of an earlier pass, and computes shapes if the batch size has changed.
    fn prepare(&mut self, images: &[f32]) {
        self.kept.clear();
        let n = images.len() / self.graph.spec().input.iter().product::<usize>();
        if n == self.images {
            return;
        }
        self.images = n;
        self.pool.clear();
        for id in 0..self.steps.len() {
            self.steps[id].work = self.work(id);
            let winners = match &self.steps[id].work {
                Work::MaxPool(pool) => pool.output_shape().iter().product(),
                _ => 0,
            };
            self.steps[id].winners.resize(winners, 0);
        }
    }

    /// Returns the shape `[n, height, width, channels]` of a node; height and width are 1 if it has none.
    fn shape(&self, node: NodeId) -> [usize; 4] {
        match self.graph.nodes()[node].shape[..] {
            [channels, height, width] => [self.images, height, width, channels],
            [features] => [self.images, 1, 1, features],
            ref other => unreachable!("a node has shape {other:?}"),
        }
    }

    fn work(&self, id: usize) -> Work {
        let node = &self.graph.nodes()[self.steps[id].first];
        let from = || self.shape(node.inputs[0]);
        match &node.op {
            Op::Input | Op::BatchNorm { .. } | Op::Relu | Op::ClippedRelu { .. } => Work::Same,
            Op::Conv(conv) => {
                let (channels, groups) = (conv.channels, conv.groups);
                Work::Convolve(Box::new(Conv2d::new(from(), channels, &conv.window(), groups, &self.pool)))
            }
            Op::Linear { features } => {
                Work::Convolve(Box::new(Conv2d::linear(self.images, from()[3], *features, &self.pool)))
            }
            Op::MaxPool(pool) => Work::MaxPool(MaxPool::new(from(), &pool.window())),
            Op::GlobalAvgPool => Work::Mean,
            Op::Flatten => {
                // Memory order of the features is [channels, height, width].
                let [_, height, width, _] = from();
                if height * width == 1 { Work::Same } else { Work::Transpose { pixels: height * width } }
            }
            Op::Add => Work::Add,
            Op::Concat => Work::Concat,
            Op::PadShortcut { stride, before, after } => {
                Work::Shortcut(PadShortcut::new(from(), *stride, *before, *after))
            }
            Op::AvgPool(pool) => Work::AvgPool(AvgPool::new(from(), &pool.window(), pool.count_include_pad)),
            Op::Pad { before, after } => Work::Pad(Pad::new(from(), *before, *after)),
            Op::LeakyRelu { slope } => Work::Activation(Activation::Leaky { slope: *slope }),
            Op::Function(function) => Work::Activation(Activation::Function(*function)),
            Op::PRelu => Work::ParametricRelu,
            Op::Mul => {
                let same = from() == self.shape(node.inputs[1]);
                if same { Work::Multiply } else { Work::MultiplyChannels }
            }
            Op::ChannelSlice { first, channels } => Work::Select((*first..first + channels).collect()),
            Op::ChannelShuffle { groups } => {
                let channels = from()[3];
                Work::Select((0..channels).map(|i| i % groups * (channels / groups) + i / groups).collect())
            }
            Op::LayerNorm { epsilon } => Work::LayerNorm { epsilon: *epsilon },
            op @ (Op::TokenEmbedding { .. } | Op::Attention { .. } | Op::SelectToken { .. }) => {
                unreachable!("a trainer refuses {op:?}")
            }
        }
    }

    /// Computes the first node of a step. Also returns the extremes of its values, if they come without extra
    /// work.
    fn compute(
        &mut self,
        id: usize,
        mut inputs: Vec<Arc<Buffer>>,
        mode: Mode,
        kept: &mut Kept,
    ) -> (Arc<Buffer>, Option<Extremes>) {
        let mut winners = std::mem::take(&mut self.steps[id].winners);
        let step = &self.steps[id];
        if let Work::Same = step.work {
            return (inputs.remove(0), None);
        }
        let mut bounds = None;
        let mut raw = self.pool.take(self.shape(step.first).iter().product());
        let x = &inputs[0];
        match &step.work {
            Work::Unknown | Work::Same => unreachable!("a step was prepared, and its values are new"),
            Work::Convolve(conv) => {
                let name = &self.graph.nodes()[step.first].name;
                let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
                kept.weights = self.rounded(&weight);
                if let (Mode::TrainFaulty(faults), Some(weights)) = (mode, &mut kept.weights) {
                    let scale = self.rounding.as_ref().expect("rounded weights have a scale").scales[&weight];
                    faults.hit(weights, scale, step.first);
                }
                let weights = kept.weights.as_deref().unwrap_or(self.variables[&weight].values());
                conv.forward(x, weights, self.variables.get(&bias).map(FloatTensor::values), &mut raw);
            }
            Work::MaxPool(pool) => pool.forward(x, &mut raw, &mut winners),
            Work::AvgPool(pool) => pool.forward(x, &mut raw),
            Work::Mean => global_avg_pool(x, self.shape(step.first)[3], &mut raw),
            Work::Transpose { pixels } => {
                let image = raw.len() / self.images;
                for (y, x) in raw.chunks_exact_mut(image).zip(x.chunks_exact(image)) {
                    transpose(x, *pixels, y);
                }
            }
            Work::Add => bounds = Some(add(x, &inputs[1], &mut raw)),
            Work::Concat => {
                let channels = step.inputs.iter().map(|&i| self.shape(self.steps[i].last)[3]);
                let parts: Vec<(&[f32], usize)> =
                    inputs.iter().map(|input| &input[..]).zip(channels).collect();
                concat(&parts, &mut raw);
            }
            Work::Shortcut(shortcut) => shortcut.forward(x, &mut raw),
            Work::Pad(pad) => pad.forward(x, &mut raw),
            Work::Activation(activation) => activation.forward(x, &mut raw),
            Work::ParametricRelu => parametric_relu(x, self.parameter(step.first, "weight"), &mut raw),
            Work::Multiply => multiply(x, &inputs[1], &mut raw),
            Work::MultiplyChannels => {
                multiply_channels(x, &inputs[1], self.shape(step.first)[3], &mut raw);
            }
            Work::Select(channels) => select_channels(x, self.input_channels(step), channels, &mut raw),
            Work::LayerNorm { epsilon } => self.layer_norm(step.first, *epsilon).forward(x, &mut raw),
        }
        if step.work.gradient_reads_inputs() {
            kept.inputs = inputs;
        }
        self.steps[id].winners = winners;
        (Arc::new(raw), bounds)
    }

    /// A trained parameter of a node.
    fn parameter(&self, node: NodeId, suffix: &str) -> &[f32] {
        self.variables[&format!("{}.{suffix}", self.graph.nodes()[node].name)].values()
    }

    fn layer_norm(&self, node: NodeId, epsilon: f64) -> LayerNorm<'_> {
        let [weight, bias] = ["weight", "bias"].map(|suffix| self.parameter(node, suffix));
        LayerNorm { weight, bias, epsilon }
    }

    /// Number of channels of a step's first input.
    fn input_channels(&self, step: &Step) -> usize {
        self.shape(self.graph.nodes()[step.first].inputs[0])[3]
    }

    /// Returns a stored weight rounded to its level; `None` if nothing is rounded.
    fn rounded(&self, name: &str) -> Option<Buffer> {
        let scale = *self.rounding.as_ref()?.scales.get(name)?;
        let weights = self.variables[name].values();
        let mut rounded = self.pool.take(weights.len());
        fake_quantize_weight(weights, scale, &mut rounded);
        Some(rounded)
    }

    /// Applies batch norm, ReLU and rounding of a step.
    fn finish(
        &mut self,
        id: usize,
        mut raw: Arc<Buffer>,
        mut bounds: Option<Extremes>,
        mode: Mode,
        kept: &mut Kept,
    ) -> Arc<Buffer> {
        let step = &self.steps[id];
        let channels = self.shape(step.last)[3];
        let norm = step.norm.as_ref().map(|(name, epsilon)| {
            let [weight, bias] = ["weight", "bias"].map(|s| self.variables[&format!("{name}.{s}")].values());
            let running = self.running.get_mut(name).expect("every batch norm has statistics");
            if matches!(mode, Mode::Calibrate | Mode::Evaluate) {
                return Norm::new(&running.mean, &running.variance, weight, bias, *epsilon);
            }
            let batch = BatchStatistics::of(&raw, channels);
            if mode == Mode::Train {
                running.update(&batch);
            }
            let norm = Norm::new(&batch.mean, &batch.variance, weight, bias, *epsilon);
            bounds = Some(batch.extremes);
            norm
        });
        let mut finish = Finish { norm, relu: step.relu, rounding: None };
        let (first, last) = (step.first, step.last);
        if let (Some(rounding), Some(_)) = (&mut self.rounding, self.signed[last]) {
            let node = &self.graph.nodes()[last];
            if matches!(mode, Mode::Train | Mode::Calibrate) && self.graph.nodes()[first].op != Op::Input {
                let bounds = bounds.unwrap_or_else(|| extremes(&raw, channels));
                let seen = finish.largest(&bounds);
                let range = rounding.ranges.entry(node.name.clone()).or_insert(seen);
                *range = match mode {
                    Mode::Calibrate => range.max(seen),
                    _ => *range + RANGE_MOMENTUM * (seen - *range),
                };
            }
            if mode != Mode::Calibrate {
                finish.rounding = self.activation_scale(last);
            }
        }
        if finish.norm.is_none() && finish.relu.is_none() && finish.rounding.is_none() {
            return raw;
        }
        if finish.norm.is_none()
            && finish.rounding.is_none()
            && let Some(values) = Arc::get_mut(&mut raw)
        {
            finish.forward_in_place(values);
            kept.finish = Some((finish, raw.clone()));
            return raw;
        }
        let mut output = self.pool.take(raw.len());
        finish.forward(&raw, &mut output);
        kept.finish = Some((finish, raw));
        Arc::new(output)
    }

    /// Returns the gradients of all variables, given the gradient of the logits. The last forward pass must
    /// have been one in training.
    pub(crate) fn backward(&mut self, logits: Buffer) -> Gradients {
        let mut variables = Gradients::new();
        // Gradient of each step's result; two steps may share one.
        let mut gradients: Vec<Option<Arc<Buffer>>> = vec![None; self.steps.len()];
        *gradients.last_mut().expect("a graph has nodes") = Some(Arc::new(logits));
        let mut all = std::mem::take(&mut self.kept);
        assert_eq!(all.len(), self.steps.len(), "a backward pass follows a forward pass in training");
        // Step 0 is the images, which need no gradient.
        for id in (1..self.steps.len()).rev() {
            let kept = all.pop().expect("a record of each step");
            let Some(mut gradient) = gradients[id].take() else { continue };
            if let Some((finish, x)) = kept.finish {
                let norm = match Arc::get_mut(&mut gradient) {
                    Some(gradient) => finish.backward(&x, None, gradient),
                    None => {
                        let mut dx = self.pool.take(x.len());
                        let norm = finish.backward(&x, Some(&gradient), &mut dx);
                        gradient = Arc::new(dx);
                        norm
                    }
                };
                if let (Some(norm), Some((name, _))) = (norm, &self.steps[id].norm) {
                    variables.insert(format!("{name}.weight"), self.buffer(&norm.weight));
                    variables.insert(format!("{name}.bias"), self.buffer(&norm.bias));
                }
            }
            self.compute_backward(id, gradient, kept.inputs, kept.weights, &mut gradients, &mut variables);
        }
        variables
    }

    /// Copies values into a buffer.
    fn buffer(&self, values: &[f32]) -> Buffer {
        let mut buffer = self.pool.take(values.len());
        buffer.copy_from_slice(values);
        buffer
    }

    /// Computes the gradients of the inputs of a step's first node.
    fn compute_backward(
        &self,
        id: usize,
        dy: Arc<Buffer>,
        mut inputs: Vec<Arc<Buffer>>,
        weights: Option<Buffer>,
        gradients: &mut [Option<Arc<Buffer>>],
        variables: &mut Gradients,
    ) {
        let step = &self.steps[id];
        let from = step.inputs[0];
        let values = |i: usize| self.shape(self.steps[i].last).iter().product();
        match &step.work {
            Work::Unknown => unreachable!("the forward pass has run"),
            Work::Same => self.arrive(gradients, from, dy),
            Work::Convolve(conv) => {
                let name = &self.graph.nodes()[step.first].name;
                let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
                let x = inputs.remove(0);
                let mut dw = self.pool.take(self.variables[&weight].values().len());
                conv.weight_gradient(&x, &dy, &mut dw);
                if let Some(values) = self.variables.get(&bias) {
                    let mut db = self.pool.take(values.values().len());
                    conv.bias_gradient(&dy, &mut db);
                    variables.insert(bias, db);
                }
                drop(x);
                if from > 0 {
                    let weights = weights.as_deref().unwrap_or(self.variables[&weight].values());
                    match gradients[from].as_mut().and_then(Arc::get_mut) {
                        Some(dx) => conv.input_gradient(&dy, weights, dx, true),
                        None => {
                            let mut dx = self.pool.take(values(from));
                            conv.input_gradient(&dy, weights, &mut dx, false);
                            self.arrive(gradients, from, Arc::new(dx));
                        }
                    }
                }
                variables.insert(weight, dw);
            }
            Work::MaxPool(pool) => {
                let mut dx = self.pool.take(values(from));
                pool.backward(&dy, &step.winners, &mut dx);
                self.arrive(gradients, from, Arc::new(dx));
            }
            Work::AvgPool(pool) => {
                let mut dx = self.pool.take(values(from));
                pool.backward(&dy, &mut dx);
                self.arrive(gradients, from, Arc::new(dx));
            }
            Work::Mean => {
                let mut dx = self.pool.take(values(from));
                global_avg_pool_backward(&dy, self.shape(step.first)[3], &mut dx);
                self.arrive(gradients, from, Arc::new(dx));
            }
            Work::Transpose { pixels } => {
                let mut dx = self.pool.take(values(from));
                let image = dx.len() / self.images;
                for (dx, dy) in dx.chunks_exact_mut(image).zip(dy.chunks_exact(image)) {
                    transpose(dy, image / pixels, dx);
                }
                self.arrive(gradients, from, Arc::new(dx));
            }
            Work::Add => {
                self.arrive(gradients, from, dy.clone());
                self.arrive(gradients, step.inputs[1], dy);
            }
            Work::Concat => {
                let mut parts: Vec<Buffer> = step.inputs.iter().map(|&i| self.pool.take(values(i))).collect();
                let channels = step.inputs.iter().map(|&i| self.shape(self.steps[i].last)[3]);
                let mut slices: Vec<(&mut [f32], usize)> =
                    parts.iter_mut().map(|part| &mut part[..]).zip(channels).collect();
                concat_backward(&dy, &mut slices);
                for (&i, part) in step.inputs.iter().zip(parts) {
                    self.arrive(gradients, i, Arc::new(part));
                }
            }
            Work::Shortcut(shortcut) => {
                let mut dx = self.pool.take(values(from));
                shortcut.backward(&dy, &mut dx);
                self.arrive(gradients, from, Arc::new(dx));
            }
            Work::Pad(pad) => {
                let mut dx = self.pool.take(values(from));
                pad.backward(&dy, &mut dx);
                self.arrive(gradients, from, Arc::new(dx));
            }
            Work::Activation(activation) => {
                let mut dx = self.pool.take(values(from));
                activation.backward(&inputs[0], &dy, &mut dx);
                self.arrive(gradients, from, Arc::new(dx));
            }
            Work::ParametricRelu => {
                let mut dx = self.pool.take(values(from));
                let slopes = self.parameter(step.first, "weight");
                let of_slopes = parametric_relu_backward(&inputs[0], slopes, &dy, &mut dx);
                let name = &self.graph.nodes()[step.first].name;
                variables.insert(format!("{name}.weight"), self.buffer(&of_slopes));
                self.arrive(gradients, from, Arc::new(dx));
            }
            Work::Multiply => {
                for (factor, other) in [(0, 1), (1, 0)] {
                    let mut dx = self.pool.take(dy.len());
                    multiply(&dy, &inputs[other], &mut dx);
                    self.arrive(gradients, step.inputs[factor], Arc::new(dx));
                }
            }
            Work::MultiplyChannels => {
                let channels = self.shape(step.first)[3];
                let mut dx = self.pool.take(dy.len());
                multiply_channels(&dy, &inputs[1], channels, &mut dx);
                self.arrive(gradients, from, Arc::new(dx));
                let mut of_factors = self.pool.take(inputs[1].len());
                multiply_channels_backward(&inputs[0], &dy, channels, &mut of_factors);
                self.arrive(gradients, step.inputs[1], Arc::new(of_factors));
            }
            Work::Select(channels) => {
                let mut dx = self.pool.take(values(from));
                select_channels_backward(&dy, self.input_channels(step), channels, &mut dx);
                self.arrive(gradients, from, Arc::new(dx));
            }
            Work::LayerNorm { epsilon } => {
                let mut dx = self.pool.take(values(from));
                let norm = self.layer_norm(step.first, *epsilon).backward(&inputs[0], &dy, &mut dx);
                let name = &self.graph.nodes()[step.first].name;
                variables.insert(format!("{name}.weight"), self.buffer(&norm.weight));
                variables.insert(format!("{name}.bias"), self.buffer(&norm.bias));
                self.arrive(gradients, from, Arc::new(dx));
            }
        }
    }

    /// Stores the first gradient of a step's result, and adds later ones to it.
    fn arrive(&self, gradients: &mut [Option<Arc<Buffer>>], step: usize, gradient: Arc<Buffer>) {
        let Some(sum) = &mut gradients[step] else {
            gradients[step] = Some(gradient);
            return;
        };
        if let Some(sum) = Arc::get_mut(sum) {
            add_in_place(sum, &gradient);
            return;
        }
        let mut new = self.pool.take(sum.len());
        add(sum, &gradient, &mut new);
        *sum = Arc::new(new);
    }
}

impl Work {
    /// True if the gradient depends on the values of the inputs, which are then kept for the backward pass.
    fn gradient_reads_inputs(&self) -> bool {
        match self {
            Self::Convolve(_)
            | Self::Activation(_)
            | Self::ParametricRelu
            | Self::Multiply
            | Self::MultiplyChannels
            | Self::LayerNorm { .. } => true,
            Self::Unknown
            | Self::Same
            | Self::MaxPool(_)
            | Self::AvgPool(_)
            | Self::Mean
            | Self::Transpose { .. }
            | Self::Add
            | Self::Concat
            | Self::Shortcut(_)
            | Self::Pad(_)
            | Self::Select(_) => false,
        }
    }
}

/// Transposes rows of `columns` values: `[rows, columns]` to `[columns, rows]`.
fn transpose(x: &[f32], rows: usize, y: &mut [f32]) {
    let columns = x.len() / rows;
    for (row, x) in x.chunks_exact(columns).enumerate() {
        y[row..].iter_mut().step_by(rows).zip(x).for_each(|(y, x)| *y = *x);
    }
}

/// Groups the nodes of a graph into steps. A batch norm or a ReLU, clipped or not, joins the step that it reads if it is the
/// only reader, nothing is rounded in between, and the order is that of [`Finish`].
fn steps(graph: &Graph, signed: &[Option<bool>]) -> Vec<Step> {
    let mut readers = vec![0; signed.len()];
    for &input in graph.nodes().iter().flat_map(|node| &node.inputs) {
        readers[input] += 1;
    }
    let mut steps: Vec<Step> = Vec::new();
    let mut step_of = Vec::new();
    for (id, node) in graph.nodes().iter().enumerate() {
        let norm = match node.op {
            Op::BatchNorm { epsilon } => Some((node.name.clone(), epsilon)),
            _ => None,
        };
        let relu = match node.op {
            Op::Relu => Some(f32::INFINITY),
            Op::ClippedRelu { max } => Some(max),
            _ => None,
        };
        if norm.is_some() || relu.is_some() {
            let (before, place) = (node.inputs[0], step_of[node.inputs[0]]);
            let step: &mut Step = &mut steps[place];
            let alone = before > 0 && readers[before] == 1 && signed[before].is_none();
            if alone && step.relu.is_none() && (relu.is_some() || step.norm.is_none()) {
                (step.last, step.relu) = (id, relu);
                step.norm = step.norm.take().or(norm);
                step_of.push(place);
                continue;
            }
        }
        let inputs: Vec<usize> = node.inputs.iter().map(|&input| step_of[input]).collect();
        for &input in &inputs {
            steps[input].last_use = steps.len();
        }
        step_of.push(steps.len());
        steps.push(Step {
            first: id,
            last: id,
            inputs,
            last_use: steps.len(),
            norm,
            relu,
            work: Work::Unknown,
            winners: Vec::new(),
        });
    }
    steps
}

#[cfg(test)]
mod tests;
