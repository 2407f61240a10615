use std::sync::LazyLock;

use super::inside::{Design, Inside};
use crate::{BLOCK, Constraint, Kernel, LinearCode};

/// x^6 + x + 1.
const FIELD: u8 = 0x43;
/// Bits 6 and 5 of weights 0..=5 and bit 6 of weight 6.
const CHECKS: u64 = 0x0040_6060_6060_6060;
/// Bits 6 and 5 of all weights.
const NARROW_CHECKS: u64 = 0x6060_6060_6060_6060;
const BIT_6: u64 = 0x4040_4040_4040_4040;

static DESIGN: LazyLock<Design> = LazyLock::new(|| {
    let code = LinearCode::systematic(columns(13), cells_of(CHECKS), 2);
    let signs = [CHECKS & BIT_6, CHECKS & !BIT_6];
    Design::new("in-place-dected-64-51", (BLOCK, Constraint::TWO_BIT), code, (0..64).collect(), signs)
});

static NARROW_DESIGN: LazyLock<Design> = LazyLock::new(|| {
    let code = LinearCode::systematic(columns(16), cells_of(NARROW_CHECKS), 2);
    let signs = [BIT_6, NARROW_CHECKS & !BIT_6];
    Design::new("in-place-dected-64-48", (BLOCK, Constraint::TWO_BIT_ALL), code, (0..64).collect(), signs)
});

/// The columns (1, x, x^3) of the elements x of GF(2^6), 13 rows, and three rows of x^5, with which the bits 6 and 5 of
/// all weights are independent.
fn columns(rows: usize) -> Vec<u16> {
    // Cell i holds the element a^i, cell 63 the element 0: with that, the check cells' columns are independent.
    let mut element = 1u8;
    let powers = std::iter::repeat_with(|| {
        let power = element;
        element = times(element, 2);
        power
    });
    let column = |x: u8| {
        let square = times(x, x);
        let [cube, fifth] = [times(x, square), times(times(x, square), square)];
        1 | u32::from(x) << 1 | u32::from(cube) << 7 | u32::from(fifth >> 2) << 13
    };
    powers.take(63).chain([0]).map(|x| (column(x) & ((1 << rows) - 1)) as u16).collect()
}

fn cells_of(mask: u64) -> Vec<usize> {
    (0..64).filter(|cell| mask >> cell & 1 == 1).collect()
}

/// The product in GF(2^6).
fn times(a: u8, b: u8) -> u8 {
    (0..6).rev().fold(0, |product: u8, bit| {
        let doubled = product << 1;
        let reduced = if doubled >> 6 & 1 == 1 { doubled ^ FIELD } else { doubled };
        reduced ^ if b >> bit & 1 == 1 { a } else { 0 }
    })
}

impl Inside {
    /// DEC-TED (64,51) inside a block of eight weights, which must leave it 13 cells: bits 6 and 5 of weights 0..=5 and
    /// bit 6 of weight 6 ([`Constraint::TWO_BIT`]).
    ///
    /// The code is the extended BCH code [64,51,6], columns (1, x, x^3) for the 64 elements x of GF(2^6). It corrects
    /// all 2,080 patterns of one and two flips and detects all 41,664 of three. Of the 635,376 patterns of four it
    /// miscorrects 302,400 (47.6 %) and passes none as clean; it detects the others.
    pub fn in_place_dected(kernel: Kernel) -> Self {
        Self::new(&DESIGN, kernel)
    }

    /// DEC-TED (64,48) inside a block of eight weights that are all in [-32, 31] ([`Constraint::TWO_BIT_ALL`]).
    ///
    /// Against (64,51) the last two weights give up their ranges too. What that buys is not distance, which is still 6,
    /// but that no weight can read as more than 63 levels from what it was, where the free one could by 255. The three
    /// check bits more, of x^5, let the decoder detect most patterns of four flips: it miscorrects 33,600 (5.3 %).
    pub fn in_place_dected_narrow(kernel: Kernel) -> Self {
        Self::new(&NARROW_DESIGN, kernel)
    }
}
