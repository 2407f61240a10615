use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use design::{BlockCounts, Metric, TrialRecord};
use graph::WeightChange;
use inject::ImageBlocks;
use rayon::prelude::*;

use crate::Trial;
use crate::cell_trials::fewest_for_a_thread;
use crate::trial::hash;

/// A trial in which a weight changed, as an evaluator gets it.
#[derive(Clone, Copy, Debug)]
pub struct ChangedTrial<'a> {
    /// Number of the trial in its cell.
    pub number: u64,
    /// Changed weights, at least one, in memory order.
    pub changes: &'a [WeightChange],
    /// Indices of the images that the trial sees, ascending; `None`: all images. Only a campaign with
    /// [`design::EvaluationSet::images_per_trial`] has blocks of images.
    pub images: Option<&'a [u32]>,
}

/// Result of evaluating a network.
#[derive(Clone, Debug, PartialEq)]
pub enum Outputs {
    /// Top-1 class of every image of the trial, in order.
    Predictions(Vec<u16>),
    /// Score of each metric of the cell, in order.
    Scores(Vec<f64>),
}

impl Outputs {
    /// Returns the hash that a record keeps of the outputs: the first 16 hex digits of a SHA-256.
    pub fn hash(&self) -> String {
        match self {
            Self::Predictions(classes) => hash(classes.iter().map(|class| class.to_le_bytes())),
            Self::Scores(scores) => hash(scores.iter().map(|score| score.to_bits().to_le_bytes())),
        }
    }

    /// Returns a name and a number, for messages: `3 scores`.
    fn described(&self) -> String {
        match self {
            Self::Predictions(classes) => format!("{} predictions", classes.len()),
            Self::Scores(scores) => format!("{} scores", scores.len()),
        }
    }
}

/// Name of an evaluator of one's own in a cell's identity ([`design::CellSpec::evaluator`]): its name, its version and a hash
/// of the fault-free outputs. An evaluator whose results change then starts another campaign.
pub fn own_evaluator_id(name: &str, version: &str, fault_free: &Outputs) -> String {
    format!("{name} {version} {}", fault_free.hash())
}

/// The reason for which a trial has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", .trial.map_or("without faults".into(), |trial| format!("trial {trial}")))]
pub struct EvaluationError {
    /// Number of the trial; `None` stands for the network without faults.
    pub trial: Option<u64>,
    /// The wrong thing and the expectation, one sentence without a full stop.
    pub message: String,
}

impl EvaluationError {
    /// An error of a trial, or without a number of the network without faults.
    pub fn new(trial: impl Into<Option<u64>>, message: impl Into<String>) -> Self {
        Self { trial: trial.into(), message: message.into() }
    }
}

/// Evaluates a network with changed weights.
pub trait Evaluator {
    /// Returns the outputs of each of several trials, in order. Trials in which no weight changed are not asked for: they
    /// have the outputs of the network without faults.
    ///
    /// # Errors
    /// The first trial without a result. A run then keeps the trials before this call and ends.
    fn evaluate(&mut self, trials: &[ChangedTrial<'_>]) -> Result<Vec<Outputs>, EvaluationError>;

    /// Largest number of trials with changed weights in a call. More than one pays where a call with several costs less
    /// than several calls. A run stops, and keeps its trials, only between calls.
    fn together(&self) -> usize {
        1
    }

    /// Returns the classes of the network without faults on blocks of the images, one for each image of a block, where an image's
    /// class depends on the other images of the block; `None` if it is always that on the whole set.
    ///
    /// # Errors
    /// If the evaluator has no result.
    fn clean_on(&mut self, blocks: &[Vec<u32>]) -> Result<Option<Vec<Vec<u16>>>, EvaluationError> {
        let _ = blocks;
        Ok(None)
    }

    /// True if the outputs are known to be a function of the changes alone. A run tests other evaluators once, and notes the
    /// result ([`records::Determinism`]).
    fn is_deterministic(&self) -> bool {
        false
    }
}

/// Result of the network without faults, with which trials of one network are compared.
#[derive(Clone, Debug)]
pub struct Evaluation {
    reference: Reference,
    /// Fields of the record of a trial in which no weight changed and that sees all images.
    clean: Score,
    /// The images of each trial; `None`: all.
    blocks: Option<Arc<ImageBlocks>>,
}

#[derive(Clone, Debug)]
enum Reference {
    Predictions { labels: Vec<u16>, clean: Vec<u16> },
    Scores(Vec<Metric>),
}

/// Fields of a record that depend on the outputs.
#[derive(Clone, Debug)]
pub(crate) struct Score {
    pub(crate) correct: u64,
    pub(crate) agree: u64,
    pub(crate) hash: String,
    pub(crate) scores: Vec<f64>,
    pub(crate) block: Option<BlockCounts>,
}

impl Reference {
    /// Checks and counts outputs on a block of the images, whose labels and classes without faults this is.
    fn score_in_block(&self, outputs: Outputs) -> Result<Score, String> {
        let block = match (self, &outputs) {
            (Self::Predictions { labels, clean }, Outputs::Predictions(classes)) => {
                let both = classes.iter().zip(labels).zip(clean).filter(|((a, b), c)| a == b && b == c);
                let clean_correct = agreement(labels, clean);
                Some(BlockCounts { clean_correct, both_correct: both.count() as u64 })
            }
            _ => None,
        };
        Ok(Score { block, ..self.score(outputs)? })
    }

    /// Checks and counts outputs on all images.
    fn score(&self, outputs: Outputs) -> Result<Score, String> {
        let hash = outputs.hash();
        match (self, outputs) {
            (Self::Predictions { labels, clean }, Outputs::Predictions(classes))
                if classes.len() == labels.len() =>
            {
                let (correct, agree) = (agreement(&classes, labels), agreement(&classes, clean));
                Ok(Score { correct, agree, hash, scores: Vec::new(), block: None })
            }
            (Self::Predictions { labels, .. }, outputs) => {
                Err(format!("{}, expected {} predictions", outputs.described(), labels.len()))
            }
            (Self::Scores(metrics), Outputs::Scores(scores)) if scores.len() == metrics.len() => {
                match scores.iter().zip(metrics).find(|(score, _)| !score.is_finite()) {
                    None => Ok(Score { correct: 0, agree: 0, hash, scores, block: None }),
                    Some((score, Metric { name, .. })) => {
                        Err(format!("the score of {name} is {score}, expected a finite number"))
                    }
                }
            }
            (Self::Scores(metrics), outputs) => {
                let names: Vec<&str> = metrics.iter().map(|metric| &metric.name[..]).collect();
                Err(format!("{}, expected a score for each of {}", outputs.described(), names.join(", ")))
            }
        }
    }
}

impl Evaluation {
    /// Takes the true labels and the fault-free predictions, image by image.
    ///
    /// # Panics
    /// When they differ in number.
    pub fn new(labels: Vec<u16>, clean: Vec<u16>) -> Self {
        Self::with(Reference::Predictions { labels, clean: clean.clone() }, Outputs::Predictions(clean))
            .expect("one prediction an image")
    }

    /// Evaluation on images without labels. The fault-free predictions stand for the labels, so a trial is correct where
    /// it agrees with them.
    pub fn label_free(clean: Vec<u16>) -> Self {
        Self::new(clean.clone(), clean)
    }

    /// Takes what an evaluator of one's own gives for the network without faults: predictions for a number of images. Without
    /// labels it is an evaluation as [`Evaluation::label_free`].
    ///
    /// # Errors
    /// When the outputs are not a prediction for each image.
    ///
    /// # Panics
    /// When there are labels, but not one for each image.
    pub fn own_predictions(
        images: usize,
        labels: Option<Vec<u16>>,
        clean: Outputs,
    ) -> Result<Self, EvaluationError> {
        match (clean, labels) {
            (Outputs::Predictions(classes), None) if classes.len() == images => Ok(Self::label_free(classes)),
            (Outputs::Predictions(classes), Some(labels)) if classes.len() == images => {
                Ok(Self::new(labels, classes))
            }
            (outputs, _) => {
                let message = format!("{}, expected {images} predictions", outputs.described());
                Err(EvaluationError::new(None, message))
            }
        }
    }

    /// Takes what an evaluator of one's own gives for the network without faults: a score of each metric.
    ///
    /// # Errors
    /// When the outputs are predictions, differ in number from the metrics, or are not finite.
    pub fn scores(metrics: Vec<Metric>, clean: Outputs) -> Result<Self, EvaluationError> {
        Self::with(Reference::Scores(metrics), clean)
    }

    fn with(reference: Reference, clean: Outputs) -> Result<Self, EvaluationError> {
        let clean = reference.score(clean).map_err(|message| EvaluationError::new(None, message))?;
        Ok(Self { reference, clean, blocks: None })
    }

    /// The same evaluation for trials that see blocks of the images: those of [`ImageBlocks`] for this seed and number of
    /// images a trial. `None` leaves all images to every trial.
    ///
    /// # Panics
    /// When a block has no images or more than there are, or the evaluator gives scores.
    pub fn in_blocks(self, seed: u64, images_per_trial: Option<u64>) -> Self {
        let blocks = images_per_trial.map(|block| {
            let Reference::Predictions { labels, .. } = &self.reference else {
                panic!("an evaluator with metrics has no images")
            };
            let images = u32::try_from(labels.len()).expect("images have 32-bit indices");
            let block = u32::try_from(block).expect("a block has at most all images");
            Arc::new(ImageBlocks::new(seed, images, block))
        });
        Self { blocks, ..self }
    }

    /// Number of images that each trial sees; `None`: all.
    pub fn images_per_trial(&self) -> Option<u64> {
        self.blocks.as_ref().map(|blocks| blocks.len() as u64)
    }

    /// Number of images that the fault-free network classifies correctly; 0 with metrics.
    pub fn clean_correct(&self) -> u64 {
        self.clean.correct
    }

    /// Scores of the fault-free network, one for each metric.
    pub fn clean_scores(&self) -> &[f64] {
        &self.clean.scores
    }

    /// Makes the records of consecutive trials from number `first` on. The evaluator is asked only about trials in
    /// which a weight changed.
    ///
    /// # Errors
    /// The first trial without a result: the evaluator failed, or gave outputs of another kind or number, or a score that is not
    /// finite.
    pub fn records(
        &self,
        first: u64,
        trials: Vec<Trial>,
        evaluator: &mut dyn Evaluator,
    ) -> Result<Vec<TrialRecord>, EvaluationError> {
        match self.records_before_error((first..).zip(trials).collect(), evaluator) {
            (records, None) => Ok(records),
            (_, Some(error)) => Err(error),
        }
    }

    /// Makes the records of trials with their numbers, of those before the first without a result, and the reason for that.
    pub(crate) fn records_before_error(
        &self,
        numbered: Vec<(u64, Trial)>,
        evaluator: &mut dyn Evaluator,
    ) -> (Vec<TrialRecord>, Option<EvaluationError>) {
        let flips =
            numbered.iter().map(|(_, trial)| trial.flips()).sum::<usize>() as f64 / numbered.len() as f64;
        let blocks = match self.blocks(numbered.iter().map(|(number, _)| *number), evaluator) {
            Ok(blocks) => blocks,
            Err(error) => return (Vec::new(), Some(error)),
        };
        let changed: Vec<ChangedTrial<'_>> = numbered
            .iter()
            .filter(|(_, trial)| !trial.changes.is_empty())
            .map(|(number, trial)| ChangedTrial {
                number: *number,
                changes: &trial.changes,
                images: blocks.get(number).map(|block| &block.images[..]),
            })
            .collect();
        let (outputs, mut error) = match changed.is_empty() {
            true => (Vec::new(), None),
            false => match evaluator.evaluate(&changed) {
                Ok(outputs) => {
                    assert_eq!(outputs.len(), changed.len(), "outputs of each trial");
                    (outputs, None)
                }
                Err(error) => (Vec::new(), Some(error)),
            },
        };
        let mut outputs = outputs.into_iter();
        let with_outputs = numbered.into_iter().map_while(|(number, trial)| {
            let given = if trial.changes.is_empty() { None } else { Some(outputs.next()?) };
            Some((number, trial, given))
        });
        let with_outputs: Vec<(u64, Trial, Option<Outputs>)> = with_outputs.collect();
        let record = |(number, trial, outputs): (u64, Trial, Option<Outputs>)| {
            let block = blocks.get(&number);
            let score = match outputs {
                None => block.map_or(&self.clean, |block| &block.clean).clone(),
                Some(outputs) => {
                    let score = match block {
                        Some(block) => block.reference.score_in_block(outputs),
                        None => self.reference.score(outputs),
                    };
                    score.map_err(|message| EvaluationError::new(number, message))?
                }
            };
            Ok(trial.record(number, score))
        };
        let results: Vec<Result<TrialRecord, EvaluationError>> =
            with_outputs.into_par_iter().with_min_len(fewest_for_a_thread(flips)).map(record).collect();
        let mut records = Vec::with_capacity(results.len());
        for result in results {
            match result {
                Ok(record) => records.push(record),
                Err(wrong) => {
                    error = Some(wrong);
                    break;
                }
            }
        }
        (records, error)
    }

    /// The blocks of trials by their numbers; none if trials see all images.
    fn blocks(
        &self,
        numbers: impl Iterator<Item = u64>,
        evaluator: &mut dyn Evaluator,
    ) -> Result<BTreeMap<u64, Block>, EvaluationError> {
        let (Some(blocks), Reference::Predictions { labels, clean }) = (&self.blocks, &self.reference) else {
            return Ok(BTreeMap::new());
        };
        let numbers: BTreeSet<u64> = numbers.collect();
        let images: Vec<Vec<u32>> = numbers.iter().map(|number| blocks.block(*number)).collect();
        let own = evaluator.clean_on(&images)?;
        let block = |(place, (number, images)): (usize, (u64, Vec<u32>))| {
            let of_block =
                |all: &[u16]| images.iter().map(|&image| all[image as usize]).collect::<Vec<u16>>();
            let clean = own.as_ref().map_or_else(|| of_block(clean), |own| own[place].clone());
            let reference = Reference::Predictions { labels: of_block(labels), clean: clean.clone() };
            let clean = reference.score_in_block(Outputs::Predictions(clean));
            (number, Block { reference, clean: clean.expect("one prediction an image"), images })
        };
        let numbered: Vec<(u64, Vec<u32>)> = numbers.into_iter().zip(images).collect();
        Ok(numbered.into_par_iter().enumerate().map(block).collect::<Vec<_>>().into_iter().collect())
    }
}

/// The block of images that a trial sees.
struct Block {
    images: Vec<u32>,
    /// Labels and fault-free classes of these images.
    reference: Reference,
    /// Fields of the record of a trial in which no weight changed.
    clean: Score,
}

/// Number of equal entries.
fn agreement(a: &[u16], b: &[u16]) -> u64 {
    a.iter().zip(b).filter(|(a, b)| a == b).count() as u64
}
