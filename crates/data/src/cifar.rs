//! The published versions of CIFAR (<https://www.cs.toronto.edu/~kriz/cifar.html>). The binary version
//! consists of records: one label byte (CIFAR-10) or two (CIFAR-100: coarse, then fine), then 3072 pixel
//! bytes in CHW order. [`pickles`] reads the Python version.

use std::path::{Path, PathBuf};

use crate::archive::archive_members;
use crate::{DataError, DataSource, ImageSet, Split, file, pickles};

pub(crate) const PIXEL_BYTES: usize = 3 * 32 * 32;

/// Reads CIFAR-10 in its published binary version from the directory that holds `data_batch_1.bin` to
/// `data_batch_5.bin` ([`Split::Train`], in this order) or `test_batch.bin` ([`Split::Test`]).
///
/// A record is 3073 bytes: a label, then a 3x32x32 image.
///
/// # Errors
/// [`DataError::Io`] for a missing file, [`DataError::NoImages`] for an empty one, [`DataError::RecordSize`]
/// for one which ends inside a record, and [`DataError::Label`] for a label above 9.
pub fn cifar10_binary(dir: &Path, split: Split) -> Result<ImageSet, DataError> {
    Version::Binary.read(DataSource::Cifar10, split, &Holder::Folder(dir.into()))
}

/// Reads CIFAR-100 in its published binary version from the directory that holds `train.bin`
/// ([`Split::Train`]) or `test.bin` ([`Split::Test`]). The labels are the fine ones, 0 to 99.
///
/// A record is 3074 bytes: a coarse label, a fine label, then a 3x32x32 image.
///
/// # Errors
/// The errors of [`cifar10_binary`]; the coarse label is checked too, and dropped.
pub fn cifar100_binary(dir: &Path, split: Split) -> Result<ImageSet, DataError> {
    Version::Binary.read(DataSource::Cifar100, split, &Holder::Folder(dir.into()))
}

/// Reads CIFAR-10 in its published Python version from the directory that holds `data_batch_1` to
/// `data_batch_5` ([`Split::Train`]) or `test_batch` ([`Split::Test`]).
///
/// A file is a pickled dict. `data` holds the pixels, 3072 bytes per image, as an array of integers in C or
/// Fortran order or as a list of rows; `labels` holds the classes as a list or an array. Keys may be `str` or
/// `bytes`. Nothing in a pickle is executed.
///
/// # Errors
/// [`DataError::Io`] for a missing file, [`DataError::Pickle`] for one of other content, [`DataError::NoImages`] for one
/// without rows, and [`DataError::Label`] for a label above 9.
pub fn cifar10_pickles(dir: &Path, split: Split) -> Result<ImageSet, DataError> {
    Version::Pickles.read(DataSource::Cifar10, split, &Holder::Folder(dir.into()))
}

/// Reads CIFAR-100 in its published Python version from the directory that holds `train` or `test`. The
/// labels are the `fine_labels`, 0 to 99.
///
/// # Errors
/// The errors of [`cifar10_pickles`].
pub fn cifar100_pickles(dir: &Path, split: Split) -> Result<ImageSet, DataError> {
    Version::Pickles.read(DataSource::Cifar100, split, &Holder::Folder(dir.into()))
}

/// One of the two published versions of CIFAR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Binary,
    Pickles,
}

/// The place of the files of a version: a folder, or the published archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Holder {
    Folder(PathBuf),
    /// Path of the published archive.
    Archive(PathBuf),
}

impl Version {
    /// The names of a split's files, in reading order.
    pub(crate) fn files(self, source: DataSource, split: Split) -> &'static [&'static str] {
        match (self, source, split) {
            (Self::Binary, DataSource::Cifar100, Split::Train) => &["train.bin"],
            (Self::Binary, DataSource::Cifar100, Split::Test) => &["test.bin"],
            (Self::Binary, _, Split::Train) => &[
                "data_batch_1.bin",
                "data_batch_2.bin",
                "data_batch_3.bin",
                "data_batch_4.bin",
                "data_batch_5.bin",
            ],
            (Self::Binary, _, Split::Test) => &["test_batch.bin"],
            (Self::Pickles, DataSource::Cifar100, Split::Train) => &["train"],
            (Self::Pickles, DataSource::Cifar100, Split::Test) => &["test"],
            (Self::Pickles, _, Split::Train) => {
                &["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"]
            }
            (Self::Pickles, _, Split::Test) => &["test_batch"],
        }
    }

    /// The name of the folder that holds the files in the published archive, and the name of the archive.
    pub(crate) fn published(self, source: DataSource) -> (&'static str, &'static str) {
        match (self, source) {
            (Self::Binary, DataSource::Cifar100) => ("cifar-100-binary", "cifar-100-binary.tar.gz"),
            (Self::Binary, _) => ("cifar-10-batches-bin", "cifar-10-binary.tar.gz"),
            (Self::Pickles, DataSource::Cifar100) => ("cifar-100-python", "cifar-100-python.tar.gz"),
            (Self::Pickles, _) => ("cifar-10-batches-py", "cifar-10-python.tar.gz"),
        }
    }

    /// Returns the number of images. Binary files are not read for it; pickles and archives are.
    pub(crate) fn images(self, source: DataSource, split: Split, holder: &Holder) -> Result<u64, DataError> {
        let record_bytes = (fields(source).len() + PIXEL_BYTES) as u64;
        match (self, holder) {
            (Self::Binary, Holder::Folder(dir)) => {
                let lengths = self.files(source, split).iter().map(|name| Ok(file::open(&dir.join(name))?.1));
                Ok(lengths.sum::<Result<u64, DataError>>()? / record_bytes)
            }
            _ => Ok(self.read(source, split, holder)?.len() as u64),
        }
    }

    pub(crate) fn read(
        self,
        source: DataSource,
        split: Split,
        holder: &Holder,
    ) -> Result<ImageSet, DataError> {
        let names = self.files(source, split);
        let mut batches = Batches { source, pixels: Vec::new(), labels: Vec::new() };
        match holder {
            Holder::Folder(dir) => {
                for name in names {
                    let path = dir.join(name);
                    batches.push(self, file::read(&path)?, path)?;
                }
            }
            Holder::Archive(path) => {
                let (archive, _) = file::open(path)?;
                for (name, content) in names.iter().zip(archive_members(path, &archive, names)?) {
                    batches.push(self, content, path.join(name))?;
                }
            }
        }
        let (shape, classes) = (source.shape(), source.class_names());
        let Batches { pixels, labels, .. } = batches;
        let set = ImageSet::new(source.name(), split, shape, classes.len(), pixels, labels)?;
        Ok(set.with_class_names(classes))
    }
}

/// The label fields at the start of a binary record: (name, number of values) each. The last one is the label
/// of the set.
fn fields(source: DataSource) -> &'static [(&'static str, usize)] {
    match source {
        DataSource::Cifar100 => &[("coarse label", 20), ("fine label", 100)],
        _ => &[("label", 10)],
    }
}

/// Pixels and labels of the batches that have been read.
struct Batches {
    source: DataSource,
    pixels: Vec<u8>,
    labels: Vec<u16>,
}

impl Batches {
    fn push(&mut self, version: Version, bytes: Vec<u8>, path: PathBuf) -> Result<(), DataError> {
        match version {
            Version::Binary => self.push_records(&bytes, path),
            Version::Pickles => self.push_pickle(&bytes, path),
        }
    }

    fn push_records(&mut self, bytes: &[u8], path: PathBuf) -> Result<(), DataError> {
        let fields = fields(self.source);
        let record_bytes = fields.len() + PIXEL_BYTES;
        if bytes.is_empty() {
            return Err(DataError::NoImages { path });
        }
        if !bytes.len().is_multiple_of(record_bytes) {
            return Err(DataError::RecordSize { path, length: bytes.len(), record_bytes });
        }
        for (image, record) in bytes.chunks_exact(record_bytes).enumerate() {
            let (head, body) = record.split_at(fields.len());
            for (&label, &(field, classes)) in head.iter().zip(fields) {
                if usize::from(label) >= classes {
                    return Err(wrong_label(&path, field, image, label.into(), classes));
                }
            }
            self.labels.push(head[head.len() - 1].into());
            self.pixels.extend_from_slice(body);
        }
        Ok(())
    }

    fn push_pickle(&mut self, bytes: &[u8], path: PathBuf) -> Result<(), DataError> {
        let (key, classes) = match self.source {
            DataSource::Cifar100 => ("fine_labels", 100),
            _ => ("labels", 10),
        };
        let (pixels, labels) =
            pickles::batch(bytes, key).map_err(|reason| DataError::Pickle { path: path.clone(), reason })?;
        if labels.is_empty() {
            return Err(DataError::NoImages { path });
        }
        for (image, label) in labels.into_iter().enumerate() {
            let known = u16::try_from(label).ok().filter(|&label| usize::from(label) < classes);
            self.labels.push(known.ok_or_else(|| wrong_label(&path, key, image, label, classes))?);
        }
        self.pixels.extend(pixels);
        Ok(())
    }
}

fn wrong_label(path: &Path, field: &str, image: usize, label: i64, classes: usize) -> DataError {
    DataError::Label { place: path.display().to_string(), field: field.into(), image, label, classes }
}
