//! Versions of one network, each under the protections that fit it, side by side: which protection costs what, and
//! what it is worth at each rate.

use design::{FaultModel, ProtectionName};
use records::NetworkEntry;

use crate::estimate::cell::{Cell, ascending, first_appearances};
use crate::estimate::estimates::Estimates;
use crate::estimate::interval::Interval;
use crate::estimate::measure::Measure;
use crate::estimate::summary::{CellOutcomes, CellSummary};

/// The families of an experiment: the networks that its plan calls versions of one.
///
/// Accuracies are compared, not drops: versions of a network differ without faults too, and what a version has lost in
/// making room for a code counts against the code.
#[derive(Clone, Debug)]
pub struct Comparison {
    pub(crate) families: Vec<Family>,
    pub(crate) measure: Measure,
    /// Digits after the point of a score.
    pub(crate) decimals: usize,
    pub(crate) fault_models: Vec<FaultModel>,
    /// True if some protection changes weights by storing them.
    pub(crate) lossy: bool,
}

/// A family under one fault model.
#[derive(Clone, Debug)]
pub(crate) struct Family {
    /// Name of the family, and the fault model if there are several.
    pub(crate) name: String,
    /// Name of the family in the plan.
    pub(crate) network: String,
    /// The fault model if there are several, else empty.
    pub(crate) title: String,
    /// True if a lower mean is better.
    lower_is_better: bool,
    /// Ascending.
    pub(crate) rates: Vec<f64>,
    /// By stored overhead, then in the plan's order.
    pub(crate) contenders: Vec<Contender>,
}

/// A protection on a version of the network.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    pub(crate) model: String,
    pub(crate) protection: ProtectionName,
    /// Check bits relative to data bits, %.
    pub(crate) overhead_percent: f64,
    /// Accuracy of the version without faults, % of images, or its score.
    pub(crate) clean: f64,
    /// Accuracy or score of the version as the protection stores it, without faults; `None` when that was not measured.
    pub(crate) fault_free: Option<f64>,
    /// Mean accuracy or score at each rate, and its 95 % interval where there is one.
    pub(crate) means: Vec<Option<Accuracy>>,
    /// Outcomes of decoding at each rate.
    pub(crate) outcomes: Vec<Option<CellOutcomes>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Accuracy {
    pub(crate) mean: f64,
    pub(crate) interval: Option<(f64, f64)>,
}

impl Family {
    /// True if no other contender at a rate is at least as accurate at no more overhead, and better in one of the two.
    pub(crate) fn is_on_front(&self, contender: &Contender, rate: usize) -> bool {
        let Some(own) = contender.means[rate] else { return false };
        !self.contenders.iter().any(|other| {
            other.means[rate].is_some_and(|accuracy| {
                let (cheaper, better) = (
                    other.overhead_percent.total_cmp(&contender.overhead_percent),
                    self.lead(accuracy.mean, own.mean).total_cmp(&0.0),
                );
                cheaper.is_le() && better.is_ge() && (cheaper.is_lt() || better.is_gt())
            })
        })
    }

    /// Returns how much better one value is than another; negative if it is worse.
    pub(crate) fn lead(&self, one: f64, other: f64) -> f64 {
        if self.lower_is_better { other - one } else { one - other }
    }

    /// Value of the best version without faults.
    pub(crate) fn best_clean(&self) -> f64 {
        let all = self.contenders.iter().map(|c| c.clean);
        all.reduce(|best, clean| if self.lead(clean, best) > 0.0 { clean } else { best }).unwrap_or(0.0)
    }
}

impl Comparison {
    /// The families that `networks` name; empty when they name none.
    pub fn new(estimates: &Estimates, networks: &[NetworkEntry]) -> Self {
        let family_of = |model: &str| networks.iter().find(|n| n.label == model)?.family.as_deref();
        let mut families: Vec<Family> = Vec::new();
        let members = estimates.summaries().iter().zip(estimates.outcomes());
        let all: Vec<Member<'_>> = estimates.cells.iter().zip(members).map(|(c, (s, o))| (c, s, o)).collect();
        let fault_models = first_appearances(&estimates.cells, |cell| &cell.key.fault_model);
        let mut names: Vec<&str> = Vec::new();
        for name in estimates.cells.iter().filter_map(|cell| family_of(&cell.key.model)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        for fault_model in &fault_models {
            for &name in &names {
                let members = all.iter().filter(|(cell, _, _)| {
                    cell.key.fault_model == **fault_model && family_of(&cell.key.model) == Some(name)
                });
                let title = if fault_models.len() == 1 { String::new() } else { fault_model.to_string() };
                families.extend(family(name, title, &estimates.measure, members.copied().collect()));
            }
        }
        Self {
            families,
            measure: estimates.measure.clone(),
            decimals: estimates.decimals(),
            fault_models: fault_models.into_iter().cloned().collect(),
            lossy: !estimates.lossy.is_empty(),
        }
    }

    /// True if no network belongs to a family.
    pub fn is_empty(&self) -> bool {
        self.families.is_empty()
    }
}

/// A cell with its estimates.
type Member<'a> = (&'a Cell, &'a CellSummary, &'a CellOutcomes);

fn family(network: &str, title: String, measure: &Measure, members: Vec<Member<'_>>) -> Option<Family> {
    let rates = ascending(members.iter().map(|(cell, _, _)| cell.key.rate));
    let mut contenders: Vec<Contender> = Vec::new();
    for (cell, summary, outcomes) in members {
        let key = &cell.key;
        let known = contenders.iter().position(|c| c.model == key.model && c.protection == key.protection);
        let place = known.unwrap_or(contenders.len());
        if known.is_none() {
            contenders.push(Contender {
                model: key.model.clone(),
                protection: key.protection.clone(),
                overhead_percent: cell.overhead_percent(),
                clean: summary.clean,
                fault_free: summary.fault_free,
                means: vec![None; rates.len()],
                outcomes: vec![None; rates.len()],
            });
        }
        let rate = rates.iter().position(|rate| *rate == key.rate).expect("gathered above");
        let clean = summary.clean;
        contenders[place].outcomes[rate] = Some(outcomes.clone());
        contenders[place].means[rate] = Some(Accuracy {
            mean: summary.mean,
            interval: match summary.drop.interval {
                Interval::Bca { low, high } => Some(measure.ends_after(clean, (low, high))),
                Interval::Absent | Interval::AllEqual { .. } => None,
            },
        });
    }
    contenders.sort_by(|a, b| a.overhead_percent.total_cmp(&b.overhead_percent));
    (!contenders.is_empty()).then_some(Family {
        name: if title.is_empty() { network.into() } else { format!("{network}, {title}") },
        network: network.into(),
        title,
        lower_is_better: measure.is_lower_better(),
        rates,
        contenders,
    })
}
