//! Accuracy versus the rate of faults: one panel for each model and fault model.
//!
//! Everything is placed in pixels here, instead of by a plotting library's chart, because the axis is
//! unusual: logarithmic in the rate, and left of a break the position 0 of the fault-free network. SVG
//! and PNG come from the same code and have the same size, 1,600 pixels wide: printed 6.5 inches wide,
//! the smallest text is about 7 points high.

use std::collections::BTreeMap;

use design::FaultModel;
use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::{HPos, VPos};
use plotters::style::{Color, FontStyle, RGBColor};

use crate::AnalysisError;
use crate::axis::AccuracyAxis;
use crate::canvas::{
    Canvas, DASH, Drawing, GRID, GUIDE, HOVER_RADIUS, Header, INK, PAGE_MARGIN, PAGE_TITLE, PAGE_WIDTH,
    PANEL_TITLE, PLAIN, Point, Spot, TICK, TextLook, color_of, png, svg, text_width,
};
use crate::cell::{Cell, ascending, points, rate_label};
use crate::estimate::CellSummary;
use crate::folder::Context;
use crate::interval::{INTERVAL_METHOD, Interval};
use crate::rate::rate_name;
use crate::report::{Measure, Report};
use crate::style::{Style, display_name, styles_of};
use crate::table::{fixed, interval_text, summary_number};

/// Between columns of panels.
const GUTTER: i32 = 40;
/// A single panel's height, and that of one of several.
const PANEL_HEIGHTS: (i32, i32) = (860, 700);

const LABEL: i32 = 34;
const GROUP: RGBColor = RGBColor(245, 245, 245);

/// Height of the dash of a trial, and how much of what is below a single one covers.
const TRIAL_HEIGHT: i32 = 4;
const TRIAL_ALPHA: f64 = 0.4;
const BAND_ALPHA: f64 = 0.16;
/// Sideways distance of neighbouring protections at one rate, and the most of all together: so few pixels that every
/// mean is seen at its rate.
const SHIFT: f64 = 6.0;
const STRIP: f64 = 20.0;
/// Sideways distance of neighbouring protections at 0, which has no scale beside it.
const ZERO_SHIFT: f64 = 24.0;
/// Room for the fault-free points left of the axis break.
const ZERO_WIDTH: f64 = 124.0;

impl Report {
    /// Accuracy versus the rate of faults as SVG. Equal rows give equal bytes; the text stays text.
    ///
    /// # Errors
    /// Only when the drawing library refuses.
    pub fn figure_svg(&self, context: &Context) -> Result<String, AnalysisError> {
        svg(&Figure::new(self, context)?)
    }

    /// The same figure as PNG (8-bit RGB, same size in pixels).
    ///
    /// # Errors
    /// Only when the drawing library refuses.
    pub fn figure_png(&self, context: &Context) -> Result<Vec<u8>, AnalysisError> {
        png(&Figure::new(self, context)?)
    }
}

/// What is drawn, and where.
struct Figure {
    header: Header<LegendKey>,
    panels: Vec<Panel>,
    measure: Measure,
    accuracy: AccuracyAxis,
    chance_percent: Option<f64>,
}

#[derive(Clone, Copy)]
enum LegendKey {
    Protection(Style),
    FaultFree,
    Chance,
}

struct Panel {
    title: String,
    /// What the rates are.
    rate_name: String,
    series: Vec<Series>,
}

/// One protection in one panel.
struct Series {
    style: Style,
    /// Of the network without faults.
    clean_percent: f64,
    /// Of the network as the protection stores it; `None` when that was not measured.
    fault_free_percent: Option<f64>,
    /// What its marker tells.
    fault_free_value: String,
    /// Rates ascending.
    estimates: Vec<Estimate>,
}

struct Estimate {
    rate: f64,
    mean_percent: f64,
    /// What its marker tells.
    value: String,
    /// Interval of the mean; `None` when there is none, zero width when all trials are equal.
    band_percent: Option<(f64, f64)>,
    /// Distinct accuracies and how many trials have each.
    trials_percent: Vec<(f64, usize)>,
}

impl Figure {
    fn new(report: &Report, context: &Context) -> Result<Self, AnalysisError> {
        let styles = styles_of(&report.protections);
        let models_have_several_fault_models = {
            let all = report.panels();
            all.iter().any(|(model, _)| all.iter().filter(|(m, _)| m == model).count() > 1)
        };
        let panels: Vec<Panel> = report
            .panels()
            .into_iter()
            .map(|(model, fault_model)| Panel {
                title: match models_have_several_fault_models {
                    true => format!("{model}, {fault_model}"),
                    false => model.into(),
                },
                rate_name: rate_name(fault_model),
                series: series(report, model, fault_model, &styles),
            })
            .collect();
        let protections = report.protections.iter().zip(&styles);
        let mut entries: Vec<(LegendKey, String)> =
            protections.map(|(id, style)| (LegendKey::Protection(*style), display_name(id))).collect();
        let network = if report.lossy.is_empty() { "fault-free" } else { "fault-free network" };
        entries.push((LegendKey::FaultFree, network.into()));
        if context.chance_percent.is_some() {
            entries.push((LegendKey::Chance, "chance".into()));
        }
        let at_zero = report.lossy.iter().map(|storage| storage.correct.is_none()).max();
        let at_zero = match at_zero {
            None => "",
            Some(false) => ". Markers at 0: the network as each protection stores it",
            Some(true) => {
                ". Markers at 0: the network as each protection stores it; none where that was not measured"
            }
        };
        let method = format!(
            "Bands and bars: 95 % intervals of the mean, {INTERVAL_METHOD}. Dashes: single trials. Strips: one rate each{at_zero}"
        );
        let conditions = report.conditions();
        let all = panels.iter().flat_map(|p| &p.series);
        let trials = all.clone().flat_map(|s| &s.estimates).flat_map(|e| &e.trials_percent);
        let fault_free = all.clone().filter_map(|s| s.fault_free_percent);
        let values = all.map(|s| s.clean_percent).chain(fault_free);
        let values = values.chain(trials.map(|t| t.0)).chain(context.chance_percent);
        Ok(Self {
            header: Header::new(
                (context.title, PAGE_TITLE),
                &[&conditions, &method],
                entries,
                (PAGE_WIDTH, PAGE_MARGIN),
            )?,
            measure: report.measure,
            accuracy: AccuracyAxis::covering(values, 6.5),
            panels,
            chance_percent: context.chance_percent,
        })
    }

    fn columns(&self) -> i32 {
        if self.panels.len() == 1 { 1 } else { 2 }
    }

    fn panel_height(&self) -> i32 {
        if self.panels.len() == 1 { PANEL_HEIGHTS.0 } else { PANEL_HEIGHTS.1 }
    }
}

impl Drawing for Figure {
    fn size(&self) -> (i32, i32) {
        let rows = (self.panels.len() as i32 + self.columns() - 1) / self.columns();
        (PAGE_WIDTH, self.header.height() + rows * self.panel_height())
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<DB>) -> Result<(), AnalysisError> {
        self.header.draw(canvas, |key, (left, right), y| match key {
            LegendKey::Protection(style) => {
                canvas.line(&[(left, y), (right, y)], color_of(style), 4)?;
                canvas.marker(((left + right) / 2, y), style)
            }
            LegendKey::FaultFree => canvas.patterned(&[(left, y), (right, y)], DASH, GUIDE.to_rgba(), 2),
            LegendKey::Chance => canvas.patterned(&[(left, y), (right, y)], DOT, GUIDE.to_rgba(), 2),
        })?;
        let top = self.header.height();
        let columns = self.columns();
        let width = (PAGE_WIDTH - 2 * PAGE_MARGIN - (columns - 1) * GUTTER) / columns;
        for (i, panel) in (0..).zip(&self.panels) {
            let (column, row) = (i % columns, i / columns);
            let corner = (PAGE_MARGIN + column * (width + GUTTER), top + row * self.panel_height());
            draw_panel(canvas, self, panel, corner, (width, self.panel_height()))?;
        }
        Ok(())
    }
}

fn series(report: &Report, model: &str, fault_model: &FaultModel, styles: &[Style]) -> Vec<Series> {
    let mut all = Vec::new();
    for (protection, style) in report.protections.iter().zip(styles) {
        let cells: Vec<(&Cell, &CellSummary)> = (report.cells.iter().zip(report.summaries()))
            .filter(|(c, _)| {
                c.key.model == model && c.key.fault_model == *fault_model && c.key.protection == *protection
            })
            .collect();
        if let Some((_, summary)) = cells.first() {
            all.push(Series {
                style: *style,
                clean_percent: summary.clean_accuracy_percent,
                fault_free_percent: summary.fault_free_percent,
                fault_free_value: format!(
                    "{}, fault-free: {} {} %",
                    display_name(protection),
                    report.measure.word(),
                    fixed(summary.fault_free_percent.unwrap_or(f64::NAN), 2)
                ),
                estimates: cells
                    .iter()
                    .map(|(cell, summary)| estimate(cell, summary, report.measure))
                    .collect(),
            });
        }
    }
    all
}

fn estimate(cell: &Cell, summary: &CellSummary, measure: Measure) -> Estimate {
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    for trial in &cell.trials {
        *counts.entry(trial.record.correct).or_default() += 1;
    }
    let (clean, mean) = (summary.clean_accuracy_percent, summary.accuracy_percent);
    Estimate {
        rate: cell.key.rate,
        mean_percent: mean,
        value: mean_value(summary, measure),
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

/// A mean in words: protection, rate, accuracy and drop with its interval, number of trials.
fn mean_value(summary: &CellSummary, measure: Measure) -> String {
    let number = summary_number(summary);
    let (key, drop) = (&summary.key, summary.drop_points);
    format!(
        "{} at {}: mean {} {} %, drop {} points, 95 % interval {}, n = {}{}",
        display_name(&key.protection),
        rate_label(key.rate),
        measure.word(),
        fixed(summary.accuracy_percent, 2),
        number(drop.mean),
        interval_text(drop.interval, summary.trials, number),
        summary.trials,
        if summary.changed_probability.is_some() { " changed trials" } else { "" }
    )
}

/// Strokes and gaps of the chance line.
const DOT: &[i32] = &[3, 7];

/// Where things are in a panel.
struct Frame<'a> {
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
    /// Of the fault-free network.
    zero_x: i32,
    /// Of the smallest and the largest positive rate, and their decimal logarithms.
    rates_x: (f64, f64),
    log_rates: (f64, f64),
    accuracy: &'a AccuracyAxis,
}

impl Frame<'_> {
    fn x(&self, rate: f64) -> f64 {
        if rate == 0.0 {
            return f64::from(self.zero_x);
        }
        let ((left, right), (low, high)) = (self.rates_x, self.log_rates);
        let part = if high > low { (rate.log10() - low) / (high - low) } else { 0.5 };
        left + part * (right - left)
    }

    fn y(&self, accuracy_percent: f64) -> i32 {
        self.accuracy.y(accuracy_percent, (self.bottom, self.top))
    }
}

fn draw_panel<DB: DrawingBackend>(
    canvas: &Canvas<DB>,
    figure: &Figure,
    panel: &Panel,
    (x, y): Point,
    (width, height): Point,
) -> Result<(), AnalysisError> {
    let estimates = panel.series.iter().flat_map(|s| &s.estimates);
    let rates = ascending(estimates.map(|e| e.rate).filter(|rate| *rate > 0.0));
    let (left, right) = (x + 140, x + width - 12);
    let frame = Frame {
        left,
        right,
        top: y + 60,
        bottom: y + height - 110,
        zero_x: left + 62,
        rates_x: (f64::from(left + 200), f64::from(right - 70)),
        log_rates: (rates.first().map_or(0.0, |r| r.log10()), rates.last().map_or(0.0, |r| r.log10())),
        accuracy: &figure.accuracy,
    };
    let count = panel.series.len() as f64;
    let (shift, zero_shift) = (SHIFT.min(STRIP / count), ZERO_SHIFT.min(ZERO_WIDTH / (count + 1.0)));
    // A shade behind each group shows which rate it belongs to.
    let strips = rates.iter().map(|rate| (frame.x(*rate), shift));
    for (x, shift) in strips.chain([(f64::from(frame.zero_x), zero_shift)]) {
        let half = (count + 0.5) / 2.0 * shift;
        let corners = [((x - half).round() as i32, frame.top), ((x + half).round() as i32, frame.bottom)];
        canvas.rectangle(corners, GROUP.to_rgba())?;
    }
    draw_axes(canvas, figure, &frame, &rates)?;

    let middle = (left + right) / 2;
    let bold = TextLook { size: PANEL_TITLE, style: FontStyle::Bold, ..PLAIN };
    canvas.text(&panel.title, (middle, y + 6), TextLook { h: HPos::Center, ..bold })?;
    let label = TextLook { size: LABEL, h: HPos::Center, ..PLAIN };
    canvas.text(&panel.rate_name, (middle, frame.bottom + 58), label)?;
    let at = (x + 4, (frame.top + frame.bottom) / 2);
    canvas.text(&format!("{}, %", figure.measure.name()), at, TextLook { upright: false, ..label })?;

    let mut clean: Vec<i32> = panel.series.iter().map(|s| frame.y(s.clean_percent)).collect();
    clean.sort_unstable();
    clean.dedup();
    for y in clean {
        canvas.patterned(&[(left, y), (right, y)], DASH, GUIDE.to_rgba(), 2)?;
    }
    if let Some(chance) = figure.chance_percent {
        let y = frame.y(chance);
        canvas.patterned(&[(left, y), (right, y)], DOT, GUIDE.to_rgba(), 2)?;
    }

    let placed: Vec<(&Series, Column)> = (0..)
        .zip(&panel.series)
        .map(|(i, series)| {
            let place = f64::from(i) - (count - 1.0) / 2.0;
            (series, Column { shift: place * shift, zero_shift: place * zero_shift, width: shift })
        })
        .collect();
    for (series, column) in &placed {
        draw_bands_and_trials(canvas, &frame, series, *column)?;
    }
    for (series, column) in &placed {
        draw_means(canvas, &frame, series, *column)?;
    }
    Ok(())
}

/// Where a protection is drawn within the strip of a rate.
#[derive(Clone, Copy)]
struct Column {
    /// Its middle, from that of the strip.
    shift: f64,
    /// The same at 0.
    zero_shift: f64,
    width: f64,
}

impl Column {
    fn x(self, frame: &Frame, rate: f64) -> i32 {
        let shift = if rate == 0.0 { self.zero_shift } else { self.shift };
        (frame.x(rate) + shift).round() as i32
    }
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
        let label = figure.accuracy.label(*tick);
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
    column: Column,
) -> Result<(), AnalysisError> {
    let color = color_of(series.style);
    let x = |rate: f64| column.x(frame, rate);
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
            // As dark as `count` dashes on top of each other.
            let alpha = 1.0 - (1.0 - TRIAL_ALPHA).powi(i32::try_from(*count).unwrap_or(i32::MAX));
            let (x, y) = (x(estimate.rate), frame.y(*accuracy));
            let half = if estimate.rate == 0.0 { 6 } else { (column.width / 2.0).ceil() as i32 };
            let corners = [(x - half, y - TRIAL_HEIGHT / 2), (x + half, y + TRIAL_HEIGHT / 2)];
            canvas.rectangle(corners, color.mix(alpha))?;
        }
    }
    Ok(())
}

fn draw_means<DB: DrawingBackend>(
    canvas: &Canvas<DB>,
    frame: &Frame,
    series: &Series,
    column: Column,
) -> Result<(), AnalysisError> {
    let color = color_of(series.style);
    let x = |rate: f64| column.x(frame, rate);
    let at = |e: &Estimate| (x(e.rate), frame.y(e.mean_percent));
    let line: Vec<Point> = series.estimates.iter().filter(|e| e.rate > 0.0).map(at).collect();
    canvas.line(&line, color, 4)?;
    for estimate in &series.estimates {
        if let Some((low, high)) = estimate.band_percent {
            let (x, low, high) = (x(estimate.rate), frame.y(low), frame.y(high));
            canvas.line(&[(x, low), (x, high)], color, 3)?;
            for end in [low, high] {
                canvas.line(&[(x - 5, end), (x + 5, end)], color, 3)?;
            }
        }
        canvas.marker(at(estimate), series.style)?;
        canvas.hover(Spot::Disc(at(estimate), HOVER_RADIUS), estimate.value.clone());
    }
    if let Some(percent) = series.fault_free_percent {
        let at = (x(0.0), frame.y(percent));
        canvas.hover(Spot::Disc(at, HOVER_RADIUS), series.fault_free_value.clone());
        canvas.marker(at, series.style)?;
    }
    Ok(())
}
