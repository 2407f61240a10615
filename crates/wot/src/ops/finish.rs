//! Batch norm, ReLU and rounding, each optional and in this order, in one pass over the values.
//!
//! The backward pass needs no masks: it repeats the operations of the forward pass on the values that the
//! forward pass read, and so finds where ReLU and rounding let a gradient pass.

use quant::ActivationScale;
use rayon::prelude::*;

use super::batch_norm::{Norm, NormGradient, Slopes};
use super::channel_sums::{Extremes, channel_sums};
use super::fake_quantize::Rounding;
use crate::kernel::{Kernel, Loop, replace};

/// Least number of values to which the parameters of channels are repeated, so that the inner loop is long
/// even with few channels.
const TILE: usize = 256;
/// Approximate number of values that one task takes.
const CHUNK: usize = 1 << 14;

/// The operations on every value after a convolution, a sum or a pool. Values are `[.., channels]`; without a
/// batch norm they may have any shape.
///
/// - Batch norm: see [`Norm`]. Its gradient is that of training, with the statistics of the batch.
/// - ReLU: min(max(x, 0), bound). The gradient at exactly 0 and at the bound is 0, as in PyTorch; a NaN stays NaN.
/// - Rounding: to 8 bits and back, as in [`ActivationScale::quantize`]. The gradient is that of the
///   straight-through estimator: 1 if the value lies in the range of the scale (both ends included), 0 if it
///   was clamped.
#[derive(Clone, Debug, Default)]
pub struct Finish {
    /// Batch normalization, the first operation.
    pub norm: Option<Norm>,
    /// Bound of the ReLU, the second operation: infinity for max(x, 0), 6 for ReLU6.
    pub relu: Option<f32>,
    /// Rounding, the last operation.
    pub rounding: Option<ActivationScale>,
}

/// Runs a loop that is compiled for each combination of operations.
macro_rules! enter {
    ($finish:expr, $kernel:expr, $name:ident $fields:tt) => {
        match ($finish.norm.is_some(), $finish.relu.is_some(), $finish.rounding.is_some()) {
            (false, false, false) => $kernel.enter($name::<false, false, false> $fields),
            (false, false, true) => $kernel.enter($name::<false, false, true> $fields),
            (false, true, false) => $kernel.enter($name::<false, true, false> $fields),
            (false, true, true) => $kernel.enter($name::<false, true, true> $fields),
            (true, false, false) => $kernel.enter($name::<true, false, false> $fields),
            (true, false, true) => $kernel.enter($name::<true, false, true> $fields),
            (true, true, false) => $kernel.enter($name::<true, true, false> $fields),
            (true, true, true) => $kernel.enter($name::<true, true, true> $fields),
        }
    };
}

impl Finish {
    /// Returns the largest magnitude before rounding, given the extremes of the values (of each channel, for
    /// a batch norm). It is exact: every operation is monotonic, so the largest magnitude of a channel comes
    /// from its smallest or its largest value.
    ///
    /// # Panics
    /// Panics if extremes and batch norm have different numbers of channels.
    pub fn largest(&self, extremes: &Extremes) -> f32 {
        let Extremes { low, high } = extremes;
        let mut largest = 0f32;
        if let Some(norm) = &self.norm {
            assert_eq!(low.len(), norm.mean.len(), "extremes of other channels");
        }
        for c in 0..low.len() {
            // A channel of NaNs has no extremes.
            for x in [low[c], high[c]].into_iter().filter(|_| low[c] <= high[c]) {
                let y = match &self.norm {
                    Some(norm) => (x - norm.mean[c]) * norm.factor[c] + norm.bias[c],
                    None => x,
                };
                largest = largest.max(match self.relu {
                    Some(bound) => clipped(y, bound),
                    None => y.abs(),
                });
            }
        }
        largest
    }

    /// Applies the operations to `x` and writes the result into `y`.
    ///
    /// # Panics
    /// Panics if lengths differ, or if `x` is not whole pixels of the batch norm's channels.
    pub fn forward(&self, x: &[f32], y: &mut [f32]) {
        assert_eq!(x.len(), y.len(), "a result for each value");
        let tiles = self.tiles(x.len());
        let (kernel, rounding, bound) = (Kernel::fastest(), self.rounding(), self.bound());
        let chunk = tiles.chunk();
        y.par_chunks_mut(chunk).zip(x.par_chunks(chunk)).for_each(|(y, x)| {
            enter!(self, kernel, Forward { x: Some(x), y, tiles: &tiles, bound, rounding });
        });
    }

    /// Applies ReLU alone, in place: its gradient needs only the result.
    ///
    /// # Panics
    /// Panics if there is another operation.
    pub fn forward_in_place(&self, values: &mut [f32]) {
        assert!(self.norm.is_none() && self.rounding.is_none(), "the gradient needs the values from before");
        let tiles = self.tiles(values.len());
        let (kernel, rounding, bound) = (Kernel::fastest(), self.rounding(), self.bound());
        values.par_chunks_mut(tiles.chunk()).for_each(|y| {
            enter!(self, kernel, Forward { x: None, y, tiles: &tiles, bound, rounding });
        });
    }

    /// Computes the gradient of `x`, given that of the result. Writes `dx` from `dy`; without `dy`, `dx`
    /// holds the gradient of the result on entry. `x` is the input of the forward pass (after
    /// [`Finish::forward_in_place`], its output). Returns the gradients of the batch norm.
    ///
    /// # Panics
    /// Panics like [`Finish::forward`].
    pub fn backward(&self, x: &[f32], dy: Option<&[f32]>, dx: &mut [f32]) -> Option<NormGradient> {
        assert_eq!(x.len(), dx.len(), "a gradient for each value");
        assert!(dy.is_none_or(|dy| dy.len() == dx.len()), "a gradient for each value");
        let mut tiles = self.tiles(x.len());
        let (kernel, rounding, bound) = (Kernel::fastest(), self.rounding(), self.bound());
        let gradient = self.norm.as_ref().map(|norm| {
            let channels = norm.mean.len();
            let arrived = dy.unwrap_or(dx);
            let ([sums, products], _) = channel_sums(x.len(), channels, |range, [sums, products], _| {
                let (x, dy) = (&x[range.clone()], &arrived[range]);
                enter!(self, kernel, Products { x, dy, norm, bound, rounding, sums, products });
            });
            let (gradient, slopes) = norm.gradient(&sums, &products, x.len() / channels);
            tiles.slopes = tiled(&slopes, tiles.len);
            gradient
        });
        let chunk = tiles.chunk();
        let tasks = dx.par_chunks_mut(chunk).zip(x.par_chunks(chunk)).enumerate();
        tasks.for_each(|(index, (dx, x))| {
            let dy = dy.map(|dy| &dy[index * chunk..][..dx.len()]);
            enter!(self, kernel, Backward { x, dy, dx, tiles: &tiles, bound, rounding });
        });
        gradient
    }

    /// Bound of the ReLU; without one the value is not used.
    fn bound(&self) -> f32 {
        self.relu.unwrap_or(f32::INFINITY)
    }

    fn rounding(&self) -> Rounding {
        self.rounding.map_or(Rounding::NONE, Rounding::of)
    }

    fn tiles(&self, values: usize) -> Tiles {
        let Some(Norm { mean, factor, bias, .. }) = &self.norm else {
            let zeros = vec![0.0; TILE];
            return Tiles {
                len: TILE,
                norm: [zeros.clone(), zeros.clone(), zeros.clone()],
                slopes: [zeros.clone(), zeros.clone(), zeros],
            };
        };
        let channels = mean.len();
        assert!(values.is_multiple_of(channels), "{values} values are not pixels of {channels}");
        let len = TILE.div_ceil(channels) * channels;
        let zeros = vec![0.0; len];
        Tiles {
            len,
            norm: [mean, factor, bias].map(|values| repeated(values, len)),
            slopes: [zeros.clone(), zeros.clone(), zeros],
        }
    }
}

fn repeated(values: &[f32], len: usize) -> Vec<f32> {
    values.iter().copied().cycle().take(len).collect()
}

fn tiled(slopes: &Slopes, len: usize) -> [Vec<f32>; 3] {
    [&slopes.factor, &slopes.average, &slopes.slope].map(|values| repeated(values, len))
}

/// Parameters of channels, repeated for several pixels.
struct Tiles {
    len: usize,
    /// Mean, factor and bias of the batch norm.
    norm: [Vec<f32>; 3],
    /// Factor, average and slope of the gradient.
    slopes: [Vec<f32>; 3],
}

impl Tiles {
    /// Number of values that a task takes, in whole tiles.
    fn chunk(&self) -> usize {
        CHUNK.div_ceil(self.len) * self.len
    }
}

/// Returns min(max(y, 0), bound); a NaN stays NaN, which `max` would turn into 0.
#[inline(always)]
fn clipped(y: f32, bound: f32) -> f32 {
    let y = if y < 0.0 { 0.0 } else { y };
    if y > bound { bound } else { y }
}

/// The batch norm of a value, by the parameters of its channel, and the bound of the ReLU.
#[derive(Clone, Copy)]
struct Place {
    mean: f32,
    factor: f32,
    bias: f32,
    bound: f32,
}

/// Returns a value before rounding.
#[inline(always)]
fn unrounded<const NORM: bool, const RELU: bool>(x: f32, at: Place) -> f32 {
    let y = if NORM { (x - at.mean) * at.factor + at.bias } else { x };
    if RELU { clipped(y, at.bound) } else { y }
}

/// Returns the part of a gradient that ReLU and rounding let pass, given the value before rounding.
#[inline(always)]
fn through<const RELU: bool, const ROUND: bool>(y: f32, dy: f32, bound: f32, rounding: Rounding) -> f32 {
    let passes = (!RELU || ((y > 0.0) & (y < bound))) & (!ROUND || rounding.holds(y));
    if passes { dy } else { 0.0 }
}

struct Forward<'a, const NORM: bool, const RELU: bool, const ROUND: bool> {
    /// Input values; `None` if `y` holds them.
    x: Option<&'a [f32]>,
    y: &'a mut [f32],
    tiles: &'a Tiles,
    bound: f32,
    rounding: Rounding,
}

impl<const NORM: bool, const RELU: bool, const ROUND: bool> Loop for Forward<'_, NORM, RELU, ROUND> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let [mean, factor, bias] = &self.tiles.norm;
        for (index, y) in self.y.chunks_mut(self.tiles.len).enumerate() {
            let n = y.len();
            let (mean, factor, bias) = (&mean[..n], &factor[..n], &bias[..n]);
            let place =
                |i: usize| Place { mean: mean[i], factor: factor[i], bias: bias[i], bound: self.bound };
            let finished = |i: usize, x: f32| {
                let value = unrounded::<NORM, RELU>(x, place(i));
                if ROUND { self.rounding.apply(value) } else { value }
            };
            replace(y, self.x.map(|x| &x[index * self.tiles.len..][..n]), finished);
        }
    }
}

/// Sums the gradients that pass, and their products with the distance from the mean.
struct Products<'a, const NORM: bool, const RELU: bool, const ROUND: bool> {
    x: &'a [f32],
    dy: &'a [f32],
    norm: &'a Norm,
    bound: f32,
    rounding: Rounding,
    sums: &'a mut [f32],
    products: &'a mut [f32],
}

impl<const NORM: bool, const RELU: bool, const ROUND: bool> Loop for Products<'_, NORM, RELU, ROUND> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let channels = self.norm.mean.len();
        let mean = &self.norm.mean[..channels];
        let (factor, bias) = (&self.norm.factor[..channels], &self.norm.bias[..channels]);
        let (sums, products) = (&mut self.sums[..channels], &mut self.products[..channels]);
        for (x, dy) in self.x.chunks_exact(channels).zip(self.dy.chunks_exact(channels)) {
            for c in 0..channels {
                let at = Place { mean: mean[c], factor: factor[c], bias: bias[c], bound: self.bound };
                let y = unrounded::<NORM, RELU>(x[c], at);
                let dy = through::<RELU, ROUND>(y, dy[c], self.bound, self.rounding);
                sums[c] += dy;
                products[c] += dy * (x[c] - mean[c]);
            }
        }
    }
}

struct Backward<'a, const NORM: bool, const RELU: bool, const ROUND: bool> {
    x: &'a [f32],
    /// Gradients of the result; `None` if `dx` holds them.
    dy: Option<&'a [f32]>,
    dx: &'a mut [f32],
    tiles: &'a Tiles,
    bound: f32,
    rounding: Rounding,
}

impl<const NORM: bool, const RELU: bool, const ROUND: bool> Loop for Backward<'_, NORM, RELU, ROUND> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let len = self.tiles.len;
        let [mean, factor, bias] = &self.tiles.norm;
        let [scale, average, slope] = &self.tiles.slopes;
        for (index, (dx, x)) in self.dx.chunks_mut(len).zip(self.x.chunks(len)).enumerate() {
            let n = dx.len();
            let (x, mean, factor, bias) = (&x[..n], &mean[..n], &factor[..n], &bias[..n]);
            let (scale, average, slope) = (&scale[..n], &average[..n], &slope[..n]);
            let gradient = |i: usize, dy: f32| {
                let at = Place { mean: mean[i], factor: factor[i], bias: bias[i], bound: self.bound };
                let y = unrounded::<NORM, RELU>(x[i], at);
                let dy = through::<RELU, ROUND>(y, dy, self.bound, self.rounding);
                if NORM { scale[i] * (dy - average[i] - (x[i] - mean[i]) * slope[i]) } else { dy }
            };
            replace(dx, self.dy.map(|dy| &dy[index * len..][..n]), gradient);
        }
    }
}
