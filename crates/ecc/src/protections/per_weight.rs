use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::{BLOCK, Constraint, MemoryImage, OutcomeDistribution, Protection, WordShape, WordStatus};

/// A code whose word stores one weight, in a byte and in check bits beside it. Any weight can be stored.
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
pub(super) struct PerWeight<C>(PhantomData<C>);

impl<C: WeightCode> PerWeight<C> {
    pub(super) fn shared() -> Arc<Self> {
        Arc::new(Self(PhantomData))
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
pub(super) fn parity(byte: u8) -> u8 {
    byte.count_ones() as u8 & 1
}
