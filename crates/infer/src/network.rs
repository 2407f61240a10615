//! Running a compiled network.
//!
//! Images are cut into tiles of a few; threads take whole tiles, and a tile goes through the steps one
//! after the other, so that a layer's weights are read once for all its images and its activations stay
//! in cache. A tile touches nothing shared but the network itself, and an image's result does not depend
//! on its tile: this is why threads and batches cannot change a prediction.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use quant::Checkpoint;
use rayon::prelude::*;
use zoo::Graph;

use crate::InferError;
use crate::compile::{Compiled, compile};
use crate::dims::Dims;
use crate::kernel::{Kernel, PairWeights};
use crate::requantize::Element;
use crate::step::{Step, Target, Work};

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
/// Shared by reference between threads. Each method runs on the current rayon pool, and its results
/// depend on nothing but its arguments.
#[derive(Debug)]
pub struct Network {
    compiled: Compiled,
    kernel: Kernel,
    /// Arenas at rest. A thread takes one for a tile of images and puts it back, so there are as many as
    /// threads have ever run at once, and nothing is allocated once each has its own.
    arenas: Mutex<Vec<Arena>>,
}

/// Buffers for one tile.
#[derive(Debug)]
struct Arena {
    slots: Vec<Vec<i16>>,
    staging: Vec<i16>,
    logits: Vec<f32>,
}

impl Arena {
    fn new(compiled: &Compiled) -> Self {
        let tile = compiled.tile;
        let staging = |step: &Step| match &step.work {
            Work::Conv(conv) => conv.shape().staging(tile),
            _ => 0,
        };
        Self {
            slots: compiled.slots.iter().map(|len| vec![0; len * tile]).collect(),
            staging: vec![0; compiled.steps.iter().map(staging).max().unwrap_or(0)],
            logits: vec![0.0; compiled.classes * tile],
        }
    }
}

/// Changed panels by (step, panel): weights are copied a panel at a time, and only where they change.
type Patches = HashMap<(usize, usize), Vec<PairWeights>>;

impl Network {
    /// Compiles a graph with the weights, parameters and scales of a checkpoint.
    ///
    /// # Errors
    /// Weights that are not the graph's in name, order and shape; parameters or activation scales that
    /// are missing, misshaped, not finite or not positive; a running variance of -epsilon or less; a
    /// layer whose exact sum may leave i32.
    pub fn new(graph: &Graph, checkpoint: &Checkpoint) -> Result<Self, InferError> {
        Ok(Self {
            compiled: compile(graph, checkpoint)?,
            kernel: Kernel::fastest(),
            arenas: Mutex::new(Vec::new()),
        })
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
    pub fn predict(&self, inputs: &Inputs, changes: &[WeightChange]) -> Vec<u16> {
        let patches = self.patches(changes);
        let mut classes = vec![0u16; inputs.len()];
        classes.par_chunks_mut(self.compiled.tile).zip(self.tiles(inputs)).for_each(|(out, pixels)| {
            self.run_tile(
                pixels,
                &patches,
                |_, _, _| {},
                |logits| {
                    for (class, logits) in out.iter_mut().zip(logits.chunks_exact(self.compiled.classes)) {
                        *class = largest(logits);
                    }
                },
            );
        });
        classes
    }

    /// The class of each image with the checkpoint's weights.
    ///
    /// # Panics
    /// When `inputs` were prepared for another image size.
    pub fn predict_clean(&self, inputs: &Inputs) -> Vec<u16> {
        self.predict(inputs, &[])
    }

    /// The logits, image by image, [`Network::classes`] each.
    ///
    /// # Panics
    /// As [`Network::predict`].
    pub fn logits(&self, inputs: &Inputs, changes: &[WeightChange]) -> Vec<f32> {
        let patches = self.patches(changes);
        let mut all = vec![0.0; inputs.len() * self.compiled.classes];
        let tile = self.compiled.tile * self.compiled.classes;
        all.par_chunks_mut(tile).zip(self.tiles(inputs)).for_each(|(out, pixels)| {
            self.run_tile(pixels, &patches, |_, _, _| {}, |logits| out.copy_from_slice(logits));
        });
        all
    }

    /// The levels that every node stores, by node name: image by image, [channels, height, width] each.
    /// For inspection; runs on one thread. Nodes fused into a later one store nothing.
    ///
    /// # Panics
    /// As [`Network::predict`].
    pub fn levels(&self, inputs: &Inputs, changes: &[WeightChange]) -> BTreeMap<String, Vec<i16>> {
        let patches = self.patches(changes);
        self.check(inputs);
        let mut all: BTreeMap<String, Vec<i16>> = BTreeMap::new();
        for pixels in inputs.pixels.chunks(self.compiled.tile * inputs.image) {
            let collect = |name: &str, dims: Dims, levels: &[i16]| {
                let out = all.entry(name.into()).or_default();
                for image in levels.chunks_exact(dims.len()) {
                    for channel in 0..dims.channels {
                        out.extend(image[channel..].iter().step_by(dims.channels));
                    }
                }
            };
            self.run_tile(pixels, &patches, collect, |_| {});
        }
        all
    }

    /// The pixels of each tile.
    fn tiles<'a>(&self, inputs: &'a Inputs) -> rayon::slice::Chunks<'a, u8> {
        self.check(inputs);
        inputs.pixels.par_chunks(self.compiled.tile * inputs.image)
    }

    fn check(&self, inputs: &Inputs) {
        assert_eq!(
            inputs.image,
            self.compiled.input.len(),
            "the inputs were prepared for another image size"
        );
    }

    fn patches(&self, changes: &[WeightChange]) -> Patches {
        let mut patches = Patches::new();
        for change in changes {
            let layers = self.compiled.layers.len();
            assert!(change.tensor < layers, "{change:?} names a tensor outside 0..{layers}");
            let conv = self.compiled.layer(change.tensor);
            let weights = conv.shape().weights();
            assert!(change.index < weights, "{change:?} names a weight outside 0..{weights}");
            let panel = conv.panel_of(change.index);
            let copy = patches
                .entry((self.compiled.layers[change.tensor], panel))
                .or_insert_with(|| conv.panel_weights(panel).to_vec());
            conv.set(copy, change.index, change.value);
        }
        patches
    }

    /// Runs the steps on up to a tile of images. `stored` sees each step's levels, `done` the logits.
    fn run_tile(
        &self,
        pixels: &[u8],
        patches: &Patches,
        mut stored: impl FnMut(&str, Dims, &[i16]),
        done: impl FnOnce(&[f32]),
    ) {
        let compiled = &self.compiled;
        let images = pixels.len() / compiled.input.len();
        let resting = self.arenas.lock().expect("no thread panics while it holds the lock").pop();
        let mut arena = resting.unwrap_or_else(|| Arena::new(compiled));
        let Arena { slots, staging, logits } = &mut arena;
        for (index, step) in compiled.steps.iter().enumerate() {
            let run = StepRun { step, index, kernel: self.kernel, images, pixels, patches };
            match step.target {
                Target::Slot(slot) => {
                    // The output leaves its place while the step reads the others; no step reads it.
                    let mut output = std::mem::take(&mut slots[slot]);
                    let levels = &mut output[..images * step.dims.len()];
                    run.run(slots, staging, levels);
                    stored(&step.name, step.dims, levels);
                    slots[slot] = output;
                }
                Target::Logits => run.run(slots, staging, &mut logits[..images * step.dims.len()]),
            }
        }
        done(&logits[..images * compiled.classes]);
        self.arenas.lock().expect("no thread panics while it holds the lock").push(arena);
    }
}

/// One step on one tile.
struct StepRun<'a> {
    step: &'a Step,
    index: usize,
    kernel: Kernel,
    images: usize,
    pixels: &'a [u8],
    patches: &'a Patches,
}

impl StepRun<'_> {
    fn run<E: Element>(&self, slots: &[Vec<i16>], staging: &mut [i16], output: &mut [E]) {
        let Step { work, inputs, dims, .. } = self.step;
        match work {
            Work::Input(tables) => {
                let images = self.pixels.chunks_exact(dims.len()).zip(output.chunks_exact_mut(dims.len()));
                for (pixels, levels) in images {
                    for (channel, plane) in pixels.chunks_exact(dims.pixels()).enumerate() {
                        let table = &tables[channel];
                        let levels = levels[channel..].iter_mut().step_by(dims.channels);
                        for (level, &pixel) in levels.zip(plane) {
                            *level = E::from(table[usize::from(pixel)]);
                        }
                    }
                }
            }
            Work::Conv(conv) => {
                let (slot, from) = inputs[0];
                let input = &slots[slot][..self.images * from.len()];
                let changed = |panel| self.patches.get(&(self.index, panel)).map(Vec::as_slice);
                conv.run(self.kernel, self.images, input, changed, staging, output);
            }
            _ => {
                for (image, output) in output.chunks_exact_mut(dims.len()).enumerate() {
                    let input = |i: usize| {
                        let (slot, from) = inputs[i];
                        (&slots[slot][image * from.len()..][..from.len()], from)
                    };
                    work.run_image(input, *dims, output);
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
