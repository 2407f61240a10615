//! The cells of a large run as a shaded table: a row for each protection, a column for each power of ten of the rates.

use design::ProtectionName;

use crate::estimate::large::{LargeEstimates, decade};
use crate::plot::fields::{Field, FieldTable, shade_scale};
use crate::plot::figure::Figure;
use crate::plot::header::{Header, Page};
use crate::text::large::{decade_label, terms};

/// Height of the scale of colours with its numbers.
const SCALE: i32 = 104;

/// Most protections that the figure shows, the first of the plan.
const MOST_ROWS: usize = 40;

/// Most columns, those of the highest rates.
const MOST_COLUMNS: usize = 12;

/// Draws the mean of the cells' mean drops by protection and rate.
pub(crate) fn large_figure(estimates: &LargeEstimates, title: &str) -> Figure {
    let terms = terms(estimates);
    let drop = terms.drop_in_units();
    let explanation = format!(
        "Numbers: mean {drop} of the cells of a protection whose rates lie between two powers of ten"
    );
    let header = Header::new(Page::WIDE, title, &[&explanation], Vec::new());
    let groups = estimates.groups(|cell| (cell.protection.clone(), decade(cell.rate)));
    let mut rows = Vec::new();
    let mut columns: Vec<Option<i32>> = Vec::new();
    for ((protection, decade), _) in &groups {
        if !rows.contains(protection) {
            rows.push(protection.clone());
        }
        if !columns.contains(decade) {
            columns.push(*decade);
        }
    }
    rows.truncate(MOST_ROWS);
    columns.sort();
    columns.drain(..columns.len().saturating_sub(MOST_COLUMNS));
    let most = groups.iter().map(|(_, group)| group.mean).fold(0.0, f64::max).max(1e-9);
    let short = |drop: f64| terms.digits(if drop.abs() < 9.95 { 2 } else { 1 }).text(drop);
    let fields = groups.iter().filter_map(|((protection, decade), group)| {
        Some(Field {
            row: rows.iter().position(|row| row == protection)?,
            column: columns.iter().position(|column| column == decade)?,
            text: short(group.mean),
            shade: Some(group.mean.max(0.0) / most),
            framed: false,
            value: format!(
                "{}, rates {}: mean {}, median of {} cells {}, largest {}",
                protection.label(),
                decade_label(*decade),
                short(group.mean),
                group.cells,
                short(group.median),
                short(group.largest)
            ),
        })
    });
    let table = FieldTable {
        fields: fields.collect(),
        rows: rows.iter().map(ProtectionName::label).collect(),
        heads: columns
            .iter()
            .map(|decade| decade.map_or("0".into(), |exponent| format!("1e{exponent}")))
            .collect(),
    };
    let (mut figure, top) = header.figure(SCALE + table.height());
    shade_scale(&mut figure, top - 24, &format!("mean {}", terms.drop_in_units()), |part| short(most * part));
    table.draw(&mut figure, (Page::WIDE.margin, top + SCALE), Page::WIDE.inner_width());
    figure
}
