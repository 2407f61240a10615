use std::sync::{Arc, LazyLock};

use super::block_code::{BlockCode, Design};
use crate::{Constraint, Kernel, LinearCode};

/// Bits 6 of weights 0..=2, and bits 5.
const SIGNS: [u64; 2] = [0x0040_4040, 0x0020_2020];

static DESIGN: LazyLock<Arc<Design>> = LazyLock::new(|| {
    // The 32 columns of odd weight, the heavier ones in ascending order at the bits without check bits.
    let check_positions: Vec<usize> = (0..32).filter(|bit| (SIGNS[0] | SIGNS[1]) >> bit & 1 == 1).collect();
    let mut heavier = (0..64u16).filter(|column| [3, 5].contains(&column.count_ones()));
    let column = |bit| match check_positions.iter().position(|&check| check == bit) {
        Some(row) => 1 << row,
        None => heavier.next().expect("26 columns of weight 3 and 5"),
    };
    let code = LinearCode::new((0..32).map(column).collect(), check_positions.clone(), 1);
    Arc::new(Design::new("in-place-32-26", (4, Constraint::TWO_BIT_OF_FOUR), code, (0..32).collect(), SIGNS))
});

impl BlockCode {
    /// SEC-DED (32,26) inside four weights, its six check bits on bits 6 and 5 of the first three, which must be in
    /// [-32, 31] ([`Constraint::TWO_BIT_OF_FOUR`]).
    pub fn in_place_32(kernel: Kernel) -> Self {
        Self::new(Arc::clone(&DESIGN), kernel)
    }
}
