//! Stores the trials of a campaign's cells ([`design::CellSpec`], [`design::TrialRecord`]) and survives any kill.
//!
//! A cell's id hashes its content, so a record can never be counted under the wrong conditions. Records are integers and
//! hashes; `analysis` derives rates and percentages from them.
//!
//! A **run directory** holds
//!
//! ```text
//! manifest.json      the plan: cells, trials a cell, trials a unit; and where it was first started
//! parts/             one file a finished unit: <cell id>-<first trial>.jsonl
//! begun/             the first trials of units in work, under the same names
//! canary/            one trial a network, which every process computes and compares
//! set-aside/         parts that were damaged or foreign, kept for inspection, never counted
//! trials.parquet     all trials in plan order, written by merge
//! ```
//!
//! A **unit** is a block of consecutive trials of one cell, fixed by the plan. A unit is computed in
//! memory and its part appears by temporary name, flush, rename and a flush of the directory: a part that exists is
//! whole. A process that is stopped in a unit, or works on it for long, keeps its first trials in the same way, and whoever
//! computes the unit takes them up ([`Store::keep`]). Every part closes
//! with the SHA-256 of its other bytes, so damage after that is found too. Any number of processes, on one
//! machine or on several that share a file system, may work in one run directory: the first of them writes the
//! manifest, and a unit that two of them compute is stored once, after a comparison.
//!
//! A run may be given more trials ([`Store::create`]): trial t of a cell depends on the cell and on t alone, so the longer
//! run has the shorter one's records, parts and units, and others after them.
//!
//! The schema of `trials.parquet` and of the parts is specified in `results/README.md`.

mod durable;
mod part;
mod run_arguments;
mod standing;
mod store;
mod table;

pub use durable::write_durably;
pub use part::{Part, PartError};
pub use run_arguments::RunArguments;
pub use standing::Standing;
pub use store::{
    Environment, ExpectedOutcomes, Extension, MAX_UNITS, Manifest, Merged, NetworkEntry, PlannedCell,
    Rejected, Scan, Store, StoreError, TensorEntry, Unit,
};
pub use table::{TableError, TrialRow, read_trials, write_trials};
