use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use design::{Better, FaultModel, Metric, ProtectionName};
use polars_core::frame::DataFrame;
use polars_core::prelude::{GroupsIndicator, IdxSize};
use records::TrialRow;

use crate::AnalysisError;
use crate::estimate::column::{count, displayed, real, text};
use crate::estimate::measure::Unit;

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
    pub(crate) fn of(row: &TrialRow) -> Self {
        Self {
            model: row.model.to_string(),
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
    pub(crate) trials: Arc<[TrialRow]>,
    /// Place of the metric that values the trials; `None` if images are counted.
    pub(crate) metric: Option<usize>,
}

impl Cell {
    /// Images evaluated in every trial.
    pub(crate) fn images(&self) -> u64 {
        images_of_trial(&self.trials[0])
    }

    /// Unit of a value on the whole evaluation set.
    pub(crate) fn unit_of_set(&self) -> Unit {
        if self.metric.is_some() { Unit::Score } else { Unit::Images(self.trials[0].images) }
    }

    /// Unit of all values.
    pub(crate) fn unit(&self) -> Unit {
        unit(&self.trials[0], self.metric)
    }

    /// Value of the fault-free network on the whole evaluation set, in the unit of the set: images that it classifies
    /// correctly, or its score.
    pub(crate) fn clean_of_set(&self) -> f64 {
        let trial = &self.trials[0];
        self.metric.map_or(trial.clean_correct as f64, |place| trial.clean_scores[place])
    }

    /// Value of the fault-free network on the whole evaluation set, in the unit of the trials.
    fn clean(&self) -> f64 {
        clean_of(&self.trials[0], self.metric)
    }

    /// Value after a drop from that of the fault-free network.
    pub(crate) fn after(&self, drop: f64) -> f64 {
        match self.metric.map(|place| self.trials[0].metrics[place].better) {
            Some(Better::Lower) => self.clean() + drop,
            Some(Better::Higher) | None => self.clean() - drop,
        }
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

    /// Loss of each trial in the cell's unit, in order of trial numbers; negative when faults helped.
    pub(crate) fn drops(&self) -> Vec<f64> {
        self.trials.iter().map(|row| drop_of(row, self.metric)).collect()
    }
}

/// Images that a trial sees.
fn images_of_trial(row: &TrialRow) -> u64 {
    row.images_per_trial.unwrap_or(row.images)
}

/// Value of the fault-free network, in the unit of the trials: of the images of a block as many as of the whole set.
fn clean_of(row: &TrialRow, metric: Option<usize>) -> f64 {
    match (metric, row.images_per_trial) {
        (Some(place), _) => row.clean_scores[place],
        (None, None) => row.clean_correct as f64,
        (None, Some(block)) => row.clean_correct as f64 * block as f64 / row.images as f64,
    }
}

/// Value of a trial on the images that it sees: those classified correctly, or the score of a metric.
pub(crate) fn measured_value(row: &TrialRow, metric: Option<usize>) -> f64 {
    metric.map_or(row.record.correct as f64, |place| row.record.scores[place])
}

/// Value of a trial: images classified correctly, or the score of a metric. On a block of images it is the value that its drop
/// leaves of the fault-free value on the whole set, so that blocks that are easy by chance do not show.
pub(crate) fn value_of(row: &TrialRow, metric: Option<usize>) -> f64 {
    match (metric, row.record.block) {
        (Some(place), _) => row.record.scores[place],
        (None, None) => row.record.correct as f64,
        (None, Some(_)) => clean_of(row, None) - drop_of(row, None),
    }
}

/// Loss of a trial in images or in the unit of a metric; negative when faults helped. Counts are exact.
pub(crate) fn drop_of(row: &TrialRow, metric: Option<usize>) -> f64 {
    match metric {
        None => {
            let clean = row.record.block.map_or(row.clean_correct, |block| block.clean_correct);
            clean as f64 - row.record.correct as f64
        }
        Some(place) => row.metrics[place].drop(row.clean_scores[place], row.record.scores[place]),
    }
}

/// Loss of a trial as tables show it: in points, or in the unit of a metric.
pub(crate) fn lost(row: &TrialRow, metric: Option<usize>) -> f64 {
    unit(row, metric).shown(drop_of(row, metric))
}

fn unit(row: &TrialRow, metric: Option<usize>) -> Unit {
    if metric.is_some() { Unit::Score } else { Unit::Images(images_of_trial(row)) }
}

/// The trials as a data frame: the counts and hashes of the records, and `drop_points`, the accuracy drop in
/// points (clean - faulty accuracy, each in % of the trial's images). If trials see blocks of the evaluation set, the
/// columns `images_per_trial`, `block_clean_correct` and `block_both_correct` follow `agree`. If an evaluator gave scores, the columns `clean_score:NAME`,
/// `score:NAME` and `degradation:NAME` (positive if faults made it worse) of each metric take the place of those that count
/// images. The rows are not checked. If some cells draw only changed
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
    ];
    let metrics = rows.first().map_or(&[][..], |row| &row.metrics);
    let counts_images = metrics.is_empty();
    if counts_images {
        columns
            .extend([count("images", rows, |r| r.images), count("clean_correct", rows, |r| r.clean_correct)]);
    }
    columns.extend([
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
    ]);
    if counts_images {
        columns
            .extend([count("correct", rows, |r| r.record.correct), count("agree", rows, |r| r.record.agree)]);
    }
    if rows.first().is_some_and(|row| row.images_per_trial.is_some()) {
        let block = |r: &TrialRow| r.record.block.unwrap_or_default();
        columns.extend([
            count("images_per_trial", rows, images_of_trial),
            count("block_clean_correct", rows, |r| block(r).clean_correct),
            count("block_both_correct", rows, |r| block(r).both_correct),
        ]);
    }
    columns.extend([
        text("pattern_hash", rows, |r| &r.record.pattern_hash),
        text("weights_hash", rows, |r| &r.record.weights_hash),
        text("predictions_hash", rows, |r| &r.record.predictions_hash),
    ]);
    if counts_images {
        columns.push(real("drop_points", rows, |r| Some(lost(r, None))));
    }
    for (i, metric) in metrics.iter().enumerate() {
        let (name, scores) =
            (&metric.name, |r: &TrialRow| Some((*r.clean_scores.get(i)?, *r.record.scores.get(i)?)));
        columns.extend([
            real(&format!("clean_score:{name}"), rows, |r| Some(scores(r)?.0)),
            real(&format!("score:{name}"), rows, |r| Some(scores(r)?.1)),
            real(&format!("degradation:{name}"), rows, |r| {
                scores(r).map(|(clean, score)| metric.drop(clean, score))
            }),
        ]);
    }
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
    let per_trial = |r: &TrialRow| r.images_per_trial.map_or("all".into(), |images| images.to_string());
    check_agreement(rows, |_| (), &[("metrics", |r| named(&r.metrics)), ("images_per_trial", per_trial)])?;
    // One campaign has one seed, and a model one evaluation set: without that, trials cannot be paired.
    check_agreement(
        rows,
        |r| &r.model,
        &[
            ("data_set", |r| r.data_set.to_string()),
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
            ("clean_scores", |r| format!("{:?}", r.clean_scores)),
        ],
    )?;
    check_agreement(
        rows,
        |r| (&r.model, &r.protection, r.fault_model.to_string(), r.rate.to_bits()),
        &[
            ("cell", |r| r.cell.to_string()),
            ("changed_probability", |r| format!("{:?}", r.changed_probability)),
        ],
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
    let metric = (!trials[0].metrics.is_empty()).then_some(0);
    Ok(Cell { key, trials: trials.into(), metric })
}

/// Name of a trial for messages, with its cell.
pub(crate) fn trial_name(row: &TrialRow) -> String {
    format!("trial {} of {}", row.record.trial, CellKey::of(row))
}

pub(crate) fn check_values(row: &TrialRow) -> Result<(), AnalysisError> {
    let TrialRow { rate, images, clean_correct, record, .. } = row;
    if !(0.0..=1.0).contains(rate) {
        return Err(AnalysisError::Rate { cell: CellKey::of(row).to_string(), rate: *rate });
    }
    if let Some(probability) = row.changed_probability
        && !(probability > 0.0 && probability <= 1.0)
    {
        return Err(AnalysisError::ChangedProbability { cell: CellKey::of(row).to_string(), probability });
    }
    check_scores(row)?;
    // An evaluator that gives scores need not know images.
    let fewest = u64::from(row.metrics.is_empty());
    if !(fewest..=u64::from(u32::MAX)).contains(images) {
        return Err(AnalysisError::Images { cell: CellKey::of(row).to_string(), images: *images });
    }
    let place = || trial_name(row);
    let block = row.images_per_trial.unwrap_or(*images);
    if !(fewest..=*images).contains(&block) {
        return Err(AnalysisError::Images { cell: place(), images: block });
    }
    let counts = record.block.unwrap_or_default();
    let both = record.correct.min(counts.clean_correct);
    for (field, correct, images) in [
        ("clean_correct", *clean_correct, *images),
        ("correct", record.correct, block),
        ("block_clean_correct", counts.clean_correct, block),
        ("block_both_correct", counts.both_correct, both),
    ] {
        if correct > images {
            return Err(AnalysisError::Correct { place: place(), field, correct, images });
        }
    }
    if record.block.is_some() != row.images_per_trial.is_some() {
        return Err(AnalysisError::Block { trial: place() });
    }
    Ok(())
}

/// Largest size of a score; the squares of larger ones would exceed all numbers.
const LARGEST_SCORE: f64 = 1e150;

/// Checks that a row has a finite score for each of its metrics, in the trial and without faults.
fn check_scores(row: &TrialRow) -> Result<(), AnalysisError> {
    for (field, scores) in [("clean_scores", &row.clean_scores), ("scores", &row.record.scores)] {
        if scores.len() != row.metrics.len() {
            return Err(AnalysisError::Scores {
                trial: trial_name(row),
                field,
                scores: scores.len(),
                metrics: named(&row.metrics),
            });
        }
        let wrong =
            row.metrics.iter().zip(scores).find(|(_, score)| !(0.0..=LARGEST_SCORE).contains(&score.abs()));
        if let Some((metric, score)) = wrong {
            let metric = metric.name.clone();
            return Err(AnalysisError::Score { trial: trial_name(row), field, metric, score: *score });
        }
    }
    Ok(())
}

/// Metrics with their directions, for messages.
fn named(metrics: &[Metric]) -> String {
    if metrics.is_empty() {
        "none".into()
    } else {
        metrics.iter().map(Metric::to_string).collect::<Vec<_>>().join(", ")
    }
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
