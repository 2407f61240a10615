//! Stores the trials of a campaign's cells ([`design::CellSpec`], [`design::TrialRecord`]) and survives any kill.
//!
//! A cell's id hashes its content, so a record can never be counted under the wrong conditions. Records are integers,
//! hashes and scores; `analysis` derives rates and percentages from them.
//!
//! A **run directory** holds
//!
//! ```text
//! manifest.json      the plan: cells, trials a cell, trials a unit; and the environment of the first start
//! parts/             one file for each finished unit: <cell id>-<first trial>.jsonl, or .jsonl.gz in large runs
//! begun/             the first trials of unfinished units, under the same names
//! canary/            one trial of each network, which every process computes and compares
//! determinism.json   whether evaluators of the user's own gave equal outputs for equal trials
//! set-aside/         damaged or foreign parts, kept for inspection, never counted
//! trials.parquet     all trials in plan order, written by merge
//! ```
//!
//! A **unit** is a block of consecutive trials of one cell, fixed by the plan; its file is a **part**. A unit is computed in
//! memory and its part appears by temporary name, flush, rename and a flush of the directory: a part that exists is
//! whole. A process that is stopped during a unit, or works on it for long, keeps its first trials in the same way, and the
//! next process that computes the unit continues after them ([`Store::keep`]). Every part ends
//! with the SHA-256 of its other bytes, which reveals later damage. Any number of processes, on one
//! machine or on several that share a file system, may work in one run directory: the first of them writes the
//! manifest, and a unit that two of them compute is stored once, after a comparison.
//!
//! A run can be extended by more trials ([`Store::create`]): trial t of a cell depends on the cell and on t alone, so the
//! longer run keeps the records, parts and units of the shorter run and adds others.
//!
//! The schema of `trials.parquet` and of the parts is specified in `results/README.md`.

mod cell_progress;
mod determinism;
mod fault_store;
mod fault_table;
mod grid;
mod lines;
mod manifest;
mod merge;
mod part;
mod run_arguments;
mod store;
mod table;

pub use cell_progress::{CellProgress, FinishedUnit};
pub use determinism::Determinism;
pub use fault_store::{FAULTS, FaultManifest, FaultStore, MergedFaults};
pub use manifest::{
    Environment, ExpectedOutcomes, Extension, MAX_UNITS, Manifest, NetworkEntry, PlannedCell, TensorEntry,
    Unit,
};
pub use part::{Part, PartError};
pub use run_arguments::RunArguments;
pub use store::{Merged, Rejected, Scan, Store, StoreError};
pub use table::{TableError, TrialRow, read_cells, read_trials, write_trials};
