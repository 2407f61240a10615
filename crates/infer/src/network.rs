//! Runs a compiled network.
//!
//! Images are divided into batches. Each thread takes whole batches; a batch passes through the segments one
//! after the other, tile by tile in each. Batches share only the network itself, and an image's result does
//! not depend on the other images of its batch. Therefore threads and batches cannot change a prediction.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;

use graph::{Dims, Graph, WeightChange};
use quant::Checkpoint;
use rayon::prelude::*;

use crate::InferError;
use crate::compile::{Compiled, Tile, compile};
use crate::conv::{Conv, Layers, Pixels};
use crate::frame::Frame;
use crate::kernel::{Kernel, Loop};
use crate::requantize::Element;
use crate::step::{Operand, Step, Target, Work};

/// Name of the rules in this crate's documentation. Records carry it. It changes when any prediction may
/// change.
pub const EVALUATOR: &str = "int8-1";

/// Images that fit a network: u8 pixels, image by image in [channels, height, width].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inputs<'a> {
    image: usize,
    pixels: &'a [u8],
}

impl<'a> Inputs<'a> {
    /// Makes inputs from images of `image` values each.
    pub(crate) fn new(image: usize, pixels: &'a [u8]) -> Result<Self, InferError> {
        if !pixels.len().is_multiple_of(image) {
            return Err(InferError::PixelCount { found: pixels.len(), image });
        }
        Ok(Self { image, pixels })
    }

    /// Panics if the inputs were prepared for images of another size.
    pub(crate) fn check(&self, image: usize) {
        assert_eq!(self.image, image, "the inputs were prepared for another image size");
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.pixels.len() / self.image
    }

    /// True if there are no images.
    pub fn is_empty(&self) -> bool {
        self.pixels.is_empty()
    }

    /// Calls `run` with the images of these indices as inputs of their own.
    ///
    /// # Panics
    /// Panics if there is no image of an index.
    pub(crate) fn with_block<T>(&self, images: &[u32], run: impl FnOnce(&Inputs<'_>) -> T) -> T {
        run(&Inputs { image: self.image, pixels: &self.gathered(images) })
    }

    /// Copies the pixels of the images with these indices.
    ///
    /// # Panics
    /// Panics if there is no image of an index.
    pub(crate) fn gathered(&self, images: &[u32]) -> Vec<u8> {
        let image = |&image: &u32| self.pixels_of(image as usize..image as usize + 1);
        images.iter().flat_map(image).copied().collect()
    }

    /// Returns the pixels of some images.
    pub(crate) fn pixels_of(&self, images: Range<usize>) -> &'a [u8] {
        &self.pixels[images.start * self.image..images.end * self.image]
    }
}

/// A compiled int8 network; the crate's documentation has its rules.
///
/// Each method runs on the current rayon pool, and its results depend only on its arguments. A method that
/// takes weight changes applies them while it runs and restores the weights before it returns.
#[derive(Debug)]
pub struct Network {
    pub(crate) compiled: Compiled,
    pub(crate) kernel: Kernel,
    /// Unused arenas. A thread takes one for a batch of images and returns it. Their number is the largest
    /// number of concurrent threads so far, and nothing is allocated once each thread has one.
    arenas: Mutex<Vec<Arena>>,
}

/// Buffers for one batch.
#[derive(Debug)]
pub(crate) struct Arena {
    pub(crate) slots: Vec<Vec<u8>>,
    pub(crate) logits: Vec<f32>,
}

impl Layers for Network {
    fn layers(&self) -> usize {
        self.compiled.layers()
    }

    fn layer(&self, tensor: usize) -> &Conv {
        self.compiled.layer(tensor)
    }

    fn layer_mut(&mut self, tensor: usize) -> &mut Conv {
        self.compiled.layer_mut(tensor)
    }
}

impl Network {
    /// Compiles a graph with the weights, parameters and scales of a checkpoint.
    ///
    /// # Errors
    /// Weights differ from the graph's in name, order or shape; parameters or activation scales are missing,
    /// misshaped, not finite or not positive; a running variance is -epsilon or less; or the exact sum of a
    /// layer may overflow i32.
    pub fn new(graph: &Graph, checkpoint: &Checkpoint) -> Result<Self, InferError> {
        Self::with(graph, checkpoint, Kernel::fastest())
    }

    /// Compiles like [`Network::new`], for a form of the inner loop by its id in
    /// [`kernel_forms`](crate::kernel_forms). All give the same results; this is for measuring and testing them.
    ///
    /// # Errors
    /// The machine does not support this form; or an error of [`Network::new`].
    pub fn with_kernel_form(graph: &Graph, checkpoint: &Checkpoint, form: &str) -> Result<Self, InferError> {
        let kernel = Kernel::of(form).ok_or_else(|| InferError::KernelForm { found: form.into() })?;
        Self::with(graph, checkpoint, kernel)
    }

    fn with(graph: &Graph, checkpoint: &Checkpoint, kernel: Kernel) -> Result<Self, InferError> {
        Ok(Self { compiled: compile(graph, checkpoint, kernel)?, kernel, arenas: Mutex::new(Vec::new()) })
    }

    /// Returns a copy, whose weights may be changed independently.
    pub(crate) fn copy(&self) -> Self {
        Self { compiled: self.compiled.clone(), kernel: self.kernel, arenas: Mutex::new(Vec::new()) }
    }

    /// Number of classes: the number of logits of an image.
    pub fn classes(&self) -> usize {
        self.compiled.classes
    }

    /// Number of weights in each stored tensor, in memory order.
    pub fn weight_counts(&self) -> Vec<usize> {
        (0..self.compiled.layers.len()).map(|t| self.compiled.layer(t).shape().weights()).collect()
    }

    /// Prepares images: u8 pixels, image by image, each in [channels, height, width].
    ///
    /// # Errors
    /// The pixels are not a whole number of images.
    pub fn prepare<'a>(&self, pixels: &'a [u8]) -> Result<Inputs<'a>, InferError> {
        Inputs::new(self.compiled.input.len(), pixels)
    }

    /// Predicts the class of each image with some weights changed: the index of its largest logit, the lowest
    /// index on ties. The last of several changes to one weight counts.
    ///
    /// # Panics
    /// Panics if a change names a weight that does not exist, or if `inputs` were prepared for another image
    /// size.
    pub fn predict(&mut self, inputs: &Inputs<'_>, changes: &[WeightChange]) -> Vec<u16> {
        self.changed(changes, |network| network.predict_clean(inputs))
    }

    /// Predicts the class of each image with the checkpoint's weights.
    ///
    /// # Panics
    /// Panics if `inputs` were prepared for another image size.
    pub fn predict_clean(&self, inputs: &Inputs<'_>) -> Vec<u16> {
        self.predict_watched(inputs, &|_| ())
    }

    /// Predicts like [`Network::predict_clean`], and calls `done` with numbers of finished images.
    ///
    /// # Panics
    /// Panics like [`Network::predict_clean`].
    pub fn predict_watched(&self, inputs: &Inputs<'_>, done: &(dyn Fn(usize) + Sync)) -> Vec<u16> {
        let mut classes = vec![0; inputs.len()];
        let classify = |logits: &[f32], out: &mut [u16]| self.classify(logits, out);
        self.each_batch(inputs, 0..inputs.len(), &mut classes, classify, done);
        classes
    }

    /// Returns the logits, image by image, [`Network::classes`] each.
    ///
    /// # Panics
    /// Panics like [`Network::predict`].
    pub fn logits(&mut self, inputs: &Inputs<'_>, changes: &[WeightChange]) -> Vec<f32> {
        let mut all = vec![0.0; inputs.len() * self.compiled.classes];
        self.changed(changes, |network| network.logits_of(inputs, 0..inputs.len(), &mut all, &|_| ()));
        all
    }

    /// Writes the logits of some images. Calls `done` with numbers of finished images.
    pub(crate) fn logits_of(
        &self,
        inputs: &Inputs<'_>,
        images: Range<usize>,
        output: &mut [f32],
        done: &(dyn Fn(usize) + Sync),
    ) {
        self.each_batch(inputs, images, output, |logits, out| out.copy_from_slice(logits), done);
    }

    /// Runs some images, batches in parallel. `finish` computes a batch's part of `output` from its logits;
    /// `done` gets the number of its images.
    fn each_batch<T: Send>(
        &self,
        inputs: &Inputs<'_>,
        images: Range<usize>,
        output: &mut [T],
        finish: impl Fn(&[f32], &mut [T]) + Sync,
        done: &(dyn Fn(usize) + Sync),
    ) {
        self.check(inputs);
        if images.is_empty() {
            return;
        }
        let batch = self.batch(images.len());
        let size = output.len() / images.len();
        let pixels = inputs.pixels_of(images).par_chunks(batch * inputs.image);
        output.par_chunks_mut(batch * size).zip(pixels).for_each(|(out, pixels)| {
            self.run_batch(pixels, |_, _, _| {}, |logits| finish(logits, out));
            done(pixels.len() / inputs.image);
        });
    }

    /// Returns the levels that every node stores, by node name: image by image, each in [channels, height,
    /// width]. For inspection; runs on one thread. Nodes that are fused into a later one store nothing.
    ///
    /// # Panics
    /// Panics like [`Network::predict`].
    pub fn levels(&mut self, inputs: &Inputs<'_>, changes: &[WeightChange]) -> BTreeMap<String, Vec<i16>> {
        self.check(inputs);
        let mut all: BTreeMap<String, Vec<i16>> = BTreeMap::new();
        let mut collect = |step: &Step, images: &[u8]| {
            let frame = &step.frame;
            let out = all.entry(step.name.clone()).or_default();
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
                let stored = |step: usize, _, images: &[u8]| collect(&network.compiled.steps[step], images);
                network.run_batch(pixels, stored, |_| {});
            }
        });
        all
    }

    /// Returns the number of images in a batch: large enough for full tiles, small enough for a batch for
    /// each thread.
    pub(crate) fn batch(&self, images: usize) -> usize {
        images.div_ceil(rayon::current_num_threads()).clamp(1, self.compiled.batch)
    }

    pub(crate) fn check(&self, inputs: &Inputs<'_>) {
        inputs.check(self.compiled.input.len());
    }

    /// Writes the class of each image: the index of its largest logit, the lowest on ties.
    pub(crate) fn classify(&self, logits: &[f32], classes: &mut [u16]) {
        let logits = logits.chunks_exact(self.compiled.classes);
        classes.iter_mut().zip(logits).for_each(|(class, logits)| *class = largest(logits));
    }

    /// Takes an arena for a batch of images; [`Network::rest`] returns it.
    pub(crate) fn arena(&self) -> Arena {
        let resting = self.arenas.lock().expect("no thread panics while it holds the lock").pop();
        resting.unwrap_or_else(|| Arena {
            slots: self.compiled.slots.iter().map(|slot| vec![0; slot.bytes]).collect(),
            logits: vec![0.0; self.compiled.classes * self.compiled.batch],
        })
    }

    pub(crate) fn rest(&self, arena: Arena) {
        self.arenas.lock().expect("no thread panics while it holds the lock").push(arena);
    }

    /// Runs all segments on at most one batch of images. `stored` receives the levels that each step writes
    /// for a tile, `done` the logits.
    pub(crate) fn run_batch(
        &self,
        pixels: &[u8],
        mut stored: impl FnMut(usize, Tile, &[u8]),
        done: impl FnOnce(&[f32]),
    ) {
        let compiled = &self.compiled;
        let images = pixels.len() / compiled.input.len();
        let mut arena = self.arena();
        for segment in &compiled.segments {
            for tile in segment.tiles(images) {
                for index in segment.steps.clone() {
                    self.run_step(index, tile, 0..tile.images, pixels, &mut arena, |_| None);
                    if let Target::Slot(slot) = compiled.steps[index].target {
                        let frame = &compiled.steps[index].frame;
                        let begin = tile.begin(compiled.slots[slot], frame);
                        stored(index, tile, &arena.slots[slot][begin..][..tile.images * frame.len()]);
                    }
                }
            }
        }
        done(&arena.logits[..images * compiled.classes]);
        self.rest(arena);
    }

    /// Runs a step on some images of a tile and writes its slot or the logits. `elsewhere` may return an
    /// input's images from the tile's first on; other inputs are read from their slots.
    pub(crate) fn run_step<'a>(
        &self,
        index: usize,
        tile: Tile,
        part: Range<usize>,
        pixels: &[u8],
        arena: &mut Arena,
        elsewhere: impl Fn(&Operand) -> Option<&'a [u8]>,
    ) {
        let Compiled { steps, slots: places, .. } = &self.compiled;
        let step = &steps[index];
        let Arena { slots, logits } = arena;
        // Moves the output out while the step reads other slots; no step reads its own output.
        let mut output = match step.target {
            Target::Slot(slot) => std::mem::take(&mut slots[slot]),
            Target::Logits => Vec::new(),
        };
        let in_slot = |operand: &Operand| {
            let begin = tile.begin(places[operand.slot], &operand.frame);
            &slots[operand.slot][begin..]
        };
        let input = |operand: &Operand| {
            let images = elsewhere(operand).unwrap_or_else(|| in_slot(operand));
            &images[part.start * operand.frame.len()..]
        };
        let inputs: Vec<&[u8]> = step.inputs.iter().map(input).collect();
        let len = step.frame.len();
        let pixels = &pixels[(tile.first + part.start) * self.compiled.input.len()..];
        match step.target {
            Target::Slot(slot) => {
                let images = &mut output[tile.begin(places[slot], &step.frame)..];
                let images = &mut images[part.start * len..part.end * len];
                images.chunks_exact_mut(len).for_each(|image| step.frame.fill_border(image));
                self.compute(step, part.len(), pixels, &inputs, images);
                slots[slot] = output;
            }
            Target::Logits => {
                let logits = &mut logits[tile.first * len..][part.start * len..part.end * len];
                self.compute(step, part.len(), pixels, &inputs, logits);
            }
        }
    }

    /// Writes the images of a step's output except their borders. `pixels` begin with those of the first
    /// image.
    fn compute<E: Element>(
        &self,
        step: &Step,
        images: usize,
        pixels: &[u8],
        inputs: &[&[u8]],
        output: &mut [E],
    ) {
        let Step { work, frame, .. } = step;
        match work {
            Work::Input(tables) => {
                let pixels = pixels.chunks_exact(frame.dims.len());
                let images = pixels.zip(output.chunks_exact_mut(frame.len()));
                images.for_each(|(pixels, image)| write_input(tables, frame, pixels, image));
            }
            Work::Conv(conv) => {
                conv.run(self.kernel, 0..conv.panels(), inputs[0], Pixels::Of(images), output);
            }
            _ => self.kernel.vectorize(Rows { step, inputs, output }),
        }
    }
}

/// The rows of every image of a step that is neither the input nor a convolution.
struct Rows<'a, E> {
    step: &'a Step,
    inputs: &'a [&'a [u8]],
    output: &'a mut [E],
}

impl<E: Element> Loop for Rows<'_, E> {
    #[inline(always)]
    fn run(self) {
        let Step { work, frame, .. } = self.step;
        let Dims { channels, height, width } = frame.dims;
        for (image, output) in self.output.chunks_exact_mut(frame.len()).enumerate() {
            let input = |i| self.step.image(self.inputs, i, image);
            for row in 0..height {
                let out = &mut output[frame.pixel(row, 0)..][..width * channels];
                work.run_pixels(input, frame, row, 0..width, out);
            }
        }
    }
}

/// Returns the index of the largest logit, the lowest on ties.
pub(crate) fn largest(logits: &[f32]) -> u16 {
    let mut best = 0;
    for (class, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = class;
        }
    }
    u16::try_from(best).expect("compilation checked the number of classes")
}

/// Writes the levels of one image's pixels, by a table for each channel.
pub(crate) fn write_input<E: Element>(tables: &[[u8; 256]], frame: &Frame, pixels: &[u8], image: &mut [E]) {
    let Dims { channels, height, width } = frame.dims;
    for ((channel, plane), table) in pixels.chunks_exact(height * width).enumerate().zip(tables) {
        for (row, pixels) in plane.chunks_exact(width).enumerate() {
            let levels = image[frame.pixel(row, 0) + channel..].iter_mut().step_by(channels);
            for (level, &pixel) in levels.zip(pixels) {
                *level = E::from_byte(table[usize::from(pixel)], frame.zero);
            }
        }
    }
}
