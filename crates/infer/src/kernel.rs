//! The inner loop: dot products of panels of weights with many input windows.
//!
//! A *panel* is the weights of [`LANES`] output channels. An output pixel reads a window of the channels-last
//! input, which is a few *runs* of consecutive values, read a *step* at a time. The loop broadcasts a step to all
//! lanes, and lane l adds the products of these neighbours with its own weights to its sum. A form of the loop
//! multiplies in one of two [`Format`]s:
//!
//! - **[`Bytes`]**: a step is four bytes. Lane l adds `x0 * w[l][0] + ... + x3 * w[l][3]`, the operation of
//!   `vpdpbusd` (AVX-512 VNNI, AVX-VNNI).
//! - **[`Words`]**: a step is two i16. The operation is `vpmaddwd` and an addition, which AVX2 and AVX-512 without
//!   VNNI have. It costs the same for all weights, also for those that faults made large.
//! - **[`Small`]**: a step is eight bytes, as two `vpmaddubsw`, whose sums of two products are added in i16 and then widened
//!   by one `vpmaddwd`. Three multiplications instead of four, and five instructions instead of eight, do the same work, but
//!   only for weights that do not saturate i16. The form for AVX2 [splits](crate::split) the weights of trained layers.
//!
//! The form is chosen by the instruction set. Nothing is measured at the start, because the order does not depend on the
//! machine: an instruction of 256 bits multiplies 8 values in f32, where sums are exact up to 2^24 only, 16 by `vpmaddwd`, and
//! 32 by `vpmaddubsw` or `vpdpbusd`. Whether split weights pay depends on the weights, and is decided for each panel.
//!
//! Several pixels are computed side by side, so that they share each load of weights and enough independent sums
//! hide the latency. If there are enough registers, two panels are also computed side by side and share each
//! broadcast. LLVM does not find these instructions in plain loops, so the code names them.
//!
//! In a depthwise convolution a lane reads its own channel. There is nothing to broadcast: the loop interleaves the
//! channels of two positions of the window, and `vpmaddwd` multiplies both with their weights; with VNNI, `vpdpwssd`
//! adds in the same instruction.
//!
//! All forms compute the same i32 sums. Compilation checks that a complete sum fits into i32, so no order of
//! additions wraps. The tests compare every form that the machine supports with nested loops.
//!
//! This is the only module with `unsafe`, for two reasons: calling a function compiled for instructions that
//! were detected at run time, and the loads of the inner loop, whose bounds [`Windows::new`] checks once for
//! all panels.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256i, __m512i, _mm_loadu_si128, _mm_unpackhi_epi8, _mm_unpacklo_epi8, _mm256_add_epi32,
    _mm256_cvtepu8_epi16, _mm256_dpbusd_avx_epi32, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_set1_epi32,
    _mm256_storeu_si256, _mm512_add_epi32, _mm512_cvtepu8_epi32, _mm512_dpbusd_epi32, _mm512_dpwssd_epi32,
    _mm512_loadu_si512, _mm512_madd_epi16, _mm512_or_si512, _mm512_set1_epi32, _mm512_slli_epi32,
    _mm512_storeu_si512,
};

use crate::requantize::{Bounds, Output};

mod split;

pub(crate) use split::{Small, SplitPanel};

/// Number of output channels in a panel.
pub(crate) const LANES: usize = 16;

/// Number of bytes after the images of a tile that the loop may read; it multiplies them by weights of zero.
pub(crate) const SLACK: usize = 16;
const _: () = assert!(SLACK >= Bytes::STEP && SLACK >= Small::STEP && SLACK >= LANES);

/// Weights of all lanes for one step, aligned to a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct StepWeights<T>(pub(crate) T);

/// The number format of products.
pub(crate) trait Format {
    /// An input value.
    type Input: Copy;
    /// The weights of one step, for each lane.
    type Weights: Copy;
    /// Number of neighbouring input values that are multiplied in one step.
    const STEP: usize;
}

/// Products of four u8 inputs and i8 weights in a step.
pub(crate) struct Bytes;

impl Format for Bytes {
    type Input = u8;
    type Weights = StepWeights<[[i8; 4]; LANES]>;
    const STEP: usize = 4;
}

/// Products of two i16 in a step.
pub(crate) struct Words;

impl Format for Words {
    type Input = i16;
    type Weights = StepWeights<[[i16; 2]; LANES]>;
    const STEP: usize = 2;
}

/// Products of a depthwise convolution: a run is one position of the window, with a u8 input for each lane. Its
/// weights are i16, two positions in a step.
pub(crate) struct Depthwise;

impl Format for Depthwise {
    type Input = u8;
    type Weights = <Words as Format>::Weights;
    const STEP: usize = LANES;
}

/// Input windows of equal shape.
pub(crate) struct Windows<'a, F: Format> {
    input: &'a [F::Input],
    begins: &'a [u32],
    runs: &'a [u32],
    run_steps: usize,
}

impl<'a, F: Format> Windows<'a, F> {
    /// `begins` are the starts of the windows in `input`; `runs` are the starts of the runs in a window; a
    /// run is `run_steps` steps.
    ///
    /// # Panics
    /// Panics if a window leaves the input.
    pub(crate) fn new(input: &'a [F::Input], begins: &'a [u32], runs: &'a [u32], run_steps: usize) -> Self {
        let end = greatest(begins) + greatest(runs) + run_steps * F::STEP;
        assert!(begins.is_empty() || end <= input.len(), "a window ends at {end} of {}", input.len());
        Self { input, begins, runs, run_steps }
    }
}

/// Returns the largest value, or 0.
pub(crate) fn greatest(values: &[u32]) -> usize {
    values.iter().copied().max().unwrap_or(0) as usize
}

/// The weights of output channels that are computed together, and the requantization of their sums.
pub(crate) struct Panel<'a, F: Format> {
    /// Weights run by run; each run has as many steps as a run of the windows.
    pub(crate) weights: &'a [F::Weights],
    pub(crate) finish: Finish<'a>,
}

/// The requantization of a panel's sums.
#[derive(Clone, Copy)]
pub(crate) struct Finish<'a> {
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

impl Finish<'_> {
    /// Requantizes the complete sums of one pixel and writes them to their channels; `pixel` is its start in `output`.
    #[inline(always)]
    pub(crate) fn write<E: Output>(&self, sums: &[i32; LANES], output: &mut [E], pixel: usize) {
        let mut values = [E::default(); LANES];
        for (lane, value) in values.iter_mut().enumerate() {
            *value = E::of_sum(sums[lane], self.multiplier[lane], self.offset[lane], self.bounds);
        }
        let begin = pixel + self.channel;
        match self.lanes {
            LANES => output[begin..][..LANES].copy_from_slice(&values),
            lanes => copy_some(&mut output[begin..][..lanes], values),
        }
    }
}

/// A function apart from [`Finish::write`], so that there the values of all lanes stay one vector.
#[inline(never)]
fn copy_some<E: Output>(channels: &mut [E], values: [E; LANES]) {
    channels.copy_from_slice(&values[..channels.len()]);
}

/// A step of input bytes that differs from that of known sums.
pub(crate) trait StepChange<const STEP: usize>: Copy {
    /// Makes a change of the step at a position of its tap.
    fn new(step: u32, old: [u8; STEP], new: [u8; STEP]) -> Self;
}

/// Four neighbouring input bytes that differ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuadChange {
    /// Position of the step in its tap.
    step: u32,
    old: [u8; Bytes::STEP],
    new: [u8; Bytes::STEP],
}

impl StepChange<{ Bytes::STEP }> for QuadChange {
    #[inline(always)]
    fn new(step: u32, old: [u8; Bytes::STEP], new: [u8; Bytes::STEP]) -> Self {
        Self { step, old, new }
    }
}

/// The differences of two neighbouring inputs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PairChange {
    /// Position of the step in its tap.
    step: u32,
    by: [i16; Words::STEP],
}

impl StepChange<{ Words::STEP }> for PairChange {
    #[inline(always)]
    fn new(step: u32, old: [u8; Words::STEP], new: [u8; Words::STEP]) -> Self {
        Self { step, by: [0, 1].map(|i| i16::from(new[i]) - i16::from(old[i])) }
    }
}

/// Consecutive steps of a window, some of which differ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tap {
    /// Position of its first step in [`Panel::weights`].
    pub(crate) first: u32,
    /// Its entries in the list of changes.
    pub(crate) changes: (u32, u32),
}

/// An output pixel whose window has differing steps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PixelChange {
    /// Index of its first panel's sums.
    pub(crate) sums: u32,
    /// Its entries in the list of taps.
    pub(crate) taps: (u32, u32),
}

/// Number of changes that are copied at once; a list of changed steps is longer by this number than what is in use.
pub(crate) const JOINED: usize = 4;

/// Output pixels with the differing parts of their windows. The lists of taps and steps may be longer than what is in use.
#[derive(Debug)]
pub(crate) struct Changes<C> {
    pub(crate) pixels: Vec<PixelChange>,
    pub(crate) taps: Vec<Tap>,
    pub(crate) steps: Vec<C>,
}

impl<C> Default for Changes<C> {
    fn default() -> Self {
        Self { pixels: Vec::new(), taps: Vec::new(), steps: Vec::new() }
    }
}

/// Ids of the forms of the inner loop that this machine supports: `portable`, `avx2`, `avx512`, `avx-vnni`,
/// `avx512-vnni`. The last one is used. All give the same results.
pub fn kernel_forms() -> Vec<&'static str> {
    Kernel::available().into_iter().map(Kernel::id).collect()
}

dispatch::forms! {
    /// A form of the inner loop that this machine supports.
    pub(crate) Kernel {
        Avx2 = "avx2" if "avx2";
        Avx512 = "avx512" if "avx2", "avx512f", "avx512bw", "avx512vl";
        AvxVnni = "avx-vnni" if "avx2", "avxvnni";
        Avx512Vnni = "avx512-vnni" if "avx2", "avx512f", "avx512bw", "avx512vl", "avx512vnni";
    }
}

impl Kernel {
    /// Returns the form with an id, if this machine supports it.
    pub(crate) fn of(id: &str) -> Option<Self> {
        Self::available().into_iter().find(|kernel| kernel.id() == id)
    }

    /// True if the form multiplies [`Words`], false if [`Bytes`].
    pub(crate) fn multiplies_words(self) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Form::AvxVnni | Form::Avx512Vnni => false,
            _ => true,
        }
    }

    /// Runs a plain loop compiled for this machine's vector instructions. Rust neither contracts nor reorders
    /// float operations, so the results are the same in every form.
    pub(crate) fn vectorize<L: Loop>(self, work: L) {
        match self.0 {
            Form::Portable => work.run(),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` made this form, so the machine has AVX2.
            Form::Avx2 | Form::AvxVnni => unsafe { vectorize_avx2(work) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` made this form, so the machine has AVX2 and AVX-512F, -BW and -VL.
            Form::Avx512 | Form::Avx512Vnni => unsafe { vectorize_avx512(work) },
        }
    }

    /// Computes the panels' channels for every window, and writes them to `output` at the window's position
    /// in `pixels`.
    ///
    /// # Panics
    /// Panics if the form multiplies words, if panels and windows differ in size, or if a pixel lies outside the
    /// output.
    pub(crate) fn run_bytes<E: Output>(
        self,
        windows: &Windows<'_, Bytes>,
        panels: &[Panel<'_, Bytes>],
        pixels: &[u32],
        output: &mut [E],
    ) {
        check(windows, panels, pixels, windows.runs.len() * windows.run_steps);
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` made this form, so the machine has AVX2 and AVX-VNNI; panels were measured above.
            Form::AvxVnni => unsafe { sweep_avxvnni(windows, panels, pixels, output) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` made this form, so the machine has AVX-512F and VNNI; as above.
            Form::Avx512Vnni => unsafe { sweep_avx512vnni(windows, panels, pixels, output) },
            form => unreachable!("{form:?} multiplies words"),
        }
    }

    /// Computes like [`Kernel::run_bytes`].
    ///
    /// # Panics
    /// Panics if the form multiplies bytes; and as [`Kernel::run_bytes`] does.
    pub(crate) fn run_words<E: Output>(
        self,
        windows: &Windows<'_, Words>,
        panels: &[Panel<'_, Words>],
        pixels: &[u32],
        output: &mut [E],
    ) {
        check(windows, panels, pixels, windows.runs.len() * windows.run_steps);
        match self.0 {
            // SAFETY: plain arithmetic needs no instruction-set extension; panels were measured above.
            Form::Portable => unsafe { sweep_all::<[i32; LANES], E, 4>(windows, panels, pixels, output) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` made this form, so the machine has AVX2; panels were measured above.
            Form::Avx2 => unsafe { sweep_avx2(windows, panels, pixels, output) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` made this form, so the machine has AVX-512F and AVX-512BW; as above.
            Form::Avx512 => unsafe { sweep_avx512(windows, panels, pixels, output) },
            #[cfg(target_arch = "x86_64")]
            form => unreachable!("{form:?} multiplies bytes"),
        }
    }

    /// Multiplies rows of i16 by the weights of a panel: `sums[t]` becomes the dot products of row t, modulo 2^32.
    /// A row has two values for each of `weights`.
    ///
    /// # Panics
    /// Panics if the form multiplies bytes, or if there is no row for each of `sums`.
    pub(crate) fn multiply(
        self,
        rows: &[i16],
        weights: &[<Words as Format>::Weights],
        sums: &mut [[i32; LANES]],
    ) {
        assert_eq!(rows.len(), sums.len() * weights.len() * Words::STEP, "a row for each sum");
        match self.0 {
            // SAFETY: plain arithmetic needs no instruction-set extension; rows were measured above.
            Form::Portable => unsafe { multiply::<[i32; LANES], 4>(rows, weights, sums) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` made this form, so the machine has AVX2; rows were measured above.
            Form::Avx2 => unsafe { multiply_avx2(rows, weights, sums) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` made this form, so the machine has AVX-512F and AVX-512BW; as above.
            Form::Avx512 => unsafe { multiply_avx512(rows, weights, sums) },
            #[cfg(target_arch = "x86_64")]
            form => unreachable!("{form:?} multiplies bytes"),
        }
    }

    /// Computes a panel of a depthwise convolution like [`Kernel::run_bytes`].
    ///
    /// # Panics
    /// Panics as [`Kernel::run_bytes`] does.
    pub(crate) fn run_depthwise<E: Output>(
        self,
        windows: &Windows<'_, Depthwise>,
        panel: &Panel<'_, Depthwise>,
        pixels: &[u32],
        output: &mut [E],
    ) {
        check(windows, std::slice::from_ref(panel), pixels, windows.runs.len().div_ceil(2));
        match self.0 {
            // SAFETY: plain arithmetic needs no instruction-set extension; panels were measured above.
            Form::Portable => unsafe { depthwise::<PortablePositions, 1, E>(windows, panel, pixels, output) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` made this form, so the machine has AVX2; panels were measured above.
            Form::Avx2 | Form::AvxVnni => unsafe { depthwise_avx2(windows, panel, pixels, output) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` made this form, so the machine has AVX-512F and AVX-512BW; as above.
            Form::Avx512 => unsafe { depthwise_avx512(windows, panel, pixels, output) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` made this form, so the machine has AVX-512F, AVX-512BW and VNNI; as above.
            Form::Avx512Vnni => unsafe { depthwise_avx512vnni(windows, panel, pixels, output) },
        }
    }
}

fn check<F: Format>(windows: &Windows<'_, F>, panels: &[Panel<'_, F>], pixels: &[u32], steps: usize) {
    assert_eq!(windows.begins.len(), pixels.len(), "a pixel for each window");
    assert!(panels.iter().all(|panel| panel.weights.len() == steps), "weights for each step of a window");
}

impl Kernel {
    /// Adds the changes of each pixel's window to its known sums. `sums` becomes the result, for each pixel of the list and each
    /// panel.
    ///
    /// # Panics
    /// Panics if the form multiplies words, if a change lies outside a panel, or if a pixel has no sums.
    pub(crate) fn add_quads(
        self,
        changes: &Changes<QuadChange>,
        panels: &[Panel<'_, Bytes>],
        known: &[[i32; LANES]],
        sums: &mut Vec<[i32; LANES]>,
    ) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` made this form, so the machine has AVX2 and AVX-VNNI.
            Form::AvxVnni => unsafe { add_avxvnni(changes, panels, known, sums) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` made this form, so the machine has AVX-512F and VNNI.
            Form::Avx512Vnni => unsafe { add_avx512vnni(changes, panels, known, sums) },
            form => unreachable!("{form:?} multiplies words"),
        }
    }

    /// Adds like [`Kernel::add_quads`].
    ///
    /// # Panics
    /// Panics if the form multiplies bytes; and as [`Kernel::add_quads`] does.
    pub(crate) fn add_pairs(
        self,
        changes: &Changes<PairChange>,
        panels: &[Panel<'_, Words>],
        known: &[[i32; LANES]],
        sums: &mut Vec<[i32; LANES]>,
    ) {
        match self.0 {
            // SAFETY: plain arithmetic needs no instruction-set extension.
            Form::Portable => unsafe { add_pairs_all::<[i32; LANES]>(changes, panels, known, sums) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` made this form, so the machine has AVX2.
            Form::Avx2 => unsafe { add_pairs_avx2(changes, panels, known, sums) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` made this form, so the machine has AVX-512F and AVX-512BW.
            Form::Avx512 => unsafe { add_pairs_avx512(changes, panels, known, sums) },
            #[cfg(target_arch = "x86_64")]
            form => unreachable!("{form:?} multiplies bytes"),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,avxvnni")]
fn add_avxvnni(
    changes: &Changes<QuadChange>,
    panels: &[Panel<'_, Bytes>],
    known: &[[i32; LANES]],
    sums: &mut Vec<[i32; LANES]>,
) {
    // SAFETY: compiled for, and only called with, AVX2 and AVX-VNNI.
    unsafe { add_all::<ByteHalves>(changes, panels, known, sums) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni")]
fn add_avx512vnni(
    changes: &Changes<QuadChange>,
    panels: &[Panel<'_, Bytes>],
    known: &[[i32; LANES]],
    sums: &mut Vec<[i32; LANES]>,
) {
    // SAFETY: compiled for, and only called with, AVX-512F and VNNI.
    unsafe { add_all::<Byte512>(changes, panels, known, sums) }
}

/// New sums are the known ones, plus the products of the new bytes, minus those of the old ones.
///
/// # Safety
/// The machine must have the instructions of `S`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn add_all<S: Sums<Format = Bytes>>(
    changes: &Changes<QuadChange>,
    panels: &[Panel<'_, Bytes>],
    known: &[[i32; LANES]],
    sums: &mut Vec<[i32; LANES]>,
) {
    let Changes { pixels, taps, steps } = changes;
    sums.clear();
    for pixel in pixels {
        let taps = &taps[pixel.taps.0 as usize..pixel.taps.1 as usize];
        for (panel, known) in panels.iter().zip(&known[pixel.sums as usize..]) {
            // SAFETY: the caller's promise about `S` is this function's own.
            let (mut new, mut old) = unsafe { (S::start(known), S::start(&[0; LANES])) };
            for tap in taps {
                let weights = &panel.weights[tap.first as usize..];
                for change in &steps[tap.changes.0 as usize..tap.changes.1 as usize] {
                    // SAFETY: as above; a change has the bytes of a step.
                    unsafe {
                        let weights = S::load(&weights[change.step as usize]);
                        new = new.add_products(change.new.as_ptr(), weights);
                        old = old.add_products(change.old.as_ptr(), weights);
                    }
                }
            }
            // SAFETY: as above.
            let (mut new, old) = unsafe { (new.to_array(), old.to_array()) };
            new.iter_mut().zip(old).for_each(|(new, old)| *new = new.wrapping_sub(old));
            sums.push(new);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn add_pairs_avx2(
    changes: &Changes<PairChange>,
    panels: &[Panel<'_, Words>],
    known: &[[i32; LANES]],
    sums: &mut Vec<[i32; LANES]>,
) {
    // SAFETY: compiled for, and only called with, AVX2.
    unsafe { add_pairs_all::<WordHalves>(changes, panels, known, sums) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
fn add_pairs_avx512(
    changes: &Changes<PairChange>,
    panels: &[Panel<'_, Words>],
    known: &[[i32; LANES]],
    sums: &mut Vec<[i32; LANES]>,
) {
    // SAFETY: compiled for, and only called with, AVX-512F and AVX-512BW.
    unsafe { add_pairs_all::<Word512>(changes, panels, known, sums) }
}

/// New sums are the known ones plus the products of the differences.
///
/// # Safety
/// The machine must have the instructions of `S`.
#[inline(always)]
unsafe fn add_pairs_all<S: Sums<Format = Words>>(
    changes: &Changes<PairChange>,
    panels: &[Panel<'_, Words>],
    known: &[[i32; LANES]],
    sums: &mut Vec<[i32; LANES]>,
) {
    let Changes { pixels, taps, steps } = changes;
    let (four, rest) = panels.as_chunks::<4>();
    let (two, one) = rest.as_chunks::<2>();
    let mut of_pixel = Vec::new();
    sums.clear();
    for pixel in pixels {
        let taps = &taps[pixel.taps.0 as usize..pixel.taps.1 as usize];
        let count = join(taps, steps, &mut of_pixel);
        let changes = &of_pixel[..count];
        let (known_four, rest) = known[pixel.sums as usize..][..panels.len()].as_chunks::<4>();
        let (known_two, known_one) = rest.as_chunks::<2>();
        for (panels, known) in four.iter().zip(known_four) {
            // SAFETY: the caller's promise is this function's own.
            sums.extend(unsafe { add_pairs_of::<S, 4>(changes, panels, known) });
        }
        for (panels, known) in two.iter().zip(known_two) {
            // SAFETY: as above.
            sums.extend(unsafe { add_pairs_of::<S, 2>(changes, panels, known) });
        }
        for (panel, known) in one.iter().zip(known_one) {
            let (panel, known) = (std::array::from_ref(panel), std::array::from_ref(known));
            // SAFETY: as above.
            sums.extend(unsafe { add_pairs_of::<S, 1>(changes, panel, known) });
        }
    }
}

/// Joins the changes of the taps of a pixel, with their positions in [`Panel::weights`], at the begin of `joined`; returns their
/// number. A tap seldom has more than a few, and their number is hard to predict, so [`JOINED`] are copied at once.
#[inline(always)]
fn join(taps: &[Tap], steps: &[PairChange], joined: &mut Vec<PairChange>) -> usize {
    let all: usize = taps.iter().map(|tap| (tap.changes.1 - tap.changes.0) as usize).sum();
    if joined.len() < all + JOINED {
        joined.resize(all + JOINED, PairChange { step: 0, by: [0; Words::STEP] });
    }
    let mut count = 0;
    for tap in taps {
        let (mut at, end) = (tap.changes.0 as usize, tap.changes.1 as usize);
        while at < end {
            let some = &steps[at..at + JOINED];
            for (to, change) in joined[count..count + JOINED].iter_mut().zip(some) {
                *to = PairChange { step: tap.first.wrapping_add(change.step), by: change.by };
            }
            count += JOINED.min(end - at);
            at += JOINED;
        }
    }
    count
}

/// Returns the new sums of one pixel and some panels.
///
/// # Safety
/// The machine must have the instructions of `S`.
#[inline(always)]
unsafe fn add_pairs_of<S: Sums<Format = Words>, const N: usize>(
    changes: &[PairChange],
    panels: &[Panel<'_, Words>; N],
    known: &[[i32; LANES]; N],
) -> [[i32; LANES]; N] {
    // SAFETY: the caller's promise about `S` is this function's own.
    let mut sums = known.each_ref().map(|known| unsafe { S::start(known) });
    for change in changes {
        for (sum, panel) in sums.iter_mut().zip(panels) {
            // SAFETY: as above; a change has the inputs of a step.
            *sum = unsafe {
                sum.add_products(change.by.as_ptr(), S::load(&panel.weights[change.step as usize]))
            };
        }
    }
    // SAFETY: as above.
    sums.map(|sums| unsafe { sums.to_array() })
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

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl")]
fn vectorize_avx512<L: Loop>(work: L) {
    work.run();
}

/// # Safety
/// Every panel must have a weight for each step of a window.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn sweep_avx2<E: Output>(
    w: &Windows<'_, Words>,
    panels: &[Panel<'_, Words>],
    pixels: &[u32],
    output: &mut [E],
) {
    // SAFETY: compiled for, and only called with, AVX2; the caller's promise is this function's own.
    unsafe { sweep_all::<WordHalves, E, 6>(w, panels, pixels, output) }
}

/// # Safety
/// Every panel must have a weight for each step of a window.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn sweep_avx512<E: Output>(
    w: &Windows<'_, Words>,
    panels: &[Panel<'_, Words>],
    pixels: &[u32],
    output: &mut [E],
) {
    // SAFETY: compiled for, and only called with, AVX-512F and AVX-512BW; the caller's promise is this function's own.
    unsafe { sweep_pairs::<Word512, E, 8>(w, panels, pixels, output) }
}

/// # Safety
/// Every panel must have a weight for each step of a window.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,avxvnni")]
unsafe fn sweep_avxvnni<E: Output>(
    w: &Windows<'_, Bytes>,
    panels: &[Panel<'_, Bytes>],
    pixels: &[u32],
    output: &mut [E],
) {
    // SAFETY: compiled for, and only called with, AVX2 and AVX-VNNI; the caller's promise is this function's own.
    unsafe { sweep_all::<ByteHalves, E, 4>(w, panels, pixels, output) }
}

/// # Safety
/// Every panel must have a weight for each step of a window.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn sweep_avx512vnni<E: Output>(
    w: &Windows<'_, Bytes>,
    panels: &[Panel<'_, Bytes>],
    pixels: &[u32],
    output: &mut [E],
) {
    // SAFETY: compiled for, and only called with, AVX-512F and VNNI; the caller's promise is this function's own.
    unsafe { sweep_pairs::<Byte512, E, 8>(w, panels, pixels, output) }
}

/// Computes all panels, two at a time.
///
/// # Safety
/// See [`sweep_all`].
#[inline(always)]
unsafe fn sweep_pairs<S: Sums, E: Output, const P: usize>(
    w: &Windows<'_, S::Format>,
    panels: &[Panel<'_, S::Format>],
    pixels: &[u32],
    output: &mut [E],
) {
    let (pairs, single) = panels.as_chunks::<2>();
    for pair in pairs {
        // SAFETY: the caller's promises are this function's own.
        unsafe { sweep::<S, E, P, 2>(w, pair, pixels, output) };
    }
    // SAFETY: as above.
    unsafe { sweep_all::<S, E, P>(w, single, pixels, output) };
}

/// Computes all panels, one after the other.
///
/// # Safety
/// The machine must have the instructions of `S`; every panel must have a weight for each step of a window.
#[inline(always)]
unsafe fn sweep_all<S: Sums, E: Output, const P: usize>(
    w: &Windows<'_, S::Format>,
    panels: &[Panel<'_, S::Format>],
    pixels: &[u32],
    output: &mut [E],
) {
    for panel in panels {
        // SAFETY: the caller's promises are this function's own.
        unsafe { sweep::<S, E, P, 1>(w, std::array::from_ref(panel), pixels, output) };
    }
}

/// Computes all windows: `P` at a time, then 4, then one by one.
///
/// # Safety
/// See [`sweep_all`].
#[inline(always)]
unsafe fn sweep<S: Sums, E: Output, const P: usize, const N: usize>(
    w: &Windows<'_, S::Format>,
    panels: &[Panel<'_, S::Format>; N],
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
unsafe fn together<S: Sums, E: Output, const P: usize, const N: usize>(
    w: &Windows<'_, S::Format>,
    panels: &[Panel<'_, S::Format>; N],
    first: usize,
    pixels: &[u32],
    output: &mut [E],
) -> usize {
    let begins = w.begins[first..].as_chunks::<P>().0;
    let weights = panels.each_ref().map(|panel| panel.weights);
    let start = panels.each_ref().map(|panel| panel.finish.start);
    for (begins, pixels) in begins.iter().zip(pixels[first..].as_chunks::<P>().0) {
        // SAFETY: the caller's promises are this function's own, and `begins` are of `w`.
        let sums = unsafe { dot::<S, P, N>(w, weights, start, begins) };
        for (sums, &pixel) in sums.into_iter().zip(pixels) {
            for (sums, panel) in sums.into_iter().zip(panels) {
                // SAFETY: as above.
                let sums = unsafe { sums.to_array() };
                panel.finish.write(&sums, output, pixel as usize);
            }
        }
    }
    first + begins.len() * P
}

/// Returns the sums of `N` panels for `P` windows, which begin with `start`.
///
/// # Safety
/// See [`sweep_all`]; `begins` must be starts of windows.
#[inline(always)]
unsafe fn dot<S: Sums, const P: usize, const N: usize>(
    w: &Windows<'_, S::Format>,
    weights: [&[<S::Format as Format>::Weights]; N],
    start: [&[i32; LANES]; N],
    begins: &[u32; P],
) -> [[S; N]; P] {
    // SAFETY: the caller's promise about `S` is this function's own.
    let mut sums = [start.map(|start| unsafe { S::start(start) }); P];
    let begins = begins.map(|begin| begin as usize);
    for (run, &offset) in w.runs.iter().enumerate() {
        // SAFETY: `Windows::new` found every run of every window inside the input.
        let base = begins.map(|begin| unsafe { w.input.as_ptr().add(begin + offset as usize) });
        for step in 0..w.run_steps {
            let weights = weights.map(|weights| {
                // SAFETY: the caller promises a weight for each step of a run.
                unsafe { S::load(weights.get_unchecked(run * w.run_steps + step)) }
            });
            for (sums, base) in sums.iter_mut().zip(base) {
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    // SAFETY: the step lies in the run, which is inside the input; the caller's promise about `S` is
                    // this function's own.
                    *sum = unsafe { sum.add_products(base.add(step * S::Format::STEP), weights) };
                }
            }
        }
    }
    sums
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn multiply_avx2(rows: &[i16], weights: &[<Words as Format>::Weights], sums: &mut [[i32; LANES]]) {
    // SAFETY: compiled for, and only called with, AVX2.
    unsafe { multiply::<WordHalves, 6>(rows, weights, sums) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn multiply_avx512(rows: &[i16], weights: &[<Words as Format>::Weights], sums: &mut [[i32; LANES]]) {
    // SAFETY: compiled for, and only called with, AVX-512F and AVX-512BW.
    unsafe { multiply::<Word512, 12>(rows, weights, sums) }
}

/// Multiplies rows by the weights of a panel: `P` at a time, then 4, then one by one.
///
/// # Safety
/// The machine must have the instructions of `S`; there must be a row for each of `sums`.
#[inline(always)]
unsafe fn multiply<S: Sums<Format = Words>, const P: usize>(
    rows: &[i16],
    weights: &[<Words as Format>::Weights],
    sums: &mut [[i32; LANES]],
) {
    let windows = Windows { input: rows, begins: &[], runs: &[0], run_steps: weights.len() };
    // SAFETY: the caller's promises are this function's own.
    unsafe {
        let done = multiply_some::<S, P>(&windows, weights, 0, sums);
        let done = multiply_some::<S, 4>(&windows, weights, done, sums);
        multiply_some::<S, 1>(&windows, weights, done, sums);
    }
}

/// Multiplies the rows from `first` on, `P` at a time. Returns the index of the first row that is left.
///
/// # Safety
/// See [`multiply`].
#[inline(always)]
unsafe fn multiply_some<S: Sums<Format = Words>, const P: usize>(
    windows: &Windows<'_, Words>,
    weights: &[<Words as Format>::Weights],
    first: usize,
    sums: &mut [[i32; LANES]],
) -> usize {
    let row = weights.len() * Words::STEP;
    let chunks = sums[first..].as_chunks_mut::<P>().0;
    let count = chunks.len();
    for (chunk, sums) in chunks.iter_mut().enumerate() {
        let begins = std::array::from_fn(|i| ((first + chunk * P + i) * row) as u32);
        // SAFETY: the caller promises a row for each of the sums.
        let found = unsafe { dot::<S, P, 1>(windows, [weights], [&[0; LANES]], &begins) };
        for (to, [sums]) in sums.iter_mut().zip(found) {
            // SAFETY: the caller's promise about `S` is this function's own.
            *to = unsafe { sums.to_array() };
        }
    }
    first + count * P
}

/// # Safety
/// The panel must have a weight for each two runs of a window.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn depthwise_avx2<E: Output>(
    w: &Windows<'_, Depthwise>,
    panel: &Panel<'_, Depthwise>,
    pixels: &[u32],
    output: &mut [E],
) {
    // SAFETY: compiled for, and only called with, AVX2; the caller promises the weights.
    unsafe { depthwise::<PositionHalves, 4, E>(w, panel, pixels, output) }
}

/// # Safety
/// See [`depthwise_avx2`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn depthwise_avx512<E: Output>(
    w: &Windows<'_, Depthwise>,
    panel: &Panel<'_, Depthwise>,
    pixels: &[u32],
    output: &mut [E],
) {
    // SAFETY: compiled for, and only called with, AVX-512F and AVX-512BW; the caller promises the weights.
    unsafe { depthwise::<Positions512<false>, 8, E>(w, panel, pixels, output) }
}

/// # Safety
/// See [`depthwise_avx2`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn depthwise_avx512vnni<E: Output>(
    w: &Windows<'_, Depthwise>,
    panel: &Panel<'_, Depthwise>,
    pixels: &[u32],
    output: &mut [E],
) {
    // SAFETY: compiled for, and only called with, AVX-512F, AVX-512BW and VNNI; the caller promises the weights.
    unsafe { depthwise::<Positions512<true>, 8, E>(w, panel, pixels, output) }
}

/// Computes a panel of a depthwise convolution: `P` windows at a time, then one by one.
///
/// # Safety
/// The machine must have the instructions of `S`; the panel must have a weight for each two runs of a window.
#[inline(always)]
unsafe fn depthwise<S: Positions, const P: usize, E: Output>(
    w: &Windows<'_, Depthwise>,
    panel: &Panel<'_, Depthwise>,
    pixels: &[u32],
    output: &mut [E],
) {
    // Without a second position, its weights are zero.
    let pair = |runs: &[u32]| [runs[0], runs[runs.len() - 1]].map(|run| run as usize);
    let pairs: Vec<[usize; 2]> = w.runs.chunks(2).map(pair).collect();
    let (begins, last_begins) = w.begins.as_chunks::<P>();
    let (pixels, last_pixels) = pixels.as_chunks::<P>();
    for (begins, pixels) in begins.iter().zip(pixels) {
        // SAFETY: pairs and begins are of `w`; the caller's promises are this function's own.
        unsafe { depthwise_some::<S, P, E>(w, &pairs, panel, begins, pixels, output) };
    }
    for (&begin, &pixel) in last_begins.iter().zip(last_pixels) {
        // SAFETY: as above.
        unsafe { depthwise_some::<S, 1, E>(w, &pairs, panel, &[begin], &[pixel], output) };
    }
}

/// Computes `P` windows of a depthwise convolution, two positions at a time.
///
/// # Safety
/// The machine must have the instructions of `S`; `pairs` and `begins` must be runs and starts of windows, and the panel must
/// have a weight for each of `pairs`.
#[inline(always)]
unsafe fn depthwise_some<S: Positions, const P: usize, E: Output>(
    w: &Windows<'_, Depthwise>,
    pairs: &[[usize; 2]],
    panel: &Panel<'_, Depthwise>,
    begins: &[u32; P],
    pixels: &[u32; P],
    output: &mut [E],
) {
    // SAFETY: `Windows::new` found every run of every window inside the input; the caller promises the instructions.
    let sums = unsafe {
        let base = begins.map(|begin| w.input.as_ptr().add(begin as usize));
        let mut sums = [S::Sums::start(panel.finish.start); P];
        for (&[first, second], weights) in pairs.iter().zip(panel.weights) {
            let weights = S::Sums::load(weights);
            for (sums, base) in sums.iter_mut().zip(base) {
                *sums = S::add(*sums, base.add(first), base.add(second), weights);
            }
        }
        sums.map(|sums| sums.to_array())
    };
    for (sums, &pixel) in sums.iter().zip(pixels) {
        panel.finish.write(sums, output, pixel as usize);
    }
}

/// The i32 sums of all lanes for one pixel.
///
/// The methods are unsafe because an implementation may need instructions that the machine lacks.
trait Sums: Copy {
    type Format: Format;
    type Loaded: Copy;
    unsafe fn start(values: &[i32; LANES]) -> Self;
    unsafe fn load(weights: &<Self::Format as Format>::Weights) -> Self::Loaded;
    /// Adds the products of the step at `x` with each lane's weights.
    unsafe fn add_products(self, x: *const <Self::Format as Format>::Input, weights: Self::Loaded) -> Self;
    unsafe fn to_array(self) -> [i32; LANES];
}

/// A way to multiply the channels of two positions of a window, one for each lane.
trait Positions {
    type Sums: Sums<Format = Words>;
    /// Adds the products of [`LANES`] bytes at `first` and as many at `second` with the first and second weight of each lane.
    unsafe fn add(
        sums: Self::Sums,
        first: *const u8,
        second: *const u8,
        weights: <Self::Sums as Sums>::Loaded,
    ) -> Self::Sums;
}

struct PortablePositions;

impl Positions for PortablePositions {
    type Sums = [i32; LANES];

    #[inline(always)]
    unsafe fn add(
        mut sums: Self::Sums,
        first: *const u8,
        second: *const u8,
        weights: <Words as Format>::Weights,
    ) -> Self::Sums {
        // SAFETY: the caller promises the bytes of all lanes.
        let [first, second] = [first, second].map(|x| unsafe { x.cast::<[u8; LANES]>().read() });
        for (lane, sum) in sums.iter_mut().enumerate() {
            let [w, v] = weights.0[lane].map(i32::from);
            *sum += i32::from(first[lane]) * w + i32::from(second[lane]) * v;
        }
        sums
    }
}

/// With AVX2.
#[cfg(target_arch = "x86_64")]
struct PositionHalves;

#[cfg(target_arch = "x86_64")]
impl Positions for PositionHalves {
    type Sums = WordHalves;

    #[inline(always)]
    unsafe fn add(
        WordHalves(sums): WordHalves,
        first: *const u8,
        second: *const u8,
        weights: [__m256i; 2],
    ) -> WordHalves {
        // SAFETY: the caller promises AVX2 and the bytes of all lanes.
        unsafe {
            let (a, b) = (_mm_loadu_si128(first.cast()), _mm_loadu_si128(second.cast()));
            let low = _mm256_madd_epi16(_mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b)), weights[0]);
            let high = _mm256_madd_epi16(_mm256_cvtepu8_epi16(_mm_unpackhi_epi8(a, b)), weights[1]);
            WordHalves([_mm256_add_epi32(sums[0], low), _mm256_add_epi32(sums[1], high)])
        }
    }
}

/// With AVX-512BW; or, if `VNNI`, with one instruction that multiplies and adds.
#[cfg(target_arch = "x86_64")]
struct Positions512<const VNNI: bool>;

#[cfg(target_arch = "x86_64")]
impl<const VNNI: bool> Positions for Positions512<VNNI> {
    type Sums = Word512;

    #[inline(always)]
    unsafe fn add(Word512(sums): Word512, first: *const u8, second: *const u8, weights: __m512i) -> Word512 {
        // SAFETY: the caller promises AVX-512F, AVX-512BW, VNNI if it says so, and the bytes of all lanes.
        unsafe {
            let [a, b] = [first, second].map(|x| _mm512_cvtepu8_epi32(_mm_loadu_si128(x.cast())));
            let both = _mm512_or_si512(a, _mm512_slli_epi32::<16>(b));
            Word512(match VNNI {
                true => _mm512_dpwssd_epi32(sums, both, weights),
                false => _mm512_add_epi32(sums, _mm512_madd_epi16(both, weights)),
            })
        }
    }
}

impl Sums for [i32; LANES] {
    type Format = Words;
    type Loaded = <Words as Format>::Weights;

    #[inline(always)]
    unsafe fn start(values: &[i32; LANES]) -> Self {
        *values
    }

    #[inline(always)]
    unsafe fn load(weights: &Self::Loaded) -> Self::Loaded {
        *weights
    }

    #[inline(always)]
    unsafe fn add_products(mut self, x: *const i16, weights: Self::Loaded) -> Self {
        // SAFETY: the caller promises a step of two values.
        let [x, y] = unsafe { x.cast::<[i16; 2]>().read() };
        for (sum, [w, v]) in self.iter_mut().zip(weights.0) {
            let pair = i32::from(x) * i32::from(w) + i32::from(y) * i32::from(v);
            *sum = sum.wrapping_add(pair);
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

#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn store_512(sums: __m512i) -> [i32; LANES] {
    let mut out = [0; LANES];
    // SAFETY: the caller promises AVX-512F; `out` is 64 bytes, one unaligned vector.
    unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), sums) };
    out
}

/// Sums with AVX2.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct WordHalves([__m256i; 2]);

#[cfg(target_arch = "x86_64")]
impl Sums for WordHalves {
    type Format = Words;
    type Loaded = [__m256i; 2];

    #[inline(always)]
    unsafe fn start(values: &[i32; LANES]) -> Self {
        // SAFETY: the caller promises AVX2; `values` is 64 bytes.
        Self(unsafe { load_halves(values.as_ptr().cast()) })
    }

    #[inline(always)]
    unsafe fn load(weights: &<Words as Format>::Weights) -> [__m256i; 2] {
        // SAFETY: the caller promises AVX2; `weights` is 64 bytes.
        unsafe { load_halves(weights.0.as_ptr().cast()) }
    }

    #[inline(always)]
    unsafe fn add_products(self, x: *const i16, weights: [__m256i; 2]) -> Self {
        // SAFETY: the caller promises AVX2 and a step of two values.
        unsafe {
            let x = _mm256_set1_epi32(x.cast::<i32>().read_unaligned());
            let add = |sums, weights| _mm256_add_epi32(sums, _mm256_madd_epi16(x, weights));
            Self([add(self.0[0], weights[0]), add(self.0[1], weights[1])])
        }
    }

    #[inline(always)]
    unsafe fn to_array(self) -> [i32; LANES] {
        // SAFETY: the caller promises AVX2.
        unsafe { store_halves(self.0) }
    }
}

/// Sums with AVX-512BW.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct Word512(__m512i);

#[cfg(target_arch = "x86_64")]
impl Sums for Word512 {
    type Format = Words;
    type Loaded = __m512i;

    #[inline(always)]
    unsafe fn start(values: &[i32; LANES]) -> Self {
        // SAFETY: the caller promises AVX-512F; `values` is 64 bytes.
        Self(unsafe { _mm512_loadu_si512(values.as_ptr().cast()) })
    }

    #[inline(always)]
    unsafe fn load(weights: &<Words as Format>::Weights) -> __m512i {
        // SAFETY: the caller promises AVX-512F; `weights` is 64 bytes.
        unsafe { _mm512_loadu_si512(weights.0.as_ptr().cast()) }
    }

    #[inline(always)]
    unsafe fn add_products(self, x: *const i16, weights: __m512i) -> Self {
        // SAFETY: the caller promises AVX-512F, AVX-512BW and a step of two values.
        unsafe {
            let x = _mm512_set1_epi32(x.cast::<i32>().read_unaligned());
            Self(_mm512_add_epi32(self.0, _mm512_madd_epi16(x, weights)))
        }
    }

    #[inline(always)]
    unsafe fn to_array(self) -> [i32; LANES] {
        // SAFETY: the caller promises AVX-512F.
        unsafe { store_512(self.0) }
    }
}

/// Sums with AVX-VNNI.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct ByteHalves([__m256i; 2]);

#[cfg(target_arch = "x86_64")]
impl Sums for ByteHalves {
    type Format = Bytes;
    type Loaded = [__m256i; 2];

    #[inline(always)]
    unsafe fn start(values: &[i32; LANES]) -> Self {
        // SAFETY: the caller promises AVX2; `values` is 64 bytes.
        Self(unsafe { load_halves(values.as_ptr().cast()) })
    }

    #[inline(always)]
    unsafe fn load(weights: &<Bytes as Format>::Weights) -> [__m256i; 2] {
        // SAFETY: the caller promises AVX2; `weights` is 64 bytes.
        unsafe { load_halves(weights.0.as_ptr().cast()) }
    }

    #[inline(always)]
    unsafe fn add_products(self, x: *const u8, weights: [__m256i; 2]) -> Self {
        // SAFETY: the caller promises AVX2, AVX-VNNI and a step of four bytes.
        unsafe {
            let x = _mm256_set1_epi32(x.cast::<i32>().read_unaligned());
            let add = |sums, weights| _mm256_dpbusd_avx_epi32(sums, x, weights);
            Self([add(self.0[0], weights[0]), add(self.0[1], weights[1])])
        }
    }

    #[inline(always)]
    unsafe fn to_array(self) -> [i32; LANES] {
        // SAFETY: the caller promises AVX2.
        unsafe { store_halves(self.0) }
    }
}

/// Sums with AVX-512 VNNI.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
struct Byte512(__m512i);

#[cfg(target_arch = "x86_64")]
impl Sums for Byte512 {
    type Format = Bytes;
    type Loaded = __m512i;

    #[inline(always)]
    unsafe fn start(values: &[i32; LANES]) -> Self {
        // SAFETY: the caller promises AVX-512F; `values` is 64 bytes.
        Self(unsafe { _mm512_loadu_si512(values.as_ptr().cast()) })
    }

    #[inline(always)]
    unsafe fn load(weights: &<Bytes as Format>::Weights) -> __m512i {
        // SAFETY: the caller promises AVX-512F; `weights` is 64 bytes.
        unsafe { _mm512_loadu_si512(weights.0.as_ptr().cast()) }
    }

    #[inline(always)]
    unsafe fn add_products(self, x: *const u8, weights: __m512i) -> Self {
        // SAFETY: the caller promises AVX-512F, VNNI and a step of four bytes.
        unsafe {
            let x = _mm512_set1_epi32(x.cast::<i32>().read_unaligned());
            Self(_mm512_dpbusd_epi32(self.0, x, weights))
        }
    }

    #[inline(always)]
    unsafe fn to_array(self) -> [i32; LANES] {
        // SAFETY: the caller promises AVX-512F.
        unsafe { store_512(self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "a window ends at 25 of 24")]
    fn a_window_outside_is_a_bug() {
        Windows::<Bytes>::new(&[0; 24], &[0, 3, 1], &[0, 10], 3);
    }

    #[test]
    fn no_windows_need_no_input() {
        Windows::<Bytes>::new(&[], &[], &[0, 10], 3);
    }
}
