//! Image sets by name, and what people are told about them.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use data::{CacheOutcome, DataSource, FolderImages, FolderSource, ImageFolder, ImageSet, ResizeCrop, Split};
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
        let open = || -> anyhow::Result<Images> {
            let split: Split = split.parse()?;
            if let Some(source) = FolderSource::named(set) {
                let folder = ImageFolder::open(&self.data_root, source, split).context(WHERE)?;
                let images = self.resources.decode(&folder, &self.data_root, images, side)?;
                images.notes.iter().for_each(|note| progress_line(note));
                return Ok(images);
            }
            let source: DataSource = set.parse()?;
            let all =
                ImageSet::open(&self.data_root, source, split).with_context(|| match fetchable(source) {
                    true => format!("fetch it with `zerospace data fetch {source}`, or {WHERE}"),
                    false => WHERE.into(),
                })?;
            if all.is_synthetic() {
                progress_line(SYNTHETIC);
            }
            let set = match images {
                Some(count) => all.take(count)?,
                None => all,
            };
            Ok(Images { set, unreadable: 0, notes: Vec::new() })
        };
        open().map_err(Failure::Input)
    }
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
