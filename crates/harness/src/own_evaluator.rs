//! Evaluators of the user's own.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use campaign::{ChangedTrial, EvaluationError, Evaluator, Outputs};

use crate::Int8;

/// An evaluator of the user's own: one for each network of an experiment.
pub trait OwnEvaluator: Evaluator + fmt::Debug + Send {
    /// Evaluates the network without faults.
    ///
    /// # Errors
    /// If there is no result; the trial of the error is `None`.
    fn fault_free(&mut self) -> Result<Outputs, EvaluationError>;
}

/// An evaluator of the user's own with its fault-free outputs.
#[derive(Debug)]
pub struct FaultFreeOwn {
    evaluator: Mutex<Box<dyn OwnEvaluator>>,
    outputs: Outputs,
}

impl FaultFreeOwn {
    pub(crate) fn new(mut evaluator: Box<dyn OwnEvaluator>) -> Result<Self, EvaluationError> {
        let outputs = evaluator.fault_free()?;
        Ok(Self { evaluator: Mutex::new(evaluator), outputs })
    }

    /// The fault-free outputs.
    pub fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    fn evaluator(&self) -> MutexGuard<'_, Box<dyn OwnEvaluator>> {
        self.evaluator.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The evaluator of a network that is ready for trials.
#[derive(Debug)]
pub enum ReadyEvaluator<'a> {
    /// The exact int8 executor.
    Int8(Box<Int8<'a>>),
    /// An evaluator of the user's own.
    Own(&'a FaultFreeOwn),
}

impl ReadyEvaluator<'_> {
    /// Sets the number of trials that a call of the int8 executor evaluates together ([`Int8::set_together`]).
    pub fn set_together(&mut self, trials: usize) {
        if let Self::Int8(int8) = self {
            int8.set_together(trials);
        }
    }
}

impl Evaluator for ReadyEvaluator<'_> {
    fn evaluate(&mut self, trials: &[ChangedTrial<'_>]) -> Result<Vec<Outputs>, EvaluationError> {
        match self {
            Self::Int8(int8) => int8.evaluate(trials),
            Self::Own(own) => own.evaluator().evaluate(trials),
        }
    }

    fn together(&self) -> usize {
        match self {
            Self::Int8(int8) => int8.together(),
            Self::Own(own) => own.evaluator().together(),
        }
    }

    fn is_deterministic(&self) -> bool {
        match self {
            Self::Int8(int8) => int8.is_deterministic(),
            Self::Own(own) => own.evaluator().is_deterministic(),
        }
    }
}
