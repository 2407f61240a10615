//! The boundary between Python and Rust, which locks and panics do not cross.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::protection::exception;

/// Does work without the interpreter's lock.
///
/// # Errors
/// The exception of a Python protection, and a `RuntimeError` if the work panics.
pub(crate) fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> PyResult<T> {
    py.detach(|| catch_unwind(AssertUnwindSafe(work))).map_err(panicked)
}

/// The error for an unwinding: the exception of a Python protection, or that of a panic, which is a mistake of ours.
pub(crate) fn panicked(panic: Box<dyn Any + Send>) -> PyErr {
    let panic = match exception(panic) {
        Ok(exception) => return exception,
        Err(panic) => panic,
    };
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref().map(String::as_str)).unwrap_or("no message");
    PyRuntimeError::new_err(format!(
        "zerospace has made a mistake: {text}; please report this sentence and the call that led to it"
    ))
}
