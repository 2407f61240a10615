use std::cell::OnceCell;
use std::collections::{BTreeMap, HashSet};

use design::{CellId, CellSpec, ProtectionName, SharedText, TrialRecord};
use rayon::prelude::*;
use records::{Determinism, FinishedUnit, Manifest, Part, PlannedCell, Rejected, Store, StoreError, Unit};

use crate::work::{OpenUnit, Work};
use crate::{CellTrials, Evaluation, EvaluationError, Evaluator, Network, Shard, StoredNetwork};

/// Number of trials among which a run looks for one with changed weights, to test an evaluator with it.
const SEARCHED: u64 = 1000;

/// A network under test, with its evaluator.
pub struct NetworkUnderTest<'a> {
    /// The stored network.
    pub network: &'a Network,
    /// Runs the network.
    pub evaluator: &'a mut dyn Evaluator,
    /// Labels and fault-free predictions that its trials are compared with.
    pub evaluation: &'a Evaluation,
}

/// Progress of a call of [`run`], reported before the first trial and after every group of trials that were evaluated
/// together.
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
    /// The cell of the last unit that was stored with these trials, or the current cell.
    pub cell: &'a PlannedCell,
}

/// Instruction to a run, requested before every group of trials that are evaluated together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunControl {
    /// Continue.
    Continue,
    /// Write the finished trials of the units in work to the disk, so that a kill does not lose them, and continue.
    Save,
    /// Write the finished trials of the units in work to the disk, and stop.
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
    /// Kept trials and all trials of the units that were in work when the run was told to stop.
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
    /// The evaluator has no result for a trial.
    #[error("cell {cell}, {error}")]
    Evaluator {
        /// The cell's label.
        cell: String,
        /// The trial and the reason.
        error: EvaluationError,
    },
}

impl RunError {
    fn of(cell: &CellSpec, reason: impl ToString) -> Self {
        Self::Cell { cell: cell.label(), reason: reason.to_string() }
    }

    fn evaluator(cell: &CellSpec, error: EvaluationError) -> Self {
        Self::Evaluator { cell: cell.label(), error }
    }
}

/// Computes the units of a shard that the run directory lacks and stores each unit when it is finished. Existing units of
/// the plan are kept, and so are the first trials of begun units ([`Store::keep`]); a kill loses only those trials of the
/// units in work that `control` did not ask to save. Units that the plan's stop rule makes unnecessary are left out, as soon as
/// the parts that show it exist.
///
/// Before the first unit, `run` computes one trial of every network, the first trial of its first cell of highest rate, and
/// compares it with the result of other processes of this run ([`Store::compare_canary`]). An evaluator that is not known to
/// be deterministic evaluates the first trial with changed weights, twice. If its results differ, or differ from those of
/// another process, the run notes this and continues ([`Store::note_determinism`]).
///
/// # Errors
/// When the disk refuses, a record differs from that of another process, or the evaluator has no result for a trial; all
/// finished trials are kept.
pub fn run(
    store: &Store,
    subjects: &mut [NetworkUnderTest<'_>],
    shard: Shard,
    control: &dyn Fn() -> RunControl,
    on_progress: &mut dyn FnMut(Progress<'_>),
) -> Result<RunOutcome, RunError> {
    let manifest = store.manifest();
    let mut units = manifest.units();
    let mut position = 0..;
    units.retain(|_| position.next().is_some_and(|position| shard.takes(position)));
    // The parts of other shards are theirs to read: with many shards they are far more than those of this one.
    let own: HashSet<&Unit> = units.iter().collect();
    let scan = store.scan_units(|unit| own.contains(unit))?;
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
    let memories = Memories::of_cells(&manifest.cells);
    let mut stops = Stops { store, known: scan.done };
    let mut missing = missing.into_iter().peekable();
    let mut work = Work::default();
    let (mut compared, mut together) = (false, 1);
    loop {
        while !work.is_drawn(together) {
            while let Some(unit) = missing.peek() {
                let cell = cells[&unit.cell];
                if let Some(first) = work.first() {
                    if first.cell.spec.network != cell.spec.network || !fits(manifest, &work, unit) {
                        break;
                    }
                } else if control() == RunControl::Stop {
                    return Ok(outcome);
                }
                let unit = missing.next().expect("a unit was seen");
                let records = begun.remove(unit).map_or(Vec::new(), |part| part.trials);
                if stops.before(unit)? {
                    outcome.spared += 1;
                    outcome.left -= 1;
                    done += unit.count - records.len() as u64;
                    continue;
                }
                if !compared {
                    for cell in canaries(&manifest.cells) {
                        compare_canary(store, cell, &memories, subjects)?;
                    }
                    compared = true;
                    on_progress(Progress { done, total, units: 0, unkept: 0, cell });
                }
                let (memory, subject) = memories.of(&cell.spec, subjects)?;
                together = subjects[subject].evaluator.together().max(1);
                let trials = CellTrials::new(memory, &cell.spec).map_err(|e| RunError::of(&cell.spec, e))?;
                work.open(unit, cell, trials, records);
            }
            if work.all_drawn() {
                break;
            }
            work.draw();
        }

        let Some(OpenUnit { cell, .. }) = work.first() else { return Ok(outcome) };
        let (_, subject) = memories.of(&cell.spec, subjects)?;
        let subject = &mut subjects[subject];
        let control = control();
        if control != RunControl::Continue {
            keep(store, &mut work, subject)?;
        }
        if control == RunControl::Stop {
            let begun = work.open_units().filter(|open| open.kept > 0);
            outcome.begun = begun
                .map(|open| (open.kept as u64, open.unit.count))
                .reduce(|(kept, trials), (more, of)| (kept + more, trials + of));
            return Ok(outcome);
        }
        together = subject.evaluator.together().max(1);
        let taken = work.take(together);
        let of: Vec<(usize, &PlannedCell)> =
            taken.iter().map(|drawn| (drawn.unit, work.unit_of(drawn).cell)).collect();
        let numbered = taken.into_iter().map(|drawn| (drawn.number, drawn.trial)).collect();
        let (new, failed) = subject.evaluation.records_before_error(numbered, subject.evaluator);
        done += new.len() as u64;
        let without_record = of.get(new.len()).map(|(_, cell)| *cell);
        for (record, (unit, _)) in new.into_iter().zip(of) {
            work.add(unit, record);
        }
        let parts: Vec<(&PlannedCell, Part)> = work
            .finished()
            .into_iter()
            .map(|open| (open.cell, part(open.cell, open.unit.first, subject, open.records)))
            .collect();
        let written: Result<Vec<_>, StoreError> =
            parts.par_iter().map(|(_, part)| store.write(part)).collect();
        outcome.set_aside.extend(written?.into_iter().flatten());
        outcome.computed += parts.len();
        outcome.left -= parts.len();
        let last = parts.last().map(|(cell, _)| *cell);
        parts.iter().for_each(|(_, part)| stops.know(part));

        if let (Some(error), Some(cell)) = (failed, without_record) {
            keep(store, &mut work, subject)?;
            return Err(RunError::evaluator(&cell.spec, error));
        }
        let unkept = work.open_units().map(|open| (open.records.len() - open.kept) as u64).sum();
        let cell = last.or(work.first().map(|open| open.cell)).expect("a trial was taken from a unit");
        on_progress(Progress { done, total, units: outcome.computed, unkept, cell });
    }
}

/// Returns true if a unit can be begun beside those in work, which are of its network. Units with the same trials are in work
/// together if trials see blocks of the images, and a stop rule needs the results of the cell's units before this one.
fn fits(manifest: &Manifest, work: &Work<'_>, unit: &Unit) -> bool {
    let same_trials = || work.first().is_some_and(|open| open.unit.first == unit.first);
    let more = work.all_drawn() || manifest.images_per_trial().is_some() && same_trials();
    more && (manifest.stop.is_none() || !work.has(&unit.cell))
}

/// Writes the finished trials of the units in work to the disk.
fn keep(store: &Store, work: &mut Work<'_>, subject: &NetworkUnderTest<'_>) -> Result<(), StoreError> {
    for OpenUnit { unit, cell, records, kept, .. } in work.open_units() {
        if records.len() > *kept {
            store.keep(&part(cell, unit.first, subject, records.clone()))?;
            *kept = records.len();
        }
    }
    Ok(())
}

fn part(cell: &PlannedCell, first: u64, subject: &NetworkUnderTest<'_>, trials: Vec<TrialRecord>) -> Part {
    Part {
        cell: cell.spec.clone(),
        first,
        clean_correct: subject.evaluation.clean_correct(),
        clean_scores: subject.evaluation.clean_scores().to_vec(),
        trials,
    }
}

/// Computes one trial of a cell and compares it with the result of other processes, and an evaluator that is not known to be
/// deterministic with itself.
fn compare_canary<'a>(
    store: &Store,
    cell: &PlannedCell,
    memories: &Memories<'a>,
    subjects: &mut [NetworkUnderTest<'a>],
) -> Result<(), RunError> {
    let (memory, subject) = memories.of(&cell.spec, subjects)?;
    let subject = &mut subjects[subject];
    let cell_trials = CellTrials::new(memory, &cell.spec).map_err(|e| RunError::of(&cell.spec, e))?;
    let trusted = subject.evaluator.is_deterministic();
    let changed = |number: &u64| !cell_trials.trial(*number).changes.is_empty();
    let searched = if trusted { 0 } else { store.manifest().trials.min(SEARCHED) };
    let tested = (0..searched).find(changed);
    let number = tested.unwrap_or(0);
    let mut evaluate = || {
        let trials = vec![cell_trials.trial(number)];
        let records = subject.evaluation.records(number, trials, subject.evaluator);
        records.map_err(|error| RunError::evaluator(&cell.spec, error))
    };
    let records = evaluate()?;
    if tested.is_none() {
        return Ok(store.compare_canary(&part(cell, number, subject, records))?);
    }
    let trial = format!("trial {number} of cell {} ({})", cell.id, cell.spec.label());
    let again = evaluate()?;
    let equal = records == again;
    let evidence = match equal {
        true => format!("{trial} gave equal outputs in two evaluations"),
        false => format!("{trial} gave other outputs in a second evaluation in the same process"),
    };
    store.note_determinism(&Determinism::new(equal, evidence))?;
    let canary = part(cell, number, subject, records);
    match store.compare_canary(&canary) {
        Err(StoreError::Contradiction { outputs_only: true, .. }) => {
            let evidence = format!("{trial} gave other outputs in another process");
            Ok(store.note_determinism(&Determinism::new(false, evidence))?)
        }
        compared => Ok(compared?),
    }
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

/// The stored networks by network and protection, each with the number of its subject; made at the first request.
struct Memories<'a>(BTreeMap<(SharedText, ProtectionName), OnceCell<(StoredNetwork<'a>, usize)>>);

impl<'a> Memories<'a> {
    /// Place for the memories of all cells.
    fn of_cells(cells: &[PlannedCell]) -> Self {
        let key = |cell: &PlannedCell| (cell.spec.network.clone(), cell.spec.protection.clone());
        Self(cells.iter().map(|cell| (key(cell), OnceCell::new())).collect())
    }

    /// Returns the memory and the number of the subject of a cell.
    fn of(
        &self,
        spec: &CellSpec,
        subjects: &[NetworkUnderTest<'a>],
    ) -> Result<(&StoredNetwork<'a>, usize), RunError> {
        let place = &self.0[&(spec.network.clone(), spec.protection.clone())];
        let (memory, subject) = match place.get() {
            Some(made) => made,
            None => {
                let made = Self::made(spec, subjects)?;
                place.get_or_init(|| made)
            }
        };
        Ok((memory, *subject))
    }

    fn made(
        spec: &CellSpec,
        subjects: &[NetworkUnderTest<'a>],
    ) -> Result<(StoredNetwork<'a>, usize), RunError> {
        let subject = subjects
            .iter()
            .position(|s| s.network.digest == spec.network)
            .ok_or_else(|| RunError::of(spec, format!("no network has the content hash {}", spec.network)))?;
        let network = subjects[subject].network;
        let protection = network.protection(&spec.protection).map_err(|e| RunError::of(spec, e))?;
        let sees = [spec.evaluation.images_per_trial, subjects[subject].evaluation.images_per_trial()];
        if sees[0] != sees[1] {
            let [planned, given] = sees.map(|images| images.map_or("all".into(), |n| n.to_string()));
            let reason = format!("the evaluation gives a trial {given} images, expected {planned}");
            return Err(RunError::of(spec, reason));
        }
        let memory = StoredNetwork::new(network, protection);
        Ok((memory.map_err(|e| RunError::of(spec, e))?, subject))
    }
}

/// Finished units that this process knows, from which it decides by the plan's stop rule which cells have ended.
struct Stops<'a> {
    store: &'a Store,
    known: BTreeMap<Unit, FinishedUnit>,
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
                self.known.insert(earlier, FinishedUnit::of(&part, manifest.stop));
            }
        }
        // The unit itself is missing, unless the cell does not need it.
        Ok(manifest.progress(&unit.cell, &self.known).missing.is_empty())
    }

    fn know(&mut self, part: &Part) {
        let stop = self.store.manifest().stop;
        if stop.is_some() {
            self.known.insert(part.unit(), FinishedUnit::of(part, stop));
        }
    }
}
