//! The steps of a compiled network other than convolutions. All read and write frames of levels; the last
//! step writes f32 logits.

use std::ops::Range;

use graph::{Dims, Window};

use crate::attention::Attention;
use crate::conv::Conv;
use crate::frame::Frame;
use crate::requantize::{Affine, Bounds, Element, Table};

/// The destination of a step's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Levels, in a buffer of the arena.
    Slot(usize),
    /// The network's unrounded output.
    Logits,
}

/// An input of a step: the step that wrote it, its slot, and the memory layout of its levels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operand {
    pub(crate) source: usize,
    pub(crate) slot: usize,
    pub(crate) frame: Frame,
}

/// One step, which reads slots and writes its target.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Name of the node whose output the step computes.
    pub(crate) name: String,
    pub(crate) work: Work,
    pub(crate) inputs: Vec<Operand>,
    pub(crate) target: Target,
    /// Memory layout of the output; logits have no border.
    pub(crate) frame: Frame,
    /// Position of each pixel in the frame.
    pub(crate) starts: Vec<u32>,
}

impl Step {
    /// Returns one image of the i-th input.
    pub(crate) fn image<'a>(&self, inputs: &[&'a [u8]], i: usize, image: usize) -> (&'a [u8], Frame) {
        let frame = self.inputs[i].frame;
        (&inputs[i][image * frame.len()..][..frame.len()], frame)
    }

    /// Returns the window of the i-th input that an output pixel reads, in whole pixels even if the step reads
    /// fewer values.
    pub(crate) fn window(&self, i: usize) -> Window {
        let one = Window::square(1, 1, 0);
        let whole = |operand: &Operand| [operand.frame.dims.height, operand.frame.dims.width];
        match &self.work {
            Work::Input(_) => unreachable!("an input reads no step"),
            Work::Conv(conv) => conv.shape().window(),
            Work::Mul(..) if self.inputs[i].frame.dims != self.frame.dims => {
                // Each output pixel reads the only pixel.
                let Dims { height, width, .. } = self.frame.dims;
                Window::of([height, width], [1, 1], [height - 1, width - 1])
            }
            Work::Affine(..)
            | Work::Add(..)
            | Work::Concat(..)
            | Work::Relu
            | Work::Table(..)
            | Work::PRelu { .. }
            | Work::Mul(..)
            | Work::LayerNorm(..)
            | Work::ChannelSlice { .. }
            | Work::ChannelShuffle { .. } => one,
            Work::Attention(..) if i == 0 => one,
            Work::Attention(..) | Work::TokenEmbedding(..) | Work::SelectToken { .. } => {
                // Each output pixel reads, or may read, every pixel.
                let (from, to) = (whole(&self.inputs[i]), [self.frame.dims.height, self.frame.dims.width]);
                let kernel = [0, 1].map(|axis| from[axis] + to[axis] - 1);
                Window::of(kernel, [1, 1], to.map(|size| size - 1))
            }
            Work::Mean(..) | Work::Flatten => Window { kernel: whole(&self.inputs[0]), ..one },
            Work::MaxPool(window) | Work::AvgPool { window, .. } => *window,
            Work::Pad { before } => Window { padding: *before, ..one },
            Work::PadShortcut { stride, .. } => Window { stride: [*stride; 2], ..one },
        }
    }
}

/// The computation of a step.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// Converts pixels to bytes of levels, with a table for each channel.
    Input(Vec<[u8; 256]>),
    /// A convolution or linear layer, with the nodes fused into it.
    Conv(Box<Conv>),
    /// `x * multiplier + offset` for each channel: a batch norm that is not fused into a convolution, a
    /// separate clipped ReLU, or the conversion of levels to logits.
    Affine(Affine, Bounds),
    /// `a * multipliers[0] + b * multipliers[1]`.
    Add([f32; 2], Bounds),
    /// Sum over all pixels, times the multiplier.
    Mean(f32, Bounds),
    /// The channels of all inputs, one input after the other; input i is multiplied by multiplier i.
    Concat(Vec<f32>, Bounds),
    /// max(x, 0) on levels.
    Relu,
    /// A function of each level.
    Table(Box<Table>),
    /// Levels times `positive` where they are positive, elsewhere times the `negative` multiplier of their channel.
    PRelu {
        positive: f32,
        negative: Vec<f32>,
        bounds: Bounds,
    },
    /// `a * b`, an exact integer, times the multiplier; b may have one level for each channel.
    Mul(f32, Bounds),
    /// Normalization over the channels of a pixel.
    LayerNorm(Box<LayerNorm>, Bounds),
    MaxPool(Window),
    /// Sum over the part of a window inside the input, times the multiplier for the number of its values.
    /// `multipliers` begins with that for a single value.
    AvgPool {
        window: Window,
        multipliers: Vec<f32>,
        bounds: Bounds,
    },
    /// Takes the channels from `first` on.
    ChannelSlice {
        first: usize,
    },
    /// Interleaves the channels of groups.
    ChannelShuffle {
        groups: usize,
    },
    /// Converts channels-last to row-major [channels, height, width], the order of a linear layer's weights.
    Flatten,
    /// The pixels behind class tokens, row by row, plus constants.
    TokenEmbedding(Box<TokenEmbedding>, Bounds),
    /// Attention of queries, keys and values.
    Attention(Attention, Bounds),
    /// Takes the pixel of this index, row by row.
    SelectToken {
        index: usize,
    },
    /// Adds rows of zeros above and columns of zeros on the left; the output size determines the other sides.
    Pad {
        before: [usize; 2],
    },
    /// Takes every stride-th row and column, and adds zero channels: `before` in front, the rest behind.
    PadShortcut {
        stride: usize,
        before: usize,
    },
}

/// Normalization over n channels. With the exact sums S of the levels and Q of their squares, a level l becomes
///
/// ```text
/// r = 1 / sqrt(n Q - S S + epsilon)              in f64; 0 if the root is 0
/// value = f32((n l - S) r) multiplier + offset     the product in f64, then f32
/// ```
///
/// which is (x - mean) / sqrt(variance + e): n cancels, and `epsilon` is e (n s_in)^2.
#[derive(Clone, Debug)]
pub(crate) struct LayerNorm {
    pub(crate) epsilon: f64,
    pub(crate) affine: Affine,
}

impl LayerNorm {
    /// Normalizes one pixel.
    #[inline(always)]
    fn run<E: Element>(&self, x: &[u8], from: &Frame, bounds: Bounds, out: &mut [E]) {
        let zero = i64::from(from.zero);
        let (mut sum, mut squares) = (0, 0);
        for &x in x {
            let level = i64::from(x) - zero;
            sum += level;
            squares += level * level;
        }
        let n = x.len() as i64;
        let root = ((n * squares - sum * sum) as f64 + self.epsilon).sqrt();
        let reciprocal = if root > 0.0 { 1.0 / root } else { 0.0 };
        let scales = self.affine.multiplier.iter().zip(&self.affine.offset);
        for ((out, x), (multiplier, offset)) in out.iter_mut().zip(x).zip(scales) {
            let centred = n * (i64::from(*x) - zero) - sum;
            *out = bounds.finish((centred as f64 * reciprocal) as f32 * multiplier + offset);
        }
    }
}

/// Constants of each output value: `level * multiplier + offset`, with level 0 for class tokens.
#[derive(Clone, Debug)]
pub(crate) struct TokenEmbedding {
    pub(crate) class_tokens: usize,
    pub(crate) multiplier: f32,
    /// Token by token, channels last.
    pub(crate) offset: Vec<f32>,
}

/// Number of channels whose sums are computed at once.
const SUMS: usize = 64;

impl Work {
    /// Computes neighbouring pixels of one row of one image, for every operation except the input and
    /// convolutions. `input` returns an image of the i-th input; `to` is the memory layout of the output, and
    /// `output` holds its pixels.
    #[inline(always)]
    pub(crate) fn run_pixels<'a, E: Element>(
        &self,
        input: impl Fn(usize) -> (&'a [u8], Frame),
        to: &Frame,
        row: usize,
        columns: Range<usize>,
        output: &mut [E],
    ) {
        let (x, from) = input(0);
        let channels = to.dims.channels;
        // Returns the same pixels of an input that has the size of the output.
        let same = |(x, from): (&'a [u8], Frame)| {
            &x[from.pixel(row, columns.start)..][..columns.len() * from.dims.channels]
        };
        match self {
            Work::Input(_) | Work::Conv(_) => unreachable!("run by the network, on the whole tile"),
            Work::Affine(affine, bounds) => {
                for (x, out) in same((x, from)).chunks_exact(channels).zip(output.chunks_exact_mut(channels))
                {
                    let scales = affine.multiplier.iter().zip(&affine.offset);
                    for ((out, x), (multiplier, offset)) in out.iter_mut().zip(x).zip(scales) {
                        *out = bounds.finish(from.level(*x) * multiplier + offset);
                    }
                }
            }
            Work::Add([a, b], bounds) => {
                let (y, second) = input(1);
                for ((out, x), y) in output.iter_mut().zip(same((x, from))).zip(same((y, second))) {
                    *out = bounds.finish(from.level(*x) * a + second.level(*y) * b);
                }
            }
            Work::Mean(multiplier, bounds) => {
                let Dims { height, width, .. } = from.dims;
                sum(x, &from, [0..height, 0..width], output, |sum| bounds.finish(sum as f32 * multiplier));
            }
            Work::Concat(multipliers, bounds) => {
                let mut first = 0;
                for (i, multiplier) in multipliers.iter().enumerate() {
                    let (x, from) = input(i);
                    let pixels = output.chunks_exact_mut(channels);
                    for (out, x) in pixels.zip(same((x, from)).chunks_exact(from.dims.channels)) {
                        for (out, x) in out[first..].iter_mut().zip(x) {
                            *out = bounds.finish(from.level(*x) * multiplier);
                        }
                    }
                    first += from.dims.channels;
                }
            }
            Work::Relu => {
                for (out, x) in output.iter_mut().zip(same((x, from))) {
                    *out = E::from_byte((*x).max(from.zero), from.zero);
                }
            }
            Work::Table(table) => {
                for (out, x) in output.iter_mut().zip(same((x, from))) {
                    *out = table.get(*x);
                }
            }
            Work::PRelu { positive, negative, bounds } => {
                for (x, out) in same((x, from)).chunks_exact(channels).zip(output.chunks_exact_mut(channels))
                {
                    for ((out, x), negative) in out.iter_mut().zip(x).zip(negative) {
                        let level = from.level(*x);
                        *out = bounds.finish(level * if level > 0.0 { *positive } else { *negative });
                    }
                }
            }
            Work::Mul(multiplier, bounds) => {
                let (y, second) = input(1);
                let product = |x: u8, y: u8| bounds.finish(from.level(x) * second.level(y) * multiplier);
                let x = same((x, from));
                if second.dims == to.dims {
                    for ((out, x), y) in output.iter_mut().zip(x).zip(same((y, second))) {
                        *out = product(*x, *y);
                    }
                } else {
                    let factors = &y[second.pixel(0, 0)..][..channels];
                    for (x, out) in x.chunks_exact(channels).zip(output.chunks_exact_mut(channels)) {
                        for ((out, x), y) in out.iter_mut().zip(x).zip(factors) {
                            *out = product(*x, *y);
                        }
                    }
                }
            }
            Work::LayerNorm(norm, bounds) => {
                for (x, out) in same((x, from)).chunks_exact(channels).zip(output.chunks_exact_mut(channels))
                {
                    norm.run(x, &from, *bounds, out);
                }
            }
            Work::ChannelSlice { first } => {
                let pixels = same((x, from)).chunks_exact(from.dims.channels);
                for (x, out) in pixels.zip(output.chunks_exact_mut(channels)) {
                    copy(&x[*first..], &from, out);
                }
            }
            Work::ChannelShuffle { groups } => {
                for (x, out) in same((x, from)).chunks_exact(channels).zip(output.chunks_exact_mut(channels))
                {
                    for (group, x) in x.chunks_exact(channels / groups).enumerate() {
                        let out = out[group..].iter_mut().step_by(*groups);
                        out.zip(x).for_each(|(out, x)| *out = E::from_byte(*x, from.zero));
                    }
                }
            }
            Work::MaxPool(window) => {
                for (column, out) in columns.zip(output.chunks_exact_mut(channels)) {
                    let columns = window.taps(1, column, from.dims.width);
                    let mut first = true;
                    for y in window.taps(0, row, from.dims.height) {
                        for column in columns.clone() {
                            let x = &x[from.pixel(y, column)..][..channels];
                            for (out, x) in out.iter_mut().zip(x) {
                                let x = E::from_byte(*x, from.zero);
                                *out = if first || x > *out { x } else { *out };
                            }
                            first = false;
                        }
                    }
                }
            }
            Work::AvgPool { window, multipliers, bounds } => {
                for (column, out) in columns.zip(output.chunks_exact_mut(channels)) {
                    let inside = inside(window, &from, row, column);
                    let multiplier = multipliers[inside[0].len() * inside[1].len() - 1];
                    sum(x, &from, inside, out, |sum| bounds.finish(sum as f32 * multiplier));
                }
            }
            Work::Pad { before: [top, left] } => {
                for (column, out) in columns.zip(output.chunks_exact_mut(channels)) {
                    let source = row.checked_sub(*top).zip(column.checked_sub(*left));
                    match source.filter(|&(y, x)| y < from.dims.height && x < from.dims.width) {
                        Some((row, column)) => copy(&x[from.pixel(row, column)..][..channels], &from, out),
                        None => out.fill(E::from_byte(from.zero, from.zero)),
                    }
                }
            }
            Work::Flatten => {
                for (pixel, x) in pixels(x, &from, 0..from.dims.height, 0..from.dims.width).enumerate() {
                    for (channel, x) in x.iter().enumerate() {
                        output[channel * from.dims.pixels() + pixel] = E::from_byte(*x, from.zero);
                    }
                }
            }
            Work::TokenEmbedding(embedding, bounds) => {
                let TokenEmbedding { class_tokens, multiplier, offset } = &**embedding;
                let offsets =
                    offset[(row * to.dims.width + columns.start) * channels..].chunks_exact(channels);
                let tokens = columns.zip(offsets).zip(output.chunks_exact_mut(channels));
                for ((token, offset), out) in tokens {
                    match token.checked_sub(*class_tokens) {
                        Some(pixel) => {
                            let x = token_of(x, &from, pixel);
                            for ((out, x), offset) in out.iter_mut().zip(x).zip(offset) {
                                *out = bounds.finish(from.level(*x) * multiplier + offset);
                            }
                        }
                        None => {
                            out.iter_mut()
                                .zip(offset)
                                .for_each(|(out, offset)| *out = bounds.finish(*offset));
                        }
                    }
                }
            }
            Work::Attention(attention, bounds) => {
                attention.run([(x, from), input(1), input(2)], row, columns, *bounds, output);
            }
            Work::SelectToken { index } => copy(token_of(x, &from, *index), &from, output),
            Work::PadShortcut { stride, before } => {
                output.fill(E::from_byte(from.zero, from.zero));
                for (column, out) in columns.zip(output.chunks_exact_mut(channels)) {
                    let x = &x[from.pixel(row * stride, column * stride)..][..from.dims.channels];
                    copy(x, &from, &mut out[*before..]);
                }
            }
        }
    }
}

/// Returns the pixel of this index, row by row.
#[inline(always)]
fn token_of<'a>(x: &'a [u8], from: &Frame, index: usize) -> &'a [u8] {
    let Dims { channels, width, .. } = from.dims;
    &x[from.pixel(index / width, index % width)..][..channels]
}

#[inline(always)]
fn copy<E: Element>(x: &[u8], from: &Frame, out: &mut [E]) {
    out.iter_mut().zip(x).for_each(|(out, x)| *out = E::from_byte(*x, from.zero));
}

/// Returns the part of a window inside the input, given its output row and column.
#[inline(always)]
fn inside(window: &Window, from: &Frame, row: usize, column: usize) -> [Range<usize>; 2] {
    let Dims { height, width, .. } = from.dims;
    [window.inside(0, row, height), window.inside(1, column, width)]
}

/// Returns the pixels of some rows and columns.
#[inline(always)]
fn pixels<'a>(
    x: &'a [u8],
    from: &'a Frame,
    rows: Range<usize>,
    columns: Range<usize>,
) -> impl Iterator<Item = &'a [u8]> {
    let channels = from.dims.channels;
    rows.flat_map(move |row| {
        x[from.pixel(row, columns.start)..][..columns.len() * channels].chunks_exact(channels)
    })
}

/// Computes the exact sum of levels over some rows and columns, channel by channel, and applies `finish` to
/// it.
#[inline(always)]
pub(crate) fn sum<E: Element>(
    x: &[u8],
    from: &Frame,
    [rows, columns]: [Range<usize>; 2],
    out: &mut [E],
    finish: impl Fn(i32) -> E,
) {
    let zeros = i32::from(from.zero) * (rows.len() * columns.len()) as i32;
    for (block, out) in out.chunks_mut(SUMS).enumerate() {
        let mut sums = [0; SUMS];
        for x in pixels(x, from, rows.clone(), columns.clone()) {
            sums.iter_mut().zip(&x[block * SUMS..]).for_each(|(sum, x)| *sum += i32::from(*x));
        }
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out = finish(sum - zeros));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: u8 = 128;

    fn dims(channels: usize, height: usize, width: usize) -> Dims {
        Dims { channels, height, width }
    }

    fn levels() -> Bounds {
        Bounds::levels(-127, 127, ZERO)
    }

    /// Runs an operation on levels, with a different border for each input's frame.
    fn run(work: &Work, inputs: &[(&[i16], Dims)], dims: Dims) -> Vec<i16> {
        let framed = |(i, (levels, dims)): (usize, &(&[i16], Dims))| {
            let frame = Frame { dims: *dims, border: [i, 2 - i], zero: ZERO };
            let mut image = vec![255; frame.len()];
            for (pixel, levels) in levels.chunks(dims.channels).enumerate() {
                let begin = frame.pixel(pixel / dims.width, pixel % dims.width);
                let bytes = levels.iter().map(|level| (level + i16::from(ZERO)) as u8);
                image[begin..].iter_mut().zip(bytes).for_each(|(to, byte)| *to = byte);
            }
            (image, frame)
        };
        let inputs: Vec<(Vec<u8>, Frame)> = inputs.iter().enumerate().map(framed).collect();
        let input = |i: usize| (inputs[i].0.as_slice(), inputs[i].1);
        let to = Frame { dims, border: [0, 0], zero: ZERO };
        let rows = |step: usize| {
            let mut output = vec![0u8; dims.len()];
            for row in 0..dims.height {
                for first in (0..dims.width).step_by(step) {
                    let columns = first..(first + step).min(dims.width);
                    let pixels = &mut output[to.pixel(row, first)..][..columns.len() * dims.channels];
                    work.run_pixels(input, &to, row, columns, pixels);
                }
            }
            output
        };
        let output = rows(dims.width);
        assert_eq!(output, rows(1), "a pixel at a time");
        output.into_iter().map(|byte| i16::from(byte) - i16::from(ZERO)).collect()
    }

    #[test]
    fn a_separate_batch_norm_scales_each_channel() {
        let work = Work::Affine(Affine { multiplier: vec![0.5, -2.0], offset: vec![0.0, 1.0] }, levels());
        let from = dims(2, 1, 2);
        // 0.5 and 1.5 round to the even neighbour, 127 * -2 is clamped.
        assert_eq!(run(&work, &[(&[1, 127, 3, 4], from)], from), [0, -127, 2, -7]);
    }

    #[test]
    fn a_separate_relu_keeps_the_scale() {
        let from = dims(3, 1, 1);
        assert_eq!(run(&Work::Relu, &[(&[-127, 0, 5], from)], from), [0, 0, 5]);
    }

    #[test]
    fn a_sum_weighs_both_inputs_and_rounds_once() {
        let from = dims(1, 1, 3);
        let work = Work::Add([0.25, 0.25], levels());
        // 1/4 + 1/4 = 1/2 rounds to 0; separately rounded summands would give the same, 3/4 + 3/4 not.
        assert_eq!(run(&work, &[(&[1, 3, 5], from), (&[1, 3, 1], from)], from), [0, 2, 2]);
    }

    #[test]
    fn a_mean_is_exact_until_its_one_multiplication() {
        let work = Work::Mean(1.0 / 4.0, levels());
        let levels = [1, 10, 2, 20, 3, 30, 4, 41];
        assert_eq!(run(&work, &[(&levels, dims(2, 2, 2))], dims(2, 1, 1)), [2, 25]);
    }

    #[test]
    fn a_concatenation_rescales_each_input() {
        let work = Work::Concat(vec![1.0, 0.5], levels());
        let inputs: [(&[i16], Dims); 2] = [(&[1, 2], dims(1, 1, 2)), (&[10, 20, 30, 50], dims(2, 1, 2))];
        assert_eq!(run(&work, &inputs, dims(3, 1, 2)), [1, 5, 10, 2, 15, 25]);
    }

    #[test]
    fn a_flattened_image_is_row_major() {
        let levels = [1, 10, 2, 20, 3, 30];
        assert_eq!(run(&Work::Flatten, &[(&levels, dims(2, 1, 3))], dims(6, 1, 1)), [1, 2, 3, 10, 20, 30]);
    }

    #[test]
    fn a_padded_shortcut_skips_rows_and_columns() {
        let work = Work::PadShortcut { stride: 2, before: 1 };
        let levels = [1, 2, 3, 4, 5, 6, 7, 8, 9];
        let expected = [0, 1, 0, 0, 0, 3, 0, 0, 0, 7, 0, 0, 0, 9, 0, 0];
        assert_eq!(run(&work, &[(&levels, dims(1, 3, 3))], dims(4, 2, 2)), expected);
    }

    #[test]
    fn padding_never_wins_a_maximum() {
        let window = Window::square(3, 2, 1);
        let levels = [-9, -8, -7, -6, -5, -4, -3, -2, -1];
        let pooled = run(&Work::MaxPool(window), &[(&levels, dims(1, 3, 3))], dims(1, 2, 2));
        assert_eq!(pooled, [-5, -4, -2, -1]);
    }

    /// Rule S311 of the specification.
    #[test]
    fn a_window_mean_divides_by_the_number_of_its_values() {
        let window = Window::of([2, 2], [1, 2], [1, 1]);
        let multipliers = vec![1.0, 1.0 / 2.0, 1.0 / 3.0, 1.0 / 4.0];
        let work = Work::AvgPool { window, multipliers, bounds: levels() };
        let from = dims(1, 2, 3);
        // [1 2 6 / 3 4 9]: corners hold one value, edges two, the middle four; 2.5 and 5.25 round down.
        let pooled = run(&work, &[(&[1, 2, 6, 3, 4, 9], from)], dims(1, 3, 2));
        assert_eq!(pooled, [1, 4, 2, 5, 3, 6]);
    }

    #[test]
    fn padding_moves_levels() {
        let levels = [1, 10, 2, 20];
        let padded = run(&Work::Pad { before: [1, 0] }, &[(&levels, dims(2, 1, 2))], dims(2, 2, 3));
        assert_eq!(padded, [0, 0, 0, 0, 0, 0, 1, 10, 2, 20, 0, 0]);
    }

    #[test]
    fn a_window_beyond_the_edge_reads_existing_values() {
        let window = Window { ceil: true, ..Window::square(2, 2, 0) };
        let levels = [1, 2, 3, 4, 5, 6, 7, 8, 9];
        let pooled = run(&Work::MaxPool(window), &[(&levels, dims(1, 3, 3))], dims(1, 2, 2));
        assert_eq!(pooled, [5, 6, 8, 9]);
    }
}
