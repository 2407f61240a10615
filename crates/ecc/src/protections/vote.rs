use super::word;
use crate::{BLOCK, Constraint, MemoryImage, OutcomeLaw, Protection, WordShape, WordStatus};

/// A flag beside each weight says that it is in [-32, 31], where its top three bits agree. When they are read different
/// although the flag is set, the majority of them is taken for all three (`vote` in the paper's release). Flips of the
/// five bits below pass unseen, and a flag that flips on forces a large weight into the range. Check cell i is the flag of
/// weight i.
#[derive(Clone, Copy, Debug)]
pub struct Vote;

/// The bits that agree in small weights.
const TOP: u8 = 0b1110_0000;

impl Protection for Vote {
    fn id(&self) -> &'static str {
        "vote"
    }

    fn parameters(&self) -> String {
        "flag on [-32, 31], majority of bits 5, 6 and 7".into()
    }

    fn word(&self) -> WordShape {
        WordShape { weights: 1, check_bits: 1 }
    }

    fn constraint(&self) -> Constraint {
        Constraint::NONE
    }

    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize) {
        let flags = weights.iter().enumerate();
        let flags = flags.fold(0, |flags, (i, weight)| flags | u64::from(is_small(*weight)) << i);
        image.set_block(block, word(weights));
        image.set_check_word(block, BLOCK, flags);
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        let received = image.data()[word];
        if self.syndrome(image, word) == 0 {
            weights[0] = received.cast_signed();
            return WordStatus::Clean;
        }
        let voted = if (received & TOP).count_ones() >= 2 { received | TOP } else { received & !TOP };
        weights[0] = voted.cast_signed();
        WordStatus::Corrected
    }

    /// Where the flag is set, which of the pairs 5, 6 and 6, 7 of bits differ.
    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64 {
        let top = u64::from(image.data()[word] >> 5);
        image.check_word(word, 1) * ((top ^ top >> 1) & 0b11)
    }

    /// Two: of small weights and of others.
    fn outcome_laws(&self) -> Option<Vec<OutcomeLaw>> {
        Some([0, 64].map(|weight| OutcomeLaw::of_weight(self, weight)).into())
    }

    fn law_of(&self, weights: &[i8]) -> usize {
        usize::from(!is_small(weights[0]))
    }
}

fn is_small(weight: i8) -> bool {
    (-32..32).contains(&weight)
}
