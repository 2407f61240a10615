//! The clock of an evaluation: a signal waits for the end of a call.

use std::time::{Duration, Instant};

use campaign::{ChangedTrial, EvaluationError, Evaluator, Outputs};
use harness::ReadyEvaluator;

/// Longest time of a call that evaluates several trials.
const CALL: Duration = Duration::from_millis(500);

/// Longest time of such a call if each computes fault-free activations again.
const CALL_WITH_ACTIVATIONS: Duration = Duration::from_secs(20);

/// An evaluator that puts as many trials into a call as the last call could finish in the longest time.
pub(crate) struct Paced<'a, 'b>(pub(crate) &'b mut ReadyEvaluator<'a>);

impl Evaluator for Paced<'_, '_> {
    fn evaluate(&mut self, trials: &[ChangedTrial<'_>]) -> Result<Vec<Outputs>, EvaluationError> {
        let begun = Instant::now();
        let outputs = self.0.evaluate(trials);
        let seconds_a_trial = begun.elapsed().as_secs_f64() / trials.len() as f64;
        let longest = if self.0.keeps_all_images() { CALL } else { CALL_WITH_ACTIVATIONS };
        self.0.set_together(((longest.as_secs_f64() / seconds_a_trial) as usize).max(1));
        outputs
    }

    fn is_deterministic(&self) -> bool {
        self.0.is_deterministic()
    }

    fn together(&self) -> usize {
        self.0.together()
    }
}
