//! Lines as eight 64-bit integers, block by block as in `fold.rs`.
#![allow(unsafe_code)]

use crate::BLOCK;
use crate::codes::fold::{
    IN_PLACE_STEPS, SECDED_MASK, copy_signs, in_place_encode, in_place_steps, packed_parities, with_fold,
};

use super::kernel::{self, Code, LINE, Line, Sweep, each};

pub(super) fn run(code: Code<'_>, sweep: impl Sweep) {
    // SAFETY: 64-bit arithmetic needs no instruction-set extension.
    unsafe { kernel::run::<[u64; 8]>(code, sweep) }
}

impl Line for [u64; 8] {
    const VECTORS: bool = false;

    #[inline(always)]
    unsafe fn load(from: &[u8; LINE]) -> Self {
        let blocks = from.as_chunks::<BLOCK>().0;
        std::array::from_fn(|i| u64::from_le_bytes(blocks[i]))
    }

    #[inline(always)]
    unsafe fn store(self, to: &mut [u8; LINE]) {
        for (bytes, block) in to.as_chunks_mut::<BLOCK>().0.iter_mut().zip(self) {
            *bytes = block.to_le_bytes();
        }
    }

    #[inline(always)]
    unsafe fn parities(self) -> u64 {
        packed_parities(self)
    }

    #[inline(always)]
    unsafe fn secded_check(self) -> u64 {
        packed_parities(self.map(|block| with_fold(block, SECDED_MASK)))
    }

    #[inline(always)]
    unsafe fn in_place_syndromes(self) -> u64 {
        let steps = each(self, |block| in_place_steps(block) & IN_PLACE_STEPS);
        if steps.into_iter().fold(0, |sum, steps| sum | steps) == 0 {
            return 0;
        }
        u64::from_le_bytes(steps.map(|steps| u8::from(steps != 0)))
    }

    #[inline(always)]
    unsafe fn copy_signs(self) -> Self {
        each(self, copy_signs)
    }

    #[inline(always)]
    unsafe fn in_place_encode(self) -> Self {
        each(self, in_place_encode)
    }
}
