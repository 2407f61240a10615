//! Conditional sampling: trials in which some stored word reads back wrong.
//!
//! At low rates nearly every trial of a protected network reads back what was stored, and its drop is 0. Let E be the
//! event that some stored word, padding included, reads back wrong. Its probability P(E) is known in closed form
//! (`ecc::MemoryDistribution`), and the mean drop over all trials is P(E) times the mean over trials given E. The faults drawn here
//! have exactly the distribution of independent flips given E, at a cost that does not depend on P(E):
//!
//! 1. Words fail independently, so the first wrong word is drawn directly. Let -ln(1 - P_w) be the *hazard* of word
//!    w. The first wrong word is the one at which the sum of hazards passes an exponential variate that is kept within the
//!    sum over all words. Words of a class (`ecc::Protection::class_of`) share a hazard, so counting them finds it.
//! 2. All bits get ordinary faults. Words before the first wrong word are drawn again until they read right.
//! 3. The first wrong word gets a number of flips n from its distribution given that it is wrong, then sets of n bits
//!    until the decoder reads the word wrong; if any set of n flips is read wrong, nearly all are.
//! 4. Words after it keep their ordinary faults.

use std::collections::BTreeMap;

use design::BitErrorRate;
use ecc::{OutcomeDistribution, Protection};
use inject::{FaultPattern, Faults, WordFaults};

use crate::{StoredNetwork, Trial};

/// Number of words of a stretch: classes are counted stretch by stretch, and the first wrong word is searched for in one.
const STRETCH: usize = 4096;

/// The reason for which no changed trial can be drawn.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum NoChangedTrials {
    /// The probability that a word reads wrong has no closed form.
    #[error(
        "trials_of = \"changed\" needs the probability that a word of {protection} reads wrong, which has no closed form"
    )]
    NoClosedForm {
        /// Protection id.
        protection: String,
    },
    /// Trials in which no word reads wrong lose accuracy too, because storage changes weights.
    #[error(
        "trials_of = \"changed\" counts a trial in which no word reads wrong as no loss, but {protection} changes weights by \
         storing them"
    )]
    Lossy {
        /// Protection id.
        protection: String,
    },
    /// No trial changes anything.
    #[error(
        "trials_of = \"changed\" has nothing to draw at rate {rate:e}: the probability that any word reads wrong is 0"
    )]
    Never {
        /// The bit error rate.
        rate: f64,
    },
}

/// The outcome distributions of a memory's words, and the numbers of words that have each.
#[derive(Debug)]
pub(crate) struct WordClasses {
    distributions: Vec<OutcomeDistribution>,
    /// Number of words of each class before stretch i; the last entry counts all words.
    before: Vec<Vec<u64>>,
}

impl WordClasses {
    pub(crate) fn of(protection: &dyn Protection, plane: &[i8]) -> Option<Self> {
        let distributions = protection.outcome_distributions()?;
        let mut counts = vec![0; distributions.len()];
        let mut before = vec![counts.clone()];
        let size = protection.word().weights;
        for stretch in plane.chunks(STRETCH * size) {
            stretch.chunks_exact(size).for_each(|weights| counts[protection.class_of(weights)] += 1);
            before.push(counts.clone());
        }
        Some(Self { distributions, before })
    }
}

/// The changed trials of a memory at a rate: those in which some word reads back wrong.
#[derive(Debug)]
pub struct ChangedTrials<'a> {
    memory: &'a StoredNetwork<'a>,
    classes: &'a WordClasses,
    rate: BitErrorRate,
    /// -ln(1 - P(wrong)) of a word of each class.
    hazards: Vec<f64>,
    /// Sum over all words.
    hazard: f64,
}

impl<'a> ChangedTrials<'a> {
    pub(crate) fn new(
        memory: &'a StoredNetwork<'a>,
        classes: &'a WordClasses,
        rate: BitErrorRate,
    ) -> Result<Self, NoChangedTrials> {
        let hazards =
            classes.distributions.iter().map(|distribution| distribution.hazard(rate.get())).collect();
        let mut drawn = Self { memory, classes, rate, hazards, hazard: 0.0 };
        drawn.hazard = drawn.hazard_of(classes.before.last().expect("one more than there are stretches"));
        if drawn.hazard > 0.0 { Ok(drawn) } else { Err(NoChangedTrials::Never { rate: rate.get() }) }
    }

    /// Draws the trial of this number. It depends on the arguments and the memory alone.
    ///
    /// # Cost
    /// The cost of an ordinary trial, and a few microseconds for the first wrong word. If a word reads right with
    /// probability q, each word before the first wrong one takes about 1/q draws.
    pub fn trial(&self, seed: u64, trial: u64) -> Trial {
        let shape = self.memory.regions()[0].exposed_word();
        let [data_bits, check_bits] = [8 * shape.weights, shape.check_bits].map(|bits| bits as u64);
        let bits = data_bits + check_bits;
        let mut faults = WordFaults::new(seed, trial);
        let first = self.first_wrong(faults.exponential_within(self.hazard));

        // Words with flips: bit i of the number is bit i of the word, check bits after data bits.
        let mut words: BTreeMap<u64, u128> = BTreeMap::new();
        let planes = self.memory.bits();
        for bit in faults.flips(planes.data_bits, self.rate) {
            *words.entry(bit / data_bits).or_default() |= 1 << (bit % data_bits);
        }
        for bit in faults.flips(planes.check_bits, self.rate) {
            *words.entry(bit / check_bits).or_default() |= 1 << (data_bits + bit % check_bits);
        }
        for (&word, flips) in words.range_mut(..first) {
            while self.memory.regions()[0].reads_wrong(word, *flips) {
                *flips = set(faults.flips(bits, self.rate));
            }
        }
        let count = self.flips_of_wrong_word(first, faults.uniform());
        let wrong = loop {
            let flips = set(faults.distinct(bits, count));
            if self.memory.regions()[0].reads_wrong(first, flips) {
                break flips;
            }
        };
        words.insert(first, wrong);

        let mut pattern = FaultPattern::default();
        for (word, flips) in words {
            for bit in (0..bits).filter(|bit| flips >> bit & 1 == 1) {
                match bit.checked_sub(data_bits) {
                    None => pattern.data.push(word * data_bits + bit),
                    Some(check) => pattern.check.push(word * check_bits + check),
                }
            }
        }
        self.memory.read(Faults::Flips(pattern))
    }

    /// Finds the first word at which the sum of hazards reaches `target`.
    fn first_wrong(&self, target: f64) -> u64 {
        let before = &self.classes.before;
        // The sum over no word is 0, and the sum over all words is not below the target.
        let stretch = before.partition_point(|counts| self.hazard_of(counts) < target) - 1;
        let mut counts = before[stretch].clone();
        let mut word = stretch * STRETCH;
        loop {
            counts[self.class_of(word)] += 1;
            if self.hazard_of(&counts) >= target {
                return word as u64;
            }
            word += 1;
        }
    }

    /// Returns the class of word `word`.
    fn class_of(&self, word: usize) -> usize {
        let protection = self.memory.protection();
        let size = protection.word().weights;
        protection.class_of(&self.memory.network().plane[word * size..][..size])
    }

    fn hazard_of(&self, counts: &[u64]) -> f64 {
        // A class without words adds nothing, even if its words were always wrong.
        let classes = counts.iter().zip(&self.hazards).filter(|(words, _)| **words > 0);
        classes.map(|(words, hazard)| *words as f64 * hazard).sum()
    }

    /// Returns the number of flips in a word that reads wrong, at a quantile of its distribution.
    fn flips_of_wrong_word(&self, word: u64, quantile: f64) -> u64 {
        let distribution = &self.classes.distributions[self.class_of(word as usize)];
        let by_flips = distribution.wrong_by_flips(self.rate.get());
        let mut rest = quantile * by_flips.iter().sum::<f64>();
        let mut likely = 0;
        for (flips, probability) in (0..).zip(by_flips) {
            if probability > 0.0 {
                likely = flips;
                rest -= probability;
                if rest <= 0.0 {
                    break;
                }
            }
        }
        likely
    }
}

/// Packs offsets below 128 into the bits of a number.
fn set(offsets: Vec<u64>) -> u128 {
    offsets.into_iter().fold(0, |set, offset| set | 1 << offset)
}
