use crate::{AvgPool, BATCH_NORM_EPSILON, Conv, Graph, MaxPool, ModelSpec, Node, NodeId, Op, Window};

/// Builder of a [`Graph`] from its first layer to its last.
///
/// Its methods panic on layers that do not fit together: an architecture is code, and such a layer is a bug in it.
#[derive(Debug)]
pub struct GraphBuilder {
    nodes: Vec<Node>,
}

impl GraphBuilder {
    /// The node of the image.
    pub const INPUT: NodeId = 0;

    /// Begins a network for images of `[channels, height, width]`.
    pub fn new(input: [usize; 3]) -> Self {
        Self { nodes: vec![Node::input(input)] }
    }

    /// Output shape of a node.
    pub fn shape(&self, id: NodeId) -> &[usize] {
        &self.nodes[id].shape
    }

    /// Appends a layer and returns its node.
    ///
    /// # Panics
    /// When the name is taken, or the operation does not fit its inputs.
    pub fn push(&mut self, name: &str, op: Op, inputs: &[NodeId]) -> NodeId {
        assert!(self.nodes.iter().all(|node| node.name != name), "two nodes are called {name}");
        let shapes: Vec<&[usize]> = inputs.iter().map(|&id| self.shape(id)).collect();
        let shape = op.output(&shapes).unwrap_or_else(|problem| panic!("layer {name}: {problem}"));
        self.nodes.push(Node { name: name.into(), op, inputs: inputs.to_vec(), shape });
        self.nodes.len() - 1
    }

    /// Appends a convolution of one group; `window` has one padding for both sides.
    pub fn conv(&mut self, name: &str, x: NodeId, channels: usize, window: Window, bias: bool) -> NodeId {
        let Window { kernel, stride, padding, dilation, .. } = window;
        let conv = Conv { channels, groups: 1, bias, kernel, stride, padding, dilation };
        assert_eq!(conv.window(), window, "layer {name}: only a pool rounds up or has unequal paddings");
        self.push(name, Op::Conv(conv), &[x])
    }

    /// Appends a batch normalization with PyTorch's epsilon.
    pub fn batch_norm(&mut self, name: &str, x: NodeId) -> NodeId {
        self.push(name, Op::BatchNorm { epsilon: BATCH_NORM_EPSILON }, &[x])
    }

    /// Appends a ReLU.
    pub fn relu(&mut self, name: &str, x: NodeId) -> NodeId {
        self.push(name, Op::Relu, &[x])
    }

    /// Appends a maximum over windows.
    pub fn max_pool(&mut self, name: &str, x: NodeId, window: Window) -> NodeId {
        let Window { kernel, stride, padding, ceil, after, .. } = window;
        let pool = MaxPool { kernel, stride, padding, ceil, after, dilation: [1, 1] };
        assert_eq!(pool.window(), window, "layer {name}: only a convolution is dilated");
        self.push(name, Op::MaxPool(pool), &[x])
    }

    /// Appends a mean over windows.
    pub fn avg_pool(&mut self, name: &str, x: NodeId, window: Window, count_include_pad: bool) -> NodeId {
        let Window { kernel, stride, padding, ceil, after, .. } = window;
        let pool = AvgPool { kernel, stride, padding, count_include_pad, ceil, after };
        assert_eq!(pool.window(), window, "layer {name}: only a convolution is dilated");
        self.push(name, Op::AvgPool(pool), &[x])
    }

    /// Appends a mean over height and width.
    pub fn global_avg_pool(&mut self, name: &str, x: NodeId) -> NodeId {
        self.push(name, Op::GlobalAvgPool, &[x])
    }

    /// Appends the step from an image to features.
    pub fn flatten(&mut self, name: &str, x: NodeId) -> NodeId {
        self.push(name, Op::Flatten, &[x])
    }

    /// Appends a linear layer.
    pub fn linear(&mut self, name: &str, x: NodeId, features: usize) -> NodeId {
        self.push(name, Op::Linear { features }, &[x])
    }

    /// Appends a sum.
    pub fn add(&mut self, name: &str, a: NodeId, b: NodeId) -> NodeId {
        self.push(name, Op::Add, &[a, b])
    }

    /// Appends a concatenation of channels.
    pub fn concat(&mut self, name: &str, inputs: &[NodeId]) -> NodeId {
        self.push(name, Op::Concat, inputs)
    }

    /// The graph of the network that `spec` names.
    ///
    /// # Panics
    /// When the network takes other images, or its last layer does not give one logit a class.
    pub fn finish(self, spec: &ModelSpec) -> Graph {
        assert_eq!(self.shape(Self::INPUT), spec.input, "the network takes images of this size");
        assert_eq!(
            self.nodes.last().expect("a graph has an input").shape,
            [spec.classes],
            "one logit a class"
        );
        Graph { spec: spec.clone(), layers: vec![], nodes: self.nodes }
    }
}
