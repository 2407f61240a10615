use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use design::{CellId, CellSpec, StopRule};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::durable::{PARTIAL, create_durably, create_folder};
use crate::{Part, PartError, RunArguments, Standing, TableError, TrialRow, write_durably, write_trials};

/// Newest version of `manifest.json`; a manifest has the oldest that can hold it ([`Manifest::oldest_version`]).
const MANIFEST_VERSION: u32 = 3;

const MANIFEST: &str = "manifest.json";

/// Where the first trials of units that are not finished are kept.
const BEGUN: &str = "begun";

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
    /// The command line; only in manifests before version 3.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// The arguments on which the records depend; since version 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<RunArguments>,
}

impl Environment {
    /// The arguments of the command; those of an older manifest are read from its command line.
    pub fn arguments(&self) -> RunArguments {
        self.arguments.clone().unwrap_or_else(|| RunArguments::of_words(&self.command))
    }
}

/// What an ordinary trial of a cell does on average, known in closed form; the words are those of
/// [`design::TrialRecord`]. Informative: no record depends on it.
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

/// One raise of the number of trials in a run that was there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extension {
    /// Trials of each cell before it.
    pub trials: u64,
    /// When, where and by what it was made.
    pub by: Environment,
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
    /// Trials of a unit: units end at its multiples, and where the trials of a cell end or, before an extension, ended.
    pub unit_trials: u64,
    /// What ordinary trials do on average, for the cells of which that is known; absent in JSON when of none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expected: Vec<ExpectedOutcomes>,
    /// When a cell ends earlier; absent in JSON when never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<StopRule>,
    /// How the run came to have more trials than it began with, in order; absent in JSON when it did not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<Extension>,
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
    /// A manifest for `cells`, in that order, without a stop rule, expectations or extensions.
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
            manifest_version: 1,
            experiment: experiment.into(),
            source: source.into(),
            networks,
            cells,
            trials,
            unit_trials,
            expected: Vec::new(),
            stop: None,
            extensions: Vec::new(),
            environment,
        }
    }

    /// All units, interleaved over the cells: the first unit of every cell, then the second, so that a
    /// run that is looked at early shows every cell.
    pub fn units(&self) -> Vec<Unit> {
        let blocks = self.blocks().into_iter();
        blocks.flat_map(|block| self.cells.iter().map(move |cell| unit(&cell.id, block))).collect()
    }

    /// The units of a cell, ascending.
    pub fn units_of(&self, cell: &CellId) -> impl Iterator<Item = Unit> {
        self.blocks().into_iter().map(|block| unit(cell, block))
    }

    /// First trial and number of trials of each unit of a cell. An extension only adds units: those of the shorter run,
    /// a short last one too, are units of the longer.
    fn blocks(&self) -> Vec<(u64, u64)> {
        let step = usize::try_from(self.unit_trials).expect("64-bit");
        let mut firsts: Vec<u64> = (0..self.trials).step_by(step).collect();
        firsts.extend(self.extensions.iter().map(|extension| extension.trials));
        firsts.sort();
        firsts.dedup();
        let ends = firsts.iter().skip(1).chain([&self.trials]);
        firsts.iter().zip(ends).map(|(&first, end)| (first, end - first)).collect()
    }

    /// The version of the oldest format that has a place for everything in the manifest: 2 has extensions, 3 has
    /// arguments instead of command lines.
    fn oldest_version(&self) -> u32 {
        let mut environments =
            self.extensions.iter().map(|extension| &extension.by).chain([&self.environment]);
        match environments.any(|environment| environment.arguments.is_some()) {
            true => 3,
            false => 1 + u32::from(!self.extensions.is_empty()),
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut text = serde_json::to_string_pretty(self).expect("plain data serializes");
        text.push('\n');
        text.into_bytes()
    }

    /// The environment of the last extension, or of the first start: the one whose command has all trials.
    pub fn latest(&self) -> &Environment {
        self.extensions.last().map_or(&self.environment, |extension| &extension.by)
    }

    /// Checks that the manifest is one that a run can have.
    fn check(&self) -> Result<(), String> {
        if self.unit_trials == 0 {
            return Err("unit_trials is 0, expected at least 1".into());
        }
        let mut before = 0;
        for extension in &self.extensions {
            let Extension { trials, .. } = extension;
            if *trials <= before || *trials >= self.trials {
                return Err(format!(
                    "extensions.trials is {trials}, expected more than {before} and less than trials, {}",
                    self.trials
                ));
            }
            before = *trials;
        }
        let short = self.extensions.iter().filter(|extension| extension.trials % self.unit_trials != 0);
        let blocks = self.trials.div_ceil(self.unit_trials).saturating_add(short.count() as u64);
        let units = blocks.saturating_mul(self.cells.len().max(1) as u64);
        if units > MAX_UNITS {
            return Err(format!("it plans {units} units, expected at most {MAX_UNITS}"));
        }
        match self.cells.iter().find(|cell| cell.spec.id() != cell.id) {
            None => Ok(()),
            Some(cell) => Err(format!(
                "the id of cell {} is {}, but its content hashes to {}",
                cell.spec.label(),
                cell.id,
                cell.spec.id()
            )),
        }
    }

    /// The first way in which `other` plans something else, for an error message; `None` when both
    /// lead to the same records. `environment` may differ, and so may what is there for people; so may `trials`,
    /// since a trial depends on its number, and not on how many there are.
    fn difference(&self, other: &Self) -> Option<String> {
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

fn unit(cell: &CellId, (first, count): (u64, u64)) -> Unit {
    Unit { cell: cell.clone(), first, count }
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
    /// The directory holds more trials than are asked for.
    #[error(
        "{path}: this run has {has} trials a cell, and trials is {asked}: a run keeps its trials, expected trials = {has} or more, or another run directory (--out)",
        path = .path.display()
    )]
    FewerTrials {
        /// The run directory.
        path: PathBuf,
        /// Trials of each cell.
        has: u64,
        /// Trials that are asked for.
        asked: u64,
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
    /// The first trials of units that are not finished.
    pub begun: BTreeMap<Unit, Part>,
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
    extended_from: Option<u64>,
}

impl Store {
    /// Starts a run in `root`, or continues the one that is there. Of several processes that start one
    /// together, one writes the manifest and the others continue.
    ///
    /// A run that is there and has fewer trials is extended: its manifest becomes `manifest` with a note of what it was
    /// ([`Manifest::extensions`]), and keeps the environment of its first start. No unit of it is lost, and no process
    /// that still works on the shorter run is disturbed.
    ///
    /// # Errors
    /// When the directory cannot be written, or was started with another plan; the error then names
    /// the first difference. When the run has more trials than `manifest`.
    pub fn create(root: &Path, manifest: Manifest) -> Result<Self, StoreError> {
        let path = root.join(MANIFEST);
        if !path.exists() {
            let parts = root.join("parts");
            create_folder(&parts).map_err(at(&parts))?;
            create_durably(&path, &manifest.to_bytes()).map_err(at(&path))?;
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
        let mut manifest = Manifest { extensions, environment: before.environment, ..manifest };
        manifest.manifest_version = manifest.oldest_version();
        manifest.check().map_err(|message| StoreError::Manifest { path: path.clone(), message })?;
        write_durably(&path, &manifest.to_bytes()).map_err(at(&path))?;
        Ok(Self { root: root.into(), manifest, extended_from })
    }

    /// Whether the run has fewer trials than a manifest of the same plan.
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
    /// When there is no manifest, or it is not one of ours.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let path = root.join(MANIFEST);
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
        manifest.check().map_err(bad)?;
        Ok(Self { root: root.into(), manifest, extended_from: None })
    }

    /// Trials of each cell that the run had when this process extended it; `None` when it did not.
    pub fn extended_from(&self) -> Option<u64> {
        self.extended_from
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
        let unit = part.unit();
        let aside = self.publish(part, &self.part_path(&unit))?;
        remove(&self.begun_path(&unit))?;
        Ok(aside)
    }

    /// Keeps the first trials of a unit that is not finished, in place of what was kept of it before; safe against a kill
    /// at any moment. [`Store::write`] of the whole unit removes them.
    ///
    /// # Errors
    /// When the disk refuses; what was kept before still is.
    pub fn keep(&self, part: &Part) -> Result<(), StoreError> {
        let path = self.begun_path(&part.unit());
        let folder = self.root.join(BEGUN);
        create_folder(&folder).map_err(at(&folder))?;
        write_durably(&path, &part.to_bytes()).map_err(at(&path))
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
        let units = self.manifest.units();
        let mut scan = Scan::default();
        let at_path = |path: fn(&Self, &Unit) -> PathBuf| {
            units.iter().map(|unit| (path(self, unit), unit)).collect::<BTreeMap<PathBuf, &Unit>>()
        };
        for (path, unit, part) in self.parts_in("parts", &at_path(Self::part_path))? {
            match part {
                Ok(part) if Some(&part.unit()) == unit => {
                    scan.done.insert(part.unit(), part);
                }
                Ok(part) if path == self.part_path(&part.unit()) && self.is_of_an_extension(&part) => {}
                Ok(part) => scan.rejected.push(rejected(&path, unit, foreign(&part))),
                Err(reason) => scan.rejected.push(rejected(&path, unit, reason)),
            }
        }
        for (path, unit, part) in self.parts_in(BEGUN, &at_path(Self::begun_path))? {
            match (part, unit) {
                (Ok(_), Some(unit)) if scan.done.contains_key(unit) => {}
                (Ok(part), Some(unit)) if part.begins(unit) => {
                    scan.begun.insert(unit.clone(), part);
                }
                (Ok(part), None)
                    if path == self.begun_path(&part.unit()) && self.is_of_an_extension(&part) => {}
                (Ok(part), _) => scan.rejected.push(rejected(&path, None, foreign(&part))),
                (Err(reason), _) => scan.rejected.push(rejected(&path, None, reason)),
            }
        }
        Ok(scan)
    }

    /// The parts in a folder, each with the unit that is planned under its name.
    #[expect(clippy::type_complexity, reason = "read in one place")]
    fn parts_in<'u>(
        &self,
        folder: &str,
        planned: &BTreeMap<PathBuf, &'u Unit>,
    ) -> Result<Vec<(PathBuf, Option<&'u Unit>, Result<Part, PartError>)>, StoreError> {
        let mut parts = Vec::new();
        for path in files_in(&self.root.join(folder), "jsonl")? {
            let bytes = match fs::read(&path) {
                // Set aside by another process, or of a unit that it has finished.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                read => read.map_err(at(&path))?,
            };
            let part = match Part::from_bytes(&bytes) {
                Err(reason @ PartError::Version(_)) => return Err(StoreError::Newer { path, reason }),
                part => part,
            };
            let unit = planned.get(&path).copied();
            parts.push((path, unit, part));
        }
        Ok(parts)
    }

    /// Whether a part is of trials that only a longer run has. Another process may have extended this one.
    fn is_of_an_extension(&self, part: &Part) -> bool {
        let cell = part.cell.id();
        part.first >= self.manifest.trials && self.manifest.cells.iter().any(|planned| planned.id == cell)
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

    /// Removes temporary files that killed writers have left, an hour or more before `now`, and what was kept of units
    /// that are finished. They never count.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn remove_leftovers(&self, now: SystemTime) -> Result<(), StoreError> {
        let begun = self.root.join(BEGUN);
        for path in files_in(&begun, "jsonl")? {
            let name = path.file_name().expect("a file has a name");
            if self.root.join("parts").join(name).exists() {
                remove(&path)?;
            }
        }
        for folder in [self.root.clone(), self.root.join("parts"), begun] {
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
        self.publish(trial, &folder.join(file_name(&trial.unit()))).map(|_| ())
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
        self.root.join("parts").join(file_name(unit))
    }

    fn begun_path(&self, unit: &Unit) -> PathBuf {
        self.root.join(BEGUN).join(file_name(unit))
    }
}

fn file_name(unit: &Unit) -> String {
    format!("{}-{:08}.jsonl", unit.cell, unit.first)
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(at(path)),
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

/// The files of a directory that have an extension, by name; none where nothing was begun.
fn files_in(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, StoreError> {
    let mut paths = Vec::new();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound && folder.ends_with(BEGUN) => return Ok(paths),
        entries => entries.map_err(at(folder))?,
    };
    for entry in entries {
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
