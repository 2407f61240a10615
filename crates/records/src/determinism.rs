use serde::{Deserialize, Serialize};

const VERSION: u32 = 1;

/// Finding about an evaluator of one's own, which may be nondeterministic: content of `determinism.json`. Each process of a run
/// evaluates a trial of each network twice and compares it with the result of other processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Determinism {
    determinism_version: u32,
    /// True if all evaluations of a trial gave the same outputs.
    pub deterministic: bool,
    /// The trials that were compared, or the first difference; one sentence without a full stop.
    pub evidence: String,
}

impl Determinism {
    /// Makes a finding.
    pub fn new(deterministic: bool, evidence: String) -> Self {
        Self { determinism_version: VERSION, deterministic, evidence }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut text = serde_json::to_string_pretty(self).expect("plain data serializes");
        text.push('\n');
        text.into_bytes()
    }

    /// Reads the text of `determinism.json`; the error says what is wrong with it.
    pub(crate) fn from_json(text: &str) -> Result<Self, String> {
        let version = durable::version(text.as_bytes(), "determinism_version")
            .map_err(|error| format!("not a finding about evaluators: {error}"))?;
        match version {
            VERSION => serde_json::from_str(text).map_err(|error| error.to_string()),
            other => Err(format!("determinism_version is {other}, expected {VERSION}")),
        }
    }
}
