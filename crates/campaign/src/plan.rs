use std::collections::HashMap;
use std::ops::Range;

use design::{
    CellSpec, EvaluationSet, FaultKind, FaultModel, ProtectionName, RECORD_VERSION, Scope, SharedText,
    StoredBits,
};
use ecc::{BLOCK, MemoryDistribution, MemoryLayout, NoProtection, UnknownProtection};
use inject::{MeanFlips, PlaneSizes};
use records::{ExpectedOutcomes, MAX_UNITS};

use crate::{Experiment, NoChangedTrials, StoredNetwork, Sweep, TrialsOf, UnknownTensor, UnstorableNetwork};

/// A network as a memory stores it.
#[derive(Clone, Debug)]
pub struct Network {
    /// Name in tables and figures.
    pub label: String,
    /// Content hash of its checkpoint.
    pub digest: String,
    /// Name and version of its evaluator ([`CellSpec::evaluator`]).
    pub evaluator: String,
    /// Places of its weights in the memory.
    pub layout: MemoryLayout,
    /// Its weights, in that layout.
    pub plane: Vec<i8>,
}

impl Network {
    /// Returns the plane indices of a tensor, padding included.
    pub(crate) fn stored_tensor(&self, name: &str) -> Result<Range<usize>, UnknownTensor> {
        let tensors = self.layout.tensors();
        let span = tensors.iter().find(|span| span.name == name).ok_or_else(|| UnknownTensor {
            model: self.label.clone(),
            tensor: name.into(),
            known: tensors.iter().map(|span| span.name.as_str()).collect::<Vec<_>>().join(", "),
        })?;
        Ok(span.start..span.start + span.len.next_multiple_of(BLOCK))
    }

    /// Returns the fault models of an experiment, each over all tensors and bits that the experiment sweeps: tensor by
    /// tensor in memory order, bits ascending.
    fn fault_models(&self, experiment: &Experiment) -> Result<Vec<FaultModel>, UnknownTensor> {
        let mut all = Vec::new();
        for model in experiment.fault_models() {
            let FaultModel { scope, .. } = model;
            if let Some(name) = &scope.tensor {
                self.stored_tensor(name)?;
            }
            let tensors: Vec<Option<SharedText>> = match experiment.sweep.contains(&Sweep::Tensor) {
                true => self.layout.tensors().iter().map(|span| Some(span.name.as_str().into())).collect(),
                false => vec![scope.tensor.clone()],
            };
            let bits: Vec<Option<u8>> = match experiment.sweep.contains(&Sweep::Bit) {
                true => (0..8).map(Some).collect(),
                false => vec![scope.bit],
            };
            for tensor in tensors {
                let scope = |&bit: &Option<u8>| Scope { bit, tensor: tensor.clone() };
                all.extend(bits.iter().map(scope).map(|scope| FaultModel { scope, ..model.clone() }));
            }
        }
        Ok(all)
    }
}

/// The reason for which an experiment has no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// No protection has the name.
    #[error(transparent)]
    Protection(#[from] UnknownProtection),
    /// A protection cannot store a network.
    #[error("{protection} cannot store {model}: {reason}")]
    Unstorable {
        /// Protection id.
        protection: ProtectionName,
        /// Network label.
        model: String,
        /// The first weight outside its range, the tensor without a code, or the rule that the protection breaks.
        reason: UnstorableNetwork,
    },
    /// The experiment asks for changed trials only, and they cannot be drawn.
    #[error("{model} under {protection}: {source}")]
    NoChangedTrials {
        /// Network label.
        model: String,
        /// Protection id.
        protection: ProtectionName,
        /// The reason.
        source: NoChangedTrials,
    },
    /// A fault model is confined to a tensor that a network does not have.
    #[error("fault_model: {0}")]
    Tensor(#[from] UnknownTensor),
    /// The plan has more units than a run may have.
    #[error("the sweep makes {units} units, expected at most {MAX_UNITS}: fewer trials, or more unit_trials")]
    Units {
        /// Number of units.
        units: u64,
    },
    /// A trial sees more images than there are.
    #[error("`data.images_per_trial` is {asked}, expected 1 to {images}, the number of images")]
    ImagesPerTrial {
        /// Images a trial that the experiment asks for.
        asked: u64,
        /// Images of the evaluation set.
        images: u64,
    },
    /// Two labels stand for one network, and their cells would be the same.
    #[error("models {first} and {second} are the same network (content hash {digest})")]
    SameNetwork {
        /// A label.
        first: String,
        /// Another label.
        second: String,
        /// Content hash of the network.
        digest: String,
    },
}

impl PlanError {
    fn no_protection(protection: &ProtectionName, model: &str, reason: NoProtection) -> Self {
        match reason {
            NoProtection::Unknown(unknown) => Self::Protection(unknown),
            NoProtection::Map(reason) => Self::unstorable(protection, model, reason),
        }
    }

    fn unstorable(protection: &ProtectionName, model: &str, reason: impl Into<UnstorableNetwork>) -> Self {
        Self::Unstorable { protection: protection.clone(), model: model.into(), reason: reason.into() }
    }
}

/// Returns the cells of an experiment: networks, then protections, then fault models, then rates, each in the file's order.
/// `networks` are the experiment's networks, in its order.
///
/// # Errors
/// When a protection is unknown or cannot store a network, two networks are one, a network lacks the tensor of a fault
/// model, there are too many units, the experiment asks for changed trials that cannot be drawn, or for more images a trial
/// than there are.
pub fn plan(
    experiment: &Experiment,
    networks: &[Network],
    evaluation: &EvaluationSet,
) -> Result<Vec<CellSpec>, PlanError> {
    let evaluation = &EvaluationSet { images_per_trial: experiment.images_per_trial(), ..evaluation.clone() };
    if let Some(asked) = evaluation.images_per_trial
        && !(1..=evaluation.images).contains(&asked)
    {
        return Err(PlanError::ImagesPerTrial { asked, images: evaluation.images });
    }
    let mut cells = Vec::new();
    for (i, (network, model)) in networks.iter().zip(&experiment.models).enumerate() {
        if let Some(twin) = networks[..i].iter().find(|n| n.digest == network.digest) {
            return Err(PlanError::SameNetwork {
                first: twin.label.clone(),
                second: network.label.clone(),
                digest: network.digest.clone(),
            });
        }
        let fault_models = network.fault_models(experiment)?;
        for id in model.protections.as_ref().unwrap_or(&experiment.protections) {
            let protection = network
                .protection(id)
                .map_err(|reason| PlanError::no_protection(id, &network.label, reason))?;
            protection
                .check(&network.layout, &network.plane)
                .map_err(|violation| PlanError::unstorable(id, &network.label, violation))?;
            let PlaneSizes { data_bits, check_bits } =
                network.bits_in(&FaultKind::Bernoulli.into(), &*protection)?.sizes();
            let stored = StoredBits {
                weights: network.layout.weights() as u64,
                padding_weights: network.layout.padding() as u64,
                data_bits,
                check_bits,
            };
            let refused = |source| PlanError::NoChangedTrials {
                model: network.label.clone(),
                protection: id.clone(),
                source,
            };
            let distribution = match experiment.trials_of {
                TrialsOf::All => None,
                TrialsOf::Changed if protection.loses(&network.plane) => {
                    return Err(refused(NoChangedTrials::Lossy { protection: id.to_string() }));
                }
                TrialsOf::Changed => {
                    // Conditional sampling draws words of one kind.
                    let of_words = protection.outcome_distributions().map(|_| &*protection);
                    let known = of_words.and_then(|known| MemoryDistribution::of(known, &network.plane));
                    Some(known.ok_or_else(|| {
                        refused(NoChangedTrials::NoClosedForm { protection: id.to_string() })
                    })?)
                }
            };
            let at_rates: Vec<Option<f64>> = experiment
                .rates()
                .iter()
                .map(|rate| distribution.as_ref().map(|known| known.changed_probability(rate.get())))
                .collect();
            if let Some(place) = at_rates.iter().position(|probability| *probability == Some(0.0)) {
                return Err(refused(NoChangedTrials::Never { rate: experiment.rates()[place].get() }));
            }
            let first = CellSpec {
                record_version: RECORD_VERSION,
                evaluator: network.evaluator.as_str().into(),
                model: network.label.as_str().into(),
                network: network.digest.as_str().into(),
                protection: id.clone(),
                protection_parameters: protection.parameters().into(),
                fault_model: fault_models[0].clone(),
                rate: experiment.rates()[0],
                seed: experiment.seed,
                stored,
                evaluation: evaluation.clone(),
                changed_probability: None,
                metrics: experiment.metrics().to_vec(),
            };
            for fault_model in &fault_models {
                let at_rates = experiment.rates().iter().zip(&at_rates);
                cells.extend(at_rates.map(|(&rate, &changed_probability)| CellSpec {
                    fault_model: fault_model.clone(),
                    rate,
                    changed_probability,
                    ..first.clone()
                }));
            }
        }
    }
    let units = experiment.units_of(cells.len() as u64);
    if units > MAX_UNITS {
        return Err(PlanError::Units { units });
    }
    Ok(cells)
}

/// Computes the average outcome of an ordinary trial, for those of the cells that have one in closed form: independent flips
/// of all bits, and a protection whose outcomes have a known distribution. `networks` are the networks of the cells.
pub fn expected_outcomes(networks: &[Network], cells: &[CellSpec]) -> Vec<ExpectedOutcomes> {
    let mut distributions: HashMap<(&str, &str), Option<MemoryDistribution>> = HashMap::new();
    let bernoulli = cells.iter().filter(|cell| cell.fault_model == FaultKind::Bernoulli.into());
    let expected = bernoulli.filter_map(|cell| {
        let distribution = distributions.entry((&cell.network, &cell.protection)).or_insert_with(|| {
            let network = networks.iter().find(|network| network.digest == cell.network)?;
            MemoryDistribution::of(&*network.protection(&cell.protection).ok()?, &network.plane)
        });
        let distribution = distribution.as_ref()?;
        let rate = cell.rate.get();
        let outcomes = distribution.expected(rate);
        Some(ExpectedOutcomes {
            cell: cell.id(),
            words_hit: distribution.words_hit(rate),
            corrected: outcomes.corrected_right,
            detected: outcomes.detected(),
            miscorrected: outcomes.corrected_wrong,
            silent: outcomes.clean_wrong,
            changed_probability: distribution.changed_probability(rate),
        })
    });
    expected.collect()
}

/// Computes the mean number of flips of an ordinary trial of each cell. If flips depend on the stored bits, it counts these.
/// `networks` include the networks of the cells.
///
/// # Errors
/// When a cell's protection is unknown or cannot store the network, or the network lacks the tensor of its fault model.
///
/// # Panics
/// When the network of a cell is not among `networks`.
pub fn mean_flips(networks: &[Network], cells: &[CellSpec]) -> Result<Vec<f64>, PlanError> {
    let mut all = Vec::with_capacity(cells.len());
    let alike = |a: &CellSpec, b: &CellSpec| a.network == b.network && a.protection == b.protection;
    for cells in cells.chunk_by(alike) {
        let network =
            networks.iter().find(|network| cells[0].network == network.digest).expect("a cell's network");
        let protection = network
            .protection(&cells[0].protection)
            .map_err(|reason| PlanError::no_protection(&cells[0].protection, &network.label, reason))?;
        let mut memory = None;
        for cells in cells.chunk_by(|a, b| a.fault_model == b.fault_model) {
            let fault_model = &cells[0].fault_model;
            let FaultModel { kind, scope, .. } = fault_model;
            let sizes = network.bits_in(fault_model, &*protection)?.sizes();
            let mut ones = None;
            for cell in cells {
                all.push(match inject::mean_flips(*kind, cell.rate, sizes) {
                    MeanFlips::OfMemory(flips) => flips,
                    MeanFlips::OfBit { zero, one } => {
                        if memory.is_none() {
                            let stored = StoredNetwork::new(network, protection.clone());
                            memory = Some(stored.map_err(|reason| {
                                PlanError::unstorable(&cell.protection, &cell.model, reason)
                            })?);
                        }
                        let memory = memory.as_ref().expect("it was just made");
                        if ones.is_none() {
                            ones = Some(memory.ones_in(scope)?);
                        }
                        let ones = ones.expect("they were just counted");
                        let zeros = sizes.data_bits + sizes.check_bits - ones;
                        one * ones as f64 + zero * zeros as f64
                    }
                });
            }
        }
    }
    Ok(all)
}
