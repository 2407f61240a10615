//! Accuracy versus the rate of faults: one panel for each model and fault model.
//!
//! The axis is unusual: logarithmic in the rate, and left of a break the position 0 of the fault-free network.

use design::FaultModel;
use plotters::style::Color;

use crate::estimate::cell::{Cell, ascending, measured_value, rate_label};
use crate::estimate::estimates::Estimates;
use crate::estimate::interval::{INTERVAL_METHOD, Interval};
use crate::estimate::summary::CellSummary;
use crate::plot::axis::ValueAxis;
use crate::plot::figure::{Figure, HOVER_RADIUS, Point, Spot, TEXT, color_of};
use crate::plot::header::{Header, Key, Page};
use crate::plot::panel::{Frame, Grid, Panel, Tick};
use crate::plot::style::{DASHED, DOTTED, GUIDE, INK, STRIP, Style, styles_of};
use crate::text::conditions::conditions;
use crate::text::number::interval_text;
use crate::text::rate::rate_name;
use crate::text::terms::Terms;

/// Height of a panel: of a single one, and of one of several.
const PANEL_HEIGHTS: (i32, i32) = (860, 700);

/// Height of the stroke of a trial, and the share of the background that a single one covers.
const TRIAL_HEIGHT: i32 = 4;
const TRIAL_ALPHA: f64 = 0.4;
const BAND_ALPHA: f64 = 0.16;
/// Sideways distance of neighbouring protections at one rate, and the largest of all together: so few pixels that every
/// mean is seen at its rate.
const SHIFT: f64 = 6.0;
const STRIP_WIDTH: f64 = 20.0;
/// Sideways distance of neighbouring protections at 0, which has no scale beside it.
const ZERO_SHIFT: f64 = 24.0;
/// Room for the fault-free points left of the axis break.
const ZERO_WIDTH: f64 = 124.0;

/// One protection in one panel.
struct Series {
    style: Style,
    /// Accuracy of the network without faults.
    clean: f64,
    /// Accuracy of the network as the protection stores it; `None` when that was not measured.
    fault_free: Option<f64>,
    /// Text of its marker under the pointer.
    fault_free_value: String,
    /// Rates ascending.
    estimates: Vec<Estimate>,
}

struct Estimate {
    rate: f64,
    mean: f64,
    /// Text of its marker under the pointer.
    value: String,
    /// Interval of the mean; `None` when there is none, zero width when all trials are equal.
    band: Option<(f64, f64)>,
    /// Distinct means and the number of trials with each.
    trials: Vec<(f64, usize)>,
}

/// Draws accuracy, agreement or a score versus the rate of faults. `chance_percent` is the accuracy of guessing, which the figure
/// shows if it is there.
pub fn accuracy_figure(estimates: &Estimates, title: &str, chance_percent: Option<f64>) -> Figure {
    // Guessing has an accuracy, but no score.
    let chance_percent = chance_percent.filter(|_| estimates.measure.metric().is_none());
    let styles = styles_of(&estimates.protections);
    let panels = estimates.panels();
    let several = panels.iter().any(|(model, _)| panels.iter().filter(|(m, _)| m == model).count() > 1);
    let all: Vec<Vec<Series>> =
        panels.iter().map(|(model, fault_model)| series(estimates, model, fault_model, &styles)).collect();

    let shown = all.iter().flatten();
    let trials = shown.clone().flat_map(|s| &s.estimates).flat_map(|e| &e.trials).map(|t| t.0);
    let fault_free = shown.clone().filter_map(|s| s.fault_free);
    let values = shown.map(|s| s.clean).chain(fault_free).chain(trials).chain(chance_percent);
    let axis = ValueAxis::covering(&estimates.measure, values, 6.5);

    let protections = estimates.protections.iter().zip(&styles);
    let mut entries: Vec<(Key, String)> =
        protections.map(|(id, style)| (Key::Line(*style), id.label())).collect();
    let network = if estimates.lossy.is_empty() { "fault-free" } else { "fault-free network" };
    entries.push((Key::Guide(DASHED), network.into()));
    entries.extend(chance_percent.map(|_| (Key::Guide(DOTTED), "chance".into())));
    let subtitles = [vec![conditions(estimates)], explanation(estimates)].concat();
    let header = Header::new(Page::WIDE, title, &subtitles, entries);

    let height = if panels.len() == 1 { PANEL_HEIGHTS.0 } else { PANEL_HEIGHTS.1 };
    let grid = Grid::new(Page::WIDE, panels.len(), height, 2);
    let (mut figure, top) = header.figure(grid.height());
    for (i, (panel, series)) in panels.iter().zip(&all).enumerate() {
        let (x, y) = grid.corner(i, top);
        let title = if several { format!("{}, {}", panel.0, panel.1) } else { panel.0.into() };
        let heading = Panel::new(&title, &[], grid.width);
        heading.draw(&mut figure, (x, y));
        let edges = (y + height - Frame::below(TEXT), y + heading.height());
        let ticks = axis.ticks(edges);
        let frame = Frame::new((x, x + grid.width - 12), (edges.1, edges.0), TEXT, &ticks);
        let rates = ascending(series.iter().flat_map(|s| &s.estimates).map(|e| e.rate).filter(|r| *r > 0.0));
        let plot = Plot::new(frame, &rates, &axis, series.len());
        plot.axes(&mut figure, &rates, &ticks, &axis.name(&estimates.measure));
        frame.name_below(&mut figure, &rate_name(panel.1));
        plot.data(&mut figure, series, chance_percent);
    }
    figure
}

/// Subtitles that explain the marks of all protections.
fn explanation(estimates: &Estimates) -> Vec<String> {
    let trials = match estimates.has_changed_trials() {
        (_, true) => "single trials, only changed ones",
        (true, _) => "single trials, in some cells only changed ones",
        _ => "single trials",
    };
    let of_blocks = if estimates.has_drawn_images() { ", each on its own images" } else { "" };
    let mut lines = vec![
        format!("Bands and bars: 95 % intervals of the mean, {INTERVAL_METHOD}. Lines: means of all trials"),
        format!("Short strokes: {trials}{of_blocks}. Strips: one rate each"),
    ];
    if !estimates.lossy.is_empty() {
        let unmeasured = estimates.summaries().iter().any(|summary| summary.fault_free.is_none());
        let absent = if unmeasured { "; none where that was not measured" } else { "" };
        lines.push(format!("Markers at 0: the network as each protection stores it{absent}"));
    }
    lines
}

fn series(estimates: &Estimates, model: &str, fault_model: &FaultModel, styles: &[Style]) -> Vec<Series> {
    let mut all = Vec::new();
    for (protection, style) in estimates.protections.iter().zip(styles) {
        let cells: Vec<(&Cell, &CellSummary)> = (estimates.cells.iter().zip(estimates.summaries()))
            .filter(|(c, _)| {
                c.key.model == model && c.key.fault_model == *fault_model && c.key.protection == *protection
            })
            .collect();
        if let Some((_, summary)) = cells.first() {
            all.push(Series {
                style: *style,
                clean: summary.clean,
                fault_free: summary.fault_free,
                fault_free_value: format!(
                    "{}, fault-free: {} {}",
                    protection.label(),
                    estimates.measure.word(),
                    Terms::of(estimates).value(summary.fault_free.unwrap_or(f64::NAN))
                ),
                estimates: cells.iter().map(|(cell, summary)| estimate(cell, summary, estimates)).collect(),
            });
        }
    }
    all
}

fn estimate(cell: &Cell, summary: &CellSummary, estimates: &Estimates) -> Estimate {
    let mut values: Vec<f64> = cell.trials.iter().map(|row| measured_value(row, cell.metric)).collect();
    values.sort_unstable_by(f64::total_cmp);
    let counts = values.chunk_by(|one, other| one == other);
    let (clean, mean) = (summary.clean, summary.mean);
    Estimate {
        rate: cell.key.rate,
        mean,
        value: mean_value(summary, &Terms::of(estimates)),
        band: match summary.drop.interval {
            Interval::Absent => None,
            Interval::AllEqual { .. } => Some((mean, mean)),
            Interval::Bca { low, high } => Some(estimates.measure.ends_after(clean, (low, high))),
        },
        trials: counts.map(|equal| (cell.unit().shown(equal[0]), equal.len())).collect(),
    }
}

/// A mean in words: protection, rate, accuracy and drop with its interval, number of trials.
fn mean_value(summary: &CellSummary, terms: &Terms) -> String {
    let digits = terms.drop_digits(summary);
    let (key, drop) = (&summary.key, summary.drop);
    format!(
        "{} at {}: mean {} {}, {} {}{}, 95 % interval {}, n = {}{}",
        key.protection.label(),
        rate_label(key.rate),
        terms.word(),
        terms.value(summary.mean),
        terms.drop(),
        digits.text(drop.mean),
        terms.points(),
        interval_text(drop.interval, summary.trials, digits),
        summary.trials,
        if summary.changed_probability.is_some() { " changed trials" } else { "" }
    )
}

/// A frame with the places of rates and protections in it.
struct Plot<'a> {
    frame: Frame,
    accuracy: &'a ValueAxis,
    zero_x: i32,
    /// Pixels of the smallest and the largest positive rate, and decimal logarithms of these rates.
    rates_x: (f64, f64),
    log_rates: (f64, f64),
    /// Number of protections, and sideways distance of neighbours: at a rate, and at 0.
    count: f64,
    shift: f64,
    zero_shift: f64,
}

impl<'a> Plot<'a> {
    fn new(frame: Frame, rates: &[f64], accuracy: &'a ValueAxis, protections: usize) -> Self {
        let count = protections as f64;
        Self {
            frame,
            accuracy,
            zero_x: frame.left + 62,
            rates_x: (f64::from(frame.left + 200), f64::from(frame.right - 70)),
            log_rates: (rates.first().map_or(0.0, |r| r.log10()), rates.last().map_or(0.0, |r| r.log10())),
            count,
            shift: SHIFT.min(STRIP_WIDTH / count),
            zero_shift: ZERO_SHIFT.min(ZERO_WIDTH / (count + 1.0)),
        }
    }

    fn x(&self, rate: f64) -> f64 {
        if rate == 0.0 {
            return f64::from(self.zero_x);
        }
        let ((left, right), (low, high)) = (self.rates_x, self.log_rates);
        let part = if high > low { (rate.log10() - low) / (high - low) } else { 0.5 };
        left + part * (right - left)
    }

    fn y(&self, accuracy_percent: f64) -> i32 {
        self.accuracy.y(accuracy_percent, (self.frame.bottom, self.frame.top))
    }

    /// Pixel column of the i-th protection at a rate.
    fn column(&self, i: usize, rate: f64) -> i32 {
        let place = i as f64 - (self.count - 1.0) / 2.0;
        let shift = if rate == 0.0 { self.zero_shift } else { self.shift };
        (self.x(rate) + place * shift).round() as i32
    }

    fn axes(&self, figure: &mut Figure, rates: &[f64], ticks: &[Tick], name: &str) {
        let Frame { left, right, top, bottom, .. } = self.frame;
        // A strip behind the markers of each rate.
        let strips = rates.iter().map(|rate| (self.x(*rate), self.shift));
        for (x, shift) in strips.chain([(f64::from(self.zero_x), self.zero_shift)]) {
            let half = (self.count + 0.5) / 2.0 * shift;
            let corners = [((x - half).round() as i32, top), ((x + half).round() as i32, bottom)];
            figure.rectangle(corners, STRIP);
        }
        self.frame.grid(figure, ticks);
        self.frame.name_left(figure, ticks, name);

        // The axis break between 0 and the logarithmic part.
        let gap = (left + 116, left + 132);
        figure.line(&[(left, bottom), (gap.0, bottom)], INK, 2);
        figure.line(&[(gap.1, bottom), (right, bottom)], INK, 2);
        for x in [gap.0, gap.1] {
            figure.line(&[(x - 6, bottom + 12), (x + 6, bottom - 12)], INK, 2);
        }
        if let (Some(low), Some(high)) = (rates.first(), rates.last()) {
            for decade in low.log10().floor() as i32..=high.log10().ceil() as i32 {
                for multiple in 1..10 {
                    let rate = f64::from(multiple) * 10f64.powi(decade);
                    if (*low..=*high).contains(&rate) {
                        let x = self.x(rate).round() as i32;
                        figure.line(&[(x, bottom), (x, bottom + 7)], INK, 2);
                    }
                }
            }
        }
        // Powers of ten first; then the other rates, where there is room.
        let (powers, others): (Vec<f64>, Vec<f64>) =
            rates.iter().partition(|r| (r.log10() - r.log10().round()).abs() < 1e-9);
        let labelled = std::iter::once(0.0).chain(powers).chain(others);
        let labelled: Vec<Tick> =
            labelled.map(|rate| (self.x(rate).round() as i32, rate_label(rate))).collect();
        self.frame.ticks_below(figure, &labelled);
    }

    fn data(&self, figure: &mut Figure, series: &[Series], chance_percent: Option<f64>) {
        let across = |y: i32| [(self.frame.left, y), (self.frame.right, y)];
        let mut clean: Vec<i32> = series.iter().map(|s| self.y(s.clean)).collect();
        clean.sort_unstable();
        clean.dedup();
        for y in clean {
            figure.patterned(&across(y), DASHED, GUIDE, 3);
        }
        if let Some(chance) = chance_percent {
            figure.patterned(&across(self.y(chance)), DOTTED, GUIDE, 3);
        }
        for (i, series) in series.iter().enumerate() {
            self.bands_and_trials(figure, i, series);
        }
        for (i, series) in series.iter().enumerate() {
            self.means(figure, i, series);
        }
    }

    fn bands_and_trials(&self, figure: &mut Figure, i: usize, series: &Series) {
        let color = color_of(series.style.rgb);
        let positive: Vec<&Estimate> = series.estimates.iter().filter(|e| e.rate > 0.0).collect();
        for pair in positive.windows(2) {
            if let (Some(one), Some(two)) = (pair[0].band, pair[1].band) {
                let (from, to) = (self.column(i, pair[0].rate), self.column(i, pair[1].rate));
                let corners =
                    [(from, self.y(one.0)), (to, self.y(two.0)), (to, self.y(two.1)), (from, self.y(one.1))];
                figure.polygon(&corners, color.mix(BAND_ALPHA));
            }
        }
        for estimate in &series.estimates {
            for (accuracy, count) in &estimate.trials {
                // As dark as `count` strokes on top of each other.
                let alpha = 1.0 - (1.0 - TRIAL_ALPHA).powi(i32::try_from(*count).unwrap_or(i32::MAX));
                let (x, y) = (self.column(i, estimate.rate), self.y(*accuracy));
                let half = if estimate.rate == 0.0 { 6 } else { (self.shift / 2.0).ceil() as i32 };
                let corners = [(x - half, y - TRIAL_HEIGHT / 2), (x + half, y + TRIAL_HEIGHT / 2)];
                figure.rectangle(corners, color.mix(alpha));
            }
        }
    }

    fn means(&self, figure: &mut Figure, i: usize, series: &Series) {
        let (style, color) = (series.style, color_of(series.style.rgb));
        let at = |e: &Estimate| (self.column(i, e.rate), self.y(e.mean));
        let line: Vec<Point> = series.estimates.iter().filter(|e| e.rate > 0.0).map(at).collect();
        figure.patterned(&line, style.pattern, color, 4);
        for estimate in &series.estimates {
            if let Some((low, high)) = estimate.band {
                let (x, low, high) = (self.column(i, estimate.rate), self.y(low), self.y(high));
                figure.line(&[(x, low), (x, high)], color, 3);
                for end in [low, high] {
                    figure.line(&[(x - 5, end), (x + 5, end)], color, 3);
                }
            }
            figure.marker(at(estimate), style);
            figure.hover(Spot::Disc(at(estimate), HOVER_RADIUS), estimate.value.clone());
        }
        if let Some(percent) = series.fault_free {
            let at = (self.column(i, 0.0), self.y(percent));
            figure.hover(Spot::Disc(at, HOVER_RADIUS), series.fault_free_value.clone());
            figure.marker(at, style);
        }
    }
}
