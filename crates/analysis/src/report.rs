use std::collections::{BTreeMap, BTreeSet};

use design::FaultModel;
use records::{ExpectedOutcomes, TrialRow};

use crate::AnalysisError;
use crate::cell::{Cell, CellKey, ascending, cells, first_appearances};
use crate::escape::line;
use crate::estimate::{CellOutcomes, CellSummary, PairedDifference, outcomes, paired, summary};
use crate::lossy::LossyStorage;
use crate::rate::common_name;

/// What the records count as correct.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Measure {
    /// Images whose prediction is the label.
    #[default]
    Accuracy,
    /// Images whose prediction is that of the fault-free network, for images without labels: 100 % without
    /// faults. A drop is then the share of images on which faults change the prediction (SDC rate).
    Agreement,
}

impl Measure {
    /// One word, for file and column names: `accuracy` or `agreement`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Agreement => "agreement",
        }
    }

    /// For titles and axes.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "top-1 accuracy",
            Self::Agreement => "agreement with the fault-free network",
        }
    }
}

/// Scopes of fault models of one network that are shown side by side, each in a panel.
const MOST_SCOPES: usize = 4;

/// Everything that is estimated from the trials of one experiment.
///
/// Models, fault models and protections come in order of first appearance in the rows (the plan's
/// order), rates ascend.
#[derive(Clone, Debug)]
pub struct Report {
    pub(crate) cells: Vec<Cell>,
    /// Protections in plan order.
    pub(crate) protections: Vec<String>,
    pub(crate) measure: Measure,
    /// The networks and protections that lose by storing.
    pub(crate) lossy: Vec<LossyStorage>,
    pub(crate) summaries: Vec<CellSummary>,
    outcomes: Vec<CellOutcomes>,
    paired: Vec<PairedDifference>,
}

impl Report {
    /// Checks and analyses the trials.
    ///
    /// A trial that is recorded twice alike counts once.
    ///
    /// # Errors
    /// Without trials; when a rate or a count is impossible; when a trial is recorded twice with
    /// different content; when the trials of a cell are of different cells; when those of a model
    /// differ in data set, number of images or seed, or those of a model and protection in stored
    /// bits or fault-free accuracy. Each error names the cells.
    ///
    /// # Cost
    /// 10,000 resamples of every cell and pair: about 20 ms for 1,000 trials on one core.
    pub fn from_rows(rows: &[TrialRow]) -> Result<Self, AnalysisError> {
        let cells = cells(rows)?;
        let owned = |names: Vec<&str>| names.into_iter().map(String::from).collect();
        Ok(Self {
            protections: owned(first_appearances(rows, |r| r.protection.as_str())),
            summaries: cells.iter().map(summary).collect(),
            outcomes: cells.iter().map(outcomes).collect(),
            paired: pairs(&cells),
            measure: Measure::default(),
            lossy: Vec::new(),
            cells,
        })
    }

    /// The same report, whose tables and figure say what was measured; [`Measure::Accuracy`] unless set here.
    pub fn with_measure(self, measure: Measure) -> Self {
        Self { measure, ..self }
    }

    /// The same report, whose table of outcomes shows beside the sums what was to be expected of ordinary trials. Cells
    /// that draw only changed trials are left as they are.
    pub fn with_expected(mut self, expected: &[ExpectedOutcomes]) -> Self {
        for (cell, outcomes) in self.cells.iter().zip(&mut self.outcomes).filter(|(_, o)| !o.changed_only) {
            outcomes.expected = expected.iter().find(|e| e.cell.as_str() == cell.trials[0].cell).cloned();
        }
        self
    }

    /// Whether some cell, or every cell, draws only trials in which some stored word reads back wrong.
    pub(crate) fn has_changed_trials(&self) -> (bool, bool) {
        let mut changed = self.summaries.iter().map(|s| s.changed_probability.is_some());
        (changed.clone().any(|c| c), changed.all(|c| c))
    }

    /// True if a fault model was swept over so many tensors or bits that curves of each would be unreadable.
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

    /// The models and fault models to show side by side: of a sweep only those that are not confined.
    pub(crate) fn panels(&self) -> Vec<(&str, &FaultModel)> {
        let swept = self.is_swept();
        let shown = |(_, fault_model): &(&str, &FaultModel)| !swept || fault_model.scope.is_whole();
        panels(&self.cells).into_iter().filter(shown).collect()
    }

    /// What all rates are: `bit error rate`, or `rate` where some are something else.
    pub(crate) fn rate_name(&self) -> &'static str {
        common_name(self.cells.iter().map(|cell| &cell.key.fault_model))
    }

    /// Accuracy of every cell.
    pub fn summaries(&self) -> &[CellSummary] {
        &self.summaries
    }

    /// What the protections did in every cell.
    pub fn outcomes(&self) -> &[CellOutcomes] {
        &self.outcomes
    }

    /// Every two protections of a model under the same faults, first and second in plan order. Two
    /// cells without a common trial are not listed, nor cells that draw only changed trials.
    pub fn paired(&self) -> &[PairedDifference] {
        &self.paired
    }

    /// The conditions in one line: models, data sets, images, trials, fault models, seeds.
    pub fn conditions(&self) -> String {
        let trials = self.cells.iter().flat_map(|c| &c.trials);
        let images: BTreeSet<u64> = trials.clone().map(|r| r.images).collect();
        let seeds: BTreeSet<u64> = trials.map(|r| r.seed).collect();
        let counts: BTreeSet<usize> = self.cells.iter().map(|c| c.trials.len()).collect();
        let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
        let changed = match self.has_changed_trials() {
            (_, true) => ", only changed ones",
            (true, _) => ", in some cells only changed ones",
            _ => "",
        };
        let rows = |get: fn(&Cell) -> &str| first_appearances(&self.cells, get).join(", ");
        let faults = match self.is_swept() {
            false => listed(&first_appearances(&self.cells, |c| &c.key.fault_model)),
            true => {
                let kinds = first_appearances(&self.cells, |c| &c.key.fault_model.kind);
                listed(&kinds) + ", in one tensor or bit at a time"
            }
        };
        let conditions = [
            rows(|c| c.key.model.as_str()),
            format!("{}, {} images", rows(|c| c.trials[0].data_set.as_str()), range(&images)),
            format!("trials a cell: {}{changed}", range(&counts)),
            format!("faults: {faults}"),
            format!("seed {}", seeds.join(", ")),
        ];
        line(&conditions.join(" · ")).into_owned()
    }
}

/// `a, b, c`.
fn listed<T: ToString>(values: &[T]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// `7`, or `3 to 7`.
fn range<T: std::fmt::Display + Ord>(values: &BTreeSet<T>) -> String {
    match (values.first(), values.last()) {
        (Some(low), Some(high)) if low != high => format!("{low} to {high}"),
        (Some(only), _) => only.to_string(),
        _ => unreachable!("a report has cells"),
    }
}

fn pairs(cells: &[Cell]) -> Vec<PairedDifference> {
    let mut all = Vec::new();
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
