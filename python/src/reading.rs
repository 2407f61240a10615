use std::sync::Arc;

use campaign::{StoredRegion, Trial, WordOutcome};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::arrays;
use crate::boundary::detached;
use crate::memory::Contents;

/// A memory as it is read under faults: the weights, and the outcome of every code word that was hit.
///
/// A word is right if it is read as a memory without faults is. ``corrected`` words are corrected rightly, ``detected`` words
/// are declared uncorrectable (DUE), ``miscorrected`` words are corrected to something that was never stored, and ``silent``
/// words pass as clean and are read wrong.
#[pyclass(frozen, module = "zerospace")]
pub(crate) struct Reading {
    memory: Arc<Contents>,
    trial: Trial,
    weights: PyOnceLock<Py<PyDict>>,
}

/// Weights that are read with other values than those of the network, in memory order.
#[pyclass(frozen, module = "zerospace")]
pub(crate) struct Changes {
    /// Number of each tensor in memory order, as an int32 array.
    #[pyo3(get)]
    tensor: Py<PyAny>,
    /// Row-major index of each weight in its tensor, as an int64 array.
    #[pyo3(get)]
    index: Py<PyAny>,
    /// Value that is read, as an int8 array.
    #[pyo3(get)]
    value: Py<PyAny>,
    len: usize,
}

#[pymethods]
impl Changes {
    fn __len__(&self) -> usize {
        self.len
    }

    fn __repr__(&self) -> String {
        format!("Changes({} weights)", self.len)
    }
}

/// Counts of the words of one tensor, in the order of [`NAMES`].
type Counts = [u64; 5];

/// Names of the counts.
const NAMES: [&str; 5] = ["words_hit", "corrected", "detected", "miscorrected", "silent"];

impl Reading {
    pub(crate) fn new(memory: &Arc<Contents>, trial: Trial) -> Self {
        Self { memory: Arc::clone(memory), trial, weights: PyOnceLock::new() }
    }

    /// The words that were hit by the name of their tensor or region.
    fn counts(&self) -> Vec<(String, Counts)> {
        let memory = self.memory.memory();
        let regions = memory.regions();
        let tensors = regions.iter().flat_map(|region| region.layout().tensors());
        let mut counts: Vec<(String, Counts)> = tensors.map(|span| (span.name.clone(), [0; 5])).collect();
        let layouts: Vec<_> = regions.iter().map(StoredRegion::layout).collect();
        for word in memory.account(&self.trial.pattern) {
            let before: usize = layouts[..word.region].iter().map(|layout| layout.tensors().len()).sum();
            let own = layouts[word.region].tensors().partition_point(|span| span.start <= word.first) - 1;
            let count = &mut counts[before + own].1;
            count[0] += 1;
            match word.outcome {
                WordOutcome::Harmless => {}
                WordOutcome::Corrected => count[1] += 1,
                WordOutcome::Detected => count[2] += 1,
                WordOutcome::Miscorrected => count[3] += 1,
                WordOutcome::Silent => count[4] += 1,
            }
        }
        counts
    }
}

#[pymethods]
impl Reading {
    /// The weights as read: a dict of int8 arrays with the names, order and shapes of the memory's. Every access returns the same
    /// arrays.
    #[getter]
    fn weights(&self, py: Python<'_>) -> PyResult<Py<PyDict>> {
        let weights = self.weights.get_or_try_init(py, || {
            let mut plane = self.memory.plane().to_vec();
            let tensors = self.memory.layout().tensors();
            for change in &self.trial.changes {
                plane[tensors[change.tensor].start + change.index] = change.value;
            }
            let weights = PyDict::new(py);
            for (span, shape) in self.memory.tensors() {
                weights.set_item(&span.name, arrays::shaped(py, &plane[span.range()], shape)?)?;
            }
            Ok::<_, PyErr>(weights.unbind())
        })?;
        Ok(weights.clone_ref(py))
    }

    /// The weights that are read with other values than they have: those of words that were hit, and those that a lossy
    /// protection changes by storing them.
    #[getter]
    fn changes(&self, py: Python<'_>) -> PyResult<Changes> {
        let changes = &self.trial.changes;
        let tensor: Vec<i32> = changes.iter().map(|change| change.tensor as i32).collect();
        let index: Vec<i64> = changes.iter().map(|change| change.index as i64).collect();
        let value: Vec<i8> = changes.iter().map(|change| change.value).collect();
        Ok(Changes {
            tensor: arrays::array(py, &tensor)?.unbind(),
            index: arrays::array(py, &index)?.unbind(),
            value: arrays::array(py, &value)?.unbind(),
            len: changes.len(),
        })
    }

    /// Number of code words with a flipped bit.
    #[getter]
    fn words_hit(&self) -> u64 {
        self.trial.words_hit
    }

    /// Number of words corrected rightly.
    #[getter]
    fn corrected(&self) -> u64 {
        self.trial.corrected
    }

    /// Number of words declared uncorrectable (DUE).
    #[getter]
    fn detected(&self) -> u64 {
        self.trial.detected
    }

    /// Number of words corrected wrongly.
    #[getter]
    fn miscorrected(&self) -> u64 {
        self.trial.miscorrected
    }

    /// Number of words that pass as clean and are read wrong (SDC).
    #[getter]
    fn silent(&self) -> u64 {
        self.trial.silent
    }

    /// Number of padding weights that are read with another value than 0. They have no effect on a network.
    #[getter]
    fn padding_changed(&self) -> u64 {
        self.trial.padding_changed
    }

    /// The counts of words by tensor: a dict from names to dicts with ``words_hit``, ``corrected``, ``detected``,
    /// ``miscorrected`` and ``silent``. An exception list has an entry of its own.
    #[getter]
    fn by_tensor<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counts = detached(py, || self.counts())?;
        let by_tensor = PyDict::new(py);
        for (name, counts) in counts {
            let entry = PyDict::new(py);
            NAMES.iter().zip(counts).try_for_each(|(count, value)| entry.set_item(count, value))?;
            by_tensor.set_item(name, entry)?;
        }
        Ok(by_tensor)
    }

    /// Hash of the flipped bits, as in the records of a campaign: equal hashes mean equal faults.
    #[getter]
    fn pattern_hash(&self, py: Python<'_>) -> PyResult<String> {
        detached(py, || self.trial.pattern_hash())
    }

    /// Hash of the changed weights and their values, as in the records of a campaign.
    #[getter]
    fn weights_hash(&self, py: Python<'_>) -> PyResult<String> {
        detached(py, || self.trial.weights_hash())
    }

    fn __repr__(&self) -> String {
        let Trial { words_hit, corrected, detected, miscorrected, silent, changes, .. } = &self.trial;
        format!(
            "Reading({words_hit} words hit: {corrected} corrected, {detected} detected, {miscorrected} miscorrected, {silent} \
             silent; {} weights changed)",
            changes.len()
        )
    }
}
