use super::word;
use crate::{BLOCK, Constraint, MemoryImage, OutcomeLaw, Protection, WordShape, WordStatus};

/// The least significant bit of a weight makes its parity even; a weight whose parity is odd is read as zero (Qin et
/// al., "Robustness of Neural Networks against Storage Media Errors", 2017). Lossy: the network reads the parity as the
/// bit it stands in for, so half of all weights are off by one.
#[derive(Clone, Copy, Debug)]
pub struct WeightNulling;

impl Protection for WeightNulling {
    fn id(&self) -> &'static str {
        "weight-nulling"
    }

    fn parameters(&self) -> String {
        "even parity in bit 0".into()
    }

    fn word(&self) -> WordShape {
        WordShape { weights: 1, check_bits: 0 }
    }

    fn constraint(&self) -> Constraint {
        Constraint::NONE
    }

    fn as_stored(&self, weights: [i8; BLOCK]) -> [i8; BLOCK] {
        weights.map(|weight| weight ^ (weight.count_ones() & 1) as i8)
    }

    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize) {
        image.set_block(block, word(&self.as_stored(*weights)));
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        if self.syndrome(image, word) == 0 {
            weights[0] = image.data()[word].cast_signed();
            WordStatus::Clean
        } else {
            weights[0] = 0;
            WordStatus::Detected
        }
    }

    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64 {
        u64::from(image.data()[word].count_ones() & 1)
    }

    /// Two: of weights that are stored as something else than zero, and of zeros, which a mismatch leaves as they are.
    fn outcome_laws(&self) -> Option<Vec<OutcomeLaw>> {
        Some([2, 0].map(|weight| OutcomeLaw::of_weight(self, weight)).into())
    }

    fn law_of(&self, weights: &[i8]) -> usize {
        usize::from(self.as_stored([weights[0]; BLOCK])[0] == 0)
    }
}
