//! What the clean network computes on a batch of images.

use crate::compile::Tile;
use crate::conv::Conv;
use crate::kernel::{LANES, SLACK};
use crate::network::Network;
use crate::step::{Step, Target, Work};

/// The clean levels of a batch of images, and the clean sums of some of its convolutions.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// For each step, the frames of all images; empty for logits.
    pub(crate) levels: Vec<Vec<u8>>,
    /// For each step, the sums of each image, output pixel and panel, in this order. Empty where they are not kept.
    pub(crate) sums: Vec<Vec<[i32; LANES]>>,
}

impl Batch {
    /// Replaces the levels by those that the clean network computes on other images, and drops the sums. `found` gets the
    /// logits.
    pub(crate) fn fill(&mut self, network: &Network, pixels: &[u8], found: impl FnOnce(&[f32])) {
        let steps = &network.compiled.steps;
        let Self { levels, sums } = self;
        let images = pixels.len() / network.compiled.input.len();
        sums.resize_with(steps.len(), Vec::new);
        sums.iter_mut().for_each(Vec::clear);
        levels.resize_with(steps.len(), Vec::new);
        for (levels, step) in levels.iter_mut().zip(steps) {
            levels.resize(level_bytes(step, images), 0);
        }
        let keep = |step: usize, tile: Tile, images: &[u8]| {
            let begin = tile.first * steps[step].frame.len();
            levels[step][begin..][..images.len()].copy_from_slice(images);
        };
        network.run_batch(pixels, keep, found);
    }

    /// Computes the sums of a step, which must be a convolution, on the first `images` images, whose levels must be clean.
    pub(crate) fn fill_sums(&mut self, network: &Network, index: usize, images: usize) {
        let step = &network.compiled.steps[index];
        let Work::Conv(conv) = &step.work else { unreachable!("only convolutions have sums") };
        let input = &step.inputs[0];
        let mut sums = std::mem::take(&mut self.sums[index]);
        sums.clear();
        sums.reserve_exact(images * conv.shape().output.pixels() * conv.panels());
        for image in 0..images {
            sums.extend(conv.sums(network.kernel, self.image(input.source, input.frame.len(), image)));
        }
        self.sums[index] = sums;
    }

    /// Returns a step's levels from an image on, whose frame has `len` bytes.
    pub(crate) fn image(&self, step: usize, len: usize, image: usize) -> &[u8] {
        &self.levels[step][image * len..]
    }
}

/// Returns the number of bytes of a step's levels for a batch of images.
pub(crate) fn level_bytes(step: &Step, images: usize) -> usize {
    match step.target {
        Target::Slot(_) => images * step.frame.len() + SLACK,
        Target::Logits => 0,
    }
}

/// Returns the number of bytes of a convolution's sums for a batch of images.
pub(crate) fn sum_bytes(conv: &Conv, images: usize) -> usize {
    images * conv.shape().output.pixels() * conv.panels() * size_of::<[i32; LANES]>()
}
