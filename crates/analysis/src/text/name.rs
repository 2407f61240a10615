//! Names of protections in tables and legends.

/// The protections of the paper and of its release: id, name there.
const PAPER_NAMES: [(&str, &str); 6] = [
    ("faulty", "faulty"),
    ("parity-zero", "zero"),
    ("secded-72-64", "ecc"),
    ("in-place-64-57", "in-place"),
    ("parity-avg", "avg"),
    ("vote", "vote"),
];

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
