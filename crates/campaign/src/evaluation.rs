use design::TrialRecord;
use graph::WeightChange;
use rayon::prelude::*;

use crate::Trial;
use crate::cell_trials::FEWEST_FOR_A_THREAD;
use crate::trial::hash;

/// Runs a network on the evaluation set.
pub trait Evaluator {
    /// Returns the top-1 class of every image, in order, in each of several trials with changed weights. The result
    /// must be a function of the arguments.
    fn predict(&mut self, trials: &[&[WeightChange]]) -> Vec<Vec<u16>>;

    /// Largest number of trials with changed weights in a call. More than one pays where a call with several costs less
    /// than several calls. A run stops, and keeps its trials, only between calls.
    fn together(&self) -> usize {
        1
    }
}

/// Labels and fault-free predictions, with which trials of one network are compared.
#[derive(Clone, Debug)]
pub struct Evaluation {
    labels: Vec<u16>,
    clean: Vec<u16>,
    /// Score of the fault-free predictions.
    clean_score: Score,
}

/// Fields of a record that depend on the predictions.
#[derive(Clone, Debug)]
pub(crate) struct Score {
    pub(crate) correct: u64,
    pub(crate) agree: u64,
    pub(crate) hash: String,
}

impl Score {
    fn new(predictions: &[u16], labels: &[u16], clean: &[u16]) -> Self {
        Self {
            correct: agreement(predictions, labels),
            agree: agreement(predictions, clean),
            hash: hash(predictions.iter().map(|class| class.to_le_bytes())),
        }
    }
}

impl Evaluation {
    /// Takes the true labels and the fault-free predictions, image by image.
    ///
    /// # Panics
    /// When they differ in number.
    pub fn new(labels: Vec<u16>, clean: Vec<u16>) -> Self {
        let clean_score = Score::new(&clean, &labels, &clean);
        Self { labels, clean, clean_score }
    }

    /// Evaluation on images without labels. The fault-free predictions stand for the labels, so a trial is correct where
    /// it agrees with them.
    pub fn label_free(clean: Vec<u16>) -> Self {
        Self::new(clean.clone(), clean)
    }

    /// Number of images that the fault-free network classifies correctly.
    pub fn clean_correct(&self) -> u64 {
        self.clean_score.correct
    }

    /// Makes the records of consecutive trials from number `first` on. The evaluator is asked only about trials in
    /// which a weight changed.
    pub fn records(&self, first: u64, trials: Vec<Trial>, evaluator: &mut dyn Evaluator) -> Vec<TrialRecord> {
        let changed: Vec<&[WeightChange]> = trials
            .iter()
            .map(|trial| trial.changes.as_slice())
            .filter(|changes| !changes.is_empty())
            .collect();
        let predictions = if changed.is_empty() { Vec::new() } else { evaluator.predict(&changed) };
        assert_eq!(predictions.len(), changed.len(), "predictions for each trial");
        let mut predictions = predictions.into_iter();
        let numbered = (first..).zip(trials).map(|(number, trial)| {
            let changed = !trial.changes.is_empty();
            (number, trial, changed.then(|| predictions.next().expect("as many as trials with changes")))
        });
        let numbered: Vec<(u64, Trial, Option<Vec<u16>>)> = numbered.collect();
        let record = |(number, trial, predictions): (u64, Trial, Option<Vec<u16>>)| {
            let score = predictions.map(|predictions| Score::new(&predictions, &self.labels, &self.clean));
            trial.record(number, score.unwrap_or_else(|| self.clean_score.clone()))
        };
        numbered.into_par_iter().with_min_len(FEWEST_FOR_A_THREAD).map(record).collect()
    }
}

/// Number of equal entries.
fn agreement(a: &[u16], b: &[u16]) -> u64 {
    assert_eq!(a.len(), b.len(), "one prediction an image");
    a.iter().zip(b).filter(|(a, b)| a == b).count() as u64
}
