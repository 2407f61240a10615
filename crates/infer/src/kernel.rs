//! The inner loop: dot products of one panel of weights with many input windows.
//!
//! A *panel* is the weights of [`LANES`] output channels. An output pixel reads a window of the
//! channels-last input, which is `rows` runs (one for each kernel row) of `2 * row_pairs` consecutive
//! values. The loop takes two neighbouring values of a run at a time, broadcasts them to all lanes, and
//! lane l adds `x0 * w[l][0] + x1 * w[l][1]` to its sum: the shape of `vpmaddwd` (AVX2) and `vpdpwssd`
//! (AVX-512 VNNI). A few pixels are carried side by side, so that each load of weights serves them all
//! and enough independent sums hide the latency. LLVM does not find these instructions in plain loops
//! (measured on Zen 4: 24 instead of 73 and 105 G multiply-adds a second), which is why they are named.
//!
//! All three forms compute the same i32 sums: a pair of products is at most 2 * 255 * 128 and the whole
//! sum was checked at compilation to fit, so no order of additions wraps or saturates. The tests run
//! every form that the machine has against nested loops.
//!
//! This is the only module with `unsafe`, for two reasons: entering a function compiled for
//! instructions that were found at run time, and the vector intrinsics in it that take pointers.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256i, __m512i, _mm256_add_epi32, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_set1_epi32,
    _mm256_setzero_si256, _mm256_storeu_si256, _mm512_dpwssd_epi32, _mm512_loadu_si512, _mm512_set1_epi32,
    _mm512_setzero_si512, _mm512_storeu_si512,
};

use crate::requantize::{Bounds, Element};

/// Output channels in a panel.
pub(crate) const LANES: usize = 16;

/// For each lane, the weights of one pair of neighbouring inputs.
pub(crate) type PairWeights = [[i16; 2]; LANES];

/// Output channels that are computed together, and everything about them but the weights' values.
pub(crate) struct Panel<'a> {
    /// Row by row, `row_pairs` each.
    pub(crate) weights: &'a [PairWeights],
    /// Kernel rows.
    pub(crate) rows: usize,
    /// Input values from one kernel row to the next.
    pub(crate) row_stride: usize,
    /// Pairs in a kernel row.
    pub(crate) row_pairs: usize,
    /// For each output pixel, where its window begins in the input.
    pub(crate) windows: &'a [u32],
    pub(crate) multiplier: &'a [f32; LANES],
    pub(crate) offset: &'a [f32; LANES],
    pub(crate) bounds: Bounds,
    /// Lanes in use; the panel's channels are the first of a pixel in the output slice.
    pub(crate) lanes: usize,
    /// Output values from one pixel to the next.
    pub(crate) pixel_stride: usize,
}

/// A form of the inner loop that this machine can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kernel(Form);

// Private, so that only `available` makes one and a `Kernel` proves that the machine has its instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
}

impl Kernel {
    /// All forms that this machine has, the fastest last.
    pub(crate) fn available() -> Vec<Kernel> {
        let mut forms = vec![Form::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") {
                forms.push(Form::Avx2);
            }
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni") {
                forms.push(Form::Avx512Vnni);
            }
        }
        forms.into_iter().map(Kernel).collect()
    }

    /// The fastest form that this machine has.
    pub(crate) fn fastest() -> Kernel {
        *Self::available().last().expect("the portable form is always there")
    }

    /// Writes the panel's channels of every output pixel; `output` begins at the first of them.
    ///
    /// # Panics
    /// When a window or an output pixel lies outside its slice.
    pub(crate) fn run<E: Element>(self, panel: &Panel<'_>, input: &[i16], output: &mut [E]) {
        match self.0 {
            // SAFETY: plain arithmetic needs no instruction-set extension.
            Form::Portable => unsafe { sweep::<[i32; LANES], E, 4>(panel, input, output) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` made this form, so the machine has AVX2.
            Form::Avx2 => unsafe { sweep_avx2(panel, input, output) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` made this form, so the machine has AVX-512F and VNNI.
            Form::Avx512Vnni => unsafe { sweep_avx512vnni(panel, input, output) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn sweep_avx2<E: Element>(panel: &Panel<'_>, input: &[i16], output: &mut [E]) {
    // SAFETY: this function is compiled for, and only called with, AVX2.
    unsafe { sweep::<[__m256i; 2], E, 4>(panel, input, output) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni")]
fn sweep_avx512vnni<E: Element>(panel: &Panel<'_>, input: &[i16], output: &mut [E]) {
    // SAFETY: this function is compiled for, and only called with, AVX-512F and VNNI.
    unsafe { sweep::<__m512i, E, 8>(panel, input, output) }
}

/// All output pixels, `P` at a time and the rest singly.
///
/// # Safety
/// The machine must have the instructions of `S`.
#[inline(always)]
unsafe fn sweep<S: Sums, E: Element, const P: usize>(panel: &Panel<'_>, input: &[i16], output: &mut [E]) {
    let (together, rest) = panel.windows.as_chunks::<P>();
    let mut pixels = output.chunks_mut(panel.pixel_stride);
    let mut finish = |sums: [i32; LANES]| {
        let mut values = [E::default(); LANES];
        for (lane, value) in values.iter_mut().enumerate() {
            *value = panel.bounds.finish(sums[lane] as f32 * panel.multiplier[lane] + panel.offset[lane]);
        }
        let pixel = pixels.next().expect("an output pixel for each window");
        match pixel.first_chunk_mut::<LANES>() {
            Some(full) if panel.lanes == LANES => *full = values,
            _ => pixel[..panel.lanes].copy_from_slice(&values[..panel.lanes]),
        }
    };
    for windows in together {
        // SAFETY: the caller's promise about `S` is this function's own.
        let sums = unsafe { dot::<S, P>(panel, input, windows) };
        for pixel in sums {
            // SAFETY: as above.
            finish(unsafe { pixel.to_array() });
        }
    }
    for window in rest {
        // SAFETY: as above.
        finish(unsafe { dot::<S, 1>(panel, input, &[*window])[0].to_array() });
    }
}

/// The sums of all lanes for `P` windows.
///
/// # Safety
/// The machine must have the instructions of `S`.
#[inline(always)]
unsafe fn dot<S: Sums, const P: usize>(panel: &Panel<'_>, input: &[i16], windows: &[u32; P]) -> [S; P] {
    // SAFETY: the caller's promise about `S` is this function's own.
    let mut sums = [unsafe { S::zero() }; P];
    let pairs = panel.row_pairs;
    for row in 0..panel.rows {
        let mut runs: [&[[i16; 2]]; P] = [&[]; P];
        for (run, &window) in runs.iter_mut().zip(windows) {
            let begin = window as usize + row * panel.row_stride;
            *run = input[begin..begin + 2 * pairs].as_chunks().0;
        }
        let weights = &panel.weights[row * pairs..][..pairs];
        // The slices' equal lengths are restated for the optimizer, which then drops the index checks.
        let runs = runs.map(|run| &run[..pairs]);
        for pair in 0..pairs {
            for p in 0..P {
                // SAFETY: as above.
                sums[p] = unsafe { sums[p].add_products(runs[p][pair], &weights[pair]) };
            }
        }
    }
    sums
}

/// The i32 sums of the lanes of one pixel.
///
/// The methods are unsafe because an implementation may need instructions that the machine lacks.
trait Sums: Copy {
    unsafe fn zero() -> Self;
    /// Adds `x[0] * weights[lane][0] + x[1] * weights[lane][1]` to each lane.
    unsafe fn add_products(self, x: [i16; 2], weights: &PairWeights) -> Self;
    unsafe fn to_array(self) -> [i32; LANES];
}

impl Sums for [i32; LANES] {
    #[inline(always)]
    unsafe fn zero() -> Self {
        [0; LANES]
    }

    #[inline(always)]
    unsafe fn add_products(mut self, x: [i16; 2], weights: &PairWeights) -> Self {
        for (sum, w) in self.iter_mut().zip(weights) {
            *sum += i32::from(x[0]) * i32::from(w[0]) + i32::from(x[1]) * i32::from(w[1]);
        }
        self
    }

    #[inline(always)]
    unsafe fn to_array(self) -> [i32; LANES] {
        self
    }
}

/// Two neighbouring inputs as the 32 bits that a vector instruction broadcasts.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn packed(x: [i16; 2]) -> i32 {
    i32::from(x[0] as u16) | i32::from(x[1]) << 16
}

#[cfg(target_arch = "x86_64")]
impl Sums for [__m256i; 2] {
    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the caller promises AVX2.
        unsafe { [_mm256_setzero_si256(); 2] }
    }

    #[inline(always)]
    unsafe fn add_products(self, x: [i16; 2], weights: &PairWeights) -> Self {
        let [low, high] = self;
        let base = weights.as_ptr().cast::<__m256i>();
        // SAFETY: the caller promises AVX2; `weights` is 64 bytes, two unaligned vectors.
        unsafe {
            let x = _mm256_set1_epi32(packed(x));
            let (w_low, w_high) = (_mm256_loadu_si256(base), _mm256_loadu_si256(base.add(1)));
            [
                _mm256_add_epi32(low, _mm256_madd_epi16(x, w_low)),
                _mm256_add_epi32(high, _mm256_madd_epi16(x, w_high)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn to_array(self) -> [i32; LANES] {
        let mut out = [0; LANES];
        let base = out.as_mut_ptr().cast::<__m256i>();
        // SAFETY: the caller promises AVX2; `out` is 64 bytes, two unaligned vectors.
        unsafe {
            _mm256_storeu_si256(base, self[0]);
            _mm256_storeu_si256(base.add(1), self[1]);
        }
        out
    }
}

#[cfg(target_arch = "x86_64")]
impl Sums for __m512i {
    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the caller promises AVX-512F.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    unsafe fn add_products(self, x: [i16; 2], weights: &PairWeights) -> Self {
        // SAFETY: the caller promises AVX-512F and VNNI; `weights` is 64 bytes, one unaligned vector.
        unsafe {
            _mm512_dpwssd_epi32(
                self,
                _mm512_set1_epi32(packed(x)),
                _mm512_loadu_si512(weights.as_ptr().cast()),
            )
        }
    }

    #[inline(always)]
    unsafe fn to_array(self) -> [i32; LANES] {
        let mut out = [0; LANES];
        // SAFETY: the caller promises AVX-512F; `out` is 64 bytes, one unaligned vector.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), self) };
        out
    }
}
