use super::per_weight::WeightCode;
use crate::WordStatus;

/// A flag beside each weight says that it is in [-32, 31], where its top three bits agree. When they are read different
/// although the flag is set, the majority of them is taken for all three (`vote` in the paper's release). Flips of the
/// five bits below pass unseen, and a flag that flips on forces a large weight into the range. Check bit i is the flag of
/// weight i.
#[derive(Debug)]
pub(super) struct Vote;

/// The bits that agree in small weights.
const TOP: u8 = 0b1110_0000;

impl WeightCode for Vote {
    const ID: &'static str = "vote";
    const DEFINITION: &'static str = "flag on [-32, 31], majority of bits 5, 6 and 7";
    const CHECK_BITS: usize = 1;
    /// Small weights, and others.
    const CLASSES: &'static [i8] = &[0, 64];

    fn store(weight: i8) -> (u8, u8) {
        (weight.cast_unsigned(), u8::from(is_small(weight)))
    }

    /// Pairs 5, 6 and 6, 7 of bits that differ although the flag is set.
    #[inline(always)]
    fn syndrome(byte: u8, checks: u8) -> u8 {
        let top = byte >> 5;
        checks * ((top ^ top >> 1) & 0b11)
    }

    #[inline(always)]
    fn read(byte: u8, syndrome: u8) -> (i8, WordStatus) {
        if syndrome == 0 {
            return (byte.cast_signed(), WordStatus::Clean);
        }
        let voted = if (byte & TOP).count_ones() >= 2 { byte | TOP } else { byte & !TOP };
        (voted.cast_signed(), WordStatus::Corrected)
    }

    fn class_of(weight: i8) -> usize {
        usize::from(!is_small(weight))
    }
}

fn is_small(weight: i8) -> bool {
    (-32..32).contains(&weight)
}
