//! All integration tests, in one binary.

mod curves;
mod golden;
mod gradients;
mod noise;
mod operation;
mod training;
