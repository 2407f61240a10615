//! Image sets: CIFAR-10, CIFAR-100, MNIST and sets in its format, from the files in which they are published;
//! folders of image files such as ImageNet's; arrays of NumPy and tables of image files; and a synthetic set that needs
//! no file.
//!
//! An [`ImageSet`] holds decoded images as `u8` in CHW order, one after the other, in the order in which the
//! files store them, with one label each (a folder of images may have no labels). Nothing is shuffled,
//! augmented or normalised here: mean and deviation belong to the network's preprocessing.
//! | layout | loader | files |
//! |---|---|---|
//! | CIFAR-10 binary version | [`cifar10_binary`] | `data_batch_1.bin` to `data_batch_5.bin`, `test_batch.bin` |
//! | CIFAR-100 binary version | [`cifar100_binary`] | `train.bin`, `test.bin` |
//! | CIFAR-10 Python version | [`cifar10_pickles`] | `data_batch_1` to `data_batch_5`, `test_batch` |
//! | CIFAR-100 Python version | [`cifar100_pickles`] | `train`, `test` |
//! | Hugging Face parquet | [`hugging_face_parquet`] | `train-00000-of-00002.parquet`, ... holding JPEG or PNG images |
//! | IDX, the format of MNIST | [`idx`] | `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, ..., with or without `.gz` |
//! | torchvision's image folders | [`ImageFolder`] | `val/n01440764/ILSVRC2012_val_00000293.JPEG`, ... |
//! | the flat folder of ImageNet's archive | [`ImageFolder`], [`ValidationLabels`] | `val/ILSVRC2012_val_00000001.JPEG`, ..., `validation_labels.txt` |
//! | arrays of NumPy | [`numpy_arrays`] | any `.npz` of images and labels, or `.npy` files |
//! | a table of image files | [`ImageFolder::listed`] | any `.csv` of paths and labels |
//! | none: the images are drawn | [`synthetic`] | none |
//!
//! [`ImageSet::open`] takes a root directory and one of the known [`DataSource`]s, and picks the loader by
//! the files it finds; [`DataSource::find_all`] documents the order of the search. [`ImageSet::write`] writes
//! a set in a published layout. A [`FolderSource`] opens an [`ImageFolder`], and a [`ResizeCrop`] cuts its
//! images, which may have any size, to the input size of a network. [`ImageSet::is_synthetic`] tells drawn
//! images from photographs; a report of results on drawn images must say so.
//!
//! # Identity
//! [`ImageSet::digest`] is a SHA-256 of the decoded content, so a set has one digest in all layouts. For the
//! same reason portable scalar code decodes JPEG images: the digest of a set must not depend on how a
//! machine's vector unit rounds.
//!
//! # Hostile files
//! No file is trusted. Every loader returns a [`DataError`] that names file, position, value and expectation.
//! A loader compares a size that a file declares with the length of the file before it reserves memory.
//! Images have at most [`MAX_SIDE`] pixels per side, a parquet set at most [`MAX_PIXEL_BYTES`] bytes of decoded
//! pixels, and a set from a folder at most [`MAX_FOLDER_BYTES`].

mod archive;
mod cache;
mod cifar;
mod decode;
mod error;
mod file;
mod folder;
mod hugging_face;
mod idx;
mod listing;
mod numpy;
mod pickles;
mod resize;
mod set;
mod source;
mod synthetic;
mod validation_labels;
mod write;

pub use archive::archive_members;
pub use cache::CacheOutcome;
pub use cifar::{cifar10_binary, cifar10_pickles, cifar100_binary, cifar100_pickles};
pub use error::DataError;
pub use folder::{FolderImages, FolderSource, ImageFolder, MAX_FOLDER_BYTES, Unreadable};
pub use hugging_face::{MAX_PIXEL_BYTES, hugging_face_parquet};
pub use idx::idx;
pub use numpy::{NumpyImages, numpy_arrays};
pub use resize::ResizeCrop;
pub use set::{ImageSet, ImageShape, MAX_SIDE, Split};
pub use source::{DataSource, FoundSet};
pub use synthetic::{SYNTHETIC_IMAGES, SYNTHETIC_SEED, synthetic};
pub use validation_labels::ValidationLabels;
