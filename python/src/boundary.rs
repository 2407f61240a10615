//! The boundary between Python and Rust, which locks and panics do not cross.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// Does work without the interpreter's lock.
///
/// # Errors
/// A `RuntimeError` if the work panics.
pub(crate) fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> PyResult<T> {
    py.detach(|| catch_unwind(AssertUnwindSafe(work))).map_err(|panic| panicked(&*panic))
}

/// The error for a panic, which is a mistake of ours.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> PyErr {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref().map(String::as_str)).unwrap_or("no message");
    PyRuntimeError::new_err(format!(
        "zerospace has made a mistake: {text}; please report this sentence and the call that led to it"
    ))
}
