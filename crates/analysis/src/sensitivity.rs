//! Which tensors and bits matter most.

use design::FaultModel;
use polars_core::frame::DataFrame;
use records::NetworkEntry;

use crate::AnalysisError;
use crate::canvas::{png, svg};
use crate::cell::{CellKey, rate_label};
use crate::column::{count, displayed, optional_count, real, text};
use crate::escape::line;
use crate::interval::Interval;
use crate::rate::heading_note;
use crate::report::{Measure, Report};
use crate::sensitivity_figure::HeatMaps;
use crate::style::{display_name, paper_name};
use crate::table::{INTERVAL_NOTE, MarkdownColumn, csv, fixed, interval_columns, interval_text, markdown};

/// The cells of a sweep over tensors or bits, as rankings: one for each model, fault model, protection and rate.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensitivity {
    rankings: Vec<Ranking>,
    measure: Measure,
}

/// Tensors and bits under equal conditions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ranking {
    /// Its fault model is without what it is confined to.
    pub(crate) key: CellKey,
    /// In plan order: tensors in memory order, bits ascending.
    pub(crate) entries: Vec<Entry>,
    /// What storing alone costs under a lossy protection, which every drop includes, in words; empty under others.
    storing: String,
}

impl Ranking {
    /// What it is of, in Markdown or plain.
    pub(crate) fn title(&self, markdown: bool) -> String {
        let Self { key, storing, .. } = self;
        let (star, name) = (if markdown { "**" } else { "" }, display_name(&key.protection));
        let (rate, at) = (heading_note(&key.fault_model), rate_label(key.rate));
        let title = format!("{star}{}{star}, {name}, {}{rate} at {at}{storing}", key.model, key.fault_model);
        line(&title).into_owned()
    }

    /// Its entries with its key and their ranks, the most sensitive first.
    fn ranked(&self) -> impl Iterator<Item = (&CellKey, u64, &Entry)> {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        // Stable: equals stay in plan order.
        entries.sort_by(|a, b| b.mean_drop_points.total_cmp(&a.mean_drop_points));
        (1..).zip(entries).map(|(rank, entry)| (&self.key, rank, entry))
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// All tensors without one.
    pub(crate) tensor: Option<String>,
    /// All bits, and check bits, without one.
    pub(crate) bit: Option<u8>,
    /// Of the tensor or, without one, of the network; absent when nobody has said.
    weights: Option<u64>,
    pub(crate) trials: u64,
    /// In all trials.
    flips: u64,
    pub(crate) mean_drop_points: f64,
    pub(crate) interval: Interval,
}

impl Entry {
    /// Points lost, divided by cells flipped; absent when none was.
    fn drop_per_flip(&self) -> Option<f64> {
        (self.flips > 0).then(|| self.mean_drop_points * self.trials as f64 / self.flips as f64)
    }
}

impl Sensitivity {
    /// The confined cells of a report, if there are more than a few scopes; empty otherwise. `networks` know the sizes of
    /// tensors.
    pub fn new(report: &Report, networks: &[NetworkEntry]) -> Self {
        let mut rankings: Vec<Ranking> = Vec::new();
        let cells = report.cells.iter().zip(report.summaries()).zip(report.outcomes());
        for ((cell, summary), outcomes) in cells.filter(|_| report.is_swept()) {
            let FaultModel { kind, scope } = &cell.key.fault_model;
            if scope.is_whole() {
                continue;
            }
            let key = CellKey { fault_model: (*kind).into(), ..cell.key.clone() };
            let weights = match &scope.tensor {
                None => Some(cell.trials[0].weights),
                Some(name) => networks
                    .iter()
                    .find(|network| network.label == key.model)
                    .and_then(|network| network.tensors.iter().find(|tensor| tensor.name == *name))
                    .map(|tensor| tensor.weights),
            };
            let entry = Entry {
                tensor: scope.tensor.clone(),
                bit: scope.bit,
                weights,
                trials: summary.trials,
                flips: outcomes.flips_data + outcomes.flips_check,
                mean_drop_points: summary.drop_points.mean,
                interval: summary.drop_points.interval,
            };
            match rankings.iter_mut().find(|ranking| ranking.key == key) {
                Some(ranking) => ranking.entries.push(entry),
                None => {
                    let cost = summary.fault_free_percent.map(|percent| {
                        format!("{} points", fixed(summary.clean_accuracy_percent - percent, 2))
                    });
                    let storing = match (report.is_lossy(&key.model, &key.protection), cost) {
                        (false, _) => String::new(),
                        (true, Some(cost)) => format!("; {cost} of every drop come from storing alone"),
                        (true, None) => "; every drop includes what storing alone costs, not measured".into(),
                    };
                    rankings.push(Ranking { key, entries: vec![entry], storing });
                }
            }
        }
        // Cells come with rates inside protections inside fault models, and so with each scope in turn.
        rankings.sort_by(|a, b| {
            let place = |key: &CellKey| {
                let protection = report.protections.iter().position(|id| *id == key.protection);
                let model = report.cells.iter().position(|cell| cell.key.model == key.model);
                let faults = report.cells.iter().position(|cell| {
                    cell.key.model == key.model && cell.key.fault_model.kind == key.fault_model.kind
                });
                (model, faults, protection)
            };
            place(&a.key).cmp(&place(&b.key)).then(a.key.rate.total_cmp(&b.key.rate))
        });
        Self { rankings, measure: report.measure }
    }

    /// Whether the report is of no sweep.
    pub fn is_empty(&self) -> bool {
        self.rankings.is_empty()
    }

    /// All rankings, one after another.
    fn ranked(&self) -> Vec<(&CellKey, u64, &Entry)> {
        self.rankings.iter().flat_map(Ranking::ranked).collect()
    }

    /// The rankings as CSV (RFC 4180), one after another: `flips` in all trials, drops in points, `bit` and `tensor`
    /// empty where a fault model was not confined in that way.
    pub fn csv(&self) -> String {
        let ranked = self.ranked();
        let mut columns = vec![
            text("model", &ranked, |(key, ..)| &key.model),
            displayed("fault_model", &ranked, |(key, ..)| &key.fault_model),
            text("protection", &ranked, |(key, ..)| &key.protection),
            text("paper_name", &ranked, |(key, ..)| paper_name(&key.protection).unwrap_or_default()),
            real("rate", &ranked, |(key, ..)| Some(key.rate)),
            count("rank", &ranked, |(_, rank, _)| *rank),
            text("tensor", &ranked, |(.., entry)| entry.tensor.as_deref().unwrap_or_default()),
            optional_count("bit", &ranked, |(.., entry)| entry.bit.map(u64::from)),
            optional_count("weights", &ranked, |(.., entry)| entry.weights),
            count("trials", &ranked, |(.., entry)| entry.trials),
            count("flips", &ranked, |(.., entry)| entry.flips),
            real("mean_drop_points", &ranked, |(.., entry)| Some(entry.mean_drop_points)),
        ];
        columns.extend(interval_columns(&ranked, |(.., entry)| entry.interval));
        columns.push(real("drop_per_flip_points", &ranked, |(.., entry)| entry.drop_per_flip()));
        csv(&DataFrame::new_infer_height(columns).expect("the columns have distinct names and one length"))
    }

    /// The first `most` of each ranking for people.
    pub fn markdown(&self, most: usize) -> String {
        let mut sections = Vec::new();
        for ranking in &self.rankings {
            let entries = &ranking.entries;
            let columns = [
                MarkdownColumn::number("rank"),
                MarkdownColumn::text("tensor"),
                MarkdownColumn::text("bit"),
                MarkdownColumn::number("weights"),
                MarkdownColumn::number("flips a trial"),
                MarkdownColumn::number("mean drop"),
                MarkdownColumn::number("95 % interval"),
                MarkdownColumn::number("drop per flip"),
            ];
            let rows = ranking.ranked().take(most).map(|(_, rank, entry)| {
                let absent = || "–".to_string();
                vec![
                    rank.to_string(),
                    entry.tensor.clone().unwrap_or_else(|| "all".into()),
                    entry.bit.map_or("all".into(), |bit| bit.to_string()),
                    entry.weights.map_or_else(absent, |weights| weights.to_string()),
                    fixed(entry.flips as f64 / entry.trials as f64, 1),
                    fixed(entry.mean_drop_points, 3),
                    interval_text(entry.interval, entry.trials, |value| fixed(value, 3)),
                    entry.drop_per_flip().map_or_else(absent, |drop| fixed(drop, 4)),
                ]
            });
            let rows: Vec<Vec<String>> = rows.collect();
            let left_out = match entries.len() - rows.len() {
                0 => String::new(),
                more => format!("\n{more} more in `sensitivity.csv`.\n"),
            };
            sections.push(format!("{}:\n\n{}{left_out}", ranking.title(true), markdown(&columns, &rows)));
        }
        format!(
            "{}\n`mean drop`: {} drop in points, mean of all trials. `drop per flip`: all points lost divided by all cells \
             flipped. {INTERVAL_NOTE}",
            sections.join("\n"),
            self.measure.word(),
        )
    }

    /// Mean drops by tensor and bit, a heat map for each ranking, as SVG. Equal rows give equal bytes.
    ///
    /// # Errors
    /// Only when the drawing library refuses.
    pub fn figure_svg(&self, heading: &str) -> Result<String, AnalysisError> {
        svg(&HeatMaps::new(heading, &self.rankings, self.measure)?)
    }

    /// The same figure as PNG.
    ///
    /// # Errors
    /// Only when the drawing library refuses.
    pub fn figure_png(&self, heading: &str) -> Result<Vec<u8>, AnalysisError> {
        png(&HeatMaps::new(heading, &self.rankings, self.measure)?)
    }
}
