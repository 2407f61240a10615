use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What an architecture needs to be built again: plain data, interpreted by `zoo`.
///
/// Where a [`crate::Checkpoint`] lists its layers, these say what is built; `architecture` is then only what
/// its author called it, and `width` is 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// Architecture id, e.g. `resnet20`.
    pub architecture: String,
    /// Number of classes.
    pub classes: usize,
    /// Channels, height and width of an input image.
    pub input: [usize; 3],
    /// Multiplier on the channel counts; 1 is the published network.
    pub width: f64,
    /// The form that is meant, of an architecture that has several. Absent where it is the one that files without
    /// this field mean ([`Variant::implied`]), so that one network has one identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<Variant>,
}

/// A form of an architecture: the layers of `torchvision`, or a stem for small images. `zoo` says which
/// architecture has which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// torchvision's layers.
    Torchvision,
    /// The form that CIFAR networks usually have: a stem that does not reduce the image.
    Cifar,
    /// As [`Variant::Cifar`], with torchvision's max pool behind the stem.
    CifarMaxpool,
}

impl Variant {
    /// All variants.
    pub const ALL: [Self; 3] = [Self::Torchvision, Self::Cifar, Self::CifarMaxpool];

    /// The variant of a checkpoint whose model names none, by the height and width of its images. The first
    /// versions of the format had no other rule.
    pub fn implied([_, height, width]: [usize; 3]) -> Self {
        match [height, width] {
            [32, 32] => Self::Cifar,
            _ => Self::Torchvision,
        }
    }

    /// Its name in files and on the command line.
    pub fn id(self) -> &'static str {
        match self {
            Self::Torchvision => "torchvision",
            Self::Cifar => "cifar",
            Self::CifarMaxpool => "cifar-maxpool",
        }
    }
}

/// The text is no variant's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("variant is `{found}`, expected torchvision, cifar or cifar-maxpool")]
pub struct UnknownVariant {
    found: String,
}

impl FromStr for Variant {
    type Err = UnknownVariant;

    fn from_str(text: &str) -> Result<Self, UnknownVariant> {
        let named = Self::ALL.into_iter().find(|variant| variant.id() == text);
        named.ok_or_else(|| UnknownVariant { found: text.into() })
    }
}

/// Per-channel input normalization: `x = (pixel / 255 - mean) / std`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// Mean of each channel, of pixels in [0, 1].
    pub mean: Vec<f32>,
    /// Standard deviation of each channel; positive.
    pub std: Vec<f32>,
}

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

impl Preprocessing {
    /// The network's input for one u8 pixel of `channel`; f32 arithmetic in the order PyTorch's
    /// `ToTensor` and `Normalize` use.
    ///
    /// # Panics
    /// When there is no such channel.
    pub fn value(&self, channel: usize, pixel: u8) -> f32 {
        (f32::from(pixel) / 255.0 - self.mean[channel]) / self.std[channel]
    }
}
