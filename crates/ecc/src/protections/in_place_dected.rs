use std::sync::{Arc, LazyLock};

use super::block_code::{BlockCode, Design};
use super::powers_of_x;
use crate::{BLOCK, Constraint, Kernel, LinearCode};

/// Bits 6 and 5 of weights 0..=5 and bit 6 of weight 6.
const CHECKS: u64 = 0x0040_6060_6060_6060;
/// Bits 6 and 5 of all weights.
const NARROW_CHECKS: u64 = 0x6060_6060_6060_6060;
const BIT_6: u64 = 0x4040_4040_4040_4040;

static DESIGN: LazyLock<Arc<Design>> = LazyLock::new(|| {
    let code = LinearCode::systematic(columns(13), bits_of(CHECKS), 2);
    let signs = [CHECKS & BIT_6, CHECKS & !BIT_6];
    Arc::new(Design::new(
        "in-place-dected-64-51",
        (BLOCK, Constraint::TWO_BIT),
        code,
        (0..64).collect(),
        signs,
    ))
});

static NARROW_DESIGN: LazyLock<Arc<Design>> = LazyLock::new(|| {
    let code = LinearCode::systematic(columns(16), bits_of(NARROW_CHECKS), 2);
    let signs = [BIT_6, NARROW_CHECKS & !BIT_6];
    Arc::new(Design::new(
        "in-place-dected-64-48",
        (BLOCK, Constraint::TWO_BIT_ALL),
        code,
        (0..64).collect(),
        signs,
    ))
});

/// The columns (1, x, x^3) of the elements x of GF(2^6), 13 rows, and three rows of x^5, with which the bits 6 and 5 of
/// all weights are independent.
fn columns(rows: usize) -> Vec<u16> {
    // Bit i holds the element x^i of GF(2^6), bit 63 the element 0: so the check bits' columns are independent.
    let powers = powers_of_x(0x43); // x^6 + x + 1
    let column = |i: usize| 1 | powers[i] << 1 | powers[3 * i % 63] << 7 | powers[5 * i % 63] >> 2 << 13;
    (0..63).map(column).chain([1]).map(|column| column & (((1u32 << rows) - 1) as u16)).collect()
}

fn bits_of(mask: u64) -> Vec<usize> {
    (0..64).filter(|bit| mask >> bit & 1 == 1).collect()
}

impl BlockCode {
    /// DEC-TED (64,51) inside a block of eight weights, which must leave it 13 bits: bits 6 and 5 of weights 0..=5 and
    /// bit 6 of weight 6 ([`Constraint::TWO_BIT`]).
    ///
    /// The code is the extended BCH code (64,51,6), columns (1, x, x^3) for the 64 elements x of GF(2^6). It corrects
    /// all 2,080 patterns of one and two flips and detects all 41,664 of three. Of the 635,376 patterns of four it
    /// miscorrects 302,400 (47.6 %) and passes none as clean; it detects the others.
    pub fn in_place_dected(kernel: Kernel) -> Self {
        Self::new(Arc::clone(&DESIGN), kernel)
    }

    /// DEC-TED (64,48) inside a block of eight weights that are all in [-32, 31] ([`Constraint::TWO_BIT_ALL`]).
    ///
    /// Against (64,51) the last two weights give up their ranges too. What that buys is not distance, which is still 6,
    /// but that no weight can read as more than 63 levels from what it was, where the free one could by 255. The three
    /// check bits more, of x^5, let the decoder detect most patterns of four flips: it miscorrects 33,600 (5.3 %).
    pub fn in_place_dected_narrow(kernel: Kernel) -> Self {
        Self::new(Arc::clone(&NARROW_DESIGN), kernel)
    }
}
