//! The two inner loops of convolution: sums of products in 16 lanes.
//!
//! Tensors are channels-last, so the values that one output pixel needs lie in a few contiguous *runs*, and
//! 16 neighbouring output channels are one vector. Both loops broadcast single values of one operand and
//! multiply them by vectors of the other. They compute several independent sums side by side to hide the
//! latency of an addition:
//!
//! - [`Kernel::correlate`] (forward pass, and gradient of the input): the sums of some pixels over the runs
//!   of their windows. It broadcasts the input; the vectors are packed weights.
//! - [`Kernel::accumulate`] (gradient of the weights): the sums of some input channels over pixels. It
//!   broadcasts the input; the vectors are the gradient of the output.
//!
//! # Exact repeatability
//!
//! Every lane of every sum is a separate chain of fused multiply-adds in an order that the operation fixes.
//! The number of sums side by side, the number of lanes of an instruction, and the thread cannot change a bit
//! of the result. The portable form uses `f32::mul_add`, so it gives the same bits too (slowly, if the
//! machine has no such instruction).
//!
//! This is the only module with `unsafe`, for three reasons: calling a function compiled for instructions
//! that were detected at run time, vector intrinsics that take pointers, and unchecked reads of slices whose
//! lengths are checked outside the innermost loop.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256, __m512, _mm256_add_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_storeu_ps,
    _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_storeu_ps,
};

/// Number of output channels in a vector.
pub(crate) const LANES: usize = 16;

/// One value for each lane.
pub(crate) type Vector = [f32; LANES];

/// Consecutive input values that every window reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Offset from the start of a window.
    pub(crate) offset: usize,
    /// Number of values in the run.
    pub(crate) len: usize,
}

/// The operands of [`Kernel::correlate`], which computes for each output pixel the sum over its window of
/// value times weight vector.
pub(crate) struct Windows<'a> {
    /// The runs of every window.
    pub(crate) runs: &'a [Run],
    /// A weight vector for each value of each run, in order.
    pub(crate) weights: &'a [Vector],
    pub(crate) input: &'a [f32],
    /// Start of each pixel's window in the input.
    pub(crate) windows: &'a [u32],
    /// Start of each pixel's lanes in the output.
    pub(crate) pixels: &'a [u32],
    /// Number of lanes that are written, at most [`LANES`].
    pub(crate) lanes: usize,
    pub(crate) write: Write<'a>,
}

/// The way in which [`Kernel::correlate`] writes a sum.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Write<'a> {
    /// Replaces the old value.
    Set,
    /// Adds to the old value.
    Add,
    /// Replaces the old value by the sum plus one bias for each written lane.
    Biased(&'a [f32]),
}

/// The positions of one row of pixels in the two operands of [`Kernel::accumulate`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    /// Index of the first pixel's broadcast values.
    pub(crate) broadcast: usize,
    /// Index of the first pixel's vectors.
    pub(crate) vector: usize,
}

/// The pixels over which [`Kernel::accumulate`] sums.
pub(crate) struct Pixels<'a> {
    /// Rows of pixels, summed in this order.
    pub(crate) segments: &'a [Segment],
    /// Number of pixels in each row.
    pub(crate) count: usize,
    /// Distance in values between pixels of the broadcast operand.
    pub(crate) broadcast_step: usize,
    /// Distance in values between pixels of the vector operand.
    pub(crate) vector_step: usize,
}

dispatch::forms! {
    /// A form of the inner loops that this machine supports.
    pub(crate) Kernel {
        Avx2 = "avx2" if "avx2", "fma";
        Avx512 = "avx512" if "avx512f";
    }
}

impl Kernel {
    /// Computes all lanes of all output pixels.
    ///
    /// # Panics
    /// Panics if a run or an output pixel lies outside its slice.
    pub(crate) fn correlate(self, operands: &Windows<'_>, output: &mut [f32]) {
        match self.0 {
            // SAFETY: plain arithmetic needs no instruction-set extension.
            Form::Portable => unsafe { correlate::<Vector, 4>(operands, output) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` made this form, so the machine has AVX2 and FMA.
            Form::Avx2 => unsafe { correlate_avx2(operands, output) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` made this form, so the machine has AVX-512F.
            Form::Avx512 => unsafe { correlate_avx512(operands, output) },
        }
    }

    /// Adds, to each row `r` of `sums`, the sum over all pixels of `broadcast[r]` times the 16 values of
    /// `vector`, both read at the position of the pixel.
    ///
    /// # Panics
    /// Panics if a pixel lies outside a slice.
    pub(crate) fn accumulate(
        self,
        pixels: &Pixels<'_>,
        broadcast: &[f32],
        vector: &[f32],
        sums: &mut [Vector],
    ) {
        match self.0 {
            // SAFETY: plain arithmetic needs no instruction-set extension.
            Form::Portable => unsafe { accumulate::<Vector, 4>(pixels, broadcast, vector, sums) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` made this form, so the machine has AVX2 and FMA.
            Form::Avx2 => unsafe { accumulate_avx2(pixels, broadcast, vector, sums) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` made this form, so the machine has AVX-512F.
            Form::Avx512 => unsafe { accumulate_avx512(pixels, broadcast, vector, sums) },
        }
    }
}

/// A loop that the compiler vectorizes; [`Kernel::enter`] runs it compiled for the machine's instructions.
///
/// `run` must be `#[inline(always)]`, and so must all that it calls.
pub(crate) trait Loop {
    /// Result of the loop.
    type Output;
    /// Runs the loop.
    fn run(self) -> Self::Output;
}

/// Sets each value i of `to` to `value(i, x)`. x is the old value, or value i of `from` if it is given. One
/// function thus serves loops that work in place and loops that copy.
#[inline(always)]
pub(crate) fn replace(to: &mut [f32], from: Option<&[f32]>, mut value: impl FnMut(usize, f32) -> f32) {
    match from {
        Some(from) => {
            for (i, (to, &from)) in to.iter_mut().zip(from).enumerate() {
                *to = value(i, from);
            }
        }
        None => {
            for (i, to) in to.iter_mut().enumerate() {
                *to = value(i, *to);
            }
        }
    }
}

impl Kernel {
    /// Runs a loop. Its operations are the same in every form, and none is contracted or reordered, so its
    /// results are the same too.
    pub(crate) fn enter<L: Loop>(self, work: L) -> L::Output {
        match self.0 {
            Form::Portable => work.run(),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` made this form, so the machine has AVX2 and FMA.
            Form::Avx2 => unsafe { enter_avx2(work) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` made this form, so the machine has AVX-512F.
            Form::Avx512 => unsafe { enter_avx512(work) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn enter_avx2<L: Loop>(work: L) -> L::Output {
    work.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn enter_avx512<L: Loop>(work: L) -> L::Output {
    work.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn correlate_avx2(operands: &Windows<'_>, output: &mut [f32]) {
    // SAFETY: this function is compiled for, and only called with, AVX2 and FMA.
    unsafe { correlate::<[__m256; 2], 6>(operands, output) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn correlate_avx512(operands: &Windows<'_>, output: &mut [f32]) {
    // SAFETY: this function is compiled for, and only called with, AVX-512F.
    unsafe { correlate::<__m512, 28>(operands, output) }
}

/// Computes all windows: `P` at a time, then 4, then one by one. A larger `P` reads the weights fewer times.
///
/// # Safety
/// The machine must have the instructions of `S`.
#[inline(always)]
unsafe fn correlate<S: Sums, const P: usize>(o: &Windows<'_>, output: &mut [f32]) {
    assert_eq!(o.windows.len(), o.pixels.len(), "a window for each pixel");
    let needed: usize = o.runs.iter().map(|run| run.len).sum();
    assert_eq!(o.weights.len(), needed, "a weight vector for each value of a window");
    // Checks all windows at once. Checking each run of each window would take a tenth of the time of the sums
    // of a thin network.
    let last = o.windows.iter().fold(0, |last, &window| last.max(window)) as usize;
    let end = last + o.runs.iter().map(|run| run.offset + run.len).max().unwrap_or(0);
    assert!(end <= o.input.len(), "a window ends at {end} of {}", o.input.len());
    let (windows, windows_left) = o.windows.as_chunks::<P>();
    let (pixels, pixels_left) = o.pixels.as_chunks::<P>();
    for (windows, pixels) in windows.iter().zip(pixels) {
        // SAFETY: all runs of all windows were checked above; the caller's promise about `S` is this function's
        // own.
        unsafe { windows_at_once::<S, P>(o, windows, pixels, output) };
    }
    let (windows, windows_left) = windows_left.as_chunks::<4>();
    let (pixels, pixels_left) = pixels_left.as_chunks::<4>();
    for (windows, pixels) in windows.iter().zip(pixels) {
        // SAFETY: as above.
        unsafe { windows_at_once::<S, 4>(o, windows, pixels, output) };
    }
    for (window, pixel) in windows_left.iter().zip(pixels_left) {
        // SAFETY: as above.
        unsafe { windows_at_once::<S, 1>(o, &[*window], &[*pixel], output) };
    }
}

/// # Safety
/// The machine must have the instructions of `S`; every run must lie in the input for every window.
#[inline(always)]
unsafe fn windows_at_once<S: Sums, const P: usize>(
    o: &Windows<'_>,
    windows: &[u32; P],
    pixels: &[u32; P],
    output: &mut [f32],
) {
    // SAFETY: the caller's promise about `S` is this function's own.
    let mut sums = [unsafe { S::splat(0.0) }; P];
    let starts = windows.map(|window| window as usize);
    let mut weights = o.weights;
    for run in o.runs {
        let (vectors, rest) = weights.split_at(run.len);
        weights = rest;
        for (at, vector) in vectors.iter().enumerate() {
            // SAFETY: the caller promises the instructions.
            let vector = unsafe { S::load(vector) };
            // SAFETY: the caller promises that the run, whose length is that of `vectors`, lies in the input for
            // every window, and `starts` has the windows.
            let values = unsafe { o.input.as_ptr().add(run.offset + at) };
            for (sum, &start) in sums.iter_mut().zip(&starts) {
                // SAFETY: as above.
                *sum = unsafe { sum.add_product(S::splat(*values.add(start)), vector) };
            }
        }
    }
    let mut bias = [0.0; LANES];
    if let Write::Biased(values) = o.write {
        bias[..o.lanes].copy_from_slice(&values[..o.lanes]);
    }
    // SAFETY: as above.
    let bias = unsafe { S::load(&bias) };
    for (sum, &pixel) in sums.into_iter().zip(pixels) {
        let out = &mut output[pixel as usize..];
        match out.first_chunk_mut::<LANES>() {
            Some(whole) if o.lanes == LANES => {
                // SAFETY: as above.
                let value = unsafe {
                    match o.write {
                        Write::Set => sum,
                        Write::Add => sum.add(S::load(whole)),
                        Write::Biased(_) => sum.add(bias),
                    }
                };
                // SAFETY: as above.
                unsafe { value.store(whole) };
            }
            _ => {
                let out = &mut out[..o.lanes];
                let mut all = [0.0; LANES];
                all[..o.lanes].copy_from_slice(out);
                // SAFETY: as above.
                unsafe {
                    let value = match o.write {
                        Write::Set => sum,
                        Write::Add => sum.add(S::load(&all)),
                        Write::Biased(_) => sum.add(bias),
                    };
                    value.store(&mut all);
                }
                out.copy_from_slice(&all[..out.len()]);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn accumulate_avx2(pixels: &Pixels<'_>, broadcast: &[f32], vector: &[f32], sums: &mut [Vector]) {
    // SAFETY: this function is compiled for, and only called with, AVX2 and FMA.
    unsafe { accumulate::<[__m256; 2], 6>(pixels, broadcast, vector, sums) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn accumulate_avx512(pixels: &Pixels<'_>, broadcast: &[f32], vector: &[f32], sums: &mut [Vector]) {
    // SAFETY: this function is compiled for, and only called with, AVX-512F.
    unsafe { accumulate::<__m512, 16>(pixels, broadcast, vector, sums) }
}

/// Computes all rows of `sums`: `R` at a time, then 4, then the rest.
///
/// # Safety
/// The machine must have the instructions of `S`.
#[inline(always)]
unsafe fn accumulate<S: Sums, const R: usize>(
    pixels: &Pixels<'_>,
    broadcast: &[f32],
    vector: &[f32],
    sums: &mut [Vector],
) {
    if pixels.count == 0 {
        return;
    }
    let last = pixels.count - 1;
    for segment in pixels.segments {
        let end = segment.broadcast + last * pixels.broadcast_step + sums.len();
        assert!(end <= broadcast.len(), "broadcast values end at {end} of {}", broadcast.len());
        let end = segment.vector + last * pixels.vector_step + LANES;
        assert!(end <= vector.len(), "vectors end at {end} of {}", vector.len());
    }
    let mut first = 0;
    let (rows, sums) = sums.as_chunks_mut::<R>();
    for rows in rows {
        // SAFETY: every index that `rows_at_once` reads was checked above; the caller's promise about `S`
        // is this function's own.
        unsafe { rows_at_once::<S, R>(pixels, broadcast, first, vector, rows) };
        first += R;
    }
    let (rows, sums) = sums.as_chunks_mut::<4>();
    for rows in rows {
        // SAFETY: as above.
        unsafe { rows_at_once::<S, 4>(pixels, broadcast, first, vector, rows) };
        first += 4;
    }
    // The remaining rows are also computed side by side, because single sums would wait for each other.
    if let Some(rows) = sums.first_chunk_mut::<3>() {
        // SAFETY: as above.
        unsafe { rows_at_once::<S, 3>(pixels, broadcast, first, vector, rows) };
    } else if let Some(rows) = sums.first_chunk_mut::<2>() {
        // SAFETY: as above.
        unsafe { rows_at_once::<S, 2>(pixels, broadcast, first, vector, rows) };
    } else if let Some(rows) = sums.first_chunk_mut::<1>() {
        // SAFETY: as above.
        unsafe { rows_at_once::<S, 1>(pixels, broadcast, first, vector, rows) };
    }
}

/// # Safety
/// The machine must have the instructions of `S`; for each pixel of each segment, `R` values from its
/// place plus `first` must lie in `broadcast`, and [`LANES`] values from its place in `vector`.
#[inline(always)]
unsafe fn rows_at_once<S: Sums, const R: usize>(
    pixels: &Pixels<'_>,
    broadcast: &[f32],
    first: usize,
    vector: &[f32],
    rows: &mut [Vector; R],
) {
    // SAFETY: the caller promises the instructions.
    let mut sums: [S; R] = std::array::from_fn(|r| unsafe { S::load(&rows[r]) });
    for segment in pixels.segments {
        let mut x = segment.broadcast + first;
        let mut g = segment.vector;
        for _ in 0..pixels.count {
            // SAFETY: the caller promises that the 16 values lie in `vector`, and the instructions.
            let gradient = unsafe { S::load(&*vector.as_ptr().add(g).cast::<Vector>()) };
            for (r, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the caller promises that the R values lie in `broadcast`, and the instructions.
                *sum = unsafe { sum.add_product(S::splat(*broadcast.get_unchecked(x + r)), gradient) };
            }
            x += pixels.broadcast_step;
            g += pixels.vector_step;
        }
    }
    for (row, sum) in rows.iter_mut().zip(sums) {
        // SAFETY: the caller promises the instructions.
        unsafe { sum.store(row) };
    }
}

/// The f32 sums of 16 lanes.
///
/// The methods are unsafe because an implementation may need instructions that the machine lacks.
trait Sums: Copy {
    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(values: &Vector) -> Self;
    unsafe fn store(self, to: &mut Vector);
    unsafe fn add(self, other: Self) -> Self;
    /// Returns self + a * b, rounded once.
    unsafe fn add_product(self, a: Self, b: Self) -> Self;
}

impl Sums for Vector {
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        [value; LANES]
    }

    #[inline(always)]
    unsafe fn load(values: &Vector) -> Self {
        *values
    }

    #[inline(always)]
    unsafe fn store(self, to: &mut Vector) {
        *to = self;
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        std::array::from_fn(|lane| self[lane] + other[lane])
    }

    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        std::array::from_fn(|lane| a[lane].mul_add(b[lane], self[lane]))
    }
}

#[cfg(target_arch = "x86_64")]
impl Sums for [__m256; 2] {
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller promises AVX2.
        [unsafe { _mm256_set1_ps(value) }; 2]
    }

    #[inline(always)]
    unsafe fn load(values: &Vector) -> Self {
        let base = values.as_ptr();
        // SAFETY: the caller promises AVX2; `values` is 16 floats, two unaligned vectors.
        unsafe { [_mm256_loadu_ps(base), _mm256_loadu_ps(base.add(8))] }
    }

    #[inline(always)]
    unsafe fn store(self, to: &mut Vector) {
        let base = to.as_mut_ptr();
        // SAFETY: the caller promises AVX2; `to` is 16 floats, two unaligned vectors.
        unsafe {
            _mm256_storeu_ps(base, self[0]);
            _mm256_storeu_ps(base.add(8), self[1]);
        }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the caller promises AVX2.
        unsafe { [_mm256_add_ps(self[0], other[0]), _mm256_add_ps(self[1], other[1])] }
    }

    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        // SAFETY: the caller promises FMA.
        unsafe { [_mm256_fmadd_ps(a[0], b[0], self[0]), _mm256_fmadd_ps(a[1], b[1], self[1])] }
    }
}

#[cfg(target_arch = "x86_64")]
impl Sums for __m512 {
    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller promises AVX-512F.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(values: &Vector) -> Self {
        // SAFETY: the caller promises AVX-512F; `values` is 16 floats, one unaligned vector.
        unsafe { _mm512_loadu_ps(values.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn store(self, to: &mut Vector) {
        // SAFETY: the caller promises AVX-512F; `to` is 16 floats, one unaligned vector.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), self) };
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the caller promises AVX-512F.
        unsafe { _mm512_add_ps(self, other) }
    }

    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        // SAFETY: the caller promises AVX-512F.
        unsafe { _mm512_fmadd_ps(a, b, self) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 16_777_216.0 - 0.5
        };
        (0..len).map(|_| next()).collect()
    }

    fn vectors(len: usize, seed: u32) -> Vec<Vector> {
        noise(len * LANES, seed).as_chunks().0.to_vec()
    }

    #[test]
    fn every_form_correlates_to_the_same_bits() {
        let (input, bias) = (noise(500, 1), noise(LANES, 6));
        for (lanes, lens) in [(16, [9, 5]), (16, [4, 8]), (3, [1, 2]), (8, [16, 0])] {
            let runs = [Run { offset: 2, len: lens[0] }, Run { offset: 31, len: lens[1] }];
            let weights = vectors(lens[0] + lens[1], 2);
            for count in 0..64 {
                let windows: Vec<u32> = (0..count).map(|i| i * 7).collect();
                let pixels: Vec<u32> = (0..count).map(|i| (count - 1 - i) * 20).collect();
                for write in [Write::Set, Write::Add, Write::Biased(&bias[..lanes])] {
                    // Computes the definition in the documented order.
                    let mut expected = vec![7.0f32; 1300];
                    for (&window, &pixel) in windows.iter().zip(&pixels) {
                        for lane in 0..lanes {
                            let (mut sum, mut row) = (0f32, 0);
                            for run in &runs {
                                for i in 0..run.len {
                                    sum = input[window as usize + run.offset + i]
                                        .mul_add(weights[row][lane], sum);
                                    row += 1;
                                }
                            }
                            let place = &mut expected[pixel as usize + lane];
                            *place = match write {
                                Write::Set => sum,
                                Write::Add => sum + *place,
                                Write::Biased(bias) => sum + bias[lane],
                            };
                        }
                    }
                    for kernel in Kernel::available() {
                        let mut output = vec![7.0; 1300];
                        let operands = Windows {
                            runs: &runs,
                            weights: &weights,
                            input: &input,
                            windows: &windows,
                            pixels: &pixels,
                            lanes,
                            write,
                        };
                        kernel.correlate(&operands, &mut output);
                        assert!(output == expected, "{kernel:?}, {count} windows, {lanes} lanes, {write:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_form_accumulates_to_the_same_bits() {
        let (x, g) = (noise(900, 3), noise(900, 4));
        let segments = [Segment { broadcast: 5, vector: 0 }, Segment { broadcast: 100, vector: 17 }];
        for (rows, count) in [(1, 3), (2, 4), (3, 1), (6, 7), (16, 0), (20, 5), (23, 2), (33, 4)] {
            let pixels = Pixels { segments: &segments, count, broadcast_step: 40, vector_step: 24 };
            let start = vectors(rows, 5);
            let mut expected = start.clone();
            for (r, sums) in expected.iter_mut().enumerate() {
                for segment in &segments {
                    for i in 0..count {
                        for (lane, sum) in sums.iter_mut().enumerate() {
                            let value = x[segment.broadcast + i * 40 + r];
                            *sum = value.mul_add(g[segment.vector + i * 24 + lane], *sum);
                        }
                    }
                }
            }
            for kernel in Kernel::available() {
                let mut sums = start.clone();
                kernel.accumulate(&pixels, &x, &g, &mut sums);
                assert!(sums == expected, "{kernel:?}, {rows} rows, {count} pixels");
            }
        }
    }

    #[test]
    #[should_panic(expected = "a window ends at 21 of 20")]
    fn a_window_outside_is_a_bug() {
        let operands = Windows {
            runs: &[Run { offset: 0, len: 2 }, Run { offset: 7, len: 4 }],
            weights: &[[0.0; LANES]; 6],
            input: &[0.0; 20],
            windows: &[3, 10, 9],
            pixels: &[0, 16, 32],
            lanes: LANES,
            write: Write::Set,
        };
        Kernel::fastest().correlate(&operands, &mut [0.0; 48]);
    }

    #[test]
    #[should_panic(expected = "vectors end at")]
    fn a_pixel_outside_is_a_bug() {
        let pixels = Pixels {
            segments: &[Segment { broadcast: 0, vector: 10 }],
            count: 1,
            broadcast_step: 1,
            vector_step: 1,
        };
        Kernel::fastest().accumulate(&pixels, &[0.0; 4], &[0.0; 20], &mut [[0.0; LANES]]);
    }
}
