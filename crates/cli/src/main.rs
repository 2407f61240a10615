//! Starts the `zerospace` program.

// The arguments and the program's path enter here.
#![allow(clippy::disallowed_methods)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(zerospace::main(std::env::args_os().collect(), std::env::current_exe()))
}
