//! The rows of `trials.parquet`, read part by part in plan order.

use std::collections::VecDeque;
use std::iter;

use rayon::prelude::*;

use crate::table::TableForm;
use crate::{FinishedUnit, Manifest, Part, Store, StoreError, TableError, TrialRow, Unit};

/// Approximate number of trials whose parts are read together, by all threads.
const TRIALS_TOGETHER: u64 = 1 << 15;

/// The reason for which a merge ended early.
pub(crate) enum MergeError {
    /// A needed unit is missing, or its part does not count.
    Incomplete,
    /// The file system refused, or the table cannot be written.
    Store(StoreError),
}

impl From<TableError> for MergeError {
    fn from(error: TableError) -> Self {
        Self::Store(error.into())
    }
}

/// Rows of all trials that count, in plan order.
pub(crate) struct MergedRows<'a> {
    store: &'a Store,
    /// Units that are not read, in plan order, each with the place of its cell.
    unread: Box<dyn Iterator<Item = (usize, Unit)> + Send + 'a>,
    /// Parts that are read.
    read: VecDeque<(usize, Unit, Result<Option<Part>, StoreError>)>,
    /// Rows of the current part.
    rows: Box<dyn Iterator<Item = TrialRow> + Send>,
    /// Trials of the current cell.
    seen: FinishedUnit,
    /// The last cell that the stop rule ended.
    ended: Option<usize>,
    merged: u64,
    on_progress: &'a mut (dyn FnMut(u64) + Send),
}

impl<'a> MergedRows<'a> {
    pub(crate) fn of(store: &'a Store, on_progress: &'a mut (dyn FnMut(u64) + Send)) -> Self {
        let cells = store.manifest().cells.iter().enumerate();
        let units = cells
            .flat_map(|(place, cell)| store.manifest().units_of(&cell.id).map(move |unit| (place, unit)));
        Self {
            store,
            unread: Box::new(units),
            read: VecDeque::new(),
            rows: Box::new(iter::empty()),
            seen: FinishedUnit::default(),
            ended: None,
            merged: 0,
            on_progress,
        }
    }

    /// The form of the table.
    pub(crate) fn form(&self) -> TableForm {
        let manifest = self.store.manifest();
        TableForm {
            changed: manifest.cells.iter().any(|cell| cell.spec.changed_probability.is_some()),
            metrics: manifest.metrics().into(),
            blocks: manifest.images_per_trial().is_some(),
        }
    }

    /// Reads the next parts; returns false if there are none.
    fn read_on(&mut self) -> bool {
        let (mut units, mut trials) = (Vec::new(), 0);
        while trials < TRIALS_TOGETHER
            && let Some((place, unit)) = self.unread.next()
        {
            if self.ended != Some(place) {
                trials += unit.count;
                units.push((place, unit));
            }
        }
        let store = self.store;
        let read = |(place, unit): (usize, Unit)| (place, unit, store.read(&unit));
        self.read = units.into_par_iter().map(read).collect::<Vec<_>>().into();
        !self.read.is_empty()
    }

    /// Takes the rows of a part.
    fn take(&mut self, place: usize, unit: Unit, part: Part) {
        let manifest: &Manifest = self.store.manifest();
        if unit.first == 0 {
            self.seen = FinishedUnit::default();
        }
        if manifest.stop.is_some() {
            self.seen.join(&FinishedUnit::of(&part, manifest.stop));
        }
        if manifest.ends_with(&unit, &self.seen) {
            self.ended = Some(place);
        }
        (self.on_progress)(self.merged);
        self.merged += unit.count;
        // The part's labels are those of its first writing; the plan's are the ones to show.
        let Part { clean_correct, clean_scores, trials, .. } = part;
        let rows = TrialRow::of_trials(&manifest.cells[place], clean_correct, &clean_scores, trials);
        self.rows = Box::new(rows);
    }
}

impl Iterator for MergedRows<'_> {
    type Item = Result<TrialRow, MergeError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.rows.next() {
                return Some(Ok(row));
            }
            match self.read.pop_front() {
                Some((place, ..)) if self.ended == Some(place) => {}
                Some((place, unit, Ok(Some(part)))) => self.take(place, unit, part),
                Some((.., Ok(None))) => return Some(Err(MergeError::Incomplete)),
                Some((.., Err(error))) => return Some(Err(MergeError::Store(error))),
                None if self.read_on() => {}
                None => return None,
            }
        }
    }
}
