//! The head of a figure: title, subtitles and legend.

use plotters::style::FontStyle;
use plotters::style::text_anchor::VPos;

use crate::plot::figure::{
    Figure, PLAIN, Point, SUBTITLE, TEXT, TextLook, color_of, line_height, text_width, wrap,
};
use crate::plot::style::{GUIDE, SOFT_INK, Style};

/// Width of a figure, its margin and the size of its title, in pixels.
#[derive(Clone, Copy)]
pub(crate) struct Page {
    pub(crate) width: i32,
    pub(crate) margin: i32,
    title: i32,
}

impl Page {
    /// Across a page: printed 6.5 inches wide, text of 32 pixels is 9 points high.
    pub(crate) const WIDE: Self = Self { width: 1600, margin: 36, title: 46 };
    /// In a column of a paper: printed 3.4 inches wide, text of 28 pixels is 7 points high.
    pub(crate) const COLUMN: Self = Self { width: 1000, margin: 24, title: 40 };

    /// Width between the margins.
    pub(crate) fn inner_width(self) -> i32 {
        self.width - 2 * self.margin
    }
}

/// Sample in a legend.
#[derive(Clone, Copy)]
pub(crate) enum Key {
    /// A line with its marker.
    Line(Style),
    /// A line with an open marker.
    Open(Style),
    /// A reference line with this pattern.
    Guide(&'static [i32]),
    /// A filled bar.
    Filled([u8; 3]),
    /// A hatched bar.
    Hatched([u8; 3]),
}

impl Key {
    fn draw(self, figure: &mut Figure, (left, right): (i32, i32), y: i32) {
        let ends = [(left, y), (right, y)];
        let middle = ((left + right) / 2, y);
        match self {
            Self::Line(style) => {
                figure.patterned(&ends, style.pattern, color_of(style.rgb), 4);
                figure.marker(middle, style);
            }
            Self::Open(style) => {
                figure.patterned(&ends, style.pattern, color_of(style.rgb), 4);
                figure.open_marker(middle, style);
            }
            Self::Guide(pattern) => figure.patterned(&ends, pattern, GUIDE, 3),
            Self::Filled(color) => figure.rectangle([(left, y - 14), (right, y + 14)], color_of(color)),
            Self::Hatched(color) => hatched(figure, [(left, y - 14), (right, y + 14)], color),
        }
    }
}

/// Distance of the strokes of hatching, across.
const HATCH: i32 = 14;

/// A bar of strokes from lower left to upper right, with an outline: different from a filled one in grey print too.
pub(crate) fn hatched(figure: &mut Figure, [(left, top), (right, bottom)]: [Point; 2], rgb: [u8; 3]) {
    let color = color_of(rgb);
    let (width, height) = (right - left, bottom - top);
    for start in (HATCH / 2..width + height).step_by(HATCH as usize) {
        let from = if start < width { (left + start, bottom) } else { (right, bottom - (start - width)) };
        let to = if start < height { (left, bottom - start) } else { (left + (start - height), top) };
        figure.line(&[from, to], color, 3);
    }
    figure.outline([(left, top), (right, bottom)], color, 3);
}

const ROW: i32 = 48;
const KEY: i32 = 92;

/// Title, subtitles and legend of a figure.
pub(crate) struct Header {
    page: Page,
    title: Vec<String>,
    subtitle: Vec<String>,
    /// Rows of entries, each with its label and its distance from the left margin.
    legend: Vec<Vec<(Key, String, i32)>>,
}

impl Header {
    /// Wraps the texts and fills the legend's rows.
    pub(crate) fn new(
        page: Page,
        title: &str,
        subtitles: &[impl AsRef<str>],
        entries: Vec<(Key, String)>,
    ) -> Self {
        let width = page.inner_width();
        let mut legend = vec![Vec::new()];
        let mut left = 0;
        for (key, label) in entries {
            let needed = KEY + 12 + text_width(&label, TEXT, FontStyle::Normal);
            if left + needed > width && left > 0 {
                legend.push(Vec::new());
                left = 0;
            }
            legend.last_mut().expect("there is a row").push((key, label, left));
            left += needed + 40;
        }
        legend.retain(|row| !row.is_empty());
        Self {
            page,
            title: wrap(title, page.title, FontStyle::Bold, width),
            subtitle: subtitles
                .iter()
                .flat_map(|text| wrap(text.as_ref(), SUBTITLE, FontStyle::Normal, width))
                .collect(),
            legend,
        }
    }

    fn height(&self) -> i32 {
        self.page.margin
            + self.title.len() as i32 * line_height(self.page.title)
            + self.subtitle.len() as i32 * line_height(SUBTITLE)
            + self.legend.len() as i32 * ROW
            + 44
    }

    /// A figure with this head and room for `height` pixels of panels, and the upper edge of these.
    pub(crate) fn figure(&self, height: i32) -> (Figure, i32) {
        let Page { width, margin, title } = self.page;
        let mut figure = Figure::new(width, self.height() + height + margin);
        let mut y = margin;
        for line in &self.title {
            figure.text(line, (margin, y), TextLook { size: title, style: FontStyle::Bold, ..PLAIN });
            y += line_height(title);
        }
        for line in &self.subtitle {
            figure.text(line, (margin, y), TextLook { size: SUBTITLE, color: SOFT_INK, ..PLAIN });
            y += line_height(SUBTITLE);
        }
        for row in &self.legend {
            y += ROW;
            for (key, label, left) in row {
                let (left, middle) = (margin + left, y - ROW / 3);
                let right = left + KEY;
                key.draw(&mut figure, (left, right), middle);
                figure.text(label, (right + 12, middle), TextLook { v: VPos::Center, ..PLAIN });
            }
        }
        (figure, self.height())
    }
}
