use serde::{Deserialize, Serialize};

/// Where a checkpoint came from. Recorded, shown, and not part of its identity.
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
    /// What was done to the weights after rounding, e.g. how many were throttled.
    pub weight_edits: String,
    /// Choices made in reading the float checkpoint (a key, a prefix, a batch size, arithmetic on the image), a
    /// sentence each. Absent from files where there was nothing to choose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reading: Vec<String>,
    /// Program and version that wrote the file.
    pub written_by: String,
}
