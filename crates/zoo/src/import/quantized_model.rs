use graph::{Layer, ModelSpec, Preprocessing};
use quant::{GivenActivations, QuantTensor};

/// A network of a file that another program quantized.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedModel {
    /// Classes and input size; `architecture` is the name of the file's graph, `width` is 1.
    pub model: ModelSpec,
    /// The layers, in the order of the file's nodes.
    pub layers: Vec<Layer>,
    /// The file's own bytes, in memory order: convolution weights as OIHW, linear weights as OI.
    pub weights: Vec<QuantTensor>,
    /// The file's scales, zero points and biases, with the rule of the program that runs such files.
    pub activations: GivenActivations,
    /// The preprocessing by which the value of a pixel is its level, if the file takes bytes; none if it takes floats.
    pub pixels: Option<Preprocessing>,
    /// Notes on choices made while reading, one sentence each.
    pub notes: Vec<String>,
}
