//! A network as data: nodes in execution order, each with its inputs and its output shape.
//!
//! Everything that runs a network reads this list from top to bottom: the candle executor here, the
//! int8 executor in `infer`, and the trainer. The order of the weights in it is the order of the
//! weights in memory, which is what a fault model sees.

use quant::{Layer, ModelSpec};

/// What PyTorch adds to the variance in a batch normalization unless told otherwise.
pub const BATCH_NORM_EPSILON: f64 = 1e-5;

/// Position of a node in [`Graph::nodes`].
pub type NodeId = usize;

/// A window that slides over height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Height and width of the window.
    pub kernel: [usize; 2],
    /// Step in height and width.
    pub stride: [usize; 2],
    /// Padding on both sides of height and width.
    pub padding: [usize; 2],
    /// Padding below and on the right, where that is another.
    pub after: Option<[usize; 2]>,
    /// Distance between the values that the window holds.
    pub dilation: [usize; 2],
    /// Round the output size up instead of down (SqueezeNet's pooling).
    pub ceil: bool,
}

impl Window {
    /// A square window.
    pub fn square(kernel: usize, stride: usize, padding: usize) -> Self {
        Self::of([kernel; 2], [stride; 2], [padding; 2])
    }

    /// A window of adjacent values, with one padding for both sides.
    pub fn of(kernel: [usize; 2], stride: [usize; 2], padding: [usize; 2]) -> Self {
        Self { kernel, stride, padding, after: None, dilation: [1, 1], ceil: false }
    }

    /// From the first to the last value that the window holds, along `axis`.
    pub fn extent(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilation[axis] + 1
    }

    /// An axis with its padding.
    fn padded(&self, axis: usize, size: usize) -> usize {
        size + self.padding[axis] + self.after.unwrap_or(self.padding)[axis]
    }

    /// Whether the window fits into the padded input.
    pub fn fits(&self, height: usize, width: usize) -> bool {
        (0..2).all(|axis| self.extent(axis) <= self.padded(axis, [height, width][axis]))
    }

    /// Output height and width, PyTorch's rule: with `ceil`, the last window must still begin inside
    /// the input or its leading padding.
    ///
    /// # Panics
    /// When the window does not fit into the padded input.
    pub fn output(&self, height: usize, width: usize) -> [usize; 2] {
        std::array::from_fn(|axis| {
            let size = [height, width][axis];
            let (k, s, p) = (self.extent(axis), self.stride[axis], self.padding[axis]);
            let padded = self.padded(axis, size);
            assert!(padded >= k, "a window of {k} does not fit into {size} with padding {p}");
            let span = padded - k;
            let floor = span / s + 1;
            if self.ceil && !span.is_multiple_of(s) && floor * s < size + p { floor + 1 } else { floor }
        })
    }

    /// The part of the `out`-th window that lies inside an input of `size` values along `axis` (0 height,
    /// 1 width), where the values are adjacent.
    pub fn inside(&self, axis: usize, out: usize, size: usize) -> std::ops::Range<usize> {
        let begin = out * self.stride[axis];
        let (end, padding) = (begin + self.kernel[axis], self.padding[axis]);
        begin.saturating_sub(padding)..end.saturating_sub(padding).min(size)
    }

    /// How many values of the window at an output row and column lie inside an input of `size` (height and
    /// width).
    pub fn values_inside(&self, output: [usize; 2], size: [usize; 2]) -> usize {
        (0..2).map(|axis| self.inside(axis, output[axis], size[axis]).len()).product()
    }
}

/// What a node computes.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The image, normalized.
    Input,
    /// Two-dimensional convolution; parameters `<name>.weight` (OIHW) and, with `bias`, `<name>.bias`.
    Conv2d {
        /// Output channels.
        out_channels: usize,
        /// Kernel, stride, padding.
        window: Window,
        /// Groups; equal to the channels for a depthwise convolution.
        groups: usize,
        /// Whether `<name>.bias` exists.
        bias: bool,
    },
    /// Inference-mode batch normalization; parameters `<name>.weight`, `.bias`, `.running_mean`,
    /// `.running_var`.
    BatchNorm {
        /// Added to the variance; at least 0. PyTorch's default is [`BATCH_NORM_EPSILON`].
        epsilon: f64,
    },
    /// max(x, 0).
    Relu,
    /// x where it is positive, `slope` times x elsewhere.
    LeakyRelu {
        /// Between 0 and 1.
        slope: f32,
    },
    /// min(max(x, 0), max), e.g. ReLU6.
    ClippedRelu {
        /// The largest output; finite and positive.
        max: f32,
    },
    /// Maximum over a window; padding never wins.
    MaxPool(Window),
    /// Mean over a window.
    AvgPool {
        /// Kernel, stride, padding.
        window: Window,
        /// Whether the divisor counts the zeros of the padding (PyTorch's default) or only the values
        /// inside the input.
        count_include_pad: bool,
    },
    /// Mean over height and width, giving `[channels]`.
    GlobalAvgPool,
    /// `[channels, height, width]` to `[channels * height * width]`, row-major.
    Flatten,
    /// y = x W^T + b; parameters `<name>.weight` (OI) and `<name>.bias`.
    Linear {
        /// Output features.
        out_features: usize,
    },
    /// Sum of two inputs of one shape.
    Add,
    /// Channels of all inputs, one after the other.
    Concat,
    /// Zeros around an image.
    Pad {
        /// Rows above, columns on the left.
        before: [usize; 2],
        /// Rows below, columns on the right.
        after: [usize; 2],
    },
    /// ResNet's parameter-free shortcut (option A of the CIFAR ResNets): every `stride`-th row and
    /// column, with `before` zero channels in front and `after` behind.
    PadShortcut {
        /// Subsampling step in both axes.
        stride: usize,
        /// Zero channels in front.
        before: usize,
        /// Zero channels behind.
        after: usize,
    },
}

/// One step of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Name of the step; where it has parameters, their prefix in PyTorch's state dict.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// The nodes it reads; all stand before it.
    pub inputs: Vec<NodeId>,
    /// Output shape of one image: `[channels, height, width]` or `[features]`.
    pub shape: Vec<usize>,
}

/// A parameter that a graph expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSpec {
    /// Full name, e.g. `layer1.0.conv1.weight`.
    pub name: String,
    /// Expected dimensions.
    pub shape: Vec<usize>,
}

impl ParameterSpec {
    /// Whether the parameter lives in the faulty weight memory: two or more dimensions, as
    /// in the paper; biases and batch-norm parameters do not.
    pub fn is_stored_weight(&self) -> bool {
        self.shape.len() >= 2
    }
}

/// A network for images of one size, ready to be executed.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    spec: ModelSpec,
    layers: Vec<Layer>,
    nodes: Vec<Node>,
}

impl Graph {
    /// `nodes` must be what `layers` say.
    pub(crate) fn of_layers(spec: ModelSpec, layers: Vec<Layer>, nodes: Vec<Node>) -> Self {
        Self { spec, layers, nodes }
    }

    /// What the graph is, in words, e.g. `resnet18 (cifar, 10 classes, input 3x32x32, width 1)`.
    pub(crate) fn described(&self) -> String {
        let ModelSpec { architecture, classes, input: [c, h, w], width, .. } = &self.spec;
        let variant = if self.layers.is_empty() { crate::variant(&self.spec) } else { None };
        let variant = variant.map_or_else(String::new, |variant| format!("{}, ", variant.id()));
        format!("{architecture} ({variant}{classes} classes, input {c}x{h}x{w}, width {width})")
    }

    /// What the graph was built from; with listed layers, `architecture` is only a name.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// The layers that the graph was built from where no architecture name stands for them
    /// ([`crate::build_stored`]); otherwise none.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The steps in execution order; node 0 is the input and the last node gives the logits.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Every parameter, in execution order.
    pub fn parameters(&self) -> Vec<ParameterSpec> {
        let mut all = Vec::new();
        for node in &self.nodes {
            let mut push = |suffix: &str, shape: Vec<usize>| {
                all.push(ParameterSpec { name: format!("{}.{suffix}", node.name), shape });
            };
            let in_shape = |i: usize| &self.nodes[node.inputs[i]].shape;
            match &node.op {
                Op::Conv2d { out_channels, window, groups, bias } => {
                    let [kh, kw] = window.kernel;
                    push("weight", vec![*out_channels, in_shape(0)[0] / groups, kh, kw]);
                    if *bias {
                        push("bias", vec![*out_channels]);
                    }
                }
                Op::BatchNorm { .. } => {
                    for suffix in ["weight", "bias", "running_mean", "running_var"] {
                        push(suffix, vec![node.shape[0]]);
                    }
                }
                Op::Linear { out_features } => {
                    push("weight", vec![*out_features, in_shape(0)[0]]);
                    push("bias", vec![*out_features]);
                }
                Op::Input
                | Op::Relu
                | Op::LeakyRelu { .. }
                | Op::ClippedRelu { .. }
                | Op::MaxPool(_)
                | Op::AvgPool { .. }
                | Op::GlobalAvgPool
                | Op::Flatten
                | Op::Add
                | Op::Concat
                | Op::Pad { .. }
                | Op::PadShortcut { .. } => {}
            }
        }
        all
    }

    /// The parameters that live in faulty memory, in memory order (execution order of their layers).
    pub fn stored_weights(&self) -> Vec<ParameterSpec> {
        self.parameters().into_iter().filter(ParameterSpec::is_stored_weight).collect()
    }
}

/// A node whose output the int8 network stores, with a scale of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuantizationPoint {
    /// The node whose output is rounded to 8 bits.
    pub node: NodeId,
    /// Whether the values can be negative (i8) or not (u8).
    pub signed: bool,
}

impl Graph {
    /// How many nodes read each node.
    fn consumers(&self) -> Vec<usize> {
        let mut count = vec![0; self.nodes.len()];
        for id in self.nodes.iter().flat_map(|node| &node.inputs) {
            count[*id] += 1;
        }
        count
    }

    /// Where an 8-bit network rounds its activations: the input, and the end of every fused chain
    /// `conv [-> batch norm] [-> relu]`, `linear [-> batch norm] [-> relu]`, `add [-> relu]`, every mean, every leaky
    /// ReLU and every concatenation. A chain is fused as long as nobody else reads its inner values, and a clipped ReLU
    /// ends one like a ReLU; on its own it rounds too, since its bound need not be a level. All other
    /// nodes move or compare levels and keep the scale of what they read; the logits stay unrounded.
    pub fn quantization_points(&self) -> Vec<QuantizationPoint> {
        let consumers = self.consumers();
        let negative = self.can_be_negative();
        let last = self.nodes.len() - 1;
        // A chain is open at a node when its value is still unrounded.
        let mut open = vec![false; self.nodes.len()];
        let mut points = Vec::new();
        for (id, node) in self.nodes.iter().enumerate() {
            let continues = |id: NodeId| {
                consumers[id] == 1
                    && self.nodes[id + 1..].iter().any(|next| {
                        next.inputs.contains(&id)
                            && match next.op {
                                Op::Relu | Op::ClippedRelu { .. } => true,
                                Op::BatchNorm { .. } => {
                                    matches!(self.nodes[id].op, Op::Conv2d { .. } | Op::Linear { .. })
                                }
                                _ => false,
                            }
                    })
            };
            let (rounds, signed) = match node.op {
                Op::Input | Op::Conv2d { .. } | Op::BatchNorm { .. } | Op::Linear { .. } | Op::Add => {
                    (true, true)
                }
                Op::LeakyRelu { .. } => (true, negative[id]),
                Op::Concat | Op::AvgPool { .. } | Op::GlobalAvgPool => (true, negative[id]),
                Op::Relu => (open[node.inputs[0]], false),
                Op::ClippedRelu { .. } => (true, false),
                Op::MaxPool(_) | Op::Flatten | Op::Pad { .. } | Op::PadShortcut { .. } => (false, false),
            };
            if rounds && id != last {
                let opens =
                    matches!(node.op, Op::Conv2d { .. } | Op::BatchNorm { .. } | Op::Linear { .. } | Op::Add);
                open[id] = opens && continues(id);
                if !open[id] {
                    points.push(QuantizationPoint { node: id, signed });
                }
            }
        }
        points
    }

    /// For each node, whether its values can be negative.
    fn can_be_negative(&self) -> Vec<bool> {
        let mut negative: Vec<bool> = Vec::new();
        for node in &self.nodes {
            negative.push(match node.op {
                Op::Relu | Op::ClippedRelu { .. } => false,
                Op::LeakyRelu { .. }
                | Op::MaxPool(_)
                | Op::AvgPool { .. }
                | Op::GlobalAvgPool
                | Op::Flatten
                | Op::Concat
                | Op::Pad { .. }
                | Op::PadShortcut { .. } => node.inputs.iter().any(|&i| negative[i]),
                Op::Input | Op::Conv2d { .. } | Op::BatchNorm { .. } | Op::Linear { .. } | Op::Add => true,
            });
        }
        negative
    }
}

/// Builds a [`Graph`] front to back, working out shapes as it goes.
///
/// Its methods panic on layers that do not fit together: an architecture is code, and such a layer is
/// a bug in it.
pub(crate) struct GraphBuilder {
    spec: ModelSpec,
    nodes: Vec<Node>,
}

impl GraphBuilder {
    pub(crate) fn new(spec: &ModelSpec) -> Self {
        let input = Node { name: "input".into(), op: Op::Input, inputs: vec![], shape: spec.input.to_vec() };
        Self { spec: spec.clone(), nodes: vec![input] }
    }

    pub(crate) const INPUT: NodeId = 0;

    /// Output shape of a node.
    pub(crate) fn shape(&self, id: NodeId) -> &[usize] {
        &self.nodes[id].shape
    }

    pub(crate) fn push(&mut self, name: &str, op: Op, inputs: Vec<NodeId>, shape: Vec<usize>) -> NodeId {
        assert!(self.nodes.iter().all(|node| node.name != name), "two nodes are called {name}");
        self.nodes.push(Node { name: name.into(), op, inputs, shape });
        self.nodes.len() - 1
    }

    pub(crate) fn conv(
        &mut self,
        name: &str,
        x: NodeId,
        out_channels: usize,
        window: Window,
        bias: bool,
    ) -> NodeId {
        let [_, h, w] = self.image_shape(x);
        let [oh, ow] = window.output(h, w);
        let op = Op::Conv2d { out_channels, window, groups: 1, bias };
        self.push(name, op, vec![x], vec![out_channels, oh, ow])
    }

    /// With PyTorch's epsilon.
    pub(crate) fn batch_norm(&mut self, name: &str, x: NodeId) -> NodeId {
        self.batch_norm_with(name, x, BATCH_NORM_EPSILON)
    }

    pub(crate) fn batch_norm_with(&mut self, name: &str, x: NodeId, epsilon: f64) -> NodeId {
        let shape = self.shape(x).to_vec();
        self.push(name, Op::BatchNorm { epsilon }, vec![x], shape)
    }

    pub(crate) fn relu(&mut self, name: &str, x: NodeId) -> NodeId {
        let shape = self.shape(x).to_vec();
        self.push(name, Op::Relu, vec![x], shape)
    }

    pub(crate) fn max_pool(&mut self, name: &str, x: NodeId, window: Window) -> NodeId {
        let [c, h, w] = self.image_shape(x);
        let [oh, ow] = window.output(h, w);
        self.push(name, Op::MaxPool(window), vec![x], vec![c, oh, ow])
    }

    pub(crate) fn avg_pool(
        &mut self,
        name: &str,
        x: NodeId,
        window: Window,
        count_include_pad: bool,
    ) -> NodeId {
        assert!(!window.ceil, "{name}: average pooling rounds its output size down");
        let [c, h, w] = self.image_shape(x);
        let [oh, ow] = window.output(h, w);
        self.push(name, Op::AvgPool { window, count_include_pad }, vec![x], vec![c, oh, ow])
    }

    pub(crate) fn global_avg_pool(&mut self, name: &str, x: NodeId) -> NodeId {
        let [c, _, _] = self.image_shape(x);
        self.push(name, Op::GlobalAvgPool, vec![x], vec![c])
    }

    pub(crate) fn flatten(&mut self, name: &str, x: NodeId) -> NodeId {
        let features = self.shape(x).iter().product();
        self.push(name, Op::Flatten, vec![x], vec![features])
    }

    pub(crate) fn linear(&mut self, name: &str, x: NodeId, out_features: usize) -> NodeId {
        assert_eq!(self.shape(x).len(), 1, "{name}: a linear layer takes features, not an image");
        self.push(name, Op::Linear { out_features }, vec![x], vec![out_features])
    }

    pub(crate) fn add(&mut self, name: &str, a: NodeId, b: NodeId) -> NodeId {
        assert_eq!(self.shape(a), self.shape(b), "{name}: the summands differ in shape");
        let shape = self.shape(a).to_vec();
        self.push(name, Op::Add, vec![a, b], shape)
    }

    pub(crate) fn concat(&mut self, name: &str, inputs: &[NodeId]) -> NodeId {
        let [_, h, w] = self.image_shape(inputs[0]);
        let channels = inputs
            .iter()
            .map(|&id| {
                let [c, ih, iw] = self.image_shape(id);
                assert_eq!([h, w], [ih, iw], "{name}: the inputs differ in height or width");
                c
            })
            .sum();
        self.push(name, Op::Concat, inputs.to_vec(), vec![channels, h, w])
    }

    pub(crate) fn pad_shortcut(
        &mut self,
        name: &str,
        x: NodeId,
        stride: usize,
        before: usize,
        after: usize,
    ) -> NodeId {
        let [c, h, w] = self.image_shape(x);
        let shape = vec![before + c + after, h.div_ceil(stride), w.div_ceil(stride)];
        self.push(name, Op::PadShortcut { stride, before, after }, vec![x], shape)
    }

    /// For tests of single layers: takes what the last layer gives as the classes.
    #[cfg(test)]
    pub(crate) fn finish_with_any_classes(mut self) -> Graph {
        self.spec.classes = self.nodes.last().map_or(0, |last| last.shape.iter().product());
        self.finish()
    }

    pub(crate) fn finish(self) -> Graph {
        let logits = &self.nodes.last().expect("a graph has an input").shape;
        assert_eq!(logits.as_slice(), [self.spec.classes], "the last layer must give one logit a class");
        Graph { spec: self.spec, layers: vec![], nodes: self.nodes }
    }

    fn image_shape(&self, id: NodeId) -> [usize; 3] {
        self.shape(id).try_into().expect("the layer needs an image, [channels, height, width]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder(input: [usize; 3]) -> GraphBuilder {
        GraphBuilder::new(&ModelSpec {
            architecture: "test".into(),
            classes: 4,
            input,
            width: 1.0,
            variant: None,
        })
    }

    fn points(graph: &Graph) -> Vec<(&str, bool)> {
        let named = |p: QuantizationPoint| (graph.nodes()[p.node].name.as_str(), p.signed);
        graph.quantization_points().into_iter().map(named).collect()
    }

    /// S303 of the specification.
    #[test]
    fn a_window_has_as_many_positions_as_fit() {
        for (size, kernel, stride, padding) in
            (1..20).flat_map(|n| (1..6).flat_map(move |k| (1..5).map(move |s| (n, k, s, k / 2))))
        {
            let mut window = Window::square(kernel, stride, padding);
            if size + 2 * padding < kernel {
                continue;
            }
            // Positions, counted from the start of the padding, at which the whole window fits.
            let whole = (0..).step_by(stride).take_while(|at| at + kernel <= size + 2 * padding).count();
            assert_eq!(window.output(size, size), [whole; 2]);
            // Rounded up: one more, if something is left over and it begins before the trailing padding.
            let last_end = (whole - 1) * stride + kernel;
            let more = last_end < size + 2 * padding && whole * stride < size + padding;
            window.ceil = true;
            assert_eq!(window.output(size, size), [whole + usize::from(more); 2]);
        }
    }

    #[test]
    fn published_pools_have_published_sizes() {
        let ceil = Window { ceil: true, ..Window::square(3, 2, 0) };
        assert_eq!(ceil.output(109, 111), [54, 55]);
        assert_eq!(ceil.output(54, 27), [27, 13]);
        assert_eq!(Window::square(3, 2, 1).output(112, 112), [56, 56]);
    }

    /// S304 of the specification.
    #[test]
    fn fused_chains_round_once_at_their_end() {
        let mut g = builder([3, 8, 8]);
        let x = g.conv("conv", GraphBuilder::INPUT, 4, Window::square(3, 1, 1), false);
        let x = g.batch_norm("bn", x);
        let x = g.relu("relu", x);
        let x = g.max_pool("pool", x, Window::square(2, 2, 0));
        let x = g.global_avg_pool("mean", x);
        let x = g.linear("hidden", x, 4);
        let x = g.relu("hidden_relu", x);
        g.linear("logits", x, 4);
        let expected = [("input", true), ("relu", false), ("mean", false), ("hidden_relu", false)];
        assert_eq!(points(&g.finish()), expected);
    }

    /// S304 of the specification.
    #[test]
    fn a_value_with_two_readers_is_rounded_where_it_is() {
        let mut g = builder([3, 8, 8]);
        let conv = g.conv("conv", GraphBuilder::INPUT, 4, Window::square(3, 1, 1), false);
        let relu = g.relu("relu", conv);
        let sum = g.add("add", conv, relu);
        let sum = g.relu("add_relu", sum);
        let both = g.concat("concat", &[conv, sum]);
        let x = g.global_avg_pool("mean", both);
        g.linear("logits", x, 4);
        // `relu` reads a rounded value and keeps its scale; `concat` and `mean` can be negative.
        let expected =
            [("input", true), ("conv", true), ("add_relu", false), ("concat", true), ("mean", true)];
        assert_eq!(points(&g.finish()), expected);
    }

    #[test]
    fn a_shortcut_keeps_the_scale_of_what_it_reads() {
        let mut g = builder([4, 8, 8]);
        let x = g.relu("relu", GraphBuilder::INPUT);
        let y = g.conv("conv", x, 8, Window::square(3, 2, 1), false);
        let y = g.batch_norm("bn", y);
        let shortcut = g.pad_shortcut("shortcut", x, 2, 2, 2);
        let sum = g.add("add", y, shortcut);
        let x = g.global_avg_pool("mean", sum);
        g.linear("logits", x, 4);
        assert_eq!(points(&g.finish()), [("input", true), ("bn", true), ("add", true), ("mean", true)]);
    }

    #[test]
    fn stored_weights_are_the_tensors_with_two_or_more_dimensions() {
        let mut g = builder([3, 8, 8]);
        let x = g.conv("conv", GraphBuilder::INPUT, 4, Window::square(3, 1, 1), true);
        let x = g.batch_norm("bn", x);
        let x = g.global_avg_pool("mean", x);
        g.linear("logits", x, 4);
        let graph = g.finish();
        let names = |specs: Vec<ParameterSpec>| specs.into_iter().map(|p| p.name).collect::<Vec<_>>();
        assert_eq!(names(graph.stored_weights()), ["conv.weight", "logits.weight"]);
        assert_eq!(
            names(graph.parameters()),
            [
                "conv.weight",
                "conv.bias",
                "bn.weight",
                "bn.bias",
                "bn.running_mean",
                "bn.running_var",
                "logits.weight",
                "logits.bias"
            ]
        );
        assert_eq!(graph.stored_weights()[0].shape, [4, 3, 3, 3]);
    }
}
