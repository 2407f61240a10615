//! One walk over the graph; what happens to each node's output on the way is the caller's hook.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use quant::{ActivationScale, FloatTensor, Parameters};

use crate::ZooError;
use crate::bind::check;
use crate::graph::{Graph, Node, NodeId, Op, Window};

mod operations;

use operations::{AvgPool, Each, MaxPool, PerChannel, Sum, Unfold, convolution};

/// Smallest and largest value that a node has computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Smallest value.
    pub min: f32,
    /// Largest value.
    pub max: f32,
}

impl Range {
    /// The range of no values: `min` is infinity and `max` is minus infinity.
    pub const EMPTY: Self = Self { min: f32::INFINITY, max: f32::NEG_INFINITY };

    /// Largest magnitude in the range; 0 when it is empty.
    pub fn max_abs(self) -> f32 {
        if self.min > self.max { 0.0 } else { self.max.max(-self.min) }
    }

    fn widen(&mut self, value: f32) {
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }
}

impl Default for Range {
    /// [`Range::EMPTY`].
    fn default() -> Self {
        Self::EMPTY
    }
}

/// The parameters of a node, as its operation wants them.
#[derive(Debug)]
enum Prepared {
    None,
    /// Weight as `[groups, O / groups, H * W * I]`.
    Conv {
        weight: Tensor,
        bias: Option<Vec<f32>>,
    },
    /// y = x * scale + shift, one of each a channel.
    BatchNorm {
        scale: Vec<f32>,
        shift: Vec<f32>,
    },
    /// Weight as IO, a view of the OI parameter; bias as `[O]`.
    Linear {
        transposed: Tensor,
        bias: Tensor,
    },
}

/// A network with its parameters, run in f32 on the CPU by candle.
///
/// Inference only. The results depend on nothing but the arguments.
#[derive(Debug)]
pub struct Executor {
    graph: Graph,
    prepared: Vec<Prepared>,
    /// The last node that reads each node's output.
    last_use: Vec<NodeId>,
}

impl Executor {
    /// Puts a graph and its parameters together.
    ///
    /// # Errors
    /// Parameters that are not exactly the graph's (see [`crate::bind()`]), a value that is not finite, a
    /// negative running variance.
    pub fn new(graph: &Graph, parameters: &Parameters) -> Result<Self, ZooError> {
        check(graph, parameters)?;
        for (name, tensor) in parameters {
            if let Some((index, value)) = tensor.first_non_finite() {
                return Err(ZooError::NonFinite { tensor: name.clone(), index, value });
            }
        }
        let prepared =
            graph.nodes().iter().map(|node| prepare(node, parameters)).collect::<Result<_, _>>()?;
        let mut last_use: Vec<NodeId> = (0..graph.nodes().len()).collect();
        for (id, node) in graph.nodes().iter().enumerate() {
            for &input in &node.inputs {
                last_use[input] = id;
            }
        }
        Ok(Self { graph: graph.clone(), prepared, last_use })
    }

    /// The logits of a batch, `[n, classes]`, from normalized images, `[n, channels, height, width]`.
    ///
    /// # Errors
    /// Images of another shape, or none.
    pub fn forward(&self, images: &FloatTensor) -> Result<FloatTensor, ZooError> {
        self.walk(images, |_, output| Ok(output))
    }

    /// Runs a batch and widens `ranges[id]` by everything that node `id` computes.
    ///
    /// # Errors
    /// As [`Executor::forward`]; `ranges` that are not one a node; a node that computes a NaN or an
    /// infinity.
    pub fn observe(&self, images: &FloatTensor, ranges: &mut [Range]) -> Result<(), ZooError> {
        let nodes = self.graph.nodes();
        if ranges.len() != nodes.len() {
            return Err(ZooError::Ranges { found: ranges.len(), expected: nodes.len() });
        }
        self.walk(images, |id, output| {
            for value in output.flatten_all()?.to_vec1::<f32>()? {
                if !value.is_finite() {
                    return Err(ZooError::NonFiniteActivation { node: nodes[id].name.clone(), value });
                }
                ranges[id].widen(value);
            }
            Ok(output)
        })?;
        Ok(())
    }

    /// As [`Executor::forward`], with the outputs of exactly the quantization points
    /// ([`Graph::quantization_points`]) rounded to 8 bits: `clamp(round_half_even(x * levels_per_unit))
    /// / levels_per_unit`. `scales` has one entry for each of those nodes, by name.
    ///
    /// With the dequantized weights of an int8 checkpoint ([`quant::Checkpoint::dequantized`]) this
    /// emulates the int8 network, up to f32 rounding inside a layer.
    ///
    /// # Errors
    /// As [`Executor::forward`]; a scale that is missing, unexpected, not finite or not positive.
    pub fn forward_fake_quantized(
        &self,
        images: &FloatTensor,
        scales: &BTreeMap<String, ActivationScale>,
    ) -> Result<FloatTensor, ZooError> {
        let mut scale_of: Vec<Option<ActivationScale>> = vec![None; self.graph.nodes().len()];
        let mut unexpected = scales.clone();
        for point in self.graph.quantization_points() {
            let node = &self.graph.nodes()[point.node].name;
            let scale =
                unexpected.remove(node).ok_or_else(|| ZooError::MissingScale { node: node.clone() })?;
            let value = scale.levels_per_unit;
            if !(value.is_finite() && value > 0.0) {
                return Err(ZooError::Scale { node: node.clone(), value });
            }
            scale_of[point.node] = Some(scale);
        }
        if let Some((node, _)) = unexpected.pop_first() {
            return Err(ZooError::UnexpectedScale { node });
        }
        self.walk(images, |id, output| {
            let Some(scale) = scale_of[id] else { return Ok(output) };
            let rounded: Vec<f32> = output
                .flatten_all()?
                .to_vec1::<f32>()?
                .into_iter()
                .map(|value| f32::from(scale.quantize(value)) / scale.levels_per_unit)
                .collect();
            Ok(Tensor::from_vec(rounded, output.shape(), &Device::Cpu)?)
        })
    }

    /// Runs the nodes in order; `hook` sees each output and returns what the later nodes read.
    fn walk(
        &self,
        images: &FloatTensor,
        mut hook: impl FnMut(NodeId, Tensor) -> Result<Tensor, ZooError>,
    ) -> Result<FloatTensor, ZooError> {
        let input = self.graph.spec().input;
        let shape = images.shape();
        if shape.first().is_none_or(|&n| n == 0) || shape[1..] != input {
            return Err(ZooError::Images { found: shape.to_vec(), input });
        }
        let nodes = self.graph.nodes();
        // A tensor is dropped after its last reader, or a batch would need the memory of all layers.
        let mut outputs: Vec<Option<Tensor>> = vec![None; nodes.len()];
        for (id, node) in nodes.iter().enumerate() {
            let inputs: Vec<Tensor> = node
                .inputs
                .iter()
                .map(|&i| outputs[i].clone().expect("a tensor lives until its last reader"))
                .collect();
            for &i in &node.inputs {
                if self.last_use[i] == id {
                    outputs[i] = None;
                }
            }
            let output = match node.op {
                Op::Input => Tensor::from_slice(images.values(), shape, &Device::Cpu)?,
                _ => run(&node.op, &self.prepared[id], &inputs)?,
            };
            outputs[id] = Some(hook(id, output)?);
        }
        let logits = outputs.pop().flatten().expect("the last node has no reader");
        Ok(FloatTensor::new(logits.dims().to_vec(), logits.flatten_all()?.to_vec1()?))
    }
}

fn prepare(node: &Node, parameters: &Parameters) -> Result<Prepared, ZooError> {
    let parameter = |suffix: &str| &parameters[&format!("{}.{suffix}", node.name)];
    let tensor = |p: &FloatTensor| Tensor::from_slice(p.values(), p.shape(), &Device::Cpu);
    Ok(match node.op {
        Op::Conv2d { bias, groups, out_channels, .. } => Prepared::Conv {
            weight: tensor(parameter("weight"))?.permute((0, 2, 3, 1))?.reshape((
                groups,
                out_channels / groups,
                (),
            ))?,
            bias: bias.then(|| parameter("bias").values().to_vec()),
        },
        Op::BatchNorm { epsilon } => {
            let variance = parameter("running_var").values();
            if let Some(index) = variance.iter().position(|&v| v < 0.0) {
                let tensor = format!("{}.running_var", node.name);
                return Err(ZooError::NegativeVariance { tensor, index, value: variance[index] });
            }
            let scale: Vec<f32> = parameter("weight")
                .values()
                .iter()
                .zip(variance)
                .map(|(weight, variance)| weight / (variance + epsilon as f32).sqrt())
                .collect();
            let shift = parameter("bias")
                .values()
                .iter()
                .zip(parameter("running_mean").values())
                .zip(&scale)
                .map(|((bias, mean), scale)| bias - mean * scale)
                .collect();
            Prepared::BatchNorm { scale, shift }
        }
        Op::Linear { .. } => Prepared::Linear {
            transposed: tensor(parameter("weight"))?.t()?,
            bias: tensor(parameter("bias"))?,
        },
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
        | Op::PadShortcut { .. } => Prepared::None,
    })
}

fn run(op: &Op, prepared: &Prepared, inputs: &[Tensor]) -> candle_core::Result<Tensor> {
    let x = &inputs[0];
    match (op, prepared) {
        (Op::Conv2d { window, .. }, Prepared::Conv { weight, bias }) => {
            let y = convolution(x, weight, window)?;
            match bias {
                Some(bias) => y.apply_op1_no_bwd(&PerChannel { scale: &vec![1.0; bias.len()], shift: bias }),
                None => Ok(y),
            }
        }
        (Op::BatchNorm { .. }, Prepared::BatchNorm { scale, shift }) => {
            x.apply_op1_no_bwd(&PerChannel { scale, shift })
        }
        (Op::Linear { .. }, Prepared::Linear { transposed, bias }) => {
            x.matmul(transposed)?.broadcast_add(bias)
        }
        (Op::Relu, _) => x.apply_op1_no_bwd(&Each(|x: f32| x.max(0.0))),
        (&Op::LeakyRelu { slope }, _) => {
            x.apply_op1_no_bwd(&Each(|x: f32| if x > 0.0 { x } else { x * slope }))
        }
        (&Op::ClippedRelu { max }, _) => x.apply_op1_no_bwd(&Each(|x: f32| x.max(0.0).min(max))),
        (&Op::MaxPool(window), _) => x.apply_op1_no_bwd(&MaxPool(window)),
        (&Op::AvgPool { window, count_include_pad }, _) => {
            x.apply_op1_no_bwd(&AvgPool { window, count_include_pad })
        }
        (Op::GlobalAvgPool, _) => x.mean((2, 3)),
        (Op::Flatten, _) => x.flatten_from(1),
        (Op::Add, _) => x.apply_op2_no_bwd(&inputs[1], &Sum),
        (Op::Concat, _) => Tensor::cat(inputs, 1),
        (Op::Pad { before, after }, _) => {
            x.pad_with_zeros(2, before[0], after[0])?.pad_with_zeros(3, before[1], after[1])
        }
        (&Op::PadShortcut { stride, before, after }, _) => {
            let (n, channels, height, width) = x.dims4()?;
            let every = Window::square(1, stride, 0);
            let [rows, columns] = every.output(height, width);
            let kept = x
                .apply_op1_no_bwd(&Unfold { window: every, groups: 1 })?
                .reshape((n, channels, rows, columns))?;
            kept.pad_with_zeros(1, before, after)
        }
        _ => unreachable!("`prepare` gives every operation its own parameters"),
    }
}

#[cfg(test)]
mod tests;
