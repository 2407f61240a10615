//! Where in their 8-byte blocks the large weights are: a panel of eight bars for each network.

use std::path::{Path, PathBuf};

use plotters::prelude::DrawingBackend;
use plotters::style::text_anchor::{HPos, VPos};
use plotters::style::{Color, FontStyle, RGBColor};
use polars_core::frame::DataFrame;

use crate::AnalysisError;
use crate::axis::{count_ticks, grouped};
use crate::canvas::{
    COLUMN_WIDTH, Canvas, Drawing, Header, INK, PANEL_TITLE, PLAIN, Point, SOFT_INK, SUBTITLE, TextLook,
    line_height, png, svg, text_width, wrap,
};
use crate::cell::points;
use crate::column::{count, text};
use crate::folder::write_files;
use crate::table::csv;

/// Weights of a block.
const BLOCK: usize = 8;
/// In-place protection stores a check bit in each weight of a block but the last.
const FREE_POSITION: usize = 7;

/// How many blocks of a network have a large weight, one outside [-64, 63], at each position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LargeWeightCounts {
    /// What the network is called in the figure.
    pub network: String,
    /// Its weights.
    pub weights: u64,
    /// Its blocks of 8 weights, the last of a tensor padded.
    pub blocks: u64,
    /// Blocks with a large weight, by position.
    pub large_at: [u64; BLOCK],
    /// A line for what readers must know of the network; may be empty.
    pub note: String,
}

impl LargeWeightCounts {
    /// Large weights where in-place protection does not allow them.
    fn restricted(&self) -> u64 {
        self.large_at[..FREE_POSITION].iter().sum()
    }

    fn most(&self) -> u64 {
        self.large_at.iter().copied().max().unwrap_or(0)
    }
}

/// Large weights by position, of one network or of several below each other.
#[derive(Clone, Debug)]
pub struct LargeWeights {
    networks: Vec<LargeWeightCounts>,
}

impl LargeWeights {
    /// Checks the counts.
    ///
    /// # Errors
    /// Without networks; when one has more large weights at a position than blocks, or more blocks than weights.
    pub fn new(networks: Vec<LargeWeightCounts>) -> Result<Self, AnalysisError> {
        if networks.is_empty() {
            return Err(AnalysisError::NoNetworks);
        }
        for one in &networks {
            let (network, blocks, weights) = (one.network.clone(), one.blocks, one.weights);
            if one.most() > blocks || blocks > weights {
                return Err(AnalysisError::Blocks { network, most: one.most(), blocks, weights });
            }
        }
        Ok(Self { networks })
    }

    /// The figure as SVG. Networks with the same number of blocks have the same scale.
    ///
    /// # Errors
    /// Only when the drawing library refuses.
    pub fn svg(&self) -> Result<String, AnalysisError> {
        svg(&LargeWeightsFigure::new(self)?)
    }

    /// The same figure as PNG (8-bit RGB, same size in pixels).
    ///
    /// # Errors
    /// Only when the drawing library refuses.
    pub fn png(&self) -> Result<Vec<u8>, AnalysisError> {
        png(&LargeWeightsFigure::new(self)?)
    }

    /// The counts as CSV (RFC 4180): a line for each network and position.
    pub fn csv(&self) -> String {
        let lines: Vec<(&LargeWeightCounts, usize)> =
            self.networks.iter().flat_map(|network| (0..BLOCK).map(move |at| (network, at))).collect();
        let columns = vec![
            text("network", &lines, |(network, _)| &network.network),
            count("weights", &lines, |(network, _)| network.weights),
            count("blocks", &lines, |(network, _)| network.blocks),
            count("position", &lines, |(_, at)| *at as u64),
            count("blocks_with_large_weight", &lines, |(network, at)| network.large_at[*at]),
        ];
        csv(&DataFrame::new(lines.len(), columns).expect("columns of one length, each with its own name"))
    }

    /// Writes `large-weights.csv`, `large-weights.svg` and `large-weights.png` into `dir`, which is created if
    /// missing. Each file appears only when it is whole; equal input gives equal bytes.
    ///
    /// # Errors
    /// When the figure cannot be drawn or a file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<Vec<PathBuf>, AnalysisError> {
        let files = [
            ("large-weights.csv", self.csv().into_bytes()),
            ("large-weights.svg", self.svg()?.into_bytes()),
            ("large-weights.png", self.png()?),
        ];
        write_files(dir, &files)
    }
}

const MARGIN: i32 = 24;
const TITLE: i32 = 40;
const LABEL: i32 = 30;
/// Plotted part: of a single panel, and of one of several.
const PLOTTED_HEIGHTS: (i32, i32) = (480, 310);
/// Between the header and the first panel.
const GAP: i32 = 20;
/// From the lower edge of the plotted part to that of the panel.
const BELOW: i32 = 116;
/// Width of a bar, of that of a position.
const BAR: f64 = 0.72;
/// Sizes of the counts on the bars: the largest at which all fit.
const COUNT_SIZES: [i32; 4] = [30, 26, 22, 18];

/// Okabe and Ito's vermilion and bluish green, see [`crate::Style`].
const RESTRICTED: RGBColor = RGBColor(213, 94, 0);
const FREE: RGBColor = RGBColor(0, 158, 115);
/// Distance of the strokes of hatching, across.
const HATCH: i32 = 14;

struct LargeWeightsFigure<'a> {
    header: Header<Bar>,
    panels: Vec<Panel<'a>>,
}

#[derive(Clone, Copy)]
enum Bar {
    Restricted,
    Free,
}

struct Panel<'a> {
    counts: &'a LargeWeightCounts,
    title: Vec<String>,
    /// Below the title.
    lines: Vec<String>,
    /// The largest count of the panels with the same scale.
    most: u64,
}

impl Panel<'_> {
    /// From the panel's upper edge to the plotted part.
    fn above(&self) -> i32 {
        self.title.len() as i32 * line_height(PANEL_TITLE)
            + self.lines.len() as i32 * line_height(SUBTITLE)
            + 16
    }
}

impl<'a> LargeWeightsFigure<'a> {
    fn new(large: &'a LargeWeights) -> Result<Self, AnalysisError> {
        let width = COLUMN_WIDTH - 2 * MARGIN;
        let panel = |counts: &'a LargeWeightCounts| {
            let LargeWeightCounts { network, weights, blocks, note, .. } = counts;
            let (restricted, free) = (counts.restricted(), counts.large_at[FREE_POSITION]);
            let share = |n: u64| format!("{} ({:.3} %)", grouped(n), points(n as f64, *weights));
            let size = format!("{} weights in {} blocks of 8", grouped(*weights), grouped(*blocks));
            let large_weights =
                format!("large weights at 0 to 6: {}; at 7: {}", share(restricted), share(free));
            let mut lines = Vec::new();
            for line in [&size, &large_weights, note] {
                lines.extend(wrap(line, SUBTITLE, FontStyle::Normal, width)?);
            }
            let alike = large.networks.iter().filter(|other| other.blocks == *blocks);
            Ok(Panel {
                counts,
                title: wrap(network, PANEL_TITLE, FontStyle::Bold, width)?,
                lines,
                most: alike.map(LargeWeightCounts::most).max().unwrap_or(0).max(1),
            })
        };
        let entries = vec![
            (Bar::Restricted, "not allowed by in-place protection".to_string()),
            (Bar::Free, "free".to_string()),
        ];
        let what = "Blocks of 8 int8 weights with one outside [-64, 63], by its position";
        let title = ("Large weights by position", TITLE);
        Ok(Self {
            header: Header::new(title, &[what], entries, (COLUMN_WIDTH, MARGIN))?,
            panels: large.networks.iter().map(panel).collect::<Result<_, AnalysisError>>()?,
        })
    }

    fn plotted_height(&self) -> i32 {
        if self.panels.len() == 1 { PLOTTED_HEIGHTS.0 } else { PLOTTED_HEIGHTS.1 }
    }
}

impl Drawing for LargeWeightsFigure<'_> {
    fn size(&self) -> (i32, i32) {
        let panels = self.panels.iter().map(|panel| panel.above() + self.plotted_height() + BELOW);
        (COLUMN_WIDTH, self.header.height() + GAP + panels.sum::<i32>())
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<DB>) -> Result<(), AnalysisError> {
        self.header
            .draw(canvas, |bar, (left, right), y| draw_bar(canvas, bar, [(left, y - 14), (right, y + 14)]))?;
        let mut top = self.header.height() + GAP;
        for panel in &self.panels {
            draw_panel(canvas, panel, top, self.plotted_height())?;
            top += panel.above() + self.plotted_height() + BELOW;
        }
        Ok(())
    }
}

fn draw_panel<DB: DrawingBackend>(
    canvas: &Canvas<DB>,
    panel: &Panel,
    top: i32,
    height: i32,
) -> Result<(), AnalysisError> {
    let mut y = top;
    for line in &panel.title {
        let look = TextLook { size: PANEL_TITLE, style: FontStyle::Bold, ..PLAIN };
        canvas.text(line, (MARGIN, y), look)?;
        y += line_height(PANEL_TITLE);
    }
    for line in &panel.lines {
        canvas.text(line, (MARGIN, y), TextLook { size: SUBTITLE, color: SOFT_INK, ..PLAIN })?;
        y += line_height(SUBTITLE);
    }
    let (top, bottom) = (top + panel.above(), top + panel.above() + height);
    // Room for the count above the tallest bar.
    let tallest = f64::from(height - line_height(COUNT_SIZES[0]) - 8);
    let y = |count: u64| bottom - (count as f64 / panel.most as f64 * tallest).round() as i32;

    let tick_look = TextLook { size: SUBTITLE, ..PLAIN };
    let ticks: Vec<(i32, String)> =
        count_ticks(panel.most, 4.5).into_iter().map(|n| (y(n), grouped(n))).collect();
    let mut widest = 0;
    for (_, label) in &ticks {
        widest = widest.max(text_width(label, SUBTITLE, FontStyle::Normal)?);
    }
    let (left, right) = (MARGIN + 44 + widest + 14, COLUMN_WIDTH - MARGIN);
    let ink = INK.to_rgba();
    for (y, label) in &ticks {
        canvas.line(&[(left - 10, *y), (left, *y)], ink, 2)?;
        canvas.text(label, (left - 14, *y), TextLook { h: HPos::Right, v: VPos::Center, ..tick_look })?;
    }

    let slot = f64::from(right - left) / BLOCK as f64;
    let labels = panel.counts.large_at.map(grouped);
    let mut size = COUNT_SIZES[COUNT_SIZES.len() - 1];
    for candidate in COUNT_SIZES.into_iter().rev() {
        let mut widest = 0;
        for label in &labels {
            widest = widest.max(text_width(label, candidate, FontStyle::Normal)?);
        }
        if widest + 8 <= slot as i32 {
            size = candidate;
        }
    }
    for (position, (large, label)) in panel.counts.large_at.into_iter().zip(labels).enumerate() {
        let middle = left + ((position as f64 + 0.5) * slot).round() as i32;
        let half = (BAR * slot / 2.0).round() as i32;
        let bar = if position == FREE_POSITION { Bar::Free } else { Bar::Restricted };
        if large > 0 {
            draw_bar(canvas, bar, [(middle - half, y(large)), (middle + half, bottom)])?;
        }
        let on_bar = TextLook { size, h: HPos::Center, v: VPos::Bottom, ..PLAIN };
        canvas.text(&label, (middle, y(large) - 4), on_bar)?;
        let below = TextLook { h: HPos::Center, ..tick_look };
        canvas.text(&position.to_string(), (middle, bottom + 12), below)?;
    }
    canvas.line(&[(left, top), (left, bottom)], ink, 2)?;
    canvas.line(&[(left, bottom), (right, bottom)], ink, 2)?;
    let label = TextLook { size: LABEL, h: HPos::Center, ..PLAIN };
    canvas.text("position in the block", ((left + right) / 2, bottom + 50), label)?;
    canvas.text("blocks", (MARGIN - 4, (top + bottom) / 2), TextLook { upright: false, ..label })
}

/// A filled bar, or a hatched one with an outline: different in grey too.
fn draw_bar<DB: DrawingBackend>(
    canvas: &Canvas<DB>,
    bar: Bar,
    [(left, top), (right, bottom)]: [Point; 2],
) -> Result<(), AnalysisError> {
    if matches!(bar, Bar::Restricted) {
        return canvas.rectangle([(left, top), (right, bottom)], RESTRICTED.to_rgba());
    }
    let color = FREE.to_rgba();
    // Strokes from lower left to upper right, each cut where it leaves the bar.
    let (width, height) = (right - left, bottom - top);
    for start in (HATCH / 2..width + height).step_by(HATCH as usize) {
        let from = if start < width { (left + start, bottom) } else { (right, bottom - (start - width)) };
        let to = if start < height { (left, bottom - start) } else { (left + (start - height), top) };
        canvas.line(&[from, to], color, 3)?;
    }
    canvas.line(&[(left, bottom), (left, top), (right, top), (right, bottom), (left, bottom)], color, 3)
}
