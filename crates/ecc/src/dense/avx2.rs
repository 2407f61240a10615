//! Lines as two vectors of AVX2.
#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m256i, _mm_setr_epi8, _mm256_and_si256, _mm256_andnot_si256, _mm256_broadcastsi128_si256,
    _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8, _mm256_set1_epi64x,
    _mm256_shuffle_epi8, _mm256_shuffle_epi32, _mm256_srli_epi16, _mm256_storeu_si256, _mm256_stream_si256,
    _mm256_xor_si256,
};

use crate::codes::fold::{IN_PLACE_CHECKS, IN_PLACE_MASK, SECDED_MASK};

use super::kernel::{self, Code, LINE, Line, Sweep};

#[target_feature(enable = "avx2")]
pub(super) fn run(code: Code<'_>, sweep: impl Sweep) {
    // SAFETY: this function is compiled for, and only called with, AVX2.
    unsafe { kernel::run::<[__m256i; 2]>(code, sweep) }
}

/// The safety of all methods: the caller promises AVX2. Functions and no closures, which would not be compiled
/// for it.
impl Line for [__m256i; 2] {
    const VECTORS: bool = true;

    #[inline(always)]
    unsafe fn load(from: &[u8; LINE]) -> Self {
        let from = from.as_ptr().cast::<__m256i>();
        // SAFETY: AVX2; 64 bytes are two unaligned vectors.
        unsafe { [_mm256_loadu_si256(from), _mm256_loadu_si256(from.add(1))] }
    }

    #[inline(always)]
    unsafe fn store(self, to: &mut [u8; LINE]) {
        let to = to.as_mut_ptr().cast::<__m256i>();
        // SAFETY: AVX2; 64 bytes are two unaligned vectors.
        unsafe {
            _mm256_storeu_si256(to, self[0]);
            _mm256_storeu_si256(to.add(1), self[1]);
        }
    }

    #[inline(always)]
    unsafe fn stream(self, to: &mut [u8; LINE]) {
        let to = to.as_mut_ptr().cast::<__m256i>();
        // SAFETY: AVX2; 64 bytes are two vectors, aligned because the caller promises a line.
        unsafe {
            _mm256_stream_si256(to, self[0]);
            _mm256_stream_si256(to.add(1), self[1]);
        }
    }

    #[inline(always)]
    unsafe fn parities(self) -> u64 {
        // SAFETY: AVX2.
        unsafe { gather([byte_parities(self[0]), byte_parities(self[1])]) }
    }

    #[inline(always)]
    unsafe fn secded_check(self) -> u64 {
        // SAFETY: AVX2.
        unsafe {
            let [low, high] = [with_fold(self[0], SECDED_MASK), with_fold(self[1], SECDED_MASK)];
            gather([byte_parities(low), byte_parities(high)])
        }
    }

    #[inline(always)]
    unsafe fn in_place_syndromes(self) -> u64 {
        // SAFETY: AVX2.
        unsafe { gather([in_place_spread(self[0]), in_place_spread(self[1])]) }
    }

    #[inline(always)]
    unsafe fn copy_signs(self) -> Self {
        // SAFETY: AVX2.
        unsafe { [copy_signs(self[0]), copy_signs(self[1])] }
    }

    #[inline(always)]
    unsafe fn in_place_encode(self) -> Self {
        // SAFETY: AVX2.
        unsafe { [in_place_encode(self[0]), in_place_encode(self[1])] }
    }
}

/// All bits of a byte: its parity.
///
/// # Safety
/// The machine must have AVX2, here and in the next five.
#[inline(always)]
unsafe fn byte_parities(x: __m256i) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe {
        let table = _mm256_broadcastsi128_si256(_mm_setr_epi8(
            0, -1, -1, 0, -1, 0, 0, -1, -1, 0, 0, -1, 0, -1, -1, 0,
        ));
        let nibbles = _mm256_xor_si256(x, _mm256_srli_epi16::<4>(x));
        _mm256_shuffle_epi8(table, _mm256_and_si256(nibbles, _mm256_set1_epi8(15)))
    }
}

/// [`with_fold`](crate::codes::fold::with_fold) of every block.
#[inline(always)]
unsafe fn with_fold(x: __m256i, mask: u64) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe {
        let by2 =
            _mm256_broadcastsi128_si256(_mm_setr_epi8(2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
        let by1 =
            _mm256_broadcastsi128_si256(_mm_setr_epi8(1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14));
        let f = _mm256_xor_si256(x, _mm256_shuffle_epi32::<0b10_11_00_01>(x));
        let f = _mm256_xor_si256(f, _mm256_shuffle_epi8(f, by2));
        let f = _mm256_xor_si256(f, _mm256_shuffle_epi8(f, by1));
        _mm256_xor_si256(x, _mm256_and_si256(f, _mm256_set1_epi64x(mask.cast_signed())))
    }
}

/// All bits of byte b of a block: bit b of its (64,57) syndrome.
#[inline(always)]
unsafe fn in_place_spread(x: __m256i) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe {
        let sevens = _mm256_broadcastsi128_si256(_mm_setr_epi8(
            7, 7, 7, 7, 7, 7, 7, 7, 15, 15, 15, 15, 15, 15, 15, 15,
        ));
        let byte7 = _mm256_shuffle_epi8(x, sevens);
        byte_parities(_mm256_xor_si256(with_fold(x, IN_PLACE_MASK), byte7))
    }
}

/// [`copy_signs`](crate::codes::fold::copy_signs) of every block.
#[inline(always)]
unsafe fn copy_signs(x: __m256i) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe {
        let checks = _mm256_set1_epi64x(IN_PLACE_CHECKS.cast_signed());
        let signs = _mm256_and_si256(_mm256_srli_epi16::<1>(x), checks);
        _mm256_or_si256(_mm256_andnot_si256(checks, x), signs)
    }
}

/// [`in_place_encode`](crate::codes::fold::in_place_encode) of every block.
#[inline(always)]
unsafe fn in_place_encode(x: __m256i) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe {
        let checks = _mm256_set1_epi64x(IN_PLACE_CHECKS.cast_signed());
        let data = _mm256_andnot_si256(checks, x);
        _mm256_or_si256(data, _mm256_and_si256(in_place_spread(data), checks))
    }
}

/// The top bits of all bytes.
#[inline(always)]
unsafe fn gather(x: [__m256i; 2]) -> u64 {
    // SAFETY: the caller's promise.
    let [low, high] = unsafe { [_mm256_movemask_epi8(x[0]), _mm256_movemask_epi8(x[1])] };
    u64::from(low.cast_unsigned()) | u64::from(high.cast_unsigned()) << 32
}
