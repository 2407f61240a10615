//! Float networks as modules of candle: one walk over the graph, and what the program needs of each node on the way.

use std::collections::BTreeMap;
use std::fmt;

use candle_core::{CpuStorage, DType, Device, Layout, Tensor, bail};
use candle_nn::{Module, VarBuilder};
use graph::{Graph, NodeId};
use quant::{ActivationScale, FloatTensor, Parameters, check_values};

use crate::ZooError;
use crate::architectures::network_name;
use crate::bind::check;

mod activation;
mod attention;
mod batch_norm;
mod convolution;
mod layer;
mod layer_norm;
mod parametric;
mod per_channel;
mod pooling;
mod product;
mod sum;

use layer::Layer;

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

/// A network in f32 on the CPU: a [`candle_nn::Module`] from images to logits.
///
/// [`Module::forward`] takes normalized images, `[n, channels, height, width]`, and gives logits, `[n, classes]`, that depend
/// on nothing but the arguments. Every layer passes gradients on, to the images and to each parameter that is a variable
/// (of a [`candle_nn::VarMap`]). [`FloatNetwork::forward_train`] is the forward pass of training.
pub struct FloatNetwork {
    graph: Graph,
    layers: Vec<Layer>,
    /// The last node that reads each node's output.
    last_use: Vec<NodeId>,
}

impl FloatNetwork {
    /// Makes the network of a graph with the parameters that `variables` holds under PyTorch's names
    /// ([`Graph::parameters`]). A [`candle_nn::VarMap`] makes missing parameters, with the initial values of `candle_nn`.
    ///
    /// # Errors
    /// Returns an error if `variables` has another type than f32 or another device than the CPU, or if a parameter is
    /// missing or of another shape. Parameters that the graph does not have are ignored.
    pub fn new(graph: &Graph, variables: VarBuilder) -> Result<Self, ZooError> {
        if variables.dtype() != DType::F32 || !variables.device().is_cpu() {
            let found = format!("{} on {:?}", variables.dtype().as_str(), variables.device().location());
            return Err(ZooError::Variables { found });
        }
        let nodes = graph.nodes();
        let layers = nodes.iter().map(|node| {
            let inputs: Vec<&[usize]> = node.inputs.iter().map(|&i| nodes[i].shape.as_slice()).collect();
            layer::layer(node, &inputs, variables.pp(&node.name))
        });
        let layers = layers.collect::<candle_core::Result<_>>()?;
        let mut last_use: Vec<NodeId> = (0..nodes.len()).collect();
        for (id, node) in nodes.iter().enumerate() {
            for &input in &node.inputs {
                last_use[input] = id;
            }
        }
        Ok(Self { graph: graph.clone(), layers, last_use })
    }

    /// Makes the network of a graph and its parameters, none of them a variable.
    ///
    /// # Errors
    /// Returns an error if the parameters are not exactly those of the graph (see [`crate::bind()`]), or if one holds a value that
    /// is not finite or a running variance that is negative.
    pub fn from_parameters(graph: &Graph, parameters: &Parameters) -> Result<Self, ZooError> {
        check(graph, parameters)?;
        check_values(parameters)?;
        let tensors = parameters.iter().map(|(name, tensor)| Ok((name.clone(), on_cpu(tensor)?)));
        let tensors = tensors.collect::<candle_core::Result<_>>()?;
        Self::new(graph, VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu))
    }

    /// Returns the logits of a batch, `[n, classes]`, from normalized images, `[n, channels, height, width]`.
    ///
    /// # Errors
    /// Returns an error if the batch is empty or the images have another shape.
    pub fn logits(&self, images: &FloatTensor) -> Result<FloatTensor, ZooError> {
        self.hooked(images, |_, output| Ok(output))
    }

    /// Runs a batch and widens `ranges[id]` by every value that node `id` computes.
    ///
    /// # Errors
    /// Returns an error where [`FloatNetwork::logits`] does, if `ranges` has not one entry a node, or if a node computes a
    /// NaN or an infinity.
    pub fn observe(&self, images: &FloatTensor, ranges: &mut [Range]) -> Result<(), ZooError> {
        let nodes = self.graph.nodes();
        if ranges.len() != nodes.len() {
            return Err(ZooError::Ranges { found: ranges.len(), expected: nodes.len() });
        }
        self.hooked(images, |id, output| {
            for value in flat(&output)? {
                if !value.is_finite() {
                    return Err(ZooError::NonFiniteActivation { node: nodes[id].name.clone(), value });
                }
                ranges[id].widen(value);
            }
            Ok(output)
        })?;
        Ok(())
    }

    /// Returns the logits of a batch, computed with the outputs of exactly the quantization points
    /// ([`Graph::quantization_points`]) rounded to 8 bits: `clamp(round_half_even(x * levels_per_unit))
    /// / levels_per_unit`. `scales` has one entry for each of those nodes, by name.
    ///
    /// With the dequantized weights of an int8 checkpoint ([`quant::Contents::dequantized`]) this
    /// emulates the int8 network, up to f32 rounding inside a layer.
    ///
    /// # Errors
    /// Returns an error where [`FloatNetwork::logits`] does, or if a scale is missing or unexpected.
    pub fn logits_fake_quantized(
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
            scale_of[point.node] = Some(scale);
        }
        if let Some((node, _)) = unexpected.pop_first() {
            return Err(ZooError::UnexpectedScale { node });
        }
        self.hooked(images, |id, output| {
            let Some(scale) = scale_of[id] else { return Ok(output) };
            let rounded: Vec<f32> = flat(&output)?
                .into_iter()
                .map(|value| f32::from(scale.quantize(value)) / scale.levels_per_unit.get())
                .collect();
            Ok(Tensor::from_vec(rounded, output.shape(), &Device::Cpu)?)
        })
    }

    /// Returns the logits of a batch in training mode: layers normalize by the statistics of the batch, and the running
    /// statistics move towards these by a tenth, as in PyTorch. A graph has no dropout, so no values are dropped.
    ///
    /// # Errors
    /// Returns an error if the batch is empty or the images have another shape.
    pub fn forward_train(&self, images: &Tensor) -> candle_core::Result<Tensor> {
        self.plain(images, true)
    }

    fn plain(&self, images: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        self.walk(images, train, |_, output| Ok(output)).map_err(|error| match error {
            ZooError::Candle(error) => error,
            error => candle_core::Error::wrap(error),
        })
    }

    fn hooked(
        &self,
        images: &FloatTensor,
        hook: impl FnMut(NodeId, Tensor) -> Result<Tensor, ZooError>,
    ) -> Result<FloatTensor, ZooError> {
        let logits = self.walk(&on_cpu(images)?, false, hook)?;
        Ok(FloatTensor::new(logits.dims().to_vec(), flat(&logits)?))
    }

    /// Runs the nodes in order; `hook` sees each output and returns what the later nodes read.
    fn walk(
        &self,
        images: &Tensor,
        train: bool,
        mut hook: impl FnMut(NodeId, Tensor) -> Result<Tensor, ZooError>,
    ) -> Result<Tensor, ZooError> {
        let input = self.graph.spec().input;
        let shape = images.dims();
        if shape.first().is_none_or(|&n| n == 0) || shape[1..] != input {
            return Err(ZooError::Images { found: shape.to_vec(), input });
        }
        let nodes = self.graph.nodes();
        // A tensor is dropped after its last reader, or a batch would need the memory of all layers.
        let mut outputs: Vec<Option<Tensor>> = vec![None; nodes.len()];
        for (id, (node, layer)) in nodes.iter().zip(&self.layers).enumerate() {
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
            let output = match layer {
                Layer::Input => images.clone(),
                Layer::Module(module) => module.forward_t(&inputs[0], train)?,
                Layer::Add => sum::sum(&inputs[0], &inputs[1])?,
                Layer::Mul => product::product(&inputs[0], &inputs[1])?,
                Layer::Concat => Tensor::cat(&inputs, 1)?,
                Layer::Attention(attention) => attention.forward([&inputs[0], &inputs[1], &inputs[2]])?,
            };
            outputs[id] = Some(hook(id, output)?);
        }
        Ok(outputs.pop().flatten().expect("the last node has no reader"))
    }
}

impl Module for FloatNetwork {
    fn forward(&self, images: &Tensor) -> candle_core::Result<Tensor> {
        self.plain(images, false)
    }
}

impl fmt::Debug for FloatNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FloatNetwork({})", network_name(&self.graph))
    }
}

fn on_cpu(tensor: &FloatTensor) -> candle_core::Result<Tensor> {
    Tensor::from_slice(tensor.values(), tensor.shape(), &Device::Cpu)
}

/// The values of a tensor, row-major.
fn flat(tensor: &Tensor) -> candle_core::Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}

/// The values of a tensor that an operation of ours reads, which is contiguous.
fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("a tensor has the strides {:?}, expected a contiguous one", layout.stride())
    };
    Ok(&storage.as_slice::<f32>()?[start..end])
}

#[cfg(test)]
mod tests;
