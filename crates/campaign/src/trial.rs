use std::borrow::Cow;
use std::ops::Range;
use std::sync::OnceLock;

use design::{BitErrorRate, FaultKind, TrialRecord};
use ecc::{BLOCK, MemoryImage, Protection, Violation};
use inject::{FaultPattern, PlaneSizes};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::changed::WordClasses;
use crate::drawing::FEWEST_FOR_A_THREAD;
use crate::exceptions::ExceptionList;
use crate::{ChangedTrials, Network, NoChangedTrials, WordOutcome};

/// Weights that are read back at a time when a network is stored: few enough for the caches.
pub(crate) const READ_BACK: usize = 1 << 16;

/// A weight that reads back as another value than the network's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightChange {
    /// Number of the tensor in memory order.
    pub tensor: usize,
    /// Row-major index in the tensor.
    pub index: usize,
    /// The value that the network reads.
    pub value: i8,
}

impl WeightChange {
    /// Of the weight; ascends as memory does.
    pub(crate) fn place(&self) -> (usize, usize) {
        (self.tensor, self.index)
    }
}

/// Runs a network on the evaluation set.
pub trait Evaluator {
    /// Top-1 class of every image, in order, in each of several trials, which have some weights changed. Must be
    /// a function of its arguments.
    fn predict(&mut self, trials: &[&[WeightChange]]) -> Vec<Vec<u16>>;

    /// How many trials with changed weights to evaluate in a call, at most: several where they cost less than as many
    /// calls. A run stops, and keeps what it has, between calls only.
    fn together(&self) -> usize {
        1
    }
}

/// What trials of one network are compared with.
#[derive(Clone, Debug)]
pub struct Evaluation {
    labels: Vec<u16>,
    clean: Vec<u16>,
    /// Of the clean predictions.
    clean_score: Score,
}

/// What a record says of predictions.
#[derive(Clone, Debug)]
struct Score {
    correct: u64,
    agree: u64,
    hash: String,
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

    /// For images without labels: the fault-free predictions stand for them, so that what a trial gets right
    /// is what it agrees on.
    pub fn label_free(clean: Vec<u16>) -> Self {
        Self::new(clean.clone(), clean)
    }

    /// Images that the fault-free network classifies correctly.
    pub fn clean_correct(&self) -> u64 {
        self.clean_score.correct
    }

    /// Completes consecutive trials, of which `first` is the number of the first, with the network's
    /// performance. The evaluator is asked only about those in which a weight changed.
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

/// A network stored under a protection, ready for trials.
///
/// The memory itself is nowhere: a fault-free one is what the protection stores for the network's weights, so the
/// few blocks that a trial hits are stored when they are hit, and no more than the weights is kept.
#[derive(Debug)]
pub struct StoredNetwork<'a> {
    network: Cow<'a, Network>,
    protection: Box<dyn Protection>,
    losses: Vec<WeightChange>,
    /// What its protection keeps in it, if anything.
    pub(crate) list: Option<Box<ExceptionList>>,
    /// Found when first asked for; `None` without a closed form.
    classes: OnceLock<Option<WordClasses>>,
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
    /// Weights that read back as other values than the network's, ascending in memory order: those of words that were
    /// hit, and what storage alone changes of the others ([`StoredNetwork::losses`]).
    pub changes: Vec<WeightChange>,
    /// Padding weights that read back changed.
    pub padding_changed: u64,
}

impl<'a> StoredNetwork<'a> {
    /// Checks that the protection can store a network, by storing it and reading it back, and notes what storage alone
    /// changes.
    ///
    /// # Errors
    /// The first weight that the protection cannot store.
    ///
    /// # Panics
    /// When other weights are read back than [`Protection::as_stored`] says, or padding is.
    pub fn new(network: &'a Network, protection: Box<dyn Protection>) -> Result<Self, Violation> {
        Self::store(Cow::Borrowed(network), protection)
    }

    pub(crate) fn store(
        network: Cow<'a, Network>,
        protection: Box<dyn Protection>,
    ) -> Result<Self, Violation> {
        protection.constraint().check(&network.layout, &network.plane)?;
        let mut memory = MemoryImage::blank(protection.word(), READ_BACK);
        let mut read = vec![0; READ_BACK];
        let mut losses = Vec::new();
        for (first, part) in (0..).step_by(READ_BACK).zip(network.plane.chunks(READ_BACK)) {
            if part.len() < READ_BACK {
                memory = MemoryImage::blank(protection.word(), part.len());
                read.truncate(part.len());
            }
            protection.encode_plane(part, &mut memory);
            protection.decode(&memory, &mut read);
            if read == part {
                continue;
            }
            let as_stored = part.as_chunks().0.iter().map(|block| protection.as_stored(*block));
            let as_stored: Vec<i8> = as_stored.flatten().collect();
            assert!(read == as_stored, "{} reads other weights than it has stored", protection.id());
            for (i, (&value, _)) in read.iter().zip(part).enumerate().filter(|(_, (value, own))| value != own)
            {
                let place = network.layout.locate(first + i);
                let (tensor, index) = place.unwrap_or_else(|| panic!("{} changes padding", protection.id()));
                losses.push(WeightChange { tensor, index, value });
            }
        }
        let mut list = None;
        let exceptions = protection.exceptions(&network.plane);
        if !exceptions.is_empty() {
            let named = exceptions.iter().map(|entry| network.layout.locate(entry.index as usize));
            assert!(
                named.eq(losses.iter().map(|loss| Some(loss.place()))),
                "{} lists other weights than it changes by storing them",
                protection.id()
            );
            list = Some(Box::new(ExceptionList::new(&exceptions, std::mem::take(&mut losses))));
        }
        Ok(Self { network, protection, losses, list, classes: OnceLock::new() })
    }

    /// The weights that storage alone changes, ascending in memory order; none under a lossless protection, or one that
    /// lists them.
    pub fn losses(&self) -> &[WeightChange] {
        &self.losses
    }

    /// The network that is stored.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The memories that a pattern hits, each with its own flips: that of the network's words, and where its protection
    /// keeps an exception list ([`ecc::Protection::exceptions`]), whose cells are the check plane, that of the entries,
    /// stored as the weights of a network are, eight bytes each.
    pub fn memories(&self, pattern: &FaultPattern) -> Vec<(&StoredNetwork<'_>, FaultPattern)> {
        match &self.list {
            None => vec![(self, pattern.clone())],
            Some(list) => {
                let [array, entries] = ExceptionList::split(pattern.clone());
                vec![(self, array), (&list.memory, entries)]
            }
        }
    }

    /// What protects it.
    pub fn protection(&self) -> &dyn Protection {
        &*self.protection
    }

    /// Draws the flips of a trial and reads the memory under them.
    pub fn trial(&self, kind: FaultKind, rate: BitErrorRate, seed: u64, trial: u64) -> Trial {
        self.read(self.resolve(inject::sample(kind, rate, self.planes(), seed, trial)))
    }

    /// Trials under independent flips of which only those are drawn in which some word, padding included, reads back
    /// wrong.
    ///
    /// # Errors
    /// When the protection has no closed form for how often that is, or there are none.
    pub fn changed_trials(&self, rate: BitErrorRate) -> Result<ChangedTrials<'_>, NoChangedTrials> {
        let classes = self.classes.get_or_init(|| WordClasses::of(&*self.protection, &self.network.plane));
        match classes {
            _ if !self.losses.is_empty() => {
                Err(NoChangedTrials::Lossy { protection: self.protection.id().into() })
            }
            Some(classes) => ChangedTrials::new(self, classes, rate),
            None => Err(NoChangedTrials::NoLaw { protection: self.protection.id().into() }),
        }
    }

    /// Cells of both planes.
    pub(crate) fn cells(&self) -> u64 {
        let planes = self.planes();
        planes.data_bits + planes.check_bits
    }

    pub(crate) fn planes(&self) -> PlaneSizes {
        let weights = self.network.plane.len();
        let check_bits = match &self.list {
            None => self.protection.exposed().check_bits_of(weights) as u64,
            Some(list) => list.cells(),
        };
        PlaneSizes { data_bits: 8 * weights as u64, check_bits }
    }

    /// Whether the words read back as the network's own weights without faults.
    fn stores_exactly(&self) -> bool {
        self.losses.is_empty() && self.list.is_none()
    }

    /// What a block of the network's weights reads back as without faults.
    fn as_stored(&self, weights: [i8; BLOCK]) -> [i8; BLOCK] {
        // Nobody need be asked where storage changes nothing.
        if self.stores_exactly() { weights } else { self.protection.as_stored(weights) }
    }

    /// Whether word `word` reads back wrong when the cells flip that are set in `flips`, check cells after data cells.
    pub(crate) fn reads_wrong(&self, word: u64, flips: u128) -> bool {
        let shape = self.protection.word();
        let (words, word) = (BLOCK / shape.weights, word as usize);
        let stored = &self.network.plane.as_chunks::<BLOCK>().0[word / words];
        let mut memory = self.encoded(stored);
        let (word, data_cells) = (word % words, 8 * shape.weights);
        for cell in (0..data_cells + shape.check_bits).filter(|cell| flips >> cell & 1 == 1) {
            match cell.checked_sub(data_cells) {
                None => memory.flip_data((word * data_cells + cell) as u64),
                Some(check) => memory.flip_check((word * shape.check_bits + check) as u64),
            }
        }
        let mut read = [0; BLOCK];
        let read = &mut read[..shape.weights];
        self.protection.decode_word(&memory, word, read);
        *read != self.as_stored(*stored)[word * shape.weights..][..shape.weights]
    }

    /// Reads the words that `pattern` has hit, and those of the exception list.
    pub(crate) fn read(&self, pattern: FaultPattern) -> Trial {
        let mut trial = Trial::default();
        match &self.list {
            None => self.read_words(&pattern, &mut trial),
            Some(list) => {
                let [array, entries] = ExceptionList::split(pattern.clone());
                self.read_words(&array, &mut trial);
                let changes = std::mem::take(&mut trial.changes);
                list.memory.read_words(&entries, &mut trial);
                let bytes = std::mem::take(&mut trial.changes);
                trial.changes = list.written_over(&self.network, changes, bytes);
            }
        }
        trial.pattern = pattern;
        trial
    }

    /// Adds what the words that `pattern` has hit read as, and what storage alone changes of the others.
    fn read_words(&self, pattern: &FaultPattern, trial: &mut Trial) {
        let shape = self.protection.word();
        let [data_cells, check_cells] = self.cells_of_block();
        let mut hit: Vec<u64> = pattern.data.iter().map(|bit| bit / data_cells).collect();
        hit.extend(pattern.check.iter().map(|bit| bit / check_cells));
        hit.sort(); // two ascending runs
        hit.dedup();
        // Fetched together, so that the waits for memory overlap.
        let (blocks, _) = self.network.plane.as_chunks::<BLOCK>();
        let weights: Vec<[i8; BLOCK]> = hit.iter().map(|&block| blocks[block as usize]).collect();

        let mut data = pattern.data.iter().peekable();
        let mut check = pattern.check.iter().peekable();
        let mut memory = MemoryImage::blank(shape, BLOCK);
        let mut losses = self.losses.as_slice();
        for (block, weights) in hit.into_iter().zip(&weights) {
            self.protection.encode_block(weights, &mut memory, 0);
            // Bit w: word w of the block is hit.
            let mut hit = 0u8;
            while let Some(bit) = data.next_if(|bit| **bit / data_cells == block) {
                let cell = bit % data_cells;
                memory.flip_data(cell);
                hit |= 1 << (cell as usize / (8 * shape.weights));
            }
            while let Some(bit) = check.next_if(|bit| **bit / check_cells == block) {
                let cell = bit % check_cells;
                memory.flip_check(cell);
                hit |= 1 << (cell as usize / shape.check_bits);
            }
            let as_stored = self.as_stored(*weights);
            let words = weights.chunks_exact(shape.weights).zip(as_stored.chunks_exact(shape.weights));
            for (word, (weights, as_stored)) in words.enumerate() {
                if hit >> word & 1 == 1 {
                    let first = block as usize * BLOCK + word * shape.weights;
                    losses = self.losses_up_to(first..first + shape.weights, losses, &mut trial.changes);
                    self.read_word(&memory, word, weights, as_stored, first, trial);
                }
            }
        }
        trial.changes.extend_from_slice(losses);
    }

    /// Adds those of `losses` to `changes` that lie before a word, at `word` in the plane, and returns those after it:
    /// what the word itself reads as is for its decoder to say.
    fn losses_up_to<'l>(
        &self,
        word: Range<usize>,
        losses: &'l [WeightChange],
        changes: &mut Vec<WeightChange>,
    ) -> &'l [WeightChange] {
        if losses.is_empty() {
            return losses;
        }
        let tensors = self.network.layout.tensors();
        let place = |loss: &WeightChange| tensors[loss.tensor].start + loss.index;
        let (before, rest) = losses.split_at(losses.partition_point(|loss| place(loss) < word.start));
        changes.extend_from_slice(before);
        &rest[rest.partition_point(|loss| place(loss) < word.end)..]
    }

    /// Reads a word of a block. The network's weights there are `weights`, the first of them at `first` in the plane;
    /// without faults they are read as `as_stored`.
    fn read_word(
        &self,
        block: &MemoryImage,
        word: usize,
        weights: &[i8],
        as_stored: &[i8],
        first: usize,
        trial: &mut Trial,
    ) {
        let mut read = [0; BLOCK];
        let read = &mut read[..weights.len()];
        let status = self.protection.decode_word(block, word, read);
        let right = read == as_stored;
        trial.words_hit += 1;
        match WordOutcome::new(status, right) {
            WordOutcome::Harmless => {}
            WordOutcome::Corrected => trial.corrected += 1,
            WordOutcome::Detected => trial.detected += 1,
            WordOutcome::Miscorrected => trial.miscorrected += 1,
            WordOutcome::Silent => trial.silent += 1,
        }
        if right && self.stores_exactly() {
            return;
        }
        for (i, (&value, original)) in read.iter().zip(weights).enumerate() {
            if value == *original {
                continue;
            }
            match self.network.layout.locate(first + i) {
                Some((tensor, index)) => trial.changes.push(WeightChange { tensor, index, value }),
                None => trial.padding_changed += 1,
            }
        }
    }
}

impl Trial {
    fn record(self, trial: u64, score: Score) -> TrialRecord {
        let Score { correct, agree, hash: predictions_hash } = score;
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
            correct,
            agree,
            predictions_hash,
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
    // In one piece: feeding it in small ones costs more than the hash.
    let pieces: Vec<[u8; N]> = pieces.collect();
    Sha256::digest(pieces.as_flattened())[..8].iter().map(|b| format!("{b:02x}")).collect()
}
