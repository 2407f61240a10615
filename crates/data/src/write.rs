//! Writes sets in published layouts, so that other programs can read the images.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::cifar::Version;
use crate::{DataError, DataSource, ImageSet, ImageShape, Split};

const CIFAR_SHAPE: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };

impl ImageSet {
    /// Writes the set into a directory, which is created, and returns the files. Images of 3x32x32 are
    /// written in CIFAR's binary version: CIFAR-100's for a set of 100 classes, CIFAR-10's otherwise. Grey
    /// images of any size are written as a pair of IDX files. [`cifar10_binary`](crate::cifar10_binary),
    /// [`cifar100_binary`](crate::cifar100_binary) and [`idx`](crate::idx) read back a set with the same
    /// [`digest`](Self::digest).
    ///
    /// CIFAR-10's five training batches get equal shares, up to one image. CIFAR-100's coarse labels follow
    /// from the fine ones as its authors define.
    ///
    /// # Errors
    /// [`DataError::NoForm`] for a set without labels, of another shape, with another number of classes than
    /// the layout has, or with fewer images than batches; [`DataError::InTheWay`] if one of the files exists;
    /// and [`DataError::Write`].
    pub fn write(&self, dir: &Path) -> Result<Vec<PathBuf>, DataError> {
        let no_form = |found: String, expected| DataError::NoForm {
            name: format!("{} {}", self.name(), self.split()),
            found,
            expected,
        };
        if !self.is_labelled() {
            return Err(no_form("images without labels".into(), "a set with labels"));
        }
        let files = match (self.shape(), self.classes()) {
            (CIFAR_SHAPE, 10) => self.cifar(DataSource::Cifar10),
            (CIFAR_SHAPE, 100) => self.cifar(DataSource::Cifar100),
            (ImageShape { channels: 1, .. }, 0..=256) => self.idx(),
            (shape, classes) => {
                return Err(no_form(
                    format!("images of {shape} in {classes} classes"),
                    "3x32x32 in 10 or 100 classes (CIFAR's binary version), or one channel in at most 256 (IDX)",
                ));
            }
        };
        let batches = if self.shape().channels == 1 { 1 } else { files.len() };
        if self.len() < batches {
            return Err(no_form(
                format!("{} images", self.len()),
                "one for each batch at the least: 5 training images of CIFAR-10",
            ));
        }
        fs::create_dir_all(dir).map_err(|source| DataError::Write { path: dir.into(), source })?;
        let paths: Vec<PathBuf> = files.iter().map(|(name, _)| dir.join(name)).collect();
        if let Some(path) = paths.iter().find(|path| path.exists()) {
            return Err(DataError::InTheWay { path: path.clone() });
        }
        for (path, (_, content)) in paths.iter().zip(&files) {
            durable::write_with(path, |file| content(file))
                .map_err(|source| DataError::Write { path: path.clone(), source })?;
        }
        Ok(paths)
    }

    fn cifar(&self, source: DataSource) -> Vec<(String, Content<'_>)> {
        let names = Version::Binary.files(source, self.split());
        let end = |batches: usize| batches * self.len() / names.len();
        let batch = |(index, name): (usize, &&str)| {
            let images = end(index)..end(index + 1);
            let content = move |file: &mut dyn Write| {
                for image in images.clone() {
                    // The label is below 100.
                    let label = self.labels()[image] as u8;
                    if source == DataSource::Cifar100 {
                        file.write_all(&[CIFAR100_COARSE[usize::from(label)]])?;
                    }
                    file.write_all(&[label])?;
                    file.write_all(self.image(image))?;
                }
                Ok(())
            };
            (name.to_string(), Box::new(content) as Content<'_>)
        };
        names.iter().enumerate().map(batch).collect()
    }

    fn idx(&self) -> Vec<(String, Content<'_>)> {
        let prefix = match self.split() {
            Split::Train => "train",
            Split::Test => "t10k",
        };
        let head = |magic: u32, sizes: &[usize]| {
            // Sides are at most 4096, and 2^32 images with their labels do not fit into memory.
            let sizes = sizes.iter().flat_map(|&size| (size as u32).to_be_bytes());
            magic.to_be_bytes().into_iter().chain(sizes).collect::<Vec<u8>>()
        };
        let shape = self.shape();
        let images = head(0x0803, &[self.len(), shape.height, shape.width]);
        let labels = head(0x0801, &[self.len()]);
        let images = move |file: &mut dyn Write| {
            file.write_all(&images)?;
            file.write_all(self.pixels())
        };
        let labels = move |file: &mut dyn Write| {
            file.write_all(&labels)?;
            self.labels().iter().try_for_each(|&label| file.write_all(&[label as u8]))
        };
        vec![
            (format!("{prefix}-images-idx3-ubyte"), Box::new(images)),
            (format!("{prefix}-labels-idx1-ubyte"), Box::new(labels)),
        ]
    }
}

/// Writes the content of a file.
type Content<'a> = Box<dyn Fn(&mut dyn Write) -> io::Result<()> + 'a>;

/// The coarse label of each of CIFAR-100's fine labels. Superclasses are numbered in the order of their
/// names, as in `coarse_label_names.txt` of the published archive.
#[rustfmt::skip]
const CIFAR100_COARSE: [u8; 100] = [
     4,  1, 14,  8,  0,  6,  7,  7, 18,  3,  3, 14,  9, 18,  7, 11,  3,  9,  7, 11,
     6, 11,  5, 10,  7,  6, 13, 15,  3, 15,  0, 11,  1, 10, 12, 14, 16,  9, 11,  5,
     5, 19,  8,  8, 15, 13, 14, 17, 18, 10, 16,  4, 17,  4,  2,  0, 17,  4, 18, 17,
    10,  3,  2, 12, 12, 16, 12,  1,  9, 19,  2, 10,  0,  1, 16, 12,  9, 13, 15, 13,
    16, 19,  2,  4,  6, 19,  5,  5,  8, 19, 18,  1,  2, 15,  6,  0, 17,  8, 14, 13,
];
