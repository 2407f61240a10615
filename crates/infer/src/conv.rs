//! Convolutions and linear layers: geometry, packed weights, and the position of each weight.
//!
//! A linear layer is a convolution of a 1x1 image by a 1x1 kernel. A window of a channels-last image with a
//! border ([`Frame`]) never leaves it, and a row of the window is one run of consecutive bytes, which the
//! inner loop reads in place. If the length of a run is no multiple of the loop's step, the loop reads a few bytes
//! more and multiplies them by weights of zero.
//!
//! A form of the loop that multiplies i16 reads a copy of the input in i16, of whole images, or of single windows if
//! these are few. Convolutions of whole images by 3x3 kernels take a shorter way ([`winograd`]), and with AVX2 the others
//! multiply bytes if their weights are small ([`split`](crate::split)).
//!
//! In a grouped convolution a panel reads only the channels of its own groups: one run for each position of
//! the window, with zero weights where two groups share a panel. In a dilated convolution, too, each position
//! of the window is a run. A depthwise convolution has an inner loop of its own.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::OnceLock;

use graph::{Dims, Window};
use rayon::prelude::*;

use crate::frame::Frame;
use crate::kernel::{
    Bytes, Changes, Depthwise, Finish, Format, Kernel, LANES, Loop, PairChange, Panel, PixelChange,
    QuadChange, Small, SplitPanel, StepChange, StepWeights, Tap, Windows, Words, greatest,
};
use crate::requantize::{Affine, Bounds, Output};
use crate::split::Split;
use crate::winograd::{self, Tiling};
use graph::WeightChange;

/// The shape of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConvShape {
    pub(crate) input: Dims,
    pub(crate) output: Dims,
    /// Height and width of the kernel.
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    pub(crate) padding: [usize; 2],
    pub(crate) dilation: [usize; 2],
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

    /// Number of products in one sum.
    pub(crate) fn terms(&self) -> usize {
        self.group_inputs() * self.kernel[0] * self.kernel[1]
    }

    /// The input window of an output pixel.
    pub(crate) fn window(&self) -> Window {
        Window { dilation: self.dilation, ..Window::of(self.kernel, self.stride, self.padding) }
    }

    /// Returns the input row (axis 0) or column (axis 1) that position `k` of an output's window reads, if it is inside the input.
    fn input_of(&self, output: usize, k: usize, axis: usize) -> Option<usize> {
        let place = (output * self.stride[axis] + k * self.dilation[axis]).checked_sub(self.padding[axis])?;
        (place < [self.input.height, self.input.width][axis]).then_some(place)
    }

    /// Number of weights.
    pub(crate) fn weights(&self) -> usize {
        self.output.channels * self.terms()
    }
}

/// The runs of a window: the offset of each from the start of the window, and the number of steps in each. Where weights
/// are split, these are steps of words, in whole steps of small weights.
#[derive(Clone, Debug)]
struct Runs {
    begins: Vec<u32>,
    steps: usize,
    /// First channel of the runs; 0 if they read all channels.
    first_channel: usize,
}

/// Size in bytes of the input that all panels read one after the other, unless the weights are larger.
const PART_BYTES: usize = 16 * 1024;

/// A multiple of the numbers of windows that the inner loops compute side by side.
const WINDOWS_SIDE_BY_SIDE: usize = 24;

/// The position of a weight in the packed form.
struct Place {
    panel: usize,
    run: usize,
    in_run: usize,
    lane: usize,
}

/// A convolution with its packed weights and its requantization.
#[derive(Clone, Debug)]
pub(crate) struct Conv {
    packing: Packing,
    bounds: Bounds,
    frames: Frames,
    /// Start of each output pixel's window in the input, for a tile of images.
    begins: Vec<u32>,
    /// Start of each output pixel in the output.
    pixels: Vec<u32>,
    /// Panels in channel order.
    panels: Vec<PanelData>,
    positions: OnceLock<Positions>,
}

/// The input pixels of the windows of a convolution.
#[derive(Clone, Debug)]
pub(crate) struct Positions {
    /// Number of positions of a window.
    pub(crate) taps: usize,
    /// For each output pixel and position, the input pixel, or the number of pixels where it is outside, and the position's first
    /// step in a panel's weights.
    pub(crate) of: Vec<(u32, u32)>,
}

/// The layout of weights in panels.
#[derive(Clone, Debug)]
struct Packing {
    shape: ConvShape,
    /// One entry for all panels, or one for each panel.
    runs: Vec<Runs>,
    /// Byte of level 0 in the input.
    zero: u8,
    way: Way,
}

/// The way in which a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Bytes,
    Words,
    /// Like `Words`, but whole images by [`winograd`].
    Winograd(Tiling),
    /// Like `Words`, but panels with a sparse rest by their [`Split`] weights.
    Split,
    Depthwise,
}

#[derive(Clone, Debug)]
struct PanelData {
    weights: PanelWeights,
    lanes: Lanes,
}

/// The weights of a panel, step by step.
#[derive(Clone, Debug)]
enum PanelWeights {
    Bytes(Vec<<Bytes as Format>::Weights>),
    /// `transformed` is empty unless the panel is computed by [`winograd`].
    Words {
        plain: Vec<<Words as Format>::Weights>,
        transformed: Vec<<Words as Format>::Weights>,
        split: Option<Split>,
    },
}

/// Output pixels of a tile of images.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pixels<'a> {
    /// All pixels of this number of images.
    Of(usize),
    /// Some pixels, by the starts of their windows in the input, and their own starts in the output.
    Some { begins: &'a [u32], pixels: &'a [u32] },
}

/// Requantization of the sums of a panel, by lane.
#[derive(Clone, Debug)]
struct Lanes {
    /// Initial value of each sum, which converts a sum over bytes to one over levels: minus the input's zero times
    /// the sum of the weights.
    start: [i32; LANES],
    multiplier: [f32; LANES],
    offset: [f32; LANES],
}

/// Changes of the inputs of a convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ChangesOf<'a> {
    Quads(&'a Changes<QuadChange>),
    Pairs(&'a Changes<PairChange>),
}

/// A requantization that replaces the multipliers, offsets and bounds of a convolution.
#[derive(Clone, Debug)]
pub(crate) struct Requantization {
    /// Lanes of each panel.
    lanes: Vec<Lanes>,
    bounds: Bounds,
}

/// Memory layouts of a convolution's input and output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frames {
    pub(crate) input: Frame,
    pub(crate) output: Frame,
}

impl Conv {
    /// Packs `weights`, row-major in (output channel, input channel of the group, row, column).
    pub(crate) fn new(
        shape: ConvShape,
        frames: Frames,
        weights: &[i8],
        affine: &Affine,
        bounds: Bounds,
        kernel: Kernel,
    ) -> Self {
        assert_eq!(weights.len(), shape.weights(), "{shape:?} got the wrong number of weights");
        let channels = shape.output.channels;
        let way = Way::of(&shape, kernel);
        let mut runs = runs(&shape, &frames.input, way.step());
        if way == Way::Split {
            runs.iter_mut().for_each(|runs| runs.steps *= Small::STEP / Words::STEP);
        }
        let packing = Packing { shape, runs, zero: frames.input.zero, way };
        let panels = (0..channels.div_ceil(LANES)).into_par_iter().map(|panel| {
            let first = panel * LANES;
            let lanes = LANES.min(channels - first);
            let mut multiplier = [0.0; LANES];
            multiplier[..lanes].copy_from_slice(&affine.multiplier[first..][..lanes]);
            let mut offset = [0.0; LANES];
            offset[..lanes].copy_from_slice(&affine.offset[first..][..lanes]);
            let lanes_of = Lanes { start: [0; LANES], multiplier, offset };
            let mut data = PanelData { weights: packing.empty(panel), lanes: lanes_of };
            let own = first * shape.terms()..(first + lanes) * shape.terms();
            for (index, &weight) in own.clone().zip(&weights[own]) {
                data.put(&packing, &packing.place(index), weight);
            }
            if let PanelWeights::Words { plain, transformed, split } = &mut data.weights {
                match way {
                    Way::Winograd(tiling) => tiling.transform(plain, transformed),
                    Way::Split => *split = Some(Split::new(plain, |pair| packing.place_of(panel, pair))),
                    _ => {}
                }
            }
            data
        });
        let panels = panels.collect();
        Self {
            packing,
            bounds,
            frames,
            begins: Vec::new(),
            pixels: Vec::new(),
            panels,
            positions: OnceLock::new(),
        }
    }

    pub(crate) fn shape(&self) -> &ConvShape {
        &self.packing.shape
    }

    /// Size in bytes of the weights that whole images read.
    pub(crate) fn weight_bytes(&self) -> usize {
        let bytes = |panel: &PanelData| match &panel.weights {
            PanelWeights::Bytes(weights) => size_of_val(&weights[..]),
            PanelWeights::Words { split: Some(split), .. } => size_of_val(split.small()),
            PanelWeights::Words { plain, transformed, .. } if transformed.is_empty() => {
                size_of_val(&plain[..])
            }
            PanelWeights::Words { transformed, .. } => size_of_val(&transformed[..]),
        };
        self.panels.iter().map(bytes).sum()
    }

    /// True if whole images are computed in a faster way than some of their pixels.
    pub(crate) fn prefers_whole_images(&self) -> bool {
        matches!(self.packing.way, Way::Winograd(_))
    }

    /// Number of panels.
    pub(crate) fn panels(&self) -> usize {
        self.panels.len()
    }

    /// Returns the panel that holds a weight, and the offset of the weight's input from the start of a
    /// window.
    pub(crate) fn input_of(&self, index: usize) -> (usize, u32) {
        let Place { panel, run, in_run, .. } = self.packing.place(index);
        let Runs { begins, first_channel, .. } = self.packing.runs_of(panel);
        (panel, begins[run] + (first_channel + in_run) as u32)
    }

    /// Sets the weight with a row-major index; returns the old value.
    pub(crate) fn set(&mut self, index: usize, value: i8) -> i8 {
        let place = self.packing.place(index);
        self.panels[place.panel].set(&self.packing, &place, value)
    }

    /// Returns the weight with a row-major index.
    pub(crate) fn weight(&self, index: usize) -> i8 {
        let Place { panel, run, in_run, lane } = self.packing.place(index);
        let steps = self.packing.runs_of(panel).steps;
        match &self.panels[panel].weights {
            PanelWeights::Bytes(weights) => {
                weights[run * steps + in_run / Bytes::STEP].0[lane][in_run % Bytes::STEP]
            }
            PanelWeights::Words { plain, .. } if self.packing.way == Way::Depthwise => {
                plain[run / 2].0[lane][run % 2] as i8
            }
            PanelWeights::Words { plain, .. } => {
                plain[run * steps + in_run / Words::STEP].0[lane][in_run % Words::STEP] as i8
            }
        }
    }

    /// Returns multiplier, offset and bounds of an output channel.
    pub(crate) fn requantization_of(&self, channel: usize) -> (f32, f32, Bounds) {
        let lanes = &self.panels[channel / LANES].lanes;
        (lanes.multiplier[channel % LANES], lanes.offset[channel % LANES], self.bounds)
    }

    /// Computes the exact sums of one image: for each output pixel those of each panel.
    pub(crate) fn sums(&self, kernel: Kernel, input: &[u8]) -> Vec<[i32; LANES]> {
        let (begins, _) = self.windows(1);
        let panels = self.panels();
        let mut all = vec![[0; LANES]; begins.len() * panels];
        for (index, panel) in self.panels.iter().enumerate() {
            let runs = self.packing.runs_of(index);
            let found = panel.sums(self.packing.way, kernel, runs, (&input[runs.first_channel..], begins));
            all[index..].iter_mut().step_by(panels).zip(found).for_each(|(to, sums)| *to = sums);
        }
        all
    }

    /// Number of neighbouring inputs in the steps by which known sums can be updated; none if some windows do not consist of
    /// whole steps.
    pub(crate) fn step_of_changes(&self) -> Option<usize> {
        let ConvShape { input, dilation, groups, .. } = self.shape();
        let step = match self.packing.way {
            Way::Bytes => Bytes::STEP,
            Way::Words | Way::Winograd(_) | Way::Split => Words::STEP,
            Way::Depthwise => return None,
        };
        (*groups == 1 && dilation[1] == 1 && input.channels.is_multiple_of(step)).then_some(step)
    }

    /// Cost of a step of a full computation of whole images relative to one of a computation of some pixels.
    pub(crate) fn cost_of_whole(&self) -> f32 {
        match self.packing.way {
            Way::Winograd(tiling) => tiling.cost(self.shape()),
            _ => 1.0,
        }
    }

    /// The input pixels of each window; only if known sums can be updated.
    pub(crate) fn positions(&self) -> &Positions {
        self.positions.get_or_init(|| {
            let ConvShape { input, output, kernel: [rows, columns], .. } = *self.shape();
            let step = self.step_of_changes().expect("the windows consist of whole steps");
            let outside = input.pixels() as u32;
            let mut of = Vec::with_capacity(output.pixels() * rows * columns);
            for at in 0..output.pixels() {
                for y in 0..rows {
                    for x in 0..columns {
                        let row = self.shape().input_of(at / output.width, y, 0);
                        let column = self.shape().input_of(at % output.width, x, 1);
                        let pixel = row
                            .zip(column)
                            .map_or(outside, |(row, column)| (row * input.width + column) as u32);
                        let first = y * self.packing.runs_of(0).steps + x * (input.channels / step);
                        of.push((pixel, first as u32));
                    }
                }
            }
            Positions { taps: rows * columns, of }
        })
    }

    /// Updates known sums by changes, requantizes them and writes them to the output's pixels, whose starts are `pixels`. `sums`
    /// is a buffer.
    pub(crate) fn run_changes(
        &self,
        kernel: Kernel,
        changes: ChangesOf<'_>,
        known: &[[i32; LANES]],
        pixels: &[u32],
        sums: &mut Vec<[i32; LANES]>,
        output: &mut [u8],
    ) {
        let finish = |index: usize| self.finish(index, (&self.panels[index].lanes, self.bounds));
        let finishes: Vec<Finish<'_>> = (0..self.panels()).map(finish).collect();
        let panels = self.panels.iter().map(|panel| &panel.weights).zip(&finishes);
        match changes {
            ChangesOf::Quads(changes) => {
                let panels: Vec<_> = panels
                    .map(|(weights, finish)| Panel { weights: weights.bytes(), finish: *finish })
                    .collect();
                kernel.add_quads(changes, &panels, known, sums);
            }
            ChangesOf::Pairs(changes) => {
                let panels: Vec<_> = panels
                    .map(|(weights, finish)| Panel { weights: weights.words(), finish: *finish })
                    .collect();
                kernel.add_pairs(changes, &panels, known, sums);
            }
        }
        kernel.vectorize(Requantized { finishes: &finishes, sums, pixels, output });
    }

    /// Computes the positions of windows for tiles of up to `tile` images.
    pub(crate) fn place_windows(&mut self, tile: usize) {
        let Self { packing: Packing { shape, .. }, frames: Frames { input, output }, .. } = self;
        let [above, left] = std::array::from_fn(|axis| input.border[axis] - shape.padding[axis]);
        let offset = |at: usize| u32::try_from(at).expect("a tile of images has fewer than 2^32 values");
        self.begins.clear();
        self.pixels.clear();
        for image in 0..tile {
            for y in 0..shape.output.height {
                for x in 0..shape.output.width {
                    let row = (y * shape.stride[0] + above) * input.row();
                    let column = (x * shape.stride[1] + left) * shape.input.channels;
                    self.begins.push(offset(image * input.len() + row + column));
                    self.pixels.push(offset(image * output.len() + output.pixel(y, x)));
                }
            }
        }
    }

    /// Returns the start of each window in the first `images` images of a tile, and the start of each output
    /// pixel.
    pub(crate) fn windows(&self, images: usize) -> (&[u32], &[u32]) {
        let windows = images * self.shape().output.pixels();
        (&self.begins[..windows], &self.pixels[..windows])
    }

    /// Adds an integer to each channel's sums.
    pub(crate) fn add_to_sums(&mut self, summands: &[i32]) {
        for (channel, summand) in summands.iter().enumerate() {
            self.panels[channel / LANES].lanes.start[channel % LANES] += summand;
        }
    }

    /// Returns a requantization without offsets that adds an integer to each channel's sum.
    pub(crate) fn requantization(
        &self,
        bias: impl Fn(usize) -> i32,
        multiplier: impl Fn(usize) -> f32,
        bounds: Bounds,
    ) -> Requantization {
        let channels = self.shape().output.channels;
        let lanes = self.panels.iter().enumerate().map(|(panel, data)| {
            let start = data.lanes.start;
            let mut lanes = Lanes { start, multiplier: [0.0; LANES], offset: [0.0; LANES] };
            for channel in panel * LANES..channels.min((panel + 1) * LANES) {
                lanes.start[channel % LANES] += bias(channel);
                lanes.multiplier[channel % LANES] = multiplier(channel);
            }
            lanes
        });
        Requantization { lanes: lanes.collect(), bounds }
    }

    /// Computes the channels of some panels at some output pixels.
    pub(crate) fn run<E: Output>(
        &self,
        kernel: Kernel,
        panels: Range<usize>,
        input: &[u8],
        pixels: Pixels<'_>,
        output: &mut [E],
    ) {
        let own = |panel: usize| (&self.panels[panel].lanes, self.bounds);
        self.run_panels(kernel, panels, own, input, pixels, output);
    }

    /// Computes like [`Conv::run`], but all panels of whole images, with another requantization.
    pub(crate) fn run_as<E: Output>(
        &self,
        requantization: &Requantization,
        kernel: Kernel,
        input: &[u8],
        images: usize,
        output: &mut [E],
    ) {
        let other = |panel: usize| (&requantization.lanes[panel], requantization.bounds);
        self.run_panels(kernel, 0..self.panels(), other, input, Pixels::Of(images), output);
    }

    fn run_panels<'a, E: Output>(
        &'a self,
        kernel: Kernel,
        panels: Range<usize>,
        requantization: impl Fn(usize) -> (&'a Lanes, Bounds),
        input: &[u8],
        at: Pixels<'_>,
        output: &mut [E],
    ) {
        let finish = |panel: usize| self.finish(panel, requantization(panel));
        let (begins, pixels) = match at {
            Pixels::Of(images) => self.windows(images),
            Pixels::Some { begins, pixels } => (begins, pixels),
        };
        match (self.packing.way, at) {
            (Way::Winograd(tiling), Pixels::Of(images)) => {
                let panels: Vec<_> =
                    panels.map(|panel| (self.panels[panel].weights.transformed(), finish(panel))).collect();
                let Frames { input: from, output: to } = &self.frames;
                let layer = winograd::Layer { tiling, shape: self.shape(), input: from, output: to };
                winograd::run(kernel, layer, &panels, (images, input), output);
            }
            (Way::Depthwise, _) => {
                for (begins, pixels) in self.parts(begins, pixels) {
                    for panel in panels.clone() {
                        let Runs { begins: runs, first_channel, .. } = self.packing.runs_of(panel);
                        let windows = Windows::<Depthwise>::new(&input[*first_channel..], begins, runs, 1);
                        let weights = self.panels[panel].weights.words();
                        let panel = Panel { weights, finish: finish(panel) };
                        kernel.run_depthwise(&windows, &panel, pixels, output);
                    }
                }
            }
            (Way::Words | Way::Winograd(_) | Way::Split, _) => {
                let (split, whole): (Vec<usize>, Vec<usize>) =
                    panels.partition(|&panel| self.panels[panel].weights.split().is_some());
                for (begins, pixels) in self.parts(begins, pixels) {
                    for panels in self.packing.alike(&split) {
                        let Runs { begins: runs, steps, first_channel } = self.packing.runs_of(panels[0]);
                        let steps = steps / (Small::STEP / Words::STEP);
                        let windows = Windows::<Small>::new(&input[*first_channel..], begins, runs, steps);
                        for &panel in panels {
                            let Some(split) = self.panels[panel].weights.split() else { continue };
                            let (small, (places, rest)) = (split.small(), split.rest());
                            let panel = SplitPanel { small, places, rest, finish: finish(panel) };
                            kernel.run_split(&windows, &panel, pixels, output);
                        }
                    }
                }
                if whole.is_empty() {
                    return;
                }
                self.packing.widened(input, begins, |input, begins, gathered| {
                    for (begins, pixels) in self.parts(begins, pixels) {
                        for panels in self.packing.alike(&whole) {
                            let Runs { begins: runs, steps, first_channel } = self.packing.runs_of(panels[0]);
                            let runs = gathered.unwrap_or(runs);
                            let windows =
                                Windows::<Words>::new(&input[*first_channel..], begins, runs, *steps);
                            let panel = |&panel: &usize| {
                                let weights = self.panels[panel].weights.words();
                                Panel { weights, finish: finish(panel) }
                            };
                            let panels: Vec<_> = panels.iter().map(panel).collect();
                            kernel.run_words(&windows, &panels, pixels, output);
                        }
                    }
                });
            }
            (Way::Bytes, _) => {
                let panels: Vec<usize> = panels.collect();
                for panels in self.packing.alike(&panels) {
                    let Runs { begins: runs, steps, first_channel } = self.packing.runs_of(panels[0]);
                    let windows = Windows::<Bytes>::new(&input[*first_channel..], begins, runs, *steps);
                    let panel = |&panel: &usize| {
                        let weights = self.panels[panel].weights.bytes();
                        Panel { weights, finish: finish(panel) }
                    };
                    let panels: Vec<_> = panels.iter().map(panel).collect();
                    kernel.run_bytes(&windows, &panels, pixels, output);
                }
            }
        }
    }

    /// Divides windows, given by their starts, and their output pixels, into parts that all panels read while the part
    /// is in a first-level cache. A part is not smaller than the weights, which are read once for it.
    fn parts<'a>(
        &self,
        begins: &'a [u32],
        pixels: &'a [u32],
    ) -> impl Iterator<Item = (&'a [u32], &'a [u32])> + use<'a> {
        let ConvShape { input, output, .. } = self.shape();
        let windows = PART_BYTES.max(self.weight_bytes()) * output.pixels() / input.len();
        let windows = windows.max(1).next_multiple_of(WINDOWS_SIDE_BY_SIDE);
        begins.chunks(windows).zip(pixels.chunks(windows))
    }

    fn finish<'a>(&self, panel: usize, (lanes, bounds): (&'a Lanes, Bounds)) -> Finish<'a> {
        let Lanes { start, multiplier, offset } = lanes;
        let channel = panel * LANES;
        let lanes = LANES.min(self.shape().output.channels - channel);
        Finish { start, multiplier, offset, bounds, channel, lanes }
    }
}

impl Way {
    fn of(shape: &ConvShape, kernel: Kernel) -> Self {
        let ConvShape { input, output, groups, .. } = *shape;
        if groups > 1 && groups == input.channels && groups == output.channels {
            return Way::Depthwise;
        }
        match kernel.multiplies_words() {
            true => match Tiling::of(shape) {
                Some(tiling) => Way::Winograd(tiling),
                None if kernel.splits() && splits_well(shape) => Way::Split,
                None => Way::Words,
            },
            false => Way::Bytes,
        }
    }

    /// Number of neighbouring inputs in a step of a run.
    fn step(self) -> usize {
        match self {
            Way::Bytes => Bytes::STEP,
            Way::Words | Way::Winograd(_) => Words::STEP,
            Way::Split => Small::STEP,
            Way::Depthwise => Depthwise::STEP,
        }
    }
}

impl PanelWeights {
    fn bytes(&self) -> &[<Bytes as Format>::Weights] {
        match self {
            PanelWeights::Bytes(weights) => weights,
            PanelWeights::Words { .. } => unreachable!("a convolution in bytes has its weights in bytes"),
        }
    }

    fn words(&self) -> &[<Words as Format>::Weights] {
        match self {
            PanelWeights::Words { plain, .. } => plain,
            PanelWeights::Bytes(_) => unreachable!("a convolution in words has its weights in words"),
        }
    }

    /// Returns the split weights if computing with them is fastest.
    fn split(&self) -> Option<&Split> {
        match self {
            PanelWeights::Words { split, .. } => split.as_ref().filter(|split| split.pays()),
            PanelWeights::Bytes(_) => None,
        }
    }

    fn transformed(&self) -> &[<Words as Format>::Weights] {
        match self {
            PanelWeights::Words { transformed, .. } => transformed,
            PanelWeights::Bytes(_) => unreachable!("a convolution in words has its weights in words"),
        }
    }
}

impl Packing {
    fn runs_of(&self, panel: usize) -> &Runs {
        &self.runs[panel.min(self.runs.len() - 1)]
    }

    /// Divides panels into those that have the same runs.
    fn alike<'a>(&self, panels: &'a [usize]) -> impl Iterator<Item = &'a [usize]> + use<'a> {
        let together = self.runs.len() == 1;
        panels.chunk_by(move |_, _| together)
    }

    /// Returns the offset of a pair of inputs from the start of a window, by the pair's position in a panel's words.
    fn place_of(&self, panel: usize, pair: usize) -> u32 {
        let Runs { begins, steps, .. } = self.runs_of(panel);
        begins[pair / steps] + (pair % steps * Words::STEP) as u32
    }

    /// Returns weights of zero for a panel.
    fn empty(&self, panel: usize) -> PanelWeights {
        let Runs { begins, steps, .. } = self.runs_of(panel);
        let words = |steps: usize| vec![StepWeights([[0; 2]; LANES]); steps];
        let (plain, transformed) = match self.way {
            Way::Bytes => {
                return PanelWeights::Bytes(vec![StepWeights([[0; 4]; LANES]); begins.len() * steps]);
            }
            Way::Words | Way::Split => (begins.len() * steps, 0),
            Way::Winograd(tiling) => (begins.len() * steps, tiling.steps(self.shape.input.channels)),
            Way::Depthwise => (begins.len().div_ceil(2), 0),
        };
        PanelWeights::Words { plain: words(plain), transformed: words(transformed), split: None }
    }

    /// Calls `run` with the input in i16, the starts of windows in it, and the starts of runs in a window if they
    /// differ from those in the input.
    fn widened(&self, input: &[u8], begins: &[u32], run: impl FnOnce(&[i16], &[u32], Option<&[u32]>)) {
        thread_local! {
            static WORDS: RefCell<Vec<i16>> = const { RefCell::new(Vec::new()) };
        }
        let Some(first) = begins.iter().min() else { return };
        let ends = self
            .runs
            .iter()
            .map(|runs| runs.first_channel + greatest(&runs.begins) + runs.steps * Words::STEP);
        let all = *first as usize..greatest(begins) + ends.max().expect("a convolution has runs");
        let Runs { begins: runs, steps, .. } = &self.runs[0];
        let length = steps * Words::STEP;
        WORDS.with_borrow_mut(|words| {
            words.clear();
            if self.runs.len() == 1 && begins.len() * runs.len() * length < all.len() {
                for begin in begins {
                    for offset in runs {
                        let run = &input[(begin + offset) as usize..][..length];
                        words.extend(run.iter().map(|&byte| i16::from(byte)));
                    }
                }
                let places = |count: usize, length: usize| -> Vec<u32> {
                    (0..count).map(|i| (i * length) as u32).collect()
                };
                let runs = places(runs.len(), length);
                run(words, &places(begins.len(), runs.len() * length), Some(&runs));
            } else {
                words.extend(input[all].iter().map(|&byte| i16::from(byte)));
                match first {
                    0 => run(words, begins, None),
                    _ => run(words, &begins.iter().map(|begin| begin - first).collect::<Vec<_>>(), None),
                }
            }
        });
    }

    /// Returns the position of the weight with a row-major index.
    fn place(&self, index: usize) -> Place {
        let shape = &self.shape;
        let [rows, columns] = shape.kernel;
        let (rest, column) = (index / columns, index % columns);
        let (rest, row) = (rest / rows, rest % rows);
        let (output, input) = (rest / shape.group_inputs(), rest % shape.group_inputs());
        let (panel, lane) = (output / LANES, output % LANES);
        let (run, in_run) = match (shape.groups, shape.dilation[1]) {
            (1, 1) => (row, column * shape.input.channels + input),
            _ => {
                let channel = output / shape.group_outputs() * shape.group_inputs() + input;
                (row * columns + column, channel - self.runs_of(panel).first_channel)
            }
        };
        Place { panel, run, in_run, lane }
    }
}

/// Sums of some pixels, for each panel, that become levels.
struct Requantized<'a> {
    finishes: &'a [Finish<'a>],
    sums: &'a [[i32; LANES]],
    pixels: &'a [u32],
    output: &'a mut [u8],
}

impl Loop for Requantized<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { finishes, sums, pixels, output } = self;
        for (sums, &pixel) in sums.chunks_exact(finishes.len()).zip(pixels) {
            for (sums, finish) in sums.iter().zip(finishes) {
                finish.write(sums, output, pixel as usize);
            }
        }
    }
}

impl PanelData {
    /// Computes the sums of some windows. `input` begins with the first channel of the runs.
    fn sums(
        &self,
        way: Way,
        kernel: Kernel,
        runs: &Runs,
        (input, begins): (&[u8], &[u32]),
    ) -> Vec<[i32; LANES]> {
        let bytes = |begin: u32, offset: u32, length: usize| &input[(begin + offset) as usize..][..length];
        let mut sums = Vec::new();
        match way {
            Way::Bytes => {
                let weights = self.weights.bytes();
                let Lanes { start, multiplier, offset } = &self.lanes;
                let bounds = Bounds::unrounded(f32::NEG_INFINITY, f32::INFINITY);
                let finish = Finish { start, multiplier, offset, bounds, channel: 0, lanes: LANES };
                let mut changes = Changes::default();
                for &begin in begins {
                    let first_tap = changes.taps.len() as u32;
                    for (run, offset) in runs.begins.iter().enumerate() {
                        let first = changes.steps.len() as u32;
                        let steps =
                            bytes(begin, *offset, runs.steps * Bytes::STEP).as_chunks::<{ Bytes::STEP }>().0;
                        let change = |(step, &new)| QuadChange::new(step, [0; Bytes::STEP], new);
                        changes.steps.extend((0..).zip(steps).map(change));
                        let end = changes.steps.len() as u32;
                        changes.taps.push(Tap { first: (run * runs.steps) as u32, changes: (first, end) });
                    }
                    let taps = (first_tap, changes.taps.len() as u32);
                    changes.pixels.push(PixelChange { sums: 0, taps });
                }
                kernel.add_quads(&changes, &[Panel { weights, finish }], &[*start], &mut sums);
            }
            Way::Words | Way::Winograd(_) | Way::Split => {
                let mut rows = Vec::new();
                for &begin in begins {
                    for &offset in &runs.begins {
                        rows.extend(
                            bytes(begin, offset, runs.steps * Words::STEP).iter().map(|&x| i16::from(x)),
                        );
                    }
                }
                sums.resize(begins.len(), [0; LANES]);
                kernel.multiply(&rows, self.weights.words(), &mut sums);
                for sums in &mut sums {
                    sums.iter_mut().zip(self.lanes.start).for_each(|(sum, start)| *sum += start);
                }
            }
            Way::Depthwise => {
                for &begin in begins {
                    let mut own = self.lanes.start;
                    for (position, &offset) in runs.begins.iter().enumerate() {
                        let weights = &self.weights.words()[position / 2].0;
                        for ((sum, x), weights) in
                            own.iter_mut().zip(bytes(begin, offset, LANES)).zip(weights)
                        {
                            *sum += i32::from(*x) * i32::from(weights[position % 2]);
                        }
                    }
                    sums.push(own);
                }
            }
        }
        sums
    }

    /// Sets a weight; returns the old value.
    fn set(&mut self, packing: &Packing, place: &Place, value: i8) -> i8 {
        let Place { run, in_run, lane, .. } = *place;
        let old = self.put(packing, place, value);
        let change = i16::from(value) - i16::from(old);
        if let PanelWeights::Words { transformed, split, .. } = &mut self.weights {
            if let Way::Winograd(tiling) = packing.way {
                let channels = packing.shape.input.channels;
                tiling.add(transformed, [run, in_run / channels], (in_run % channels, lane), change);
            }
            if let Some(split) = split {
                let pair = run * packing.runs_of(place.panel).steps + in_run / Words::STEP;
                let offset = |pair| packing.place_of(place.panel, pair);
                split.add(pair, in_run % Words::STEP, lane, change, offset);
            }
        }
        old
    }

    /// Sets a weight, but not its transform; returns the old value.
    fn put(&mut self, packing: &Packing, place: &Place, value: i8) -> i8 {
        let Place { run, in_run, lane, .. } = *place;
        let step = |size: usize| run * packing.runs_of(place.panel).steps + in_run / size;
        let old = match &mut self.weights {
            PanelWeights::Bytes(weights) => {
                let weight = &mut weights[step(Bytes::STEP)].0[lane][in_run % Bytes::STEP];
                std::mem::replace(weight, value)
            }
            PanelWeights::Words { plain, .. } => {
                let weight = match packing.way {
                    Way::Depthwise => &mut plain[run / 2].0[lane][run % 2],
                    _ => &mut plain[step(Words::STEP)].0[lane][in_run % Words::STEP],
                };
                std::mem::replace(weight, value.into()) as i8
            }
        };
        self.lanes.start[lane] -= i32::from(packing.zero) * (i32::from(value) - i32::from(old));
        old
    }
}

/// A network whose stored weights lie in convolutions and linear layers, one tensor each.
pub(crate) trait Layers {
    /// Number of stored tensors.
    fn layers(&self) -> usize;

    /// The layer of a stored tensor.
    fn layer(&self, tensor: usize) -> &Conv;

    /// The layer of a stored tensor, for changing a weight.
    fn layer_mut(&mut self, tensor: usize) -> &mut Conv;

    /// Panics if a change names a weight that does not exist.
    fn check_change(&self, change: WeightChange) {
        let layers = self.layers();
        assert!(change.tensor < layers, "{change:?} names a tensor outside 0..{layers}");
        let weights = self.layer(change.tensor).shape().weights();
        assert!(change.index < weights, "{change:?} names a weight outside 0..{weights}");
    }

    /// Changes some weights, calls `run`, and restores the weights.
    fn changed<T>(&mut self, changes: &[WeightChange], run: impl FnOnce(&Self) -> T) -> T {
        let before = self.change(changes);
        let result = run(self);
        self.change(&before);
        result
    }

    /// Changes weights; returns the changes that restore them.
    fn change(&mut self, changes: &[WeightChange]) -> Vec<WeightChange> {
        let mut before: Vec<WeightChange> = changes
            .iter()
            .map(|&change| {
                self.check_change(change);
                WeightChange {
                    value: self.layer_mut(change.tensor).set(change.index, change.value),
                    ..change
                }
            })
            .collect();
        before.reverse();
        before
    }
}

/// True if runs waste less in whole steps of small weights than the faster loop saves, which is a third.
fn splits_well(shape: &ConvShape) -> bool {
    let whole_rows = shape.groups == 1 && shape.dilation[1] == 1;
    let groups = if shape.groups == 1 { 1 } else { LANES.div_ceil(shape.group_outputs()) };
    let run = shape.group_inputs() * if whole_rows { shape.kernel[1] } else { groups };
    run.next_multiple_of(Small::STEP) * 2 <= run * 3
}

/// Returns one set of runs of steps of `step` inputs for all panels, or one for each panel of a grouped convolution.
fn runs(shape: &ConvShape, input: &Frame, step: usize) -> Vec<Runs> {
    let [rows, columns] = shape.kernel;
    let [down, right] = shape.dilation;
    let offset =
        |row: usize, column: usize| (row * down * input.row() + column * right * shape.input.channels) as u32;
    let places = || (0..rows).flat_map(|row| (0..columns).map(move |column| offset(row, column))).collect();
    if shape.groups == 1 && right > 1 {
        return vec![Runs { begins: places(), steps: shape.input.channels.div_ceil(step), first_channel: 0 }];
    }
    if shape.groups == 1 {
        let begins = (0..rows).map(|row| offset(row, 0)).collect();
        return vec![Runs {
            begins,
            steps: (columns * shape.input.channels).div_ceil(step),
            first_channel: 0,
        }];
    }
    let panel = |first: usize| {
        let last = (first + LANES).min(shape.output.channels) - 1;
        let groups = first / shape.group_outputs()..last / shape.group_outputs() + 1;
        Runs {
            begins: places(),
            steps: (groups.len() * shape.group_inputs()).div_ceil(step),
            first_channel: groups.start * shape.group_inputs(),
        }
    };
    (0..shape.output.channels).step_by(LANES).map(panel).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::SLACK;

    /// Computes the sums of one image by nested loops, from row-major levels and OIHW weights to row-major
    /// sums.
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
                                let i = y * shape.stride[0] + row * shape.dilation[0];
                                let i = i.checked_sub(shape.padding[0]);
                                let j = x_ * shape.stride[1] + column * shape.dilation[1];
                                let j = j.checked_sub(shape.padding[1]);
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

    /// Writes row-major levels of one image into a frame. The border is filled, the slack after it is not.
    fn framed(frame: &Frame, row_major: &[i64]) -> Vec<u8> {
        let mut image = vec![77; frame.len()];
        frame.fill_border(&mut image);
        let Dims { channels, height, width } = frame.dims;
        for (at, level) in row_major.iter().enumerate() {
            let (channel, pixel) = (at / (height * width), at % (height * width));
            let place = frame.pixel(pixel / width, pixel % width) + channel;
            image[place] = (level + i64::from(frame.zero)) as u8;
        }
        assert_eq!(row_major.len(), channels * height * width);
        image
    }

    fn shapes() -> impl Strategy<Value = ConvShape> {
        let channels = (1usize..=20, 1usize..=35, prop_oneof![4 => Just(1usize), 1 => 2..=3usize]);
        let windows =
            (1usize..=9, 1usize..=9, 1usize..=7, 1usize..=7, 1usize..=3, 1usize..=2, 0usize..=3, 0usize..=2);
        let dilations = [
            prop_oneof![3 => Just(1usize), 1 => 2..=3usize],
            prop_oneof![3 => Just(1usize), 1 => 2..=3usize],
        ];
        let any = (channels, windows, dilations.clone());
        let padding = 0usize..=2;
        let three = (1usize..=9, 1usize..=9, Just(3), Just(3), Just(1), Just(1), padding.clone(), padding);
        let transformed =
            ((prop_oneof![Just(16), Just(32), Just(48)], 1usize..=35, Just(1)), three, [Just(1), Just(1)]);
        let (w, k) = (1usize..=9, 1usize..=5);
        let depthwise = (w.clone(), w, k.clone(), k, 1usize..=3, 1usize..=2, 0usize..=3, 0usize..=2);
        let depthwise = ((Just(1), Just(1), 2usize..=40), depthwise, dilations);
        let all = prop_oneof![2 => any, 1 => transformed, 1 => depthwise];
        all.prop_filter_map("the window must fit", |(c, w, dilation)| {
            let ((inputs, outputs, groups), (height, width, kh, kw, sh, sw, ph, pw)) = (c, w);
            let output = |size: usize, k: usize, d: usize, s: usize, p: usize| {
                Some((size + 2 * p).checked_sub((k - 1) * d + 1)? / s + 1)
            };
            Some(ConvShape {
                input: Dims { channels: inputs * groups, height, width },
                output: Dims {
                    channels: outputs * groups,
                    height: output(height, kh, dilation[0], sh, ph)?,
                    width: output(width, kw, dilation[1], sw, pw)?,
                },
                kernel: [kh, kw],
                stride: [sh, sw],
                padding: [ph, pw],
                dilation,
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
            wider in [0usize..=1, 0usize..=2],
            seed in any::<[u8; 16]>(),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<i8>()), 0..4),
        ) {
            // Bytes of the seed, scrambled by position, are random enough and cheaper than a draw for each value.
            let byte = |i: usize| seed[i % 16].wrapping_mul(2 * (i / 16) as u8 + 1).wrapping_add((i / 7) as u8);
            let zero = if seed[0] % 2 == 0 { 128 } else { 0 };
            let levels: Vec<i64> =
                (0..images * shape.input.len()).map(|i| i64::from(byte(i)) - i64::from(zero)).collect();
            // Where weights are small, they are split.
            let small = seed[1] % 5;
            let mut weights: Vec<i8> = (0..shape.weights()).map(|i| byte(i + 5) as i8 >> small).collect();

            let channels = shape.output.channels;
            let affine = Affine {
                // Powers of two, so that many sums fall exactly between two levels.
                multiplier: (0..channels).map(|c| 0.5f32.powi(c as i32 % 12)).collect(),
                offset: (0..channels).map(|c| c as f32 - 3.5).collect(),
            };
            let border = [0, 1].map(|axis| shape.padding[axis] + wider[axis]);
            let input = Frame { dims: shape.input, border, zero };
            let logits = Frame { dims: shape.output, border: [0, 0], zero: 0 };
            let stored = Frame { dims: shape.output, border: wider, zero: 128 };
            let unrounded = Bounds::unrounded(f32::NEG_INFINITY, f32::INFINITY);
            let rounded = Bounds::levels(-127, 127, 128);
            let conv = |kernel, output, bounds, weights: &[i8]| {
                let mut conv = Conv::new(shape, Frames { input, output }, weights, &affine, bounds, kernel);
                conv.place_windows(images + spare);
                conv
            };
            let changes: Vec<(usize, i8)> =
                changes.into_iter().map(|(index, value)| (index.index(weights.len()), value)).collect();
            let clean = weights.clone();
            changes.iter().for_each(|&(index, value)| weights[index] = value);

            let wide: Vec<i64> = weights.iter().map(|&w| w.into()).collect();
            let mut expected = Vec::new();
            let mut bytes = Vec::new();
            for image in levels.chunks(shape.input.len()) {
                bytes.extend(framed(&input, image));
                let sums = plain(&shape, image, &wide);
                for pixel in 0..shape.output.pixels() {
                    for c in 0..channels {
                        let sum = sums[c * shape.output.pixels() + pixel];
                        expected.push(sum as i32 as f32 * affine.multiplier[c] + affine.offset[c]);
                    }
                }
            }
            // Bytes after the last image are read and multiplied by weights of zero.
            bytes.extend([99; SLACK]);
            for kernel in Kernel::available() {
                let mut changed = conv(kernel, logits, unrounded, &clean);
                let before: Vec<i8> = changes.iter().map(|&(index, value)| changed.set(index, value)).collect();
                let mut output = vec![f32::NAN; expected.len()];
                let all = 0..changed.panels();
                changed.run(kernel, all.clone(), &bytes, Pixels::Of(images), &mut output);
                prop_assert_eq!(&output, &expected, "{:?}", kernel);

                let packed = conv(kernel, stored, rounded, &weights);
                let mut output = vec![3u8; images * stored.len()];
                packed.run(kernel, all.clone(), &bytes, Pixels::Of(images), &mut output);
                for (pixel, expected) in expected.chunks(channels).enumerate() {
                    let (image, pixel) = (pixel / shape.output.pixels(), pixel % shape.output.pixels());
                    let [row, column] = [pixel / shape.output.width, pixel % shape.output.width];
                    let found = &output[image * stored.len() + stored.pixel(row, column)..][..channels];
                    let expected =
                        expected.iter().map(|v| (v.round_ties_even().clamp(-127.0, 127.0) + 128.0) as u8);
                    prop_assert!(found.iter().copied().eq(expected), "levels, {kernel:?}");
                }

                // Changes are undone in reverse, since one weight may be changed twice.
                for (&(index, _), before) in changes.iter().zip(before).rev() {
                    changed.set(index, before);
                }
                let (mut undone, mut fresh) = (vec![0f32; expected.len()], vec![1f32; expected.len()]);
                changed.run(kernel, all.clone(), &bytes, Pixels::Of(images), &mut undone);
                let packed = conv(kernel, logits, unrounded, &clean);
                packed.run(kernel, all, &bytes, Pixels::Of(images), &mut fresh);
                prop_assert_eq!(undone, fresh, "undone, {:?}", kernel);
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
            dilation: [1, 1],
            groups: 1,
        };
        let affine = Affine { multiplier: vec![1.0], offset: vec![0.0] };
        let bounds = Bounds::unrounded(f32::NEG_INFINITY, f32::INFINITY);
        let frame = |dims| Frame { dims, border: [0, 0], zero: 0 };
        let frames = Frames { input: frame(shape.input), output: frame(shape.output) };
        for kernel in Kernel::available() {
            let mut conv = Conv::new(shape, frames, &vec![-128; 65_793], &affine, bounds, kernel);
            conv.place_windows(1);
            let mut output = [0f32];
            conv.run(kernel, 0..1, &vec![255; 65_793 + SLACK], Pixels::Of(1), &mut output);
            assert_eq!(output, [(65_793i64 * 255 * -128) as f32], "{kernel:?}");
        }
    }
}
