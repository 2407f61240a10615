//! One file for each command.

pub(crate) mod completions;
pub(crate) mod corrupt;
pub(crate) mod data_sets;
pub(crate) mod doctor;
pub(crate) mod fit;
pub(crate) mod inspect;
pub(crate) mod man;
pub(crate) mod merge;
pub(crate) mod plan;
pub(crate) mod quantize;
pub(crate) mod replay;
pub(crate) mod report;
pub(crate) mod reproduce;
pub(crate) mod run;
pub(crate) mod search_codes;
pub(crate) mod single_fault;
pub(crate) mod splice;
pub(crate) mod status;
pub(crate) mod submit;
pub(crate) mod table1;
pub(crate) mod train;
pub(crate) mod verify;
