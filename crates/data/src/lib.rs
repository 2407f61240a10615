//! Image sets: CIFAR-10, CIFAR-100, MNIST and its like, from the files in which they are published, folders of
//! image files such as ImageNet's, and a synthetic set that needs no file.
//!
//! An [`ImageSet`] holds decoded images as `u8` in CHW order, one after the other, with one label each (but
//! for folders without labels), in the order in which the files store them. Nothing is shuffled, augmented or normalised here: mean and
//! deviation belong to whoever feeds a network.
//!
//! | layout | loader | files |
//! |---|---|---|
//! | CIFAR-10 binary version | [`cifar10_binary`] | `data_batch_1.bin` to `data_batch_5.bin`, `test_batch.bin` |
//! | CIFAR-100 binary version | [`cifar100_binary`] | `train.bin`, `test.bin` |
//! | CIFAR-10 Python version | [`cifar10_pickles`] | `data_batch_1` to `data_batch_5`, `test_batch` |
//! | CIFAR-100 Python version | [`cifar100_pickles`] | `train`, `test` |
//! | Hugging Face parquet | [`hugging_face_parquet`] | `train-00000-of-00002.parquet`, ... holding JPEG or PNG images |
//! | IDX, as MNIST | [`idx`] | `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, ..., with or without `.gz` |
//! | torchvision's image folders | [`ImageFolder`] | `val/n01440764/ILSVRC2012_val_00000293.JPEG`, ... |
//! | the flat folder of ImageNet's archive | [`ImageFolder`], [`ValidationLabels`] | `val/ILSVRC2012_val_00000001.JPEG`, ..., `validation_labels.txt` |
//! | none: drawn on the spot | [`synthetic`] | none |
//!
//! [`ImageSet::open`] takes a root directory and one of the known [`DataSource`]s, and picks the loader by
//! what it finds; [`DataSource::find_all`] has the order in which it looks. [`ImageSet::write`] writes a set in a published
//! form. An [`ImageFolder`] is opened by its [`FolderSource`], and its images, of any size, are cut to
//! that of a network by a [`ResizeCrop`]. [`ImageSet::is_synthetic`] tells drawn images from photographs; whoever reports a result must
//! say so.
//!
//! # Identity
//! [`ImageSet::digest`] is a SHA-256 over decoded content, so a set has one digest whichever layout it came
//! from. For the same reason JPEG images are decoded by portable scalar code only: the digest of a set must
//! not depend on how a machine's vector unit rounds.
//!
//! # Hostile files
//! Files are checked, not trusted. Every loader returns a [`DataError`] that names file, place, value and
//! what was expected. A size that a file declares is compared with the file's own length before memory is
//! reserved for it, images are at most [`MAX_SIDE`] pixels a side, a parquet set at most
//! [`MAX_PIXEL_BYTES`] bytes once decoded, and one from a folder [`MAX_FOLDER_BYTES`].

mod archive;
mod cache;
mod cifar;
mod decode;
mod error;
mod file;
mod folder;
mod hugging_face;
mod idx;
mod pickles;
mod resize;
mod set;
mod source;
mod synthetic;
mod validation_labels;
mod write;

pub use archive::Archive;
pub use cache::CacheOutcome;
pub use cifar::{cifar10_binary, cifar10_pickles, cifar100_binary, cifar100_pickles};
pub use error::DataError;
pub use folder::{FolderImages, FolderSource, ImageFolder, MAX_FOLDER_BYTES, Unreadable};
pub use hugging_face::{MAX_PIXEL_BYTES, hugging_face_parquet};
pub use idx::idx;
pub use resize::ResizeCrop;
pub use set::{ImageSet, ImageShape, MAX_SIDE, Split};
pub use source::{DataSource, FoundSet};
pub use synthetic::{SYNTHETIC_IMAGES, SYNTHETIC_SEED, synthetic};
pub use validation_labels::ValidationLabels;
