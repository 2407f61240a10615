//! Feeds damaged and hostile files to every reader of the project. An input must be accepted, or refused in
//! one sentence that names the file; no panic escapes, memory is bounded by a constant and a multiple of the
//! input's length, and reading ends.
//!
//! Each reader gets a few thousand inputs, always the same ones, which is enough to notice a regression.
//! `results/robustness/README.md` describes runs with a million. `ZEROSPACE_HOSTILE_INPUTS` sets the number
//! and prints a line for each reader; `ZEROSPACE_HOSTILE_SEED` changes the inputs. An input that causes a
//! finding is stored in the target directory, and the message has its path.

// The tests read the environment and measure time.
#![allow(clippy::disallowed_methods)]

mod allocator;
mod drive;
mod mutate;

mod networks;
mod pictures;
mod runs;
mod words;

// Valid files, from the tests of the crate that reads them.
#[allow(dead_code)]
#[path = "../../crates/data/tests/it/fixtures.rs"]
mod fixtures;
#[allow(dead_code)]
#[path = "../../crates/data/tests/it/jpeg.rs"]
mod jpeg;
