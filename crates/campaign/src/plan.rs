use ecc::{MemoryLayout, Violation};
use records::{CellSpec, EvaluationSet, RECORD_VERSION, StoredCells};

use crate::Experiment;

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

/// Why a plan cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A protection cannot store a network.
    #[error(
        "{protection} cannot store {model}: {violation} (throttle the checkpoint: `zerospace quantize --throttle`)"
    )]
    Unstorable {
        /// Protection id.
        protection: String,
        /// Network label.
        model: String,
        /// The first weight outside its range.
        violation: Violation,
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

/// The cells of an experiment: networks, then protections, then rates, each in the file's order.
/// `networks` are those of the experiment, in its order.
///
/// # Errors
/// When a protection cannot store a network, or two networks are one.
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
        for id in model.protections.as_ref().unwrap_or(&experiment.protections) {
            let protection = ecc::by_id(id).expect("checked when the experiment was read");
            protection.constraint().check(&network.layout, &network.plane).map_err(|violation| {
                PlanError::Unstorable { protection: id.clone(), model: network.label.clone(), violation }
            })?;
            let plane_len = network.layout.plane_len();
            let stored = StoredCells {
                weights: network.layout.weights() as u64,
                padding_weights: network.layout.padding() as u64,
                data_bits: 8 * plane_len as u64,
                check_bits: protection.word().check_bits_of(plane_len) as u64,
            };
            for &rate in &experiment.rates {
                cells.push(CellSpec {
                    record_version: RECORD_VERSION,
                    evaluator: network.evaluator.clone(),
                    model: network.label.clone(),
                    network: network.digest.clone(),
                    protection: id.clone(),
                    protection_parameters: protection.parameters(),
                    fault_model: experiment.fault_model.clone(),
                    rate,
                    seed: experiment.seed,
                    stored: stored.clone(),
                    evaluation: evaluation.clone(),
                });
            }
        }
    }
    Ok(cells)
}
