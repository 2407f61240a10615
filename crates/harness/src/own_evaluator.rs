//! Evaluators of the user's own.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use campaign::{ChangedTrial, EvaluationError, Evaluator, Outputs};
use graph::WeightChange;

use crate::Int8;

/// An evaluator of the user's own: one for each network of an experiment. It may be nondeterministic.
pub trait OwnEvaluator: fmt::Debug + Send {
    /// Evaluates the network with changed weights in a trial; without a number it has no faults and no changes. `images` are the
    /// indices of the images that the trial sees, of which each has a prediction; `None`: all images.
    ///
    /// # Errors
    /// If there is no result; the error names the trial.
    fn outputs(
        &mut self,
        trial: Option<u64>,
        changes: &[WeightChange],
        images: Option<&[u32]>,
    ) -> Result<Outputs, EvaluationError>;
}

/// An evaluator of the user's own with its fault-free outputs.
#[derive(Debug)]
pub struct FaultFreeOwn {
    evaluator: Mutex<Box<dyn OwnEvaluator>>,
    outputs: Outputs,
}

impl FaultFreeOwn {
    pub(crate) fn new(mut evaluator: Box<dyn OwnEvaluator>) -> Result<Self, EvaluationError> {
        let outputs = evaluator.outputs(None, &[], None)?;
        Ok(Self { evaluator: Mutex::new(evaluator), outputs })
    }

    /// The fault-free outputs.
    pub fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    fn evaluate(&self, trials: &[ChangedTrial<'_>]) -> Result<Vec<Outputs>, EvaluationError> {
        let mut evaluator = self.evaluator.lock().unwrap_or_else(PoisonError::into_inner);
        let outputs = |ChangedTrial { number, changes, images }: &ChangedTrial<'_>| {
            evaluator.outputs(Some(*number), changes, *images)
        };
        trials.iter().map(outputs).collect()
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

    /// True unless the int8 executor keeps the activations of some images only ([`Int8::keeps_all_images`]).
    pub fn keeps_all_images(&self) -> bool {
        match self {
            Self::Int8(int8) => int8.keeps_all_images(),
            Self::Own(_) => true,
        }
    }
}

impl Evaluator for ReadyEvaluator<'_> {
    fn evaluate(&mut self, trials: &[ChangedTrial<'_>]) -> Result<Vec<Outputs>, EvaluationError> {
        match self {
            Self::Int8(int8) => int8.evaluate(trials),
            Self::Own(own) => own.evaluate(trials),
        }
    }

    fn clean_on(&mut self, blocks: &[Vec<u32>]) -> Result<Option<Vec<Vec<u16>>>, EvaluationError> {
        match self {
            Self::Int8(int8) => int8.clean_on(blocks),
            Self::Own(_) => Ok(None),
        }
    }

    fn together(&self) -> usize {
        match self {
            Self::Int8(int8) => int8.together(),
            Self::Own(_) => 1,
        }
    }

    fn is_deterministic(&self) -> bool {
        match self {
            Self::Int8(int8) => int8.is_deterministic(),
            Self::Own(_) => false,
        }
    }
}
