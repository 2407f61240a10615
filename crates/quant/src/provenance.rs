use serde::{Deserialize, Serialize};

/// Origin of a checkpoint. It is stored and shown, and is not part of the identity.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// File name of the float checkpoint.
    pub source: String,
    /// Lowercase hex SHA-256 of that file.
    pub source_sha256: String,
    /// Data set, split and number of images that fixed the activation scales.
    pub calibration: String,
    /// Lowercase hex SHA-256 of those images.
    pub calibration_digest: String,
    /// Changes of the weights after rounding, for example the number of throttled weights.
    pub weight_edits: String,
    /// Choices made on reading the float checkpoint (a key, a prefix, a batch size, arithmetic on the image), one
    /// sentence each. Absent from files if there was no choice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reading: Vec<String>,
    /// Program and version that wrote the file.
    pub written_by: String,
}
