//! Tests of the data crate through its public API, on files made here and, if available, on the real
//! CIFAR-10.

// Tests find the real data sets through the environment.
#![allow(clippy::disallowed_methods)]

mod cifar;
mod fixtures;
mod folder;
mod hostile;
mod hugging_face;
mod idx;
mod jpeg;
mod listing;
mod numpy;
mod open;
mod pickles;
mod real;
mod set;
mod synthetic;
mod validation_labels;
mod write;
