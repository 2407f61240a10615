//! Campaigns: plan, units, shards, trials.
//!
//! An [`Experiment`] (a TOML file) is a grid of cells: networks x protections x fault models x rates,
//! with a number of trials for each cell. [`plan`] turns it into the cells of a
//! `records::Manifest`; [`run`] computes the units that a run directory still lacks, all of them or the units of a
//! [`Shard`].
//!
//! A trial draws its flips, applies them to the stored blocks that they hit, reads back only the code words that
//! were hit, and compares them with what a fault-free read gives, the network's weights: this is the one
//! place that knows the original, so here corrections are judged right or wrong ([`StoredNetwork::trial`]). Where a
//! lossy protection changes weights by storing them, every trial has these changes too ([`StoredNetwork::losses`]). An
//! [`Evaluator`] gives predictions or scores of the network with changed weights; it is not asked if no weight changed.
//! If the faults depend on the stored bits, or words are scrubbed, a trial's flips are defined as the bits that finally
//! differ from what was stored; everything downstream is then independent of the fault model.
//! If nearly no trial changes anything, conditional sampling draws only those that do ([`ChangedTrials`]).
//! A memory is a list of regions ([`StoredRegion`]), each stored, hit, scrubbed and decoded by itself; the protection puts
//! the weights together from them ([`ecc::Protection::regions`], [`ecc::Protection::weights_read`]).
//! [`StoredNetwork::account`] tells word by word what happened in a trial.

mod account;
mod cell_trials;
mod changed;
mod code_map;
mod evaluation;
mod experiment;
mod memory;
mod plan;
mod region;
mod run;
mod shard;
mod single_fault;
mod syntax;
mod trial;
mod work;

pub use account::{WordAccount, WordOutcome};
pub use cell_trials::{CellTrials, CellTrialsError};
pub use changed::{ChangedTrials, NoChangedTrials};
pub use code_map::{CodeMapFileError, code_map_text, read_code_map};
pub use evaluation::{ChangedTrial, Evaluation, EvaluationError, Evaluator, Outputs, own_evaluator_id};
pub use experiment::{
    CodeMapSection, CodeSection, DataSection, EvaluatorSection, Experiment, ExperimentError, ModelSection,
    Sweep, TrialsOf, WeightsForm,
};
pub use memory::{StoredNetwork, UnknownTensor, UnstorableNetwork};
pub use plan::{Network, PlanError, expected_outcomes, mean_flips, plan};
pub use region::StoredRegion;
pub use run::{NetworkUnderTest, Progress, RunControl, RunError, RunOutcome, run};
pub use shard::{Shard, ShardError};
pub use single_fault::{
    FaultRunOutcome, SingleFaultExperiment, drawn_faults, is_single_fault, run_faults, sample_size,
};
pub use syntax::from_toml;
pub use trial::Trial;
