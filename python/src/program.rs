use std::ffi::OsString;
use std::path::PathBuf;

use pyo3::prelude::*;

use crate::boundary::detached;

/// Runs the program `zerospace` with a command line, whose first word is the path of the program, and returns its exit code.
#[pyfunction]
pub(crate) fn program(py: Python<'_>, words: Vec<OsString>) -> PyResult<u8> {
    let executable = words.first().map(PathBuf::from).unwrap_or_default();
    detached(py, || cli::main(words, std::path::absolute(executable)))
}
