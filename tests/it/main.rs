//! Whole-program tests: the `zerospace` program as its users run it, and the rules of the house.

// Tests find data sets and programs through the environment.
#![allow(clippy::disallowed_methods)]

mod campaign;
mod code_search;
mod completions;
mod corrupt;
mod data_forms;
mod data_sets;
mod doctor;
mod exports;
mod fault_free;
mod fault_models;
mod image_folder;
mod json;
mod manual;
mod markdown;
mod messages;
mod onnx;
mod own_evaluator;
mod page;
mod program;
mod prose;
mod quantize;
mod real;
mod registered;
mod replay;
mod reproduce;
mod rounding;
mod scale;
mod shards;
mod signals;
mod single_fault;
mod slurm;
mod specification;
mod storm;
mod submit;
mod table1;
mod tidy;
mod training;
