//! Checks the input image of a graph, and the parts of a model beside its nodes.

use std::collections::HashSet;

use graph::{MAX_CHANNELS, MAX_LAYERS, ModelSpec};

use super::OnnxProblem;
use super::convert::graph_problem;
use super::message::{Dimension, Graph, Model, Node, ValueInfo};
use super::operators;
use super::tensor::{Held, UINT8, held, type_name};
use crate::import::dtype::Dtype;
use crate::import::shown;

/// Versions of the file format that [`super::message`] covers.
const VERSIONS: std::ops::RangeInclusive<i64> = 3..=14;

/// The input image of a graph.
pub(super) struct Image<'a> {
    pub(super) name: &'a str,
    /// Channels, height and width.
    pub(super) size: [usize; 3],
    /// Batch size; `None` if it is free.
    pub(super) batch: Option<usize>,
    /// True if the file has channels last.
    pub(super) last: bool,
    /// True if pixels are bytes.
    pub(super) is_bytes: bool,
    /// Name of the element type, if it differs from this program's.
    pub(super) other_type: Option<String>,
}

/// Refuses parts of a model that change its result and are no nodes or dense tensors.
pub(super) fn check_model(model: &Model, graph: &Graph) -> Result<(), OnnxProblem> {
    let refused = |what, problem| Err(graph_problem(what, problem));
    if !VERSIONS.contains(&model.ir_version) {
        let (found, [oldest, newest]) = (model.ir_version, [*VERSIONS.start(), *VERSIONS.end()]);
        let problem = format!(
            "is {found}, expected {oldest}..={newest}: save the model again with another onnx package"
        );
        return refused("ir_version", problem);
    }
    if !model.training_info.is_empty() {
        return refused("training_info", "is there, expected a model exported for inference".into());
    }
    if let Some(function) =
        model.functions.iter().find(|f| f.domain.is_empty() || operators::find(&f.name).is_some())
    {
        let problem = format!("holds {}, expected functions to be inlined", shown(&function.name));
        return refused("functions", problem);
    }
    if let Some(sparse) = graph.sparse_initializer.first() {
        let name = sparse.values.as_ref().map_or("", |values| &values.name);
        let problem = format!("holds {}, expected dense tensors only", shown(name));
        return refused("sparse_initializer", problem);
    }
    if let Some(annotation) = graph.quantization_annotation.first() {
        let problem = format!(
            "names {}, expected a float model, which is quantized here",
            shown(&annotation.tensor_name)
        );
        return refused("quantization_annotation", problem);
    }
    let mut names = HashSet::new();
    let tensors = graph.initializer.iter().map(|tensor| tensor.name.as_str());
    if let Some(twice) = tensors.clone().find(|name| !names.insert(*name)) {
        return refused("initializer", format!("{} is there twice", shown(twice)));
    }
    names.extend(graph.input.iter().map(|input| input.name.as_str()));
    let outputs = graph.node.iter().flat_map(|node| &node.output).filter(|name| !name.is_empty());
    for name in outputs {
        if !names.insert(name) {
            return refused("node", format!("{} is computed twice, or is an input too", shown(name)));
        }
    }
    Ok(())
}

/// Returns the input image of a graph.
pub(super) fn input(graph: &Graph) -> Result<Image<'_>, OnnxProblem> {
    let tensors: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let inputs = graph.input.iter().filter(|input| !tensors.contains(input.name.as_str()));
    let inputs: Vec<&ValueInfo> = inputs.collect();
    let [image] = *inputs else {
        let names: Vec<String> = inputs.iter().map(|input| shown(&input.name)).collect();
        return Err(graph_problem("input", format!("is [{}], expected one, the image", names.join(", "))));
    };
    let name = shown(&image.name);
    let problem = |problem: String| graph_problem("input", format!("{name} {problem}"));
    let Some(tensor) = image.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()) else {
        return Err(problem("is no tensor, expected an image".into()));
    };
    let is_bytes = tensor.elem_type == UINT8;
    if !is_bytes && !matches!(held(tensor.elem_type), Held::Float(_)) {
        let found = type_name(tensor.elem_type);
        return Err(problem(format!("has elements of type {found}, expected float, or uint8 for pixels")));
    }
    let dims: &[Dimension] = tensor.shape.as_ref().map_or(&[], |shape| &shape.dim);
    let size = |dim: &Dimension| dim.dim_value.and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0);
    if let [batch, rest @ ..] = dims
        && batch.dim_value.is_none_or(|n| n <= MAX_LAYERS as i64)
        && let [Some(first), Some(second), Some(third)] = *rest.iter().map(size).collect::<Vec<_>>()
    {
        let last = has_channels_last(graph, &image.name, [first, second, third]);
        let size @ [channels, height, width] = match last {
            true => [third, first, second],
            false => [first, second, third],
        };
        if channels > MAX_CHANNELS || !ModelSpec::is_size([height, width]) {
            return Err(problem(format!(
                "is [1, {channels}, {height}, {width}], expected at most {MAX_CHANNELS} channels and 4194304 pixels, \
                 4096 a side"
            )));
        }
        let batch = batch.dim_value.and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0);
        let is_plain = is_bytes || held(tensor.elem_type) == Held::Float(Dtype::F32);
        let other_type = (!is_plain).then(|| type_name(tensor.elem_type));
        return Ok(Image { name: &image.name, size, batch, last, is_bytes, other_type });
    }
    let size = |dim: &Dimension| match (dim.dim_value, &dim.dim_param) {
        (Some(value), _) => value.to_string(),
        (None, name) => shown(name.as_deref().unwrap_or("?")),
    };
    let found = dims.iter().map(size).collect::<Vec<_>>().join(", ");
    Err(problem(format!(
        "is [{found}], expected [batch, channels, height, width], of which only the batch may have a name: export it \
         for images of one size"
    )))
}

/// True if the file has channels last: the first node that depends on the order of axes moves channels to the
/// front.
fn has_channels_last(graph: &Graph, image: &str, dims: [usize; 3]) -> bool {
    let mut same = HashSet::from([image]);
    for node in &graph.node {
        if !node.input.iter().any(|name| same.contains(name.as_str())) {
            continue;
        }
        match node.op_type.as_str() {
            "Identity" | "Cast" | "Add" | "Sub" | "Mul" | "Div" | "Pad" => {
                same.extend(node.output.iter().map(String::as_str));
            }
            // The order of axes does not matter.
            "Shape" => {}
            "Transpose" => return perm(node) == [0, 3, 1, 2],
            // Tools write a transpose of one channel, which moves nothing, as a reshape.
            "Reshape" => return dims[2] == 1 && dims[0] > 1,
            _ => return false,
        }
    }
    false
}

fn perm(node: &Node) -> &[i64] {
    node.attribute.iter().find(|attribute| attribute.name == "perm").map_or(&[], |a| a.ints.as_slice())
}
