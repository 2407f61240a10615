//! Running a compiled network.
//!
//! Images are cut into batches; threads take whole batches, and a batch goes through the segments one after
//! the other, tile by tile in each. A batch touches nothing shared but the network itself, and an image's
//! result does not depend on what else is in its batch: this is why threads and batches cannot change a
//! prediction.

use std::collections::BTreeMap;
use std::sync::Mutex;

use quant::Checkpoint;
use rayon::prelude::*;
use zoo::Graph;

use crate::InferError;
use crate::compile::{Compiled, Slot, compile};
use crate::dims::{Dims, Frame};
use crate::kernel::Kernel;
use crate::requantize::Element;
use crate::step::{Operand, Step, Target, Work};

/// Name of the rules in this crate's documentation. Records carry it; it changes when any prediction may.
pub const EVALUATOR: &str = "int8-1";

/// A stored weight that holds another value than the checkpoint's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WeightChange {
    /// Position of the tensor in memory order ([`zoo::Graph::stored_weights`]).
    pub tensor: usize,
    /// Row-major index in the tensor.
    pub index: usize,
    /// The new value; faults can make it -128.
    pub value: i8,
}

/// Images that were checked to fit a network: u8 pixels, image by image in [channels, height, width].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs {
    image: usize,
    pixels: Vec<u8>,
}

impl Inputs {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.pixels.len() / self.image
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.pixels.is_empty()
    }
}

/// A compiled int8 network; see the crate's documentation for what it computes.
///
/// Each method runs on the current rayon pool, and its results depend on nothing but its arguments. Where a
/// method takes changes, the network holds them while it runs and is as before when it returns.
#[derive(Debug)]
pub struct Network {
    compiled: Compiled,
    kernel: Kernel,
    /// Arenas at rest. A thread takes one for a batch of images and puts it back, so there are as many as
    /// threads have ever run at once, and nothing is allocated once each has its own.
    arenas: Mutex<Vec<Arena>>,
}

/// Buffers for one batch.
#[derive(Debug)]
struct Arena {
    slots: Vec<Vec<u8>>,
    logits: Vec<f32>,
}

impl Network {
    /// Compiles a graph with the weights, parameters and scales of a checkpoint.
    ///
    /// # Errors
    /// Weights that are not the graph's in name, order and shape; parameters or activation scales that
    /// are missing, misshaped, not finite or not positive; a running variance of -epsilon or less; a
    /// layer whose exact sum may leave i32.
    pub fn new(graph: &Graph, checkpoint: &Checkpoint) -> Result<Self, InferError> {
        let kernel = Kernel::fastest();
        Ok(Self { compiled: compile(graph, checkpoint, kernel)?, kernel, arenas: Mutex::new(Vec::new()) })
    }

    /// Number of classes, the length of one image's logits.
    pub fn classes(&self) -> usize {
        self.compiled.classes
    }

    /// Number of weights in each stored tensor, in memory order.
    pub fn weight_counts(&self) -> Vec<usize> {
        (0..self.compiled.layers.len()).map(|t| self.compiled.layer(t).shape().weights()).collect()
    }

    /// Takes images: u8 pixels, image by image, [channels, height, width] each.
    ///
    /// # Errors
    /// Pixels that are not a whole number of images.
    pub fn prepare(&self, pixels: &[u8]) -> Result<Inputs, InferError> {
        let image = self.compiled.input.len();
        if !pixels.len().is_multiple_of(image) {
            return Err(InferError::PixelCount { found: pixels.len(), image });
        }
        Ok(Inputs { image, pixels: pixels.to_vec() })
    }

    /// The class of each image with some weights changed: the index of its largest logit, the lowest one
    /// on ties. Of several changes to one weight the last counts.
    ///
    /// # Panics
    /// When a change names a weight that does not exist, or `inputs` were prepared for another image size.
    pub fn predict(&mut self, inputs: &Inputs, changes: &[WeightChange]) -> Vec<u16> {
        self.changed(changes, |network| network.predict_clean(inputs))
    }

    /// The class of each image with the checkpoint's weights.
    ///
    /// # Panics
    /// When `inputs` were prepared for another image size.
    pub fn predict_clean(&self, inputs: &Inputs) -> Vec<u16> {
        self.check(inputs);
        let mut classes = vec![0; inputs.len()];
        let batch = self.batch(inputs);
        let batches = classes.par_chunks_mut(batch).zip(inputs.pixels.par_chunks(batch * inputs.image));
        batches.for_each(|(classes, pixels)| {
            self.run_batch(
                pixels,
                |_, _, _| {},
                |logits| {
                    let logits = logits.chunks_exact(self.compiled.classes);
                    classes.iter_mut().zip(logits).for_each(|(class, logits)| *class = largest(logits));
                },
            );
        });
        classes
    }

    /// The logits, image by image, [`Network::classes`] each.
    ///
    /// # Panics
    /// As [`Network::predict`].
    pub fn logits(&mut self, inputs: &Inputs, changes: &[WeightChange]) -> Vec<f32> {
        self.check(inputs);
        let mut all = vec![0.0; inputs.len() * self.compiled.classes];
        let batch = self.batch(inputs);
        self.changed(changes, |network| {
            let logits = all.par_chunks_mut(batch * network.compiled.classes);
            logits.zip(inputs.pixels.par_chunks(batch * inputs.image)).for_each(|(out, pixels)| {
                network.run_batch(pixels, |_, _, _| {}, |logits| out.copy_from_slice(logits));
            });
        });
        all
    }

    /// The levels that every node stores, by node name: image by image, [channels, height, width] each.
    /// For inspection; runs on one thread. Nodes fused into a later one store nothing.
    ///
    /// # Panics
    /// As [`Network::predict`].
    pub fn levels(&mut self, inputs: &Inputs, changes: &[WeightChange]) -> BTreeMap<String, Vec<i16>> {
        self.check(inputs);
        let mut all: BTreeMap<String, Vec<i16>> = BTreeMap::new();
        let mut collect = |name: &str, frame: &Frame, images: &[u8]| {
            let out = all.entry(name.into()).or_default();
            for image in images.chunks_exact(frame.len()) {
                for channel in 0..frame.dims.channels {
                    for row in 0..frame.dims.height {
                        let bytes = image[frame.pixel(row, 0) + channel..].iter();
                        let bytes = bytes.step_by(frame.dims.channels).take(frame.dims.width);
                        out.extend(bytes.map(|&byte| i16::from(byte) - i16::from(frame.zero)));
                    }
                }
            }
        };
        self.changed(changes, |network| {
            for pixels in inputs.pixels.chunks(network.compiled.batch * inputs.image) {
                network.run_batch(pixels, &mut collect, |_| {});
            }
        });
        all
    }

    /// Images in a batch: as many as gain by it, and a batch for each thread.
    fn batch(&self, inputs: &Inputs) -> usize {
        inputs.len().div_ceil(rayon::current_num_threads()).clamp(1, self.compiled.batch)
    }

    fn check(&self, inputs: &Inputs) {
        assert_eq!(
            inputs.image,
            self.compiled.input.len(),
            "the inputs were prepared for another image size"
        );
    }

    /// What `run` makes of the network with some weights changed.
    fn changed<T>(&mut self, changes: &[WeightChange], run: impl FnOnce(&Self) -> T) -> T {
        let before = self.change(changes);
        let result = run(self);
        self.change(&before);
        result
    }

    /// Changes weights; returns the changes that undo it.
    fn change(&mut self, changes: &[WeightChange]) -> Vec<WeightChange> {
        let mut before: Vec<WeightChange> = changes
            .iter()
            .map(|&change| {
                let WeightChange { tensor, index, value } = change;
                let layers = self.compiled.layers.len();
                assert!(tensor < layers, "{change:?} names a tensor outside 0..{layers}");
                let conv = self.compiled.layer_mut(tensor);
                let weights = conv.shape().weights();
                assert!(index < weights, "{change:?} names a weight outside 0..{weights}");
                WeightChange { value: conv.set(index, value), ..change }
            })
            .collect();
        before.reverse();
        before
    }

    /// Runs all segments on up to a batch of images. `stored` sees each step's levels, `done` the logits.
    fn run_batch(
        &self,
        pixels: &[u8],
        mut stored: impl FnMut(&str, &Frame, &[u8]),
        done: impl FnOnce(&[f32]),
    ) {
        let compiled = &self.compiled;
        let images = pixels.len() / compiled.input.len();
        let resting = self.arenas.lock().expect("no thread panics while it holds the lock").pop();
        let mut arena = resting.unwrap_or_else(|| Arena {
            slots: compiled.slots.iter().map(|slot| vec![0; slot.bytes]).collect(),
            logits: vec![0.0; compiled.classes * compiled.batch],
        });
        let Arena { slots, logits } = &mut arena;
        for segment in &compiled.segments {
            for first in (0..images).step_by(segment.tile) {
                let tile = Tile { first, images: segment.tile.min(images - first) };
                for step in &compiled.steps[segment.steps.clone()] {
                    let run = StepRun { step, kernel: self.kernel, tile, slots: &compiled.slots };
                    match step.target {
                        Target::Slot(slot) => {
                            // The output leaves its place while the step reads the others; no step reads it.
                            let mut output = std::mem::take(&mut slots[slot]);
                            let images = &mut output[run.begin(slot, &step.frame)..];
                            let images = &mut images[..tile.images * step.frame.len()];
                            for image in images.chunks_exact_mut(step.frame.len()) {
                                step.frame.fill_border(image);
                            }
                            run.run(pixels, slots, images);
                            stored(&step.name, &step.frame, images);
                            slots[slot] = output;
                        }
                        Target::Logits => {
                            let len = step.frame.len();
                            run.run(pixels, slots, &mut logits[tile.first * len..][..tile.images * len]);
                        }
                    }
                }
            }
        }
        done(&logits[..images * compiled.classes]);
        self.arenas.lock().expect("no thread panics while it holds the lock").push(arena);
    }
}

/// Images of a batch that go through a segment together.
#[derive(Clone, Copy, Debug)]
struct Tile {
    first: usize,
    images: usize,
}

/// One step on one tile.
struct StepRun<'a> {
    step: &'a Step,
    kernel: Kernel,
    tile: Tile,
    slots: &'a [Slot],
}

impl StepRun<'_> {
    /// Where the tile's first image lies in a slot.
    fn begin(&self, slot: usize, frame: &Frame) -> usize {
        if self.slots[slot].carried { self.tile.first * frame.len() } else { 0 }
    }

    /// Writes the images of the step's output, all but their border.
    fn run<E: Element>(&self, pixels: &[u8], slots: &[Vec<u8>], output: &mut [E]) {
        let Step { work, inputs, frame, .. } = self.step;
        let Dims { channels, height, width } = frame.dims;
        let input = |i: usize| {
            let Operand { slot, frame } = inputs[i];
            (&slots[slot][self.begin(slot, &frame)..], frame)
        };
        match work {
            Work::Input(tables) => {
                let pixels = pixels[self.tile.first * frame.dims.len()..].chunks_exact(frame.dims.len());
                for (pixels, image) in pixels.zip(output.chunks_exact_mut(frame.len())) {
                    for (channel, plane) in pixels.chunks_exact(height * width).enumerate() {
                        let table = &tables[channel];
                        for (row, pixels) in plane.chunks_exact(width).enumerate() {
                            let levels = image[frame.pixel(row, 0) + channel..].iter_mut().step_by(channels);
                            for (level, &pixel) in levels.zip(pixels) {
                                *level = E::from_byte(table[usize::from(pixel)], frame.zero);
                            }
                        }
                    }
                }
            }
            Work::Conv(conv) => {
                let all = 0..conv.panels();
                conv.run(self.kernel, all, input(0).0, conv.windows(self.tile.images), output);
            }
            _ => {
                for (image, output) in output.chunks_exact_mut(frame.len()).enumerate() {
                    let input = |i: usize| {
                        let (images, frame) = input(i);
                        (&images[image * frame.len()..][..frame.len()], frame)
                    };
                    for row in 0..height {
                        let out = &mut output[frame.pixel(row, 0)..][..width * channels];
                        work.run_pixels(input, frame, row, 0..width, out);
                    }
                }
            }
        }
    }
}

fn largest(logits: &[f32]) -> u16 {
    let mut best = 0;
    for (class, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = class;
        }
    }
    u16::try_from(best).expect("compilation checked the number of classes")
}
