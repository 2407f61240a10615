//! The Python package `zerospace`: the extension module `zerospace._zerospace`.
//!
//! Every file has one class or one task. The package in `../zerospace` gives the classes their public names and their
//! types (`_zerospace.pyi`).
//!
//! Work runs without the interpreter's lock. No panic crosses the boundary: `boundary.rs` turns it into a `RuntimeError`.

#![cfg(feature = "extension")]

mod arrays;
mod boundary;
mod callable;
mod campaign;
mod code_map;
mod error;
mod faults;
mod flip_map;
mod images;
mod linear_code;
mod memory;
mod network;
mod program;
mod protection;
mod reading;
mod run;
mod table;
mod work;

use pyo3::pymodule;

/// The extension module.
#[pymodule(gil_used = false)]
mod _zerospace {
    #[pymodule_export]
    use crate::campaign::{Campaign, checkpoint_tensors, network_tensors, quantized};
    #[pymodule_export]
    use crate::code_map::{CodeMap, code_map};
    #[pymodule_export]
    use crate::error::{OtherPlanError, VerificationError};
    #[pymodule_export]
    use crate::faults::Faults;
    #[pymodule_export]
    use crate::flip_map::FlipMap;
    #[pymodule_export]
    use crate::linear_code::{LinearCode, OutcomesOfWord, linear_code};
    #[pymodule_export]
    use crate::memory::Memory;
    #[pymodule_export]
    use crate::network::Network;
    #[pymodule_export]
    use crate::program::program;
    #[pymodule_export]
    use crate::protection::register_protection;
    #[pymodule_export]
    use crate::reading::{Changes, Reading};
    #[pymodule_export]
    use crate::run::{Run, open_run};
    #[pymodule_export]
    use crate::table::Table;
}
