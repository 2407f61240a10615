//! Convolutions by 3x3 kernels with stride 1, with 16 products for a tile of 2x2 pixels instead of 36.
//!
//! Winograd's F(2x2, 3x3) transforms a tile's 4x4 inputs d and a kernel's 3x3 weights g, multiplies them position by
//! position, sums over input channels, and transforms the 4x4 sums back ([Lavin and Gray,
//! 2016](https://arxiv.org/abs/1509.09308)):
//!
//! ```text
//! Y = A^T [ sum of (G g G^T) * (B^T d B) ] A
//!
//!       1  0 -1  0           1    0    0
//! B^T = 0  1  1  0     G =  1/2  1/2  1/2     A^T = 1  1  1  0
//!       0 -1  1  0          1/2 -1/2  1/2           0  1 -1 -1
//!       0  1  0 -1           0    0    1
//! ```
//!
//! In floating point this changes the result. Here it does not: with 2 G instead of G everything is an integer, and
//! the result is four times the sum of the convolution. Transformed inputs (at most 1,020) and weights (at most
//! 1,152) are exact in i16. Sums over channels may exceed i32, but they are computed modulo 2^32, and four times the
//! complete sum fits ([`applies`] checks it), so a shift by two gives the sum itself, for all weights.
//!
//! A change of one weight adds a multiple of a constant pattern to up to nine transformed weights ([`add`]).

use std::cell::RefCell;

use crate::conv::ConvShape;
use crate::frame::Frame;
use crate::kernel::{Finish, Format, Kernel, LANES, Loop, Words};
use crate::requantize::Element;

/// Positions of a transformed tile.
const POSITIONS: usize = 16;

/// Largest size in bytes of the transformed inputs of a block of tiles, so that they stay in a second-level cache.
const BLOCK_BYTES: usize = 256 * 1024;

/// Number of tiles that the inner loop computes side by side, or a multiple of it.
const SIDE_BY_SIDE: usize = 12;

type Weights = <Words as Format>::Weights;

/// True if a convolution can be computed in this way.
pub(crate) fn applies(shape: &ConvShape) -> bool {
    let plain =
        shape.kernel == [3, 3] && shape.stride == [1, 1] && shape.dilation == [1, 1] && shape.groups == 1;
    plain && shape.input.channels.is_multiple_of(LANES) && shape.terms() * 255 * 128 * 4 < 1 << 31
}

/// Number of transformed weights of a panel, in steps.
pub(crate) fn steps(channels: usize) -> usize {
    POSITIONS * channels / Words::STEP
}

/// Adds `change` to the weight at a row and column of the kernel for an input channel and a lane.
pub(crate) fn add(
    weights: &mut [Weights],
    [row, column]: [usize; 2],
    (input, lane): (usize, usize),
    change: i16,
) {
    /// The columns of 2 G.
    const PATTERNS: [[i16; 4]; 3] = [[2, 1, 1, 0], [0, 1, -1, 0], [0, 1, 1, 2]];
    let steps = weights.len() / POSITIONS;
    for (i, a) in PATTERNS[row].into_iter().enumerate() {
        for (j, b) in PATTERNS[column].into_iter().enumerate().filter(|(_, b)| a * b != 0) {
            weights[(4 * i + j) * steps + input / 2].0[lane][input % 2] += change * a * b;
        }
    }
}

/// A convolution's geometry and memory layouts.
#[derive(Clone, Copy)]
pub(crate) struct Layer<'a> {
    pub(crate) shape: &'a ConvShape,
    pub(crate) input: &'a Frame,
    pub(crate) output: &'a Frame,
}

/// Computes the panels' channels of whole images. Each panel has its transformed weights.
pub(crate) fn run<E: Element>(
    kernel: Kernel,
    layer: Layer<'_>,
    panels: &[(&[Weights], Finish<'_>)],
    images: (usize, &[u8]),
    output: &mut [E],
) {
    thread_local! {
        static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch { inputs: Vec::new(), sums: Vec::new() }) };
    }
    SCRATCH.with_borrow_mut(|scratch| scratch.run(kernel, layer, panels, images, output));
}

/// Buffers for a block of tiles, position by position.
struct Scratch {
    inputs: Vec<i16>,
    sums: Vec<[i32; LANES]>,
}

impl Scratch {
    fn run<E: Element>(
        &mut self,
        kernel: Kernel,
        layer: Layer<'_>,
        panels: &[(&[Weights], Finish<'_>)],
        (images, input): (usize, &[u8]),
        output: &mut [E],
    ) {
        let channels = layer.shape.input.channels;
        let fitting = BLOCK_BYTES / (POSITIONS * channels * size_of::<i16>());
        let block = (fitting / SIDE_BY_SIDE * SIDE_BY_SIDE).max(SIDE_BY_SIDE);
        let tiles = layer.tiles(images);
        self.inputs.resize(self.inputs.len().max(POSITIONS * block * channels), 0);
        self.sums.resize(self.sums.len().max(POSITIONS * block), [0; LANES]);
        for first in (0..tiles).step_by(block) {
            let count = block.min(tiles - first);
            let inputs = &mut self.inputs[..POSITIONS * count * channels];
            let sums = &mut self.sums[..POSITIONS * count];
            kernel.vectorize(TransformInputs { layer, input, first, inputs: &mut *inputs });
            for (weights, finish) in panels {
                let positions = inputs.chunks_exact(count * channels).zip(sums.chunks_exact_mut(count));
                for ((inputs, sums), weights) in positions.zip(weights.chunks_exact(channels / Words::STEP)) {
                    kernel.multiply(inputs, weights, sums);
                }
                kernel.vectorize(TransformSums { layer, first, sums: &*sums, finish, output: &mut *output });
            }
        }
    }
}

impl Layer<'_> {
    /// Number of tiles in some images.
    fn tiles(&self, images: usize) -> usize {
        images * self.tiles_of_image()
    }

    fn tiles_of_image(&self) -> usize {
        self.shape.output.height.div_ceil(2) * self.shape.output.width.div_ceil(2)
    }

    /// Returns the image of a tile, and the row and column of its first output pixel.
    #[inline(always)]
    fn place(&self, tile: usize) -> (usize, usize, usize) {
        let (image, tile) = (tile / self.tiles_of_image(), tile % self.tiles_of_image());
        let across = self.shape.output.width.div_ceil(2);
        (image, tile / across * 2, tile % across * 2)
    }
}

/// Computes B^T d B for each tile and channel.
struct TransformInputs<'a> {
    layer: Layer<'a>,
    input: &'a [u8],
    /// The first tile.
    first: usize,
    /// The result: position by position, tile by tile, channel by channel.
    inputs: &'a mut [i16],
}

impl Loop for TransformInputs<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { layer, input, first, inputs } = self;
        let Layer { shape, input: frame, .. } = layer;
        let channels = shape.input.channels;
        let position = inputs.len() / POSITIONS;
        let above = [0, 1].map(|axis| frame.border[axis] - shape.padding[axis]);
        let last = [frame.dims.height + 2 * frame.border[0] - 1, frame.dims.width + 2 * frame.border[1] - 1];
        for tile in 0..position / channels {
            let (image, row, column) = layer.place(first + tile);
            let image = &input[image * frame.len()..][..frame.len()];
            // The last tile of an odd number of rows or columns may span a row or column outside the image. Nothing
            // that is kept depends on it.
            let rows: [usize; 4] = std::array::from_fn(|i| (row + i + above[0]).min(last[0]) * frame.row());
            let columns: [usize; 4] =
                std::array::from_fn(|j| (column + j + above[1]).min(last[1]) * channels);
            for channel in (0..channels).step_by(LANES) {
                let mut d = [[[0; LANES]; 4]; 4];
                for (d, row) in d.iter_mut().zip(rows) {
                    for (d, column) in d.iter_mut().zip(columns) {
                        let bytes = &image[row + column + channel..][..LANES];
                        d.iter_mut().zip(bytes).for_each(|(d, &byte)| *d = i16::from(byte));
                    }
                }
                let mut down = [[[0; LANES]; 4]; 4];
                for j in 0..4 {
                    down[0][j] = sub(&d[0][j], &d[2][j]);
                    down[1][j] = add_words(&d[1][j], &d[2][j]);
                    down[2][j] = sub(&d[2][j], &d[1][j]);
                    down[3][j] = sub(&d[1][j], &d[3][j]);
                }
                for (i, [a, b, c, e]) in down.iter().enumerate() {
                    let values = [sub(a, c), add_words(b, c), sub(c, b), sub(b, e)];
                    for (j, values) in values.iter().enumerate() {
                        let begin = (4 * i + j) * position + tile * channels + channel;
                        inputs[begin..begin + LANES].copy_from_slice(values);
                    }
                }
            }
        }
    }
}

/// Computes A^T s A for each tile and lane, and requantizes it.
struct TransformSums<'a, E> {
    layer: Layer<'a>,
    /// The first tile.
    first: usize,
    /// Sums over input channels: position by position, tile by tile.
    sums: &'a [[i32; LANES]],
    finish: &'a Finish<'a>,
    output: &'a mut [E],
}

impl<E: Element> Loop for TransformSums<'_, E> {
    #[inline(always)]
    fn run(self) {
        let Self { layer, first, sums, finish, output } = self;
        let Layer { shape, output: frame, .. } = layer;
        let tiles = sums.len() / POSITIONS;
        for tile in 0..tiles {
            let (image, row, column) = layer.place(first + tile);
            let mut across = [[[0; LANES]; 4]; 2];
            for i in 0..4 {
                let at = |j: usize| &sums[(4 * i + j) * tiles + tile];
                across[0][i] = plus(&plus(at(0), at(1)), at(2));
                across[1][i] = minus(&minus(at(1), at(2)), at(3));
            }
            for (j, [a, b, c, d]) in across.iter().enumerate() {
                let pair = [plus(&plus(a, b), c), minus(&minus(b, c), d)];
                for (i, sums) in pair.into_iter().enumerate() {
                    if row + i < shape.output.height && column + j < shape.output.width {
                        let mut complete = [0; LANES];
                        for ((to, sum), start) in complete.iter_mut().zip(sums).zip(finish.start) {
                            *to = (sum >> 2) + start;
                        }
                        let pixel = image * frame.len() + frame.pixel(row + i, column + j);
                        finish.write(&complete, output, pixel);
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn add_words(a: &[i16; LANES], b: &[i16; LANES]) -> [i16; LANES] {
    let mut sum = *a;
    sum.iter_mut().zip(b).for_each(|(sum, b)| *sum += b);
    sum
}

#[inline(always)]
fn sub(a: &[i16; LANES], b: &[i16; LANES]) -> [i16; LANES] {
    let mut difference = *a;
    difference.iter_mut().zip(b).for_each(|(difference, b)| *difference -= b);
    difference
}

#[inline(always)]
fn plus(a: &[i32; LANES], b: &[i32; LANES]) -> [i32; LANES] {
    let mut sum = *a;
    sum.iter_mut().zip(b).for_each(|(sum, b)| *sum = sum.wrapping_add(*b));
    sum
}

#[inline(always)]
fn minus(a: &[i32; LANES], b: &[i32; LANES]) -> [i32; LANES] {
    let mut difference = *a;
    difference.iter_mut().zip(b).for_each(|(difference, b)| *difference = difference.wrapping_sub(*b));
    difference
}
