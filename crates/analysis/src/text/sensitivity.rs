//! Rankings of tensors and bits as tables.

use crate::estimate::cell::{CellKey, rate_label};
use crate::estimate::column::{count, displayed, optional_count, real, text};
use crate::estimate::sensitivity::{Entry, Ranking, Sensitivity};
use crate::text::csv::{csv, interval_columns};
use crate::text::escape::line;
use crate::text::markdown::{MarkdownColumn, markdown_table};
use crate::text::number::{ABSENT, INTERVAL_NOTE, fixed, interval_text};
use crate::text::rate::heading_note;

/// All rankings, one after another.
fn ranked(sensitivity: &Sensitivity) -> Vec<(&CellKey, u64, &Entry)> {
    sensitivity.rankings.iter().flat_map(Ranking::ranked).collect()
}

/// The rankings as CSV (RFC 4180), one after another: `flips` in all trials, drops in points, `bit` and `tensor`
/// empty where a fault model was not confined in that way.
pub fn sensitivity_csv(sensitivity: &Sensitivity) -> String {
    let ranked = ranked(sensitivity);
    let mut columns = vec![
        text("model", &ranked, |(key, ..)| &key.model),
        displayed("fault_model", &ranked, |(key, ..)| &key.fault_model),
        text("protection", &ranked, |(key, ..)| &key.protection),
        text("paper_name", &ranked, |(key, ..)| key.protection.in_paper().unwrap_or_default()),
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
    csv(columns)
}

/// The first `most` entries of each ranking as Markdown tables.
pub fn sensitivity_markdown(sensitivity: &Sensitivity, most: usize) -> String {
    let mut sections = Vec::new();
    for ranking in &sensitivity.rankings {
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
            let absent = || ABSENT.to_string();
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
        sections.push(format!(
            "{}:\n\n{}{left_out}",
            ranking_title(ranking, true),
            markdown_table(&columns, &rows)
        ));
    }
    format!(
        "{}\n`mean drop`: {} drop in points, mean of all trials. `drop per flip`: all points lost divided by all flipped \
         bits. {INTERVAL_NOTE}",
        sections.join("\n"),
        sensitivity.measure.word(),
    )
}

/// Title of a ranking: model, protection, fault model and rate, as Markdown or plain text.
pub(crate) fn ranking_title(ranking: &Ranking, markdown: bool) -> String {
    let key = &ranking.key;
    let storing = match ranking.storing {
        None => String::new(),
        Some(Some(points)) => {
            format!("; {} points of every drop come from storing alone", fixed(points, 2))
        }
        Some(None) => "; every drop includes what storing alone costs, not measured".into(),
    };
    let (star, name) = (if markdown { "**" } else { "" }, key.protection.label());
    let (rate, at) = (heading_note(&key.fault_model), rate_label(key.rate));
    let title = format!("{star}{}{star}, {name}, {}{rate} at {at}{storing}", key.model, key.fault_model);
    line(&title).into_owned()
}
