//! JSON documents for scripts. A command prints one document, with the values that its text shows; `docs/src/json.md` lists
//! the fields.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use design::{BitErrorRate, CellSpec, FaultModel, ProtectionName, SharedText};
use serde::Serialize;

use crate::terminal::output::data;

/// Output format of a command.
#[derive(Args, Clone, Copy)]
pub(crate) struct Shown {
    /// `json` prints one document for scripts, with its name and version in the field `format` (fields: docs/src/json.md)
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t, hide_possible_values = true)]
    pub(crate) format: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables for people.
    #[default]
    Text,
    /// One document.
    Json,
}

/// Result of a command.
pub(crate) trait Document: Serialize {
    /// Name and version. The version rises if a field changes its meaning or disappears; new fields keep it.
    const FORMAT: &'static str;

    /// The result as text for people.
    fn text(&self) -> String;
}

/// A document with its format, as printed.
#[derive(Serialize)]
struct Named<'a, D> {
    format: &'static str,
    #[serde(flatten)]
    document: &'a D,
}

impl Format {
    /// Prints a document.
    pub(crate) fn show<D: Document>(self, document: &D) {
        data(&match self {
            Self::Text => document.text(),
            Self::Json => json(document),
        });
    }
}

/// A document as JSON.
pub(crate) fn json<D: Document>(document: &D) -> String {
    let named = Named { format: D::FORMAT, document };
    serde_json::to_string_pretty(&named).expect("plain data serializes")
}

/// Most cells that a table for people shows.
pub(crate) const MOST_CELLS: usize = 1000;

/// Line under a table that shows the first of `cells` cells only; empty if it shows all.
pub(crate) fn cells_left_out(cells: usize) -> String {
    match cells.saturating_sub(MOST_CELLS) {
        0 => String::new(),
        more => format!("{more} more cells; `--format json` shows all\n"),
    }
}

/// Conditions of a cell: fields of documents and first columns of tables.
#[derive(Serialize)]
pub(crate) struct NamedCell {
    pub(crate) cell: String,
    model: SharedText,
    protection: ProtectionName,
    pub(crate) fault_model: FaultModel,
    rate: BitErrorRate,
}

impl NamedCell {
    /// Headings of the columns.
    pub(crate) const COLUMNS: [&'static str; 5] = ["cell", "model", "protection", "faults", ">rate"];

    pub(crate) fn new(cell: &CellSpec) -> Self {
        Self {
            cell: cell.id().to_string(),
            model: cell.model.clone(),
            protection: cell.protection.clone(),
            fault_model: cell.fault_model.clone(),
            rate: cell.rate,
        }
    }

    pub(crate) fn columns(&self) -> Vec<String> {
        let Self { cell, model, protection, fault_model, rate } = self;
        vec![
            cell.clone(),
            model.to_string(),
            protection.to_string(),
            fault_model.to_string(),
            rate.to_string(),
        ]
    }
}

/// A path as text.
pub(crate) fn path(path: &Path) -> String {
    path.display().to_string()
}

/// Paths as texts.
pub(crate) fn paths(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|written| path(written)).collect()
}
