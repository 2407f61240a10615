use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::durable::{PARTIAL, create_durably, create_folder};
use crate::{
    CellId, CellSpec, Part, PartError, Standing, StopRule, TableError, TrialRow, write_durably, write_trials,
};

/// Version of `manifest.json`.
const MANIFEST_VERSION: u32 = 1;

/// Age from which a temporary file is a leftover: a write takes seconds.
const LEFTOVER_AGE: Duration = Duration::from_secs(3600);

/// The most units that a plan may have, each a file: 2^20.
pub const MAX_UNITS: u64 = 1 << 20;

/// A cell as the plan lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedCell {
    /// The content hash of `spec`.
    pub id: CellId,
    /// Its conditions.
    pub spec: CellSpec,
}

/// A network of the plan, for people: what is behind a content hash.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkEntry {
    /// Label in the plan.
    pub label: String,
    /// Content hash of the checkpoint.
    pub network: String,
    /// Architecture id, width and input size.
    pub architecture: String,
    /// The network that this is a version of, for comparing protections that need versions of their own. Absent in JSON
    /// when the plan names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// Number of classes; guessing is right once in so many images.
    pub classes: u64,
    /// Images of the evaluation set that the fault-free network classifies correctly.
    pub clean_correct: u64,
    /// Where the weights came from and what was done to them, one line each.
    pub provenance: Vec<String>,
    /// Its tensors in memory order, where fault models are confined to some; absent in JSON otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tensors: Vec<TensorEntry>,
}

/// A tensor of a network of the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorEntry {
    /// Its name.
    pub name: String,
    /// Its weights, without padding.
    pub weights: u64,
}

/// Where and by what a run was first started. Informative: it may differ on a resume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Program name and version.
    pub program: String,
    /// Operating system and architecture.
    pub platform: String,
    /// CPU model, where the system tells it.
    pub cpu: String,
    /// Threads in use.
    pub threads: usize,
    /// Time of the first start, in seconds since 1970-01-01 UTC.
    pub started_unix_s: u64,
    /// The command line.
    pub command: Vec<String>,
}

/// What an ordinary trial of a cell does on average, known in closed form; the words are those of
/// [`crate::TrialRecord`]. Informative: no record depends on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedOutcomes {
    /// The cell.
    pub cell: CellId,
    /// Code words with at least one flipped cell.
    pub words_hit: f64,
    /// Words rightly corrected.
    pub corrected: f64,
    /// Words declared uncorrectable.
    pub detected: f64,
    /// Words changed to something that was never stored.
    pub miscorrected: f64,
    /// Words passed as clean although they read back wrong.
    pub silent: f64,
    /// Probability that some word reads back wrong, padding included.
    pub changed_probability: f64,
}

/// What a run directory is for: the expanded plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Format version of this file.
    pub manifest_version: u32,
    /// The experiment's name.
    pub experiment: String,
    /// The experiment file, word for word.
    pub source: String,
    /// The networks.
    pub networks: Vec<NetworkEntry>,
    /// Every cell, in plan order; the order of `trials.parquet`.
    pub cells: Vec<PlannedCell>,
    /// Trials of each cell; with a stop rule the most of them.
    pub trials: u64,
    /// Trials of a unit; the last unit of a cell may be shorter.
    pub unit_trials: u64,
    /// What ordinary trials do on average, for the cells of which that is known; absent in JSON when of none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expected: Vec<ExpectedOutcomes>,
    /// When a cell ends earlier; absent in JSON when never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<StopRule>,
    /// Where it was first started.
    pub environment: Environment,
}

/// A block of consecutive trials of one cell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Unit {
    /// The cell.
    pub cell: CellId,
    /// First trial.
    pub first: u64,
    /// Number of trials.
    pub count: u64,
}

impl Manifest {
    /// A manifest of the current version for `cells`, in that order, without a stop rule or expectations.
    pub fn new(
        experiment: &str,
        source: &str,
        networks: Vec<NetworkEntry>,
        cells: Vec<CellSpec>,
        trials: u64,
        unit_trials: u64,
        environment: Environment,
    ) -> Self {
        let cells = cells.into_iter().map(|spec| PlannedCell { id: spec.id(), spec }).collect();
        Self {
            manifest_version: MANIFEST_VERSION,
            experiment: experiment.into(),
            source: source.into(),
            networks,
            cells,
            trials,
            unit_trials,
            expected: Vec::new(),
            stop: None,
            environment,
        }
    }

    /// All units, interleaved over the cells: the first unit of every cell, then the second, so that a
    /// run that is looked at early shows every cell.
    pub fn units(&self) -> Vec<Unit> {
        self.firsts()
            .flat_map(|first| self.cells.iter().map(move |cell| self.unit(&cell.id, first)))
            .collect()
    }

    /// The first trial of each unit of a cell.
    pub(crate) fn firsts(&self) -> impl Iterator<Item = u64> {
        (0..self.trials).step_by(usize::try_from(self.unit_trials).expect("64-bit"))
    }

    /// The unit of a cell that begins with a trial.
    pub(crate) fn unit(&self, cell: &CellId, first: u64) -> Unit {
        Unit { cell: cell.clone(), first, count: self.unit_trials.min(self.trials - first) }
    }

    /// The first way in which `other` plans something else, for an error message; `None` when both
    /// lead to the same records. `environment` may differ, and so may what is there for people.
    fn difference(&self, other: &Self) -> Option<String> {
        if self.trials != other.trials {
            return Some(format!("trials is {}, was {}", other.trials, self.trials));
        }
        if self.unit_trials != other.unit_trials {
            return Some(format!("unit_trials is {}, was {}", other.unit_trials, self.unit_trials));
        }
        if self.stop != other.stop {
            let words = |stop: Option<StopRule>| match stop {
                None => "absent".into(),
                Some(StopRule { failures, drop_points }) => {
                    format!("{failures} failures of {drop_points} points")
                }
            };
            return Some(format!("stop is {}, was {}", words(other.stop), words(self.stop)));
        }
        if self.cells.len() != other.cells.len() {
            return Some(format!("the plan has {} cells, had {}", other.cells.len(), self.cells.len()));
        }
        let (was, is) = self.cells.iter().zip(&other.cells).find(|(a, b)| a != b)?;
        let json = |cell: &PlannedCell| serde_json::to_value(&cell.spec).expect("plain data serializes");
        let (field, old, new) = first_difference(&json(was), &json(is))?;
        Some(format!("{field} of cell {} is {new}, was {old}", was.spec.label()))
    }
}

/// The first field in which two JSON values differ, and both its values.
fn first_difference(was: &Value, is: &Value) -> Option<(String, String, String)> {
    if was == is {
        return None;
    }
    let (Value::Object(old), Value::Object(new)) = (was, is) else {
        return Some((String::new(), was.to_string(), is.to_string()));
    };
    let fields: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    fields.into_iter().find_map(|field| {
        let [old, new] = [old, new].map(|object| object.get(field).unwrap_or(&Value::Null));
        let (inner, old, new) = first_difference(old, new)?;
        Some((if inner.is_empty() { field.clone() } else { format!("{field}.{inner}") }, old, new))
    })
}

/// Why a run directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The directory holds another plan's records.
    #[error("{path}: this run was started with another plan: {difference}", path = .path.display())]
    OtherPlan {
        /// The run directory.
        path: PathBuf,
        /// First difference.
        difference: String,
    },
    /// The manifest cannot be understood.
    #[error("{path}: {message}", path = .path.display())]
    Manifest {
        /// The manifest file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A newer program stores its records here.
    #[error("{path}: {reason}: a newer zerospace writes into this run, expected to go on with that", path = .path.display())]
    Newer {
        /// A part of it.
        path: PathBuf,
        /// Its version.
        reason: PartError,
    },
    /// Two parts of one unit that are not equal, which determinism forbids.
    #[error("{path}: the part differs from the records computed now, in {line}", path = .path.display())]
    Contradiction {
        /// The part on disk.
        path: PathBuf,
        /// First differing line, of both.
        line: String,
    },
    /// The merged table cannot be written or read.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// A part that does not count.
#[derive(Debug)]
pub struct Rejected {
    /// Where it is.
    pub path: PathBuf,
    /// The unit of the plan whose name it has.
    pub unit: Option<Unit>,
    /// Why.
    pub reason: PartError,
}

/// What a run directory holds.
#[derive(Debug, Default)]
pub struct Scan {
    /// Finished units.
    pub done: BTreeMap<Unit, Part>,
    /// Parts that are damaged or foreign.
    pub rejected: Vec<Rejected>,
}

/// What came of a merge.
#[derive(Debug, PartialEq, Eq)]
pub enum Merged {
    /// The table, with every trial of the plan.
    Complete(PathBuf),
    /// The units that are not there yet, in plan order; at least one.
    Missing(Vec<Unit>),
}

/// A run directory.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    manifest: Manifest,
}

impl Store {
    /// Starts a run in `root`, or continues the one that is there. Of several processes that start one
    /// together, one writes the manifest and the others continue.
    ///
    /// # Errors
    /// When the directory cannot be written, or was started with another plan; the error then names
    /// the first difference.
    pub fn create(root: &Path, manifest: Manifest) -> Result<Self, StoreError> {
        let path = root.join("manifest.json");
        if !path.exists() {
            let parts = root.join("parts");
            create_folder(&parts).map_err(at(&parts))?;
            let mut text = serde_json::to_string_pretty(&manifest).expect("plain data serializes");
            text.push('\n');
            create_durably(&path, text.as_bytes()).map_err(at(&path))?;
        }
        let store = Self::open(root)?;
        match store.manifest.difference(&manifest) {
            None => Ok(store),
            Some(difference) => Err(StoreError::OtherPlan { path: root.into(), difference }),
        }
    }

    /// Opens an existing run.
    ///
    /// # Errors
    /// When there is no manifest, or it is not one of ours.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let path = root.join("manifest.json");
        let text = fs::read_to_string(&path).map_err(at(&path))?;
        let bad = |message: String| StoreError::Manifest { path: path.clone(), message };
        #[derive(Deserialize)]
        struct VersionOnly {
            manifest_version: u32,
        }
        let VersionOnly { manifest_version } =
            serde_json::from_str(&text).map_err(|e| bad(format!("not a zerospace manifest: {e}")))?;
        if manifest_version > MANIFEST_VERSION {
            return Err(bad(format!(
                "manifest version {manifest_version}, newest known is {MANIFEST_VERSION}"
            )));
        }
        let manifest: Manifest = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
        if manifest.unit_trials == 0 {
            return Err(bad("unit_trials is 0, expected at least 1".into()));
        }
        let units =
            manifest.trials.div_ceil(manifest.unit_trials).saturating_mul(manifest.cells.len() as u64);
        if units > MAX_UNITS {
            return Err(bad(format!("it plans {units} units, expected at most {MAX_UNITS}")));
        }
        if let Some(cell) = manifest.cells.iter().find(|c| c.spec.id() != c.id) {
            return Err(bad(format!(
                "the id of cell {} is {}, but its content hashes to {}",
                cell.spec.label(),
                cell.id,
                cell.spec.id()
            )));
        }
        Ok(Self { root: root.into(), manifest })
    }

    /// The run directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The plan.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Stores a finished unit; safe against a kill at any moment, and against a second process that computes
    /// the same unit. A part that is there and does not count is set aside first, and returned.
    ///
    /// # Errors
    /// When the disk refuses (nothing is lost but this unit), or a part with other content or of a newer
    /// version is there.
    pub fn write(&self, part: &Part) -> Result<Option<Rejected>, StoreError> {
        self.publish(part, &self.part_path(&part.unit()))
    }

    /// Stores a part under a name, unless an equal one is there.
    fn publish(&self, part: &Part, path: &Path) -> Result<Option<Rejected>, StoreError> {
        let unit = part.unit();
        let bytes = part.to_bytes();
        let mut aside = None;
        while !create_durably(path, &bytes).map_err(at(path))? {
            let there = match fs::read(path) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                read => read.map_err(at(path))?,
            };
            if there == bytes {
                break;
            }
            match Part::from_bytes(&there) {
                Err(reason @ PartError::Version(_)) => {
                    return Err(StoreError::Newer { path: path.into(), reason });
                }
                Ok(other) if other.unit() == unit => {
                    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
                    let (old, new) = (text(&there), text(&bytes));
                    let line = old.lines().zip(new.lines()).find(|(a, b)| a != b);
                    let line = line.map_or("length".into(), |(a, b)| format!("`{a}` against `{b}`"));
                    return Err(StoreError::Contradiction { path: path.into(), line });
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
    /// When the file system refuses, or there is a part of a newer version, which is not ours to judge.
    pub fn scan(&self) -> Result<Scan, StoreError> {
        let planned: BTreeMap<PathBuf, Unit> =
            self.manifest.units().into_iter().map(|unit| (self.part_path(&unit), unit)).collect();
        let mut scan = Scan::default();
        for path in files_in(&self.root.join("parts"), "jsonl")? {
            let bytes = match fs::read(&path) {
                // Set aside by another process.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                read => read.map_err(at(&path))?,
            };
            let unit = planned.get(&path);
            match Part::from_bytes(&bytes) {
                Ok(part) if Some(&part.unit()) == unit => {
                    scan.done.insert(part.unit(), part);
                }
                Err(reason @ PartError::Version(_)) => return Err(StoreError::Newer { path, reason }),
                Ok(part) => scan.rejected.push(rejected(&path, unit, foreign(&part))),
                Err(reason) => scan.rejected.push(rejected(&path, unit, reason)),
            }
        }
        Ok(scan)
    }

    /// Moves a part that does not count to `set-aside/`, for inspection; returns where it is then, `None` when
    /// another process has moved it.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn set_aside(&self, part: Rejected) -> Result<Option<Rejected>, StoreError> {
        let folder = self.root.join("set-aside");
        create_folder(&folder).map_err(at(&folder))?;
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

    /// Removes temporary files that killed writers have left, an hour or more before `now`. They never count.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn remove_leftovers(&self, now: SystemTime) -> Result<(), StoreError> {
        for folder in [self.root.clone(), self.root.join("parts")] {
            for path in files_in(&folder, PARTIAL)? {
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

    /// Reads the part of a unit, if it is there and whole.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn read(&self, unit: &Unit) -> Result<Option<Part>, StoreError> {
        let path = self.part_path(unit);
        match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            read => {
                let part = Part::from_bytes(&read.map_err(at(&path))?).ok();
                Ok(part.filter(|part| part.unit() == *unit))
            }
        }
    }

    /// Compares a trial with what other processes of this run have computed for it; the first of them stores it in
    /// `canary/`. A machine that computes differently is found so, whichever units it works on.
    ///
    /// # Errors
    /// When the records differ, or the file system refuses.
    pub fn compare_canary(&self, trial: &Part) -> Result<(), StoreError> {
        let folder = self.root.join("canary");
        create_folder(&folder).map_err(at(&folder))?;
        let name = format!("{}-{:08}.jsonl", trial.cell.id(), trial.first);
        self.publish(trial, &folder.join(name)).map(|_| ())
    }

    /// Writes `trials.parquet`, all rows that count in plan order, when every unit is there that is needed; otherwise
    /// writes nothing.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn merge(&self) -> Result<Merged, StoreError> {
        let mut done = self.scan()?.done;
        let standing = |cell: &PlannedCell| self.manifest.standing(&cell.id, &done);
        let standings: Vec<Standing> = self.manifest.cells.iter().map(standing).collect();
        let missing: BTreeSet<&Unit> = standings.iter().flat_map(|cell| &cell.missing).collect();
        if !missing.is_empty() {
            let in_plan_order = self.manifest.units().into_iter().filter(|unit| missing.contains(unit));
            return Ok(Merged::Missing(in_plan_order.collect()));
        }
        let mut rows = Vec::new();
        for (cell, standing) in self.manifest.cells.iter().zip(&standings) {
            for unit in &standing.counted {
                let part = done.remove(unit).expect("the key was just listed");
                // The part's labels are those of its first writing; the plan's are the ones to show.
                rows.extend(
                    part.trials.into_iter().map(|t| TrialRow::new(&cell.spec, part.clean_correct, t)),
                );
            }
        }
        let path = self.root.join("trials.parquet");
        write_durably(&path, &write_trials(&rows)?).map_err(at(&path))?;
        Ok(Merged::Complete(path))
    }

    fn part_path(&self, unit: &Unit) -> PathBuf {
        self.root.join("parts").join(format!("{}-{:08}.jsonl", unit.cell, unit.first))
    }
}

fn rejected(path: &Path, unit: Option<&Unit>, reason: PartError) -> Rejected {
    Rejected { path: path.into(), unit: unit.cloned(), reason }
}

/// What is wrong with a whole part that is not where it belongs.
fn foreign(part: &Part) -> PartError {
    let Unit { cell, first, count } = part.unit();
    PartError::Foreign { cell: cell.to_string(), first, end: first + count }
}

/// The files of a directory that have an extension, by name.
fn files_in(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, StoreError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let path = entry.map_err(at(folder))?.path();
        if path.extension().is_some_and(|e| e == extension) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let path = path.to_path_buf();
    move |source| StoreError::Io { path, source }
}
