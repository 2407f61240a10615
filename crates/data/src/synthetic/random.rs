//! The random numbers of the set, as a function of seed, split, purpose and place.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use crate::Split;

/// The purpose of a stream. Streams of different purposes share no numbers.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// Drawing one image; the place is its index in the split.
    Image = 1,
    /// Ordering the labels of ten images; the place is the index of the first divided by ten.
    Labels = 2,
}

/// The random numbers of one place: ChaCha8 with the place as its stream. The key is the seed
/// (little-endian), a byte for the split (train 0, test 1), a byte for the purpose, and zeros.
pub(super) struct Stream(ChaCha8Rng);

impl Stream {
    pub(super) fn new(seed: u64, split: Split, purpose: Purpose, place: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8] = match split {
            Split::Train => 0,
            Split::Test => 1,
        };
        key[9] = purpose as u8;
        let mut generator = ChaCha8Rng::from_seed(key);
        generator.set_stream(place);
        Stream(generator)
    }

    /// Returns 64 random bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Returns a uniform integer below `bound`. The bias, less than `bound` / 2^32, is negligible here.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        ((u64::from(self.0.next_u32()) * bound as u64) >> 32) as usize
    }

    /// Returns a uniform number in `[low, high)`, in steps of 2^-24 of the range. Rounding of the last step
    /// may return `high`.
    pub(super) fn between(&mut self, low: f32, high: f32) -> f32 {
        // 24 bits are exact in an `f32`, and so is the division by a power of two.
        low + (high - low) * ((self.0.next_u32() >> 8) as f32 / 16_777_216.0)
    }

    /// Returns true with probability 1 / `of`.
    pub(super) fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    /// Returns a random unit vector in `N` dimensions: a point of the cube that lies in the ball and not too
    /// near its centre, scaled to length 1. This needs no sines and cosines, which platforms round
    /// differently.
    pub(super) fn direction<const N: usize>(&mut self) -> [f32; N] {
        loop {
            let point: [f32; N] = std::array::from_fn(|_| self.between(-1.0, 1.0));
            let square = point.iter().fold(0.0, |sum, x| sum + x * x);
            if (0.01..=1.0).contains(&square) {
                let length = square.sqrt();
                return point.map(|x| x / length);
            }
        }
    }
}
