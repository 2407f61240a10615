//! A figure as a list of marks in pixels, which SVG and PNG render alike.

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
use crate::plot::style::{INK, Marker, Style, WHITE};
use crate::text::escape::{escape, line};

const FAMILY: &str = "sans-serif";
/// Sizes of text, in pixels.
pub(crate) const PANEL_TITLE: i32 = 36;
pub(crate) const TEXT: i32 = 32;
pub(crate) const SUBTITLE: i32 = 28;

const MARKER_RADIUS: i32 = 10;
/// White around a marker keeps it apart from what it overlaps.
const RIM: i32 = 3;
/// Radius of the disc around a marker that tells its value under the pointer.
pub(crate) const HOVER_RADIUS: i32 = 14;
/// Radius of an open marker: so large that a marker in it leaves a ring to see.
const OPEN_RADIUS: i32 = 16;
/// Width of the outline of an open marker.
const OUTLINE: i32 = 4;

pub(crate) type Point = (i32, i32);

/// A drawn figure. Equal input gives equal figures, and equal figures give equal bytes.
#[derive(Clone)]
pub struct Figure {
    /// Width and height in pixels.
    size: Point,
    marks: Vec<Mark>,
    /// In order: the last of those that overlap is the one that shows.
    hovers: Vec<(Spot, String)>,
}

#[derive(Clone)]
enum Mark {
    Line(Vec<Point>, RGBAColor, u32),
    Rectangle([Point; 2], RGBAColor),
    Polygon(Vec<Point>, RGBAColor),
    Disc(Point, i32, RGBAColor),
    Text(String, Point, TextLook),
}

/// Place at which a figure tells a value under the pointer.
#[derive(Clone, Copy)]
pub(crate) enum Spot {
    /// Centre and radius.
    Disc(Point, i32),
    /// Upper left and lower right corner.
    Field([Point; 2]),
}

/// Look of a text and its place relative to the point that it is written at.
#[derive(Clone, Copy)]
pub(crate) struct TextLook {
    pub(crate) size: i32,
    pub(crate) style: FontStyle,
    pub(crate) color: RGBColor,
    pub(crate) h: HPos,
    pub(crate) v: VPos,
    pub(crate) upright: bool,
}

pub(crate) const PLAIN: TextLook =
    TextLook { size: TEXT, style: FontStyle::Normal, color: INK, h: HPos::Left, v: VPos::Top, upright: true };

impl Figure {
    /// The figure as SVG. Text stays text, and a spot with a value shows it under the pointer.
    ///
    /// # Errors
    /// Only when the drawing library refuses.
    pub fn svg(&self) -> Result<String, AnalysisError> {
        let mut text = String::new();
        let (width, height) = self.size;
        let backend = SVGBackend::with_string(&mut text, (width as u32, height as u32));
        self.render(&backend.into_drawing_area())?;
        let end = text.rfind("</svg>").expect("the backend closes what it opened");
        text.insert_str(end, &self.hover_layer());
        Ok(text)
    }

    /// The figure as PNG (8-bit RGB), of the same size in pixels.
    ///
    /// # Errors
    /// Only when the drawing library refuses.
    pub fn png(&self) -> Result<Vec<u8>, AnalysisError> {
        let (width, height) = (self.size.0 as u32, self.size.1 as u32);
        let mut pixels = vec![0; 3 * width as usize * height as usize];
        self.render(&BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area())?;
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

    fn render<DB: DrawingBackend>(&self, area: &DrawingArea<DB, Shift>) -> Result<(), AnalysisError> {
        fn add<'b, DB: DrawingBackend, E>(
            area: &DrawingArea<DB, Shift>,
            element: &'b E,
        ) -> Result<(), AnalysisError>
        where
            &'b E: PointCollection<'b, Point>,
            E: Drawable<DB>,
        {
            area.draw(element).map_err(|e| AnalysisError::Figure(e.to_string()))
        }
        register_fonts()?;
        area.fill(&WHITE).map_err(|e| AnalysisError::Figure(e.to_string()))?;
        for mark in &self.marks {
            match mark {
                Mark::Line(points, color, width) => {
                    let style = ShapeStyle { color: *color, filled: false, stroke_width: *width };
                    add(area, &PathElement::new(points.as_slice(), style))?;
                }
                Mark::Rectangle(corners, color) => add(area, &Rectangle::new(*corners, color.filled()))?,
                Mark::Polygon(points, color) => add(area, &Polygon::new(points.as_slice(), color.filled()))?,
                Mark::Disc(center, radius, color) => {
                    add(area, &Circle::new(*center, *radius, color.filled()))?;
                }
                Mark::Text(text, (x, y), look) => {
                    // Both backends centre a box that reaches below the letters; this centres the letters.
                    let lower = if matches!(look.v, VPos::Center) { look.size / 8 } else { 0 };
                    let font = (FAMILY, look.size, look.style).into_font();
                    let font = if look.upright { font } else { font.transform(FontTransform::Rotate270) };
                    let style = TextStyle::from(font).color(&look.color).pos(Pos::new(look.h, look.v));
                    add(area, &Text::new(text.as_str(), (*x, y + lower), style))?;
                }
            }
        }
        area.present().map_err(|e| AnalysisError::Figure(e.to_string()))
    }

    /// Transparent shapes over the figure, each with a title, which browsers show under the pointer.
    fn hover_layer(&self) -> String {
        if self.hovers.is_empty() {
            return String::new();
        }
        let mut layer = String::from("<g fill=\"none\" pointer-events=\"all\">\n");
        for (spot, value) in &self.hovers {
            let (name, place) = match spot {
                Spot::Disc((x, y), radius) => ("circle", format!("cx=\"{x}\" cy=\"{y}\" r=\"{radius}\"")),
                Spot::Field([(left, top), (right, bottom)]) => {
                    let (width, height) = (right - left, bottom - top);
                    ("rect", format!("x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\""))
                }
            };
            layer.push_str(&format!("<{name} {place}><title>{}</title></{name}>\n", escape(value)));
        }
        layer + "</g>\n"
    }

    /// A white figure.
    pub(crate) fn new(width: i32, height: i32) -> Self {
        Self { size: (width, height), marks: Vec::new(), hovers: Vec::new() }
    }

    /// Lets a spot tell a value under the pointer, in SVG only.
    pub(crate) fn hover(&mut self, spot: Spot, value: String) {
        self.hovers.push((spot, value));
    }

    pub(crate) fn line(&mut self, points: &[Point], color: impl Color, width: u32) {
        self.marks.push(Mark::Line(points.to_vec(), color.to_rgba(), width));
    }

    /// A line of strokes and gaps, whose lengths `pattern` gives in turn; solid if it is empty.
    pub(crate) fn patterned(&mut self, points: &[Point], pattern: &[i32], color: impl Color, width: u32) {
        let color = color.to_rgba();
        if pattern.is_empty() {
            return self.line(points, color, width);
        }
        let mut lengths = pattern.iter().cycle().map(|length| f64::from(*length));
        let mut next = || lengths.next().expect("a cycle has no end");
        let mut stroke: Vec<Point> = points.iter().copied().take(1).collect();
        let (mut in_stroke, mut left) = (true, next());
        for pair in points.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            let (dx, dy) = (f64::from(to.0 - from.0), f64::from(to.1 - from.1));
            let length = dx.hypot(dy);
            let mut done = 0.0;
            while length - done > left {
                done += left;
                let part = done / length;
                let end = (from.0 + (part * dx).round() as i32, from.1 + (part * dy).round() as i32);
                if in_stroke {
                    stroke.push(end);
                    self.line(&stroke, color, width);
                }
                stroke = vec![end];
                (in_stroke, left) = (!in_stroke, next());
            }
            left -= length - done;
            stroke.push(to);
        }
        if in_stroke {
            self.line(&stroke, color, width);
        }
    }

    pub(crate) fn rectangle(&mut self, corners: [Point; 2], color: impl Color) {
        self.marks.push(Mark::Rectangle(corners, color.to_rgba()));
    }

    /// The outline of a rectangle.
    pub(crate) fn outline(
        &mut self,
        [(left, top), (right, bottom)]: [Point; 2],
        color: impl Color,
        width: u32,
    ) {
        self.line(&[(left, top), (right, top), (right, bottom), (left, bottom), (left, top)], color, width);
    }

    pub(crate) fn polygon(&mut self, points: &[Point], color: impl Color) {
        self.marks.push(Mark::Polygon(points.to_vec(), color.to_rgba()));
    }

    pub(crate) fn disc(&mut self, center: Point, radius: i32, color: impl Color) {
        self.marks.push(Mark::Disc(center, radius, color.to_rgba()));
    }

    pub(crate) fn text(&mut self, text: &str, at: Point, look: TextLook) {
        self.marks.push(Mark::Text(line(text).into_owned(), at, look));
    }

    pub(crate) fn marker(&mut self, at: Point, style: Style) {
        self.rim(at, style);
        self.rimless_marker(at, style);
    }

    /// The white around a marker, for what is drawn between the two.
    pub(crate) fn rim(&mut self, at: Point, style: Style) {
        self.shape(at, style.marker, MARKER_RADIUS + RIM, WHITE.to_rgba());
    }

    pub(crate) fn rimless_marker(&mut self, at: Point, style: Style) {
        self.shape(at, style.marker, MARKER_RADIUS, color_of(style.rgb));
    }

    /// A larger marker of which only the outline has the colour.
    pub(crate) fn open_marker(&mut self, at: Point, style: Style) {
        self.shape(at, style.marker, OPEN_RADIUS, color_of(style.rgb));
        // A triangle's edges are nearer to its middle than its tips, and that lies towards its base.
        let (inner, lower) = match style.marker {
            Marker::TriangleUp => (OPEN_RADIUS - OUTLINE - 1, 1),
            Marker::TriangleDown => (OPEN_RADIUS - OUTLINE - 1, -1),
            _ => (OPEN_RADIUS - OUTLINE, 0),
        };
        self.shape((at.0, at.1 + lower), style.marker, inner, WHITE.to_rgba());
    }

    fn shape(&mut self, (x, y): Point, marker: Marker, r: i32, color: RGBAColor) {
        // Half the side of a square, and half the base of a triangle, that look as large as the disc.
        let (side, base) = (r * 8 / 9, r * 10 / 9);
        match marker {
            Marker::Circle => self.disc((x, y), r, color),
            Marker::Square => self.rectangle([(x - side, y - side), (x + side, y + side)], color),
            Marker::TriangleUp => {
                self.polygon(&[(x - base, y + side), (x + base, y + side), (x, y - base)], color);
            }
            Marker::TriangleDown => {
                self.polygon(&[(x - base, y - side), (x + base, y - side), (x, y + base)], color);
            }
            Marker::Diamond => {
                let r = r * 5 / 4;
                self.polygon(&[(x - r, y), (x, y - r), (x + r, y), (x, y + r)], color);
            }
            Marker::Cross => {
                let stroke = (r / 2) as u32;
                self.line(&[(x - side, y - side), (x + side, y + side)], color, stroke);
                self.line(&[(x - side, y + side), (x + side, y - side)], color, stroke);
            }
        }
    }
}

pub(crate) fn color_of([r, g, b]: [u8; 3]) -> RGBAColor {
    RGBColor(r, g, b).to_rgba()
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

/// A space at which lines are not broken.
pub(crate) const NO_BREAK_SPACE: char = '\u{a0}';

pub(crate) fn line_height(size: i32) -> i32 {
    size * 6 / 5
}

/// Width of a line of text in pixels; 0 without the embedded font, with which rendering fails.
pub(crate) fn text_width(text: &str, size: i32, style: FontStyle) -> i32 {
    if register_fonts().is_err() {
        return 0;
    }
    let font = (FAMILY, size, style).into_font();
    font.box_size(&line(text)).map_or(0, |(width, _)| width as i32)
}

/// Breaks text at spaces that are not no-break spaces; a single word may be wider than `width`.
pub(crate) fn wrap(text: &str, size: i32, style: FontStyle, width: i32) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let breaks = |c: char| c.is_whitespace() && c != NO_BREAK_SPACE;
    for word in text.split(breaks).filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(last) if text_width(&format!("{last} {word}"), size, style) <= width => {
                last.push(' ');
                last.push_str(word);
            }
            _ => lines.push(word.into()),
        }
    }
    lines
}
