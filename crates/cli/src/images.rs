//! Image sets by name, and what people are told about them.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use data::{
    CacheOutcome, DataSource, FolderImages, FolderSource, FoundSet, ImageFolder, ImageSet, ResizeCrop, Split,
};
use quant::Checkpoint;
use records::EvaluationSet;

use crate::exit::Failure;
use crate::loading::{Machine, Resources};
use crate::output::progress_line;
use crate::progress::bar;

/// Said once for each synthetic set, and in reports.
pub(crate) const SYNTHETIC: &str =
    "the images are synthetic, drawn by this program: they compare protections, not networks";

/// Said in figures, which have little room.
pub(crate) const SYNTHETIC_SHORT: &str = "Synthetic images: they compare methods, not networks";

/// Said once for each set without labels, and in reports.
pub(crate) const LABEL_FREE: &str =
    "the images have no labels: what counts is agreement with the fault-free network, not accuracy";

/// Said where test images are chosen to fix ranges, which are evaluated class by class.
const IN_TURNS: &str = "images of all classes in turns, the first of each, then the second";

/// Rows and columns to which images from a folder are cut unless something else is said: what the published
/// ImageNet networks take, but for Inception's 299.
pub(crate) const DEFAULT_SIDE: usize = 224;

/// Unreadable files that are named one by one.
const NAMED: usize = 5;

/// The first images of a data set, and what had to be left out.
pub(crate) struct Images {
    pub(crate) set: ImageSet,
    /// Files of a folder that could not be decoded.
    pub(crate) unreadable: usize,
    /// What people must be told, a line each.
    pub(crate) notes: Vec<String>,
}

/// Whether the images of a set are drawn by this program.
pub(crate) fn is_synthetic(set: &str) -> bool {
    set.parse().is_ok_and(DataSource::is_synthetic)
}

/// What the name of an evaluation set is followed by when files of it were left out.
pub(crate) fn left_out(set: &EvaluationSet) -> String {
    match set.unreadable_files {
        0 => String::new(),
        files => format!(", {files} unreadable files left out"),
    }
}

/// Whether the images of a set are cut from files to the size that a network takes.
pub(crate) fn is_folder(set: &str) -> bool {
    FolderSource::named(set).is_some()
}

impl Machine {
    /// The first `images` images of a data set, or all. Those of a folder are cut to `side` x `side` pixels.
    pub(crate) fn images(
        &self,
        set: &str,
        split: &str,
        images: Option<usize>,
        side: usize,
    ) -> Result<Images, Failure> {
        self.read(set, split, images, side, false).map_err(Failure::Input)
    }

    /// The same for images that are to speak for all classes: of a folder those of all classes in turns, test images
    /// too.
    pub(crate) fn calibration_images(
        &self,
        set: &str,
        split: &str,
        images: usize,
        side: usize,
    ) -> Result<Images, Failure> {
        self.read(set, split, Some(images), side, true).map_err(Failure::Input)
    }

    fn read(
        &self,
        set: &str,
        split: &str,
        images: Option<usize>,
        side: usize,
        in_turns: bool,
    ) -> anyhow::Result<Images> {
        let split: Split = split.parse()?;
        let root = &self.data_root;
        if let Some(source) = FolderSource::named(set) {
            let there = root.join(source.name()).is_dir();
            let folder = ImageFolder::open(root, source, split).map_err(|error| match there {
                true => error.into(),
                false => anyhow!("{error}; {WHERE}"),
            })?;
            let folder = if in_turns { folder.in_turns() } else { folder };
            let images = self.resources.decode(&folder, root, images, side)?;
            images.notes.iter().for_each(|note| progress_line(note));
            return Ok(images);
        }
        let source: DataSource = set.parse()?;
        let mut forms = source.find_all(root, split)?.into_iter();
        let found = match forms.next() {
            Some(found) => found?,
            None => source.find(root, split).map_err(|error| match fetchable(source) {
                true => anyhow!("{error}; fetch it with `zerospace data fetch {source}`, or {WHERE}"),
                false => anyhow!("{error}; {WHERE}"),
            })?,
        };
        let others: Vec<String> =
            forms.map(|form| form.map_or("an incomplete form".into(), |form| form_of(&form))).collect();
        if !others.is_empty() {
            let others = others.join(" and ");
            progress_line(&format!(
                "{source} {split}: read as {}; not read, though there: {others}",
                form_of(&found)
            ));
        }
        let all = found.read()?;
        if all.is_synthetic() {
            progress_line(SYNTHETIC);
        }
        let set = match images {
            Some(count) => all.take(count)?,
            None => all,
        };
        Ok(Images { set, unreadable: 0, notes: Vec::new() })
    }
}

/// A form of a set, with its files.
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

impl Resources {
    /// Where decoded images are kept, those of `root` unless another place was chosen.
    pub(crate) fn cache_in(&self, root: &Path) -> PathBuf {
        self.cache.clone().unwrap_or_else(|| root.join(".zerospace-cache"))
    }

    /// The first `images` images of a folder, or all, cut to `side` x `side` pixels. `root` holds the decoded ones
    /// unless another place was chosen.
    pub(crate) fn decode(
        &self,
        folder: &ImageFolder,
        root: &Path,
        images: Option<usize>,
        side: usize,
    ) -> anyhow::Result<Images> {
        let crop = ResizeCrop::for_side(side).ok_or_else(|| {
            anyhow!("images of {side} x {side} pixels, expected 1 to {} a side", data::MAX_SIDE)
        })?;
        let bar = bar(images.unwrap_or(folder.len()) as u64, "images decoded");
        let cache = self.cache_in(root);
        let loaded = folder.load(crop, images, Some(&cache), &|| bar.inc(1));
        bar.finish_and_clear();
        let FolderImages { images: set, unreadable, cache } = loaded?;
        let mut notes = Vec::new();
        match cache {
            CacheOutcome::Failed { path, source } => {
                notes.push(format!(
                    "decoded images are not kept: {}: {source} (choose a place with --cache DIR)",
                    path.display()
                ));
            }
            CacheOutcome::Written { damage: Some(damage) } => {
                notes.push(format!("images were decoded again, the cache was damaged: {damage}"));
            }
            CacheOutcome::Off | CacheOutcome::Read | CacheOutcome::Written { damage: None } => {}
        }
        if !folder.source().is_labelled() {
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

/// Whether `data fetch` brings this set.
pub(crate) fn fetchable(source: DataSource) -> bool {
    matches!(source, DataSource::Cifar10 | DataSource::Cifar100)
}

const WHERE: &str = "choose the directory of data sets with --data DIR or ZEROSPACE_DATA";

/// Whether synthetic images fixed a checkpoint's activation ranges: its provenance begins with their name.
pub(crate) fn calibrated_on_synthetic(checkpoint: &Checkpoint) -> bool {
    is_synthetic(checkpoint.provenance.calibration.split([' ', ',']).next().unwrap_or_default())
}
