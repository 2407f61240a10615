//! One binary for all integration tests.

mod curves;
mod golden;
mod gradients;
mod noise;
mod operation;
mod training;
