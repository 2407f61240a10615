//! Units in work: trials that are drawn ahead of their evaluation, and records that wait for the rest of their unit.
//!
//! Evaluating, recording and storing are done for many trials at once, so that every step has work for all threads. The
//! trials may be of several units and cells, but are of one network.

use std::collections::VecDeque;

use design::TrialRecord;
use records::{PlannedCell, Unit};

use crate::{CellTrials, Trial};

/// Number of drawn trials above which no more are drawn ahead. Most of them change nothing.
const MOST_AHEAD: usize = 4096;

/// Number of flips and changed weights of the drawn trials above which no more are drawn ahead. Each takes at most 24
/// bytes.
const MOST_FLIPS_AHEAD: usize = 1 << 21;

/// A unit in work.
#[derive(Debug)]
pub(crate) struct OpenUnit<'m> {
    pub(crate) unit: &'m Unit,
    pub(crate) cell: &'m PlannedCell,
    /// Records of its first trials.
    pub(crate) records: Vec<TrialRecord>,
    /// Number of these records that are on the disk.
    pub(crate) kept: usize,
    /// Number of trials that are recorded or drawn.
    drawn: u64,
}

/// The units in work, in order.
#[derive(Debug, Default)]
pub(crate) struct Work<'m> {
    open: VecDeque<OpenUnit<'m>>,
    /// The drawn trials of these units that have no record yet, in order, with their numbers.
    ahead: VecDeque<(u64, Trial)>,
    /// Number of trials in `ahead` with a changed weight.
    changed: usize,
    /// Number of flips and changed weights of the trials in `ahead`.
    flips: usize,
}

impl<'m> Work<'m> {
    /// Begins a unit with the records that exist.
    pub(crate) fn open(&mut self, unit: &'m Unit, cell: &'m PlannedCell, records: Vec<TrialRecord>) {
        let kept = records.len();
        self.open.push_back(OpenUnit { unit, cell, records, kept, drawn: kept as u64 });
    }

    /// The first unit without all records; all before it are taken as finished.
    pub(crate) fn current(&mut self) -> Option<&mut OpenUnit<'m>> {
        self.open.front_mut()
    }

    /// The unit that the next trial is drawn for; `None` if all open ones are drawn.
    pub(crate) fn undrawn(&self) -> Option<&OpenUnit<'m>> {
        self.open.back().filter(|last| last.drawn < last.unit.count)
    }

    /// True if enough trials are drawn for an evaluator that takes `together` changed ones at a time.
    pub(crate) fn is_drawn(&self, together: usize) -> bool {
        self.changed >= together || self.ahead.len() >= MOST_AHEAD || self.flips >= MOST_FLIPS_AHEAD
    }

    /// Draws trials of the unit of [`Work::undrawn`]: at least one.
    pub(crate) fn draw(&mut self, trials: &CellTrials<'_>) {
        let Some(OpenUnit { unit, drawn, .. }) = self.open.back_mut() else { return };
        let first = unit.first + *drawn;
        let new = trials.trials(first, unit.count - *drawn);
        *drawn += new.len() as u64;
        self.changed += new.iter().filter(|trial| !trial.changes.is_empty()).count();
        self.flips += new.iter().map(Trial::flips).sum::<usize>();
        self.ahead.extend((first..).zip(new));
    }

    /// Takes the next trials, of which at most `together` changed a weight.
    pub(crate) fn take(&mut self, together: usize) -> Vec<(u64, Trial)> {
        let mut changed = (0..self.ahead.len()).filter(|&place| !self.ahead[place].1.changes.is_empty());
        let count = changed.nth(together - 1).map_or(self.ahead.len(), |last| last + 1);
        let taken: Vec<(u64, Trial)> = self.ahead.drain(..count).collect();
        self.changed -= taken.iter().filter(|(_, trial)| !trial.changes.is_empty()).count();
        self.flips -= taken.iter().map(|(_, trial)| trial.flips()).sum::<usize>();
        taken
    }

    /// Adds the records of the trials that were taken, in order, to their units.
    pub(crate) fn add(&mut self, records: Vec<TrialRecord>) {
        let mut records = records.into_iter();
        for OpenUnit { unit, records: own, .. } in &mut self.open {
            own.extend(records.by_ref().take(unit.count as usize - own.len()));
        }
    }

    /// Takes the units that have all their records.
    pub(crate) fn finished(&mut self) -> Vec<OpenUnit<'m>> {
        let is_whole = |open: &&OpenUnit<'_>| open.records.len() as u64 == open.unit.count;
        let count = self.open.iter().take_while(is_whole).count();
        self.open.drain(..count).collect()
    }
}
