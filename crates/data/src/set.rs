use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::DataError;

/// The largest side of an image, in pixels.
pub const MAX_SIDE: usize = 4096;

/// A part of a data set. Written `train` or `test`, in text and in serde.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Images for training and calibration.
    Train,
    /// Images for measuring accuracy.
    Test,
}

impl Split {
    /// The other part.
    pub(crate) fn other(self) -> Self {
        match self {
            Split::Train => Split::Test,
            Split::Test => Split::Train,
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Split::Train => "train",
            Split::Test => "test",
        })
    }
}

impl FromStr for Split {
    type Err = DataError;

    /// # Errors
    /// [`DataError::UnknownName`] for anything but `train` and `test`.
    fn from_str(name: &str) -> Result<Self, DataError> {
        match name {
            "train" => Ok(Split::Train),
            "test" => Ok(Split::Test),
            _ => Err(DataError::UnknownName {
                kind: "split",
                found: name.into(),
                expected: "train, test".into(),
            }),
        }
    }
}

/// The shape of one image. Displayed as `3x32x32`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ImageShape {
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl ImageShape {
    /// Number of bytes of an image: one for each pixel and channel.
    pub fn image_bytes(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// True if an [`ImageSet`] may have this shape; [`image_bytes`](Self::image_bytes) then cannot overflow.
    pub(crate) fn is_allowed(&self) -> bool {
        matches!(self.channels, 1 | 3)
            && (1..=MAX_SIDE).contains(&self.height)
            && (1..=MAX_SIDE).contains(&self.width)
    }
}

impl fmt::Display for ImageShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.channels, self.height, self.width)
    }
}

/// Decoded `u8` images of one shape, with labels, or without if they come from a folder that has none.
///
/// # Layout
/// Image `i` takes the bytes `i * n .. (i + 1) * n` of [`pixels`](Self::pixels), where `n` is
/// [`shape().image_bytes()`](ImageShape::image_bytes). Inside an image the order is CHW: channels (red,
/// green, blue), then rows, then columns, as in CIFAR's binary files and PyTorch. Values are 0 to 255, as
/// stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSet {
    name: String,
    split: Split,
    shape: ImageShape,
    classes: usize,
    class_names: Option<&'static [&'static str]>,
    synthetic: bool,
    in_turns: bool,
    pixels: Vec<u8>,
    labels: Vec<u16>,
}

impl ImageSet {
    /// Makes a set from its parts and checks them. A set may be empty.
    ///
    /// `pixels` holds `labels.len()` images of `shape`, in the layout of this type.
    ///
    /// # Errors
    /// [`DataError::Classes`] unless `classes` is 1 to 65536, [`DataError::Shape`] unless the shape has 1 or
    /// 3 channels and sides of 1 to [`MAX_SIDE`], [`DataError::PixelCount`] if `pixels` has the wrong length,
    /// and [`DataError::Label`] for the first label that is not below `classes`.
    pub fn new(
        name: impl Into<String>,
        split: Split,
        shape: ImageShape,
        classes: usize,
        pixels: Vec<u8>,
        labels: Vec<u16>,
    ) -> Result<Self, DataError> {
        let name = name.into();
        check_classes(&name, classes)?;
        if !shape.is_allowed() {
            return Err(DataError::Shape { place: name, shape });
        }
        let expected = labels.len().saturating_mul(shape.image_bytes());
        if pixels.len() != expected {
            return Err(DataError::PixelCount {
                name,
                found: pixels.len(),
                expected,
                images: labels.len(),
                shape,
            });
        }
        if let Some(image) = labels.iter().position(|&label| usize::from(label) >= classes) {
            return Err(DataError::Label {
                place: name,
                field: "label".into(),
                image,
                label: labels[image].into(),
                classes,
            });
        }
        Ok(Self {
            name,
            split,
            shape,
            classes,
            class_names: None,
            synthetic: false,
            in_turns: false,
            pixels,
            labels,
        })
    }

    /// Makes a set without labels and classes. `pixels` holds images of `shape`, in the layout of this type.
    ///
    /// # Errors
    /// As [`new`](Self::new), for a shape that is not allowed and for pixels that are no whole number of images.
    pub fn without_labels(
        name: impl Into<String>,
        split: Split,
        shape: ImageShape,
        pixels: Vec<u8>,
    ) -> Result<Self, DataError> {
        let images = pixels.len() / shape.image_bytes().max(1);
        let set = Self::new(name, split, shape, 1, pixels, vec![0; images])?;
        Ok(Self { classes: 0, labels: Vec::new(), ..set })
    }

    /// Replaces the labels. For a set without labels these may be the predictions of a network, to measure
    /// how many predictions of other networks agree with them.
    ///
    /// # Errors
    /// The errors of [`new`](Self::new).
    pub fn with_labels(self, classes: usize, labels: Vec<u16>) -> Result<Self, DataError> {
        Self::new(self.name, self.split, self.shape, classes, self.pixels, labels)
    }

    /// Sets the names of the classes, in the order of their labels.
    pub(crate) fn with_class_names(mut self, names: &'static [&'static str]) -> Self {
        debug_assert_eq!(names.len(), self.classes);
        self.class_names = Some(names);
        self
    }

    /// Marks the set as drawn by this crate.
    pub(crate) fn marked_synthetic(mut self) -> Self {
        self.synthetic = true;
        self
    }

    /// Marks the set as test images in the order of [`ImageFolder::in_turns`](crate::ImageFolder::in_turns).
    pub(crate) fn marked_in_turns(mut self) -> Self {
        self.in_turns = true;
        self
    }

    /// True if the images are test images with the classes in turns
    /// ([`ImageFolder::in_turns`](crate::ImageFolder::in_turns)), which is not the order of an evaluation.
    pub fn is_in_turns(&self) -> bool {
        self.in_turns
    }

    /// The name of the data set, such as `cifar10`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// True if this crate drew the images ([`synthetic`](crate::synthetic)) and did not read them from files.
    /// A report of results on such images must say so.
    pub fn is_synthetic(&self) -> bool {
        self.synthetic
    }

    /// The part of the data set.
    pub fn split(&self) -> Split {
        self.split
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.pixels.len() / self.shape.image_bytes()
    }

    /// True if there are no images.
    pub fn is_empty(&self) -> bool {
        self.pixels.is_empty()
    }

    /// True if the images have labels.
    pub fn is_labelled(&self) -> bool {
        self.classes > 0
    }

    /// The shape of every image.
    pub fn shape(&self) -> ImageShape {
        self.shape
    }

    /// The number of classes; every label is below it. 0 if there are no labels.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The published names of the classes in the order of their labels; `None` if the set is not a known
    /// [`DataSource`](crate::DataSource).
    pub fn class_names(&self) -> Option<&'static [&'static str]> {
        self.class_names
    }

    /// Returns the bytes of image `index`, in CHW order.
    ///
    /// # Panics
    /// Panics if `index` is not below [`len`](Self::len).
    pub fn image(&self, index: usize) -> &[u8] {
        let bytes = self.shape.image_bytes();
        &self.pixels[index * bytes..(index + 1) * bytes]
    }

    /// All images, one after the other.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// All labels, one for each image; empty if there are no labels.
    pub fn labels(&self) -> &[u16] {
        &self.labels
    }

    /// Returns a set of the first `count` images, in stored order.
    ///
    /// # Errors
    /// [`DataError::NotEnough`] if there are fewer.
    pub fn take(&self, count: usize) -> Result<ImageSet, DataError> {
        if count > self.len() {
            return Err(DataError::NotEnough {
                name: format!("{} {}", self.name, self.split),
                asked: count,
                available: self.len(),
            });
        }
        Ok(Self {
            name: self.name.clone(),
            split: self.split,
            shape: self.shape,
            classes: self.classes,
            class_names: self.class_names,
            synthetic: self.synthetic,
            in_turns: self.in_turns,
            pixels: self.pixels[..count * self.shape.image_bytes()].to_vec(),
            labels: self.labels.iter().copied().take(count).collect(),
        })
    }

    /// Returns a set of the images with these indices, in this order.
    ///
    /// # Panics
    /// When there is no such image.
    pub fn pick(&self, indices: &[u32]) -> ImageSet {
        let pixels = indices.iter().flat_map(|&index| self.image(index as usize)).copied().collect();
        let labels = match self.is_labelled() {
            true => indices.iter().map(|&index| self.labels[index as usize]).collect(),
            false => Vec::new(),
        };
        Self { name: self.name.clone(), pixels, labels, ..*self }
    }

    /// Identity of the content: 64 lowercase hex digits, the SHA-256 of these bytes:
    ///
    /// 1. the ASCII text `zerospace image set 1` and a newline,
    /// 2. channels, height, width and number of classes (0 without labels), each as `u32` little-endian,
    /// 3. the number of images as `u64` little-endian,
    /// 4. every label as `u16` little-endian, if there are labels,
    /// 5. every image in the layout of this type.
    ///
    /// Name, split, class names and the file format of the images do not enter.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"zerospace image set 1\n");
        for size in [self.shape.channels, self.shape.height, self.shape.width, self.classes] {
            // `new` has checked that each is at most 65536.
            hash.update((size as u32).to_le_bytes());
        }
        hash.update((self.len() as u64).to_le_bytes());
        for label in &self.labels {
            hash.update(label.to_le_bytes());
        }
        hash.update(&self.pixels);
        durable::hex(&hash.finalize())
    }
}

/// Refuses a number of classes that `u16` labels cannot name.
pub(crate) fn check_classes(name: &str, classes: usize) -> Result<(), DataError> {
    if (1..=1 << 16).contains(&classes) {
        Ok(())
    } else {
        Err(DataError::Classes { name: name.into(), classes })
    }
}
