use inject::{FaultPattern, NoProbability, PlaneSizes};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use self_cell::self_cell;

use crate::arrays;
use crate::boundary::detached;

/// Probabilities of the bits of the data plane and of the check plane.
enum Planes {
    Single([Vec<f32>; 2]),
    Double([Vec<f64>; 2]),
}

#[derive(Debug)]
enum Prepared<'m> {
    Single(inject::FlipMap<'m, f32>),
    Double(inject::FlipMap<'m, f64>),
}

impl<'m> Prepared<'m> {
    fn new(planes: &'m Planes) -> Result<Self, NoProbability> {
        match planes {
            Planes::Single([data, check]) => inject::FlipMap::new(data, check).map(Self::Single),
            Planes::Double([data, check]) => inject::FlipMap::new(data, check).map(Self::Double),
        }
    }
}

self_cell! {
    struct Map {
        owner: Planes,
        #[covariant]
        dependent: Prepared,
    }
}

/// A flip probability for every stored bit of a memory, such as the map of a chip that was profiled. Bits flip independently.
///
/// ``data`` has a probability for each bit of ``Memory.data``, and ``check`` for each bit of ``Memory.check``, or is ``None`` if there
/// are none: float arrays of any shape, row by row, such as ``(bytes, 8)``, least significant bits first. Memories of this size
/// draw faults by ``Memory.faults(map=...)``.
///
/// >>> import numpy as np
/// >>> weak = np.zeros((64, 8), np.float32)
/// >>> weak[:, 7] = 0.25                  # sign bits
/// >>> chip = zerospace.FlipMap(weak)
/// >>> chip
/// FlipMap(512 + 0 bits, 16 flips a trial in the mean)
/// >>> memory = zerospace.Memory({"fc": np.zeros(64, np.int8)}, "faulty")
/// >>> faults = memory.faults(map=chip, seed=1, trial=3)
/// >>> set(faults.bit.tolist())
/// {7}
///
/// Raises ``TypeError`` for other arrays, and ``ValueError`` for a number outside [0, 1].
#[pyclass(frozen, module = "zerospace")]
pub(crate) struct FlipMap(Map);

impl FlipMap {
    /// Takes a map that was made, or makes it of an array for the data plane, or of a tuple of arrays for both planes.
    pub(crate) fn given<'py>(map: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        if let Ok(made) = map.cast::<Self>() {
            return Ok(made.clone());
        }
        let (data, check) = match map.extract::<(Bound<'py, PyAny>, Bound<'py, PyAny>)>() {
            Ok((data, check)) => (data, Some(check)),
            Err(_) => (map.clone(), None),
        };
        Bound::new(map.py(), Self::new(map.py(), &data, check.as_ref())?)
    }

    /// Number of bits of the planes.
    pub(crate) fn sizes(&self) -> PlaneSizes {
        match self.0.borrow_dependent() {
            Prepared::Single(map) => map.sizes(),
            Prepared::Double(map) => map.sizes(),
        }
    }

    /// Bits that flip in a trial.
    pub(crate) fn sample(&self, seed: u64, trial: u64) -> FaultPattern {
        match self.0.borrow_dependent() {
            Prepared::Single(map) => map.sample(seed, trial),
            Prepared::Double(map) => map.sample(seed, trial),
        }
    }
}

/// True for an array of float32, false for another array of floats.
fn is_single(array: &Bound<'_, PyAny>, what: &str) -> PyResult<bool> {
    if !array.is_instance(&arrays::numpy(array.py())?.getattr("ndarray")?)? {
        let found = arrays::type_name(array);
        return Err(PyTypeError::new_err(format!("{what} is of type {found}, expected an array of floats")));
    }
    let dtype = array.getattr("dtype")?;
    if dtype.getattr("kind")?.extract::<String>()? != "f" {
        return Err(PyTypeError::new_err(format!("{what} has dtype {dtype}, expected floats")));
    }
    Ok(dtype.str()? == "float32")
}

/// Elements of a float array, row by row, as numbers of `N` bytes of the type `dtype`.
fn floats<const N: usize, T>(
    array: Option<&Bound<'_, PyAny>>,
    dtype: &str,
    number: fn([u8; N]) -> T,
) -> PyResult<Vec<T>> {
    let Some(array) = array else { return Ok(Vec::new()) };
    let array = array.call_method1("astype", (dtype,))?;
    let elements = arrays::elements(&array, dtype, "map")?;
    Ok(elements.bytes().as_chunks().0.iter().map(|bytes| number(*bytes)).collect())
}

#[pymethods]
impl FlipMap {
    #[new]
    #[pyo3(signature = (data, check = None))]
    fn new(py: Python<'_>, data: &Bound<'_, PyAny>, check: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let single = is_single(data, "data")?;
        let single = check.map_or(Ok(true), |check| is_single(check, "check"))? && single;
        let planes = [Some(data), check];
        let [of_data, of_check] = planes;
        let planes = match single {
            true => Planes::Single([
                floats(of_data, "float32", f32::from_ne_bytes)?,
                floats(of_check, "float32", f32::from_ne_bytes)?,
            ]),
            false => Planes::Double([
                floats(of_data, "float64", f64::from_ne_bytes)?,
                floats(of_check, "float64", f64::from_ne_bytes)?,
            ]),
        };
        let map = detached(py, || Map::try_new(planes, |planes| Prepared::new(planes)))?;
        map.map(Self).map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// Mean number of flips of a trial: the sum of all probabilities.
    #[getter]
    fn mean_flips(&self) -> f64 {
        match self.0.borrow_dependent() {
            Prepared::Single(map) => map.mean_flips(),
            Prepared::Double(map) => map.mean_flips(),
        }
    }

    fn __repr__(&self) -> String {
        let PlaneSizes { data_bits, check_bits } = self.sizes();
        let flips = self.mean_flips();
        format!("FlipMap({data_bits} + {check_bits} bits, {flips} flips a trial in the mean)")
    }
}
