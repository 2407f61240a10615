use std::collections::BTreeMap;

use graph::{Graph, Layer, ModelSpec, Op, ParameterSpec, Preprocessing};
use quant::{ActivationScale, Checkpoint, FloatTensor, WeightScale};

use crate::InferError;

/// Checks that a checkpoint has everything that a graph needs except activation scales, and no value that
/// would break the arithmetic.
pub(crate) fn network(graph: &Graph, checkpoint: &Checkpoint) -> Result<(), InferError> {
    if checkpoint.model != *graph.spec() || checkpoint.layers != graph.layers() {
        let found = describe(&checkpoint.model, &checkpoint.layers);
        let expected = describe(graph.spec(), graph.layers());
        return Err(InferError::Model { found, expected });
    }
    // Predictions are u16.
    let classes = graph.spec().classes;
    if classes > usize::from(u16::MAX) + 1 {
        return Err(InferError::Classes { found: classes });
    }
    preprocessing(&checkpoint.preprocessing, graph.spec().input[0])?;
    weights(graph, checkpoint)?;
    parameters(graph, checkpoint)
}

/// Checks that there are one finite mean and one positive deviation for each channel.
pub(crate) fn preprocessing(preprocessing: &Preprocessing, channels: usize) -> Result<(), InferError> {
    for (field, values) in [("mean", &preprocessing.mean), ("std", &preprocessing.std)] {
        if values.len() != channels {
            return Err(InferError::Preprocessing { field, found: values.len(), expected: channels });
        }
        let usable = |&v: &f32| v.is_finite() && (field == "mean" || v > 0.0);
        if let Some(index) = values.iter().position(|v| !usable(v)) {
            return Err(InferError::Normalization { field, index, value: values[index] });
        }
    }
    Ok(())
}

fn weights(graph: &Graph, checkpoint: &Checkpoint) -> Result<(), InferError> {
    let specs = graph.stored_weights();
    if checkpoint.weights.len() != specs.len() {
        return Err(InferError::WeightCount { found: checkpoint.weights.len(), expected: specs.len() });
    }
    for (index, (tensor, spec)) in checkpoint.weights.iter().zip(specs).enumerate() {
        if tensor.name != spec.name || tensor.shape != spec.shape {
            return Err(InferError::Weight {
                index,
                found: tensor.name.clone(),
                found_shape: tensor.shape.clone(),
                expected: spec.name,
                expected_shape: spec.shape,
            });
        }
        let expected = tensor.shape.iter().product();
        if tensor.values.len() != expected {
            return Err(InferError::WeightLength { name: spec.name, found: tensor.values.len(), expected });
        }
        if let WeightScale::Channels(scales) = &tensor.scale
            && scales.len() != tensor.shape[0]
        {
            return Err(InferError::ScaleCount {
                name: spec.name,
                found: scales.len(),
                expected: tensor.shape[0],
            });
        }
        tensor.scale.values().iter().try_for_each(|&value| scale(&spec.name, value))?;
    }
    Ok(())
}

fn parameters(graph: &Graph, checkpoint: &Checkpoint) -> Result<(), InferError> {
    for spec in graph.parameters() {
        if spec.is_stored_weight() {
            continue;
        }
        let ParameterSpec { name, shape } = spec;
        let Some(tensor) = checkpoint.parameters.get(&name) else {
            return Err(InferError::MissingParameter { name });
        };
        if tensor.shape() != shape {
            return Err(InferError::ParameterShape { name, found: tensor.shape().to_vec(), expected: shape });
        }
        finite(&name, tensor)?;
    }
    for node in graph.nodes() {
        let Op::BatchNorm { epsilon } = node.op else { continue };
        let name = format!("{}.running_var", node.name);
        let variances = checkpoint.parameters[&name].values();
        if let Some(index) = variances.iter().position(|&v| f64::from(v) <= -epsilon) {
            return Err(InferError::Variance { name, index, value: variances[index], epsilon });
        }
    }
    Ok(())
}

fn finite(name: &str, tensor: &FloatTensor) -> Result<(), InferError> {
    let Some((index, value)) = tensor.first_non_finite() else { return Ok(()) };
    Err(InferError::NonFinite { name: name.into(), index, value })
}

/// Returns the static scales of a checkpoint, one for each quantization point of a graph.
pub(crate) fn activations<'a>(
    graph: &Graph,
    checkpoint: &'a Checkpoint,
) -> Result<&'a BTreeMap<String, ActivationScale>, InferError> {
    let Some(scales) = checkpoint.activations.scales() else {
        return Err(InferError::Activations { found: "dynamic", expected: "static" });
    };
    for point in graph.quantization_points() {
        let name = &graph.nodes()[point.node].name;
        let Some(activation) = scales.get(name) else {
            return Err(InferError::MissingActivation { name: name.clone() });
        };
        scale(name, activation.levels_per_unit)?;
        if activation.signed != point.signed {
            let (found, expected) = (activation.signed, point.signed);
            return Err(InferError::ActivationSign { name: name.clone(), found, expected });
        }
    }
    Ok(scales)
}

fn scale(name: &str, value: f32) -> Result<(), InferError> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(InferError::Scale { name: name.into(), value })
}

fn describe(model: &ModelSpec, layers: &[Layer]) -> String {
    let ModelSpec { architecture, classes, input: [c, h, w], width, variant: _ } = model;
    let listed = if layers.is_empty() { String::new() } else { format!(", {} listed layers", layers.len()) };
    format!("{architecture} ({classes} classes, input {c}x{h}x{w}, width {width}{listed})")
}
