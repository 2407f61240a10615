//! Trials of an experiment, computed once more to be looked at or compared.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, anyhow};
use campaign::{Evaluation, StoredNetwork, Trial};
use records::{CellSpec, Store, StoreError, TrialRecord, read_trials};

use crate::exit::Failure;
use crate::int8::Int8;
use crate::loading::Prepared;

/// An experiment whose trials can be drawn and evaluated one at a time.
pub(crate) struct Rerun<'a> {
    prepared: &'a Prepared,
    evaluators: Vec<(Int8<'a>, Evaluation)>,
}

impl<'a> Rerun<'a> {
    pub(crate) fn new(prepared: &'a Prepared) -> Result<Self, Failure> {
        Ok(Self { prepared, evaluators: prepared.evaluators()? })
    }

    /// The memory of a cell's network under the cell's protection.
    pub(crate) fn memory(&self, cell: &CellSpec) -> Result<StoredNetwork<'a>, Failure> {
        let protection = ecc::by_id(&cell.protection).map_err(Failure::input)?;
        let network = &self.prepared.networks[self.number(cell)];
        StoredNetwork::new(network, protection).with_context(|| cell.label()).map_err(Failure::Input)
    }

    /// The record of a drawn trial.
    pub(crate) fn record(&mut self, cell: &CellSpec, number: u64, trial: Trial) -> TrialRecord {
        let network = self.number(cell);
        let (evaluator, evaluation) = &mut self.evaluators[network];
        evaluation.records(number, vec![trial], evaluator).pop().expect("a record for each trial")
    }

    fn number(&self, cell: &CellSpec) -> usize {
        let mut networks = self.prepared.networks.iter();
        networks
            .position(|network| network.digest == cell.network)
            .expect("the plan's cells are of its networks")
    }
}

/// Records by cell id and trial.
pub(crate) type Records = BTreeMap<String, BTreeMap<u64, TrialRecord>>;

/// The records of a run directory that has the cells of an experiment: those of its parts, or where only the
/// merged table was kept, as in `results/`, those.
pub(crate) fn stored_records(prepared: &Prepared, root: &Path) -> Result<Records, Failure> {
    let store = Store::open(root)?;
    let cells = &store.manifest().cells;
    if let Some(foreign) = prepared.cells.iter().find(|spec| cells.iter().all(|cell| cell.id != spec.id())) {
        return Err(Failure::OtherPlan(anyhow!(
            "{}: this run has no cell {} ({}), which the experiment has",
            root.display(),
            foreign.id(),
            foreign.label(),
        )));
    }
    // The identity leaves this number to the other conditions, which determine it.
    let otherwise = |spec: &&CellSpec| {
        cells
            .iter()
            .any(|cell| cell.id == spec.id() && cell.spec.changed_probability != spec.changed_probability)
    };
    if let Some(cell) = prepared.cells.iter().find(otherwise) {
        return Err(Failure::Verification(anyhow!(
            "{}: changed_probability of cell {} ({}) is stored as another number than comes out, {:?}",
            root.display(),
            cell.id(),
            cell.label(),
            cell.changed_probability
        )));
    }
    let mut records = Records::new();
    let mut keep = |cell: &str, record: TrialRecord| {
        records.entry(cell.into()).or_default().insert(record.trial, record);
    };
    if root.join("parts").exists() {
        for (unit, part) in store.scan()?.done {
            part.trials.into_iter().for_each(|record| keep(unit.cell.as_str(), record));
        }
    } else {
        let rows = read_trials(&root.join("trials.parquet")).map_err(StoreError::from)?;
        rows.into_iter().for_each(|row| keep(&row.cell, row.record));
    }
    Ok(records)
}

/// A record as parts have it, one line of JSON.
pub(crate) fn json(record: &TrialRecord) -> String {
    serde_json::to_string(record).expect("plain data serializes")
}
