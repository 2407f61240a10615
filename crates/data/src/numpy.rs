//! Arrays of images and labels as NumPy writes them: `.npz` archives (`numpy.savez`, Keras, MedMNIST) and pairs
//! of `.npy` files (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>).
//!
//! The header of an array is a Python dictionary of three fixed keys. This module looks these keys up and does not
//! parse Python: a hostile header would overflow the stack of a recursive parser.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use crate::hugging_face::MAX_PIXEL_BYTES;
use crate::{DataError, ImageSet, ImageShape, Split, file};

/// The longest header that is read. NumPy writes 118 bytes for an array without fields.
const MAX_HEADER_BYTES: u64 = 1 << 12;

/// Images of an array, and the sentence that says which array was read.
#[derive(Debug)]
pub struct NumpyImages {
    /// The images. The name of the set is the name of the file.
    pub images: ImageSet,
    /// The arrays, such as `x_test [500, 28, 28] (rows, columns) and y_test`.
    pub reading: String,
}

/// Reads images and labels from a `.npz` archive, or from a `.npy` file of images with a file of labels beside it.
///
/// Images are `uint8` of shape `[N, H, W]`, `[N, H, W, C]` or `[N, C, H, W]` with 1 or 3 channels, in C or Fortran
/// order. Labels are integers of shape `[N]` or `[N, 1]`. The number of classes is one more than the largest label
/// of both splits.
///
/// # Names
/// In an archive the first of these pairs that is complete is read, where `S` is `test` or `train`: `S_images` and
/// `S_labels`; `x_S` and `y_S`; `X_S` and `y_S`; for test images also `images` and `labels`, `x` and `y`, `X` and `y`.
///
/// The name of a `.npy` file of images gives that of its labels: `images` becomes `labels`, or else the leading `x` or
/// `X` becomes `y`. `path` names the test images; for training images `test` in both names becomes `train`.
///
/// # Errors
/// [`DataError::NoSplit`] if no such names exist; [`DataError::Array`] for other types and shapes, for damaged headers
/// and archives, for arrays that are shorter or longer than their header says, and for labels outside 0 to 65535;
/// [`DataError::Shape`] for sides that an [`ImageSet`] cannot have; [`DataError::CountMismatch`], [`DataError::NoImages`],
/// [`DataError::NotAFile`] and [`DataError::Io`].
pub fn numpy_arrays(path: &Path, split: Split) -> Result<NumpyImages, DataError> {
    let archived = path.extension().is_some_and(|extension| extension == "npz");
    let mut holder = if archived { Holder::open(path)? } else { Holder::Files(path.into()) };
    let [images_name, labels_name] = holder.pair(split)?;
    let images = holder.array(&images_name)?;
    let labels = holder.array(&labels_name)?;
    let layout = images.layout()?;
    let count = images.shape[0];
    if labels.shape[0] != count {
        return Err(DataError::CountMismatch {
            images_path: images.place,
            images: count,
            labels_path: labels.place,
            labels: labels.shape[0],
        });
    }
    let labels = labels.labels()?;
    let mut largest =
        labels.iter().copied().max().ok_or_else(|| DataError::NoImages { path: path.into() })?;
    if let Ok([_, others]) = holder.pair(split.other()) {
        largest = holder.array(&others)?.labels()?.into_iter().fold(largest, u16::max);
    }
    let reading = format!("{images_name} {:?} ({}) and {labels_name}", images.shape, layout.axes);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let images =
        ImageSet::new(name, split, layout.image, usize::from(largest) + 1, images.planar(&layout), labels)?;
    Ok(NumpyImages { images, reading })
}

/// The holder of named arrays.
enum Holder {
    /// A `.npz` archive; the names are those of its members without `.npy`.
    Archive(PathBuf, Box<ZipArchive<BufReader<File>>>),
    /// The `.npy` file of test images and its neighbours; the names are those of the files.
    Files(PathBuf),
}

impl Holder {
    fn open(path: &Path) -> Result<Self, DataError> {
        let (opened, _) = file::open(path)?;
        let zip = ZipArchive::new(BufReader::new(opened))
            .map_err(|error| defect(path, format!("not a valid zip archive: {error}")))?;
        Ok(Self::Archive(path.into(), Box::new(zip)))
    }

    /// Returns the names of the images and labels of a split.
    fn pair(&self, split: Split) -> Result<[String; 2], DataError> {
        let (path, candidates) = match self {
            Self::Archive(path, _) => (path, member_names(split)),
            Self::Files(path) => (path, file_names(path, split)),
        };
        if let Some(pair) = candidates.iter().find(|pair| pair.iter().all(|name| self.has(name))) {
            return Ok(pair.clone());
        }
        let expected: Vec<String> =
            candidates.iter().map(|[images, labels]| format!("{images} with {labels}")).collect();
        let found = match self {
            Self::Archive(_, zip) => {
                let mut names: Vec<String> = zip
                    .file_names()
                    .filter_map(Result::ok)
                    .map(|name| name.strip_suffix(".npy").unwrap_or(&name).into())
                    .collect();
                names.sort_unstable();
                format!("the arrays are {}", names.join(", "))
            }
            Self::Files(_) => "not both files are there".into(),
        };
        Err(DataError::NoSplit { path: path.clone(), split, found, expected: expected.join(", or ") })
    }

    fn has(&self, name: &str) -> bool {
        match self {
            Self::Archive(_, zip) => zip.index_for_name(&format!("{name}.npy")).is_some(),
            Self::Files(path) => path.with_file_name(name).is_file(),
        }
    }

    fn array(&mut self, name: &str) -> Result<Array, DataError> {
        match self {
            Self::Archive(path, zip) => {
                let place = path.join(name);
                let member = zip.by_name(&format!("{name}.npy"));
                let member = member.map_err(|error| defect(&place, error.to_string()))?;
                Array::read(place.clone(), member)
            }
            Self::Files(path) => {
                let place = path.with_file_name(name);
                let (opened, _) = file::open(&place)?;
                Array::read(place, BufReader::new(opened))
            }
        }
    }
}

/// Names of images and labels in an archive, in the order of preference. A name without a split holds test images.
fn member_names(split: Split) -> Vec<[String; 2]> {
    let mut names = vec![
        [format!("{split}_images"), format!("{split}_labels")],
        [format!("x_{split}"), format!("y_{split}")],
        [format!("X_{split}"), format!("y_{split}")],
    ];
    if split == Split::Test {
        let general = [["images", "labels"], ["x", "y"], ["X", "y"]];
        names.extend(general.map(|pair| pair.map(String::from)));
    }
    names
}

/// Names of the files of images and labels of a split, if `test` is the file of test images. Empty if the name does
/// not tell images from labels, or test from training images.
fn file_names(test: &Path, split: Split) -> Vec<[String; 2]> {
    let name = test.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let images = match split {
        Split::Test => name,
        Split::Train if name.contains("test") => name.replacen("test", "train", 1),
        Split::Train => return Vec::new(),
    };
    let labels = match images.strip_prefix(['x', 'X']) {
        _ if images.contains("images") => images.replacen("images", "labels", 1),
        Some(rest) => format!("y{rest}"),
        None => return Vec::new(),
    };
    vec![[images, labels]]
}

/// An array of numbers.
struct Array {
    /// Path of the file, or of the archive and the name in it.
    place: PathBuf,
    /// Type as NumPy writes it, such as `|u1` or `<i8`.
    descr: String,
    fortran: bool,
    /// At least one dimension.
    shape: Vec<usize>,
    /// The elements, as stored.
    bytes: Vec<u8>,
}

/// Shape of the images of an array, and its axes.
struct Layout {
    image: ImageShape,
    axes: &'static str,
    /// True if the channels are the last axis.
    channels_last: bool,
}

impl Array {
    fn read(place: PathBuf, mut from: impl Read) -> Result<Self, DataError> {
        let failed = |error: std::io::Error| defect(&place, format!("cannot be read: {error}"));
        let mut start = [0; 8];
        from.read_exact(&mut start).map_err(failed)?;
        let length = match start {
            [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _] => {
                let mut length = [0; 2];
                from.read_exact(&mut length).map_err(failed)?;
                u64::from(u16::from_le_bytes(length))
            }
            [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _] => {
                let mut length = [0; 4];
                from.read_exact(&mut length).map_err(failed)?;
                u64::from(u32::from_le_bytes(length))
            }
            _ => return Err(defect(&place, "not an array of NumPy's format 1, 2 or 3".into())),
        };
        if length > MAX_HEADER_BYTES {
            return Err(defect(
                &place,
                format!("a header of {length} bytes, expected at most {MAX_HEADER_BYTES}"),
            ));
        }
        let mut header = Vec::new();
        from.by_ref().take(length).read_to_end(&mut header).map_err(failed)?;
        let header = String::from_utf8_lossy(&header).into_owned();
        let (descr, fortran, shape) = parse_header(&header).ok_or_else(|| {
            let expected = "{'descr': '|u1', 'fortran_order': False, 'shape': (10, 32, 32, 3), }";
            defect(&place, format!("the header is {:?}, expected one like {expected}", header.trim_end()))
        })?;
        if shape.is_empty() {
            return Err(defect(&place, "a single number, expected an array".into()));
        }
        let size = element_bytes(&descr)
            .ok_or_else(|| defect(&place, format!("elements of type {descr:?}, expected numbers")))?;
        let wanted = shape.iter().try_fold(size as u64, |product, &n| product.checked_mul(n as u64));
        let wanted = wanted.filter(|&bytes| bytes <= MAX_PIXEL_BYTES).ok_or_else(|| {
            defect(&place, format!("shape {shape:?}, expected at most {MAX_PIXEL_BYTES} bytes"))
        })?;
        let mut bytes = Vec::new();
        from.take(wanted + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 != wanted {
            let (found, more) = (bytes.len(), if bytes.len() as u64 > wanted { " or more" } else { "" });
            let reason =
                format!("{found} bytes{more} of elements, expected {wanted} for {descr} of shape {shape:?}");
            return Err(defect(&place, reason));
        }
        Ok(Self { place, descr, fortran, shape, bytes })
    }

    /// Returns how the array holds images.
    fn layout(&self) -> Result<Layout, DataError> {
        if !self.descr.ends_with("u1") {
            let reason = format!(
                "images of type {:?}, expected uint8 with values of 0 to 255 (|u1): the network's mean and standard \
                 deviation are applied to these divided by 255",
                self.descr
            );
            return Err(defect(&self.place, reason));
        }
        let (channels_last, axes, [channels, height, width]) = match self.shape[..] {
            [_, height, width] => (false, "rows, columns", [1, height, width]),
            [_, 1 | 3, _, 1 | 3] => {
                let reason =
                    format!("images of shape {:?}: the second and the last axis may be channels", self.shape);
                return Err(defect(&self.place, reason));
            }
            [_, height, width, channels @ (1 | 3)] => {
                (true, "rows, columns, channels", [channels, height, width])
            }
            [_, channels @ (1 | 3), height, width] => {
                (false, "channels, rows, columns", [channels, height, width])
            }
            _ => {
                let reason = format!(
                    "images of shape {:?}, expected [N, H, W], [N, H, W, C] or [N, C, H, W] with 1 or 3 channels",
                    self.shape
                );
                return Err(defect(&self.place, reason));
            }
        };
        Ok(Layout { image: ImageShape { channels, height, width }, axes, channels_last })
    }

    /// Returns the images in the layout of an [`ImageSet`].
    fn planar(self, layout: &Layout) -> Vec<u8> {
        let ImageShape { channels, height, width } = layout.image;
        let images = self.shape[0];
        // The axes in memory, the slowest first: 0 image, 1 channel, 2 row, 3 column.
        let mut axes = if layout.channels_last { [0, 2, 3, 1] } else { [0, 1, 2, 3] };
        if self.fortran {
            axes.reverse();
        }
        if axes == [0, 1, 2, 3] {
            return self.bytes;
        }
        let sizes = [images, channels, height, width];
        let mut strides = [0; 4];
        axes.iter().rev().fold(1, |stride, &axis| {
            strides[axis] = stride;
            stride * sizes[axis]
        });
        let mut planar = Vec::with_capacity(self.bytes.len());
        for image in 0..images {
            for channel in 0..channels {
                for row in 0..height {
                    let first = image * strides[0] + channel * strides[1] + row * strides[2];
                    planar.extend((0..width).map(|column| self.bytes[first + column * strides[3]]));
                }
            }
        }
        planar
    }

    /// Returns the elements as labels.
    fn labels(&self) -> Result<Vec<u16>, DataError> {
        if !matches!(self.shape[..], [_] | [_, 1]) {
            let reason =
                format!("labels of shape {:?}, expected [N] or [N, 1]: one class for each image", self.shape);
            return Err(defect(&self.place, reason));
        }
        let (order, kind) = (self.descr.as_bytes()[0], self.descr.as_bytes()[1]);
        if !matches!(kind, b'i' | b'u') {
            return Err(defect(&self.place, format!("labels of type {:?}, expected integers", self.descr)));
        }
        let size = self.bytes.len() / self.shape[0].max(1);
        let label = |(index, element): (usize, &[u8])| {
            let mut element = element.to_vec();
            if order == b'>' {
                element.reverse();
            }
            let negative = kind == b'i' && element[size - 1] > 127;
            match (negative, element.iter().skip(2).all(|&byte| byte == 0)) {
                (false, true) => {
                    Ok(u16::from_le_bytes([element[0], element.get(1).copied().unwrap_or_default()]))
                }
                (negative, _) => {
                    let found = if negative { "negative" } else { "above 65535" };
                    Err(defect(
                        &self.place,
                        format!("the label of image {index} is {found}, expected 0 to 65535"),
                    ))
                }
            }
        };
        self.bytes.chunks_exact(size.max(1)).enumerate().map(label).collect()
    }
}

/// Returns type, order and shape from the text of a header.
fn parse_header(header: &str) -> Option<(String, bool, Vec<usize>)> {
    let value = |key: &str| header.split_once(&format!("'{key}':")).map(|(_, rest)| rest.trim_start());
    let (descr, _) = value("descr")?.strip_prefix('\'')?.split_once('\'')?;
    let order = value("fortran_order")?;
    let fortran = order.starts_with("True");
    if !fortran && !order.starts_with("False") {
        return None;
    }
    let (shape, _) = value("shape")?.strip_prefix('(')?.split_once(')')?;
    let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
    Some((descr.into(), fortran, sizes.map(|size| size.parse().ok()).collect::<Option<_>>()?))
}

/// Returns the bytes of an element of a type such as `<i8`; `None` unless it is a number.
fn element_bytes(descr: &str) -> Option<usize> {
    match descr.as_bytes() {
        [b'|' | b'<' | b'>', b'i' | b'u' | b'f', size @ (b'1' | b'2' | b'4' | b'8')] => {
            Some((size - b'0').into())
        }
        _ => None,
    }
}

fn defect(place: &Path, reason: String) -> DataError {
    DataError::Array { path: place.into(), reason }
}
