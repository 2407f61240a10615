use std::collections::HashMap;
use std::ops::Range;

use ecc::{BLOCK, MemoryLaw, MemoryLayout, Protection, Violation};
use inject::{BitErrorRate, FaultModel, PlaneSizes, Scope, ScopedFaultModel};
use records::{CellSpec, EvaluationSet, ExpectedOutcomes, MAX_UNITS, RECORD_VERSION, StoredCells};

use crate::{Experiment, NoChangedTrials, StoredNetwork, Sweep, TrialsOf, UnknownTensor};

/// A network as the memory sees it.
#[derive(Clone, Debug)]
pub struct Network {
    /// Name in tables and figures.
    pub label: String,
    /// Content hash of its checkpoint.
    pub digest: String,
    /// What evaluates it, and by which rules.
    pub evaluator: String,
    /// Where its weights lie.
    pub layout: MemoryLayout,
    /// Its weights, in that layout.
    pub plane: Vec<i8>,
}

impl Network {
    /// Plane indices of a tensor, its padding included.
    pub(crate) fn stored_tensor(&self, name: &str) -> Result<Range<usize>, UnknownTensor> {
        let tensors = self.layout.tensors();
        let span = tensors.iter().find(|span| span.name == name).ok_or_else(|| UnknownTensor {
            model: self.label.clone(),
            tensor: name.into(),
            known: tensors.iter().map(|span| span.name.as_str()).collect::<Vec<_>>().join(", "),
        })?;
        Ok(span.start..span.start + span.len.next_multiple_of(BLOCK))
    }

    /// The fault models of an experiment, each over all tensors and bits that it sweeps: tensor by tensor in memory
    /// order, bits ascending.
    fn fault_models(&self, experiment: &Experiment) -> Result<Vec<ScopedFaultModel>, UnknownTensor> {
        let mut all = Vec::new();
        for ScopedFaultModel { model, scope } in experiment.fault_models() {
            if let Some(name) = &scope.tensor {
                self.stored_tensor(name)?;
            }
            let tensors: Vec<Option<String>> = match experiment.sweep.contains(&Sweep::Tensor) {
                true => self.layout.tensors().iter().map(|span| Some(span.name.clone())).collect(),
                false => vec![scope.tensor],
            };
            let bits: Vec<Option<u8>> = match experiment.sweep.contains(&Sweep::Bit) {
                true => (0..8).map(Some).collect(),
                false => vec![scope.bit],
            };
            for tensor in tensors {
                let scope = |&bit: &Option<u8>| Scope { bit, tensor: tensor.clone() };
                all.extend(bits.iter().map(scope).map(|scope| ScopedFaultModel { model, scope }));
            }
        }
        Ok(all)
    }
}

/// Why a plan cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A protection cannot store a network.
    #[error(
        "{protection} cannot store {model}: {violation} (throttle the checkpoint: `zerospace quantize --throttle={protection}`)"
    )]
    Unstorable {
        /// Protection id.
        protection: String,
        /// Network label.
        model: String,
        /// The first weight outside its range.
        violation: Violation,
    },
    /// Only trials that change something were asked for, and cannot be drawn.
    #[error("{model} under {protection}: {source}")]
    NoChangedTrials {
        /// Network label.
        model: String,
        /// Protection id.
        protection: String,
        /// Why.
        source: NoChangedTrials,
    },
    /// A fault model is confined to a tensor that a network does not have.
    #[error("fault_model: {0}")]
    Tensor(#[from] UnknownTensor),
    /// More units than a run may have.
    #[error("the sweep makes {units} units, expected at most {MAX_UNITS}: fewer trials, or more unit_trials")]
    Units {
        /// How many.
        units: u64,
    },
    /// Two labels for one network, whose cells would be the same.
    #[error("models {first} and {second} are the same network (content hash {digest})")]
    SameNetwork {
        /// A label.
        first: String,
        /// Another label.
        second: String,
        /// Their content hash.
        digest: String,
    },
}

/// The cells of an experiment: networks, then protections, then fault models, then rates, each in the file's order.
/// `networks` are those of the experiment, in its order.
///
/// # Errors
/// When a protection cannot store a network, two networks are one, a network lacks the tensor of a fault model, there are
/// too many units, or trials that change something are asked for and cannot be drawn.
pub fn plan(
    experiment: &Experiment,
    networks: &[Network],
    evaluation: &EvaluationSet,
) -> Result<Vec<CellSpec>, PlanError> {
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
            let protection = ecc::by_id(id).expect("checked when the experiment was read");
            protection.constraint().check(&network.layout, &network.plane).map_err(|violation| {
                PlanError::Unstorable { protection: id.clone(), model: network.label.clone(), violation }
            })?;
            let PlaneSizes { data_bits, check_bits } =
                network.cells_in(&Scope::default(), &*protection)?.sizes();
            let stored = StoredCells {
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
            let law = match experiment.trials_of {
                TrialsOf::All => None,
                TrialsOf::Changed if loses(&*protection, &network.plane) => {
                    return Err(refused(NoChangedTrials::Lossy { protection: id.clone() }));
                }
                TrialsOf::Changed => Some(
                    MemoryLaw::of(&*protection, &network.plane)
                        .ok_or_else(|| refused(NoChangedTrials::NoLaw { protection: id.clone() }))?,
                ),
            };
            let grid =
                fault_models.iter().flat_map(|model| experiment.rates.iter().map(move |&rate| (model, rate)));
            for (fault_model, rate) in grid {
                let changed_probability = law.as_ref().map(|law| law.changed_probability(rate));
                if changed_probability == Some(0.0) {
                    return Err(refused(NoChangedTrials::Never { rate }));
                }
                cells.push(CellSpec {
                    record_version: RECORD_VERSION,
                    evaluator: network.evaluator.clone(),
                    model: network.label.clone(),
                    network: network.digest.clone(),
                    protection: id.clone(),
                    protection_parameters: protection.parameters(),
                    fault_model: fault_model.to_string(),
                    rate,
                    seed: experiment.seed,
                    stored: stored.clone(),
                    evaluation: evaluation.clone(),
                    changed_probability,
                });
            }
        }
    }
    let units = experiment.units_of(cells.len() as u64);
    if units > MAX_UNITS {
        return Err(PlanError::Units { units });
    }
    Ok(cells)
}

/// Whether storing some weights already changes them, for good.
fn loses(protection: &dyn Protection, plane: &[i8]) -> bool {
    protection.exceptions(plane).is_empty()
        && plane.as_chunks().0.iter().any(|block| protection.as_stored(*block) != *block)
}

/// What ordinary trials of the cells do on average, for those in which it is known in closed form: independent flips of all cells,
/// and a protection with outcome laws. `networks` are those of the cells.
pub fn expected_outcomes(networks: &[Network], cells: &[CellSpec]) -> Vec<ExpectedOutcomes> {
    let mut laws: HashMap<(&str, &str), Option<MemoryLaw>> = HashMap::new();
    let bernoulli = cells.iter().filter(|cell| cell.fault_model == FaultModel::Bernoulli.to_string());
    let expected = bernoulli.filter_map(|cell| {
        let law = laws.entry((&cell.network, &cell.protection)).or_insert_with(|| {
            let network = networks.iter().find(|network| network.digest == cell.network)?;
            MemoryLaw::of(&*ecc::by_id(&cell.protection).ok()?, &network.plane)
        });
        let law = law.as_ref()?;
        let outcomes = law.expected(cell.rate);
        Some(ExpectedOutcomes {
            cell: cell.id(),
            words_hit: law.words_hit(cell.rate),
            corrected: outcomes.corrected_right,
            detected: outcomes.detected(),
            miscorrected: outcomes.corrected_wrong,
            silent: outcomes.clean_wrong,
            changed_probability: law.changed_probability(cell.rate),
        })
    });
    expected.collect()
}

/// Cells that an ordinary trial of a cell of the plan flips in the mean: by the stored bits, where these matter, and otherwise
/// [`FaultModel::mean_flips`]. `networks` are those of the cells.
///
/// # Panics
/// When the cell is not of a plan of these networks.
pub fn mean_flips(networks: &[Network], cell: &CellSpec) -> f64 {
    let network = networks.iter().find(|network| network.digest == cell.network).expect("a cell's network");
    let protection = ecc::by_id(&cell.protection).expect("a plan has known protections");
    let ScopedFaultModel { model, scope } = cell.fault_model.parse().expect("a plan has known fault models");
    let rate = BitErrorRate::new(cell.rate).expect("a plan has rates");
    let cells = network.cells_in(&scope, &*protection).expect("a plan has tensors of its networks").sizes();
    let by_bit = |of_one: f64, of_zero: f64| {
        let memory = StoredNetwork::new(network, protection).expect("a plan's networks can be stored");
        let ones = memory.ones_in(&scope).expect("a plan has tensors of its networks");
        let zeros = cells.data_bits + cells.check_bits - ones;
        of_one * ones as f64 + of_zero * zeros as f64
    };
    match model {
        FaultModel::StuckAt { one: true } => by_bit(0.0, rate.get()),
        FaultModel::StuckAt { one: false } => by_bit(rate.get(), 0.0),
        FaultModel::Asymmetric { share } => {
            by_bit(2.0 * rate.get() * share, 2.0 * rate.get() * (1.0 - share))
        }
        _ => model.mean_flips(rate, cells),
    }
}
