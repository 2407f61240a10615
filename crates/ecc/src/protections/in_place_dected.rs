use std::sync::LazyLock;

use super::inside::{Design, Inside};
use crate::{BLOCK, Constraint, Kernel, LinearCode};

/// x^6 + x + 1.
const FIELD: u8 = 0x43;
/// Bits 6 and 5 of weights 0..=5 and bit 6 of weight 6.
const CHECKS: u64 = 0x0040_6060_6060_6060;
const BIT_6: u64 = 0x0040_4040_4040_4040;

static DESIGN: LazyLock<Design> = LazyLock::new(|| {
    // Cell i holds the element x^i, cell 63 the element 0: with that, the check cells' columns are independent.
    let mut element = 1u8;
    let powers = std::iter::repeat_with(|| {
        let power = element;
        element = times(element, 2);
        power
    });
    let columns = powers.take(63).chain([0]).map(|x| {
        let cube = times(x, times(x, x));
        1 | u16::from(x) << 1 | u16::from(cube) << 7
    });
    let check_cells = (0..64).filter(|cell| CHECKS >> cell & 1 == 1).collect();
    let code = LinearCode::systematic(columns.collect(), check_cells, 2);
    let signs = [BIT_6, CHECKS & !BIT_6];
    Design::new("in-place-dected-64-51", (BLOCK, Constraint::TWO_BIT), code, (0..64).collect(), signs)
});

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
}
