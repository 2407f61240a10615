use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use design::CellId;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use rayon::prelude::*;

use crate::manifest::unit;
use crate::merge::{MergeError, MergedRows};
use crate::table::write_table;
use crate::{Determinism, Extension, FinishedUnit, Manifest, Part, PartError, PlannedCell, TableError, Unit};

/// File name of the manifest in a run directory.
const MANIFEST: &str = "manifest.json";

/// File name of the finding about the run's evaluators.
const DETERMINISM: &str = "determinism.json";

/// Folder of the first trials of unfinished units.
const BEGUN: &str = "begun";

/// Age from which on a temporary file is a leftover: a write takes seconds.
const LEFTOVER_AGE: Duration = Duration::from_secs(3600);

/// The reason for which a run directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// The directory holds records of another plan.
    #[error("{path}: this run was started with another plan: {difference}", path = .path.display())]
    OtherPlan {
        /// The run directory.
        path: PathBuf,
        /// First difference.
        difference: String,
    },
    /// The directory holds more trials than the plan asks for.
    #[error(
        "{path}: this run has {has} trials a cell, and trials is {asked}: a run keeps its trials, expected trials = {has} or more",
        path = .path.display()
    )]
    FewerTrials {
        /// The run directory.
        path: PathBuf,
        /// Trials of each cell.
        has: u64,
        /// Trials of each cell that the plan asks for.
        asked: u64,
    },
    /// The manifest cannot be understood.
    #[error("{path}: {message}", path = .path.display())]
    Manifest {
        /// The manifest file.
        path: PathBuf,
        /// The defect.
        message: String,
    },
    /// A newer version of the program stores its records here.
    #[error("{path}: {reason}: a newer version wrote this run, expected a resume with that version", path = .path.display())]
    Newer {
        /// A part that the newer version wrote.
        path: PathBuf,
        /// Its format version.
        reason: PartError,
    },
    /// Two parts of one unit differ, which determinism forbids.
    #[error("{path}: the part differs from the records computed now, in {line}", path = .path.display())]
    Contradiction {
        /// The part on disk.
        path: PathBuf,
        /// First differing line of both parts.
        line: String,
        /// True if the parts have the same faults and decoded weights, and only the evaluator's outputs differ.
        outputs_only: bool,
    },
    /// The merged table cannot be written or read.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// A part file that does not count.
#[derive(Debug)]
pub struct Rejected {
    /// The file.
    pub path: PathBuf,
    /// The unit of the plan whose name the file has.
    pub unit: Option<Unit>,
    /// The reason.
    pub reason: PartError,
}

/// Contents of a run directory.
#[derive(Debug, Default)]
pub struct Scan {
    /// Finished units; [`Store::read`] reads their trials.
    pub done: BTreeMap<Unit, FinishedUnit>,
    /// First trials of unfinished units.
    pub begun: BTreeMap<Unit, Part>,
    /// Parts that are damaged or foreign.
    pub rejected: Vec<Rejected>,
}

/// Result of a merge.
#[derive(Debug, PartialEq, Eq)]
pub enum Merged {
    /// The table, with every trial of the plan.
    Complete(PathBuf),
    /// The missing units, in plan order; at least one.
    Missing(Vec<Unit>),
}

/// A run directory.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    manifest: Manifest,
    extended_from: Option<u64>,
}

impl Store {
    /// Starts a run in `root`, or continues the run there. If several processes start a run at the same time, one of them
    /// writes the manifest and the others continue.
    ///
    /// A run with fewer trials is extended: its manifest becomes `manifest` with a note of the former number of trials
    /// ([`Manifest::extensions`]), and keeps the environment of its first start. No unit is lost, and processes that
    /// still work on the shorter run are not disturbed.
    ///
    /// # Errors
    /// When the directory cannot be written, or was started with another plan; the error then names
    /// the first difference. When the run has more trials than `manifest`.
    pub fn create(root: &Path, mut manifest: Manifest) -> Result<Self, StoreError> {
        // The stop rule was not yet known when the manifest was made.
        manifest.manifest_version = manifest.oldest_version();
        let path = root.join(MANIFEST);
        if !path.exists() {
            let parts = root.join("parts");
            durable::create_folder(&parts).map_err(at(&parts))?;
            durable::create_new(&path, &manifest.to_bytes()).map_err(at(&path))?;
        }
        let store = Self::open(root)?;
        if !store.is_shorter(&manifest)? {
            return Ok(store);
        }
        // One process at a time replaces a manifest.
        let lock = root.join("manifest.lock");
        let held = File::create(&lock).and_then(|file| file.lock().map(|()| file));
        let _held = match held {
            // On a file system without locks only two extensions in the same moment could meet.
            Err(error) if error.kind() == ErrorKind::Unsupported => None,
            held => Some(held.map_err(at(&lock))?),
        };
        let Self { manifest: before, .. } = match Self::open(root)? {
            store if store.is_shorter(&manifest)? => store,
            extended => return Ok(extended),
        };
        let extended_from = Some(before.trials);
        let mut extensions = before.extensions;
        extensions.push(Extension { trials: before.trials, by: manifest.environment.clone() });
        let mut manifest = Manifest {
            extensions,
            compressed_parts: before.compressed_parts,
            environment: before.environment,
            ..manifest
        };
        manifest.manifest_version = manifest.oldest_version();
        manifest.check().map_err(|message| StoreError::Manifest { path: path.clone(), message })?;
        durable::write(&path, &manifest.to_bytes()).map_err(at(&path))?;
        Ok(Self { root: root.into(), manifest, extended_from })
    }

    /// Returns true if the run has fewer trials than a manifest of the same plan.
    fn is_shorter(&self, manifest: &Manifest) -> Result<bool, StoreError> {
        if let Some(difference) = self.manifest.difference(manifest) {
            return Err(StoreError::OtherPlan { path: self.root.clone(), difference });
        }
        let [has, asked] = [self.manifest.trials, manifest.trials];
        if asked < has {
            return Err(StoreError::FewerTrials { path: self.root.clone(), has, asked });
        }
        Ok(has < asked)
    }

    /// Opens an existing run.
    ///
    /// # Errors
    /// When the manifest is missing or malformed.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let path = root.join(MANIFEST);
        let text = fs::read_to_string(&path).map_err(at(&path))?;
        let manifest = Manifest::from_json(&text)
            .map_err(|message| StoreError::Manifest { path: path.clone(), message })?;
        Ok(Self { root: root.into(), manifest, extended_from: None })
    }

    /// Returns the number of trials a cell before this process extended the run; `None` if it did not extend it.
    pub fn extended_from(&self) -> Option<u64> {
        self.extended_from
    }

    /// Returns the run directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the plan.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Stores a finished unit; safe against a kill at any moment, and against a second process that computes
    /// the same unit. If a part of that name exists and does not count, it is set aside first and returned.
    ///
    /// # Errors
    /// When the disk refuses (only this unit is lost), or a part with other content or of a newer version exists.
    pub fn write(&self, part: &Part) -> Result<Option<Rejected>, StoreError> {
        let unit = part.unit();
        let aside = self.publish(part, &self.part_path(&unit))?;
        remove(&self.begun_path(&unit))?;
        Ok(aside)
    }

    /// Returns path and bytes of the file in which [`Store::write`] stores a part, for programs that make parts in bulk.
    pub fn part_file(&self, part: &Part) -> (PathBuf, Vec<u8>) {
        let path = self.part_path(&part.unit());
        let bytes = packed(&path, &part.to_bytes());
        (path, bytes)
    }

    /// Keeps the first trials of an unfinished unit, and replaces those that were kept before; safe against a kill at any
    /// moment. [`Store::write`] of the whole unit removes them.
    ///
    /// # Errors
    /// When the disk refuses; the trials that were kept before are still kept.
    pub fn keep(&self, part: &Part) -> Result<(), StoreError> {
        let path = self.begun_path(&part.unit());
        let folder = self.root.join(BEGUN);
        durable::create_folder(&folder).map_err(at(&folder))?;
        durable::write(&path, &packed(&path, &part.to_bytes())).map_err(at(&path))
    }

    /// Stores a part under a name, unless an equal one exists.
    fn publish(&self, part: &Part, path: &Path) -> Result<Option<Rejected>, StoreError> {
        let unit = part.unit();
        let content = part.to_bytes();
        let bytes = packed(path, &content);
        let mut aside = None;
        while !durable::create_new(path, &bytes).map_err(at(path))? {
            let there = match fs::read(path) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                read => read.map_err(at(path))?,
            };
            let there = match unpacked(path, there) {
                Ok(there) if there == content => break,
                Ok(there) => there,
                Err(reason) => {
                    aside = self.set_aside(rejected(path, Some(&unit), reason))?;
                    continue;
                }
            };
            match Part::from_bytes(&there) {
                Err(reason @ PartError::Version(_)) => {
                    return Err(StoreError::Newer { path: path.into(), reason });
                }
                Ok(other) if other.unit() == unit => {
                    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
                    let (old, new) = (text(&there), text(&content));
                    let line = old.lines().zip(new.lines()).find(|(a, b)| a != b);
                    let line = line.map_or("length".into(), |(a, b)| format!("`{a}` against `{b}`"));
                    let outputs_only = other.has_faults_of(part);
                    if outputs_only && self.determinism()?.is_some_and(|known| !known.deterministic) {
                        break;
                    }
                    return Err(StoreError::Contradiction { path: path.into(), line, outputs_only });
                }
                Ok(other) => aside = self.set_aside(rejected(path, Some(&unit), foreign(&other)))?,
                Err(reason) => aside = self.set_aside(rejected(path, Some(&unit), reason))?,
            }
        }
        Ok(aside)
    }

    /// Reads all parts; changes nothing.
    ///
    /// # Errors
    /// When the file system refuses, or a part is of a newer version, which this version cannot judge.
    pub fn scan(&self) -> Result<Scan, StoreError> {
        self.scan_units(|_| true)
    }

    /// Reads the parts of the units that are `wanted`, as [`Store::scan`] reads all, and the parts that no unit of the plan
    /// has. One of many processes then reads its share only.
    ///
    /// # Errors
    /// As [`Store::scan`].
    pub fn scan_units(&self, wanted: impl Fn(&Unit) -> bool + Sync) -> Result<Scan, StoreError> {
        let plan = Plan::of(&self.manifest);
        let mut scan = Scan::default();
        let read = |folder: &str, name: &String| -> Result<_, StoreError> {
            let unit = plan.unit(name);
            if unit.is_some_and(|unit| !wanted(&unit)) {
                return Ok(None);
            }
            let path = self.root.join(folder).join(name);
            Ok(read_part(&path)?.map(|part| (path, unit, part)))
        };
        let finished = |name: &String| -> Result<Option<Found>, StoreError> {
            let Some((path, unit, part)) = read("parts", name)? else { return Ok(None) };
            Ok(match part {
                Ok(part) if Some(part.unit()) == unit => {
                    Some(Found::Done(part.unit(), FinishedUnit::of(&part, self.manifest.stop)))
                }
                Ok(part) if path == self.part_path(&part.unit()) && plan.is_of_an_extension(&part) => None,
                Ok(part) => Some(Found::Rejected(rejected(&path, unit.as_ref(), foreign(&part)))),
                Err(reason) => Some(Found::Rejected(rejected(&path, unit.as_ref(), reason))),
            })
        };
        let names = names_in(&self.root.join("parts"), is_part)?;
        let found: Vec<Option<Found>> = names.par_iter().map(finished).collect::<Result<_, _>>()?;
        for found in found.into_iter().flatten() {
            match found {
                Found::Done(unit, finished) => {
                    scan.done.insert(unit, finished);
                }
                Found::Rejected(part) => scan.rejected.push(part),
            }
        }
        for name in names_in(&self.root.join(BEGUN), is_part)? {
            let Some((path, unit, part)) = read(BEGUN, &name)? else { continue };
            match (part, unit) {
                (Ok(_), Some(unit)) if scan.done.contains_key(&unit) => {}
                (Ok(part), Some(unit)) if part.begins(&unit) => {
                    scan.begun.insert(unit, part);
                }
                (Ok(part), None)
                    if path == self.begun_path(&part.unit()) && plan.is_of_an_extension(&part) => {}
                (Ok(part), _) => scan.rejected.push(rejected(&path, None, foreign(&part))),
                (Err(reason), _) => scan.rejected.push(rejected(&path, None, reason)),
            }
        }
        Ok(scan)
    }

    /// Moves a part that does not count to `set-aside/`, for inspection; returns its new place, or `None` if
    /// another process has moved it.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn set_aside(&self, part: Rejected) -> Result<Option<Rejected>, StoreError> {
        let folder = self.root.join("set-aside");
        durable::create_folder(&folder).map_err(at(&folder))?;
        let name = part.path.file_name().expect("a part has a name").to_string_lossy().into_owned();
        let target = (0..)
            .map(|n| folder.join(format!("{name}.{n}")))
            .find(|p| !p.exists())
            .expect("some number is free");
        match fs::rename(&part.path, &target) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            moved => moved.map(|()| Some(Rejected { path: target, ..part })).map_err(at(&part.path)),
        }
    }

    /// Removes temporary files that killed writers left an hour or more before `now`, and the first trials that were kept of
    /// units now finished. They never count.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn remove_leftovers(&self, now: SystemTime) -> Result<(), StoreError> {
        let begun = self.root.join(BEGUN);
        for name in names_in(&begun, is_part)? {
            if self.root.join("parts").join(&name).exists() {
                remove(&begun.join(name))?;
            }
        }
        let is_partial = |name: &str| Path::new(name).extension().is_some_and(|e| e == durable::PARTIAL);
        for folder in [self.root.clone(), self.root.join("parts"), begun] {
            for name in names_in(&folder, is_partial)? {
                let path = folder.join(name);
                let modified = fs::metadata(&path).and_then(|file| file.modified());
                let removed = modified.and_then(|modified| match now.duration_since(modified) {
                    Ok(age) if age >= LEFTOVER_AGE => fs::remove_file(&path),
                    _ => Ok(()),
                });
                match removed {
                    // Renamed by its writer, or removed by another process.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    removed => removed.map_err(at(&path))?,
                }
            }
        }
        Ok(())
    }

    /// Reads the part of a unit, if it exists and is whole.
    ///
    /// # Errors
    /// When the file system refuses, or the part is of a newer version.
    pub fn read(&self, unit: &Unit) -> Result<Option<Part>, StoreError> {
        let part = read_part(&self.part_path(unit))?.and_then(Result::ok);
        Ok(part.filter(|part| part.unit() == *unit))
    }

    /// Compares a trial with the result of other processes of this run; the first process stores it in `canary/`. This finds
    /// a machine that computes differently, whichever units it works on.
    ///
    /// # Errors
    /// When the records differ, or the file system refuses.
    pub fn compare_canary(&self, trial: &Part) -> Result<(), StoreError> {
        let folder = self.root.join("canary");
        durable::create_folder(&folder).map_err(at(&folder))?;
        self.publish(trial, &folder.join(file_name(&trial.unit()))).map(|_| ())
    }

    /// Returns the finding about the evaluators of the run, if one is stored.
    ///
    /// # Errors
    /// When `determinism.json` cannot be read or understood.
    pub fn determinism(&self) -> Result<Option<Determinism>, StoreError> {
        let path = self.root.join(DETERMINISM);
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            read => Determinism::from_json(&read.map_err(at(&path))?)
                .map(Some)
                .map_err(|message| StoreError::Manifest { path, message }),
        }
    }

    /// Stores a finding about the evaluators of the run. A stored finding stays, unless it is "deterministic" and the new one
    /// is not. From then on [`Store::write`] and [`Store::compare_canary`] accept trials that differ in the evaluator's
    /// outputs alone, and keep those that were stored first.
    ///
    /// # Errors
    /// When the file system refuses, or the stored finding cannot be understood.
    pub fn note_determinism(&self, found: &Determinism) -> Result<(), StoreError> {
        let path = self.root.join(DETERMINISM);
        match self.determinism()? {
            Some(known) if !known.deterministic || found.deterministic => Ok(()),
            Some(_) => durable::write(&path, &found.to_bytes()).map_err(at(&path)),
            None if durable::create_new(&path, &found.to_bytes()).map_err(at(&path))? => Ok(()),
            None => self.note_determinism(found),
        }
    }

    /// Writes `trials.parquet`, all rows that count in plan order, if every needed unit exists; otherwise
    /// writes nothing.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn merge(&self) -> Result<Merged, StoreError> {
        self.merge_with(&mut |_| {})
    }

    /// Merges as [`Store::merge`] does; reports the number of trials that are merged. Memory does not grow with the number of
    /// trials: it holds the parts that are read together, and the columns of 2^20 trials.
    ///
    /// # Errors
    /// As [`Store::merge`].
    pub fn merge_with(&self, on_progress: &mut (dyn FnMut(u64) + Send)) -> Result<Merged, StoreError> {
        let path = self.root.join("trials.parquet");
        if self.may_be_whole()? {
            let mut failed = None;
            let written = durable::write_with(&path, |file| {
                let rows = MergedRows::of(self, on_progress);
                let form = rows.form();
                write_table(file, &form, rows).map(drop).map_err(|error| {
                    failed = Some(error);
                    io::Error::other("the merge ended early")
                })
            });
            match failed {
                None => {
                    written.map_err(at(&path))?;
                    return Ok(Merged::Complete(path));
                }
                Some(MergeError::Store(error)) => return Err(error),
                Some(MergeError::Incomplete) => {}
            }
        }
        let done = self.scan()?.done;
        let progress = |cell: &PlannedCell| self.manifest.progress(&cell.id, &done);
        let missing: BTreeSet<Unit> =
            self.manifest.cells.iter().flat_map(|cell| progress(cell).missing).collect();
        let in_plan_order = self.manifest.units().into_iter().filter(|unit| missing.contains(unit));
        Ok(Merged::Missing(in_plan_order.collect()))
    }

    /// Returns false if the names of the parts show that a unit is missing.
    ///
    /// # Errors
    /// When the file system refuses, or a part that no unit of the plan has is of a newer version.
    fn may_be_whole(&self) -> Result<bool, StoreError> {
        let plan = Plan::of(&self.manifest);
        let parts = self.root.join("parts");
        let mut found = 0;
        for name in names_in(&parts, is_part)? {
            match plan.unit(&name) {
                Some(_) => found += 1,
                None => {
                    read_part(&parts.join(name))?;
                }
            }
        }
        Ok(self.manifest.stop.is_some() || found == plan.counts.len() * self.manifest.cells.len())
    }

    fn part_path(&self, unit: &Unit) -> PathBuf {
        self.root.join("parts").join(self.part_name(unit))
    }

    fn begun_path(&self, unit: &Unit) -> PathBuf {
        self.root.join(BEGUN).join(self.part_name(unit))
    }

    /// The name of a unit's part.
    fn part_name(&self, unit: &Unit) -> String {
        let compression = if self.manifest.compressed_parts { GZIP } else { "" };
        format!("{}{compression}", file_name(unit))
    }
}

/// Ending of compressed parts.
const GZIP: &str = ".gz";

/// The units of a plan by the names of their parts.
struct Plan {
    cells: HashSet<CellId>,
    /// Number of trials of the units of a cell, by their first trial.
    counts: HashMap<u64, u64>,
    trials: u64,
    compressed: bool,
}

impl Plan {
    fn of(manifest: &Manifest) -> Self {
        Self {
            cells: manifest.cells.iter().map(|cell| cell.id).collect(),
            counts: manifest.blocks().into_iter().collect(),
            trials: manifest.trials,
            compressed: manifest.compressed_parts,
        }
    }

    /// Returns the unit whose part has a name.
    fn unit(&self, name: &str) -> Option<Unit> {
        let name = if self.compressed { name.strip_suffix(GZIP)? } else { name };
        let (cell, first) = name.strip_suffix(".jsonl")?.split_once('-')?;
        let (cell, first) = (cell.parse().ok()?, first.parse().ok()?);
        let unit = unit(cell, (first, *self.counts.get(&first)?));
        // A number has one form in a name.
        (self.cells.contains(&cell) && file_name(&unit) == name).then_some(unit)
    }

    /// Returns true if a part holds trials that only a longer run has. Another process may have extended this run.
    fn is_of_an_extension(&self, part: &Part) -> bool {
        part.first >= self.trials && self.cells.contains(&part.cell.id())
    }
}

/// A part that was read.
enum Found {
    Done(Unit, FinishedUnit),
    Rejected(Rejected),
}

/// Reads the part in a file; `None` if there is no file.
///
/// # Errors
/// When the file system refuses, or the part is of a newer version.
pub(crate) fn read_part(path: &Path) -> Result<Option<Result<Part, PartError>>, StoreError> {
    let bytes = match fs::read(path) {
        // Set aside by another process, or of a unit that it has finished.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.map_err(at(path))?,
    };
    match unpacked(path, bytes).and_then(|content| Part::from_bytes(&content)) {
        Err(reason @ PartError::Version(_)) => Err(StoreError::Newer { path: path.into(), reason }),
        part => Ok(Some(part)),
    }
}

/// Returns the bytes of a file with a part's content, compressed if its name says so.
fn packed(path: &Path, content: &[u8]) -> Vec<u8> {
    match is_compressed(path) {
        false => content.to_vec(),
        true => {
            let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::default());
            gzip.write_all(content).and_then(|()| gzip.finish()).expect("memory takes all bytes")
        }
    }
}

/// Returns a part's content from the bytes of its file.
fn unpacked(path: &Path, bytes: Vec<u8>) -> Result<Vec<u8>, PartError> {
    if !is_compressed(path) {
        return Ok(bytes);
    }
    let mut content = Vec::new();
    let read = GzDecoder::new(&bytes[..]).read_to_end(&mut content);
    read.map_err(|_| PartError::Damaged("it cannot be decompressed"))?;
    Ok(content)
}

fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz")
}

/// Returns true for the names of parts, compressed or not.
fn is_part(name: &str) -> bool {
    name.strip_suffix(GZIP).unwrap_or(name).ends_with(".jsonl")
}

fn file_name(unit: &Unit) -> String {
    format!("{}-{:08}.jsonl", unit.cell, unit.first)
}

/// Removes a file, if it exists.
fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(at(path)),
    }
}

fn rejected(path: &Path, unit: Option<&Unit>, reason: PartError) -> Rejected {
    Rejected { path: path.into(), unit: unit.copied(), reason }
}

/// Returns the error of a whole part in the wrong place.
fn foreign(part: &Part) -> PartError {
    let Unit { cell, first, count } = part.unit();
    PartError::Foreign { cell: cell.to_string(), first, end: first + count }
}

/// Lists the names of a directory that are `wanted`, ascending. A missing folder of begun units has no files.
fn names_in(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound && folder.ends_with(BEGUN) => return Ok(names),
        entries => entries.map_err(at(folder))?,
    };
    for entry in entries {
        // No name of ours is other than UTF-8.
        names.extend(entry.map_err(at(folder))?.file_name().into_string().ok().filter(|name| wanted(name)));
    }
    names.sort();
    Ok(names)
}

/// Makes an error of a path.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let path = path.to_path_buf();
    move |source| StoreError::Io { path, source }
}
