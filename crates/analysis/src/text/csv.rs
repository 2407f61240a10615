//! Data frames as CSV.

use polars_core::frame::DataFrame;
use polars_core::prelude::{AnyValue, Column};

use crate::estimate::cell::rate_label;
use crate::estimate::column::{real, text};
use crate::estimate::interval::Interval;
use crate::text::terms::Terms;

/// A field of a CSV file (RFC 4180), quoted if it holds a quotation mark, a comma or an end of line.
pub fn csv_field(text: &str) -> String {
    match text.contains(['"', ',', '\r', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.into(),
    }
}

/// Columns of one length and with distinct names as CSV (RFC 4180).
pub(crate) fn csv(columns: Vec<Column>) -> String {
    let frame = DataFrame::new_infer_height(columns).expect("the columns have distinct names and one length");
    let line = |cells: Vec<String>| cells.join(",") + "\r\n";
    let mut text = line(frame.columns().iter().map(|c| csv_field(c.name())).collect());
    for row in 0..frame.height() {
        let value = |column: &Column| match column.get(row).expect("a row of the frame") {
            AnyValue::Null => String::new(),
            AnyValue::String(text) => csv_field(text),
            AnyValue::UInt64(count) => count.to_string(),
            AnyValue::Float64(rate) if column.name() == "rate" => rate_label(rate),
            AnyValue::Float64(real) => format!("{real:?}"),
            other => unreachable!("our frames have no {other:?}"),
        };
        text.push_str(&line(frame.columns().iter().map(value).collect()));
    }
    text
}

/// The columns of intervals, in the unit of drops.
pub(crate) fn interval_columns<T>(
    terms: &Terms,
    items: &[T],
    interval: impl Fn(&T) -> Interval,
) -> Vec<Column> {
    let differing = |item: &T| match interval(item) {
        Interval::AllEqual { differing_at_most } => Some(differing_at_most),
        Interval::Absent | Interval::Bca { .. } => None,
    };
    vec![
        text("interval_method", items, |i| interval(i).method()),
        real(&terms.points_column("interval_low"), items, |i| interval(i).bounds().map(|(low, _)| low)),
        real(&terms.points_column("interval_high"), items, |i| interval(i).bounds().map(|(_, high)| high)),
        real("differing_at_most", items, differing),
    ]
}
