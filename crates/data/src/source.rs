use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::hugging_face::shards;
use crate::{
    DataError, ImageSet, ImageShape, SYNTHETIC_SEED, Split, cifar10_binary, cifar100_binary,
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
    const ALL: [DataSource; 4] =
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

impl ImageSet {
    /// A known data set, from whichever layout lies in the directory `root/<name>`. The synthetic set is
    /// drawn on the spot, and `root` need not exist.
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
    /// [`DataError::NotFound`] when there is none of them, [`DataError::ShapeMismatch`] when the images do
    /// not have the shape of the data set, and the errors of the loader.
    pub fn open(root: &Path, source: DataSource, split: Split) -> Result<ImageSet, DataError> {
        let dir = root.join(source.name());
        let classes = source.class_names().len();
        let in_files = !source.is_synthetic();
        let set = if in_files && dir.is_dir() && !shards(&dir, split)?.is_empty() {
            hugging_face_parquet(&dir, source.name(), split, classes)?
        } else {
            open_published(&dir, source, split)?
        };
        if set.shape() != source.shape() {
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

/// How much of the synthetic set is taken unless a caller of [`synthetic`] says otherwise.
fn default_images(split: Split) -> usize {
    match split {
        Split::Train => 20_000,
        Split::Test => 5_000,
    }
}

/// The set in the format in which its authors published it; the synthetic set is drawn.
fn open_published(dir: &Path, source: DataSource, split: Split) -> Result<ImageSet, DataError> {
    let mut looked_for = vec![format!("{split}-*-of-*.parquet")];
    let mut found = |file: &str| {
        looked_for.push(file.into());
        dir.join(file).exists()
    };
    match source {
        DataSource::Cifar10 => {
            let first = match split {
                Split::Train => "data_batch_1.bin",
                Split::Test => "test_batch.bin",
            };
            if found(first) {
                return cifar10_binary(dir, split);
            }
            if found(&format!("cifar-10-batches-bin/{first}")) {
                return cifar10_binary(&dir.join("cifar-10-batches-bin"), split);
            }
        }
        DataSource::Cifar100 => {
            if found(&format!("{split}.bin")) {
                return cifar100_binary(dir, split);
            }
            if found(&format!("cifar-100-binary/{split}.bin")) {
                return cifar100_binary(&dir.join("cifar-100-binary"), split);
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
                    let labels = format!("{prefix}-labels-idx1-ubyte{suffix}");
                    let classes = source.class_names().len();
                    let (images, labels) = (dir.join(images), dir.join(labels));
                    return idx(&images, &labels, source.name(), split, classes);
                }
            }
        }
        DataSource::Synthetic => return synthetic(split, default_images(split), SYNTHETIC_SEED),
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
