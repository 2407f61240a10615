//! Lines as two vectors of AVX2.
#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm_setr_epi8, _mm_storeu_si128, _mm256_add_epi32, _mm256_and_si256,
    _mm256_andnot_si256, _mm256_broadcastsi128_si256, _mm256_castsi256_si128, _mm256_loadu_si256,
    _mm256_movemask_epi8, _mm256_mullo_epi32, _mm256_or_si256, _mm256_packus_epi32, _mm256_permute4x64_epi64,
    _mm256_permutevar8x32_epi32, _mm256_set1_epi8, _mm256_set1_epi32, _mm256_set1_epi64x, _mm256_setr_epi32,
    _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_shuffle_epi32, _mm256_srli_epi16, _mm256_srli_epi32,
    _mm256_srli_epi64, _mm256_srlv_epi32, _mm256_storeu_si256, _mm256_stream_si256, _mm256_unpackhi_epi8,
    _mm256_unpackhi_epi16, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi8,
    _mm256_unpacklo_epi16, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64, _mm256_xor_si256,
};

use crate::codes::fold::{IN_PLACE_CHECKS, IN_PLACE_MASK, SECDED_MASK};
use crate::codes::matrix::Matrix;

use super::kernel::{self, Code, GROUP_BLOCKS, Group, LINE, Line, Sweep};

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

    #[inline(always)]
    unsafe fn matrix_syndromes(group: &Group, matrix: &Matrix) -> [u16; GROUP_BLOCKS] {
        // SAFETY: AVX2; 16 bytes are an unaligned vector, and 32 syndromes are two.
        unsafe {
            let mut sums = [_mm256_setzero_si256(); 2];
            for (bytes, tables) in transposed(group).into_iter().zip(&matrix.nibbles) {
                let nibbles = [bytes, _mm256_srli_epi16::<4>(bytes)];
                for (nibbles, tables) in nibbles.into_iter().zip(tables) {
                    let nibbles = _mm256_and_si256(nibbles, _mm256_set1_epi8(15));
                    for (sum, table) in sums.iter_mut().zip(tables) {
                        let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast()));
                        *sum = _mm256_xor_si256(*sum, _mm256_shuffle_epi8(table, nibbles));
                    }
                }
            }
            let [low, high] = sums;
            // Pairs of blocks: the even ones in the low lane, the odd ones in the high lane.
            let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
            let first = _mm256_permutevar8x32_epi32(_mm256_unpacklo_epi8(low, high), order);
            let second = _mm256_permutevar8x32_epi32(_mm256_unpackhi_epi8(low, high), order);
            let mut syndromes = [0; GROUP_BLOCKS];
            let place = syndromes.as_mut_ptr().cast::<__m256i>();
            _mm256_storeu_si256(place, first);
            _mm256_storeu_si256(place.add(1), second);
            syndromes
        }
    }

    #[inline(always)]
    unsafe fn matrix_weights(self, matrix: &Matrix) -> Self {
        // SAFETY: AVX2.
        unsafe { [matrix_weights(self[0], matrix), matrix_weights(self[1], matrix)] }
    }

    #[inline(always)]
    unsafe fn unpacked(bytes: &[u8; 16], skip: usize, bits: usize) -> [u16; 8] {
        // SAFETY: AVX2; 16 bytes are an unaligned vector, and eight fields too.
        unsafe {
            let numbers = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let starts = _mm256_mullo_epi32(numbers, _mm256_set1_epi32(bits as i32));
            let starts = _mm256_add_epi32(starts, _mm256_set1_epi32(skip as i32));
            // The four bytes that a field begins in.
            let first = _mm256_mullo_epi32(_mm256_srli_epi32::<3>(starts), _mm256_set1_epi32(0x0101_0101));
            let places = _mm256_add_epi32(first, _mm256_set1_epi32(0x0302_0100));
            let bytes = _mm256_broadcastsi128_si256(_mm_loadu_si128(bytes.as_ptr().cast()));
            let windows = _mm256_shuffle_epi8(bytes, places);
            let fields = _mm256_srlv_epi32(windows, _mm256_and_si256(starts, _mm256_set1_epi32(7)));
            let fields = _mm256_and_si256(fields, _mm256_set1_epi32(0xffff >> (16 - bits)));
            let packed = _mm256_permute4x64_epi64::<0b00_00_10_00>(_mm256_packus_epi32(fields, fields));
            let mut all = [0; 8];
            _mm_storeu_si128(all.as_mut_ptr().cast(), _mm256_castsi256_si128(packed));
            all
        }
    }
}

/// [`Matrix::weights`] of every block.
///
/// # Safety
/// The machine must have AVX2.
#[inline(always)]
unsafe fn matrix_weights(x: __m256i, matrix: &Matrix) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe {
        let (checks, [one, two]) = matrix.masks();
        let data = _mm256_andnot_si256(_mm256_set1_epi64x(checks.cast_signed()), x);
        let one = _mm256_and_si256(_mm256_srli_epi64::<1>(x), _mm256_set1_epi64x(one.cast_signed()));
        let two = _mm256_and_si256(_mm256_srli_epi64::<2>(x), _mm256_set1_epi64x(two.cast_signed()));
        _mm256_or_si256(data, _mm256_or_si256(one, two))
    }
}

/// Byte k of every block in vector k: the low lane holds blocks 0, 1, 4, 5, 8, 9, ..., the high lane 2, 3, 6, 7, ...
///
/// # Safety
/// The machine must have AVX2.
#[inline(always)]
unsafe fn transposed(group: &Group) -> [__m256i; 8] {
    let from = group.as_ptr().cast::<__m256i>();
    // SAFETY: the caller's promise; 256 bytes are eight unaligned vectors.
    unsafe {
        // Bytes k of two neighbouring blocks are pair k of a lane.
        let pairs =
            _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15));
        let mut x = [pairs; 8];
        for (i, x) in x.iter_mut().enumerate() {
            *x = _mm256_shuffle_epi8(_mm256_loadu_si256(from.add(i)), pairs);
        }
        let mut y = x;
        for i in 0..4 {
            y[2 * i] = _mm256_unpacklo_epi16(x[2 * i], x[2 * i + 1]);
            y[2 * i + 1] = _mm256_unpackhi_epi16(x[2 * i], x[2 * i + 1]);
        }
        // Vector 4 h + 2 j + i: bytes 4 i .. 4 i + 4 of vectors 4 h + 2 j and the one after it.
        for h in [0, 4] {
            for i in 0..2 {
                x[h + 2 * i] = _mm256_unpacklo_epi32(y[h + i], y[h + 2 + i]);
                x[h + 2 * i + 1] = _mm256_unpackhi_epi32(y[h + i], y[h + 2 + i]);
            }
        }
        for k in 0..4 {
            y[2 * k] = _mm256_unpacklo_epi64(x[k], x[4 + k]);
            y[2 * k + 1] = _mm256_unpackhi_epi64(x[k], x[4 + k]);
        }
        y
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
