//! Large weights by their position in 8-byte blocks: a panel of eight bars for each network.

use plotters::style::FontStyle;
use plotters::style::text_anchor::{HPos, VPos};

use crate::estimate::large_weights::{BLOCK, FREE_POSITION, LargeWeightCounts, LargeWeights};
use crate::estimate::measure::points;
use crate::plot::axis::count_ticks;
use crate::plot::figure::{Figure, PLAIN, Point, SUBTITLE, TextLook, color_of, line_height, text_width};
use crate::plot::header::{Header, Key, Page, hatched};
use crate::plot::panel::{Frame, Grid, Panel, Tick};
use crate::plot::style::{GREEN, VERMILION};
use crate::text::number::grouped;

/// Height of a frame: of a single one, and of one of several.
const FRAMES: (i32, i32) = (480, 310);
/// Width of a bar relative to that of a position.
const BAR: f64 = 0.72;
/// Sizes of the counts on the bars: the largest at which all fit.
const COUNT_SIZES: [i32; 4] = [30, 26, 22, 18];

const RESTRICTED: [u8; 3] = VERMILION;
const FREE: [u8; 3] = GREEN;

/// Draws the number of blocks with a large weight at each position. Networks with the same number of blocks have the same
/// scale.
pub fn large_weights_figure(large: &LargeWeights) -> Figure {
    let entries = vec![
        (Key::Filled(RESTRICTED), "not allowed by in-place protection".to_string()),
        (Key::Hatched(FREE), "free".into()),
    ];
    let explanation = format!("Blocks of 8 int8 weights with one outside {}, by its position", large.small);
    let header = Header::new(Page::COLUMN, "Large weights by position", &[explanation], entries);
    let headings: Vec<Panel> = large.networks.iter().map(heading).collect();
    let above = headings.iter().map(Panel::height).max().unwrap_or(0);
    let height = if headings.len() == 1 { FRAMES.0 } else { FRAMES.1 };
    let grid = Grid::new(Page::COLUMN, headings.len(), above + height + Frame::below(SUBTITLE), 1);
    let (mut figure, top) = header.figure(grid.height());
    for (i, (heading, counts)) in headings.iter().zip(&large.networks).enumerate() {
        let (x, y) = grid.corner(i, top);
        heading.draw(&mut figure, (x, y));
        let alike = large.networks.iter().filter(|other| other.blocks == counts.blocks);
        let most = alike.map(LargeWeightCounts::most).max().unwrap_or(0).max(1);
        let edges = ((x, x + grid.width), (y + above, y + above + height));
        draw_bars(&mut figure, counts, most, edges);
    }
    figure
}

fn heading(counts: &LargeWeightCounts) -> Panel {
    let LargeWeightCounts { network, weights, blocks, note, .. } = counts;
    let share = |n: u64| format!("{} ({:.3} %)", grouped(n), points(n as f64, *weights));
    let size = format!("{} weights in {} blocks of 8", grouped(*weights), grouped(*blocks));
    let (restricted, free) = (share(counts.restricted()), share(counts.large_at[FREE_POSITION]));
    let large_weights = format!("large weights at 0 to 6: {restricted}; at 7: {free}");
    Panel::new(network, &[&size, &large_weights, note], Page::COLUMN.inner_width())
}

fn draw_bars(
    figure: &mut Figure,
    counts: &LargeWeightCounts,
    most: u64,
    (sides, (top, bottom)): ((i32, i32), (i32, i32)),
) {
    // Room for the count above the tallest bar.
    let tallest = f64::from(bottom - top - line_height(COUNT_SIZES[0]) - 8);
    let y = |count: u64| bottom - (count as f64 / most as f64 * tallest).round() as i32;
    let ticks: Vec<Tick> = count_ticks(most, 4.5).into_iter().map(|n| (y(n), grouped(n))).collect();
    let frame = Frame::new(sides, (top, bottom), SUBTITLE, &ticks);
    frame.grid(figure, &ticks);
    frame.name_left(figure, &ticks, "blocks");

    let slot = f64::from(frame.right - frame.left) / BLOCK as f64;
    let labels = counts.large_at.map(grouped);
    let fits =
        |size: i32| labels.iter().all(|label| text_width(label, size, FontStyle::Normal) + 8 <= slot as i32);
    let size = COUNT_SIZES.into_iter().find(|size| fits(*size)).unwrap_or(COUNT_SIZES[3]);
    let middle = |position: usize| frame.left + ((position as f64 + 0.5) * slot).round() as i32;
    let half = (BAR * slot / 2.0).round() as i32;
    for (position, (count, label)) in counts.large_at.into_iter().zip(&labels).enumerate() {
        let x = middle(position);
        let corners: [Point; 2] = [(x - half, y(count)), (x + half, bottom)];
        match (count, position == FREE_POSITION) {
            (0, _) => {}
            (_, true) => hatched(figure, corners, FREE),
            (_, false) => figure.rectangle(corners, color_of(RESTRICTED)),
        }
        let on_bar = TextLook { size, h: HPos::Center, v: VPos::Bottom, ..PLAIN };
        figure.text(label, (x, y(count) - 4), on_bar);
    }
    let below: Vec<Tick> = (0..BLOCK).map(|position| (middle(position), position.to_string())).collect();
    frame.bottom_axis(figure, &below, "position in the block");
}
