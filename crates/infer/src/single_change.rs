//! Effects of many changes of one weight each, on the path that each change reaches.
//!
//! A campaign of single faults asks for millions of networks that differ from the clean one in one weight. Four facts make
//! such a network cheap, image by image, and all are exact:
//!
//! 1. One weight writes one output channel of its layer. Its new sums are the clean ones plus `(new - old) * x`, a product for
//!    each pixel. All values of the weight share the levels `x` that it meets. If every sum rounds to its old level, the
//!    image has its clean logits.
//! 2. Everything later is a function of the levels of that one channel. Changes that lead to the same levels have the same
//!    outcome, so the outcomes of a channel are remembered by the levels that caused them.
//! 3. A later convolution at a reached pixel adds to its clean sums the products of the inputs that differ, and subtracts
//!    those of the old ones, two or four neighbouring channels at a time. If many differ, it is computed as in a full pass.
//! 4. If a step writes its clean levels everywhere and no later step reads another difference, the rest is clean.
//!
//! Images are the outer loop: the clean levels and sums of one image stay in cache while all changes pass over it, and threads
//! share nothing. Memory is that of one image for each thread.

use std::collections::HashMap;

use graph::{Dims, WeightChange};
use rayon::prelude::*;

use crate::baseline::readers;
use crate::conv::{ChangesOf, Conv, Layers, Pixels};
use crate::frame::Frame;
use crate::kernel::{
    Bytes, Changes, Format, LANES, Loop, PairChange, PixelChange, QuadChange, SLACK, StepChange, Tap, Words,
};
use crate::network::{Inputs, Network, largest};
use crate::requantize::{Bounds, Element};
use crate::step::{Step, Target, Work};

/// Costs of a differing quad and of a differing pair relative to one of a full window: they are not multiplied for many windows at
/// once, and a quad is multiplied twice.
const QUAD_COST: f32 = 6.0;
const PAIR_COST: f32 = 2.0;

/// Cost of finding what differs in the window of a pixel, in the same unit.
const PIXEL_COST: f32 = 40.0;

/// A step that is computed at all pixels is taken to differ at all of them if more than half of every SAMPLED-th pixel do:
/// finding the others costs more than they save.
const SAMPLED: usize = 8;

/// Largest number of differing levels of a channel by which its outcome is remembered.
const REMEMBERED: usize = 64;

/// Number of images on which something differs from the clean network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Images with a logit that differs in any bit.
    pub logits: u32,
    /// Images with another top-1 class.
    pub top1: u32,
    /// Images whose top-1 class is the label.
    pub correct: u32,
}

impl Network {
    /// Computes the effect of each of several changes, each in a network that has no other change. `labels` are the classes of
    /// the images. Changes of one weight, and of one output channel of a tensor, share work if they follow each other.
    ///
    /// # Panics
    /// Panics if a change names a weight that does not exist, if there is not one label for each image, or if `inputs` were
    /// prepared for another image size.
    pub fn effects(&self, inputs: &Inputs<'_>, labels: &[u16], changes: &[WeightChange]) -> Vec<Effect> {
        self.check(inputs);
        assert_eq!(labels.len(), inputs.len(), "a label for each image");
        for change in changes {
            let (tensor, index) = (change.tensor, change.index);
            assert!(tensor < self.layers(), "{change:?} names a tensor outside 0..{}", self.layers());
            let weights = self.layer(tensor).shape().weights();
            assert!(index < weights, "{change:?} names a weight outside 0..{weights}");
        }
        let channel =
            |change: &WeightChange| (change.tensor, change.index / self.layer(change.tensor).shape().terms());
        let channels: Vec<&[WeightChange]> = changes.chunk_by(|a, b| channel(a) == channel(b)).collect();
        let none = || vec![Effect::default(); changes.len()];
        let images = (0..inputs.len()).into_par_iter();
        let parts = images.fold(
            || (None, none()),
            |(state, mut effects), image| {
                let mut state: OneImage<'_> = state.unwrap_or_else(|| OneImage::new(self));
                if let Some(first) = changes.iter().map(|change| self.compiled.layers[change.tensor]).min() {
                    state.load(inputs.pixels_of(image..image + 1), first);
                    let mut rest = effects.as_mut_slice();
                    for changes in &channels {
                        let (own, after) = rest.split_at_mut(changes.len());
                        state.channel(changes, labels[image], own);
                        rest = after;
                    }
                }
                (Some(state), effects)
            },
        );
        parts.map(|(_, effects)| effects).reduce(none, |mut sum, part| {
            for (sum, part) in sum.iter_mut().zip(part) {
                sum.logits += part.logits;
                sum.top1 += part.top1;
                sum.correct += part.correct;
            }
            sum
        })
    }
}

/// Result of one change on one image.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    logits: bool,
    class: u16,
}

/// One image with its clean levels and sums, and the levels of the current change, which equal the clean ones between changes.
struct OneImage<'a> {
    network: &'a Network,
    clean: Vec<Vec<u8>>,
    levels: Vec<Vec<u8>>,
    /// Clean sums of convolutions, for each pixel and panel.
    sums: Vec<Vec<[i32; LANES]>>,
    logits: Vec<f32>,
    class: u16,
    /// For each step, the pixels whose levels may differ.
    differs: Vec<Vec<u32>>,
    /// For each step, the last one that reads it.
    last_reader: Vec<usize>,
    /// For each step, the start of each pixel.
    starts: Vec<Vec<u32>>,
    quads: Changes<QuadChange>,
    pairs: Changes<PairChange>,
    buffers: Buffers,
}

/// Buffers that keep their memory between steps.
#[derive(Default)]
struct Buffers {
    marks: Vec<bool>,
    reached: Vec<u32>,
    /// For each input pixel, its entries in the list of differing steps.
    entries: Vec<(u32, u32)>,
    begins: Vec<u32>,
    pixels: Vec<u32>,
    sums: Vec<[i32; LANES]>,
}

impl<'a> OneImage<'a> {
    fn new(network: &'a Network) -> Self {
        let steps = &network.compiled.steps;
        let mut last_reader = vec![0; steps.len()];
        for (index, step) in steps.iter().enumerate() {
            step.inputs.iter().for_each(|input| last_reader[input.source] = index);
        }
        let bytes = |step: &Step| match step.target {
            Target::Slot(_) => vec![0; step.frame.len() + SLACK],
            Target::Logits => Vec::new(),
        };
        Self {
            network,
            clean: steps.iter().map(bytes).collect(),
            levels: steps.iter().map(bytes).collect(),
            sums: vec![Vec::new(); steps.len()],
            logits: vec![0.0; network.classes()],
            class: 0,
            differs: vec![Vec::new(); steps.len()],
            last_reader,
            starts: steps.iter().map(|step| starts(&step.frame)).collect(),
            quads: Changes::default(),
            pairs: Changes::default(),
            buffers: Buffers::default(),
        }
    }

    /// Runs the clean network on an image; keeps the sums of convolutions from step `first` on.
    fn load(&mut self, pixels: &[u8], first: usize) {
        let Self { network, clean, levels, sums, logits, .. } = self;
        network.run_batch(
            pixels,
            |step, _, image| clean[step][..image.len()].copy_from_slice(image),
            |found| logits.copy_from_slice(found),
        );
        for (levels, clean) in levels.iter_mut().zip(clean.iter()) {
            levels.copy_from_slice(clean);
        }
        for (index, step) in network.compiled.steps.iter().enumerate().skip(first) {
            if let Work::Conv(conv) = &step.work {
                sums[index] = conv.sums(network.kernel, &clean[step.inputs[0].source]);
            }
        }
        self.class = largest(&self.logits);
    }

    /// Adds the effects of changes in one output channel of a tensor.
    fn channel(&mut self, changes: &[WeightChange], label: u16, effects: &mut [Effect]) {
        let network = self.network;
        let tensor = changes[0].tensor;
        let index = network.compiled.layers[tensor];
        let step = &network.compiled.steps[index];
        let conv = network.layer(tensor);
        let channel = changes[0].index / conv.shape().terms();
        let (begins, pixels) = conv.windows(1);
        let panels = conv.panels();
        let sums =
            self.sums[index].chunks_exact(panels).map(|panels| panels[channel / LANES][channel % LANES]);
        let sums: Vec<i32> = sums.collect();
        let (multiplier, offset, bounds) = conv.requantization_of(channel);
        let from = step.inputs[0];
        let zero = i32::from(from.frame.zero);
        let old: Vec<u8> = match step.target {
            Target::Slot(_) => pixels.iter().map(|&at| self.clean[index][at as usize + channel]).collect(),
            Target::Logits => Vec::new(),
        };

        let mut met = vec![0; sums.len()];
        let mut known: HashMap<Vec<u8>, Outcome> = HashMap::new();
        let mut new = vec![0; old.len()];
        let mut key = Vec::new();
        let clean = Outcome { logits: false, class: self.class };
        let mut rest = effects;
        for changes in changes.chunk_by(|a, b| a.index == b.index) {
            let (own, after) = rest.split_at_mut(changes.len());
            rest = after;
            let (_, place) = conv.input_of(changes[0].index);
            let input = &self.clean[from.source];
            for (met, &begin) in met.iter_mut().zip(begins) {
                *met = i32::from(input[(begin + place) as usize]) - zero;
            }
            let weight = i32::from(conv.weight(changes[0].index));
            let dead = met.iter().all(|&met| met == 0);
            for (change, effect) in changes.iter().zip(own) {
                let by = i32::from(change.value) - weight;
                let outcome = if dead || by == 0 {
                    clean
                } else if step.target == Target::Logits {
                    let sums = sums.iter().zip(&met).map(|(sum, met)| sum + by * met);
                    let values = sums.map(|sum| bounds.finish::<f32>(sum as f32 * multiplier + offset));
                    self.outcome_of_logits(pixels, channel, values)
                } else {
                    let plane =
                        Plane { sums: &sums, met: &met, by, multiplier, offset, bounds, new: &mut new };
                    network.kernel.vectorize(plane);
                    key.clear();
                    let differing = new.iter().zip(&old).filter(|(new, old)| new != old).count();
                    if differing == 0 {
                        clean
                    } else if differing > REMEMBERED {
                        self.outcome(index, channel, pixels, &new)
                    } else {
                        for (at, (new, old)) in new.iter().zip(&old).enumerate() {
                            if new != old {
                                key.extend_from_slice(&(at as u32).to_le_bytes());
                                key.push(*new);
                            }
                        }
                        match known.get(&key) {
                            Some(outcome) => *outcome,
                            None => {
                                let outcome = self.outcome(index, channel, pixels, &new);
                                known.insert(key.clone(), outcome);
                                outcome
                            }
                        }
                    }
                };
                effect.logits += u32::from(outcome.logits);
                effect.top1 += u32::from(outcome.class != self.class);
                effect.correct += u32::from(outcome.class == label);
            }
        }
    }

    /// Outcome of new values of one channel of the last step.
    fn outcome_of_logits(
        &self,
        pixels: &[u32],
        channel: usize,
        values: impl Iterator<Item = f32>,
    ) -> Outcome {
        let mut logits = self.logits.clone();
        for (&at, value) in pixels.iter().zip(values) {
            logits[at as usize + channel] = value;
        }
        self.compared(&logits)
    }

    fn compared(&self, logits: &[f32]) -> Outcome {
        let differ = logits.iter().zip(&self.logits).any(|(a, b)| a.to_bits() != b.to_bits());
        Outcome { logits: differ, class: largest(logits) }
    }

    /// Outcome of new levels of one channel of a step.
    fn outcome(&mut self, step: usize, channel: usize, pixels: &[u32], new: &[u8]) -> Outcome {
        let steps = &self.network.compiled.steps;
        for (at, (&place, &new)) in pixels.iter().zip(new).enumerate() {
            let place = place as usize + channel;
            if self.clean[step][place] != new {
                self.levels[step][place] = new;
                self.differs[step].push(at as u32);
            }
        }
        let mut outcome = Outcome { logits: false, class: self.class };
        let mut open = self.last_reader[step];
        let mut last = step;
        for (index, later) in steps.iter().enumerate().skip(step + 1) {
            if index > open {
                break;
            }
            if later.inputs.iter().all(|input| self.differs[input.source].is_empty()) {
                continue;
            }
            if later.target == Target::Logits {
                outcome = self.last_step(index);
                break;
            }
            self.step(index);
            if !self.differs[index].is_empty() {
                open = open.max(self.last_reader[index]);
                last = index;
            }
        }
        for (index, Step { frame, .. }) in steps.iter().enumerate().take(last + 1).skip(step) {
            let (differs, starts) = (&mut self.differs[index], &self.starts[index]);
            if differs.len() == starts.len() {
                self.levels[index].copy_from_slice(&self.clean[index]);
                differs.clear();
            }
            let channels = frame.dims.channels;
            for at in differs.drain(..) {
                let place = starts[at as usize] as usize..starts[at as usize] as usize + channels;
                self.levels[index][place.clone()].copy_from_slice(&self.clean[index][place]);
            }
        }
        outcome
    }

    /// Computes the last step.
    fn last_step(&self, index: usize) -> Outcome {
        let step = &self.network.compiled.steps[index];
        let mut logits = self.logits.clone();
        match &step.work {
            Work::Conv(conv) => {
                let input = &self.levels[step.inputs[0].source];
                conv.run(self.network.kernel, 0..conv.panels(), input, Pixels::Of(1), &mut logits);
            }
            _ => {
                let all: Vec<u32> = (0..step.frame.dims.pixels() as u32).collect();
                let pixels = SomePixels { step, levels: &self.levels, pixels: &all, output: &mut logits };
                self.network.kernel.vectorize(pixels);
            }
        }
        self.compared(&logits)
    }

    /// Computes a step at the pixels that differences of its inputs reach, and lists the pixels that differ.
    fn step(&mut self, index: usize) {
        let network = self.network;
        let step = &network.compiled.steps[index];
        self.reach(step);
        let mut output = std::mem::take(&mut self.levels[index]);
        match &step.work {
            Work::Conv(conv) => self.convolution(index, conv, &mut output),
            _ => {
                let Self { levels, buffers: Buffers { reached, .. }, .. } = self;
                network.kernel.vectorize(SomePixels { step, levels, pixels: reached, output: &mut output });
            }
        }
        let (clean, starts) = (&self.clean[index], &self.starts[index]);
        let channels = step.frame.dims.channels;
        let differs = |&at: &u32| {
            let place = starts[at as usize] as usize;
            !equal(&output[place..place + channels], &clean[place..place + channels])
        };
        let reached = &self.buffers.reached;
        let sampled = || reached.iter().step_by(SAMPLED);
        let all = reached.len() == starts.len()
            && 2 * sampled().filter(|at| differs(at)).count() > sampled().count();
        self.differs[index].extend(reached.iter().copied().filter(|at| all || differs(at)));
        self.levels[index] = output;
    }

    /// Lists the output pixels of a step whose windows contain a differing input pixel.
    fn reach(&mut self, step: &Step) {
        let to = step.frame.dims;
        let Self { differs, buffers: Buffers { marks, reached, .. }, .. } = self;
        reached.clear();
        let operands =
            || step.inputs.iter().enumerate().filter(|(_, input)| !differs[input.source].is_empty());
        // Each of these pixels is seldom outside all windows, and is then computed and found clean.
        if operands().any(|(_, operand)| 4 * differs[operand.source].len() >= operand.frame.dims.pixels()) {
            reached.extend(0..to.pixels() as u32);
            return;
        }
        marks.clear();
        marks.resize(to.pixels(), false);
        for (i, operand) in operands() {
            let (window, from) = (step.window(i), operand.frame.dims);
            for &at in &differs[operand.source] {
                let (row, column) = (at as usize / from.width, at as usize % from.width);
                let columns = readers(column, &window, 1, to.width);
                for row in readers(row, &window, 0, to.height) {
                    marks[row * to.width..][columns.clone()].fill(true);
                }
            }
        }
        reached.extend((0..).zip(marks.iter()).filter(|(_, mark)| **mark).map(|(at, _)| at));
    }

    /// Computes the reached pixels of a convolution.
    fn convolution(&mut self, index: usize, conv: &Conv, output: &mut [u8]) {
        let network = self.network;
        let operand = network.compiled.steps[index].inputs[0];
        let (begins, pixels) = conv.windows(1);
        let Self { quads, pairs, clean, levels, differs, starts, sums, buffers, .. } = &mut *self;
        let Buffers { reached, entries, pixels: at, sums: buffer, .. } = buffers;
        let input = Differing {
            new: &levels[operand.source],
            old: &clean[operand.source],
            pixels: &differs[operand.source],
            starts: &starts[operand.source],
            dims: operand.frame.dims,
        };
        let changes = match conv.step_of_changes() {
            Some(Bytes::STEP) => {
                input.list(conv, reached, QUAD_COST, entries, quads).then_some(ChangesOf::Quads(quads))
            }
            Some(Words::STEP) => {
                input.list(conv, reached, PAIR_COST, entries, pairs).then_some(ChangesOf::Pairs(pairs))
            }
            _ => None,
        };
        if let Some(changes) = changes {
            at.clear();
            at.extend(reached.iter().map(|&pixel| pixels[pixel as usize]));
            conv.run_changes(network.kernel, changes, &sums[index], at, buffer, output);
            return;
        }
        let Self { levels, buffers: Buffers { reached, begins: own_begins, pixels: own_pixels, .. }, .. } =
            self;
        let input = &levels[operand.source];
        if reached.len() as f32 >= conv.cost_of_whole() * begins.len() as f32 {
            conv.run(network.kernel, 0..conv.panels(), input, Pixels::Of(1), output);
            return;
        }
        own_begins.clear();
        own_begins.extend(reached.iter().map(|&at| begins[at as usize]));
        own_pixels.clear();
        own_pixels.extend(reached.iter().map(|&at| pixels[at as usize]));
        let some = Pixels::Some { begins: own_begins, pixels: own_pixels };
        conv.run(network.kernel, 0..conv.panels(), input, some, output);
    }
}

/// An input of a convolution that differs from the clean one at some pixels.
struct Differing<'a> {
    new: &'a [u8],
    old: &'a [u8],
    pixels: &'a [u32],
    /// The start of each pixel.
    starts: &'a [u32],
    dims: Dims,
}

impl Differing<'_> {
    /// Returns the new and the old bytes of a pixel.
    fn pixel(&self, at: u32) -> [&[u8]; 2] {
        let start = self.starts[at as usize] as usize;
        [self.new, self.old].map(|levels| &levels[start..start + self.dims.channels])
    }

    /// Lists the differing steps of each reached window; returns false if a full computation is cheaper. `cost` is that of a
    /// differing step relative to a step of a full computation of some pixels; `entries` is a buffer.
    fn list<C: StepChange<STEP>, const STEP: usize>(
        &self,
        conv: &Conv,
        reached: &[u32],
        cost: f32,
        entries: &mut Vec<(u32, u32)>,
        changes: &mut Changes<C>,
    ) -> bool {
        let [across, down] = conv.shape().stride;
        let steps = self.dims.channels / STEP;
        let whole = conv.cost_of_whole() * conv.shape().output.pixels() as f32;
        let full = (reached.len() as f32).min(whole);
        // Each differing step is in one window for each position of the kernel, or, with a stride, in fewer.
        let panels = conv.panels();
        let positions = conv.positions();
        let taps = positions.taps;
        let pixels = PIXEL_COST * reached.len() as f32 / (taps * panels) as f32;
        let most = (across * down) as f32 * (full * steps as f32 - pixels) / cost;
        let sampled = self.pixels.iter().step_by(SAMPLED);
        let differing = |&at: &u32| {
            let [new, old] = self.pixel(at).map(|pixel| pixel.as_chunks::<STEP>().0);
            new.iter().zip(old).filter(|(new, old)| new != old).count()
        };
        let differing: usize = sampled.clone().map(differing).sum();
        if differing as f32 * self.pixels.len() as f32 > most * sampled.len() as f32 {
            return false;
        }
        let room = self.pixels.len() * steps;
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
        for &at in self.pixels {
            let first = end;
            let [new, old] = self.pixel(at);
            for (eight, (new, old)) in (0..).zip(new.chunks(8).zip(old.chunks(8))) {
                if equal(new, old) {
                    continue;
                }
                let both = new.as_chunks::<STEP>().0.iter().zip(old.as_chunks::<STEP>().0);
                for (step, (new, old)) in (eight * (8 / STEP as u32)..).zip(both) {
                    changes.steps[end] = C::new(step, *old, *new);
                    end += usize::from(new != old);
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
        true
    }
}

/// Returns the start of each pixel of an image.
fn starts(frame: &Frame) -> Vec<u32> {
    let Dims { height, width, .. } = frame.dims;
    let pixels = (0..height).flat_map(|row| (0..width).map(move |column| frame.pixel(row, column) as u32));
    pixels.collect()
}

/// Returns true if two pixels are equal; short ones are compared without a call.
#[inline(always)]
fn equal(a: &[u8], b: &[u8]) -> bool {
    let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let differ =
        a.iter().zip(b).fold(0, |differ, (a, b)| differ | (u64::from_ne_bytes(*a) ^ u64::from_ne_bytes(*b)));
    differ == 0 && rest_a == rest_b
}

/// New levels of a channel after a change of one of its weights.
struct Plane<'a> {
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

impl Loop for Plane<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { sums, met, by, multiplier, offset, bounds, new } = self;
        for ((new, sum), met) in new.iter_mut().zip(sums).zip(met) {
            *new = bounds.finish((sum + by * met) as f32 * multiplier + offset);
        }
    }
}

/// Some pixels of a step that is neither the input nor a convolution.
struct SomePixels<'a, E> {
    step: &'a Step,
    levels: &'a [Vec<u8>],
    pixels: &'a [u32],
    output: &'a mut [E],
}

impl<E: Element> Loop for SomePixels<'_, E> {
    #[inline(always)]
    fn run(self) {
        let Step { work, frame, inputs, .. } = self.step;
        let input = |i: usize| {
            let operand = &inputs[i];
            (&self.levels[operand.source][..operand.frame.len()], operand.frame)
        };
        let Dims { channels, width, .. } = frame.dims;
        let neighbours = |a: &u32, b: &u32| *b == a + 1 && !(*b as usize).is_multiple_of(width);
        for pixels in self.pixels.chunk_by(neighbours) {
            let (row, column) = (pixels[0] as usize / width, pixels[0] as usize % width);
            let out = &mut self.output[frame.pixel(row, column)..][..pixels.len() * channels];
            work.run_pixels(input, frame, row, column..column + pixels.len(), out);
        }
    }
}
