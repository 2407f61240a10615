//! Accuracy versus bit error rate: one panel for each model and fault model.
//!
//! Everything is placed in pixels here, instead of by a plotting library's chart, because the axis is
//! unusual: logarithmic in the rate, and left of a break the position 0 of the fault-free network. SVG
//! and PNG come from the same code and have the same size, 1,600 pixels wide: printed 6.5 inches wide,
//! the smallest text is about 7 points high.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use plotters::backend::{BitMapBackend, SVGBackend};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, Drawable, PathElement, PointCollection, Polygon, Rectangle, Text};
use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    Color, FontStyle, FontTransform, IntoFont, RGBAColor, RGBColor, ShapeStyle, TextStyle, register_font,
};

use crate::AnalysisError;
use crate::cell::{Cell, points, rate_label};
use crate::estimate::CellSummary;
use crate::folder::Context;
use crate::interval::{INTERVAL_METHOD, Interval};
use crate::report::{Measure, Report, panels};
use crate::style::{Marker, Style, display_name, styles_of};

const WIDTH: i32 = 1600;
const MARGIN: i32 = 36;
/// Between columns of panels.
const GUTTER: i32 = 40;
/// A single panel's height, and that of one of several.
const PANEL_HEIGHTS: (i32, i32) = (860, 700);

const FAMILY: &str = "sans-serif";
const TITLE: i32 = 46;
const PANEL_TITLE: i32 = 36;
const LABEL: i32 = 34;
const TICK: i32 = 32;
const SUBTITLE: i32 = 28;

const WHITE: RGBColor = RGBColor(255, 255, 255);
const INK: RGBColor = RGBColor(30, 30, 30);
const SOFT_INK: RGBColor = RGBColor(85, 85, 85);
const GUIDE: RGBColor = RGBColor(120, 120, 120);
const GRID: RGBColor = RGBColor(225, 225, 225);
const GROUP: RGBColor = RGBColor(245, 245, 245);

const POINT_RADIUS: i32 = 6;
const POINT_ALPHA: f64 = 0.3;
const BAND_ALPHA: f64 = 0.16;
const MARKER_RADIUS: i32 = 10;
/// Sideways distance of neighbouring protections at one rate.
const SHIFT: f64 = 24.0;
/// Room for the fault-free points left of the axis break.
const ZERO_WIDTH: f64 = 124.0;

type Point = (i32, i32);

impl Report {
    /// Accuracy versus bit error rate as SVG. Equal rows give equal bytes; the text stays text.
    ///
    /// # Errors
    /// Only when the drawing library refuses.
    pub fn figure_svg(&self, context: &Context) -> Result<String, AnalysisError> {
        let figure = Figure::new(self, context)?;
        let mut text = String::new();
        draw(&SVGBackend::with_string(&mut text, figure.size()).into_drawing_area(), &figure)?;
        Ok(text)
    }

    /// The same figure as PNG (8-bit RGB, same size in pixels).
    ///
    /// # Errors
    /// Only when the drawing library refuses.
    pub fn figure_png(&self, context: &Context) -> Result<Vec<u8>, AnalysisError> {
        let figure = Figure::new(self, context)?;
        let (width, height) = figure.size();
        let mut pixels = vec![0; 3 * width as usize * height as usize];
        draw(&BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area(), &figure)?;
        let failed = |e: png::EncodingError| AnalysisError::Figure(e.to_string());
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header().map_err(failed)?;
        writer.write_image_data(&pixels).map_err(failed)?;
        writer.finish().map_err(failed)?;
        Ok(bytes)
    }
}

/// Registers the embedded fonts under the family that SVG names too, so that browsers use their own.
fn register_fonts() -> Result<(), AnalysisError> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    let registered = REGISTERED.get_or_init(|| {
        register_font(FAMILY, FontStyle::Normal, dejavu::sans::regular()).is_ok()
            && register_font(FAMILY, FontStyle::Bold, dejavu::sans::bold()).is_ok()
    });
    if *registered { Ok(()) } else { Err(AnalysisError::Figure("the embedded font is unreadable".into())) }
}

/// What is drawn, and where.
struct Figure {
    title: Vec<String>,
    subtitle: Vec<String>,
    /// Rows of entries.
    legend: Vec<Vec<LegendEntry>>,
    panels: Vec<Panel>,
    measure: Measure,
    accuracy: AccuracyAxis,
    chance_percent: Option<f64>,
}

struct LegendEntry {
    label: String,
    key: LegendKey,
    left: i32,
}

#[derive(Clone, Copy)]
enum LegendKey {
    Protection(Style),
    FaultFree,
    Chance,
}

struct Panel {
    title: String,
    series: Vec<Series>,
}

/// One protection in one panel.
struct Series {
    style: Style,
    clean_percent: f64,
    /// Rates ascending.
    estimates: Vec<Estimate>,
}

struct Estimate {
    rate: f64,
    mean_percent: f64,
    /// Interval of the mean; `None` when there is none, zero width when all trials are equal.
    band_percent: Option<(f64, f64)>,
    /// Distinct accuracies and how many trials have each.
    trials_percent: Vec<(f64, usize)>,
}

/// The y axis, shared by all panels.
struct AccuracyAxis {
    low: f64,
    high: f64,
    ticks: Vec<f64>,
    decimals: usize,
}

impl Figure {
    fn new(report: &Report, context: &Context) -> Result<Self, AnalysisError> {
        register_fonts()?;
        let width = WIDTH - 2 * MARGIN;
        let styles = styles_of(&report.protections);
        let models_have_several_fault_models = {
            let all = panels(&report.cells);
            all.iter().any(|(model, _)| all.iter().filter(|(m, _)| m == model).count() > 1)
        };
        let panels: Vec<Panel> = panels(&report.cells)
            .into_iter()
            .map(|(model, fault_model)| Panel {
                title: match models_have_several_fault_models {
                    true => format!("{model}, {fault_model}"),
                    false => model.into(),
                },
                series: series(report, model, fault_model, &styles),
            })
            .collect();
        let protections = report.protections.iter().zip(&styles);
        let mut entries: Vec<(String, LegendKey)> =
            protections.map(|(id, style)| (display_name(id), LegendKey::Protection(*style))).collect();
        entries.push(("fault-free".into(), LegendKey::FaultFree));
        if context.chance_percent.is_some() {
            entries.push(("chance".into(), LegendKey::Chance));
        }
        let mut subtitle = wrap(&report.conditions(), SUBTITLE, FontStyle::Normal, width)?;
        let method = format!(
            "Bands and bars: 95 % intervals of the mean, {INTERVAL_METHOD}. Shaded strips: one rate each"
        );
        subtitle.extend(wrap(&method, SUBTITLE, FontStyle::Normal, width)?);
        Ok(Self {
            title: wrap(context.title, TITLE, FontStyle::Bold, width)?,
            subtitle,
            legend: legend(entries, width)?,
            measure: report.measure,
            accuracy: AccuracyAxis::covering(&panels, context.chance_percent),
            panels,
            chance_percent: context.chance_percent,
        })
    }

    fn header_height(&self) -> i32 {
        MARGIN
            + self.title.len() as i32 * line_height(TITLE)
            + self.subtitle.len() as i32 * line_height(SUBTITLE)
            + self.legend.len() as i32 * LEGEND_ROW
            + 24
    }

    fn columns(&self) -> i32 {
        if self.panels.len() == 1 { 1 } else { 2 }
    }

    fn panel_height(&self) -> i32 {
        if self.panels.len() == 1 { PANEL_HEIGHTS.0 } else { PANEL_HEIGHTS.1 }
    }

    fn size(&self) -> (u32, u32) {
        let rows = (self.panels.len() as i32 + self.columns() - 1) / self.columns();
        (WIDTH as u32, (self.header_height() + rows * self.panel_height()) as u32)
    }
}

fn series(report: &Report, model: &str, fault_model: &str, styles: &[Style]) -> Vec<Series> {
    let mut all = Vec::new();
    for (protection, style) in report.protections.iter().zip(styles) {
        let cells: Vec<(&Cell, &CellSummary)> = (report.cells.iter().zip(report.summaries()))
            .filter(|(c, _)| {
                c.key.model == model && c.key.fault_model == fault_model && c.key.protection == *protection
            })
            .collect();
        if let Some((_, summary)) = cells.first() {
            all.push(Series {
                style: *style,
                clean_percent: summary.clean_accuracy_percent,
                estimates: cells.iter().map(|(cell, summary)| estimate(cell, summary)).collect(),
            });
        }
    }
    all
}

fn estimate(cell: &Cell, summary: &CellSummary) -> Estimate {
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    for trial in &cell.trials {
        *counts.entry(trial.record.correct).or_default() += 1;
    }
    let (clean, mean) = (summary.clean_accuracy_percent, summary.accuracy_percent);
    Estimate {
        rate: cell.key.rate,
        mean_percent: mean,
        band_percent: match summary.drop_points.interval {
            Interval::Absent => None,
            Interval::AllEqual { .. } => Some((mean, mean)),
            Interval::Bca { low, high } => Some((clean - high, clean - low)),
        },
        trials_percent: counts
            .into_iter()
            .map(|(correct, n)| (points(correct as f64, cell.images()), n))
            .collect(),
    }
}

impl AccuracyAxis {
    /// Covers all trials, the fault-free accuracies and chance, with ticks at 1, 2 or 5 times a power of ten.
    fn covering(panels: &[Panel], chance_percent: Option<f64>) -> Self {
        let series = panels.iter().flat_map(|p| &p.series);
        let trials = series.clone().flat_map(|s| &s.estimates).flat_map(|e| &e.trials_percent);
        let values = series.map(|s| s.clean_percent).chain(trials.map(|t| t.0)).chain(chance_percent);
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
        let span = (high - low).max(0.5);
        let (low, high) = (low - 0.06 * span, high + 0.06 * span);
        let magnitude = 10f64.powf((span / 6.0).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * magnitude).into_iter().find(|s| span / s <= 6.5);
        let step = step.expect("ten times the power of ten below a sixth of the span exceeds it");
        // No tick for an accuracy that cannot be.
        let (first, last) = (low.max(0.0) / step, high.min(100.0) / step);
        let ticks = (first.ceil() as i64..=last.floor() as i64).map(|i| i as f64 * step).collect();
        Self { low, high, ticks, decimals: (-step.log10().floor()).max(0.0) as usize }
    }
}

fn line_height(size: i32) -> i32 {
    size * 6 / 5
}

fn text_width(text: &str, size: i32, style: FontStyle) -> Result<i32, AnalysisError> {
    let font = (FAMILY, size, style).into_font();
    let (width, _) = font.box_size(text).map_err(|e| AnalysisError::Figure(e.to_string()))?;
    Ok(width as i32)
}

/// Breaks at spaces; a single word may stick out.
fn wrap(text: &str, size: i32, style: FontStyle, width: i32) -> Result<Vec<String>, AnalysisError> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let longer = lines.last().map(|line| format!("{line} {word}"));
        match longer {
            Some(longer) if text_width(&longer, size, style)? <= width => {
                *lines.last_mut().expect("there is a line to lengthen") = longer;
            }
            _ => lines.push(word.into()),
        }
    }
    Ok(lines)
}

const LEGEND_ROW: i32 = 48;
const LEGEND_KEY: i32 = 64;

/// Fills rows from the left.
fn legend(entries: Vec<(String, LegendKey)>, width: i32) -> Result<Vec<Vec<LegendEntry>>, AnalysisError> {
    let mut rows: Vec<Vec<LegendEntry>> = vec![Vec::new()];
    let mut left = 0;
    for (label, key) in entries {
        let needed = LEGEND_KEY + 12 + text_width(&label, TICK, FontStyle::Normal)?;
        if left + needed > width && left > 0 {
            rows.push(Vec::new());
            left = 0;
        }
        rows.last_mut().expect("there is a row").push(LegendEntry { label, key, left });
        left += needed + 40;
    }
    Ok(rows)
}

/// Drawing in pixels, on any backend.
struct Canvas<'a, DB: DrawingBackend>(&'a DrawingArea<DB, Shift>);

impl<DB: DrawingBackend> Canvas<'_, DB> {
    fn add<'b, E>(&self, element: &'b E) -> Result<(), AnalysisError>
    where
        &'b E: PointCollection<'b, Point>,
        E: Drawable<DB>,
    {
        self.0.draw(element).map_err(|e| AnalysisError::Figure(e.to_string()))
    }

    fn line(&self, points: &[Point], color: RGBAColor, width: u32) -> Result<(), AnalysisError> {
        self.add(&PathElement::new(points, ShapeStyle { color, filled: false, stroke_width: width }))
    }

    fn polygon(&self, points: &[Point], color: RGBAColor) -> Result<(), AnalysisError> {
        self.add(&Polygon::new(points, color.filled()))
    }

    fn disc(&self, center: Point, radius: i32, color: RGBAColor) -> Result<(), AnalysisError> {
        self.add(&Circle::new(center, radius, color.filled()))
    }

    /// A horizontal line of strokes `on` pixels long, `off` pixels apart.
    fn dashed(&self, (left, right): (i32, i32), y: i32, on: i32, off: i32) -> Result<(), AnalysisError> {
        for x in (left..right).step_by((on + off) as usize) {
            self.line(&[(x, y), ((x + on).min(right), y)], GUIDE.to_rgba(), 2)?;
        }
        Ok(())
    }

    fn text(&self, text: &str, (x, y): Point, look: TextLook) -> Result<(), AnalysisError> {
        // Both backends centre a box that reaches below the letters; this centres the letters.
        let lower = if matches!(look.v, VPos::Center) { look.size / 8 } else { 0 };
        let font = (FAMILY, look.size, look.style).into_font();
        let font = if look.upright { font } else { font.transform(FontTransform::Rotate270) };
        let style = TextStyle::from(font).color(&look.color).pos(Pos::new(look.h, look.v));
        self.add(&Text::new(text, (x, y + lower), style))
    }

    fn marker(&self, (x, y): Point, style: Style) -> Result<(), AnalysisError> {
        // A white rim keeps overlapping markers apart.
        self.shape((x, y), style.marker, MARKER_RADIUS + 3, WHITE.to_rgba())?;
        self.shape((x, y), style.marker, MARKER_RADIUS, color_of(style))
    }

    fn shape(&self, (x, y): Point, marker: Marker, r: i32, color: RGBAColor) -> Result<(), AnalysisError> {
        // Half the side of a square, and half the base of a triangle, that look as large as the disc.
        let (side, base) = (r * 8 / 9, r * 10 / 9);
        match marker {
            Marker::Circle => self.disc((x, y), r, color),
            Marker::Square => {
                let corners = [(x - side, y - side), (x + side, y + side)];
                self.add(&Rectangle::new(corners, color.filled()))
            }
            Marker::TriangleUp => {
                self.polygon(&[(x - base, y + side), (x + base, y + side), (x, y - base)], color)
            }
            Marker::TriangleDown => {
                self.polygon(&[(x - base, y - side), (x + base, y - side), (x, y + base)], color)
            }
            Marker::Diamond => {
                let r = r * 5 / 4;
                self.polygon(&[(x - r, y), (x, y - r), (x + r, y), (x, y + r)], color)
            }
            Marker::Cross => {
                let stroke = (r / 2) as u32;
                self.line(&[(x - side, y - side), (x + side, y + side)], color, stroke)?;
                self.line(&[(x - side, y + side), (x + side, y - side)], color, stroke)
            }
        }
    }
}

#[derive(Clone, Copy)]
struct TextLook {
    size: i32,
    style: FontStyle,
    color: RGBColor,
    h: HPos,
    v: VPos,
    upright: bool,
}

const PLAIN: TextLook =
    TextLook { size: TICK, style: FontStyle::Normal, color: INK, h: HPos::Left, v: VPos::Top, upright: true };

fn color_of(style: Style) -> RGBAColor {
    let [r, g, b] = style.rgb;
    RGBColor(r, g, b).to_rgba()
}

fn draw<DB: DrawingBackend>(area: &DrawingArea<DB, Shift>, figure: &Figure) -> Result<(), AnalysisError> {
    let failed = |e: String| AnalysisError::Figure(e);
    area.fill(&WHITE).map_err(|e| failed(e.to_string()))?;
    let canvas = Canvas(area);
    let mut y = MARGIN;
    for line in &figure.title {
        canvas.text(line, (MARGIN, y), TextLook { size: TITLE, style: FontStyle::Bold, ..PLAIN })?;
        y += line_height(TITLE);
    }
    for line in &figure.subtitle {
        canvas.text(line, (MARGIN, y), TextLook { size: SUBTITLE, color: SOFT_INK, ..PLAIN })?;
        y += line_height(SUBTITLE);
    }
    for row in &figure.legend {
        y += LEGEND_ROW;
        for entry in row {
            draw_legend_entry(&canvas, entry, y - LEGEND_ROW / 3)?;
        }
    }
    let top = figure.header_height();
    let columns = figure.columns();
    let width = (WIDTH - 2 * MARGIN - (columns - 1) * GUTTER) / columns;
    for (i, panel) in (0..).zip(&figure.panels) {
        let (column, row) = (i % columns, i / columns);
        let corner = (MARGIN + column * (width + GUTTER), top + row * figure.panel_height());
        draw_panel(&canvas, figure, panel, corner, (width, figure.panel_height()))?;
    }
    area.present().map_err(|e| failed(e.to_string()))
}

fn draw_legend_entry<DB: DrawingBackend>(
    canvas: &Canvas<DB>,
    entry: &LegendEntry,
    y: i32,
) -> Result<(), AnalysisError> {
    let left = MARGIN + entry.left;
    let (right, middle) = (left + LEGEND_KEY, left + LEGEND_KEY / 2);
    match entry.key {
        LegendKey::Protection(style) => {
            canvas.line(&[(left, y), (right, y)], color_of(style), 4)?;
            canvas.marker((middle, y), style)?;
        }
        LegendKey::FaultFree => canvas.dashed((left, right), y, DASH.0, DASH.1)?,
        LegendKey::Chance => canvas.dashed((left, right), y, DOT.0, DOT.1)?,
    }
    canvas.text(&entry.label, (right + 12, y), TextLook { v: VPos::Center, ..PLAIN })
}

/// Strokes and gaps of the fault-free and of the chance line.
const DASH: (i32, i32) = (14, 9);
const DOT: (i32, i32) = (3, 7);

/// Where things are in a panel.
struct Frame {
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
    /// Of the fault-free network.
    zero_x: i32,
    /// Of the smallest and the largest positive rate, and their decimal logarithms.
    rates_x: (f64, f64),
    log_rates: (f64, f64),
    accuracy: (f64, f64),
}

impl Frame {
    fn x(&self, rate: f64) -> f64 {
        if rate == 0.0 {
            return f64::from(self.zero_x);
        }
        let ((left, right), (low, high)) = (self.rates_x, self.log_rates);
        let part = if high > low { (rate.log10() - low) / (high - low) } else { 0.5 };
        left + part * (right - left)
    }

    fn y(&self, accuracy_percent: f64) -> i32 {
        let part = (accuracy_percent - self.accuracy.0) / (self.accuracy.1 - self.accuracy.0);
        (f64::from(self.bottom) - part * f64::from(self.bottom - self.top)).round() as i32
    }
}

fn draw_panel<DB: DrawingBackend>(
    canvas: &Canvas<DB>,
    figure: &Figure,
    panel: &Panel,
    (x, y): Point,
    (width, height): Point,
) -> Result<(), AnalysisError> {
    let mut rates: Vec<f64> = panel.series.iter().flat_map(|s| &s.estimates).map(|e| e.rate).collect();
    rates.retain(|r| *r > 0.0);
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    let (left, right) = (x + 140, x + width - 12);
    let frame = Frame {
        left,
        right,
        top: y + 60,
        bottom: y + height - 110,
        zero_x: left + 62,
        rates_x: (f64::from(left + 200), f64::from(right - 70)),
        log_rates: (rates.first().map_or(0.0, |r| r.log10()), rates.last().map_or(0.0, |r| r.log10())),
        accuracy: (figure.accuracy.low, figure.accuracy.high),
    };
    let xs: Vec<f64> = rates.iter().map(|r| frame.x(*r)).collect();
    let closest = xs.windows(2).map(|w| w[1] - w[0]).fold(ZERO_WIDTH, f64::min);
    let count = panel.series.len() as f64;
    let shift = SHIFT.min(closest / (count + 1.0));
    // A shade behind each group shows which rate it belongs to.
    for x in xs.iter().copied().chain([f64::from(frame.zero_x)]) {
        let half = (count + 0.5) / 2.0 * shift;
        let corners = [((x - half).round() as i32, frame.top), ((x + half).round() as i32, frame.bottom)];
        canvas.add(&Rectangle::new(corners, GROUP.filled()))?;
    }
    draw_axes(canvas, figure, &frame, &rates)?;

    let middle = (left + right) / 2;
    let bold = TextLook { size: PANEL_TITLE, style: FontStyle::Bold, ..PLAIN };
    canvas.text(&panel.title, (middle, y + 6), TextLook { h: HPos::Center, ..bold })?;
    let label = TextLook { size: LABEL, h: HPos::Center, ..PLAIN };
    canvas.text("bit error rate", (middle, frame.bottom + 58), label)?;
    let at = (x + 4, (frame.top + frame.bottom) / 2);
    canvas.text(&format!("{}, %", figure.measure.name()), at, TextLook { upright: false, ..label })?;

    let across = (left, right);
    let mut clean: Vec<i32> = panel.series.iter().map(|s| frame.y(s.clean_percent)).collect();
    clean.sort_unstable();
    clean.dedup();
    for y in clean {
        canvas.dashed(across, y, DASH.0, DASH.1)?;
    }
    if let Some(chance) = figure.chance_percent {
        canvas.dashed(across, frame.y(chance), DOT.0, DOT.1)?;
    }

    let placed: Vec<(&Series, f64)> = (0..)
        .zip(&panel.series)
        .map(|(i, series)| (series, (f64::from(i) - (count - 1.0) / 2.0) * shift))
        .collect();
    for (series, shift) in &placed {
        draw_bands_and_trials(canvas, &frame, series, *shift)?;
    }
    for (series, shift) in &placed {
        draw_means(canvas, &frame, series, *shift)?;
    }
    Ok(())
}

fn draw_axes<DB: DrawingBackend>(
    canvas: &Canvas<DB>,
    figure: &Figure,
    frame: &Frame,
    rates: &[f64],
) -> Result<(), AnalysisError> {
    let Frame { left, right, top, bottom, .. } = *frame;
    let (ink, grid) = (INK.to_rgba(), GRID.to_rgba());
    for tick in &figure.accuracy.ticks {
        let y = frame.y(*tick);
        canvas.line(&[(left, y), (right, y)], grid, 2)?;
        let label = format!("{tick:.*}", figure.accuracy.decimals);
        canvas.text(&label, (left - 14, y), TextLook { h: HPos::Right, v: VPos::Center, ..PLAIN })?;
    }
    canvas.line(&[(left, top), (left, bottom)], ink, 2)?;

    // The axis break between 0 and the logarithmic part.
    let gap = (left + 116, left + 132);
    canvas.line(&[(left, bottom), (gap.0, bottom)], ink, 2)?;
    canvas.line(&[(gap.1, bottom), (right, bottom)], ink, 2)?;
    for x in [gap.0, gap.1] {
        canvas.line(&[(x - 6, bottom + 12), (x + 6, bottom - 12)], ink, 2)?;
    }

    let tick = |x: i32, length: i32| canvas.line(&[(x, bottom), (x, bottom + length)], ink, 2);
    let below = TextLook { h: HPos::Center, ..PLAIN };
    tick(frame.zero_x, 12)?;
    canvas.text("0", (frame.zero_x, bottom + 18), below)?;
    if let (Some(low), Some(high)) = (rates.first(), rates.last()) {
        for decade in low.log10().floor() as i32..=high.log10().ceil() as i32 {
            for multiple in 1..10 {
                let rate = f64::from(multiple) * 10f64.powi(decade);
                if (*low..=*high).contains(&rate) {
                    tick(frame.x(rate).round() as i32, 7)?;
                }
            }
        }
    }
    // Powers of ten first; then the other rates, where there is room.
    let (powers, others): (Vec<f64>, Vec<f64>) =
        rates.iter().partition(|r| (r.log10() - r.log10().round()).abs() < 1e-9);
    let mut taken: Vec<(i32, i32)> = Vec::new();
    for rate in powers.into_iter().chain(others) {
        let x = frame.x(rate).round() as i32;
        tick(x, 12)?;
        let label = rate_label(rate);
        let half = text_width(&label, TICK, FontStyle::Normal)? / 2 + 8;
        if taken.iter().all(|(from, to)| x + half <= *from || x - half >= *to) {
            taken.push((x - half, x + half));
            canvas.text(&label, (x, bottom + 18), below)?;
        }
    }
    Ok(())
}

fn draw_bands_and_trials<DB: DrawingBackend>(
    canvas: &Canvas<DB>,
    frame: &Frame,
    series: &Series,
    shift: f64,
) -> Result<(), AnalysisError> {
    let color = color_of(series.style);
    let x = |rate: f64| (frame.x(rate) + shift).round() as i32;
    let positive: Vec<&Estimate> = series.estimates.iter().filter(|e| e.rate > 0.0).collect();
    for pair in positive.windows(2) {
        if let (Some(one), Some(two)) = (pair[0].band_percent, pair[1].band_percent) {
            let (from, to) = (x(pair[0].rate), x(pair[1].rate));
            let corners =
                [(from, frame.y(one.0)), (to, frame.y(two.0)), (to, frame.y(two.1)), (from, frame.y(one.1))];
            canvas.polygon(&corners, color.mix(BAND_ALPHA))?;
        }
    }
    for estimate in &series.estimates {
        for (accuracy, count) in &estimate.trials_percent {
            // As dark as `count` discs on top of each other.
            let alpha = 1.0 - (1.0 - POINT_ALPHA).powi(i32::try_from(*count).unwrap_or(i32::MAX));
            canvas.disc((x(estimate.rate), frame.y(*accuracy)), POINT_RADIUS, color.mix(alpha))?;
        }
    }
    Ok(())
}

fn draw_means<DB: DrawingBackend>(
    canvas: &Canvas<DB>,
    frame: &Frame,
    series: &Series,
    shift: f64,
) -> Result<(), AnalysisError> {
    let color = color_of(series.style);
    let x = |rate: f64| (frame.x(rate) + shift).round() as i32;
    let at = |e: &Estimate| (x(e.rate), frame.y(e.mean_percent));
    let line: Vec<Point> = series.estimates.iter().filter(|e| e.rate > 0.0).map(at).collect();
    canvas.line(&line, color, 4)?;
    for estimate in &series.estimates {
        if let Some((low, high)) = estimate.band_percent {
            let (x, low, high) = (x(estimate.rate), frame.y(low), frame.y(high));
            canvas.line(&[(x, low), (x, high)], color, 3)?;
            for end in [low, high] {
                canvas.line(&[(x - 8, end), (x + 8, end)], color, 3)?;
            }
        }
        canvas.marker(at(estimate), series.style)?;
    }
    canvas.marker((x(0.0), frame.y(series.clean_percent)), series.style)
}
