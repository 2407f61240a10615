use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::DataError;

/// The most pixels an image may have along a side.
pub const MAX_SIDE: usize = 4096;

/// Which part of a data set. Written `train` or `test`, in text and in serde.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// The images to train and calibrate on.
    Train,
    /// The images to measure accuracy on.
    Test,
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
            _ => Err(DataError::UnknownName { kind: "split", found: name.into(), expected: "train, test" }),
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
    /// Bytes an image, one a pixel and channel.
    pub fn image_bytes(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Whether an [`ImageSet`] may have this shape, so that [`image_bytes`](Self::image_bytes) cannot
    /// overflow.
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

/// Images of one shape, decoded to `u8`, with labels or, from a folder that has none, without.
///
/// # Layout
/// Image `i` takes the bytes `i * n .. (i + 1) * n` of [`pixels`](Self::pixels), `n` being
/// [`shape().image_bytes()`](ImageShape::image_bytes). Inside an image the order is CHW: channel-major (red,
/// green, blue), then row-major; the layout of CIFAR's binary files and of PyTorch. Values run from 0 to 255,
/// as stored.
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
    /// A set from its parts, checked. A set may be empty.
    ///
    /// `pixels` holds `labels.len()` images of `shape`, laid out as the type says.
    ///
    /// # Errors
    /// [`DataError::Classes`] unless `classes` is 1 to 65536, [`DataError::Shape`] unless the shape has 1 or
    /// 3 channels and sides of 1 to [`MAX_SIDE`], [`DataError::PixelCount`] when `pixels` has the wrong
    /// length, and [`DataError::Label`] for the first label that is not below `classes`.
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

    /// A set without labels and classes. `pixels` holds images of `shape`, laid out as the type says.
    pub(crate) fn without_labels(
        name: impl Into<String>,
        split: Split,
        shape: ImageShape,
        pixels: Vec<u8>,
    ) -> Result<Self, DataError> {
        let images = pixels.len() / shape.image_bytes().max(1);
        let set = Self::new(name, split, shape, 1, pixels, vec![0; images])?;
        Ok(Self { classes: 0, labels: Vec::new(), ..set })
    }

    /// The same images with other labels: for a set without labels, for instance the predictions of a network
    /// with which others are to agree.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_labels(self, classes: usize, labels: Vec<u16>) -> Result<Self, DataError> {
        Self::new(self.name, self.split, self.shape, classes, self.pixels, labels)
    }

    /// The same set, its classes named in the order of their labels.
    pub(crate) fn with_class_names(mut self, names: &'static [&'static str]) -> Self {
        debug_assert_eq!(names.len(), self.classes);
        self.class_names = Some(names);
        self
    }

    /// The same set, marked as drawn by this crate.
    pub(crate) fn marked_synthetic(mut self) -> Self {
        self.synthetic = true;
        self
    }

    /// The same set, marked as in another order than test images have.
    pub(crate) fn marked_in_turns(mut self) -> Self {
        self.in_turns = true;
        self
    }

    /// Whether the images are test images taken from all classes in turns
    /// ([`ImageFolder::in_turns`](crate::ImageFolder::in_turns)), which is not the order of an evaluation.
    pub fn is_in_turns(&self) -> bool {
        self.in_turns
    }

    /// The name of the data set, such as `cifar10`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the images were drawn by this crate ([`synthetic`](crate::synthetic)) and not read from files.
    /// What reports a result on such images must say so.
    pub fn is_synthetic(&self) -> bool {
        self.synthetic
    }

    /// Which part of the data set this is.
    pub fn split(&self) -> Split {
        self.split
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.pixels.len() / self.shape.image_bytes()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.pixels.is_empty()
    }

    /// Whether the images have labels.
    pub fn is_labelled(&self) -> bool {
        self.classes > 0
    }

    /// The shape of every image.
    pub fn shape(&self) -> ImageShape {
        self.shape
    }

    /// The number of classes; labels are below it. 0 where there are no labels.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The published names of the classes in the order of their labels, for a set that came as a known
    /// [`DataSource`](crate::DataSource); `None` for others.
    pub fn class_names(&self) -> Option<&'static [&'static str]> {
        self.class_names
    }

    /// The bytes of image `index`, in CHW order.
    ///
    /// # Panics
    /// When `index` is not below [`len`](Self::len).
    pub fn image(&self, index: usize) -> &[u8] {
        let bytes = self.shape.image_bytes();
        &self.pixels[index * bytes..(index + 1) * bytes]
    }

    /// All images, one after the other.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// All labels, one an image; none where there are no labels.
    pub fn labels(&self) -> &[u16] {
        &self.labels
    }

    /// A set of the first `count` images, in stored order.
    ///
    /// # Errors
    /// [`DataError::NotEnough`] when there are fewer.
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

    /// The identity of the content: 64 lowercase hex digits, the SHA-256 of the bytes
    ///
    /// 1. the ASCII text `zerospace image set 1` and a newline,
    /// 2. channels, height, width and number of classes (0 without labels), each as `u32` little-endian,
    /// 3. the number of images as `u64` little-endian,
    /// 4. every label as `u16` little-endian, where there are labels,
    /// 5. every image in the layout of this type.
    ///
    /// Name, split and class names do not enter, nor does the file format that the images came from.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"zerospace image set 1\n");
        for size in [self.shape.channels, self.shape.height, self.shape.width, self.classes] {
            // Each is at most 65536, as `new` has checked.
            hash.update((size as u32).to_le_bytes());
        }
        hash.update((self.len() as u64).to_le_bytes());
        for label in &self.labels {
            hash.update(label.to_le_bytes());
        }
        hash.update(&self.pixels);
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
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
