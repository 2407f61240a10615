//! Records to numbers: checked cells and their estimates, and the counts of trainings and weights.

pub(crate) mod cell;
pub(crate) mod column;
pub(crate) mod comparison;
pub(crate) mod drawn;
pub(crate) mod estimates;
pub(crate) mod failures;
pub(crate) mod holm;
pub(crate) mod hypergeometric;
pub(crate) mod interval;
pub(crate) mod large;
pub(crate) mod large_weights;
pub(crate) mod lossy;
pub(crate) mod measure;
pub(crate) mod network;
pub(crate) mod replication;
pub(crate) mod sensitivity;
pub(crate) mod single_fault;
pub(crate) mod summary;
pub(crate) mod training;
