//! Compiles a graph and a checkpoint into steps.
//!
//! The graph determines where an int8 network rounds: at its quantization points. A convolution, linear
//! layer, batch norm or sum that is no quantization point opens a *chain*. The following nodes extend the
//! chain until one is a quantization point, and the chain becomes one step. The last node of the graph ends a
//! chain without rounding; its step writes the logits. Every other node is a separate step and keeps the
//! scale of its input, except that means, concatenations, functions, products, normalizations, token embeddings,
//! attentions and separate clipped ReLUs also round.
//!
//! Let s be levels per unit, g = gamma / sqrt(variance + epsilon) (or 1 without a batch norm), and s_out = 1
//! for logits. The integer sum of a chain becomes its output by
//!
//! ```text
//! multiplier = s_out * g / (s_in * s_weight)        offset = ((bias - mean) * g + beta) * s_out
//! ```
//!
//! in f64, in this order, each rounded to f32 once. A function of one value is a table indexed by the input
//! level: f(level / s_in) * s_out, in f64, rounded to f32 once.
//!
//! # Segments
//!
//! Images pass through several steps together, as a *tile*, so that a layer's weights are read once for all
//! of them and their activations stay in cache. The large first layers of a network need tiles of a single
//! image, the small last ones tiles of many. The steps are therefore divided into segments, each with its own
//! tile size. A boundary lies where later steps read only a single node; that node is *carried*, that is,
//! stored for all images of a batch. A segment processes the batch tile by tile.

use std::collections::{BTreeMap, HashMap};
use std::f64::consts::LOG2_E;
use std::ops::Range;

use graph::{Dims, Graph, Node, NodeId, Op, Window};
use quant::{ActivationScale, Checkpoint, Parameters};

use crate::InferError;
use crate::attention::Attention;
use crate::check;
use crate::conv::{Conv, ConvShape, Frames, Layers};
use crate::frame::Frame;
use crate::kernel::{Kernel, SLACK};
use crate::requantize::{Affine, Bounds, Table};
use crate::step::{LayerNorm, Operand, Step, Target, TokenEmbedding, Work};

/// The smallest number of products of a level (up to 255) and a weight (down to -128) whose sum may overflow
/// i32.
const TERMS_THAT_OVERFLOW: usize = (1 << 31) / (255 * 128) + 1;
const _: () = assert!((TERMS_THAT_OVERFLOW - 1) * 255 * 128 < 1 << 31);

/// Largest size in bytes of a tile's images in a step, so that they stay in a second-level cache.
const TILE_BYTES: usize = 256 * 1024;

/// The same if the step's weights take at least eight times as many bytes, so that reading these does not take longer
/// than the products.
const WITH_HEAVY_WEIGHTS: usize = 1024 * 1024;

/// Largest number of images in a tile; more would not make reading the weights cheaper.
const LARGEST_TILE: usize = 32;

/// Nodes that become one step.
#[derive(Clone, Copy, Debug)]
struct Chain {
    /// The first node: a convolution, linear layer, batch norm, sum or clipped ReLU.
    head: NodeId,
    /// The batch norm, if the head is a convolution.
    norm: Option<NodeId>,
    /// Bound of the final ReLU; infinite unless it is a clipped one. `None` without a ReLU.
    ceiling: Option<f32>,
}

/// Consecutive steps that process a batch tile by tile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) steps: Range<usize>,
    /// Number of images in a tile.
    pub(crate) tile: usize,
}

impl Segment {
    /// Returns the tiles of a batch of images.
    pub(crate) fn tiles(&self, images: usize) -> impl Iterator<Item = Tile> + use<> {
        let tile = self.tile;
        (0..images).step_by(tile).map(move |first| Tile { first, images: tile.min(images - first) })
    }
}

/// The images of a batch that pass through a segment together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tile {
    pub(crate) first: usize,
    pub(crate) images: usize,
}

impl Tile {
    /// Returns the position of the tile's first image in a slot.
    pub(crate) fn begin(&self, slot: Slot, frame: &Frame) -> usize {
        if slot.carried { self.first * frame.len() } else { 0 }
    }
}

/// A buffer for the levels of one or more nodes, at different times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) bytes: usize,
    /// True if it holds the whole batch, false if it holds one tile.
    pub(crate) carried: bool,
}

/// A compiled network, as plain data.
#[derive(Clone, Debug)]
pub(crate) struct Compiled {
    pub(crate) steps: Vec<Step>,
    pub(crate) segments: Vec<Segment>,
    /// The step of each stored weight tensor, in memory order; all are [`Work::Conv`].
    pub(crate) layers: Vec<usize>,
    pub(crate) slots: Vec<Slot>,
    /// Largest number of images that pass through all segments together.
    pub(crate) batch: usize,
    pub(crate) input: Dims,
    pub(crate) classes: usize,
}

impl Layers for Compiled {
    fn layers(&self) -> usize {
        self.layers.len()
    }

    fn layer(&self, tensor: usize) -> &Conv {
        match &self.steps[self.layers[tensor]].work {
            Work::Conv(conv) => conv,
            other => unreachable!("weights belong to convolutions and linear layers, not {other:?}"),
        }
    }

    fn layer_mut(&mut self, tensor: usize) -> &mut Conv {
        match &mut self.steps[self.layers[tensor]].work {
            Work::Conv(conv) => conv,
            other => unreachable!("weights belong to convolutions and linear layers, not {other:?}"),
        }
    }
}

pub(crate) fn compile(
    graph: &Graph,
    checkpoint: &Checkpoint,
    kernel: Kernel,
) -> Result<Compiled, InferError> {
    check::network(graph, checkpoint)?;
    let scales = check::activations(graph, checkpoint)?;
    let mut compiler = Compiler::new(graph, checkpoint, scales, kernel);
    for id in 0..graph.nodes().len() {
        compiler.node(id)?;
    }
    Ok(compiler.finish())
}

struct Compiler<'a> {
    nodes: &'a [Node],
    checkpoint: &'a Checkpoint,
    kernel: Kernel,
    /// Border of each node: the widest padding of the convolutions that read it.
    borders: Vec<[usize; 2]>,
    /// Scale of each node that stores levels.
    scales: Vec<Option<ActivationScale>>,
    /// True for each node that is a quantization point.
    rounds: Vec<bool>,
    /// Open chains, by their last node.
    open: HashMap<NodeId, Chain>,
    /// The steps of the stored weight tensors so far, in memory order.
    layers: Vec<usize>,
    /// Steps; their slots are still node ids.
    steps: Vec<Step>,
}

impl<'a> Compiler<'a> {
    fn new(
        graph: &'a Graph,
        checkpoint: &'a Checkpoint,
        activations: &BTreeMap<String, ActivationScale>,
        kernel: Kernel,
    ) -> Self {
        let nodes = graph.nodes();
        let mut rounds = vec![false; nodes.len()];
        let mut scales = vec![None; nodes.len()];
        for point in graph.quantization_points() {
            rounds[point.node] = true;
            scales[point.node] = Some(activations[&nodes[point.node].name]);
        }
        Self {
            nodes,
            checkpoint,
            kernel,
            borders: borders(nodes),
            scales,
            rounds,
            open: HashMap::new(),
            layers: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// Extends or closes the chain of a node, or makes the node a step.
    fn node(&mut self, id: NodeId) -> Result<(), InferError> {
        let node = &self.nodes[id];
        let opened = Chain { head: id, norm: None, ceiling: None };
        let continued = node.inputs.first().and_then(|input| self.open.remove(input));
        let chain = match (&node.op, continued) {
            (Op::Conv(_) | Op::Linear { .. } | Op::Add | Op::BatchNorm { .. }, None) => opened,
            (Op::BatchNorm { .. }, Some(chain)) => Chain { norm: Some(id), ..chain },
            (Op::Relu, Some(chain)) => Chain { ceiling: Some(f32::INFINITY), ..chain },
            (Op::ClippedRelu { max }, chain) => Chain { ceiling: Some(*max), ..chain.unwrap_or(opened) },
            (_, Some(chain)) => unreachable!("{chain:?} continues in {node:?}"),
            (_, None) => return self.single(id),
        };
        if self.rounds[id] || self.is_last(id) {
            return self.close(chain, id);
        }
        self.open.insert(id, chain);
        Ok(())
    }

    fn is_last(&self, id: NodeId) -> bool {
        id + 1 == self.nodes.len()
    }

    fn dims(&self, id: NodeId) -> Dims {
        Dims::of(&self.nodes[id].shape)
    }

    /// Memory layout of a node's output.
    fn frame(&self, id: NodeId) -> Frame {
        let dims = self.dims(id);
        if self.is_last(id) && self.scales[id].is_none() {
            return Frame { dims, border: [0, 0], zero: 0 };
        }
        let scale = self.scales[id].expect("a step writes levels or logits");
        Frame { dims, border: self.borders[id], zero: if scale.signed { 128 } else { 0 } }
    }

    /// Levels per unit of a node that stores levels.
    fn levels_per_unit(&self, id: NodeId) -> f64 {
        f64::from(self.scales[id].expect("a step reads only stored levels").levels_per_unit)
    }

    /// Returns levels per unit and bounds of the output of node `id`: levels, or logits if it is the last
    /// node. `ceiling` is the bound of its final ReLU.
    fn output(&self, id: NodeId, ceiling: Option<f32>) -> (f64, Bounds) {
        if self.is_last(id) {
            let (low, high) = ceiling.map_or((f32::NEG_INFINITY, f32::INFINITY), |high| (0.0, high));
            return (1.0, Bounds::unrounded(low, high));
        }
        let scale = self.scales[id].expect("a rounding node has a scale");
        let (low, high) = match ceiling {
            // Rounding is monotonic, so clipping at the bound's level equals clipping at the bound.
            Some(ceiling) => (0, scale.quantize(ceiling)),
            None => scale.levels(),
        };
        (self.levels_per_unit(id), Bounds::levels(low, high, self.frame(id).zero))
    }

    fn target(&self, id: NodeId) -> Target {
        if self.is_last(id) { Target::Logits } else { Target::Slot(id) }
    }

    fn push(&mut self, id: NodeId, inputs: &[NodeId], work: Work, target: Target) {
        if let Work::Conv(_) = work {
            self.layers.push(self.steps.len());
        }
        let frame = self.target_frame(id, target);
        self.steps.push(Step {
            name: self.nodes[id].name.clone(),
            work,
            inputs: inputs.iter().map(|&i| Operand { source: i, slot: i, frame: self.frame(i) }).collect(),
            target,
            starts: frame.pixels(1),
            frame,
        });
    }

    /// Memory layout of a step's output; logits have neither levels nor a border.
    fn target_frame(&self, id: NodeId, target: Target) -> Frame {
        match target {
            Target::Slot(_) => self.frame(id),
            Target::Logits => Frame { dims: self.dims(id), border: [0, 0], zero: 0 },
        }
    }

    fn close(&mut self, chain: Chain, id: NodeId) -> Result<(), InferError> {
        let head = &self.nodes[chain.head];
        let (out, bounds) = self.output(id, chain.ceiling);
        let scale = |i: usize| self.levels_per_unit(head.inputs[i]);
        let work = match &head.op {
            Op::Add => {
                let multipliers = [0, 1].map(|i| (out / scale(i)) as f32);
                self.check_multipliers(id, &multipliers)?;
                Work::Add(multipliers, bounds)
            }
            Op::BatchNorm { .. } => {
                Work::Affine(self.affine(id, Some(chain.head), None, |_| scale(0), out)?, bounds)
            }
            Op::ClippedRelu { .. } => Work::Affine(self.affine(id, None, None, |_| scale(0), out)?, bounds),
            _ => {
                let weight = &self.checkpoint.weights[self.layers.len()];
                let (shape, bias) = conv_shape(self.nodes, chain.head);
                check_terms(&self.nodes[chain.head].name, shape.terms())?;
                let bias = bias.then_some(chain.head);
                let product = |channel| scale(0) * f64::from(weight.scale().of(channel));
                let affine = self.affine(id, chain.norm, bias, product, out)?;
                let frames = Frames {
                    input: self.frame(head.inputs[0]),
                    output: self.target_frame(id, self.target(id)),
                };
                let conv = Conv::new(shape, frames, weight.values(), &affine, bounds, self.kernel);
                Work::Conv(Box::new(conv))
            }
        };
        self.push(id, &head.inputs, work, self.target(id));
        Ok(())
    }

    /// Calls [`affine`] with the parameters of this network.
    fn affine(
        &self,
        id: NodeId,
        norm: Option<NodeId>,
        bias: Option<NodeId>,
        product: impl Fn(usize) -> f64,
        out: f64,
    ) -> Result<Affine, InferError> {
        affine(self.nodes, &self.checkpoint.parameters, id, (norm, bias), product, out)
    }

    fn check_multipliers(&self, id: NodeId, multipliers: &[f32]) -> Result<(), InferError> {
        let Some(&multiplier) = multipliers.iter().find(|m| !m.is_finite()) else { return Ok(()) };
        let layer = self.nodes[id].name.clone();
        Err(InferError::Requantization { layer, channel: 0, multiplier, offset: 0.0 })
    }

    /// Makes a node a separate step.
    fn single(&mut self, id: NodeId) -> Result<(), InferError> {
        let node = &self.nodes[id];
        let rescaled =
            |id: NodeId, out: f64, size: usize| (out / (self.levels_per_unit(id) * size as f64)) as f32;
        let work = match &node.op {
            Op::Input => self.input(id),
            Op::GlobalAvgPool => {
                let (out, bounds) = self.output(id, None);
                let input = node.inputs[0];
                let pixels = self.dims(input).pixels();
                check_terms(&node.name, pixels)?;
                let multiplier = rescaled(input, out, pixels);
                self.check_multipliers(id, &[multiplier])?;
                Work::Mean(multiplier, bounds)
            }
            Op::AvgPool(pool) => {
                let window = pool.window();
                let (out, bounds) = self.output(id, None);
                let input = node.inputs[0];
                let whole = window.kernel[0] * window.kernel[1];
                check_terms(&node.name, whole)?;
                let divisor = |inside| if pool.count_include_pad { whole } else { inside };
                let multipliers: Vec<f32> =
                    (1..=whole).map(|inside| rescaled(input, out, divisor(inside))).collect();
                self.check_multipliers(id, &multipliers)?;
                Work::AvgPool { window, multipliers, bounds }
            }
            Op::LeakyRelu { slope } => {
                let slope = f64::from(*slope);
                self.table(id, |x| if x > 0.0 { x } else { x * slope })?
            }
            Op::Function(function) => self.table(id, |x| function.value(x))?,
            Op::PRelu => {
                let (out, bounds) = self.output(id, None);
                let factor = out / self.levels_per_unit(node.inputs[0]);
                let slopes = parameter(&self.checkpoint.parameters, &node.name, "weight");
                let negative: Vec<f32> =
                    slopes.iter().map(|&slope| (f64::from(slope) * factor) as f32).collect();
                let positive = factor as f32;
                self.check_multipliers(id, &[positive])?;
                self.check_multipliers(id, &negative)?;
                Work::PRelu { positive, negative, bounds }
            }
            Op::Mul => {
                let (out, bounds) = self.output(id, None);
                let scale = |i: usize| self.levels_per_unit(node.inputs[i]);
                let multiplier = (out / (scale(0) * scale(1))) as f32;
                self.check_multipliers(id, &[multiplier])?;
                Work::Mul(multiplier, bounds)
            }
            Op::LayerNorm { epsilon } => {
                let (out, bounds) = self.output(id, None);
                let scaled = |suffix: &str| -> Vec<f32> {
                    let values = parameter(&self.checkpoint.parameters, &node.name, suffix).iter();
                    values.map(|&value| (f64::from(value) * out) as f32).collect()
                };
                let (multiplier, offset) = (scaled("weight"), scaled("bias"));
                self.check_multipliers(id, &multiplier)?;
                self.check_multipliers(id, &offset)?;
                let spread = self.levels_per_unit(node.inputs[0]) * multiplier.len() as f64;
                let epsilon = epsilon * (spread * spread);
                Work::LayerNorm(
                    Box::new(LayerNorm { epsilon, affine: Affine { multiplier, offset } }),
                    bounds,
                )
            }
            &Op::TokenEmbedding { class_tokens } => {
                let (out, bounds) = self.output(id, None);
                let multiplier = rescaled(node.inputs[0], out, 1);
                let bias = parameter(&self.checkpoint.parameters, &node.name, "bias");
                let (channels, tokens) = (node.shape[0], self.dims(id).pixels());
                let values =
                    (0..tokens).flat_map(|token| (0..channels).map(move |c| bias[c * tokens + token]));
                let offset: Vec<f32> = values.map(|value| (f64::from(value) * out) as f32).collect();
                self.check_multipliers(id, &[multiplier])?;
                self.check_multipliers(id, &offset)?;
                Work::TokenEmbedding(Box::new(TokenEmbedding { class_tokens, multiplier, offset }), bounds)
            }
            &Op::Attention { heads, scale } => {
                let (out, bounds) = self.output(id, None);
                let [queries, keys, values] = [0, 1, 2].map(|i| self.levels_per_unit(node.inputs[i]));
                let exponent = (scale * LOG2_E / (queries * keys)) as f32;
                let multiplier = (out / values) as f32;
                self.check_multipliers(id, &[exponent, multiplier])?;
                Work::Attention(Attention { heads, exponent, multiplier }, bounds)
            }
            Op::Concat => {
                let (out, bounds) = self.output(id, None);
                let multipliers: Vec<f32> = node.inputs.iter().map(|&i| rescaled(i, out, 1)).collect();
                self.check_multipliers(id, &multipliers)?;
                Work::Concat(multipliers, bounds)
            }
            op => return self.keep(id, op),
        };
        self.push(id, &node.inputs, work, self.target(id));
        Ok(())
    }

    /// Returns the table of a function of one value.
    fn table(&self, id: NodeId, function: impl Fn(f64) -> f64) -> Result<Work, InferError> {
        let (out, bounds) = self.output(id, None);
        let input = self.nodes[id].inputs[0];
        let frame = self.frame(input);
        let value = |byte: u8| {
            let x = f64::from(frame.level(byte)) / self.levels_per_unit(input);
            (function(x) * out) as f32
        };
        let table: [f32; 256] = std::array::from_fn(|byte| value(byte as u8));
        self.check_multipliers(id, &table)?;
        Ok(Work::Table(Box::new(Table::new(table, bounds))))
    }

    /// Makes a node that moves or compares levels, and keeps their scale, a step.
    fn keep(&mut self, id: NodeId, op: &Op) -> Result<(), InferError> {
        let work = match op {
            Op::Relu => Work::Relu,
            Op::MaxPool(pool) => Work::MaxPool(pool.window()),
            Op::Flatten => Work::Flatten,
            Op::Pad { before, .. } => Work::Pad { before: *before },
            Op::PadShortcut { stride, before, .. } => Work::PadShortcut { stride: *stride, before: *before },
            Op::ChannelSlice { first, .. } => Work::ChannelSlice { first: *first },
            Op::ChannelShuffle { groups } => Work::ChannelShuffle { groups: *groups },
            Op::SelectToken { index } => Work::SelectToken { index: *index },
            Op::Input
            | Op::Conv(_)
            | Op::BatchNorm { .. }
            | Op::Linear { .. }
            | Op::ClippedRelu { .. }
            | Op::LeakyRelu { .. }
            | Op::AvgPool(_)
            | Op::GlobalAvgPool
            | Op::Add
            | Op::Concat
            | Op::Function(_)
            | Op::PRelu
            | Op::Mul
            | Op::LayerNorm { .. }
            | Op::TokenEmbedding { .. }
            | Op::Attention { .. } => unreachable!("{op:?} has a scale of its own"),
        };
        let inputs = &self.nodes[id].inputs;
        self.scales[id] = self.scales[inputs[0]];
        self.push(id, inputs, work, Target::Slot(id));
        if self.is_last(id) {
            let affine = self.affine(id, None, None, |_| self.levels_per_unit(id), 1.0)?;
            let (_, bounds) = self.output(id, None);
            self.push(id, &[id], Work::Affine(affine, bounds), Target::Logits);
        }
        Ok(())
    }

    /// Returns the table from pixel values to levels for each channel.
    fn input(&self, id: NodeId) -> Work {
        let scale = self.scales[id].expect("the input is a quantization point");
        let preprocessing = &self.checkpoint.preprocessing;
        let table = |channel| {
            std::array::from_fn(|pixel| {
                let level = scale.quantize(preprocessing.value(channel, pixel as u8));
                (level + i16::from(self.frame(id).zero)) as u8
            })
        };
        Work::Input((0..self.dims(id).channels).map(table).collect())
    }

    /// Divides the steps into segments and assigns slots to nodes.
    fn finish(mut self) -> Compiled {
        let mut last_read = vec![0; self.nodes.len()];
        for (index, step) in self.steps.iter().enumerate() {
            for input in &step.inputs {
                last_read[input.slot] = index;
            }
        }
        let segments = segments(&self.steps, &last_read);
        let batch = segments.iter().map(|segment| segment.tile).max().expect("a graph has steps");
        for Segment { steps, tile } in &segments {
            for step in &mut self.steps[steps.clone()] {
                if let Work::Conv(conv) = &mut step.work {
                    conv.place_windows(*tile);
                }
            }
        }

        let mut slots: Vec<Slot> = Vec::new();
        let mut free: Vec<usize> = Vec::new();
        let mut slot_of = vec![usize::MAX; self.nodes.len()];
        let mut step_of = vec![usize::MAX; self.nodes.len()];
        for Segment { steps, tile } in &segments {
            // Carried inputs of a segment stay in their slots until its last tile.
            let mut read_to_the_end = Vec::new();
            for index in steps.clone() {
                let step = &mut self.steps[index];
                if let Target::Slot(node) = step.target {
                    let carried = last_read[node] >= steps.end;
                    let reusable = free.iter().position(|&slot| slots[slot].carried == carried);
                    let slot = reusable.map(|place| free.swap_remove(place)).unwrap_or_else(|| {
                        slots.push(Slot { bytes: 0, carried });
                        slots.len() - 1
                    });
                    // The inner loop may read bytes beyond the last image.
                    let images = if carried { batch } else { *tile };
                    slots[slot].bytes = slots[slot].bytes.max(images * step.frame.len() + SLACK);
                    (slot_of[node], step_of[node]) = (slot, index);
                    step.target = Target::Slot(slot);
                }
                for input in &mut step.inputs {
                    let (node, slot) = (input.slot, slot_of[input.slot]);
                    let freed = if slots[slot].carried { &mut read_to_the_end } else { &mut free };
                    if last_read[node] == index && !freed.contains(&slot) {
                        freed.push(slot);
                    }
                    (input.slot, input.source) = (slot, step_of[node]);
                }
            }
            free.append(&mut read_to_the_end);
        }
        let last = self.nodes.last().expect("a graph has a last node");
        Compiled {
            steps: self.steps,
            segments,
            layers: self.layers,
            slots,
            batch,
            input: self.nodes.first().map(|node| Dims::of(&node.shape)).expect("a graph has an input"),
            classes: Dims::of(&last.shape).len(),
        }
    }
}

/// Returns the number of images in a tile of a step that takes `bytes` bytes per image and reads `weights` bytes of
/// weights.
pub(crate) fn tile_of(bytes: usize, weights: usize) -> usize {
    (TILE_BYTES.max(WITH_HEAVY_WEIGHTS.min(weights / 8)) / bytes).clamp(1, LARGEST_TILE)
}

/// Divides steps, whose slots are still node ids. A boundary lies where later steps read only a single node
/// and the tile size changes by a factor of at least two.
fn segments(steps: &[Step], last_read: &[usize]) -> Vec<Segment> {
    let bytes = |step: &Step| {
        let inputs = step.inputs.iter().map(|input| input.frame.len());
        inputs.sum::<usize>() + step.frame.len()
    };
    let weights = |step: &Step| match &step.work {
        Work::Conv(conv) => conv.weight_bytes(),
        _ => 0,
    };
    let tile = |step: &Step| tile_of(bytes(step), weights(step));
    let mut segments: Vec<Segment> = Vec::new();
    let mut begin = 0;
    for index in 0..steps.len() {
        let live = steps[..=index].iter().filter(|step| match step.target {
            Target::Slot(node) => last_read[node] > index,
            Target::Logits => false,
        });
        if live.count() > 1 {
            continue;
        }
        // The steps since the last such node stay together.
        let part = begin..index + 1;
        begin = part.end;
        let tile = steps[part.clone()].iter().map(tile).min().expect("a part has a step");
        match segments.last_mut() {
            Some(last) if tile < 2 * last.tile && last.tile < 2 * tile => {
                last.steps.end = part.end;
                last.tile = last.tile.min(tile);
            }
            _ => segments.push(Segment { steps: part, tile }),
        }
    }
    segments
}

/// Returns the shape of a convolutional or linear node; the flag is true if it has a bias.
pub(crate) fn conv_shape(nodes: &[Node], id: NodeId) -> (ConvShape, bool) {
    let node = &nodes[id];
    let (window, groups, bias) = match &node.op {
        Op::Conv(conv) => (conv.window(), conv.groups, conv.bias),
        Op::Linear { .. } => (Window::square(1, 1, 0), 1, true),
        op => unreachable!("{op:?} has no weights"),
    };
    let shape = ConvShape {
        input: Dims::of(&nodes[node.inputs[0]].shape),
        output: Dims::of(&node.shape),
        kernel: window.kernel,
        stride: window.stride,
        padding: window.padding,
        dilation: window.dilation,
        groups,
    };
    (shape, bias)
}

/// Returns the border of each node: the widest padding of the convolutions that read it.
pub(crate) fn borders(nodes: &[Node]) -> Vec<[usize; 2]> {
    let mut borders = vec![[0, 0]; nodes.len()];
    for node in nodes {
        let Op::Conv(conv) = &node.op else { continue };
        let border: &mut [usize; 2] = &mut borders[node.inputs[0]];
        *border = std::array::from_fn(|axis| border[axis].max(conv.padding[axis]));
    }
    borders
}

/// Checks that sums of `terms` products fit into i32.
pub(crate) fn check_terms(layer: &str, terms: usize) -> Result<(), InferError> {
    if terms < TERMS_THAT_OVERFLOW {
        return Ok(());
    }
    Err(InferError::Overflow { layer: layer.into(), terms })
}

/// Returns multiplier and offset of each channel of node `id`, from its batch norm and bias if it has them.
/// `product` is the levels per unit of a channel's integer sum.
pub(crate) fn affine(
    nodes: &[Node],
    parameters: &Parameters,
    id: NodeId,
    (norm, bias): (Option<NodeId>, Option<NodeId>),
    product: impl Fn(usize) -> f64,
    out: f64,
) -> Result<Affine, InferError> {
    let values = |node: Option<NodeId>, suffix: &str| {
        node.map(|node| parameter(parameters, &nodes[node].name, suffix))
    };
    let bias = values(bias, "bias");
    let gamma = values(norm, "weight");
    let beta = values(norm, "bias");
    let mean = values(norm, "running_mean");
    let variance = values(norm, "running_var");
    let epsilon = norm.map_or(0.0, |norm| match nodes[norm].op {
        Op::BatchNorm { epsilon } => epsilon,
        _ => unreachable!("a chain's norm is a batch norm"),
    });
    let mut affine = Affine { multiplier: Vec::new(), offset: Vec::new() };
    for channel in 0..Dims::of(&nodes[id].shape).channels {
        let at = |values: Option<&[f32]>, absent: f64| values.map_or(absent, |v| f64::from(v[channel]));
        let deviation = variance.map_or(1.0, |v| (f64::from(v[channel]) + epsilon).sqrt());
        let g = at(gamma, 1.0) / deviation;
        let multiplier = (out * g / product(channel)) as f32;
        let offset = (((at(bias, 0.0) - at(mean, 0.0)) * g + at(beta, 0.0)) * out) as f32;
        if !(multiplier.is_finite() && offset.is_finite()) {
            let layer = nodes[id].name.clone();
            return Err(InferError::Requantization { layer, channel, multiplier, offset });
        }
        affine.multiplier.push(multiplier);
        affine.offset.push(offset);
    }
    Ok(affine)
}

pub(crate) fn parameter<'a>(parameters: &'a Parameters, node: &str, suffix: &str) -> &'a [f32] {
    parameters[&format!("{node}.{suffix}")].values()
}
