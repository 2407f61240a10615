use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::AddAssign;

use crate::{
    BLOCK, Constraint, Dense, DuePolicy, MemoryImage, MemoryLayout, OutcomeDistribution, Region, Violation,
};

/// Size of a protection's code word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WordShape {
    /// Number of consecutive weights in a word, a divisor of 8. Word k holds the plane's weights from `k * weights` on.
    pub weights: usize,
    /// Number of check bits of a word in the check plane. Word k has the bits from `k * check_bits` on.
    pub check_bits: usize,
}

impl WordShape {
    /// Number of check bits for a plane of `weights` weights.
    pub fn check_bits_of(self, weights: usize) -> usize {
        weights / self.weights * self.check_bits
    }
}

/// Result of a decoder, which does not know the stored word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordStatus {
    /// The received word is a code word.
    Clean,
    /// The received word is no code word, and is changed to the nearest one.
    Corrected,
    /// The received word is no code word, and is declared uncorrectable (DUE).
    Detected,
}

/// Number of words that were read with each status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusCounts {
    /// Number of clean words.
    pub clean: u64,
    /// Number of corrected words.
    pub corrected: u64,
    /// Number of words declared uncorrectable.
    pub detected: u64,
}

impl StatusCounts {
    /// Counts of `words` words, of which those without another status are clean.
    pub(crate) fn with_clean(self, words: u64) -> Self {
        Self { clean: words - self.corrected - self.detected, ..self }
    }
}

impl AddAssign<WordStatus> for StatusCounts {
    fn add_assign(&mut self, status: WordStatus) {
        match status {
            WordStatus::Clean => self.clean += 1,
            WordStatus::Corrected => self.corrected += 1,
            WordStatus::Detected => self.detected += 1,
        }
    }
}

impl AddAssign for StatusCounts {
    fn add_assign(&mut self, other: Self) {
        self.clean += other.clean;
        self.corrected += other.corrected;
        self.detected += other.detected;
    }
}

/// A way to keep int8 weights in memory that flips bits.
///
/// A memory without faults reads back as [`Protection::as_stored`] says: most protections return exactly the weights that
/// were stored. *Lossy* protections keep something else in the least significant bits of a weight, and return weights
/// close to those that were stored.
pub trait Protection: Debug + Send + Sync {
    /// Name in experiments and records.
    fn id(&self) -> &str;

    /// Definition of the code, on one line, without the policy on detected words.
    fn definition(&self) -> String;

    /// Definition of the code and its policy on detected words, where it has a choice of policies. The text enters the
    /// identity of records: two protections with equal parameters store and read the same bits.
    fn parameters(&self) -> String {
        match self.due_policies() {
            [] => self.definition(),
            _ => format!("{} due {}", self.definition(), self.due_policy().id()),
        }
    }

    /// Size of a code word.
    fn word(&self) -> WordShape;

    /// Range of the weights that can be stored.
    fn constraint(&self) -> Constraint;

    /// Refuses a plane with a weight that cannot be stored.
    ///
    /// # Errors
    /// The first such weight.
    fn check(&self, layout: &MemoryLayout, plane: &[i8]) -> Result<(), Violation> {
        self.constraint().check(layout, plane)
    }

    /// Policies on detected words that a user can choose, as `id+policy` ([`crate::by_id`]). Empty if the protection
    /// detects nothing, or if the reading of detected words is part of its definition.
    fn due_policies(&self) -> &'static [DuePolicy] {
        &[]
    }

    /// Policy by which detected words are read.
    fn due_policy(&self) -> DuePolicy {
        DuePolicy::Keep
    }

    /// Weights that a memory without faults returns for a block of `weights` that satisfy the constraint. Both blocks are
    /// stored as the same bits. Weights of zero stay zero, so padding loses nothing.
    fn as_stored(&self, weights: [i8; BLOCK]) -> [i8; BLOCK] {
        weights
    }

    /// Replaces a plane that satisfies the constraint, a whole number of blocks, by the weights that a memory without faults
    /// returns for it: [`Protection::as_stored`] of every block. A protection that handles many blocks faster than one
    /// after the other has its own form.
    fn as_stored_plane(&self, plane: &mut [i8]) {
        plane.as_chunks_mut().0.iter_mut().for_each(|block| *block = self.as_stored(*block));
    }

    /// True if the network reads other weights than `plane` from a memory without faults.
    fn loses(&self, plane: &[i8]) -> bool {
        let mut as_stored = plane.to_vec();
        self.as_stored_plane(&mut as_stored);
        as_stored != plane
    }

    /// True if the protection changes some weights by storing them: blocks of eight equal weights tell, for every value
    /// that it can store.
    fn is_lossy(&self) -> bool {
        let constraint = self.constraint();
        let storable = (i8::MIN..=i8::MAX)
            .filter(|&value| (0..BLOCK).all(|position| constraint.allows(position, value)))
            .flat_map(|value| [value; BLOCK]);
        self.loses(&storable.collect::<Vec<i8>>())
    }

    /// Regions of the memory that holds a plane of weights; the first ones hold a byte for each weight.
    ///
    /// The bytes of the regions that hold weights ([`Region::first_weight`]) are the data plane of a fault pattern, and ascend.
    /// Their check bits and all bits of the other regions, block after block, the 64 bits of a block before its check bits,
    /// are the check plane.
    fn regions<'p>(&self, plane: &'p [i8]) -> Vec<Region<'p>> {
        vec![Region::weights(plane)]
    }

    /// Weights of which the network reads another value than the stored one, by index in the plane. If all regions hold
    /// weights, these are the wrong bytes, and nobody asks.
    ///
    /// `stored` has the bytes of each region, `wrong` for each region the bytes that its words return with another
    /// value, by index in the region.
    fn weights_read(&self, stored: &[&[i8]], wrong: &[BTreeMap<usize, i8>]) -> BTreeMap<usize, i8> {
        let _ = stored;
        wrong[0].clone()
    }

    /// Stores eight weights that satisfy the constraint as block `block` of a memory.
    ///
    /// # Panics
    /// When there is no such block.
    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize);

    /// Reads code word `word` of a memory, as the network would get it, into `weights`
    /// (`self.word().weights` of them).
    ///
    /// # Panics
    /// When there is no such word.
    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus;

    /// Reads some code words of a memory, as [`Protection::decode_word`] reads each: word `words[i]` into the i-th part of
    /// `weights`, with its status in `statuses[i]`. A protection that reads many words faster than one after the other has
    /// its own form. Trials read all words that they hit by this method, some thousands at a time, ascending.
    ///
    /// # Panics
    /// When there is no such word, or the lengths do not fit.
    fn decode_words(
        &self,
        image: &MemoryImage,
        words: &[usize],
        weights: &mut [i8],
        statuses: &mut [WordStatus],
    ) {
        let size = self.word().weights;
        assert_eq!(
            (weights.len(), statuses.len()),
            (size * words.len(), words.len()),
            "places for the words"
        );
        for ((&word, weights), status) in words.iter().zip(weights.chunks_exact_mut(size)).zip(statuses) {
            *status = self.decode_word(image, word, weights);
        }
    }

    /// Returns the syndrome of code word `word`, bit j for row j of the parity-check matrix; 0 for a code word, and for a
    /// protection without check bits.
    ///
    /// # Panics
    /// When there is no such word.
    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64;

    /// Returns the distribution of outcomes for each class of stored words ([`Protection::class_of`]); `None` if no closed
    /// form is known.
    fn outcome_distributions(&self) -> Option<Vec<OutcomeDistribution>> {
        None
    }

    /// Returns the class of the word that stores `weights`, an index into the distributions.
    fn class_of(&self, weights: &[i8]) -> usize {
        let _ = weights;
        0
    }

    /// Returns loops over whole memories, if there are some, with the results of the methods for blocks and words.
    fn dense(&self) -> Option<Dense<'_>> {
        None
    }

    /// Stores weights that satisfy the constraint, a whole number of blocks, in a memory of their size
    /// ([`MemoryImage::blank`]). A protection that stores many blocks faster than one after the other has its own form.
    /// Trials store all blocks that they hit by this method, some thousands at a time.
    ///
    /// # Panics
    /// When the memory is of another size.
    fn encode_plane(&self, plane: &[i8], image: &mut MemoryImage) {
        assert_eq!(plane.len(), image.data().len(), "the plane and the memory differ in length");
        if let Some(dense) = self.dense() {
            return dense.encode(self, plane, image);
        }
        for (block, weights) in plane.as_chunks().0.iter().enumerate() {
            self.encode_block(weights, image, block);
        }
    }

    /// Reads the whole memory into `plane`.
    ///
    /// # Panics
    /// When the plane has another length than the memory.
    fn decode(&self, image: &MemoryImage, plane: &mut [i8]) -> StatusCounts {
        assert_eq!(plane.len(), image.data().len(), "the plane and the memory differ in length");
        match self.dense() {
            Some(dense) => dense.decode(self, image, plane),
            None => read_plane(self, image, plane),
        }
    }

    /// Returns the counts of [`Protection::decode`] without the weights, as a scrubber's pass over the memory does.
    fn verify(&self, image: &MemoryImage) -> StatusCounts {
        match self.dense() {
            Some(dense) => dense.verify(self, image),
            None => self.decode(image, &mut vec![0; image.data().len()]),
        }
    }
}

/// Words that [`read_plane`] reads together.
const READ_TOGETHER: usize = 1 << 13;

/// Reads a whole memory, many words at a time.
fn read_plane<P: Protection + ?Sized>(protection: &P, image: &MemoryImage, plane: &mut [i8]) -> StatusCounts {
    let size = protection.word().weights;
    let mut counts = StatusCounts::default();
    for (first, weights) in (0..).step_by(READ_TOGETHER).zip(plane.chunks_mut(READ_TOGETHER * size)) {
        let words: Vec<usize> = (first..).take(weights.len() / size).collect();
        let mut statuses = vec![WordStatus::Clean; words.len()];
        protection.decode_words(image, &words, weights, &mut statuses);
        statuses.into_iter().for_each(|status| counts += status);
    }
    counts
}

/// Reads words from block `first` on, one by one, until `weights` is full.
pub(crate) fn read_words<P: Protection + ?Sized>(
    protection: &P,
    image: &MemoryImage,
    first: usize,
    weights: &mut [i8],
) -> StatusCounts {
    let size = protection.word().weights;
    let mut counts = StatusCounts::default();
    for (word, weights) in (first * BLOCK / size..).zip(weights.chunks_exact_mut(size)) {
        counts += protection.decode_word(image, word, weights);
    }
    counts
}
