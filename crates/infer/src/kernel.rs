//! The inner loop: dot products of panels of weights with many input windows.
//!
//! A *panel* is the weights of [`LANES`] output channels. An output pixel reads a window of the channels-last
//! input, which is a few *runs* of consecutive bytes, read four at a time. The loop broadcasts four
//! neighbouring bytes to all lanes, and lane l adds `x0 * w[l][0] + ... + x3 * w[l][3]` to its sum: the
//! operation of `vpdpbusd` (AVX-512 VNNI, AVX-VNNI) and of `vpmaddubsw` (AVX2). Several pixels are computed
//! side by side, so that they share each load of weights and enough independent sums hide the latency. If
//! there are enough registers, two panels are also computed side by side and share each broadcast. LLVM does
//! not find these instructions in plain loops, so the code names them.
//!
//! All forms compute the same i32 sums. Compilation checks that a complete sum fits into i32, so no order of
//! additions wraps. Only `vpmaddubsw` could saturate, because it adds two products in i16. It cannot saturate
//! if both weights lie in [-64, 64], since 2 * 255 * 64 = 32,640. Nearly all weights do: all but every eighth
//! weight of a network trained for in-place protection. The excess of a weight beyond this range is stored in
//! a sparse second panel ([`Panel::excess`]) and added by the same instruction. The tests compare every form
//! that the machine supports with nested loops.
//!
//! This is the only module with `unsafe`, for two reasons: calling a function compiled for instructions that
//! were detected at run time, and the loads of the inner loop, whose bounds [`Windows::new`] checks once for
//! all panels.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256i, __m512i, _mm256_add_epi32, _mm256_dpbusd_avx_epi32, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_maddubs_epi16, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_storeu_si256, _mm512_dpbusd_epi32,
    _mm512_loadu_si512, _mm512_set1_epi32, _mm512_storeu_si512,
};

use crate::requantize::{Bounds, Element};

/// Number of output channels in a panel.
pub(crate) const LANES: usize = 16;

/// Number of neighbouring bytes of a window that are multiplied in one step.
pub(crate) const QUAD: usize = 4;

/// The weights of one quad of neighbouring inputs, for each lane.
pub(crate) type QuadWeights = [[i8; QUAD]; LANES];

/// Input windows of equal shape.
pub(crate) struct Windows<'a> {
    input: &'a [u8],
    begins: &'a [u32],
    runs: &'a [u32],
    run_quads: usize,
    /// Length of a window in bytes, from its start to its end.
    extent: usize,
}

impl<'a> Windows<'a> {
    /// `begins` are the starts of the windows in `input`; `runs` are the starts of the runs in a window; a
    /// run is `run_quads` quads of bytes.
    ///
    /// # Panics
    /// Panics if a window leaves the input.
    pub(crate) fn new(input: &'a [u8], begins: &'a [u32], runs: &'a [u32], run_quads: usize) -> Self {
        let largest = |values: &[u32]| values.iter().fold(0, |most, &value| most.max(value)) as usize;
        let extent = largest(runs) + run_quads * QUAD;
        let end = largest(begins) + extent;
        assert!(begins.is_empty() || end <= input.len(), "a window ends at {end} of {}", input.len());
        Self { input, begins, runs, run_quads, extent }
    }
}

/// The weights of output channels that are computed together, and the requantization of their sums.
#[derive(Clone, Copy)]
pub(crate) struct Panel<'a> {
    /// Weights run by run; each run has as many quads as a run of the windows.
    pub(crate) weights: &'a [QuadWeights],
    /// Excess of weights beyond [-64, 64], with the byte of the window at which their quad begins; ascending.
    /// Only for forms with [`Kernel::limit`].
    pub(crate) excess: &'a [(u32, QuadWeights)],
    /// Initial value of each lane's sum.
    pub(crate) start: &'a [i32; LANES],
    pub(crate) multiplier: &'a [f32; LANES],
    pub(crate) offset: &'a [f32; LANES],
    pub(crate) bounds: Bounds,
    /// Index of the panel's first channel in a pixel.
    pub(crate) channel: usize,
    /// Number of lanes in use.
    pub(crate) lanes: usize,
}

/// Ids of the forms of the inner loop that this machine supports: `portable`, `avx2`, `avx-vnni`,
/// `avx512-vnni`. The last one is used. All give the same results.
pub fn kernel_forms() -> Vec<&'static str> {
    Kernel::available().into_iter().map(Kernel::id).collect()
}

dispatch::forms! {
    /// A form of the inner loop that this machine supports.
    pub(crate) Kernel {
        Avx2 = "avx2" if "avx2";
        AvxVnni = "avx-vnni" if "avx2", "avxvnni";
        Avx512Vnni = "avx512-vnni" if "avx2", "avx512f", "avx512vnni";
    }
}

impl Kernel {
    /// Runs a plain loop compiled for this machine's vector instructions. Rust neither contracts nor reorders
    /// float operations, so the results are the same in every form.
    pub(crate) fn vectorize<L: Loop>(self, work: L) {
        match self.0 {
            Form::Portable => work.run(),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` made this form, and each but the portable one needs AVX2.
            _ => unsafe { vectorize_avx2(work) },
        }
    }

    /// Largest magnitude of a weight in [`Panel::weights`]; a larger one could saturate.
    pub(crate) fn limit(self) -> Option<i8> {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Form::Avx2 => Some(64),
            _ => None,
        }
    }

    /// Computes the panels' channels for every window, and writes them to `output` at the window's position
    /// in `pixels`.
    ///
    /// # Panics
    /// Panics if panels and windows differ in size, or if a pixel lies outside the output.
    pub(crate) fn run<E: Element>(
        self,
        windows: &Windows<'_>,
        panels: &[Panel<'_>],
        pixels: &[u32],
        output: &mut [E],
    ) {
        assert_eq!(windows.begins.len(), pixels.len(), "a pixel for each window");
        let quads = windows.runs.len() * windows.run_quads;
        assert!(panels.iter().all(|panel| panel.weights.len() == quads), "weights for each quad of a window");
        let last = panels.iter().filter_map(|panel| panel.excess.iter().map(|(place, _)| *place).max()).max();
        let inside = last.is_none_or(|place| place as usize + QUAD <= windows.extent);
        assert!(inside, "an excess at {last:?} of a window of {} bytes", windows.extent);
        match self.0 {
            // SAFETY: plain arithmetic needs no instruction-set extension; panels were measured above.
            Form::Portable => unsafe { sweep_all::<[i32; LANES], E, 4>(windows, panels, pixels, output) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` made this form, so the machine has AVX2; panels were measured above.
            Form::Avx2 => unsafe { sweep_avx2(windows, panels, pixels, output) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` made this form, so the machine has AVX2 and AVX-VNNI; as above.
            Form::AvxVnni => unsafe { sweep_avxvnni(windows, panels, pixels, output) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` made this form, so the machine has AVX-512F and VNNI; as above.
            Form::Avx512Vnni => unsafe { sweep_avx512vnni(windows, panels, pixels, output) },
        }
    }
}

/// A loop for [`Kernel::vectorize`]. `run` must be inlined, so that it is compiled for the vector
/// instructions.
pub(crate) trait Loop {
    fn run(self);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn vectorize_avx2<L: Loop>(work: L) {
    work.run();
}

/// # Safety
/// Every panel must have a weight for each quad of a window, and its excess inside.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn sweep_avx2<E: Element>(w: &Windows<'_>, panels: &[Panel<'_>], pixels: &[u32], output: &mut [E]) {
    // SAFETY: compiled for, and only called with, AVX2; the caller's promise is this function's own.
    unsafe { sweep_all::<Saturating, E, 4>(w, panels, pixels, output) }
}

/// # Safety
/// Every panel must have a weight for each quad of a window, and its excess inside.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,avxvnni")]
unsafe fn sweep_avxvnni<E: Element>(w: &Windows<'_>, panels: &[Panel<'_>], pixels: &[u32], output: &mut [E]) {
    // SAFETY: compiled for, and only called with, AVX2 and AVX-VNNI; the caller's promise is this function's own.
    unsafe { sweep_all::<[__m256i; 2], E, 4>(w, panels, pixels, output) }
}

/// # Safety
/// Every panel must have a weight for each quad of a window, and its excess inside.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn sweep_avx512vnni<E: Element>(
    w: &Windows<'_>,
    panels: &[Panel<'_>],
    pixels: &[u32],
    output: &mut [E],
) {
    let (pairs, single) = panels.as_chunks::<2>();
    for pair in pairs {
        // SAFETY: compiled for, and only called with, AVX-512F and VNNI; the caller's promise is this
        // function's own.
        unsafe { sweep::<__m512i, E, 8, 2>(w, pair, pixels, output) };
    }
    // SAFETY: as above.
    unsafe { sweep_all::<__m512i, E, 8>(w, single, pixels, output) };
}

/// Computes all panels, one after the other.
///
/// # Safety
/// The machine must have the instructions of `S`; every panel must have a weight for each quad of a window,
/// and its excess inside.
#[inline(always)]
unsafe fn sweep_all<S: Sums, E: Element, const P: usize>(
    w: &Windows<'_>,
    panels: &[Panel<'_>],
    pixels: &[u32],
    output: &mut [E],
) {
    for panel in panels {
        // SAFETY: the caller's promises are this function's own.
        unsafe { sweep::<S, E, P, 1>(w, &[*panel], pixels, output) };
    }
}

/// Computes all windows: `P` at a time, then 4, then one by one.
///
/// # Safety
/// See [`sweep_all`].
#[inline(always)]
unsafe fn sweep<S: Sums, E: Element, const P: usize, const N: usize>(
    w: &Windows<'_>,
    panels: &[Panel<'_>; N],
    pixels: &[u32],
    output: &mut [E],
) {
    // SAFETY: the caller's promises are this function's own, and all begins are of `w`.
    unsafe {
        let done = together::<S, E, P, N>(w, panels, 0, pixels, output);
        let done = together::<S, E, 4, N>(w, panels, done, pixels, output);
        together::<S, E, 1, N>(w, panels, done, pixels, output);
    }
}

/// Computes the windows from `first` on, `P` at a time. Returns the index of the first window that is left.
///
/// # Safety
/// See [`sweep_all`].
#[inline(always)]
unsafe fn together<S: Sums, E: Element, const P: usize, const N: usize>(
    w: &Windows<'_>,
    panels: &[Panel<'_>; N],
    first: usize,
    pixels: &[u32],
    output: &mut [E],
) -> usize {
    let begins = w.begins[first..].as_chunks::<P>().0;
    for (begins, pixels) in begins.iter().zip(pixels[first..].as_chunks::<P>().0) {
        // SAFETY: the caller's promises are this function's own, and `begins` are of `w`.
        let sums = unsafe { dot::<S, P, N>(w, panels, begins) };
        for (sums, &pixel) in sums.into_iter().zip(pixels) {
            // SAFETY: as above.
            unsafe { finish(sums, panels, &mut output[pixel as usize..]) };
        }
    }
    first + begins.len() * P
}

/// Requantizes the sums of one pixel and writes them to their channels.
///
/// # Safety
/// The machine must have the instructions of `S`.
#[inline(always)]
unsafe fn finish<S: Sums, E: Element, const N: usize>(
    sums: [S; N],
    panels: &[Panel<'_>; N],
    pixel: &mut [E],
) {
    for (sums, panel) in sums.into_iter().zip(panels) {
        // SAFETY: the caller's promise is this function's own.
        let sums = unsafe { sums.to_array() };
        let mut values = [E::default(); LANES];
        for (lane, value) in values.iter_mut().enumerate() {
            *value = panel.bounds.finish(sums[lane] as f32 * panel.multiplier[lane] + panel.offset[lane]);
        }
        let channels = &mut pixel[panel.channel..];
        match channels.first_chunk_mut::<LANES>() {
            Some(full) if panel.lanes == LANES => *full = values,
            _ => copy_some(&mut channels[..panel.lanes], &values),
        }
    }
}

/// A function apart from [`finish`], so that in `finish` the values of all lanes stay one vector.
#[inline(never)]
fn copy_some<E: Element>(channels: &mut [E], values: &[E; LANES]) {
    channels.copy_from_slice(&values[..channels.len()]);
}

/// Returns the sums of `N` panels for `P` windows.
///
/// # Safety
/// See [`sweep_all`]; `begins` must be starts of windows.
#[inline(always)]
unsafe fn dot<S: Sums, const P: usize, const N: usize>(
    w: &Windows<'_>,
    panels: &[Panel<'_>; N],
    begins: &[u32; P],
) -> [[S; N]; P] {
    // SAFETY: the caller's promise about `S` is this function's own.
    let mut sums = [panels.map(|panel| unsafe { S::start(panel.start) }); P];
    let begins = begins.map(|begin| begin as usize);
    for (run, &offset) in w.runs.iter().enumerate() {
        // SAFETY: `Windows::new` found every run of every window inside the input.
        let base = begins.map(|begin| unsafe { w.input.as_ptr().add(begin + offset as usize) });
        for quad in 0..w.run_quads {
            let weights = panels.map(|panel| {
                // SAFETY: the caller promises a weight for each quad of a run.
                unsafe { S::load(panel.weights.get_unchecked(run * w.run_quads + quad)) }
            });
            for (sums, base) in sums.iter_mut().zip(base) {
                // SAFETY: the quad lies in the run, which is inside the input.
                let x = unsafe { base.add(quad * QUAD).cast::<[u8; QUAD]>().read() };
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    // SAFETY: the caller's promise about `S` is this function's own.
                    *sum = unsafe { sum.add_products(x, weights) };
                }
            }
        }
    }
    for (n, panel) in panels.iter().enumerate() {
        for (offset, weights) in panel.excess {
            // SAFETY: the caller's promise about `S` is this function's own.
            let weights = unsafe { S::load(weights) };
            for (sums, begin) in sums.iter_mut().zip(begins) {
                // SAFETY: `Kernel::run` found the quad inside the window, which is inside the input; as above.
                unsafe {
                    let x = w.input.as_ptr().add(begin + *offset as usize).cast::<[u8; QUAD]>().read();
                    sums[n] = sums[n].add_products(x, weights);
                }
            }
        }
    }
    sums
}

/// The i32 sums of all lanes for one pixel.
///
/// The methods are unsafe because an implementation may need instructions that the machine lacks.
trait Sums: Copy {
    type Weights: Copy;
    unsafe fn start(values: &[i32; LANES]) -> Self;
    unsafe fn load(weights: &QuadWeights) -> Self::Weights;
    /// Adds the products of `x` with each lane's weights.
    unsafe fn add_products(self, x: [u8; QUAD], weights: Self::Weights) -> Self;
    unsafe fn to_array(self) -> [i32; LANES];
}

impl Sums for [i32; LANES] {
    type Weights = QuadWeights;

    #[inline(always)]
    unsafe fn start(values: &[i32; LANES]) -> Self {
        *values
    }

    #[inline(always)]
    unsafe fn load(weights: &QuadWeights) -> QuadWeights {
        *weights
    }

    #[inline(always)]
    unsafe fn add_products(mut self, x: [u8; QUAD], weights: QuadWeights) -> Self {
        for (sum, w) in self.iter_mut().zip(weights) {
            *sum += x.iter().zip(w).map(|(&x, w)| i32::from(x) * i32::from(w)).sum::<i32>();
        }
        self
    }

    #[inline(always)]
    unsafe fn to_array(self) -> [i32; LANES] {
        self
    }
}

/// Loads 16 lanes as two halves.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn load_halves(lanes: *const __m256i) -> [__m256i; 2] {
    // SAFETY: the caller promises AVX2 and 64 readable bytes.
    unsafe { [_mm256_loadu_si256(lanes), _mm256_loadu_si256(lanes.add(1))] }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn store_halves(halves: [__m256i; 2]) -> [i32; LANES] {
    let mut out = [0; LANES];
    let base = out.as_mut_ptr().cast::<__m256i>();
    // SAFETY: the caller promises AVX2; `out` is 64 bytes, two unaligned vectors.
    unsafe {
        _mm256_storeu_si256(base, halves[0]);
        _mm256_storeu_si256(base.add(1), halves[1]);
    }
    out
}

/// Sums with AVX2. Products of two neighbours are added in i16, so weights must be in [-64, 64].
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct Saturating([__m256i; 2]);

#[cfg(target_arch = "x86_64")]
impl Sums for Saturating {
    type Weights = [__m256i; 2];

    #[inline(always)]
    unsafe fn start(values: &[i32; LANES]) -> Self {
        // SAFETY: the caller promises AVX2; `values` is 64 bytes.
        Self(unsafe { load_halves(values.as_ptr().cast()) })
    }

    #[inline(always)]
    unsafe fn load(weights: &QuadWeights) -> [__m256i; 2] {
        // SAFETY: the caller promises AVX2; `weights` is 64 bytes.
        unsafe { load_halves(weights.as_ptr().cast()) }
    }

    #[inline(always)]
    unsafe fn add_products(self, x: [u8; QUAD], weights: [__m256i; 2]) -> Self {
        let add = |sums: __m256i, weights: __m256i| {
            // SAFETY: the caller promises AVX2.
            unsafe {
                let x = _mm256_set1_epi32(i32::from_le_bytes(x));
                let pairs = _mm256_maddubs_epi16(x, weights);
                _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
            }
        };
        Self([add(self.0[0], weights[0]), add(self.0[1], weights[1])])
    }

    #[inline(always)]
    unsafe fn to_array(self) -> [i32; LANES] {
        // SAFETY: the caller promises AVX2.
        unsafe { store_halves(self.0) }
    }
}

/// Sums with AVX-VNNI.
#[cfg(target_arch = "x86_64")]
impl Sums for [__m256i; 2] {
    type Weights = [__m256i; 2];

    #[inline(always)]
    unsafe fn start(values: &[i32; LANES]) -> Self {
        // SAFETY: the caller promises AVX2; `values` is 64 bytes.
        unsafe { load_halves(values.as_ptr().cast()) }
    }

    #[inline(always)]
    unsafe fn load(weights: &QuadWeights) -> [__m256i; 2] {
        // SAFETY: the caller promises AVX2; `weights` is 64 bytes.
        unsafe { load_halves(weights.as_ptr().cast()) }
    }

    #[inline(always)]
    unsafe fn add_products(self, x: [u8; QUAD], weights: [__m256i; 2]) -> Self {
        // SAFETY: the caller promises AVX2 and AVX-VNNI.
        unsafe {
            let x = _mm256_set1_epi32(i32::from_le_bytes(x));
            [_mm256_dpbusd_avx_epi32(self[0], x, weights[0]), _mm256_dpbusd_avx_epi32(self[1], x, weights[1])]
        }
    }

    #[inline(always)]
    unsafe fn to_array(self) -> [i32; LANES] {
        // SAFETY: the caller promises AVX2.
        unsafe { store_halves(self) }
    }
}

#[cfg(target_arch = "x86_64")]
impl Sums for __m512i {
    type Weights = __m512i;

    #[inline(always)]
    unsafe fn start(values: &[i32; LANES]) -> Self {
        // SAFETY: the caller promises AVX-512F; `values` is 64 bytes.
        unsafe { _mm512_loadu_si512(values.as_ptr().cast()) }
    }

    #[inline(always)]
    unsafe fn load(weights: &QuadWeights) -> __m512i {
        // SAFETY: the caller promises AVX-512F; `weights` is 64 bytes.
        unsafe { _mm512_loadu_si512(weights.as_ptr().cast()) }
    }

    #[inline(always)]
    unsafe fn add_products(self, x: [u8; QUAD], weights: __m512i) -> Self {
        // SAFETY: the caller promises AVX-512F and VNNI.
        unsafe { _mm512_dpbusd_epi32(self, _mm512_set1_epi32(i32::from_le_bytes(x)), weights) }
    }

    #[inline(always)]
    unsafe fn to_array(self) -> [i32; LANES] {
        let mut out = [0; LANES];
        // SAFETY: the caller promises AVX-512F; `out` is 64 bytes, one unaligned vector.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), self) };
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "a window ends at 25 of 24")]
    fn a_window_outside_is_a_bug() {
        Windows::new(&[0; 24], &[0, 3, 1], &[0, 10], 3);
    }

    #[test]
    fn no_windows_need_no_input() {
        Windows::new(&[], &[], &[0, 10], 3);
    }
}
