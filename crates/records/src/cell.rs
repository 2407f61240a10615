use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The images that a cell is evaluated on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluationSet {
    /// Name of the data set, e.g. `cifar10`; shown, not part of the identity.
    pub name: String,
    /// `train` or `test`; shown, not part of the identity.
    pub split: String,
    /// Number of images: the first ones in the data set's order.
    pub images: u64,
    /// SHA-256 of the decoded images and labels.
    pub digest: String,
    /// Files of a folder that could not be decoded and were left out, others coming in their place; shown, not
    /// part of the identity, which is that of the images there are. Absent in JSON when 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unreadable_files: u64,
    /// Whether the images have no labels, so that the class which the fault-free network predicts stands for
    /// the label: `correct` is then `agree`, and `clean_correct` all images. Shown; the digest tells such a set
    /// from one with labels. Absent in JSON when false.
    #[serde(default, skip_serializing_if = "is_false")]
    pub label_free: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The memory that faults can hit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredCells {
    /// Weights of the network.
    pub weights: u64,
    /// Zero weights that fill the last block of each tensor; stored and hit like the others.
    pub padding_weights: u64,
    /// Cells of the data plane, padding included.
    pub data_bits: u64,
    /// Cells of the check plane.
    pub check_bits: u64,
}

/// All conditions of a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellSpec {
    /// [`crate::RECORD_VERSION`] at the time of writing.
    pub record_version: u32,
    /// What evaluates a network, and by which rules; changes when predictions may.
    pub evaluator: String,
    /// The plan's label for the network; shown, not part of the identity.
    pub model: String,
    /// Content hash of the checkpoint: architecture, weights, parameters, scales.
    pub network: String,
    /// Protection id, e.g. `in-place-64-57`.
    pub protection: String,
    /// Everything that defines the protection's code, e.g. its parity-check matrix.
    pub protection_parameters: String,
    /// Fault model id, e.g. `bernoulli`.
    pub fault_model: String,
    /// Bit error rate: flips before correction for each stored cell, in [0, 1].
    pub rate: f64,
    /// The campaign's seed.
    pub seed: u64,
    /// Which memory is faulty.
    pub stored: StoredCells,
    /// What the network is evaluated on.
    pub evaluation: EvaluationSet,
    /// Only for a cell that draws just those trials in which some stored word reads back wrong: the probability of
    /// that in an ordinary trial, with which a mean over the cell's trials counts. The network's weights, the protection
    /// and the rate determine it, so that the identity holds only whether it is there. Absent in JSON for ordinary
    /// cells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_probability: Option<f64>,
}

impl CellSpec {
    /// The content hash. Labels (`model`, the data set's name and split) do not enter.
    pub fn id(&self) -> CellId {
        let content = (
            self.record_version,
            &self.evaluator,
            &self.network,
            &self.protection,
            &self.protection_parameters,
            &self.fault_model,
            format!("{:016x}", self.rate.to_bits()),
            self.seed,
            &self.stored,
            self.evaluation.images,
            &self.evaluation.digest,
        );
        let text = match self.changed_probability {
            None => serde_json::to_string(&content),
            Some(_) => serde_json::to_string(&(content, "changed")),
        };
        let text = text.expect("plain data serializes");
        let digest = Sha256::digest(text.as_bytes());
        CellId(digest[..8].iter().map(|b| format!("{b:02x}")).collect())
    }

    /// One line for people: model, protection, fault model, rate, and which trials where not all.
    pub fn label(&self) -> String {
        let trials = if self.changed_probability.is_some() { ", changed trials" } else { "" };
        format!("{} {} {} {:e}{trials}", self.model, self.protection, self.fault_model, self.rate)
    }
}

/// Identity of a cell: 16 lowercase hex digits of a SHA-256 over its content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CellId(String);

impl CellId {
    /// The hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CellId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> CellSpec {
        CellSpec {
            record_version: 1,
            evaluator: "int8-1".into(),
            model: "resnet20".into(),
            network: "ab".into(),
            protection: "faulty".into(),
            protection_parameters: String::new(),
            fault_model: "bernoulli".into(),
            rate: 1e-3,
            seed: 1,
            stored: StoredCells { weights: 10, padding_weights: 6, data_bits: 128, check_bits: 0 },
            evaluation: EvaluationSet {
                name: "a".into(),
                split: "test".into(),
                images: 7,
                digest: "cd".into(),
                unreadable_files: 0,
                label_free: false,
            },
            changed_probability: None,
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

    /// Manifests from before these fields read, and ordinary ones still look like them.
    #[test]
    fn what_is_unusual_about_a_set_is_absent_when_it_is_not() {
        let old = r#"{"name":"a","split":"test","images":7,"digest":"cd"}"#;
        let set: EvaluationSet = serde_json::from_str(old).unwrap();
        assert_eq!(set, spec().evaluation);
        assert_eq!(serde_json::to_string(&set).unwrap(), old);
        let unusual = EvaluationSet { unreadable_files: 2, label_free: true, ..set };
        let text = serde_json::to_string(&unusual).unwrap();
        assert!(text.ends_with(r#","unreadable_files":2,"label_free":true}"#), "{text}");
        assert_eq!(serde_json::from_str::<EvaluationSet>(&text).unwrap(), unusual);
    }

    /// Which trials are drawn is part of the identity, their probability follows from the rest; and it comes back from
    /// JSON to the last bit, or a run could not be resumed.
    #[test]
    fn a_cell_of_changed_trials_is_another_one_and_reads_back_exactly() {
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

    #[test]
    fn every_condition_changes_the_id() {
        type Edit = fn(&mut CellSpec);
        let edits: [Edit; 12] = [
            |c| c.record_version += 1,
            |c| c.evaluator.push('x'),
            |c| c.network.push('x'),
            |c| c.protection.push('x'),
            |c| c.protection_parameters.push('x'),
            |c| c.fault_model.push('x'),
            |c| c.rate = 1.0000000000000002e-3,
            |c| c.seed += 1,
            |c| c.stored.check_bits += 1,
            |c| c.evaluation.images += 1,
            |c| c.evaluation.digest.push('x'),
            |c| c.changed_probability = Some(0.5),
        ];
        let mut ids = std::collections::BTreeSet::from([spec().id()]);
        for edit in edits {
            let mut changed = spec();
            edit(&mut changed);
            assert!(ids.insert(changed.id()), "an edit left the id as it was");
        }
    }
}
