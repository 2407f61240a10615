//! Tests of the crate through its public names.

// Tests find the real data sets through the environment.
#![allow(clippy::disallowed_methods)]
#![allow(missing_docs)]

mod architectures;
mod bind;
mod calibration;
mod found;
mod golden;
mod import;
mod onnx;
mod seeded;
mod torch;
