/// The reason why a network cannot be compiled or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InferError {
    /// The checkpoint describes another network than the graph.
    #[error("the checkpoint is of {found}, expected {expected}, which the graph was built from")]
    Model {
        /// The checkpoint's model.
        found: String,
        /// The graph's model.
        expected: String,
    },
    /// The number of weight tensors is wrong.
    #[error("the checkpoint has {found} weight tensors, expected {expected}")]
    WeightCount {
        /// Tensors in the checkpoint.
        found: usize,
        /// Stored weights of the graph.
        expected: usize,
    },
    /// A weight tensor is out of memory order, or has another shape.
    #[error("weight tensor {index} is {found} {found_shape:?}, expected {expected} {expected_shape:?}")]
    Weight {
        /// Position in memory order.
        index: usize,
        /// Its name in the checkpoint.
        found: String,
        /// Its shape in the checkpoint.
        found_shape: Vec<usize>,
        /// The graph's name for the tensor at this position.
        expected: String,
        /// The graph's shape.
        expected_shape: Vec<usize>,
    },
    /// A bias or a batch-norm parameter is missing.
    #[error("parameter {name} is missing from the checkpoint")]
    MissingParameter {
        /// Parameter name.
        name: String,
    },
    /// A parameter has another shape than its layer.
    #[error("parameter {name} has shape {found:?}, expected {expected:?}")]
    ParameterShape {
        /// Parameter name.
        name: String,
        /// Shape in the checkpoint.
        found: Vec<usize>,
        /// Shape that the graph expects.
        expected: Vec<usize>,
    },
    /// The checkpoint is for another evaluator.
    #[error("the checkpoint's activation ranges are {found}, expected {expected} ones")]
    Activations {
        /// `static`, `dynamic` or `given`.
        found: &'static str,
        /// Another one of the three.
        expected: &'static str,
    },
    /// A quantization point has no scale.
    #[error("the checkpoint has no activation scale for {name}")]
    MissingActivation {
        /// Node name.
        name: String,
    },
    /// A quantization point has the wrong kind of levels, signed or unsigned.
    #[error("the activation scale of {name} has signed = {found}, expected {expected}")]
    ActivationSign {
        /// Node name.
        name: String,
        /// Kind in the checkpoint; true if signed.
        found: bool,
        /// Kind in the graph; true if signed.
        expected: bool,
    },
    /// The exact sum of a layer may overflow i32.
    #[error(
        "layer {layer} sums {terms} products of up to 255 * 128, expected at most 65793, which fit into i32"
    )]
    Overflow {
        /// Node name.
        layer: String,
        /// Number of products in one sum.
        terms: usize,
    },
    /// The ratio of two scales overflows f32.
    #[error(
        "the requantization of channel {channel} of {layer} is x * {multiplier} + {offset}, expected finite numbers"
    )]
    Requantization {
        /// Node name.
        layer: String,
        /// Output channel.
        channel: usize,
        /// Factor on the accumulator.
        multiplier: f32,
        /// Summand.
        offset: f32,
    },
    /// An operation for which dynamic ranges have no rule.
    #[error("layer {layer} is {operation}, for which dynamic ranges have no rule, expected static ones")]
    Dynamic {
        /// Node name.
        layer: String,
        /// The operation, with its fields.
        operation: String,
    },
    /// A layer whose given quantization has no meaning, or that no rule defines.
    #[error("layer {layer} {problem}")]
    Given {
        /// Node name.
        layer: String,
        /// Rest of a sentence that begins with the layer's name.
        problem: String,
    },
    /// A `u16` cannot name all classes.
    #[error("the network has {found} classes, expected at most 65536")]
    Classes {
        /// Number of classes.
        found: usize,
    },
    /// The machine does not support a form of the inner loop.
    #[error("kernel form {found} is not one of this machine, expected one of {}", crate::kernel_forms().join(", "))]
    KernelForm {
        /// Id of the form.
        found: String,
    },
    /// The pixels are not a whole number of images.
    #[error("{found} pixel values, expected a multiple of {image}, the size of one image")]
    PixelCount {
        /// Number of pixel values.
        found: usize,
        /// Values in one image.
        image: usize,
    },
}
