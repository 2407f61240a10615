use std::path::PathBuf;

use graph::PreprocessingError;
use quant::{InvalidLevelsPerUnit, ValueError};

/// The reason why training cannot begin or continue.
#[derive(Debug, thiserror::Error)]
pub enum WotError {
    /// A field of the recipe is out of range.
    #[error("{field} is {value}, expected {expected}")]
    Recipe {
        /// Field of [`crate::Recipe`].
        field: &'static str,
        /// Value of the field.
        value: String,
        /// Valid values.
        expected: &'static str,
    },
    /// A parameter of the graph is missing.
    #[error("parameter {name} is missing")]
    MissingParameter {
        /// Parameter name.
        name: String,
    },
    /// The graph has no such parameter.
    #[error("parameter {name} is none of the network's")]
    UnexpectedParameter {
        /// Parameter name.
        name: String,
    },
    /// A parameter has another shape than the graph's.
    #[error("parameter {name} has shape {found:?}, expected {expected:?}")]
    ParameterShape {
        /// Parameter name.
        name: String,
        /// Shape given.
        found: Vec<usize>,
        /// Shape that the graph expects.
        expected: Vec<usize>,
    },
    /// A parameter is not finite, or a running variance is negative.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// The weights of a tensor are too small for a scale.
    #[error("scale of {tensor} is {error}")]
    Scale {
        /// Weight tensor.
        tensor: String,
        /// The defect.
        error: InvalidLevelsPerUnit,
    },
    /// The trainer has no gradient for an operation.
    #[error("layer {layer} is {operation}, which cannot be trained here, expected a network without it")]
    Operation {
        /// Name of the layer.
        layer: String,
        /// The operation, with its fields.
        operation: String,
    },
    /// The images have another shape than the network's input, or more classes than the network.
    #[error(
        "the set has images of {found:?} and {found_classes} classes, expected {expected:?} and at most {expected_classes} classes"
    )]
    Images {
        /// Channels, height and width of the images.
        found: [usize; 3],
        /// Classes of the set.
        found_classes: usize,
        /// Channels, height and width of the network's input.
        expected: [usize; 3],
        /// Classes of the network.
        expected_classes: usize,
    },
    /// There are fewer images than those held out plus one batch.
    #[error("{found} training images, expected at least {expected}: {held_out} held out and a batch")]
    TooFewImages {
        /// Number of images in the set.
        found: usize,
        /// Number of images held out.
        held_out: usize,
        /// Number of images needed.
        expected: usize,
    },
    /// There is not one mean for each channel.
    #[error("preprocessing.{0}")]
    Preprocessing(#[from] PreprocessingError),
    /// The loss is infinite or NaN.
    #[error(
        "the loss of iteration {iteration} is {loss}, expected a finite number: try a lower learning rate"
    )]
    Diverged {
        /// The iteration, counted from 1.
        iteration: u64,
        /// The loss.
        loss: f32,
    },
    /// The caller asked for a result that this method, or a trainer that has not run, does not have.
    #[error("{asked} requires {needed}")]
    NotThere {
        /// The result.
        asked: &'static str,
        /// The condition under which there is one.
        needed: &'static str,
    },
    /// A training state cannot be read or written.
    #[error("{path}: {kind}", path = .path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// The defect.
        #[source]
        kind: StateError,
    },
    /// A batch of the caller is not two or more images of the network's shape with one label each.
    #[error(
        "a batch is {found:?} with {labels} labels, expected at least 2 images of {expected:?}, each with one"
    )]
    Batch {
        /// Shape of the images.
        found: Vec<usize>,
        /// Number of labels.
        labels: usize,
        /// Channels, height and width of the network's input.
        expected: [usize; 3],
    },
    /// A label is not below the number of classes.
    #[error("label {index} is {label}, expected less than {classes}")]
    Label {
        /// Index in the batch.
        index: usize,
        /// The label.
        label: u16,
        /// Number of classes of the network.
        classes: usize,
    },
}

/// The reason why a file of training state cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file cannot be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The file is no safetensors file.
    #[error("not a safetensors file: {0}")]
    Safetensors(#[from] safetensors::SafeTensorError),
    /// The metadata lacks the entry of a training state.
    #[error("no training state: its metadata has no `{key}` entry")]
    Foreign {
        /// The key.
        key: &'static str,
    },
    /// The metadata entry is malformed.
    #[error("metadata: {0}")]
    Metadata(#[from] serde_json::Error),
    /// The file has another format version.
    #[error("format version {found}, newest known is {newest}: a newer zerospace reads the file")]
    Version {
        /// Version of the file.
        found: u32,
        /// The newest version that this crate reads.
        newest: u32,
    },
    /// The state belongs to another training.
    #[error("{what} is {found}, expected {expected}: the state belongs to another training")]
    OtherTraining {
        /// The part that differs: recipe, network or preprocessing.
        what: &'static str,
        /// Description in the file.
        found: String,
        /// Description of this training.
        expected: String,
    },
    /// A tensor is missing, or does not hold the expected number of f32 values.
    #[error("tensor {tensor} is {found}, expected {expected} f32 values")]
    Tensor {
        /// Tensor name.
        tensor: String,
        /// Description of the tensor in the file.
        found: String,
        /// Number of values needed.
        expected: usize,
    },
    /// A scale or a range is negative.
    #[error("value {index} of tensor {tensor} is {value}, expected at least 0")]
    Negative {
        /// `scales` or `ranges`.
        tensor: String,
        /// Index in the tensor.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A scale is 0.
    #[error("scale of {tensor} is {error}")]
    Scale {
        /// Weight tensor.
        tensor: String,
        /// The defect.
        error: InvalidLevelsPerUnit,
    },
    /// A value is infinite or NaN.
    #[error("value {index} of tensor {tensor} is {value}, expected a finite number")]
    NonFinite {
        /// Tensor name.
        tensor: String,
        /// Index in the tensor.
        index: usize,
        /// The value.
        value: f32,
    },
}
