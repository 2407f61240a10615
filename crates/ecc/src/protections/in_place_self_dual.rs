//! Unequal protection by self-dual codes of rate one half.
//!
//! Weights of 8 - s bits leave s spare cells each, 8 s in a block. They are spent on the s *most significant* bits: a
//! code [16 s, 8 s] of rate one half, whose check bits fill the spare cells exactly. The bits below are not protected;
//! a flip there moves a weight by little. The more cells are spared, the better the codes that there are:
//!
//! | s | weights | protected bits | code | corrects | bits without protection |
//! |---|---|---|---|---|---|
//! | 3 | [-16, 15] | 7, 3, 2 | [48,24,12] | 5 flips, detects 6 | 1, 0 |
//! | 4 | [-8, 7] | 7, 2, 1, 0 | [64,32,12] | 5 flips, detects 6 | none |
//!
//! (With s = 2 it is the [32,16,8] code of `in_place_msb.rs`, small enough for a table of its syndromes.) Both codes are
//! extremal self-dual: of that length no doubly-even self-dual code has a larger distance (Mallows and Sloane 1973). Here
//! they are double circulant: check bits are c = u A for data bits u and a circulant A, whose row was found by search.
//!
//! # Decoding
//!
//! Self-dual means A Aᵀ = I, so data and check bits can change places: u = c Aᵀ. Flips (e, f) of data and check bits have
//! the syndrome s = e A + f. Of five flips either e or f has at most two, so one of two short searches meets them:
//!
//! ```text
//! for every e of at most two bits:  f = s + e A         at most five flips in all?
//! for every f of at most two bits:  e = (s + f) Aᵀ      at most five flips in all?
//! ```
//!
//! Distance 12 makes the answer unique; when neither meets any, the word is declared uncorrectable.

use super::{store, word};
use crate::law::{bounded_distance_law, choose};
use crate::{BLOCK, Constraint, DuePolicy, MemoryImage, OutcomeLaw, Protection, WordShape, WordStatus};

/// Flips that are corrected.
const RADIUS: u32 = 5;

/// Unequal protection inside a block of eight weights of 8 - s bits, by a self-dual code over their s most significant
/// bits and the s cells that each can spare. See the module's essay in the source.
#[derive(Debug)]
pub struct InPlaceSelfDual {
    id: &'static str,
    /// Cells that a weight can spare: s.
    spare: usize,
    constraint: Constraint,
    /// First row of A; row i is it rotated left by i.
    row: u32,
    /// Code words by weight, in steps of 4 from 0 to half the length; the rest is symmetric.
    code_words: &'static [u128],
    /// u A and u Aᵀ for the values of each byte of u.
    forward: Vec<[u32; 256]>,
    backward: Vec<[u32; 256]>,
    /// Every e of at most two bits, with e A and e Aᵀ.
    few: Vec<[u32; 3]>,
}

impl InPlaceSelfDual {
    /// `[48,24,12]` in weights of five bits.
    pub fn msb_48_24() -> Self {
        // The weight enumerator of every extremal [48,24,12] code (Gleason's theorem).
        let code_words = &[1, 0, 0, 17_296, 535_095, 3_995_376, 7_681_680];
        let constraint = Constraint { low: [-16; BLOCK], high: [15; BLOCK] };
        Self::new("in-place-msb-48-24", 3, constraint, 0x07_6d7f, code_words)
    }

    /// `[64,32,12]` in weights of four bits, all of which it protects.
    pub fn msb_64_32() -> Self {
        // The weight enumerator of every extremal [64,32,12] code (Gleason's theorem).
        let code_words = &[1, 0, 0, 2_976, 454_956, 18_275_616, 233_419_584, 1_041_971_008, 1_706_719_014];
        let constraint = Constraint { low: [-8; BLOCK], high: [7; BLOCK] };
        Self::new("in-place-msb-64-32", 4, constraint, 0x5a67_55bd, code_words)
    }

    fn new(
        id: &'static str,
        spare: usize,
        constraint: Constraint,
        row: u32,
        code_words: &'static [u128],
    ) -> Self {
        let n = 8 * spare;
        let rotated = |by: usize| (row << by | row >> ((n - by) % n)) & ones(n);
        // Column i of A is its first column rotated: row i of A transposed has bit j where row j has bit i.
        let transposed = |i: usize| (0..n).fold(0, |all, j| all | (rotated(j) >> i & 1) << j);
        let table = |of: &dyn Fn(usize) -> u32| {
            let byte = |k: usize| {
                std::array::from_fn(|value| {
                    (0..8).filter(|j| value >> j & 1 == 1).fold(0, |sum, j| sum ^ of(8 * k + j))
                })
            };
            (0..spare).map(byte).collect::<Vec<[u32; 256]>>()
        };
        let (forward, backward) = (table(&rotated), table(&transposed));
        let patterns = (0..n).flat_map(|i| (0..=i).map(move |j| 1 << i | 1 << j));
        let few = std::iter::once(0).chain(patterns);
        let few = few.map(|e| [e, product(&forward, e), product(&backward, e)]).collect();
        Self { id, spare, constraint, row, code_words, forward, backward, few }
    }

    /// Data bits or check bits of the code.
    fn half(&self) -> usize {
        8 * self.spare
    }

    /// Bits of a weight that the code protects: the sign and those below the spare ones.
    fn data_planes(&self) -> impl Iterator<Item = usize> {
        std::iter::once(7).chain((0..self.spare - 1).map(|j| 6 - self.spare - j))
    }

    /// The spare bits of a weight.
    fn check_planes(&self) -> impl Iterator<Item = usize> {
        (0..self.spare).map(|j| 6 - j)
    }

    /// The sign of every weight copied into the spare cells.
    fn weights(&self, block: u64) -> u64 {
        let planes = self.check_planes().map(|bit| (block & plane(7)) >> (7 - bit));
        planes.fold(block & !self.check_cells(), |all, copy| all | copy)
    }

    fn check_cells(&self) -> u64 {
        self.check_planes().fold(0, |all, bit| all | plane(bit))
    }

    /// Flipped data bits that explain a syndrome together with at most [`RADIUS`] flips in all.
    fn explain(&self, syndrome: u32) -> Option<u32> {
        let backward = product(&self.backward, syndrome);
        let within = |e: u32, f: u32| e.count_ones() + f.count_ones() <= RADIUS;
        self.few.iter().find_map(|&[few, few_forward, few_backward]| {
            let (checks, data) = (syndrome ^ few_forward, backward ^ few_backward);
            if within(few, checks) {
                Some(few)
            } else if within(data, few) {
                Some(data)
            } else {
                None
            }
        })
    }

    fn syndrome_of(&self, block: u64) -> u32 {
        product(&self.forward, gather(block, self.data_planes())) ^ gather(block, self.check_planes())
    }
}

impl Protection for InPlaceSelfDual {
    fn id(&self) -> &str {
        self.id
    }

    fn parameters(&self) -> String {
        format!("double circulant {:0width$x} radius {RADIUS} due keep", self.row, width = 2 * self.spare)
    }

    fn word(&self) -> WordShape {
        WordShape { weights: BLOCK, check_bits: 0 }
    }

    fn constraint(&self) -> Constraint {
        self.constraint
    }

    fn due_policies(&self) -> &'static [DuePolicy] {
        &DuePolicy::ALL
    }

    fn as_stored(&self, weights: [i8; BLOCK]) -> [i8; BLOCK] {
        self.weights(word(&weights)).to_le_bytes().map(u8::cast_signed)
    }

    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize) {
        let data = word(weights);
        let checks = product(&self.forward, gather(data, self.data_planes()));
        image.set_block(block, data & !self.check_cells() | scatter(checks, self.check_planes()));
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        let block = image.block(word);
        let (flips, status) = match self.syndrome_of(block) {
            0 => (0, WordStatus::Clean),
            syndrome => match self.explain(syndrome) {
                Some(data) => (scatter(data, self.data_planes()), WordStatus::Corrected),
                None => (0, WordStatus::Detected),
            },
        };
        store(self.weights(block ^ flips), weights);
        status
    }

    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64 {
        self.syndrome_of(image.block(word)).into()
    }

    /// That of the code; a flip of a bit without protection makes a word wrong and changes nothing else.
    fn outcome_laws(&self) -> Option<Vec<OutcomeLaw>> {
        let cells = 2 * self.half();
        let mut code_words = vec![0; cells + 1];
        for (step, &words) in self.code_words.iter().enumerate() {
            code_words[4 * step] = words;
            code_words[cells - 4 * step] = words;
        }
        // Flips of check bits alone that are detected: those whose syndrome, the flips themselves, has no explanation.
        let mut detected_right: Vec<u128> = (0..=cells).map(|flips| choose(self.half(), flips)).collect();
        detected_right[0] = 0;
        self.for_each_correctable(|syndrome| detected_right[syndrome.count_ones() as usize] -= 1);
        let law = bounded_distance_law(&code_words, RADIUS as usize, &detected_right);
        Some(vec![law.with_unprotected(8 * BLOCK - cells)])
    }
}

impl InPlaceSelfDual {
    /// Calls `seen` with the syndrome of every pattern of 1 to [`RADIUS`] flips.
    fn for_each_correctable(&self, mut seen: impl FnMut(u32)) {
        let n = self.half();
        let column = |cell: usize| match cell.checked_sub(n) {
            None => product(&self.forward, 1 << cell),
            Some(check) => 1 << check,
        };
        let columns: Vec<u32> = (0..2 * n).map(column).collect();
        further(&columns, 0, RADIUS, &mut seen);
    }
}

/// Adds up to `most` of the columns to a syndrome, in every way.
fn further(columns: &[u32], syndrome: u32, most: u32, seen: &mut impl FnMut(u32)) {
    for (cell, column) in columns.iter().enumerate() {
        seen(syndrome ^ column);
        if most > 1 {
            further(&columns[..cell], syndrome ^ column, most - 1, seen);
        }
    }
}

/// The lowest n bits, at most 32.
fn ones(n: usize) -> u32 {
    u32::MAX >> (32 - n)
}

/// Bit `bit` of every weight of a block.
fn plane(bit: usize) -> u64 {
    0x0101_0101_0101_0101 << bit
}

/// The product of a row of bits with a matrix that is given by tables.
fn product(tables: &[[u32; 256]], bits: u32) -> u32 {
    tables.iter().zip(bits.to_le_bytes()).fold(0, |sum, (table, byte)| sum ^ table[usize::from(byte)])
}

/// Bits of a block, plane by plane: weight w of plane j in bit 8 j + w.
fn gather(block: u64, planes: impl Iterator<Item = usize>) -> u32 {
    let byte = |bit: usize| ((block & plane(bit)) >> bit).wrapping_mul(0x0102_0408_1020_4080) >> 56;
    planes.enumerate().fold(0, |all, (j, bit)| all | (byte(bit) as u32) << (8 * j))
}

/// The inverse of [`gather`]; other bits are zero.
fn scatter(bits: u32, planes: impl Iterator<Item = usize>) -> u64 {
    let spread = |byte: u32| (0..8).fold(0, |all, w| all | u64::from(byte >> w & 1) << (8 * w));
    planes.enumerate().fold(0, |all, (j, bit)| all | spread(bits >> (8 * j) & 0xff) << bit)
}
