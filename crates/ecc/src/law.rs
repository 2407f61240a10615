//! What reading a word comes to, in closed form.
//!
//! A decoder is a function of the word it reads, so of the 2^n ways in which the n cells of a word can flip each ends
//! in one outcome, and the outcomes can be counted. Where flips are independent, a pattern of k flips has
//! probability p^k (1 - p)^(n - k), and the counts by k are all that the probability of an outcome needs. They are
//! sums of positive terms, exact to a few units in the last place at any rate, 1e-12 included.
//!
//! For a linear code the outcome depends on the flips alone, and the counts come from the numbers of its code words by
//! weight ([`crate::LinearCode::outcome_law`]). Where it depends on the stored weights too,
//! a protection sorts its words into classes with a law each ([`Protection::outcome_laws`]).
//!
//! Logarithms come from `libm`, so that probabilities are the same on every machine.

use std::ops::Add;
use std::sync::LazyLock;

use crate::{BLOCK, MemoryImage, Protection, WordStatus};

/// Something for each way in which reading a word can end: numbers of patterns, probabilities, numbers of words.
///
/// *Right* and *wrong* speak of the weights that are read, beside what a memory without faults would read back
/// ([`Protection::as_stored`]): check bits are no part of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes<T> {
    /// Called clean, and read as stored.
    pub clean_right: T,
    /// Corrected, and read as stored (CE).
    pub corrected_right: T,
    /// Corrected to something that was never stored (miscorrected).
    pub corrected_wrong: T,
    /// Declared uncorrectable although the weights are read as stored.
    pub detected_right: T,
    /// Declared uncorrectable, and read wrong.
    pub detected_wrong: T,
    /// Called clean although it is read wrong (silent, SDC).
    pub clean_wrong: T,
}

impl<T: Copy + Add<Output = T>> Outcomes<T> {
    /// All that is read wrong.
    pub fn wrong(self) -> T {
        self.corrected_wrong + self.detected_wrong + self.clean_wrong
    }

    /// All that is declared uncorrectable (DUE).
    pub fn detected(self) -> T {
        self.detected_right + self.detected_wrong
    }

    /// Everything.
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
    /// The same patterns where something else makes the word wrong.
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
    /// That of a word read with this status, right or wrong.
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

/// How many patterns of flips in a word's stored cells, check cells included, end in each outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeLaw {
    /// By number of flips, from 0 to the number of cells.
    patterns: Vec<Outcomes<u128>>,
}

impl OutcomeLaw {
    /// The law with these numbers of patterns by number of flips, at most 128.
    ///
    /// # Panics
    /// When they are not all patterns: C(n, k) of k flips in n cells.
    pub(crate) fn new(patterns: Vec<Outcomes<u128>>) -> Self {
        let cells = patterns.len() - 1;
        for (flips, outcomes) in patterns.iter().enumerate() {
            assert_eq!(outcomes.all(), choose(cells, flips), "patterns of {flips} flips in {cells} cells");
        }
        Self { patterns }
    }

    /// The law of a word with so many cells more, of which a flip makes it wrong and changes nothing else.
    pub(crate) fn with_unprotected(&self, more: usize) -> Self {
        let mut patterns = vec![Outcomes::default(); self.cells() + more + 1];
        for (flips, &outcomes) in self.patterns.iter().enumerate() {
            for beside in 0..=more {
                let all = outcomes.map(|count| count * choose(more, beside));
                let sum = &mut patterns[flips + beside];
                *sum = *sum + if beside == 0 { all } else { all.all_wrong() };
            }
        }
        Self::new(patterns)
    }

    /// The law of words of one weight in which `weight` was stored, counted by reading such a word under every pattern
    /// of flips.
    ///
    /// # Panics
    /// When the protection's words hold several weights, or have more than 20 cells, which would take too long.
    pub fn of_weight(protection: &dyn Protection, weight: i8) -> Self {
        let shape = protection.word();
        let cells = 8 + protection.exposed().check_bits;
        assert!(shape.weights == 1 && cells <= 20, "{} has too large words to count", protection.id());
        let as_stored = protection.as_stored([weight; BLOCK])[0];
        let mut patterns = vec![Outcomes::default(); cells + 1];
        let mut image = MemoryImage::blank(shape, BLOCK);
        for flips in 0..1u32 << cells {
            protection.encode_block(&[weight; BLOCK], &mut image, 0);
            for cell in (0..cells as u64).filter(|cell| flips >> cell & 1 == 1) {
                match cell.checked_sub(8) {
                    None => image.flip_data(cell),
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

    /// Cells of a word.
    pub fn cells(&self) -> usize {
        self.patterns.len() - 1
    }

    /// Numbers of patterns by number of flips, from 0 to the number of cells.
    pub fn patterns(&self) -> &[Outcomes<u128>] {
        &self.patterns
    }

    /// Probabilities of the outcomes when each cell flips with probability `rate`, independently.
    pub fn probabilities(&self, rate: f64) -> Outcomes<f64> {
        let of_pattern = pattern_probabilities(self.cells(), rate);
        let terms = self.patterns.iter().zip(of_pattern);
        terms.fold(Outcomes::default(), |sum, (counts, p)| sum + counts.map(|count| count as f64 * p))
    }

    /// Probability that a word is read wrong with exactly so many flips, for each number of them. Their sum is that of
    /// [`Outcomes::wrong`].
    pub fn wrong_by_flips(&self, rate: f64) -> Vec<f64> {
        let of_pattern = pattern_probabilities(self.cells(), rate);
        self.patterns.iter().zip(of_pattern).map(|(counts, p)| counts.wrong() as f64 * p).collect()
    }

    /// -ln(1 - P) of the probability P that a word is read wrong: such numbers add up over independent words.
    pub fn hazard(&self, rate: f64) -> f64 {
        // A sum that is above 1 by its rounding is 1.
        -libm::log1p(-self.probabilities(rate).wrong().min(1.0))
    }
}

/// p^k (1 - p)^(n - k) for k from 0 to n, by multiplication alone.
fn pattern_probabilities(cells: usize, rate: f64) -> Vec<f64> {
    assert!((0.0..=1.0).contains(&rate), "a bit error rate is a probability, got {rate}");
    let powers = |base: f64| {
        std::iter::successors(Some(1.0), move |power| Some(power * base))
            .take(cells + 1)
            .collect::<Vec<f64>>()
    };
    let (flipped, kept) = (powers(rate), powers(1.0 - rate));
    flipped.into_iter().zip(kept.into_iter().rev()).map(|(flipped, kept)| flipped * kept).collect()
}

/// What flips do to a word of a linear code with so many code words of each weight, whose decoder corrects up to `radius`
/// flips and detects all else; of patterns by number of flips, `detected_right` are detected and leave the data right.
///
/// Flips pass when they are a code word, and are corrected when they are a code word and up to radius flips more, in one way
/// only. Flips of check cells alone are no code word, so corrected flips leave the data right only when they are
/// within the radius themselves.
pub(crate) fn bounded_distance_law(
    code_words: &[u128],
    radius: usize,
    detected_right: &[u128],
) -> OutcomeLaw {
    let cells = code_words.len() - 1;
    let law = detected_right.iter().enumerate().map(|(flips, &detected_right)| {
        let total = choose(cells, flips);
        let corrected: u128 = (1..=radius)
            .flat_map(|more| code_words.iter().enumerate().map(move |(weight, &words)| (more, weight, words)))
            .map(|(more, weight, words)| words * patterns_at(cells, weight, more, flips))
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
    OutcomeLaw::new(law.collect())
}

/// Patterns of `flips` flips at distance `distance` from one of `weight` flips, all of `cells` cells.
fn patterns_at(cells: usize, weight: usize, distance: usize, flips: usize) -> u128 {
    let back = (weight + distance).wrapping_sub(flips);
    if back > 2 * distance || back % 2 == 1 {
        return 0;
    }
    let back = back / 2;
    choose(weight, back) * choose(cells - weight, distance - back)
}

/// Subsets of k of n; n is at most 128.
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

/// The laws of all words of a memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryLaw {
    /// The classes' laws, and how many words follow each.
    classes: Vec<(OutcomeLaw, u64)>,
}

impl MemoryLaw {
    /// The laws of the words that store `plane`, padding included; `None` when the protection has no closed form.
    pub fn of(protection: &dyn Protection, plane: &[i8]) -> Option<Self> {
        let laws = protection.outcome_laws()?;
        let mut words = vec![0; laws.len()];
        match laws.len() {
            1 => words[0] = (plane.len() / protection.word().weights) as u64,
            _ => {
                for weights in plane.chunks_exact(protection.word().weights) {
                    words[protection.law_of(weights)] += 1;
                }
            }
        }
        Some(Self { classes: laws.into_iter().zip(words).collect() })
    }

    /// Expected numbers of words by outcome in one trial; words without a flip are clean and right.
    pub fn expected(&self, rate: f64) -> Outcomes<f64> {
        let of = |(law, words): &(OutcomeLaw, u64)| law.probabilities(rate).map(|p| *words as f64 * p);
        self.classes.iter().map(of).fold(Outcomes::default(), Add::add)
    }

    /// Expected number of words with a flipped cell in one trial.
    pub fn words_hit(&self, rate: f64) -> f64 {
        let hit = |cells: usize| -libm::expm1(cells as f64 * libm::log1p(-rate));
        self.classes.iter().map(|(law, words)| *words as f64 * hit(law.cells())).sum()
    }

    /// Probability that some word is read wrong in a trial: 1 - (1 - P_1)(1 - P_2) ... over all words.
    pub fn changed_probability(&self, rate: f64) -> f64 {
        // A class without words adds nothing, even where its words are always wrong.
        let classes = self.classes.iter().filter(|(_, words)| *words > 0);
        -libm::expm1(-classes.map(|(law, words)| *words as f64 * law.hazard(rate)).sum::<f64>())
    }
}
