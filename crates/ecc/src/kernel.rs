//! The dense loops: whole planes through a code, a cache line at a time.
//!
//! The unit is a *line*: 64 bytes, which are eight blocks, whose 64 check or syndrome bits are one u64 (bit
//! 8 w + b: bit b of block w, as in the check plane). A *group* of four lines is examined before a branch: when
//! all its blocks are clean, which is nearly always, it is done; otherwise it is left to the word decoder. So
//! nothing here corrects anything, and what these loops must get right is only which groups are clean, what
//! clean weights are, and what is stored for weights.
//!
//! # The fold in vectors
//!
//! `fold.rs` finds syndromes as byte parities: syndrome_b = parity(x_b ^ (F & L_b)) with F the XOR of a block's
//! bytes, and in the (64,57) code plus parity(x_7) in every row. Bit b of block w in a line's syndromes is then
//! the parity of *byte* 8 w + b of a line y, and collecting one bit from every byte is what a vector's move-mask
//! does. What is left is to make y:
//!
//! * **AVX2**: F by three XORs of the block with itself rotated (by 4, 2 and 1 bytes), so that every byte of a
//!   block is F; y = x ^ (F & L) ^ x_7. Parity by nibble: y ^ y >> 4, and a 16-entry shuffle as the table.
//! * **AVX-512 with GFNI**: `gf2p8affineqb` multiplies every byte of one operand by the 8 x 8 bit matrix that is
//!   the block of the other operand. With the *data as matrices* and L as the bytes, byte b of the product is
//!   the eight parities parity(x_k & L_b), k = 0..8, whose own parity is parity(F & L_b): one instruction for
//!   fold and mask. The parity of every byte is a second one, with a matrix of ones.
//! * **A matrix without that structure** (`matrix.rs`): tables, block by block; with GFNI a line is transposed, so that
//!   byte k of all blocks lies together and is multiplied by the two bit matrices from it to the syndrome, and the
//!   products of the eight bytes are added up.
//! * **Portable**: 64-bit arithmetic, block by block as in `fold.rs`, and the parities of eight blocks packed
//!   into one word together.
//!
//! # Memory
//!
//! Beyond the caches all forms wait for memory. Measured on Zen 4, three things matter there: prefetching a page
//! ahead (the hardware does not cross pages), non-temporal stores for outputs that are larger than the caches (an
//! ordinary store reads the line first; of check bytes too, which are a ninth of what is written but cost a fifth
//! of the time), and whole aligned lines in the stores of weights.
//!
//! This is the only module with `unsafe`, for three reasons: entering a function compiled for instructions that
//! were found at run time, the vector intrinsics in it that take pointers, and reading weights as bytes.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256i, __m512i, _MM_HINT_T0, _mm_prefetch, _mm_setr_epi8, _mm_sfence, _mm_stream_si64,
    _mm256_and_si256, _mm256_andnot_si256, _mm256_broadcastsi128_si256, _mm256_loadu_si256,
    _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8, _mm256_set1_epi64x, _mm256_shuffle_epi8,
    _mm256_shuffle_epi32, _mm256_srli_epi16, _mm256_storeu_si256, _mm256_stream_si256, _mm256_xor_si256,
    _mm512_andnot_si512, _mm512_broadcast_i32x4, _mm512_gf2p8affine_epi64_epi8, _mm512_loadu_si512,
    _mm512_movepi8_mask, _mm512_or_si512, _mm512_permutexvar_epi16, _mm512_set1_epi8, _mm512_set1_epi64,
    _mm512_shuffle_epi8, _mm512_shuffle_i64x2, _mm512_srli_epi16, _mm512_srli_epi64, _mm512_storeu_si512,
    _mm512_stream_si512, _mm512_ternarylogic_epi64, _mm512_test_epi64_mask, _mm512_unpackhi_epi64,
    _mm512_unpacklo_epi64, _mm512_xor_si512,
};

use crate::BLOCK;
#[cfg(target_arch = "x86_64")]
use crate::codes::fold::{IN_PLACE_CHECKS, IN_PLACE_MASK};
use crate::codes::fold::{
    IN_PLACE_STEPS, SECDED_MASK, copy_signs, in_place_encode, in_place_steps, packed_parities, with_fold,
};
use crate::codes::matrix::Matrix;

/// Bytes of a line.
const LINE: usize = 64;
/// Bytes of a group.
const GROUP: usize = 4 * LINE;
/// Blocks of a group, and its check bytes where a code has them.
pub(crate) const GROUP_BLOCKS: usize = GROUP / BLOCK;
/// How far ahead of the loads to prefetch, in bytes.
const AHEAD: usize = 4096;
/// Outputs of this many bytes or more go past the caches.
const STREAM_FROM: usize = 4 << 20;

/// A form of the dense loops that this machine can run. All forms give the same results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel(Form);

// Private, so that only `available` makes one and a `Kernel` proves that the machine has its instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// A code that the loops know.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Code {
    Faulty,
    ParityZero,
    SecDed,
    InPlace,
    Matrix(&'static Matrix),
    /// A code of more than 16 check bits, as two of at most so many: each matrix sees the other's check cells as cells
    /// without a column.
    Matrices(&'static [Matrix; 2]),
}

impl Kernel {
    /// All forms that this machine has, the fastest last.
    pub fn available() -> Vec<Self> {
        let mut forms = vec![Form::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                forms.push(Form::Avx2);
            }
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("gfni")
            {
                forms.push(Form::Avx512);
            }
        }
        forms.into_iter().map(Self).collect()
    }

    /// The fastest form that this machine has.
    pub fn fastest() -> Self {
        *Self::available().last().expect("the portable form is always there")
    }

    /// Its name, for reports.
    pub fn id(self) -> &'static str {
        match self.0 {
            Form::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Form::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Form::Avx512 => "avx512-gfni",
        }
    }

    /// Calls `dirty` with the first block of each group whose blocks are not all clean. The data are whole groups.
    pub(crate) fn verify(self, code: Code, data: &[u8], check: &[u8], dirty: &mut dyn FnMut(usize)) {
        self.run(code, Verify { data, check, dirty });
    }

    /// Writes the weights of clean groups, and calls `dirty` with the first block of the others and the place
    /// for their weights. The data are whole groups.
    pub(crate) fn decode(
        self,
        code: Code,
        data: &[u8],
        check: &[u8],
        weights: &mut [i8],
        dirty: &mut dyn FnMut(usize, &mut [i8]),
    ) {
        self.run(code, Decode { data, check, weights, dirty });
    }

    /// Stores weights: whole groups.
    pub(crate) fn encode(self, code: Code, weights: &[i8], data: &mut [u8], check: &mut [u8]) {
        self.run(code, Encode { weights: bytes(weights), data, check });
    }

    fn run(self, code: Code, sweep: impl Sweep) {
        match self.0 {
            // SAFETY: 64-bit arithmetic needs no instruction-set extension.
            Form::Portable => unsafe { run::<[u64; 8]>(code, sweep) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` made this form, so the machine has AVX2.
            Form::Avx2 => unsafe { run_avx2(code, sweep) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` made this form, so the machine has AVX-512F, AVX-512BW and GFNI.
            Form::Avx512 => unsafe { run_avx512(code, sweep) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn run_avx2(code: Code, sweep: impl Sweep) {
    // SAFETY: this function is compiled for, and only called with, AVX2.
    unsafe { run::<[__m256i; 2]>(code, sweep) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,gfni")]
fn run_avx512(code: Code, sweep: impl Sweep) {
    // SAFETY: this function is compiled for, and only called with, AVX-512F, AVX-512BW and GFNI.
    unsafe { run::<__m512i>(code, sweep) }
}

/// # Safety
/// The machine must have the instructions of `L`.
#[inline(always)]
unsafe fn run<L: Line>(code: Code, sweep: impl Sweep) {
    // SAFETY: the caller's promise about `L` is that of `over`.
    unsafe {
        match code {
            Code::Faulty => sweep.over::<L, _>(Bare),
            Code::ParityZero => sweep.over::<L, _>(WeightParity),
            Code::SecDed => sweep.over::<L, _>(BesideBlock),
            Code::InPlace => sweep.over::<L, _>(InsideBlock),
            Code::Matrix(matrix) => sweep.over::<L, _>(matrix),
            Code::Matrices(matrices) => sweep.over::<L, _>(matrices),
        }
    }
}

/// Bytes of `output` before its first whole line, when the groups after it are to be stored past the caches and
/// its blocks can be aligned; otherwise none.
pub(crate) fn bytes_before_lines<T>(output: &[T]) -> usize {
    let bytes = output.as_ptr().addr().next_multiple_of(LINE) - output.as_ptr().addr();
    let streams = size_of_val(output) >= STREAM_FROM + LINE + GROUP && bytes.is_multiple_of(BLOCK);
    if streams { bytes } else { 0 }
}

/// Whether to store groups past the caches.
fn streams(output: &[u8]) -> bool {
    output.len() >= STREAM_FROM && output.as_ptr().addr().is_multiple_of(LINE)
}

fn bytes(weights: &[i8]) -> &[u8] {
    // SAFETY: i8 and u8 have the same size, alignment and valid values.
    unsafe { std::slice::from_raw_parts(weights.as_ptr().cast(), weights.len()) }
}

fn bytes_mut(weights: &mut [i8]) -> &mut [u8] {
    // SAFETY: as above, and the borrow is as exclusive.
    unsafe { std::slice::from_raw_parts_mut(weights.as_mut_ptr().cast(), weights.len()) }
}

/// The groups of a plane that is nothing but groups.
fn groups(plane: &[u8]) -> &[[u8; GROUP]] {
    let (groups, rest) = plane.as_chunks();
    assert!(rest.is_empty(), "a plane of whole groups");
    groups
}

/// A loop over the groups of a plane.
trait Sweep {
    /// # Safety
    /// The machine must have the instructions of `L`.
    unsafe fn over<L: Line, C: Lines>(self, code: C);
}

struct Verify<'a> {
    data: &'a [u8],
    check: &'a [u8],
    dirty: &'a mut dyn FnMut(usize),
}

struct Decode<'a> {
    data: &'a [u8],
    check: &'a [u8],
    weights: &'a mut [i8],
    dirty: &'a mut dyn FnMut(usize, &mut [i8]),
}

struct Encode<'a> {
    weights: &'a [u8],
    data: &'a mut [u8],
    check: &'a mut [u8],
}

impl Sweep for Verify<'_> {
    #[inline(always)]
    unsafe fn over<L: Line, C: Lines>(self, code: C) {
        let groups = groups(self.data);
        let checks = C::checks(self.check, groups.len());
        for (i, group) in groups.iter().enumerate() {
            let mut unclean = 0;
            for (j, line) in group.as_chunks().0.iter().enumerate() {
                // SAFETY: the caller's promise about `L`.
                unclean |= unsafe { code.check(load::<L>(line)) } ^ stored(checks, i, j);
            }
            if unclean != 0 {
                (self.dirty)(i * GROUP_BLOCKS);
            }
        }
    }
}

impl Sweep for Decode<'_> {
    #[inline(always)]
    unsafe fn over<L: Line, C: Lines>(self, code: C) {
        let groups = groups(self.data);
        let checks = C::checks(self.check, groups.len());
        assert_eq!(self.data.len(), self.weights.len());
        let stream = streams(bytes(self.weights));
        let places = self.weights.as_chunks_mut::<GROUP>().0;
        for (i, (group, place)) in groups.iter().zip(places).enumerate() {
            let mut unclean = 0;
            let lines = group.as_chunks().0.iter().zip(bytes_mut(place).as_chunks_mut().0);
            for (j, (line, place)) in lines.enumerate() {
                // SAFETY: the caller's promise about `L`; `streams` saw that the first place is on a line, so
                // all are.
                unsafe {
                    let line = load::<L>(line);
                    unclean |= code.check(line) ^ stored(checks, i, j);
                    store(code.weights(line), place, stream);
                }
            }
            if unclean != 0 {
                (self.dirty)(i * GROUP_BLOCKS, place);
            }
        }
        L::fence();
    }
}

impl Sweep for Encode<'_> {
    #[inline(always)]
    unsafe fn over<L: Line, C: Lines>(self, code: C) {
        let groups = groups(self.weights);
        assert_eq!(self.weights.len(), self.data.len());
        assert_eq!(self.check.len(), if C::BESIDE { groups.len() * GROUP_BLOCKS } else { 0 });
        let stream = streams(self.data);
        let places = self.data.as_chunks_mut::<GROUP>().0;
        let mut checks = self.check.as_chunks_mut::<BLOCK>().0.chunks_exact_mut(GROUP / LINE);
        for (group, place) in groups.iter().zip(places) {
            let lines = group.as_chunks().0;
            // SAFETY: the caller's promise about `L`; `streams` saw that the first place is on a line, so all are.
            unsafe {
                if let Some(checks) = checks.next() {
                    for (check, line) in checks.iter_mut().zip(lines) {
                        let bits = code.check(load::<L>(line));
                        if stream { L::stream_check(bits, check) } else { *check = bits.to_le_bytes() }
                    }
                }
                for (line, place) in lines.iter().zip(place.as_chunks_mut().0) {
                    store(code.stored(load::<L>(line)), place, stream);
                }
            }
        }
        L::fence();
    }
}

/// The check bits that are stored for line `j` of group `i`, if any are.
#[inline(always)]
fn stored(checks: &[[[u8; BLOCK]; GROUP / LINE]], i: usize, j: usize) -> u64 {
    checks.get(i).map_or(0, |group| u64::from_le_bytes(group[j]))
}

/// # Safety
/// The machine must have the instructions of `L`.
#[inline(always)]
unsafe fn load<L: Line>(line: &[u8; LINE]) -> L {
    // SAFETY: the caller's promise about `L`.
    unsafe {
        L::prefetch(line.as_ptr().wrapping_add(AHEAD));
        L::load(line)
    }
}

/// # Safety
/// The machine must have the instructions of `L`; to stream, `place` must be on a line.
#[inline(always)]
unsafe fn store<L: Line>(line: L, place: &mut [u8; LINE], stream: bool) {
    // SAFETY: the caller's promise.
    unsafe { if stream { line.stream(place) } else { line.store(place) } }
}

/// What a code makes of a line.
///
/// The methods are unsafe because a line may need instructions that the machine lacks.
trait Lines: Copy {
    /// Whether it keeps a check byte beside each block.
    const BESIDE: bool;

    /// The check bytes of a plane, group by group; none for a code that keeps none.
    fn checks(check: &[u8], groups: usize) -> &[[[u8; BLOCK]; GROUP / LINE]] {
        let checks = check.as_chunks().0.as_chunks().0;
        assert!(!Self::BESIDE || checks.len() == groups, "a check byte for each block");
        checks
    }

    /// The check bytes of weights, if any are kept beside them. Otherwise zero when all blocks are code words.
    unsafe fn check<L: Line>(self, line: L) -> u64;

    /// The weights of blocks that are code words.
    #[inline(always)]
    unsafe fn weights<L: Line>(self, line: L) -> L {
        line
    }

    /// The blocks that store weights.
    #[inline(always)]
    unsafe fn stored<L: Line>(self, line: L) -> L {
        line
    }
}

#[derive(Clone, Copy)]
struct Bare;
#[derive(Clone, Copy)]
struct WeightParity;
#[derive(Clone, Copy)]
struct BesideBlock;
#[derive(Clone, Copy)]
struct InsideBlock;

impl Lines for Bare {
    const BESIDE: bool = false;

    #[inline(always)]
    unsafe fn check<L: Line>(self, _: L) -> u64 {
        0
    }
}

impl Lines for WeightParity {
    const BESIDE: bool = true;

    #[inline(always)]
    unsafe fn check<L: Line>(self, line: L) -> u64 {
        // SAFETY: the caller's promise about `L`.
        unsafe { line.parities() }
    }
}

impl Lines for BesideBlock {
    const BESIDE: bool = true;

    #[inline(always)]
    unsafe fn check<L: Line>(self, line: L) -> u64 {
        // SAFETY: the caller's promise about `L`.
        unsafe { line.secded_check() }
    }
}

impl Lines for InsideBlock {
    const BESIDE: bool = false;

    #[inline(always)]
    unsafe fn check<L: Line>(self, line: L) -> u64 {
        // SAFETY: the caller's promise about `L`.
        unsafe { line.in_place_syndromes() }
    }

    #[inline(always)]
    unsafe fn weights<L: Line>(self, line: L) -> L {
        // SAFETY: the caller's promise about `L`.
        unsafe { line.copy_signs() }
    }

    #[inline(always)]
    unsafe fn stored<L: Line>(self, line: L) -> L {
        // SAFETY: the caller's promise about `L`.
        unsafe { line.in_place_encode() }
    }
}

impl Lines for &Matrix {
    const BESIDE: bool = false;

    #[inline(always)]
    unsafe fn check<L: Line>(self, line: L) -> u64 {
        // SAFETY: the caller's promise about `L`.
        unsafe { line.matrix_syndromes(self) }
    }

    #[inline(always)]
    unsafe fn weights<L: Line>(self, line: L) -> L {
        // SAFETY: the caller's promise about `L`.
        unsafe { line.matrix_weights(self) }
    }

    #[inline(always)]
    unsafe fn stored<L: Line>(self, line: L) -> L {
        // SAFETY: the caller's promise about `L`.
        unsafe { line.matrix_encode(self) }
    }
}

impl Lines for &[Matrix; 2] {
    const BESIDE: bool = false;

    #[inline(always)]
    unsafe fn check<L: Line>(self, line: L) -> u64 {
        // SAFETY: the caller's promise about `L`.
        unsafe { line.matrix_syndromes(&self[0]) | line.matrix_syndromes(&self[1]) }
    }

    #[inline(always)]
    unsafe fn weights<L: Line>(self, line: L) -> L {
        // SAFETY: the caller's promise about `L`.
        unsafe { line.matrix_weights(&self[0]).matrix_weights(&self[1]) }
    }

    #[inline(always)]
    unsafe fn stored<L: Line>(self, line: L) -> L {
        // SAFETY: the caller's promise about `L`.
        unsafe { line.matrix_encode(&self[0]).matrix_encode(&self[1]) }
    }
}

/// Eight blocks in registers.
///
/// The methods are unsafe because an implementation may need instructions that the machine lacks.
trait Line: Copy {
    /// Whether lines are x86-64 vectors, for which caches are passed by and filled ahead.
    const VECTORS: bool;

    unsafe fn load(from: &[u8; LINE]) -> Self;
    unsafe fn store(self, to: &mut [u8; LINE]);
    /// Bit i: parity of byte i.
    unsafe fn parities(self) -> u64;
    /// The (72,64) check bytes.
    unsafe fn secded_check(self) -> u64;
    /// Zero when all blocks are code words of the (64,57) code.
    unsafe fn in_place_syndromes(self) -> u64;
    /// [`copy_signs`] of every block.
    unsafe fn copy_signs(self) -> Self;
    /// [`in_place_encode`] of every block.
    unsafe fn in_place_encode(self) -> Self;

    /// Zero when all blocks are code words of a matrix.
    #[inline(always)]
    unsafe fn matrix_syndromes(self, matrix: &Matrix) -> u64 {
        // SAFETY: the caller's promise.
        unsafe { self.blocks().into_iter().fold(0, |sum, block| sum | u64::from(matrix.syndrome(block))) }
    }

    /// [`Matrix::weights`] of every block.
    #[inline(always)]
    unsafe fn matrix_weights(self, matrix: &Matrix) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self::of_blocks(each(self.blocks(), |block| matrix.weights(block))) }
    }

    /// [`Matrix::encode`] of every block.
    #[inline(always)]
    unsafe fn matrix_encode(self, matrix: &Matrix) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self::of_blocks(self.blocks().map(|block| matrix.encode(block))) }
    }

    /// The blocks one by one.
    #[inline(always)]
    unsafe fn blocks(self) -> [u64; 8] {
        let mut bytes = [0; LINE];
        // SAFETY: the caller's promise.
        unsafe { self.store(&mut bytes) };
        let blocks = bytes.as_chunks::<BLOCK>().0;
        std::array::from_fn(|i| u64::from_le_bytes(blocks[i]))
    }

    /// The opposite.
    #[inline(always)]
    unsafe fn of_blocks(blocks: [u64; 8]) -> Self {
        let bytes = blocks.map(u64::to_le_bytes);
        // SAFETY: the caller's promise.
        unsafe { Self::load(bytes.as_flattened().as_array().expect("eight blocks are a line")) }
    }

    /// Stores past the caches; `to` must be on a line.
    #[inline(always)]
    unsafe fn stream(self, to: &mut [u8; LINE]) {
        // SAFETY: the caller's promise.
        unsafe { self.store(to) }
    }

    /// Stores the check bytes of a line past the caches, at any address.
    #[inline(always)]
    fn stream_check(bits: u64, to: &mut [u8; BLOCK]) {
        #[cfg(target_arch = "x86_64")]
        if Self::VECTORS {
            // SAFETY: every x86-64 machine has `movnti`, which takes any address.
            return unsafe { _mm_stream_si64(to.as_mut_ptr().cast(), bits.cast_signed()) };
        }
        *to = bits.to_le_bytes();
    }

    /// Orders streamed stores before later ones.
    #[inline(always)]
    fn fence() {
        #[cfg(target_arch = "x86_64")]
        if Self::VECTORS {
            // SAFETY: every x86-64 machine has it.
            unsafe { _mm_sfence() }
        }
    }

    /// Asks for a line that will be read soon, if there is one.
    #[inline(always)]
    fn prefetch(line: *const u8) {
        let _ = line;
        #[cfg(target_arch = "x86_64")]
        if Self::VECTORS {
            // SAFETY: every x86-64 machine has it; a prefetch reads nothing and allows any address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) }
        }
    }
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
        self.into_iter().fold(0, |sum, block| sum | in_place_steps(block)) & IN_PLACE_STEPS
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

/// `f` of every block, in the loop that LLVM turns into the vectors that every x86-64 has; it does not do so for
/// `map` (measured: 7.4 instead of 4.5 GB/s for [`in_place_encode`]).
#[inline(always)]
fn each(mut blocks: [u64; 8], f: impl Fn(u64) -> u64) -> [u64; 8] {
    for block in &mut blocks {
        *block = f(*block);
    }
    blocks
}

/// The safety of all methods: the caller promises AVX2. Functions and no closures, which would not be compiled
/// for it.
#[cfg(target_arch = "x86_64")]
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
        unsafe { gather_avx2([byte_parities_avx2(self[0]), byte_parities_avx2(self[1])]) }
    }

    #[inline(always)]
    unsafe fn secded_check(self) -> u64 {
        // SAFETY: AVX2.
        unsafe {
            let [low, high] = [with_fold_avx2(self[0], SECDED_MASK), with_fold_avx2(self[1], SECDED_MASK)];
            gather_avx2([byte_parities_avx2(low), byte_parities_avx2(high)])
        }
    }

    #[inline(always)]
    unsafe fn in_place_syndromes(self) -> u64 {
        // SAFETY: AVX2.
        unsafe { gather_avx2([in_place_spread_avx2(self[0]), in_place_spread_avx2(self[1])]) }
    }

    #[inline(always)]
    unsafe fn copy_signs(self) -> Self {
        // SAFETY: AVX2.
        unsafe { [copy_signs_avx2(self[0]), copy_signs_avx2(self[1])] }
    }

    #[inline(always)]
    unsafe fn in_place_encode(self) -> Self {
        // SAFETY: AVX2.
        unsafe { [in_place_encode_avx2(self[0]), in_place_encode_avx2(self[1])] }
    }
}

/// All bits of a byte: its parity.
///
/// # Safety
/// The machine must have AVX2, here and in the next five.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn byte_parities_avx2(x: __m256i) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe {
        let table = _mm256_broadcastsi128_si256(_mm_setr_epi8(
            0, -1, -1, 0, -1, 0, 0, -1, -1, 0, 0, -1, 0, -1, -1, 0,
        ));
        let nibbles = _mm256_xor_si256(x, _mm256_srli_epi16::<4>(x));
        _mm256_shuffle_epi8(table, _mm256_and_si256(nibbles, _mm256_set1_epi8(15)))
    }
}

/// [`with_fold`] of every block.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn with_fold_avx2(x: __m256i, mask: u64) -> __m256i {
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
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn in_place_spread_avx2(x: __m256i) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe {
        let sevens = _mm256_broadcastsi128_si256(_mm_setr_epi8(
            7, 7, 7, 7, 7, 7, 7, 7, 15, 15, 15, 15, 15, 15, 15, 15,
        ));
        let byte7 = _mm256_shuffle_epi8(x, sevens);
        byte_parities_avx2(_mm256_xor_si256(with_fold_avx2(x, IN_PLACE_MASK), byte7))
    }
}

/// [`copy_signs`] of every block.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn copy_signs_avx2(x: __m256i) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe {
        let checks = _mm256_set1_epi64x(IN_PLACE_CHECKS.cast_signed());
        let signs = _mm256_and_si256(_mm256_srli_epi16::<1>(x), checks);
        _mm256_or_si256(_mm256_andnot_si256(checks, x), signs)
    }
}

/// [`in_place_encode`] of every block.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn in_place_encode_avx2(x: __m256i) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe {
        let checks = _mm256_set1_epi64x(IN_PLACE_CHECKS.cast_signed());
        let data = _mm256_andnot_si256(checks, x);
        _mm256_or_si256(data, _mm256_and_si256(in_place_spread_avx2(data), checks))
    }
}

/// The top bits of all bytes.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn gather_avx2(x: [__m256i; 2]) -> u64 {
    // SAFETY: the caller's promise.
    let [low, high] = unsafe { [_mm256_movemask_epi8(x[0]), _mm256_movemask_epi8(x[1])] };
    u64::from(low.cast_unsigned()) | u64::from(high.cast_unsigned()) << 32
}

/// The safety of all methods: the caller promises AVX-512F, AVX-512BW and GFNI.
#[cfg(target_arch = "x86_64")]
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
        unsafe { _mm512_movepi8_mask(byte_parities_avx512(self)) }
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
        unsafe { _mm512_movepi8_mask(in_place_spread_avx512(self)) }
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
            _mm512_ternarylogic_epi64::<0xf8>(data, in_place_spread_avx512(data), checks)
        }
    }

    #[inline(always)]
    unsafe fn matrix_syndromes(self, matrix: &Matrix) -> u64 {
        // SAFETY: AVX-512F, AVX-512BW and GFNI.
        unsafe {
            let syndromes = syndromes_avx512(self, matrix);
            _mm512_test_epi64_mask(syndromes, syndromes).into()
        }
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
            let syndromes = syndromes_avx512(data, matrix);
            let [low, high] =
                [_mm512_unpacklo_epi64(syndromes, syndromes), _mm512_unpackhi_epi64(syndromes, syndromes)];
            let low = _mm512_gf2p8affine_epi64_epi8::<0>(low, matrix_avx512(&matrix.to_checks[0]));
            let high = _mm512_gf2p8affine_epi64_epi8::<0>(high, matrix_avx512(&matrix.to_checks[1]));
            let bits = transposed_back_avx512(_mm512_xor_si512(low, high));
            _mm512_or_si512(data, bits)
        }
    }
}

/// Byte w of both halves of every lane: the low and the high byte of the syndrome of block w.
///
/// # Safety
/// The machine must have AVX-512F, AVX-512BW and GFNI, here and in the next three.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn syndromes_avx512(x: __m512i, matrix: &Matrix) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe {
        let x = transposed_avx512(x);
        let low = _mm512_gf2p8affine_epi64_epi8::<0>(x, matrix_avx512(&matrix.to_syndrome[0]));
        let high = _mm512_gf2p8affine_epi64_epi8::<0>(x, matrix_avx512(&matrix.to_syndrome[1]));
        let sums = _mm512_xor_si512(_mm512_unpacklo_epi64(low, high), _mm512_unpackhi_epi64(low, high));
        let sums = _mm512_xor_si512(sums, _mm512_shuffle_i64x2::<0b01_00_11_10>(sums, sums));
        _mm512_xor_si512(sums, _mm512_shuffle_i64x2::<0b10_11_00_01>(sums, sums))
    }
}

/// The bit matrices by which the eight bytes of a block are multiplied.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn matrix_avx512(matrices: &[u64; 8]) -> __m512i {
    // SAFETY: the caller's promise; eight u64 are an unaligned vector.
    unsafe { _mm512_loadu_si512(matrices.as_ptr().cast()) }
}

/// Byte w of 64-bit lane k: byte k of block w. So one matrix a lane multiplies a byte of all blocks.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn transposed_avx512(x: __m512i) -> __m512i {
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
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn transposed_back_avx512(x: __m512i) -> __m512i {
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
#[cfg(target_arch = "x86_64")]
const PAIRS_BY_BYTE: [u16; 32] = transposition(8, 4);

/// The opposite.
#[cfg(target_arch = "x86_64")]
const PAIRS_BY_LANE: [u16; 32] = transposition(4, 8);

/// Where the entries of a transposed matrix of `rows` rows come from.
#[cfg(target_arch = "x86_64")]
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
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn byte_parities_avx512(x: __m512i) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe { _mm512_gf2p8affine_epi64_epi8::<0>(x, _mm512_set1_epi8(-1)) }
}

/// All bits of byte b of a block: bit b of its (64,57) syndrome.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn in_place_spread_avx512(x: __m512i) -> __m512i {
    // SAFETY: the caller's promise. The constant of the ternary operation is XOR's.
    unsafe {
        let folded = _mm512_gf2p8affine_epi64_epi8::<0>(_mm512_set1_epi64(IN_PLACE_MASK.cast_signed()), x);
        let byte7 = _mm512_shuffle_epi8(
            x,
            _mm512_broadcast_i32x4(_mm_setr_epi8(7, 7, 7, 7, 7, 7, 7, 7, 15, 15, 15, 15, 15, 15, 15, 15)),
        );
        byte_parities_avx512(_mm512_ternarylogic_epi64::<0x96>(x, folded, byte7))
    }
}
