//! Spread between trainings, as tables.

use polars_core::prelude::Column;

use crate::estimate::cell::rate_label;
use crate::estimate::column::{count, real, text};
use crate::estimate::replication::{Difference, Group, Replication, Spread, Tested, Version};
use crate::text::csv::csv;
use crate::text::escape::lines;
use crate::text::markdown::{MarkdownColumn, markdown_table};
use crate::text::number::ABSENT;
use crate::text::terms::Terms;

/// A row for each pair of protections, group and condition, with the mean difference over trainings.
pub(crate) fn replication_csv(replication: &Replication) -> String {
    struct Row<'a> {
        group: &'a Group,
        of: &'a Difference,
        rate: f64,
        tested: Tested,
    }
    let mut rows: Vec<Row<'_>> = Vec::new();
    for group in &replication.groups {
        let rates = || std::iter::once(0.0).chain(group.rates.iter().copied());
        for of in &group.differences {
            let conditions = rates().zip(&of.spreads);
            rows.extend(
                conditions.filter_map(|(rate, tested)| Some(Row { group, of, rate, tested: (*tested)? })),
            );
        }
    }
    let terms = Terms::new(&replication.measure, replication.decimals);
    let points = |name: &str| terms.points_column(name);
    let mut columns: Vec<Column> = vec![
        text("group", &rows, |r| &r.group.name),
        real("rate", &rows, |r| Some(r.rate)),
        text("first", &rows, |r| &r.of.first.protection),
        text("first_version", &rows, |r| &r.of.first.version),
        text("second", &rows, |r| &r.of.second.protection),
        text("second_version", &rows, |r| &r.of.second.version),
        count("trainings", &rows, |r| r.tested.spread.trainings as u64),
        real(&points("mean_difference"), &rows, |r| Some(r.tested.spread.mean)),
        real(&points("standard_deviation"), &rows, |r| r.tested.spread.deviation),
        real(&points("interval_low"), &rows, |r| Some(r.tested.interval.0)),
        real(&points("interval_high"), &rows, |r| Some(r.tested.interval.1)),
        real("p", &rows, |r| Some(r.tested.p)),
        real("p_holm", &rows, |r| Some(r.tested.corrected)),
    ];
    columns.extend(terms.metric_columns(&rows));
    csv(columns)
}

/// Two tables for each group: the protections over trainings, and their differences.
pub(crate) fn replication_markdown(replication: &Replication, file: &str) -> String {
    let terms = Terms::new(&replication.measure, replication.decimals);
    let mut sections = Vec::new();
    for group in &replication.groups {
        let conditions = |mut columns: Vec<MarkdownColumn>| {
            columns.push(MarkdownColumn::number("fault-free"));
            columns.extend(group.rates.iter().map(|rate| MarkdownColumn::number(&rate_label(*rate))));
            columns
        };
        let heads = conditions(vec![MarkdownColumn::text("protection and version")]);
        let row = |Version { name, spreads }: &Version| {
            let values =
                spreads.iter().map(|spread| spread.map_or(ABSENT.into(), |spread| value(spread, terms)));
            std::iter::once(name.label()).chain(values).collect()
        };
        let rows: Vec<Vec<String>> = group.versions.iter().map(row).collect();
        let values = markdown_table(&heads, &rows);
        let heads = conditions(vec![MarkdownColumn::text("first"), MarkdownColumn::text("second")]);
        let row = |Difference { first, second, spreads }: &Difference| {
            let values = spreads
                .iter()
                .map(|tested| tested.map_or(ABSENT.into(), |tested| difference(&tested, terms)));
            [first.label(), second.label()].into_iter().chain(values).collect()
        };
        let rows: Vec<Vec<String>> = group.differences.iter().map(row).collect();
        let differences = markdown_table(&heads, &rows);
        sections.push(format!(
            "**{}**, {} trainings, {}:\n\n{values}\nDifferences, first minus second:\n\n{differences}",
            group.name,
            group.trainings,
            terms.values(),
        ));
    }
    let note = format!(
        "Values are means over trainings ± their standard deviation (divisor n - 1); the value of a training is its mean over trials. \
         Differences are paired by training, with 95 % intervals by Student's distribution. Bold: p < 0.05 after Holm's correction \
         for all differences of the table. The fault-free values are those of the network as the protection stores it. All \
         differences are in `{file}`."
    );
    lines(format!("{}\n{note}\n", sections.join("\n")))
}

fn value(spread: Spread, terms: Terms) -> String {
    let mean = terms.number(spread.mean);
    match spread.deviation {
        Some(deviation) => format!("{mean} ± {}", terms.number(deviation)),
        None => mean,
    }
}

fn difference(tested: &Tested, terms: Terms) -> String {
    let (low, high) = tested.interval;
    let text =
        format!("{} [{}, {}]", terms.number(tested.spread.mean), terms.number(low), terms.number(high));
    if tested.is_significant() { format!("**{text}**") } else { text }
}
