//! The run directory of a campaign of single faults.
//!
//! A campaign has a million faults or more, and a fault has three counts, so its records are smaller than those of trials: a
//! part is a unit of consecutive faults of the sample, a line of four numbers each. Parts appear whole, end with the SHA-256
//! of their other bytes and are compared with what is there, as those of [`crate::Store`].

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use design::{FaultRecord, SingleFaultSpec};
use serde::{Deserialize, Serialize};

use crate::fault_table::write_faults;
use crate::lines::{Footer, closed, json_line};
use crate::store::at;
use crate::{Environment, NetworkEntry, StoreError};

/// Version of the manifest and of the parts.
const VERSION: u32 = 1;

/// File name of the manifest in a run directory.
const MANIFEST: &str = "manifest.json";

/// File name of the merged table.
pub const FAULTS: &str = "faults.parquet";

/// The plan of a campaign of single faults: `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultManifest {
    /// Format version of this file.
    pub single_fault_version: u32,
    /// The experiment's title.
    pub experiment: String,
    /// The experiment file, word for word.
    pub source: String,
    /// Content hash of `spec`.
    pub id: String,
    /// Conditions of the campaign.
    pub spec: SingleFaultSpec,
    /// Number of faults that are drawn.
    pub faults: u64,
    /// Faults of a unit, whose records share a file.
    pub unit_faults: u64,
    /// A fault is critical by accuracy if more than this many percent of the images are lost.
    pub drop_points: f64,
    /// The network.
    pub network: NetworkEntry,
    /// Environment of the first start.
    pub environment: Environment,
}

impl FaultManifest {
    /// Makes the manifest of a campaign.
    #[expect(clippy::too_many_arguments, reason = "each is a field")]
    pub fn new(
        experiment: &str,
        source: &str,
        spec: SingleFaultSpec,
        faults: u64,
        unit_faults: u64,
        drop_points: f64,
        network: NetworkEntry,
        environment: Environment,
    ) -> Self {
        Self {
            single_fault_version: VERSION,
            experiment: experiment.into(),
            source: source.into(),
            id: spec.id(),
            spec,
            faults,
            unit_faults,
            drop_points,
            network,
            environment,
        }
    }

    /// Number of units.
    pub fn units(&self) -> u64 {
        self.faults.div_ceil(self.unit_faults)
    }

    /// Returns the number of faults of a unit.
    pub fn unit_size(&self, unit: u64) -> u64 {
        self.unit_faults.min(self.faults.saturating_sub(unit * self.unit_faults))
    }

    fn check(&self) -> Result<(), String> {
        if self.unit_faults == 0 {
            return Err("unit_faults is 0, expected at least 1".into());
        }
        let all = self.spec.tensors.iter().try_fold(0u64, |sum, tensor| sum.checked_add(tensor.weights));
        let all = all.and_then(|weights| weights.checked_mul(8));
        let all = all.ok_or("spec.tensors have more than 2^61 weights, expected fewer")?;
        if self.faults == 0 || self.faults > all {
            return Err(format!("faults is {}, expected 1 to {all}", self.faults));
        }
        let id = self.spec.id();
        if self.id != id {
            return Err(format!("id is {}, but the content of spec hashes to {id}", self.id));
        }
        Ok(())
    }

    /// Returns the first condition that differs in `other`.
    fn difference(&self, other: &Self) -> Option<String> {
        let json = |manifest: &Self| {
            serde_json::to_value((
                &manifest.spec,
                manifest.faults,
                manifest.unit_faults,
                manifest.drop_points,
            ))
            .expect("plain data serializes")
        };
        let (was, is) = (json(self), json(other));
        if was == is {
            return None;
        }
        for (place, name) in [(1, "faults"), (2, "unit_faults"), (3, "drop_points")] {
            if was[place] != is[place] {
                return Some(format!("{name} is {}, was {}", is[place], was[place]));
            }
        }
        let (was, is) = (was[0].as_object()?, is[0].as_object()?);
        let (field, old) = was.iter().find(|(field, old)| is.get(*field) != Some(old))?;
        Some(format!("{field} is {}, was {old}", is.get(field)?))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    zerospace_faults: u32,
    campaign: String,
    unit: u64,
    clean_correct: u64,
}

/// The run directory of a campaign of single faults.
#[derive(Debug)]
pub struct FaultStore {
    root: PathBuf,
    manifest: FaultManifest,
}

/// Result of a merge.
#[derive(Debug, PartialEq, Eq)]
pub enum MergedFaults {
    /// The table, with every fault of the sample.
    Complete(PathBuf),
    /// Number of missing units; at least one.
    Missing(u64),
}

impl FaultStore {
    /// Starts a campaign in `root`, or continues the one there.
    ///
    /// # Errors
    /// When the directory cannot be written, or was started with another plan; the error names the first difference.
    pub fn create(root: &Path, manifest: FaultManifest) -> Result<Self, StoreError> {
        let path = root.join(MANIFEST);
        if !path.exists() {
            let parts = root.join("parts");
            durable::create_folder(&parts).map_err(at(&parts))?;
            let mut text = serde_json::to_string_pretty(&manifest).expect("plain data serializes");
            text.push('\n');
            durable::create_new(&path, text.as_bytes()).map_err(at(&path))?;
        }
        let store = Self::open(root)?;
        match store.manifest.difference(&manifest) {
            None => Ok(store),
            Some(difference) => Err(StoreError::OtherPlan { path: root.into(), difference }),
        }
    }

    /// Returns true if a directory holds a campaign of single faults, readable or not.
    pub fn is_at(root: &Path) -> bool {
        let text = fs::read(root.join(MANIFEST)).unwrap_or_default();
        durable::version(&text, "single_fault_version").is_ok()
    }

    /// Opens an existing campaign.
    ///
    /// # Errors
    /// When the manifest is missing or malformed.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let path = root.join(MANIFEST);
        let text = fs::read_to_string(&path).map_err(at(&path))?;
        let read = || {
            let version = durable::version(text.as_bytes(), "single_fault_version")
                .map_err(|error| format!("not a campaign of single faults: {error}"))?;
            if version > VERSION {
                return Err(format!("single-fault version {version}, newest known is {VERSION}"));
            }
            let manifest: FaultManifest = serde_json::from_str(&text).map_err(|error| error.to_string())?;
            manifest.check().map(|()| manifest)
        };
        let manifest = read().map_err(|message| StoreError::Manifest { path: path.clone(), message })?;
        Ok(Self { root: root.into(), manifest })
    }

    /// Returns the run directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the plan.
    pub fn manifest(&self) -> &FaultManifest {
        &self.manifest
    }

    /// Returns the units whose parts are whole. Damaged or foreign parts do not count, and are written again.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn done(&self) -> Result<BTreeSet<u64>, StoreError> {
        let mut done = BTreeSet::new();
        for unit in 0..self.manifest.units() {
            if self.read(unit)?.is_some() {
                done.insert(unit);
            }
        }
        Ok(done)
    }

    /// Reads the records of a unit, if its part exists and is whole.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn read(&self, unit: u64) -> Result<Option<Vec<FaultRecord>>, StoreError> {
        let path = self.part_path(unit);
        match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            read => Ok(self.records(unit, &read.map_err(at(&path))?)),
        }
    }

    fn records(&self, unit: u64, bytes: &[u8]) -> Option<Vec<FaultRecord>> {
        let body = bytes.strip_suffix(b"\n")?;
        let end = body.iter().rposition(|&byte| byte == b'\n')? + 1;
        let footer: Footer = serde_json::from_slice(&body[end..]).ok()?;
        let content = &bytes[..end];
        if !footer.closes(content) {
            return None;
        }
        let mut lines = content[..content.len() - 1].split(|&byte| byte == b'\n');
        let header: Header = serde_json::from_slice(lines.next()?).ok()?;
        let own = header.zerospace_faults == VERSION
            && header.campaign == self.manifest.id
            && header.unit == unit
            && header.clean_correct == self.manifest.network.clean_correct;
        if !own {
            return None;
        }
        let records: Vec<FaultRecord> = lines.map(serde_json::from_slice).collect::<Result<_, _>>().ok()?;
        let whole = records.len() as u64 == self.manifest.unit_size(unit);
        let ascending = records.is_sorted_by(|a, b| a.fault < b.fault);
        (whole && ascending && self.are_possible(&records)).then_some(records)
    }

    /// Returns true if all records are of faults and images of the plan.
    fn are_possible(&self, records: &[FaultRecord]) -> bool {
        let (faults, images) = (self.manifest.spec.faults(), self.manifest.spec.evaluation.images);
        records.iter().all(|record| {
            let counts = [record.logits, record.top1, record.correct];
            record.fault < faults && counts.iter().all(|&count| u64::from(count) <= images)
        })
    }

    /// Stores a finished unit; safe against a kill at any moment, and against a second process that computes the same unit.
    ///
    /// # Errors
    /// When the disk refuses, or a part with other records exists.
    pub fn write(&self, unit: u64, records: &[FaultRecord]) -> Result<(), StoreError> {
        let header = Header {
            zerospace_faults: VERSION,
            campaign: self.manifest.id.clone(),
            unit,
            clean_correct: self.manifest.network.clean_correct,
        };
        let mut bytes = json_line(&header);
        records.iter().for_each(|record| bytes.extend(json_line(record)));
        let bytes = closed(bytes);
        let path = self.part_path(unit);
        if durable::create_new(&path, &bytes).map_err(at(&path))? {
            return Ok(());
        }
        match self.read(unit)? {
            Some(there) if there == records => Ok(()),
            Some(there) => {
                let differing = there.iter().zip(records).find(|(a, b)| a != b);
                let line = differing.map_or("length".into(), |(a, b)| format!("`{a:?}` against `{b:?}`"));
                Err(StoreError::Contradiction { path, line, outputs_only: true })
            }
            None => durable::write(&path, &bytes).map_err(at(&path)),
        }
    }

    /// Returns the records of all whole parts, in order, and the number of units without one.
    fn stored(&self) -> Result<(Vec<FaultRecord>, u64), StoreError> {
        let mut all = Vec::new();
        let mut missing = 0;
        for unit in 0..self.manifest.units() {
            match self.read(unit)? {
                Some(records) => all.extend(records),
                None => missing += 1,
            }
        }
        Ok((all, missing))
    }

    /// Writes `faults.parquet`, if every unit exists; otherwise writes nothing.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn merge(&self) -> Result<MergedFaults, StoreError> {
        let (all, missing) = self.stored()?;
        if missing > 0 {
            return Ok(MergedFaults::Missing(missing));
        }
        let path = self.root.join(FAULTS);
        durable::write(&path, &write_faults(&all)?).map_err(at(&path))?;
        Ok(MergedFaults::Complete(path))
    }

    /// Reads all records: from `faults.parquet`, or from the parts if that is not there.
    ///
    /// # Errors
    /// When the table is damaged or not of this campaign, a unit is missing, or the file system refuses.
    pub fn all(&self) -> Result<Vec<FaultRecord>, StoreError> {
        let path = self.root.join(FAULTS);
        let wrong = |message: String| StoreError::Manifest { path: path.clone(), message };
        if !path.exists() {
            return match self.stored()? {
                (records, 0) => Ok(records),
                (_, missing) => Err(wrong(format!("absent, and {missing} units are missing"))),
            };
        }
        let records = crate::fault_table::read_faults(&path)?;
        let ascending = records.is_sorted_by(|a, b| a.fault < b.fault);
        if records.len() as u64 != self.manifest.faults || !ascending || !self.are_possible(&records) {
            let expected = self.manifest.faults;
            return Err(wrong(format!(
                "{} faults, expected {expected} of the campaign, ascending",
                records.len()
            )));
        }
        Ok(records)
    }

    fn part_path(&self, unit: u64) -> PathBuf {
        self.root.join("parts").join(format!("faults-{unit:08}.jsonl"))
    }
}
