//! The published binary versions (<https://www.cs.toronto.edu/~kriz/cifar.html>): records of one label byte
//! (CIFAR-10) or two (CIFAR-100: coarse, then fine), followed by 3072 pixel bytes which already lie in our
//! order.

use std::path::Path;

use crate::{DataError, DataSource, ImageSet, Split, file};

const PIXEL_BYTES: usize = 3 * 32 * 32;

/// CIFAR-10 in its published binary version, from the directory that holds `data_batch_1.bin` to
/// `data_batch_5.bin` ([`Split::Train`], in this order) or `test_batch.bin` ([`Split::Test`]).
///
/// A record is 3073 bytes: a label, then a 3x32x32 image.
///
/// # Errors
/// [`DataError::Io`] for a missing file, [`DataError::NoImages`] for an empty one, [`DataError::RecordSize`]
/// for one which ends inside a record, and [`DataError::Label`] for a label above 9.
pub fn cifar10_binary(dir: &Path, split: Split) -> Result<ImageSet, DataError> {
    read(DataSource::Cifar10, split, dir)
}

/// CIFAR-100 in its published binary version, from the directory that holds `train.bin` ([`Split::Train`]) or
/// `test.bin` ([`Split::Test`]). The labels are the fine ones, 0 to 99.
///
/// A record is 3074 bytes: a coarse label, a fine label, then a 3x32x32 image.
///
/// # Errors
/// As [`cifar10_binary`]; the coarse label is checked too, though not kept.
pub fn cifar100_binary(dir: &Path, split: Split) -> Result<ImageSet, DataError> {
    read(DataSource::Cifar100, split, dir)
}

/// The files of a split, in their order.
pub(crate) fn files(source: DataSource, split: Split) -> &'static [&'static str] {
    match (source, split) {
        (DataSource::Cifar100, Split::Train) => &["train.bin"],
        (DataSource::Cifar100, Split::Test) => &["test.bin"],
        (_, Split::Train) => &[
            "data_batch_1.bin",
            "data_batch_2.bin",
            "data_batch_3.bin",
            "data_batch_4.bin",
            "data_batch_5.bin",
        ],
        (_, Split::Test) => &["test_batch.bin"],
    }
}

/// The bytes with which a record begins, (name, number of values) each; the last is the label.
fn fields(source: DataSource) -> &'static [(&'static str, usize)] {
    match source {
        DataSource::Cifar100 => &[("coarse label", 20), ("fine label", 100)],
        _ => &[("label", 10)],
    }
}

/// How many records the files of a split have room for.
pub(crate) fn records(dir: &Path, source: DataSource, split: Split) -> Result<u64, DataError> {
    let record_bytes = (fields(source).len() + PIXEL_BYTES) as u64;
    let lengths = files(source, split).iter().map(|name| Ok(file::open(&dir.join(name))?.1));
    Ok(lengths.sum::<Result<u64, DataError>>()? / record_bytes)
}

fn read(source: DataSource, split: Split, dir: &Path) -> Result<ImageSet, DataError> {
    let fields = fields(source);
    let record_bytes = fields.len() + PIXEL_BYTES;
    let mut pixels = Vec::new();
    let mut labels = Vec::new();
    for name in files(source, split) {
        let path = dir.join(name);
        let bytes = file::read(&path)?;
        if bytes.is_empty() {
            return Err(DataError::NoImages { path });
        }
        if bytes.len() % record_bytes != 0 {
            return Err(DataError::RecordSize { path, length: bytes.len(), record_bytes });
        }
        for (image, record) in bytes.chunks_exact(record_bytes).enumerate() {
            let (head, body) = record.split_at(fields.len());
            for (&label, &(field, classes)) in head.iter().zip(fields) {
                if usize::from(label) >= classes {
                    return Err(DataError::Label {
                        place: path.display().to_string(),
                        field: field.into(),
                        image,
                        label: label.into(),
                        classes,
                    });
                }
            }
            labels.push(head[head.len() - 1].into());
            pixels.extend_from_slice(body);
        }
    }
    let set =
        ImageSet::new(source.name(), split, source.shape(), source.class_names().len(), pixels, labels)?;
    Ok(set.with_class_names(source.class_names()))
}
