//! IDX (<http://yann.lecun.com/exdb/mnist/>): a big-endian magic number that names element type and number of
//! dimensions, the dimensions as big-endian `u32`, then the elements.

use std::path::Path;

use crate::set::check_classes;
use crate::{DataError, ImageSet, ImageShape, Split, file};

/// MNIST-style images and labels, from a pair of plain IDX files of unsigned bytes: three dimensions (magic
/// number 0x00000803: images, rows, columns) and one (0x00000801).
///
/// The images have one channel. `name`, `split` and `classes` describe the set; the files do not say.
///
/// # Errors
/// [`DataError::Io`] for a missing file, [`DataError::Gzip`] for one still compressed, [`DataError::Magic`]
/// for one of another kind, [`DataError::FileLength`] when its length contradicts its header,
/// [`DataError::CountMismatch`] when the two files do not hold as many, [`DataError::NoImages`] when they
/// hold none, [`DataError::Shape`] for images without pixels or larger than [`MAX_SIDE`](crate::MAX_SIDE),
/// [`DataError::Label`] for a label that is not below `classes`, and [`DataError::Classes`].
pub fn idx(
    images_path: &Path,
    labels_path: &Path,
    name: &str,
    split: Split,
    classes: usize,
) -> Result<ImageSet, DataError> {
    check_classes(name, classes)?;
    let ([images, height, width], pixels) = read::<3>(images_path, 0x0803, "images")?;
    let ([count], label_bytes) = read::<1>(labels_path, 0x0801, "labels")?;
    if images != count {
        return Err(DataError::CountMismatch {
            images_path: images_path.into(),
            images,
            labels_path: labels_path.into(),
            labels: count,
        });
    }
    if images == 0 {
        return Err(DataError::NoImages { path: images_path.into() });
    }
    let shape = ImageShape { channels: 1, height, width };
    if !shape.is_allowed() {
        return Err(DataError::Shape { place: images_path.display().to_string(), shape });
    }
    if let Some(image) = label_bytes.iter().position(|&label| usize::from(label) >= classes) {
        return Err(DataError::Label {
            place: labels_path.display().to_string(),
            field: "label".into(),
            image,
            label: label_bytes[image].into(),
            classes,
        });
    }
    let labels = label_bytes.into_iter().map(u16::from).collect();
    ImageSet::new(name, split, shape, classes, pixels, labels)
}

/// The dimensions and elements of an IDX file of unsigned bytes.
fn read<const N: usize>(
    path: &Path,
    magic: u32,
    kind: &'static str,
) -> Result<([usize; N], Vec<u8>), DataError> {
    let mut bytes = file::read(path)?;
    let length = bytes.len() as u64;
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return Err(DataError::Gzip { path: path.into() });
    }
    let header_bytes = 4 + 4 * N;
    let (words, _) = bytes.as_chunks::<4>();
    let words: Vec<u32> = words.iter().take(1 + N).map(|&word| u32::from_be_bytes(word)).collect();
    if let Some(&found) = words.first()
        && found != magic
    {
        return Err(DataError::Magic { path: path.into(), found, expected: magic, kind });
    }
    if words.len() < 1 + N {
        return Err(DataError::FileLength {
            path: path.into(),
            found: length,
            expected: header_bytes as u64,
            reason: "or more: the header is cut off".into(),
        });
    }
    let sizes = &words[1..];
    let expected = sizes
        .iter()
        .try_fold(1_u64, |product, &size| product.checked_mul(size.into()))
        .and_then(|elements| elements.checked_add(header_bytes as u64))
        .unwrap_or(u64::MAX);
    if length != expected {
        let sizes: Vec<String> = sizes.iter().map(u32::to_string).collect();
        return Err(DataError::FileLength {
            path: path.into(),
            found: length,
            expected,
            reason: format!("({header_bytes} of header, then {} of {kind})", sizes.join(" x ")),
        });
    }
    bytes.drain(..header_bytes);
    Ok((std::array::from_fn(|i| words[1 + i] as usize), bytes))
}
