//! Directories: what lies in them, and whether they can be written.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use data::{DataSource, FolderSource, ImageFolder, Split};
use serde::Serialize;

use super::{existing, gib};
use crate::terminal::document;
use crate::terminal::output::markdown;
use crate::terminal::signals;

/// Extensions of checkpoints that `zerospace quantize` reads, and of its own.
const CHECKPOINTS: [&str; 6] = ["pth", "pt", "th", "tar", "safetensors", "onnx"];

/// Checkpoints that are named in text.
const NAMED: usize = 5;

/// A directory that is to be written.
#[derive(Serialize)]
pub(super) struct Place {
    /// Purpose: `runs` or `cache`.
    pub(super) purpose: &'static str,
    pub(super) path: String,
    /// Why it cannot be written.
    pub(super) problem: Option<String>,
    pub(super) free_bytes: Option<u64>,
}

impl Place {
    /// Writes and removes a file there, or where the directory would be made.
    pub(super) fn examine(purpose: &'static str, path: &Path) -> Self {
        let folder = existing(path);
        let probe = folder.join(format!(".zerospace-doctor.{}.partial", std::process::id()));
        let written = signals::whole(|| {
            let write = || {
                let mut file = File::create_new(&probe)?;
                file.write_all(&[0; 4096])?;
                file.sync_all()
            };
            let written = write();
            let _ = fs::remove_file(&probe);
            written
        });
        let free = rustix::fs::statvfs(folder).ok();
        Self {
            purpose,
            path: document::path(path),
            problem: written.err().map(|error| error.to_string()),
            free_bytes: free.map(|space| space.f_bavail * space.f_frsize),
        }
    }

    pub(super) fn row(&self) -> Vec<String> {
        let writable = self.problem.clone().map_or("yes".into(), |problem| format!("no: {problem}"));
        vec![self.purpose.into(), self.path.clone(), writable, self.free_bytes.map_or("?".into(), gib)]
    }
}

/// The directory of data sets.
#[derive(Serialize)]
pub(super) struct DataRoot {
    root: String,
    sets: Vec<FoundSet>,
    /// Files in `checkpoints`.
    checkpoints: Vec<String>,
}

/// A data set, and the layout of its splits where they are there.
#[derive(Serialize)]
struct FoundSet {
    set: &'static str,
    train: Option<String>,
    test: Option<String>,
    /// Directories and forms in which the missing sets are searched.
    missing: Option<String>,
}

impl DataRoot {
    pub(super) fn examine(root: &Path) -> Self {
        let published = DataSource::ALL.into_iter().map(|source| {
            FoundSet::new(source.name(), |split| Ok(source.find(root, split)?.form().to_string()))
        });
        let folders = FolderSource::ALL.into_iter().map(|source| {
            FoundSet::new(source.name(), |split| {
                let folder = ImageFolder::open(root, source, split)?;
                Ok(match folder.classes().len() {
                    0 => format!("{} files", folder.len()),
                    classes => format!("{} files in {classes} folders", folder.len()),
                })
            })
        });
        let sets = published.chain(folders).collect();
        let mut checkpoints = Vec::new();
        for entry in fs::read_dir(root.join("checkpoints")).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().and_then(|e| e.to_str()).is_some_and(|e| CHECKPOINTS.contains(&e)) {
                checkpoints.push(document::path(&path));
            }
        }
        checkpoints.sort();
        Self { root: document::path(root), sets, checkpoints }
    }

    pub(super) fn text(&self) -> String {
        let split = |found: &Option<String>| found.clone().unwrap_or_else(|| "missing".into());
        let row = |set: &FoundSet| vec![set.set.into(), split(&set.test), split(&set.train)];
        let rows: Vec<Vec<String>> = self.sets.iter().map(row).collect();
        let mut text = markdown(&[&format!("data in {}", self.root), "test", "train"], &rows);
        let missing = self.sets.iter().filter_map(|set| set.missing.as_ref());
        missing.for_each(|missing| text += &format!("- {missing}\n"));
        if self.sets.iter().any(|set| set.missing.is_some()) {
            text += "- `zerospace data fetch` brings what can be downloaded; `synthetic` needs no files\n";
        }
        text += &match &self.checkpoints[..] {
            [] => {
                format!("- no checkpoints in {}/checkpoints; the program carries three networks\n", self.root)
            }
            files => {
                let named = files[..files.len().min(NAMED)].join(", ");
                let more = files.len().saturating_sub(NAMED);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!("- checkpoints: {named}{more}\n")
            }
        };
        text
    }
}

impl FoundSet {
    fn new(set: &'static str, layout: impl Fn(Split) -> Result<String, data::DataError>) -> Self {
        let [train, test] = [layout(Split::Train), layout(Split::Test)];
        let missing = test.as_ref().err().or(train.as_ref().err()).map(ToString::to_string);
        Self { set, train: train.ok(), test: test.ok(), missing }
    }
}
