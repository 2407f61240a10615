use std::sync::{Arc, Mutex, PoisonError};

use campaign::{EvaluationError, Outputs};
use graph::WeightChange;
use harness::OwnEvaluator;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// The first exception of a Python callable, which ends a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Raised(Arc<Mutex<Option<PyErr>>>);

impl Raised {
    /// Keeps an exception, unless there is one.
    pub(crate) fn keep(&self, error: PyErr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    /// Takes the exception.
    pub(crate) fn take(&self) -> Option<PyErr> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A Python callable that evaluates a network: `(trial, changes, images)` to bytes of class predictions (uint16) or to a list of scores.
///
/// `trial` is `None` without faults. `changes` are tuples, one for each changed tensor: number of the tensor, row-major
/// indices (int64 bytes), values (int8 bytes). `images` are the indices of the images of a trial (uint32 bytes), or `None`: all.
#[derive(Debug)]
pub(crate) struct Callable {
    pub(crate) callable: Py<PyAny>,
    pub(crate) raised: Raised,
}

#[derive(FromPyObject)]
enum Answer<'py> {
    Predictions(Bound<'py, PyBytes>),
    Scores(Vec<f64>),
}

impl OwnEvaluator for Callable {
    fn outputs(
        &mut self,
        trial: Option<u64>,
        changes: &[WeightChange],
        images: Option<&[u32]>,
    ) -> Result<Outputs, EvaluationError> {
        Python::attach(|py| {
            let tensors: Vec<_> = changes
                .chunk_by(|a, b| a.tensor == b.tensor)
                .map(|changes| {
                    let indices = changes.iter().flat_map(|change| (change.index as i64).to_ne_bytes());
                    let values = changes.iter().map(|change| change.value.cast_unsigned());
                    let [indices, values] = [indices.collect::<Vec<u8>>(), values.collect()];
                    (changes[0].tensor, PyBytes::new(py, &indices), PyBytes::new(py, &values))
                })
                .collect();
            let images = images.map(|images| {
                let bytes: Vec<u8> = images.iter().flat_map(|image| image.to_ne_bytes()).collect();
                PyBytes::new(py, &bytes)
            });
            let answer = self.callable.bind(py).call1((trial, tensors, images));
            match answer.and_then(|answer| answer.extract::<Answer<'_>>()) {
                Ok(Answer::Scores(scores)) => Ok(Outputs::Scores(scores)),
                Ok(Answer::Predictions(bytes)) => {
                    let classes =
                        bytes.as_bytes().as_chunks().0.iter().map(|class| u16::from_ne_bytes(*class));
                    Ok(Outputs::Predictions(classes.collect()))
                }
                Err(error) => {
                    let sentence = error.value(py).to_string();
                    self.raised.keep(error);
                    Err(EvaluationError::new(trial, sentence))
                }
            }
        })
    }
}
