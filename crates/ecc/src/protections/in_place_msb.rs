//! Codes over the bits of weights that matter most.

use std::sync::{Arc, LazyLock};

use super::block_code::{BlockCode, Design};
use super::powers_of_x;
use crate::{BLOCK, Constraint, Kernel, LinearCode};

/// Bit 6 of every weight, and bit 5.
const SIGNS: [u64; 2] = [0x4040_4040_4040_4040, 0x2020_2020_2020_2020];

static OF_EIGHT: LazyLock<Arc<Design>> = LazyLock::new(|| {
    // Zeros of the code are x to the quadratic residues modulo 31 in GF(2^5): 1, 5 and 7 times powers of 2. The last
    // bit holds the overall parity.
    let powers = powers_of_x(0x25); // x^5 + x^2 + 1
    let column = |i: usize| 1 | powers[i] << 1 | powers[5 * i % 31] << 6 | powers[7 * i % 31] << 11;
    design("in-place-msb-32-16", BLOCK, (0..31).map(column).chain([1]).collect(), 3)
});

static OF_FOUR: LazyLock<Arc<Design>> = LazyLock::new(|| {
    // x^15 of GF(2^8) has order 17.
    let powers = powers_of_x(0x11d); // x^8 + x^4 + x^3 + x^2 + 1
    design("in-place-msb-16-8", 4, (0..16).map(|i| powers[15 * i]).collect(), 2)
});

/// A code over bits 7..=4, whose check bits are bits 6 and 5: with the bits in this order, their columns are
/// independent in both codes.
fn design(id: &str, weights: usize, columns: Vec<u16>, radius: usize) -> Arc<Design> {
    let positions = (0..weights).flat_map(|weight| (4..8).map(move |bit| 8 * weight + bit)).collect();
    let check_positions = (0..4 * weights).filter(|bit| [1, 2].contains(&(bit % 4))).collect();
    let code = LinearCode::systematic(columns, check_positions, radius);
    let signs = SIGNS.map(|mask| mask & u64::MAX >> (64 - 8 * weights));
    let design = Design::new(id, (weights, Constraint::TWO_BIT_ALL), code, positions, signs);
    Arc::new(design.with_remark("bits 4-7 "))
}

impl BlockCode {
    /// Unequal protection: (32,16) over bits 7..=4 of a block of eight weights, which must all be in [-32, 31]
    /// ([`Constraint::TWO_BIT_ALL`]). Bits 6 and 5 hold the 16 check bits, bits 7 and 4 are its data. Bits 3..=0 are
    /// not protected: their flips are silent, and change a weight by at most 15.
    ///
    /// With as many bits to spare it corrects flips of the bits that matter more strongly than a code over all bits
    /// would. The code is the extended quadratic-residue code (32,16,8): it corrects all 5,488 patterns of up to three
    /// flips of its 32 bits and detects all 35,960 of four.
    pub fn in_place_msb(kernel: Kernel) -> Self {
        Self::new(Arc::clone(&OF_EIGHT), kernel)
    }

    /// The same in words of four weights, with the code (16,8,5) that the quadratic-residue code (17,9,5) leaves
    /// without one bit: it corrects all 136 patterns of one and two flips of its 16 bits. Of the 560 of three it
    /// miscorrects 240 and detects the others.
    pub fn in_place_msb_of_four(kernel: Kernel) -> Self {
        Self::new(Arc::clone(&OF_FOUR), kernel)
    }
}
