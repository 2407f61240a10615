use std::collections::{BTreeMap, BTreeSet};

use data::ImageSet;
use ecc::TensorRanges;
use graph::{Graph, Op, ParameterSpec, Preprocessing};
use quant::{ActivationScale, FloatTensor, Parameters, QuantTensor, WeightScale, check_values};
use rayon::prelude::*;

use crate::WotError;
use crate::batches::{PixelTable, Sampler, channels_last, plain};
use crate::kernel::{Kernel, Loop};
use crate::network::{Faults, Gradients, Mode, Network, Rounding};
use crate::ops::{Buffer, cross_entropy, cross_entropy_backward};
use crate::recipe::{Method, Recipe};
use crate::state::digest;
use crate::throttle::{count_outside, levels, project, scale_of, throttle};

/// Number of images in one pass of a validation or calibration.
const PASS: usize = 50;
/// Number of weights that one thread updates at a time.
const CHUNK: usize = 1 << 14;
/// Number of training images from which the initial ranges of activations are taken.
const CALIBRATION_IMAGES: usize = 500;

/// A training that can be stopped, saved, and continued to the same bits.
///
/// An object trains one network: [`Trainer::next_check`] trains until there is something to report;
/// [`Trainer::step`] runs a single iteration on a batch of the caller.
pub struct Trainer {
    pub(crate) network: Network,
    pub(crate) recipe: Recipe,
    pub(crate) preprocessing: Preprocessing,
    table: PixelTable,
    /// SGD's momentum of every variable.
    pub(crate) momentum: BTreeMap<String, Vec<f32>>,
    /// ADMM's Z and U of every stored weight; empty for other methods.
    pub(crate) admm: BTreeMap<String, Admm>,
    /// Digest of the parameters before the first iteration.
    pub(crate) start: String,
    /// Number of iterations done.
    pub(crate) iteration: u64,
    /// Sum of losses, and number of them, since the last check.
    pub(crate) losses: (f64, u64),
    /// True if the check of this iteration was already returned.
    pub(crate) checked: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Admm {
    /// Z: the constrained copy of the weights.
    pub(crate) target: Vec<f32>,
    /// U: the scaled dual variable.
    pub(crate) dual: Vec<f32>,
}

/// A report on the state of a training.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// Number of iterations done.
    pub iteration: u64,
    /// Mean loss of the iterations since the last check; NaN before the first iteration.
    pub loss: f64,
    /// Number of images held out.
    pub validation_images: usize,
    /// Number of held-out images classified correctly; for a quantizing method with rounded weights and
    /// activations, before throttling.
    pub correct: usize,
    /// Results after throttling; `None` for [`Method::Float`].
    pub throttled: Option<Throttled>,
}

/// A network after throttling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Throttled {
    /// Number of stored weights that violated the constraint before they were clamped.
    pub large_values: usize,
    /// Number of held-out images classified correctly after throttling.
    pub correct: usize,
}

/// The int8 network that a quantizing training returns.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// Stored weights in memory order. Every one satisfies the constraint.
    pub weights: Vec<QuantTensor>,
    /// Biases and batch-norm parameters.
    pub parameters: Parameters,
    /// Scale of every quantization point, by node name.
    pub activations: BTreeMap<String, ActivationScale>,
    /// Number of weights that still violated the constraint and were clamped at the very end; only ADMM
    /// leaves some.
    pub clamped_at_end: usize,
}

/// Refuses operations without a training step.
fn check_operations(graph: &Graph) -> Result<(), WotError> {
    let missing =
        |op: &Op| matches!(op, Op::TokenEmbedding { .. } | Op::Attention { .. } | Op::SelectToken { .. });
    match graph.nodes().iter().find(|node| missing(&node.op)) {
        None => Ok(()),
        Some(node) => {
            Err(WotError::Operation { layer: node.name.clone(), operation: format!("{:?}", node.op) })
        }
    }
}

/// Checks that the parameters are exactly those of the graph.
fn check_parameters(graph: &Graph, parameters: &Parameters) -> Result<(), WotError> {
    let mut unexpected: BTreeSet<&String> = parameters.keys().collect();
    for ParameterSpec { name, shape } in graph.parameters() {
        unexpected.remove(&name);
        match parameters.get(&name) {
            None => return Err(WotError::MissingParameter { name }),
            Some(tensor) if tensor.shape() != shape => {
                let found = tensor.shape().to_vec();
                return Err(WotError::ParameterShape { name, found, expected: shape });
            }
            Some(_) => {}
        }
    }
    match unexpected.pop_first() {
        None => Ok(()),
        Some(name) => Err(WotError::UnexpectedParameter { name: name.clone() }),
    }
}

impl Trainer {
    /// Begins a training with the given parameters, which must be exactly the graph's.
    ///
    /// For a quantizing method this fixes the scale of every weight ([`Recipe::scale`]). [`Method::Qatt`]
    /// throttles nothing before the first check.
    ///
    /// # Errors
    /// The graph has an attention, a token embedding or a selected token, which have no gradients here; parameters do not
    /// fit, are not finite or are too small for a scale; or a recipe or preprocessing is invalid.
    pub fn new(
        graph: &Graph,
        parameters: Parameters,
        preprocessing: &Preprocessing,
        recipe: Recipe,
    ) -> Result<Self, WotError> {
        recipe.check()?;
        check_operations(graph)?;
        check_parameters(graph, &parameters)?;
        check_values(&parameters)?;
        let table = PixelTable::new(graph, preprocessing)?;
        let mut network = Network::new(graph, &parameters);
        let mut admm = BTreeMap::new();
        if recipe.method != Method::Float {
            let mut scales = BTreeMap::new();
            for spec in graph.stored_weights() {
                let weights = parameters[&spec.name].values();
                let constraint = recipe.method.constraint().expect("a quantizing method has one");
                let scale = scale_of(weights, recipe.scale, constraint.of(&spec.name))
                    .map_err(|error| WotError::Scale { tensor: spec.name.clone(), error })?;
                if let Method::Admm { constraint, .. } = &recipe.method {
                    let mut target = weights.to_vec();
                    project(&mut target, scale, constraint.of(&spec.name));
                    admm.insert(spec.name.clone(), Admm { target, dual: vec![0.0; weights.len()] });
                }
                scales.insert(spec.name, scale);
            }
            let input = graph.nodes()[0].name.clone();
            network.rounding = Some(Rounding { scales, ranges: BTreeMap::from([(input, table.max_abs())]) });
        }
        let momentum =
            network.variables.iter().map(|(name, v)| (name.clone(), vec![0.0; v.values().len()])).collect();
        Ok(Self {
            network,
            recipe,
            preprocessing: preprocessing.clone(),
            table,
            momentum,
            admm,
            start: digest(&parameters),
            iteration: 0,
            losses: (0.0, 0),
            checked: false,
        })
    }

    /// Number of iterations done.
    pub fn iteration(&self) -> u64 {
        self.iteration
    }

    /// Trains until the next check is due and returns it: the first before the first iteration, then one
    /// every `check_every` iterations and one at the end; `None` after that.
    ///
    /// `images` is the *training* set; the images that the recipe holds out are used for evaluation only.
    /// `progress` is called after every iteration with the number of iterations done and the loss.
    ///
    /// After a check of [`Method::Qatt`], the weights of the trainer are throttled.
    ///
    /// # Errors
    /// The images do not fit the network or are too few, or a loss is not finite.
    pub fn next_check(
        &mut self,
        images: &ImageSet,
        mut progress: impl FnMut(u64, f32),
    ) -> Result<Option<Check>, WotError> {
        let mut sampler = Sampler::new(self.network.graph(), &self.recipe, images)?;
        if self.iteration == 0 && !self.checked {
            self.calibrate(images, sampler.training());
            return Ok(Some(self.check(images, sampler.held_out())));
        }
        while self.iteration < self.recipe.iterations {
            let batch = sampler.batch(images, &self.table, self.iteration, self.network.pool());
            let loss = self.update(batch.images, &batch.labels)?;
            self.losses = (self.losses.0 + f64::from(loss), self.losses.1 + 1);
            self.checked = false;
            progress(self.iteration, loss);
            let due = self.iteration.is_multiple_of(self.recipe.check_every);
            if due || self.iteration == self.recipe.iterations {
                return Ok(Some(self.check(images, sampler.held_out())));
            }
            self.throttle();
        }
        Ok(None)
    }

    /// Runs one iteration on a batch of the caller: images as `[n, channels, height, width]`, normalized.
    /// Returns the loss before the update. [`Method::Qatt`] throttles after it, and before the first
    /// iteration.
    ///
    /// # Errors
    /// Images or labels do not fit the network, or the loss is not finite.
    pub fn step(&mut self, images: &FloatTensor, labels: &[u16]) -> Result<f32, WotError> {
        let (expected, classes) = {
            let spec = self.network.graph().spec();
            (spec.input, spec.classes)
        };
        let n = labels.len();
        if n < 2 || images.shape() != [n, expected[0], expected[1], expected[2]] {
            return Err(WotError::Batch { found: images.shape().to_vec(), labels: n, expected });
        }
        if let Some(index) = labels.iter().position(|&label| usize::from(label) >= classes) {
            return Err(WotError::Label { index, label: labels[index], classes });
        }
        let mut batch = self.network.pool().take(images.values().len());
        channels_last(images, &mut batch);
        if self.iteration == 0 {
            self.throttle();
        }
        let loss = self.update(batch, labels)?;
        self.throttle();
        Ok(loss)
    }

    /// Runs forward pass, backward pass and SGD; nothing is throttled.
    fn update(&mut self, images: Buffer, labels: &[u16]) -> Result<f32, WotError> {
        let faulty = self.recipe.bit_errors.map(|errors| {
            let faults = Faults { errors, seed: self.recipe.seed, iteration: self.iteration };
            let mut again = self.network.pool().take(images.len());
            again.copy_from_slice(&images);
            (again, Mode::TrainFaulty(faults))
        });
        let (loss, mut gradients) = self.gradients(images, labels, Mode::Train)?;
        if let Some((images, mode)) = faulty {
            for (name, faulty) in self.gradients(images, labels, mode)?.1 {
                let mean = gradients.get_mut(&name).expect("both passes reach the same variables");
                mean.iter_mut().zip(&faulty[..]).for_each(|(mean, faulty)| *mean = 0.5 * (*mean + faulty));
            }
        }
        self.descend(&gradients);
        self.iteration += 1;
        if let Method::Admm { constraint, dual_every, .. } = &self.recipe.method
            && self.iteration.is_multiple_of(*dual_every)
        {
            self.update_dual(&constraint.clone());
        }
        Ok(loss)
    }

    /// Returns the loss of a batch and the gradients of all variables.
    fn gradients(
        &mut self,
        images: Buffer,
        labels: &[u16],
        mode: Mode,
    ) -> Result<(f32, Gradients), WotError> {
        let logits = self.network.forward(images, mode);
        let loss = cross_entropy(&logits, labels);
        if !loss.is_finite() {
            return Err(WotError::Diverged { iteration: self.iteration + 1, loss });
        }
        let mut gradient = self.network.pool().take(logits.len());
        cross_entropy_backward(&logits, labels, &mut gradient);
        drop(logits);
        Ok((loss, self.network.backward(gradient)))
    }

    /// Applies PyTorch's SGD: d = g + decay * w; m = momentum * m + d; w = w - rate * m. ADMM adds the
    /// gradient of its penalty, beta * (w - z + u), to g.
    fn descend(&mut self, gradients: &Gradients) {
        let rate = self.recipe.schedule.rate(self.iteration, self.recipe.iterations);
        let (factor, decay) = (self.recipe.momentum, self.recipe.weight_decay);
        let beta = match self.recipe.method {
            Method::Admm { beta, .. } => beta,
            Method::Float | Method::Qatt { .. } => 0.0,
        };
        let kernel = Kernel::fastest();
        for (name, gradient) in gradients {
            let momentum = self.momentum.get_mut(name).expect("a momentum for each variable");
            let weights = self.network.variables.get_mut(name).expect("gradients are of variables");
            let admm = self.admm.get(name);
            let tasks = weights.values_mut().par_chunks_mut(CHUNK).zip(momentum.par_chunks_mut(CHUNK));
            tasks.zip(gradient.par_chunks(CHUNK)).enumerate().for_each(
                |(index, ((weights, momentum), gradient))| {
                    let range = index * CHUNK..index * CHUNK + weights.len();
                    let penalty = admm.map(|Admm { target, dual }| (&target[range.clone()], &dual[range]));
                    kernel.enter(Descend { weights, momentum, gradient, penalty, beta, rate, factor, decay });
                },
            );
        }
    }

    /// Updates Z = projection of W + U, then U = U + W - Z.
    fn update_dual(&mut self, constraint: &TensorRanges) {
        let rounding = self.network.rounding.as_ref().expect("ADMM rounds");
        for (name, Admm { target, dual }) in &mut self.admm {
            let weights = self.network.variables[name].values();
            for ((target, weight), dual) in target.iter_mut().zip(weights).zip(dual.iter()) {
                *target = weight + dual;
            }
            project(target, rounding.scales[name], constraint.of(name));
            for ((target, weight), dual) in target.iter().zip(weights).zip(dual) {
                *dual += weight - target;
            }
        }
    }

    /// Clamps the weights of a QATT training to the constraint.
    fn throttle(&mut self) {
        if let Method::Qatt { constraint } = &self.recipe.method {
            self.clamp(&constraint.clone());
        }
    }

    /// Clamps all stored weights to the constraint; returns the number of violations.
    fn clamp(&mut self, constraint: &TensorRanges) -> usize {
        let rounding = self.network.rounding.as_ref().expect("a constraint is on rounded weights");
        let mut clamped = 0;
        for (name, &scale) in &rounding.scales {
            let weights = self.network.variables.get_mut(name).expect("a stored weight is a variable");
            clamped += throttle(weights.values_mut(), scale, constraint.of(name));
        }
        clamped
    }

    /// Returns the current number of large values.
    fn count_large(&self, constraint: &TensorRanges) -> usize {
        let rounding = self.network.rounding.as_ref().expect("a constraint is on rounded weights");
        let counts = rounding.scales.iter().map(|(name, &scale)| {
            count_outside(self.network.variables[name].values(), scale, constraint.of(name))
        });
        counts.sum()
    }

    /// Takes the initial ranges of activations from some training images.
    fn calibrate(&mut self, images: &ImageSet, training: &[u32]) {
        if self.network.rounding.is_some() {
            for indices in training[..CALIBRATION_IMAGES.min(training.len())].chunks(PASS) {
                let batch = plain(images, &self.table, indices, self.network.pool());
                self.network.forward(batch.images, Mode::Calibrate);
            }
        }
    }

    fn check(&mut self, images: &ImageSet, held_out: &[u32]) -> Check {
        let correct = self.correct(images, held_out);
        let throttled = match self.recipe.method.clone() {
            Method::Float => None,
            Method::Qatt { constraint } => {
                let large_values = self.clamp(&constraint);
                Some(Throttled { large_values, correct: self.correct(images, held_out) })
            }
            Method::Admm { constraint, .. } => {
                // Training continues with the unthrottled weights; only a copy is throttled.
                let kept = self.network.variables.clone();
                let large_values = self.clamp(&constraint);
                let correct = self.correct(images, held_out);
                self.network.variables = kept;
                Some(Throttled { large_values, correct })
            }
        };
        let (sum, count) = std::mem::take(&mut self.losses);
        self.checked = true;
        Check {
            iteration: self.iteration,
            loss: sum / count as f64,
            validation_images: held_out.len(),
            correct,
            throttled,
        }
    }

    /// Returns the number of images among `indices` that the network classifies correctly; the first of equal
    /// logits wins.
    fn correct(&mut self, images: &ImageSet, indices: &[u32]) -> usize {
        let mut correct = 0;
        for indices in indices.chunks(PASS) {
            let batch = plain(images, &self.table, indices, self.network.pool());
            let logits = self.network.forward(batch.images, Mode::Evaluate);
            let classes = logits.len() / indices.len();
            let best =
                |row: &[f32]| (1..classes).fold(0, |best, i| if row[i] > row[best] { i } else { best });
            let rows = logits.chunks_exact(classes).zip(&batch.labels);
            correct += rows.filter(|(row, label)| best(row) == usize::from(**label)).count();
        }
        correct
    }

    /// Returns all current parameters, including real weights and running statistics.
    pub fn parameters(&self) -> Parameters {
        self.network.parameters()
    }

    /// Returns the int8 network: clamps weights that still violate the constraint, and stores every weight
    /// with the scale of its training.
    ///
    /// # Errors
    /// The method is [`Method::Float`], or the ranges of activations are unknown (they are known after the
    /// first check or step).
    pub fn finish(mut self) -> Result<Trained, WotError> {
        let Some(constraint) = self.recipe.method.constraint().cloned() else {
            return Err(WotError::NotThere { asked: "an int8 network", needed: "a quantizing method" });
        };
        let clamped_at_end = self.count_large(&constraint);
        self.clamp(&constraint);
        let mut activations = BTreeMap::new();
        for point in self.network.graph().quantization_points() {
            let Some(scale) = self.network.activation_scale(point.node) else {
                return Err(WotError::NotThere { asked: "an activation scale", needed: "a check or a step" });
            };
            activations.insert(self.network.graph().nodes()[point.node].name.clone(), scale);
        }
        let mut parameters = self.network.parameters();
        let rounding = self.network.rounding.as_ref().expect("a quantizing method rounds");
        let mut weights = Vec::new();
        for spec in self.network.graph().stored_weights() {
            let real = parameters.remove(&spec.name).expect("a stored weight is a parameter");
            let scale = rounding.scales[&spec.name];
            let values = levels(real.values(), scale);
            if let Some((index, value)) = constraint.of(&spec.name).violations(&values).next() {
                unreachable!("weight {index} of {} is stored as {value}", spec.name);
            }
            let tensor = QuantTensor::new(spec.name, spec.shape, values, WeightScale::Tensor(scale));
            weights.push(tensor.expect("levels of a parameter of the graph"));
        }
        Ok(Trained { weights, parameters, activations, clamped_at_end })
    }
}

/// One step of SGD; see [`Trainer::descend`].
struct Descend<'a> {
    weights: &'a mut [f32],
    momentum: &'a mut [f32],
    gradient: &'a [f32],
    /// ADMM's target and dual.
    penalty: Option<(&'a [f32], &'a [f32])>,
    beta: f32,
    rate: f32,
    factor: f32,
    decay: f32,
}

impl Loop for Descend<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { rate, factor, decay, .. } = self;
        let n = self.weights.len();
        let (weights, momentum, gradient) = (self.weights, &mut self.momentum[..n], &self.gradient[..n]);
        if let Some((target, dual)) = self.penalty {
            let (target, dual) = (&target[..n], &dual[..n]);
            for i in 0..n {
                let d = gradient[i] + self.beta * (weights[i] - target[i] + dual[i]) + decay * weights[i];
                momentum[i] = factor * momentum[i] + d;
                weights[i] -= rate * momentum[i];
            }
        } else {
            for i in 0..n {
                let d = gradient[i] + decay * weights[i];
                momentum[i] = factor * momentum[i] + d;
                weights[i] -= rate * momentum[i];
            }
        }
    }
}
