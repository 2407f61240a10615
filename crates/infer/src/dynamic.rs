//! The evaluator with dynamic ranges; [`DynamicNetwork`] documents its rules.

use std::borrow::Cow;
use std::num::NonZeroU32;

use graph::{Dims, Graph, Node, NodeId, Op};
use quant::{ActivationScale, Activations, Checkpoint, LevelsPerUnit};
use rayon::prelude::*;

use crate::InferError;
use crate::check;
use crate::compile::{affine, check_terms, conv_shape, parameter, tile_of};
use crate::conv::{Conv, Frames, Layers};
use crate::frame::Frame;
use crate::kernel::{Kernel, SLACK};
use graph::WeightChange;

use crate::network::{Inputs, largest};
use crate::requantize::{Affine, Bounds};
use crate::value;

/// Name of the rules in the documentation of [`DynamicNetwork`]. Records carry it with the batch size. It
/// changes when any prediction may change.
pub const DYNAMIC_EVALUATOR: &str = "int8-dynamic-1";

/// Byte of level 0.
const ZERO: u8 = 128;

/// Largest level.
const LIMIT: i16 = 127;

/// Upper bound of the product of a level and a weight. Limiting a bias by it leaves room for every partial
/// sum.
const LARGEST_PRODUCT: usize = 1 << 14;

/// A compiled int8 network that scales its activations by each batch of images, as in the paper.
/// [`Network`](crate::Network) has static scales.
///
/// Methods run on the current rayon pool. Their results depend only on their arguments and on the division of
/// the images into batches.
///
/// # Computation
///
/// The paper quantizes with Distiller's post-training quantizer (<https://github.com/IntelLabs/distiller>,
/// `range_linear.py`: symmetric mode, 8 bits, no statistics file). Convolutions and linear layers read and
/// write 8-bit levels in -127..=127, even after a ReLU; all operations between them are float. Images are
/// processed in batches, in order; the last batch may be smaller. For a layer with input x and int8 weights
/// w,
///
/// ```text
/// s_in  = 127 / largest |x| of the batch                            all images, channels and pixels
/// level = round_half_even(clamp(x * s_in, -127, 127))
/// a[c]  = s_in * s_weight[c]                                        levels per unit of the sum
///
/// s_bias  = 127 / largest |bias|
/// bias_8  = round_half_even(clamp(bias * s_bias, -127, 127))
/// bias[c] = round_half_even(bias_8[c] * (a[c] / s_bias))            cut to +-(2^31 - 1 - 2^14 * terms)
/// acc     = sum of level * weight, plus bias[c]                     exact, i32
///
/// s_out = 127 / largest |acc as f32| / a[c] of the batch
/// y     = round_half_even(clamp((acc as f32) * (s_out / a[c]), -127, 127)) / s_out
/// ```
///
/// Every operation outside acc is one f32 operation. A scale that is not finite and positive is replaced by
/// 1, so that a range of zero gives levels of 0; a factor `s_out / a[c]` that is not finite is replaced by 0.
/// Between the layers, in f32:
///
/// | operation | output |
/// |---|---|
/// | input | `Preprocessing::value(channel, pixel)` |
/// | batch norm | `x * g + o`: g = gamma / sqrt(variance + epsilon), o = beta - mean * g, each computed in f64 and rounded once |
/// | ReLU, clipped ReLU, max pooling | the larger or smaller value; padding never wins |
/// | leaky and parametric ReLU | x if it is positive, `x * slope` otherwise |
/// | function | [`graph::Function::value`] in f64, rounded once |
/// | product | `a * b` |
/// | layer norm | `(x - mean) * r`, rounded once, then `* weight + bias`; mean = sum / n and r = 1 / sqrt(sum of (x - mean)^2 / n + epsilon), in f64, channel by channel |
/// | mean | sum in f64, row by row, divided in f64 by the count, rounded once |
/// | sum | `a + b` |
/// | concatenation, flattening, padding, padded shortcut, slice and shuffle of channels | values moved |
///
/// The logits are the values of the last node. If it is a linear layer, they are levels of one scale too, so
/// that two classes can be equal; the lower one is predicted.
///
/// # Differences to Distiller
///
/// - Distiller adds the products of levels in f32, which rounds beyond 2^24; here sums are exact.
/// - Distiller's versions until July 2019 run batch norms in float, as here. Later versions first fold them
///   into the weights if they get a sample input, as in the paper's release; the memory would then hold other
///   weights than the state dict. The version that the paper used is not known.
/// - Distiller rounds 127 / largest |x| twice, because PyTorch multiplies a number by the reciprocal of a
///   tensor.
/// - The bias is limited to a narrower range here, which matters only if the range of activations is close to
///   zero. PyTorch's float operations between layers round in another order.
///
/// # Why it is exact
///
/// Sums are integers, a largest magnitude does not depend on the order of its values, and IEEE 754 fixes the
/// float operations. Machines, instruction sets and threads therefore change nothing. The division into
/// batches does change results; it is part of the rules, and [`DynamicNetwork::evaluator`] names it.
///
/// # Memory
///
/// Between layers a batch is stored as levels, one byte each. Float values are computed from them image by
/// image on demand, and stored for the batch only if several nodes read them. Sums are computed twice, once
/// for their range and once for their levels. A batch of 256 images of VGG16 at 224 pixels takes 1.7 GB.
#[derive(Clone, Debug)]
pub struct DynamicNetwork {
    nodes: Vec<Node>,
    plans: Vec<Plan>,
    /// The layer of each stored weight tensor, in memory order.
    layers: Vec<Layer>,
    kernel: Kernel,
    batch: usize,
    /// Value of each pixel value, one table for each channel.
    pixels: Vec<Vec<f32>>,
}

/// The computation at a node.
#[derive(Clone, Debug)]
enum Plan {
    /// The layer with this number.
    Layer(usize),
    BatchNorm(Affine),
    LayerNorm {
        epsilon: f64,
        affine: Affine,
    },
    /// The slope of each channel.
    PRelu(Vec<f32>),
    /// The node's own operation, without stored data.
    Plain,
}

/// A convolution or linear layer.
#[derive(Clone, Debug)]
struct Layer {
    conv: Conv,
    input: Frame,
    output: Frame,
    /// Levels per unit of each output channel's weights.
    weight_scales: Vec<LevelsPerUnit>,
    /// The bias in 8 bits with its levels per unit; empty if there is none.
    bias: Vec<i16>,
    bias_scale: LevelsPerUnit,
    /// Largest magnitude of an integer bias.
    bias_limit: i64,
    /// Number of images in a tile.
    tile: usize,
}

/// The stored output of a node for a whole batch, channels last.
enum Kept {
    Nothing,
    Levels { bytes: Vec<u8>, levels_per_unit: LevelsPerUnit },
    Values(Vec<f32>),
}

impl Layers for DynamicNetwork {
    fn layers(&self) -> usize {
        self.layers.len()
    }

    fn layer(&self, tensor: usize) -> &Conv {
        &self.layers[tensor].conv
    }

    fn layer_mut(&mut self, tensor: usize) -> &mut Conv {
        &mut self.layers[tensor].conv
    }
}

impl DynamicNetwork {
    /// Compiles a graph with the weights and parameters of a checkpoint.
    ///
    /// # Errors
    /// The checkpoint has static scales; the graph has an attention, a token embedding or a selected token; or an error of [`Network::new`](crate::Network::new).
    pub fn new(graph: &Graph, checkpoint: &Checkpoint) -> Result<Self, InferError> {
        check::network(graph, checkpoint)?;
        let Activations::Dynamic { batch } = checkpoint.activations else {
            let found = check::kind(&checkpoint.activations);
            return Err(InferError::Activations { found, expected: "dynamic" });
        };
        let nodes = graph.nodes().to_vec();
        let kernel = Kernel::fastest();
        let (mut plans, mut layers) = (Vec::new(), Vec::new());
        for (id, node) in nodes.iter().enumerate() {
            plans.push(match node.op {
                Op::Conv(_) | Op::Linear { .. } => {
                    let weight = &checkpoint.weights[layers.len()];
                    let (shape, bias) = conv_shape(&nodes, id);
                    check_terms(&node.name, shape.terms())?;
                    let input = Frame { dims: shape.input, border: shape.padding, zero: ZERO };
                    let output = Frame { dims: shape.output, border: [0, 0], zero: ZERO };
                    let channels = shape.output.channels;
                    // Each batch has its own multipliers.
                    let none = Affine { multiplier: vec![0.0; channels], offset: vec![0.0; channels] };
                    let bounds = Bounds::levels(-LIMIT, LIMIT, ZERO);
                    let frames = Frames { input, output };
                    let mut conv = Conv::new(shape, frames, weight.values(), &none, bounds, kernel);
                    let tile = tile_of(input.len() + output.len(), conv.weight_bytes());
                    conv.place_windows(tile);
                    let bias = match bias {
                        true => parameter(&checkpoint.parameters, &node.name, "bias"),
                        false => &[],
                    };
                    let bias_scale = scale(largest_magnitude(bias));
                    layers.push(Layer {
                        conv,
                        input,
                        output,
                        weight_scales: (0..channels).map(|c| weight.scale().of(c)).collect(),
                        bias: bias.iter().map(|&b| bias_scale.quantize(b)).collect(),
                        bias_scale: bias_scale.levels_per_unit,
                        bias_limit: i64::from(i32::MAX) - (LARGEST_PRODUCT * shape.terms()) as i64,
                        tile,
                    });
                    Plan::Layer(layers.len() - 1)
                }
                Op::BatchNorm { .. } => Plan::BatchNorm(affine(
                    &nodes,
                    &checkpoint.parameters,
                    id,
                    (Some(id), None),
                    |_| 1.0,
                    1.0,
                )?),
                Op::LayerNorm { epsilon } => {
                    let values = |suffix| parameter(&checkpoint.parameters, &node.name, suffix).to_vec();
                    let affine = Affine { multiplier: values("weight"), offset: values("bias") };
                    Plan::LayerNorm { epsilon, affine }
                }
                Op::TokenEmbedding { .. } | Op::Attention { .. } | Op::SelectToken { .. } => {
                    let (layer, operation) = (node.name.clone(), format!("{:?}", node.op));
                    return Err(InferError::Dynamic { layer, operation });
                }
                Op::PRelu => Plan::PRelu(parameter(&checkpoint.parameters, &node.name, "weight").to_vec()),
                _ => Plan::Plain,
            });
        }
        let value = |channel| (0..=255).map(|pixel| checkpoint.preprocessing.value(channel, pixel)).collect();
        let pixels = (0..Dims::of(&nodes[0].shape).channels).map(value).collect();
        Ok(Self { nodes, plans, layers, kernel, batch: batch.get() as usize, pixels })
    }

    /// Returns the name of the rules with the batch size, as in records: `int8-dynamic-1/100`.
    pub fn evaluator(batch: NonZeroU32) -> String {
        format!("{DYNAMIC_EVALUATOR}/{batch}")
    }

    /// Number of images in a batch; the last batch may be smaller.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Number of classes: the number of logits of an image.
    pub fn classes(&self) -> usize {
        self.nodes.last().map_or(0, |node| Dims::of(&node.shape).len())
    }

    /// Prepares images: u8 pixels, image by image, each in [channels, height, width].
    ///
    /// # Errors
    /// The pixels are not a whole number of images.
    pub fn prepare<'a>(&self, pixels: &'a [u8]) -> Result<Inputs<'a>, InferError> {
        Inputs::new(Dims::of(&self.nodes[0].shape).len(), pixels)
    }

    /// Predicts the class of each image with some weights changed: the index of its largest logit, the lowest
    /// index on ties. The last of several changes to one weight counts.
    ///
    /// # Panics
    /// Panics if a change names a weight that does not exist, or if `inputs` were prepared for another image
    /// size.
    pub fn predict(&mut self, inputs: &Inputs<'_>, changes: &[WeightChange]) -> Vec<u16> {
        self.changed(changes, |network| network.predict_clean(inputs))
    }

    /// Predicts the class of each image of a block, given by indices, with some weights changed. The block is divided into batches
    /// like a set of images of its own, so that an image's class depends on the others of the block.
    ///
    /// # Panics
    /// Panics like [`DynamicNetwork::predict`], or if there is no image of an index.
    pub fn predict_block(
        &mut self,
        inputs: &Inputs<'_>,
        images: &[u32],
        changes: &[WeightChange],
    ) -> Vec<u16> {
        inputs.with_block(images, |block| self.predict(block, changes))
    }

    /// Predicts the class of each image with the checkpoint's weights.
    ///
    /// # Panics
    /// Panics if `inputs` were prepared for another image size.
    pub fn predict_clean(&self, inputs: &Inputs<'_>) -> Vec<u16> {
        self.run(inputs).chunks_exact(self.classes()).map(largest).collect()
    }

    /// Bytes that a batch takes while it runs, nearly: its stored outputs, and the framed input of the largest layer.
    pub fn batch_bytes(&self) -> usize {
        let last_reads = self.last_reads();
        let len = |id: NodeId| Dims::of(&self.nodes[id].shape).len();
        let stored = |id: NodeId| match &self.plans[id] {
            Plan::Layer(_) => len(id),
            _ if self.keeps(id) => len(id) * size_of::<f32>(),
            _ => 0,
        };
        let at = |id: NodeId| {
            let alive: usize = (0..id).filter(|&read| last_reads[read] >= id).map(stored).sum();
            let frame = match self.plans[id] {
                Plan::Layer(tensor) => self.layers[tensor].input.len(),
                _ => 0,
            };
            alive + frame + stored(id)
        };
        self.batch * (0..self.nodes.len()).map(at).max().unwrap_or(0)
    }

    /// Returns the logits, image by image, [`DynamicNetwork::classes`] each.
    ///
    /// # Panics
    /// Panics like [`DynamicNetwork::predict`].
    pub fn logits(&mut self, inputs: &Inputs<'_>, changes: &[WeightChange]) -> Vec<f32> {
        self.changed(changes, |network| network.run(inputs))
    }

    fn run(&self, inputs: &Inputs<'_>) -> Vec<f32> {
        inputs.check(Dims::of(&self.nodes[0].shape).len());
        let firsts = (0..inputs.len()).step_by(self.batch);
        let batches = firsts.map(|first| first..inputs.len().min(first + self.batch));
        batches.flat_map(|images| self.run_batch(inputs.pixels_of(images))).collect()
    }

    /// Returns the logits of a batch.
    fn run_batch(&self, pixels: &[u8]) -> Vec<f32> {
        let last = self.nodes.len() - 1;
        let last_reads = self.last_reads();
        let mut batch = Batch { network: self, pixels, kept: Vec::new() };
        for id in 0..=last {
            let kept = match &self.plans[id] {
                Plan::Layer(tensor) => batch.layer(&self.layers[*tensor], id, &last_reads),
                _ if self.keeps(id) => batch.values(id),
                _ => Kept::Nothing,
            };
            batch.kept.push(kept);
            if id < last {
                batch.drop_read(id, &last_reads);
            }
        }
        batch.all_values(last)
    }

    /// True if the output of a node is stored for the batch: that of a layer as levels, that of a node with
    /// several readers as values.
    fn keeps(&self, id: NodeId) -> bool {
        let readers =
            || self.nodes[id + 1..].iter().flat_map(|node| &node.inputs).filter(|&&input| input == id);
        match self.nodes[id].op {
            Op::Conv(_) | Op::Linear { .. } => true,
            Op::Input => false,
            _ => readers().count() > 1,
        }
    }

    /// Returns, for each node, the last node that reads its stored output.
    fn last_reads(&self) -> Vec<NodeId> {
        let mut last = vec![0; self.nodes.len()];
        for id in 0..self.nodes.len() {
            if !(self.keeps(id) || id + 1 == self.nodes.len()) {
                continue;
            }
            let mut reads = self.nodes[id].inputs.clone();
            while let Some(read) = reads.pop() {
                last[read] = id;
                if !self.keeps(read) {
                    reads.extend(&self.nodes[read].inputs);
                }
            }
        }
        last
    }
}

/// A batch in the course of a run.
struct Batch<'a> {
    network: &'a DynamicNetwork,
    pixels: &'a [u8],
    /// Stored output of each node so far.
    kept: Vec<Kept>,
}

impl Batch<'_> {
    fn dims(&self, id: NodeId) -> Dims {
        Dims::of(&self.network.nodes[id].shape)
    }

    fn images(&self) -> usize {
        self.pixels.len() / self.dims(0).len()
    }

    /// Drops outputs that no node after `id` reads.
    fn drop_read(&mut self, id: NodeId, last_reads: &[NodeId]) {
        let last = self.network.nodes.len() - 1;
        for (read, kept) in self.kept.iter_mut().enumerate() {
            if last_reads[read] <= id && read != last && read != id {
                *kept = Kept::Nothing;
            }
        }
    }

    /// Returns the values of a node for one image, channels last.
    fn value(&self, id: NodeId, image: usize) -> Cow<'_, [f32]> {
        let len = self.dims(id).len();
        match self.kept.get(id) {
            Some(Kept::Levels { bytes, levels_per_unit }) => {
                let bytes = bytes[image * len..][..len].iter();
                return bytes
                    .map(|&byte| (f32::from(byte) - f32::from(ZERO)) / levels_per_unit.get())
                    .collect();
            }
            Some(Kept::Values(values)) => return Cow::Borrowed(&values[image * len..][..len]),
            Some(Kept::Nothing) | None => {}
        }
        let node = &self.network.nodes[id];
        let input = |i: usize| (self.value(node.inputs[i], image), self.dims(node.inputs[i]));
        let to = self.dims(id);
        let values = match (&node.op, &self.network.plans[id]) {
            (Op::Input, _) => value::pixels(&self.pixels[image * len..][..len], &self.network.pixels, to),
            (_, Plan::BatchNorm(affine)) => value::affine(input(0).0.into_owned(), affine),
            (_, Plan::LayerNorm { epsilon, affine }) => {
                value::layer_norm(input(0).0.into_owned(), *epsilon, affine)
            }
            (_, Plan::PRelu(slopes)) => value::parametric(input(0).0.into_owned(), slopes),
            (Op::Function(function), _) => value::function(input(0).0.into_owned(), *function),
            (Op::Mul, _) => value::multiply(input(0).0.into_owned(), &input(1).0),
            (Op::ChannelSlice { first, .. }, _) => value::channel_slice(input(0), to, *first),
            (Op::ChannelShuffle { groups }, _) => value::channel_shuffle(input(0), *groups),
            (Op::Relu, _) => value::clip(input(0).0.into_owned(), f32::INFINITY),
            (Op::LeakyRelu { slope }, _) => value::leaky(input(0).0.into_owned(), *slope),
            (Op::ClippedRelu { max }, _) => value::clip(input(0).0.into_owned(), *max),
            (Op::MaxPool(pool), _) => value::max_pool(input(0), to, &pool.window()),
            (Op::AvgPool(pool), _) => value::avg_pool(input(0), to, &pool.window(), pool.count_include_pad),
            (Op::GlobalAvgPool, _) => value::mean(input(0)),
            (Op::Flatten, _) => value::flatten(input(0)),
            (Op::Add, _) => value::add(input(0).0.into_owned(), &input(1).0),
            (Op::Concat, _) => value::concat(&(0..node.inputs.len()).map(input).collect::<Vec<_>>(), to),
            (Op::Pad { before, .. }, _) => value::pad(input(0), to, *before),
            (Op::PadShortcut { stride, before, .. }, _) => {
                value::pad_shortcut(input(0), to, *stride, *before)
            }
            (
                op @ (Op::Conv(_)
                | Op::Linear { .. }
                | Op::BatchNorm { .. }
                | Op::PRelu
                | Op::LayerNorm { .. }),
                _,
            ) => {
                unreachable!("{op:?} has a plan of its own")
            }
            (op @ (Op::TokenEmbedding { .. } | Op::Attention { .. } | Op::SelectToken { .. }), _) => {
                unreachable!("{op:?} was refused")
            }
        };
        Cow::Owned(values)
    }

    fn values(&self, id: NodeId) -> Kept {
        Kept::Values(self.all_values(id))
    }

    /// Returns the values of a node for the whole batch.
    fn all_values(&self, id: NodeId) -> Vec<f32> {
        let len = self.dims(id).len();
        let mut values = vec![0.0; self.images() * len];
        values.par_chunks_mut(len).enumerate().for_each(|(image, values)| {
            values.copy_from_slice(&self.value(id, image));
        });
        values
    }

    /// Runs a layer on the batch, and drops its input if no other node reads it.
    fn layer(&mut self, layer: &Layer, id: NodeId, last_reads: &[NodeId]) -> Kept {
        let input = self.network.nodes[id].inputs[0];
        let images = 0..self.images();
        let ranges = images.into_par_iter().map(|image| largest_magnitude(&self.value(input, image)));
        let scale_in = scale(ranges.reduce(|| 0.0, f32::max));

        // The inner loop may read bytes beyond the last image.
        let frame = layer.input.len();
        let mut frames = vec![0; self.images() * frame + SLACK];
        frames.par_chunks_mut(frame).take(self.images()).enumerate().for_each(|(image, bytes)| {
            layer.input.fill_border(bytes);
            value::quantize(&self.value(input, image), scale_in.levels_per_unit.get(), &layer.input, bytes);
        });
        self.drop_read(id, last_reads);
        layer.run(self.network.kernel, &frames, scale_in.levels_per_unit, self.images())
    }
}

impl Layer {
    /// Returns the levels of a batch, from framed input levels with `scale_in` levels per unit.
    fn run(&self, kernel: Kernel, frames: &[u8], scale_in: LevelsPerUnit, images: usize) -> Kept {
        let sum_scales: Vec<f32> =
            self.weight_scales.iter().map(|weight| scale_in.get() * weight.get()).collect();
        let bias = |channel: usize| {
            let Some(&bias) = self.bias.get(channel) else { return 0 };
            let bias = f32::from(bias) * (sum_scales[channel] / self.bias_scale.get());
            (bias.round_ties_even() as i64).clamp(-self.bias_limit, self.bias_limit) as i32
        };
        let (input, output) = (self.input.len(), self.output.len());
        let channels = self.output.dims.channels;
        let tile_images = |first: usize| self.tile.min(images - first);

        let unrounded = Bounds::unrounded(f32::NEG_INFINITY, f32::INFINITY);
        let sums = self.conv.requantization(bias, |_| 1.0, unrounded);
        let tiles = (0..images).step_by(self.tile).collect::<Vec<_>>().into_par_iter();
        let largest = tiles
            .map(|first| {
                let images = tile_images(first);
                let mut values = vec![0f32; images * output];
                self.conv.run_as(&sums, kernel, &frames[first * input..], images, &mut values);
                value::largest_magnitudes(&values, channels)
            })
            .reduce(
                || vec![0.0; channels],
                |mut a, b| {
                    a.iter_mut().zip(b).for_each(|(a, b)| *a = a.max(b));
                    a
                },
            );
        let range =
            largest.iter().zip(&sum_scales).map(|(largest, scale)| largest / scale).fold(0.0, f32::max);
        let levels_per_unit = scale(range).levels_per_unit;

        let factor = |channel: usize| {
            let factor = levels_per_unit.get() / sum_scales[channel];
            if factor.is_finite() { factor } else { 0.0 }
        };
        let levels = self.conv.requantization(bias, factor, Bounds::levels(-LIMIT, LIMIT, ZERO));
        let mut bytes = vec![0; images * output];
        bytes.par_chunks_mut(self.tile * output).enumerate().for_each(|(tile, bytes)| {
            let first = tile * self.tile;
            self.conv.run_as(&levels, kernel, &frames[first * input..], tile_images(first), bytes);
        });
        Kept::Levels { bytes, levels_per_unit }
    }
}

/// Returns the scale of a range in signed levels.
fn scale(range: f32) -> ActivationScale {
    ActivationScale::from_range(range, true)
}

fn largest_magnitude(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most, value| most.max(value.abs()))
}
