//! How a protection or a training looks and what it is called, the same in every figure and table.

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

/// Colour and marker of a protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Style {
    /// Red, green and blue, from Okabe and Ito's colour-blind safe palette ("Color Universal Design",
    /// 2002; <https://jfly.uni-koeln.de/color/>).
    pub rgb: [u8; 3],
    /// Shape, so that colour is never the only difference.
    pub marker: Marker,
}

/// The protections in the paper's Table 2: id, style.
const KNOWN: [(&str, Style); 4] = [
    ("faulty", Style { rgb: [0, 0, 0], marker: Marker::Circle }),
    ("parity-zero", Style { rgb: [230, 159, 0], marker: Marker::Square }),
    ("secded-72-64", Style { rgb: [0, 114, 178], marker: Marker::TriangleUp }),
    ("in-place-64-57", Style { rgb: [0, 158, 115], marker: Marker::Diamond }),
];

/// The protections of the paper and of its release: id, name there.
const PAPER_NAMES: [(&str, &str); 6] = [
    ("faulty", "faulty"),
    ("parity-zero", "zero"),
    ("secded-72-64", "ecc"),
    ("in-place-64-57", "in-place"),
    ("parity-avg", "avg"),
    ("vote", "vote"),
];

/// For other protections, in their order. The palette's yellow is left out: it is hardly seen on white.
const FURTHER: [Style; 6] = [
    Style { rgb: [204, 121, 167], marker: Marker::TriangleDown },
    Style { rgb: [213, 94, 0], marker: Marker::Cross },
    Style { rgb: [86, 180, 233], marker: Marker::Circle },
    Style { rgb: [204, 121, 167], marker: Marker::Square },
    Style { rgb: [213, 94, 0], marker: Marker::TriangleUp },
    Style { rgb: [86, 180, 233], marker: Marker::Diamond },
];

/// How the line of a training looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineStyle {
    pub(crate) style: Style,
    /// Strokes and gaps in pixels; a solid line without any.
    pub(crate) pattern: &'static [i32],
}

/// The trainings of the paper. Colours that no protection has.
const KNOWN_TRAININGS: [(&str, LineStyle); 2] = [
    ("qatt", LineStyle { style: Style { rgb: [213, 94, 0], marker: Marker::Circle }, pattern: &[] }),
    (
        "admm",
        LineStyle { style: Style { rgb: [86, 180, 233], marker: Marker::TriangleUp }, pattern: &[22, 10] },
    ),
];

/// For other trainings, in their order.
const FURTHER_TRAININGS: [LineStyle; 9] = [
    LineStyle { style: Style { rgb: [204, 121, 167], marker: Marker::Diamond }, pattern: &[22, 7, 5, 7] },
    LineStyle { style: Style { rgb: [0, 0, 0], marker: Marker::Square }, pattern: &[5, 7] },
    LineStyle { style: Style { rgb: [0, 158, 115], marker: Marker::TriangleDown }, pattern: &[10, 6] },
    LineStyle { style: Style { rgb: [0, 114, 178], marker: Marker::Circle }, pattern: &[22, 10] },
    LineStyle { style: Style { rgb: [230, 159, 0], marker: Marker::TriangleUp }, pattern: &[22, 7, 5, 7] },
    LineStyle { style: Style { rgb: [213, 94, 0], marker: Marker::Square }, pattern: &[5, 7] },
    LineStyle { style: Style { rgb: [86, 180, 233], marker: Marker::Diamond }, pattern: &[10, 6] },
    LineStyle { style: Style { rgb: [204, 121, 167], marker: Marker::Circle }, pattern: &[5, 7] },
    LineStyle { style: Style { rgb: [0, 0, 0], marker: Marker::TriangleUp }, pattern: &[22, 10] },
];

/// A style for each training: the fixed one, or the next of nine further entries, which repeat.
pub(crate) fn training_styles(names: &[&str]) -> Vec<LineStyle> {
    let mut further = FURTHER_TRAININGS.iter().cycle();
    let mut next = || *further.next().expect("a cycle has no end");
    let known = |name: &str| KNOWN_TRAININGS.iter().find(|(known, _)| *known == name).map(|(_, line)| *line);
    names.iter().map(|name| known(name).unwrap_or_else(&mut next)).collect()
}

/// The fixed style of a protection in the paper's Table 2. Other protections get further palette entries in plan
/// order, see [`styles_of`].
pub fn style_of(protection_id: &str) -> Option<Style> {
    KNOWN.iter().find(|(id, _)| *id == protection_id).map(|(_, style)| *style)
}

/// A style for each protection: the fixed one, or the next of six further entries, which repeat.
pub fn styles_of<S: AsRef<str>>(protection_ids: &[S]) -> Vec<Style> {
    let mut further = FURTHER.iter().cycle();
    let mut next = || *further.next().expect("a cycle has no end");
    protection_ids.iter().map(|id| style_of(id.as_ref()).unwrap_or_else(&mut next)).collect()
}

/// The name of a protection in the paper or its release, if it has one there.
pub fn paper_name(protection_id: &str) -> Option<&'static str> {
    PAPER_NAMES.iter().find(|(id, _)| *id == protection_id).map(|(_, name)| *name)
}

/// Name for tables and legends: the paper's name, and the id where it differs.
pub(crate) fn display_name(protection_id: &str) -> String {
    match paper_name(protection_id) {
        Some(name) if name != protection_id => format!("{name} ({protection_id})"),
        _ => protection_id.to_string(),
    }
}
