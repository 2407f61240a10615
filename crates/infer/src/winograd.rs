//! Convolutions by 3x3 kernels with stride 1, with fewer products than weights times pixels.
//!
//! Winograd's F(m x m, 3x3) transforms the n x n inputs d of a tile of m x m pixels, n = m + 2, and a kernel's 3x3
//! weights g, multiplies them position by position, sums over input channels, and transforms the n x n sums back
//! ([Lavin and Gray, 2016](https://arxiv.org/abs/1509.09308)):
//!
//! ```text
//! Y = A^T [ sum of (G g G^T) * (B^T d B) ] A
//! ```
//!
//! A tile of 2x2 pixels takes 16 products instead of 36, a tile of 4x4 takes 36 instead of 144. In floating point this
//! changes the result. Here it does not: all matrices are scaled to integers, so the transform yields a known multiple
//! of the convolution's sum, 4 for 2x2 and 900 for 4x4. Everything is computed modulo 2^32. Odd factors have an inverse
//! there, and four times a complete sum fits ([`Tiling::of`] checks it), so a shift by two gives the sum itself, for all
//! weights.
//!
//! ```text
//! 2x2, points 0, 1, -1 and infinity, four times the sum:
//!
//!       1  0 -1  0           2    0    0
//! B^T = 0  1  1  0     G =   1    1    1      A^T = 1  1  1  0
//!       0 -1  1  0           1   -1    1            0  1 -1 -1
//!       0  1  0 -1           0    0    2
//!
//! 4x4, points 0, 1, -1, 2, -1/2 and infinity, 900 times the sum:
//!
//!       2  3 -4 -3  2  0           1  0  0
//!       0 -2 -5 -1  2  0          -1 -1 -1            15  5  5  1  8  0
//! B^T = 0  2  1 -5  2  0     G =   1 -1  1      A^T =  0  5 -5  2 -4  0
//!       0 -1 -2  1  2  0           1  2  4             0  5  5  4  2  0
//!       0  2 -1 -2  1  0          -4  2 -1             0  5 -5  8 -1 15
//!       0  2  3 -4 -3  2           0  0  1
//! ```
//!
//! The usual points for 4x4, 0, 1, -1, 2, -2 and infinity, give 576 times the sum. The shift would be by six, and the
//! sums of layers with more than 112 channels would not fit. With -1/2 the factor has two factors of 2 only, because
//! the differences of the points, as fractions, have few.
//!
//! Products are exact in i16: a transformed input is at most 98 * 255 = 24,990, and a transformed weight at most
//! 49 * 128 = 6,272.
//!
//! A change of one weight adds a multiple of a constant pattern to up to n^2 transformed weights ([`Tiling::add`]).

use std::cell::RefCell;
use std::marker::PhantomData;

use crate::conv::ConvShape;
use crate::frame::Frame;
use crate::kernel::{Finish, Format, Kernel, LANES, Loop, Words};
use crate::requantize::Output;

/// Size in bytes of the transformed inputs and sums of a block of tiles, so that they stay in a second-level cache.
const BLOCK_BYTES: usize = 256 * 1024;

/// Least number of tiles in a block, so that reading the weights of a panel pays.
const LEAST_TILES: usize = 24;

type Weights = <Words as Format>::Weights;

/// The size of a convolution's tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tiling {
    /// 2x2 pixels.
    Two,
    /// 4x4 pixels.
    Four,
}

impl Tiling {
    /// Returns the tiling that takes the fewest products; `None` if the plain loop takes fewer, or if the convolution
    /// cannot be computed in this way.
    pub(crate) fn of(shape: &ConvShape) -> Option<Self> {
        let plain =
            shape.kernel == [3, 3] && shape.stride == [1, 1] && shape.dilation == [1, 1] && shape.groups == 1;
        if !plain || !shape.input.channels.is_multiple_of(LANES) || shape.terms() * 255 * 128 * 4 >= 1 << 31 {
            return None;
        }
        let products = |tiling: Self| tiling.positions() * tiling.tiles(shape);
        let best = [Self::Four, Self::Two].into_iter().min_by_key(|&tiling| products(tiling));
        best.filter(|&tiling| products(tiling) < 9 * shape.output.pixels())
    }

    /// Number of products relative to those of the plain loop.
    pub(crate) fn cost(self, shape: &ConvShape) -> f32 {
        (self.positions() * self.tiles(shape)) as f32 / (9 * shape.output.pixels()) as f32
    }

    /// Side of a tile in pixels.
    fn side(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// Number of positions of a transformed tile.
    fn positions(self) -> usize {
        (self.side() + 2) * (self.side() + 2)
    }

    /// Number of tiles in an image.
    fn tiles(self, shape: &ConvShape) -> usize {
        shape.output.height.div_ceil(self.side()) * shape.output.width.div_ceil(self.side())
    }

    /// Number of transformed weights of a panel, in steps.
    pub(crate) fn steps(self, channels: usize) -> usize {
        self.positions() * channels / Words::STEP
    }

    /// Transforms the weights of a panel: `plain` has those of a row and column of the kernel for all input channels,
    /// then those of the next column. `transformed` is zero before.
    pub(crate) fn transform(self, plain: &[Weights], transformed: &mut [Weights]) {
        match self {
            Self::Two => transform::<Two, 2, 4>(plain, transformed),
            Self::Four => transform::<Four, 4, 6>(plain, transformed),
        }
    }

    /// Adds `change` to the weight at a row and column of the kernel for an input channel and a lane.
    pub(crate) fn add(self, weights: &mut [Weights], place: [usize; 2], at: (usize, usize), change: i16) {
        match self {
            Self::Two => add::<Two, 2, 4>(weights, place, at, change),
            Self::Four => add::<Four, 4, 6>(weights, place, at, change),
        }
    }
}

fn transform<P: Points<M, N>, const M: usize, const N: usize>(
    plain: &[Weights],
    transformed: &mut [Weights],
) {
    let steps = plain.len() / 9;
    for step in 0..steps {
        let mut down = [[[0i16; 2 * LANES]; 3]; N];
        for (place, weights) in plain[step..].iter().step_by(steps).enumerate() {
            for (down, factor) in down.iter_mut().zip(P::WEIGHTS[place / 3]) {
                let to = down[place % 3].iter_mut();
                to.zip(weights.0.as_flattened()).for_each(|(to, weight)| *to += factor * weight);
            }
        }
        for (i, columns) in down.iter().enumerate() {
            for j in 0..N {
                let to = transformed[(N * i + j) * steps + step].0.as_flattened_mut();
                for (column, factors) in columns.iter().zip(P::WEIGHTS) {
                    to.iter_mut().zip(column).for_each(|(to, weight)| *to += factors[j] * weight);
                }
            }
        }
    }
}

fn add<P: Points<M, N>, const M: usize, const N: usize>(
    weights: &mut [Weights],
    [row, column]: [usize; 2],
    (input, lane): (usize, usize),
    change: i16,
) {
    let steps = weights.len() / (N * N);
    for (i, a) in P::WEIGHTS[row].into_iter().enumerate() {
        for (j, b) in P::WEIGHTS[column].into_iter().enumerate().filter(|(_, b)| a * b != 0) {
            weights[(N * i + j) * steps + input / 2].0[lane][input % 2] += change * a * b;
        }
    }
}

/// The transforms of a line of a tile of M x M pixels, which has N values.
trait Points<const M: usize, const N: usize> {
    /// The columns of G.
    const WEIGHTS: [[i16; N]; 3];

    /// Returns B^T d.
    fn inputs(d: [i16; N]) -> [i16; N];

    /// Returns A^T s, modulo 2^32.
    fn outputs(s: [i32; N]) -> [i32; M];

    /// Returns the sum of a convolution from its multiple, modulo 2^32.
    fn sum(multiple: i32) -> i32;
}

struct Two;

impl Points<2, 4> for Two {
    const WEIGHTS: [[i16; 4]; 3] = [[2, 1, 1, 0], [0, 1, -1, 0], [0, 1, 1, 2]];

    #[inline(always)]
    fn inputs([a, b, c, d]: [i16; 4]) -> [i16; 4] {
        [a - c, b + c, c - b, b - d]
    }

    #[inline(always)]
    fn outputs([a, b, c, d]: [i32; 4]) -> [i32; 2] {
        [a.wrapping_add(b).wrapping_add(c), b.wrapping_sub(c).wrapping_sub(d)]
    }

    #[inline(always)]
    fn sum(multiple: i32) -> i32 {
        multiple >> 2
    }
}

struct Four;

impl Points<4, 6> for Four {
    const WEIGHTS: [[i16; 6]; 3] = [[1, -1, 1, 1, -4, 0], [0, -1, -1, 2, 2, 0], [0, -1, 1, 4, -1, 1]];

    #[inline(always)]
    fn inputs([a, b, c, d, e, f]: [i16; 6]) -> [i16; 6] {
        let (bd, ce) = (b - d, 2 * (e - c));
        [
            2 * (a - c) + 3 * bd + ce,
            ce - 2 * b - 3 * c - d,
            ce + 2 * b + 3 * c - 5 * d,
            ce - bd,
            2 * bd + e - c,
            2 * (b - d) + 3 * (c - e) + 2 * (f - d),
        ]
    }

    #[inline(always)]
    fn outputs([a, b, c, d, e, f]: [i32; 6]) -> [i32; 4] {
        let five = |x: i32| x.wrapping_add(x << 2);
        let fifteen = |x: i32| (x << 4).wrapping_sub(x);
        let (sum, difference) = (five(b.wrapping_add(c)), five(b.wrapping_sub(c)));
        [
            fifteen(a).wrapping_add(sum).wrapping_add(d).wrapping_add(e << 3),
            difference.wrapping_add(d << 1).wrapping_sub(e << 2),
            sum.wrapping_add(d << 2).wrapping_add(e << 1),
            fifteen(f).wrapping_add(difference).wrapping_add(d << 3).wrapping_sub(e),
        ]
    }

    #[inline(always)]
    fn sum(multiple: i32) -> i32 {
        /// The inverse of 225 modulo 2^32.
        const INVERSE: i32 = -2_023_406_815;
        const _: () = assert!(INVERSE.wrapping_mul(225) == 1);
        multiple.wrapping_mul(INVERSE) >> 2
    }
}

/// A convolution's geometry and memory layouts.
#[derive(Clone, Copy)]
pub(crate) struct Layer<'a> {
    pub(crate) tiling: Tiling,
    pub(crate) shape: &'a ConvShape,
    pub(crate) input: &'a Frame,
    pub(crate) output: &'a Frame,
}

/// Computes the panels' channels of whole images. Each panel has its transformed weights.
pub(crate) fn run<E: Output>(
    kernel: Kernel,
    layer: Layer<'_>,
    panels: &[(&[Weights], Finish<'_>)],
    images: (usize, &[u8]),
    output: &mut [E],
) {
    thread_local! {
        static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch { inputs: Vec::new(), sums: Vec::new() }) };
    }
    SCRATCH.with_borrow_mut(|scratch| match layer.tiling {
        Tiling::Two => scratch.run::<Two, E, 2, 4>(kernel, layer, panels, images, output),
        Tiling::Four => scratch.run::<Four, E, 4, 6>(kernel, layer, panels, images, output),
    });
}

/// Buffers for a block of tiles, position by position.
struct Scratch {
    inputs: Vec<i16>,
    sums: Vec<[i32; LANES]>,
}

impl Scratch {
    fn run<P: Points<M, N>, E: Output, const M: usize, const N: usize>(
        &mut self,
        kernel: Kernel,
        layer: Layer<'_>,
        panels: &[(&[Weights], Finish<'_>)],
        (images, input): (usize, &[u8]),
        output: &mut [E],
    ) {
        let positions = N * N;
        let channels = layer.shape.input.channels;
        let tiles = images * layer.tiling.tiles(layer.shape);
        let bytes = positions * (channels * size_of::<i16>() + size_of::<[i32; LANES]>());
        let blocks = tiles.div_ceil((BLOCK_BYTES / bytes).max(LEAST_TILES));
        let block = tiles.div_ceil(blocks);
        self.inputs.resize(self.inputs.len().max(positions * block * channels), 0);
        self.sums.resize(self.sums.len().max(positions * block), [0; LANES]);
        for first in (0..tiles).step_by(block) {
            let count = block.min(tiles - first);
            let inputs = &mut self.inputs[..positions * count * channels];
            let sums = &mut self.sums[..positions * count];
            kernel.vectorize(TransformInputs::<P, M, N> {
                layer,
                input,
                first,
                inputs: &mut *inputs,
                points: PhantomData,
            });
            for (weights, finish) in panels {
                let positions = inputs.chunks_exact(count * channels).zip(sums.chunks_exact_mut(count));
                for ((inputs, sums), weights) in positions.zip(weights.chunks_exact(channels / Words::STEP)) {
                    kernel.multiply(inputs, weights, sums);
                }
                kernel.vectorize(TransformSums::<P, E, M, N> {
                    layer,
                    first,
                    sums: &*sums,
                    finish,
                    output: &mut *output,
                    points: PhantomData,
                });
            }
        }
    }
}

impl Layer<'_> {
    /// Returns the image of a tile, and the row and column of its first output pixel.
    #[inline(always)]
    fn place(&self, tile: usize) -> (usize, usize, usize) {
        let (side, of_image) = (self.tiling.side(), self.tiling.tiles(self.shape));
        let (image, tile) = (tile / of_image, tile % of_image);
        let across = self.shape.output.width.div_ceil(side);
        (image, tile / across * side, tile % across * side)
    }
}

/// Computes B^T d B for each tile and channel.
struct TransformInputs<'a, P, const M: usize, const N: usize> {
    layer: Layer<'a>,
    input: &'a [u8],
    /// The first tile.
    first: usize,
    /// The result: position by position, tile by tile, channel by channel.
    inputs: &'a mut [i16],
    points: PhantomData<P>,
}

impl<P: Points<M, N>, const M: usize, const N: usize> Loop for TransformInputs<'_, P, M, N> {
    #[inline(always)]
    fn run(self) {
        let Self { layer, input, first, inputs, .. } = self;
        let Layer { shape, input: frame, .. } = layer;
        let channels = shape.input.channels;
        let position = inputs.len() / (N * N);
        let above = [0, 1].map(|axis| frame.border[axis] - shape.padding[axis]);
        let last = [frame.dims.height + 2 * frame.border[0] - 1, frame.dims.width + 2 * frame.border[1] - 1];
        for tile in 0..position / channels {
            let (image, row, column) = layer.place(first + tile);
            let image = &input[image * frame.len()..][..frame.len()];
            // The last tiles of a row or column may span pixels outside the image. Nothing that is kept depends on them.
            let rows: [usize; N] = std::array::from_fn(|i| (row + i + above[0]).min(last[0]) * frame.row());
            let columns: [usize; N] =
                std::array::from_fn(|j| (column + j + above[1]).min(last[1]) * channels);
            for channel in (0..channels).step_by(LANES) {
                let mut down = [[[0; LANES]; N]; N];
                for (j, column) in columns.into_iter().enumerate() {
                    let d: [&[u8; LANES]; N] = std::array::from_fn(|i| {
                        image[rows[i] + column + channel..].first_chunk().expect("a pixel has the channels")
                    });
                    let mut values = [[0; LANES]; N];
                    for lane in 0..LANES {
                        let transformed = P::inputs(std::array::from_fn(|i| i16::from(d[i][lane])));
                        values.iter_mut().zip(transformed).for_each(|(to, value)| to[lane] = value);
                    }
                    down.iter_mut().zip(values).for_each(|(down, values)| down[j] = values);
                }
                for (i, d) in down.iter().enumerate() {
                    let mut values = [[0; LANES]; N];
                    for lane in 0..LANES {
                        let transformed = P::inputs(std::array::from_fn(|j| d[j][lane]));
                        values.iter_mut().zip(transformed).for_each(|(to, value)| to[lane] = value);
                    }
                    for (j, values) in values.iter().enumerate() {
                        let begin = (N * i + j) * position + tile * channels + channel;
                        inputs[begin..begin + LANES].copy_from_slice(values);
                    }
                }
            }
        }
    }
}

/// Computes A^T s A for each tile and lane, and requantizes it.
struct TransformSums<'a, P, E, const M: usize, const N: usize> {
    layer: Layer<'a>,
    /// The first tile.
    first: usize,
    /// Sums over input channels: position by position, tile by tile.
    sums: &'a [[i32; LANES]],
    finish: &'a Finish<'a>,
    output: &'a mut [E],
    points: PhantomData<P>,
}

impl<P: Points<M, N>, E: Output, const M: usize, const N: usize> Loop for TransformSums<'_, P, E, M, N> {
    #[inline(always)]
    fn run(self) {
        let Self { layer, first, sums, finish, output, .. } = self;
        let Layer { shape, output: frame, .. } = layer;
        let tiles = sums.len() / (N * N);
        for tile in 0..tiles {
            let (image, row, column) = layer.place(first + tile);
            let mut across = [[[0; LANES]; N]; M];
            for i in 0..N {
                let s: [&[i32; LANES]; N] = std::array::from_fn(|j| &sums[(N * i + j) * tiles + tile]);
                let mut values = [[0; LANES]; M];
                for lane in 0..LANES {
                    let transformed = P::outputs(std::array::from_fn(|j| s[j][lane]));
                    values.iter_mut().zip(transformed).for_each(|(to, value)| to[lane] = value);
                }
                across.iter_mut().zip(values).for_each(|(across, values)| across[i] = values);
            }
            for (j, s) in across.iter().enumerate() {
                let mut values = [[0; LANES]; M];
                for lane in 0..LANES {
                    let transformed = P::outputs(std::array::from_fn(|i| s[i][lane]));
                    for (to, multiple) in values.iter_mut().zip(transformed) {
                        to[lane] = P::sum(multiple).wrapping_add(finish.start[lane]);
                    }
                }
                for (i, sums) in values.iter().enumerate() {
                    if row + i < shape.output.height && column + j < shape.output.width {
                        let pixel = image * frame.len() + frame.pixel(row + i, column + j);
                        finish.write(sums, output, pixel);
                    }
                }
            }
        }
    }
}
