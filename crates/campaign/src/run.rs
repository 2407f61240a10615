use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use inject::{BitErrorRate, FaultModel};
use records::{CellId, Part, PlannedCell, Rejected, Store, StoreError, Unit};

use crate::{Evaluation, Evaluator, Network, Shard, StoredNetwork};

/// A network with what runs it.
pub struct Subject<'a> {
    /// The network in memory.
    pub network: &'a Network,
    /// Runs it.
    pub evaluator: &'a mut dyn Evaluator,
    /// What its trials are compared with.
    pub evaluation: &'a Evaluation,
}

/// Told after every trial, or after several that were evaluated together.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Trials that are stored or computed, of this call's share.
    pub done: u64,
    /// Trials of this call's share.
    pub total: u64,
    /// The cell in work.
    pub cell: &'a PlannedCell,
}

/// How far a run is to go on; asked before every unit and between trials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// To the end.
    GoOn,
    /// To the end of the unit in work, which is stored.
    FinishUnit,
    /// To the end of the trial in work, or of the trials that are evaluated together; the unit in work is lost.
    FinishTrial,
}

/// What a call of [`run`] did. The units are those of its share.
#[derive(Debug, Default)]
pub struct RunOutcome {
    /// Units that were there before.
    pub kept: usize,
    /// Units computed now.
    pub computed: usize,
    /// Units that are left, because the run was told to stop.
    pub left: usize,
    /// Damaged or foreign parts that were moved away, and computed again where they are of this plan.
    pub set_aside: Vec<Rejected>,
}

/// Why a run stopped.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The run directory refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The plan names something that is not there.
    #[error("cell {cell}: {reason}")]
    Cell {
        /// The cell's label.
        cell: String,
        /// What is missing or wrong.
        reason: String,
    },
}

/// Changes of trials that are evaluated together, about: they take 24 bytes each.
const MOST_CHANGES: usize = 1 << 21;

/// Computes those units of a shard that the run directory lacks and stores each as it is finished. Units of the
/// plan that are there are kept; what is lost to a kill is the unit in work.
///
/// # Errors
/// When the disk refuses; all finished units are kept.
pub fn run(
    store: &Store,
    subjects: &mut [Subject<'_>],
    shard: Shard,
    pace: &dyn Fn() -> Pace,
    on_progress: &mut dyn FnMut(Progress<'_>),
) -> Result<RunOutcome, RunError> {
    let manifest = store.manifest();
    let scan = store.scan()?;
    let mut units = manifest.units();
    let mut position = 0..;
    units.retain(|_| position.next().is_some_and(|position| shard.takes(position)));
    let missing: Vec<&Unit> = units.iter().filter(|unit| !scan.done.contains_key(unit)).collect();
    let kept = units.len() - missing.len();
    let mut outcome = RunOutcome { kept, left: missing.len(), ..RunOutcome::default() };
    // A damaged part of a unit stays where it is until the unit is stored again, by whichever shard has it.
    for part in scan.rejected.into_iter().filter(|part| part.unit.is_none()) {
        outcome.set_aside.extend(store.set_aside(part)?);
    }
    let total = units.iter().map(|unit| unit.count).sum();
    let mut done = total - missing.iter().map(|unit| unit.count).sum::<u64>();

    let cells: BTreeMap<&CellId, &PlannedCell> = manifest.cells.iter().map(|c| (&c.id, c)).collect();
    let mut memories: BTreeMap<(&str, &str), (StoredNetwork<'_>, usize)> = BTreeMap::new();
    for unit in missing {
        if pace() != Pace::GoOn {
            break;
        }
        let cell = cells[&unit.cell];
        let spec = &cell.spec;
        let wrong = |reason: String| RunError::Cell { cell: spec.label(), reason };
        let (memory, subject) = match memories.entry((&spec.network, &spec.protection)) {
            Entry::Occupied(stored) => stored.into_mut(),
            Entry::Vacant(place) => {
                let subject = subjects
                    .iter()
                    .position(|s| s.network.digest == spec.network)
                    .ok_or_else(|| wrong(format!("no network has the content hash {}", spec.network)))?;
                let protection = ecc::by_id(&spec.protection).map_err(|e| wrong(e.to_string()))?;
                let memory = StoredNetwork::new(subjects[subject].network, protection)
                    .map_err(|e| wrong(e.to_string()))?;
                place.insert((memory, subject))
            }
        };
        let model: FaultModel = spec.fault_model.parse().map_err(|e| wrong(format!("{e}")))?;
        let rate = BitErrorRate::new(spec.rate).map_err(|e| wrong(e.to_string()))?;

        let Subject { evaluator, evaluation, .. } = &mut subjects[*subject];
        let most_changes = if evaluator.gains_by_several() { MOST_CHANGES } else { 1 };
        let changed = match spec.changed_probability {
            Some(_) => Some(memory.changed_trials(rate).map_err(|e| wrong(e.to_string()))?),
            None => None,
        };
        let draw = |trial| match &changed {
            Some(changed) => changed.trial(spec.seed, trial),
            None => memory.trial(model, rate, spec.seed, trial),
        };
        let mut trials = Vec::new();
        let end = unit.first + unit.count;
        let mut first = unit.first;
        while first < end {
            if first > unit.first && pace() == Pace::FinishTrial {
                return Ok(outcome);
            }
            let (mut found, mut changes) = (Vec::new(), 0);
            while first + (found.len() as u64) < end && changes < most_changes {
                let trial = draw(first + found.len() as u64);
                changes += trial.changes.len();
                found.push(trial);
            }
            let count = found.len() as u64;
            trials.extend(evaluation.records(first, found, *evaluator));
            first += count;
            done += count;
            on_progress(Progress { done, total, cell });
        }
        let clean_correct = evaluation.clean_correct();
        let part = Part { cell: spec.clone(), first: unit.first, clean_correct, trials };
        outcome.set_aside.extend(store.write(&part)?);
        outcome.computed += 1;
        outcome.left -= 1;
    }
    Ok(outcome)
}
