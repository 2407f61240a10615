use graph::{GraphError, PreprocessingError};
use quant::ValueError;

use crate::{ARCHITECTURES, MismatchError};

/// The reason why a network cannot be built or run.
#[derive(Debug, thiserror::Error)]
pub enum ZooError {
    /// No architecture has this id.
    #[error("architecture is `{found}`, expected one of {}", ARCHITECTURES.join(", "))]
    UnknownArchitecture {
        /// The id asked for.
        found: String,
    },
    /// The architecture does not have the requested variant.
    #[error("variant of {architecture} is {found}, expected {expected}")]
    Variant {
        /// The requested architecture.
        architecture: String,
        /// The requested variant.
        found: &'static str,
        /// The variants of the architecture.
        expected: String,
    },
    /// The sizes or the listed layers do not make a network.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Parameters are missing, unexpected or of another shape.
    #[error(transparent)]
    Mismatch(#[from] MismatchError),
    /// A parameter is not finite, or a running variance is negative.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// There is not one mean for each channel.
    #[error("preprocessing.{0}")]
    Preprocessing(#[from] PreprocessingError),
    /// The pixels are not a whole number of images.
    #[error("{found} pixel values, expected a multiple of {image}, the size of one image")]
    PixelCount {
        /// Number of pixel values.
        found: usize,
        /// Values in one image.
        image: usize,
    },
    /// Calibration got no images.
    #[error("calibration got no images, expected at least one")]
    NoImages,
    /// The variables of a float network have another type or device.
    #[error("the variables are {found}, expected f32 on the CPU")]
    Variables {
        /// Type and device.
        found: String,
    },
    /// A batch of images is empty or has the wrong shape.
    #[error("images have shape {found:?}, expected [n, {}, {}, {}] with n of at least 1", .input[0], .input[1], .input[2])]
    Images {
        /// Shape of the batch.
        found: Vec<usize>,
        /// Channels, height and width of the network's input.
        input: [usize; 3],
    },
    /// The number of ranges differs from the number of nodes.
    #[error("{found} ranges were given for {expected} nodes, expected one per node")]
    Ranges {
        /// Number of ranges given.
        found: usize,
        /// Number of nodes in the graph.
        expected: usize,
    },
    /// A node computed a NaN or an infinity, so it has no range.
    #[error("node {node} computed {value}, expected finite numbers")]
    NonFiniteActivation {
        /// Node name.
        node: String,
        /// The value.
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
    /// candle failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}
