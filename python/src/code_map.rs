use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use campaign::read_code_map;
use harness::Failure;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping};

use crate::arrays;
use crate::boundary::detached;
use crate::error::raised;
use crate::protection::{id_of, known_map};

/// A code for each tensor of a network, which is registered under its name: ``code_map`` makes it.
#[pyclass(frozen, module = "zerospace")]
pub(crate) struct CodeMap(Arc<ecc::CodeMap>);

/// Make a protection with a code of its own for each tensor, and register it: ``Memory``, ``run``, ``quantize`` and others know it by
/// its name.
///
/// ``codes`` maps the names of all tensors of a network to protections, or is the path of a file with a table ``[codes]``, such as
/// ``zerospace search-codes`` writes. All bits of the protections must be inside the weights, and weights must be read as they were
/// stored.
///
/// >>> import numpy as np
/// >>> codes = zerospace.code_map({"conv": "in-place-msb-48-24", "fc": "in-place-64-57"}, "mixed")
/// >>> codes
/// CodeMap(mixed: 2 tensors)
/// >>> weights = {"conv": np.arange(-8, 8, dtype=np.int8), "fc": np.ones(3, np.int8)}
/// >>> zerospace.Memory(weights, codes)
/// Memory(mixed, 19 weights in 2 tensors, 192 + 0 bits)
///
/// Raises ``TypeError`` for other codes, ``OSError`` for a file that cannot be read, and ``ValueError`` for an unknown protection, one with
/// bits beside the weights, and a name that a built-in protection has. A network with other tensors is refused where it is stored.
#[pyfunction]
pub(crate) fn code_map(py: Python<'_>, codes: &Bound<'_, PyAny>, name: &str) -> PyResult<CodeMap> {
    let map = match codes.cast::<PyMapping>() {
        Ok(codes) => of_mapping(codes, name)?,
        Err(_) => {
            let path: PathBuf = codes.extract().map_err(|_| {
                PyTypeError::new_err(format!(
                    "codes is of type {}, expected a mapping from names of tensors to protections, or the path of a file",
                    arrays::type_name(codes)
                ))
            })?;
            read_code_map(name, &path).map_err(|error| raised(&Failure::input(error)))?
        }
    };
    let map = CodeMap(Arc::new(map));
    map._register(py)?;
    Ok(map)
}

fn of_mapping(codes: &Bound<'_, PyMapping>, name: &str) -> PyResult<ecc::CodeMap> {
    let mut protections = BTreeMap::new();
    for item in codes.items()?.iter() {
        let (tensor, code): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
        let tensor: String = tensor.extract().map_err(|_| {
            PyTypeError::new_err(format!("a name in codes is {tensor}, expected the name of a tensor"))
        })?;
        let protection = ecc::by_id(&id_of(&code)?)
            .map_err(|error| PyValueError::new_err(format!("codes[{tensor:?}]: {error}")))?;
        protections.insert(tensor, protection);
    }
    ecc::CodeMap::new(name, &format!("the code map {name:?}"), protections)
        .map_err(|error| PyValueError::new_err(error.to_string()))
}

#[pymethods]
impl CodeMap {
    /// Name of the map, which is the id of the protection.
    #[getter]
    fn name(&self) -> &str {
        self.0.id()
    }

    /// The ids of the codes by the names of their tensors, as a dict.
    #[getter]
    fn codes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let codes = PyDict::new(py);
        self.0.codes().iter().try_for_each(|(tensor, code)| codes.set_item(tensor, code.id()))?;
        Ok(codes)
    }

    /// Definition of the codes, which is part of the id of every cell.
    #[getter]
    fn parameters(&self) -> String {
        self.0.definition()
    }

    /// Registers the map under its name, in place of another protection of that name.
    fn _register(&self, py: Python<'_>) -> PyResult<()> {
        let map = Arc::clone(&self.0);
        let known = detached(py, || known_map(map))?;
        known.map_err(|error| PyValueError::new_err(error.to_string()))
    }

    fn __repr__(&self) -> String {
        format!("CodeMap({}: {} tensors)", self.name(), self.0.codes().len())
    }
}
