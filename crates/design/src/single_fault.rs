use serde::{Deserialize, Serialize};

use crate::EvaluationSet;
use crate::cell::content_hash;

/// Version of [`FaultRecord`]; part of every campaign's identity.
pub const FAULT_RECORD_VERSION: u32 = 1;

/// Bits of a stored weight.
const BITS: u64 = 8;

/// Division of the single faults of a network into strata, each of which gets a sample of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strata {
    /// All faults together.
    Network,
    /// A stratum for each tensor.
    Tensor,
    /// A stratum for each bit of a weight.
    Bit,
    /// A stratum for each bit of each tensor.
    Both,
}

/// The faults of a campaign of single faults.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultSample {
    /// Strata of the sample.
    pub strata: Strata,
    /// Half-width of the interval that the sample size is computed for; 0 if all faults are drawn.
    pub margin: f64,
    /// Confidence of intervals, e.g. 0.95.
    pub confidence: f64,
    /// Critical rate that the sample size is computed for; 0.5 needs the most faults.
    pub expected_rate: f64,
    /// True if every fault is drawn.
    pub exhaustive: bool,
}

/// A tensor of the network under faults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultedTensor {
    /// Name.
    pub name: String,
    /// Number of weights, without padding.
    pub weights: u64,
}

/// Conditions of a campaign of single faults: everything that its records depend on. A fault is one flipped bit of one stored
/// weight of a memory without protection. Fault `8 w + b` is bit `b` (7 is the sign) of weight `w`, where weights are counted
/// in memory order without padding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SingleFaultSpec {
    /// [`FAULT_RECORD_VERSION`] at the time of writing.
    pub record_version: u32,
    /// Name and version of the evaluator.
    pub evaluator: String,
    /// Label of the network; shown, not part of the identity.
    pub model: String,
    /// Content hash of the checkpoint.
    pub network: String,
    /// Tensors in memory order.
    pub tensors: Vec<FaultedTensor>,
    /// Seed of the sample.
    pub seed: u64,
    /// The faults that are drawn.
    pub sample: FaultSample,
    /// Images that the network is evaluated on.
    pub evaluation: EvaluationSet,
}

/// Faults among which a sample is drawn: some tensors and bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stratum {
    /// Position of the tensor; `None` stands for all.
    pub tensor: Option<usize>,
    /// The bit; `None` stands for all.
    pub bit: Option<u8>,
    /// Number of its faults.
    pub faults: u64,
}

/// Result of one fault: a function of the campaign's conditions and the fault's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u32, u32, u32)", into = "(u64, u32, u32, u32)")]
pub struct FaultRecord {
    /// Number of the fault.
    pub fault: u64,
    /// Images with a logit that differs from that of the fault-free network in any bit.
    pub logits: u32,
    /// Images whose top-1 class differs from that of the fault-free network.
    pub top1: u32,
    /// Images whose top-1 class is the label.
    pub correct: u32,
}

impl From<(u64, u32, u32, u32)> for FaultRecord {
    fn from((fault, logits, top1, correct): (u64, u32, u32, u32)) -> Self {
        Self { fault, logits, top1, correct }
    }
}

impl From<FaultRecord> for (u64, u32, u32, u32) {
    fn from(record: FaultRecord) -> Self {
        (record.fault, record.logits, record.top1, record.correct)
    }
}

impl SingleFaultSpec {
    /// Computes the content hash, 16 hex digits. Labels do not enter it.
    pub fn id(&self) -> String {
        let content = (
            "single-fault",
            self.record_version,
            &self.evaluator,
            &self.network,
            self.seed,
            &self.sample,
            self.evaluation.images,
            &self.evaluation.digest,
        );
        content_hash(&serde_json::to_vec(&content).expect("plain data serializes"))
    }

    /// Number of weights.
    pub fn weights(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.weights).sum()
    }

    /// Number of faults.
    pub fn faults(&self) -> u64 {
        BITS * self.weights()
    }

    /// Returns the strata of a division: tensors in memory order, bits ascending.
    pub fn strata(&self, division: Strata) -> Vec<Stratum> {
        let tensors = || (0..self.tensors.len()).map(Some);
        let bits = || (0..BITS as u8).map(Some);
        let stratum = |tensor: Option<usize>, bit: Option<u8>| {
            let weights = tensor.map_or(self.weights(), |tensor| self.tensors[tensor].weights);
            Stratum { tensor, bit, faults: if bit.is_some() { weights } else { BITS * weights } }
        };
        match division {
            Strata::Network => vec![stratum(None, None)],
            Strata::Tensor => tensors().map(|tensor| stratum(tensor, None)).collect(),
            Strata::Bit => bits().map(|bit| stratum(None, bit)).collect(),
            Strata::Both => tensors()
                .flat_map(|tensor| bits().map(move |bit| (tensor, bit)))
                .map(|(t, b)| stratum(t, b))
                .collect(),
        }
    }

    /// Returns the number of the fault at a position of a stratum, whose faults are in ascending order.
    ///
    /// # Panics
    /// When the stratum has fewer faults.
    pub fn fault_of(&self, stratum: &Stratum, position: u64) -> u64 {
        assert!(position < stratum.faults, "fault {position} of {}", stratum.faults);
        let before: u64 =
            self.tensors[..stratum.tensor.unwrap_or(0)].iter().map(|tensor| tensor.weights).sum();
        match stratum.bit {
            None => BITS * before + position,
            Some(bit) => BITS * (before + position) + u64::from(bit),
        }
    }

    /// Returns tensor, index in the tensor and bit of a fault.
    ///
    /// # Panics
    /// When there is no such fault.
    pub fn place(&self, fault: u64) -> (usize, u64, u8) {
        let (mut index, bit) = (fault / BITS, (fault % BITS) as u8);
        for (tensor, FaultedTensor { weights, .. }) in self.tensors.iter().enumerate() {
            if index < *weights {
                return (tensor, index, bit);
            }
            index -= weights;
        }
        panic!("fault {fault} of {}", self.faults());
    }

    /// Returns one line for people.
    pub fn label(&self) -> String {
        format!("{}, single faults", self.model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> SingleFaultSpec {
        let tensor = |name: &str, weights| FaultedTensor { name: name.into(), weights };
        SingleFaultSpec {
            record_version: 1,
            evaluator: "int8-1".into(),
            model: "net".into(),
            network: "ab".into(),
            tensors: vec![tensor("a", 3), tensor("b", 5)],
            seed: 1,
            sample: FaultSample {
                strata: Strata::Both,
                margin: 0.01,
                confidence: 0.95,
                expected_rate: 0.5,
                exhaustive: false,
            },
            evaluation: EvaluationSet { images: 7, digest: "cd".into(), ..EvaluationSet::default() },
        }
    }

    /// Every division has every fault once, and a fault's place leads back to it.
    #[test]
    fn strata_divide_all_faults() {
        let spec = spec();
        for division in [Strata::Network, Strata::Tensor, Strata::Bit, Strata::Both] {
            let mut faults = Vec::new();
            for stratum in spec.strata(division) {
                for position in 0..stratum.faults {
                    let fault = spec.fault_of(&stratum, position);
                    let (tensor, index, bit) = spec.place(fault);
                    assert!(stratum.tensor.is_none_or(|own| own == tensor));
                    assert!(stratum.bit.is_none_or(|own| own == bit));
                    assert!(index < spec.tensors[tensor].weights);
                    faults.push(fault);
                }
            }
            faults.sort_unstable();
            assert_eq!(faults, (0..64).collect::<Vec<u64>>(), "{division:?}");
        }
        assert_eq!(spec.place(8 * 3 + 2), (1, 0, 2));
    }

    #[test]
    fn the_id_is_stable_and_ignores_labels() {
        let mut renamed = spec();
        renamed.model = "other".into();
        renamed.evaluation.name = "other".into();
        assert_eq!(renamed.id(), spec().id());
        assert_eq!(spec().id(), "cf4b5fe05d3cf0f9");
        let other = SingleFaultSpec { seed: 2, ..spec() };
        assert_ne!(other.id(), spec().id());
    }

    #[test]
    fn a_record_is_four_numbers() {
        let record = FaultRecord { fault: 12, logits: 3, top1: 2, correct: 1 };
        let json = serde_json::to_string(&record).unwrap();
        assert_eq!(json, "[12,3,2,1]");
        assert_eq!(serde_json::from_str::<FaultRecord>(&json).unwrap(), record);
    }
}
