use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::dense::Loop;
use crate::{
    BLOCK, Constraint, Kernel, MemoryImage, OutcomeDistribution, Protection, StatusCounts, WordShape,
    WordStatus,
};

/// A code whose word stores one weight, in a byte and in check bits beside it. Any weight can be stored.
///
/// Whole memories are read [`TOGETHER`] words at a time, in a loop that the compiler vectorizes. So `syndrome` and `read`
/// are inlined, and have no branch that is more than a choice between two values.
pub(super) trait WeightCode: Debug + Send + Sync {
    /// Name in experiments and records.
    const ID: &'static str;

    /// Definition of the code, on one line.
    const DEFINITION: &'static str;

    /// Check bits beside a weight, at most 8.
    const CHECK_BITS: usize = 0;

    /// A weight of each class of words; [`WeightCode::class_of`] numbers the classes in this order.
    const CLASSES: &'static [i8] = &[0];

    /// Returns the byte and the check bits that store a weight.
    fn store(weight: i8) -> (u8, u8);

    /// Returns the syndrome of a received word; 0 if it is a code word.
    fn syndrome(byte: u8, checks: u8) -> u8;

    /// Returns the weight that is read from a received byte, and the decoder's status.
    fn read(byte: u8, syndrome: u8) -> (i8, WordStatus);

    /// Returns the class of the words that store a weight.
    fn class_of(_: i8) -> usize {
        0
    }
}

/// Protection of each weight by itself.
#[derive(Debug)]
pub(super) struct PerWeight<C> {
    kernel: Kernel,
    code: PhantomData<C>,
}

impl<C: WeightCode> PerWeight<C> {
    pub(super) fn shared(kernel: Kernel) -> Arc<Self> {
        Arc::new(Self { kernel, code: PhantomData })
    }
}

/// Number of words that are read together, whole bytes of check bits.
const TOGETHER: usize = 64;

/// Reads a whole memory.
struct Read<'a, C> {
    code: PhantomData<C>,
    data: &'a [u8],
    check: &'a [u8],
    plane: &'a mut [i8],
    counts: &'a mut StatusCounts,
}

impl<C: WeightCode> Read<'_, C> {
    #[inline(always)]
    fn read<const N: usize>(data: &[u8; N], check: &[u8], weights: &mut [i8; N], counts: &mut StatusCounts) {
        let mut checks = [0; N];
        if let Some(words) = 8usize.checked_div(C::CHECK_BITS) {
            // Byte vectors have no shift by lane, so each bit of a field is tested with a mask.
            for (checks, byte) in checks.chunks_exact_mut(words).zip(check) {
                for (i, checks) in checks.iter_mut().enumerate() {
                    for bit in 0..C::CHECK_BITS {
                        let mask = 1 << (i * C::CHECK_BITS + bit);
                        *checks |= u8::from(byte & mask != 0) << bit;
                    }
                }
            }
        }
        let mut statuses = [0; N];
        for i in 0..N {
            let (weight, status) = C::read(data[i], C::syndrome(data[i], checks[i]));
            (weights[i], statuses[i]) = (weight, status as u8);
        }
        if statuses != [WordStatus::Clean as u8; N] {
            let number = |status| statuses.iter().filter(|found| **found == status as u8).count() as u64;
            counts.corrected += number(WordStatus::Corrected);
            counts.detected += number(WordStatus::Detected);
        }
    }
}

impl<C: WeightCode> Loop for Read<'_, C> {
    #[inline(always)]
    fn run(self) {
        let Self { data, check, plane, counts, .. } = self;
        let (most, rest) = data.as_chunks::<TOGETHER>();
        let (weights, weights_rest) = plane.as_chunks_mut::<TOGETHER>();
        let (check, check_rest) = check.split_at(most.len() * TOGETHER * C::CHECK_BITS / 8);
        let checks =
            (0..).map(|i| &check[i * TOGETHER * C::CHECK_BITS / 8..][..TOGETHER * C::CHECK_BITS / 8]);
        for ((data, check), weights) in most.iter().zip(checks).zip(weights) {
            Self::read(data, check, weights, counts);
        }
        // A block has whole bytes of check bits.
        let blocks = rest.as_chunks::<BLOCK>().0.iter().zip(weights_rest.as_chunks_mut::<BLOCK>().0);
        for (i, (data, weights)) in blocks.enumerate() {
            Self::read(data, &check_rest[i * C::CHECK_BITS..][..C::CHECK_BITS], weights, counts);
        }
    }
}

impl<C: WeightCode> Protection for PerWeight<C> {
    fn id(&self) -> &'static str {
        C::ID
    }

    fn definition(&self) -> String {
        C::DEFINITION.into()
    }

    fn word(&self) -> WordShape {
        WordShape { weights: 1, check_bits: C::CHECK_BITS }
    }

    fn constraint(&self) -> Constraint {
        Constraint::NONE
    }

    fn as_stored(&self, weights: [i8; BLOCK]) -> [i8; BLOCK] {
        weights.map(|weight| {
            let (byte, checks) = C::store(weight);
            C::read(byte, C::syndrome(byte, checks)).0
        })
    }

    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize) {
        let words = weights.map(C::store);
        let checks = words.iter().rev().fold(0, |all, (_, checks)| all << C::CHECK_BITS | u64::from(*checks));
        image.set_block(block, u64::from_le_bytes(words.map(|(byte, _)| byte)));
        image.set_check_word(block, BLOCK * C::CHECK_BITS, checks);
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        let (weight, status) = C::read(image.data()[word], self.syndrome(image, word) as u8);
        weights[0] = weight;
        status
    }

    fn decode(&self, image: &MemoryImage, plane: &mut [i8]) -> StatusCounts {
        assert_eq!(plane.len(), image.data().len(), "the plane and the memory differ in length");
        let words = plane.len() as u64;
        let mut counts = StatusCounts::default();
        let (data, check, code) = (image.data(), image.check(), self.code);
        self.kernel.vectorize(Read::<C> { code, data, check, plane, counts: &mut counts });
        counts.with_clean(words)
    }

    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64 {
        C::syndrome(image.data()[word], image.check_word(word, C::CHECK_BITS) as u8).into()
    }

    fn outcome_distributions(&self) -> Option<Vec<OutcomeDistribution>> {
        Some(C::CLASSES.iter().map(|weight| OutcomeDistribution::of_weight(self, *weight)).collect())
    }

    fn class_of(&self, weights: &[i8]) -> usize {
        C::class_of(weights[0])
    }
}

/// Even parity of a byte.
#[inline(always)]
pub(super) fn parity(byte: u8) -> u8 {
    byte.count_ones() as u8 & 1
}

#[cfg(test)]
mod tests {
    use super::super::cep::Cep;
    use super::super::msb_tmr::MsbTmr;
    use super::super::mset::Mset;
    use super::super::vote::Vote;
    use super::super::weight_nulling::WeightNulling;
    use super::*;

    /// Reads memories of many lengths with every received word, and compares with the words one by one.
    fn check<C: WeightCode>() {
        for kernel in Kernel::available() {
            let protection = PerWeight::<C>::shared(kernel);
            for blocks in [0, 1, 7, 8, 9, 200] {
                let mut image = MemoryImage::blank(protection.word(), blocks * BLOCK);
                for block in 0..blocks {
                    let byte = |i: usize| ((block * BLOCK + i) * 151 + 3 * block) as u8;
                    image.set_block(block, u64::from_le_bytes(std::array::from_fn(byte)));
                    let checks = (block as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    let bits = BLOCK * C::CHECK_BITS;
                    if bits > 0 {
                        image.set_check_word(block, bits, checks >> (64 - bits));
                    }
                }
                let (mut together, mut alone) = (vec![1; blocks * BLOCK], vec![2; blocks * BLOCK]);
                let found = protection.decode(&image, &mut together);
                let mut counts = StatusCounts::default();
                for (word, weight) in alone.chunks_exact_mut(1).enumerate() {
                    counts += protection.decode_word(&image, word, weight);
                }
                assert_eq!((&together, found), (&alone, counts), "{} {kernel:?}, {blocks} blocks", C::ID);
                assert!(blocks < 200 || counts.clean > 0 && counts.corrected + counts.detected > 0);
            }
        }
    }

    #[test]
    fn whole_memories_read_as_their_words() {
        check::<Vote>();
        check::<WeightNulling>();
        check::<MsbTmr>();
        check::<Cep>();
        check::<Mset>();
    }
}
