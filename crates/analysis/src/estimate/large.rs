//! Estimates of a run with too many cells or trials to hold them all: cell by cell, with the same statistics.

use std::collections::{HashMap, HashSet};

use design::{FaultModel, ProtectionName, SharedText};
use records::TrialRow;

use crate::AnalysisError;
use crate::estimate::cell::{Cell, CellKey, check_values};
use crate::estimate::measure::Measure;
use crate::estimate::summary::{CellSummary, DropStatistics, outcomes, summary, summary_without_interval};

/// Cells above which a run has the report of a large run.
const MOST_CELLS: u64 = 1 << 14;

/// Trials above which a run has the report of a large run.
const MOST_TRIALS: u64 = 1 << 20;

/// Cells with the largest mean drops, which have intervals.
const WORST: usize = 40;

/// Trials above which such a cell has no interval: its trials are not kept, and a standard error then says enough.
const MOST_KEPT: usize = 1 << 13;

/// A cell of a large run.
#[derive(Clone, Debug)]
pub(crate) struct LargeCell {
    pub(crate) id: SharedText,
    pub(crate) model: SharedText,
    pub(crate) protection: ProtectionName,
    pub(crate) fault_model: FaultModel,
    pub(crate) rate: f64,
    pub(crate) changed_probability: Option<f64>,
    pub(crate) trials: u64,
    pub(crate) clean: f64,
    /// Statistics of the drops; the interval is absent.
    pub(crate) drop: DropStatistics,
    pub(crate) flips: u64,
    pub(crate) detected: u64,
    pub(crate) miscorrected: u64,
    pub(crate) silent: u64,
    pub(crate) unchanged: u64,
}

/// Everything that is estimated from the trials of a large run. Memory grows with the number of cells, by some 700 bytes each,
/// and not with the number of trials.
#[derive(Debug)]
pub struct LargeEstimates {
    pub(crate) cells: Vec<LargeCell>,
    pub(crate) measure: Measure,
    /// Summaries of the cells with the largest mean drops, the largest first.
    pub(crate) worst: Vec<CellSummary>,
    worst_trial: (SharedText, u64),
}

/// Collects the cells of a large run.
#[derive(Debug)]
pub struct LargeEstimator {
    measure: Measure,
    cells: Vec<LargeCell>,
    ids: HashSet<SharedText>,
    /// Cells with the largest mean drops so far, the largest first.
    worst: Vec<Worst>,
}

/// One of the cells with the largest mean drops.
#[derive(Debug)]
struct Worst {
    id: SharedText,
    /// Summary without an interval.
    summary: CellSummary,
    /// The first trial that loses most.
    trial: u64,
    /// The trials, for an interval; `None` if they are too many.
    cell: Option<Cell>,
}

impl LargeEstimates {
    /// Returns true if a run is reported in this way.
    pub fn are_of(cells: u64, trials: u64) -> bool {
        cells > MOST_CELLS || trials > MOST_TRIALS
    }

    /// Cell and number of the trial that a report replays: the worst of the cell with the largest mean drop.
    pub fn worst_trial(&self) -> (&str, u64) {
        (&self.worst_trial.0, self.worst_trial.1)
    }

    /// Number of cells and of trials.
    pub fn size(&self) -> (u64, u64) {
        (self.cells.len() as u64, self.trials())
    }

    /// Number of trials.
    pub(crate) fn trials(&self) -> u64 {
        self.cells.iter().map(|cell| cell.trials).sum()
    }

    /// Groups the cells by a property, in order of first appearance.
    pub(crate) fn groups<K: Eq + std::hash::Hash>(&self, of: impl Fn(&LargeCell) -> K) -> Vec<(K, Group)> {
        let mut places: HashMap<K, usize> = HashMap::new();
        let mut groups: Vec<Vec<&LargeCell>> = Vec::new();
        for cell in &self.cells {
            let place = *places.entry(of(cell)).or_insert(groups.len());
            if place == groups.len() {
                groups.push(Vec::new());
            }
            groups[place].push(cell);
        }
        let mut named: Vec<(K, usize)> = places.into_iter().collect();
        named.sort_by_key(|(_, place)| *place);
        named.into_iter().map(|(key, place)| (key, Group::of(&groups[place]))).collect()
    }
}

/// Cells that share a property. Every cell has the same weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Group {
    pub(crate) cells: u64,
    pub(crate) trials: u64,
    /// Mean of the cells' mean drops.
    pub(crate) mean: f64,
    /// Median of the cells' mean drops.
    pub(crate) median: f64,
    /// Smallest mean drop that 95 % of the cells do not exceed.
    pub(crate) percentile_95: f64,
    /// Largest mean drop.
    pub(crate) largest: f64,
    /// Trials in which no weight read back changed.
    pub(crate) unchanged: u64,
}

impl Group {
    fn of(cells: &[&LargeCell]) -> Self {
        let mut means: Vec<f64> = cells.iter().map(|cell| cell.drop.mean).collect();
        means.sort_unstable_by(f64::total_cmp);
        let n = means.len();
        Self {
            cells: n as u64,
            trials: cells.iter().map(|cell| cell.trials).sum(),
            mean: means.iter().sum::<f64>() / n as f64,
            median: (means[(n - 1) / 2] + means[n / 2]) / 2.0,
            percentile_95: means[(95 * n).div_ceil(100) - 1],
            largest: means[n - 1],
            unchanged: cells.iter().map(|cell| cell.unchanged).sum(),
        }
    }
}

impl LargeEstimator {
    /// Begins with no cells. Trials with scores are valued by the measure's metric, the first.
    pub fn new(measure: Measure) -> Self {
        Self { measure, cells: Vec::new(), ids: HashSet::new(), worst: Vec::new() }
    }

    /// Adds the trials of a cell, in order of their numbers.
    ///
    /// # Errors
    /// When a rate, a count or a score is impossible, rows are of different cells, a trial is there twice, or the cell was added
    /// before.
    pub fn add(&mut self, rows: Vec<TrialRow>) -> Result<(), AnalysisError> {
        let first = rows.first().ok_or(AnalysisError::NoTrials)?;
        let key = CellKey::of(first);
        if !self.ids.insert(first.cell.clone()) {
            return Err(AnalysisError::Scattered { cell: first.cell.to_string() });
        }
        for row in &rows {
            check_values(row)?;
            let conditions = |row: &TrialRow| {
                let TrialRow { changed_probability, images, images_per_trial, clean_correct, .. } = row;
                (row.rate.to_bits(), *changed_probability, *images, *images_per_trial, *clean_correct)
            };
            let alike = row.model == first.model
                && row.protection == first.protection
                && row.fault_model == first.fault_model
                && row.clean_scores == first.clean_scores
                && conditions(row) == conditions(first);
            if !alike {
                return Err(AnalysisError::Scattered { cell: first.cell.to_string() });
            }
        }
        if let Some(pair) = rows.windows(2).find(|pair| pair[0].record.trial >= pair[1].record.trial) {
            return Err(AnalysisError::DuplicateTrial { cell: key.to_string(), trial: pair[1].record.trial });
        }
        let (id, model) = (first.cell.clone(), first.model.clone());
        let metric = (!first.metrics.is_empty()).then_some(0);
        let cell = Cell { key, trials: rows.into(), metric };
        let (summary, outcomes) = (summary_without_interval(&cell), outcomes(&cell));
        // Of equals the first stays.
        let place = self.worst.partition_point(|other| other.summary.drop.mean >= summary.drop.mean);
        if place < WORST {
            let drops = cell.drops();
            let most = drops.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let trial = drops.iter().position(|drop| *drop == most).unwrap_or(0);
            let trial = cell.trials[trial].record.trial;
            let cell = Some(cell).filter(|cell| cell.trials.len() <= MOST_KEPT);
            self.worst.insert(place, Worst { id: id.clone(), summary: summary.clone(), trial, cell });
            self.worst.truncate(WORST);
        }
        self.cells.push(LargeCell {
            id,
            model,
            protection: summary.key.protection,
            fault_model: summary.key.fault_model,
            rate: summary.key.rate,
            changed_probability: summary.changed_probability,
            trials: summary.trials,
            clean: summary.clean,
            drop: summary.drop,
            flips: outcomes.flips_data + outcomes.flips_check,
            detected: outcomes.detected,
            miscorrected: outcomes.miscorrected,
            silent: outcomes.silent,
            unchanged: outcomes.trials_unchanged,
        });
        Ok(())
    }

    /// Ends with the estimates of all cells.
    ///
    /// # Errors
    /// Without cells.
    pub fn finish(self) -> Result<LargeEstimates, AnalysisError> {
        let first = self.worst.first().ok_or(AnalysisError::NoTrials)?;
        let worst_trial = (first.id.clone(), first.trial);
        let with_interval = |worst: Worst| worst.cell.as_ref().map_or(worst.summary, summary);
        let worst = self.worst.into_iter().map(with_interval).collect();
        Ok(LargeEstimates { cells: self.cells, measure: self.measure, worst, worst_trial })
    }
}

impl LargeCell {
    /// Standard error of the mean drop; absent for a single trial.
    pub(crate) fn standard_error(&self) -> Option<f64> {
        self.drop.sd.map(|sd| sd / (self.trials as f64).sqrt())
    }
}

/// The power of ten below a rate, for grouping: -3 for 1e-3 to 9.9e-3; absent for 0.
pub(crate) fn decade(rate: f64) -> Option<i32> {
    let text = format!("{rate:e}");
    let (_, exponent) = text.split_once('e').filter(|_| rate > 0.0)?;
    exponent.parse().ok()
}
