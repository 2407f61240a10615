//! Comparison of trials computed on this machine with published records.

use campaign::CellTrials;
use design::TrialRecord;
use serde::{Deserialize, Serialize};

use super::speed::PROTECTION;
use harness::{Failure, LoadedExperiment, Recomputation, json};

/// A trial of a network that the program carries.
#[derive(Serialize, Deserialize)]
pub(super) struct RecordedTrial {
    network: String,
    cell: String,
    record: TrialRecord,
}

/// A trial computed here, beside its published record.
#[derive(Serialize)]
pub(super) struct Comparison {
    network: String,
    cell: String,
    trial: u64,
    pub(super) same: bool,
    record: TrialRecord,
    #[serde(skip)]
    recorded: Option<TrialRecord>,
}

/// Computes the first trial of each network at its highest rate.
pub(super) fn trials(
    carried: &LoadedExperiment,
    recomputation: &mut Recomputation<'_>,
) -> Result<Vec<RecordedTrial>, Failure> {
    let mut trials = Vec::new();
    for network in &carried.networks {
        let of = carried.cells.iter().filter(|c| c.network == network.digest && c.protection == PROTECTION);
        let cell = of
            .max_by(|a, b| a.rate.get().total_cmp(&b.rate.get()))
            .expect("the experiment has this protection");
        let memory = recomputation.memory(cell)?;
        let cell_trials = CellTrials::new(&memory, cell).map_err(Failure::input)?;
        let record = recomputation.record(cell, 0, cell_trials.trial(0))?;
        trials.push(RecordedTrial { network: network.label.clone(), cell: cell.id().to_string(), record });
    }
    Ok(trials)
}

impl Comparison {
    pub(super) fn new(computed: RecordedTrial, recorded: &[RecordedTrial]) -> Self {
        let RecordedTrial { network, cell, record } = computed;
        let there = recorded.iter().find(|there| there.cell == cell && there.record.trial == record.trial);
        let recorded = there.map(|there| there.record.clone());
        Self {
            network,
            cell,
            trial: record.trial,
            same: recorded.as_ref() == Some(&record),
            record,
            recorded,
        }
    }

    /// The difference, as an error.
    pub(super) fn complaint(&self) -> String {
        let Self { network, cell, trial, record, recorded, .. } = self;
        let recorded = recorded.as_ref().map_or("nothing".into(), json);
        format!(
            "trial {trial} of cell {cell} ({network}) is {}, expected the published {recorded}: do not trust results \
             of this machine, and report the difference",
            json(record)
        )
    }

    pub(super) fn row(&self) -> Vec<String> {
        let same = if self.same { "the same bits" } else { "differs" };
        vec![self.network.clone(), self.cell.clone(), self.trial.to_string(), same.into()]
    }
}
