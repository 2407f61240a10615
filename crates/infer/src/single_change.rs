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

use graph::WeightChange;
use rayon::prelude::*;

use crate::batch::Batch;
use crate::conv::{Layers, Pixels};
use crate::differences::{Differences, Plane, SomePixels, gather, meet};
use crate::network::{Inputs, Network, largest};
use crate::step::{Target, Work};

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
        changes.iter().for_each(|&change| self.check_change(change));
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

/// One image with its clean levels and sums, and the differences of the current change, of which there are none between changes.
struct OneImage<'a> {
    network: &'a Network,
    batch: Batch,
    differences: Differences,
    logits: Vec<f32>,
    class: u16,
    /// For each step, the last one that reads it.
    last_reader: Vec<usize>,
}

impl<'a> OneImage<'a> {
    fn new(network: &'a Network) -> Self {
        let steps = &network.compiled.steps;
        let mut last_reader = vec![0; steps.len()];
        for (index, step) in steps.iter().enumerate() {
            step.inputs.iter().for_each(|input| last_reader[input.source] = index);
        }
        Self {
            network,
            batch: Batch::default(),
            differences: Differences::new(steps.len()),
            logits: vec![0.0; network.classes()],
            class: 0,
            last_reader,
        }
    }

    /// Runs the clean network on an image; keeps the sums of convolutions from step `first` on.
    fn load(&mut self, pixels: &[u8], first: usize) {
        let Self { network, batch, logits, .. } = self;
        batch.fill(network, pixels, |found| logits.copy_from_slice(found));
        for (index, step) in network.compiled.steps.iter().enumerate().skip(first) {
            if let Work::Conv(_) = &step.work {
                batch.fill_sums(network, index, 1);
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
        let (multiplier, offset, bounds) = conv.requantization_of(channel);
        let from = step.inputs[0];
        let levels = &self.batch.levels;
        let old: Vec<u8> = match step.target {
            Target::Slot(_) => pixels.iter().map(|&at| levels[index][at as usize + channel]).collect(),
            Target::Logits => Vec::new(),
        };

        let (mut sums, mut met) = (Vec::new(), Vec::new());
        gather(&self.batch.sums[index], conv.panels(), channel, &mut sums);
        let mut known: HashMap<Vec<u8>, Outcome> = HashMap::new();
        let mut new = vec![0; old.len()];
        let mut key = Vec::new();
        let clean = Outcome { logits: false, class: self.class };
        let mut rest = effects;
        for changes in changes.chunk_by(|a, b| a.index == b.index) {
            let (own, after) = rest.split_at_mut(changes.len());
            rest = after;
            let (_, place) = conv.input_of(changes[0].index);
            let dead = !meet(&self.batch.levels[from.source], begins, place, from.frame.zero, &mut met);
            let weight = i32::from(conv.weight(changes[0].index));
            for (change, effect) in changes.iter().zip(own) {
                let by = i32::from(change.value) - weight;
                let outcome = if dead || by == 0 {
                    clean
                } else if step.target == Target::Logits {
                    let sums = sums.iter().zip(&met).map(|(sum, met)| sum + by * met);
                    let values = sums.map(|sum| bounds.finish::<f32>(sum as f32 * multiplier + offset));
                    self.outcome_of_logits(pixels, channel, values)
                } else {
                    network.kernel.vectorize(Plane::new(conv, channel, &sums, &met, by, &mut new));
                    key.clear();
                    let differing = new.iter().zip(&old).filter(|(new, old)| new != old).count();
                    if differing == 0 {
                        clean
                    } else if differing > REMEMBERED {
                        self.outcome(index, channel, &new)
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
                                let outcome = self.outcome(index, channel, &new);
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
    fn outcome(&mut self, first: usize, channel: usize, new: &[u8]) -> Outcome {
        let network = self.network;
        let steps = &network.compiled.steps;
        self.differences.record_channels(&steps[first], &mut self.batch, first, 0, &[channel], new);
        let mut outcome = Outcome { logits: false, class: self.class };
        let mut open = self.last_reader[first];
        let mut last = first;
        for (index, later) in steps.iter().enumerate().skip(first + 1) {
            if index > open {
                break;
            }
            if later.inputs.iter().all(|input| self.differences.count(input.source, 0) == 0) {
                continue;
            }
            if later.target == Target::Logits {
                outcome = self.last_step(index);
                break;
            }
            self.differences.plan(network, &self.batch, index, 0..1);
            if self.differences.run(network, &mut self.batch, index) {
                open = open.max(self.last_reader[index]);
                last = index;
            }
        }
        self.differences.restore(network, &mut self.batch, first..last + 1);
        outcome
    }

    /// Computes the last step.
    fn last_step(&self, index: usize) -> Outcome {
        let step = &self.network.compiled.steps[index];
        let mut logits = self.logits.clone();
        match &step.work {
            Work::Conv(conv) => {
                let input = &self.batch.levels[step.inputs[0].source];
                conv.run(self.network.kernel, 0..conv.panels(), input, Pixels::Of(1), &mut logits);
            }
            _ => {
                let all: Vec<u32> = (0..step.frame.dims.pixels() as u32).collect();
                let pixels =
                    SomePixels { step, batch: &self.batch, image: 0, pixels: &all, output: &mut logits };
                self.network.kernel.vectorize(pixels);
            }
        }
        self.compared(&logits)
    }
}
