use std::sync::Arc;

use ecc::BLOCK;
use inject::FaultPattern;
use pyo3::prelude::*;

use crate::arrays;
use crate::memory::Contents;

/// Bits of a block of eight bytes.
const BLOCK_BITS: u64 = 8 * BLOCK as u64;

/// The bits of a memory that flip in one trial, ascending: those of the data plane, then those of the check plane.
///
/// >>> import numpy as np
/// >>> memory = zerospace.Memory({"fc": np.zeros(16, np.int8)}, "secded-72-64")
/// >>> faults = memory.faults("fixed-count", rate=0.02, seed=1)
/// >>> faults
/// Faults(2 flips: 2 in the data plane, 0 in the check plane)
/// >>> faults.tensor.tolist(), faults.plane.tolist()
/// ([0, 0], [0, 0])
#[pyclass(frozen, module = "zerospace")]
pub(crate) struct Faults {
    memory: Arc<Contents>,
    pattern: FaultPattern,
}

/// Place of a stored bit.
struct Place {
    tensor: i32,
    index: i64,
    bit: u8,
}

impl Faults {
    pub(crate) fn new(memory: &Arc<Contents>, pattern: FaultPattern) -> Self {
        Self { memory: Arc::clone(memory), pattern }
    }

    /// True if the faults were drawn on this memory.
    pub(crate) fn are_of(&self, memory: &Arc<Contents>) -> bool {
        Arc::ptr_eq(&self.memory, memory)
    }

    pub(crate) fn pattern(&self) -> &FaultPattern {
        &self.pattern
    }

    fn places(&self) -> impl Iterator<Item = Place> {
        let data = self.pattern.data.iter().map(|&bit| self.weight((bit / 8) as usize, bit % 8));
        data.chain(self.pattern.check.iter().map(|&bit| self.check_bit(bit)))
    }

    /// Bit `bit` of the weight with an index in memory.
    fn weight(&self, index: usize, bit: u64) -> Place {
        let tensors = self.memory.layout().tensors();
        let tensor = tensors.partition_point(|span| span.start <= index) - 1;
        Place { tensor: tensor as i32, index: (index - tensors[tensor].start) as i64, bit: bit as u8 }
    }

    /// Bit of the check plane.
    fn check_bit(&self, bit: u64) -> Place {
        let regions = self.memory.memory().regions();
        let number = regions.iter().position(|region| region.check_plane().contains(&bit));
        let number = number.expect("faults are in the memory");
        let (word, bit) = (regions[number].exposed_word(), bit - regions[number].check_plane().start);
        match number {
            0 => {
                let check_bits = word.check_bits as u64;
                self.weight((bit / check_bits) as usize * word.weights, bit % check_bits)
            }
            _ => {
                let block_bits = BLOCK_BITS + word.check_bits_of(BLOCK) as u64;
                Place { tensor: -1, index: (bit / block_bits) as i64, bit: (bit % block_bits) as u8 }
            }
        }
    }

    fn array<'py, T: arrays::Element>(
        &self,
        py: Python<'py>,
        field: impl Fn(Place) -> T,
    ) -> PyResult<Bound<'py, PyAny>> {
        arrays::array(py, &self.places().map(field).collect::<Vec<_>>())
    }
}

#[pymethods]
impl Faults {
    /// Number of the tensor of each flip in memory order, as an int32 array; -1 for a bit of an exception list.
    #[getter]
    fn tensor<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.array(py, |place| place.tensor)
    }

    /// Row-major index of the weight of each flip in its tensor, as an int64 array. An index at or above the size of the tensor
    /// is padding. For a check bit it is the first weight of the code word, for an exception list the entry.
    #[getter]
    fn index<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.array(py, |place| place.index)
    }

    /// Bit of each flip, as a uint8 array: of a weight 0 (least significant) to 7 (sign); of a check bit its number in the
    /// code word, or in the entry of an exception list.
    #[getter]
    fn bit<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.array(py, |place| place.bit)
    }

    /// Plane of each flip, as a uint8 array: 0 for ``Memory.data``, 1 for ``Memory.check``.
    #[getter]
    fn plane<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let planes = [vec![0_u8; self.pattern.data.len()], vec![1; self.pattern.check.len()]].concat();
        arrays::array(py, &planes)
    }

    /// Offset of each flip in its plane, as a uint64 array: bit ``offset % 8`` of byte ``offset // 8``.
    #[getter]
    fn offset<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        arrays::array(py, &[self.pattern.data.as_slice(), &self.pattern.check].concat())
    }

    fn __len__(&self) -> usize {
        self.pattern.data.len() + self.pattern.check.len()
    }

    fn __repr__(&self) -> String {
        let (data, check) = (self.pattern.data.len(), self.pattern.check.len());
        format!("Faults({} flips: {data} in the data plane, {check} in the check plane)", data + check)
    }
}
