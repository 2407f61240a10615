//! Runs trials that each see a block of the images.
//!
//! A campaign has trials with the same block: every protection and rate has one. Trials of a call that see the same block share its
//! clean levels, and compute only what their changes reach, like those of a [`crate::Baseline`]. The levels are computed only where
//! the trials save more than that costs, and are dropped when the trials have run: a thread keeps those of one batch of
//! images.
//!
//! # Threads
//!
//! Each thread of the rayon pool has a copy of the weights and takes whole trials, or all trials that share levels. A trial that
//! takes part in nothing shared, and for which other threads have no further work, is divided over its images.

use std::collections::HashMap;
use std::sync::Mutex;

use graph::WeightChange;
use rayon::prelude::*;

use crate::baseline::{Changed, Trial};
use crate::batch::Batch;
use crate::conv::Layers;
use crate::network::{Inputs, Network};

/// A trial on some of the images.
#[derive(Clone, Copy, Debug)]
pub struct BlockTrial<'a> {
    /// Indices of the images that it sees.
    pub images: &'a [u32],
    /// Changed weights.
    pub changes: &'a [WeightChange],
}

/// A network and its images, of which each trial sees some.
#[derive(Debug)]
pub struct BlockBaseline<'a> {
    /// The network, and copies for further threads, from the first call that can use them on.
    networks: Vec<Network>,
    inputs: Inputs<'a>,
    /// Logits of the clean network, image by image.
    logits: Vec<f32>,
    clean: Vec<u16>,
}

/// Trials that run one after the other on a thread.
struct Task<'a, 'o> {
    images: &'a [u32],
    /// Changed weights of each trial, with the place of its classes.
    trials: Vec<(&'a [WeightChange], Changed, &'o mut Vec<u16>)>,
    /// True if they share the clean levels.
    shares: bool,
}

impl<'a> BlockBaseline<'a> {
    /// Runs the clean network on all images. Calls `done` with the number of images finished since the last call.
    ///
    /// # Panics
    /// Panics if `inputs` were prepared for another image size.
    pub fn new(network: Network, inputs: Inputs<'a>, done: &(dyn Fn(usize) + Sync)) -> Self {
        let mut logits = vec![0.0; inputs.len() * network.classes()];
        let mut clean = vec![0; inputs.len()];
        network.logits_of(&inputs, 0..inputs.len(), &mut logits, done);
        network.classify(&logits, &mut clean);
        Self { networks: vec![network], inputs, logits, clean }
    }

    /// Classes predicted with the checkpoint's weights, one for each image of the set.
    pub fn clean(&self) -> &[u16] {
        &self.clean
    }

    /// Predicts the class of each image that a trial sees, for several trials, like [`Network::predict`].
    ///
    /// # Panics
    /// Panics if there is no image of an index, or if a change names a weight that does not exist.
    pub fn predict(&mut self, trials: &[BlockTrial<'_>]) -> Vec<Vec<u16>> {
        let mut classes: Vec<Vec<u16>> = trials.iter().map(|trial| vec![0; trial.images.len()]).collect();
        let tasks = Mutex::new(self.tasks(trials, &mut classes));
        let threads = rayon::current_num_threads().min(tasks.lock().expect("it is new").len());
        while self.networks.len() < threads {
            self.networks.push(self.networks[0].copy());
        }
        let Self { networks, inputs, logits, .. } = self;
        networks[..threads].par_iter_mut().with_max_len(1).for_each(|network| {
            let mut levels = Batch::default();
            loop {
                let mut waiting = tasks.lock().expect("no thread panics while it holds the lock");
                let Some(task) = waiting.pop() else { break };
                let alone = waiting.len() + 1 < threads;
                drop(waiting);
                match task.shares {
                    true => task.run_shared(network, inputs, logits, &mut levels),
                    false => task.run_in_full(network, inputs, alone),
                }
            }
        });
        classes
    }

    /// Divides trials into tasks, the last of which is to run first.
    fn tasks<'t, 'o>(&self, trials: &[BlockTrial<'t>], classes: &'o mut [Vec<u16>]) -> Vec<Task<'t, 'o>> {
        let compiled = &self.networks[0].compiled;
        let mut blocks: Vec<Task<'t, 'o>> = Vec::new();
        let mut places: HashMap<&[u32], usize> = HashMap::new();
        for (BlockTrial { images, changes }, classes) in trials.iter().zip(classes) {
            let place = *places.entry(images).or_insert_with(|| {
                blocks.push(Task { images, trials: Vec::new(), shares: true });
                blocks.len() - 1
            });
            blocks[place].trials.push((changes, Changed::new(compiled, changes), classes));
        }
        let (mut shared, mut alone) = (Vec::new(), Vec::new());
        for Task { images, trials, .. } in blocks {
            let saved = |(_, changed, _): &(_, Changed, _)| changed.saved(compiled);
            let pays = trials.iter().map(saved).sum::<f64>() > 1.0;
            let (sparse, dense): (Vec<_>, Vec<_>) =
                trials.into_iter().partition(|trial| pays && saved(trial) > 0.0);
            if !sparse.is_empty() {
                shared.push(Task { images, trials: sparse, shares: true });
            }
            alone.extend(dense.into_iter().map(|trial| Task { images, trials: vec![trial], shares: false }));
        }
        // The long tasks begin first, so that the threads end at about the same time.
        alone.extend(shared);
        alone
    }
}

impl Task<'_, '_> {
    /// Runs each trial completely; `divided` over the threads of the pool by images.
    fn run_in_full(self, network: &mut Network, inputs: &Inputs<'_>, divided: bool) {
        let batch = if divided { network.batch(self.images.len()) } else { network.compiled.batch };
        for (changes, _, classes) in self.trials {
            network.changed(changes, |network| {
                let parts = classes.par_chunks_mut(batch).with_max_len(1).zip(self.images.par_chunks(batch));
                parts.for_each(|(classes, images)| {
                    let pixels = inputs.gathered(images);
                    network.run_batch(&pixels, |_, _, _| {}, |logits| network.classify(logits, classes));
                });
            });
        }
    }

    /// Runs the clean network and the trials, batch by batch.
    fn run_shared(mut self, network: &mut Network, inputs: &Inputs<'_>, logits: &[f32], levels: &mut Batch) {
        let (batch, classes) = (network.compiled.batch, network.classes());
        for (number, images) in self.images.chunks(batch).enumerate() {
            let pixels = inputs.gathered(images);
            levels.fill(network, &pixels, |_| ());
            let of_image = |&image: &u32| &logits[image as usize * classes..][..classes];
            let clean: Vec<f32> = images.iter().flat_map(of_image).copied().collect();
            for (changes, changed, predicted) in &mut self.trials {
                let predicted = &mut predicted[number * batch..][..images.len()];
                network.changed(changes, |network| {
                    let mut trial = Trial::new(network, changed, levels, &pixels, &clean);
                    trial.run();
                    network.classify(trial.logits(), predicted);
                    trial.finish();
                });
            }
        }
    }
}
