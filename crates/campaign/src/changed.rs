//! Trials of which only those are drawn that change something.
//!
//! At low rates nearly every trial of a protected network reads back what was stored, and its drop is 0. Let E be the
//! event that some stored word, padding included, reads back wrong. Its probability P(E) is known in closed form
//! (`ecc::MemoryDistribution`), and the mean drop over all trials is P(E) times the mean over trials given E. This draws faults
//! with exactly the distribution of independent flips given E, at a cost that does not depend on how rare E is:
//!
//! 1. Words fail independently, so the first wrong word is drawn directly. With -ln(1 - P_w) for the *hazard* of word
//!    w, it is where the sum of hazards passes an exponential variate that is kept within the sum over all words.
//!    Words of a class (`ecc::Protection::class_of`) share a hazard, and counting them finds the place.
//! 2. All cells get ordinary faults. Words before the first wrong one are drawn again until they read right.
//! 3. The first wrong word gets a number of flips from its distribution given that it is wrong, then sets of so many cells
//!    until the decoder reads one wrong, which nearly all are wherever any is.
//! 4. Words after it keep their ordinary faults.

use std::collections::BTreeMap;

use design::BitErrorRate;
use ecc::{OutcomeDistribution, Protection};
use inject::{FaultPattern, Faults, WordFaults};

use crate::{StoredNetwork, Trial};

/// Words that are counted together: the first wrong word is searched for in one such stretch.
const STRETCH: usize = 4096;

/// Why no trial that changes something can be drawn.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum NoChangedTrials {
    /// How often words fail is not known.
    #[error(
        "trials_of = \"changed\" needs the probability that a word of {protection} reads wrong, which has no closed form"
    )]
    NoClosedForm {
        /// Protection id.
        protection: String,
    },
    /// Trials in which no word reads wrong lose something too.
    #[error(
        "trials_of = \"changed\" counts a trial in which no word reads wrong as no loss, but {protection} changes weights by \
         storing them"
    )]
    Lossy {
        /// Protection id.
        protection: String,
    },
    /// There is none.
    #[error(
        "trials_of = \"changed\" has nothing to draw at rate {rate:e}: the probability that any word reads wrong is 0"
    )]
    Never {
        /// The bit error rate.
        rate: f64,
    },
}

/// The distributions of a memory's words, and where the words of each are.
#[derive(Debug)]
pub(crate) struct WordClasses {
    distributions: Vec<OutcomeDistribution>,
    /// Words of each class before stretch i; the last entry counts all words.
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

/// Draws trials in which some word reads back wrong.
#[derive(Debug)]
pub struct ChangedTrials<'a> {
    memory: &'a StoredNetwork<'a>,
    classes: &'a WordClasses,
    rate: BitErrorRate,
    /// Of a word of each class: -ln(1 - P(wrong)).
    hazards: Vec<f64>,
    /// Of all words.
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

    /// The trial of that number, a function of its arguments and of the memory.
    ///
    /// # Cost
    /// That of an ordinary trial, and a few microseconds for the first wrong word. Where words are seldom right, the
    /// few before it take as many draws as that is seldom.
    pub fn trial(&self, seed: u64, trial: u64) -> Trial {
        let shape = self.memory.regions()[0].exposed_word();
        let [data_cells, check_cells] = [8 * shape.weights, shape.check_bits].map(|cells| cells as u64);
        let cells = data_cells + check_cells;
        let mut faults = WordFaults::new(seed, trial);
        let first = self.first_wrong(faults.exponential_within(self.hazard));

        // Words with flips: bit i of the number is cell i of the word, check cells after data cells.
        let mut words: BTreeMap<u64, u128> = BTreeMap::new();
        let planes = self.memory.bits();
        for bit in faults.flips(planes.data_bits, self.rate) {
            *words.entry(bit / data_cells).or_default() |= 1 << (bit % data_cells);
        }
        for bit in faults.flips(planes.check_bits, self.rate) {
            *words.entry(bit / check_cells).or_default() |= 1 << (data_cells + bit % check_cells);
        }
        for (&word, flips) in words.range_mut(..first) {
            while self.memory.regions()[0].reads_wrong(word, *flips) {
                *flips = set(faults.flips(cells, self.rate));
            }
        }
        let count = self.flips_of_wrong_word(first, faults.uniform());
        let wrong = loop {
            let flips = set(faults.distinct(cells, count));
            if self.memory.regions()[0].reads_wrong(first, flips) {
                break flips;
            }
        };
        words.insert(first, wrong);

        let mut pattern = FaultPattern::default();
        for (word, flips) in words {
            for cell in (0..cells).filter(|cell| flips >> cell & 1 == 1) {
                match cell.checked_sub(data_cells) {
                    None => pattern.data.push(word * data_cells + cell),
                    Some(check) => pattern.check.push(word * check_cells + check),
                }
            }
        }
        self.memory.read(Faults::Flips(pattern))
    }

    /// The first word at which the sum of hazards reaches `target`.
    fn first_wrong(&self, target: f64) -> u64 {
        let before = &self.classes.before;
        // The sum over no word is 0, and that over all is not below the target.
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

    /// Number of the distribution that word `word` follows.
    fn class_of(&self, word: usize) -> usize {
        let protection = self.memory.protection();
        let size = protection.word().weights;
        protection.class_of(&self.memory.network().plane[word * size..][..size])
    }

    fn hazard_of(&self, counts: &[u64]) -> f64 {
        // A class without words adds nothing, even where its words are always wrong.
        let classes = counts.iter().zip(&self.hazards).filter(|(words, _)| **words > 0);
        classes.map(|(words, hazard)| *words as f64 * hazard).sum()
    }

    /// The number of flips in a word that reads wrong, at that quantile of its distribution.
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

/// Cells as the bits of a number.
fn set(cells: Vec<u64>) -> u128 {
    cells.into_iter().fold(0, |set, cell| set | 1 << cell)
}
