use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::hugging_face::{rows, shards};
use crate::{
    DataError, ImageSet, ImageShape, SYNTHETIC_SEED, Split, cifar, cifar10_binary, cifar100_binary, file,
    hugging_face_parquet, idx, synthetic,
};

/// A data set known by name, whose shape and classes are fixed. Written `cifar10`, `cifar100`, `mnist`,
/// `synthetic`. Sets cut from image files to a network's size are [`FolderSource`](crate::FolderSource)s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataSource {
    /// CIFAR-10: 50,000 + 10,000 images, 3x32x32, 10 classes (<https://www.cs.toronto.edu/~kriz/cifar.html>).
    Cifar10,
    /// CIFAR-100 with its fine labels: 50,000 + 10,000 images, 3x32x32, 100 classes.
    Cifar100,
    /// MNIST: 60,000 + 10,000 images, 1x28x28, 10 classes.
    Mnist,
    /// Shapes and textures drawn by this crate: the first 20,000 + 5,000 images of [`synthetic`] with
    /// [`SYNTHETIC_SEED`], 3x32x32, 10 classes.
    Synthetic,
}

impl DataSource {
    /// Every data set known here.
    pub const ALL: [DataSource; 4] =
        [DataSource::Cifar10, DataSource::Cifar100, DataSource::Mnist, DataSource::Synthetic];

    /// The name, which is also the name of the set's directory.
    pub fn name(self) -> &'static str {
        match self {
            DataSource::Cifar10 => "cifar10",
            DataSource::Cifar100 => "cifar100",
            DataSource::Mnist => "mnist",
            DataSource::Synthetic => "synthetic",
        }
    }

    /// Whether the images are drawn by this crate and not read from files. What reports a result on such
    /// images must say so.
    pub fn is_synthetic(self) -> bool {
        self == DataSource::Synthetic
    }

    /// The shape of every image.
    pub fn shape(self) -> ImageShape {
        let (channels, side) = match self {
            DataSource::Cifar10 | DataSource::Cifar100 | DataSource::Synthetic => (3, 32),
            DataSource::Mnist => (1, 28),
        };
        ImageShape { channels, height: side, width: side }
    }

    /// The classes in the order of their labels.
    pub fn class_names(self) -> &'static [&'static str] {
        match self {
            DataSource::Cifar10 => &CIFAR10,
            DataSource::Cifar100 => &CIFAR100,
            DataSource::Mnist => &MNIST,
            DataSource::Synthetic => &SYNTHETIC,
        }
    }
}

impl fmt::Display for DataSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for DataSource {
    type Err = DataError;

    /// # Errors
    /// [`DataError::UnknownName`] for a name that is not one of a set known here. It lists the names of
    /// [`FolderSource`](crate::FolderSource)s too, for which callers look first.
    fn from_str(name: &str) -> Result<Self, DataError> {
        DataSource::ALL.into_iter().find(|source| source.name() == name).ok_or_else(|| {
            DataError::UnknownName {
                kind: "data set",
                found: name.into(),
                expected: "cifar10, cifar100, mnist, synthetic, imagenet, images",
            }
        })
    }
}

/// Where a split of a known data set lies, and in which layout; looked up and not yet read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundSet {
    source: DataSource,
    split: Split,
    place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Parquet(PathBuf),
    Binary(PathBuf),
    Idx { images: PathBuf, labels: PathBuf },
    Drawn,
}

impl DataSource {
    /// Looks for a split in the directory `root/<name>`; for files only, which are not read. Of the synthetic set
    /// there are none, and `root` need not exist.
    ///
    /// Looked for, and taken in this order:
    ///
    /// 1. shards in the Hugging Face layout, such as `test-00000-of-00001.parquet`
    ///    ([`hugging_face_parquet`]);
    /// 2. for CIFAR, the files of the binary version, there or in the directory in which the published
    ///    archive holds them, `cifar-10-batches-bin` or `cifar-100-binary` ([`cifar10_binary`],
    ///    [`cifar100_binary`]);
    /// 3. for MNIST, the pair of IDX files by their published names, such as `t10k-images-idx3-ubyte`
    ///    ([`idx`]).
    ///
    /// # Errors
    /// [`DataError::NotFound`] when there is none of them, and those of [`hugging_face_parquet`] for an
    /// incomplete directory.
    pub fn find(self, root: &Path, split: Split) -> Result<FoundSet, DataError> {
        let dir = root.join(self.name());
        let in_files = !self.is_synthetic();
        let place = if in_files && dir.is_dir() && !shards(&dir, split)?.is_empty() {
            Place::Parquet(dir)
        } else {
            find_published(&dir, self, split)?
        };
        Ok(FoundSet { source: self, split, place })
    }
}

impl FoundSet {
    /// The layout in a word or two.
    pub fn layout(&self) -> &'static str {
        match self.place {
            Place::Parquet(_) => "Hugging Face parquet",
            Place::Binary(_) => "binary",
            Place::Idx { .. } => "IDX",
            Place::Drawn => "drawn",
        }
    }

    /// Whether it is in the Hugging Face layout, which goes before all others.
    pub fn is_parquet(&self) -> bool {
        matches!(self.place, Place::Parquet(_))
    }

    /// The directory of the files; none where the images are drawn.
    pub fn dir(&self) -> Option<&Path> {
        match &self.place {
            Place::Parquet(dir) | Place::Binary(dir) => Some(dir),
            Place::Idx { images, .. } => images.parent(),
            Place::Drawn => None,
        }
    }

    /// How many images there are by the sizes of the files, or by what parquet files say of themselves.
    ///
    /// # Errors
    /// [`DataError::Io`] and [`DataError::NotAFile`] for what cannot be read, [`DataError::Parquet`] and
    /// [`DataError::Decoder`] for parquet files that are not sound.
    pub fn images(&self) -> Result<u64, DataError> {
        match &self.place {
            Place::Parquet(dir) => shards(dir, self.split)?.iter().map(|shard| rows(shard)).sum(),
            Place::Binary(dir) => cifar::records(dir, self.source, self.split),
            Place::Idx { images, .. } => {
                let (_, length) = file::open(images)?;
                Ok(length.saturating_sub(IDX_HEAD_BYTES) / self.source.shape().image_bytes() as u64)
            }
            Place::Drawn => Ok(default_images(self.split) as u64),
        }
    }

    /// Reads the set.
    ///
    /// # Errors
    /// [`DataError::ShapeMismatch`] when the images do not have the shape of the data set, and the errors of the
    /// loader.
    pub fn read(&self) -> Result<ImageSet, DataError> {
        let Self { source, split, place } = self;
        let (source, split, classes) = (*source, *split, source.class_names().len());
        let set = match place {
            Place::Parquet(dir) => hugging_face_parquet(dir, source.name(), split, classes)?,
            Place::Binary(dir) => match source {
                DataSource::Cifar100 => cifar100_binary(dir, split)?,
                _ => cifar10_binary(dir, split)?,
            },
            Place::Idx { images, labels } => idx(images, labels, source.name(), split, classes)?,
            Place::Drawn => synthetic(split, default_images(split), SYNTHETIC_SEED)?,
        };
        if set.shape() != source.shape() {
            let dir = self.dir().unwrap_or(Path::new(""));
            return Err(DataError::ShapeMismatch {
                place: format!("{} ({split} set of {source})", dir.display()),
                image: 0,
                found: set.shape(),
                expected: source.shape(),
            });
        }
        Ok(set.with_class_names(source.class_names()))
    }
}

impl ImageSet {
    /// A known data set, from whichever layout lies in the directory `root/<name>`
    /// ([`find`](DataSource::find)). The synthetic set is drawn on the spot.
    ///
    /// # Errors
    /// As [`find`](DataSource::find) and [`read`](FoundSet::read).
    pub fn open(root: &Path, source: DataSource, split: Split) -> Result<ImageSet, DataError> {
        source.find(root, split)?.read()
    }
}

/// Before the pixels of an IDX file of images: magic number, number of images, rows, columns.
const IDX_HEAD_BYTES: u64 = 16;

/// How much of the synthetic set is taken unless a caller of [`synthetic`] says otherwise.
fn default_images(split: Split) -> usize {
    match split {
        Split::Train => 20_000,
        Split::Test => 5_000,
    }
}

/// The files in the format in which the authors of a set published it; the synthetic set has none.
fn find_published(dir: &Path, source: DataSource, split: Split) -> Result<Place, DataError> {
    let mut looked_for = vec![format!("{split}-*-of-*.parquet")];
    let mut found = |file: &str| {
        looked_for.push(file.into());
        dir.join(file).exists()
    };
    match source {
        DataSource::Cifar10 | DataSource::Cifar100 => {
            let first = cifar::files(source, split)[0];
            if found(first) {
                return Ok(Place::Binary(dir.into()));
            }
            let in_archive = match source {
                DataSource::Cifar100 => "cifar-100-binary",
                _ => "cifar-10-batches-bin",
            };
            if found(&format!("{in_archive}/{first}")) {
                return Ok(Place::Binary(dir.join(in_archive)));
            }
        }
        DataSource::Mnist => {
            let prefix = match split {
                Split::Train => "train",
                Split::Test => "t10k",
            };
            // As downloaded the files end in .gz; the loader says what to do about it.
            for suffix in ["", ".gz"] {
                let images = format!("{prefix}-images-idx3-ubyte{suffix}");
                if found(&images) {
                    let labels = dir.join(format!("{prefix}-labels-idx1-ubyte{suffix}"));
                    return Ok(Place::Idx { images: dir.join(images), labels });
                }
            }
        }
        DataSource::Synthetic => return Ok(Place::Drawn),
    }
    Err(DataError::NotFound { dir: dir.into(), data_source: source, split, looked_for })
}

const CIFAR10: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

const MNIST: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// In the order of `Shape::random` of the synthetic set.
pub(crate) const SYNTHETIC: [&str; 10] =
    ["disc", "ring", "triangle", "square", "hexagon", "star", "cross", "crescent", "stripes", "checkerboard"];

/// `fine_label_names.txt` of the published archive.
#[rustfmt::skip]
const CIFAR100: [&str; 100] = [
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
    "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
    "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
    "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard",
    "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
    "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree",
    "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket",
    "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
    "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor",
    "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
];
