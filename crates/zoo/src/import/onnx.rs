//! ONNX models as layer lists.
//!
//! [`message`] declares what is read of the file format, [`tensor`] turns initializers into values, and
//! [`convert`] walks the nodes in their order, which ONNX requires to be an order of execution. [`attribute`],
//! [`border`] (padding) and [`reshape`] (shapes) are its parts.

use std::path::Path;

use prost::Message;
use quant::{Layer, ModelSpec, Parameters};

use super::{Budget, ImportError, Kind};

mod attribute;
mod border;
mod convert;
mod message;
mod reshape;
mod tensor;

/// Oldest version of the operator set that is read.
const OLDEST_OPSET: i64 = 13;

/// A network from an ONNX file, for [`crate::build_stored`] and [`crate::bind()`].
#[derive(Clone, Debug, PartialEq)]
pub struct OnnxModel {
    /// Classes and input size; `architecture` is the name of the ONNX graph, `width` is 1.
    pub model: ModelSpec,
    /// The layers, in the order of the file's nodes.
    pub layers: Vec<Layer>,
    /// Their parameters: convolution weights as OIHW, linear weights as OI.
    pub parameters: Parameters,
}

/// Why a file is no ONNX model that this program can run.
#[derive(Debug, thiserror::Error)]
pub(super) enum OnnxProblem {
    #[error("not an ONNX model: {0}")]
    Protobuf(#[from] prost::DecodeError),
    #[error("not an ONNX model: it holds no graph")]
    NoGraph,
    #[error("the operator set is version {found}, expected {OLDEST_OPSET} or newer: export it again")]
    Opset { found: i64 },
    #[error("{what} of the graph: {problem}")]
    Graph { what: &'static str, problem: String },
    #[error("node {node} has operator {operator}, expected one of {}", convert::OPERATORS.join(", "))]
    Operator { node: String, operator: String },
    #[error("node {node} ({operator}): {problem}")]
    Node { node: String, operator: String, problem: String },
}

/// Reads a CNN from an ONNX file (operator set 13 or newer).
///
/// **Operators**: `Conv` (grouped too), `Gemm`, `MatMul` and an `Add` of its bias, `BatchNormalization`,
/// `Relu`, `Clip` from 0, `MaxPool`, `AveragePool`, `GlobalAveragePool`, `ReduceMean` over height and width,
/// `Add`, `Concat` of channels, `Pad` with zeros; `Flatten`, `Reshape`, `Squeeze`, `Unsqueeze` and
/// `Transpose` as exporters emit them around the classifier, with the arithmetic of shapes before them;
/// `Identity`, `Dropout`, and a `Softmax` or `LogSoftmax` at the end, which is dropped, since the order of
/// the classes does not depend on it. Nodes that the output does not need are not looked at.
///
/// **The input** is one image, `[1, channels, height, width]`, where the 1 may be symbolic.
///
/// **Names**: a layer is called after its weight (`features.0.weight` belongs to `features.0`), otherwise
/// after its node. Weights of `MatMul` and of `Gemm` without `transB` are transposed to OI, a 1x1 `Conv` of a
/// mean is a linear layer, and a linear layer without a bias gets one of zeros.
///
/// **External data** is read from files beside the model.
///
/// # Errors
/// With the file's name: a file that cannot be read or is no ONNX model; an operator set before 13; with the
/// node's name and operator: one that is not in the list above, or is used in a way that the layers of this
/// program cannot express; a weight that two nodes share, which memory would hold once; a file whose constants take
/// more than 64 MiB plus 16 times its size and that of the files beside it.
pub fn read_onnx(path: &Path) -> Result<OnnxModel, ImportError> {
    let read = || -> Result<OnnxModel, Kind> {
        let bytes = std::fs::read(path)?;
        Ok(parse(&bytes, path.parent().unwrap_or(Path::new("")))?)
    };
    read().map_err(|kind| ImportError { path: path.into(), kind })
}

/// `folder` is where external data lies.
fn parse(bytes: &[u8], folder: &Path) -> Result<OnnxModel, OnnxProblem> {
    // What decoding allocates is bounded by the file's size, times the size of the largest message.
    let model = message::Model::decode(bytes)?;
    let graph = model.graph.ok_or(OnnxProblem::NoGraph)?;
    let standard = model.opset_import.iter().find(|set| convert::is_standard(&set.domain));
    let found = standard.map_or(0, |set| set.version);
    if found < OLDEST_OPSET {
        return Err(OnnxProblem::Opset { found });
    }
    let external = tensor::external_bytes(&graph.initializer, folder);
    let limit = Budget::new(bytes.len().saturating_add(external)).left;
    convert::convert(&graph, folder, limit)
}
