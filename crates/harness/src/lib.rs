//! Experiments as a library: everything between files and the other crates.
//!
//! The program `zerospace` is commands and a terminal on top of this crate. The crate prints nothing and reads neither the
//! clock nor the environment: progress and remarks go to an [`Observer`], times and directories are arguments.
//!
//! | task | item |
//! |---|---|
//! | read images by the name of their set | [`DataSets`] |
//! | read a float network from its file | [`FloatFile`] |
//! | quantize a float network, measure float and int8 accuracy | [`FloatNetwork`], [`Rounding`], [`int8_top1`] |
//! | take a network that another program quantized | [`given_checkpoint`] |
//! | open an experiment file with its checkpoints and images | [`LoadedExperiment`] |
//! | evaluate trials of an int8 network | [`Int8`] |
//! | compute single trials again | [`Recomputation`] |
//! | report a merged run | [`RunReport`] |
//! | read a training recipe and its log | [`Recipe`], [`TrainingLog`] |
//! | search a code for each tensor | [`CodeSearch`] |
//!
//! # A campaign of your own
//!
//! This program loads a checkpoint, flips bits in its weights under three protections, and prints a table:
//!
//! ```
#![doc = include_str!("../examples/own_campaign.rs")]
//! ```

mod code_search;
mod distribution;
mod evaluator;
mod experiment;
mod failure;
mod fault_free;
mod float_file;
mod given;
mod images;
pub mod network_text;
mod observer;
mod own_evaluator;
mod preprocessing_file;
mod process;
mod quantizing;
mod recipe;
mod recompute;
mod report;
mod single_fault;
mod storable;
mod storage_cost;
mod training_log;
mod weights_file;
mod weights_only;

pub use code_search::{CodeSearch, EvaluatedMap, FoundCodes, held_out_images};
pub use distribution::{Distribution, violations};
pub use evaluator::{CompiledNetwork, Int8, check_fit};
pub use experiment::{
    EvaluationImages, LoadedExperiment, ReadyNetwork, UnseenImages, input_cut, provenance, stored_network,
    stored_tensors,
};
pub use failure::Failure;
pub use fault_free::{FaultFree, ForeignFaultFree, measure_fault_free};
pub use float_file::FloatFile;
pub use given::given_checkpoint;
pub use images::{
    Cut, DEFAULT_SIDE, DataSets, Images, LABEL_FREE, MissingSet, SYNTHETIC, SYNTHETIC_SHORT,
    calibrated_on_synthetic, fetchable, has_image_files, is_synthetic, left_out,
};
pub use observer::Observer;
pub use own_evaluator::{FaultFreeOwn, OwnEvaluator, ReadyEvaluator};
pub use preprocessing_file::PreprocessingFile;
pub use quantizing::{
    Clamping, FloatNetwork, Ranges, Rounded, Rounding, agreeing, clampings, fold_empty_filters, import,
    int8_predict, int8_top1, observed, throttled,
};
pub use recipe::{Recipe, ScaleRule, Stage};
pub use recompute::{Recomputation, Records, json, stored_records};
pub use report::{LargeRunReport, RunReport, is_synthetic_run, measure};
pub use single_fault::{FaultReport, SingleFaults};
pub use storable::Storable;
pub use storage_cost::StorageCost;
pub use training_log::TrainingLog;
pub use weights_file::find_weights;
pub use weights_only::weights_only;
