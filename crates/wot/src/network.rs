//! A graph run for training, or judged during it.
//!
//! Rounding happens exactly where the int8 network rounds: every stored weight to its level, and every
//! quantization point of the graph ([`Graph::quantization_points`]) to 8 bits with the signedness given
//! there. The range of a point is a moving average of the largest magnitude in each batch, widened or
//! narrowed before the batch itself is rounded (PyTorch's `MovingAverageMinMaxObserver`, whose averaging
//! constant is used too); the input's range is that of its pixels, as `infer` has it.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};
use quant::{ActivationScale, FloatTensor, Parameters};
use rayon::prelude::*;
use zoo::{Graph, Node, NodeId, Op};

use crate::ops::{
    RunningStatistics, add_bias, batch_norm, batch_norm_inference, conv2d, fake_quantize_activation,
    fake_quantize_weight, global_avg_pool, linear, max_pool, pad_shortcut, read, relu, tensor,
};

/// Weight of the newest batch in the range of an activation.
const RANGE_MOMENTUM: f32 = 0.01;

/// What a forward pass does besides computing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Batch statistics and gradients; running statistics and ranges move.
    Train,
    /// Running statistics, no rounding of activations; ranges are widened to hold every value.
    Calibrate,
    /// Running statistics and ranges as they are.
    Evaluate,
}

/// A graph with everything that training changes in it.
pub(crate) struct Network {
    graph: Graph,
    /// Trained parameters, by name: all but running statistics.
    pub(crate) variables: BTreeMap<String, Var>,
    /// By batch norm's name.
    pub(crate) running: BTreeMap<String, RunningStatistics>,
    /// For each node, if it is a quantization point, whether its values can be negative.
    signed: Vec<Option<bool>>,
    pub(crate) rounding: Option<Rounding>,
    /// The last node that reads each node's output.
    last_use: Vec<NodeId>,
}

/// Scales and ranges of a network that rounds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rounding {
    /// Levels per unit of each stored weight, by name; fixed.
    pub(crate) scales: BTreeMap<String, f32>,
    /// Range of each quantization point, by node name; none before the first batch.
    pub(crate) ranges: BTreeMap<String, f32>,
}

impl Network {
    /// `parameters` must be the graph's.
    pub(crate) fn new(graph: &Graph, parameters: &Parameters) -> candle_core::Result<Self> {
        let mut variables = BTreeMap::new();
        let mut running = BTreeMap::new();
        for spec in graph.parameters() {
            let values = &parameters[&spec.name];
            if let Some(node) = spec.name.strip_suffix(".running_mean") {
                let mean = values.values().to_vec();
                let variance = parameters[&format!("{node}.running_var")].values().to_vec();
                running.insert(node.to_string(), RunningStatistics { mean, variance });
            } else if !spec.name.ends_with(".running_var") {
                let values = tensor(values.values().to_vec(), values.shape())?;
                variables.insert(spec.name, Var::from_tensor(&values)?);
            }
        }
        let mut signed = vec![None; graph.nodes().len()];
        for point in graph.quantization_points() {
            signed[point.node] = Some(point.signed);
        }
        let mut last_use: Vec<NodeId> = (0..graph.nodes().len()).collect();
        for (id, node) in graph.nodes().iter().enumerate() {
            for &input in &node.inputs {
                last_use[input] = id;
            }
        }
        Ok(Self { graph: graph.clone(), variables, running, signed, rounding: None, last_use })
    }

    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    /// All parameters as they are, running statistics included.
    pub(crate) fn parameters(&self) -> candle_core::Result<Parameters> {
        let mut parameters = Parameters::new();
        for (name, variable) in &self.variables {
            let values = read(variable, <[f32]>::to_vec)?;
            parameters.insert(name.clone(), FloatTensor::new(variable.dims().to_vec(), values));
        }
        for (node, statistics) in &self.running {
            for (suffix, values) in
                [("running_mean", &statistics.mean), ("running_var", &statistics.variance)]
            {
                let values = FloatTensor::new(vec![values.len()], values.clone());
                parameters.insert(format!("{node}.{suffix}"), values);
            }
        }
        Ok(parameters)
    }

    /// The scale of a quantization point, once its range is known.
    pub(crate) fn activation_scale(&self, node: NodeId) -> Option<ActivationScale> {
        let range = self.rounding.as_ref()?.ranges.get(&self.graph.nodes()[node].name)?;
        Some(ActivationScale::from_range(*range, self.signed[node]?))
    }

    /// The logits, `[n, classes]`, of normalized images, `[n, height, width, channels]`.
    pub(crate) fn forward(&mut self, images: &Tensor, mode: Mode) -> candle_core::Result<Tensor> {
        let mut outputs: Vec<Option<Tensor>> = vec![None; self.signed.len()];
        for id in 0..outputs.len() {
            let node = self.graph.nodes()[id].clone();
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
            let output = if node.op == Op::Input { images.clone() } else { self.run(&node, &inputs, mode)? };
            outputs[id] = Some(self.round(id, output, mode)?);
        }
        Ok(outputs.pop().flatten().expect("the last node has no reader"))
    }

    fn run(&mut self, node: &Node, inputs: &[Tensor], mode: Mode) -> candle_core::Result<Tensor> {
        let x = &inputs[0];
        let parameter = |suffix: &str| self.parameter(&format!("{}.{suffix}", node.name), mode);
        match &node.op {
            Op::Input => unreachable!("the input is not computed"),
            Op::Conv2d { window, groups, bias, .. } => {
                let y = conv2d(x, &parameter("weight")?, window, *groups)?;
                if *bias { add_bias(&y, &parameter("bias")?) } else { Ok(y) }
            }
            Op::BatchNorm => {
                let (weight, bias) = (parameter("weight")?, parameter("bias")?);
                let running = self.running.get_mut(&node.name).expect("every batch norm has statistics");
                if mode != Mode::Train {
                    return batch_norm_inference(x, &weight, &bias, running);
                }
                let (y, statistics) = batch_norm(x, &weight, &bias)?;
                running.update(&statistics);
                Ok(y)
            }
            Op::Relu => relu(x),
            Op::MaxPool(window) => max_pool(x, window),
            Op::GlobalAvgPool => global_avg_pool(x),
            // Memory order of the features is [channels, height, width].
            Op::Flatten => x.permute((0, 3, 1, 2))?.flatten_from(1),
            Op::Linear { .. } => add_bias(&linear(x, &parameter("weight")?)?, &parameter("bias")?),
            Op::Add => x + &inputs[1],
            Op::Concat => Tensor::cat(inputs, 3),
            Op::PadShortcut { stride, before, after } => pad_shortcut(x, *stride, *before, *after),
        }
    }

    /// A parameter as the network computes with it: a stored weight is rounded to its level.
    fn parameter(&self, name: &str, mode: Mode) -> candle_core::Result<Tensor> {
        let variable = &self.variables[name];
        let value =
            if mode == Mode::Train { variable.as_tensor().clone() } else { variable.as_detached_tensor() };
        match self.rounding.as_ref().and_then(|rounding| rounding.scales.get(name)) {
            Some(&scale) => fake_quantize_weight(&value, scale),
            None => Ok(value),
        }
    }

    fn round(&mut self, id: NodeId, output: Tensor, mode: Mode) -> candle_core::Result<Tensor> {
        let node = &self.graph.nodes()[id];
        let (Some(rounding), Some(_)) = (&mut self.rounding, self.signed[id]) else { return Ok(output) };
        if mode != Mode::Evaluate && node.op != Op::Input {
            let seen = read(&output, max_abs)?;
            let range = rounding.ranges.entry(node.name.clone()).or_insert(seen);
            *range = match mode {
                Mode::Calibrate => range.max(seen),
                _ => *range + RANGE_MOMENTUM * (seen - *range),
            };
        }
        match self.activation_scale(id) {
            Some(scale) if mode != Mode::Calibrate => fake_quantize_activation(&output, scale),
            _ => Ok(output),
        }
    }
}

/// Largest magnitude; a maximum does not depend on who finds it.
fn max_abs(values: &[f32]) -> f32 {
    let largest = |values: &[f32]| values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    values.par_chunks(1 << 15).map(largest).reduce(|| 0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use quant::{ModelSpec, QuantTensor};

    use super::*;
    use crate::random::{Purpose, normal, stream};

    #[test]
    fn logits_are_those_of_zoos_executor() {
        for (architecture, width, side) in [
            ("resnet20", 0.5, 12),
            ("resnet18", 0.125, 32),
            ("squeezenet1_1", 0.125, 32),
            ("vgg16_bn", 0.125, 32),
        ] {
            let spec =
                ModelSpec { architecture: architecture.into(), classes: 10, input: [3, side, side], width };
            let graph = zoo::build(&spec).unwrap();
            let mut parameters = crate::initialize(&graph, 1);
            let mut weights = Vec::new();
            for (place, (name, values)) in parameters.iter_mut().enumerate() {
                if values.shape().len() >= 2 {
                    weights.push(QuantTensor::quantize(name, values).unwrap());
                    continue;
                }
                let noise =
                    normal(&mut stream(2, Purpose::Weights, place as u64), 0.2, values.values().len());
                let values_now =
                    values.values().iter().zip(noise).map(|(v, noise)| v + noise.abs()).collect();
                *values = FloatTensor::new(values.shape().to_vec(), values_now);
            }
            let mut network = Network::new(&graph, &parameters).unwrap();
            assert_eq!(network.parameters().unwrap(), parameters);
            let images = normal(&mut stream(3, Purpose::Weights, 0), 1.0, 4 * 3 * side * side);
            let nchw = FloatTensor::new(vec![4, 3, side, side], images.clone());
            let images = tensor(images, (4, 3, side, side)).unwrap();
            let images = images.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap();
            let close = |found: &Tensor, expected: &FloatTensor, bound: f32| {
                let found: Vec<f32> = found.flatten_all().unwrap().to_vec1().unwrap();
                let largest = max_abs(expected.values());
                for (found, expected) in found.iter().zip(expected.values()) {
                    let off = (found - expected).abs() / largest;
                    assert!(off < bound, "{architecture}: a logit is {found}, expected {expected}");
                }
            };

            let executor = zoo::Executor::new(&graph, &parameters).unwrap();
            let logits = network.forward(&images, Mode::Evaluate).unwrap();
            close(&logits, &executor.forward(&nchw).unwrap(), 1e-4);

            let scales = weights.iter().map(|w| (w.name.clone(), w.scale)).collect();
            let ranges = BTreeMap::from([("input".to_string(), 3.0)]);
            network.rounding = Some(Rounding { scales, ranges });
            network.forward(&images, Mode::Calibrate).unwrap();
            let logits = network.forward(&images, Mode::Evaluate).unwrap();
            let points = graph.quantization_points();
            let scales: BTreeMap<_, _> = points
                .iter()
                .map(|point| {
                    (graph.nodes()[point.node].name.clone(), network.activation_scale(point.node).unwrap())
                })
                .collect();
            assert_eq!(network.rounding.as_ref().unwrap().ranges.len(), points.len());
            parameters.extend(weights.iter().map(|w| (w.name.clone(), w.dequantize())));
            let executor = zoo::Executor::new(&graph, &parameters).unwrap();
            // Sums in another order may round a tie to the other level.
            close(&logits, &executor.forward_fake_quantized(&nchw, &scales).unwrap(), 0.02);
        }
    }
}
