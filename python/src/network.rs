use std::path::PathBuf;
use std::sync::Arc;

use harness::Failure;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use quant::Checkpoint;

use crate::arrays;
use crate::boundary::detached;
use crate::error::raised;

/// An int8 network: weights, scales and layers, as ``zerospace quantize`` writes them.
#[pyclass(frozen, module = "zerospace")]
pub(crate) struct Network {
    checkpoint: Arc<Checkpoint>,
    /// The file it was read from, or a word for its origin.
    path: PathBuf,
}

#[pymethods]
impl Network {
    /// Read an int8 checkpoint.
    ///
    /// Raises ``OSError`` if the file cannot be read and ``ValueError`` if it is no int8 checkpoint or damaged.
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let checkpoint = detached(py, || Checkpoint::load(&path).map_err(Failure::input))?;
        Ok(Self { checkpoint: Arc::new(checkpoint.map_err(|failure| raised(&failure))?), path })
    }

    /// Write the network to a file, which the program and ``Network.load`` read.
    ///
    /// Raises ``OSError`` if the file cannot be written; it is then as it was before.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        let saved = detached(py, || self.checkpoint.save(&path).map_err(Failure::machine))?;
        saved.map_err(|failure| raised(&failure))
    }

    /// The weights that a memory stores: a dict from names to int8 arrays, in the order of memory. Every access returns new arrays.
    #[getter]
    fn weights<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let weights = PyDict::new(py);
        for tensor in &self.checkpoint.weights {
            weights.set_item(tensor.name(), arrays::shaped(py, tensor.values(), tensor.shape())?)?;
        }
        Ok(weights)
    }

    /// Levels per unit of the weights: a dict from names to float32 arrays, with one value, or one per output channel. A weight is
    /// its int8 value divided by this number, which is the reciprocal of PyTorch's and ONNX's scale.
    #[getter]
    fn levels_per_unit<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let scales = PyDict::new(py);
        for tensor in &self.checkpoint.weights {
            let values: Vec<f32> = tensor.scale().values().iter().map(|scale| scale.get()).collect();
            scales.set_item(tensor.name(), arrays::array(py, &values)?)?;
        }
        Ok(scales)
    }

    /// The tensors in the order of memory, as tuples of name and shape.
    #[getter]
    fn tensors<'py>(&self, py: Python<'py>) -> PyResult<Vec<(String, Bound<'py, PyAny>)>> {
        let tensors = self.checkpoint.weights.iter();
        tensors.map(|t| Ok((t.name().to_owned(), arrays::tuple(py, t.shape())?.into_any()))).collect()
    }

    /// Identity of the network: SHA-256 over everything that changes what it computes.
    #[getter]
    fn digest(&self, py: Python<'_>) -> PyResult<String> {
        detached(py, || self.checkpoint.digest())
    }

    /// Describe the weights as ``zerospace inspect`` does: as its tables (``format="text"``), or as the dict of its JSON document
    /// (``format="json"``).
    #[pyo3(signature = (format = "text"))]
    fn inspect<'py>(&self, py: Python<'py>, format: &str) -> PyResult<Bound<'py, PyAny>> {
        let (text, json) = detached(py, || cli::inspection(&self.path, &self.checkpoint))?;
        match format {
            "text" => Ok(text.into_pyobject(py)?.into_any()),
            "json" => py.import("json")?.call_method1("loads", (json,)),
            other => {
                Err(PyValueError::new_err(format!("format is {other:?}, expected \"text\" or \"json\"")))
            }
        }
    }

    fn __repr__(&self) -> String {
        let weights: usize = self.checkpoint.weights.iter().map(|tensor| tensor.values().len()).sum();
        let form = harness::network_text::architecture(&self.checkpoint.model, &self.checkpoint.layers);
        format!("Network({form}; {weights} weights in {} tensors)", self.checkpoint.weights.len())
    }
}
