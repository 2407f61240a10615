use ecc::{MemoryImage, Protection, Violation, WordStatus};
use inject::{BitErrorRate, FaultModel, FaultPattern, PlaneSizes};
use records::TrialRecord;
use sha2::{Digest, Sha256};

use crate::Network;

/// A weight that reads back as something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightChange {
    /// Number of the tensor in memory order.
    pub tensor: usize,
    /// Row-major index in the tensor.
    pub index: usize,
    /// The value that the network reads.
    pub value: i8,
}

/// Runs a network on the evaluation set.
pub trait Evaluator {
    /// Top-1 class of every image, in order, with some weights changed. Must be a function of its
    /// arguments.
    fn predict(&self, changes: &[WeightChange]) -> Vec<u16>;
}

/// What trials of one network are compared with.
#[derive(Clone, Debug)]
pub struct Evaluation {
    labels: Vec<u16>,
    clean: Vec<u16>,
}

impl Evaluation {
    /// Takes the true labels and the fault-free predictions, image by image.
    ///
    /// # Panics
    /// When they differ in number.
    pub fn new(labels: Vec<u16>, clean: Vec<u16>) -> Self {
        assert_eq!(labels.len(), clean.len(), "one prediction an image");
        Self { labels, clean }
    }

    /// For images without labels: the fault-free predictions stand for them, so that what a trial gets right
    /// is what it agrees on.
    pub fn label_free(clean: Vec<u16>) -> Self {
        Self { labels: clean.clone(), clean }
    }

    /// Images that the fault-free network classifies correctly.
    pub fn clean_correct(&self) -> u64 {
        agreement(&self.clean, &self.labels)
    }
}

/// A network stored under a protection, ready for trials.
#[derive(Debug)]
pub struct StoredNetwork<'a> {
    network: &'a Network,
    protection: Box<dyn Protection>,
    image: MemoryImage,
    /// What a fault-free read gives.
    clean: Vec<i8>,
}

/// What a trial found before any network was run.
#[derive(Debug, Default)]
pub struct Trial {
    /// Flipped cells.
    pub pattern: FaultPattern,
    /// Code words with a flipped cell.
    pub words_hit: u64,
    /// Words changed rightly.
    pub corrected: u64,
    /// Words declared uncorrectable.
    pub detected: u64,
    /// Words changed wrongly.
    pub miscorrected: u64,
    /// Words that pass as clean and read wrong.
    pub silent: u64,
    /// Weights that read back changed, ascending in memory order.
    pub changes: Vec<WeightChange>,
    /// Padding weights that read back changed.
    pub padding_changed: u64,
}

impl<'a> StoredNetwork<'a> {
    /// Encodes a network.
    ///
    /// # Errors
    /// The first weight that the protection cannot store.
    pub fn new(network: &'a Network, protection: Box<dyn Protection>) -> Result<Self, Violation> {
        let image = protection.encode(&network.layout, &network.plane)?;
        let mut clean = vec![0; network.plane.len()];
        protection.decode(&image, &mut clean);
        Ok(Self { network, protection, image, clean })
    }

    /// Draws the flips of a trial and reads the memory under them. The memory is as before when this
    /// returns.
    pub fn trial(&mut self, model: FaultModel, rate: BitErrorRate, seed: u64, trial: u64) -> Trial {
        let planes = PlaneSizes { data_bits: self.image.data_bits(), check_bits: self.image.check_bits() };
        let pattern = model.sample(rate, planes, seed, trial);
        self.flip(&pattern);
        let found = self.read(pattern);
        self.flip(&found.pattern);
        found
    }

    fn flip(&mut self, pattern: &FaultPattern) {
        pattern.data.iter().for_each(|&bit| self.image.flip_data(bit));
        pattern.check.iter().for_each(|&bit| self.image.flip_check(bit));
    }

    /// Reads the words that `pattern`, already applied, has hit.
    fn read(&self, pattern: FaultPattern) -> Trial {
        let shape = self.protection.word();
        let mut words: Vec<usize> = Vec::with_capacity(pattern.data.len() + pattern.check.len());
        words.extend(pattern.data.iter().map(|&bit| bit as usize / (8 * shape.weights)));
        words.extend(pattern.check.iter().map(|&bit| bit as usize / shape.check_bits));
        words.sort_unstable();
        words.dedup();

        let mut trial = Trial { words_hit: words.len() as u64, ..Trial::default() };
        let mut read = [0; ecc::BLOCK];
        let read = &mut read[..shape.weights];
        for word in words {
            let status = self.protection.decode_word(&self.image, word, read);
            let first = word * shape.weights;
            let right = *read == self.clean[first..first + shape.weights];
            match (status, right) {
                (WordStatus::Clean, true) => {}
                (WordStatus::Clean, false) => trial.silent += 1,
                (WordStatus::Corrected, true) => trial.corrected += 1,
                (WordStatus::Corrected, false) => trial.miscorrected += 1,
                (WordStatus::Detected, _) => trial.detected += 1,
            }
            if right {
                continue;
            }
            for (plane_index, &value) in (first..).zip(&*read) {
                if value == self.clean[plane_index] {
                    continue;
                }
                match self.network.layout.locate(plane_index) {
                    Some((tensor, index)) => trial.changes.push(WeightChange { tensor, index, value }),
                    None => trial.padding_changed += 1,
                }
            }
        }
        trial.pattern = pattern;
        trial
    }
}

impl Trial {
    /// Completes the trial with the network's performance. The evaluator is asked only when a weight
    /// changed.
    pub fn evaluate(self, trial: u64, evaluation: &Evaluation, evaluator: &dyn Evaluator) -> TrialRecord {
        let faulty;
        let predictions = if self.changes.is_empty() {
            &evaluation.clean
        } else {
            faulty = evaluator.predict(&self.changes);
            &faulty
        };
        let offsets = [&self.pattern.data, &self.pattern.check].map(|p| p.iter().map(|o| o.to_le_bytes()));
        let pattern_hash = {
            let [data, check] = offsets;
            hash(data.chain([u64::MAX.to_le_bytes()]).chain(check))
        };
        let weights_hash = hash(self.changes.iter().map(|change| {
            let mut bytes = [0; 17];
            bytes[..8].copy_from_slice(&(change.tensor as u64).to_le_bytes());
            bytes[8..16].copy_from_slice(&(change.index as u64).to_le_bytes());
            bytes[16] = change.value.cast_unsigned();
            bytes
        }));
        TrialRecord {
            trial,
            flips_data: self.pattern.data.len() as u64,
            flips_check: self.pattern.check.len() as u64,
            pattern_hash,
            words_hit: self.words_hit,
            corrected: self.corrected,
            detected: self.detected,
            miscorrected: self.miscorrected,
            silent: self.silent,
            weights_changed: self.changes.len() as u64,
            padding_changed: self.padding_changed,
            weights_hash,
            correct: agreement(predictions, &evaluation.labels),
            agree: agreement(predictions, &evaluation.clean),
            predictions_hash: hash(predictions.iter().map(|class| class.to_le_bytes())),
        }
    }
}

/// Number of equal entries.
fn agreement(a: &[u16], b: &[u16]) -> u64 {
    assert_eq!(a.len(), b.len(), "one prediction an image");
    a.iter().zip(b).filter(|(a, b)| a == b).count() as u64
}

/// First 16 hex digits of a SHA-256.
fn hash<const N: usize>(pieces: impl Iterator<Item = [u8; N]>) -> String {
    let mut hash = Sha256::new();
    pieces.for_each(|piece| hash.update(piece));
    hash.finalize()[..8].iter().map(|b| format!("{b:02x}")).collect()
}
