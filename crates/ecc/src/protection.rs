use std::fmt::Debug;
use std::ops::AddAssign;

use crate::{Constraint, MemoryImage, MemoryLayout, Violation};

/// Size of a protection's code word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WordShape {
    /// Consecutive weights in a word: word `k` holds weights `k * weights ..` of the plane. Divides 8.
    pub weights: usize,
    /// Cells of a word in the check plane: word `k` holds cells `k * check_bits ..` of it.
    pub check_bits: usize,
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

impl AddAssign<WordStatus> for StatusCounts {
    fn add_assign(&mut self, status: WordStatus) {
        match status {
            WordStatus::Clean => self.clean += 1,
            WordStatus::Corrected => self.corrected += 1,
            WordStatus::Detected => self.detected += 1,
        }
    }
}

/// A way to keep int8 weights in memory that flips bits.
pub trait Protection: Debug + Send + Sync {
    /// The name used in plans and records.
    fn id(&self) -> &'static str;

    /// Everything that defines the code, on one line; enters the identity of records. Two protections
    /// with equal parameters store and read the same bits.
    fn parameters(&self) -> String;

    /// Size of a code word.
    fn word(&self) -> WordShape;

    /// Which weights can be stored.
    fn constraint(&self) -> Constraint;

    /// Stores weights that satisfy the constraint: a whole number of blocks.
    fn encode_plane(&self, plane: &[i8]) -> MemoryImage;

    /// Reads code word `word` of a memory, as the network would get it, into `weights`
    /// (`self.word().weights` of them).
    ///
    /// # Panics
    /// When there is no such word.
    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus;

    /// Stores the weights of a network ([`MemoryLayout::pack`]).
    ///
    /// # Errors
    /// The first weight that the constraint forbids.
    fn encode(&self, layout: &MemoryLayout, plane: &[i8]) -> Result<MemoryImage, Violation> {
        self.constraint().check(layout, plane)?;
        Ok(self.encode_plane(plane))
    }

    /// Reads the whole memory into `plane`.
    ///
    /// # Panics
    /// When the plane has another length than the memory.
    fn decode(&self, image: &MemoryImage, plane: &mut [i8]) -> StatusCounts {
        assert_eq!(plane.len(), image.data().len(), "the plane and the memory differ in length");
        let mut counts = StatusCounts::default();
        for (word, weights) in plane.chunks_exact_mut(self.word().weights).enumerate() {
            counts += self.decode_word(image, word, weights);
        }
        counts
    }
}
