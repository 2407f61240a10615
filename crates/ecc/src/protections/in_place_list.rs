use super::InPlace;
use crate::exception::Exception;
use crate::{BLOCK, Constraint, Kernel, MemoryImage, Protection, SecDed, WordShape, WordStatus};

/// `in-place-64-57` for any weights: those that its range forbids are clamped in the array, and named with their values in
/// an exception list beside it.
#[derive(Clone, Debug)]
pub struct InPlaceList(InPlace);

impl InPlaceList {
    /// With words read by in-place protection.
    pub fn new(kernel: Kernel) -> Self {
        Self(InPlace::new(kernel))
    }
}

impl Protection for InPlaceList {
    fn id(&self) -> &'static str {
        "in-place-list"
    }

    fn parameters(&self) -> String {
        format!(
            "{}, large weights clamped and written over by a list of index, 32 bits, and value, columns {} due keep",
            self.0.parameters(),
            SecDed::code().columns_hex()
        )
    }

    fn word(&self) -> WordShape {
        self.0.word()
    }

    fn constraint(&self) -> Constraint {
        Constraint::NONE
    }

    fn as_stored(&self, mut weights: [i8; BLOCK]) -> [i8; BLOCK] {
        self.0.constraint().throttle(&mut weights);
        weights
    }

    fn exceptions(&self, plane: &[i8]) -> Vec<Exception> {
        Exception::all_of(self, plane)
    }

    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize) {
        self.0.encode_block(&self.as_stored(*weights), image, block);
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        self.0.decode_word(image, word, weights)
    }

    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64 {
        self.0.syndrome(image, word)
    }
}
