//! Fault-free accuracy of networks under lossy protections, which change weights by storing them: measured once for a run
//! and kept in its directory.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use analysis::LossyStorage;
use anyhow::{Context, anyhow};
use campaign::{StoredNetwork, Trial};
use design::{CellSpec, ProtectionName};
use records::{Manifest, Store};
use serde::{Deserialize, Serialize};

use crate::{Failure, LoadedExperiment, Observer, ReadyNetwork};

const VERSION: u32 = 1;

/// Content of `fault-free.json`. No record depends on it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultFree {
    fault_free_version: u32,
    /// In plan order.
    stored: Vec<Stored>,
}

/// A network as a protection stores it, evaluated without faults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    /// The plan's label for the network.
    model: String,
    protection: ProtectionName,
    /// Content hash of the checkpoint.
    network: String,
    /// Digest of the evaluation images.
    images: String,
    /// Weights that storing alone changes.
    weights_changed: u64,
    /// Images classified correctly, and those with the prediction of the network itself.
    correct: u64,
    agree: u64,
    /// Hash of all predictions in order, as in the records.
    predictions_hash: String,
}

impl Stored {
    fn is_of(&self, cell: &CellSpec) -> bool {
        self.model == cell.model && self.protection == cell.protection
    }
}

/// An entry of `fault-free.json` that does not belong to the run.
#[derive(Debug, thiserror::Error)]
#[error(
    "{path}: {model} under {protection} belongs to another network or other images than the run, expected to be measured again",
    path = .path.display()
)]
pub struct ForeignFaultFree {
    path: PathBuf,
    model: String,
    protection: ProtectionName,
}

/// Fault-free results of a run's networks under lossy protections, for its report.
///
/// # Errors
/// If `fault-free.json` is damaged, or belongs to another network or other images.
pub(crate) fn lossy_storages(store: &Store) -> Result<Vec<LossyStorage>, Failure> {
    let known = load(store.root())?;
    let storage = |cell: &CellSpec| -> Result<Option<LossyStorage>, Failure> {
        let stored = known.iter().find(|stored| stored.is_of(cell));
        if let Some(other) =
            stored.filter(|s| s.network != cell.network || s.images != cell.evaluation.digest)
        {
            return Err(Failure::input(ForeignFaultFree {
                path: path(store.root()),
                model: other.model.clone(),
                protection: other.protection.clone(),
            }));
        }
        let lossless = !is_built_in(&cell.protection) && stored.is_some_and(|s| s.weights_changed == 0);
        Ok((!lossless).then(|| LossyStorage {
            model: cell.model.to_string(),
            protection: cell.protection.clone(),
            correct: stored.map(|stored| stored.correct),
        }))
    };
    lossy_cells(store.manifest()).into_iter().filter_map(|cell| storage(cell).transpose()).collect()
}

/// Measures the networks that `fault-free.json` lacks; `None` if it lacks none.
///
/// # Errors
/// If the run is of another experiment.
pub fn measure_fault_free(
    store: &Store,
    loaded: &LoadedExperiment,
    ready: &mut [ReadyNetwork<'_>],
    observer: &dyn Observer,
) -> Result<Option<FaultFree>, Failure> {
    if !store.manifest().metrics().is_empty() {
        // The file keeps numbers of images.
        return Ok(None);
    }
    let known = load(store.root())?;
    let mut stored = Vec::new();
    let mut measured = 0;
    for cell in lossy_cells(store.manifest()) {
        if let Some(already) = known.iter().find(|stored| stored.is_of(cell)) {
            stored.push(already.clone());
            continue;
        }
        let place = loaded.networks.iter().position(|network| network.digest == cell.network);
        let place = place.ok_or_else(|| {
            Failure::OtherPlan(anyhow!(
                "{}: this run has the network {} ({}), which the experiment has not",
                store.root().display(),
                cell.network,
                cell.model
            ))
        })?;
        observer.remark(&format!("{} under {}, without faults ...", cell.model, cell.protection));
        let network = &loaded.networks[place];
        let protection = network.protection(&cell.protection).map_err(Failure::input)?;
        let memory =
            StoredNetwork::new(network, protection).with_context(|| cell.label()).map_err(Failure::Input)?;
        let trial = Trial { changes: memory.losses().to_vec(), ..Trial::default() };
        let ReadyNetwork { evaluator, evaluation } = &mut ready[place];
        let on_all_images = evaluation.clone().in_blocks(cell.seed, None);
        let records = on_all_images.records(0, vec![trial], evaluator);
        let mut records = records.with_context(|| cell.label()).map_err(Failure::Input)?;
        let record = records.pop().expect("a record for each trial");
        stored.push(Stored {
            model: cell.model.to_string(),
            protection: cell.protection.clone(),
            network: cell.network.to_string(),
            images: cell.evaluation.digest.to_string(),
            weights_changed: record.weights_changed,
            correct: record.correct,
            agree: record.agree,
            predictions_hash: record.predictions_hash,
        });
        measured += 1;
    }
    Ok((measured > 0).then_some(FaultFree { fault_free_version: VERSION, stored }))
}

impl FaultFree {
    /// Writes `fault-free.json` of a run.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn write(&self, store: &Store) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self).expect("plain data serializes") + "\n";
        let path = path(store.root());
        durable::write(&path, text.as_bytes())
            .with_context(|| path.display().to_string())
            .map_err(Failure::Machine)
    }
}

fn path(root: &Path) -> PathBuf {
    root.join("fault-free.json")
}

fn load(root: &Path) -> Result<Vec<Stored>, Failure> {
    let path = path(root);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(&path)
        .with_context(|| path.display().to_string())
        .map_err(Failure::Machine)?;
    let file: FaultFree =
        serde_json::from_str(&text).with_context(|| path.display().to_string()).map_err(Failure::Input)?;
    match file.fault_free_version {
        VERSION => Ok(file.stored),
        other => Err(Failure::Input(anyhow!(
            "{}: fault_free_version is {other}, expected {VERSION}",
            path.display()
        ))),
    }
}

/// The first cell of each network under each protection that may lose by storing, in plan order. A protection that is not
/// built in always may: the program that makes a report need not know it, and finds the answer in the file.
fn lossy_cells(manifest: &Manifest) -> Vec<&CellSpec> {
    let mut seen = HashSet::new();
    let mut cells: Vec<&CellSpec> = Vec::new();
    for cell in manifest.cells.iter().map(|cell| &cell.spec) {
        let may = || ecc::by_id(&cell.protection).map_or(true, |protection| protection.is_lossy());
        if seen.insert((&cell.model, &cell.protection)) && (!is_built_in(&cell.protection) || may()) {
            cells.push(cell);
        }
    }
    cells
}

fn is_built_in(protection: &ProtectionName) -> bool {
    ecc::all().iter().any(|built_in| built_in.id() == protection.code())
}
