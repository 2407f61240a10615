//! Recomputation of single trials, to inspect them or to compare them with stored records.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context, anyhow};
use campaign::{StoredNetwork, Trial};
use design::{CellId, CellSpec, TrialRecord};
use records::{Store, StoreError, read_trials};

use crate::{Failure, LoadedExperiment, Observer, ReadyNetwork};

/// An experiment whose trials are drawn and evaluated one at a time.
#[derive(Debug)]
pub struct Recomputation<'a> {
    loaded: &'a LoadedExperiment,
    ready: Vec<ReadyNetwork<'a>>,
}

impl<'a> Recomputation<'a> {
    /// Compiles the networks of an experiment.
    ///
    /// # Errors
    /// As [`LoadedExperiment::ready`].
    pub fn new(loaded: &'a LoadedExperiment, observer: &dyn Observer) -> Result<Self, Failure> {
        Ok(Self { loaded, ready: loaded.ready(observer)? })
    }

    /// The memory of a cell's network under the cell's protection.
    ///
    /// # Errors
    /// If the protection cannot store the network.
    pub fn memory(&self, cell: &CellSpec) -> Result<StoredNetwork<'a>, Failure> {
        let network = &self.loaded.networks[self.number(cell)];
        let protection = network.protection(&cell.protection).map_err(Failure::input)?;
        StoredNetwork::new(network, protection).with_context(|| cell.label()).map_err(Failure::Input)
    }

    /// Evaluates a drawn trial.
    ///
    /// # Errors
    /// If the evaluator has no result for it.
    pub fn record(&mut self, cell: &CellSpec, number: u64, trial: Trial) -> Result<TrialRecord, Failure> {
        let network = self.number(cell);
        let ReadyNetwork { evaluator, evaluation } = &mut self.ready[network];
        let records = evaluation.records(number, vec![trial], evaluator);
        let mut records = records.with_context(|| cell.label()).map_err(Failure::Input)?;
        Ok(records.pop().expect("a record for each trial"))
    }

    /// Evaluates a drawn trial and compares its record with the stored one of the run directory `root`.
    ///
    /// # Errors
    /// If the records differ, or the evaluator has no result.
    pub fn compare(
        &mut self,
        cell: &CellSpec,
        number: u64,
        trial: Trial,
        stored: &TrialRecord,
        root: &Path,
    ) -> Result<TrialRecord, Failure> {
        let computed = self.record(cell, number, trial)?;
        if computed == *stored {
            return Ok(computed);
        }
        Err(Failure::Verification(anyhow!(
            "{}: trial {number} of cell {} ({}) is stored as {} but recomputed as {}",
            root.display(),
            cell.id(),
            cell.label(),
            json(stored),
            json(&computed)
        )))
    }

    fn number(&self, cell: &CellSpec) -> usize {
        let mut networks = self.loaded.networks.iter();
        networks
            .position(|network| network.digest == cell.network)
            .expect("the plan's cells are of its networks")
    }
}

/// Records by cell id and number of the trial.
pub type Records = BTreeMap<String, BTreeMap<u64, TrialRecord>>;

/// Reads the records of a run directory that holds the cells of an experiment: from its parts, or from the merged table if
/// that alone was kept, as in `results/`.
///
/// # Errors
/// If the directory holds another plan, or a damaged table.
pub fn stored_records(loaded: &LoadedExperiment, root: &Path) -> Result<Records, Failure> {
    let store = Store::open(root)?;
    let cells: HashMap<CellId, &CellSpec> =
        store.manifest().cells.iter().map(|cell| (cell.id, &cell.spec)).collect();
    for spec in &loaded.cells {
        let id = spec.id();
        let Some(cell) = cells.get(&id) else {
            return Err(Failure::OtherPlan(anyhow!(
                "{}: this run has no cell {id} ({}), which the experiment has",
                root.display(),
                spec.label(),
            )));
        };
        // The other conditions determine this number, so the identity leaves it out.
        if cell.changed_probability != spec.changed_probability {
            return Err(Failure::Verification(anyhow!(
                "{}: changed_probability of cell {id} ({}) differs from the recomputed number, {:?}",
                root.display(),
                spec.label(),
                spec.changed_probability
            )));
        }
    }
    let mut records = Records::new();
    let mut keep = |cell: &str, record: TrialRecord| {
        records.entry(cell.into()).or_default().insert(record.trial, record);
    };
    if root.join("parts").exists() {
        for unit in store.scan()?.done.keys() {
            let trials = store.read(unit)?.map_or(Vec::new(), |part| part.trials);
            trials.into_iter().for_each(|record| keep(unit.cell.as_str(), record));
        }
    } else {
        let rows = read_trials(&root.join("trials.parquet")).map_err(StoreError::from)?;
        rows.into_iter().for_each(|row| keep(&row.cell, row.record));
    }
    Ok(records)
}

/// A record as one line of JSON, the form of part files.
pub fn json(record: &TrialRecord) -> String {
    serde_json::to_string(record).expect("plain data serializes")
}
