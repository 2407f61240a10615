use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

use design::{FaultModel, ProtectionName};
use polars_core::frame::DataFrame;
use polars_core::prelude::{GroupsIndicator, IdxSize};
use records::TrialRow;

use crate::AnalysisError;
use crate::estimate::column::{count, displayed, real, text};

/// A rate as all tables and CSV files write it: `1e-5`, `2.5e-4`, `0`.
pub fn rate_label(rate: f64) -> String {
    if rate == 0.0 { "0".into() } else { format!("{rate:e}") }
}

/// Conditions of a cell, which name it within one report.
#[derive(Clone, Debug, PartialEq)]
pub struct CellKey {
    /// The plan's label for the network.
    pub model: String,
    /// Protection id.
    pub protection: ProtectionName,
    /// Fault model.
    pub fault_model: FaultModel,
    /// Bit error rate, or the quantity that the fault model takes instead: for `accumulate` the probability that a bit
    /// flips in an hour, for `stuck-at` the share of bits that are stuck.
    pub rate: f64,
}

impl CellKey {
    fn of(row: &TrialRow) -> Self {
        Self {
            model: row.model.clone(),
            protection: row.protection.clone(),
            fault_model: row.fault_model.clone(),
            rate: row.rate,
        }
    }
}

impl fmt::Display for CellKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, protection, fault_model, rate } = self;
        write!(f, "{model} {protection} {fault_model} {}", rate_label(*rate))
    }
}

/// A cell with its trials in order of their numbers.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) key: CellKey,
    pub(crate) trials: Vec<TrialRow>,
}

impl Cell {
    /// Images evaluated in every trial.
    pub(crate) fn images(&self) -> u64 {
        self.trials[0].images
    }

    /// Images that the fault-free network classifies correctly.
    pub(crate) fn clean_correct(&self) -> u64 {
        self.trials[0].clean_correct
    }

    /// Check bits relative to data bits, %.
    pub(crate) fn overhead_percent(&self) -> f64 {
        let trial = &self.trials[0];
        100.0 * trial.check_bits as f64 / trial.data_bits as f64
    }

    /// Probability that some stored word reads back wrong, if the cell draws only such trials.
    pub(crate) fn changed_probability(&self) -> Option<f64> {
        self.trials[0].changed_probability
    }

    /// Images lost in each trial, in order of trial numbers; negative when faults helped.
    pub(crate) fn drops_in_images(&self) -> Vec<i64> {
        self.trials.iter().map(drop_in_images).collect()
    }
}

/// A number of images in % of all images.
pub fn points(count: f64, images: u64) -> f64 {
    count * 100.0 / images as f64
}

/// Images that a trial lost; negative when faults helped. Exact, because `images` was checked.
pub(crate) fn drop_in_images(row: &TrialRow) -> i64 {
    row.clean_correct.cast_signed() - row.record.correct.cast_signed()
}

/// Drop of a trial in points: the share of the images that it lost.
pub(crate) fn lost_points(row: &TrialRow) -> f64 {
    points(drop_in_images(row) as f64, row.images)
}

/// The trials as a data frame: the counts and hashes of the records, and `drop_points`, the accuracy drop in
/// points (clean - faulty accuracy, each in % of images). The rows are not checked. If some cells draw only changed
/// trials, there is a column `changed_probability`, null for the other cells.
pub fn trials_frame(rows: &[TrialRow]) -> DataFrame {
    let mut columns = vec![
        text("cell", rows, |r| &r.cell),
        text("model", rows, |r| &r.model),
        text("protection", rows, |r| &r.protection),
        displayed("fault_model", rows, |r| &r.fault_model),
        real("rate", rows, |r| Some(r.rate)),
        count("seed", rows, |r| r.seed),
        count("weights", rows, |r| r.weights),
        count("data_bits", rows, |r| r.data_bits),
        count("check_bits", rows, |r| r.check_bits),
        text("data_set", rows, |r| &r.data_set),
        count("images", rows, |r| r.images),
        count("clean_correct", rows, |r| r.clean_correct),
        count("trial", rows, |r| r.record.trial),
        count("flips_data", rows, |r| r.record.flips_data),
        count("flips_check", rows, |r| r.record.flips_check),
        count("words_hit", rows, |r| r.record.words_hit),
        count("corrected", rows, |r| r.record.corrected),
        count("detected", rows, |r| r.record.detected),
        count("miscorrected", rows, |r| r.record.miscorrected),
        count("silent", rows, |r| r.record.silent),
        count("weights_changed", rows, |r| r.record.weights_changed),
        count("padding_changed", rows, |r| r.record.padding_changed),
        count("correct", rows, |r| r.record.correct),
        count("agree", rows, |r| r.record.agree),
        text("pattern_hash", rows, |r| &r.record.pattern_hash),
        text("weights_hash", rows, |r| &r.record.weights_hash),
        text("predictions_hash", rows, |r| &r.record.predictions_hash),
        real("drop_points", rows, |r| {
            Some(points(r.clean_correct as f64 - r.record.correct as f64, r.images))
        }),
    ];
    if rows.iter().any(|r| r.changed_probability.is_some()) {
        columns.push(real("changed_probability", rows, |r| r.changed_probability));
    }
    DataFrame::new(rows.len(), columns).expect("the columns have distinct names and one length")
}

/// Checks `rows` and groups them into cells: models, fault models and protections in order of first
/// appearance, rates ascending.
pub(crate) fn cells(rows: &[TrialRow]) -> Result<Vec<Cell>, AnalysisError> {
    if rows.is_empty() {
        return Err(AnalysisError::NoTrials);
    }
    for row in rows {
        check_values(row)?;
    }
    // One campaign has one seed, and a model one evaluation set: without that, trials cannot be paired.
    check_agreement(
        rows,
        |r| &r.model,
        &[
            ("data_set", |r| r.data_set.clone()),
            ("images", |r| r.images.to_string()),
            ("seed", |r| r.seed.to_string()),
        ],
    )?;
    check_agreement(
        rows,
        |r| (&r.model, &r.protection),
        &[
            ("weights", |r| r.weights.to_string()),
            ("data_bits", |r| r.data_bits.to_string()),
            ("check_bits", |r| r.check_bits.to_string()),
            ("clean_correct", |r| r.clean_correct.to_string()),
        ],
    )?;
    check_agreement(
        rows,
        |r| (&r.model, &r.protection, r.fault_model.to_string(), r.rate.to_bits()),
        &[("cell", |r| r.cell.clone()), ("changed_probability", |r| format!("{:?}", r.changed_probability))],
    )?;

    let frame = trials_frame(rows);
    let keys = ["model", "protection", "fault_model", "rate"];
    let keys = keys.map(|name| frame.column(name).cloned()).into_iter().collect::<Result<Vec<_>, _>>()?;
    let grouped = frame.group_by_with_series(keys, false, true)?;
    let mut cells = Vec::new();
    for group in grouped.get_groups().iter() {
        let indices: Vec<IdxSize> = match group {
            GroupsIndicator::Idx((_, indices)) => indices.to_vec(),
            GroupsIndicator::Slice([first, count]) => (first..first + count).collect(),
        };
        let trials = indices.iter().map(|i| rows[*i as usize].clone()).collect();
        cells.push(cell(trials)?);
    }

    let models = first_appearances(rows, |r| r.model.as_str());
    let protections = first_appearances(rows, |r| &r.protection);
    let fault_models = first_appearances(rows, |r| &r.fault_model);
    cells.sort_by(|a, b| {
        let order = |c: &Cell| {
            let CellKey { model, protection, fault_model, .. } = &c.key;
            (
                models.iter().position(|name| name == model),
                fault_models.iter().position(|name| *name == fault_model),
                protections.iter().position(|name| *name == protection),
            )
        };
        order(a).cmp(&order(b)).then(a.key.rate.total_cmp(&b.key.rate))
    });
    Ok(cells)
}

/// Distinct rates, ascending.
pub(crate) fn ascending(rates: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut rates: Vec<f64> = rates.collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    rates
}

/// Distinct names in order of first appearance.
pub(crate) fn first_appearances<T, N: PartialEq + ?Sized>(items: &[T], name: fn(&T) -> &N) -> Vec<&N> {
    let mut seen: Vec<&N> = Vec::new();
    for item in items {
        let name = name(item);
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

/// Sorts a cell's trials; a trial that was recorded twice with equal content counts once.
fn cell(mut trials: Vec<TrialRow>) -> Result<Cell, AnalysisError> {
    let key = CellKey::of(&trials[0]);
    trials.sort_by_key(|r| r.record.trial);
    trials.dedup();
    if let Some(pair) = trials.windows(2).find(|pair| pair[0].record.trial == pair[1].record.trial) {
        return Err(AnalysisError::DuplicateTrial { cell: key.to_string(), trial: pair[0].record.trial });
    }
    Ok(Cell { key, trials })
}

/// Name of a trial for messages, with its cell.
pub(crate) fn trial_name(row: &TrialRow) -> String {
    format!("trial {} of {}", row.record.trial, CellKey::of(row))
}

fn check_values(row: &TrialRow) -> Result<(), AnalysisError> {
    let TrialRow { rate, images, clean_correct, record, .. } = row;
    if !(0.0..=1.0).contains(rate) {
        return Err(AnalysisError::Rate { cell: CellKey::of(row).to_string(), rate: *rate });
    }
    if let Some(probability) = row.changed_probability
        && !(probability > 0.0 && probability <= 1.0)
    {
        return Err(AnalysisError::ChangedProbability { cell: CellKey::of(row).to_string(), probability });
    }
    if !(1..=u64::from(u32::MAX)).contains(images) {
        return Err(AnalysisError::Images { cell: CellKey::of(row).to_string(), images: *images });
    }
    for (field, correct) in [("clean_correct", *clean_correct), ("correct", record.correct)] {
        if correct > *images {
            return Err(AnalysisError::Correct { place: trial_name(row), field, correct, images: *images });
        }
    }
    Ok(())
}

type Field = (&'static str, fn(&TrialRow) -> String);

/// Checks that rows with equal keys agree in `fields`.
fn check_agreement<'a, K: Eq + Hash>(
    rows: &'a [TrialRow],
    key: impl Fn(&'a TrialRow) -> K,
    fields: &[Field],
) -> Result<(), AnalysisError> {
    let mut first: HashMap<K, &TrialRow> = HashMap::new();
    for row in rows {
        let one = *first.entry(key(row)).or_insert(row);
        for (field, get) in fields {
            let (one_value, other_value) = (get(one), get(row));
            if one_value != other_value {
                let (one, other) = (trial_name(one), trial_name(row));
                return Err(AnalysisError::Disagreement { field, one, one_value, other, other_value });
            }
        }
    }
    Ok(())
}
