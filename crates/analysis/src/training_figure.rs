//! The course of trainings: large values, and accuracy before and after throttling, against iterations.
//!
//! Made for a column of a paper: 1,000 pixels wide, so that printed 3.4 inches wide the smallest text is
//! about 7 points high.

use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::{HPos, VPos};
use plotters::style::{Color, FontStyle, RGBAColor};

use crate::AnalysisError;
use crate::axis::{AccuracyAxis, CountAxis, IterationAxis, grouped};
use crate::canvas::{
    COLUMN_WIDTH, Canvas, DASH, Drawing, GRID, GUIDE, Header, INK, NO_BREAK_SPACE, PANEL_TITLE, PLAIN, Point,
    SOFT_INK, SUBTITLE, TextLook, color_of, line_height, text_width,
};
use crate::cell::points;
use crate::style::{LineStyle, Marker, Style, training_styles};
use crate::training::{Training, TrainingCheck, Trainings};

const MARGIN: i32 = 24;
const TITLE: i32 = 40;
const LABEL: i32 = 30;
/// Of the large-values figure below its header.
const LARGE_VALUES_HEIGHT: i32 = 640;
/// Plotted part of an accuracy panel: of a single one, and of one of several.
const ACCURACY_HEIGHTS: (i32, i32) = (480, 290);
/// Between the header and the first panel.
const GAP: i32 = 20;
/// From the lower edge of the plotted part to that of the panel.
const BELOW: i32 = 110;
/// Room within the axes beside the first and the last iteration, and below 0 large values.
const INNER: i32 = 24;
/// Most checks of a training that get a marker, so that markers do not hide the line.
const MOST_MARKERS: usize = 21;

/// Large values before throttling.
pub(crate) struct LargeValuesFigure<'a> {
    header: Header<LineStyle>,
    trainings: Vec<(&'a Training, LineStyle)>,
    iterations: IterationAxis,
    counts: CountAxis,
}

impl<'a> LargeValuesFigure<'a> {
    pub(crate) fn new(trainings: &'a Trainings) -> Result<Self, AnalysisError> {
        let styled = styled(trainings);
        let label = |training: &Training| match training.checks.as_slice() {
            [first, .., last] => {
                let (from, to) = (grouped(first.large_values), grouped(last.large_values));
                format!("{}: {from} → {to}", training.name)
            }
            [only] => format!("{}: {}", training.name, grouped(only.large_values)),
            [] => unreachable!("a training has checks"),
        };
        let entries = styled.iter().map(|(training, style)| (*style, label(training))).collect();
        let ranges = ranges(trainings);
        let mut subtitles = vec![trainings.network.as_str(), &trainings.note];
        subtitles.extend(ranges.iter().map(String::as_str));
        let checks = styled.iter().flat_map(|(training, _)| &training.checks);
        Ok(Self {
            header: Header::new(
                ("Large values before throttling", TITLE),
                &subtitles,
                entries,
                (COLUMN_WIDTH, MARGIN),
            )?,
            counts: CountAxis::covering(checks.map(|check| check.large_values)),
            iterations: iterations(&styled),
            trainings: styled,
        })
    }
}

impl Drawing for LargeValuesFigure<'_> {
    fn size(&self) -> (i32, i32) {
        (COLUMN_WIDTH, self.header.height() + GAP + LARGE_VALUES_HEIGHT)
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<DB>) -> Result<(), AnalysisError> {
        self.header.draw(canvas, |line, (left, right), y| {
            canvas.patterned(&[(left, y), (right, y)], line.pattern, color_of(line.style), 4)?;
            canvas.marker(((left + right) / 2, y), line.style)
        })?;
        let top = self.header.height() + GAP;
        let bottom = top + LARGE_VALUES_HEIGHT - BELOW;
        let y = |count: u64| self.counts.y(count, (bottom - INNER, top));
        let ticks: Vec<(i32, String)> = self.counts.ticks().into_iter().map(|n| (y(n), grouped(n))).collect();
        let frame = Frame::new((top, bottom), &ticks)?;
        draw_axes(canvas, &frame, &ticks, "large values, log(1 + n)", &self.iterations)?;
        for count in self.counts.minor_ticks() {
            canvas.line(&[(frame.left - 7, y(count)), (frame.left, y(count))], INK.to_rgba(), 2)?;
        }
        for (training, line) in &self.trainings {
            let at =
                |check: &TrainingCheck| (frame.x(check.iteration, &self.iterations), y(check.large_values));
            let course: Vec<Point> = training.checks.iter().map(at).collect();
            draw_course(canvas, &course, *line)?;
        }
        Ok(())
    }
}

/// Accuracy before and after throttling.
pub(crate) struct ThrottledAccuracyFigure<'a> {
    header: Header<AccuracyKey>,
    trainings: Vec<(&'a Training, LineStyle)>,
    iterations: IterationAxis,
    accuracy: AccuracyAxis,
}

#[derive(Clone, Copy)]
enum AccuracyKey {
    Before,
    After,
    Start,
}

/// Of the line before throttling.
const BEFORE: &[i32] = &[5, 6];

impl<'a> ThrottledAccuracyFigure<'a> {
    pub(crate) fn new(trainings: &'a Trainings) -> Result<Self, AnalysisError> {
        let styled = styled(trainings);
        let mut entries = vec![
            (AccuracyKey::Before, "before throttling".to_string()),
            (AccuracyKey::After, "after throttling".to_string()),
        ];
        let starts: Vec<f64> = styled.iter().filter_map(|(training, _)| start_percent(training)).collect();
        if let Some(start) = starts.first() {
            let accuracy = match starts.iter().all(|other| other == start) {
                true => format!(", {start:.2} %"),
                false => ", at its own scale".into(),
            };
            entries.push((AccuracyKey::Start, format!("iteration 0: only quantized{accuracy}")));
        }
        let checks = || styled.iter().flat_map(|(training, _)| &training.checks);
        let images = checks().next().map_or(0, |check| check.images);
        let network = format!("{} · {} held-out images", trainings.network, grouped(images));
        let before = checks().map(before_percent);
        let most_steps = if styled.len() == 1 { 6.5 } else { 4.5 };
        Ok(Self {
            header: Header::new(
                ("Accuracy before and after throttling", TITLE),
                &[&network, &trainings.note],
                entries,
                (COLUMN_WIDTH, MARGIN),
            )?,
            accuracy: AccuracyAxis::covering(before.chain(checks().map(after_percent)), most_steps),
            iterations: iterations(&styled),
            trainings: styled,
        })
    }

    /// From the upper edge of a panel to the plotted part: the name, and the last check in numbers.
    fn above() -> i32 {
        line_height(PANEL_TITLE) + line_height(SUBTITLE) + 12
    }

    fn plotted_height(&self) -> i32 {
        if self.trainings.len() == 1 { ACCURACY_HEIGHTS.0 } else { ACCURACY_HEIGHTS.1 }
    }

    fn panel_height(&self) -> i32 {
        Self::above() + self.plotted_height() + BELOW
    }

    fn draw_panel<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<DB>,
        (training, line): (&Training, LineStyle),
        top: i32,
    ) -> Result<(), AnalysisError> {
        let last = training.checks.last().expect("a training has checks");
        let numbers = format!(
            "iteration {}: {:.2} % before, {:.2} % after throttling",
            grouped(last.iteration),
            before_percent(last),
            after_percent(last)
        );
        let title = TextLook { size: PANEL_TITLE, style: FontStyle::Bold, ..PLAIN };
        let soft = TextLook { size: SUBTITLE, color: SOFT_INK, ..PLAIN };

        let bottom = top + Self::above() + self.plotted_height();
        let y = |percent: f64| self.accuracy.y(percent, (bottom, top + Self::above()));
        let ticks = self.accuracy.ticks.iter().map(|tick| (y(*tick), self.accuracy.label(*tick)));
        let ticks: Vec<(i32, String)> = ticks.collect();
        let frame = Frame::new((top + Self::above(), bottom), &ticks)?;
        canvas.text(&training.name, (frame.left, top), title)?;
        canvas.text(&numbers, (frame.left, top + line_height(PANEL_TITLE)), soft)?;
        draw_axes(canvas, &frame, &ticks, "accuracy, %", &self.iterations)?;

        if let Some(start) = start_percent(training) {
            canvas.patterned(&[(frame.left, y(start)), (frame.right, y(start))], DASH, GUIDE.to_rgba(), 3)?;
        }
        let course = |percent: fn(&TrainingCheck) -> f64| -> Vec<Point> {
            let at = |check: &TrainingCheck| (frame.x(check.iteration, &self.iterations), y(percent(check)));
            training.checks.iter().map(at).collect()
        };
        let (before, after) = (course(before_percent), course(after_percent));
        canvas.patterned(&before, BEFORE, color_of(line.style), 4)?;
        marked(&before).try_for_each(|point| canvas.open_marker(point, line.style))?;
        draw_course(canvas, &after, LineStyle { pattern: &[], ..line })
    }
}

impl Drawing for ThrottledAccuracyFigure<'_> {
    fn size(&self) -> (i32, i32) {
        let panels = self.trainings.len() as i32;
        (COLUMN_WIDTH, self.header.height() + GAP + panels * self.panel_height())
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<DB>) -> Result<(), AnalysisError> {
        // The legend is of all panels, so that its ink is none's.
        let ink = Style { rgb: [INK.0, INK.1, INK.2], marker: Marker::Circle };
        self.header.draw(canvas, |key, (left, right), y| {
            let course = [(left, y), ((left + right) / 2, y), (right, y)];
            match key {
                AccuracyKey::Before => {
                    canvas.patterned(&course, BEFORE, color_of(ink), 4)?;
                    canvas.open_marker(course[1], ink)
                }
                AccuracyKey::After => {
                    canvas.line(&course, color_of(ink), 4)?;
                    canvas.marker(course[1], ink)
                }
                AccuracyKey::Start => canvas.patterned(&course, DASH, GUIDE.to_rgba(), 3),
            }
        })?;
        for (i, (training, line)) in (0..).zip(&self.trainings) {
            let top = self.header.height() + GAP + i * self.panel_height();
            self.draw_panel(canvas, (training, *line), top)?;
        }
        Ok(())
    }
}

/// A line with its markers, kept apart from the lines drawn before it.
fn draw_course<DB: DrawingBackend>(
    canvas: &Canvas<DB>,
    course: &[Point],
    line: LineStyle,
) -> Result<(), AnalysisError> {
    marked(course).try_for_each(|point| canvas.rim(point, line.style))?;
    canvas.patterned(course, line.pattern, color_of(line.style), 4)?;
    marked(course).try_for_each(|point| canvas.rimless_marker(point, line.style))
}

fn styled(trainings: &Trainings) -> Vec<(&Training, LineStyle)> {
    let names: Vec<&str> = trainings.trainings.iter().map(|training| training.name.as_str()).collect();
    trainings.trainings.iter().zip(training_styles(&names)).collect()
}

fn iterations(trainings: &[(&Training, LineStyle)]) -> IterationAxis {
    let checks = trainings.iter().flat_map(|(training, _)| &training.checks);
    IterationAxis::to(checks.map(|check| check.iteration).max().unwrap_or(0))
}

fn before_percent(check: &TrainingCheck) -> f64 {
    points(check.correct as f64, check.images)
}

fn after_percent(check: &TrainingCheck) -> f64 {
    points(check.throttled_correct as f64, check.images)
}

/// What a large value is: one sentence where all trainings have one range, and otherwise a line a range.
fn ranges(trainings: &Trainings) -> Vec<String> {
    let mut ranges: Vec<(&str, Vec<&str>)> = Vec::new();
    for Training { name, storable, .. } in &trainings.trainings {
        match ranges.iter_mut().find(|(range, _)| range == storable) {
            Some((_, names)) => names.push(name),
            None => ranges.push((storable, vec![name])),
        }
    }
    if let [(range, _)] = ranges.as_slice() {
        return vec![format!("Weights that the protection cannot store. It can store {}", unbroken(range))];
    }
    let first = "Weights that the protection of each training cannot store. It can store:".to_string();
    let lines = ranges.iter().map(|(range, names)| format!("{}: {}", names.join(", "), unbroken(range)));
    std::iter::once(first).chain(lines).collect()
}

/// The text of a range, broken neither in its brackets nor before the number of a position.
fn unbroken(range: &str) -> String {
    let mut bracketed = false;
    let mut word = String::new();
    let mut text = String::new();
    for character in range.chars() {
        bracketed = character == '[' || bracketed && character != ']';
        let kept = character == ' ' && (bracketed || word.starts_with("position"));
        text.push(if kept { NO_BREAK_SPACE } else { character });
        match character {
            ' ' => word.clear(),
            letter => word.push(letter),
        }
    }
    text
}

/// Accuracy at iteration 0, of the network that was only quantized, at the training's own scale.
fn start_percent(training: &Training) -> Option<f64> {
    training.checks.first().filter(|check| check.iteration == 0).map(before_percent)
}

/// The points that get a marker: all, or every n-th and the last.
fn marked(course: &[Point]) -> impl Iterator<Item = Point> {
    let every = course.len().div_ceil(MOST_MARKERS);
    let last = course.len() - 1;
    let chosen = course.iter().enumerate().filter(move |(i, _)| i % every == 0 || *i == last);
    chosen.map(|(_, point)| *point)
}

/// The plotted part of a panel.
struct Frame {
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
}

impl Frame {
    /// Leaves room on the left for the ticks of the y axis.
    fn new((top, bottom): (i32, i32), ticks: &[(i32, String)]) -> Result<Self, AnalysisError> {
        let mut widest = 0;
        for (_, label) in ticks {
            widest = widest.max(text_width(label, SUBTITLE, FontStyle::Normal)?);
        }
        Ok(Self { left: MARGIN + 44 + widest + 14, right: COLUMN_WIDTH - MARGIN - 16, top, bottom })
    }

    fn x(&self, iteration: u64, axis: &IterationAxis) -> i32 {
        let width = f64::from(self.right - self.left - 2 * INNER);
        self.left + INNER + (axis.part(iteration) * width).round() as i32
    }
}

fn draw_axes<DB: DrawingBackend>(
    canvas: &Canvas<DB>,
    frame: &Frame,
    ticks: &[(i32, String)],
    label: &str,
    iterations: &IterationAxis,
) -> Result<(), AnalysisError> {
    let Frame { left, right, top, bottom } = *frame;
    let (ink, grid): (RGBAColor, RGBAColor) = (INK.to_rgba(), GRID.to_rgba());
    let tick_look = TextLook { size: SUBTITLE, ..PLAIN };
    for (y, text) in ticks {
        canvas.line(&[(left, *y), (right, *y)], grid, 2)?;
        canvas.line(&[(left - 10, *y), (left, *y)], ink, 2)?;
        canvas.text(text, (left - 14, *y), TextLook { h: HPos::Right, v: VPos::Center, ..tick_look })?;
    }
    canvas.line(&[(left, top), (left, bottom)], ink, 2)?;
    canvas.line(&[(left, bottom), (right, bottom)], ink, 2)?;
    for tick in iterations.ticks() {
        let x = frame.x(tick, iterations);
        canvas.line(&[(x, bottom), (x, bottom + 10)], ink, 2)?;
        canvas.text(&grouped(tick), (x, bottom + 18), TextLook { h: HPos::Center, ..tick_look })?;
    }
    let look = TextLook { size: LABEL, h: HPos::Center, ..PLAIN };
    canvas.text("training iterations", ((left + right) / 2, bottom + 56), look)?;
    canvas.text(label, (MARGIN - 4, (top + bottom) / 2), TextLook { upright: false, ..look })
}
