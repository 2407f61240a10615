//! Rankings of tensors and bits as tables.

use crate::estimate::cell::{CellKey, rate_label};
use crate::estimate::column::{count, displayed, optional_count, real, text};
use crate::estimate::sensitivity::{Entry, Ranking, Sensitivity};
use crate::text::csv::{csv, interval_columns};
use crate::text::escape::line;
use crate::text::markdown::{MarkdownColumn, markdown_table};
use crate::text::number::{ABSENT, INTERVAL_NOTE, fixed, interval_text};
use crate::text::rate::heading_note;
use crate::text::terms::Terms;

/// All rankings, one after another.
fn ranked(sensitivity: &Sensitivity) -> Vec<(&CellKey, u64, &Entry)> {
    sensitivity.rankings.iter().flat_map(Ranking::ranked).collect()
}

/// The rankings as CSV (RFC 4180), one after another: `flips` in all trials, drops in points, `bit` and `tensor`
/// empty where a fault model was not confined in that way.
pub fn sensitivity_csv(sensitivity: &Sensitivity) -> String {
    let (ranked, terms) = (ranked(sensitivity), terms(sensitivity));
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
        real(&terms.drop_column("mean_drop"), &ranked, |(.., entry)| Some(entry.mean_drop)),
    ];
    columns.extend(interval_columns(&terms, &ranked, |(.., entry)| entry.interval));
    columns.push(real(&terms.drop_column("drop_per_flip"), &ranked, |(.., entry)| entry.drop_per_flip()));
    columns.extend(terms.metric_columns(&ranked));
    csv(columns)
}

/// The first `most` entries of each ranking as Markdown tables; the others are in `file`.
pub fn sensitivity_markdown(sensitivity: &Sensitivity, most: usize, file: &str) -> String {
    let terms = terms(sensitivity);
    let drop = terms.drop();
    let mut sections = Vec::new();
    for ranking in &sensitivity.rankings {
        let entries = &ranking.entries;
        let columns = [
            MarkdownColumn::number("rank"),
            MarkdownColumn::text("tensor"),
            MarkdownColumn::text("bit"),
            MarkdownColumn::number("weights"),
            MarkdownColumn::number("flips a trial"),
            MarkdownColumn::number(&format!("mean {drop}")),
            MarkdownColumn::number("95 % interval"),
            MarkdownColumn::number(&format!("{drop} per flip")),
        ];
        let rows = ranking.ranked().take(most).map(|(_, rank, entry)| {
            let absent = || ABSENT.to_string();
            vec![
                rank.to_string(),
                entry.tensor.clone().unwrap_or_else(|| "all".into()),
                entry.bit.map_or("all".into(), |bit| bit.to_string()),
                entry.weights.map_or_else(absent, |weights| weights.to_string()),
                fixed(entry.flips as f64 / entry.trials as f64, 1),
                terms.digits(3).text(entry.mean_drop),
                interval_text(entry.interval, entry.trials, terms.digits(3)),
                entry.drop_per_flip().map_or_else(absent, |drop| terms.digits(4).text(drop)),
            ]
        });
        let rows: Vec<Vec<String>> = rows.collect();
        let left_out = match entries.len() - rows.len() {
            0 => String::new(),
            more => format!("\n{more} more in `{file}`.\n"),
        };
        sections.push(format!(
            "{}:\n\n{}{left_out}",
            ranking_title(ranking, &terms, true),
            markdown_table(&columns, &rows)
        ));
    }
    format!(
        "{}\n`mean {drop}`: {}, mean of all trials. `{drop} per flip`: all {} lost divided by all flipped \
         bits. {INTERVAL_NOTE}",
        sections.join("\n"),
        terms.drop_in_units(),
        if sensitivity.measure.metric().is_some() { terms.word() } else { "points" },
    )
}

/// Terms of the drops of a sweep.
pub(crate) fn terms(sensitivity: &Sensitivity) -> Terms<'_> {
    Terms::new(&sensitivity.measure, sensitivity.decimals)
}

/// Title of a ranking: model, protection, fault model and rate, as Markdown or plain text.
pub(crate) fn ranking_title(ranking: &Ranking, terms: &Terms, markdown: bool) -> String {
    let key = &ranking.key;
    let storing = match ranking.storing {
        None => String::new(),
        Some(Some(points)) => {
            let amount = terms.number(points) + terms.points();
            format!("; {amount} of every {} come from storing alone", terms.drop())
        }
        Some(None) => {
            format!("; every {} includes what storing alone costs, not measured", terms.drop())
        }
    };
    let (star, name) = (if markdown { "**" } else { "" }, key.protection.label());
    let (rate, at) = (heading_note(&key.fault_model), rate_label(key.rate));
    let title = format!("{star}{}{star}, {name}, {}{rate} at {at}{storing}", key.model, key.fault_model);
    line(&title).into_owned()
}
