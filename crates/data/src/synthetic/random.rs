//! Every random number of the set, as a function of seed, split and place.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use crate::Split;

/// What a stream is for. Streams of different purposes never meet.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// One image; the place is its index in the split.
    Image = 1,
    /// The order of the labels of ten neighbours; the place is their index divided by ten.
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

    /// 64 random bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform below `bound`; the bias, below `bound` / 2^32, is invisible here.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        ((u64::from(self.0.next_u32()) * bound as u64) >> 32) as usize
    }

    /// Uniform in `[low, high)`, in steps of 2^-24 of the range. The rounding of the last step may reach
    /// `high`.
    pub(super) fn between(&mut self, low: f32, high: f32) -> f32 {
        // 24 bits are exact in an `f32`, and so is the division by a power of two.
        low + (high - low) * ((self.0.next_u32() >> 8) as f32 / 16_777_216.0)
    }

    /// True once in `of` on average.
    pub(super) fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    /// A direction in `N` dimensions, of length 1: a point of the cube that lies in the ball and not too near
    /// its middle, scaled. Sines and cosines, which platforms round differently, are not needed.
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
