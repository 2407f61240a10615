use rayon::prelude::*;

use super::channel_sums::{Extremes, widen};
use crate::kernel::{Kernel, Loop, replace};

/// Number of values that one task takes.
const CHUNK: usize = 1 << 14;
/// Number of values that are compared side by side.
const SIDE: usize = 64;

/// Writes a + b into `sum`, for any shape, and returns the extremes of all sums as those of one channel. The
/// gradient of both inputs is that of the sum.
///
/// # Panics
/// Panics if lengths differ.
pub fn add(a: &[f32], b: &[f32], sum: &mut [f32]) -> Extremes {
    assert!(a.len() == sum.len() && b.len() == sum.len(), "{} and {} values", a.len(), b.len());
    let kernel = Kernel::fastest();
    let tasks = sum.par_chunks_mut(CHUNK).zip(a.par_chunks(CHUNK)).zip(b.par_chunks(CHUNK));
    let parts: Vec<Extremes> = tasks.map(|((sum, a), b)| kernel.enter(Add { a: Some(a), b, sum })).collect();
    joined(&parts)
}

/// Adds `more` to `sum`, for any shape.
///
/// # Panics
/// Panics if lengths differ.
pub fn add_in_place(sum: &mut [f32], more: &[f32]) {
    assert_eq!(sum.len(), more.len(), "as many values in both");
    let kernel = Kernel::fastest();
    sum.par_chunks_mut(CHUNK).zip(more.par_chunks(CHUNK)).for_each(|(sum, b)| {
        kernel.enter(Add { a: None, b, sum });
    });
}

fn joined(parts: &[Extremes]) -> Extremes {
    let mut all = Extremes::none(1);
    parts.iter().for_each(|part| all.join(part));
    all
}

struct Add<'a> {
    /// First summand; `None` if `sum` holds it.
    a: Option<&'a [f32]>,
    b: &'a [f32],
    sum: &'a mut [f32],
}

impl Loop for Add<'_> {
    type Output = Extremes;

    #[inline(always)]
    fn run(self) -> Extremes {
        let (mut low, mut high) = ([f32::INFINITY; SIDE], [f32::NEG_INFINITY; SIDE]);
        for (index, (sum, b)) in self.sum.chunks_mut(SIDE).zip(self.b.chunks(SIDE)).enumerate() {
            let n = sum.len();
            let (b, low, high) = (&b[..n], &mut low[..n], &mut high[..n]);
            let one = |i: usize, a: f32| {
                let value = a + b[i];
                widen(&mut low[i], &mut high[i], value);
                value
            };
            replace(sum, self.a.map(|a| &a[index * SIDE..][..n]), one);
        }
        let low = low.into_iter().fold(f32::INFINITY, f32::min);
        let high = high.into_iter().fold(f32::NEG_INFINITY, f32::max);
        Extremes { low: vec![low], high: vec![high] }
    }
}
