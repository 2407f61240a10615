use crate::{Graph, NodeId, Op};

/// Node whose output the int8 network stores, with a scale of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuantizationPoint {
    /// The node whose output is rounded to 8 bits.
    pub node: NodeId,
    /// True if the values can be negative (i8), false if not (u8).
    pub signed: bool,
}

/// Handling of an operation's output in an 8-bit network.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Output {
    /// An unrounded sum, which following layers may finish before it is rounded.
    Sum,
    /// A value that is always rounded.
    Rounded,
    /// A value that is rounded if it was computed from an unrounded sum, else levels of the input's scale.
    Clipped,
    /// Levels of the input, moved or compared; they keep their scale.
    Levels,
}

fn output(op: &Op) -> Output {
    match op {
        Op::Conv(_) | Op::BatchNorm { .. } | Op::Linear { .. } | Op::Add => Output::Sum,
        Op::Input
        | Op::LeakyRelu { .. }
        | Op::ClippedRelu { .. }
        | Op::AvgPool(_)
        | Op::GlobalAvgPool
        | Op::Concat
        | Op::Function(_)
        | Op::PRelu
        | Op::Mul
        | Op::LayerNorm { .. }
        | Op::TokenEmbedding { .. }
        | Op::Attention { .. } => Output::Rounded,
        Op::Relu => Output::Clipped,
        Op::MaxPool(_)
        | Op::Flatten
        | Op::Pad { .. }
        | Op::PadShortcut { .. }
        | Op::ChannelSlice { .. }
        | Op::ChannelShuffle { .. }
        | Op::SelectToken { .. } => Output::Levels,
    }
}

/// True if `next` can finish the unrounded sum of `op`.
fn finishes(next: &Op, op: &Op) -> bool {
    match next {
        Op::Relu | Op::ClippedRelu { .. } => true,
        Op::BatchNorm { .. } => matches!(op, Op::Conv(_) | Op::Linear { .. }),
        _ => false,
    }
}

impl Graph {
    /// Points where an 8-bit network rounds its activations: the input, and the end of every fused chain
    /// `conv [-> batch norm] [-> relu]`, `linear [-> batch norm] [-> relu]`, `add [-> relu]`, every mean, function, leaky
    /// or parametric ReLU, product, concatenation, normalization of channels, token embedding and attention. A chain is fused if no other node reads its inner values, and a clipped ReLU
    /// ends one like a ReLU; on its own it rounds too, since its bound need not be a level. All other nodes move or
    /// compare levels and keep the scale of their input; the logits stay unrounded.
    pub fn quantization_points(&self) -> Vec<QuantizationPoint> {
        let nodes = self.nodes();
        let negative = self.can_be_negative();
        // A chain is open at a node when its value is still unrounded.
        let mut open = vec![false; nodes.len()];
        let mut points = Vec::new();
        for (id, node) in nodes[..nodes.len() - 1].iter().enumerate() {
            let output = output(&node.op);
            let rounds = match output {
                Output::Sum | Output::Rounded => true,
                Output::Clipped => open[node.inputs[0]],
                Output::Levels => false,
            };
            let mut readers = nodes[id + 1..].iter().filter(|next| next.inputs.contains(&id));
            let is_finished = readers.next().is_some_and(|next| finishes(&next.op, &node.op));
            open[id] = output == Output::Sum && is_finished && readers.next().is_none();
            if rounds && !open[id] {
                points.push(QuantizationPoint { node: id, signed: negative[id] });
            }
        }
        points
    }

    /// True for each node whose values can be negative.
    fn can_be_negative(&self) -> Vec<bool> {
        let mut negative: Vec<bool> = Vec::new();
        for node in self.nodes() {
            negative.push(match node.op {
                Op::Relu | Op::ClippedRelu { .. } => false,
                Op::Input
                | Op::Conv(_)
                | Op::BatchNorm { .. }
                | Op::Linear { .. }
                | Op::Add
                | Op::LayerNorm { .. }
                | Op::TokenEmbedding { .. } => true,
                // A mean of values, weighted by positive numbers.
                Op::Attention { .. } => negative[node.inputs[2]],
                Op::Function(function) => function.can_be_negative(negative[node.inputs[0]]),
                Op::LeakyRelu { .. }
                | Op::MaxPool(_)
                | Op::AvgPool(_)
                | Op::GlobalAvgPool
                | Op::Flatten
                | Op::Concat
                | Op::Pad { .. }
                | Op::PadShortcut { .. }
                | Op::PRelu
                | Op::Mul
                | Op::ChannelSlice { .. }
                | Op::ChannelShuffle { .. }
                | Op::SelectToken { .. } => node.inputs.iter().any(|&i| negative[i]),
            });
        }
        negative
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GraphBuilder, ModelSpec, Window};

    fn finish(g: GraphBuilder) -> Graph {
        let input = g.shape(GraphBuilder::INPUT).try_into().unwrap();
        g.finish(&ModelSpec::new("test", 4, input))
    }

    fn points(graph: &Graph) -> Vec<(&str, bool)> {
        let named = |p: QuantizationPoint| (graph.nodes()[p.node].name.as_str(), p.signed);
        graph.quantization_points().into_iter().map(named).collect()
    }

    /// S304 of the specification.
    #[test]
    fn fused_chains_round_once_at_their_end() {
        let mut g = GraphBuilder::new([3, 8, 8]);
        let x = g.conv("conv", GraphBuilder::INPUT, 4, Window::square(3, 1, 1), false);
        let x = g.batch_norm("bn", x);
        let x = g.relu("relu", x);
        let x = g.max_pool("pool", x, Window::square(2, 2, 0));
        let x = g.global_avg_pool("mean", x);
        let x = g.linear("hidden", x, 4);
        let x = g.relu("hidden_relu", x);
        g.linear("logits", x, 4);
        let expected = [("input", true), ("relu", false), ("mean", false), ("hidden_relu", false)];
        assert_eq!(points(&finish(g)), expected);
    }

    /// S304 of the specification.
    #[test]
    fn a_value_with_two_readers_is_rounded_where_it_is() {
        let mut g = GraphBuilder::new([3, 8, 8]);
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
        assert_eq!(points(&finish(g)), expected);
    }

    #[test]
    fn a_shortcut_keeps_the_scale_of_what_it_reads() {
        let mut g = GraphBuilder::new([4, 8, 8]);
        let x = g.relu("relu", GraphBuilder::INPUT);
        let y = g.conv("conv", x, 8, Window::square(3, 2, 1), false);
        let y = g.batch_norm("bn", y);
        let shortcut = g.push("shortcut", Op::PadShortcut { stride: 2, before: 2, after: 2 }, &[x]);
        let sum = g.add("add", y, shortcut);
        let x = g.global_avg_pool("mean", sum);
        g.linear("logits", x, 4);
        assert_eq!(points(&finish(g)), [("input", true), ("bn", true), ("add", true), ("mean", true)]);
    }
}
