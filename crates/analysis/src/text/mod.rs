//! Estimates as text: Markdown, LaTeX and CSV.

pub(crate) mod arrow;
pub(crate) mod comparison;
pub(crate) mod conditions;
pub(crate) mod csv;
pub(crate) mod drops;
pub(crate) mod escape;
pub(crate) mod failures;
pub(crate) mod large;
pub(crate) mod large_weights;
pub(crate) mod latex;
pub(crate) mod markdown;
pub(crate) mod network_table;
pub(crate) mod number;
pub(crate) mod rate;
pub(crate) mod replication;
pub(crate) mod sensitivity;
pub(crate) mod single_fault;
pub(crate) mod tables;
pub(crate) mod terms;
