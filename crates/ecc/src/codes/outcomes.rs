//! Outcomes of decoding a word, in closed form.
//!
//! A decoder is a function of the word it reads, so each of the 2^n patterns of flips in a word of n bits has one
//! outcome, and the outcomes can be counted. If flips are independent, a pattern of k flips has probability
//! p^k (1 - p)^(n - k), and the probability of an outcome follows from the counts by k. The probabilities are sums of
//! positive terms, exact to a few units in the last place at any rate, 1e-12 included.
//!
//! The outcome of a linear code depends on the flips alone, and its counts follow from the weight enumerator of the code
//! ([`crate::LinearCode::outcome_distribution`]). If the outcome depends on the stored weights too, a protection sorts its
//! words into classes, each with its own distribution ([`Protection::outcome_distributions`]).
//!
//! Logarithms come from `libm`, so that probabilities are the same on every machine.

use std::ops::Add;
use std::sync::LazyLock;

use crate::{BLOCK, MemoryImage, Protection, WordStatus};

/// A number for each outcome of decoding a word: of patterns, of words, or a probability.
///
/// A word is *right* if the weights that are read are those that a memory without faults returns
/// ([`Protection::as_stored`]), and otherwise *wrong*. Check bits do not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes<T> {
    /// The word passes as clean and is right.
    pub clean_right: T,
    /// The word is corrected and right (CE).
    pub corrected_right: T,
    /// The word is corrected and wrong (miscorrected).
    pub corrected_wrong: T,
    /// The word is declared uncorrectable (DUE), and the weights are right nevertheless.
    pub detected_right: T,
    /// The word is declared uncorrectable (DUE) and wrong.
    pub detected_wrong: T,
    /// The word passes as clean and is wrong (silent, SDC).
    pub clean_wrong: T,
}

impl<T: Copy + Add<Output = T>> Outcomes<T> {
    /// Sum over the wrong outcomes.
    pub fn wrong(self) -> T {
        self.corrected_wrong + self.detected_wrong + self.clean_wrong
    }

    /// Sum over words declared uncorrectable (DUE).
    pub fn detected(self) -> T {
        self.detected_right + self.detected_wrong
    }

    /// Sum over all outcomes.
    pub fn all(self) -> T {
        self.clean_right + self.corrected_right + self.detected_right + self.wrong()
    }

    pub(crate) fn map<U>(self, f: impl Fn(T) -> U) -> Outcomes<U> {
        Outcomes {
            clean_right: f(self.clean_right),
            corrected_right: f(self.corrected_right),
            corrected_wrong: f(self.corrected_wrong),
            detected_right: f(self.detected_right),
            detected_wrong: f(self.detected_wrong),
            clean_wrong: f(self.clean_wrong),
        }
    }
}

impl Outcomes<u128> {
    /// Counts of the same patterns if something else makes the word wrong.
    pub(crate) fn all_wrong(self) -> Self {
        Self {
            clean_wrong: self.clean_right + self.clean_wrong,
            corrected_wrong: self.corrected_right + self.corrected_wrong,
            detected_wrong: self.detected(),
            ..Self::default()
        }
    }
}

impl<T> Outcomes<T> {
    /// Entry of a word that is read with a status, right or wrong.
    fn of(&mut self, status: WordStatus, right: bool) -> &mut T {
        match (status, right) {
            (WordStatus::Clean, true) => &mut self.clean_right,
            (WordStatus::Clean, false) => &mut self.clean_wrong,
            (WordStatus::Corrected, true) => &mut self.corrected_right,
            (WordStatus::Corrected, false) => &mut self.corrected_wrong,
            (WordStatus::Detected, true) => &mut self.detected_right,
            (WordStatus::Detected, false) => &mut self.detected_wrong,
        }
    }
}

impl<T: Add<Output = T>> Add for Outcomes<T> {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            clean_right: self.clean_right + other.clean_right,
            corrected_right: self.corrected_right + other.corrected_right,
            corrected_wrong: self.corrected_wrong + other.corrected_wrong,
            detected_right: self.detected_right + other.detected_right,
            detected_wrong: self.detected_wrong + other.detected_wrong,
            clean_wrong: self.clean_wrong + other.clean_wrong,
        }
    }
}

/// Number of patterns of flips in a word, check bits included, for each outcome and each number of flips.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeDistribution {
    /// Counts by number of flips, from 0 to the number of bits.
    patterns: Vec<Outcomes<u128>>,
}

impl OutcomeDistribution {
    /// Takes the counts by number of flips, at most 128.
    ///
    /// # Panics
    /// When they are not all patterns: C(n, k) of k flips in n bits.
    pub(crate) fn new(patterns: Vec<Outcomes<u128>>) -> Self {
        let bits = patterns.len() - 1;
        for (flips, outcomes) in patterns.iter().enumerate() {
            assert_eq!(outcomes.all(), choose(bits, flips), "patterns of {flips} flips in {bits} bits");
        }
        Self { patterns }
    }

    /// Distribution of a word with `more` bits more, each of which makes the word wrong if it flips, and changes nothing
    /// else.
    pub(crate) fn with_unprotected(&self, more: usize) -> Self {
        let mut patterns = vec![Outcomes::default(); self.bits() + more + 1];
        for (flips, &outcomes) in self.patterns.iter().enumerate() {
            for beside in 0..=more {
                let all = outcomes.map(|count| count * choose(more, beside));
                let sum = &mut patterns[flips + beside];
                *sum = *sum + if beside == 0 { all } else { all.all_wrong() };
            }
        }
        Self::new(patterns)
    }

    /// Distribution of a word that stores one weight, `weight`, counted by decoding it under every pattern of flips.
    ///
    /// # Panics
    /// When the protection's words hold several weights, or have more than 20 bits, which would take too long.
    pub fn of_weight(protection: &dyn Protection, weight: i8) -> Self {
        let shape = protection.word();
        let bits = 8 + shape.check_bits;
        assert!(shape.weights == 1 && bits <= 20, "{} has too large words to count", protection.id());
        let as_stored = protection.as_stored([weight; BLOCK])[0];
        let mut patterns = vec![Outcomes::default(); bits + 1];
        let mut image = MemoryImage::blank(shape, BLOCK);
        for flips in 0..1u32 << bits {
            protection.encode_block(&[weight; BLOCK], &mut image, 0);
            for bit in (0..bits as u64).filter(|bit| flips >> bit & 1 == 1) {
                match bit.checked_sub(8) {
                    None => image.flip_data(bit),
                    Some(check) => image.flip_check(check),
                }
            }
            let mut read = [0];
            let status = protection.decode_word(&image, 0, &mut read);
            let outcomes: &mut Outcomes<u128> = &mut patterns[flips.count_ones() as usize];
            *outcomes.of(status, read[0] == as_stored) += 1;
        }
        Self::new(patterns)
    }

    /// Number of bits of a word.
    pub fn bits(&self) -> usize {
        self.patterns.len() - 1
    }

    /// Counts by number of flips, from 0 to the number of bits.
    pub fn patterns(&self) -> &[Outcomes<u128>] {
        &self.patterns
    }

    /// Probabilities of the outcomes when each bit flips with probability `rate`, independently.
    pub fn probabilities(&self, rate: f64) -> Outcomes<f64> {
        let of_pattern = pattern_probabilities(self.bits(), rate);
        let terms = self.patterns.iter().zip(of_pattern);
        terms.fold(Outcomes::default(), |sum, (counts, p)| sum + counts.map(|count| count as f64 * p))
    }

    /// Probability that a word has exactly k flips and is read wrong, by k. The sum is the probability of a wrong word.
    pub fn wrong_by_flips(&self, rate: f64) -> Vec<f64> {
        let of_pattern = pattern_probabilities(self.bits(), rate);
        self.patterns.iter().zip(of_pattern).map(|(counts, p)| counts.wrong() as f64 * p).collect()
    }

    /// Hazard of a word, -ln(1 - P) for the probability P that it is read wrong. Hazards of independent words add up.
    pub fn hazard(&self, rate: f64) -> f64 {
        // A sum that is above 1 by its rounding is 1.
        -libm::log1p(-self.probabilities(rate).wrong().min(1.0))
    }
}

/// p^k (1 - p)^(n - k) for k from 0 to n, by multiplication alone.
fn pattern_probabilities(bits: usize, rate: f64) -> Vec<f64> {
    assert!((0.0..=1.0).contains(&rate), "a bit error rate is a probability, got {rate}");
    let powers = |base: f64| {
        std::iter::successors(Some(1.0), move |power| Some(power * base)).take(bits + 1).collect::<Vec<f64>>()
    };
    let (flipped, kept) = (powers(rate), powers(1.0 - rate));
    flipped.into_iter().zip(kept.into_iter().rev()).map(|(flipped, kept)| flipped * kept).collect()
}

/// Distribution of a linear code whose decoder corrects up to `radius` flips and detects all other patterns.
///
/// `code_words` has the number of code words of each weight. `detected_right` has, for each number of flips, the number of
/// patterns that are detected and leave the data right. A pattern passes as clean if it is a code word. It is corrected if
/// it is at a distance of at most `radius` from a code word, which is then the only one. No pattern of check bits alone is
/// a code word, so a corrected pattern leaves the data right only if it has at most `radius` flips.
pub(crate) fn bounded_distance_outcomes(
    code_words: &[u128],
    radius: usize,
    detected_right: &[u128],
) -> OutcomeDistribution {
    let bits = code_words.len() - 1;
    let distribution = detected_right.iter().enumerate().map(|(flips, &detected_right)| {
        let total = choose(bits, flips);
        let corrected: u128 = (1..=radius)
            .flat_map(|more| code_words.iter().enumerate().map(move |(weight, &words)| (more, weight, words)))
            .map(|(more, weight, words)| words * patterns_at(bits, weight, more, flips))
            .sum();
        let clean = code_words[flips];
        let clean_right = u128::from(flips == 0);
        let corrected_right = if (1..=radius).contains(&flips) { total } else { 0 };
        Outcomes {
            clean_right,
            corrected_right,
            corrected_wrong: corrected - corrected_right,
            detected_right,
            detected_wrong: total - clean - corrected - detected_right,
            clean_wrong: clean - clean_right,
        }
    });
    OutcomeDistribution::new(distribution.collect())
}

/// Number of patterns of `flips` flips at distance `distance` from a pattern of `weight` flips, in a word of `bits` bits.
fn patterns_at(bits: usize, weight: usize, distance: usize, flips: usize) -> u128 {
    let back = (weight + distance).wrapping_sub(flips);
    if back > 2 * distance || back % 2 == 1 {
        return 0;
    }
    let back = back / 2;
    choose(weight, back) * choose(bits - weight, distance - back)
}

/// Binomial coefficient C(n, k) for n up to 128.
pub(crate) fn choose(n: usize, k: usize) -> u128 {
    PASCAL[n].get(k).copied().unwrap_or(0)
}

/// Pascal's triangle.
static PASCAL: LazyLock<Vec<Vec<u128>>> = LazyLock::new(|| {
    let mut rows = vec![vec![1u128]];
    for n in 0..128 {
        let last: &Vec<u128> = &rows[n];
        let between = last.windows(2).map(|pair| pair[0] + pair[1]);
        rows.push(std::iter::once(1).chain(between).chain([1]).collect());
    }
    rows
});

/// Distributions of all words of a memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryDistribution {
    /// Distribution of each class, and the number of its words.
    classes: Vec<(OutcomeDistribution, u64)>,
}

impl MemoryDistribution {
    /// Distributions of the words that store `plane`, padding included; `None` for a protection without a closed form, or with
    /// other regions than weights.
    pub fn of(protection: &dyn Protection, plane: &[i8]) -> Option<Self> {
        let mut classes = Vec::new();
        for region in protection.regions(plane) {
            region.first_weight?;
            classes.extend(Self::of_region(region.code.as_deref().unwrap_or(protection), &region.bytes)?);
        }
        Some(Self { classes })
    }

    fn of_region(code: &dyn Protection, bytes: &[i8]) -> Option<Vec<(OutcomeDistribution, u64)>> {
        let distributions = code.outcome_distributions()?;
        let mut words = vec![0; distributions.len()];
        match distributions.len() {
            1 => words[0] = (bytes.len() / code.word().weights) as u64,
            _ => {
                for weights in bytes.chunks_exact(code.word().weights) {
                    words[code.class_of(weights)] += 1;
                }
            }
        }
        Some(distributions.into_iter().zip(words).collect())
    }

    /// Expected numbers of words by outcome in one trial; words without a flip are clean and right.
    pub fn expected(&self, rate: f64) -> Outcomes<f64> {
        let of = |(distribution, words): &(OutcomeDistribution, u64)| {
            distribution.probabilities(rate).map(|p| *words as f64 * p)
        };
        self.classes.iter().map(of).fold(Outcomes::default(), Add::add)
    }

    /// Expected number of words with a flipped bit in one trial.
    pub fn words_hit(&self, rate: f64) -> f64 {
        let hit = |bits: usize| -libm::expm1(bits as f64 * libm::log1p(-rate));
        self.classes.iter().map(|(distribution, words)| *words as f64 * hit(distribution.bits())).sum()
    }

    /// Probability that some word is read wrong in a trial: 1 - (1 - P_1)(1 - P_2) ... over all words.
    pub fn changed_probability(&self, rate: f64) -> f64 {
        // A class without words adds nothing, even where its words are always wrong.
        let classes = self.classes.iter().filter(|(_, words)| *words > 0);
        -libm::expm1(
            -classes.map(|(distribution, words)| *words as f64 * distribution.hazard(rate)).sum::<f64>(),
        )
    }
}
