//! Numpy arrays in and out. Numpy is an ordinary Python module here, imported at the first array.

use pyo3::exceptions::{PyImportError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyTuple};

/// Returns the module `numpy`.
///
/// # Errors
/// An `ImportError` if it cannot be imported.
pub(crate) fn numpy(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import("numpy").map_err(|error| {
        let sentence = format!("this call takes or returns arrays, which need numpy: {}", error.value(py));
        let told = PyImportError::new_err(sentence);
        told.set_cause(py, Some(error));
        told
    })
}

/// Name of an object's type.
pub(crate) fn type_name(object: &Bound<'_, PyAny>) -> String {
    object.get_type().name().map_or_else(|_| "an unnamed type".into(), |name| name.to_string())
}

/// A type of array elements.
pub(crate) trait Element: Copy {
    /// Numpy's name of the type.
    const DTYPE: &'static str;

    /// Writes an element in the machine's byte order.
    fn write(self, to: &mut [u8]);
}

macro_rules! elements {
    ($($rust:ty: $dtype:literal),*) => {$(
        impl Element for $rust {
            const DTYPE: &'static str = $dtype;

            fn write(self, to: &mut [u8]) {
                to.copy_from_slice(&self.to_ne_bytes());
            }
        }
    )*};
}

elements!(i8: "int8", u8: "uint8", u16: "uint16", i32: "int32", i64: "int64", u64: "uint64", f32: "float32");

/// Returns a new array of one dimension, which can be written to.
pub(crate) fn array<'py, T: Element>(py: Python<'py>, elements: &[T]) -> PyResult<Bound<'py, PyAny>> {
    let numpy = numpy(py)?;
    if elements.is_empty() {
        return numpy.call_method1("empty", (0, T::DTYPE));
    }
    let size = size_of::<T>();
    let buffer = PyByteArray::new_with(py, size_of_val(elements), |bytes| {
        bytes.chunks_exact_mut(size).zip(elements).for_each(|(to, element)| element.write(to));
        Ok(())
    })?;
    numpy.call_method1("frombuffer", (buffer, T::DTYPE))
}

/// Returns a new array of a shape, whose elements are given row by row.
pub(crate) fn shaped<'py, T: Element>(
    py: Python<'py>,
    elements: &[T],
    shape: &[usize],
) -> PyResult<Bound<'py, PyAny>> {
    array(py, elements)?.call_method1("reshape", (tuple(py, shape)?,))
}

/// Returns a shape as Python has it.
pub(crate) fn tuple<'py>(py: Python<'py>, shape: &[usize]) -> PyResult<Bound<'py, PyTuple>> {
    PyTuple::new(py, shape)
}

/// The elements of an array, row by row.
pub(crate) struct Elements<'py> {
    bytes: Bound<'py, PyBytes>,
    /// Lengths of the dimensions.
    pub(crate) shape: Vec<usize>,
}

impl Elements<'_> {
    /// Number of elements.
    pub(crate) fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The elements as bytes in the machine's byte order.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.as_bytes()
    }
}

/// Returns the elements of an array of a type, in any layout of memory. `what` names the array in messages.
///
/// # Errors
/// A `TypeError` for another object, and for an array of another type.
pub(crate) fn elements<'py>(object: &Bound<'py, PyAny>, dtype: &str, what: &str) -> PyResult<Elements<'py>> {
    let numpy = numpy(object.py())?;
    if !object.is_instance(&numpy.getattr("ndarray")?)? {
        let found = type_name(object);
        return Err(PyTypeError::new_err(format!(
            "{what} is of type {found}, expected a numpy array of dtype {dtype}"
        )));
    }
    let found = object.getattr("dtype")?.str()?.to_string();
    if found != dtype {
        return Err(PyTypeError::new_err(format!("{what} has dtype {found}, expected {dtype}")));
    }
    let bytes = object.call_method0("tobytes")?.cast_into()?;
    Ok(Elements { bytes, shape: object.getattr("shape")?.extract()? })
}

/// Returns the elements of an array of integers of any width. `what` names the array in messages.
///
/// # Errors
/// A `TypeError` for another object, and for an array of another type.
pub(crate) fn integers(object: &Bound<'_, PyAny>, what: &str) -> PyResult<Vec<i64>> {
    let numpy = numpy(object.py())?;
    if !object.is_instance(&numpy.getattr("ndarray")?)? {
        let found = type_name(object);
        return Err(PyTypeError::new_err(format!(
            "{what} is of type {found}, expected a numpy array of integers"
        )));
    }
    let kind: String = object.getattr("dtype")?.getattr("kind")?.extract()?;
    if !["i", "u"].contains(&kind.as_str()) {
        let found = object.getattr("dtype")?.str()?.to_string();
        return Err(PyTypeError::new_err(format!("{what} has dtype {found}, expected integers")));
    }
    let wide = elements(&object.call_method1("astype", ("int64",))?, "int64", what)?;
    Ok(wide.bytes().as_chunks().0.iter().map(|bytes| i64::from_ne_bytes(*bytes)).collect())
}
