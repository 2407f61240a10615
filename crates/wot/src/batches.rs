//! Makes normalized NHWC batches from an image set.

use data::ImageSet;
use graph::{Graph, Preprocessing};
use quant::FloatTensor;
use rand_core::RngCore;
use rayon::prelude::*;

use crate::WotError;
use crate::ops::{Buffer, Pool};
use crate::random::{Purpose, below, permutation, stream};
use crate::recipe::{Augmentation, Recipe};

/// A batch in the form that a network takes.
pub(crate) struct Batch {
    /// `[images, height, width, channels]`, normalized.
    pub(crate) images: Buffer,
    pub(crate) labels: Vec<u16>,
}

/// The normalized value of every pixel value of every channel.
pub(crate) struct PixelTable(Vec<[f32; 256]>);

impl PixelTable {
    pub(crate) fn new(graph: &Graph, preprocessing: &Preprocessing) -> Result<Self, WotError> {
        let channels = graph.spec().input[0];
        preprocessing.check_channels(channels)?;
        let table = |channel| std::array::from_fn(|pixel| preprocessing.value(channel, pixel as u8));
        Ok(Self((0..channels).map(table).collect()))
    }

    /// Returns the largest magnitude of a normalized pixel: the range of the input, as `infer` calibrates it.
    pub(crate) fn max_abs(&self) -> f32 {
        self.0.iter().flatten().fold(0.0, |largest, value| largest.max(value.abs()))
    }
}

/// The choice and the order of the images of a set that a training uses.
pub(crate) struct Sampler {
    held_out: Vec<u32>,
    training: Vec<u32>,
    seed: u64,
    batch_images: usize,
    augmentation: Option<Augmentation>,
    /// The epoch drawn last, and its order.
    epoch: Option<(u64, Vec<u32>)>,
}

impl Sampler {
    pub(crate) fn new(graph: &Graph, recipe: &Recipe, images: &ImageSet) -> Result<Self, WotError> {
        let shape = images.shape();
        let found = [shape.channels, shape.height, shape.width];
        let spec = graph.spec();
        if found != spec.input || images.classes() > spec.classes {
            return Err(WotError::Images {
                found,
                found_classes: images.classes(),
                expected: spec.input,
                expected_classes: spec.classes,
            });
        }
        let held_out = recipe.validation.images;
        let expected = held_out.saturating_add(recipe.batch_images);
        if images.len() < expected {
            return Err(WotError::TooFewImages { found: images.len(), held_out, expected });
        }
        let (held_out, training) = recipe.validation.split(images.len());
        Ok(Self {
            held_out,
            training,
            seed: recipe.seed,
            batch_images: recipe.batch_images,
            augmentation: recipe.augmentation,
            epoch: None,
        })
    }

    /// The training images, without those held out.
    pub(crate) fn training(&self) -> &[u32] {
        &self.training
    }

    pub(crate) fn held_out(&self) -> &[u32] {
        &self.held_out
    }

    /// Returns the batch of an iteration (0 is the first), which is a function of recipe and images.
    pub(crate) fn batch(
        &mut self,
        images: &ImageSet,
        table: &PixelTable,
        iteration: u64,
        pool: &Pool,
    ) -> Batch {
        let batches = (self.training.len() / self.batch_images) as u64;
        let (epoch, first) = (iteration / batches, (iteration % batches) as usize * self.batch_images);
        if self.epoch.as_ref().is_none_or(|(drawn, _)| *drawn != epoch) {
            let order = permutation(&mut stream(self.seed, Purpose::Order, epoch), self.training.len());
            self.epoch = Some((epoch, order.iter().map(|&i| self.training[i as usize]).collect()));
        }
        let order = &self.epoch.as_ref().expect("drawn above").1[first..first + self.batch_images];
        let mut rng = stream(self.seed, Purpose::Augmentation, iteration);
        let mut changes = || match self.augmentation {
            None => Change::default(),
            Some(Augmentation { shift, mirror }) => {
                let mut draw = || below(&mut rng, 2 * shift as u32 + 1) as isize - shift as isize;
                let shift = [draw(), draw()];
                Change { shift, mirror: mirror && rng.next_u32() & 1 == 1 }
            }
        };
        let order: Vec<(u32, Change)> = order.iter().map(|&index| (index, changes())).collect();
        gather(images, table, &order, pool)
    }
}

/// Makes a batch of unchanged images.
pub(crate) fn plain(images: &ImageSet, table: &PixelTable, indices: &[u32], pool: &Pool) -> Batch {
    let order: Vec<(u32, Change)> = indices.iter().map(|&index| (index, Change::default())).collect();
    gather(images, table, &order, pool)
}

/// A random change to an image: output pixel (y, x) is input pixel (y + shift[0], x + shift[1]), with x
/// counted from the right if mirrored, and black outside the input.
#[derive(Clone, Copy, Default)]
struct Change {
    shift: [isize; 2],
    mirror: bool,
}

/// Converts NCHW images to NHWC images of the same size.
///
/// # Panics
/// Panics if `images` does not have four dimensions.
pub(crate) fn channels_last(images: &FloatTensor, to: &mut [f32]) {
    let [_, channels, height, width] = images.shape()[..] else {
        panic!("images have shape {:?}, expected four dimensions", images.shape());
    };
    let pixels = height * width;
    for (image, to) in
        images.values().chunks_exact(channels * pixels).zip(to.chunks_exact_mut(channels * pixels))
    {
        for (channel, values) in image.chunks_exact(pixels).enumerate() {
            to[channel..].iter_mut().step_by(channels).zip(values).for_each(|(to, value)| *to = *value);
        }
    }
}

fn gather(images: &ImageSet, table: &PixelTable, order: &[(u32, Change)], pool: &Pool) -> Batch {
    let shape = images.shape();
    let (height, width) = (shape.height, shape.width);
    let mut batch = pool.take(order.len() * shape.image_bytes());
    batch.par_chunks_mut(shape.image_bytes()).zip(order).for_each(|(values, &(index, change))| {
        let pixels = images.image(index as usize);
        for (place, values) in values.chunks_exact_mut(shape.channels).enumerate() {
            let (y, x) = (place / width, place % width);
            let row = y.wrapping_add_signed(change.shift[0]);
            let x = if change.mirror { width - 1 - x } else { x };
            let column = x.wrapping_add_signed(change.shift[1]);
            let inside = row < height && column < width;
            for ((channel, table), value) in table.0.iter().enumerate().zip(values) {
                let pixel = if inside { pixels[(channel * height + row) * width + column] } else { 0 };
                *value = table[usize::from(pixel)];
            }
        }
    });
    let labels = order.iter().map(|&(index, _)| images.labels()[index as usize]).collect();
    Batch { images: batch, labels }
}

#[cfg(test)]
mod tests {
    use data::{ImageShape, Split};
    use graph::ModelSpec;

    use super::*;
    use crate::recipe::{Method, Scale, Schedule, Validation};

    /// Returns 23 grey images of 8x9. Pixel (y, x) of image i is 100 + y * 9 + x, except that the first pixel
    /// is i.
    fn set() -> ImageSet {
        let shape = ImageShape { channels: 1, height: 8, width: 9 };
        let pixels = (0..23u8).flat_map(|i| (0..72).map(move |p| if p == 0 { i } else { 100 + p })).collect();
        ImageSet::new("test", Split::Train, shape, 10, pixels, (0..23).map(|i| i % 10).collect()).unwrap()
    }

    fn sampler(augmentation: Option<Augmentation>, seed: u64) -> (Sampler, PixelTable) {
        let recipe = Recipe {
            method: Method::Float,
            scale: Scale::Largest,
            bit_errors: None,
            iterations: 10,
            batch_images: 4,
            schedule: Schedule::Constant { rate: 0.1 },
            momentum: 0.9,
            weight_decay: 0.0,
            augmentation,
            validation: Validation { images: 5, seed: 1 },
            check_every: 1,
            seed,
        };
        let spec = ModelSpec { width: 0.1, ..ModelSpec::new("resnet20", 10, [1, 8, 9]) };
        let graph = zoo::build(&spec).unwrap();
        let identity = Preprocessing::new(vec![0.0], vec![1.0 / 255.0]).unwrap();
        (Sampler::new(&graph, &recipe, &set()).unwrap(), PixelTable::new(&graph, &identity).unwrap())
    }

    fn pixels(batch: &Batch) -> Vec<Vec<u8>> {
        batch.images.chunks(72).map(|image| image.iter().map(|v| v.round() as u8).collect()).collect()
    }

    #[test]
    fn an_epoch_has_every_training_image_once_and_no_other() {
        let (mut sampler, table) = sampler(None, 3);
        let mut epochs = Vec::new();
        for epoch in 0..2 {
            let batches =
                (0..4).map(|i| pixels(&sampler.batch(&set(), &table, epoch * 4 + i, &Pool::default())));
            let order: Vec<u8> = batches.flatten().map(|image| image[0]).collect();
            let mut sorted = order.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), 16);
            assert!(sorted.iter().all(|&i| !sampler.held_out().contains(&u32::from(i))));
            epochs.push(order);
        }
        assert_ne!(epochs[0], epochs[1]);
        assert_eq!((sampler.training().len(), sampler.held_out().len()), (18, 5));
    }

    #[test]
    fn batches_do_not_depend_on_which_were_drawn_before() {
        let augmentation = Some(Augmentation { shift: 2, mirror: true });
        let draw = |iterations: &[u64], seed| {
            let (mut sampler, table) = sampler(augmentation, seed);
            let draws = iterations.iter().map(|&i| sampler.batch(&set(), &table, i, &Pool::default()));
            draws.map(|batch| (pixels(&batch), batch.labels)).last().unwrap()
        };
        assert_eq!(draw(&[0, 1, 2, 3, 4, 5, 6], 3), draw(&[6], 3));
        assert_ne!(draw(&[6], 3), draw(&[6], 4));
    }

    #[test]
    fn changed_images_are_moved_and_mirrored_images() {
        let (mut sampler, table) = sampler(Some(Augmentation { shift: 2, mirror: true }), 3);
        let at = |y: isize, x: isize| {
            let inside = (0..8).contains(&y) && (0..9).contains(&x);
            if inside { 100 + (y * 9 + x) as u8 } else { 0 }
        };
        let mut seen = std::collections::BTreeSet::new();
        for iteration in 0..200 {
            for image in pixels(&sampler.batch(&set(), &table, iteration, &Pool::default())) {
                let matches = |dy: isize, dx: isize, mirror: bool| {
                    (0..72).all(|p| {
                        let (y, x) = (p / 9, p % 9);
                        let (y, x) = (y + dy, if mirror { 8 - x } else { x } + dx);
                        (y, x) == (0, 0) || image[p as usize] == at(y, x)
                    })
                };
                let all =
                    (-2..=2).flat_map(|dy| (-2..=2).flat_map(move |dx| [(dy, dx, false), (dy, dx, true)]));
                seen.insert(all.into_iter().find(|&(dy, dx, m)| matches(dy, dx, m)).expect("a known change"));
            }
        }
        assert_eq!(seen.len(), 50);
    }
}
