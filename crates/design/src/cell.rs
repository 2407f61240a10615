use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{BitErrorRate, FaultModel, Metric, ProtectionName, SharedText};

/// The images that a cell is evaluated on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluationSet {
    /// Name of the data set, e.g. `cifar10`; shown, not part of the identity.
    pub name: SharedText,
    /// `train` or `test`; shown, not part of the identity.
    pub split: SharedText,
    /// Number of images: the first ones in the data set's order.
    pub images: u64,
    /// SHA-256 of the decoded images and labels.
    pub digest: SharedText,
    /// Number of files of a folder that could not be decoded and were replaced by later ones; shown, not part of the
    /// identity, because `digest` is over the images that were decoded. Absent in JSON when 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unreadable_files: u64,
    /// True if the images have no labels. The class that the fault-free network predicts then stands for the label:
    /// `correct` equals `agree`, and `clean_correct` is the number of images. Shown; the digest of such a set differs from
    /// that of a set with labels. Absent in JSON when false.
    #[serde(default, skip_serializing_if = "is_false")]
    pub label_free: bool,
    /// Images that each trial is evaluated on, 1 to `images`: a balanced block of the set that depends on the seed and the
    /// trial's number alone. Absent, also in JSON and from the identity, if every trial sees all images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images_per_trial: Option<u64>,
}

impl EvaluationSet {
    /// Number of images that one trial is evaluated on.
    pub fn images_of_trial(&self) -> u64 {
        self.images_per_trial.unwrap_or(self.images)
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Size of the memory that faults can hit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredBits {
    /// Number of weights of the network.
    pub weights: u64,
    /// Number of zero weights that fill the last block of each tensor; they are stored and hit like the others.
    pub padding_weights: u64,
    /// Bits of the data plane, padding included.
    pub data_bits: u64,
    /// Bits of the check plane.
    pub check_bits: u64,
}

/// Conditions of a cell: everything that its records depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellSpec {
    /// [`crate::RECORD_VERSION`] at the time of writing.
    pub record_version: u32,
    /// Name and version of the evaluator; it changes whenever a prediction may change.
    pub evaluator: SharedText,
    /// Label of the network in the plan; shown, not part of the identity.
    pub model: SharedText,
    /// Content hash of the checkpoint: architecture, weights, parameters, scales.
    pub network: SharedText,
    /// Protection id, e.g. `in-place-64-57`.
    pub protection: ProtectionName,
    /// Definition of the protection's code, e.g. its parity-check matrix.
    pub protection_parameters: SharedText,
    /// Fault model.
    pub fault_model: FaultModel,
    /// Bit error rate, or the quantity that the fault model takes instead.
    pub rate: BitErrorRate,
    /// Seed of the campaign.
    pub seed: u64,
    /// Memory that faults can hit.
    pub stored: StoredBits,
    /// Images that the network is evaluated on; none (0) if an evaluator of one's own has data of its own.
    pub evaluation: EvaluationSet,
    /// Conditional sampling: probability that some stored word reads back wrong in an ordinary trial, if the cell draws
    /// only such trials; a mean over its trials is multiplied by it. The network's weights, the protection and the rate
    /// determine the number, so the identity holds only its presence. Absent in JSON for ordinary cells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_probability: Option<f64>,
    /// Metrics by which an evaluator of one's own scores the network in place of predictions; the first is the headline.
    /// Absent in JSON, and from the identity, if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Metric>,
}

impl CellSpec {
    /// Computes the content hash. Labels (`model`, the data set's name and split) do not enter it.
    pub fn id(&self) -> CellId {
        let content = (
            self.record_version,
            &self.evaluator,
            &self.network,
            &self.protection,
            &self.protection_parameters,
            &self.fault_model,
            format!("{:016x}", self.rate.get().to_bits()),
            self.seed,
            &self.stored,
            self.evaluation.images,
            &self.evaluation.digest,
        );
        let content = serde_json::to_string(&content).expect("plain data serializes");
        let mut further = Vec::new();
        if self.changed_probability.is_some() {
            further.push(r#""changed""#.into());
        }
        if !self.metrics.is_empty() {
            let metrics = serde_json::to_string(&self.metrics).expect("plain data serializes");
            further.push(format!(r#""metrics",{metrics}"#));
        }
        if let Some(images) = self.evaluation.images_per_trial {
            further.push(format!(r#""images_per_trial",{images}"#));
        }
        let text = match &further[..] {
            [] => content,
            further => format!("[{content},{}]", further.join(",")),
        };
        content_hash(text.as_bytes()).parse().expect("a hash is hex digits")
    }

    /// Returns one line for people: model, protection, fault model, rate, and a note on conditional sampling.
    pub fn label(&self) -> String {
        let trials = if self.changed_probability.is_some() { ", changed trials" } else { "" };
        format!("{} {} {} {}{trials}", self.model, self.protection, self.fault_model, self.rate)
    }
}

/// Identity of a cell: 16 lowercase hex digits of a SHA-256 over its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CellId([u8; 16]);

impl CellId {
    /// Returns the hex digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hex digits are ASCII")
    }
}

impl fmt::Display for CellId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no cell's id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cell id {0:?}, expected 16 lowercase hex digits")]
pub struct CellIdError(pub String);

impl FromStr for CellId {
    type Err = CellIdError;

    fn from_str(text: &str) -> Result<Self, CellIdError> {
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        match <[u8; 16]>::try_from(text.as_bytes()) {
            Ok(digits) if digits.iter().all(is_digit) => Ok(Self(digits)),
            _ => Err(CellIdError(text.into())),
        }
    }
}

impl TryFrom<String> for CellId {
    type Error = CellIdError;

    fn try_from(text: String) -> Result<Self, CellIdError> {
        text.parse()
    }
}

impl From<CellId> for String {
    fn from(id: CellId) -> Self {
        id.as_str().into()
    }
}

/// Returns the first 16 hex digits of the SHA-256 of a content.
pub(crate) fn content_hash(content: &[u8]) -> String {
    Sha256::digest(content)[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Better, FaultKind};

    fn spec() -> CellSpec {
        CellSpec {
            record_version: 1,
            evaluator: "int8-1".into(),
            model: "resnet20".into(),
            network: "ab".into(),
            protection: "faulty".parse().unwrap(),
            protection_parameters: "".into(),
            fault_model: FaultKind::Bernoulli.into(),
            rate: BitErrorRate::new(1e-3).unwrap(),
            seed: 1,
            stored: StoredBits { weights: 10, padding_weights: 6, data_bits: 128, check_bits: 0 },
            evaluation: EvaluationSet {
                name: "a".into(),
                split: "test".into(),
                images: 7,
                digest: "cd".into(),
                unreadable_files: 0,
                label_free: false,
                images_per_trial: None,
            },
            changed_probability: None,
            metrics: Vec::new(),
        }
    }

    #[test]
    fn the_id_is_stable_and_ignores_labels() {
        let mut renamed = spec();
        renamed.model = "other".into();
        renamed.evaluation.name = "other".into();
        renamed.evaluation.unreadable_files = 1;
        renamed.evaluation.label_free = true;
        assert_eq!(renamed.id(), spec().id());
        // Changing this value orphans every stored record: raise RECORD_VERSION instead.
        assert_eq!(spec().id().as_str(), "c0cdf2c363892b9f");
    }

    /// Manifests that are older than these fields can be read, and ordinary sets are still written like them.
    #[test]
    fn unusual_properties_of_a_set_are_absent_from_json_otherwise() {
        let old = r#"{"name":"a","split":"test","images":7,"digest":"cd"}"#;
        let set: EvaluationSet = serde_json::from_str(old).unwrap();
        assert_eq!(set, spec().evaluation);
        assert_eq!(serde_json::to_string(&set).unwrap(), old);
        let unusual = EvaluationSet { unreadable_files: 2, label_free: true, ..set };
        let text = serde_json::to_string(&unusual).unwrap();
        assert!(text.ends_with(r#","unreadable_files":2,"label_free":true}"#), "{text}");
        assert_eq!(serde_json::from_str::<EvaluationSet>(&text).unwrap(), unusual);
    }

    /// Conditional sampling is part of the identity; the probability follows from the rest. It comes back from JSON to the
    /// last bit, or a run could not be resumed.
    #[test]
    fn a_cell_of_changed_trials_has_an_id_of_its_own_and_reads_back_exactly() {
        let of = |probability| CellSpec { changed_probability: Some(probability), ..spec() };
        assert_eq!(of(0.5).id(), of(0.25).id());
        assert_eq!(of(0.5).id().as_str(), "34e60298d549e679");
        assert!(!serde_json::to_string(&spec()).unwrap().contains("changed"));
        let mut probability: f64 = 1.0;
        for _ in 0..2_000 {
            probability *= 0.726_354_812_3;
            let text = serde_json::to_string(&of(probability)).unwrap();
            assert_eq!(serde_json::from_str::<CellSpec>(&text).unwrap(), of(probability), "{text}");
        }
    }

    /// The number of images of a trial is part of the identity and of the JSON, only if there is one.
    #[test]
    fn a_cell_of_drawn_images_has_an_id_of_its_own() {
        let of = |images_per_trial| {
            let evaluation = EvaluationSet { images_per_trial, ..spec().evaluation };
            CellSpec { evaluation, ..spec() }
        };
        let drawn = of(Some(3));
        let json = serde_json::to_string(&drawn).unwrap();
        assert!(json.contains(r#""digest":"cd","images_per_trial":3}"#), "{json}");
        assert_eq!(serde_json::from_str::<CellSpec>(&json).unwrap(), drawn);
        assert!(!serde_json::to_string(&of(None)).unwrap().contains("images_per_trial"));
        assert_eq!(of(None).id(), spec().id());
        let changed = CellSpec { changed_probability: Some(0.5), ..drawn.clone() };
        let ids = [spec(), of(Some(2)), drawn, of(Some(7)), changed].map(|cell| cell.id());
        assert_eq!(std::collections::BTreeSet::from(ids).len(), 5, "{ids:?}");
        // Changing this value orphans every stored record of the design.
        assert_eq!(ids[2].as_str(), "c01ee81babf2ffbd");
    }

    /// Every metric is part of the identity with its direction, in order; without metrics nothing of them shows.
    #[test]
    fn a_cell_with_metrics_has_an_id_of_its_own() {
        let metric = |name: &str, better| Metric { name: name.into(), better };
        let of = |metrics: &[Metric]| CellSpec { metrics: metrics.to_vec(), ..spec() };
        let (map, loss) = (metric("mAP", Better::Higher), metric("loss", Better::Lower));
        let scored = of(&[map.clone(), loss.clone()]);
        let json = serde_json::to_string(&scored).unwrap();
        let metrics = r#","metrics":[{"name":"mAP","better":"higher"},{"name":"loss","better":"lower"}]}"#;
        assert!(json.ends_with(metrics), "{json}");
        assert_eq!(serde_json::from_str::<CellSpec>(&json).unwrap(), scored);
        assert!(!serde_json::to_string(&spec()).unwrap().contains("metrics"));
        assert_eq!(scored.id().as_str(), "d9c4ba4566f2e0b2");
        let changed = CellSpec { changed_probability: Some(0.5), ..scored.clone() };
        let others = [
            of(&[]),
            of(&[map]),
            of(&[loss, metric("mAP", Better::Higher)]),
            changed,
            of(&[metric("mAP", Better::Lower)]),
        ];
        assert!(others.iter().all(|other| other.id() != scored.id()));
    }

    /// The text of a fault model in a record is its normal form; the rate is in range.
    #[test]
    fn a_cell_that_cannot_be_is_refused() {
        let json = serde_json::to_value(spec()).unwrap();
        let refused = |field: &str, value: serde_json::Value| {
            let mut json = json.clone();
            json[field] = value;
            serde_json::from_value::<CellSpec>(json).unwrap_err().to_string()
        };
        assert!(refused("fault_model", "cosmic".into()).starts_with("unknown fault model `cosmic`"));
        let other_form = refused("fault_model", "per-bit:bit=7".into());
        assert_eq!(other_form, "fault model `per-bit:bit=7`, expected its normal form `bernoulli:bit=7`");
        assert!(refused("protection", "a b".into()).starts_with("protection name \"a b\", expected"));
        assert_eq!(refused("rate", 1.5.into()), "bit error rate 1.5, expected a number in [0, 1]");
        let json = serde_json::to_string(&spec()).unwrap();
        assert!(json.contains(r#""fault_model":"bernoulli","rate":0.001,"#), "{json}");
    }

    #[test]
    fn every_condition_changes_the_id() {
        type Edit = fn(&mut CellSpec);
        let edits: [Edit; 14] = [
            |c| c.record_version += 1,
            |c| c.evaluator = "x".into(),
            |c| c.network = "x".into(),
            |c| c.protection = "vote".parse().unwrap(),
            |c| c.protection_parameters = "x".into(),
            |c| c.fault_model.scope.bit = Some(7),
            |c| c.rate = BitErrorRate::new(1.0000000000000002e-3).unwrap(),
            |c| c.seed += 1,
            |c| c.stored.check_bits += 1,
            |c| c.evaluation.images += 1,
            |c| c.evaluation.digest = "x".into(),
            |c| c.changed_probability = Some(0.5),
            |c| c.evaluation.images_per_trial = Some(3),
            |c| c.metrics.push(Metric { name: "mAP".into(), better: Better::Higher }),
        ];
        let mut ids = std::collections::BTreeSet::from([spec().id()]);
        for edit in edits {
            let mut changed = spec();
            edit(&mut changed);
            assert!(ids.insert(changed.id()), "an edit left the id as it was");
        }
    }
}
