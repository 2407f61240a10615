//! Tables of a large run: groups of cells, the cells that lose most, and all cells as CSV.

use std::io::{self, Write};

use crate::estimate::cell::rate_label;
use crate::estimate::large::{Group, LargeCell, LargeEstimates, decade};
use crate::text::csv::csv_field;
use crate::text::escape::line;
use crate::text::markdown::{MarkdownColumn, markdown_table};
use crate::text::number::{ABSENT, INTERVAL_NOTE, interval_text};
use crate::text::terms::Terms;

/// Most rows of a table of groups.
const MOST_ROWS: usize = 40;

/// Words of the drops of a large run: scores have six decimals.
pub(crate) fn terms(estimates: &LargeEstimates) -> Terms<'_> {
    Terms::new(&estimates.measure, 6)
}

/// The number of cells and trials, the networks and the fault models in one line.
pub(crate) fn large_conditions(estimates: &LargeEstimates) -> String {
    let some = |names: Vec<String>| match names.len() {
        0..=4 => names.join(", "),
        many => format!("{many} ({}, ...)", names[0]),
    };
    let names =
        |of: fn(&LargeCell) -> String| some(estimates.groups(of).into_iter().map(|(name, _)| name).collect());
    let text = format!(
        "networks: {} · protections: {} · faults: {} · {} cells · {} trials",
        names(|cell| cell.model.to_string()),
        names(|cell| cell.protection.to_string()),
        names(|cell| cell.fault_model.unscoped().to_string()),
        estimates.cells.len(),
        estimates.trials()
    );
    line(&text).into_owned()
}

/// Tables of the cells grouped by each property of which they have several, each with its heading.
pub(crate) fn group_tables(estimates: &LargeEstimates) -> Vec<(&'static str, String)> {
    type Property = (&'static str, fn(&LargeCell) -> String);
    let properties: [Property; 6] = [
        ("network", |cell| cell.model.to_string()),
        ("protection", |cell| cell.protection.label()),
        ("fault model", |cell| cell.fault_model.unscoped().to_string()),
        ("tensor", |cell| cell.fault_model.scope.tensor.as_ref().map_or("all".into(), ToString::to_string)),
        ("bit", |cell| cell.fault_model.scope.bit.map_or("all".into(), |bit| bit.to_string())),
        ("rate", |cell| decade_label(decade(cell.rate))),
    ];
    let tables = properties.into_iter().filter_map(|(property, of)| {
        let groups = estimates.groups(of);
        (groups.len() > 1).then(|| (property, group_table(estimates, property, groups)))
    });
    tables.collect()
}

/// Name of a group of rates: `1e-4 to 1e-3`, the end excluded.
pub(crate) fn decade_label(decade: Option<i32>) -> String {
    decade.map_or("0".into(), |exponent| format!("1e{exponent} to 1e{}", exponent + 1))
}

fn group_table(estimates: &LargeEstimates, property: &str, mut groups: Vec<(String, Group)>) -> String {
    let terms = terms(estimates);
    let all = groups.len();
    let mut note = String::new();
    if all > MOST_ROWS {
        groups.sort_by(|(_, a), (_, b)| b.mean.total_cmp(&a.mean));
        groups.truncate(MOST_ROWS);
        note = format!(
            "\nThe {MOST_ROWS} of {all} with the largest mean; all of them follow from `cells.csv`.\n"
        );
    }
    let digits = terms.digits(3);
    let rows = groups.iter().map(|(name, group)| {
        vec![
            name.clone(),
            group.cells.to_string(),
            group.trials.to_string(),
            digits.text(group.mean),
            digits.text(group.median),
            digits.text(group.percentile_95),
            digits.text(group.largest),
            format!("{:.1}", 100.0 * group.unchanged as f64 / group.trials as f64),
        ]
    });
    let columns = [
        MarkdownColumn::text(property),
        MarkdownColumn::number("cells"),
        MarkdownColumn::number("trials"),
        MarkdownColumn::number("mean"),
        MarkdownColumn::number("median cell"),
        MarkdownColumn::number("95 % of cells"),
        MarkdownColumn::number("largest"),
        MarkdownColumn::number("trials unchanged %"),
    ];
    format!("{}{note}", markdown_table(&columns, &rows.collect::<Vec<_>>()))
}

/// The explanation of the columns of the tables of groups.
pub(crate) fn group_note(estimates: &LargeEstimates) -> String {
    let terms = terms(estimates);
    format!(
        "Each number from `mean` to `largest` is one of the cells' mean {}s ({}), in which every cell of the row has the same \
         weight: their mean, their median, the value that 95 % of them do not exceed, and the largest. `trials unchanged %`: \
         trials in which no weight read back changed. Rates are grouped by powers of ten.",
        terms.drop(),
        terms.drop_in_units()
    )
}

/// The cells with the largest mean drops as a Markdown table, with intervals.
pub fn worst_cells_table(estimates: &LargeEstimates) -> String {
    let terms = terms(estimates);
    let digits = terms.digits(3);
    let drop = terms.drop();
    let rows = estimates.worst.iter().map(|summary| {
        let key = &summary.key;
        vec![
            key.model.clone(),
            key.protection.label(),
            format!("`{}`", key.fault_model),
            rate_label(key.rate),
            summary.trials.to_string(),
            digits.text(summary.drop.mean),
            interval_text(summary.drop.interval, summary.trials, digits),
            summary.drop.sd.map_or(ABSENT.into(), |sd| digits.text(sd)),
            digits.text(summary.drop.max),
        ]
    });
    let columns = [
        MarkdownColumn::text("network"),
        MarkdownColumn::text("protection"),
        MarkdownColumn::text("faults"),
        MarkdownColumn::number("rate"),
        MarkdownColumn::number("trials"),
        MarkdownColumn::number(&format!("mean {drop}")),
        MarkdownColumn::number("95 % interval"),
        MarkdownColumn::number("sd"),
        MarkdownColumn::number("largest"),
    ];
    let rows: Vec<Vec<String>> = rows.collect();
    format!("{}\n{INTERVAL_NOTE}", markdown_table(&columns, &rows))
}

/// Writes all cells as CSV (RFC 4180), a line each. Nothing of it is held in memory.
pub(crate) fn write_cells(estimates: &LargeEstimates, file: &mut dyn Write) -> io::Result<()> {
    let terms = terms(estimates);
    let columns = [
        "cell".into(),
        "model".into(),
        "protection".into(),
        "fault_model".into(),
        "rate".into(),
        "changed_probability".into(),
        "trials".into(),
        terms.value_column("clean_"),
        terms.drop_column("drop_mean"),
        terms.points_column("standard_error"),
        terms.drop_column("drop_sd"),
        terms.drop_column("drop_median"),
        terms.drop_column("drop_min"),
        terms.drop_column("drop_max"),
        "flips".into(),
        "detected".into(),
        "miscorrected".into(),
        "silent".into(),
        "trials_unchanged".into(),
    ];
    write!(file, "{}\r\n", columns.map(|name: String| csv_field(&name)).join(","))?;
    let optional = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:?}"));
    for cell in &estimates.cells {
        let LargeCell { id, model, drop, .. } = cell;
        let [protection, fault_model] = [cell.protection.to_string(), cell.fault_model.to_string()];
        write!(
            file,
            "{id},{},{},{},{},{},{},{:?},{:?},{},{},{:?},{:?},{:?},{},{},{},{},{}\r\n",
            csv_field(model),
            csv_field(&protection),
            csv_field(&fault_model),
            rate_label(cell.rate),
            optional(cell.changed_probability),
            cell.trials,
            cell.clean,
            drop.mean,
            optional(cell.standard_error()),
            optional(drop.sd),
            drop.median,
            drop.min,
            drop.max,
            cell.flips,
            cell.detected,
            cell.miscorrected,
            cell.silent,
            cell.unchanged
        )?;
    }
    Ok(())
}
