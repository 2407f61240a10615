//! Versions of a network under the protections that fit them, as tables.

use polars_core::prelude::Column;

use crate::estimate::cell::rate_label;
use crate::estimate::column::{real, text};
use crate::estimate::comparison::{Comparison, Contender, Family};
use crate::text::csv::csv;
use crate::text::escape::lines;
use crate::text::latex::{self, LatexTable};
use crate::text::markdown::{MarkdownColumn, markdown_table};
use crate::text::number::{ABSENT, NOT_MEASURED, overhead_label};
use crate::text::rate::common_name;

const FRONT_NOTE: &str = "Bold: no protection with as little stored overhead has a higher mean at that rate.";

/// A row for each protection on each version of each network, with a column for each rate.
fn columns(comparison: &Comparison) -> Vec<Column> {
    struct Row<'a>(&'a Family, &'a Contender, usize);
    let rows: Vec<Row<'_>> = comparison
        .families
        .iter()
        .flat_map(|f| f.contenders.iter().flat_map(move |c| (0..f.rates.len()).map(move |r| Row(f, c, r))))
        .filter(|Row(_, c, rate)| c.accuracies[*rate].is_some())
        .collect();
    let accuracy = |row: &Row<'_>| row.1.accuracies[row.2];
    let percent = format!("{}_percent", comparison.measure.word());
    let mut columns = vec![
        text("family", &rows, |r| &r.0.name),
        text("model", &rows, |r| &r.1.model),
        text("protection", &rows, |r| &r.1.protection),
        real("stored_overhead_percent", &rows, |r| Some(r.1.overhead_percent)),
        real(&format!("clean_{percent}"), &rows, |r| Some(r.1.clean_percent)),
        real("rate", &rows, |r| Some(r.0.rates[r.2])),
        real(&percent, &rows, |r| Some(accuracy(r)?.mean_percent)),
        real("interval_low_percent", &rows, |r| Some(accuracy(r)?.interval_percent?.0)),
        real("interval_high_percent", &rows, |r| Some(accuracy(r)?.interval_percent?.1)),
        text("on_front", &rows, |r| if r.0.is_on_front(r.1, r.2) { "yes" } else { "no" }),
    ];
    if comparison.lossy {
        columns.push(real(&format!("fault_free_{percent}"), &rows, |r| r.1.fault_free_percent));
    }
    columns
}

/// [RFC 4180](https://www.rfc-editor.org/rfc/rfc4180), a line for each contender and rate.
pub fn comparison_csv(comparison: &Comparison) -> String {
    csv(columns(comparison))
}

/// A table for each family: mean accuracy at each rate, in bold where nothing cheaper or as cheap is better.
pub fn comparison_markdown(comparison: &Comparison) -> String {
    let mut sections = Vec::new();
    for family in &comparison.families {
        let mut columns = vec![
            MarkdownColumn::text("protection"),
            MarkdownColumn::text("network"),
            MarkdownColumn::number("stored overhead"),
            MarkdownColumn::number("fault-free"),
        ];
        columns.extend(family.rates.iter().map(|rate| MarkdownColumn::number(&rate_label(*rate))));
        let row = |contender| row(family, contender, "", |mean| format!("**{mean}**"));
        let rows: Vec<Vec<String>> = family.contenders.iter().map(row).collect();
        sections.push(format!(
            "**{}**, {} in %:\n\n{}",
            family.name,
            comparison.measure.word(),
            markdown_table(&columns, &rows)
        ));
    }
    lines(format!("{}\n{FRONT_NOTE}\n", sections.join("\n")))
}

/// The tables of [`comparison_markdown`] as LaTeX: a `table` for each family, for the package booktabs, with the
/// conditions in its caption.
pub fn comparison_latex(comparison: &Comparison, title: &str, conditions: &str) -> String {
    let table = |family: &Family| {
        let mut heads = ["protection", "network", "overhead", "fault-free"].map(String::from).to_vec();
        heads.extend(family.rates.iter().map(|rate| latex::number(&rate_label(*rate))));
        let row = |contender| {
            let absent = latex::escaped(ABSENT);
            let mut row = row(family, contender, &absent, |mean| format!("\\textbf{{{mean}}}"));
            // The names; numbers need no escape.
            row[..3].iter_mut().for_each(|name| *name = latex::escaped(name));
            row
        };
        LatexTable {
            title: &format!("{title}: {}", family.name),
            caption: latex::escaped(&format!(
                "{} in %, mean over the trials. {FRONT_NOTE} {conditions}.",
                comparison.measure.capital()
            )),
            text_columns: 2,
            heads,
            groups: vec![(String::new(), family.contenders.iter().map(row).collect())],
        }
        .write()
    };
    comparison.families.iter().map(table).collect::<Vec<_>>().join("\n")
}

/// Mean outcomes of decoding per trial, at the middle rate of each family.
pub fn comparison_outcomes(comparison: &Comparison) -> String {
    let heads = ["words hit", "corrected", "detected", "miscorrected", "silent", "weights changed"];
    let mut sections = Vec::new();
    for family in &comparison.families {
        let rate = family.rates.len() / 2;
        let mut columns = vec![MarkdownColumn::text("protection"), MarkdownColumn::text("network")];
        columns.extend(heads.map(MarkdownColumn::number));
        let row = |contender: &Contender| {
            let o = contender.outcomes[rate].as_ref()?;
            let counts = [o.words_hit, o.corrected, o.detected, o.miscorrected, o.silent, o.weights_changed];
            let means = counts.map(|count| format!("{:.1}", count as f64 / o.trials as f64));
            let names = [contender.protection.label(), contender.model.clone()];
            Some(names.into_iter().chain(means).collect())
        };
        let rows: Vec<Vec<String>> = family.contenders.iter().filter_map(row).collect();
        let label = rate_label(family.rates[rate]);
        sections.push(format!("**{}**, at {label}:\n\n{}", family.name, markdown_table(&columns, &rows)));
    }
    let note = "\nMeans over the trials. *Weights changed* is counted against the network's own weights, so that for a \
                lossy protection it holds what is lost without faults.\n";
    lines(sections.join("\n") + note)
}

/// Row of a contender: protection, version, overhead, accuracy without faults and at each rate, which
/// `bold` marks where it is on the front.
fn row(family: &Family, contender: &Contender, absent: &str, bold: fn(String) -> String) -> Vec<String> {
    let mut row = vec![
        contender.protection.label(),
        contender.model.clone(),
        overhead_label(contender.overhead_percent),
        contender.fault_free_percent.map_or(NOT_MEASURED.into(), |percent| format!("{percent:.2}")),
    ];
    row.extend(contender.accuracies.iter().enumerate().map(|(rate, accuracy)| {
        let Some(accuracy) = accuracy else { return absent.into() };
        let mean = format!("{:.2}", accuracy.mean_percent);
        if family.is_on_front(contender, rate) { bold(mean) } else { mean }
    }));
    row
}

/// Name of a contender: the protection, and the version it runs on.
pub(crate) fn contender_label(contender: &Contender) -> String {
    format!("{} on {}", contender.protection.label(), contender.model)
}

/// The common name of all rates of a comparison.
pub(crate) fn common_rate_name(comparison: &Comparison) -> &'static str {
    common_name(comparison.fault_models.iter())
}
