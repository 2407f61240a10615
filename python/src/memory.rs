use std::sync::Arc;

use campaign::{Network, StoredNetwork, UnknownTensor};
use design::{BitErrorRate, FaultModel, RateError};
use ecc::{MemoryLayout, TensorSpan};
use inject::{FaultPattern, Faults as Drawn, PlaneSizes};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyMapping;
use self_cell::self_cell;

use crate::arrays;
use crate::boundary::detached;
use crate::faults::Faults;
use crate::flip_map::FlipMap;
use crate::protection::id_of;
use crate::reading::Reading;

self_cell! {
    /// Weights in memory order, stored under a protection.
    struct Stored {
        owner: Network,
        #[covariant]
        dependent: StoredNetwork,
    }
}

/// A memory that is shared with the faults and the readings of it.
pub(crate) struct Contents {
    stored: Stored,
    /// Shape of each tensor, in memory order.
    shapes: Vec<Vec<usize>>,
}

impl Contents {
    pub(crate) fn memory(&self) -> &StoredNetwork<'_> {
        self.stored.borrow_dependent()
    }

    pub(crate) fn layout(&self) -> &MemoryLayout {
        &self.stored.borrow_owner().layout
    }

    /// Tensors of the layout with their shapes.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = (&TensorSpan, &[usize])> {
        self.layout().tensors().iter().zip(self.shapes.iter().map(Vec::as_slice))
    }

    /// The weights in memory order, padding included.
    pub(crate) fn plane(&self) -> &[i8] {
        &self.stored.borrow_owner().plane
    }
}

/// Int8 weights in a memory under a protection, bit for bit.
///
/// ``weights`` maps names to int8 arrays of any shape; the order of the mapping is the order in memory. Each tensor is stored
/// row by row and padded with zero weights to a multiple of 8. ``protection`` is the id of a protection, such as ``faulty``
/// (none), ``secded-72-64`` or ``in-place-64-57``, with a policy on detected words if there is one
/// (``secded-72-64+zero-word``); or one of your own, a :class:`Protection`, a
/// :class:`LinearCode` or a :class:`CodeMap`.
///
/// >>> import numpy as np
/// >>> weights = {"conv": np.arange(-8, 8, dtype=np.int8).reshape(4, 4), "fc": np.ones(3, np.int8)}
/// >>> memory = zerospace.Memory(weights, protection="in-place-64-57")
/// >>> memory
/// Memory(in-place-64-57, 19 weights in 2 tensors, 192 + 0 bits)
/// >>> memory.data.shape, memory.overhead
/// ((24,), 0.0)
/// >>> reading = memory.read(memory.faults(rate=0.01, seed=1))
/// >>> reading
/// Reading(1 words hit: 1 corrected, 0 detected, 0 miscorrected, 0 silent; 0 weights changed)
/// >>> bool((reading.weights["conv"] == weights["conv"]).all())
/// True
///
/// Raises ``TypeError`` for arrays that are not int8, and ``ValueError`` for an unknown protection or a weight outside its range.
#[pyclass(frozen, module = "zerospace")]
pub(crate) struct Memory(Arc<Contents>);

#[pymethods]
impl Memory {
    #[new]
    #[pyo3(signature = (weights, protection = None), text_signature = "(weights, protection='in-place-64-57')")]
    fn new(
        py: Python<'_>,
        weights: &Bound<'_, PyAny>,
        protection: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let protection = match protection {
            Some(protection) => id_of(protection)?,
            None => "in-place-64-57".into(),
        };
        let mut tensors = Vec::new();
        let mapping = weights.cast::<PyMapping>().map_err(|_| {
            PyTypeError::new_err(format!(
                "weights is of type {}, expected a mapping from names to int8 arrays",
                arrays::type_name(weights)
            ))
        })?;
        for item in mapping.items()?.iter() {
            let (name, array): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
            let name: String = name.extract().map_err(|_| {
                PyTypeError::new_err(format!("a name in weights is {name}, expected a string"))
            })?;
            let array = arrays::elements(&array, "int8", &format!("weights[{name:?}]"))?;
            tensors.push((name, array));
        }
        if tensors.is_empty() {
            return Err(PyValueError::new_err("weights has no tensors, expected at least one"));
        }
        let layout = MemoryLayout::new(tensors.iter().map(|(name, array)| (name.as_str(), array.len())));
        let mut plane = vec![0; layout.plane_len()];
        for (span, (_, array)) in layout.tensors().iter().zip(&tensors) {
            let bytes = array.bytes().iter().map(|byte| byte.cast_signed());
            plane[span.range()].iter_mut().zip(bytes).for_each(|(weight, byte)| *weight = byte);
        }
        let shapes = tensors.into_iter().map(|(_, array)| array.shape).collect();
        let network = Network {
            label: "the memory".into(),
            digest: String::new(),
            evaluator: String::new(),
            layout,
            plane,
        };
        let stored = detached(py, || {
            Stored::try_new(network, |network| {
                let protection = network.protection(&protection).map_err(|reason| reason.to_string())?;
                StoredNetwork::new(network, protection).map_err(|reason| reason.to_string())
            })
        })?;
        let stored = stored.map_err(PyValueError::new_err)?;
        Ok(Self(Arc::new(Contents { stored, shapes })))
    }

    /// Id of the protection, with its policy on detected words if it is not the default.
    #[getter]
    fn protection(&self) -> &str {
        self.0.memory().protection().id()
    }

    /// The range of the weights that the protection can store, as text.
    #[getter]
    fn constraint(&self) -> String {
        self.0.memory().protection().constraint().to_string()
    }

    /// Stored bits beside the weights per bit of the weights, padding included: 0.125 for 8 check bits per 8 weights.
    #[getter]
    fn overhead(&self) -> f64 {
        let bits = self.0.memory().bits();
        bits.check_bits as f64 / bits.data_bits.max(1) as f64
    }

    /// The tensors in memory order, as tuples of name, shape and offset; the offset is that of the first weight in ``data``.
    #[getter]
    fn tensors<'py>(&self, py: Python<'py>) -> PyResult<Vec<(String, Bound<'py, PyAny>, usize)>> {
        let tensors = self.0.tensors();
        tensors
            .map(|(span, shape)| Ok((span.name.clone(), arrays::tuple(py, shape)?.into_any(), span.start)))
            .collect()
    }

    /// The data plane: one stored byte per weight, padding included, as a uint8 array. Protections inside the weights keep their
    /// check bits here.
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let [data, _] = detached(py, || self.0.memory().planes())?;
        arrays::array(py, &data)
    }

    /// The check plane: the stored bits beside the weights, eight per byte, the first in the least significant bit, as a uint8
    /// array. Empty if there are none.
    #[getter]
    fn check<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let [_, check] = detached(py, || self.0.memory().planes())?;
        arrays::array(py, &check)
    }

    /// Draw the faults of one trial: the bits that flip under a fault model.
    ///
    /// ``model`` is the text of a fault model as in experiment files, with its scope: ``bernoulli``, ``fixed-count``,
    /// ``burst:length=4,distance=1``, ``dram``, ``stuck-at:value=1``, ``per-bit:bit=7``, ``per-tensor:tensor=NAME`` and others.
    /// ``rate`` is the bit error rate, or what the model takes in its place. Equal arguments give equal flips, on any machine; protections of one network meet the same
    /// flips in their data bits.
    ///
    /// ``map`` gives every stored bit a probability of its own, in place of ``model`` and ``rate``: a :class:`FlipMap`, a float array
    /// with an element for each bit of ``data``, or a tuple of such arrays for ``data`` and ``check``.
    ///
    /// >>> import numpy as np
    /// >>> memory = zerospace.Memory({"fc": np.zeros(64, np.int8)}, "faulty")
    /// >>> faults = memory.faults("fixed-count", rate=0.01, seed=3)
    /// >>> len(faults), faults.index.dtype
    /// (5, dtype('int64'))
    /// >>> weak = np.zeros((64, 8)); weak[9, 7] = 1
    /// >>> faults = memory.faults(map=weak)
    /// >>> faults.index.tolist(), faults.bit.tolist()
    /// ([9], [7])
    ///
    /// Raises ``ValueError`` for an unknown model or tensor, for a rate outside its range, and for the map of another memory.
    #[pyo3(
        signature = (model = None, rate = None, seed = 0, trial = 0, map = None),
        text_signature = "($self, model='bernoulli', rate=0.001, seed=0, trial=0, map=None)"
    )]
    fn faults(
        &self,
        py: Python<'_>,
        model: Option<&str>,
        rate: Option<f64>,
        seed: u64,
        trial: u64,
        map: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Faults> {
        let pattern = match map {
            None => {
                let (model, rate) = (model.unwrap_or("bernoulli"), rate.unwrap_or(1e-3));
                detached(py, || self.draw(model, rate, seed, trial))?
            }
            Some(_) if model.is_some() || rate.is_some() => {
                let given = if model.is_some() { "model" } else { "rate" };
                Err(format!(
                    "{given} and map are given, expected one: a map has the probability of every bit"
                ))
            }
            Some(map) => {
                let map = FlipMap::given(map)?;
                let map = map.get();
                self.fits(map.sizes()).and(Ok(detached(py, || map.sample(seed, trial))?))
            }
        };
        let pattern = pattern.map_err(PyValueError::new_err)?;
        Ok(Faults::new(&self.0, pattern))
    }

    /// Take the flips of a list of your own, such as those measured on a chip.
    ///
    /// ``offset`` has the places of the bits in their planes: bit ``offset % 8`` of byte ``offset // 8``. ``plane`` has 0 for a bit
    /// of ``data`` and 1 for a bit of ``check``, or is None for ``data`` alone. Both are arrays of integers, in any order.
    ///
    /// >>> import numpy as np
    /// >>> memory = zerospace.Memory({"fc": np.zeros(64, np.int8)}, "faulty")
    /// >>> memory.read(memory.flips(np.array([15, 0]))).weights["fc"][:3]
    /// array([   1, -128,    0], dtype=int8)
    ///
    /// Raises ``TypeError`` for other arrays, and ``ValueError`` for a bit that the memory does not have or that is listed twice.
    #[pyo3(signature = (offset, plane = None))]
    fn flips(&self, offset: &Bound<'_, PyAny>, plane: Option<&Bound<'_, PyAny>>) -> PyResult<Faults> {
        let offsets = arrays::integers(offset, "offset")?;
        let planes = match plane {
            Some(plane) => arrays::integers(plane, "plane")?,
            None => vec![0; offsets.len()],
        };
        let bits = self.0.memory().bits();
        let pattern = listed(&offsets, &planes, [bits.data_bits, bits.check_bits]);
        Ok(Faults::new(&self.0, pattern.map_err(PyValueError::new_err)?))
    }

    /// Read the whole memory under faults of it; without faults, as it was stored.
    ///
    /// >>> import numpy as np
    /// >>> memory = zerospace.Memory({"fc": np.zeros(64, np.int8)}, "faulty")
    /// >>> reading = memory.read(memory.faults("per-bit:bit=6", rate=0.05, seed=1))
    /// >>> reading.changes.value
    /// array([64], dtype=int8)
    ///
    /// Raises ``ValueError`` for the faults of another memory.
    #[pyo3(signature = (faults = None))]
    fn read(&self, py: Python<'_>, faults: Option<&Faults>) -> PyResult<Reading> {
        let pattern = match faults {
            None => FaultPattern::default(),
            Some(faults) if faults.are_of(&self.0) => faults.pattern().clone(),
            Some(_) => {
                return Err(PyValueError::new_err(
                    "these faults were drawn on another memory, expected faults of this one",
                ));
            }
        };
        let trial = detached(py, || self.0.memory().read(Drawn::Flips(pattern)))?;
        Ok(Reading::new(&self.0, trial))
    }

    fn __repr__(&self) -> String {
        let bits = self.0.memory().bits();
        let (layout, id) = (self.0.layout(), self.protection());
        let (weights, tensors) = (layout.weights(), layout.tensors().len());
        format!(
            "Memory({id}, {weights} weights in {tensors} tensors, {} + {} bits)",
            bits.data_bits, bits.check_bits
        )
    }
}

/// Pattern of the bits that a list names; the error is a sentence. `bits` has the sizes of the planes.
fn listed(offsets: &[i64], planes: &[i64], bits: [u64; 2]) -> Result<FaultPattern, String> {
    if offsets.len() != planes.len() {
        return Err(format!("plane has {} elements, expected {}, as offset", planes.len(), offsets.len()));
    }
    let mut listed = [Vec::new(), Vec::new()];
    for (number, (&offset, &plane)) in offsets.iter().zip(planes).enumerate() {
        let of_plane = usize::try_from(plane).ok().filter(|plane| *plane < listed.len());
        let of_plane = of_plane.ok_or_else(|| format!("plane[{number}] is {plane}, expected 0 or 1"))?;
        let bit = u64::try_from(offset).ok().filter(|bit| *bit < bits[of_plane]);
        let bit = bit.ok_or_else(|| {
            format!(
                "offset[{number}] is {offset}, expected a bit of plane {plane}, which has {}",
                bits[of_plane]
            )
        })?;
        listed[of_plane].push(bit);
    }
    for (plane, bits) in listed.iter_mut().enumerate() {
        bits.sort_unstable();
        if let Some(pair) = bits.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("offset {} of plane {plane} is listed twice", pair[0]));
        }
    }
    let [data, check] = listed;
    Ok(FaultPattern { data, check })
}

impl Memory {
    /// Refuses a map of another number of bits; the error is a sentence.
    fn fits(&self, map: PlaneSizes) -> Result<(), String> {
        let bits = self.0.memory().bits();
        match map == bits {
            true => Ok(()),
            false => Err(format!(
                "map has {} bits of the data plane and {} of the check plane, expected {} and {}, as the memory",
                map.data_bits, map.check_bits, bits.data_bits, bits.check_bits
            )),
        }
    }

    /// The bits that flip in a trial; the error is a sentence.
    fn draw(&self, model: &str, rate: f64, seed: u64, trial: u64) -> Result<FaultPattern, String> {
        let fault_model: FaultModel =
            model.parse().map_err(|error: design::FaultModelError| error.to_string())?;
        let rate = BitErrorRate::new(rate).map_err(|error: RateError| error.to_string())?;
        fault_model.kind.check_rate(rate).map_err(|error| format!("rate is {error}"))?;
        let memory = self.0.memory();
        let bits = memory.bits_in(&fault_model).map_err(|error: UnknownTensor| error.to_string())?;
        Ok(match bits.sample(fault_model.kind, rate, seed, trial) {
            Drawn::Flips(pattern) => pattern,
            // The bits that finally differ.
            others => memory.read(others).pattern,
        })
    }
}
