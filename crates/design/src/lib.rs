//! The design of a campaign: the terms in which experiments, records and figures name what is measured.
//!
//! A **cell** is one point of a campaign's grid: a network, a protection, a fault model at a rate, an evaluation set and
//! a seed ([`CellSpec`]). Its [`CellId`] hashes this content. A **trial** of a cell leaves a [`TrialRecord`]: integers
//! and hashes, and the scores of an evaluator of one's own ([`Metric`]).
//!
//! A [`FaultModel`] is data here: a [`FaultKind`] with its parameters, the depth at which the memory is interleaved, and the
//! [`Scope`] that it is confined to. It has one
//! text, which experiment files, cell ids, tables and captions share; the crate `inject` draws its faults.
//!
//! A protection has a [`ProtectionName`] from the experiment file to the caption of a figure; the crate `ecc` has its code.
//!
//! Serialized forms are part of the record format and of cell ids: tests fix them.

mod cell;
mod dram;
mod fault_model;
mod keys;
mod metric;
mod protection;
mod rate;
mod scope;
mod shared_text;
mod single_fault;
mod stop;
mod trial;

pub use cell::{CellId, CellIdError, CellSpec, EvaluationSet, StoredBits};
pub use dram::{DramEvent, DramMix, DramRegion};
pub use fault_model::{FaultKind, FaultModel, FaultModelError, RateTooHigh};
pub use metric::{Better, Metric, MetricError};
pub use protection::{ProtectionName, ProtectionNameError};
pub use rate::{BitErrorRate, RateError};
pub use scope::Scope;
pub use shared_text::SharedText;
pub use single_fault::{
    FAULT_RECORD_VERSION, FaultRecord, FaultSample, FaultedTensor, SingleFaultSpec, Strata, Stratum,
};
pub use stop::{DropSums, FailureRule, HalfWidthRule, StopRule};
pub use trial::{BlockCounts, RECORD_VERSION, TrialRecord};
