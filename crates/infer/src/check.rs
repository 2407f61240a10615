use std::collections::BTreeMap;

use graph::{Graph, Layer, ModelSpec, ParameterSpec};
use quant::{ActivationScale, Activations, Checkpoint};

use crate::InferError;

/// Checks that a checkpoint has everything that a graph needs except activation scales. The values in it are those of
/// a [`Checkpoint`], which has none that would spoil the arithmetic.
pub(crate) fn network(graph: &Graph, checkpoint: &Checkpoint) -> Result<(), InferError> {
    given_network(graph, checkpoint)?;
    parameters(graph, checkpoint)
}

/// As [`network`], for a network whose biases its quantization gives.
pub(crate) fn given_network(graph: &Graph, checkpoint: &Checkpoint) -> Result<(), InferError> {
    if checkpoint.model != *graph.spec() || checkpoint.layers != graph.layers() {
        let found = name(&checkpoint.model, &checkpoint.layers);
        return Err(InferError::Model { found, expected: name(graph.spec(), graph.layers()) });
    }
    // Predictions are u16.
    let classes = graph.spec().classes;
    if classes > usize::from(u16::MAX) + 1 {
        return Err(InferError::Classes { found: classes });
    }
    weights(graph, checkpoint)
}

fn weights(graph: &Graph, checkpoint: &Checkpoint) -> Result<(), InferError> {
    let specs = graph.stored_weights();
    if checkpoint.weights.len() != specs.len() {
        return Err(InferError::WeightCount { found: checkpoint.weights.len(), expected: specs.len() });
    }
    for (index, (tensor, spec)) in checkpoint.weights.iter().zip(specs).enumerate() {
        if tensor.name() != spec.name || tensor.shape() != spec.shape {
            return Err(InferError::Weight {
                index,
                found: tensor.name().into(),
                found_shape: tensor.shape().to_vec(),
                expected: spec.name,
                expected_shape: spec.shape,
            });
        }
    }
    Ok(())
}

fn parameters(graph: &Graph, checkpoint: &Checkpoint) -> Result<(), InferError> {
    for ParameterSpec { name, shape } in graph.parameters().into_iter().filter(|p| !p.is_stored_weight()) {
        let Some(tensor) = checkpoint.parameters.get(&name) else {
            return Err(InferError::MissingParameter { name });
        };
        if tensor.shape() != shape {
            return Err(InferError::ParameterShape { name, found: tensor.shape().to_vec(), expected: shape });
        }
    }
    Ok(())
}

/// Returns the static scales of a checkpoint, one for each quantization point of a graph.
pub(crate) fn activations<'a>(
    graph: &Graph,
    checkpoint: &'a Checkpoint,
) -> Result<&'a BTreeMap<String, ActivationScale>, InferError> {
    let Some(scales) = checkpoint.activations.scales() else {
        return Err(InferError::Activations { found: kind(&checkpoint.activations), expected: "static" });
    };
    for point in graph.quantization_points() {
        let name = &graph.nodes()[point.node].name;
        let Some(activation) = scales.get(name) else {
            return Err(InferError::MissingActivation { name: name.clone() });
        };
        if activation.signed != point.signed {
            let (found, expected) = (activation.signed, point.signed);
            return Err(InferError::ActivationSign { name: name.clone(), found, expected });
        }
    }
    Ok(scales)
}

/// Names the source of activation ranges.
pub(crate) fn kind(activations: &Activations) -> &'static str {
    match activations {
        Activations::Static(_) => "static",
        Activations::Dynamic { .. } => "dynamic",
        Activations::Given(_) => "given",
    }
}

fn name(model: &ModelSpec, layers: &[Layer]) -> String {
    match layers.len() {
        0 => model.to_string(),
        listed => format!("{model} with {listed} listed layers"),
    }
}
