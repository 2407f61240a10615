//! The inner loop of convolutions whose weights are [`Split`](crate::split::Split).

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256i, _mm_set1_epi16, _mm256_add_epi16, _mm256_add_epi32, _mm256_cvtepu8_epi16, _mm256_load_si256,
    _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_set1_epi16, _mm256_set1_epi32,
};

use super::{Finish, Format, Kernel, Output, StepWeights, Windows, Words, greatest};
#[cfg(target_arch = "x86_64")]
use super::{Form, Sums, WordHalves};

/// Products of eight u8 inputs and small i8 weights in a step. For each four of the inputs a step has the weights of
/// all lanes.
pub(crate) struct Small;

impl Format for Small {
    type Input = u8;
    type Weights = StepWeights<[[[i8; 4]; super::LANES]; 2]>;
    const STEP: usize = 8;
}

/// The weights of a panel as sums of small weights and a rest, and the requantization of its sums.
pub(crate) struct SplitPanel<'a> {
    /// Small weights run by run. In each step and lane, the positive weights of the inputs 0, 1, 4 and 5 have a sum of
    /// at most 128, as have the negative ones, and those of the inputs 2, 3, 6 and 7.
    pub(crate) small: &'a [<Small as Format>::Weights],
    /// For each weight of the rest the offset of its two inputs from the start of a window.
    pub(crate) places: &'a [u32],
    pub(crate) rest: &'a [<Words as Format>::Weights],
    pub(crate) finish: Finish<'a>,
}

impl Kernel {
    /// True if the form has a loop for split weights.
    pub(crate) fn splits(self) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Form::Avx2 => true,
            _ => false,
        }
    }

    /// Computes the panel's channels for every window, and writes them to `output` at the window's position in `pixels`.
    ///
    /// # Panics
    /// Panics if the form does not split weights, if panel and windows differ in size, or if a pixel lies outside the
    /// output.
    pub(crate) fn run_split<E: Output>(
        self,
        windows: &Windows<'_, Small>,
        panel: &SplitPanel<'_>,
        pixels: &[u32],
        output: &mut [E],
    ) {
        let window = greatest(windows.runs) + windows.run_steps * Small::STEP;
        assert_eq!(windows.begins.len(), pixels.len(), "a pixel for each window");
        assert_eq!(
            panel.small.len(),
            windows.runs.len() * windows.run_steps,
            "weights for each step of a window"
        );
        assert_eq!(panel.places.len(), panel.rest.len(), "a place for each weight of the rest");
        assert!(
            panel.rest.is_empty() || greatest(panel.places) + Words::STEP <= window,
            "a rest outside the window"
        );
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `available` made this form, so the machine has AVX2; the panel was measured above.
            Form::Avx2 => unsafe { split_avx2(windows, panel, pixels, output) },
            form => unreachable!("{form:?} does not split weights"),
        }
    }
}

/// # Safety
/// The panel must have weights for each step of a window, and a rest inside of windows.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn split_avx2<E: Output>(
    w: &Windows<'_, Small>,
    panel: &SplitPanel<'_>,
    pixels: &[u32],
    output: &mut [E],
) {
    let steps = |&run: &u32| (0..w.run_steps).map(move |step| run as usize + step * Small::STEP);
    let steps: Vec<usize> = w.runs.iter().flat_map(steps).collect();
    let (begins, last_begins) = w.begins.as_chunks::<4>();
    let (pixels, last_pixels) = pixels.as_chunks::<4>();
    for (begins, pixels) in begins.iter().zip(pixels) {
        // SAFETY: compiled for, and only called with, AVX2; steps and begins are of `w`; the caller's promise is this
        // function's own.
        unsafe { split_some(w, &steps, panel, begins, pixels, output) };
    }
    for (&begin, &pixel) in last_begins.iter().zip(last_pixels) {
        // SAFETY: as above.
        unsafe { split_some(w, &steps, panel, &[begin], &[pixel], output) };
    }
}

/// Computes `P` windows.
///
/// # Safety
/// The machine must have AVX2; `steps` must be the starts of a window's steps and `begins` starts of windows, and the
/// panel must have weights for each step of a window, and a rest inside of windows.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn split_some<E: Output, const P: usize>(
    w: &Windows<'_, Small>,
    steps: &[usize],
    panel: &SplitPanel<'_>,
    begins: &[u32; P],
    pixels: &[u32; P],
    output: &mut [E],
) {
    // SAFETY: `Windows::new` found every run of every window inside the input, and the caller promises weights for each
    // step, a rest inside, and AVX2.
    let sums = unsafe {
        let ones = _mm256_set1_epi16(1);
        let windows = begins.map(|begin| w.input.as_ptr().add(begin as usize));
        let mut sums = [WordHalves::start(panel.finish.start); P];
        for (&step, small) in steps.iter().zip(panel.small) {
            let small = small.0.as_ptr().cast::<__m256i>();
            for (sums, window) in sums.iter_mut().zip(windows) {
                let x = window.add(step).cast::<i32>();
                let [x, y] = [x, x.add(1)].map(|x| _mm256_set1_epi32(x.read_unaligned()));
                for (half, sum) in sums.0.iter_mut().enumerate() {
                    let products = _mm256_add_epi16(
                        _mm256_maddubs_epi16(x, _mm256_load_si256(small.add(half))),
                        _mm256_maddubs_epi16(y, _mm256_load_si256(small.add(2 + half))),
                    );
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(products, ones));
                }
            }
        }
        for (&place, weights) in panel.places.iter().zip(panel.rest) {
            let weights = WordHalves::load(weights);
            for (sums, window) in sums.iter_mut().zip(windows) {
                let x = window.add(place as usize).cast::<i16>().read_unaligned();
                let x = _mm256_cvtepu8_epi16(_mm_set1_epi16(x));
                for (sum, weights) in sums.0.iter_mut().zip(weights) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(x, weights));
                }
            }
        }
        sums
    };
    for (sums, &pixel) in sums.into_iter().zip(pixels) {
        // SAFETY: the caller promises AVX2.
        let sums = unsafe { sums.to_array() };
        panel.finish.write(&sums, output, pixel as usize);
    }
}
