//! Tables of shaded fields with a number in each.

use plotters::style::FontStyle;
use plotters::style::text_anchor::{HPos, VPos};

use crate::plot::figure::{Figure, PLAIN, Point, SUBTITLE, Spot, TextLook, color_of, text_width};
use crate::plot::header::Page;
use crate::plot::style::{GRID, INK, VERMILION, shade};

const ROW: i32 = 40;
const TEXT: i32 = 26;
/// Largest width of a column.
const WIDEST: i32 = 140;

/// Fields in rows and columns, with a name for each.
pub(crate) struct FieldTable {
    pub(crate) rows: Vec<String>,
    pub(crate) heads: Vec<String>,
    pub(crate) fields: Vec<Field>,
}

pub(crate) struct Field {
    pub(crate) row: usize,
    pub(crate) column: usize,
    pub(crate) text: String,
    /// Darkness from 0 to 1; a field without one is only its text.
    pub(crate) shade: Option<f64>,
    pub(crate) framed: bool,
    /// Text under the pointer; none if empty.
    pub(crate) value: String,
}

/// A tensor and a bit of a heat map; `None` stands for all.
pub(crate) struct TensorBit<'a> {
    pub(crate) tensor: Option<&'a str>,
    pub(crate) bit: Option<u8>,
    pub(crate) text: String,
    /// Darkness from 0 to 1.
    pub(crate) shade: f64,
    /// Text under the pointer.
    pub(crate) value: String,
}

/// A table with a row for each tensor, in order of appearance, and a column for each bit, the sign first.
pub(crate) fn heat_map<'a>(entries: impl Iterator<Item = TensorBit<'a>>) -> FieldTable {
    let entries: Vec<TensorBit<'a>> = entries.collect();
    let all_weights = entries.iter().all(|e| e.tensor.is_none_or(|name| name.ends_with(".weight")));
    let row_name = |tensor: Option<&str>| match tensor {
        None => "all tensors".to_string(),
        Some(name) if all_weights => name.trim_end_matches(".weight").to_string(),
        Some(name) => name.to_string(),
    };
    let mut rows: Vec<String> = Vec::new();
    let mut bits: Vec<Option<u8>> = entries.iter().map(|entry| entry.bit).collect();
    // The sign first, as numbers are written; a single column stands for all bits.
    bits.sort_by(|a, b| b.cmp(a));
    bits.dedup();
    let mut fields = Vec::new();
    for entry in entries {
        let name = row_name(entry.tensor);
        let row = rows.iter().position(|known| *known == name).unwrap_or_else(|| {
            rows.push(name);
            rows.len() - 1
        });
        fields.push(Field {
            row,
            column: bits.iter().position(|bit| *bit == entry.bit).expect("every bit has a column"),
            text: entry.text,
            shade: Some(entry.shade),
            framed: false,
            value: entry.value,
        });
    }
    let head = |bit: &Option<u8>| bit.map_or("all bits".into(), |bit| bit.to_string());
    FieldTable { rows, heads: bits.iter().map(head).collect(), fields }
}

/// The scale of colours, from white to the darkest; `label` is the text at a share of it.
pub(crate) fn shade_scale(figure: &mut Figure, top: i32, title: &str, label: impl Fn(f64) -> String) {
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
        let h = if quarter == 0 { HPos::Left } else { HPos::Center };
        let label = label(f64::from(quarter) / 4.0);
        figure.text(&label, (x, bottom + 12), TextLook { size: SUBTITLE, h, ..PLAIN });
    }
    let look = TextLook { size: SUBTITLE, v: VPos::Center, ..PLAIN };
    figure.text(title, (right + 28, (top + bottom) / 2), look);
}

impl FieldTable {
    pub(crate) fn height(&self) -> i32 {
        ROW * (1 + self.rows.len() as i32)
    }

    pub(crate) fn draw(&self, figure: &mut Figure, (x, y): Point, width: i32) {
        let names = self.rows.iter().map(|name| text_width(name, TEXT, FontStyle::Normal)).max();
        let left = x + names.unwrap_or(0) + 24;
        let step = ((x + width - left) / self.heads.len().max(1) as i32).min(WIDEST);
        let centred = TextLook { size: TEXT, h: HPos::Center, v: VPos::Center, ..PLAIN };
        for (column, head) in (0..).zip(&self.heads) {
            figure.text(head, (left + column * step + step / 2 - 2, y + ROW / 2), centred);
        }
        for (row, name) in (1..).zip(&self.rows) {
            figure.text(name, (x, y + row * ROW + ROW / 2), TextLook { h: HPos::Left, ..centred });
        }
        for field in &self.fields {
            let (left, top) = (left + field.column as i32 * step, y + (1 + field.row as i32) * ROW);
            let (right, bottom) = (left + step - 4, top + ROW);
            let inner = [(left, top + 2), (right, bottom - 2)];
            let mut look = centred;
            if let Some(part) = field.shade {
                let (fill, ink) = shade(part);
                figure.rectangle(inner, GRID);
                figure.rectangle([(left + 1, top + 3), (right - 1, bottom - 3)], fill);
                look.color = ink;
            } else {
                look.color = INK;
            }
            if field.framed {
                figure.outline(inner, color_of(VERMILION), 4);
                look.style = FontStyle::Bold;
            }
            figure.text(&field.text, ((left + right) / 2, top + ROW / 2), look);
            if !field.value.is_empty() {
                figure.hover(Spot::Field([(left, top), (right, bottom)]), field.value.clone());
            }
        }
    }
}
