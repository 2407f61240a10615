//! ONNX models as layer lists.
//!
//! [`message`] declares the supported part of the file format, [`operators`] the supported inputs and
//! attributes of each operator. [`tensor`] turns initializers into values, and [`fold`] computes nodes of
//! constants. [`convert`] walks the nodes in file order, which ONNX requires to be an order of execution;
//! [`layer`], [`window`] and [`reshape`] convert the nodes. [`place`] keeps ONNX's view of a value.
//! [`tokens`] reads attention. [`attribute`] reads attributes and [`border`] padding. [`quantized`] reads networks that another program quantized.

use std::path::Path;

use graph::{Layer, ModelSpec, Preprocessing, PreprocessingError};
use prost::Message;
use quant::Parameters;

use super::{Budget, ImportError, Kind, QuantizedModel, shown};

mod attribute;
mod border;
mod convert;
mod fold;
mod input;
mod layer;
mod message;
mod nearest;
mod normalization;
mod operators;
mod place;
mod quantized;
mod reshape;
mod scalar;
mod tensor;
#[cfg(test)]
mod tests;
mod tokens;
mod window;

pub(super) use convert::free_name;
pub use quantized::read_quantized_onnx;

/// Oldest supported operator set: the first that broadcasts constants as numpy does.
const OLDEST_OPSET: i64 = 7;

/// Largest number of outputs that are tried if none is chosen.
const MAX_OUTPUTS: usize = 16;

/// A network from an ONNX file, for [`crate::build_stored`] and [`crate::bind()`].
#[derive(Clone, Debug, PartialEq)]
pub struct OnnxModel {
    /// Classes and input size; `architecture` is the name of the ONNX graph, `width` is 1.
    pub model: ModelSpec,
    /// The layers, in the order of the file's nodes.
    pub layers: Vec<Layer>,
    /// Their parameters: convolution weights as OIHW, linear weights as OI.
    pub parameters: Parameters,
    /// Arithmetic on the image before the first layer.
    pub arithmetic: InputArithmetic,
    /// Notes on choices and changes made while reading, one sentence each.
    pub notes: Vec<String>,
}

/// A network of an ONNX file.
#[derive(Clone, Debug, PartialEq)]
pub enum OnnxFile {
    /// A float network.
    Float(OnnxModel),
    /// A network that another program quantized.
    Quantized(QuantizedModel),
}

/// Arithmetic on the image before the first layer: `x * scale + offset`, with one factor and one offset for
/// each channel.
#[derive(Clone, Debug, PartialEq)]
pub struct InputArithmetic {
    /// True if x is the pixel itself, 0 to 255, before normalization.
    pub bytes: bool,
    /// Factor of each channel; positive.
    pub scale: Vec<f64>,
    /// Offset of each channel.
    pub offset: Vec<f64>,
}

impl InputArithmetic {
    fn none(channels: usize) -> Self {
        Self { bytes: false, scale: vec![1.0; channels], offset: vec![0.0; channels] }
    }

    /// True if the arithmetic changes nothing.
    pub fn is_none(&self) -> bool {
        !self.bytes && self.scale.iter().all(|&v| v == 1.0) && self.offset.iter().all(|&v| v == 0.0)
    }

    /// Appends further arithmetic to this one.
    fn then(&mut self, scale: &[f64], offset: &[f64]) {
        let own = self.scale.iter_mut().zip(&mut self.offset);
        for ((a, b), (scale, offset)) in own.zip(scale.iter().zip(offset)) {
            (*a, *b) = (*a * scale, *b * scale + offset);
        }
    }

    /// Returns a preprocessing that does everything: `asked`, then this arithmetic. If the file takes bytes,
    /// it does all normalization itself and `asked` is ignored.
    ///
    /// ```text
    /// ((pixel / 255 - mean) / std) * scale + offset = (pixel / 255 - (mean - offset * std / scale)) / (std / scale)
    /// ```
    ///
    /// # Errors
    /// Means and deviations that leave f32.
    pub fn preprocessing(&self, asked: &Preprocessing) -> Result<Preprocessing, PreprocessingError> {
        let of = |values: &[f32], bytes: f64, c: usize| if self.bytes { bytes } else { values[c].into() };
        let channels = 0..self.scale.len();
        let std = |c| of(asked.std(), 1.0 / 255.0, c) / self.scale[c];
        let mean = |c| of(asked.mean(), 0.0, c) - self.offset[c] * std(c);
        let means = channels.clone().map(|c| mean(c) as f32).collect();
        Preprocessing::new(means, channels.map(|c| std(c) as f32).collect())
    }
}

/// The reason why a file is no ONNX model that this program can run.
#[derive(Debug, thiserror::Error)]
pub(super) enum OnnxProblem {
    #[error("{what}, expected an ONNX model")]
    Foreign { what: String },
    #[error("{what} of the model {problem}")]
    Graph { what: &'static str, problem: String },
    #[error(
        "node {node} has operator {operator} of operator set {opset}{instead}, expected one of {}",
        operators::names()
    )]
    Operator { node: String, operator: String, opset: i64, instead: String },
    #[error("node {node} ({operator}): {problem}")]
    Node { node: String, operator: String, problem: String },
}

/// Reads a CNN or a vision transformer from an ONNX file (operator sets 7 to 28).
///
/// **Operators**: `Conv` (also grouped and dilated), `Gemm`, `MatMul` (also of the channels of an image, if they are
/// last), `BatchNormalization` of channels or features, `LayerNormalization` over channels (also written out), `Relu`, `LeakyRelu`,
/// `PRelu`, `Clip`, `Max` and `Min` with a number, the functions `Sigmoid`, `HardSigmoid`, `HardSwish`, `Tanh`, `Elu`,
/// `Selu`, `Celu`, `Gelu`, `Mish`, `Softplus` and `Swish`, also where `Erf`, `Pow`, `Mul` and `Add` spell one of them, `MaxPool`,
/// `AveragePool`, `GlobalMaxPool`, `GlobalAveragePool`, `ReduceMean`, `ReduceSum` and `ReduceMax` over height and width, `Neg`, `Add`,
/// `Sub`, `Sum` and `Mul` of two values, `Mul` of an image and one factor for each channel, `Concat` of channels,
/// `Split`, `Slice` and `Gather` of consecutive channels, channels shuffled by `Reshape`, `Transpose` and `Reshape`,
/// `Pad` with zeros around an image or of channels (before a `MaxPool` also with a smaller value), `Slice` of every
/// n-th row and column; `Add`, `Sub`, `Mul` and `Div` with a constant for all values or for each channel; `Flatten`,
/// `Reshape`, `Squeeze`, `Unsqueeze` and `Transpose`; `Identity`, `Dropout`, `Cast` between floats, and a `Softmax` or
/// `LogSoftmax` at the end, which is dropped because it keeps the order of the classes. Nodes of constants alone are
/// computed. Nodes that the output does not need are ignored. Every attribute and input of a node is supported, or
/// refused by name.
///
/// **Tokens** are the pixels of an image: a `Concat` of constant class tokens and an `Add` of a position embedding become
/// [`graph::Op::TokenEmbedding`], a `MatMul` or `Gemm` of each token a 1x1 convolution, and `MatMul`, `Softmax` and `MatMul` of
/// queries, keys and values [`graph::Op::Attention`], in whatever shapes the file moves them between, with a batch of 1. A
/// `Gather` or `Slice` of one token becomes [`graph::Op::SelectToken`]. A mask, or a bias added to the products, is refused.
///
/// **The input** is `[batch, channels, height, width]`, or has the channels last if the file itself moves
/// them to the front. The batch size is free or fixed. Elements are floats, or bytes that a `Cast` turns into
/// floats. Arithmetic with constants on the image becomes [`OnnxModel::arithmetic`], not a layer.
///
/// **The output** is `output`; without a name, it is the only output that is a list of classes.
///
/// **Names**: a layer is named after its weight (`features.0.weight` belongs to `features.0`), otherwise
/// after its node. Weights of `MatMul` and of `Gemm` without `transB` are transposed to OI. A 1x1 `Conv` of a
/// mean is a linear layer, and a linear layer without a bias gets a bias of zeros. After a flattened
/// channels-last image, the columns of a linear layer are reordered to channels, height, width. An added
/// constant becomes the bias of the layer before it; a factor becomes a batch norm.
///
/// **External data** is read from files beside the model.
///
/// # Errors
/// The file cannot be read, is no ONNX model, has another operator set, or has several outputs and none is
/// chosen. A node has an unsupported operator, or uses one in a way that the layers of this program cannot
/// express; the error names the node and its operator. Two nodes share a weight, which memory would hold only
/// once. Constants take more than 64 MiB plus 16 times the size of the file and of the files beside it. Every
/// error names the file.
pub fn read_onnx(path: &Path, output: Option<&str>) -> Result<OnnxModel, ImportError> {
    read(path, |bytes, folder| parse(bytes, folder, output))
}

/// Reads a network as [`read_quantized_onnx`] does if another program quantized it, and else as [`read_onnx`] does.
///
/// # Errors
/// Those of the two.
pub fn read_any_onnx(path: &Path, output: Option<&str>) -> Result<OnnxFile, ImportError> {
    read(path, |bytes, folder| {
        let model = decoded(bytes)?;
        match quantized::network(&model, bytes.len(), folder, output)? {
            Some(quantized) => Ok(OnnxFile::Quantized(quantized)),
            None => network(&model, bytes.len(), folder, output).map(OnnxFile::Float),
        }
    })
}

/// Parses the bytes of a file; `parse` also gets the folder of the external data.
fn read<T>(
    path: &Path,
    parse: impl FnOnce(&[u8], &Path) -> Result<T, OnnxProblem>,
) -> Result<T, ImportError> {
    let read = || -> Result<T, Kind> {
        let bytes = std::fs::read(path)?;
        Ok(parse(&bytes, path.parent().unwrap_or(Path::new("")))?)
    };
    read().map_err(|kind| ImportError { path: path.into(), kind })
}

/// Describes a file that is no ONNX model by its first bytes.
fn foreign(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [] => Some("is empty"),
        [b'P', b'K', 3, 4, ..] => {
            Some("is a zip file, as torch.save writes state dicts, which do not describe layers")
        }
        [0x80, 2..=5, b'}' | b'c' | b'(' | b']' | 0x8a | 0x95, ..] => {
            Some("is a Python pickle, as torch.save writes state dicts, which do not describe layers")
        }
        [_, _, _, _, 0, 0, 0, 0, b'{', ..] => {
            Some("is a safetensors file, which holds tensors and no layers")
        }
        [0x89, b'H', b'D', b'F', ..] => Some("is an HDF5 file: convert it with tf2onnx"),
        [_, _, _, _, b'T', b'F', b'L', b'3', ..] => Some(
            "is a TensorFlow Lite file, which read_tflite reads if it is quantized; convert others with tf2onnx",
        ),
        _ => None,
    }
}

/// Parses a float network; `folder` holds the external data.
fn parse(bytes: &[u8], folder: &Path, output: Option<&str>) -> Result<OnnxModel, OnnxProblem> {
    network(&decoded(bytes)?, bytes.len(), folder, output)
}

/// Decodes a model.
fn decoded(bytes: &[u8]) -> Result<message::Model, OnnxProblem> {
    if let Some(what) = foreign(bytes) {
        return Err(OnnxProblem::Foreign { what: what.into() });
    }
    // Decoding allocates at most the file's size times the size of the largest message.
    message::Model::decode(bytes).map_err(|error| OnnxProblem::Foreign {
        what: format!("is damaged, cut off or of another kind ({error})"),
    })
}

/// Converts a float network of a file of `bytes` bytes.
fn network(
    model: &message::Model,
    bytes: usize,
    folder: &Path,
    output: Option<&str>,
) -> Result<OnnxModel, OnnxProblem> {
    let Some(graph) = &model.graph else {
        return Err(OnnxProblem::Foreign { what: "holds no graph".into() });
    };
    input::check_model(model, graph)?;
    let opset = opset(model)?;
    let external = tensor::external_bytes(&graph.initializer, folder);
    let bytes = Budget::new(bytes.saturating_add(external)).left;
    let source = convert::Source { graph, folder, bytes, opset };
    chosen(source, output)
}

/// Returns the version of ONNX's own operators.
fn opset(model: &message::Model) -> Result<i64, OnnxProblem> {
    let newest = operators::NEWEST_OPSET;
    let versions: Vec<i64> = model
        .opset_import
        .iter()
        .filter(|set| convert::is_standard(&set.domain))
        .map(|set| set.version)
        .collect();
    let problem = match *versions {
        [version] if (OLDEST_OPSET..=newest).contains(&version) => return Ok(version),
        [version] => format!(
            "is {version}, expected {OLDEST_OPSET} to {newest}: export the model again, or convert it with \
             onnx.version_converter.convert_version(model, 17)"
        ),
        [] => "is missing, expected that of ONNX's own operators".into(),
        _ => format!("is {versions:?}, expected one"),
    };
    Err(OnnxProblem::Graph { what: "operator set", problem })
}

/// Returns the network of the chosen output, or of the only one that can be logits.
fn chosen(source: convert::Source<'_>, output: Option<&str>) -> Result<OnnxModel, OnnxProblem> {
    let names: Vec<&str> = source.graph.output.iter().map(|output| output.name.as_str()).collect();
    let listed = names.iter().take(MAX_OUTPUTS).map(|name| shown(name)).collect::<Vec<_>>().join(", ");
    let problem = |problem: String| OnnxProblem::Graph { what: "output", problem };
    let logits = |name| -> Result<OnnxModel, OnnxProblem> {
        let converted = convert::convert(source, name)?;
        match converted.is_flat {
            true => Ok(converted.model),
            false => Err(problem(format!("{} is an image, expected [batch, classes]", shown(name)))),
        }
    };
    if let Some(output) = output {
        let Some(name) = names.iter().find(|name| **name == output) else {
            return Err(problem(format!("{} is not there, expected one of {listed}", shown(output))));
        };
        return logits(name);
    }
    if let [name] = *names {
        return logits(name);
    }
    let several = || problem(format!("is one of {listed}, expected a choice with --onnx-output NAME"));
    if names.is_empty() || names.len() > MAX_OUTPUTS {
        return Err(several());
    }
    // An output that cannot be converted may be the logits, so its error is returned and no other output is chosen.
    let all = names.iter().map(|name| convert::convert(source, name)).collect::<Result<Vec<_>, _>>();
    let mut flat = names.iter().zip(all.map_err(|_| several())?).filter(|(_, converted)| converted.is_flat);
    let (Some((name, one)), None) = (flat.next(), flat.next()) else { return Err(several()) };
    let mut model = one.model;
    let others: Vec<String> = names.iter().filter(|other| *other != name).map(|other| shown(other)).collect();
    let others = others.join(", ");
    model.notes.insert(
        0,
        format!("output {} is read because it is the only list of classes; not read: {others}", shown(name)),
    );
    Ok(model)
}
