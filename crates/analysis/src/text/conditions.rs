//! Conditions of an experiment, the second line of reports and figures.

use std::collections::BTreeSet;

use crate::estimate::cell::{Cell, first_appearances};
use crate::estimate::estimates::Estimates;
use crate::estimate::measure::Measure;
use crate::text::escape::line;

/// Conditions of an experiment in one line: models, data sets, images, trials, fault models, seeds.
pub fn conditions(estimates: &Estimates) -> String {
    let trials = estimates.cells.iter().flat_map(|c| c.trials.iter());
    let images: BTreeSet<u64> = trials.clone().map(|r| r.images).collect();
    let seeds: BTreeSet<u64> = trials.map(|r| r.seed).collect();
    let counts: BTreeSet<usize> = estimates.cells.iter().map(|c| c.trials.len()).collect();
    let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
    let changed = match estimates.has_changed_trials() {
        (_, true) => ", only changed ones",
        (true, _) => ", in some cells only changed ones",
        _ => "",
    };
    let drawn = match estimates.cells[0].trials[0].images_per_trial {
        Some(block) => format!(", {block} drawn for each trial"),
        None => String::new(),
    };
    let rows = |get: fn(&Cell) -> &str| first_appearances(&estimates.cells, get).join(", ");
    let faults = match estimates.is_swept() {
        false => listed(&first_appearances(&estimates.cells, |c| &c.key.fault_model)),
        true => {
            let mut models: Vec<String> = Vec::new();
            for cell in &estimates.cells {
                let model = cell.key.fault_model.unscoped().to_string();
                if !models.contains(&model) {
                    models.push(model);
                }
            }
            listed(&models) + ", in one tensor or bit at a time"
        }
    };
    let conditions = [
        rows(|c| c.key.model.as_str()),
        match &estimates.measure {
            Measure::Score(metric) => format!("{}, {metric}", rows(|c| c.trials[0].data_set.as_str())),
            _ => format!("{}, {} images{drawn}", rows(|c| c.trials[0].data_set.as_str()), range(&images)),
        },
        format!("trials a cell: {}{changed}", range(&counts)),
        format!("faults: {faults}"),
        format!("seed {}", seeds.join(", ")),
    ];
    line(&conditions.join(" · ")).into_owned()
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
