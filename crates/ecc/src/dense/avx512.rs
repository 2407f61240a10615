//! Lines as a vector of AVX-512, with bit matrices of GFNI.
#![allow(unsafe_code)]

use std::arch::x86_64::{
    __m256i, __m512i, _mm_setr_epi8, _mm_storeu_si128, _mm512_andnot_si512, _mm512_broadcast_i32x4,
    _mm512_castsi512_si128, _mm512_gf2p8affine_epi64_epi8, _mm512_loadu_si512, _mm512_movepi8_mask,
    _mm512_or_si512, _mm512_permutexvar_epi16, _mm512_set1_epi8, _mm512_set1_epi64, _mm512_shuffle_epi8,
    _mm512_shuffle_i64x2, _mm512_srli_epi16, _mm512_srli_epi64, _mm512_storeu_si512, _mm512_stream_si512,
    _mm512_ternarylogic_epi64, _mm512_unpackhi_epi64, _mm512_unpacklo_epi64, _mm512_xor_si512,
};

use crate::codes::fold::{IN_PLACE_CHECKS, IN_PLACE_MASK, SECDED_MASK};
use crate::codes::matrix::Matrix;

use super::kernel::{self, Code, GROUP_BLOCKS, Group, LINE, Line, Sweep};

#[target_feature(enable = "avx512f,avx512bw,gfni")]
pub(super) fn run(code: Code<'_>, sweep: impl Sweep) {
    // SAFETY: this function is compiled for, and only called with, AVX-512F, AVX-512BW and GFNI.
    unsafe { kernel::run::<__m512i>(code, sweep) }
}

/// The safety of all methods: the caller promises AVX-512F, AVX-512BW and GFNI.
impl Line for __m512i {
    const VECTORS: bool = true;

    #[inline(always)]
    unsafe fn load(from: &[u8; LINE]) -> Self {
        // SAFETY: AVX-512F; 64 bytes are an unaligned vector.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, to: &mut [u8; LINE]) {
        // SAFETY: AVX-512F; 64 bytes are an unaligned vector.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), self) }
    }

    #[inline(always)]
    unsafe fn stream(self, to: &mut [u8; LINE]) {
        // SAFETY: AVX-512F; 64 bytes are a vector, aligned because the caller promises a line.
        unsafe { _mm512_stream_si512(to.as_mut_ptr().cast(), self) }
    }

    #[inline(always)]
    unsafe fn parities(self) -> u64 {
        // SAFETY: AVX-512BW and GFNI.
        unsafe { _mm512_movepi8_mask(byte_parities(self)) }
    }

    #[inline(always)]
    unsafe fn secded_check(self) -> u64 {
        // SAFETY: AVX-512F and GFNI.
        unsafe {
            let masks = _mm512_set1_epi64(SECDED_MASK.cast_signed());
            _mm512_xor_si512(self, _mm512_gf2p8affine_epi64_epi8::<0>(masks, self)).parities()
        }
    }

    #[inline(always)]
    unsafe fn in_place_syndromes(self) -> u64 {
        // SAFETY: AVX-512F, AVX-512BW and GFNI.
        unsafe { _mm512_movepi8_mask(in_place_spread(self)) }
    }

    #[inline(always)]
    unsafe fn copy_signs(self) -> Self {
        // SAFETY: AVX-512F and AVX-512BW. The constant chooses the second operand where the first is set.
        unsafe {
            let checks = _mm512_set1_epi64(IN_PLACE_CHECKS.cast_signed());
            _mm512_ternarylogic_epi64::<0xca>(checks, _mm512_srli_epi16::<1>(self), self)
        }
    }

    #[inline(always)]
    unsafe fn in_place_encode(self) -> Self {
        // SAFETY: AVX-512F, AVX-512BW and GFNI. The constant is that of a | b & c.
        unsafe {
            let checks = _mm512_set1_epi64(IN_PLACE_CHECKS.cast_signed());
            let data = _mm512_andnot_si512(checks, self);
            _mm512_ternarylogic_epi64::<0xf8>(data, in_place_spread(data), checks)
        }
    }

    #[inline(always)]
    unsafe fn matrix_syndromes(group: &Group, matrix: &Matrix) -> [u16; GROUP_BLOCKS] {
        let mut all = [0; GROUP_BLOCKS];
        for (line, all) in group.iter().zip(all.as_chunks_mut::<8>().0) {
            let mut halves = [0u8; 16];
            // SAFETY: AVX-512F, AVX-512BW and GFNI; 16 bytes are an unaligned vector.
            unsafe {
                let syndromes = _mm512_castsi512_si128(syndromes(Self::load(line), matrix));
                _mm_storeu_si128(halves.as_mut_ptr().cast(), syndromes);
            }
            (0..8).for_each(|w| all[w] = u16::from_le_bytes([halves[w], halves[8 + w]]));
        }
        all
    }

    #[inline(always)]
    unsafe fn unpacked(bytes: &[u8; 16], skip: usize, bits: usize) -> [u16; 8] {
        // SAFETY: AVX-512F includes AVX2.
        unsafe { <[__m256i; 2]>::unpacked(bytes, skip, bits) }
    }

    #[inline(always)]
    unsafe fn matrix_weights(self, matrix: &Matrix) -> Self {
        // SAFETY: AVX-512F. The constant is that of a | b & c.
        unsafe {
            let (checks, signs) = matrix.masks();
            let [one, two] = signs.map(u64::cast_signed);
            let data = _mm512_andnot_si512(_mm512_set1_epi64(checks.cast_signed()), self);
            let above = _mm512_srli_epi64::<1>(self);
            let data = _mm512_ternarylogic_epi64::<0xf8>(data, above, _mm512_set1_epi64(one));
            let above = _mm512_srli_epi64::<2>(self);
            _mm512_ternarylogic_epi64::<0xf8>(data, above, _mm512_set1_epi64(two))
        }
    }

    #[inline(always)]
    unsafe fn matrix_encode(self, matrix: &Matrix) -> Self {
        // SAFETY: AVX-512F, AVX-512BW and GFNI; eight u64 are an unaligned vector.
        unsafe {
            let (checks, _) = matrix.masks();
            let data = _mm512_andnot_si512(_mm512_set1_epi64(checks.cast_signed()), self);
            let syndromes = syndromes(data, matrix);
            let [low, high] =
                [_mm512_unpacklo_epi64(syndromes, syndromes), _mm512_unpackhi_epi64(syndromes, syndromes)];
            let low = _mm512_gf2p8affine_epi64_epi8::<0>(low, bit_matrices(&matrix.to_checks[0]));
            let high = _mm512_gf2p8affine_epi64_epi8::<0>(high, bit_matrices(&matrix.to_checks[1]));
            let bits = transposed_back(_mm512_xor_si512(low, high));
            _mm512_or_si512(data, bits)
        }
    }
}

/// Byte w of both halves of every lane: the low and the high byte of the syndrome of block w.
///
/// # Safety
/// The machine must have AVX-512F, AVX-512BW and GFNI, here and in the next three.
#[inline(always)]
unsafe fn syndromes(x: __m512i, matrix: &Matrix) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe {
        let x = transposed(x);
        let low = _mm512_gf2p8affine_epi64_epi8::<0>(x, bit_matrices(&matrix.to_syndrome[0]));
        let high = _mm512_gf2p8affine_epi64_epi8::<0>(x, bit_matrices(&matrix.to_syndrome[1]));
        let sums = _mm512_xor_si512(_mm512_unpacklo_epi64(low, high), _mm512_unpackhi_epi64(low, high));
        let sums = _mm512_xor_si512(sums, _mm512_shuffle_i64x2::<0b01_00_11_10>(sums, sums));
        _mm512_xor_si512(sums, _mm512_shuffle_i64x2::<0b10_11_00_01>(sums, sums))
    }
}

/// The bit matrices by which the eight bytes of a block are multiplied.
#[inline(always)]
unsafe fn bit_matrices(matrices: &[u64; 8]) -> __m512i {
    // SAFETY: the caller's promise; eight u64 are an unaligned vector.
    unsafe { _mm512_loadu_si512(matrices.as_ptr().cast()) }
}

/// Byte w of 64-bit lane k: byte k of block w. So one matrix a lane multiplies a byte of all blocks.
#[inline(always)]
unsafe fn transposed(x: __m512i) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe {
        let pairs = _mm512_shuffle_epi8(
            x,
            _mm512_broadcast_i32x4(_mm_setr_epi8(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15)),
        );
        _mm512_permutexvar_epi16(_mm512_loadu_si512(PAIRS_BY_BYTE.as_ptr().cast()), pairs)
    }
}

/// The opposite.
#[inline(always)]
unsafe fn transposed_back(x: __m512i) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe {
        let pairs = _mm512_permutexvar_epi16(_mm512_loadu_si512(PAIRS_BY_LANE.as_ptr().cast()), x);
        _mm512_shuffle_epi8(
            pairs,
            _mm512_broadcast_i32x4(_mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15)),
        )
    }
}

/// Bytes k of two neighbouring blocks are pair k of a lane; all pairs of byte 0, then of byte 1, ...
const PAIRS_BY_BYTE: [u16; 32] = transposition(8, 4);

/// The opposite.
const PAIRS_BY_LANE: [u16; 32] = transposition(4, 8);

/// Source positions of the entries of a transposed matrix of `rows` rows.
const fn transposition(rows: u16, columns: u16) -> [u16; 32] {
    let mut from = [0; 32];
    let mut i = 0;
    while i < rows * columns {
        from[i as usize] = i % columns * rows + i / columns;
        i += 1;
    }
    from
}

/// All bits of a byte: its parity, by a matrix of ones.
///
/// # Safety
/// The machine must have AVX-512F, AVX-512BW and GFNI, here and in the next one.
#[inline(always)]
unsafe fn byte_parities(x: __m512i) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe { _mm512_gf2p8affine_epi64_epi8::<0>(x, _mm512_set1_epi8(-1)) }
}

/// All bits of byte b of a block: bit b of its (64,57) syndrome.
#[inline(always)]
unsafe fn in_place_spread(x: __m512i) -> __m512i {
    // SAFETY: the caller's promise. The constant of the ternary operation is XOR's.
    unsafe {
        let folded = _mm512_gf2p8affine_epi64_epi8::<0>(_mm512_set1_epi64(IN_PLACE_MASK.cast_signed()), x);
        let byte7 = _mm512_shuffle_epi8(
            x,
            _mm512_broadcast_i32x4(_mm_setr_epi8(7, 7, 7, 7, 7, 7, 7, 7, 15, 15, 15, 15, 15, 15, 15, 15)),
        );
        byte_parities(_mm512_ternarylogic_epi64::<0x96>(x, folded, byte7))
    }
}
