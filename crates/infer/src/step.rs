//! The steps of a compiled network other than convolutions. All read and write channels-last images of
//! levels in i16; the last step writes f32 logits.

use zoo::Window;

use crate::conv::Conv;
use crate::dims::Dims;
use crate::requantize::{Affine, Bounds, Element};

/// Where a step's output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Levels, in a buffer of the arena.
    Slot(usize),
    /// The network's unrounded output.
    Logits,
}

/// One step: reads slots, writes its target.
#[derive(Debug)]
pub(crate) struct Step {
    /// The node whose output this is.
    pub(crate) name: String,
    pub(crate) work: Work,
    /// Slots it reads, with the size of what lies there.
    pub(crate) inputs: Vec<(usize, Dims)>,
    pub(crate) target: Target,
    /// Size of its output.
    pub(crate) dims: Dims,
}

/// What a step computes.
#[derive(Debug)]
pub(crate) enum Work {
    /// Pixels to levels, a table for each channel.
    Input(Vec<[i16; 256]>),
    /// Convolution or linear layer, with what was fused into it.
    Conv(Conv),
    /// `x * multiplier + offset` a channel: a batch norm that no convolution could absorb, a clipped ReLU of
    /// its own, or levels to logits.
    Affine(Affine, Bounds),
    /// `a * multipliers[0] + b * multipliers[1]`.
    Add([f32; 2], Bounds),
    /// Sum over all pixels, times a multiplier.
    Mean(f32, Bounds),
    /// Channels of all inputs one after the other, input i times multiplier i.
    Concat(Vec<f32>, Bounds),
    /// max(x, 0) on levels.
    Relu,
    MaxPool(Window),
    /// Sum over the part of a window that lies inside the input, times the multiplier for that many values;
    /// `multipliers` begins with the one for a single value.
    AvgPool {
        window: Window,
        multipliers: Vec<f32>,
        bounds: Bounds,
    },
    /// Channels-last to row-major [channels, height, width], the order of a linear layer's weights.
    Flatten,
    /// Rows of zeros above and columns on the left, and the rest on the other sides.
    Pad {
        before: [usize; 2],
    },
    /// Every stride-th row and column, with `before` zero channels in front and the rest behind.
    PadShortcut {
        stride: usize,
        before: usize,
    },
}

impl Work {
    /// One image of every operation that is neither the input nor a convolution. `input` gives the levels
    /// and the size of the i-th input.
    pub(crate) fn run_image<'a, E: Element>(
        &self,
        input: impl Fn(usize) -> (&'a [i16], Dims),
        dims: Dims,
        output: &mut [E],
    ) {
        let (x, from) = input(0);
        match self {
            Work::Input(_) | Work::Conv(_) => unreachable!("run by the network, on the whole tile"),
            Work::Affine(affine, bounds) => {
                for (x, out) in x.chunks_exact(dims.channels).zip(output.chunks_exact_mut(dims.channels)) {
                    let scales = affine.multiplier.iter().zip(&affine.offset);
                    for ((out, x), (multiplier, offset)) in out.iter_mut().zip(x).zip(scales) {
                        *out = bounds.finish(f32::from(*x) * multiplier + offset);
                    }
                }
            }
            Work::Add([a, b], bounds) => {
                for ((out, x), y) in output.iter_mut().zip(x).zip(input(1).0) {
                    *out = bounds.finish(f32::from(*x) * a + f32::from(*y) * b);
                }
            }
            Work::Mean(multiplier, bounds) => {
                for (channel, out) in output.iter_mut().enumerate() {
                    let sum: i32 = x[channel..].iter().step_by(from.channels).map(|&x| i32::from(x)).sum();
                    *out = bounds.finish(sum as f32 * multiplier);
                }
            }
            Work::Concat(multipliers, bounds) => {
                let mut first = 0;
                for (i, multiplier) in multipliers.iter().enumerate() {
                    let (x, from) = input(i);
                    let pixels = output.chunks_exact_mut(dims.channels);
                    for (out, x) in pixels.zip(x.chunks_exact(from.channels)) {
                        for (out, x) in out[first..].iter_mut().zip(x) {
                            *out = bounds.finish(f32::from(*x) * multiplier);
                        }
                    }
                    first += from.channels;
                }
            }
            Work::Relu => {
                for (out, x) in output.iter_mut().zip(x) {
                    *out = E::from((*x).max(0));
                }
            }
            Work::MaxPool(window) => {
                for (out, values) in windows(window, x, from, dims, output) {
                    out.fill(E::from(i16::MIN));
                    for x in values {
                        for (out, x) in out.iter_mut().zip(x) {
                            let x = E::from(*x);
                            if x > *out {
                                *out = x;
                            }
                        }
                    }
                }
            }
            Work::AvgPool { window, multipliers, bounds } => {
                let mut sums = vec![0i32; dims.channels];
                for (out, values) in windows(window, x, from, dims, output) {
                    sums.fill(0);
                    let mut count = 0;
                    for x in values {
                        count += 1;
                        sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += i32::from(*x));
                    }
                    for (out, sum) in out.iter_mut().zip(&sums) {
                        *out = bounds.finish(*sum as f32 * multipliers[count - 1]);
                    }
                }
            }
            Work::Pad { before: [top, left] } => {
                output.fill(E::from(0));
                for (y, x) in x.chunks_exact(from.width * from.channels).enumerate() {
                    let begin = ((y + top) * dims.width + left) * dims.channels;
                    for (out, x) in output[begin..].iter_mut().zip(x) {
                        *out = E::from(*x);
                    }
                }
            }
            Work::Flatten => {
                for (pixel, x) in x.chunks_exact(from.channels).enumerate() {
                    for (channel, x) in x.iter().enumerate() {
                        output[channel * from.pixels() + pixel] = E::from(*x);
                    }
                }
            }
            Work::PadShortcut { stride, before } => {
                output.fill(E::from(0));
                for (pixel, out) in output.chunks_exact_mut(dims.channels).enumerate() {
                    let (y, x_) = (pixel / dims.width * stride, pixel % dims.width * stride);
                    let x = &x[(y * from.width + x_) * from.channels..][..from.channels];
                    for (out, x) in out[*before..].iter_mut().zip(x) {
                        *out = E::from(*x);
                    }
                }
            }
        }
    }
}

/// For each output pixel, its channels, and the pixels of the window that lie inside the input.
fn windows<'a, E>(
    window: &'a Window,
    x: &'a [i16],
    from: Dims,
    dims: Dims,
    output: &'a mut [E],
) -> impl Iterator<Item = (&'a mut [E], impl Iterator<Item = &'a [i16]>)> {
    output.chunks_exact_mut(dims.channels).enumerate().map(move |(pixel, out)| {
        let rows = window.inside(0, pixel / dims.width, from.height);
        let columns = window.inside(1, pixel % dims.width, from.width);
        let row = move |y| {
            let begin = (y * from.width + columns.start) * from.channels;
            x[begin..][..columns.len() * from.channels].chunks_exact(from.channels)
        };
        (out, rows.flat_map(row))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVELS: Bounds = Bounds { low: -127.0, high: 127.0 };

    fn dims(channels: usize, height: usize, width: usize) -> Dims {
        Dims { channels, height, width }
    }

    fn run(work: &Work, inputs: &[(&[i16], Dims)], dims: Dims) -> Vec<i16> {
        let mut output = vec![-99; dims.len()];
        work.run_image(|i| inputs[i], dims, &mut output);
        output
    }

    #[test]
    fn a_batch_norm_of_its_own_scales_each_channel() {
        let work = Work::Affine(Affine { multiplier: vec![0.5, -2.0], offset: vec![0.0, 1.0] }, LEVELS);
        let from = dims(2, 1, 2);
        // 0.5 and 1.5 round to the even neighbour, 127 * -2 is clamped.
        assert_eq!(run(&work, &[(&[1, 127, 3, 4], from)], from), [0, -127, 2, -7]);
    }

    #[test]
    fn a_relu_of_its_own_keeps_the_scale() {
        let from = dims(3, 1, 1);
        assert_eq!(run(&Work::Relu, &[(&[-127, 0, 5], from)], from), [0, 0, 5]);
    }

    #[test]
    fn a_sum_weighs_both_inputs_and_rounds_once() {
        let from = dims(1, 1, 3);
        let work = Work::Add([0.25, 0.25], LEVELS);
        // 1/4 + 1/4 = 1/2 rounds to 0; separately rounded summands would give the same, 3/4 + 3/4 not.
        assert_eq!(run(&work, &[(&[1, 3, 5], from), (&[1, 3, 1], from)], from), [0, 2, 2]);
    }

    #[test]
    fn a_mean_is_exact_until_its_one_multiplication() {
        let work = Work::Mean(1.0 / 4.0, LEVELS);
        let levels = [1, 10, 2, 20, 3, 30, 4, 41];
        assert_eq!(run(&work, &[(&levels, dims(2, 2, 2))], dims(2, 1, 1)), [2, 25]);
    }

    #[test]
    fn a_concatenation_rescales_each_input() {
        let work = Work::Concat(vec![1.0, 0.5], LEVELS);
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
        let window = Window { kernel: [3, 3], stride: [2, 2], padding: [1, 1], ceil: false };
        let levels = [-9, -8, -7, -6, -5, -4, -3, -2, -1];
        let pooled = run(&Work::MaxPool(window), &[(&levels, dims(1, 3, 3))], dims(1, 2, 2));
        assert_eq!(pooled, [-5, -4, -2, -1]);
    }

    #[test]
    fn a_window_mean_divides_by_the_values_it_has() {
        let window = Window { kernel: [2, 2], stride: [1, 2], padding: [1, 1], ceil: false };
        let multipliers = vec![1.0, 1.0 / 2.0, 1.0 / 3.0, 1.0 / 4.0];
        let work = Work::AvgPool { window, multipliers, bounds: LEVELS };
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
    fn a_window_that_hangs_over_the_edge_takes_what_is_there() {
        let window = Window { kernel: [2, 2], stride: [2, 2], padding: [0, 0], ceil: true };
        let levels = [1, 2, 3, 4, 5, 6, 7, 8, 9];
        let pooled = run(&Work::MaxPool(window), &[(&levels, dims(1, 3, 3))], dims(1, 2, 2));
        assert_eq!(pooled, [5, 6, 8, 9]);
    }
}
