//! Runs trials and computes only the levels that their changes reach.
//!
//! A [`Baseline`] keeps the levels that every step writes on the clean network, image by image. A trial runs
//! the steps in order, and each step is in one of three states for a tile of images:
//!
//! - **clean**: its levels are the kept ones. This holds if none of its weights and inputs have changed, or
//!   if the changes were rounded away: requantization absorbs most small ones.
//! - **sparse**: its levels differ from the kept ones at known pixels. A changed weight reaches the pixels at
//!   which its input level is not 0, in the panel that holds the weight; a change at some pixels of an input
//!   reaches the pixels whose windows contain one of them. Only these are computed and compared with the kept
//!   levels. Levels that differ overwrite the kept ones; a journal saves the old bytes and restores them at
//!   the end of the trial.
//! - **dense**: so much has changed that the step is computed completely into the arena, as in a full pass.
//!
//! Sums are exact integers and a pixel's level is a function of its window, so the result equals that of a
//! full pass bit for bit. The choice between sparse and dense affects only speed.
//!
//! Memory is bounded: levels are kept for as many images as fit. If a call has several trials, it also keeps
//! the levels of the other images temporarily, as many at once as fit. A call with few trials runs these
//! images in full.
//!
//! # Threads
//!
//! A call with several trials runs as many at the same time as the rayon pool has threads, each with a copy of the
//! weights, which it changes. All share the kept levels: a batch is locked while a trial runs on it, and a trial takes
//! the batches in whatever order finds them unlocked. A thread without a trial of its own takes batches of a trial
//! that runs.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard};

use rayon::prelude::*;

use crate::compile::{Compiled, Tile};
use crate::conv::{Conv, Layers, Pixels};
use crate::kernel::{LANES, SLACK};
use graph::WeightChange;

use crate::network::{Arena, Inputs, Network};
use crate::step::{Operand, Step, Target, Work};

/// Share of a step's pixels, reached or different, above which the step is computed completely.
const DENSE: f64 = 0.5;

/// Number of changed weights above which a step is computed completely, because most of its pixels change.
const MANY_CHANGES: usize = 3;

/// If a layer has many changes, changed layers among this number of layers before it are also computed
/// completely, because a sparse step that a dense one soon follows saves little.
const WORTH_A_TRY: usize = 3;

/// Least number of trials for which a call temporarily keeps the levels of further images.
const TRIALS_THAT_PAY: usize = 3;

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
}

/// The clean levels of a batch of images, one vector for each step.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    levels: Vec<Vec<u8>>,
}

impl Batch {
    /// Replaces the levels by those that the clean network computes on other images. `found` gets the logits.
    pub(crate) fn fill(&mut self, network: &Network, pixels: &[u8], found: impl FnOnce(&[f32])) {
        let (steps, levels) = (&network.compiled.steps, &mut self.levels);
        let images = pixels.len() / network.compiled.input.len();
        levels.resize_with(steps.len(), Vec::new);
        for (levels, step) in levels.iter_mut().zip(steps) {
            levels.resize(kept_bytes(step, images), 0);
        }
        let keep = |step: usize, tile: Tile, images: &[u8]| {
            let begin = tile.first * steps[step].frame.len();
            levels[step][begin..][..images.len()].copy_from_slice(images);
        };
        network.run_batch(pixels, keep, found);
    }
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
    /// For each step before `dense_from` and each panel, the offsets in a window of the inputs that the changed weights
    /// read.
    places: Vec<BTreeMap<usize, Vec<u32>>>,
    /// Index from which on steps with changed weights are computed completely.
    dense_from: usize,
    /// Last step with a changed weight.
    last_changed: usize,
}

impl<'a> Baseline<'a> {
    /// Runs the clean network, and keeps the levels of as many images as fit into `memory` bytes. Calls
    /// `done` with the number of images finished since the last call.
    ///
    /// # Panics
    /// Panics if `inputs` were prepared for another image size.
    pub fn new(network: Network, inputs: Inputs<'a>, memory: usize, done: &(dyn Fn(usize) + Sync)) -> Self {
        network.check(&inputs);
        let (images, classes) = (inputs.len(), network.classes());
        let batch = network.batch(images);
        let bytes: usize = network.compiled.steps.iter().map(|step| kept_bytes(step, batch)).sum();
        let mut baseline = Self {
            networks: vec![network],
            inputs,
            logits: vec![0.0; images * classes],
            clean: vec![0; images],
            batch,
            batches_in_memory: memory / bytes.max(1),
            kept_batches: 0..0,
            batches: Vec::new(),
        };
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

/// Returns the number of bytes of a step's levels for a batch of images.
fn kept_bytes(step: &Step, images: usize) -> usize {
    match step.target {
        Target::Slot(_) => images * step.frame.len() + SLACK,
        Target::Logits => 0,
    }
}

impl Changed {
    pub(crate) fn new(compiled: &Compiled, changes: &[WeightChange]) -> Self {
        let layers = &compiled.layers;
        let mut counts = vec![0; layers.len()];
        changes.iter().for_each(|change| counts[change.tensor] += 1);
        let many = counts.iter().position(|&count| count > MANY_CHANGES);
        let dense_from = many.map_or(usize::MAX, |layer| layers[layer.saturating_sub(WORTH_A_TRY)]);
        let (mut any, mut places) =
            (vec![false; compiled.steps.len()], vec![BTreeMap::new(); compiled.steps.len()]);
        for (&step, &count) in layers.iter().zip(&counts) {
            any[step] = count > 0;
        }
        for change in changes.iter().filter(|change| layers[change.tensor] < dense_from) {
            let (panel, place) = compiled.layer(change.tensor).input_of(change.index);
            let panels: &mut BTreeMap<usize, Vec<u32>> = &mut places[layers[change.tensor]];
            panels.entry(panel).or_default().push(place);
        }
        let last_changed = any.iter().rposition(|any| *any).unwrap_or(0);
        Self { any, places, dense_from, last_changed }
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
    /// For each sparse step, a mark for each pixel of the batch whose levels differ.
    differs: Vec<Vec<bool>>,
    /// A mark for each image of the batch in which anything differs.
    dirty: Vec<bool>,
    journal: Journal,
}

/// Bytes that were overwritten.
#[derive(Default)]
struct Journal {
    /// Step, position and length of each entry.
    entries: Vec<(usize, usize, usize)>,
    bytes: Vec<u8>,
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
            differs: vec![Vec::new(); steps],
            journal: Journal::default(),
        }
    }

    /// Logits of the images, once the trial has run.
    pub(crate) fn logits(&self) -> &[f32] {
        &self.logits
    }

    pub(crate) fn run(&mut self) {
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
        let Journal { entries, bytes } = &self.journal;
        let mut end = bytes.len();
        for &(step, place, len) in entries.iter().rev() {
            self.kept.levels[step][place..place + len].copy_from_slice(&bytes[end - len..end]);
            end -= len;
        }
        self.network.rest(self.arena);
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
        if !any(State::Sparse) {
            return State::Clean;
        }
        let pixels = frame.dims.pixels();
        for (tile, _) in tiles.iter().filter(|(_, state)| *state == State::Clean) {
            self.differs[index].resize(self.images * pixels, false);
            self.differs[index][tile.first * pixels..][..tile.images * pixels].fill(false);
        }
        State::Sparse
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
        let marks = self.reached(step, tile);
        let reached: Vec<u32> = marked(&marks).map(|at| at as u32).collect();
        if reached.is_empty() && !changed {
            return State::Clean;
        }
        if reached.len() as f64 > DENSE * marks.len() as f64 || last {
            return self.dense(index, tile);
        }
        match &step.work {
            Work::Conv(conv) => self.sparse_convolution(index, conv, tile, &marks, &reached),
            _ => self.sparse_pixels(index, tile, &reached),
        }
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

    /// Marks the output pixels of a tile that depend on a differing pixel of an input.
    fn reached(&self, step: &Step, tile: Tile) -> Vec<bool> {
        let to = step.frame.dims;
        let mut marks = vec![false; tile.images * to.pixels()];
        let sparse = |(_, input): &(usize, &Operand)| self.states[input.source] == State::Sparse;
        for (i, operand) in step.inputs.iter().enumerate().filter(sparse) {
            let (window, from) = (step.window(i), operand.frame.dims);
            let differs = &self.differs[operand.source][tile.first * from.pixels()..];
            for at in marked(&differs[..tile.images * from.pixels()]) {
                let (image, pixel) = (at / from.pixels(), at % from.pixels());
                let [rows, columns] = [
                    readers(pixel / from.width, &window, 0, to.height),
                    readers(pixel % from.width, &window, 1, to.width),
                ];
                for row in rows {
                    let begin = image * to.pixels() + row * to.width;
                    marks[begin + columns.start..begin + columns.end].fill(true);
                }
            }
        }
        marks
    }

    /// Computes the reached pixels of a step other than a convolution.
    fn sparse_pixels(&mut self, index: usize, tile: Tile, reached: &[u32]) -> State {
        let step = &self.network.compiled.steps[index];
        let frame = step.frame;
        let Self { kept, states, differs, journal, .. } = self;
        // Moves the step's own levels out while it reads those of others.
        let mut levels = std::mem::take(&mut kept.levels[index]);
        let images = &mut levels[tile.first * frame.len()..];
        let inputs = step.inputs.iter().map(|operand| elsewhere(kept, states, operand, tile));
        let inputs: Vec<&[u8]> = inputs.map(|images| images.expect("no input is dense")).collect();
        let differs = cleared(&mut differs[index], tile, frame.dims.pixels(), self.images);
        let mut output = vec![0; frame.dims.channels];
        let mut state = State::Clean;
        for &at in reached {
            let (image, pixel) = (at as usize / frame.dims.pixels(), at as usize % frame.dims.pixels());
            let (row, column) = (pixel / frame.dims.width, pixel % frame.dims.width);
            let input = |i| step.image(&inputs, i, image);
            step.work.run_pixels(input, &frame, row, column..column + 1, &mut output);
            let place = image * frame.len() + frame.pixel(row, column);
            let place = place..place + output.len();
            if output != images[place.clone()] {
                journal.write(index, images, tile.first * frame.len(), place, &output);
                differs[at as usize] = true;
                self.dirty[tile.first + image] = true;
                state = State::Sparse;
            }
        }
        kept.levels[index] = levels;
        state
    }

    /// Computes a convolution at the reached pixels. Changed panels are also computed where the input level
    /// of a changed weight is not 0.
    fn sparse_convolution(
        &mut self,
        index: usize,
        conv: &Conv,
        tile: Tile,
        marks: &[bool],
        reached: &[u32],
    ) -> State {
        let network = self.network;
        let step = &network.compiled.steps[index];
        let frame = step.frame;
        let Target::Slot(slot) = step.target else { unreachable!("the last step is never sparse") };
        let changed = &self.changed.places[index];
        let Self { kept, states, differs, journal, arena, .. } = self;

        let mut output = std::mem::take(&mut arena.slots[slot]);
        let first = tile.begin(network.compiled.slots[slot], &frame);
        let computed = &mut output[first..][..tile.images * frame.len()];
        // Moves the step's own levels out while it reads those of others.
        let mut levels = std::mem::take(&mut kept.levels[index]);
        let images = &mut levels[tile.first * frame.len()..];
        let Operand { frame: from, .. } = step.inputs[0];
        let input = elsewhere(kept, states, &step.inputs[0], tile).expect("no input is dense");
        let (begins, pixels) = conv.windows(tile.images);

        let met = |at: usize, places: &[u32]| {
            places.iter().any(|&place| input[(begins[at] + place) as usize] != from.zero)
        };
        let own: Vec<(Range<usize>, Vec<u32>)> = changed
            .iter()
            .map(|(&panel, places)| {
                let pixels = marks.iter().enumerate().filter(|&(at, mark)| *mark || met(at, places));
                (panel..panel + 1, pixels.map(|(at, _)| at as u32).collect())
            })
            .collect();
        let between = unchanged(conv.panels(), changed.keys().copied());
        let mut parts: Vec<(Range<usize>, &[u32])> = between.map(|panels| (panels, reached)).collect();
        parts.extend(own.iter().map(|(panel, pixels)| (panel.clone(), pixels.as_slice())));
        for (panels, at) in &parts {
            let gather = |values: &[u32]| -> Vec<u32> { at.iter().map(|&at| values[at as usize]).collect() };
            let (begins, pixels) = (gather(begins), gather(pixels));
            let some = Pixels::Some { begins: &begins, pixels: &pixels };
            conv.run(network.kernel, panels.clone(), input, some, computed);
        }

        let places = || {
            parts.iter().flat_map(|(panels, at)| {
                let channels = panels.start * LANES..(panels.end * LANES).min(frame.dims.channels);
                at.iter().map(move |&at| {
                    let place = pixels[at as usize] as usize + channels.start;
                    (at as usize, place..place + channels.len())
                })
            })
        };
        let differs = cleared(&mut differs[index], tile, frame.dims.pixels(), self.images);
        let mut count = 0;
        for (at, place) in places() {
            if !differs[at] && computed[place.clone()] != images[place] {
                differs[at] = true;
                count += 1;
                self.dirty[tile.first + at / frame.dims.pixels()] = true;
            }
        }
        let state = match count {
            0 => State::Clean,
            _ if count as f64 > DENSE * pixels.len() as f64 => {
                conv.run(network.kernel, 0..conv.panels(), input, Pixels::Of(tile.images), computed);
                computed.chunks_exact_mut(frame.len()).for_each(|image| frame.fill_border(image));
                State::Dense
            }
            _ => {
                for (_, place) in places().filter(|(at, _)| differs[*at]) {
                    journal.write(index, images, tile.first * frame.len(), place.clone(), &computed[place]);
                }
                State::Sparse
            }
        };
        kept.levels[index] = levels;
        arena.slots[slot] = output;
        state
    }
}

impl Journal {
    /// Overwrites some of a tile's levels, which begin at position `first` of the step's kept levels.
    fn write(&mut self, step: usize, levels: &mut [u8], first: usize, place: Range<usize>, new: &[u8]) {
        self.entries.push((step, first + place.start, new.len()));
        let old = &mut levels[place];
        self.bytes.extend_from_slice(old);
        old.copy_from_slice(new);
    }
}

/// Returns an input's images from the tile's first on, unless they are in its slot of the arena.
fn elsewhere<'a>(kept: &'a Batch, states: &[State], operand: &Operand, tile: Tile) -> Option<&'a [u8]> {
    let levels = &kept.levels[operand.source];
    (states[operand.source] != State::Dense).then(|| &levels[tile.first * operand.frame.len()..])
}

/// Returns the tile's part of a step's marks, cleared.
fn cleared(differs: &mut Vec<bool>, tile: Tile, pixels: usize, images: usize) -> &mut [bool] {
    differs.resize(images * pixels, false);
    let part = &mut differs[tile.first * pixels..][..tile.images * pixels];
    part.fill(false);
    part
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

/// Returns the indices of set marks.
fn marked(marks: &[bool]) -> impl Iterator<Item = usize> {
    const AT_ONCE: usize = 64;
    let blocks = marks.chunks(AT_ONCE).enumerate().filter(|(_, block)| block.contains(&true));
    blocks.flat_map(|(i, block)| {
        let set = block.iter().enumerate().filter(|(_, mark)| **mark);
        set.map(move |(at, _)| i * AT_ONCE + at)
    })
}

/// Returns the outputs along an axis (of `outputs`) whose window contains or, if dilated, spans an input
/// position.
pub(crate) fn readers(place: usize, window: &graph::Window, axis: usize, outputs: usize) -> Range<usize> {
    let (k, s, p) = (window.extent(axis), window.stride[axis], window.padding[axis]);
    let first = (place + p + 1).saturating_sub(k).div_ceil(s);
    let end = ((place + p) / s + 1).min(outputs);
    first.min(end)..end
}

/// Returns the ranges of panels between the changed ones, which must ascend.
fn unchanged(panels: usize, changed: impl Iterator<Item = usize>) -> impl Iterator<Item = Range<usize>> {
    let mut first = 0;
    let before = changed.chain([panels]).map(move |end| std::mem::replace(&mut first, end + 1)..end);
    before.filter(|range| !range.is_empty())
}
