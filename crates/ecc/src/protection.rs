use std::fmt::Debug;
use std::ops::AddAssign;

use crate::{
    BLOCK, Constraint, Dense, DuePolicy, Exception, MemoryImage, MemoryLayout, OutcomeLaw, Violation,
};

/// Size of a protection's code word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WordShape {
    /// Consecutive weights in a word: word `k` holds weights `k * weights ..` of the plane. Divides 8.
    pub weights: usize,
    /// Cells of a word in the check plane: word `k` holds cells `k * check_bits ..` of it.
    pub check_bits: usize,
}

impl WordShape {
    /// Cells of the check plane for a plane of `weights` weights.
    pub fn check_bits_of(self, weights: usize) -> usize {
        weights / self.weights * self.check_bits
    }
}

/// What a decoder can say of a word it has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordStatus {
    /// It is a code word.
    Clean,
    /// It was not, and was changed to the nearest one.
    Corrected,
    /// It was not, and is declared uncorrectable (DUE).
    Detected,
}

/// How many words were read with each status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusCounts {
    /// Words read as [`WordStatus::Clean`].
    pub clean: u64,
    /// Words read as [`WordStatus::Corrected`].
    pub corrected: u64,
    /// Words read as [`WordStatus::Detected`].
    pub detected: u64,
}

impl StatusCounts {
    /// The same of `words` words, of which all that are not counted otherwise are clean.
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
/// A memory without faults reads back as [`Protection::as_stored`] says: for most protections as exactly the weights
/// that it was given, and for *lossy* ones, which keep something else where a weight's least significant bits were, as
/// weights close to them.
pub trait Protection: Debug + Send + Sync {
    /// The name used in plans and records.
    fn id(&self) -> &str;

    /// Everything that defines the code, on one line; enters the identity of records. Two protections
    /// with equal parameters store and read the same bits.
    fn parameters(&self) -> String;

    /// Size of a code word.
    fn word(&self) -> WordShape;

    /// The cells of a word that faults can reach, which are the stored cells that count: all of them, unless the check
    /// plane is a device of the simulation that is out of reach.
    fn exposed(&self) -> WordShape {
        self.word()
    }

    /// Which weights can be stored.
    fn constraint(&self) -> Constraint;

    /// The policies on detected words under which it can be had, as `id+policy` ([`crate::by_id`]); none where what
    /// they read as is part of the protection, and where there are none.
    fn due_policies(&self) -> &'static [DuePolicy] {
        &[]
    }

    /// What a memory without faults reads back as where a block of `weights` was stored, which satisfy the constraint.
    /// They are stored alike: a block of these weights and one of those are the same cells. Weights of zero stay zero,
    /// so that padding loses nothing.
    fn as_stored(&self, weights: [i8; BLOCK]) -> [i8; BLOCK] {
        weights
    }

    /// The weights of a plane of whole blocks that [`Protection::as_stored`] changes and that are not lost, because they
    /// are listed beside the array, ascending: once its words are read, each entry is, in order, and overwrites the weight
    /// that it names then, right or wrong; one that names padding, or nothing, overwrites none. The list takes the place
    /// of the check plane: the words keep no check cells beside the array. Empty where nothing is listed.
    fn exceptions(&self, plane: &[i8]) -> Vec<Exception> {
        let _ = plane;
        Vec::new()
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

    /// What the decoder computes from code word `word` to find errors, bit j for row j of the parity-check
    /// matrix: 0 when it finds none. A protection without check bits has nothing to compute.
    ///
    /// # Panics
    /// When there is no such word.
    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64;

    /// What flips do to a word, in closed form: a law for each class of stored words, which
    /// [`Protection::law_of`] tells apart. `None` when there is no closed form, or nobody has worked it out;
    /// what needs it then says so.
    fn outcome_laws(&self) -> Option<Vec<OutcomeLaw>> {
        None
    }

    /// Which of the laws holds for a word in which `weights` were stored; the first when there is one.
    fn law_of(&self, weights: &[i8]) -> usize {
        let _ = weights;
        0
    }

    /// Loops that store and read whole memories as the methods for blocks and words do, and faster.
    fn dense(&self) -> Option<Dense> {
        None
    }

    /// Stores the weights of a network ([`MemoryLayout::pack`]).
    ///
    /// # Errors
    /// The first weight that the constraint forbids.
    fn encode(&self, layout: &MemoryLayout, plane: &[i8]) -> Result<MemoryImage, Violation> {
        self.constraint().check(layout, plane)?;
        let mut image = MemoryImage::blank(self.word(), plane.len());
        self.encode_plane(plane, &mut image);
        Ok(image)
    }

    /// Stores weights that satisfy the constraint, a whole number of blocks, in a memory of their size
    /// ([`MemoryImage::blank`]).
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
            None => read_words(self, image, 0, plane),
        }
    }

    /// What [`Protection::decode`] would say, without the weights: a scrubber's pass over the memory.
    fn verify(&self, image: &MemoryImage) -> StatusCounts {
        match self.dense() {
            Some(dense) => dense.verify(self, image),
            None => self.decode(image, &mut vec![0; image.data().len()]),
        }
    }
}

/// Reads as many words as `weights` has place for, from block `first`, one by one.
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
