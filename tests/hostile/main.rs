//! Every reader of the project on files that are damaged or made to harm: an input is accepted, or refused in one
//! sentence that names the file; no panic escapes, memory is bounded by a constant and a multiple of the input's
//! length, and reading ends.
//!
//! A few thousand inputs for each reader, always the same ones, are enough to notice a reader that has become
//! careless. `results/robustness/README.md` says how a million were tried. `ZEROSPACE_HOSTILE_INPUTS` sets the
//! number and prints a line for each reader, `ZEROSPACE_HOSTILE_SEED` changes the inputs. An input that is a finding
//! is kept in the target directory, and its place is in the message.

// The number of inputs comes from the environment, and time is what is measured.
#![allow(clippy::disallowed_methods)]

mod allocator;
mod drive;
mod mutate;

mod networks;
mod pictures;
mod runs;
mod words;

// Valid files, made by the tests of the crate that reads them.
#[allow(dead_code)]
#[path = "../../crates/data/tests/it/fixtures.rs"]
mod fixtures;
#[allow(dead_code)]
#[path = "../../crates/data/tests/it/jpeg.rs"]
mod jpeg;
