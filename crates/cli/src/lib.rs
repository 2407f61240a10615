//! The `zerospace` program: one file for each command, over the library `harness`. Only this crate prints, reads the
//! clock, the environment and the arguments. stdout carries data (tables, paths), stderr progress and errors.
//!
//! The program is a library, so that other starters, such as the Python package, run the same program ([`main`]), and say
//! of a checkpoint and of a trial what it says ([`inspection`], [`replay`]).

// The one crate that may; clippy.toml bans these elsewhere.
#![allow(clippy::disallowed_methods)]

mod commands;
mod program;
mod terminal;

pub use commands::inspect::inspection;
pub use commands::replay::replay;
pub use commands::run::environment;
pub use program::main;
