use crate::{Dims, Layer, ModelSpec, Op};

/// PyTorch's default for the number that a batch normalization adds to the variance.
pub const BATCH_NORM_EPSILON: f64 = 1e-5;

/// Position of a node in [`Graph::nodes`].
pub type NodeId = usize;

/// One step of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Name of the step; if it has parameters, their prefix in PyTorch's state dict.
    pub name: String,
    /// Operation of the step.
    pub op: Op,
    /// Nodes that it reads; all stand before it.
    pub inputs: Vec<NodeId>,
    /// Output shape of one image: `[channels, height, width]` or `[features]`.
    pub shape: Vec<usize>,
}

impl Node {
    /// The first node of each network.
    pub(crate) fn input(shape: [usize; 3]) -> Self {
        Self { name: "input".into(), op: Op::Input, inputs: vec![], shape: shape.to_vec() }
    }

    /// Output size of one image.
    pub fn dims(&self) -> Dims {
        Dims::of(&self.shape)
    }
}

/// Parameter that a graph expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSpec {
    /// Full name, e.g. `layer1.0.conv1.weight`.
    pub name: String,
    /// Expected dimensions.
    pub shape: Vec<usize>,
}

impl ParameterSpec {
    /// True if the parameter lives in the faulty weight memory. As in the paper, these are the parameters with two or
    /// more dimensions; biases and batch-norm parameters are not.
    pub fn is_stored_weight(&self) -> bool {
        self.shape.len() >= 2
    }
}

/// Network for images of one size: nodes in execution order, each with its inputs and its output shape.
///
/// The executors and the trainer read this list from top to bottom. The order of the weights in it is their order in
/// memory, where faults hit them.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    pub(crate) spec: ModelSpec,
    pub(crate) layers: Vec<Layer>,
    pub(crate) nodes: Vec<Node>,
}

impl Graph {
    /// Specification that the graph was built from; with listed layers, `architecture` is only a name.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// Layers that the graph was built from if no architecture name stands for them ([`Graph::listed`]); otherwise
    /// none.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Steps in execution order; node 0 is the input and the last node gives the logits.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// All parameters, in execution order.
    pub fn parameters(&self) -> Vec<ParameterSpec> {
        let parameters = |node: &Node| {
            let input = node.inputs.first().map_or(&[][..], |&i| self.nodes[i].shape.as_slice());
            let name = |suffix| format!("{}.{suffix}", node.name);
            let named = |(suffix, shape)| ParameterSpec { name: name(suffix), shape };
            node.op.parameters(input).into_iter().map(named).collect::<Vec<_>>()
        };
        self.nodes.iter().flat_map(parameters).collect()
    }

    /// Parameters that live in faulty memory, in memory order (execution order of their layers).
    pub fn stored_weights(&self) -> Vec<ParameterSpec> {
        self.parameters().into_iter().filter(ParameterSpec::is_stored_weight).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GraphBuilder, Window};

    #[test]
    fn stored_weights_are_the_tensors_with_two_or_more_dimensions() {
        let mut g = GraphBuilder::new([3, 8, 8]);
        let x = g.conv("conv", GraphBuilder::INPUT, 4, Window::square(3, 1, 1), true);
        let x = g.batch_norm("bn", x);
        let x = g.global_avg_pool("mean", x);
        g.linear("logits", x, 4);
        let graph = g.finish(&ModelSpec::new("test", 4, [3, 8, 8]));
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
