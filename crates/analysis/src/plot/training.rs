//! The course of trainings: large values, and accuracy before and after throttling, against iterations.

use crate::estimate::measure::Measure;
use crate::estimate::measure::points;
use crate::estimate::training::{Training, TrainingCheck, Trainings};
use crate::plot::axis::{CountAxis, ValueAxis, count_ticks};
use crate::plot::figure::{Figure, NO_BREAK_SPACE, Point, SUBTITLE, color_of};
use crate::plot::header::{Header, Key, Page};
use crate::plot::panel::{Frame, Grid, Panel, Tick};
use crate::plot::style::{DASHED, DOTTED, GUIDE, INK, Marker, SOLID, Style, training_styles};
use crate::text::number::grouped;

/// Height of the frame of large values.
const LARGE_VALUES: i32 = 530;
/// Height of a frame of accuracies if it is the only one, and if there are several.
const ACCURACIES: (i32, i32) = (480, 290);
/// Room in a frame beside the first and the last iteration, and below 0 large values.
const INNER: i32 = 24;
/// Most checks of a training that get a marker, so that markers do not hide the line.
const MOST_MARKERS: usize = 21;

/// Draws the large values before throttling against iterations, and names the range of every training. The axis is
/// logarithmic in 1 + n, and so shows 0.
pub fn large_values_figure(trainings: &Trainings) -> Figure {
    let styles = styles(trainings);
    let label = |training: &Training| match training.checks.as_slice() {
        [first, .., last] => {
            let (from, to) = (grouped(first.large_values), grouped(last.large_values));
            format!("{}: {from} → {to}", training.name)
        }
        [only] => format!("{}: {}", training.name, grouped(only.large_values)),
        [] => unreachable!("a training has checks"),
    };
    let entries = trainings.trainings.iter().zip(&styles).map(|(t, style)| (Key::Line(*style), label(t)));
    let subtitles = [vec![trainings.network.clone(), trainings.note.clone()], ranges(trainings)].concat();
    let header = Header::new(Page::COLUMN, "Large values before throttling", &subtitles, entries.collect());
    let (mut figure, top) = header.figure(LARGE_VALUES + Frame::below(SUBTITLE));
    let edges = (top + LARGE_VALUES, top);
    let counts = checks(trainings).map(|check| check.large_values);
    let axis = CountAxis::covering(counts);
    let y = |count: u64| axis.y(count, (edges.0 - INNER, top));
    let ticks = axis.ticks((edges.0 - INNER, top));
    let frame = frame(edges, &ticks);
    draw_axes(&mut figure, &frame, &ticks, "large values, log(1 + n)", trainings);
    for count in axis.minor_ticks() {
        figure.line(&[(frame.left - 7, y(count)), (frame.left, y(count))], INK, 2);
    }
    for (training, style) in trainings.trainings.iter().zip(styles) {
        let at = |check: &TrainingCheck| (x(&frame, check.iteration, trainings), y(check.large_values));
        draw_course(&mut figure, &training.checks.iter().map(at).collect::<Vec<_>>(), style);
    }
    figure
}

/// Draws held-out accuracy before and after throttling against iterations: a panel for each training, and in each its own
/// accuracy at iteration 0 as a line, where the network is only quantized.
pub fn throttled_accuracy_figure(trainings: &Trainings) -> Figure {
    // The legend is of all panels, so its ink is no training's.
    let ink = Style { rgb: [INK.0, INK.1, INK.2], marker: Marker::Circle, pattern: SOLID };
    let mut entries = vec![
        (Key::Open(Style { pattern: DOTTED, ..ink }), "before throttling".to_string()),
        (Key::Line(ink), "after throttling".into()),
    ];
    let starts: Vec<f64> = trainings.trainings.iter().filter_map(start_percent).collect();
    if let Some(start) = starts.first() {
        let accuracy = match starts.iter().all(|other| other == start) {
            true => format!(", {start:.2} %"),
            false => ", at its own scale".into(),
        };
        entries.push((Key::Guide(DASHED), format!("iteration 0: only quantized{accuracy}")));
    }
    let images = checks(trainings).next().map_or(0, |check| check.images);
    let network = format!("{} · {} held-out images", trainings.network, grouped(images));
    let subtitles = [&network, &trainings.note];
    let header = Header::new(Page::COLUMN, "Accuracy before and after throttling", &subtitles, entries);

    let panels: Vec<Panel> = trainings.trainings.iter().map(accuracy_heading).collect();
    let above = panels.iter().map(Panel::height).max().unwrap_or(0);
    let (plotted, most_steps) = if panels.len() == 1 { (ACCURACIES.0, 6.5) } else { (ACCURACIES.1, 4.5) };
    let grid = Grid::new(Page::COLUMN, panels.len(), above + plotted + Frame::below(SUBTITLE), 1);
    let all = checks(trainings).flat_map(|check| [before_percent(check), after_percent(check)]);
    let axis = ValueAxis::covering(&Measure::Accuracy, all, most_steps);
    let (mut figure, top) = header.figure(grid.height());
    for (i, (panel, (training, style))) in
        panels.iter().zip(trainings.trainings.iter().zip(styles(trainings))).enumerate()
    {
        let corner = grid.corner(i, top);
        panel.draw(&mut figure, corner);
        let edges = (corner.1 + above + plotted, corner.1 + above);
        let ticks = axis.ticks(edges);
        let frame = frame(edges, &ticks);
        draw_axes(&mut figure, &frame, &ticks, "accuracy, %", trainings);
        if let Some(start) = start_percent(training) {
            let y = axis.y(start, edges);
            figure.patterned(&[(frame.left, y), (frame.right, y)], DASHED, GUIDE, 3);
        }
        let course = |percent: fn(&TrainingCheck) -> f64| -> Vec<Point> {
            let at = |check: &TrainingCheck| {
                (x(&frame, check.iteration, trainings), axis.y(percent(check), edges))
            };
            training.checks.iter().map(at).collect()
        };
        let (before, after) = (course(before_percent), course(after_percent));
        figure.patterned(&before, DOTTED, color_of(style.rgb), 4);
        marked(&before).for_each(|point| figure.open_marker(point, style));
        draw_course(&mut figure, &after, Style { pattern: SOLID, ..style });
    }
    figure
}

/// Name of a training, and its last check in numbers.
fn accuracy_heading(training: &Training) -> Panel {
    let last = training.checks.last().expect("a training has checks");
    let numbers = format!(
        "iteration {}: {:.2} % before, {:.2} % after throttling",
        grouped(last.iteration),
        before_percent(last),
        after_percent(last)
    );
    Panel::new(&training.name, &[&numbers], Page::COLUMN.inner_width())
}

fn frame((bottom, top): (i32, i32), ticks: &[Tick]) -> Frame {
    let page = Page::COLUMN;
    Frame::new((page.margin, page.width - page.margin - 16), (top, bottom), SUBTITLE, ticks)
}

/// Pixel column of an iteration.
fn x(frame: &Frame, iteration: u64, trainings: &Trainings) -> i32 {
    let last = last_iteration(trainings);
    let part = if last == 0 { 0.0 } else { iteration as f64 / last as f64 };
    frame.left + INNER + (part * f64::from(frame.right - frame.left - 2 * INNER)).round() as i32
}

fn draw_axes(figure: &mut Figure, frame: &Frame, ticks: &[Tick], name: &str, trainings: &Trainings) {
    frame.grid(figure, ticks);
    frame.name_left(figure, ticks, name);
    let iterations = count_ticks(last_iteration(trainings), 6.5);
    let below: Vec<Tick> = iterations.into_iter().map(|i| (x(frame, i, trainings), grouped(i))).collect();
    frame.bottom_axis(figure, &below, "training iterations");
}

/// A line with its markers, kept apart from the lines drawn before it.
fn draw_course(figure: &mut Figure, course: &[Point], style: Style) {
    marked(course).for_each(|point| figure.rim(point, style));
    figure.patterned(course, style.pattern, color_of(style.rgb), 4);
    marked(course).for_each(|point| figure.rimless_marker(point, style));
}

fn styles(trainings: &Trainings) -> Vec<Style> {
    let names: Vec<&str> = trainings.trainings.iter().map(|training| training.name.as_str()).collect();
    training_styles(&names)
}

fn checks(trainings: &Trainings) -> impl Iterator<Item = &TrainingCheck> {
    trainings.trainings.iter().flat_map(|training| &training.checks)
}

fn last_iteration(trainings: &Trainings) -> u64 {
    checks(trainings).map(|check| check.iteration).max().unwrap_or(0)
}

fn before_percent(check: &TrainingCheck) -> f64 {
    points(check.correct as f64, check.images)
}

fn after_percent(check: &TrainingCheck) -> f64 {
    points(check.throttled_correct as f64, check.images)
}

/// Definition of a large value: one sentence if all trainings have one range, otherwise a line for each range.
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
