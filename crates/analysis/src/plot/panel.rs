//! Panels below a figure's head, and the frames with axes in them.

use plotters::style::FontStyle;
use plotters::style::text_anchor::{HPos, VPos};

use crate::plot::figure::{
    Figure, PANEL_TITLE, PLAIN, Point, SUBTITLE, TextLook, line_height, text_width, wrap,
};
use crate::plot::header::Page;
use crate::plot::style::{GRID, INK, SOFT_INK};

/// Between columns of panels.
const GUTTER: i32 = 40;

/// Places of the panels of a figure: row by row, all of one size.
pub(crate) struct Grid {
    page: Page,
    columns: i32,
    rows: i32,
    /// Width of a panel in pixels.
    pub(crate) width: i32,
    height: i32,
}

impl Grid {
    /// Places for panels of this height, in at most `most_columns` columns.
    pub(crate) fn new(page: Page, panels: usize, height: i32, most_columns: i32) -> Self {
        let columns = (panels as i32).clamp(1, most_columns);
        let rows = (panels as i32 + columns - 1) / columns;
        Self { page, columns, rows, width: Self::panel_width(page, columns), height }
    }

    /// Width of a panel beside others.
    pub(crate) fn panel_width(page: Page, columns: i32) -> i32 {
        (page.inner_width() - (columns - 1) * GUTTER) / columns
    }

    pub(crate) fn height(&self) -> i32 {
        self.rows * self.height
    }

    /// Upper left corner of the i-th panel below `top`.
    pub(crate) fn corner(&self, i: usize, top: i32) -> Point {
        let (column, row) = (i as i32 % self.columns, i as i32 / self.columns);
        (self.page.margin + column * (self.width + GUTTER), top + row * self.height)
    }
}

/// The headings of a panel.
pub(crate) struct Panel {
    title: Vec<String>,
    notes: Vec<String>,
}

impl Panel {
    /// Wraps a title, and notes below it.
    pub(crate) fn new(title: &str, notes: &[&str], width: i32) -> Self {
        Self {
            title: wrap(title, PANEL_TITLE, FontStyle::Bold, width),
            notes: notes.iter().flat_map(|note| wrap(note, SUBTITLE, FontStyle::Normal, width)).collect(),
        }
    }

    /// From the panel's upper edge to what is below the headings.
    pub(crate) fn height(&self) -> i32 {
        self.title.len() as i32 * line_height(PANEL_TITLE)
            + self.notes.len() as i32 * line_height(SUBTITLE)
            + 16
    }

    pub(crate) fn draw(&self, figure: &mut Figure, (x, mut y): Point) {
        for line in &self.title {
            figure.text(line, (x, y), TextLook { size: PANEL_TITLE, style: FontStyle::Bold, ..PLAIN });
            y += line_height(PANEL_TITLE);
        }
        for line in &self.notes {
            figure.text(line, (x, y), TextLook { size: SUBTITLE, color: SOFT_INK, ..PLAIN });
            y += line_height(SUBTITLE);
        }
    }
}

/// A tick of an axis: pixel and label.
pub(crate) type Tick = (i32, String);

/// The rectangle in which a panel shows data, in pixels.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) left: i32,
    pub(crate) right: i32,
    pub(crate) top: i32,
    pub(crate) bottom: i32,
    /// Left edge of what is written beside the vertical axis.
    outer: i32,
    /// Size of the labels; the axes' names are a little larger.
    text: i32,
}

impl Frame {
    /// A frame between the edges of a panel, with room for the labels of the vertical axis and its name.
    pub(crate) fn new(
        (outer, right): (i32, i32),
        (top, bottom): (i32, i32),
        text: i32,
        ticks: &[Tick],
    ) -> Self {
        let labels = ticks.iter().map(|(_, label)| text_width(label, text, FontStyle::Normal)).max();
        let left = outer + line_height(text + 2) + labels.unwrap_or(0) + 20;
        Self { left, right, top, bottom, outer, text }
    }

    /// Height of what is written below a frame.
    pub(crate) fn below(text: i32) -> i32 {
        18 + line_height(text) + line_height(text + 2) + 16
    }

    /// Frames side by side that share the vertical axis, which is the first one's.
    pub(crate) fn columns(self, count: usize, gap: i32) -> Vec<Self> {
        let width = (self.right - self.left + gap) / count.max(1) as i32;
        let left = |column: i32| self.left + column * width;
        (0..count as i32)
            .map(|column| Self { left: left(column), right: left(column) + width - gap, ..self })
            .collect()
    }

    fn label(&self) -> TextLook {
        TextLook { size: self.text, ..PLAIN }
    }

    fn name(&self) -> TextLook {
        TextLook { size: self.text + 2, h: HPos::Center, ..PLAIN }
    }

    /// Pixel column in the middle.
    pub(crate) fn middle(&self) -> i32 {
        (self.left + self.right) / 2
    }

    /// The line of the vertical axis, and a line across the frame at each tick.
    pub(crate) fn grid(&self, figure: &mut Figure, ticks: &[Tick]) {
        for (y, _) in ticks {
            figure.line(&[(self.left, *y), (self.right, *y)], GRID, 2);
        }
        figure.line(&[(self.left, self.top), (self.left, self.bottom)], INK, 2);
    }

    /// The labels and the name of the vertical axis.
    pub(crate) fn name_left(&self, figure: &mut Figure, ticks: &[Tick], name: &str) {
        for (y, label) in ticks {
            let look = TextLook { h: HPos::Right, v: VPos::Center, ..self.label() };
            figure.text(label, (self.left - 14, *y), look);
        }
        let at = (self.outer, (self.top + self.bottom) / 2);
        figure.text(name, at, TextLook { upright: false, ..self.name() });
    }

    /// The horizontal axis: its line, its ticks and its name.
    pub(crate) fn bottom_axis(&self, figure: &mut Figure, ticks: &[Tick], name: &str) {
        figure.line(&[(self.left, self.bottom), (self.right, self.bottom)], INK, 2);
        self.ticks_below(figure, ticks);
        self.name_below(figure, name);
    }

    /// Ticks of the horizontal axis. A label without room beside the ones before it is left out.
    pub(crate) fn ticks_below(&self, figure: &mut Figure, ticks: &[Tick]) {
        let mut taken: Vec<(i32, i32)> = Vec::new();
        for (x, label) in ticks {
            figure.line(&[(*x, self.bottom), (*x, self.bottom + 12)], INK, 2);
            let half = text_width(label, self.text, FontStyle::Normal) / 2 + 8;
            if taken.iter().all(|(from, to)| x + half <= *from || x - half >= *to) {
                taken.push((x - half, x + half));
                figure.text(label, (*x, self.bottom + 18), TextLook { h: HPos::Center, ..self.label() });
            }
        }
    }

    pub(crate) fn name_below(&self, figure: &mut Figure, name: &str) {
        figure.text(name, (self.middle(), self.bottom + 20 + line_height(self.text)), self.name());
    }
}
