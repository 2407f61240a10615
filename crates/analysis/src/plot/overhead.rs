//! Accuracy against stored overhead: a panel for each family, in it a frame for each rate.

use design::ProtectionName;
use plotters::style::text_anchor::{HPos, VPos};
use plotters::style::{Color, FontStyle};

use crate::estimate::cell::rate_label;
use crate::estimate::comparison::{Accuracy, Comparison, Contender, Family};
use crate::plot::axis::ValueAxis;
use crate::plot::comparison::mean_value;
use crate::plot::figure::{
    Figure, HOVER_RADIUS, PLAIN, Point, SUBTITLE, Spot, TextLook, color_of, text_width,
};
use crate::plot::header::{Header, Page};
use crate::plot::panel::{Frame, Grid, Panel, Tick};
use crate::plot::style::{BEHIND, GUIDE, Marker, SOLID, Style, VERMILION};
use crate::text::comparison::{better, common_rate_name, terms};
use crate::text::number::overhead_label;
use crate::text::terms::Terms;

/// Size of text at the axes, which are many and small.
const SMALL: i32 = 26;
const FRAME: i32 = 330;
/// Room for the rate above each frame.
const RATE: i32 = 48;
const KEY_ROW: i32 = 36;

/// Look of the front; other contenders are grey.
const FRONT: Style = Style { rgb: VERMILION, marker: Marker::Circle, pattern: SOLID };

/// Draws accuracy, or agreement, against stored overhead at each rate.
pub fn overhead_figure(comparison: &Comparison, title: &str) -> Figure {
    let (word, terms) = (comparison.measure.word(), terms(comparison));
    let explanation = format!(
        "Mean {word} against stored overhead, a column for each {}. Orange: the front, where nothing with as \
         little overhead has a {} mean; letters are explained below. Bars: 95 % intervals of the mean",
        common_rate_name(comparison),
        better(comparison)
    );
    let header = Header::new(Page::WIDE, title, &[&explanation], Vec::new());
    let letters = letters(comparison);
    let heading = |family: &Family| Panel::new(&family.name, &[], Page::WIDE.inner_width());
    let above = comparison.families.iter().map(|family| heading(family).height()).max().unwrap_or(0) + RATE;
    let height = above + FRAME + Frame::below(SMALL) + 20;
    let grid = Grid::new(Page::WIDE, comparison.families.len(), height, 1);
    let key = (letters.len() as i32 + 1) / 2 * KEY_ROW;
    let (mut figure, top) = header.figure(grid.height() + key);
    for (i, family) in comparison.families.iter().enumerate() {
        let (x, y) = grid.corner(i, top);
        heading(family).draw(&mut figure, (x, y));
        let means = family.contenders.iter().flat_map(|c| c.means.iter().flatten());
        let axis = ValueAxis::covering(&comparison.measure, means.map(|a| a.mean), 6.5);
        let edges = (y + above + FRAME, y + above);
        let ticks = axis.ticks(edges);
        let all = Frame::new((x, x + grid.width), (edges.1, edges.0), SMALL, &ticks);
        all.name_left(&mut figure, &ticks, &axis.named(&terms.axis(word)));
        for (rate, frame) in all.columns(family.rates.len(), 16).into_iter().enumerate() {
            Front { family, rate, frame, axis: &axis, letters: &letters, terms }.draw(&mut figure, &ticks);
        }
    }
    for (i, (protection, version)) in letters.iter().enumerate() {
        let (column, row) = (i as i32 % 2, i as i32 / 2);
        let at =
            (Page::WIDE.margin + column * Page::WIDE.inner_width() / 2, top + grid.height() + row * KEY_ROW);
        let line = format!("{}  {protection} on {version}", letter(i));
        figure.text(&line, at, TextLook { size: SUBTITLE, ..PLAIN });
    }
    figure
}

/// Contenders that are on a front, in order of first appearance, which fixes their letters.
fn letters(comparison: &Comparison) -> Vec<(ProtectionName, String)> {
    let mut letters: Vec<(ProtectionName, String)> = Vec::new();
    for family in &comparison.families {
        for rate in 0..family.rates.len() {
            for contender in family.contenders.iter().filter(|c| family.is_on_front(c, rate)) {
                let name = (contender.protection.clone(), version(family, contender));
                if !letters.contains(&name) {
                    letters.push(name);
                }
            }
        }
    }
    letters
}

/// The version of a network, without the name of the family where its label begins with it.
fn version(family: &Family, contender: &Contender) -> String {
    let model = &contender.model;
    let rest = model.strip_prefix(family.name.as_str()).map(|rest| rest.trim_start_matches('-'));
    rest.filter(|rest| !rest.is_empty()).unwrap_or(model).into()
}

/// a, b, ..., z, aa, ab, ...
fn letter(index: usize) -> String {
    let last = char::from(b'a' + (index % 26) as u8);
    match index / 26 {
        0 => last.into(),
        more => letter(more - 1) + &last.to_string(),
    }
}

/// The contenders of a family at one rate.
struct Front<'a> {
    family: &'a Family,
    rate: usize,
    frame: Frame,
    axis: &'a ValueAxis,
    terms: Terms<'a>,
    letters: &'a [(ProtectionName, String)],
}

impl Front<'_> {
    /// Largest overhead in %, of all rates.
    fn most(&self) -> f64 {
        self.family.contenders.iter().map(|c| c.overhead_percent).fold(1.0, f64::max)
    }

    fn x(&self, overhead: f64) -> i32 {
        let (from, to) = (self.frame.left + 26, self.frame.right - 20);
        from + (overhead / self.most() * f64::from(to - from)).round() as i32
    }

    fn y(&self, percent: f64) -> i32 {
        self.axis.y(percent, (self.frame.bottom, self.frame.top))
    }

    fn at(&self, contender: &Contender, accuracy: &Accuracy) -> Point {
        (self.x(contender.overhead_percent), self.y(accuracy.mean))
    }

    fn letter_of(&self, contender: &Contender) -> String {
        let name = (contender.protection.clone(), version(self.family, contender));
        let place = self.letters.iter().position(|known| *known == name);
        letter(place.expect("whatever is on a front has a letter"))
    }

    /// Text of a point: its mean and the stored overhead.
    fn value(&self, contender: &Contender, accuracy: &Accuracy) -> String {
        let mean = mean_value(self.family, contender, self.terms, self.rate, accuracy);
        format!("{mean}; stored overhead {}", overhead_label(contender.overhead_percent))
    }

    fn draw(&self, figure: &mut Figure, ticks: &[Tick]) {
        let Frame { right, top, .. } = self.frame;
        self.frame.grid(figure, ticks);
        let overheads = [0.0, 10.0, 20.0, 30.0, 40.0, 50.0].into_iter().filter(|o| *o <= self.most());
        let below: Vec<Tick> = overheads.map(|o| (self.x(o), format!("{o}"))).collect();
        self.frame.bottom_axis(figure, &below, "stored overhead, %");
        let (rate, middle) = (rate_label(self.family.rates[self.rate]), self.frame.middle());
        figure.text(&rate, (middle, top - 44), TextLook { h: HPos::Center, ..PLAIN });
        let half = text_width(&rate, PLAIN.size, FontStyle::Normal) / 2;
        let mut taken =
            vec![Place { left: middle - half, top: top - 44, right: middle + half, bottom: top - 12 }];

        let shown = self.family.contenders.iter().filter_map(|c| Some((c, c.means[self.rate]?)));
        let (front, behind): (Vec<_>, Vec<_>) =
            shown.partition(|(contender, _)| self.family.is_on_front(contender, self.rate));
        for (contender, accuracy) in &behind {
            let at = self.at(contender, accuracy);
            figure.disc(at, 7, BEHIND.mix(0.7));
            taken.push(Place::around(at, 7));
            figure.hover(Spot::Disc(at, 7), self.value(contender, accuracy));
        }
        let mut line: Vec<Point> = Vec::new();
        for (contender, accuracy) in &front {
            let at = self.at(contender, accuracy);
            line.extend(line.last().map(|&(_, y)| (at.0, y)));
            line.push(at);
        }
        line.extend(line.last().map(|&(_, y)| (right, y)));
        figure.line(&line, color_of(FRONT.rgb).mix(0.6), 3);
        // Equals share a marker.
        let mut named: Vec<(Point, String, String)> = Vec::new();
        for (contender, accuracy) in &front {
            let at = self.at(contender, accuracy);
            if let Some((low, high)) = accuracy.interval {
                figure.line(&[(at.0, self.y(low)), (at.0, self.y(high))], GUIDE, 3);
            }
            let (letter, value) = (self.letter_of(contender), self.value(contender, accuracy));
            match named.iter_mut().find(|(place, ..)| *place == at) {
                Some((_, letters, values)) => {
                    *letters = format!("{letters}, {letter}");
                    *values = format!("{values}\n{value}");
                }
                None => named.push((at, letter, value)),
            }
        }
        for (at, _, values) in &named {
            figure.marker(*at, FRONT);
            figure.hover(Spot::Disc(*at, HOVER_RADIUS), values.clone());
            taken.push(Place::around(*at, HOVER_RADIUS));
        }
        for (at, letters, _) in &named {
            let width = text_width(letters, SMALL, FontStyle::Bold);
            let place = Place::beside(*at, (width, SMALL), &taken, right);
            let look = TextLook { size: SMALL, style: FontStyle::Bold, v: VPos::Center, ..PLAIN };
            figure.text(letters, (place.left, (place.top + place.bottom) / 2), look);
            taken.push(place);
        }
    }
}

/// A rectangle that something takes up.
#[derive(Clone, Copy)]
struct Place {
    left: i32,
    top: i32,
    right: i32,
    bottom: i32,
}

impl Place {
    fn around((x, y): Point, radius: i32) -> Self {
        Self { left: x - radius, top: y - radius, right: x + radius, bottom: y + radius }
    }

    /// Room for a text beside a marker: the nearest that nothing has taken, first above to the right, and not beyond
    /// `most_right`. Where everything near is taken, the place that shares least with others.
    fn beside((x, y): Point, (width, height): (i32, i32), taken: &[Self], most_right: i32) -> Self {
        let mut best: Option<(i64, Self)> = None;
        for distance in [HOVER_RADIUS, HOVER_RADIUS + 12, HOVER_RADIUS + 26, HOVER_RADIUS + 42] {
            let (right, left) = (x + distance, x - distance - width);
            let (above, level, below) = (y - distance - height, y - height / 2, y + distance);
            let corners = [
                (x + HOVER_RADIUS / 2, above),
                (right, level),
                (x + HOVER_RADIUS / 2, below),
                (x - HOVER_RADIUS / 2 - width, above),
                (left, level),
                (x - HOVER_RADIUS / 2 - width, below),
                (right, above),
                (right, below),
            ];
            for (left, top) in corners {
                let place = Self { left, top, right: left + width, bottom: top + height };
                let beyond = if place.right > most_right { i64::from(width) * i64::from(height) } else { 0 };
                let shared = beyond + taken.iter().map(|other| place.shared(*other)).sum::<i64>();
                if shared == 0 {
                    return place;
                }
                if best.is_none_or(|(least, _)| shared < least) {
                    best = Some((shared, place));
                }
            }
        }
        best.expect("there are places").1
    }

    /// The area that two have in common.
    fn shared(self, other: Self) -> i64 {
        let across = self.right.min(other.right) - self.left.max(other.left);
        let down = self.bottom.min(other.bottom) - self.top.max(other.top);
        i64::from(across.max(0)) * i64::from(down.max(0))
    }
}
