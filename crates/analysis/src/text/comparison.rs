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
use crate::text::terms::Terms;

/// Explanation of bold numbers.
fn front_note(comparison: &Comparison) -> String {
    let better = better(comparison);
    format!("Bold: no protection with as little stored overhead has a {better} mean at that rate.")
}

/// The better direction of a mean: `higher` or `lower`.
pub(crate) fn better(comparison: &Comparison) -> &'static str {
    if comparison.measure.is_lower_better() { "lower" } else { "higher" }
}

/// Terms of the means of a comparison.
pub(crate) fn terms(comparison: &Comparison) -> Terms<'_> {
    Terms::new(&comparison.measure, comparison.decimals)
}

/// A row for each protection on each version of each network, with a column for each rate.
fn columns(comparison: &Comparison) -> Vec<Column> {
    struct Row<'a>(&'a Family, &'a Contender, usize);
    let rows: Vec<Row<'_>> = comparison
        .families
        .iter()
        .flat_map(|f| f.contenders.iter().flat_map(move |c| (0..f.rates.len()).map(move |r| Row(f, c, r))))
        .filter(|Row(_, c, rate)| c.means[*rate].is_some())
        .collect();
    let accuracy = |row: &Row<'_>| row.1.means[row.2];
    let terms = terms(comparison);
    let percent = |name: &str| match comparison.measure.metric() {
        None => format!("{name}_percent"),
        Some(_) => name.to_string(),
    };
    let mut columns = vec![
        text("family", &rows, |r| &r.0.name),
        text("model", &rows, |r| &r.1.model),
        text("protection", &rows, |r| &r.1.protection),
        real("stored_overhead_percent", &rows, |r| Some(r.1.overhead_percent)),
        real(&terms.value_column("clean_"), &rows, |r| Some(r.1.clean)),
        real("rate", &rows, |r| Some(r.0.rates[r.2])),
        real(&terms.value_column(""), &rows, |r| Some(accuracy(r)?.mean)),
        real(&percent("interval_low"), &rows, |r| Some(accuracy(r)?.interval?.0)),
        real(&percent("interval_high"), &rows, |r| Some(accuracy(r)?.interval?.1)),
        text("on_front", &rows, |r| if r.0.is_on_front(r.1, r.2) { "yes" } else { "no" }),
    ];
    if comparison.lossy {
        columns.push(real(&terms.value_column("fault_free_"), &rows, |r| r.1.fault_free));
    }
    columns.extend(terms.metric_columns(&rows));
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
        let row = |contender| row(family, contender, terms(comparison), "", |mean| format!("**{mean}**"));
        let rows: Vec<Vec<String>> = family.contenders.iter().map(row).collect();
        sections.push(format!(
            "**{}**, {}:\n\n{}",
            family.name,
            terms(comparison).values(),
            markdown_table(&columns, &rows)
        ));
    }
    lines(format!("{}\n{}\n", sections.join("\n"), front_note(comparison)))
}

/// The tables of [`comparison_markdown`] as LaTeX: a `table` for each family, for the package booktabs, with the
/// conditions in its caption.
pub fn comparison_latex(comparison: &Comparison, title: &str, conditions: &str) -> String {
    let table = |family: &Family| {
        let mut heads = ["protection", "network", "overhead", "fault-free"].map(String::from).to_vec();
        heads.extend(family.rates.iter().map(|rate| latex::number(&rate_label(*rate))));
        let row = |contender| {
            let absent = latex::escaped(ABSENT);
            let mut row =
                row(family, contender, terms(comparison), &absent, |mean| format!("\\textbf{{{mean}}}"));
            // The names; numbers need no escape.
            row[..3].iter_mut().for_each(|name| *name = latex::escaped(name));
            row
        };
        LatexTable {
            title: &format!("{title}: {}", family.name),
            caption: latex::escaped(&format!(
                "{}, mean over the trials. {} {conditions}.",
                match comparison.measure.metric() {
                    None => format!("{} in %", comparison.measure.capital()),
                    Some(_) => terms(comparison).values(),
                },
                front_note(comparison)
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
fn row(
    family: &Family,
    contender: &Contender,
    terms: Terms,
    absent: &str,
    bold: fn(String) -> String,
) -> Vec<String> {
    let mut row = vec![
        contender.protection.label(),
        contender.model.clone(),
        overhead_label(contender.overhead_percent),
        contender.fault_free.map_or(NOT_MEASURED.into(), |value| terms.number(value)),
    ];
    row.extend(contender.means.iter().enumerate().map(|(rate, accuracy)| {
        let Some(accuracy) = accuracy else { return absent.into() };
        let mean = terms.number(accuracy.mean);
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
