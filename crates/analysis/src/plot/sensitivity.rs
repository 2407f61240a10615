//! Mean drops as heat maps: a row for each tensor, a column for each bit, a panel for each ranking.

use plotters::style::text_anchor::{HPos, VPos};

use crate::estimate::sensitivity::{Entry, Ranking, Sensitivity};
use crate::plot::fields::{Field, FieldTable};
use crate::plot::figure::{Figure, PLAIN, SUBTITLE, TextLook};
use crate::plot::header::{Header, Page};
use crate::plot::panel::{Grid, Panel};
use crate::plot::style::{INK, shade};
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
    scale(&mut figure, top - 24, most, &title, &terms);
    for (i, (heading, table)) in panels.iter().enumerate() {
        let (x, y) = grid.corner(i, top + SCALE);
        heading.draw(&mut figure, (x, y));
        table.draw(&mut figure, (x, y + above), grid.width);
    }
    figure
}

/// The scale of colours, from 0 to the largest drop.
fn scale(figure: &mut Figure, top: i32, most: f64, title: &str, terms: &Terms) {
    const STEPS: i32 = 120;
    const STEP: i32 = 5;
    let (start, bottom) = (Page::WIDE.margin, top + 30);
    for i in 0..STEPS {
        let left = start + i * STEP;
        let (color, _) = shade(f64::from(i) / f64::from(STEPS - 1));
        figure.rectangle([(left, top), (left + STEP, bottom)], color);
    }
    let right = start + STEPS * STEP;
    figure.outline([(start, top), (right, bottom)], INK, 2);
    for quarter in 0..=4 {
        let x = start + STEPS * STEP * quarter / 4;
        figure.line(&[(x, bottom), (x, bottom + 8)], INK, 2);
        let label = short(most * f64::from(quarter) / 4.0, terms);
        let h = if quarter == 0 { HPos::Left } else { HPos::Center };
        figure.text(&label, (x, bottom + 12), TextLook { size: SUBTITLE, h, ..PLAIN });
    }
    let look = TextLook { size: SUBTITLE, v: VPos::Center, ..PLAIN };
    figure.text(title, (right + 28, (top + bottom) / 2), look);
}

fn table(ranking: &Ranking, terms: &Terms, most: f64) -> FieldTable {
    let entries = &ranking.entries;
    let all_weights = entries.iter().all(|e| e.tensor.as_ref().is_none_or(|name| name.ends_with(".weight")));
    let row_name = |tensor: &Option<String>| match tensor {
        None => "all tensors".to_string(),
        Some(name) if all_weights => name.trim_end_matches(".weight").to_string(),
        Some(name) => name.clone(),
    };
    let mut rows: Vec<String> = Vec::new();
    let mut bits: Vec<Option<u8>> = entries.iter().map(|entry| entry.bit).collect();
    // The sign first, as numbers are written; a single column stands for all bits.
    bits.sort_by(|a, b| b.cmp(a));
    bits.dedup();
    let mut fields = Vec::new();
    for entry in entries {
        let name = row_name(&entry.tensor);
        let row = rows.iter().position(|known| *known == name).unwrap_or_else(|| {
            rows.push(name);
            rows.len() - 1
        });
        fields.push(Field {
            row,
            column: bits.iter().position(|bit| *bit == entry.bit).expect("every bit has a column"),
            text: short(entry.mean_drop, terms),
            shade: Some(entry.mean_drop / most),
            framed: false,
            value: value(entry, terms),
        });
    }
    let head = |bit: &Option<u8>| bit.map_or("all bits".into(), |bit| bit.to_string());
    FieldTable { rows, heads: bits.iter().map(head).collect(), fields }
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
