use std::sync::LazyLock;

use super::inside::{Design, Inside};
use crate::{BLOCK, Constraint, Kernel, LinearCode};

/// Bit 6 of every weight, and bit 5.
const SIGNS: [u64; 2] = [0x4040_4040_4040_4040, 0x2020_2020_2020_2020];

/// x^5 + x^2 + 1.
const FIELD: u16 = 0x25;

static DESIGN: LazyLock<Design> = LazyLock::new(|| {
    let powers: Vec<u16> = (0..31)
        .scan(1, |power, _| {
            let this = *power;
            let doubled = this << 1;
            *power = if doubled >> 5 & 1 == 1 { doubled ^ FIELD } else { doubled };
            Some(this)
        })
        .collect();
    // Zeros of the code are the quadratic residues modulo 31: 1, 5 and 7 times powers of 2. The last cell holds the
    // overall parity.
    let column = |i: usize| 1 | powers[i] << 1 | powers[5 * i % 31] << 6 | powers[7 * i % 31] << 11;
    let columns = (0..31).map(column).chain([1]).collect();
    // In this order the columns of bits 5 and 6 are independent.
    let cells = (0..BLOCK).flat_map(|weight| (4..8).map(move |bit| 8 * weight + bit)).collect();
    let check_cells = (0..32).filter(|cell| [1, 2].contains(&(cell % 4))).collect();
    let code = LinearCode::systematic(columns, check_cells, 3);
    Design::new("in-place-msb-32-16", (BLOCK, Constraint::TWO_BIT_ALL), code, cells, SIGNS)
        .with_remark("bits 4-7 ")
});

impl Inside {
    /// Unequal protection: (32,16) over bits 7..=4 of a block of eight weights, which must all be in [-32, 31]
    /// ([`Constraint::TWO_BIT_ALL`]). Bits 6 and 5 hold the 16 check bits, bits 7 and 4 are its data. Bits 3..=0 are
    /// not protected: their flips are silent, and change a weight by at most 15.
    ///
    /// With as many cells to spare it corrects flips of the bits that matter more strongly than a code over all bits
    /// would. The code is the extended quadratic-residue code [32,16,8]: it corrects all 5,488 patterns of up to three
    /// flips of its 32 cells and detects all 35,960 of four.
    pub fn in_place_msb(kernel: Kernel) -> Self {
        Self::new(&DESIGN, kernel)
    }
}
