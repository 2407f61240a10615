use super::{blocks, bytes};
use crate::fold::weight_parities;
use crate::{Constraint, MemoryImage, Protection, WordShape, WordStatus};

/// One even-parity bit a weight; a weight whose parity does not match is read as zero (the paper's
/// "Parity Zero"). Check cell i belongs to weight i.
#[derive(Clone, Copy, Debug)]
pub struct ParityZero;

impl Protection for ParityZero {
    fn id(&self) -> &'static str {
        "parity-zero"
    }

    fn parameters(&self) -> String {
        "even".into()
    }

    fn word(&self) -> WordShape {
        WordShape { weights: 1, check_bits: 1 }
    }

    fn constraint(&self) -> Constraint {
        Constraint::NONE
    }

    fn encode_plane(&self, plane: &[i8]) -> MemoryImage {
        MemoryImage::new(bytes(plane), blocks(plane).map(weight_parities).collect())
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        let weight = image.data()[word];
        let parity_bit = image.check()[word / 8] >> (word % 8) & 1;
        if (weight.count_ones() as u8 ^ parity_bit) & 1 == 0 {
            weights[0] = weight.cast_signed();
            WordStatus::Clean
        } else {
            weights[0] = 0;
            WordStatus::Detected
        }
    }
}
