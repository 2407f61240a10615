//! The Python package `zerospace`: the extension module `zerospace._zerospace`.
//!
//! Every file has one class or one task. The package in `../zerospace` gives the classes their public names and their
//! types (`_zerospace.pyi`).
//!
//! Work runs without the interpreter's lock. No panic crosses the boundary: [`boundary`] turns it into a `RuntimeError`.

#![cfg(feature = "extension")]

mod boundary;
mod program;

use pyo3::pymodule;

/// The extension module.
#[pymodule(gil_used = false)]
mod _zerospace {
    #[pymodule_export]
    use crate::program::program;
}
