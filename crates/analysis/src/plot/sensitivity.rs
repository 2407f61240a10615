//! Mean drops as heat maps: a row for each tensor, a column for each bit, a panel for each ranking.

use crate::estimate::sensitivity::{Entry, Ranking, Sensitivity};
use crate::plot::fields::{FieldTable, TensorBit, heat_map, shade_scale};
use crate::plot::figure::Figure;
use crate::plot::header::{Header, Page};
use crate::plot::panel::{Grid, Panel};
use crate::text::number::interval_text;
use crate::text::sensitivity::{ranking_title, terms};
use crate::text::terms::Terms;

/// Height of the scale of colours with its numbers.
const SCALE: i32 = 104;

/// Draws the mean drops by tensor and bit, a panel for each ranking.
pub fn sensitivity_figure(sensitivity: &Sensitivity, title: &str) -> Figure {
    let terms = terms(sensitivity);
    let drop = match terms.metric() {
        None => terms.drop_in_units(),
        Some(metric) => format!("degradation of {metric}"),
    };
    let explanation = format!(
        "Numbers: mean {drop} when only bits of that tensor and position can flip. Columns: bits, of \
         which 7 is the sign. White: no {}, or a gain",
        terms.drop()
    );
    let header = Header::new(Page::WIDE, title, &[&explanation], Vec::new());
    let rankings = &sensitivity.rankings;
    let drops = rankings.iter().flat_map(|ranking| &ranking.entries).map(|entry| entry.mean_drop);
    // A sweep without any drop is white.
    let most = drops.fold(0.0, f64::max).max(1e-9);
    let title = match terms.metric() {
        None => format!("mean {} drop, points", terms.word()),
        Some(_) => format!("mean {drop}"),
    };
    let width = Grid::panel_width(Page::WIDE, if rankings.len() == 1 { 1 } else { 2 });
    let panels: Vec<(Panel, FieldTable)> = rankings
        .iter()
        .map(|ranking| {
            (Panel::new(&ranking_title(ranking, &terms, false), &[], width), table(ranking, &terms, most))
        })
        .collect();
    let above = panels.iter().map(|(heading, _)| heading.height()).max().unwrap_or(0);
    let height = above + panels.iter().map(|(_, table)| table.height()).max().unwrap_or(0) + 44;
    let grid = Grid::new(Page::WIDE, panels.len(), height, 2);
    let (mut figure, top) = header.figure(SCALE + grid.height());
    shade_scale(&mut figure, top - 24, &title, |part| short(most * part, &terms));
    for (i, (heading, table)) in panels.iter().enumerate() {
        let (x, y) = grid.corner(i, top + SCALE);
        heading.draw(&mut figure, (x, y));
        table.draw(&mut figure, (x, y + above), grid.width);
    }
    figure
}

fn table(ranking: &Ranking, terms: &Terms, most: f64) -> FieldTable {
    heat_map(ranking.entries.iter().map(|entry| TensorBit {
        tensor: entry.tensor.as_deref(),
        bit: entry.bit,
        text: short(entry.mean_drop, terms),
        shade: entry.mean_drop / most,
        value: value(entry, terms),
    }))
}

/// Text of a mean drop: the bits that could flip, its interval and the number of trials.
fn value(entry: &Entry, terms: &Terms) -> String {
    let tensor = entry.tensor.as_deref().unwrap_or("all tensors");
    let bit = entry.bit.map_or("all bits".into(), |bit| format!("bit {bit}"));
    let digits = terms.digits(3);
    format!(
        "{tensor}, {bit}: mean {} {}{}, 95 % interval {}, n = {}",
        terms.drop(),
        digits.text(entry.mean_drop),
        terms.points(),
        interval_text(entry.interval, entry.trials, digits),
        entry.trials
    )
}

/// Points with two digits where that says enough, or a degradation.
fn short(drop: f64, terms: &Terms) -> String {
    terms.digits(if drop.abs() < 9.95 { 1 } else { 0 }).text(drop)
}
