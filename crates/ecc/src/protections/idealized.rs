use super::{store, word};
use crate::law::choose;
use crate::{BLOCK, Constraint, MemoryImage, OutcomeLaw, Outcomes, Protection, WordShape, WordStatus};

/// What the paper's released simulation does for `ecc` and `in-place`: a block of eight weights with few enough flips is
/// restored, any other is read as it was received, and is detected. One flip for a SEC-DED code, two for a DEC-TED code.
///
/// Nobody can build it. It knows the original, here from a copy in the check plane that no fault reaches; it exposes 64
/// cells where `secded-72-64` has 72; more flips than it corrects never mislead it; and flips of bit 6 count, which
/// `in-place-64-57` rebuilds from bit 7. It is there to show how much of a published result rests on that.
#[derive(Clone, Debug)]
pub struct Idealized {
    id: &'static str,
    corrects: u32,
}

impl Idealized {
    /// `idealized-64`, which restores blocks with one flip.
    pub const SINGLE: Self = Self { id: "idealized-64", corrects: 1 };
    /// `idealized-64-t2`, which restores blocks with one flip or two.
    pub const DOUBLE: Self = Self { id: "idealized-64-t2", corrects: 2 };
}

impl Protection for Idealized {
    fn id(&self) -> &'static str {
        self.id
    }

    fn parameters(&self) -> String {
        format!("{} of 64 cells restored from an immune copy, due keep", self.corrects)
    }

    fn word(&self) -> WordShape {
        WordShape { weights: BLOCK, check_bits: 64 }
    }

    fn exposed(&self) -> WordShape {
        WordShape { check_bits: 0, ..self.word() }
    }

    fn constraint(&self) -> Constraint {
        Constraint::NONE
    }

    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize) {
        image.set_block(block, word(weights));
        image.set_check_word(block, 64, word(weights));
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        let flips = self.syndrome(image, word);
        let restored = flips.count_ones() <= self.corrects;
        store(if restored { image.block(word) ^ flips } else { image.block(word) }, weights);
        match restored {
            _ if flips == 0 => WordStatus::Clean,
            true => WordStatus::Corrected,
            false => WordStatus::Detected,
        }
    }

    /// The flips themselves.
    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64 {
        image.block(word) ^ image.check_word(word, 64)
    }

    fn outcome_laws(&self) -> Option<Vec<OutcomeLaw>> {
        let of = |flips| {
            let patterns = choose(64, flips);
            match flips {
                0 => Outcomes { clean_right: patterns, ..Outcomes::default() },
                _ if flips <= self.corrects as usize => {
                    Outcomes { corrected_right: patterns, ..Outcomes::default() }
                }
                _ => Outcomes { detected_wrong: patterns, ..Outcomes::default() },
            }
        };
        Some(vec![OutcomeLaw::new((0..=64).map(of).collect())])
    }
}
