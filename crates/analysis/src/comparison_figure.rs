//! Two pictures of a comparison: accuracy as a table whose fields are shaded, and accuracy against stored overhead.

use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::{HPos, VPos};
use plotters::style::{Color, FontStyle, RGBAColor, RGBColor};

use crate::AnalysisError;
use crate::axis::AccuracyAxis;
use crate::canvas::{
    Canvas, Drawing, GRID, GUIDE, HOVER_RADIUS, Header, INK, PAGE_MARGIN, PAGE_TITLE, PAGE_WIDTH,
    PANEL_TITLE, PLAIN, Point, SUBTITLE, Spot, TICK, TextLook, color_of, gradient, png, svg, text_width,
};
use crate::cell::rate_label;
use crate::comparison::{Accuracy, Comparison, Contender, Family, overhead_label};
use crate::lossy::NOT_MEASURED;
use crate::style::{Marker, Style};

const ROW: i32 = 40;
const LABEL: i32 = 26;

/// From no loss to all of it: white to a deep blue, each shade darker than the one before.
const COLORS: [(u8, u8, u8); 4] = [(255, 255, 255), (158, 202, 225), (49, 120, 180), (8, 35, 90)];
/// A loss of this many points has the deepest colour.
const DEEPEST: f64 = 60.0;

/// The front, and what is behind it.
const FRONT: Style = Style { rgb: [213, 94, 0], marker: Marker::Circle };
const BEHIND: RGBColor = RGBColor(150, 150, 150);

impl Comparison {
    /// The shaded table, as SVG.
    ///
    /// # Errors
    /// Only when the drawing library refuses.
    pub fn table_svg(&self, title: &str) -> Result<String, AnalysisError> {
        svg(&ShadedTable::new(self, title)?)
    }

    /// The same as PNG.
    ///
    /// # Errors
    /// Only when the drawing library refuses.
    pub fn table_png(&self, title: &str) -> Result<Vec<u8>, AnalysisError> {
        png(&ShadedTable::new(self, title)?)
    }

    /// Accuracy against stored overhead at each rate, as SVG.
    ///
    /// # Errors
    /// Only when the drawing library refuses.
    pub fn overhead_svg(&self, title: &str) -> Result<String, AnalysisError> {
        svg(&Fronts::new(self, title)?)
    }

    /// The same as PNG.
    ///
    /// # Errors
    /// Only when the drawing library refuses.
    pub fn overhead_png(&self, title: &str) -> Result<Vec<u8>, AnalysisError> {
        png(&Fronts::new(self, title)?)
    }
}

struct ShadedTable<'a> {
    header: Header<()>,
    families: &'a [Family],
    /// Width of the widest label.
    labels: i32,
}

impl<'a> ShadedTable<'a> {
    fn new(comparison: &'a Comparison, title: &str) -> Result<Self, AnalysisError> {
        let mut contenders = comparison.families.iter().flat_map(|family| &family.contenders);
        let unmeasured = contenders.any(|contender| contender.fault_free_percent.is_none());
        let explanation = format!(
            "Mean accuracy in %, by {}; the darker, the more is lost against the best version without faults. Framed: \
             nothing with as little stored overhead is more accurate{}",
            comparison.rate_name,
            if unmeasured { ". A question mark: not measured" } else { "" }
        );
        let mut labels = 0;
        for contender in comparison.families.iter().flat_map(|family| &family.contenders) {
            labels = labels.max(text_width(&contender.label(), LABEL, FontStyle::Normal)?);
        }
        Ok(Self {
            header: Header::new((title, PAGE_TITLE), &[&explanation], Vec::new(), (PAGE_WIDTH, PAGE_MARGIN))?,
            families: &comparison.families,
            labels,
        })
    }
}

/// Height of a family: its name, the heads of the columns, the rows, and room below.
fn table_height(family: &Family) -> i32 {
    60 + ROW + ROW * family.contenders.len() as i32 + 36
}

impl Drawing for ShadedTable<'_> {
    fn size(&self) -> (i32, i32) {
        (PAGE_WIDTH, self.header.height() + self.families.iter().map(table_height).sum::<i32>() + PAGE_MARGIN)
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<DB>) -> Result<(), AnalysisError> {
        self.header.draw(canvas, |(), _, _| Ok(()))?;
        let mut top = self.header.height();
        for family in self.families {
            let bold = TextLook { size: PANEL_TITLE, style: FontStyle::Bold, ..PLAIN };
            canvas.text(&family.name, (PAGE_MARGIN, top + 8), bold)?;
            let left = PAGE_MARGIN + self.labels + 24;
            let width = (PAGE_WIDTH - PAGE_MARGIN - left) / (family.rates.len() as i32 + 2);
            let place = |column: i32| (left + column * width, left + (column + 1) * width - 4);
            let head = TextLook { size: LABEL, h: HPos::Center, v: VPos::Center, ..PLAIN };
            let middle = |(from, to): (i32, i32)| (from + to) / 2;
            let y = top + 60 + ROW / 2;
            for (column, name) in (0..).zip(
                ["overhead".to_string(), "fault-free".to_string()]
                    .into_iter()
                    .chain(family.rates.iter().map(|rate| rate_label(*rate))),
            ) {
                canvas.text(&name, (middle(place(column)), y), head)?;
            }
            for (row, contender) in (1..).zip(&family.contenders) {
                let y = top + 60 + row * ROW;
                let name = TextLook { size: LABEL, v: VPos::Center, ..PLAIN };
                canvas.text(&contender.label(), (PAGE_MARGIN, y + ROW / 2), name)?;
                let at = (middle(place(0)), y + ROW / 2);
                canvas.text(&overhead_label(contender.overhead_percent), at, head)?;
                let best = family.best_clean_percent();
                match contender.fault_free_percent {
                    Some(percent) => field(canvas, place(1), y, percent, best, false)?,
                    None => canvas.text("?", (middle(place(1)), y + ROW / 2), head)?,
                }
                let spot = |column| {
                    let (left, right) = place(column);
                    Spot::Field([(left, y), (right, y + ROW)])
                };
                let fault_free = match contender.fault_free_percent {
                    Some(percent) => format!("fault-free {percent:.2} %"),
                    None => format!("fault-free {NOT_MEASURED}"),
                };
                canvas.hover(spot(1), format!("{}: {fault_free}", contender.label()));
                for (rate, accuracy) in contender.accuracies.iter().enumerate() {
                    if let Some(accuracy) = accuracy {
                        let on_front = family.is_on_front(contender, rate);
                        let column = rate as i32 + 2;
                        field(canvas, place(column), y, accuracy.mean_percent, best, on_front)?;
                        canvas.hover(spot(column), mean_value(family, contender, rate, accuracy));
                    }
                }
            }
            top += table_height(family);
        }
        Ok(())
    }
}

/// A shaded field with its number.
fn field<DB: DrawingBackend>(
    canvas: &Canvas<DB>,
    (left, right): (i32, i32),
    y: i32,
    percent: f64,
    best_percent: f64,
    framed: bool,
) -> Result<(), AnalysisError> {
    let (shade, dark) = shade(best_percent - percent);
    let (top, bottom) = (y + 2, y + ROW - 2);
    canvas.rectangle([(left, top), (right, bottom)], GRID.to_rgba())?;
    canvas.rectangle([(left + 1, top + 1), (right - 1, bottom - 1)], shade)?;
    if framed {
        let corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)];
        canvas.line(&corners, RGBColor(213, 94, 0).to_rgba(), 4)?;
    }
    let color = if dark { RGBColor(255, 255, 255) } else { INK };
    let style = if framed { FontStyle::Bold } else { FontStyle::Normal };
    let look = TextLook { size: LABEL, color, style, h: HPos::Center, v: VPos::Center, ..PLAIN };
    canvas.text(&format!("{percent:.1}"), ((left + right) / 2, y + ROW / 2), look)
}

/// A mean in words: protection and version, rate, accuracy and its interval.
fn mean_value(family: &Family, contender: &Contender, rate: usize, accuracy: &Accuracy) -> String {
    let interval = accuracy
        .interval_percent
        .map_or(String::new(), |(low, high)| format!(", 95 % interval [{low:.2}, {high:.2}]"));
    let rate = rate_label(family.rates[rate]);
    format!("{} at {rate}: mean {:.2} %{interval}", contender.label(), accuracy.mean_percent)
}

/// The same with the stored overhead.
fn point_value(family: &Family, contender: &Contender, rate: usize, accuracy: &Accuracy) -> String {
    let mean = mean_value(family, contender, rate, accuracy);
    format!("{mean}; stored overhead {}", overhead_label(contender.overhead_percent))
}

/// The colour of a loss in points, and whether text on it must be white.
fn shade(loss: f64) -> (RGBAColor, bool) {
    // The square root keeps small losses apart.
    let part = (loss.max(0.0) / DEEPEST).min(1.0).sqrt();
    (gradient(&COLORS, part).to_rgba(), part > 0.55)
}

struct Fronts<'a> {
    header: Header<()>,
    families: &'a [Family],
    /// Contenders that are on a front, in order of first appearance: their letters.
    letters: Vec<(String, String)>,
    /// Lines of the key.
    key: Vec<String>,
}

const PANEL: i32 = 330;
const ABOVE: i32 = 112;
const BELOW: i32 = 88;
const KEY_ROW: i32 = 36;

impl<'a> Fronts<'a> {
    fn new(comparison: &'a Comparison, title: &str) -> Result<Self, AnalysisError> {
        let explanation = format!(
            "Mean accuracy against stored overhead, a column for each {}. Orange: the front, where nothing with as \
             little overhead is more accurate; letters are explained below. Bars: 95 % intervals of the mean",
            comparison.rate_name
        );
        let mut letters: Vec<(String, String)> = Vec::new();
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
        let key = (0..)
            .zip(&letters)
            .map(|(i, (protection, version))| format!("{}  {protection} on {version}", letter(i)))
            .collect();
        Ok(Self {
            header: Header::new((title, PAGE_TITLE), &[&explanation], Vec::new(), (PAGE_WIDTH, PAGE_MARGIN))?,
            families: &comparison.families,
            letters,
            key,
        })
    }

    fn letter_of(&self, family: &Family, contender: &Contender) -> String {
        let name = (contender.protection.clone(), version(family, contender));
        letter(
            self.letters
                .iter()
                .position(|known| *known == name)
                .expect("whatever is on a front has a letter"),
        )
    }
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

impl Drawing for Fronts<'_> {
    fn size(&self) -> (i32, i32) {
        let rows = self.families.len() as i32;
        let key = (self.key.len() as i32 + 1) / 2 * KEY_ROW;
        (PAGE_WIDTH, self.header.height() + rows * (ABOVE + PANEL + BELOW) + key + PAGE_MARGIN)
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<DB>) -> Result<(), AnalysisError> {
        self.header.draw(canvas, |(), _, _| Ok(()))?;
        let mut top = self.header.height();
        for family in self.families {
            let bold = TextLook { size: PANEL_TITLE, style: FontStyle::Bold, ..PLAIN };
            canvas.text(&family.name, (PAGE_MARGIN, top), bold)?;
            let columns = family.rates.len() as i32;
            let left = PAGE_MARGIN + 76;
            let width = (PAGE_WIDTH - PAGE_MARGIN - left) / columns;
            let all = family.contenders.iter();
            let means = all.flat_map(|c| c.accuracies.iter().flatten().map(|a| a.mean_percent));
            let axis = AccuracyAxis::covering(means, 6.5);
            let most = family.contenders.iter().map(|c| c.overhead_percent).fold(1.0, f64::max);
            for rate in 0..columns {
                let frame = Frame {
                    left: left + rate * width,
                    right: left + (rate + 1) * width - 16,
                    top: top + ABOVE,
                    bottom: top + ABOVE + PANEL,
                    axis: &axis,
                    most,
                };
                self.panel(canvas, family, rate as usize, &frame)?;
            }
            top += ABOVE + PANEL + BELOW;
        }
        for (i, line) in (0..).zip(&self.key) {
            let at = (PAGE_MARGIN + i % 2 * (PAGE_WIDTH - 2 * PAGE_MARGIN) / 2, top + i / 2 * KEY_ROW);
            canvas.text(line, at, TextLook { size: SUBTITLE, ..PLAIN })?;
        }
        Ok(())
    }
}

struct Frame<'a> {
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
    axis: &'a AccuracyAxis,
    /// Largest overhead, %.
    most: f64,
}

impl Frame<'_> {
    fn x(&self, overhead: f64) -> i32 {
        let (from, to) = (self.left + 26, self.right - 20);
        from + (overhead / self.most * f64::from(to - from)).round() as i32
    }

    fn y(&self, percent: f64) -> i32 {
        let part = (percent - self.axis.low) / (self.axis.high - self.axis.low);
        self.bottom - (part * f64::from(self.bottom - self.top)).round() as i32
    }
}

impl Fronts<'_> {
    fn panel<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<DB>,
        family: &Family,
        rate: usize,
        frame: &Frame,
    ) -> Result<(), AnalysisError> {
        let Frame { left, right, top, bottom, .. } = *frame;
        let small = TextLook { size: LABEL, ..PLAIN };
        for tick in &frame.axis.ticks {
            let y = frame.y(*tick);
            canvas.line(&[(left, y), (right, y)], GRID.to_rgba(), 2)?;
            if rate == 0 {
                let look = TextLook { h: HPos::Right, v: VPos::Center, ..small };
                canvas.text(&frame.axis.label(*tick), (left - 10, y), look)?;
            }
        }
        let title = TextLook { size: TICK, h: HPos::Center, ..PLAIN };
        let middle = (left + right) / 2;
        let heading = rate_label(family.rates[rate]);
        canvas.text(&heading, (middle, top - 40), title)?;
        let half = text_width(&heading, TICK, FontStyle::Normal)? / 2;
        canvas.line(&[(left, top), (left, bottom), (right, bottom)], INK.to_rgba(), 2)?;
        for overhead in [0.0, 10.0, 20.0, 30.0, 40.0, 50.0].into_iter().filter(|o| *o <= frame.most) {
            let x = frame.x(overhead);
            canvas.line(&[(x, bottom), (x, bottom + 8)], INK.to_rgba(), 2)?;
            canvas.text(&format!("{overhead}"), (x, bottom + 12), TextLook { h: HPos::Center, ..small })?;
        }
        let below = TextLook { h: HPos::Center, ..small };
        canvas.text("stored overhead, %", (middle, bottom + 42), below)?;

        let (front, behind): (Vec<&Contender>, Vec<&Contender>) =
            family.contenders.iter().partition(|contender| family.is_on_front(contender, rate));
        let heading = Place { left: middle - half, top: top - 40, right: middle + half, bottom: top - 8 };
        let mut taken = vec![heading];
        for contender in behind {
            if let Some(accuracy) = contender.accuracies[rate] {
                let at = (frame.x(contender.overhead_percent), frame.y(accuracy.mean_percent));
                canvas.disc(at, 7, BEHIND.mix(0.7))?;
                taken.push(Place::around(at, 7));
                canvas.hover(Spot::Disc(at, 7), point_value(family, contender, rate, &accuracy));
            }
        }
        let color = color_of(FRONT);
        let mut line: Vec<(i32, i32)> = Vec::new();
        for contender in &front {
            let accuracy = contender.accuracies[rate].expect("it is on the front");
            let at = (frame.x(contender.overhead_percent), frame.y(accuracy.mean_percent));
            if let Some(&(_, y)) = line.last() {
                line.push((at.0, y));
            }
            line.push(at);
        }
        if let Some(&(_, y)) = line.last() {
            line.push((right, y));
        }
        canvas.line(&line, color.mix(0.6), 3)?;
        // Equals share a marker.
        let mut named: Vec<((i32, i32), String, String)> = Vec::new();
        for contender in &front {
            let accuracy = contender.accuracies[rate].expect("it is on the front");
            let at = (frame.x(contender.overhead_percent), frame.y(accuracy.mean_percent));
            if let Some((low, high)) = accuracy.interval_percent {
                canvas.line(&[(at.0, frame.y(low)), (at.0, frame.y(high))], GUIDE.to_rgba(), 3)?;
            }
            let letter = self.letter_of(family, contender);
            let value = point_value(family, contender, rate, &accuracy);
            match named.iter_mut().find(|(place, ..)| *place == at) {
                Some((_, letters, values)) => {
                    *letters = format!("{letters}, {letter}");
                    *values = format!("{values}\n{value}");
                }
                None => named.push((at, letter, value)),
            }
        }
        for (at, _, values) in &named {
            canvas.marker(*at, FRONT)?;
            canvas.hover(Spot::Disc(*at, HOVER_RADIUS), values.clone());
            taken.push(Place::around(*at, HOVER_RADIUS));
        }
        for (at, letters, _) in &named {
            let width = text_width(letters, LABEL, FontStyle::Bold)?;
            let place = Place::beside(*at, (width, LABEL), &taken, right);
            let look = TextLook { size: LABEL, style: FontStyle::Bold, v: VPos::Center, ..PLAIN };
            canvas.text(letters, (place.left, (place.top + place.bottom) / 2), look)?;
            taken.push(place);
        }
        Ok(())
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
