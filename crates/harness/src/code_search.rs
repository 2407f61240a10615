//! Search for a code of its own for each tensor of an int8 network.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use campaign::StoredNetwork;
use data::ImageSet;
use design::{BitErrorRate, FaultKind};
use ecc::{CodeMap, Protection};
use quant::{Activations, Checkpoint, Contents, QuantTensor, WeightScale};
use wot::Validation;

use crate::quantizing::{at_least_error, clamped};
use crate::recipe::VALIDATION_SEED;
use crate::{Int8, Observer, ScaleRule, stored_network};

/// Bytes of activations and sums that the network of a map may keep for its trials.
const KEPT: usize = 512 << 20;

/// Conditions of a search.
#[derive(Debug)]
pub struct CodeSearch<'a> {
    /// The network as it was quantized.
    pub checkpoint: &'a Checkpoint,
    /// Images on which maps are judged; the test images of a campaign are not among them.
    pub images: &'a ImageSet,
    /// Codes that a tensor may have, at least two.
    pub codes: Vec<Arc<dyn Protection>>,
    /// Rule for the scale of a tensor whose weights are brought into the range of a code.
    pub scale: ScaleRule,
    /// Bit error rate of the trials.
    pub rate: BitErrorRate,
    /// Trials of each map; all maps have the same.
    pub trials: u64,
    /// Seed of the trials.
    pub seed: u64,
    /// Most evaluations of an image by a network; no map is begun that would need more.
    pub budget: u64,
}

/// A map that was evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvaluatedMap {
    /// Number of the code of each tensor, among the codes of the search.
    pub codes: Vec<usize>,
    /// Number of the map from which one tensor's code was changed, and that tensor; `None` if all tensors have one code.
    pub changed: Option<(usize, usize)>,
    /// Images that the network classifies correctly without faults.
    pub clean: u64,
    /// Images that it classifies correctly in each trial.
    pub faulty: Vec<u64>,
    /// Evaluations of an image up to and including this map.
    pub evaluations: u64,
    /// True if the search went on from this map.
    pub taken: bool,
}

/// The maps of a search, in the order in which they were evaluated.
#[derive(Debug)]
pub struct FoundCodes<'a> {
    search: CodeSearch<'a>,
    /// The tensors of the network under each code.
    tensors: Vec<Vec<QuantTensor>>,
    maps: Vec<EvaluatedMap>,
    /// Numbers of the maps by their codes.
    known: BTreeMap<Vec<usize>, usize>,
    /// True if the budget did not allow another map.
    exhausted: bool,
    /// Number of the map at which the search by accuracy at the rate ended.
    chosen: usize,
}

/// Standard errors over the trials by which a change must gain at the rate.
const STANDARD_ERRORS: f64 = 2.0;

/// Gain of a map over another one, in images. A change is taken if it is above 0.
type Gain = fn(&EvaluatedMap, &EvaluatedMap) -> f64;

impl EvaluatedMap {
    /// Images that are classified correctly in the trials, summed over these.
    pub fn faulty_sum(&self) -> u64 {
        self.faulty.iter().sum()
    }

    /// Mean gain at the rate, less [`STANDARD_ERRORS`] of it: both maps meet the same flips in a trial, and the change with the
    /// largest of many uncertain gains is likely to have been lucky.
    fn gain_at_rate(&self, other: &Self) -> f64 {
        let differences =
            self.faulty.iter().zip(&other.faulty).map(|(own, other)| *own as f64 - *other as f64);
        let trials = self.faulty.len() as f64;
        let mean = differences.clone().sum::<f64>() / trials;
        let squares: f64 = differences.map(|difference| (difference - mean).powi(2)).sum();
        mean - STANDARD_ERRORS * (squares / (trials - 1.0) / trials).sqrt()
    }

    fn gain_without_faults(&self, other: &Self) -> f64 {
        self.clean as f64 - other.clean as f64
    }
}

/// Returns the images of a training set that recipes with `validation = held_out` hold out.
///
/// # Errors
/// If there are fewer images.
pub fn held_out_images(images: &ImageSet, held_out: usize) -> anyhow::Result<ImageSet> {
    if held_out > images.len() {
        return Err(anyhow!(
            "{held_out} images are held out of {} {}, expected at most {}",
            images.name(),
            images.split(),
            images.len()
        ));
    }
    let validation = Validation { images: held_out, seed: VALIDATION_SEED };
    Ok(images.pick(&validation.split(images.len()).0))
}

impl<'a> CodeSearch<'a> {
    /// Evaluates the network with each of the codes for all tensors, then climbs: of all maps that differ from the present one in
    /// the code of one tensor, it goes on with the one whose accuracy at the rate gains most, by its mean less two standard
    /// errors, until that is not above 0; then with those of the highest fault-free accuracy. A gain that was measured on
    /// an earlier map ranks a change until the change is measured again.
    ///
    /// # Errors
    /// If there are fewer than two codes, one cannot be in a map, the budget does not allow one map for each code, the scale
    /// cannot be chosen, or the network does not take the images.
    pub fn run(self, observer: &dyn Observer) -> anyhow::Result<FoundCodes<'a>> {
        let ids: BTreeSet<&str> = self.codes.iter().map(|code| code.id()).collect();
        if ids.len() < 2 || ids.len() < self.codes.len() {
            let given: Vec<&str> = self.codes.iter().map(|code| code.id()).collect();
            return Err(anyhow!("the codes are {}, expected at least two different ones", given.join(", ")));
        }
        if self.trials < 2 {
            return Err(anyhow!(
                "there are {} trials, expected at least 2: gains have a standard error",
                self.trials
            ));
        }
        let least = self.cost() * self.codes.len() as u64;
        if self.budget < least {
            return Err(anyhow!(
                "the budget is {} evaluations, expected at least {least}: {} images in {} trials and without faults, for each of \
                 {} codes",
                self.budget,
                self.images.len(),
                self.trials,
                self.codes.len()
            ));
        }
        let tensors = self.codes.iter().map(|code| self.tensors_under(&**code)).collect::<Result<_, _>>()?;
        let mut found = FoundCodes {
            search: self,
            tensors,
            maps: Vec::new(),
            known: BTreeMap::new(),
            exhausted: false,
            chosen: 0,
        };
        observer.begin(found.search.budget, "image evaluations");
        let climbed = found.climb_twice(observer);
        observer.end();
        climbed.map(|()| found)
    }

    /// Evaluations of an image that a map takes.
    fn cost(&self) -> u64 {
        self.images.len() as u64 * (1 + self.trials)
    }

    /// The weights of each tensor in the range of a code.
    fn tensors_under(&self, code: &dyn Protection) -> anyhow::Result<Vec<QuantTensor>> {
        let range = code.constraint();
        let scaled = |tensor: &QuantTensor| match (self.scale, tensor.scale(), &self.checkpoint.activations) {
            (ScaleRule::Largest, ..) => Ok(tensor.clone()),
            (
                ScaleRule::LeastError,
                WeightScale::Tensor(_),
                Activations::Static(_) | Activations::Dynamic { .. },
            ) => at_least_error(tensor.name(), &tensor.dequantize(), &range),
            (ScaleRule::LeastError, ..) => Err(anyhow!(
                "scales of least error need one scale of our own for each tensor, {} has others: expected the scales that the \
                 checkpoint has",
                tensor.name()
            )),
        };
        let scaled = self.checkpoint.weights.iter().map(scaled).collect::<anyhow::Result<_>>()?;
        Ok(clamped(scaled, &range.into()).0)
    }
}

impl FoundCodes<'_> {
    fn climb_twice(&mut self, observer: &dyn Observer) -> anyhow::Result<()> {
        let tensors = self.search.checkpoint.weights.len();
        for code in 0..self.search.codes.len() {
            self.evaluated(vec![code; tensors], None, observer)?;
        }
        // The first one of equals.
        let numbers = (0..self.maps.len()).rev();
        let best = numbers.max_by_key(|number| self.maps[*number].faulty_sum()).expect("a map for each code");
        self.chosen = self.climb(best, EvaluatedMap::gain_at_rate, observer)?;
        self.climb(self.chosen, EvaluatedMap::gain_without_faults, observer)?;
        Ok(())
    }

    /// Goes from map `at` to better ones; returns the last.
    fn climb(&mut self, mut at: usize, gain: Gain, observer: &dyn Observer) -> anyhow::Result<usize> {
        let (tensors, codes) = (self.search.checkpoint.weights.len(), self.search.codes.len());
        // Gains of changes on the last map on which they were measured; changes without one come first.
        let mut gains: BTreeMap<(usize, usize), f64> = BTreeMap::new();
        loop {
            self.maps[at].taken = true;
            let changes = (0..tensors).flat_map(|tensor| (0..codes).map(move |code| (tensor, code)));
            let changes: Vec<(usize, usize)> =
                changes.filter(|(tensor, code)| self.maps[at].codes[*tensor] != *code).collect();
            let mut measured: BTreeMap<(usize, usize), usize> = BTreeMap::new();
            loop {
                let rank = |change: &(usize, usize)| gains.get(change).copied().unwrap_or(f64::INFINITY);
                // The first one of equals.
                let ranked = changes.iter().rev().max_by(|a, b| rank(a).total_cmp(&rank(b)));
                let Some(&change) = ranked else { return Ok(at) };
                if let Some(&map) = measured.get(&change) {
                    if gains[&change] <= 0.0 {
                        return Ok(at);
                    }
                    at = map;
                    break;
                }
                let (tensor, code) = change;
                let mut map = self.maps[at].codes.clone();
                map[tensor] = code;
                let Some(number) = self.evaluated(map, Some((at, tensor)), observer)? else {
                    return Ok(at);
                };
                gains.insert(change, gain(&self.maps[number], &self.maps[at]));
                measured.insert(change, number);
            }
        }
    }

    /// Number of the map with these codes, which is evaluated if it is new; `None` if the budget does not allow that.
    fn evaluated(
        &mut self,
        codes: Vec<usize>,
        changed: Option<(usize, usize)>,
        observer: &dyn Observer,
    ) -> anyhow::Result<Option<usize>> {
        if let Some(&known) = self.known.get(&codes) {
            return Ok(Some(known));
        }
        let spent = self.evaluations() + self.search.cost();
        if spent > self.search.budget {
            self.exhausted = true;
            return Ok(None);
        }
        let code = |tensor: usize| self.search.codes[codes[tensor]].id();
        observer.subject(&match changed {
            None => code(0).to_owned(),
            Some((_, tensor)) => {
                format!("{} for {}", code(tensor), self.search.checkpoint.weights[tensor].name())
            }
        });
        let (clean, faulty) = self.measured(&codes, observer)?;
        let number = self.maps.len();
        self.known.insert(codes.clone(), number);
        self.maps.push(EvaluatedMap { codes, changed, clean, faulty, evaluations: spent, taken: false });
        Ok(Some(number))
    }

    /// Images that a map's network classifies correctly without faults, and in each trial.
    fn measured(&self, codes: &[usize], observer: &dyn Observer) -> anyhow::Result<(u64, Vec<u64>)> {
        let CodeSearch { images, rate, trials, seed, .. } = self.search;
        let checkpoint = self.checkpoint_of(codes)?;
        let done = |images: usize| observer.advance(images as u64);
        let mut int8 = Int8::new(&checkpoint, images, false, KEPT, &done)?;
        let network = stored_network("the network", &checkpoint);
        let protection = self.map_of(codes)?.protection(&network.layout)?;
        let memory = StoredNetwork::new(&network, Arc::new(protection))?;
        let evaluation = int8.evaluation(images);
        let mut faulty = Vec::new();
        let together = campaign::Evaluator::together(&int8).max(1) as u64;
        for first in (0..trials).step_by(together as usize) {
            let numbers = first..trials.min(first + together);
            let drawn = numbers.map(|trial| memory.trial(FaultKind::Bernoulli, rate, seed, trial)).collect();
            let records = evaluation.records(first, drawn, &mut int8)?;
            faulty.extend(records.iter().map(|record| record.correct));
            observer.advance(records.len() as u64 * images.len() as u64);
        }
        Ok((evaluation.clean_correct(), faulty))
    }

    fn checkpoint_of(&self, codes: &[usize]) -> anyhow::Result<Checkpoint> {
        let checkpoint = self.search.checkpoint;
        let weights: Vec<QuantTensor> =
            codes.iter().enumerate().map(|(tensor, code)| self.tensors[*code][tensor].clone()).collect();
        let mut contents = Contents { weights, ..Contents::clone(checkpoint) };
        let rule = match self.search.scale {
            ScaleRule::Largest => "scales kept",
            ScaleRule::LeastError => "scales of least squared error",
        };
        let edits = &mut contents.provenance.weight_edits;
        *edits = format!("{edits}; brought into the ranges of a code for each tensor; {rule}");
        Ok(Checkpoint::new(contents)?)
    }

    fn map_of(&self, codes: &[usize]) -> anyhow::Result<CodeMap> {
        let tensors = self.search.checkpoint.weights.iter().zip(codes);
        let named =
            tensors.map(|(tensor, code)| (tensor.name().into(), Arc::clone(&self.search.codes[*code])));
        CodeMap::new("codes", "the codes of the search", named.collect()).context("codes")
    }

    /// The conditions of the search.
    pub fn search(&self) -> &CodeSearch<'_> {
        &self.search
    }

    /// The maps that were evaluated, in order.
    pub fn maps(&self) -> &[EvaluatedMap] {
        &self.maps
    }

    /// Evaluations of an image by a network up to now.
    pub fn evaluations(&self) -> u64 {
        self.maps.last().map_or(0, |map| map.evaluations)
    }

    /// True if the search ended because the budget did not allow another map, not because no change gains.
    pub fn is_exhausted(&self) -> bool {
        self.exhausted
    }

    /// The codes of a map's tensors.
    ///
    /// # Errors
    /// If a code cannot be in a map, which was found before.
    pub fn map(&self, number: usize) -> anyhow::Result<CodeMap> {
        self.map_of(&self.maps[number].codes)
    }

    /// The network with its weights in the ranges of a map.
    ///
    /// # Errors
    /// If the network cannot be built, which was found before.
    pub fn checkpoint(&self, number: usize) -> anyhow::Result<Checkpoint> {
        self.checkpoint_of(&self.maps[number].codes)
    }

    /// Number of the map at which the search by accuracy at the rate ended.
    pub fn chosen(&self) -> usize {
        self.chosen
    }

    /// Numbers of the maps on the front: no other map has a higher accuracy without faults or at the rate, and the other one not
    /// lower. They come by ascending fault-free accuracy; of equal maps the first one counts.
    pub fn front(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.maps.len()).collect();
        order.sort_by_key(|&number| {
            let map = &self.maps[number];
            (std::cmp::Reverse((map.clean, map.faulty_sum())), number)
        });
        let mut highest = None;
        order.retain(|&number| {
            let faulty = Some(self.maps[number].faulty_sum());
            let on_front = faulty > highest;
            highest = highest.max(faulty);
            on_front
        });
        order.reverse();
        order
    }
}
