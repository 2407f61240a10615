use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use design::{CellId, CellSpec, ProtectionName, TrialRecord};
use records::{Part, PlannedCell, Rejected, Store, StoreError, Unit};

use crate::{CellTrials, Evaluation, Evaluator, Network, Shard, StoredNetwork};

/// A network under test, with its evaluator.
pub struct NetworkUnderTest<'a> {
    /// The stored network.
    pub network: &'a Network,
    /// Runs the network.
    pub evaluator: &'a mut dyn Evaluator,
    /// Labels and fault-free predictions that its trials are compared with.
    pub evaluation: &'a Evaluation,
}

/// Progress of a call of [`run`], reported before the first trial, after every trial or every group of trials that were
/// evaluated together, and after every stored unit.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Trials of this call's share that are stored or computed.
    pub done: u64,
    /// Trials of this call's share.
    pub total: u64,
    /// Units that this call stored.
    pub units: usize,
    /// Computed trials that are not on the disk yet.
    pub unkept: u64,
    /// The current cell.
    pub cell: &'a PlannedCell,
}

/// Instruction to a run, requested before every unit and between trials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunControl {
    /// Continue.
    Continue,
    /// Write the finished trials of the current unit to the disk, so that a kill does not lose them, and continue.
    Save,
    /// Write the finished trials of the current unit to the disk, and stop.
    Stop,
}

/// Result of a call of [`run`]. Units are units of its share.
#[derive(Debug, Default)]
pub struct RunOutcome {
    /// Units that existed before.
    pub kept: usize,
    /// Units that were computed.
    pub computed: usize,
    /// Units that the stop rule made unnecessary.
    pub spared: usize,
    /// Units that are left because the run was told to stop.
    pub left: usize,
    /// Kept trials and all trials of the unit that was current when the run was told to stop.
    pub begun: Option<(u64, u64)>,
    /// Damaged or foreign parts that were set aside; those of this plan were computed again.
    pub set_aside: Vec<Rejected>,
}

/// The reason for which a run failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The run directory cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The plan names something that does not exist.
    #[error("cell {cell}: {reason}")]
    Cell {
        /// The cell's label.
        cell: String,
        /// The missing or wrong thing.
        reason: String,
    },
}

impl RunError {
    fn of(cell: &CellSpec, reason: impl ToString) -> Self {
        Self::Cell { cell: cell.label(), reason: reason.to_string() }
    }
}

/// Computes the units of a shard that the run directory lacks and stores each unit when it is finished. Existing units of
/// the plan are kept, and so are the first trials of begun units ([`Store::keep`]); a kill loses only those trials of the
/// current unit that `control` did not ask to save. Units that the plan's stop rule makes unnecessary are left out, as soon as
/// the parts that show it exist.
///
/// Before the first unit, `run` computes one trial of every network, the first trial of its first cell of highest rate, and
/// compares it with the result of other processes of this run ([`Store::compare_canary`]).
///
/// # Errors
/// When the disk refuses, or a record differs from that of another process; all finished units are kept.
pub fn run(
    store: &Store,
    subjects: &mut [NetworkUnderTest<'_>],
    shard: Shard,
    control: &dyn Fn() -> RunControl,
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
    let mut begun = scan.begun;
    let total = units.iter().map(|unit| unit.count).sum();
    let left = |unit: &&Unit| unit.count - begun.get(*unit).map_or(0, |part| part.trials.len() as u64);
    let mut done = total - missing.iter().map(left).sum::<u64>();

    let cells: BTreeMap<&CellId, &PlannedCell> = manifest.cells.iter().map(|c| (&c.id, c)).collect();
    let mut memories = Memories::default();
    let mut stops = Stops { store, known: scan.done };
    let (mut compared, mut told) = (false, false);
    for unit in missing {
        if control() == RunControl::Stop {
            break;
        }
        let first_trials = begun.remove(unit);
        if stops.before(unit)? {
            outcome.spared += 1;
            outcome.left -= 1;
            done += unit.count - first_trials.map_or(0, |part| part.trials.len() as u64);
            continue;
        }
        if !compared {
            for cell in canaries(&manifest.cells) {
                let (memory, subject) = memories.of(&cell.spec, subjects)?;
                let cell_trials =
                    CellTrials::new(memory, &cell.spec).map_err(|e| RunError::of(&cell.spec, e))?;
                let records = subject.evaluation.records(0, cell_trials.trials(0, 1), subject.evaluator);
                store.compare_canary(&part(cell, 0, subject, records))?;
            }
            compared = true;
        }
        let cell = cells[&unit.cell];
        let (memory, subject) = memories.of(&cell.spec, subjects)?;
        let cell_trials = CellTrials::new(memory, &cell.spec).map_err(|e| RunError::of(&cell.spec, e))?;
        if !told {
            told = true;
            on_progress(Progress { done, total, units: 0, unkept: 0, cell });
        }
        let mut records: Vec<TrialRecord> = first_trials.map_or(Vec::new(), |part| part.trials);
        let mut kept = records.len();
        while (records.len() as u64) < unit.count {
            let drawn = records.len() as u64;
            let mut ahead = cell_trials.trials(unit.first + drawn, unit.count - drawn);
            while !ahead.is_empty() {
                let control = control();
                if control != RunControl::Continue && records.len() > kept {
                    kept = records.len();
                    store.keep(&part(cell, unit.first, subject, records.clone()))?;
                }
                if control == RunControl::Stop {
                    outcome.begun = Some((kept as u64, unit.count));
                    return Ok(outcome);
                }
                let mut changed = (0..ahead.len()).filter(|&trial| !ahead[trial].changes.is_empty());
                let most = subject.evaluator.together().max(1);
                let together = changed.nth(most - 1).map_or(ahead.len(), |last| last + 1);
                let rest = ahead.split_off(together);
                let first = unit.first + records.len() as u64;
                records.extend(subject.evaluation.records(first, ahead, subject.evaluator));
                ahead = rest;
                done += together as u64;
                let unkept = (records.len() - kept) as u64;
                on_progress(Progress { done, total, units: outcome.computed, unkept, cell });
            }
        }
        let part = part(cell, unit.first, subject, records);
        outcome.set_aside.extend(store.write(&part)?);
        outcome.computed += 1;
        outcome.left -= 1;
        on_progress(Progress { done, total, units: outcome.computed, unkept: 0, cell });
        stops.know(part);
    }
    Ok(outcome)
}

fn part(cell: &PlannedCell, first: u64, subject: &NetworkUnderTest<'_>, trials: Vec<TrialRecord>) -> Part {
    Part { cell: cell.spec.clone(), first, clean_correct: subject.evaluation.clean_correct(), trials }
}

/// Returns the first cell of highest rate of each network.
fn canaries(cells: &[PlannedCell]) -> Vec<&PlannedCell> {
    let mut canaries: Vec<&PlannedCell> = Vec::new();
    for cell in cells {
        match canaries.iter_mut().find(|canary| canary.spec.network == cell.spec.network) {
            Some(canary) if canary.spec.rate < cell.spec.rate => *canary = cell,
            Some(_) => {}
            None => canaries.push(cell),
        }
    }
    canaries
}

/// The stored networks by network and protection, each with the number of its subject.
#[derive(Default)]
struct Memories<'a>(BTreeMap<(String, ProtectionName), (StoredNetwork<'a>, usize)>);

impl<'a> Memories<'a> {
    /// Returns the memory and the subject of a cell; makes the memory at the first request.
    fn of<'s>(
        &mut self,
        spec: &CellSpec,
        subjects: &'s mut [NetworkUnderTest<'a>],
    ) -> Result<(&StoredNetwork<'a>, &'s mut NetworkUnderTest<'a>), RunError> {
        let (memory, subject) = match self.0.entry((spec.network.clone(), spec.protection.clone())) {
            Entry::Occupied(stored) => stored.into_mut(),
            Entry::Vacant(place) => {
                let subject =
                    subjects.iter().position(|s| s.network.digest == spec.network).ok_or_else(|| {
                        RunError::of(spec, format!("no network has the content hash {}", spec.network))
                    })?;
                let protection = ecc::by_id(&spec.protection).map_err(|e| RunError::of(spec, e))?;
                let memory = StoredNetwork::new(subjects[subject].network, protection);
                place.insert((memory.map_err(|e| RunError::of(spec, e))?, subject))
            }
        };
        Ok((memory, &mut subjects[*subject]))
    }
}

/// Parts that this process knows, from which it decides by the plan's stop rule which cells have ended.
struct Stops<'a> {
    store: &'a Store,
    known: BTreeMap<Unit, Part>,
}

impl Stops<'_> {
    /// Returns true if a unit's cell ends before the unit. Looks again for earlier units that other processes compute.
    fn before(&mut self, unit: &Unit) -> Result<bool, StoreError> {
        let manifest = self.store.manifest();
        if manifest.stop.is_none() {
            return Ok(false);
        }
        for earlier in manifest.units_of(&unit.cell).take_while(|earlier| earlier.first < unit.first) {
            if !self.known.contains_key(&earlier) {
                let Some(part) = self.store.read(&earlier)? else { break };
                self.known.insert(earlier, part);
            }
        }
        // The unit itself is missing, unless the cell does not need it.
        Ok(manifest.progress(&unit.cell, &self.known).missing.is_empty())
    }

    fn know(&mut self, part: Part) {
        if self.store.manifest().stop.is_some() {
            self.known.insert(part.unit(), part);
        }
    }
}
