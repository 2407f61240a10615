//! Runs trials that each see a block of the images.
//!
//! Campaigns ask for a block again and again: every protection and rate has a trial with it. The clean levels of a block are
//! therefore kept, as far as memory allows, from the second trial on, and further trials compute only what their changes reach,
//! like those of a [`crate::Baseline`]. A block that is seen once costs one full pass, and a kept block one more.
//!
//! If there is no room, a kept block gives way that no trial has used since the new block was first seen. So blocks
//! that are used in turns and exceed the memory do not drive each other out: some stay, and the others run in full.

use std::collections::HashMap;
use std::sync::Mutex;

use graph::WeightChange;
use rayon::prelude::*;

use crate::baseline::{Batch, Changed, Trial, kept_bytes};
use crate::conv::Layers;
use crate::network::{Inputs, Network};

/// Largest number of blocks that were seen once and are remembered by their images.
const REMEMBERED: usize = 1 << 10;

/// A network and its images, of which each trial sees some.
#[derive(Debug)]
pub struct BlockBaseline<'a> {
    network: Network,
    inputs: Inputs<'a>,
    /// Logits of the clean network, image by image.
    logits: Vec<f32>,
    clean: Vec<u16>,
    /// Bytes of levels that may be kept.
    memory: usize,
    /// Number of trials so far.
    now: u64,
    kept: HashMap<Vec<u32>, Block>,
    /// Blocks that are not kept, each with the trial that saw it last.
    seen: HashMap<Vec<u32>, u64>,
}

/// A block whose clean levels are kept.
#[derive(Debug)]
struct Block {
    pixels: Vec<u8>,
    logits: Vec<f32>,
    /// Number of images of a batch.
    batch: usize,
    batches: Vec<Mutex<Batch>>,
    bytes: usize,
    /// Trial that used it last.
    used: u64,
}

impl<'a> BlockBaseline<'a> {
    /// Runs the clean network on all images. Trials may then keep `memory` bytes of the levels of their blocks. Calls
    /// `done` with the number of images finished since the last call.
    ///
    /// # Panics
    /// Panics if `inputs` were prepared for another image size.
    pub fn new(network: Network, inputs: Inputs<'a>, memory: usize, done: &(dyn Fn(usize) + Sync)) -> Self {
        let mut logits = vec![0.0; inputs.len() * network.classes()];
        let mut clean = vec![0; inputs.len()];
        network.logits_of(&inputs, 0..inputs.len(), &mut logits, done);
        network.classify(&logits, &mut clean);
        Self { network, inputs, logits, clean, memory, now: 0, kept: HashMap::new(), seen: HashMap::new() }
    }

    /// Classes predicted with the checkpoint's weights, one for each image of the set.
    pub fn clean(&self) -> &[u16] {
        &self.clean
    }

    /// Number of blocks whose levels are kept.
    pub fn blocks_kept(&self) -> usize {
        self.kept.len()
    }

    /// True if the levels of the block of these images are kept.
    pub fn keeps(&self, images: &[u32]) -> bool {
        self.kept.contains_key(images)
    }

    /// Predicts the class of each image of a block, given by indices, with some weights changed, like [`Network::predict`].
    ///
    /// # Panics
    /// Panics if there is no image of an index, or if a change names a weight that does not exist.
    pub fn predict(&mut self, images: &[u32], changes: &[WeightChange]) -> Vec<u16> {
        self.now += 1;
        let changed = Changed::new(&self.network.compiled, changes);
        if !changed.is_dense(&self.network.compiled) && !self.kept.contains_key(images) {
            self.keep_if_seen(images);
        }
        let Self { network, inputs, now, kept, .. } = self;
        match kept.get_mut(images) {
            Some(block) => {
                block.used = *now;
                network.changed(changes, |network| block.predict(network, &changed))
            }
            None => {
                let pixels = inputs.gathered(images);
                let inputs = network.prepare(&pixels).expect("whole images");
                network.predict(&inputs, changes)
            }
        }
    }

    /// Keeps the clean levels of a block that was seen before, if there is room, and otherwise notes that it was seen.
    fn keep_if_seen(&mut self, images: &[u32]) {
        let batch = self.network.batch(images.len()).max(1);
        let steps = &self.network.compiled.steps;
        let bytes: usize = images
            .chunks(batch)
            .map(|part| steps.iter().map(|step| kept_bytes(step, part.len())).sum::<usize>())
            .sum();
        if let Some(first) = self.seen.get(images).copied() {
            while self.bytes() + bytes > self.memory {
                let unused = self.kept.iter().filter(|(_, block)| block.used < first);
                let Some(oldest) = unused.min_by_key(|(_, block)| block.used).map(|(key, _)| key.clone())
                else {
                    break;
                };
                self.kept.remove(&oldest);
            }
            if self.bytes() + bytes <= self.memory {
                self.seen.remove(images);
                let block = self.clean_block(images, batch, bytes);
                self.kept.insert(images.to_vec(), block);
                return;
            }
        }
        if self.seen.len() >= REMEMBERED
            && let Some(oldest) = self.seen.iter().min_by_key(|(_, seen)| **seen).map(|(key, _)| key.clone())
        {
            self.seen.remove(&oldest);
        }
        self.seen.insert(images.to_vec(), self.now);
    }

    /// Bytes of the kept levels.
    fn bytes(&self) -> usize {
        self.kept.values().map(|block| block.bytes).sum()
    }

    /// Runs the clean network on a block and keeps its levels.
    fn clean_block(&self, images: &[u32], batch: usize, bytes: usize) -> Block {
        let Self { network, inputs, logits, now, .. } = self;
        let (pixels, classes) = (inputs.gathered(images), network.classes());
        let of_image = |&image: &u32| &logits[image as usize * classes..][..classes];
        let clean = |pixels: &[u8]| Mutex::new(Batch::clean(network, pixels, |_| ()));
        let image = pixels.len() / images.len().max(1);
        Block {
            logits: images.iter().flat_map(of_image).copied().collect(),
            batches: pixels.par_chunks((batch * image).max(1)).map(clean).collect(),
            pixels,
            batch,
            bytes,
            used: *now,
        }
    }
}

impl Block {
    /// Classes of the block's images in a trial whose weights the network has.
    fn predict(&self, network: &Network, changed: &Changed) -> Vec<u16> {
        let classes = network.classes();
        let images = self.logits.len() / classes;
        let mut predicted = vec![0; images];
        let pixels = self.pixels.par_chunks(self.batch * (self.pixels.len() / images));
        let logits = self.logits.par_chunks(self.batch * classes);
        let output = predicted.par_chunks_mut(self.batch);
        self.batches.par_iter().zip(pixels).zip(logits).zip(output).for_each(
            |(((kept, pixels), clean), output)| {
                let mut kept = kept.lock().expect("no thread panics while it holds the lock");
                let mut trial = Trial::new(network, changed, &mut kept, pixels, clean);
                trial.run();
                network.classify(trial.logits(), output);
                trial.finish();
            },
        );
        predicted
    }
}
