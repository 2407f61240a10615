use super::bytes;
use crate::{Constraint, MemoryImage, Protection, WordShape, WordStatus};

/// No protection: a weight is its own word, and every flip is silent.
#[derive(Clone, Copy, Debug)]
pub struct Faulty;

impl Protection for Faulty {
    fn id(&self) -> &'static str {
        "faulty"
    }

    fn parameters(&self) -> String {
        String::new()
    }

    fn word(&self) -> WordShape {
        WordShape { weights: 1, check_bits: 0 }
    }

    fn constraint(&self) -> Constraint {
        Constraint::NONE
    }

    fn encode_plane(&self, plane: &[i8]) -> MemoryImage {
        MemoryImage::new(bytes(plane), Vec::new())
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        weights[0] = image.data()[word].cast_signed();
        WordStatus::Clean
    }
}
