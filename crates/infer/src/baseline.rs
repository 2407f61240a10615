//! Runs trials and computes only the levels that their changes reach.
//!
//! A [`Baseline`] keeps the levels that every step writes on the clean network, image by image. A trial runs
//! the steps in order, and each step is in one of three states for a tile of images:
//!
//! - **clean**: its levels are the kept ones. This holds if none of its weights and inputs have changed, or
//!   if the changes were rounded away: requantization absorbs most small ones.
//! - **sparse**: its levels differ from the kept ones at known pixels of some images. Only the pixels that changes reach are
//!   computed, and those that differ overwrite the kept ones until the end of the trial ([`differences`](crate::differences)).
//! - **dense**: so much has changed that the step is computed completely into the arena, as in a full pass.
//!
//! A step becomes dense before it is computed: the work at the reached pixels of all images of the tile is estimated, and compared
//! with that of a full pass. Every later step of the tile is then dense too, and costs what it costs in a full pass, so a trial whose
//! flipped bit reaches everything takes a full pass and what was tried before. A change in the first layer, before which nothing is
//! saved, is therefore tried on one image of a batch only, and if it reaches everything there, the batch takes a full pass
//! ([measured](../../../results/bench/2026-11-30-amd-epyc-zen3/incremental.md)).
//!
//! Sums are exact integers and a pixel's level is a function of its window, so the result equals that of a
//! full pass bit for bit. The choice between sparse and dense affects only speed.
//!
//! # Memory
//!
//! Memory is bounded by the number of bytes given to [`Baseline::new`]. Levels come first: they are kept for as many images as fit.
//! If a call has several trials, it also keeps the levels of the other images temporarily, as many at once as fit. A call with few
//! trials runs these images in full.
//!
//! If the levels of all images fit, the rest of the memory is for clean sums, with which a changed weight or a differing channel costs
//! a few products a pixel. They take four bytes for each output of a convolution (of the next multiple of 16 channels), three to four
//! times as much as the levels, so they are kept for as many of the last convolutions as fit: every change in an earlier layer reaches
//! these, and there they save most, because one of many channels differs. Their computation takes as long as some full passes.
//! Therefore it waits for [`TRIALS_BEFORE_SUMS`] trials with at most [`MANY_CHANGES`] changes in each layer; a campaign with many changes
//! in a trial never pays for it. Grouped and dilated convolutions have no kept sums.
//!
//! # Threads
//!
//! A call with several trials runs as many at the same time as the rayon pool has threads, each with a copy of the
//! weights, which it changes. All share the kept levels: a batch is locked while a trial runs on it, and a trial takes
//! the batches in whatever order finds them unlocked. A thread without a trial of its own takes batches of a trial
//! that runs.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard};

use graph::WeightChange;
use rayon::prelude::*;

use crate::batch::{Batch, level_bytes, sum_bytes};
use crate::compile::{Compiled, Tile};
use crate::conv::Layers;
use crate::differences::{ChangedWeight, Differences, sums_pay};
use crate::network::{Arena, Inputs, Network};
use crate::step::{Operand, Step, Target, Work};

/// Share of an image's differing pixels in a step with changed weights above which the step is computed completely.
const DENSE: f64 = 0.5;

/// Estimated cost of what differences reach relative to that of a full pass above which a convolution is computed completely. It is less
/// than 1 because many images together are cheaper than the estimate, and what is reached spreads further.
const DENSE_COST: f32 = 0.5;

/// Number of changed weights above which a step is computed completely, because most of its pixels change.
const MANY_CHANGES: usize = 3;

/// If a layer has many changes, changed layers among this number of layers before it are also computed
/// completely, because a sparse step that a dense one soon follows saves little.
const WORTH_A_TRY: usize = 3;

/// Least number of trials for which a call temporarily keeps the levels of further images.
const TRIALS_THAT_PAY: usize = 3;

/// Number of trials with few changes in every layer from which on sums are kept; computing them takes as long as a few full passes.
const TRIALS_BEFORE_SUMS: usize = 8;

/// A network, its images, and the levels that the clean network computes on them.
#[derive(Debug)]
pub struct Baseline<'a> {
    /// The network, and copies for further threads, from the first call that can use them on.
    networks: Vec<Network>,
    inputs: Inputs<'a>,
    /// Logits of the clean network, image by image.
    logits: Vec<f32>,
    clean: Vec<u16>,
    /// Number of images in a batch.
    batch: usize,
    /// Number of batches whose levels fit into memory at the same time.
    batches_in_memory: usize,
    /// The batches whose levels are kept; `batches` holds the levels.
    kept_batches: Range<usize>,
    batches: Vec<Mutex<Batch>>,
    /// Number of bytes for sums beside the levels.
    room: usize,
    /// Number of trials with few changes until sums are computed; none once that is done.
    until_sums: Option<usize>,
    layers_with_sums: usize,
}

/// The place of a step's levels: kept, kept with differences, or in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Clean,
    Sparse,
    Dense,
}

/// The changed weights of a trial.
pub(crate) struct Changed {
    /// For each step, true if a weight of it changed.
    any: Vec<bool>,
    /// The changed weights of each step before `dense_from`, in ascending channels.
    weights: Vec<Vec<ChangedWeight>>,
    /// Index from which on steps with changed weights are computed completely.
    dense_from: usize,
    /// Last step with a changed weight.
    last_changed: usize,
}

impl<'a> Baseline<'a> {
    /// Runs the clean network, and keeps the levels of as many images as fit into `memory` bytes. Sums, which later trials need,
    /// are kept within the same bound. Calls `done` with the number of images finished since the last call.
    ///
    /// # Panics
    /// Panics if `inputs` were prepared for another image size.
    pub fn new(network: Network, inputs: Inputs<'a>, memory: usize, done: &(dyn Fn(usize) + Sync)) -> Self {
        network.check(&inputs);
        let (images, classes) = (inputs.len(), network.classes());
        let batch = network.batch(images);
        let bytes: usize = network.compiled.steps.iter().map(|step| level_bytes(step, batch)).sum();
        let mut baseline = Self {
            networks: vec![network],
            inputs,
            logits: vec![0.0; images * classes],
            clean: vec![0; images],
            batch,
            batches_in_memory: memory / bytes.max(1),
            kept_batches: 0..0,
            batches: Vec::new(),
            room: 0,
            until_sums: Some(TRIALS_BEFORE_SUMS),
            layers_with_sums: 0,
        };
        baseline.room = memory.saturating_sub(bytes.saturating_mul(images.div_ceil(batch)));
        let kept = 0..images.div_ceil(batch).min(baseline.batches_in_memory);
        let others = baseline.images_of(&kept).end..images;
        baseline.keep(kept, done);
        let Self { networks, inputs, logits, clean, .. } = &mut baseline;
        networks[0].logits_of(inputs, others.clone(), &mut logits[others.start * classes..], done);
        networks[0].classify(logits, clean);
        baseline
    }

    /// Classes predicted with the checkpoint's weights, one for each image; see [`Network::predict_clean`].
    pub fn clean(&self) -> &[u16] {
        &self.clean
    }

    /// Number of images whose levels are kept.
    pub fn images_kept(&self) -> usize {
        self.images_of(&self.kept_batches).len()
    }

    /// Number of layers whose clean sums are kept beside the levels; 0 before enough trials with few changes have come.
    pub fn layers_with_sums(&self) -> usize {
        self.layers_with_sums
    }

    /// Predicts the class of each image in each of several trials, like [`Network::predict`].
    ///
    /// # Panics
    /// Panics if a change names a weight that does not exist.
    pub fn predict(&mut self, trials: &[&[WeightChange]]) -> Vec<Vec<u16>> {
        let mut classes = vec![vec![0; self.inputs.len()]; trials.len()];
        self.run(trials, &mut classes, Network::classify);
        classes
    }

    /// Returns the logits of each image in a trial, like [`Network::logits`].
    ///
    /// # Panics
    /// Panics like [`Baseline::predict`].
    pub fn logits(&mut self, changes: &[WeightChange]) -> Vec<f32> {
        let mut logits = [vec![0.0; self.logits.len()]];
        self.run(&[changes], &mut logits, |_, logits, out| out.copy_from_slice(logits));
        let [logits] = logits;
        logits
    }

    /// Runs trials on all images. `finish` computes a batch's part of a trial's output from its logits.
    fn run<T: Send>(
        &mut self,
        trials: &[&[WeightChange]],
        outputs: &mut [Vec<T>],
        finish: impl Fn(&Network, &[f32], &mut [T]) + Sync,
    ) {
        let threads = rayon::current_num_threads();
        while self.networks.len() < threads.min(trials.len()) {
            self.networks.push(self.networks[0].copy());
        }
        self.keep_sums(trials);
        let all = 0..self.inputs.len().div_ceil(self.batch);
        if trials.len() < TRIALS_THAT_PAY || self.batches_in_memory < threads {
            return self.run_batches(trials, outputs, all, &finish);
        }
        // Runs the kept batches first, before other batches replace them.
        let kept = self.kept_batches.clone();
        let others = [0..kept.start, kept.end..all.end];
        self.run_batches(trials, outputs, kept, &finish);
        for part in others {
            for first in part.clone().step_by(self.batches_in_memory) {
                self.keep(first..(first + self.batches_in_memory).min(part.end), &|_| ());
                self.run_batches(trials, outputs, self.kept_batches.clone(), &finish);
            }
        }
    }

    /// Returns the images of some batches.
    fn images_of(&self, batches: &Range<usize>) -> Range<usize> {
        let first = |batch: usize| (batch * self.batch).min(self.inputs.len());
        first(batches.start)..first(batches.end)
    }

    /// Runs the clean network on some batches and stores its logits. Its levels replace the kept ones.
    fn keep(&mut self, batches: Range<usize>, done: &(dyn Fn(usize) + Sync)) {
        let images = self.images_of(&batches);
        self.batches.resize_with(batches.len(), || Mutex::new(Batch::default()));
        self.kept_batches = batches;
        let Self { networks, inputs, batch, batches, logits, .. } = self;
        let network = &networks[0];
        let classes = network.classes();
        let logits = logits[images.start * classes..images.end * classes].par_chunks_mut(*batch * classes);
        batches.par_iter_mut().zip(logits).enumerate().for_each(|(index, (kept, logits))| {
            let kept = kept.get_mut().expect("no thread panics while it holds the lock");
            let images = batch_of(index, *batch, &images);
            let count = images.len();
            kept.fill(network, inputs.pixels_of(images), |found| logits.copy_from_slice(found));
            done(count);
        });
    }

    /// Keeps the sums of as many of the last convolutions as fit into memory beside the levels of all images, once enough
    /// trials with few changes have come.
    fn keep_sums(&mut self, trials: &[&[WeightChange]]) {
        let Some(until) = self.until_sums else { return };
        let compiled = &self.networks[0].compiled;
        let few = |changes: &&&[WeightChange]| {
            !changes.is_empty() && counts(compiled, changes).iter().all(|&count| count <= MANY_CHANGES)
        };
        let until = until.saturating_sub(trials.iter().filter(few).count());
        self.until_sums = (until > 0).then_some(until);
        if until > 0 || self.images_kept() < self.inputs.len() {
            return;
        }
        let Self { networks, inputs, batch, batches, room, layers_with_sums, .. } = self;
        let network = &networks[0];
        let mut steps = Vec::new();
        for (index, step) in network.compiled.steps.iter().enumerate().rev() {
            let (Work::Conv(conv), Target::Slot(_)) = (&step.work, step.target) else { continue };
            if conv.step_of_changes().is_some() {
                let bytes = sum_bytes(conv, inputs.len());
                if bytes > *room {
                    break;
                }
                *room -= bytes;
                steps.push(index);
            }
        }
        *layers_with_sums = steps.len();
        batches.par_iter_mut().enumerate().for_each(|(index, kept)| {
            let kept = kept.get_mut().expect("no thread panics while it holds the lock");
            let images = batch_of(index, *batch, &(0..inputs.len())).len();
            steps.iter().for_each(|&step| kept.fill_sums(network, step, images));
        });
    }

    /// Runs trials on some batches: from the kept levels where these are kept, in full where not.
    fn run_batches<T: Send>(
        &mut self,
        trials: &[&[WeightChange]],
        outputs: &mut [Vec<T>],
        batches: Range<usize>,
        finish: &(impl Fn(&Network, &[f32], &mut [T]) + Sync),
    ) {
        let images = self.images_of(&batches);
        let Self { networks, inputs, batch, kept_batches, batches: kept, logits: clean, .. } = self;
        let (kept_batches, clean, classes) = (&*kept_batches, &*clean, networks[0].classes());
        let kept = |index: &usize| kept_batches.contains(index).then(|| &kept[*index - kept_batches.start]);
        let run = |network: &Network, changed: &Changed, Task { index, output, levels }: Task<'_, T>| {
            let images = batch_of(index, *batch, &(0..inputs.len()));
            let pixels = inputs.pixels_of(images.clone());
            let Some(mut levels) = levels else {
                return network.run_batch(pixels, |_, _, _| {}, |logits| finish(network, logits, output));
            };
            let clean = &clean[images.start * classes..images.end * classes];
            let mut trial = Trial::new(network, changed, &mut levels, pixels, clean);
            trial.run();
            finish(network, &trial.logits, output);
            trial.finish();
        };

        let threads = networks.len().min(trials.len());
        let waiting = Mutex::new(trials.iter().zip(outputs));
        networks[..threads].par_iter_mut().enumerate().with_max_len(1).for_each(|(thread, network)| {
            loop {
                let next = locked(&waiting).next();
                let Some((changes, output)) = next else { break };
                let changed = Changed::new(&network.compiled, changes);
                let size = output.len() / inputs.len().max(1);
                let parts = output[images.start * size..images.end * size].chunks_mut((*batch * size).max(1));
                let mut left: VecDeque<(usize, &mut [T])> = batches.clone().zip(parts).collect();
                let count = left.len();
                left.rotate_left(thread * count / threads);
                let left = Mutex::new(left);
                network.changed(changes, |network| {
                    let tasks = (0..count).into_par_iter().with_max_len(1);
                    tasks.for_each(|_| run(network, &changed, Task::next(&left, kept)));
                });
            }
        });
    }
}

/// A trial on a batch of images.
struct Task<'a, T> {
    /// The batch.
    index: usize,
    /// The batch's part of the trial's output.
    output: &'a mut [T],
    /// The batch's levels, locked, if they are kept.
    levels: Option<MutexGuard<'a, Batch>>,
}

impl<'a, T> Task<'a, T> {
    /// Takes one of the batches that are left of a trial, if possible one that no other trial runs on.
    fn next(
        left: &Mutex<VecDeque<(usize, &'a mut [T])>>,
        kept: impl Fn(&usize) -> Option<&'a Mutex<Batch>>,
    ) -> Self {
        let mut tasks = locked(left);
        for place in 0..tasks.len() {
            let levels = match kept(&tasks[place].0).map(Mutex::try_lock) {
                None => None,
                Some(Ok(levels)) => Some(levels),
                Some(Err(_)) => continue,
            };
            let (index, output) = tasks.remove(place).expect("a place of the queue");
            return Self { index, output, levels };
        }
        let (index, output) = tasks.pop_front().expect("a task for each call");
        drop(tasks);
        Self { index, output, levels: kept(&index).map(locked) }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread panics while it holds the lock")
}

/// Returns the images of batch `index` within `images`.
fn batch_of(index: usize, batch: usize, images: &Range<usize>) -> Range<usize> {
    let first = images.start + index * batch;
    first..(first + batch).min(images.end)
}

impl Changed {
    /// Compares changes with the weights of a clean network.
    ///
    /// # Panics
    /// Panics if a change names a weight that does not exist.
    pub(crate) fn new(compiled: &Compiled, changes: &[WeightChange]) -> Self {
        let layers = &compiled.layers;
        let counts = counts(compiled, changes);
        let many = counts.iter().position(|&count| count > MANY_CHANGES);
        let dense_from = many.map_or(usize::MAX, |layer| layers[layer.saturating_sub(WORTH_A_TRY)]);
        let (mut any, mut weights) =
            (vec![false; compiled.steps.len()], vec![Vec::new(); compiled.steps.len()]);
        for (&step, &count) in layers.iter().zip(&counts) {
            any[step] = count > 0;
        }
        for change in changes.iter().filter(|change| layers[change.tensor] < dense_from) {
            let conv = compiled.layer(change.tensor);
            let channel = change.index / conv.shape().terms();
            let (_, place) = conv.input_of(change.index);
            let by = i32::from(change.value) - i32::from(conv.weight(change.index));
            let weights: &mut Vec<ChangedWeight> = &mut weights[layers[change.tensor]];
            // The last of several changes to one weight counts.
            weights.retain(|other| (other.channel, other.place) != (channel, place));
            weights.push(ChangedWeight { channel, place, by });
            weights.sort_by_key(|weight| weight.channel);
        }
        let last_changed = any.iter().rposition(|any| *any).unwrap_or(0);
        Self { any, weights, dense_from, last_changed }
    }

    /// Share of the network's products that clean levels save, as an estimate: those of the layers before the first changed
    /// one, and half of those from there to the layers that are computed completely.
    pub(crate) fn saved(&self, compiled: &Compiled) -> f64 {
        let first_changed = self.any.iter().position(|any| *any).unwrap_or(self.any.len());
        let (mut saved, mut all) = (0.0, 0.0);
        for (tensor, &step) in compiled.layers.iter().enumerate() {
            let shape = compiled.layer(tensor).shape();
            let products = (shape.weights() * shape.output.pixels()) as f64;
            all += products;
            if step < first_changed {
                saved += products;
            } else if step < self.dense_from {
                saved += products / 2.0;
            }
        }
        saved / all
    }
}

/// Returns the number of changes in each layer.
///
/// # Panics
/// Panics if a change names a weight that does not exist.
fn counts(compiled: &Compiled, changes: &[WeightChange]) -> Vec<usize> {
    let mut counts = vec![0; compiled.layers.len()];
    for &change in changes {
        compiled.check_change(change);
        counts[change.tensor] += 1;
    }
    counts
}

/// One trial on one batch of images.
pub(crate) struct Trial<'a> {
    network: &'a Network,
    changed: &'a Changed,
    kept: &'a mut Batch,
    pixels: &'a [u8],
    images: usize,
    /// Logits found so far; initially the clean ones.
    logits: Vec<f32>,
    arena: Arena,
    /// State of each step for the current tile; for a carried step, for the batch once its segment is done.
    states: Vec<State>,
    /// Differences of the kept levels.
    differences: Differences,
    /// A mark for each image of the batch in which anything differs.
    dirty: Vec<bool>,
}

impl<'a> Trial<'a> {
    pub(crate) fn new(
        network: &'a Network,
        changed: &'a Changed,
        kept: &'a mut Batch,
        pixels: &'a [u8],
        clean: &[f32],
    ) -> Self {
        let steps = network.compiled.steps.len();
        Self {
            network,
            changed,
            kept,
            pixels,
            images: clean.len() / network.classes(),
            dirty: vec![false; clean.len() / network.classes()],
            logits: clean.to_vec(),
            arena: network.arena(),
            states: vec![State::Clean; steps],
            differences: Differences::new(steps),
        }
    }

    /// Logits of the images, once the trial has run.
    pub(crate) fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// True if the trial changes the first layer, and on the first image of the batch so much of its output differs that the
    /// convolution that reads it would be computed completely: then no step is saved, and a full pass costs less than the attempt.
    fn reaches_everything(&mut self) -> bool {
        let Self { network, changed, kept, differences, .. } = self;
        let compiled = &network.compiled;
        let first = compiled.layers[0];
        if !changed.any[first] || changed.dense_from <= first {
            return changed.any[first];
        }
        let reads = |step: &Step| step.inputs.iter().any(|input| input.source == first);
        let Some(reader) = compiled.steps.iter().position(reads) else { return false };
        let Work::Conv(conv) = &compiled.steps[reader].work else { return false };
        differences.run_changed(network, kept, first, 0, &changed.weights[first]);
        let cost = differences.plan(network, kept, reader, 0..1);
        differences.restore(network, kept, first..first + 1);
        cost > DENSE_COST * conv.cost_of_whole() * conv.shape().output.pixels() as f32
    }

    pub(crate) fn run(&mut self) {
        if self.reaches_everything() {
            let Self { network, pixels, logits, .. } = self;
            return network.run_batch(pixels, |_, _, _| {}, |found| logits.copy_from_slice(found));
        }
        let compiled = &self.network.compiled;
        for segment in &compiled.segments {
            let carried: Vec<usize> = segment.steps.clone().filter(|&index| self.is_carried(index)).collect();
            let mut tiles: Vec<(Tile, Vec<State>)> = Vec::new();
            for tile in segment.tiles(self.images) {
                for index in segment.steps.clone() {
                    self.states[index] = self.step(index, tile);
                }
                tiles.push((tile, carried.iter().map(|&index| self.states[index]).collect()));
            }
            for (place, &index) in carried.iter().enumerate() {
                let states: Vec<(Tile, State)> =
                    tiles.iter().map(|(tile, states)| (*tile, states[place])).collect();
                self.states[index] = self.unite(index, &states);
            }
        }
    }

    /// Restores the kept levels and returns the arena.
    pub(crate) fn finish(self) {
        let Self { network, kept, mut differences, arena, .. } = self;
        differences.restore(network, kept, 0..network.compiled.steps.len());
        network.rest(arena);
    }

    fn is_carried(&self, index: usize) -> bool {
        let compiled = &self.network.compiled;
        match compiled.steps[index].target {
            Target::Slot(slot) => compiled.slots[slot].carried,
            Target::Logits => false,
        }
    }

    /// Makes the state of a carried step the same for all tiles: if some are dense, the levels of the others
    /// are copied into the arena.
    fn unite(&mut self, index: usize, tiles: &[(Tile, State)]) -> State {
        let any = |state| tiles.iter().any(|(_, other)| *other == state);
        let compiled = &self.network.compiled;
        let Step { frame, target: Target::Slot(slot), .. } = &compiled.steps[index] else {
            unreachable!("logits are not carried")
        };
        if any(State::Dense) {
            for (tile, _) in tiles.iter().filter(|(_, state)| *state != State::Dense) {
                let images = tile.first * frame.len()..(tile.first + tile.images) * frame.len();
                self.arena.slots[*slot][images.clone()].copy_from_slice(&self.kept.levels[index][images]);
            }
            return State::Dense;
        }
        if any(State::Sparse) { State::Sparse } else { State::Clean }
    }

    /// Runs a step on the part of a tile that changes reach.
    fn step(&mut self, index: usize, tile: Tile) -> State {
        let step = &self.network.compiled.steps[index];
        let changed = self.changed.any[index];
        let inputs = || step.inputs.iter().map(|input| self.states[input.source]);
        if !changed && inputs().all(|state| state == State::Clean) {
            return State::Clean;
        }
        let last = step.target == Target::Logits;
        let whole = changed && (index >= self.changed.dense_from || last);
        if whole || inputs().any(|state| state == State::Dense) {
            return self.dense(index, tile);
        }
        if last {
            return self.dense(index, tile);
        }
        if changed {
            return self.sparse_with_changes(index, tile);
        }
        let images = tile.first..tile.first + tile.images;
        let cost = self.differences.plan(self.network, self.kept, index, images.clone());
        if let Work::Conv(conv) = &step.work {
            let dirty = self.dirty[images.clone()].iter().filter(|dirty| **dirty).count();
            let images = if index <= self.changed.last_changed { tile.images } else { dirty };
            let whole = conv.cost_of_whole() * conv.shape().output.pixels() as f32;
            if cost > DENSE_COST * images as f32 * whole {
                return self.dense(index, tile);
            }
        }
        match self.differences.run(self.network, self.kept, index) {
            true => self.sparse(index, images),
            false => State::Clean,
        }
    }

    /// Marks images in which a step differs.
    fn sparse(&mut self, index: usize, images: Range<usize>) -> State {
        let mut state = State::Clean;
        for image in images {
            if self.differences.count(index, image) > 0 {
                self.dirty[image] = true;
                state = State::Sparse;
            }
        }
        state
    }

    /// Runs a step with changed weights where these and differing inputs reach.
    fn sparse_with_changes(&mut self, index: usize, tile: Tile) -> State {
        let Self { network, changed, kept, differences, .. } = self;
        let step = &network.compiled.steps[index];
        let Work::Conv(conv) = &step.work else { unreachable!("weights belong to convolutions") };
        let by_sums = !kept.sums[index].is_empty() && sums_pay(conv);
        let images = tile.first..tile.first + tile.images;
        for image in images.clone() {
            differences.run_changed(network, kept, index, image, &changed.weights[index]);
            let most = differences.count(index, image) as f64 > DENSE * step.frame.dims.pixels() as f64;
            // The first image speaks for the tile.
            if most && image == tile.first && tile.images > 1 && !by_sums {
                return self.dense(index, tile);
            }
        }
        self.sparse(index, images)
    }

    /// Runs a step on all images of a tile. After the last changed weight, it runs only on images in which
    /// anything differs.
    fn dense(&mut self, index: usize, tile: Tile) -> State {
        let Self { network, kept, states, arena, logits, dirty, .. } = self;
        let dirty = &mut dirty[tile.first..][..tile.images];
        if index <= self.changed.last_changed {
            dirty.fill(true);
        }
        for part in runs(dirty) {
            let here = |operand: &Operand| elsewhere(kept, states, operand, tile);
            network.run_step(index, tile, part.clone(), self.pixels, arena, here);
            if network.compiled.steps[index].target == Target::Logits {
                let len = network.classes();
                let images = (tile.first + part.start) * len..(tile.first + part.end) * len;
                logits[images.clone()].copy_from_slice(&arena.logits[images]);
            }
        }
        State::Dense
    }
}

/// Returns an input's images from the tile's first on, unless they are in its slot of the arena.
fn elsewhere<'a>(kept: &'a Batch, states: &[State], operand: &Operand, tile: Tile) -> Option<&'a [u8]> {
    let levels = &kept.levels[operand.source];
    (states[operand.source] != State::Dense).then(|| &levels[tile.first * operand.frame.len()..])
}

/// Returns the ranges of consecutive set marks.
fn runs(marks: &[bool]) -> impl Iterator<Item = Range<usize>> {
    let mut first = 0;
    marks.chunk_by(|a, b| a == b).filter_map(move |run| {
        let range = first..first + run.len();
        first = range.end;
        run[0].then_some(range)
    })
}
