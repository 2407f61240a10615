//! The images of each trial, if a trial sees a block of the evaluation set only.
//!
//! All images are put into a random order, then again into another, without end; the blocks of trials 0, 1, 2 ... are cut
//! from this sequence one after another. Over any number of trials the uses of two images then differ by one at most, and
//! every block alone is a random set of images, all sets equally likely.
//!
//! A block may begin in one order and end in the next. Without care it could hold an image twice. Therefore an order first
//! gives the images that such a block lacks: of its images, the first that the block does not have move to the front. At most
//! as many places as a block has are touched, so that an order depends on the one before it alone if the set has at least
//! two blocks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::sampling::below;
use crate::stream::stream;

/// Orders that are kept, because the blocks of neighbouring trials are cut from them.
const KEPT: usize = 4;

/// The block of images that each trial of a campaign sees; a function of the seed and the trial's number.
#[derive(Debug)]
pub struct ImageBlocks {
    seed: u64,
    images: u32,
    block: u32,
    /// Orders by their numbers.
    kept: Mutex<BTreeMap<u64, Arc<[u32]>>>,
}

impl ImageBlocks {
    /// Blocks of `block` images each from a set of `images`.
    ///
    /// # Panics
    /// When a block has no images, or more than the set.
    pub fn new(seed: u64, images: u32, block: u32) -> Self {
        assert!((1..=images).contains(&block), "a block of {block} images from {images}");
        Self { seed, images, block, kept: Mutex::default() }
    }

    /// Number of images of a block.
    pub fn len(&self) -> usize {
        self.block as usize
    }

    /// Always false: a block has images.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The images of a trial, ascending.
    pub fn block(&self, trial: u64) -> Vec<u32> {
        let (images, block) = (u128::from(self.images), u128::from(self.block));
        let first = u128::from(trial) * block;
        let number = u64::try_from(first / images).expect("a block has at most all images");
        let start = (first % images) as usize;
        let order = self.order(number);
        let mut found = order[start..order.len().min(start + self.len())].to_vec();
        if found.len() < self.len() {
            let rest = self.len() - found.len();
            found.extend(&self.order(number + 1)[..rest]);
        }
        found.sort_unstable();
        found
    }

    /// The order of this number.
    fn order(&self, number: u64) -> Arc<[u32]> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(order) = kept.get(&number) {
            return order.clone();
        }
        // The last order before that is known, or that depends on none.
        let mut at = number;
        let known = loop {
            match kept.get(&at) {
                Some(order) => break order.clone(),
                None if self.of_before(at) == 0 => break self.drawn(at).into(),
                // Its end, which is all that the next order sees, is as drawn.
                None if at < number && self.block <= self.images / 2 => break self.drawn(at).into(),
                None => at -= 1,
            }
        };
        let order = (at + 1..=number).fold(known, |before: Arc<[u32]>, at| self.after(&before, at));
        while kept.len() >= KEPT {
            kept.pop_first();
        }
        kept.insert(number, order.clone());
        order
    }

    /// Number of images that the block at the beginning of an order has from the order before.
    fn of_before(&self, number: u64) -> usize {
        (u128::from(number) * u128::from(self.images) % u128::from(self.block)) as usize
    }

    /// An order as it is drawn: Fisher and Yates's shuffle, from the last place to the second.
    fn drawn(&self, number: u64) -> Vec<u32> {
        let mut rng = stream(self.seed, *b"images\0\0", number);
        let mut order: Vec<u32> = (0..self.images).collect();
        for place in (1..order.len()).rev() {
            order.swap(place, below(&mut rng, place as u64 + 1) as usize);
        }
        order
    }

    /// The order of this number after the one before it.
    fn after(&self, before: &[u32], number: u64) -> Arc<[u32]> {
        let (begun, drawn) = (self.of_before(number), self.drawn(number));
        if begun == 0 {
            return drawn.into();
        }
        let has: BTreeSet<u32> = before[before.len() - begun..].iter().copied().collect();
        let mut lacking = self.len() - begun;
        let mut moves = |image: &u32| {
            let moves = lacking > 0 && !has.contains(image);
            lacking -= usize::from(moves);
            moves
        };
        let (front, rest): (Vec<u32>, Vec<u32>) = drawn.iter().partition(|image| moves(image));
        front.into_iter().chain(rest).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::ImageBlocks;

    /// S131 and S132 of the specification. The values are of an implementation in Python.
    #[test]
    fn blocks_are_stable() {
        let blocks = |block, trials| {
            let blocks = ImageBlocks::new(2019, 10, block);
            (0..trials).map(|trial| blocks.block(trial)).collect::<Vec<_>>()
        };
        assert_eq!(ImageBlocks::new(2019, 10, 3).drawn(0), [9, 4, 2, 1, 8, 0, 5, 3, 7, 6]);
        assert_eq!(
            blocks(4, 6),
            [[1, 2, 4, 9], [0, 3, 5, 8], [5, 6, 7, 9], [0, 1, 6, 8], [2, 3, 4, 7], [2, 3, 5, 6]]
        );
        assert_eq!(blocks(7, 3), [[0, 1, 2, 4, 5, 8, 9], [0, 3, 5, 6, 7, 8, 9], [1, 2, 3, 4, 5, 6, 7]]);
    }

    /// Every size of a set and of a block up to 9, in any order of trials: a block has different images, and the uses of
    /// two images differ by one at most after any number of trials.
    #[test]
    fn every_image_is_used_equally_often() {
        for images in 1..=9u32 {
            for block in 1..=images {
                let blocks = ImageBlocks::new(7, images, block);
                let mut uses = vec![0; images as usize];
                for trial in 0..40 {
                    let found = blocks.block(trial);
                    assert!(found.is_sorted_by(|a, b| a < b), "{block} of {images}: {found:?}");
                    assert_eq!(found.len(), block as usize);
                    found.iter().for_each(|&image| uses[image as usize] += 1);
                    let (least, most) = (uses.iter().min().unwrap(), uses.iter().max().unwrap());
                    assert!(most - least <= 1, "{block} of {images}, trial {trial}: {uses:?}");
                }
                for trial in (0..40).rev() {
                    let alone = ImageBlocks::new(7, images, block).block(trial);
                    assert_eq!(alone, blocks.block(trial), "{block} of {images}, trial {trial}");
                }
            }
        }
    }

    /// Every block of every position holds each image equally often over many seeds, those over the end of an order too.
    #[test]
    fn every_image_is_equally_likely_in_every_block() {
        const SEEDS: u64 = 4_000;
        for (images, block) in [(5u32, 2u32), (7, 3), (5, 4)] {
            for trial in 0..6 {
                let mut uses = vec![0u64; images as usize];
                for seed in 0..SEEDS {
                    let found = ImageBlocks::new(seed, images, block).block(trial);
                    found.iter().for_each(|&image| uses[image as usize] += 1);
                }
                let share = f64::from(block) / f64::from(images);
                let (mean, sd) = (SEEDS as f64 * share, (SEEDS as f64 * share * (1.0 - share)).sqrt());
                let far = uses.iter().find(|&&count| (count as f64 - mean).abs() > 4.5 * sd);
                assert_eq!(far, None, "{block} of {images}, trial {trial}: {uses:?}, expected {mean}");
            }
        }
    }
}
