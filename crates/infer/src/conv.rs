//! Convolutions and linear layers: geometry, packed weights, and where each weight went.
//!
//! A linear layer is a convolution of a 1x1 image by a 1x1 kernel. Each group of a grouped convolution
//! is an ordinary convolution of its share of the channels.
//!
//! The kernel wants windows that never leave the input and whose rows are whole pairs of values. Where
//! padding, groups or an odd row length stand against that, the images are first copied ("staged") into
//! a buffer with a border of zeros. An odd row then reads one value too many, whatever it is, against a
//! weight of zero.

use crate::dims::Dims;
use crate::kernel::{Kernel, LANES, PairWeights, Panel};
use crate::requantize::{Affine, Bounds, Element};

/// The shape of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConvShape {
    pub(crate) input: Dims,
    pub(crate) output: Dims,
    /// Height and width.
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    pub(crate) padding: [usize; 2],
    pub(crate) groups: usize,
}

impl ConvShape {
    /// Input channels of one group.
    fn group_inputs(&self) -> usize {
        self.input.channels / self.groups
    }

    /// Output channels of one group.
    fn group_outputs(&self) -> usize {
        self.output.channels / self.groups
    }

    /// Panels that cover one group.
    fn group_panels(&self) -> usize {
        self.group_outputs().div_ceil(LANES)
    }

    /// Number of products in one sum.
    pub(crate) fn terms(&self) -> usize {
        self.group_inputs() * self.kernel[0] * self.kernel[1]
    }

    /// Number of weights.
    pub(crate) fn weights(&self) -> usize {
        self.output.channels * self.terms()
    }

    /// Pairs of values in one row of a window.
    fn row_pairs(&self) -> usize {
        (self.kernel[1] * self.group_inputs()).div_ceil(2)
    }

    fn is_staged(&self) -> bool {
        self.padding != [0, 0] || self.groups > 1 || !(self.kernel[1] * self.group_inputs()).is_multiple_of(2)
    }

    /// Height and width of the image that the windows slide over.
    fn padded(&self) -> [usize; 2] {
        [self.input.height + 2 * self.padding[0], self.input.width + 2 * self.padding[1]]
    }

    /// Values of one image that the windows slide over.
    fn window_image(&self) -> usize {
        let [height, width] = self.padded();
        height * width * self.group_inputs()
    }

    /// Values that staging `images` images takes; one more for the last odd row.
    pub(crate) fn staging(&self, images: usize) -> usize {
        if self.is_staged() { images * self.window_image() + 1 } else { 0 }
    }
}

/// Where a weight lies in the packed form.
struct Place {
    panel: usize,
    pair: usize,
    lane: usize,
    half: usize,
}

/// A convolution with its packed weights and its requantization.
#[derive(Debug)]
pub(crate) struct Conv {
    shape: ConvShape,
    bounds: Bounds,
    /// Where each output pixel's window begins, for a whole tile of images.
    windows: Vec<u32>,
    /// For each group, its panels in channel order.
    panels: Vec<PanelData>,
}

#[derive(Debug)]
struct PanelData {
    weights: Vec<PairWeights>,
    multiplier: [f32; LANES],
    offset: [f32; LANES],
}

impl Conv {
    /// Packs `weights`, row-major in (output channel, input channel of the group, row, column).
    /// `tile` is the largest number of images that [`Conv::run`] will get.
    pub(crate) fn new(
        shape: ConvShape,
        weights: &[i8],
        affine: &Affine,
        bounds: Bounds,
        tile: usize,
    ) -> Self {
        assert_eq!(weights.len(), shape.weights(), "{shape:?} got the wrong number of weights");
        let pairs = shape.kernel[0] * shape.row_pairs();
        let panels = (0..shape.groups * shape.group_panels())
            .map(|panel| {
                let (group, block) = (panel / shape.group_panels(), panel % shape.group_panels());
                let first = group * shape.group_outputs() + block * LANES;
                let lanes = LANES.min(shape.group_outputs() - block * LANES);
                let mut multiplier = [0.0; LANES];
                multiplier[..lanes].copy_from_slice(&affine.multiplier[first..][..lanes]);
                let mut offset = [0.0; LANES];
                offset[..lanes].copy_from_slice(&affine.offset[first..][..lanes]);
                PanelData { weights: vec![[[0; 2]; LANES]; pairs], multiplier, offset }
            })
            .collect();

        let [_, padded_width] = shape.padded();
        let mut windows = Vec::with_capacity(tile * shape.output.pixels());
        for image in 0..tile {
            for y in 0..shape.output.height {
                for x in 0..shape.output.width {
                    let pixel = y * shape.stride[0] * padded_width + x * shape.stride[1];
                    let begin = image * shape.window_image() + pixel * shape.group_inputs();
                    windows.push(u32::try_from(begin).expect("a tile of images has fewer than 2^32 values"));
                }
            }
        }

        let mut conv = Self { shape, bounds, windows, panels };
        for (index, &weight) in weights.iter().enumerate() {
            let Place { panel, pair, lane, half } = conv.place(index);
            conv.panels[panel].weights[pair][lane][half] = i16::from(weight);
        }
        conv
    }

    pub(crate) fn shape(&self) -> &ConvShape {
        &self.shape
    }

    /// Where the weight with a row-major index lies.
    fn place(&self, index: usize) -> Place {
        let shape = &self.shape;
        let [rows, columns] = shape.kernel;
        let (rest, column) = (index / columns, index % columns);
        let (rest, row) = (rest / rows, rest % rows);
        let (output, input) = (rest / shape.group_inputs(), rest % shape.group_inputs());
        let (group, channel) = (output / shape.group_outputs(), output % shape.group_outputs());
        let in_row = column * shape.group_inputs() + input;
        Place {
            panel: group * shape.group_panels() + channel / LANES,
            pair: row * shape.row_pairs() + in_row / 2,
            lane: channel % LANES,
            half: in_row % 2,
        }
    }

    /// The panel that holds a weight.
    pub(crate) fn panel_of(&self, index: usize) -> usize {
        self.place(index).panel
    }

    /// A panel's own weights.
    pub(crate) fn panel_weights(&self, panel: usize) -> &[PairWeights] {
        &self.panels[panel].weights
    }

    /// Sets the weight with a row-major index in a copy of its panel.
    pub(crate) fn set(&self, copy: &mut [PairWeights], index: usize, value: i8) {
        let Place { pair, lane, half, .. } = self.place(index);
        copy[pair][lane][half] = i16::from(value);
    }

    /// Computes `images` images. `changed` gives the weights to use instead of a panel's own.
    /// `staging` has room for [`ConvShape::staging`] values.
    pub(crate) fn run<'a, E: Element>(
        &'a self,
        kernel: Kernel,
        images: usize,
        input: &[i16],
        changed: impl Fn(usize) -> Option<&'a [PairWeights]>,
        staging: &mut [i16],
        output: &mut [E],
    ) {
        let shape = &self.shape;
        for group in 0..shape.groups {
            let source = if shape.is_staged() {
                self.stage(group, images, input, staging);
                &staging[..shape.staging(images)]
            } else {
                input
            };
            for block in 0..shape.group_panels() {
                let index = group * shape.group_panels() + block;
                let data = &self.panels[index];
                let panel = Panel {
                    weights: changed(index).unwrap_or(&data.weights),
                    rows: shape.kernel[0],
                    row_stride: shape.padded()[1] * shape.group_inputs(),
                    row_pairs: shape.row_pairs(),
                    windows: &self.windows[..images * shape.output.pixels()],
                    multiplier: &data.multiplier,
                    offset: &data.offset,
                    bounds: self.bounds,
                    lanes: LANES.min(shape.group_outputs() - block * LANES),
                    pixel_stride: shape.output.channels,
                };
                let first = group * shape.group_outputs() + block * LANES;
                kernel.run(&panel, source, &mut output[first..]);
            }
        }
    }

    /// Copies a group's channels of each image into the middle of zeros.
    fn stage(&self, group: usize, images: usize, input: &[i16], staging: &mut [i16]) {
        let shape = &self.shape;
        let [top, left] = shape.padding;
        let (channels, share) = (shape.input.channels, shape.group_inputs());
        let row = shape.input.width * channels;
        let padded_row = shape.padded()[1] * share;
        let staging = &mut staging[..shape.staging(images)];
        staging.fill(0);
        for image in 0..images {
            for y in 0..shape.input.height {
                let from = &input[image * shape.input.len() + y * row..][..row];
                let begin = image * shape.window_image() + (y + top) * padded_row + left * share;
                let to = &mut staging[begin..][..shape.input.width * share];
                if share == channels {
                    to.copy_from_slice(from);
                } else {
                    for (to, from) in to.chunks_exact_mut(share).zip(from.chunks_exact(channels)) {
                        to.copy_from_slice(&from[group * share..][..share]);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The sums of one image by nested loops: row-major levels and OIHW weights in, row-major sums out.
    fn plain(shape: &ConvShape, x: &[i64], weights: &[i64]) -> Vec<i64> {
        let (from, to) = (shape.input, shape.output);
        let (share, outputs) = (from.channels / shape.groups, to.channels / shape.groups);
        let mut sums = Vec::new();
        for o in 0..to.channels {
            for y in 0..to.height {
                for x_ in 0..to.width {
                    let mut sum = 0;
                    for c in 0..share {
                        for row in 0..shape.kernel[0] {
                            for column in 0..shape.kernel[1] {
                                let i = (y * shape.stride[0] + row).checked_sub(shape.padding[0]);
                                let j = (x_ * shape.stride[1] + column).checked_sub(shape.padding[1]);
                                let (Some(i), Some(j)) = (i, j) else { continue };
                                if i < from.height && j < from.width {
                                    let channel = o / outputs * share + c;
                                    let weight = ((o * share + c) * shape.kernel[0] + row) * shape.kernel[1];
                                    sum += x[(channel * from.height + i) * from.width + j]
                                        * weights[weight + column];
                                }
                            }
                        }
                    }
                    sums.push(sum);
                }
            }
        }
        sums
    }

    fn channels_last(dims: Dims, row_major: &[i64]) -> Vec<i16> {
        let pixels = dims.pixels();
        let at = |i: usize| row_major[i % dims.channels * pixels + i / dims.channels] as i16;
        (0..dims.len()).map(at).collect()
    }

    fn shapes() -> impl Strategy<Value = ConvShape> {
        let channels = (1usize..=20, 1usize..=35, prop_oneof![4 => Just(1usize), 1 => 2..=3usize]);
        let windows =
            (1usize..=9, 1usize..=9, 1usize..=7, 1usize..=7, 1usize..=3, 1usize..=2, 0usize..=3, 0usize..=2);
        (channels, windows).prop_filter_map("the window must fit", |(c, w)| {
            let ((inputs, outputs, groups), (height, width, kh, kw, sh, sw, ph, pw)) = (c, w);
            let output =
                |size: usize, k: usize, s: usize, p: usize| Some((size + 2 * p).checked_sub(k)? / s + 1);
            Some(ConvShape {
                input: Dims { channels: inputs * groups, height, width },
                output: Dims {
                    channels: outputs * groups,
                    height: output(height, kh, sh, ph)?,
                    width: output(width, kw, sw, pw)?,
                },
                kernel: [kh, kw],
                stride: [sh, sw],
                padding: [ph, pw],
                groups,
            })
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn every_kernel_equals_nested_loops(
            shape in shapes(),
            images in 1usize..=3,
            spare in 0usize..=2,
            seed in any::<[u8; 16]>(),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<i8>()), 0..4),
        ) {
            // Enough randomness without drawing each value: bytes of the seed, scrambled by position.
            let byte = |i: usize| seed[i % 16].wrapping_mul(2 * (i / 16) as u8 + 1).wrapping_add((i / 7) as u8);
            let levels: Vec<i64> = (0..images * shape.input.len())
                .map(|i| i64::from(byte(i)) - if seed[0] % 2 == 0 { 127 } else { 0 })
                .collect();
            let mut weights: Vec<i8> = (0..shape.weights()).map(|i| byte(i + 5) as i8).collect();

            let channels = shape.output.channels;
            let affine = Affine {
                // Powers of two, so that many sums fall exactly between two levels.
                multiplier: (0..channels).map(|c| 0.5f32.powi(c as i32 % 12)).collect(),
                offset: (0..channels).map(|c| c as f32 - 3.5).collect(),
            };
            let logits = Bounds { low: f32::NEG_INFINITY, high: f32::INFINITY };
            let levels_only = Bounds { low: 0.0, high: 255.0 };
            let conv = Conv::new(shape, &weights, &affine, logits, images + spare);
            let rounding = Conv::new(shape, &weights, &affine, levels_only, images + spare);

            let mut patches = std::collections::BTreeMap::new();
            for (index, value) in changes {
                let index = index.index(weights.len());
                weights[index] = value;
                let panel = conv.panel_of(index);
                let copy = patches.entry(panel).or_insert_with(|| conv.panel_weights(panel).to_vec());
                conv.set(copy, index, value);
            }

            let wide: Vec<i64> = weights.iter().map(|&w| w.into()).collect();
            let mut expected = Vec::new();
            let mut input = Vec::new();
            for image in levels.chunks(shape.input.len()) {
                input.extend(channels_last(shape.input, image));
                let sums = plain(&shape, image, &wide);
                for pixel in 0..shape.output.pixels() {
                    for c in 0..channels {
                        let sum = sums[c * shape.output.pixels() + pixel];
                        expected.push(sum as i32 as f32 * affine.multiplier[c] + affine.offset[c]);
                    }
                }
            }
            for kernel in Kernel::available() {
                // Neither buffer is cleared between uses in a network.
                let mut staging = vec![-1; shape.staging(images + spare)];
                let mut output = vec![f32::NAN; expected.len()];
                let changed = |panel: usize| patches.get(&panel).map(Vec::as_slice);
                conv.run(kernel, images, &input, changed, &mut staging, &mut output);
                prop_assert_eq!(&output, &expected, "{:?}", kernel);
                let mut output = vec![-1i16; expected.len()];
                rounding.run(kernel, images, &input, changed, &mut staging, &mut output);
                let rounded = expected.iter().map(|v| v.round_ties_even().clamp(0.0, 255.0) as i16);
                prop_assert!(output.iter().copied().eq(rounded), "levels, {:?}", kernel);
            }
        }
    }

    #[test]
    fn the_largest_sum_does_not_wrap() {
        // 65,793 products of 255 * -128 come within 32,640 of -2^31.
        let dims = |channels| Dims { channels, height: 1, width: 1 };
        let shape = ConvShape {
            input: dims(65_793),
            output: dims(1),
            kernel: [1, 1],
            stride: [1, 1],
            padding: [0, 0],
            groups: 1,
        };
        let affine = Affine { multiplier: vec![1.0], offset: vec![0.0] };
        let bounds = Bounds { low: f32::NEG_INFINITY, high: f32::INFINITY };
        let conv = Conv::new(shape, &vec![-128; 65_793], &affine, bounds, 1);
        for kernel in Kernel::available() {
            let mut output = [0f32];
            let mut staging = vec![0; shape.staging(1)];
            conv.run(kernel, 1, &vec![255; 65_793], |_| None, &mut staging, &mut output);
            assert_eq!(output, [(65_793i64 * 255 * -128) as f32], "{kernel:?}");
        }
    }
}
