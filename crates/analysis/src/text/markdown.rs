//! GitHub tables.

use crate::text::escape::line;

/// Heading and alignment of a column of a Markdown table.
#[derive(Clone, Debug)]
pub struct MarkdownColumn {
    heading: String,
    right: bool,
}

impl MarkdownColumn {
    /// Returns a column of texts, aligned left.
    pub fn text(heading: &str) -> Self {
        Self { heading: heading.into(), right: false }
    }

    /// Returns a column of numbers, aligned right.
    pub fn number(heading: &str) -> Self {
        Self { heading: heading.into(), right: true }
    }
}

/// Returns a GitHub table, padded so that it reads as plain text too. `|` is escaped, and characters without a picture
/// are replaced.
///
/// # Panics
/// When a row has fewer cells than there are columns.
pub fn markdown_table(columns: &[MarkdownColumn], rows: &[Vec<String>]) -> String {
    let escape = |text: &str| line(text).replace('|', "\\|");
    let headings = columns.iter().map(|c| escape(&c.heading)).collect();
    let rows = rows.iter().map(|row| row.iter().map(|c| escape(c)).collect());
    let lines: Vec<Vec<String>> = std::iter::once(headings).chain(rows).collect();
    let width = |i: usize| lines.iter().map(|l| l[i].chars().count()).max().unwrap_or(0).max(3);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for ((cell, column), &width) in line.iter().zip(columns).zip(&widths) {
            text.push_str(&match column.right {
                true => format!("| {cell:>width$} "),
                false => format!("| {cell:<width$} "),
            });
        }
        text.push_str("|\n");
        if number == 0 {
            for (column, width) in columns.iter().zip(&widths) {
                let dashes = "-".repeat(width - 1);
                text.push_str(&match column.right {
                    true => format!("| {dashes}: "),
                    false => format!("| {dashes}- "),
                });
            }
            text.push_str("|\n");
        }
    }
    text
}
