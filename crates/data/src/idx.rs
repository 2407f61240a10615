//! IDX files (<http://yann.lecun.com/exdb/mnist/>): a big-endian magic number that encodes element type and
//! number of dimensions, the dimensions as big-endian `u32`, then the elements.

use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::set::check_classes;
use crate::{DataError, ImageSet, ImageShape, Split, file};

/// The largest number of bytes that one byte of deflate expands to.
const DEFLATE_EXPANSION: u64 = 1032;

/// Reads MNIST-style images and labels from a pair of IDX files of unsigned bytes: images have three
/// dimensions (magic number 0x00000803: images, rows, columns), labels one (0x00000801). Either file may be
/// gzipped, as published, under any name.
///
/// The images have one channel. `name`, `split` and `classes` describe the set, because the files do not.
///
/// # Errors
/// [`DataError::Io`] for a missing file, [`DataError::Gzip`] for one that does not unpack,
/// [`DataError::Magic`] for one of another kind, [`DataError::FileLength`] if its length contradicts its
/// header, [`DataError::CountMismatch`] if the two files hold different numbers of images,
/// [`DataError::NoImages`] if they hold none, [`DataError::Shape`] for images without pixels or larger than
/// [`MAX_SIDE`](crate::MAX_SIDE), [`DataError::Label`] for a label that is not below `classes`, and
/// [`DataError::Classes`].
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

/// Returns the dimensions and elements of an IDX file of unsigned bytes.
fn read<const N: usize>(
    path: &Path,
    magic: u32,
    kind: &'static str,
) -> Result<([usize; N], Vec<u8>), DataError> {
    let stored = file::read(path)?;
    let packed = stored.starts_with(&[0x1f, 0x8b]);
    let (mut content, room): (Box<dyn Read>, u64) = match packed {
        true => (
            Box::new(MultiGzDecoder::new(&stored[..])),
            (stored.len() as u64).saturating_mul(DEFLATE_EXPANSION),
        ),
        false => (Box::new(&stored[..]), stored.len() as u64),
    };
    // Reads at most `bytes` bytes.
    let mut next = |bytes: u64| {
        let mut part = Vec::new();
        match content.as_mut().take(bytes).read_to_end(&mut part) {
            Ok(_) => Ok(part),
            Err(error) => Err(DataError::Gzip { path: path.into(), reason: error.to_string() }),
        }
    };
    let header_bytes = 4 + 4 * N as u64;
    let header = next(header_bytes)?;
    let (words, _) = header.as_chunks::<4>();
    let words: Vec<u32> = words.iter().map(|&word| u32::from_be_bytes(word)).collect();
    if let Some(&found) = words.first()
        && found != magic
    {
        return Err(DataError::Magic { path: path.into(), found, expected: magic, kind });
    }
    if words.len() < 1 + N {
        return Err(DataError::FileLength {
            path: path.into(),
            found: header.len() as u64,
            expected: header_bytes,
            reason: "or more: the header is cut off".into(),
        });
    }
    let sizes = &words[1..];
    let elements = sizes.iter().try_fold(1_u64, |product, &size| product.checked_mul(size.into()));
    // One byte more than expected shows a surplus. Nothing is read if the file cannot hold that many.
    let wanted = elements.filter(|&elements| elements <= room).unwrap_or(0);
    let mut values = next(wanted.saturating_add(1))?;
    let found = match packed {
        true => header_bytes + values.len() as u64,
        false => stored.len() as u64,
    };
    let expected = elements.and_then(|elements| elements.checked_add(header_bytes)).unwrap_or(u64::MAX);
    if found != expected {
        let sizes: Vec<String> = sizes.iter().map(u32::to_string).collect();
        let unpacked = if packed { ", unpacked" } else { "" };
        return Err(DataError::FileLength {
            path: path.into(),
            found,
            expected,
            reason: format!("({header_bytes} of header, then {} of {kind}{unpacked})", sizes.join(" x ")),
        });
    }
    values.shrink_to_fit();
    Ok((std::array::from_fn(|i| words[1 + i] as usize), values))
}
