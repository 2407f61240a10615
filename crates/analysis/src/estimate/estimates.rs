use std::collections::BTreeMap;

use design::{FaultModel, Metric, ProtectionName};
use records::{ExpectedOutcomes, TrialRow};

use crate::AnalysisError;
use crate::estimate::cell::{Cell, CellKey, ascending, cells, first_appearances, lost};
use crate::estimate::holm::holm;
use crate::estimate::lossy::LossyStorage;
use crate::estimate::measure::Measure;
use crate::estimate::summary::{CellOutcomes, CellSummary, PairedDifference, outcomes, paired, summary};

/// Largest number of scopes of one network's fault models that are shown side by side, each in a panel.
const MOST_SCOPES: usize = 4;

/// Everything that is estimated from the trials of one experiment: by the accuracy, or by one metric if an evaluator scored
/// the network.
///
/// Models, fault models and protections come in order of first appearance in the rows (the plan's
/// order), rates ascend.
#[derive(Clone, Debug)]
pub struct Estimates {
    pub(crate) cells: Vec<Cell>,
    /// Protections in plan order.
    pub(crate) protections: Vec<ProtectionName>,
    pub(crate) measure: Measure,
    /// Networks and protections that change weights by storing them.
    pub(crate) lossy: Vec<LossyStorage>,
    pub(crate) summaries: Vec<CellSummary>,
    outcomes: Vec<CellOutcomes>,
    paired: Vec<PairedDifference>,
}

impl Estimates {
    /// Checks and analyses the trials.
    ///
    /// A trial that is recorded twice with equal content counts once.
    ///
    /// # Errors
    /// Without trials; when a rate or a count is impossible; when a trial is recorded twice with
    /// different content; when trials have different metrics, or a score is missing or infinite; when the trials of a cell are
    /// of different cells; when those of a model
    /// differ in data set, number of images or seed, or those of a model and protection in stored
    /// bits or fault-free accuracy. Each error names the cells.
    ///
    /// # Cost
    /// 10,000 resamples of every cell and pair: about 20 ms for 1,000 trials on one core.
    pub fn from_rows(rows: &[TrialRow]) -> Result<Self, AnalysisError> {
        let cells = cells(rows)?;
        let metric = cells[0].trials[0].metrics.first();
        Ok(Self {
            protections: first_appearances(rows, |r| &r.protection).into_iter().cloned().collect(),
            summaries: cells.iter().map(summary).collect(),
            outcomes: cells.iter().map(outcomes).collect(),
            paired: pairs(&cells),
            measure: metric.cloned().map_or(Measure::Accuracy, Measure::Score),
            lossy: Vec::new(),
            cells,
        })
    }

    /// Sets the measure that tables and figures name: [`Measure::Accuracy`] or [`Measure::Agreement`]. Estimates of scores
    /// keep their metric.
    pub fn with_measure(mut self, measure: Measure) -> Self {
        if self.measure.metric().is_none() {
            self.measure = measure;
        }
        self
    }

    /// The measure that tables and figures name: the first metric if trials have scores.
    pub fn measure(&self) -> &Measure {
        &self.measure
    }

    /// Metrics of the trials; none if images are counted.
    pub fn metrics(&self) -> &[Metric] {
        &self.cells[0].trials[0].metrics
    }

    /// Estimates from the same trials by each metric after the first, in order; none if images are counted.
    pub fn further(&self) -> impl Iterator<Item = Self> {
        let metrics = self.metrics();
        (1..metrics.len()).map(move |place| {
            let of_metric = |cell: &Cell| Cell { metric: Some(place), ..cell.clone() };
            let cells: Vec<Cell> = self.cells.iter().map(of_metric).collect();
            let mut estimates = Self {
                protections: self.protections.clone(),
                measure: Measure::Score(metrics[place].clone()),
                lossy: self.lossy.clone(),
                summaries: cells.iter().map(summary).collect(),
                outcomes: self.outcomes.clone(),
                paired: pairs(&cells),
                cells,
            };
            estimates.value_lossy();
            estimates
        })
    }

    /// Digits after the point of a score in texts: four of the smallest fault-free score that is not 0.
    pub(crate) fn decimals(&self) -> usize {
        let sizes = |get: fn(&CellSummary) -> f64| {
            let sizes = self.summaries.iter().map(move |summary| get(summary).abs());
            sizes.filter(|size| *size > 0.0).min_by(f64::total_cmp)
        };
        let size = sizes(|summary| summary.clean).or_else(|| sizes(|summary| summary.mean));
        (3.0 - size.unwrap_or(1.0).log10().floor()).clamp(0.0, 12.0) as usize
    }

    /// Adds to the outcomes of each cell the expected counts of an ordinary trial. Cells that draw only changed trials
    /// stay without.
    pub fn with_expected(mut self, expected: &[ExpectedOutcomes]) -> Self {
        for (cell, outcomes) in self.cells.iter().zip(&mut self.outcomes).filter(|(_, o)| !o.changed_only) {
            outcomes.expected = expected.iter().find(|e| cell.trials[0].cell == e.cell.as_str()).cloned();
        }
        self
    }

    /// Adds the cost of storing alone for these networks and protections. Where it was not measured, a trial in which
    /// every word read back right gives it, at rate 0 or at any other; without such a trial it stays unknown.
    ///
    /// # Errors
    /// When such trials differ from each other, or from the measured number.
    pub fn with_lossy(mut self, storages: Vec<LossyStorage>) -> Result<Self, AnalysisError> {
        for storage in storages {
            self.lossy.extend(storage.checked(&self.cells)?);
        }
        self.value_lossy();
        Ok(self)
    }

    fn value_lossy(&mut self) {
        for (summary, cell) in self.summaries.iter_mut().zip(&self.cells) {
            let CellKey { model, protection, .. } = &summary.key;
            if let Some(storage) = self.lossy.iter().find(|storage| storage.is_of(model, protection)) {
                summary.fault_free = storage.value(&self.cells).map(|value| cell.unit_of_set().shown(value));
            }
        }
    }

    /// True if a protection may change the weights of a network by storing them.
    pub(crate) fn is_lossy(&self, model: &str, protection: &ProtectionName) -> bool {
        self.lossy.iter().any(|storage| storage.is_of(model, protection))
    }

    /// Two statements: some cell, and every cell, draws only trials in which some stored word reads back wrong.
    pub(crate) fn has_changed_trials(&self) -> (bool, bool) {
        let mut changed = self.summaries.iter().map(|s| s.changed_probability.is_some());
        (changed.clone().any(|c| c), changed.all(|c| c))
    }

    /// True if each trial sees a block of the evaluation set.
    pub(crate) fn has_drawn_images(&self) -> bool {
        self.cells.iter().any(|cell| cell.trials[0].images_per_trial.is_some())
    }

    /// True if a fault model was swept over more tensors or bits than can be shown as one curve each.
    pub(crate) fn is_swept(&self) -> bool {
        let mut scopes: BTreeMap<&str, Vec<&FaultModel>> = BTreeMap::new();
        let confined = self.cells.iter().map(|c| &c.key).filter(|key| !key.fault_model.scope.is_whole());
        for CellKey { model, fault_model, .. } in confined {
            let scopes = scopes.entry(model).or_default();
            if !scopes.contains(&fault_model) {
                scopes.push(fault_model);
            }
            if scopes.len() > MOST_SCOPES {
                return true;
            }
        }
        false
    }

    /// Models and fault models to show side by side; in a sweep only those that are not confined to a tensor or bit.
    pub fn panels(&self) -> Vec<(&str, &FaultModel)> {
        let swept = self.is_swept();
        let shown = |(_, fault_model): &(&str, &FaultModel)| !swept || fault_model.scope.is_whole();
        panels(&self.cells).into_iter().filter(shown).collect()
    }

    /// Accuracy, or score, of every cell.
    pub fn summaries(&self) -> &[CellSummary] {
        &self.summaries
    }

    /// Outcomes of decoding in every cell.
    pub fn outcomes(&self) -> &[CellOutcomes] {
        &self.outcomes
    }

    /// Every two protections of a model under the same faults, first and second in plan order. Two
    /// cells without a common trial are not listed, nor cells that draw only changed trials.
    pub fn paired(&self) -> &[PairedDifference] {
        &self.paired
    }

    /// The trial that lost most; the first one of several.
    pub fn worst_trial(&self) -> &TrialRow {
        let trials = self.cells.iter().flat_map(|cell| cell.trials.iter());
        // `max_by` would return the last one of several.
        trials.min_by(|a, b| self.lost(b).total_cmp(&self.lost(a))).expect("estimates are of trials")
    }

    /// Drop of a trial in points, or in the unit of the metric.
    pub(crate) fn lost(&self, trial: &TrialRow) -> f64 {
        lost(trial, self.cells[0].metric)
    }
}

fn pairs(cells: &[Cell]) -> Vec<PairedDifference> {
    let mut all: Vec<PairedDifference> = Vec::new();
    for (model, fault_model) in panels(cells) {
        let panel: Vec<&Cell> =
            cells.iter().filter(|c| c.key.model == model && c.key.fault_model == *fault_model).collect();
        for rate in ascending(panel.iter().map(|c| c.key.rate)) {
            let alike: Vec<&Cell> = panel.iter().copied().filter(|c| c.key.rate == rate).collect();
            for (i, first) in alike.iter().enumerate() {
                all.extend(alike[i + 1..].iter().filter_map(|second| paired(first, second)));
            }
        }
    }
    let corrected = holm(&all.iter().map(|pair| pair.sign_test_p).collect::<Vec<_>>());
    all.iter_mut().zip(corrected).for_each(|(pair, corrected)| pair.sign_test_p_corrected = corrected);
    all
}

/// Models and fault models that have cells, in order.
fn panels(cells: &[Cell]) -> Vec<(&str, &FaultModel)> {
    let mut panels: Vec<(&str, &FaultModel)> = Vec::new();
    for cell in cells {
        let panel = (cell.key.model.as_str(), &cell.key.fault_model);
        if !panels.contains(&panel) {
            panels.push(panel);
        }
    }
    panels
}
