//! Levels that differ from the clean ones, and the steps that they reach.
//!
//! [`Differences`] runs steps image by image, and only at the pixels whose windows contain a differing pixel. New levels
//! overwrite the clean ones of a [`Batch`], and each pixel that differs is listed with its clean levels: a later step compares
//! both, and [`Differences::restore`] makes the batch clean again.
//!
//! A convolution whose clean sums are kept need not multiply whole windows. Let x be clean inputs, w clean weights, x' and w'
//! those of the trial:
//!
//! ```text
//! inputs differ:   sum' = sum + sum of (x' - x) * w     over the steps (two or four neighbouring channels) with x' != x
//! weights differ:  sum' = sum + (w' - w) * x            one product for each output pixel of one channel
//! ```
//!
//! All sums are exact integers, so the order does not matter and the result is that of the whole window. A flipped bit in the
//! last stage of ResNet-20 changes one channel of 64, and the next convolution multiplies 2 of 64 channels.
//!
//! For each image the cheapest way is chosen by an estimate before anything is computed: update kept sums, multiply the reached
//! windows, or compute the whole image as in a full pass, which may need a quarter of the products
//! ([`winograd`](crate::winograd)). The caller sees the estimate and may compute many images together instead.

use std::ops::Range;

use graph::{Dims, Window};

use crate::batch::Batch;
use crate::conv::{ChangesOf, Conv, Pixels};
use crate::frame::Frame;
use crate::kernel::{
    Bytes, Changes, Format, JOINED, Kernel, LANES, Loop, PairChange, PixelChange, QuadChange, StepChange,
    Tap, Words,
};
use crate::network::Network;
use crate::requantize::{Bounds, Element};
use crate::step::{Step, Work};

/// Costs of a differing quad and of a differing pair relative to one of a full window: they are not multiplied for many windows at
/// once, and a quad is multiplied twice.
const QUAD_COST: f32 = 6.0;
const PAIR_COST: f32 = 2.0;

/// Cost of finding what differs in the window of a pixel, in the same unit.
const PIXEL_COST: f32 = 40.0;

/// Cost of a window among some of an image, which is first copied, relative to one of all windows of an image.
const WINDOW_COST: f32 = 1.5;

/// A step that is computed at all pixels is taken to differ at all of them if more than half of every SAMPLED-th pixel do:
/// finding the others costs more than they save.
const SAMPLED: usize = 8;

/// A changed weight of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChangedWeight {
    /// Output channel.
    pub(crate) channel: usize,
    /// Offset of the weight's input from the start of a window.
    pub(crate) place: u32,
    /// New value minus clean value.
    pub(crate) by: i32,
}

/// Differences of a batch's levels from the clean ones.
#[derive(Debug)]
pub(crate) struct Differences {
    steps: Vec<Differing>,
    /// The images on which the next step is to run.
    plan: Vec<Planned>,
    buffers: Buffers,
}

/// The differing pixels of a step.
#[derive(Debug, Default)]
struct Differing {
    /// For each image up to the last that differs, its part of the lists.
    images: Vec<Range<usize>>,
    /// Ascending in an image.
    pixels: Vec<u32>,
    /// The clean levels of each of these pixels.
    clean: Vec<u8>,
}

/// A step on an image.
#[derive(Clone, Debug)]
struct Planned {
    image: usize,
    /// Its part of the list of reached pixels.
    reached: Range<usize>,
    way: Way,
}

/// The way in which reached pixels are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By the kept sums of a convolution.
    Sums,
    /// By their windows.
    Windows,
    /// Together with all other pixels of the image.
    Whole,
}

/// Buffers that keep their memory between steps.
#[derive(Debug, Default)]
struct Buffers {
    marks: Vec<bool>,
    /// Reached pixels of the planned images.
    reached: Vec<u32>,
    /// For each input pixel, its entries in the list of differing steps.
    entries: Vec<(u32, u32)>,
    quads: Changes<QuadChange>,
    pairs: Changes<PairChange>,
    begins: Vec<u32>,
    places: Vec<u32>,
    sums: Vec<[i32; LANES]>,
    /// New levels: of each reached pixel, or of a frame.
    output: Vec<u8>,
    channel: Channel,
}

/// Buffers for new levels of channels.
#[derive(Debug, Default)]
struct Channel {
    sums: Vec<i32>,
    met: Vec<i32>,
    new: Vec<u8>,
}

impl Differences {
    /// Without differences.
    pub(crate) fn new(steps: usize) -> Self {
        let mut all = Vec::new();
        all.resize_with(steps, Differing::default);
        Self { steps: all, plan: Vec::new(), buffers: Buffers::default() }
    }

    /// Number of pixels of a step on an image that are listed as differing.
    pub(crate) fn count(&self, step: usize, image: usize) -> usize {
        self.steps[step].of(image).len()
    }

    /// Plans a step without changed weights on some images, and returns its cost. The unit is a window of a convolution; other
    /// steps cost nothing.
    pub(crate) fn plan(
        &mut self,
        network: &Network,
        batch: &Batch,
        index: usize,
        images: Range<usize>,
    ) -> f32 {
        let step = &network.compiled.steps[index];
        self.plan.clear();
        self.buffers.reached.clear();
        let mut cost = 0.0;
        for image in images {
            let reached = self.reach(step, image);
            if reached.is_empty() {
                continue;
            }
            let (way, own) = match &step.work {
                Work::Conv(conv) => self.cheapest(network, conv, batch, index, image, reached.len()),
                _ => (Way::Windows, 0.0),
            };
            cost += own;
            self.plan.push(Planned { image, reached, way });
        }
        cost
    }

    /// Runs the planned step on the planned images, and lists the pixels that differ. Returns true if there are any.
    pub(crate) fn run(&mut self, network: &Network, batch: &mut Batch, index: usize) -> bool {
        let step = &network.compiled.steps[index];
        let plan = std::mem::take(&mut self.plan);
        let mut any = false;
        for planned in &plan {
            match &step.work {
                Work::Conv(conv) => self.convolution(network, conv, batch, index, planned),
                _ => {
                    let Buffers { reached, output, .. } = &mut self.buffers;
                    let pixels = &reached[planned.reached.clone()];
                    output.resize(pixels.len() * step.frame.dims.channels, 0);
                    network.kernel.vectorize(SomePixels {
                        step,
                        batch,
                        image: planned.image,
                        pixels,
                        output,
                    });
                }
            }
            self.record(step, batch, index, planned);
            any |= self.count(index, planned.image) > 0;
        }
        self.plan = plan;
        any
    }

    /// Runs a convolution with changed weights, which the network has, on an image. Its inputs may differ.
    pub(crate) fn run_changed(
        &mut self,
        network: &Network,
        batch: &mut Batch,
        index: usize,
        image: usize,
        weights: &[ChangedWeight],
    ) {
        let step = &network.compiled.steps[index];
        let Work::Conv(conv) = &step.work else { unreachable!("weights belong to convolutions") };
        self.buffers.reached.clear();
        let reached = self.reach(step, image);
        if reached.is_empty() && !batch.sums[index].is_empty() {
            self.add_to_channels(network.kernel, conv, (index, step), batch, image, weights);
            return;
        }
        let (begins, _) = conv.windows(1);
        let operand = step.inputs[0];
        let input = batch.image(operand.source, operand.frame.len(), image);
        let Buffers { marks, reached, begins: own_begins, places, output, .. } = &mut self.buffers;
        marks.clear();
        marks.resize(begins.len(), false);
        reached.iter().for_each(|&at| marks[at as usize] = true);

        // Each changed panel is also computed where the input level of one of its changed weights is not 0.
        let panel = |weight: &ChangedWeight| weight.channel / LANES;
        let meets = |weights: &[ChangedWeight], begin: u32| {
            weights.iter().any(|weight| input[(begin + weight.place) as usize] != operand.frame.zero)
        };
        reached.clear();
        let computed = marks.iter().zip(begins).map(|(mark, &begin)| *mark || meets(weights, begin));
        reached.extend((0..).zip(computed).filter(|(_, computed)| *computed).map(|(at, _)| at));

        let channels = step.frame.dims.channels;
        let clean = batch.image(index, step.frame.len(), image);
        output.clear();
        for &at in reached.iter() {
            output.extend_from_slice(&clean[step.starts[at as usize] as usize..][..channels]);
        }
        let mut run = |panels: Range<usize>, own: &dyn Fn(u32) -> bool| {
            let own: Vec<(u32, u32)> =
                (0..).zip(reached.iter().copied()).filter(|&(_, at)| own(at)).collect();
            own_begins.clear();
            own_begins.extend(own.iter().map(|&(_, at)| begins[at as usize]));
            places.clear();
            places.extend(own.iter().map(|&(i, _)| i * channels as u32));
            let some = Pixels::Some { begins: own_begins, pixels: places };
            conv.run(network.kernel, panels, input, some, output);
        };
        for panels in
            unchanged(conv.panels(), weights.chunk_by(|a, b| panel(a) == panel(b)).map(|w| panel(&w[0])))
        {
            run(panels, &|at| marks[at as usize]);
        }
        for weights in weights.chunk_by(|a, b| panel(a) == panel(b)) {
            let panel = panel(&weights[0]);
            run(panel..panel + 1, &|at| marks[at as usize] || meets(weights, begins[at as usize]));
        }
        let all = 0..reached.len();
        self.record(step, batch, index, &Planned { image, reached: all, way: Way::Windows });
    }

    /// Adds the products of changed weights to the kept sums of their channels, on an image whose inputs are clean.
    fn add_to_channels(
        &mut self,
        kernel: Kernel,
        conv: &Conv,
        (index, step): (usize, &Step),
        batch: &mut Batch,
        image: usize,
        weights: &[ChangedWeight],
    ) {
        let (begins, _) = conv.windows(1);
        let (pixels, panels) = (begins.len(), conv.panels());
        let operand = step.inputs[0];
        let input = batch.image(operand.source, operand.frame.len(), image);
        let known = &batch.sums[index][image * pixels * panels..][..pixels * panels];
        let Channel { sums, met, new } = &mut self.buffers.channel;
        let mut channels = Vec::new();
        new.clear();
        for weights in weights.chunk_by(|a, b| a.channel == b.channel) {
            let channel = weights[0].channel;
            let mut fresh = true;
            for weight in weights {
                if !meet(input, begins, weight.place, operand.frame.zero, met) || weight.by == 0 {
                    continue;
                }
                if std::mem::take(&mut fresh) {
                    gather(known, panels, channel, sums);
                    channels.push(channel);
                }
                sums.iter_mut().zip(met.iter()).for_each(|(sum, met)| *sum += weight.by * met);
            }
            if !fresh {
                let first = new.len();
                new.resize(first + pixels, 0);
                met.fill(0);
                kernel.vectorize(Plane::new(conv, channel, sums, met, 0, &mut new[first..]));
            }
        }
        let new = std::mem::take(new);
        self.record_channels(step, batch, index, image, &channels, &new);
        self.buffers.channel.new = new;
    }

    /// Sets new levels of some channels of an image, and lists the pixels that differ. `new` has all pixels of a channel, then
    /// those of the next one.
    pub(crate) fn record_channels(
        &mut self,
        step: &Step,
        batch: &mut Batch,
        index: usize,
        image: usize,
        channels: &[usize],
        new: &[u8],
    ) {
        if channels.is_empty() {
            return;
        }
        let (all, len) = (step.frame.dims.channels, step.frame.len());
        let levels = &mut batch.levels[index][image * len..][..len];
        let differing = &mut self.steps[index];
        let first = differing.pixels.len();
        let count = step.starts.len();
        for (at, &start) in step.starts.iter().enumerate() {
            let pixel = &mut levels[start as usize..][..all];
            let new = || channels.iter().zip(new[at..].iter().step_by(count));
            if new().any(|(&channel, &new)| pixel[channel] != new) {
                differing.pixels.push(at as u32);
                differing.clean.extend_from_slice(pixel);
                new().for_each(|(&channel, &new)| pixel[channel] = new);
            }
        }
        differing.end(image, first);
    }

    /// Restores the clean levels of some steps.
    pub(crate) fn restore(&mut self, network: &Network, batch: &mut Batch, steps: Range<usize>) {
        for index in steps {
            let Step { frame, starts, .. } = &network.compiled.steps[index];
            let Differing { images, pixels, clean } = &mut self.steps[index];
            for (image, range) in images.drain(..).enumerate() {
                let channels = frame.dims.channels;
                let clean = clean[range.start * channels..range.end * channels].chunks_exact(channels);
                for (&at, clean) in pixels[range].iter().zip(clean) {
                    let place = image * frame.len() + starts[at as usize] as usize;
                    batch.levels[index][place..place + channels].copy_from_slice(clean);
                }
            }
            pixels.clear();
            clean.clear();
        }
    }

    /// Lists the output pixels of a step on an image whose windows contain a differing pixel of an input, and returns their part
    /// of the list.
    fn reach(&mut self, step: &Step, image: usize) -> Range<usize> {
        let to = step.frame.dims;
        let Self { steps, buffers: Buffers { marks, reached, .. }, .. } = self;
        let first = reached.len();
        let operands = || {
            let all = step.inputs.iter().enumerate();
            all.map(|(i, input)| (i, input, steps[input.source].of(image)))
                .filter(|(_, _, at)| !at.is_empty())
        };
        if operands().next().is_none() {
            return first..first;
        }
        // Each of these pixels is seldom outside all windows, and is then computed and found clean.
        if operands().any(|(_, operand, at)| 4 * at.len() >= operand.frame.dims.pixels()) {
            reached.extend(0..to.pixels() as u32);
            return first..reached.len();
        }
        marks.clear();
        marks.resize(to.pixels(), false);
        for (i, operand, pixels) in operands() {
            let (window, from) = (step.window(i), operand.frame.dims);
            for &at in pixels {
                let (row, column) = (at as usize / from.width, at as usize % from.width);
                let columns = readers(column, &window, 1, to.width);
                for row in readers(row, &window, 0, to.height) {
                    marks[row * to.width..][columns.clone()].fill(true);
                }
            }
        }
        reached.extend((0..).zip(marks.iter()).filter(|(_, mark)| **mark).map(|(at, _)| at));
        first..reached.len()
    }

    /// Returns the cheapest way to compute `reached` pixels of a convolution, and its cost.
    fn cheapest(
        &self,
        network: &Network,
        conv: &Conv,
        batch: &Batch,
        index: usize,
        image: usize,
        reached: usize,
    ) -> (Way, f32) {
        let whole = conv.cost_of_whole() * conv.shape().output.pixels() as f32;
        let windows = reached as f32 * WINDOW_COST;
        let best = if windows < whole { (Way::Windows, windows) } else { (Way::Whole, whole) };
        let Some(size) = conv.step_of_changes().filter(|_| !batch.sums[index].is_empty()) else {
            return best;
        };
        let input = Input::new(&self.steps, network, batch, index, image);
        let (differing, cost) = match size {
            Bytes::STEP => (input.differing::<{ Bytes::STEP }>(), QUAD_COST),
            _ => (input.differing::<{ Words::STEP }>(), PAIR_COST),
        };
        let steps = (input.channels / size) as f32;
        let [across, down] = conv.shape().stride;
        // Each differing step is in one window for each position of the kernel, or, with a stride, in fewer.
        let products = cost * differing / (across * down) as f32;
        let windows = conv.positions().taps * conv.panels();
        let sums = (products + PIXEL_COST * reached as f32 / windows as f32) / steps;
        if sums <= best.1 { (Way::Sums, sums) } else { best }
    }

    /// Computes new levels of a convolution's reached pixels.
    fn convolution(
        &mut self,
        network: &Network,
        conv: &Conv,
        batch: &Batch,
        index: usize,
        Planned { image, reached, way }: &Planned,
    ) {
        let kernel = network.kernel;
        let step = &network.compiled.steps[index];
        let operand = step.inputs[0];
        let Self { steps, buffers, .. } = self;
        let Buffers { reached: all, entries, quads, pairs, begins, places, sums, output, .. } = buffers;
        let reached = &all[reached.clone()];
        let input = batch.image(operand.source, operand.frame.len(), *image);
        if *way == Way::Whole {
            output.resize(step.frame.len(), 0);
            conv.run(kernel, 0..conv.panels(), input, Pixels::Of(1), output);
            return;
        }
        let channels = step.frame.dims.channels;
        output.resize(reached.len() * channels, 0);
        places.clear();
        places.extend((0..reached.len()).map(|i| (i * channels) as u32));
        if *way == Way::Sums {
            let input = Input::new(steps, network, batch, index, *image);
            let changes = match conv.step_of_changes() {
                Some(Bytes::STEP) => {
                    input.list(conv, reached, entries, quads);
                    ChangesOf::Quads(quads)
                }
                _ => {
                    input.list(conv, reached, entries, pairs);
                    ChangesOf::Pairs(pairs)
                }
            };
            let of_image = conv.shape().output.pixels() * conv.panels();
            let known = &batch.sums[index][image * of_image..][..of_image];
            conv.run_changes(kernel, changes, known, places, sums, output);
            return;
        }
        let (all_begins, _) = conv.windows(1);
        begins.clear();
        begins.extend(reached.iter().map(|&at| all_begins[at as usize]));
        let some = Pixels::Some { begins, pixels: places };
        conv.run(kernel, 0..conv.panels(), input, some, output);
    }

    /// Compares new levels of reached pixels with the clean ones, overwrites those, and lists the pixels that differ.
    fn record(&mut self, step: &Step, batch: &mut Batch, index: usize, planned: &Planned) {
        let Planned { image, reached, way } = planned;
        let Self { steps, buffers: Buffers { reached: all, output, .. }, .. } = self;
        let (channels, len) = (step.frame.dims.channels, step.frame.len());
        let levels = &mut batch.levels[index][image * len..][..len];
        let reached = &all[reached.clone()];
        let place = |i: usize, start: usize| if *way == Way::Whole { start } else { i * channels };
        let differs = |levels: &[u8], i: usize| {
            let start = step.starts[reached[i] as usize] as usize;
            !equal(&output[place(i, start)..][..channels], &levels[start..][..channels])
        };
        let sampled = || (0..reached.len()).step_by(SAMPLED);
        let all = reached.len() == step.starts.len()
            && 2 * sampled().filter(|&i| differs(levels, i)).count() > sampled().count();
        let differing = &mut steps[index];
        let first = differing.pixels.len();
        for (i, &at) in reached.iter().enumerate() {
            if all || differs(levels, i) {
                let start = step.starts[at as usize] as usize;
                let pixel = &mut levels[start..][..channels];
                differing.pixels.push(at);
                differing.clean.extend_from_slice(pixel);
                pixel.copy_from_slice(&output[place(i, start)..][..channels]);
            }
        }
        differing.end(*image, first);
    }
}

impl Differing {
    /// Returns the differing pixels of an image.
    fn of(&self, image: usize) -> &[u32] {
        self.images.get(image).map_or(&[], |range| &self.pixels[range.clone()])
    }

    /// Ends the list of an image, which began at `first`.
    fn end(&mut self, image: usize, first: usize) {
        if first < self.pixels.len() {
            self.images.resize(self.images.len().max(image + 1), 0..0);
            self.images[image] = first..self.pixels.len();
        }
    }
}

/// The differing pixels of a convolution's input on an image.
struct Input<'a> {
    pixels: &'a [u32],
    /// Clean levels of these pixels.
    clean: &'a [u8],
    /// Levels of the image.
    levels: &'a [u8],
    /// The start of each pixel in `levels`.
    starts: &'a [u32],
    channels: usize,
    dims: Dims,
}

impl<'a> Input<'a> {
    /// The only input of step `index`.
    fn new(
        steps: &'a [Differing],
        network: &'a Network,
        batch: &'a Batch,
        index: usize,
        image: usize,
    ) -> Self {
        let operand = network.compiled.steps[index].inputs[0];
        let dims = operand.frame.dims;
        let differing = &steps[operand.source];
        let range = differing.images.get(image).cloned().unwrap_or(0..0);
        Self {
            pixels: &differing.pixels[range.clone()],
            clean: &differing.clean[range.start * dims.channels..range.end * dims.channels],
            levels: batch.image(operand.source, operand.frame.len(), image),
            starts: &network.compiled.steps[operand.source].starts,
            channels: dims.channels,
            dims,
        }
    }

    /// Returns the new and the clean levels of a pixel of the list.
    fn pixel(&self, i: usize) -> [&[u8]; 2] {
        let start = self.starts[self.pixels[i] as usize] as usize;
        [&self.levels[start..][..self.channels], &self.clean[i * self.channels..][..self.channels]]
    }

    /// Estimates the number of differing steps of `STEP` neighbouring channels.
    fn differing<const STEP: usize>(&self) -> f32 {
        let sampled = || (0..self.pixels.len()).step_by(SAMPLED);
        let differing = |i: usize| {
            let [new, clean] = self.pixel(i).map(|pixel| pixel.as_chunks::<STEP>().0);
            new.iter().zip(clean).filter(|(new, clean)| new != clean).count()
        };
        let found: usize = sampled().map(differing).sum();
        (found * self.pixels.len()) as f32 / sampled().count().max(1) as f32
    }

    /// Lists the differing steps of each reached window; `entries` is a buffer.
    fn list<C: StepChange<STEP>, const STEP: usize>(
        &self,
        conv: &Conv,
        reached: &[u32],
        entries: &mut Vec<(u32, u32)>,
        changes: &mut Changes<C>,
    ) {
        let positions = conv.positions();
        let (taps, panels) = (positions.taps, conv.panels());
        let room = self.pixels.len() * (self.channels / STEP) + JOINED;
        if changes.steps.len() < room {
            changes.steps.resize(room, C::new(0, [0; STEP], [0; STEP]));
        }
        let room = reached.len() * taps;
        if changes.taps.len() < room {
            changes.taps.resize(room, Tap { first: 0, changes: (0, 0) });
        }
        changes.pixels.clear();
        entries.clear();
        entries.resize(self.dims.pixels() + 1, (0, 0));
        // In both lists, what is equal is hard to predict, so it is written and then overwritten by the next entry.
        let mut end = 0;
        for (i, &at) in self.pixels.iter().enumerate() {
            let first = end;
            let [new, clean] = self.pixel(i);
            for (eight, (new, clean)) in (0..).zip(new.chunks(8).zip(clean.chunks(8))) {
                if equal(new, clean) {
                    continue;
                }
                let both = new.as_chunks::<STEP>().0.iter().zip(clean.as_chunks::<STEP>().0);
                for (step, (new, clean)) in (eight * (8 / STEP as u32)..).zip(both) {
                    changes.steps[end] = C::new(step, *clean, *new);
                    end += usize::from(new != clean);
                }
            }
            entries[at as usize] = (first as u32, end as u32);
        }
        let mut end = 0;
        for &at in reached {
            let first = end;
            for &(pixel, first) in &positions.of[at as usize * taps..][..taps] {
                let of_pixel = entries[pixel as usize];
                changes.taps[end] = Tap { first, changes: of_pixel };
                end += usize::from(of_pixel.0 < of_pixel.1);
            }
            changes.pixels.push(PixelChange { sums: at * panels as u32, taps: (first as u32, end as u32) });
        }
    }
}

/// True if adding the products of a changed weight to kept sums is cheaper than computing all channels of whole images, even if most
/// pixels then differ and are listed.
pub(crate) fn sums_pay(conv: &Conv) -> bool {
    let steps = (conv.shape().terms() * conv.panels()) as f32 / conv.step_of_changes().unwrap_or(1) as f32;
    conv.cost_of_whole() * steps > PIXEL_COST
}

/// Returns the outputs along an axis (of `outputs`) whose window contains or, if dilated, spans an input
/// position.
fn readers(place: usize, window: &Window, axis: usize, outputs: usize) -> Range<usize> {
    let (k, s, p) = (window.extent(axis), window.stride[axis], window.padding[axis]);
    let first = (place + p + 1).saturating_sub(k).div_ceil(s);
    let end = ((place + p) / s + 1).min(outputs);
    first.min(end)..end
}

/// Returns the ranges of panels between the changed ones, which must ascend.
fn unchanged(panels: usize, changed: impl Iterator<Item = usize>) -> impl Iterator<Item = Range<usize>> {
    let mut first = 0;
    let before = changed.chain([panels]).map(move |end| std::mem::replace(&mut first, end + 1)..end);
    before.filter(|range| !range.is_empty())
}

/// Returns true if two pixels are equal; short ones are compared without a call.
#[inline(always)]
fn equal(a: &[u8], b: &[u8]) -> bool {
    let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let differ =
        a.iter().zip(b).fold(0, |differ, (a, b)| differ | (u64::from_ne_bytes(*a) ^ u64::from_ne_bytes(*b)));
    differ == 0 && rest_a == rest_b
}

/// Writes the levels that a weight meets, one for each window. Returns false if all are 0. `place` is the offset of the
/// weight's input from the start of a window.
pub(crate) fn meet(input: &[u8], begins: &[u32], place: u32, zero: u8, met: &mut Vec<i32>) -> bool {
    met.clear();
    met.extend(begins.iter().map(|&begin| i32::from(input[(begin + place) as usize]) - i32::from(zero)));
    met.iter().any(|&met| met != 0)
}

/// Copies the sums of a channel, one for each pixel, from those of all panels.
pub(crate) fn gather(known: &[[i32; LANES]], panels: usize, channel: usize, sums: &mut Vec<i32>) {
    sums.clear();
    sums.extend(known[channel / LANES..].iter().step_by(panels).map(|lanes| lanes[channel % LANES]));
}

/// New levels of a channel after a change of one of its weights.
pub(crate) struct Plane<'a> {
    sums: &'a [i32],
    /// Levels that the weight meets.
    met: &'a [i32],
    /// Difference of the weight.
    by: i32,
    multiplier: f32,
    offset: f32,
    bounds: Bounds,
    new: &'a mut [u8],
}

impl<'a> Plane<'a> {
    pub(crate) fn new(
        conv: &Conv,
        channel: usize,
        sums: &'a [i32],
        met: &'a [i32],
        by: i32,
        new: &'a mut [u8],
    ) -> Self {
        let (multiplier, offset, bounds) = conv.requantization_of(channel);
        Self { sums, met, by, multiplier, offset, bounds, new }
    }
}

impl Loop for Plane<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { sums, met, by, multiplier, offset, bounds, new } = self;
        for ((new, sum), met) in new.iter_mut().zip(sums).zip(met) {
            *new = bounds.finish((sum + by * met) as f32 * multiplier + offset);
        }
    }
}

/// Some pixels of an image, in a step that is neither the input nor a convolution.
pub(crate) struct SomePixels<'a, E> {
    pub(crate) step: &'a Step,
    pub(crate) batch: &'a Batch,
    pub(crate) image: usize,
    /// Ascending.
    pub(crate) pixels: &'a [u32],
    /// The channels of each of these pixels.
    pub(crate) output: &'a mut [E],
}

impl<E: Element> Loop for SomePixels<'_, E> {
    #[inline(always)]
    fn run(self) {
        let Step { work, frame, inputs, .. } = self.step;
        let input = |i: usize| -> (&[u8], Frame) {
            let operand = &inputs[i];
            let len = operand.frame.len();
            (&self.batch.image(operand.source, len, self.image)[..len], operand.frame)
        };
        let Dims { channels, width, .. } = frame.dims;
        let neighbours = |a: &u32, b: &u32| *b == a + 1 && !(*b as usize).is_multiple_of(width);
        let mut output = self.output;
        for pixels in self.pixels.chunk_by(neighbours) {
            let (row, column) = (pixels[0] as usize / width, pixels[0] as usize % width);
            let (out, rest) = output.split_at_mut(pixels.len() * channels);
            output = rest;
            work.run_pixels(input, frame, row, column..column + pixels.len(), out);
        }
    }
}
