//! Graphs from listed layers, which a checkpoint carries if no architecture name stands for its network.
//!
//! A list comes from a file, so nothing in it is trusted: every layer is checked against the shapes before it, and
//! sizes are bounded where arithmetic or memory could suffer.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::spec::{MAX_PIXELS, MAX_SIDE};
use crate::{Graph, GraphError, ModelSpec, Node, Op};

/// Length of the longest list; published networks have up to about a thousand layers.
pub const MAX_LAYERS: usize = 4096;

/// Largest number of values that one image may have in one place.
const MAX_VALUES: usize = 1 << 28;

/// Layer of a network that no architecture name stands for.
///
/// A network is a list of layers in execution order. Place 0 of a network is its input, layer i computes place i + 1,
/// and the last layer gives the logits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// Name of the layer, unique in its network; the prefix of its parameters, e.g. `<name>.weight`.
    pub name: String,
    /// Places that it reads, each before its own.
    pub inputs: Vec<usize>,
    /// Operation of the layer.
    pub op: Op,
}

impl Layer {
    /// Shape of the output for inputs of these shapes.
    ///
    /// # Errors
    /// As [`Op::output`]; and an output larger than any published network's.
    pub fn output(op: &Op, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
        let shape = op.output(inputs)?;
        let values = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
        let pixels: usize = shape[1..].iter().product();
        if !values.is_some_and(|n| (1..=MAX_VALUES).contains(&n)) || pixels > MAX_PIXELS {
            return Err(format!(
                "gives {shape:?}, expected 1..={MAX_VALUES} values in at most {MAX_PIXELS} pixels"
            ));
        }
        Ok(shape)
    }
}

impl Graph {
    /// Builds the graph of listed layers; `model.architecture` is only a name.
    ///
    /// # Errors
    /// Classes, channels, sizes or a width out of range, more than [`MAX_LAYERS`] layers; and with the layer's name: a
    /// name that is empty or taken, a place that does not exist yet, shapes that do not fit the operation, sizes out
    /// of range, an output that no layer reads, a last layer that does not give one logit a class.
    pub fn listed(model: &ModelSpec, layers: &[Layer]) -> Result<Self, GraphError> {
        check_model(model, layers)?;
        let mut nodes = vec![Node::input(model.input)];
        let mut names = BTreeSet::from(["input".to_string()]);
        for layer in layers {
            let problem = |problem: String| GraphError::Layer { layer: layer.name.clone(), problem };
            if layer.name.is_empty() || !names.insert(layer.name.clone()) {
                return Err(problem("the name is empty or taken, expected one of its own".into()));
            }
            if let Some(place) = layer.inputs.iter().find(|place| **place >= nodes.len()) {
                return Err(problem(format!("reads place {place}, expected one before {}", nodes.len())));
            }
            let inputs: Vec<&[usize]> = layer.inputs.iter().map(|&i| nodes[i].shape.as_slice()).collect();
            let shape = Layer::output(&layer.op, &inputs).map_err(problem)?;
            let Layer { name, inputs, op } = layer.clone();
            nodes.push(Node { name, op, inputs, shape });
        }
        let read: BTreeSet<usize> = layers.iter().flat_map(|layer| layer.inputs.iter().copied()).collect();
        if let Some(id) = (0..nodes.len() - 1).find(|id| !read.contains(id)) {
            let problem = "no layer reads its output, expected one, or that it is the last layer".into();
            return Err(GraphError::Layer { layer: nodes[id].name.clone(), problem });
        }
        let last = nodes.last().expect("there is an input");
        if last.shape != [model.classes] {
            let problem =
                format!("is the last and gives {:?}, expected [{}] logits", last.shape, model.classes);
            return Err(GraphError::Layer { layer: last.name.clone(), problem });
        }
        Ok(Self { spec: model.clone(), layers: layers.to_vec(), nodes })
    }
}

fn check_model(model: &ModelSpec, layers: &[Layer]) -> Result<(), GraphError> {
    model.check_classes_and_channels()?;
    let [_, height, width] = model.input;
    if !ModelSpec::is_size([height, width]) {
        let expected = format!("height and width in 1..={MAX_SIDE}, at most {MAX_PIXELS} pixels");
        return Err(model.refused("input size", format!("{height}x{width}"), expected));
    }
    if model.width != 1.0 {
        return Err(model.refused("width", model.width, "1, since its layers are listed"));
    }
    if layers.len() > MAX_LAYERS {
        return Err(model.refused("layers", layers.len(), format!("at most {MAX_LAYERS}")));
    }
    Ok(())
}
