//! All colours, and the looks of protections and trainings, which are the same in every figure.

use design::ProtectionName;
use plotters::style::RGBColor;

/// Shape of a marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Marker {
    /// A disc.
    Circle,
    /// A square.
    Square,
    /// A triangle, tip up.
    TriangleUp,
    /// A square on its tip.
    Diamond,
    /// A triangle, tip down.
    TriangleDown,
    /// A diagonal cross.
    Cross,
}

/// Colour, marker and line of a protection or a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Style {
    /// Red, green and blue, from Okabe and Ito's colour-blind safe palette ("Color Universal Design",
    /// 2002; <https://jfly.uni-koeln.de/color/>).
    pub rgb: [u8; 3],
    /// Shape, so that colour is never the only difference.
    pub marker: Marker,
    /// Lengths of the line's strokes and gaps in turn, in pixels; empty for a solid line.
    pub pattern: &'static [i32],
}

pub(crate) const BLACK: [u8; 3] = [0, 0, 0];
pub(crate) const ORANGE: [u8; 3] = [230, 159, 0];
pub(crate) const SKY_BLUE: [u8; 3] = [86, 180, 233];
pub(crate) const GREEN: [u8; 3] = [0, 158, 115];
pub(crate) const BLUE: [u8; 3] = [0, 114, 178];
pub(crate) const VERMILION: [u8; 3] = [213, 94, 0];
pub(crate) const PURPLE: [u8; 3] = [204, 121, 167];

pub(crate) const WHITE: RGBColor = RGBColor(255, 255, 255);
/// Text and axes.
pub(crate) const INK: RGBColor = RGBColor(30, 30, 30);
/// Subtitles.
pub(crate) const SOFT_INK: RGBColor = RGBColor(85, 85, 85);
/// Lines of a reference value across a panel.
pub(crate) const GUIDE: RGBColor = RGBColor(120, 120, 120);
/// Points that are not on a front.
pub(crate) const BEHIND: RGBColor = RGBColor(150, 150, 150);
pub(crate) const GRID: RGBColor = RGBColor(225, 225, 225);
/// Background of the markers of one rate.
pub(crate) const STRIP: RGBColor = RGBColor(245, 245, 245);

/// From no drop to the largest: white to a deep blue, each colour darker than the one before, also in grey print.
const SHADES: [RGBColor; 4] = [WHITE, RGBColor(158, 202, 225), RGBColor(49, 120, 180), RGBColor(8, 35, 90)];

pub(crate) const SOLID: &[i32] = &[];
/// The line of a fault-free or unchanged network.
pub(crate) const DASHED: &[i32] = &[14, 9];
/// The line of chance accuracy, and of a network before throttling.
pub(crate) const DOTTED: &[i32] = &[4, 6];

const MARKERS: [Marker; 6] = [
    Marker::TriangleDown,
    Marker::Cross,
    Marker::Circle,
    Marker::Square,
    Marker::TriangleUp,
    Marker::Diamond,
];

/// Lines that differ also in the short piece that a legend shows.
const PATTERNS: [&[i32]; 4] = [SOLID, &[20, 6], &[5, 5], &[14, 5, 4, 5]];

const fn solid(rgb: [u8; 3], marker: Marker) -> Style {
    Style { rgb, marker, pattern: SOLID }
}

/// The protections in the paper's Table 2: id, style.
const KNOWN: [(&str, Style); 4] = [
    ("faulty", solid(BLACK, Marker::Circle)),
    ("parity-zero", solid(ORANGE, Marker::Square)),
    ("secded-72-64", solid(BLUE, Marker::TriangleUp)),
    ("in-place-64-57", solid(GREEN, Marker::Diamond)),
];

/// Colours of other protections. The palette's yellow is left out: it is hardly seen on white.
const FURTHER: [[u8; 3]; 3] = [PURPLE, VERMILION, SKY_BLUE];

/// The trainings of the paper, in colours that none of its protections has.
const KNOWN_TRAININGS: [(&str, Style); 2] = [
    ("qatt", solid(VERMILION, Marker::Circle)),
    ("admm", Style { rgb: SKY_BLUE, marker: Marker::TriangleUp, pattern: PATTERNS[1] }),
];

/// Colours of other trainings.
const FURTHER_TRAININGS: [[u8; 3]; 7] = [PURPLE, BLACK, GREEN, BLUE, ORANGE, VERMILION, SKY_BLUE];

/// The n-th style in some colours. Six styles differ in their markers, the next six have other colours and another
/// line: 72 styles are different in three colours, and 168 in seven.
fn nth(n: usize, colors: &[[u8; 3]]) -> Style {
    let (round, place) = (n / MARKERS.len(), n % MARKERS.len());
    Style {
        rgb: colors[(place + round) % colors.len()],
        marker: MARKERS[place],
        pattern: PATTERNS[round % PATTERNS.len()],
    }
}

fn styles(names: &[impl AsRef<str>], known: &[(&str, Style)], colors: &[[u8; 3]]) -> Vec<Style> {
    let mut further = 0..;
    let style = |name: &str| {
        let fixed = known.iter().find(|(known, _)| *known == name).map(|(_, style)| *style);
        fixed.unwrap_or_else(|| nth(further.next().expect("numbers do not end"), colors))
    };
    names.iter().map(AsRef::as_ref).map(style).collect()
}

/// The fixed style of a protection in the paper's Table 2; [`styles_of`] gives other protections further styles.
pub fn style_of(protection: &ProtectionName) -> Option<Style> {
    KNOWN.iter().find(|(id, _)| *protection == *id).map(|(_, style)| *style)
}

/// A style for each protection: the fixed one, or the next of 72 further styles, in plan order.
pub fn styles_of(protections: &[ProtectionName]) -> Vec<Style> {
    styles(protections, &KNOWN, &FURTHER)
}

/// A style for each training: the fixed one, or the next of 168 further styles.
pub(crate) fn training_styles(names: &[&str]) -> Vec<Style> {
    styles(names, &KNOWN_TRAININGS, &FURTHER_TRAININGS)
}

/// The shade of a drop: 0 is white, 1 the darkest. Also returns the colour of text on it.
pub(crate) fn shade(part: f64) -> (RGBColor, RGBColor) {
    let last = SHADES.len() - 1;
    let place = part.clamp(0.0, 1.0) * last as f64;
    let low = (place as usize).min(last - 1);
    let (from, to, part) = (SHADES[low], SHADES[low + 1], place - low as f64);
    let mix = |a: u8, b: u8| (f64::from(a) + part * (f64::from(b) - f64::from(a))).round() as u8;
    let shade = RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2));
    (shade, if luminance(shade) < 0.5 { WHITE } else { INK })
}

/// Brightness of a colour in grey print, from 0 to 1 (ITU-R BT.601).
fn luminance(RGBColor(r, g, b): RGBColor) -> f64 {
    (0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b)) / 255.0
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{KNOWN, ProtectionName, SHADES, luminance, styles_of, training_styles};

    #[test]
    fn shades_keep_their_order_in_grey() {
        let grey = SHADES.map(luminance);
        assert!(grey.windows(2).all(|pair| pair[0] - pair[1] > 0.13), "{grey:?}");
    }

    #[test]
    fn no_two_protections_or_trainings_look_alike() {
        let names: Vec<ProtectionName> =
            (0..72).map(|n| format!("protection-{n}").parse().unwrap()).collect();
        let further = styles_of(&names);
        let all: HashSet<_> = further.iter().chain(KNOWN.iter().map(|(_, style)| style)).collect();
        assert_eq!(all.len(), 72 + KNOWN.len());

        let mut names: Vec<&str> = names.iter().map(ProtectionName::as_str).collect();
        names.extend(["qatt", "admm"]);
        let distinct: HashSet<_> = training_styles(&names).into_iter().collect();
        assert!(distinct.len() > 70, "{}", distinct.len());
    }
}
