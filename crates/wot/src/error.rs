use std::path::PathBuf;

/// Why training cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum WotError {
    /// A field of the recipe is out of its range.
    #[error("{field} is {value}, expected {expected}")]
    Recipe {
        /// Field of [`crate::Recipe`].
        field: &'static str,
        /// What it holds.
        value: String,
        /// What it may hold.
        expected: &'static str,
    },
    /// The parameters are not the graph's.
    #[error(transparent)]
    Mismatch(#[from] zoo::MismatchError),
    /// An operation that has no gradient here.
    #[error("not trainable yet: {operation} at node {node}")]
    Untrainable {
        /// The operation, in words.
        operation: String,
        /// Node name.
        node: String,
    },
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
    /// The images have another shape than the network takes, or more classes than it knows.
    #[error(
        "images of {found_classes} classes are {found:?}, expected {expected_classes} classes and {expected:?}"
    )]
    Images {
        /// Channels, height and width of the images.
        found: [usize; 3],
        /// Classes of the set.
        found_classes: usize,
        /// Channels, height and width that the network takes.
        expected: [usize; 3],
        /// Classes of the network.
        expected_classes: usize,
    },
    /// Fewer images than held out and one batch.
    #[error("{found} training images, expected at least {expected}: {held_out} held out and a batch")]
    TooFewImages {
        /// Images of the set.
        found: usize,
        /// Images held out.
        held_out: usize,
        /// Images needed.
        expected: usize,
    },
    /// Means and deviations are not one a channel, or cannot be divided by.
    #[error(
        "preprocessing has mean {mean:?} and std {std:?}, expected {channels} finite means and positive deviations"
    )]
    Preprocessing {
        /// Means given.
        mean: Vec<f32>,
        /// Deviations given.
        std: Vec<f32>,
        /// Channels of the network's input.
        channels: usize,
    },
    /// The loss is no number any more.
    #[error(
        "the loss of iteration {iteration} is {loss}, expected a finite number: try a lower learning rate"
    )]
    Diverged {
        /// The iteration, counted from 1.
        iteration: u64,
        /// The loss.
        loss: f32,
    },
    /// A result was asked for that this method, or a trainer that has not run, does not have.
    #[error("{asked} was asked for, which needs {needed}")]
    NotThere {
        /// What was asked for.
        asked: &'static str,
        /// What would have it.
        needed: &'static str,
    },
    /// A training state cannot be read or written.
    #[error("{path}: {kind}", path = .path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        kind: StateError,
    },
    /// A batch of the caller's is not two images or more of the network's shape, each with a label.
    #[error(
        "a batch is {found:?} with {labels} labels, expected at least 2 images of {expected:?}, each with one"
    )]
    Batch {
        /// Shape of the images.
        found: Vec<usize>,
        /// Labels given.
        labels: usize,
        /// Channels, height and width that the network takes.
        expected: [usize; 3],
    },
    /// A label is no class of the network.
    #[error("label {index} is {label}, expected less than {classes}")]
    Label {
        /// Place in the batch.
        index: usize,
        /// The label.
        label: u16,
        /// Classes of the network.
        classes: usize,
    },
}

/// What is wrong with a file of training state.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file cannot be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It is no safetensors file.
    #[error("not a safetensors file: {0}")]
    Safetensors(#[from] safetensors::SafeTensorError),
    /// Its metadata has no entry of ours.
    #[error("no training state: its metadata has no `{key}` entry")]
    Foreign {
        /// The key.
        key: &'static str,
    },
    /// The metadata entry cannot be understood.
    #[error("metadata: {0}")]
    Metadata(#[from] serde_json::Error),
    /// Another version wrote it.
    #[error("format version {found}, expected {expected}")]
    Version {
        /// Version of the file.
        found: u32,
        /// The version that this crate reads.
        expected: u32,
    },
    /// It belongs to another training.
    #[error("{what} is {found}, expected {expected}: the state belongs to another training")]
    OtherTraining {
        /// Recipe, network or preprocessing.
        what: &'static str,
        /// As the file has it.
        found: String,
        /// As it was asked for.
        expected: String,
    },
    /// A tensor is missing, or not f32 of the right size.
    #[error("tensor {tensor} is {found}, expected {expected} f32 values")]
    Tensor {
        /// Tensor name.
        tensor: String,
        /// What the file has.
        found: String,
        /// Values needed.
        expected: usize,
    },
    /// A scale or a range that is less than zero.
    #[error("value {index} of tensor {tensor} is {value}, expected at least 0")]
    Negative {
        /// `scales` or `ranges`.
        tensor: String,
        /// Place in the tensor.
        index: usize,
        /// The value.
        value: f32,
    },
    /// A value from which no training can go on.
    #[error("value {index} of tensor {tensor} is {value}, expected a finite number")]
    NonFinite {
        /// Tensor name.
        tensor: String,
        /// Place in the tensor.
        index: usize,
        /// NaN or an infinity.
        value: f32,
    },
}
