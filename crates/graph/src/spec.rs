use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::GraphError;

/// Largest number of classes.
const MAX_CLASSES: usize = 1 << 20;

/// Largest number of channels of an input image.
pub const MAX_CHANNELS: usize = 1024;

/// Largest height and width of an input image.
pub const MAX_SIDE: usize = 4096;

/// Largest number of pixels of an image anywhere in a network: sums of this many levels stay inside i32.
pub(crate) const MAX_PIXELS: usize = 1 << 22;

/// Name and sizes from which a network is built. `zoo` has the architectures.
///
/// If a network lists its layers, they say how it is built; `architecture` is then only its author's name for it, and
/// `width` is 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// Architecture id, e.g. `resnet20`.
    pub architecture: String,
    /// Number of classes: 1..=2^20.
    pub classes: usize,
    /// Channels (1..=1024), height and width of an input image.
    pub input: [usize; 3],
    /// Multiplier on the channel counts; 1 is the published network.
    pub width: f64,
    /// Form of an architecture that has several. Absent if it is the form that files without this field mean
    /// ([`Variant::implied`]), so that one network has one identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<Variant>,
}

/// For messages, e.g. `resnet18 (cifar, 10 classes, input 3x32x32, width 1)`.
impl fmt::Display for ModelSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { architecture, classes, input: [channels, height, width], .. } = self;
        let variant = self.variant.map_or_else(String::new, |variant| format!("{}, ", variant.id()));
        write!(f, "{architecture} ({variant}{classes} classes, input {channels}x{height}x{width}, ")?;
        write!(f, "width {})", self.width)
    }
}

impl ModelSpec {
    /// A published network: width 1, and the variant that its image size implies.
    pub fn new(architecture: &str, classes: usize, input: [usize; 3]) -> Self {
        Self { architecture: architecture.into(), classes, input, width: 1.0, variant: None }
    }

    /// Checks the number of classes and of input channels.
    ///
    /// # Errors
    /// Classes outside 1..=2^20, channels outside 1..=1024.
    pub fn check_classes_and_channels(&self) -> Result<(), GraphError> {
        if !(1..=MAX_CLASSES).contains(&self.classes) {
            return Err(self.refused("classes", self.classes, format!("1..={MAX_CLASSES}")));
        }
        if !(1..=MAX_CHANNELS).contains(&self.input[0]) {
            return Err(self.refused("input channels", self.input[0], format!("1..={MAX_CHANNELS}")));
        }
        Ok(())
    }

    /// True if the input of a network of listed layers may have this height and width.
    pub fn is_size([height, width]: [usize; 2]) -> bool {
        let sides = [height, width].iter().all(|side| (1..=MAX_SIDE).contains(side));
        sides && height * width <= MAX_PIXELS
    }

    /// The error for a field of this specification.
    pub fn refused(
        &self,
        field: &'static str,
        value: impl ToString,
        expected: impl Into<String>,
    ) -> GraphError {
        let (architecture, value) = (self.architecture.clone(), value.to_string());
        GraphError::Spec { architecture, field, value, expected: expected.into() }
    }
}

/// Form of an architecture: the layers of `torchvision`, or a stem for small images. `zoo` says which architecture has
/// which.
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

    /// Variant of a checkpoint whose model names none, by the height and width of its images. The first
    /// versions of the format had no other rule.
    pub fn implied([_, height, width]: [usize; 3]) -> Self {
        match [height, width] {
            [32, 32] => Self::Cifar,
            _ => Self::Torchvision,
        }
    }

    /// Name in files and on the command line.
    pub fn id(self) -> &'static str {
        match self {
            Self::Torchvision => "torchvision",
            Self::Cifar => "cifar",
            Self::CifarMaxpool => "cifar-maxpool",
        }
    }
}

/// Text that is no variant's name.
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
