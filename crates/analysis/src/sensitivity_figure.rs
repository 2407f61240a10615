//! Mean drops as heat maps: a row for each tensor, a column for each bit, a panel for each ranking.
//!
//! The colours darken evenly from white, so that they keep their order in grey print, and every field has its number.

use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::{HPos, VPos};
use plotters::style::{Color, FontStyle, RGBAColor, RGBColor};

use crate::AnalysisError;
use crate::canvas::{
    Canvas, Drawing, GRID, Header, INK, PAGE_MARGIN, PAGE_TITLE, PAGE_WIDTH, PLAIN, Point, SUBTITLE, Spot,
    TextLook, gradient, text_width, wrap,
};
use crate::report::Measure;
use crate::sensitivity::{Entry, Ranking};
use crate::table::{fixed, interval_text};

/// Between columns of panels, and below each panel.
const GUTTER: i32 = 44;
const PANEL_TITLE: i32 = 28;
const LABEL: i32 = 24;
const ROW: i32 = 36;
/// Height of the scale of colours with its numbers.
const SCALE: i32 = 104;

/// From no drop to the largest: white, orange, red, violet, nearly black; each darker than the one before.
const COLORS: [(u8, u8, u8); 5] =
    [(255, 255, 255), (254, 200, 130), (236, 95, 80), (140, 30, 110), (35, 10, 60)];

/// What is drawn, and where.
pub(crate) struct HeatMaps {
    header: Header<()>,
    panels: Vec<Panel>,
    scale_title: String,
    /// The largest drop in points, which has the darkest colour.
    most: f64,
}

struct Panel {
    title: Vec<String>,
    /// Names of tensors, and width of the widest.
    rows: Vec<String>,
    names_width: i32,
    columns: Vec<String>,
    fields: Vec<Field>,
}

struct Field {
    row: usize,
    column: usize,
    drop_points: f64,
    /// What it tells under the pointer.
    value: String,
}

impl HeatMaps {
    pub(crate) fn new(heading: &str, rankings: &[Ranking], measure: Measure) -> Result<Self, AnalysisError> {
        let drops = rankings.iter().flat_map(|ranking| &ranking.entries).map(|entry| entry.mean_drop_points);
        let columns = if rankings.len() == 1 { 1 } else { 2 };
        let width = (PAGE_WIDTH - 2 * PAGE_MARGIN - (columns - 1) * GUTTER) / columns;
        let panels = rankings.iter().map(|ranking| Panel::new(ranking, width)).collect::<Result<_, _>>()?;
        let explanation = format!(
            "Numbers: mean {} drop in points when only cells of that tensor and bit can flip; bit 7 is the sign. White: no \
             drop, or a gain",
            measure.word()
        );
        Ok(Self {
            header: Header::new(
                (heading, PAGE_TITLE),
                &[&explanation],
                Vec::new(),
                (PAGE_WIDTH, PAGE_MARGIN),
            )?,
            panels,
            scale_title: format!("mean {} drop, points", measure.word()),
            // A sweep without any drop is white.
            most: drops.fold(0.0, f64::max).max(1e-9),
        })
    }

    fn columns(&self) -> i32 {
        if self.panels.len() == 1 { 1 } else { 2 }
    }

    fn panel_width(&self) -> i32 {
        (PAGE_WIDTH - 2 * PAGE_MARGIN - (self.columns() - 1) * GUTTER) / self.columns()
    }

    fn panel_height(&self) -> i32 {
        self.panels.iter().map(Panel::height).max().unwrap_or(0) + GUTTER
    }

    fn color(&self, drop: f64) -> RGBColor {
        gradient(&COLORS, (drop / self.most).clamp(0.0, 1.0))
    }

    fn draw_scale<DB: DrawingBackend>(&self, canvas: &Canvas<DB>, y: i32) -> Result<(), AnalysisError> {
        const STEPS: i32 = 120;
        const STEP: i32 = 5;
        let (top, bottom) = (y, y + 30);
        for i in 0..STEPS {
            let color = self.color(self.most * f64::from(i) / f64::from(STEPS - 1)).to_rgba();
            let left = PAGE_MARGIN + i * STEP;
            canvas.rectangle([(left, top), (left + STEP, bottom)], color)?;
        }
        let right = PAGE_MARGIN + STEPS * STEP;
        outline(canvas, [(PAGE_MARGIN, top), (right, bottom)], INK.to_rgba())?;
        for quarter in 0..=4 {
            let x = PAGE_MARGIN + STEPS * STEP * quarter / 4;
            canvas.line(&[(x, bottom), (x, bottom + 8)], INK.to_rgba(), 2)?;
            let label = short(self.most * f64::from(quarter) / 4.0);
            let h = if quarter == 0 { HPos::Left } else { HPos::Center };
            canvas.text(&label, (x, bottom + 12), TextLook { size: LABEL, h, ..PLAIN })?;
        }
        let look = TextLook { size: SUBTITLE, v: VPos::Center, ..PLAIN };
        canvas.text(&self.scale_title, (right + 28, (top + bottom) / 2), look)
    }
}

impl Panel {
    fn new(ranking: &Ranking, width: i32) -> Result<Self, AnalysisError> {
        let entries = &ranking.entries;
        let all_weights =
            entries.iter().all(|e| e.tensor.as_ref().is_none_or(|name| name.ends_with(".weight")));
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
            let column = bits.iter().position(|bit| *bit == entry.bit).expect("every bit has a column");
            fields.push(Field { row, column, drop_points: entry.mean_drop_points, value: value(entry) });
        }
        let widths = rows.iter().map(|name| text_width(name, LABEL, FontStyle::Normal));
        let widths = widths.collect::<Result<Vec<i32>, _>>()?;
        Ok(Self {
            title: wrap(&ranking.title(false), PANEL_TITLE, FontStyle::Bold, width)?,
            names_width: widths.into_iter().max().unwrap_or(0),
            rows,
            columns: bits.iter().map(|bit| bit.map_or("all bits".into(), |bit| bit.to_string())).collect(),
            fields,
        })
    }

    fn title_height(&self) -> i32 {
        self.title.len() as i32 * PANEL_TITLE * 5 / 4 + 12
    }

    fn height(&self) -> i32 {
        self.title_height() + self.rows.len() as i32 * ROW + 2 * LABEL + 24
    }

    fn draw<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<DB>,
        maps: &HeatMaps,
        (x, y): Point,
        width: i32,
    ) -> Result<(), AnalysisError> {
        for (line, text) in (0..).zip(&self.title) {
            let look = TextLook { size: PANEL_TITLE, style: FontStyle::Bold, ..PLAIN };
            canvas.text(text, (x, y + line * PANEL_TITLE * 5 / 4), look)?;
        }
        let (left, top) = (x + self.names_width + 14, y + self.title_height());
        let columns = self.columns.len() as i32;
        let field = ((x + width - left) / columns).min(120);
        let right = left + columns * field;
        let bottom = top + self.rows.len() as i32 * ROW;
        let label = TextLook { size: LABEL, ..PLAIN };
        for (row, name) in (0..).zip(&self.rows) {
            let at = (left - 14, top + row * ROW + ROW / 2);
            canvas.text(name, at, TextLook { h: HPos::Right, v: VPos::Center, ..label })?;
        }
        for Field { row, column, drop_points, value } in &self.fields {
            let corner = (left + *column as i32 * field, top + *row as i32 * ROW);
            let corners = [corner, (corner.0 + field, corner.1 + ROW)];
            let color = maps.color(*drop_points);
            canvas.rectangle(corners, color.to_rgba())?;
            canvas.hover(Spot::Field(corners), value.clone());
            let ink = if luminance(color) < 0.5 { RGBColor(255, 255, 255) } else { INK };
            let at = (corner.0 + field / 2, corner.1 + ROW / 2);
            let look = TextLook { color: ink, h: HPos::Center, v: VPos::Center, ..label };
            canvas.text(&short(*drop_points), at, TextLook { size: 22, ..look })?;
        }
        for row in 0..=self.rows.len() as i32 {
            canvas.line(&[(left, top + row * ROW), (right, top + row * ROW)], GRID.to_rgba(), 1)?;
        }
        for column in 0..=columns {
            canvas.line(
                &[(left + column * field, top), (left + column * field, bottom)],
                GRID.to_rgba(),
                1,
            )?;
        }
        outline(canvas, [(left, top), (right, bottom)], INK.to_rgba())?;
        let below = TextLook { h: HPos::Center, ..label };
        for (column, name) in (0..).zip(&self.columns) {
            canvas.text(name, (left + column * field + field / 2, bottom + 8), below)?;
        }
        if columns > 1 {
            canvas.text("bit", ((left + right) / 2, bottom + 12 + LABEL), below)?;
        }
        Ok(())
    }
}

impl Drawing for HeatMaps {
    fn size(&self) -> (i32, i32) {
        let rows = (self.panels.len() as i32 + self.columns() - 1) / self.columns();
        (PAGE_WIDTH, self.header.height() + SCALE + rows * self.panel_height())
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<DB>) -> Result<(), AnalysisError> {
        self.header.draw(canvas, |(), _, _| Ok(()))?;
        self.draw_scale(canvas, self.header.height() - 24)?;
        for (i, panel) in (0..).zip(&self.panels) {
            let (column, row) = (i % self.columns(), i / self.columns());
            let x = PAGE_MARGIN + column * (self.panel_width() + GUTTER);
            let y = self.header.height() + SCALE + row * self.panel_height();
            panel.draw(canvas, self, (x, y), self.panel_width())?;
        }
        Ok(())
    }
}

/// A mean drop in words, with what was hit, its interval and the number of trials.
fn value(entry: &Entry) -> String {
    let tensor = entry.tensor.as_deref().unwrap_or("all tensors");
    let bit = entry.bit.map_or("all bits".into(), |bit| format!("bit {bit}"));
    let number = |points| fixed(points, 3);
    format!(
        "{tensor}, {bit}: mean drop {} points, 95 % interval {}, n = {}",
        number(entry.mean_drop_points),
        interval_text(entry.interval, entry.trials, number),
        entry.trials
    )
}

fn outline<DB: DrawingBackend>(
    canvas: &Canvas<DB>,
    [(left, top), (right, bottom)]: [Point; 2],
    color: RGBAColor,
) -> Result<(), AnalysisError> {
    let corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)];
    canvas.line(&corners, color, 2)
}

/// Points with two digits where that says enough.
fn short(points: f64) -> String {
    fixed(points, if points.abs() < 9.95 { 1 } else { 0 })
}

/// How bright a colour is printed in grey, from 0 to 1 (ITU-R BT.601).
fn luminance(RGBColor(r, g, b): RGBColor) -> f64 {
    (0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b)) / 255.0
}

#[cfg(test)]
mod tests {
    use super::{COLORS, luminance};
    use plotters::style::RGBColor;

    #[test]
    fn colours_keep_their_order_in_grey() {
        let grey = COLORS.map(|(r, g, b)| luminance(RGBColor(r, g, b)));
        assert!(grey.windows(2).all(|pair| pair[0] - pair[1] > 0.13), "{grey:?}");
    }
}
