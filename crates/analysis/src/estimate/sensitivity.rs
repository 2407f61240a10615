//! Sensitivity of the network to faults in one tensor or bit.

use records::NetworkEntry;

use crate::estimate::cell::CellKey;
use crate::estimate::estimates::Estimates;
use crate::estimate::interval::Interval;
use crate::estimate::measure::Measure;

/// The cells of a sweep over tensors or bits, as rankings: one for each model, fault model, protection and rate.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensitivity {
    pub(crate) rankings: Vec<Ranking>,
    pub(crate) measure: Measure,
    /// Digits after the point of a score.
    pub(crate) decimals: usize,
}

/// Tensors and bits under equal conditions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ranking {
    /// The conditions; the fault model is without its scope.
    pub(crate) key: CellKey,
    /// In plan order: tensors in memory order, bits ascending.
    pub(crate) entries: Vec<Entry>,
    /// Drop in points or in the unit of the metric by storing alone, which every drop includes; `None` if the protection is lossless, `Some(None)` if it
    /// was not measured.
    pub(crate) storing: Option<Option<f64>>,
}

impl Ranking {
    /// Entries with the key and their ranks, the most sensitive first.
    pub(crate) fn ranked(&self) -> impl Iterator<Item = (&CellKey, u64, &Entry)> {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        // Stable: equals stay in plan order.
        entries.sort_by(|a, b| b.mean_drop.total_cmp(&a.mean_drop));
        (1..).zip(entries).map(|(rank, entry)| (&self.key, rank, entry))
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// The tensor; `None` stands for all tensors.
    pub(crate) tensor: Option<String>,
    /// Position of the bit in its byte; `None` stands for all bits, check bits included.
    pub(crate) bit: Option<u8>,
    /// Weights of the tensor or, without one, of the network; absent if unknown.
    pub(crate) weights: Option<u64>,
    pub(crate) trials: u64,
    /// Flipped bits in all trials.
    pub(crate) flips: u64,
    pub(crate) mean_drop: f64,
    pub(crate) interval: Interval,
}

impl Entry {
    /// Points, or units of the metric, lost, divided by flipped bits; absent if none flipped.
    pub(crate) fn drop_per_flip(&self) -> Option<f64> {
        (self.flips > 0).then(|| self.mean_drop * self.trials as f64 / self.flips as f64)
    }
}

impl Sensitivity {
    /// The confined cells of a report, if there are more than a few scopes; empty otherwise. `networks` know the sizes of
    /// tensors.
    pub fn new(estimates: &Estimates, networks: &[NetworkEntry]) -> Self {
        let mut rankings: Vec<Ranking> = Vec::new();
        let cells = estimates.cells.iter().zip(estimates.summaries()).zip(estimates.outcomes());
        for ((cell, summary), outcomes) in cells.filter(|_| estimates.is_swept()) {
            let scope = &cell.key.fault_model.scope;
            if scope.is_whole() {
                continue;
            }
            let key = CellKey { fault_model: cell.key.fault_model.unscoped(), ..cell.key.clone() };
            let weights = match &scope.tensor {
                None => Some(cell.trials[0].weights),
                Some(name) => networks
                    .iter()
                    .find(|network| network.label == key.model)
                    .and_then(|network| network.tensors.iter().find(|tensor| tensor.name == *name))
                    .map(|tensor| tensor.weights),
            };
            let entry = Entry {
                tensor: scope.tensor.as_ref().map(ToString::to_string),
                bit: scope.bit,
                weights,
                trials: summary.trials,
                flips: outcomes.flips_data + outcomes.flips_check,
                mean_drop: summary.drop.mean,
                interval: summary.drop.interval,
            };
            match rankings.iter_mut().find(|ranking| ranking.key == key) {
                Some(ranking) => ranking.entries.push(entry),
                None => {
                    let cost = summary.fault_free.map(|value| estimates.measure.loss(summary.clean, value));
                    let storing = estimates.is_lossy(&key.model, &key.protection).then_some(cost);
                    rankings.push(Ranking { key, entries: vec![entry], storing });
                }
            }
        }
        // Cells come with rates inside protections inside fault models, and so with each scope in turn.
        rankings.sort_by(|a, b| {
            let place = |key: &CellKey| {
                let protection = estimates.protections.iter().position(|id| *id == key.protection);
                let model = estimates.cells.iter().position(|cell| cell.key.model == key.model);
                let faults = estimates.cells.iter().position(|cell| {
                    cell.key.model == key.model && cell.key.fault_model.unscoped() == key.fault_model
                });
                (model, faults, protection)
            };
            place(&a.key).cmp(&place(&b.key)).then(a.key.rate.total_cmp(&b.key.rate))
        });
        Self { rankings, measure: estimates.measure.clone(), decimals: estimates.decimals() }
    }

    /// True if nothing was swept.
    pub fn is_empty(&self) -> bool {
        self.rankings.is_empty()
    }
}
