use std::sync::{Arc, LazyLock};

use super::block_code::{BlockCode, Design};
use crate::{BLOCK, Constraint, Kernel, LinearCode};

static DESIGN: LazyLock<Arc<Design>> = LazyLock::new(|| {
    // Check bit j on bit 0 of weight j; the other bits have the 56 columns of weight 3 (Hsiao 1970).
    let mut heavier = (0..=255u16).filter(|column| column.count_ones() == 3);
    let column = |bit: usize| match bit % 8 {
        0 => 1 << (bit / 8),
        _ => heavier.next().expect("56 columns of weight 3"),
    };
    let columns = (0..64).map(column).collect();
    let code = LinearCode::new(columns, (0..8).map(|weight| 8 * weight).collect(), 1);
    let design = Design::new("lsb-64-56", (BLOCK, Constraint::NONE), code, (0..64).collect(), [0, 0]);
    Arc::new(design.with_remark("bit 0 zero "))
});

impl BlockCode {
    /// SEC-DED (64,56) inside a block of any eight weights. Its eight check bits replace the least significant bits, which
    /// are read as 0. Lossy: a control that shows whether small weights are needed at all.
    pub fn lsb(kernel: Kernel) -> Self {
        Self::new(Arc::clone(&DESIGN), kernel)
    }
}
