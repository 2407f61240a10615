//! Unequal protection by self-dual codes of rate one half.
//!
//! Weights of 8 - s bits leave s spare bits each, 8 s in a block. They are spent on the s *most significant* bits: a
//! code [16 s, 8 s] of rate one half, whose check bits fill the spare bits exactly. The bits below are not protected;
//! a flip there moves a weight by little. The more bits are spared, the better the codes that there are:
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

use std::sync::LazyLock;

use super::{store, word};
use crate::codes::matrix::Matrix;
use crate::codes::outcomes::{bounded_distance_outcomes, choose};
use crate::dense::Code;
use crate::{
    BLOCK, Constraint, Dense, DuePolicy, Kernel, MemoryImage, OutcomeDistribution, Protection, WordShape,
    WordStatus,
};

/// Flips that are corrected.
const RADIUS: u32 = 5;

static MSB_48_24: LazyLock<Design> = LazyLock::new(|| Design {
    // The weight enumerator of every extremal [48,24,12] code (Gleason's theorem).
    code_words: &[1, 0, 0, 17_296, 535_095, 3_995_376, 7_681_680],
    ..Design::new("in-place-msb-48-24", 3, Constraint { low: [-16; BLOCK], high: [15; BLOCK] }, 0x07_6d7f)
});

static MSB_64_32: LazyLock<Design> = LazyLock::new(|| Design {
    // The weight enumerator of every extremal [64,32,12] code (Gleason's theorem).
    code_words: &[1, 0, 0, 2_976, 454_956, 18_275_616, 233_419_584, 1_041_971_008, 1_706_719_014],
    ..Design::new("in-place-msb-64-32", 4, Constraint { low: [-8; BLOCK], high: [7; BLOCK] }, 0x5a67_55bd)
});

/// Unequal protection inside a block of eight weights of 8 - s bits, by a self-dual code over their s most significant
/// bits and the s bits that each can spare. See the module's essay in the source.
#[derive(Clone, Copy, Debug)]
pub struct InPlaceSelfDual {
    design: &'static Design,
    kernel: Kernel,
}

/// Tables of a code, computed once.
#[derive(Debug)]
struct Design {
    id: &'static str,
    /// Bits that a weight can spare: s.
    spare: usize,
    constraint: Constraint,
    /// First row of A; row i is it rotated left by i.
    row: u32,
    /// Code words by weight, in steps of 4 from 0 to half the length; the rest is symmetric.
    code_words: &'static [u128],
    /// Rows 0..16 and 16..32 of the parity-check matrix: row 8 j + w has its check bit in spare plane j of weight w.
    matrices: [Matrix; 2],
    /// u Aᵀ for the values of each byte of u.
    backward: Vec<[u32; 256]>,
    /// Every e of at most two bits, with e A and e Aᵀ.
    few: Vec<[u32; 3]>,
}

impl Design {
    fn new(id: &'static str, spare: usize, constraint: Constraint, row: u32) -> Self {
        let n = 8 * spare;
        let rotated = |by: usize| (row << by | row >> ((n - by) % n)) & ones(n);
        // Row i of A transposed has bit j where row j has bit i.
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

        let mut columns = [0u32; 64];
        for (j, plane) in data_planes(spare).enumerate() {
            (0..8).for_each(|w| columns[8 * w + plane] = rotated(8 * j + w));
        }
        for (j, plane) in check_planes(spare).enumerate() {
            (0..8).for_each(|w| columns[8 * w + plane] = 1 << (8 * j + w));
        }
        let matrices = [0, 1].map(|half| {
            let check_position = |row: usize| {
                let (j, w) = (2 * half + row / 8, row % 8);
                check_planes(spare).nth(j).map(|plane| 8 * w + plane)
            };
            // Bit 6 copies the sign one bit above it, and bit 5 two above; then bit 4 copies bit 5, and bit 3 too.
            let signs = [1, 2].map(|above| check_planes(spare).nth(2 * half + above - 1).map_or(0, plane));
            let columns = columns.map(|column| (column >> (16 * half)) as u16);
            Matrix::of_columns(&columns, &std::array::from_fn(check_position), signs)
        });
        Self { id, spare, constraint, row, code_words: &[], matrices, backward, few }
    }

    /// The code word with the data bits of a block.
    fn encode(&self, block: u64) -> u64 {
        self.matrices[1].encode(self.matrices[0].encode(block))
    }

    /// The sign of every weight copied into the spare bits.
    fn weights(&self, block: u64) -> u64 {
        self.matrices[1].weights(self.matrices[0].weights(block))
    }

    fn syndrome(&self, block: u64) -> u32 {
        let [low, high] = [0, 1].map(|half: usize| u32::from(self.matrices[half].syndrome(block)));
        low | high << 16
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

    /// Calls `seen` with the syndrome of every pattern of 1 to [`RADIUS`] flips.
    fn for_each_correctable(&self, mut seen: impl FnMut(u32)) {
        let protected = data_planes(self.spare).chain(check_planes(self.spare));
        let bits = protected.flat_map(|plane| (0..8).map(move |w| 8 * w + plane));
        let columns: Vec<u32> = bits.map(|bit| self.syndrome(1 << bit)).collect();
        further(&columns, 0, RADIUS, &mut seen);
    }
}

/// Bits of a weight that a code with `spare` spare bits protects: the sign and those below the spare ones.
fn data_planes(spare: usize) -> impl Iterator<Item = usize> {
    std::iter::once(7).chain((0..spare - 1).map(move |j| 6 - spare - j))
}

/// The spare bits of a weight.
fn check_planes(spare: usize) -> impl Iterator<Item = usize> {
    (0..spare).map(|j| 6 - j)
}

impl InPlaceSelfDual {
    /// The (48,24) code of distance 12, in weights of five bits.
    pub fn msb_48_24(kernel: Kernel) -> Self {
        Self { design: &MSB_48_24, kernel }
    }

    /// The (64,32) code of distance 12, in weights of four bits, all of which it protects.
    pub fn msb_64_32(kernel: Kernel) -> Self {
        Self { design: &MSB_64_32, kernel }
    }
}

impl Protection for InPlaceSelfDual {
    fn id(&self) -> &'static str {
        self.design.id
    }

    fn definition(&self) -> String {
        let Design { row, spare, .. } = self.design;
        format!("double circulant {row:0width$x} radius {RADIUS}", width = 2 * spare)
    }

    fn word(&self) -> WordShape {
        WordShape { weights: BLOCK, check_bits: 0 }
    }

    fn constraint(&self) -> Constraint {
        self.design.constraint
    }

    fn due_policies(&self) -> &'static [DuePolicy] {
        &DuePolicy::ALL
    }

    fn as_stored(&self, weights: [i8; BLOCK]) -> [i8; BLOCK] {
        self.design.weights(word(&weights)).to_le_bytes().map(u8::cast_signed)
    }

    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize) {
        image.set_block(block, self.design.encode(word(weights)));
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        let block = image.block(word);
        let (flips, status) = match self.design.syndrome(block) {
            0 => (0, WordStatus::Clean),
            syndrome => match self.design.explain(syndrome) {
                Some(data) => (scatter(data, data_planes(self.design.spare)), WordStatus::Corrected),
                None => (0, WordStatus::Detected),
            },
        };
        store(self.design.weights(block ^ flips), weights);
        status
    }

    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64 {
        self.design.syndrome(image.block(word)).into()
    }

    /// Distribution of the code; a flip of an unprotected bit makes a word wrong and changes nothing else.
    fn outcome_distributions(&self) -> Option<Vec<OutcomeDistribution>> {
        let half = 8 * self.design.spare;
        let bits = 2 * half;
        let mut code_words = vec![0; bits + 1];
        for (step, &words) in self.design.code_words.iter().enumerate() {
            code_words[4 * step] = words;
            code_words[bits - 4 * step] = words;
        }
        // Flips of check bits alone that are detected: those whose syndrome, the flips themselves, has no explanation.
        let mut detected_right: Vec<u128> = (0..=bits).map(|flips| choose(half, flips)).collect();
        detected_right[0] = 0;
        self.design.for_each_correctable(|syndrome| detected_right[syndrome.count_ones() as usize] -= 1);
        let distribution = bounded_distance_outcomes(&code_words, RADIUS as usize, &detected_right);
        Some(vec![distribution.with_unprotected(8 * BLOCK - bits)])
    }

    fn dense(&self) -> Option<Dense<'_>> {
        Some(Dense::new(self.kernel, Code::Matrices(&self.design.matrices)))
    }
}

/// Adds up to `most` of the columns to a syndrome, in every way.
fn further(columns: &[u32], syndrome: u32, most: u32, seen: &mut impl FnMut(u32)) {
    for (bit, column) in columns.iter().enumerate() {
        seen(syndrome ^ column);
        if most > 1 {
            further(&columns[..bit], syndrome ^ column, most - 1, seen);
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

/// Bits of a block, plane by plane: bit 8 j + w of `bits` at plane j of weight w. Other bits are zero.
fn scatter(bits: u32, planes: impl Iterator<Item = usize>) -> u64 {
    let spread = |byte: u32| (0..8).fold(0, |all, w| all | u64::from(byte >> w & 1) << (8 * w));
    planes.enumerate().fold(0, |all, (j, bit)| all | spread(bits >> (8 * j) & 0xff) << bit)
}
