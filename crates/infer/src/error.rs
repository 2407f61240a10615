/// The reason why a network cannot be compiled, run or calibrated.
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
    /// The number of a tensor's values is not the product of its shape.
    #[error("{name} has {found} values, expected {expected}")]
    WeightLength {
        /// Tensor name.
        name: String,
        /// Number of values.
        found: usize,
        /// Product of the shape.
        expected: usize,
    },
    /// A tensor with scales by channel does not have one scale for each output channel.
    #[error("{name} has {found} scales, expected {expected}, one per channel")]
    ScaleCount {
        /// Tensor name.
        name: String,
        /// Number of scales.
        found: usize,
        /// Output channels.
        expected: usize,
    },
    /// A scale is zero, negative, infinite or NaN.
    #[error("the scale of {name} is {value}, expected a finite positive number")]
    Scale {
        /// Weight tensor or quantization point.
        name: String,
        /// The scale, levels per unit.
        value: f32,
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
    /// A parameter is NaN or infinite.
    #[error("value {index} of {name} is {value}, expected a finite number")]
    NonFinite {
        /// Parameter name.
        name: String,
        /// Row-major index.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A variance plus epsilon is not positive.
    #[error("value {index} of {name} is {value}, expected a variance above -{epsilon:?}")]
    Variance {
        /// Parameter name.
        name: String,
        /// Channel.
        index: usize,
        /// The value.
        value: f32,
        /// The batch norm's epsilon.
        epsilon: f64,
    },
    /// The checkpoint is for the other evaluator.
    #[error("the checkpoint's activation ranges are {found}, expected {expected} ones")]
    Activations {
        /// `static` or `dynamic`.
        found: &'static str,
        /// The other one of the two.
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
    /// A `u16` cannot name all classes.
    #[error("the network has {found} classes, expected at most 65536")]
    Classes {
        /// Number of classes.
        found: usize,
    },
    /// There is not one mean and one standard deviation for each channel.
    #[error("preprocessing.{field} has {found} values, expected {expected}, one per channel")]
    Preprocessing {
        /// `mean` or `std`.
        field: &'static str,
        /// Number of values.
        found: usize,
        /// Channels of the input.
        expected: usize,
    },
    /// A mean is not finite, or a standard deviation is not positive.
    #[error(
        "preprocessing.{field} of channel {index} is {value}, expected a finite number, positive for std"
    )]
    Normalization {
        /// `mean` or `std`.
        field: &'static str,
        /// Channel.
        index: usize,
        /// The value.
        value: f32,
    },
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
    /// The float executor failed during calibration.
    #[error("calibration: {0}")]
    Zoo(#[from] zoo::ZooError),
}
