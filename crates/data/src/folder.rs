//! Folders of image files, in torchvision's layout or flat.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::cache::{Cache, CacheOutcome, Decoded, FileState, PIECE};
use crate::decode::{self, Limits};
use crate::listing::Listing;
use crate::set::check_classes;
use crate::{DataError, ImageSet, ResizeCrop, Split, ValidationLabels, file};

/// The largest number of bytes of decoded pixels in a set from a folder, 16 GiB. ImageNet's 50,000 validation
/// images fit at 224 pixels per side (7.5 GB) and at 299 (13.4 GB); its training images do not.
pub const MAX_FOLDER_BYTES: u64 = 1 << 34;

/// The largest image file that is read, in bytes: 256 MiB.
const MAX_FILE_BYTES: u64 = 1 << 28;

/// The largest image that is decoded before it is resized: 200 MB as RGB.
const LIMITS: Limits = Limits { side: 1 << 14, pixels: 1 << 26 };

/// The largest depth of nested folders; a deeper one is a link that leads back.
const MAX_DEPTH: usize = 16;

/// torchvision's extensions. Files with these extensions that are neither JPEG nor PNG count as unreadable.
const EXTENSIONS: [&str; 9] = ["jpg", "jpeg", "png", "ppm", "bmp", "pgm", "tif", "tiff", "webp"];

/// A data set in a folder of image files. Written `imagenet` or `images`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FolderSource {
    /// Labelled images in the layout of torchvision's `ImageFolder`: one folder for each class in
    /// `imagenet/train` and `imagenet/val`. `imagenet/val` may also be flat, as in the official archive, with
    /// [`ValidationLabels`] beside it.
    ImageNet,
    /// Images without labels: in `images/train` and `images/val`, or in `images` if neither exists.
    Images,
}

impl FolderSource {
    /// Every folder source.
    pub const ALL: [Self; 2] = [Self::ImageNet, Self::Images];

    /// Returns the source with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.name() == name)
    }

    /// The name, which is also the name of the set's directory.
    pub fn name(self) -> &'static str {
        match self {
            Self::ImageNet => "imagenet",
            Self::Images => "images",
        }
    }

    /// Returns the source whose layout a directory has: [`ImageNet`](Self::ImageNet) if `val` holds folders,
    /// or holds image files and has [`ValidationLabels`] beside it; [`Images`](Self::Images) if `val`, or the
    /// directory itself if there is no `val`, holds image files and no folders. Names that begin with a dot
    /// are ignored.
    ///
    /// # Errors
    /// [`DataError::Layout`] for folders without `val`, [`DataError::NoImages`] for a directory without
    /// images, and [`DataError::Io`].
    pub fn found_in(set: &Path) -> Result<Self, DataError> {
        let val = set.join("val");
        let divided = val.is_dir();
        let place = if divided { val.as_path() } else { set };
        let mut files = false;
        for (name, is_dir) in entries(place)? {
            match (is_dir && !name.as_encoded_bytes().starts_with(b"."), divided) {
                (true, true) => return Ok(Self::ImageNet),
                (true, false) => {
                    return Err(DataError::Layout {
                        path: val,
                        found: "no such folder".into(),
                        expected: "one that holds a folder of JPEG or PNG files for each class",
                    });
                }
                (false, _) => files |= !is_dir && is_image(Path::new(&name)),
            }
        }
        match files {
            true if divided && set.join(ValidationLabels::FILE_NAME).exists() => Ok(Self::ImageNet),
            true => Ok(Self::Images),
            false => Err(DataError::NoImages { path: place.into() }),
        }
    }

    /// True if the images have labels. Otherwise the class that a fault-free network predicts replaces the
    /// label, and a report of results must say so.
    pub fn is_labelled(self) -> bool {
        self == Self::ImageNet
    }
}

/// The image files of one split, listed but not read.
///
/// # Classes and order
/// The order is that of torchvision's `ImageFolder`. Classes are the folders in the order of their names, and
/// their positions are the labels. Inside a class, files are ordered by folder and name. A file counts if its
/// name ends in the extension of an image format, in lower or upper case.
///
/// If [`ValidationLabels`] lie beside `train` and `val`, fewer than 1,000 folders keep the labels that they
/// have among all classes of ImageNet. `val` may then also hold the image files themselves; they are ordered
/// by name, which does not group them by class.
///
/// The images of `val` ([`Split::Test`]) come class by class, so that the first 5,000 are those of the paper.
/// The images of `train` come in turns: the first of every class, then the second of every class, so that a
/// short prefix covers all classes. [`in_turns`](Self::in_turns) puts `val` into this order.
///
/// Images without labels are ordered by folder and name.
#[derive(Debug, Clone)]
pub struct ImageFolder {
    name: String,
    split: Split,
    /// Folder to which the paths of the files are relative.
    dir: PathBuf,
    /// Folder or table that lists the files.
    listed_in: PathBuf,
    classes: Vec<String>,
    files: Vec<ImageFile>,
    /// True if images can be put into turns: there is a list of each class.
    by_class: bool,
    /// True if test images were put into turns.
    in_turns: bool,
    /// Columns and rows that were read of a table.
    reading: Option<String>,
}

#[derive(Debug, Clone)]
struct ImageFile {
    /// Path relative to [`ImageFolder::dir`].
    path: PathBuf,
    /// The label; 0 if the set has no labels.
    label: u16,
}

/// A file that cannot be decoded and is left out of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The file.
    pub path: PathBuf,
    /// The reason why it cannot be decoded.
    pub reason: String,
}

/// Decoded images, the files that could not be decoded, and the outcome of the cache.
#[derive(Debug)]
pub struct FolderImages {
    /// The images, of the shape of the crop.
    pub images: ImageSet,
    /// The files that could not be decoded, in order; the files after them took their places.
    pub unreadable: Vec<Unreadable>,
    /// Outcome of using the cache.
    pub cache: CacheOutcome,
}

impl ImageFolder {
    /// Calls [`open_in`](Self::open_in) with the directory `root/<name>`.
    ///
    /// # Errors
    /// The errors of [`open_in`](Self::open_in).
    pub fn open(root: &Path, source: FolderSource, split: Split) -> Result<Self, DataError> {
        Self::open_in(&root.join(source.name()), source, split)
    }

    /// Lists the files of a split in the directory of a set. For `imagenet` these are the files in the
    /// folders of `train` or `val`. For `images` they are all files in `train` or `val`, or, if neither
    /// exists, all files in the directory itself as [`Split::Test`]. Folders may be nested.
    ///
    /// # Errors
    /// [`DataError::Layout`] for a folder that is missing or nested without end, for a flat `val` without
    /// [`ValidationLabels`], and for a file or folder that these do not list; [`DataError::NoImages`] for a
    /// class or a split without files, [`DataError::Classes`] for more than 65536 classes, and
    /// [`DataError::Io`].
    pub fn open_in(set: &Path, source: FolderSource, split: Split) -> Result<Self, DataError> {
        let part = match split {
            Split::Train => "train",
            Split::Test => "val",
        };
        let divided = ["train", "val"].iter().any(|part| set.join(part).is_dir());
        let whole = !source.is_labelled() && split == Split::Test && !divided;
        let dir = if whole { set.to_path_buf() } else { set.join(part) };
        if !dir.is_dir() {
            return Err(DataError::Layout {
                path: dir,
                found: "no such folder".into(),
                expected: match source {
                    FolderSource::ImageNet => "one that holds a folder of JPEG or PNG files for each class",
                    FolderSource::Images => "one that holds JPEG or PNG files",
                },
            });
        }
        let mut folder = Self {
            name: source.name().into(),
            split,
            listed_in: dir.clone(),
            dir,
            classes: Vec::new(),
            files: Vec::new(),
            by_class: false,
            in_turns: false,
            reading: None,
        };
        if source.is_labelled() {
            folder.list_classes(set)?;
        } else {
            let paths = folder.list(Path::new(""))?;
            folder.files = paths.into_iter().map(|path| ImageFile { path, label: 0 }).collect();
        }
        Ok(folder)
    }

    /// Lists the files of a split in a table: a CSV file with a column of paths, relative to its folder, and one of
    /// labels. Test images are in the order of the rows, training images in turns. The name of the set is the name of
    /// the file.
    ///
    /// The first row names the columns: `path`, `file`, `filename`, `file_name`, `image` or `image_path`; `label`,
    /// `class`, `target` or `category`; and optionally `split` or `subset`, with `train` and `test` (or `val`, `valid`,
    /// `validation`, if no row has `test`). Without it all images are test images. Labels are numbers from 0, or else
    /// names of classes, which are numbered in their sorted order. The classes are those of all rows.
    ///
    /// # Errors
    /// [`DataError::Row`] for a row that cannot be read or has an empty field, [`DataError::Layout`] for missing
    /// columns, [`DataError::NoSplit`] if no row belongs to the split, [`DataError::Classes`] and [`DataError::Io`].
    pub fn listed(table: &Path, split: Split) -> Result<Self, DataError> {
        let Listing { classes, files, reading } = Listing::read(table, split)?;
        let files = files.into_iter().map(|(path, label)| ImageFile { path, label }).collect();
        let mut folder = Self {
            name: table.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            split,
            dir: table.parent().unwrap_or(Path::new("")).into(),
            listed_in: table.into(),
            classes,
            files,
            by_class: true,
            in_turns: false,
            reading: Some(reading),
        };
        if split == Split::Train {
            folder.files = in_turns(folder.each_class());
        }
        Ok(folder)
    }

    /// Puts test images into the order of training images, one of every class in turn, so that a short prefix
    /// covers all classes. A flat folder keeps its order.
    pub fn in_turns(mut self) -> Self {
        if self.split == Split::Test && self.by_class {
            self.files = in_turns(self.each_class());
            self.in_turns = true;
        }
        self
    }

    /// Returns the files of each class, in order.
    fn each_class(&self) -> Vec<Vec<ImageFile>> {
        let mut classes = BTreeMap::<u16, Vec<ImageFile>>::new();
        for file in &self.files {
            classes.entry(file.label).or_default().push(file.clone());
        }
        classes.into_values().collect()
    }

    /// The name of the set.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// True if the images have labels. Otherwise the class that a fault-free network predicts replaces the
    /// label, and a report of results must say so.
    pub fn is_labelled(&self) -> bool {
        !self.classes.is_empty()
    }

    /// Columns and rows that were read, if a table lists the files.
    pub fn reading(&self) -> Option<&str> {
        self.reading.as_deref()
    }

    /// Folder to which the paths of the files are relative: that of the split, or of the table.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The names of the classes in the order of their labels; empty if there are no labels.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Folder or table that lists the files.
    pub fn listed_in(&self) -> &Path {
        &self.listed_in
    }

    /// The number of files.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// True if there are no files, which never happens.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Decodes the first `images` readable images, or all images, on all threads, and resizes and crops them.
    ///
    /// If the decoders agree, pixels agree with Pillow's and torchvision's: PNG exactly, JPEG to a fraction
    /// of a level on average. Pixels are the same on every machine.
    ///
    /// The directory `cache`, if given, stores decoded pixels and is created if missing. They are reused, for
    /// any number of images, while the files have the same names, sizes and modification times. A SHA-256
    /// verifies the cache; a failure to write or read it is no error.
    ///
    /// `on_image` is called after every file, from any thread.
    ///
    /// # Errors
    /// [`DataError::NotEnough`] if fewer than `images` can be read, [`DataError::NoneReadable`] if none can,
    /// [`DataError::TooManyImages`] if the pixels take more than [`MAX_FOLDER_BYTES`].
    pub fn load(
        &self,
        crop: ResizeCrop,
        images: Option<usize>,
        cache: Option<&Path>,
        on_image: &(dyn Fn() + Sync),
    ) -> Result<FolderImages, DataError> {
        let wanted = images.unwrap_or(self.len());
        let name = || format!("{} {}", self.name, self.split);
        if wanted > self.len() {
            return Err(DataError::NotEnough { name: name(), asked: wanted, available: self.len() });
        }
        if wanted.saturating_mul(crop.image_bytes()) as u64 > MAX_FOLDER_BYTES {
            let image_bytes = crop.image_bytes();
            return Err(DataError::TooManyImages { name: name(), images: wanted, image_bytes });
        }
        let cache = cache.map(|dir| Cache::new(dir, &self.listed_in, crop, self.in_turns));
        let mut outcomes = PieceOutcomes::default();
        let pixels = Vec::with_capacity(wanted * crop.image_bytes());
        let mut all = Decoded { pixels, ..Decoded::default() };
        for first in (0..self.len()).step_by(PIECE) {
            let missing = wanted - all.readable();
            if missing == 0 {
                break;
            }
            let piece = cache.as_ref().map(|cache| cache.piece(first / PIECE));
            let files = first..self.len().min(first + PIECE);
            let (mut decoded, mut state) = Default::default();
            if let Some(piece) = &piece {
                match piece.read(files.len(), crop.image_bytes(), |examined| self.state(first, examined)) {
                    Ok(there) => (decoded, state) = there.unwrap_or_default(),
                    Err(damage) => outcomes.damage = outcomes.damage.or(Some(damage)),
                }
            }
            let known = decoded.examined;
            self.decode(crop, files, missing, (&mut decoded, &mut state), on_image);
            outcomes.decoded |= decoded.examined > known;
            if decoded.examined > known
                && outcomes.failure.is_none()
                && let Some(piece) = piece
                && let Err(source) = piece.write(&decoded, state, crop.image_bytes())
            {
                outcomes.failure = Some((piece.path().into(), source));
            }
            all.extend(decoded, missing);
        }
        let outcome = match (cache, outcomes) {
            (None, _) => CacheOutcome::Off,
            (_, PieceOutcomes { failure: Some((path, source)), .. }) => CacheOutcome::Failed { path, source },
            (_, PieceOutcomes { decoded: false, .. }) => CacheOutcome::Read,
            (_, PieceOutcomes { damage, .. }) => CacheOutcome::Written { damage },
        };
        self.assemble(crop, images, all, outcome)
    }

    /// Lists the classes and files of a labelled set in the directory `set`.
    fn list_classes(&mut self, set: &Path) -> Result<(), DataError> {
        let mut classes: Vec<Vec<PathBuf>> = Vec::new();
        let mut flat = false;
        for (name, is_dir) in entries(&self.dir)? {
            if !is_dir {
                flat |= is_image(Path::new(&name));
                continue;
            }
            let files = self.list(Path::new(&name))?;
            if files.is_empty() {
                return Err(DataError::NoImages { path: self.dir.join(name) });
            }
            classes.push(files);
            self.classes.push(name.to_string_lossy().into_owned());
        }
        let known = set.join(ValidationLabels::FILE_NAME);
        if classes.is_empty() {
            return match flat && self.split == Split::Test && known.exists() {
                true => self.label_files(&ValidationLabels::read(&known)?),
                false => Err(self.no_classes(flat)),
            };
        }
        check_classes(&self.name, classes.len())?;
        let labels = match classes.len() < ValidationLabels::CLASSES && known.exists() {
            true => self.labels_among(&ValidationLabels::read(&known)?)?,
            // `check_classes` bounds the number of classes by 65536.
            false => (0..=u16::MAX).take(classes.len()).collect(),
        };
        let labelled = labels.into_iter().zip(classes).map(|(label, paths)| {
            let file = move |path| ImageFile { path, label };
            paths.into_iter().map(file).collect::<Vec<_>>()
        });
        self.by_class = true;
        self.files = match self.split {
            Split::Test => labelled.flatten().collect(),
            Split::Train => in_turns(labelled.collect()),
        };
        Ok(())
    }

    fn no_classes(&self, flat: bool) -> DataError {
        let path = self.dir.clone();
        match flat && self.split == Split::Test {
            true => DataError::NoLabels { path },
            false => DataError::Layout {
                path,
                found: "holds no folders".into(),
                expected: "a folder of JPEG or PNG files for each class",
            },
        }
    }

    /// Returns the labels that the class folders have among all classes of ImageNet.
    fn labels_among(&mut self, known: &ValidationLabels) -> Result<Vec<u16>, DataError> {
        let folders = std::mem::replace(&mut self.classes, known.ids().to_vec());
        let label = |folder: String| {
            known.label_of_id(&folder).ok_or_else(|| DataError::Layout {
                path: self.dir.join(&folder),
                found: format!("no class of {}", ValidationLabels::FILE_NAME),
                expected: "a folder named by a WordNet id of it, such as n01440764",
            })
        };
        folders.into_iter().map(label).collect()
    }

    /// Labels the files of a flat folder by the image numbers in their names.
    fn label_files(&mut self, known: &ValidationLabels) -> Result<(), DataError> {
        let labelled = |path: PathBuf| match path.to_str().and_then(|name| known.label_of_file(name)) {
            Some(label) => Ok(ImageFile { path, label }),
            None => Err(DataError::Layout {
                path: self.dir.join(path),
                found: "no validation image of ImageNet by its name".into(),
                expected: "ILSVRC2012_val_00000001.JPEG to ILSVRC2012_val_00050000.JPEG",
            }),
        };
        self.files = self.list(Path::new(""))?.into_iter().map(labelled).collect::<Result<_, _>>()?;
        self.classes = known.ids().to_vec();
        Ok(())
    }

    /// Lists the image files below a folder, ordered by folder and name.
    fn list(&self, within: &Path) -> Result<Vec<PathBuf>, DataError> {
        let mut folders = vec![(within.to_path_buf(), 0)];
        let mut files = Vec::new();
        while let Some((folder, depth)) = folders.pop() {
            for (name, is_dir) in entries(&self.dir.join(&folder))? {
                let path = folder.join(name);
                if !is_dir {
                    files.extend(is_image(&path).then_some((folder.clone(), path)));
                } else if depth < MAX_DEPTH {
                    folders.push((path, depth + 1));
                } else {
                    return Err(DataError::Layout {
                        path: self.dir.join(path),
                        found: format!("a folder {} deep in the set", depth + 1),
                        expected: "at most 16, and no link that leads back",
                    });
                }
            }
        }
        // Folders compare as text, as in Python: `a-b` precedes `a/b`.
        files.sort_by(|(a_folder, a), (b_folder, b)| {
            let folders = a_folder.as_os_str().cmp(b_folder.as_os_str());
            folders.then_with(|| a.as_os_str().cmp(b.as_os_str()))
        });
        if files.is_empty() && within.as_os_str().is_empty() {
            return Err(DataError::NoImages { path: self.dir.clone() });
        }
        Ok(files.into_iter().map(|(_, path)| path).collect())
    }

    /// Decodes `files` in order until `wanted` images are readable or no file is left. Adds the state of each
    /// file before it is read to `state`.
    fn decode(
        &self,
        crop: ResizeCrop,
        files: Range<usize>,
        wanted: usize,
        (decoded, state): (&mut Decoded, &mut FileState),
        on_image: &(dyn Fn() + Sync),
    ) {
        let image_bytes = crop.image_bytes();
        let files = &self.files[files];
        while decoded.readable() < wanted && decoded.examined < files.len() {
            let (first, mut filled) = (decoded.examined, decoded.readable());
            let batch = &files[first..files.len().min(first + wanted - filled)];
            batch.iter().for_each(|file| state.add(&self.dir, &file.path));
            decoded.pixels.resize((filled + batch.len()) * image_bytes, 0);
            let places = decoded.pixels[filled * image_bytes..].par_chunks_exact_mut(image_bytes);
            let failures: Vec<Option<String>> = places
                .zip(batch)
                .map(|(place, file)| {
                    let failure = decode_file(&self.dir.join(&file.path), crop, place).err();
                    on_image();
                    failure
                })
                .collect();
            // Images after a failure move up into its place.
            let start = filled;
            for (i, failure) in failures.into_iter().enumerate() {
                match failure {
                    Some(reason) => decoded.unreadable.push((first + i, reason)),
                    None => {
                        let from = (start + i) * image_bytes;
                        decoded.pixels.copy_within(from..from + image_bytes, filled * image_bytes);
                        filled += 1;
                    }
                }
            }
            decoded.examined += batch.len();
            decoded.pixels.truncate(filled * image_bytes);
        }
    }

    /// Returns the state of `examined` files, beginning with file `first`.
    fn state(&self, first: usize, examined: usize) -> FileState {
        let mut state = FileState::default();
        self.files[first..first + examined].iter().for_each(|file| state.add(&self.dir, &file.path));
        state
    }

    fn assemble(
        &self,
        crop: ResizeCrop,
        asked: Option<usize>,
        decoded: Decoded,
        cache: CacheOutcome,
    ) -> Result<FolderImages, DataError> {
        let Decoded { examined, unreadable, pixels } = decoded;
        let available = examined - unreadable.len();
        if let (0, Some((first, reason))) = (available, unreadable.first()) {
            return Err(DataError::NoneReadable {
                dir: self.dir.clone(),
                files: examined,
                first: self.files[*first].path.clone(),
                reason: reason.clone(),
            });
        }
        if let Some(asked) = asked.filter(|&asked| asked > available) {
            let (name, bad) = (&self.name, unreadable.len());
            let name = format!("{name} {} without {bad} unreadable files", self.split);
            return Err(DataError::NotEnough { name, asked, available });
        }
        let shape = crop.shape();
        let images = if self.is_labelled() {
            let mut skipped = unreadable.iter().map(|(index, _)| *index).peekable();
            let read = (0..examined).filter(|index| skipped.next_if_eq(index).is_none());
            let labels = read.map(|index| self.files[index].label).collect();
            let set = ImageSet::new(&self.name, self.split, shape, self.classes.len(), pixels, labels)?;
            if self.in_turns { set.marked_in_turns() } else { set }
        } else {
            ImageSet::without_labels(&self.name, self.split, shape, pixels)?
        };
        let unreadable = unreadable
            .into_iter()
            .map(|(index, reason)| Unreadable { path: self.dir.join(&self.files[index].path), reason })
            .collect();
        Ok(FolderImages { images, unreadable, cache })
    }
}

/// Outcomes of reading and writing the pieces of a cache.
#[derive(Default)]
struct PieceOutcomes {
    /// True if any file was decoded.
    decoded: bool,
    /// The defect of the first damaged piece.
    damage: Option<String>,
    /// Path and error of the first piece that could not be written; no piece is written after it.
    failure: Option<(PathBuf, std::io::Error)>,
}

/// Interleaves classes: the first file of every class, then the second of every class, and so on.
fn in_turns(classes: Vec<Vec<ImageFile>>) -> Vec<ImageFile> {
    let mut all = Vec::with_capacity(classes.iter().map(Vec::len).sum());
    let mut rest: Vec<_> = classes.into_iter().map(Vec::into_iter).collect();
    while !rest.is_empty() {
        rest.retain_mut(|class| {
            let next = class.next();
            let some = next.is_some();
            all.extend(next);
            some
        });
    }
    all
}

/// Returns the sorted names in a directory; the flag is true for a directory and for a link to one.
fn entries(dir: &Path) -> Result<Vec<(OsString, bool)>, DataError> {
    let failed = |source| file::io_error(dir, source);
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        let is_dir = kind.is_dir() || (kind.is_symlink() && entry.path().is_dir());
        all.push((entry.file_name(), is_dir));
    }
    all.sort_unstable();
    Ok(all)
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension))
}

/// Reads, decodes, resizes and crops one file into `out`. The error states the reason of a failure.
fn decode_file(path: &Path, crop: ResizeCrop, out: &mut [u8]) -> Result<(), String> {
    let (file, length) = file::open(path).map_err(|error| reason(&error))?;
    if length > MAX_FILE_BYTES {
        return Err(format!("{length} bytes, expected at most {MAX_FILE_BYTES}"));
    }
    let bytes = file::read_opened(path, (file, length)).map_err(|error| reason(&error))?;
    let raster = catch_unwind(|| decode::raster(&bytes, LIMITS))
        .unwrap_or_else(|_| Err("damaged file: the decoder panicked".into()))?;
    crop.apply(&raster, out);
    Ok(())
}

/// Returns the text of an error without the name of the file.
fn reason(error: &DataError) -> String {
    match error {
        DataError::Io { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}
