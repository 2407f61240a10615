/// Reason why a network cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// A field of the model specification is out of its range.
    #[error("{field} of {architecture} is {value}, expected {expected}")]
    Spec {
        /// Architecture of the specification.
        architecture: String,
        /// Field of [`crate::ModelSpec`].
        field: &'static str,
        /// Its value.
        value: String,
        /// Its permitted values.
        expected: String,
    },
    /// A listed layer cannot be built.
    #[error("layer {layer}: {problem}")]
    Layer {
        /// Name of the layer.
        layer: String,
        /// The fault and the expectation.
        problem: String,
    },
}
