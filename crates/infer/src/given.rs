//! The evaluator of networks that another program quantized; [`GivenNetwork`] documents its rules.

use graph::{AvgPool, Dims, Graph, Node, NodeId, Op, WeightChange};
use quant::{Activations, Checkpoint, GivenActivations, Rule, WeightScale};
use rayon::prelude::*;

use crate::InferError;
use crate::check;
use crate::compile::{borders, conv_shape, tile_of};
use crate::conv::{Conv, ConvShape, Frames, Layers, Pixels};
use crate::fixed_point::{Factors, FixedFactor, FixedLevels, WindowSums};
use crate::fixed_tables;
use crate::frame::Frame;
use crate::given_tables::{Bytes, Pairs, copies, function, products, saturated, sums, table};
use crate::kernel::{Kernel, SLACK};
use crate::network::{Inputs, largest, write_input};
use crate::requantize::{Affine, Bounds};
use crate::step::{Work, sum};

/// A compiled network that another program quantized, run by that program's arithmetic.
///
/// Methods run on the current rayon pool, and their results depend only on their arguments.
///
/// # Computation
///
/// Places have uint8 or int8 levels with a scale s, in units per level, and a zero point z: the real value is
/// `(level - z) * s`. Weights are the file's bytes: int8 with zero point 0, or uint8 with zero point 128. An int8 level
/// counts as the uint8 level 128 above it, and its zero point likewise. By the rule `ort`, with one IEEE f32 operation
/// for each operation that is written:
///
/// ```text
/// acc   = bias[c] + sum of (level - z_in) * weight                     exact, i32
/// level = round_half_even(clamp((acc as f32) * m[c], -z, 255 - z)) + z
/// m[c]  = (s_in * s_weight[c]) / s
/// ```
///
/// | operation | level |
/// |---|---|
/// | input | value / s of the preprocessed pixel, clamped and rounded as above |
/// | linear layer that gives logits | none: the logit is (acc as f32) * (s_in * s_weight\[c\]) |
/// | sum | saturated round_half_even(fma(a, s_a / s, fma(b, s_b / s, z - fma(s_a / s, z_a, (s_b / s) * z_b)))) |
/// | product | saturated round_half_even(((a - z_a)(b - z_b) as f32) * ((s_a * s_b) / s) + z) |
/// | global mean of n pixels | as a convolution, with m = s_in / (s * n) |
/// | mean of a window | f32 sum of s_in * (level - z_in), row by row; / count; saturated round_half_even(/ s + z) |
/// | ReLU, clip, leaky ReLU, hard sigmoid, hard swish, sigmoid | a table: f(s_in * (level - z_in)) / s, clamped and rounded as above |
/// | concatenation | the level if scale and zero point are equal, otherwise the table of f(x) = x |
/// | max pooling, flattening, slice and shuffle of channels | levels moved; scale and zero point must be those of the input |
///
/// A last place with levels gives the logits `s * (level - z)`. `docs/src/specification-inference.md` has the same rules
/// with the functions' formulas.
///
/// The rule `tflite-reference` multiplies exact sums by m as an integer of 31 bits and a shift, with two roundings, and so
/// for sums, products, means and functions; uint8 weights may have any zero point. The specification has its formulas
/// (S331 to S340).
///
/// # Why it is exact
///
/// Integer sums do not depend on their order, [`GivenNetwork::new`] refuses a layer whose sum could overflow i32, and
/// IEEE 754 fixes the float operations. Machines, instruction sets and threads therefore change nothing.
#[derive(Debug)]
pub struct GivenNetwork {
    nodes: Vec<Node>,
    plans: Vec<Plan>,
    frames: Vec<Frame>,
    points: Vec<Option<Bytes>>,
    /// Last node that reads each node; the node itself if none does.
    last_reads: Vec<NodeId>,
    /// The layer of each stored weight tensor, in memory order.
    layers: Vec<Conv>,
    kernel: Kernel,
    rule: Rule,
    /// Images in a tile.
    tile: usize,
}

/// The computation at a node.
#[derive(Debug)]
enum Plan {
    /// Byte of each pixel value, one table for each channel.
    Input(Vec<[u8; 256]>),
    /// The layer with this number.
    Layer(usize),
    /// The layer with this number, whose sums become levels by fixed-point factors.
    FixedLayer(usize, Box<FixedLevels>),
    /// Sums or products of two equal shapes, or of an image and one factor for each channel.
    Pairs(Pairs),
    /// A byte for each byte of each input; a single input except for concatenations.
    Tables(Vec<[u8; 256]>),
    /// Global mean: factor on the sum.
    Mean(f32),
    FixedMean(FixedFactor),
    AvgPool(AvgPool),
    /// Means of windows in integers; true if levels are signed.
    FixedAvgPool(AvgPool, bool),
    /// Levels moved.
    Moved(Work),
}

impl Layers for GivenNetwork {
    fn layers(&self) -> usize {
        self.layers.len()
    }

    fn layer(&self, tensor: usize) -> &Conv {
        &self.layers[tensor]
    }

    fn layer_mut(&mut self, tensor: usize) -> &mut Conv {
        &mut self.layers[tensor]
    }
}

impl GivenNetwork {
    /// Compiles a graph with the weights and the given quantization of a checkpoint.
    ///
    /// # Errors
    /// The checkpoint's quantization is not given; weights differ from the graph's in name, order or shape; a bias is
    /// missing or has another length; a sum may overflow i32; a ratio of scales is not finite; a layer moves levels
    /// between unequal scales; or the rule does not define an operation.
    pub fn new(graph: &Graph, checkpoint: &Checkpoint) -> Result<Self, InferError> {
        let Activations::Given(given) = &checkpoint.activations else {
            let found = check::kind(&checkpoint.activations);
            return Err(InferError::Activations { found, expected: "given" });
        };
        check::given_network(graph, checkpoint)?;
        let nodes = graph.nodes().to_vec();
        let points: Vec<Option<Bytes>> = given.points.iter().map(|point| point.map(Bytes::of)).collect();
        if points.len() != nodes.len() {
            let expected = format!("{} with levels for each", nodes.len());
            return Err(InferError::Model { found: format!("{} places", points.len()), expected });
        }
        let mut last_reads: Vec<NodeId> = (0..nodes.len()).collect();
        for (id, node) in nodes.iter().enumerate() {
            node.inputs.iter().for_each(|&input| last_reads[input] = id);
        }
        let borders = borders(&nodes);
        let frame = |id: NodeId| Frame {
            dims: Dims::of(&nodes[id].shape),
            border: borders[id],
            zero: points[id].map_or(0, |point| point.zero),
        };
        let frames: Vec<Frame> = (0..nodes.len()).map(frame).collect();
        let bytes = |id: NodeId| {
            frames[id].len() + nodes[id].inputs.iter().map(|&input| frames[input].len()).sum::<usize>()
        };
        let weights = checkpoint.weights.iter().map(|weight| weight.values().len()).max();
        let tile = tile_of((0..nodes.len()).map(bytes).max().unwrap_or(1), weights.unwrap_or(0));
        let mut network = Self {
            plans: Vec::new(),
            frames,
            points,
            last_reads,
            layers: Vec::new(),
            kernel: Kernel::fastest(),
            rule: given.rule,
            tile,
            nodes,
        };
        for id in 0..network.nodes.len() {
            let plan = network.plan(id, given, checkpoint)?;
            network.plans.push(plan);
        }
        Ok(network)
    }

    fn plan(
        &mut self,
        id: NodeId,
        given: &GivenActivations,
        checkpoint: &Checkpoint,
    ) -> Result<Plan, InferError> {
        let node = &self.nodes[id];
        let wrong = |problem: String| InferError::Given { layer: node.name.clone(), problem };
        let from = |i: usize| self.points[node.inputs[i]].expect("only the last place has no levels");
        let to = match (&node.op, self.points[id]) {
            (Op::Linear { .. }, _) | (Op::Conv(_), Some(_)) => return self.layer_plan(id, given, checkpoint),
            (_, Some(to)) => to,
            (_, None) => {
                let problem = "has no levels, expected them: only a linear layer gives real logits";
                return Err(wrong(problem.into()));
            }
        };
        let moved = |work: Work| match from(0) == to {
            true => Ok(Plan::Moved(work)),
            false => Err(wrong("moves levels, expected the scale and zero point of its input".into())),
        };
        match &node.op {
            Op::Input => {
                let channels = self.frames[id].dims.channels;
                let byte = |channel, pixel: usize| {
                    let value = checkpoint.preprocessing.value(channel, pixel as u8);
                    match self.rule {
                        Rule::Ort => to.quantize(value),
                        Rule::TfliteReference => fixed_tables::quantized(to, value),
                    }
                };
                let table = |channel| std::array::from_fn(|pixel| byte(channel, pixel));
                Ok(Plan::Input((0..channels).map(table).collect()))
            }
            Op::MaxPool(pool) => moved(Work::MaxPool(pool.window())),
            Op::Flatten => moved(Work::Flatten),
            Op::Pad { before, .. } => moved(Work::Pad { before: *before }),
            &Op::ChannelSlice { first, .. } => moved(Work::ChannelSlice { first }),
            &Op::ChannelShuffle { groups } => moved(Work::ChannelShuffle { groups }),
            _ if self.rule == Rule::TfliteReference => self.fixed_plan(id, given).map_err(wrong),
            Op::Add => Ok(Plan::Pairs(sums(from(0), from(1), to))),
            Op::Mul => Ok(Plan::Pairs(products(from(0), from(1), to))),
            Op::GlobalAvgPool => {
                let pixels = self.frames[node.inputs[0]].dims.pixels();
                Ok(Plan::Mean(from(0).scale / (to.scale * pixels as f32)))
            }
            Op::AvgPool(pool) => Ok(Plan::AvgPool(pool.clone())),
            Op::Concat => Ok(Plan::Tables((0..node.inputs.len()).map(|i| copies(from(i), to)).collect())),
            op => match function(op) {
                Some(function) => Ok(Plan::Tables(vec![table(from(0), to, function)])),
                None => Err(wrong(self.undefined(op))),
            },
        }
    }

    fn undefined(&self, op: &Op) -> String {
        format!("is {op:?}, which the rule `{}` does not define", self.rule.id())
    }

    /// Plans a node that has no weights, moves no levels and is not the input, by the rule `tflite-reference`.
    fn fixed_plan(&self, id: NodeId, given: &GivenActivations) -> Result<Plan, String> {
        let node = &self.nodes[id];
        let bytes = |id: NodeId| self.points[id].expect("only the last place has no levels");
        let from = |i: usize| bytes(node.inputs[i]);
        let to = bytes(id);
        let is_signed = |id: NodeId| given.points[id].is_some_and(|point| point.signed);
        let moves = |what: &str| match from(0) == to && is_signed(node.inputs[0]) == is_signed(id) {
            true => Ok(()),
            false => Err(format!("{what}, expected the type, scale and zero point of its input")),
        };
        match &node.op {
            Op::Add => fixed_tables::sums(from(0), from(1), to).map(Plan::Pairs),
            Op::Mul => fixed_tables::products(from(0), from(1), to).map(Plan::Pairs),
            Op::Concat => {
                let table = |&input| fixed_tables::copies(bytes(input), to, is_signed(id));
                node.inputs.iter().map(table).collect::<Result<_, _>>().map(Plan::Tables)
            }
            Op::GlobalAvgPool => {
                let pixels = self.frames[node.inputs[0]].dims.pixels();
                fixed_tables::mean(from(0), to, pixels).map(Plan::FixedMean)
            }
            Op::AvgPool(pool) => {
                moves("takes a mean of levels")?;
                // The sums of bytes fit into i32.
                if pool.kernel[0] * pool.kernel[1] > 1 << 22 {
                    return Err(format!("has a window of {:?}, expected at most 2^22 values", pool.kernel));
                }
                Ok(Plan::FixedAvgPool(pool.clone(), is_signed(id)))
            }
            op => match fixed_tables::bounded(op, from(0), to) {
                Some(table) => Ok(Plan::Tables(vec![table?])),
                None => Err(self.undefined(op)),
            },
        }
    }

    fn layer_plan(
        &mut self,
        id: NodeId,
        given: &GivenActivations,
        checkpoint: &Checkpoint,
    ) -> Result<Plan, InferError> {
        let node = &self.nodes[id];
        let wrong = |problem: String| InferError::Given { layer: node.name.clone(), problem };
        let input = node.inputs[0];
        let from = self.points[input].expect("only the last place has no levels");
        let tensor = self.layers.len();
        let weight = &checkpoint.weights[tensor];
        let WeightScale::Given(scale) = weight.scale() else {
            return Err(wrong("has weights without a given scale".into()));
        };
        let (shape, has_bias) = conv_shape(&self.nodes, id);
        let channels = shape.output.channels;
        let bias = match given.biases.get(&format!("{}.bias", node.name)) {
            _ if !has_bias => vec![0; channels],
            Some(bias) if bias.len() == channels => bias.clone(),
            Some(bias) => {
                return Err(wrong(format!("has {} biases, expected {channels}", bias.len())));
            }
            None => return Err(InferError::MissingParameter { name: format!("{}.bias", node.name) }),
        };
        // The bias with minus the zero times the weights, then as much again while the products are added.
        let most = bias.iter().map(|bias| u64::from(bias.unsigned_abs())).max().unwrap_or(0);
        let zero = i32::from(scale.zero_point());
        let least = most + 255 * (2 * 128 + u64::from(zero.unsigned_abs())) * shape.terms() as u64;
        if least > i32::MAX as u64 {
            return Err(wrong(format!(
                "sums {} products and a bias of up to {most}, expected sums that fit into i32",
                shape.terms()
            )));
        }
        let units = scale.units_per_level();
        let unit_of = |channel: usize| units[if units.len() == 1 { 0 } else { channel }];
        let input_frame = self.frames[input];
        if self.rule == Rule::TfliteReference {
            let Some(to) = self.points[id] else {
                return Err(wrong("gives real logits, expected levels".into()));
            };
            let is_signed = given.points[input].is_some_and(|point| point.signed);
            // The product of scales is one of f64 for int8, of f32 for uint8.
            let real = |channel: usize| {
                let product = match is_signed {
                    true => f64::from(from.scale) * f64::from(unit_of(channel)),
                    false => f64::from(from.scale * unit_of(channel)),
                };
                product / f64::from(to.scale)
            };
            let factors = match &node.op {
                Op::Linear { .. } if is_signed => Factors::Real((0..channels).map(real).collect()),
                _ => {
                    let factors: Vec<FixedFactor> = (0..channels).map(|c| FixedFactor::of(real(c))).collect();
                    if let Some(channel) = factors.iter().position(|factor| !factor.takes(least)) {
                        return Err(wrong(format!(
                            "multiplies sums of up to {least} of channel {channel} by {:?}, expected products that fit into i32",
                            factors[channel]
                        )));
                    }
                    Factors::Fixed(factors)
                }
            };
            let dense = |output: Dims| Frame { dims: output, border: [0, 0], zero: 0 };
            let sums = |shape: ConvShape, levels: &[i8], kernel: Kernel| {
                let frames = Frames { input: input_frame, output: dense(shape.output) };
                let channels = shape.output.channels;
                let affine = Affine { multiplier: vec![0.0; channels], offset: vec![0.0; channels] };
                let bounds = Bounds::unrounded(0.0, 0.0);
                Conv::new(shape, frames, levels, &affine, bounds, kernel)
            };
            let mut conv = sums(shape, weight.values(), self.kernel);
            conv.add_to_sums(&bias);
            conv.place_windows(self.tile);
            let windows = (zero != 0).then(|| {
                let output = Dims { channels: shape.groups, ..shape.output };
                let shape = ConvShape { output, ..shape };
                let mut ones = sums(shape, &vec![1; shape.weights()], self.kernel);
                ones.place_windows(self.tile);
                WindowSums { ones, summand: -zero }
            });
            let pixels = self.frames[id].pixels(self.tile);
            let levels = FixedLevels::new(factors, to.zero, windows, pixels);
            self.layers.push(conv);
            return Ok(Plan::FixedLayer(tensor, Box::new(levels)));
        }
        if zero != 0 {
            return Err(wrong(format!("has weights with zero point {zero}, expected 0 by the rule `ort`")));
        }
        let unit = |channel: usize| from.scale * unit_of(channel);
        let (multiplier, bounds): (Vec<f32>, _) = match self.points[id] {
            Some(to) => {
                let zero = i16::from(to.zero);
                // A byte is first the level from 0 on, modulo 256: a zero may be odd, and would then change ties.
                let bounds = Bounds::levels(-zero, 255 - zero, 0);
                ((0..channels).map(|channel| unit(channel) / to.scale).collect(), bounds)
            }
            None => {
                let bounds = Bounds::unrounded(f32::NEG_INFINITY, f32::INFINITY);
                ((0..channels).map(unit).collect(), bounds)
            }
        };
        if let Some(channel) = multiplier.iter().position(|multiplier| !multiplier.is_finite()) {
            let multiplier = multiplier[channel];
            let layer = node.name.clone();
            return Err(InferError::Requantization { layer, channel, multiplier, offset: 0.0 });
        }
        let frames = Frames { input: input_frame, output: self.frames[id] };
        let affine = Affine { multiplier, offset: vec![0.0; channels] };
        let mut conv = Conv::new(shape, frames, weight.values(), &affine, bounds, self.kernel);
        conv.add_to_sums(&bias);
        conv.place_windows(self.tile);
        self.layers.push(conv);
        Ok(Plan::Layer(tensor))
    }

    /// Returns the name of the rules, as in records.
    pub fn evaluator(rule: Rule) -> String {
        format!("int8-{}-1", rule.id())
    }

    /// Number of classes: the number of logits of an image.
    pub fn classes(&self) -> usize {
        self.frames.last().map_or(0, |frame| frame.dims.len())
    }

    /// Prepares images: u8 pixels, image by image, each in [channels, height, width].
    ///
    /// # Errors
    /// The pixels are not a whole number of images.
    pub fn prepare<'a>(&self, pixels: &'a [u8]) -> Result<Inputs<'a>, InferError> {
        Inputs::new(self.frames[0].dims.len(), pixels)
    }

    /// Predicts the class of each image with some weights changed: the index of its largest logit, the lowest index on
    /// ties. Values are stored bytes. The last of several changes to one weight counts.
    ///
    /// # Panics
    /// Panics if a change names a weight that does not exist, or if `inputs` were prepared for another image size.
    pub fn predict(&mut self, inputs: &Inputs<'_>, changes: &[WeightChange]) -> Vec<u16> {
        self.changed(changes, |network| network.predict_watched(inputs, &|_| ()))
    }

    /// Predicts with some weights changed, as [`GivenNetwork::predict`], the images of a block, given by indices.
    ///
    /// # Panics
    /// As [`GivenNetwork::predict`]; if there is no image of an index.
    pub fn predict_block(
        &mut self,
        inputs: &Inputs<'_>,
        images: &[u32],
        changes: &[WeightChange],
    ) -> Vec<u16> {
        inputs.with_block(images, |block| self.predict(block, changes))
    }

    /// Predicts the class of each image with the checkpoint's weights, and calls `done` with numbers of finished images.
    ///
    /// # Panics
    /// Panics if `inputs` were prepared for another image size.
    pub fn predict_watched(&self, inputs: &Inputs<'_>, done: &(dyn Fn(usize) + Sync)) -> Vec<u16> {
        self.run(inputs, done).chunks_exact(self.classes()).map(largest).collect()
    }

    /// Returns the logits, image by image, [`GivenNetwork::classes`] each.
    ///
    /// # Panics
    /// Panics like [`GivenNetwork::predict`].
    pub fn logits(&mut self, inputs: &Inputs<'_>, changes: &[WeightChange]) -> Vec<f32> {
        self.changed(changes, |network| network.run(inputs, &|_| ()))
    }

    fn run(&self, inputs: &Inputs<'_>, done: &(dyn Fn(usize) + Sync)) -> Vec<f32> {
        inputs.check(self.frames[0].dims.len());
        let share = inputs.len().div_ceil(rayon::current_num_threads());
        let tile = self.tile.min(share).max(1);
        let firsts: Vec<usize> = (0..inputs.len()).step_by(tile).collect();
        let tiles = firsts.into_par_iter().map(|first| {
            let images = first..inputs.len().min(first + tile);
            let count = images.len();
            let logits = self.run_tile(inputs.pixels_of(images), count);
            done(count);
            logits
        });
        tiles.collect::<Vec<_>>().concat()
    }

    /// Returns the logits of a tile of images.
    fn run_tile(&self, pixels: &[u8], images: usize) -> Vec<f32> {
        let mut stored: Vec<Vec<u8>> = Vec::new();
        for (id, node) in self.nodes.iter().enumerate() {
            let frame = &self.frames[id];
            // The inner loop of a convolution may read bytes beyond the last image.
            let mut bytes = vec![0u8; images * frame.len() + SLACK];
            match &self.plans[id] {
                Plan::Layer(tensor) => {
                    let conv = &self.layers[*tensor];
                    let (input, pixels) = (&stored[node.inputs[0]], Pixels::Of(images));
                    if self.points[id].is_none() {
                        let mut logits = vec![0f32; images * frame.len()];
                        conv.run(self.kernel, 0..conv.panels(), input, pixels, &mut logits);
                        return logits;
                    }
                    let output = &mut bytes[..images * frame.len()];
                    conv.run(self.kernel, 0..conv.panels(), input, pixels, output);
                    output.iter_mut().for_each(|byte| *byte = byte.wrapping_add(frame.zero));
                }
                Plan::FixedLayer(tensor, levels) => {
                    let output = &mut bytes[..images * frame.len()];
                    levels.run(&self.layers[*tensor], self.kernel, &stored[node.inputs[0]], images, output);
                }
                plan => {
                    let tables = bytes.chunks_exact_mut(frame.len()).take(images).enumerate();
                    for (image, out) in tables {
                        let inputs: Vec<(&[u8], &Frame)> = node
                            .inputs
                            .iter()
                            .map(|&input| {
                                let frame = &self.frames[input];
                                (&stored[input][image * frame.len()..][..frame.len()], frame)
                            })
                            .collect();
                        let size = self.frames[0].dims.len();
                        let pixels = &pixels[image * size..][..size];
                        self.run_image(id, plan, pixels, &inputs, out);
                    }
                }
            }
            for image in bytes.chunks_exact_mut(frame.len()).take(images) {
                frame.fill_border(image);
            }
            stored.push(bytes);
            for &input in &node.inputs {
                if self.last_reads[input] == id {
                    stored[input] = Vec::new();
                }
            }
        }
        let (frame, point) = (self.frames.last(), self.points.last());
        let (frame, point) = (frame.expect("a network has places"), point.copied().flatten());
        let point = point.expect("a last place without levels returned its logits");
        let bytes = stored.last().expect("a network has places");
        bytes[..images * frame.len()].iter().map(|&byte| point.value(byte)).collect()
    }

    /// Runs a node other than a layer on one image.
    fn run_image(&self, id: NodeId, plan: &Plan, pixels: &[u8], inputs: &[(&[u8], &Frame)], out: &mut [u8]) {
        let to = &self.frames[id];
        let Dims { channels, height, width } = to.dims;
        let rows = (0..height).flat_map(|row| (0..width).map(move |column| (row, column)));
        match plan {
            Plan::Layer(_) | Plan::FixedLayer(..) => unreachable!("layers run on whole tiles"),
            Plan::Input(tables) => write_input(tables, to, pixels, out),
            Plan::Pairs(table) => {
                let [(a, from), (b, factors)] = *inputs else { unreachable!("the graph gives two inputs") };
                let is_each = factors.dims == from.dims;
                for (row, column) in rows {
                    let a = &a[from.pixel(row, column)..][..channels];
                    let at = if is_each { factors.pixel(row, column) } else { factors.pixel(0, 0) };
                    let b = &b[at..][..channels];
                    let out = &mut out[to.pixel(row, column)..][..channels];
                    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
                        *out = table[usize::from(a) << 8 | usize::from(b)];
                    }
                }
            }
            Plan::Tables(tables) => {
                for (row, column) in rows {
                    let mut out = &mut out[to.pixel(row, column)..][..channels];
                    for ((bytes, from), table) in inputs.iter().zip(tables) {
                        let (own, rest) = out.split_at_mut(from.dims.channels);
                        let bytes = &bytes[from.pixel(row, column)..][..from.dims.channels];
                        own.iter_mut().zip(bytes).for_each(|(out, &byte)| *out = table[usize::from(byte)]);
                        out = rest;
                    }
                }
            }
            Plan::Mean(multiplier) => {
                let (bytes, from) = inputs[0];
                let Dims { height, width, .. } = from.dims;
                let point = self.points[id].expect("checked at compilation");
                let levels = |sum| point.byte(sum as f32 * multiplier);
                sum(bytes, from, [0..height, 0..width], &mut out[..channels], levels);
            }
            Plan::FixedMean(factor) => {
                let (bytes, from) = inputs[0];
                let Dims { height, width, .. } = from.dims;
                let point = self.points[id].expect("checked at compilation");
                let levels = |sum| fixed_tables::mean_byte(*factor, sum, point);
                sum(bytes, from, [0..height, 0..width], &mut out[..channels], levels);
            }
            Plan::FixedAvgPool(pool, signed) => {
                let (bytes, from) = inputs[0];
                let window = pool.window();
                for (row, column) in rows {
                    let inside =
                        [window.inside(0, row, from.dims.height), window.inside(1, column, from.dims.width)];
                    let count = (inside[0].len() * inside[1].len()) as i32;
                    let zeros = i32::from(from.zero) * count;
                    let levels = |sum| fixed_tables::rounded_mean(sum + zeros, count, *signed);
                    sum(bytes, from, inside, &mut out[to.pixel(row, column)..][..channels], levels);
                }
            }
            Plan::AvgPool(pool) => {
                let (bytes, from) = inputs[0];
                let point = self.points[id].expect("checked at compilation");
                let source = self.points[self.nodes[id].inputs[0]].expect("checked at compilation");
                let window = pool.window();
                let mut sums = vec![0f32; channels];
                for (row, column) in rows {
                    sums.fill(0.0);
                    let mut count = 0;
                    for y in window.inside(0, row, from.dims.height) {
                        for x in window.inside(1, column, from.dims.width) {
                            count += 1;
                            let pixel = &bytes[from.pixel(y, x)..][..channels];
                            sums.iter_mut().zip(pixel).for_each(|(sum, &byte)| *sum += source.value(byte));
                        }
                    }
                    if pool.count_include_pad {
                        count = pool.kernel[0] * pool.kernel[1];
                    }
                    let out = &mut out[to.pixel(row, column)..][..channels];
                    for (out, sum) in out.iter_mut().zip(&sums) {
                        *out = saturated(sum / count as f32 / point.scale + f32::from(point.zero));
                    }
                }
            }
            Plan::Moved(work) => {
                let input = |i: usize| (inputs[i].0, *inputs[i].1);
                for row in 0..height {
                    let pixels = &mut out[to.pixel(row, 0)..][..width * channels];
                    work.run_pixels(input, to, row, 0..width, pixels);
                }
            }
        }
    }
}
