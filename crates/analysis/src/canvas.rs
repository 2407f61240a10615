//! Drawing in pixels, as SVG and as PNG from the same code: what all figures share.

use std::cell::RefCell;
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
use crate::escape::{escape, line};
use crate::style::{Marker, Style};

/// Width of a figure across the page, its margin and the size of its title, in pixels.
pub(crate) const PAGE_WIDTH: i32 = 1600;
pub(crate) const PAGE_MARGIN: i32 = 36;
pub(crate) const PAGE_TITLE: i32 = 46;

/// Width of a figure for one column of a paper, in pixels.
pub(crate) const COLUMN_WIDTH: i32 = 1000;

const FAMILY: &str = "sans-serif";
/// Sizes of text, in pixels.
pub(crate) const PANEL_TITLE: i32 = 36;
pub(crate) const TICK: i32 = 32;
pub(crate) const SUBTITLE: i32 = 28;

const WHITE: RGBColor = RGBColor(255, 255, 255);
pub(crate) const INK: RGBColor = RGBColor(30, 30, 30);
pub(crate) const SOFT_INK: RGBColor = RGBColor(85, 85, 85);
pub(crate) const GUIDE: RGBColor = RGBColor(120, 120, 120);
pub(crate) const GRID: RGBColor = RGBColor(225, 225, 225);

/// Strokes and gaps of the line of a fault-free or unchanged network.
pub(crate) const DASH: &[i32] = &[14, 9];

const MARKER_RADIUS: i32 = 10;
/// White around a marker keeps it apart from what it overlaps.
const RIM: i32 = 3;
/// Of the spot around a marker that tells its value.
pub(crate) const HOVER_RADIUS: i32 = 14;
/// Of an open marker: so large that a marker in it leaves a ring to see.
const OPEN_RADIUS: i32 = 16;
/// Width of the outline of an open marker.
const OUTLINE: i32 = 4;

pub(crate) type Point = (i32, i32);

/// A figure that knows its size, and how to draw itself.
pub(crate) trait Drawing {
    /// Width and height in pixels.
    fn size(&self) -> (i32, i32);

    /// Draws on a white canvas of that size.
    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<DB>) -> Result<(), AnalysisError>;
}

/// The figure as SVG; the text stays text, and a spot that was given a value shows it under the pointer.
pub(crate) fn svg(drawing: &impl Drawing) -> Result<String, AnalysisError> {
    let (width, height) = drawing.size();
    let mut text = String::new();
    let backend = SVGBackend::with_string(&mut text, (width as u32, height as u32));
    let hovers = draw_on(&backend.into_drawing_area(), drawing)?;
    let end = text.rfind("</svg>").expect("the backend closes what it opened");
    text.insert_str(end, &hover_layer(&hovers));
    Ok(text)
}

/// Transparent shapes over a figure, each with a title, which browsers show under the pointer.
fn hover_layer(hovers: &[Hover]) -> String {
    if hovers.is_empty() {
        return String::new();
    }
    let mut layer = String::from("<g fill=\"none\" pointer-events=\"all\">\n");
    for Hover { spot, value } in hovers {
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

/// The figure as PNG, 8-bit RGB.
pub(crate) fn png(drawing: &impl Drawing) -> Result<Vec<u8>, AnalysisError> {
    let (width, height) = drawing.size();
    let (width, height) = (width as u32, height as u32);
    let mut pixels = vec![0; 3 * width as usize * height as usize];
    draw_on(&BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area(), drawing)?;
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

fn draw_on<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    drawing: &impl Drawing,
) -> Result<Vec<Hover>, AnalysisError> {
    let failed = |e: String| AnalysisError::Figure(e);
    register_fonts()?;
    area.fill(&WHITE).map_err(|e| failed(e.to_string()))?;
    let canvas = Canvas { area, hovers: RefCell::default() };
    drawing.draw(&canvas)?;
    area.present().map_err(|e| failed(e.to_string()))?;
    Ok(canvas.hovers.into_inner())
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

pub(crate) fn text_width(text: &str, size: i32, style: FontStyle) -> Result<i32, AnalysisError> {
    register_fonts()?;
    let font = (FAMILY, size, style).into_font();
    let (width, _) = font.box_size(&line(text)).map_err(|e| AnalysisError::Figure(e.to_string()))?;
    Ok(width as i32)
}

/// Breaks at spaces that are not no-break spaces; a single word may stick out.
pub(crate) fn wrap(
    text: &str,
    size: i32,
    style: FontStyle,
    width: i32,
) -> Result<Vec<String>, AnalysisError> {
    let mut lines: Vec<String> = Vec::new();
    let breaks = |c: char| c.is_whitespace() && c != NO_BREAK_SPACE;
    for word in text.split(breaks).filter(|word| !word.is_empty()) {
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

/// What stands above the panels: title, subtitles, and a legend whose keys `K` the figure draws.
pub(crate) struct Header<K> {
    margin: i32,
    title: Vec<String>,
    title_size: i32,
    subtitle: Vec<String>,
    /// Rows of entries, each with its label and how far it is from the left margin.
    legend: Vec<Vec<(K, String, i32)>>,
}

impl<K: Copy> Header<K> {
    /// Wraps the texts and fills the legend's rows, for a figure `width` wide, margins included.
    pub(crate) fn new(
        (title, title_size): (&str, i32),
        subtitles: &[&str],
        entries: Vec<(K, String)>,
        (width, margin): (i32, i32),
    ) -> Result<Self, AnalysisError> {
        let width = width - 2 * margin;
        let mut subtitle = Vec::new();
        for text in subtitles {
            subtitle.extend(wrap(text, SUBTITLE, FontStyle::Normal, width)?);
        }
        let mut legend = vec![Vec::new()];
        let mut left = 0;
        for (key, label) in entries {
            let needed = LEGEND_KEY + 12 + text_width(&label, TICK, FontStyle::Normal)?;
            if left + needed > width && left > 0 {
                legend.push(Vec::new());
                left = 0;
            }
            legend.last_mut().expect("there is a row").push((key, label, left));
            left += needed + 40;
        }
        let title = wrap(title, title_size, FontStyle::Bold, width)?;
        Ok(Self { margin, title, title_size, subtitle, legend })
    }

    /// From the upper edge of the figure to the panels.
    pub(crate) fn height(&self) -> i32 {
        self.margin
            + self.title.len() as i32 * line_height(self.title_size)
            + self.subtitle.len() as i32 * line_height(SUBTITLE)
            + self.legend.len() as i32 * LEGEND_ROW
            + 24
    }

    /// Draws it; `draw_key` gets each key, its left and right end and the height of its middle.
    pub(crate) fn draw<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<DB>,
        draw_key: impl Fn(K, (i32, i32), i32) -> Result<(), AnalysisError>,
    ) -> Result<(), AnalysisError> {
        let mut y = self.margin;
        for line in &self.title {
            let look = TextLook { size: self.title_size, style: FontStyle::Bold, ..PLAIN };
            canvas.text(line, (self.margin, y), look)?;
            y += line_height(self.title_size);
        }
        for line in &self.subtitle {
            canvas.text(line, (self.margin, y), TextLook { size: SUBTITLE, color: SOFT_INK, ..PLAIN })?;
            y += line_height(SUBTITLE);
        }
        for row in &self.legend {
            y += LEGEND_ROW;
            for (key, label, left) in row {
                let (left, middle) = (self.margin + left, y - LEGEND_ROW / 3);
                let right = left + LEGEND_KEY;
                draw_key(*key, (left, right), middle)?;
                canvas.text(label, (right + 12, middle), TextLook { v: VPos::Center, ..PLAIN })?;
            }
        }
        Ok(())
    }
}

/// Drawing in pixels, on any backend.
pub(crate) struct Canvas<'a, DB: DrawingBackend> {
    area: &'a DrawingArea<DB, Shift>,
    /// In order: the last of those that overlap is the one that shows.
    hovers: RefCell<Vec<Hover>>,
}

/// A spot of a figure, and the value that it shows under the pointer.
struct Hover {
    spot: Spot,
    value: String,
}

/// Where a figure tells a value.
#[derive(Clone, Copy)]
pub(crate) enum Spot {
    /// Centre and radius.
    Disc(Point, i32),
    /// Upper left and lower right corner.
    Field([Point; 2]),
}

impl<DB: DrawingBackend> Canvas<'_, DB> {
    fn add<'b, E>(&self, element: &'b E) -> Result<(), AnalysisError>
    where
        &'b E: PointCollection<'b, Point>,
        E: Drawable<DB>,
    {
        self.area.draw(element).map_err(|e| AnalysisError::Figure(e.to_string()))
    }

    /// Lets a spot tell a value under the pointer. Of an SVG only: pixels have no pointer.
    pub(crate) fn hover(&self, spot: Spot, value: String) {
        self.hovers.borrow_mut().push(Hover { spot, value });
    }

    pub(crate) fn line(&self, points: &[Point], color: RGBAColor, width: u32) -> Result<(), AnalysisError> {
        self.add(&PathElement::new(points, ShapeStyle { color, filled: false, stroke_width: width }))
    }

    /// A line of strokes and gaps, whose lengths `pattern` gives in turn; solid without a pattern.
    pub(crate) fn patterned(
        &self,
        points: &[Point],
        pattern: &[i32],
        color: RGBAColor,
        width: u32,
    ) -> Result<(), AnalysisError> {
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
                    self.line(&stroke, color, width)?;
                }
                stroke = vec![end];
                (in_stroke, left) = (!in_stroke, next());
            }
            left -= length - done;
            stroke.push(to);
        }
        if in_stroke { self.line(&stroke, color, width) } else { Ok(()) }
    }

    pub(crate) fn rectangle(&self, corners: [Point; 2], color: RGBAColor) -> Result<(), AnalysisError> {
        self.add(&Rectangle::new(corners, color.filled()))
    }

    pub(crate) fn polygon(&self, points: &[Point], color: RGBAColor) -> Result<(), AnalysisError> {
        self.add(&Polygon::new(points, color.filled()))
    }

    pub(crate) fn disc(&self, center: Point, radius: i32, color: RGBAColor) -> Result<(), AnalysisError> {
        self.add(&Circle::new(center, radius, color.filled()))
    }

    pub(crate) fn text(&self, text: &str, (x, y): Point, look: TextLook) -> Result<(), AnalysisError> {
        // Both backends centre a box that reaches below the letters; this centres the letters.
        let lower = if matches!(look.v, VPos::Center) { look.size / 8 } else { 0 };
        let font = (FAMILY, look.size, look.style).into_font();
        let font = if look.upright { font } else { font.transform(FontTransform::Rotate270) };
        let style = TextStyle::from(font).color(&look.color).pos(Pos::new(look.h, look.v));
        self.add(&Text::new(line(text), (x, y + lower), style))
    }

    pub(crate) fn marker(&self, at: Point, style: Style) -> Result<(), AnalysisError> {
        self.rim(at, style)?;
        self.rimless_marker(at, style)
    }

    /// The white around a marker, for what is drawn between the two.
    pub(crate) fn rim(&self, at: Point, style: Style) -> Result<(), AnalysisError> {
        self.shape(at, style.marker, MARKER_RADIUS + RIM, WHITE.to_rgba())
    }

    pub(crate) fn rimless_marker(&self, at: Point, style: Style) -> Result<(), AnalysisError> {
        self.shape(at, style.marker, MARKER_RADIUS, color_of(style))
    }

    /// A larger marker of which only the outline has the colour.
    pub(crate) fn open_marker(&self, at: Point, style: Style) -> Result<(), AnalysisError> {
        self.shape(at, style.marker, OPEN_RADIUS, color_of(style))?;
        // A triangle's edges are nearer to its middle than its tips, and that lies towards its base.
        let (inner, lower) = match style.marker {
            Marker::TriangleUp => (OPEN_RADIUS - OUTLINE - 1, 1),
            Marker::TriangleDown => (OPEN_RADIUS - OUTLINE - 1, -1),
            _ => (OPEN_RADIUS - OUTLINE, 0),
        };
        self.shape((at.0, at.1 + lower), style.marker, inner, WHITE.to_rgba())
    }

    fn shape(&self, (x, y): Point, marker: Marker, r: i32, color: RGBAColor) -> Result<(), AnalysisError> {
        // Half the side of a square, and half the base of a triangle, that look as large as the disc.
        let (side, base) = (r * 8 / 9, r * 10 / 9);
        match marker {
            Marker::Circle => self.disc((x, y), r, color),
            Marker::Square => self.rectangle([(x - side, y - side), (x + side, y + side)], color),
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
pub(crate) struct TextLook {
    pub(crate) size: i32,
    pub(crate) style: FontStyle,
    pub(crate) color: RGBColor,
    pub(crate) h: HPos,
    pub(crate) v: VPos,
    pub(crate) upright: bool,
}

pub(crate) const PLAIN: TextLook =
    TextLook { size: TICK, style: FontStyle::Normal, color: INK, h: HPos::Left, v: VPos::Top, upright: true };

/// The colour at a part of the way, 0 to 1, through several that are equally far apart.
pub(crate) fn gradient(colors: &[(u8, u8, u8)], part: f64) -> RGBColor {
    let last = colors.len() - 1;
    let place = part * last as f64;
    let low = (place as usize).min(last - 1);
    let (from, to, part) = (colors[low], colors[low + 1], place - low as f64);
    let mix = |a: u8, b: u8| (f64::from(a) + part * (f64::from(b) - f64::from(a))).round() as u8;
    RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

pub(crate) fn color_of(style: Style) -> RGBAColor {
    let [r, g, b] = style.rgb;
    RGBColor(r, g, b).to_rgba()
}
