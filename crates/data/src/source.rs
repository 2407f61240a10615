use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::cifar::{Holder, Version};
use crate::hugging_face::{read_files, rows, shards};
use crate::{DataError, FolderSource, ImageSet, ImageShape, SYNTHETIC_SEED, Split, idx, synthetic};

/// A named data set with fixed shape and classes. Written `cifar10`, `cifar100`, `mnist`, `fashion_mnist`,
/// `kmnist` or `synthetic`. Sets of image files that are cropped to a network's input size are
/// [`FolderSource`](crate::FolderSource)s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataSource {
    /// CIFAR-10: 50,000 + 10,000 images, 3x32x32, 10 classes (<https://www.cs.toronto.edu/~kriz/cifar.html>).
    Cifar10,
    /// CIFAR-100 with its fine labels: 50,000 + 10,000 images, 3x32x32, 100 classes.
    Cifar100,
    /// MNIST: 60,000 + 10,000 images, 1x28x28, 10 classes.
    Mnist,
    /// Fashion-MNIST: clothes in the format of MNIST (<https://github.com/zalandoresearch/fashion-mnist>).
    FashionMnist,
    /// Kuzushiji-MNIST: cursive Japanese in the format of MNIST (<https://github.com/rois-codh/kmnist>).
    Kmnist,
    /// Shapes and textures drawn by this crate: the first 20,000 + 5,000 images of [`synthetic`] with
    /// [`SYNTHETIC_SEED`], 3x32x32, 10 classes.
    Synthetic,
}

impl DataSource {
    /// Every named data set.
    pub const ALL: [DataSource; 6] = [
        DataSource::Cifar10,
        DataSource::Cifar100,
        DataSource::Mnist,
        DataSource::FashionMnist,
        DataSource::Kmnist,
        DataSource::Synthetic,
    ];

    /// Everything that distinguishes the set from others.
    fn description(self) -> Description {
        let cifar = Description {
            name: "cifar10",
            torchvision: None,
            channels: 3,
            side: 32,
            classes: &CIFAR10,
            train: 50_000,
            test: 10_000,
        };
        let mnist = Description {
            name: "mnist",
            torchvision: Some("MNIST"),
            channels: 1,
            side: 28,
            classes: &MNIST,
            train: 60_000,
            test: 10_000,
        };
        match self {
            DataSource::Cifar10 => cifar,
            DataSource::Cifar100 => Description { name: "cifar100", classes: &CIFAR100, ..cifar },
            DataSource::Mnist => mnist,
            DataSource::FashionMnist => Description {
                name: "fashion_mnist",
                torchvision: Some("FashionMNIST"),
                classes: &FASHION_MNIST,
                ..mnist
            },
            DataSource::Kmnist => {
                Description { name: "kmnist", torchvision: Some("KMNIST"), classes: &KMNIST, ..mnist }
            }
            DataSource::Synthetic => {
                Description { name: "synthetic", classes: &SYNTHETIC, train: 20_000, test: 5_000, ..cifar }
            }
        }
    }

    /// The name, which is also the name of the set's directory.
    pub fn name(self) -> &'static str {
        self.description().name
    }

    /// True if this crate draws the images and does not read them from files. A report of results on such
    /// images must say so.
    pub fn is_synthetic(self) -> bool {
        self == DataSource::Synthetic
    }

    /// The shape of every image.
    pub fn shape(self) -> ImageShape {
        let Description { channels, side, .. } = self.description();
        ImageShape { channels, height: side, width: side }
    }

    /// The names of the classes in the order of their labels.
    pub fn class_names(self) -> &'static [&'static str] {
        self.description().classes
    }

    /// The number of images of a complete split.
    pub fn images(self, split: Split) -> u64 {
        match split {
            Split::Train => self.description().train,
            Split::Test => self.description().test,
        }
    }
}

/// Properties of a data set.
#[derive(Clone, Copy)]
struct Description {
    /// The name and directory of the set.
    name: &'static str,
    /// Name of torchvision's class and directory of a set in IDX files.
    torchvision: Option<&'static str>,
    /// Channels of an image.
    channels: usize,
    /// Rows and columns of an image.
    side: usize,
    /// Names of the classes in the order of their labels.
    classes: &'static [&'static str],
    /// Number of training images.
    train: u64,
    /// Number of test images.
    test: u64,
}

impl fmt::Display for DataSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for DataSource {
    type Err = DataError;

    /// # Errors
    /// [`DataError::UnknownName`] for an unknown name. Its list also contains the names of
    /// [`FolderSource`](crate::FolderSource)s, because callers try those first.
    fn from_str(name: &str) -> Result<Self, DataError> {
        DataSource::ALL.into_iter().find(|source| source.name() == name).ok_or_else(|| {
            let folders = FolderSource::ALL.map(FolderSource::name);
            let known = DataSource::ALL.map(DataSource::name).into_iter().chain(folders);
            DataError::UnknownName {
                kind: "data set",
                found: name.into(),
                expected: known.collect::<Vec<_>>().join(", "),
            }
        })
    }
}

/// Place and layout of a split of a known data set. The images are not yet read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundSet {
    source: DataSource,
    split: Split,
    place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Parquet(Vec<PathBuf>),
    Cifar(Version, Holder),
    Idx { images: PathBuf, labels: PathBuf },
    Drawn,
}

impl DataSource {
    /// Looks for the files of a split in the directory `root/<name>`, and where torchvision puts them in
    /// `root`. It does not read the files. The synthetic set needs no files and no `root`. Returns the first
    /// layout of [`find_all`](Self::find_all).
    ///
    /// # Errors
    /// [`DataError::NotFound`] if there is none; if the first layout found is incomplete, its error.
    pub fn find(self, root: &Path, split: Split) -> Result<FoundSet, DataError> {
        match self.find_all(root, split)?.into_iter().next() {
            Some(found) => found,
            None => Err(self.not_found(&root.join(self.name()), split)),
        }
    }

    /// Returns every layout in which a split is present, in the order of preference.
    ///
    /// The order is:
    ///
    /// 1. Hugging Face parquet ([`hugging_face_parquet`](crate::hugging_face_parquet)) in `root/<name>`, in
    ///    its folders `data`, `plain_text`, `<name>` and `default`, and in their folders of the split
    ///    (`train`, `partial-train`), which may hold `0000.parquet` and so on;
    /// 2. CIFAR's binary version in `root/<name>`, or in the directory in which the published archive holds
    ///    it (`cifar-10-batches-bin`, `cifar-100-binary`), in `root/<name>` or `root`;
    /// 3. CIFAR's Python version in `root/<name>`, or in `cifar-10-batches-py` or `cifar-100-python`, in
    ///    `root/<name>` or `root`;
    /// 4. CIFAR's two archives, `cifar-10-binary.tar.gz` before `cifar-10-python.tar.gz`, in `root/<name>` or
    ///    `root`;
    /// 5. for MNIST and sets in its format, the pair of IDX files by their published names, such as
    ///    `t10k-images-idx3-ubyte` or `t10k-images.idx3-ubyte`, before the same names with `.gz`; in
    ///    `root/<name>`, in its folder `raw`, and where torchvision puts them: `MNIST/raw`, in `root/<name>`
    ///    or `root`.
    ///
    /// # Errors
    /// [`DataError::Io`] for a directory that cannot be listed. An incomplete layout is an error inside the
    /// list.
    pub fn find_all(self, root: &Path, split: Split) -> Result<Vec<Result<FoundSet, DataError>>, DataError> {
        let found = |place| FoundSet { source: self, split, place };
        if self.is_synthetic() {
            return Ok(vec![Ok(found(Place::Drawn))]);
        }
        let dir = root.join(self.name());
        let mut all = Vec::new();
        for folder in self.parquet_folders(&dir, split) {
            let shards = shards(&folder, split)?.into_iter();
            all.extend(shards.map(|files| files.map(|files| found(Place::Parquet(files)))));
        }
        let published = match self.description().torchvision {
            None => self.find_cifar(root, &dir, split),
            Some(folder) => find_idx(root, &dir, folder, split),
        };
        all.extend(published.into_iter().map(|place| Ok(found(place))));
        Ok(all)
    }

    /// Returns the existing folders that may hold parquet files.
    fn parquet_folders(self, dir: &Path, split: Split) -> Vec<PathBuf> {
        let mut folders = Vec::new();
        for folder in ["", "data", "plain_text", self.name(), "default"] {
            for part in [String::new(), split.to_string(), format!("partial-{split}")] {
                folders.push(dir.join(folder).join(part));
            }
        }
        folders.retain(|folder| folder.is_dir());
        folders
    }

    fn find_cifar(self, root: &Path, dir: &Path, split: Split) -> Vec<Place> {
        let versions = [Version::Binary, Version::Pickles];
        let mut all = Vec::new();
        for version in versions {
            let (folder, _) = version.published(self);
            for folder in [dir.into(), dir.join(folder), root.join(folder)] {
                // A folder that lacks some files is refused when it is read, with their names.
                if version.files(self, split).iter().any(|name| folder.join(name).is_file()) {
                    all.push(Place::Cifar(version, Holder::Folder(folder)));
                }
            }
        }
        for version in versions {
            let (_, archive) = version.published(self);
            let archives = [dir.join(archive), root.join(archive)].into_iter().filter(|path| path.is_file());
            all.extend(archives.map(|path| Place::Cifar(version, Holder::Archive(path))));
        }
        all
    }

    fn not_found(self, dir: &Path, split: Split) -> DataError {
        let name = self.name();
        let mut looked_for =
            vec![format!("Hugging Face parquet ({split}-*.parquet, also in data, plain_text or {name})")];
        match self.description().torchvision {
            None => {
                for (version, form) in
                    [(Version::Binary, "the binary version"), (Version::Pickles, "pickles")]
                {
                    let (folder, archive) = version.published(self);
                    let first = version.files(self, split)[0];
                    looked_for.push(format!("{form} ({first}, also in {folder}, or {archive})"));
                }
            }
            Some(folder) => {
                let prefix = idx_prefix(split);
                looked_for
                    .push(format!("IDX ({prefix}-images-idx3-ubyte, also with .gz, or in {folder}/raw)"));
            }
        }
        let mut passed_over = Vec::new();
        for folder in self.parquet_folders(dir, split) {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.extension().is_some_and(|extension| extension == "parquet") {
                    passed_over.push(path.strip_prefix(dir).unwrap_or(&path).display().to_string());
                }
            }
        }
        passed_over.sort();
        passed_over.truncate(MAX_PASSED_OVER);
        DataError::NotFound { dir: dir.into(), data_source: self, split, looked_for, passed_over }
    }
}

/// The largest number of other parquet files that an error lists.
const MAX_PASSED_OVER: usize = 4;

fn idx_prefix(split: Split) -> &'static str {
    match split {
        Split::Train => "train",
        Split::Test => "t10k",
    }
}

/// Returns the pairs of IDX files of a set that torchvision keeps in `folder`.
fn find_idx(root: &Path, dir: &Path, folder: &str, split: Split) -> Vec<Place> {
    let prefix = idx_prefix(split);
    let mut all = Vec::new();
    let raw = Path::new(folder).join("raw");
    for dir in [dir.into(), dir.join("raw"), dir.join(&raw), root.join(&raw)] {
        for suffix in ["", ".gz"] {
            for separator in ['-', '.'] {
                let name = |kind, suffix| dir.join(format!("{prefix}-{kind}{suffix}"));
                let images = name(format!("images{separator}idx3-ubyte"), suffix);
                if images.is_file() {
                    let kind = format!("labels{separator}idx1-ubyte");
                    // The file of labels is preferred in the form of the images, plain or gzipped.
                    let other = if suffix.is_empty() { ".gz" } else { "" };
                    let labels = [suffix, other].map(|suffix| name(kind.clone(), suffix));
                    let [same, other] = labels;
                    let labels = if !same.is_file() && other.is_file() { other } else { same };
                    all.push(Place::Idx { images, labels });
                }
            }
        }
    }
    all
}

impl FoundSet {
    /// A short name of the layout.
    pub fn form(&self) -> &'static str {
        match &self.place {
            Place::Parquet(files) if is_partial(files) => "Hugging Face parquet, a first part",
            Place::Parquet(_) => "Hugging Face parquet",
            Place::Cifar(Version::Binary, Holder::Folder(_)) => "binary",
            Place::Cifar(Version::Pickles, Holder::Folder(_)) => "pickles",
            Place::Cifar(Version::Binary, Holder::Archive(_)) => "binary, archive",
            Place::Cifar(Version::Pickles, Holder::Archive(_)) => "pickles, archive",
            Place::Idx { images, .. } if images.extension().is_some_and(|e| e == "gz") => "IDX, gzip",
            Place::Idx { .. } => "IDX",
            Place::Drawn => "drawn",
        }
    }

    /// True if it is the Hugging Face layout, which is preferred to all others.
    pub fn is_parquet(&self) -> bool {
        matches!(self.place, Place::Parquet(_))
    }

    /// Directory of the files of CIFAR's binary version, if that is the layout.
    pub fn binary_dir(&self) -> Option<&Path> {
        match &self.place {
            Place::Cifar(Version::Binary, Holder::Folder(dir)) => Some(dir),
            _ => None,
        }
    }

    /// Directory or archive of the files; `None` if the images are drawn.
    pub fn place(&self) -> Option<&Path> {
        match &self.place {
            Place::Parquet(files) => files[0].parent(),
            Place::Cifar(_, Holder::Folder(place) | Holder::Archive(place)) => Some(place),
            Place::Idx { images, .. } => images.parent(),
            Place::Drawn => None,
        }
    }

    /// The names of the files, in the order in which they are read.
    pub fn files(&self) -> Vec<String> {
        let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match &self.place {
            Place::Parquet(files) => files.iter().map(name).collect(),
            Place::Cifar(version, _) => {
                version.files(self.source, self.split).iter().map(|&name| name.into()).collect()
            }
            Place::Idx { images, labels } => vec![name(images), name(labels)],
            Place::Drawn => Vec::new(),
        }
    }

    /// Returns the number of images by the sizes of the files, or as parquet files declare it. Pickles and
    /// compressed files are read for it.
    ///
    /// # Errors
    /// [`DataError::Io`] and [`DataError::NotAFile`] for a file that cannot be read, and the errors of the
    /// loader for the parts that are read.
    pub fn images(&self) -> Result<u64, DataError> {
        match &self.place {
            Place::Parquet(files) => files.iter().map(|shard| rows(shard)).sum(),
            Place::Cifar(version, holder) => version.images(self.source, self.split, holder),
            Place::Idx { .. } => Ok(self.read()?.len() as u64),
            Place::Drawn => Ok(self.source.images(self.split)),
        }
    }

    /// Reads the set.
    ///
    /// # Errors
    /// [`DataError::ShapeMismatch`] if the images do not have the shape of the data set, and the errors of
    /// the loader.
    pub fn read(&self) -> Result<ImageSet, DataError> {
        let Self { source, split, place } = self;
        let (source, split, classes) = (*source, *split, source.class_names().len());
        let set = match place {
            Place::Parquet(files) => read_files(files, source.name(), split, classes)?,
            Place::Cifar(version, holder) => version.read(source, split, holder)?,
            Place::Idx { images, labels } => idx(images, labels, source.name(), split, classes)?,
            // At most 20,000.
            Place::Drawn => synthetic(split, source.images(split) as usize, SYNTHETIC_SEED)?,
        };
        if set.shape() != source.shape() {
            let dir = self.place().unwrap_or(Path::new(""));
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

/// True if the shards lie in the folder in which the hub stores the first part of a set that is too large to
/// convert.
fn is_partial(files: &[PathBuf]) -> bool {
    let folder = files[0].parent().and_then(Path::file_name).and_then(|name| name.to_str());
    folder.is_some_and(|name| name.starts_with("partial-"))
}

impl ImageSet {
    /// Reads a known data set from the first layout that [`find`](DataSource::find) finds for the directory
    /// `root/<name>`. The synthetic set is drawn.
    ///
    /// # Errors
    /// The errors of [`find`](DataSource::find) and [`read`](FoundSet::read).
    pub fn open(root: &Path, source: DataSource, split: Split) -> Result<ImageSet, DataError> {
        source.find(root, split)?.read()
    }
}

const CIFAR10: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

const MNIST: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

#[rustfmt::skip]
const FASHION_MNIST: [&str; 10] =
    ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

const KMNIST: [&str; 10] = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"];

/// Class names, in the order of `Shape::random` of the synthetic set.
pub(crate) const SYNTHETIC: [&str; 10] =
    ["disc", "ring", "triangle", "square", "hexagon", "star", "cross", "crescent", "stripes", "checkerboard"];

/// Class names from `fine_label_names.txt` of the published archive.
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
