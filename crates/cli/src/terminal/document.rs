//! What scripts read: one JSON document on stdout, made of the values that the text is made of. `docs/src/json.md` lists
//! the fields.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use design::{BitErrorRate, CellSpec, FaultModel};
use serde::Serialize;

use crate::terminal::output::data;

/// How a verb shows what came out.
#[derive(Args, Clone, Copy)]
pub(crate) struct Shown {
    /// `json`: one document for scripts, with its name and version in the field `format` (fields: docs/src/json.md)
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

/// What came of a verb.
pub(crate) trait Document: Serialize {
    /// Name and version, which changes when a field changes its meaning or goes; fields may be added.
    const FORMAT: &'static str;

    /// The same for people.
    fn text(&self) -> String;
}

/// A document as it is printed.
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

/// A cell, as documents and the first columns of tables name it.
#[derive(Serialize)]
pub(crate) struct NamedCell {
    pub(crate) cell: String,
    model: String,
    protection: String,
    pub(crate) fault_model: FaultModel,
    rate: BitErrorRate,
}

impl NamedCell {
    /// Titles of the columns.
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
        vec![cell.clone(), model.clone(), protection.clone(), fault_model.to_string(), rate.to_string()]
    }
}

/// A path as documents have it.
pub(crate) fn path(path: &Path) -> String {
    path.display().to_string()
}

/// Paths as documents have them.
pub(crate) fn paths(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|written| path(written)).collect()
}
