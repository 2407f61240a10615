//! Names a cell, stores its trials, survives any kill.
//!
//! A **cell** is one point of a campaign's grid: a network, a protection, a fault model at a rate, an
//! evaluation set and a seed. Its [`CellId`] is a hash of that content ([`CellSpec`]), so a record
//! can never be counted under the wrong conditions. A **trial** of a cell is a [`TrialRecord`]:
//! integers and hashes only; rates and percentages are derived from them by `analysis`.
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

mod cell;
mod durable;
mod part;
mod run_arguments;
mod stop;
mod store;
mod table;
mod trial;

pub use cell::{CellId, CellSpec, EvaluationSet, StoredCells};
pub use durable::write_durably;
pub use part::{Part, PartError};
pub use run_arguments::RunArguments;
pub use stop::{Standing, StopRule};
pub use store::{
    Environment, ExpectedOutcomes, Extension, MAX_UNITS, Manifest, Merged, NetworkEntry, PlannedCell,
    Rejected, Scan, Store, StoreError, TensorEntry, Unit,
};
pub use table::{TableError, TrialRow, read_trials, write_trials};
pub use trial::{RECORD_VERSION, TrialRecord};
