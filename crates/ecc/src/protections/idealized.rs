use super::{store, word};
use crate::codes::outcomes::choose;
use crate::{
    BLOCK, Constraint, MemoryImage, OutcomeDistribution, Outcomes, Protection, Region, WordShape, WordStatus,
};

/// Simulation of `ecc` and `in-place` as the paper's release does it: a block of eight weights with at most one flip
/// (SEC-DED), or two (DEC-TED), is restored. Any other block is detected and read as received.
///
/// No hardware can do this. The decoder knows the original, here from a copy in the check plane that no fault reaches. It
/// exposes 64 bits, and `secded-72-64` exposes 72. It never miscorrects. Flips of bit 6 count, which `in-place-64-57`
/// rebuilds from bit 7. The protection shows how much of a published result depends on these assumptions.
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

    fn definition(&self) -> String {
        format!("{} of 64 cells restored from an immune copy, due keep", self.corrects)
    }

    fn word(&self) -> WordShape {
        WordShape { weights: BLOCK, check_bits: 64 }
    }

    fn constraint(&self) -> Constraint {
        Constraint::NONE
    }

    fn regions<'p>(&self, plane: &'p [i8]) -> Vec<Region<'p>> {
        vec![Region { check_bits_exposed: false, ..Region::weights(plane) }]
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

    /// The flips are the syndrome.
    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64 {
        image.block(word) ^ image.check_word(word, 64)
    }

    fn outcome_distributions(&self) -> Option<Vec<OutcomeDistribution>> {
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
        Some(vec![OutcomeDistribution::new((0..=64).map(of).collect())])
    }
}
