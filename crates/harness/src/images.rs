//! Image sets by name, and the sentences that describe them to users.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use data::{
    CacheOutcome, DataError, DataSource, FolderImages, FolderSource, FoundSet, ImageFolder, ImageSet,
    NumpyImages, ResizeCrop, Split, numpy_arrays,
};
use design::EvaluationSet;
use graph::ModelSpec;
use quant::Checkpoint;

use crate::{Failure, Observer, PreprocessingFile};

/// Remark on synthetic images; reports repeat it.
pub const SYNTHETIC: &str =
    "the images are synthetic, drawn by this program: they compare protections, not networks";

/// Short form of [`SYNTHETIC`] for figures.
pub const SYNTHETIC_SHORT: &str = "Synthetic images: they compare methods, not networks";

/// Remark on images without labels; reports repeat it.
pub const LABEL_FREE: &str =
    "the images have no labels: what counts is agreement with the fault-free network, not accuracy";

/// Order of calibration images; evaluation goes class by class.
const IN_TURNS: &str = "images of all classes in turns, the first of each, then the second";

/// Default rows and columns of images from a folder: the input size of the published ImageNet networks except
/// Inception's 299.
pub const DEFAULT_SIDE: usize = 224;

/// Directory of decoded images, if none is chosen.
const CACHE: &str = ".zerospace-cache";

/// Most unreadable files that remarks name.
const NAMED: usize = 5;

/// The first images of a data set.
#[derive(Debug)]
pub struct Images {
    /// The images.
    pub set: ImageSet,
    /// Number of files that could not be decoded; other files took their places.
    pub unreadable: usize,
    /// Remarks for the user, one sentence each.
    pub notes: Vec<String>,
}

/// Returns true if the program draws the images of the set.
pub fn is_synthetic(set: &str) -> bool {
    set.parse().is_ok_and(DataSource::is_synthetic)
}

/// Suffix of an evaluation set's name if files were left out.
pub fn left_out(set: &EvaluationSet) -> String {
    match set.unreadable_files {
        0 => String::new(),
        files => format!(", {files} unreadable files left out"),
    }
}

/// Name of a set that is no files but arrays of a Python program.
pub(crate) const ARRAYS: &str = "arrays";

/// Returns true if the set consists of image files, in a folder or listed in a table, which are cut to the network's input
/// size.
pub fn has_image_files(set: &str) -> bool {
    FolderSource::named(set).is_some() || is_table(set)
}

/// Returns true if the name is that of a CSV file of paths and labels.
fn is_table(set: &str) -> bool {
    Path::new(set).extension().is_some_and(|extension| extension == "csv")
}

/// Returns true if the name is that of a NumPy file.
fn is_numpy(set: &str) -> bool {
    Path::new(set).extension().is_some_and(|extension| extension == "npz" || extension == "npy")
}

/// The squares to which image files are cut.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Rows and columns.
    pub side: usize,
    /// True for networks of one channel.
    pub grey: bool,
}

impl Cut {
    /// The published ImageNet networks' input: colour, [`DEFAULT_SIDE`] pixels a side.
    pub const DEFAULT: Self = Self { side: DEFAULT_SIDE, grey: false };

    /// The cut for an input of (channels, height, width), by its height.
    pub fn for_input([channels, height, _]: [usize; 3]) -> Self {
        Self { side: height, grey: channels == 1 }
    }

    /// The cut of image files of a set for a network: `asked` rows and columns, or else those of the `input` of an ONNX model, of
    /// the preprocessing file, or of the published networks.
    ///
    /// # Errors
    /// If the set has image files, which would be cut otherwise than the preprocessing file describes.
    pub fn chosen(
        set: &str,
        asked: Option<usize>,
        input: Option<[usize; 3]>,
        described: Option<&PreprocessingFile>,
    ) -> anyhow::Result<Self> {
        let own = input.map_or(Self::DEFAULT, Self::for_input);
        let own_side = input.is_none().then(|| described?.side()).flatten().unwrap_or(own.side);
        let side = asked.unwrap_or(own_side);
        if let (Some(described), true) = (described, has_image_files(set)) {
            described.check_cut(side)?;
        }
        Ok(Self { side, ..own })
    }

    /// The input of a network, if it is square.
    pub fn of(model: &ModelSpec) -> Option<Self> {
        let [_, height, width] = model.input;
        (height == width).then(|| Self::for_input(model.input))
    }

    /// The crop of an image file; `None` for an impossible side.
    pub fn crop(self) -> Option<ResizeCrop> {
        let colour = ResizeCrop::for_side(self.side)?;
        Some(if self.grey { colour.grey() } else { colour })
    }
}

/// A directory of data sets, and where the decoded images of folders are kept.
#[derive(Clone, Debug)]
pub struct DataSets {
    /// The directory; `cifar10` is looked for in its folder of that name, and so on.
    pub root: PathBuf,
    /// Directory of decoded images; when absent, `.zerospace-cache` in the directory of the data sets, or beside a table of
    /// images that is elsewhere.
    pub cache: Option<PathBuf>,
}

/// A data set that is not where it was looked for.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct MissingSet {
    /// Name of the set, if it can be downloaded.
    pub fetchable: Option<DataSource>,
    /// The places that were searched.
    pub error: DataError,
}

impl DataSets {
    /// Data sets in a directory.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), cache: None }
    }

    /// Reads the first `images` images of a data set, or all. `set` is the name of a set, or a `.csv`, `.npz` or `.npy`
    /// file, in the directory of data sets or else by its own path. Image files are cut.
    ///
    /// # Errors
    /// If the set is unknown, missing ([`MissingSet`]), incomplete, damaged or too small.
    pub fn images(
        &self,
        set: &str,
        split: &str,
        images: Option<usize>,
        cut: Cut,
        observer: &dyn Observer,
    ) -> Result<Images, Failure> {
        self.read(set, split, images, cut, false, observer).map_err(Failure::Input)
    }

    /// Reads images for calibration. A folder gives images of all classes in turns, test images too, so that few of
    /// them represent every class.
    ///
    /// # Errors
    /// As [`DataSets::images`].
    pub fn calibration_images(
        &self,
        set: &str,
        split: &str,
        images: usize,
        cut: Cut,
        observer: &dyn Observer,
    ) -> Result<Images, Failure> {
        self.read(set, split, Some(images), cut, true, observer).map_err(Failure::Input)
    }

    fn read(
        &self,
        set: &str,
        split: &str,
        images: Option<usize>,
        cut: Cut,
        in_turns: bool,
        observer: &dyn Observer,
    ) -> anyhow::Result<Images> {
        let split: Split = split.parse()?;
        if let Some(source) = FolderSource::named(set) {
            let there = self.root.join(source.name()).is_dir();
            let folder = ImageFolder::open(&self.root, source, split).map_err(|error| match there {
                true => error.into(),
                false => anyhow!(MissingSet { fetchable: None, error }),
            })?;
            return self.cut_files(folder, images, cut, in_turns, observer);
        }
        if is_table(set) {
            let table = self.file(set);
            let folder = ImageFolder::listed(&table, split)?;
            if let Some(reading) = folder.reading() {
                observer.remark(&format!("{} {split}: {reading}", table.display()));
            }
            return self.cut_files(folder, images, cut, in_turns, observer);
        }
        if is_numpy(set) {
            let file = self.file(set);
            let NumpyImages { images: all, reading } = numpy_arrays(&file, split)?;
            observer.remark(&format!("{} {split}: {reading}, {} classes", file.display(), all.classes()));
            return Ok(Images { set: first(all, images)?, unreadable: 0, notes: Vec::new() });
        }
        let source: DataSource = set.parse()?;
        let mut forms = source.find_all(&self.root, split)?.into_iter();
        let found = match forms.next() {
            Some(found) => found?,
            None => source.find(&self.root, split).map_err(|error| {
                anyhow!(MissingSet { fetchable: Some(source).filter(|&source| fetchable(source)), error })
            })?,
        };
        let others: Vec<String> =
            forms.map(|form| form.map_or("an incomplete form".into(), |form| form_of(&form))).collect();
        if !others.is_empty() {
            let others = others.join(" and ");
            observer.remark(&format!(
                "{source} {split}: read as {}; not read, though there: {others}",
                form_of(&found)
            ));
        }
        let all = found.read()?;
        if all.is_synthetic() {
            observer.remark(SYNTHETIC);
        }
        Ok(Images { set: first(all, images)?, unreadable: 0, notes: Vec::new() })
    }

    /// Place of a set that is a file: in the directory of data sets, or else by its own path.
    fn file(&self, set: &str) -> PathBuf {
        let here = self.root.join(set);
        if here.is_file() || !Path::new(set).is_file() { here } else { set.into() }
    }

    fn cut_files(
        &self,
        folder: ImageFolder,
        images: Option<usize>,
        cut: Cut,
        in_turns: bool,
        observer: &dyn Observer,
    ) -> anyhow::Result<Images> {
        let folder = if in_turns { folder.in_turns() } else { folder };
        let images = self.decode(&folder, images, cut, observer)?;
        images.notes.iter().for_each(|note| observer.remark(note));
        Ok(images)
    }

    /// Directory of the decoded images.
    pub fn cache(&self) -> PathBuf {
        self.cache.clone().unwrap_or_else(|| self.root.join(CACHE))
    }

    fn cache_of(&self, folder: &ImageFolder) -> PathBuf {
        let elsewhere = Some(folder.listed_in()).filter(|table| !table.starts_with(&self.root));
        match (&self.cache, elsewhere) {
            (None, Some(table)) => table.with_file_name(CACHE),
            _ => self.cache(),
        }
    }

    /// Decodes and cuts the first `images` images of a folder, or all, or takes them from the cache.
    ///
    /// # Errors
    /// If an image size is impossible, or the folder has too few readable images.
    pub fn decode(
        &self,
        folder: &ImageFolder,
        images: Option<usize>,
        cut: Cut,
        observer: &dyn Observer,
    ) -> anyhow::Result<Images> {
        let Cut { side, .. } = cut;
        let crop = cut.crop().ok_or_else(|| {
            anyhow!("images of {side} x {side} pixels, expected 1 to {} a side", data::MAX_SIDE)
        })?;
        observer.begin(images.unwrap_or(folder.len()) as u64, "images decoded");
        let loaded = folder.load(crop, images, Some(&self.cache_of(folder)), &|| observer.advance(1));
        observer.end();
        let FolderImages { images: set, unreadable, cache } = loaded?;
        let mut notes = Vec::new();
        match cache {
            CacheOutcome::Failed { path, source } => {
                notes.push(format!("decoded images are not kept: {}: {source}", path.display()));
            }
            CacheOutcome::Written { damage: Some(damage) } => {
                notes.push(format!("images were decoded again, the cache was damaged: {damage}"));
            }
            CacheOutcome::Off | CacheOutcome::Read | CacheOutcome::Written { damage: None } => {}
        }
        if !folder.is_labelled() {
            notes.push(LABEL_FREE.into());
        }
        if set.is_in_turns() {
            notes.push(format!("{} {} for calibration: {IN_TURNS}", set.name(), set.split()));
        }
        let named = unreadable.iter().take(NAMED);
        notes.extend(named.map(|file| format!("left out: {}: {}", file.path.display(), file.reason)));
        if !unreadable.is_empty() {
            let count = unreadable.len();
            notes.push(format!("{count} unreadable files of {} {} were left out", set.name(), set.split()));
        }
        Ok(Images { set, unreadable: unreadable.len(), notes })
    }
}

/// The first `images` images, or all.
fn first(all: ImageSet, images: Option<usize>) -> Result<ImageSet, DataError> {
    match images {
        Some(count) => all.take(count),
        None => Ok(all),
    }
}

/// Form of a set, with its files.
fn form_of(found: &FoundSet) -> String {
    let place = found.place().map_or(String::new(), |place| place.display().to_string());
    let files = found.files();
    let files = match &files[..] {
        [images, labels] => format!("{images} and {labels}"),
        [first, .., last] => format!("{first} to {last}"),
        files => files.concat(),
    };
    format!("{} ({place}: {files})", found.form())
}

/// Returns true if the set can be downloaded.
pub fn fetchable(source: DataSource) -> bool {
    matches!(source, DataSource::Cifar10 | DataSource::Cifar100)
}

/// Returns true if synthetic images fixed a checkpoint's activation ranges: its provenance begins with their name.
pub fn calibrated_on_synthetic(checkpoint: &Checkpoint) -> bool {
    is_synthetic(checkpoint.provenance.calibration.split([' ', ',']).next().unwrap_or_default())
}
