//! Units in work: trials that are drawn ahead of their evaluation, and records that wait for the rest of their unit.
//!
//! Evaluating, recording and storing are done for many trials at once, so that every step has work for all threads. The
//! trials may be of several units and cells, but are of one network. Where units are open together, their trials are drawn in
//! order of their numbers: first trial 0 of each, then trial 1, so that trials with the same images come together.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use design::{CellId, TrialRecord};
use rayon::prelude::*;
use records::{PlannedCell, Unit};

use crate::cell_trials::fewest_for_a_thread;
use crate::{CellTrials, Trial};

/// Number of drawn trials above which no more are drawn ahead. Most of them change nothing.
const MOST_AHEAD: usize = 4096;

/// Number of flips and changed weights of the drawn trials above which no more are drawn ahead. Each takes at most 24
/// bytes.
const MOST_FLIPS_AHEAD: usize = 1 << 21;

/// Approximate number of flips and storage losses of the trials that are drawn together. Each takes at most 32 bytes,
/// including the weights that it changes.
const FLIPS_TOGETHER: f64 = (1 << 21) as f64;

/// A unit in work.
#[derive(Debug)]
pub(crate) struct OpenUnit<'m> {
    pub(crate) unit: &'m Unit,
    pub(crate) cell: &'m PlannedCell,
    trials: CellTrials<'m>,
    /// Records of its first trials.
    pub(crate) records: Vec<TrialRecord>,
    /// Number of these records that are on the disk.
    pub(crate) kept: usize,
    /// Number of trials that are recorded or drawn.
    drawn: u64,
}

/// A drawn trial without a record.
#[derive(Debug)]
pub(crate) struct DrawnTrial {
    /// Its unit, by the order in which units were opened.
    pub(crate) unit: usize,
    /// Its number in its cell.
    pub(crate) number: u64,
    pub(crate) trial: Trial,
}

impl DrawnTrial {
    fn is_changed(&self) -> bool {
        !self.trial.changes.is_empty()
    }
}

/// The units in work.
#[derive(Debug, Default)]
pub(crate) struct Work<'m> {
    /// In the order in which they were opened.
    open: BTreeMap<usize, OpenUnit<'m>>,
    /// Number of units that were opened.
    opened: usize,
    /// The drawn trials of these units that have no record yet, in order.
    ahead: VecDeque<DrawnTrial>,
    /// Number of trials in `ahead` with a changed weight.
    changed: usize,
    /// Number of flips and changed weights of the trials in `ahead`.
    flips: usize,
}

impl<'m> Work<'m> {
    /// Begins a unit with the records that exist.
    pub(crate) fn open(
        &mut self,
        unit: &'m Unit,
        cell: &'m PlannedCell,
        trials: CellTrials<'m>,
        records: Vec<TrialRecord>,
    ) {
        let kept = records.len();
        let open = OpenUnit { unit, cell, trials, records, kept, drawn: kept as u64 };
        self.open.insert(self.opened, open);
        self.opened += 1;
    }

    /// The first unit in work; those that have all their records are taken as finished.
    pub(crate) fn first(&self) -> Option<&OpenUnit<'m>> {
        self.open.values().next()
    }

    /// The units in work.
    pub(crate) fn open_units(&mut self) -> impl Iterator<Item = &mut OpenUnit<'m>> {
        self.open.values_mut()
    }

    /// The unit of a trial.
    pub(crate) fn unit_of(&self, trial: &DrawnTrial) -> &OpenUnit<'m> {
        &self.open[&trial.unit]
    }

    /// True if a unit of a cell is in work.
    pub(crate) fn has(&self, cell: &CellId) -> bool {
        self.open.values().any(|open| open.unit.cell == *cell)
    }

    /// True if all trials of the units in work are drawn.
    pub(crate) fn all_drawn(&self) -> bool {
        self.open.values().all(OpenUnit::is_drawn)
    }

    /// True if enough trials are drawn for an evaluator that takes `together` changed ones at a time.
    pub(crate) fn is_drawn(&self, together: usize) -> bool {
        self.changed >= together || self.ahead.len() >= MOST_AHEAD || self.flips >= MOST_FLIPS_AHEAD
    }

    /// Draws the next trials of the units in work, in the current rayon pool: at least one if any is left, and not more than fit
    /// into some tens of megabytes.
    pub(crate) fn draw(&mut self) {
        let (mut flips, mut chosen) = (0.0, Vec::new());
        let numbered = |(place, open): (&usize, &OpenUnit<'m>)| (open.unit.first + open.drawn, *place);
        let mut next: BTreeSet<(u64, usize)> =
            self.open.iter().filter(|(_, open)| !open.is_drawn()).map(numbered).collect();
        while chosen.len() < MOST_AHEAD
            && (chosen.is_empty() || flips < FLIPS_TOGETHER)
            && let Some((number, unit)) = next.pop_first()
        {
            let open = self.open.get_mut(&unit).expect("it is in work");
            open.drawn += 1;
            if !open.is_drawn() {
                next.insert((number + 1, unit));
            }
            flips += open.trials.flips();
            chosen.push((unit, number));
        }
        let least = fewest_for_a_thread(flips / chosen.len().max(1) as f64);
        let open = &self.open;
        let draw = |(unit, number): (usize, u64)| {
            let trial = open[&unit].trials.trial(number);
            DrawnTrial { unit, number, trial }
        };
        let new: Vec<DrawnTrial> = chosen.into_par_iter().with_min_len(least).map(draw).collect();
        self.changed += new.iter().filter(|drawn| drawn.is_changed()).count();
        self.flips += new.iter().map(|drawn| drawn.trial.flips()).sum::<usize>();
        self.ahead.extend(new);
    }

    /// Takes the next trials, of which at most `together` changed a weight.
    pub(crate) fn take(&mut self, together: usize) -> Vec<DrawnTrial> {
        let mut changed = (0..self.ahead.len()).filter(|&place| self.ahead[place].is_changed());
        let count = changed.nth(together - 1).map_or(self.ahead.len(), |last| last + 1);
        let taken: Vec<DrawnTrial> = self.ahead.drain(..count).collect();
        self.changed -= taken.iter().filter(|drawn| drawn.is_changed()).count();
        self.flips -= taken.iter().map(|drawn| drawn.trial.flips()).sum::<usize>();
        taken
    }

    /// Adds a record to the unit of its trial, which was taken. The records of a unit come in order.
    pub(crate) fn add(&mut self, unit: usize, record: TrialRecord) {
        self.open.get_mut(&unit).expect("it is in work").records.push(record);
    }

    /// Takes the units that have all their records.
    pub(crate) fn finished(&mut self) -> Vec<OpenUnit<'m>> {
        let is_whole = |open: &OpenUnit<'_>| open.records.len() as u64 == open.unit.count;
        let whole: Vec<usize> =
            self.open.iter().filter(|(_, open)| is_whole(open)).map(|(place, _)| *place).collect();
        whole.iter().filter_map(|place| self.open.remove(place)).collect()
    }
}

impl OpenUnit<'_> {
    fn is_drawn(&self) -> bool {
        self.drawn >= self.unit.count
    }
}
