use crate::{ARCHITECTURES, MismatchError};

/// Why a network cannot be built or run.
#[derive(Debug, thiserror::Error)]
pub enum ZooError {
    /// No architecture has this id.
    #[error("architecture is `{found}`, expected one of {}", ARCHITECTURES.join(", "))]
    UnknownArchitecture {
        /// The id asked for.
        found: String,
    },
    /// A field of the model specification is out of its range.
    #[error("{field} of {architecture} is {value}, expected {expected}")]
    Spec {
        /// The architecture asked for.
        architecture: String,
        /// Field of [`quant::ModelSpec`].
        field: &'static str,
        /// What it holds.
        value: String,
        /// What it may hold.
        expected: String,
    },
    /// The architecture has no such variant.
    #[error("variant of {architecture} is {found}, expected {expected}")]
    Variant {
        /// The architecture asked for.
        architecture: String,
        /// The variant asked for.
        found: &'static str,
        /// Those that it has.
        expected: String,
    },
    /// A listed layer cannot be built.
    #[error("layer {layer}: {problem}")]
    Layer {
        /// Name of the layer.
        layer: String,
        /// What is wrong with it, and what was expected.
        problem: String,
    },
    /// Parameters are missing, unexpected or of another shape.
    #[error(transparent)]
    Mismatch(#[from] MismatchError),
    /// A parameter holds a NaN or an infinity.
    #[error("value {index} of {tensor} is {value}, expected a finite number")]
    NonFinite {
        /// Parameter name.
        tensor: String,
        /// Row-major index.
        index: usize,
        /// The offending value.
        value: f32,
    },
    /// A running variance is negative.
    #[error("value {index} of {tensor} is {value}, expected a variance of at least 0")]
    NegativeVariance {
        /// Parameter name.
        tensor: String,
        /// Channel.
        index: usize,
        /// The offending value.
        value: f32,
    },
    /// A batch of images has the wrong shape, or is empty.
    #[error("images have shape {found:?}, expected [n, {}, {}, {}] with n of at least 1", .input[0], .input[1], .input[2])]
    Images {
        /// Shape of the batch.
        found: Vec<usize>,
        /// Channels, height and width that the network takes.
        input: [usize; 3],
    },
    /// The slice of ranges has the wrong length.
    #[error("{found} ranges were given for {expected} nodes, expected one a node")]
    Ranges {
        /// Ranges given.
        found: usize,
        /// Nodes in the graph.
        expected: usize,
    },
    /// A node computed a NaN or an infinity, so it has no range.
    #[error("node {node} computed {value}, expected finite numbers")]
    NonFiniteActivation {
        /// Node name.
        node: String,
        /// The offending value.
        value: f32,
    },
    /// A quantization point has no activation scale.
    #[error("the activation scale of node {node} is missing")]
    MissingScale {
        /// Node name.
        node: String,
    },
    /// An activation scale names a node that is not a quantization point.
    #[error("the activation scale of {node} belongs to no quantization point of the network")]
    UnexpectedScale {
        /// Name given.
        node: String,
    },
    /// An activation scale is not usable.
    #[error(
        "the activation scale of node {node} is {value} levels per unit, expected a finite positive number"
    )]
    Scale {
        /// Node name.
        node: String,
        /// Levels per unit.
        value: f32,
    },
    /// candle failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}
