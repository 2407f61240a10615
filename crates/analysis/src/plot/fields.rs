//! Tables of shaded fields with a number in each.

use plotters::style::FontStyle;
use plotters::style::text_anchor::{HPos, VPos};

use crate::plot::figure::{Figure, PLAIN, Point, Spot, TextLook, color_of, text_width};
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
