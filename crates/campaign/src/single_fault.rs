//! Campaigns of single faults: one flipped bit of one stored weight at a time.
//!
//! This is the classic statistical fault injection (Leveugle et al., "Statistical fault injection: quantified error and
//! confidence", DATE 2009; Ruospo et al., "Assessing convolutional neural networks reliability through statistical fault
//! injections", DATE 2023). The population is finite: eight faults for each weight. A sample is drawn without replacement from
//! each stratum, or all faults are taken.

use std::path::{Path, PathBuf};

use design::{
    EvaluationSet, FAULT_RECORD_VERSION, FaultRecord, FaultSample, FaultedTensor, SingleFaultSpec, Strata,
};
use inject::draw_faults;
use records::{FaultStore, StoreError};
use serde::Deserialize;

use crate::{DataSection, ExperimentError, ModelSection, RunControl, Shard, from_toml};

/// A checked experiment file with `design = "single-fault"`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SingleFaultExperiment {
    /// Short name and default name of the run directory: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Title of figures and reports, one line.
    pub title: String,
    /// Always `single-fault`.
    design: String,
    /// Seed of the sample. Default 0.
    #[serde(default)]
    pub seed: u64,
    /// Strata, each with a sample of its own. Default: none, the network is one.
    #[serde(default = "whole_network")]
    pub strata: Strata,
    /// Half-width of the interval of a critical rate, a share, e.g. 0.01. Required unless `exhaustive`.
    pub margin: Option<f64>,
    /// Confidence of intervals. Default 0.95.
    #[serde(default = "default_confidence")]
    pub confidence: f64,
    /// Critical rate that the sample size is computed for. Default 0.5, which needs the most faults.
    #[serde(default = "default_rate")]
    pub expected_rate: f64,
    /// True if all faults are evaluated.
    #[serde(default)]
    pub exhaustive: bool,
    /// A fault is critical by accuracy if more than this many percent of the images are lost. Default 1.
    #[serde(default = "default_drop")]
    pub drop_points: f64,
    /// Faults of a unit, whose records share a file. Default 4096.
    #[serde(default = "default_unit")]
    pub unit_faults: u64,
    /// The network.
    #[serde(rename = "model")]
    models: Vec<ModelSection>,
    /// Images that it is evaluated on.
    pub data: DataSection,
}

fn whole_network() -> Strata {
    Strata::Network
}

fn default_confidence() -> f64 {
    0.95
}

fn default_rate() -> f64 {
    0.5
}

fn default_drop() -> f64 {
    1.0
}

fn default_unit() -> u64 {
    4096
}

/// Returns true if the text of an experiment file has `design = "single-fault"`.
pub fn is_single_fault(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Design {
        design: Option<String>,
    }
    from_toml::<Design>(text).is_ok_and(|file| file.design.as_deref() == Some("single-fault"))
}

impl SingleFaultExperiment {
    /// Reads the text of the file `path`; the path of the checkpoint is relative to its directory.
    ///
    /// # Errors
    /// With the file, the key, its value, and the expected values.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ExperimentError> {
        let mut experiment: Self =
            from_toml(text).map_err(|message| ExperimentError::Syntax { path: path.into(), message })?;
        experiment.check(path)?;
        let base = path.parent().unwrap_or(Path::new(""));
        for model in &mut experiment.models {
            model.checkpoint = base.join(&model.checkpoint);
        }
        Ok(experiment)
    }

    /// Returns the network.
    pub fn model(&self) -> &ModelSection {
        &self.models[0]
    }

    /// Returns the sample that the file asks for.
    pub fn sample(&self) -> FaultSample {
        FaultSample {
            strata: self.strata,
            margin: self.margin.filter(|_| !self.exhaustive).unwrap_or(0.0),
            confidence: self.confidence,
            expected_rate: self.expected_rate,
            exhaustive: self.exhaustive,
        }
    }

    fn check(&self, path: &Path) -> Result<(), ExperimentError> {
        let wrong = |key, value: String, expected: &str| {
            Err(ExperimentError::Value { path: path.into(), key, value, expected: expected.into() })
        };
        let is_word = |text: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !text.is_empty() && text.chars().all(plain) && !text.starts_with('.')
        };
        let inside = |value: f64| value > 0.0 && value < 1.0;
        if self.design != "single-fault" {
            return wrong("design", format!("{:?}", self.design), "\"single-fault\", or no key for trials");
        }
        for (key, text) in [("name", &self.name), ("model.label", &self.model_label())] {
            if !is_word(text) {
                return wrong(key, format!("{text:?}"), "letters, digits, `-`, `_` and `.`");
            }
        }
        if self.title.contains(char::is_control) {
            return wrong("title", format!("{:?}", self.title), "text without control characters");
        }
        if self.models.len() != 1 {
            let expected = "one section: a campaign has the faults of one network";
            return wrong("model", format!("{} sections", self.models.len()), expected);
        }
        if self.model().protections.is_some() {
            return wrong("model.protections", "given".into(), "no key: the faults hit unprotected weights");
        }
        match self.margin {
            None if !self.exhaustive => {
                return wrong("margin", "absent".into(), "a share between 0 and 1, or `exhaustive = true`");
            }
            Some(margin) if !inside(margin) => {
                return wrong("margin", margin.to_string(), "a share between 0 and 1, e.g. 0.01");
            }
            Some(_) if self.exhaustive => {
                return wrong(
                    "margin",
                    "given".into(),
                    "no key beside `exhaustive = true`, which draws all faults",
                );
            }
            _ => {}
        }
        for (key, value) in [("confidence", self.confidence), ("expected_rate", self.expected_rate)] {
            if !inside(value) {
                return wrong(key, value.to_string(), "more than 0 and less than 1");
            }
        }
        if !(self.drop_points >= 0.0 && self.drop_points < 100.0) {
            return wrong("drop_points", self.drop_points.to_string(), "at least 0 and less than 100");
        }
        if self.unit_faults == 0 {
            return wrong("unit_faults", "0".into(), "at least 1");
        }
        if self.data.images_per_trial.is_some() {
            let expected = "no key: every fault is evaluated on all images";
            return wrong("data.images_per_trial", "given".into(), expected);
        }
        if self.data.images == Some(0) {
            return wrong("data.images", "0".into(), "at least 1");
        }
        Ok(())
    }

    fn model_label(&self) -> String {
        self.models.first().map_or(String::new(), |model| model.label.clone())
    }

    /// Default run directory.
    pub fn run_directory(&self) -> PathBuf {
        Path::new("runs").join(&self.name)
    }

    /// Returns the number of units of the campaign on a network with these tensors.
    pub fn units(&self, tensors: Vec<FaultedTensor>) -> u64 {
        let spec = SingleFaultSpec {
            record_version: FAULT_RECORD_VERSION,
            evaluator: String::new(),
            model: self.model_label(),
            network: String::new(),
            tensors,
            seed: self.seed,
            sample: self.sample(),
            evaluation: EvaluationSet::default(),
        };
        let strata = spec.strata(spec.sample.strata);
        let faults: u64 = strata.iter().map(|stratum| sample_size(stratum.faults, &spec.sample)).sum();
        faults.div_ceil(self.unit_faults)
    }
}

/// Number of faults of a stratum of `population` faults that estimate a rate with the margin and confidence of a sample:
/// `n = N / (1 + e^2 (N - 1) / (t^2 p (1 - p)))`, rounded up (Leveugle et al. 2009, formula 4).
pub fn sample_size(population: u64, sample: &FaultSample) -> u64 {
    if sample.exhaustive || population <= 1 {
        return population;
    }
    let (all, p) = (population as f64, sample.expected_rate);
    let t = normal_quantile(0.5 + sample.confidence / 2.0);
    let n = all / (1.0 + sample.margin * sample.margin * (all - 1.0) / (t * t * p * (1.0 - p)));
    (n.ceil() as u64).clamp(1, population)
}

/// Quantile of the standard normal distribution, by bisection of its distribution function.
fn normal_quantile(probability: f64) -> f64 {
    let (mut low, mut high) = (-40.0, 40.0);
    for _ in 0..200 {
        let middle = (low + high) / 2.0;
        let below = 0.5 * libm::erfc(-middle / std::f64::consts::SQRT_2);
        if below < probability { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// Draws the faults of a campaign, ascending: a sample without replacement of each stratum, from a stream of its own.
pub fn drawn_faults(spec: &SingleFaultSpec) -> Vec<u64> {
    if spec.sample.exhaustive {
        return (0..spec.faults()).collect();
    }
    let mut faults = Vec::new();
    for (number, stratum) in (0..).zip(spec.strata(spec.sample.strata)) {
        let count = sample_size(stratum.faults, &spec.sample);
        let positions = draw_faults(spec.seed, number, stratum.faults, count);
        faults.extend(positions.into_iter().map(|position| spec.fault_of(&stratum, position)));
    }
    faults.sort_unstable();
    faults
}

/// Result of a call of [`run_faults`]. Units are units of its share.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FaultRunOutcome {
    /// Units that existed before.
    pub kept: u64,
    /// Units that were computed.
    pub computed: u64,
    /// Units that are left because the run was told to stop.
    pub left: u64,
}

/// Computes the units of a shard that the run directory lacks, and stores each when it is finished. `evaluate` returns the
/// records of some faults, in order; `control` is asked before every unit, and `progress` gets the number of faults of the
/// shard that are stored.
///
/// # Errors
/// When the disk refuses, or a part differs from the records computed now; all finished units are kept.
///
/// # Panics
/// When `faults` differ in number from the plan's.
pub fn run_faults(
    store: &FaultStore,
    faults: &[u64],
    shard: Shard,
    evaluate: &mut dyn FnMut(&[u64]) -> Vec<FaultRecord>,
    control: &dyn Fn() -> RunControl,
    progress: &mut dyn FnMut(u64),
) -> Result<FaultRunOutcome, StoreError> {
    let manifest = store.manifest();
    assert_eq!(faults.len() as u64, manifest.faults, "the faults of the plan");
    let done = store.done()?;
    let own: Vec<u64> = (0..manifest.units()).filter(|&unit| shard.takes(unit as usize)).collect();
    let missing: Vec<u64> = own.iter().copied().filter(|unit| !done.contains(unit)).collect();
    let mut outcome =
        FaultRunOutcome { kept: (own.len() - missing.len()) as u64, computed: 0, left: missing.len() as u64 };
    let kept = own.iter().filter(|unit| done.contains(unit));
    let mut stored: u64 = kept.map(|&unit| manifest.unit_size(unit)).sum();
    progress(stored);
    for unit in missing {
        if control() == RunControl::Stop {
            break;
        }
        let first = (unit * manifest.unit_faults) as usize;
        let own = &faults[first..first + manifest.unit_size(unit) as usize];
        let records = evaluate(own);
        assert!(records.iter().map(|record| &record.fault).eq(own), "a record for each fault, in order");
        store.write(unit, &records)?;
        outcome.computed += 1;
        outcome.left -= 1;
        stored += own.len() as u64;
        progress(stored);
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use design::{EvaluationSet, FaultedTensor};

    use super::*;

    fn sample(margin: f64, confidence: f64) -> FaultSample {
        FaultSample { strata: Strata::Both, margin, confidence, expected_rate: 0.5, exhaustive: false }
    }

    fn spec(sample: FaultSample) -> SingleFaultSpec {
        SingleFaultSpec {
            record_version: 1,
            evaluator: "int8-1".into(),
            model: "net".into(),
            network: "ab".into(),
            tensors: vec![
                FaultedTensor { name: "a".into(), weights: 300 },
                FaultedTensor { name: "b".into(), weights: 5 },
            ],
            seed: 7,
            sample,
            evaluation: EvaluationSet::default(),
        }
    }

    /// Quantiles from tables of the normal distribution.
    #[test]
    fn quantiles_are_those_of_tables() {
        for (probability, quantile) in
            [(0.975, 1.959_963_985), (0.995, 2.575_829_304), (0.5, 0.0), (0.99, 2.326_347_874)]
        {
            assert!((normal_quantile(probability) - quantile).abs() < 1e-8, "{probability}");
        }
    }

    /// For a margin of 1 % and 99 % confidence, 16,588 faults of an infinite population; of 1,401,536 faults 16,394 are enough.
    #[test]
    fn sample_sizes_follow_the_formula() {
        assert_eq!(sample_size(u64::MAX >> 12, &sample(0.01, 0.99)), 16_588);
        assert_eq!(sample_size(1_401_536, &sample(0.01, 0.99)), 16_394);
        assert_eq!(sample_size(1_401_536, &sample(0.01, 0.95)), 9_539);
        assert_eq!(sample_size(5, &sample(0.01, 0.95)), 5);
        assert_eq!(sample_size(0, &sample(0.01, 0.95)), 0);
        let exhaustive = FaultSample { exhaustive: true, ..sample(0.0, 0.95) };
        assert_eq!(sample_size(77, &exhaustive), 77);
    }

    #[test]
    fn every_stratum_has_its_sample_without_repeats() {
        let spec = spec(sample(0.1, 0.95));
        let faults = drawn_faults(&spec);
        assert!(faults.is_sorted_by(|a, b| a < b));
        for stratum in spec.strata(Strata::Both) {
            let in_it = faults.iter().filter(|&&fault| {
                let (tensor, _, bit) = spec.place(fault);
                (Some(tensor), Some(bit)) == (stratum.tensor, stratum.bit)
            });
            assert_eq!(in_it.count() as u64, sample_size(stratum.faults, &spec.sample), "{stratum:?}");
        }
        assert_eq!(drawn_faults(&spec), faults);
        assert_ne!(drawn_faults(&SingleFaultSpec { seed: 8, ..spec }), faults);
    }

    #[test]
    fn an_exhaustive_campaign_has_every_fault() {
        let spec = spec(FaultSample { exhaustive: true, ..sample(0.0, 0.95) });
        assert_eq!(drawn_faults(&spec), (0..8 * 305).collect::<Vec<u64>>());
    }

    #[test]
    fn a_file_is_refused_in_one_sentence() {
        let file = |more: &str| {
            format!(
                "name = \"a\"\ntitle = \"t\"\ndesign = \"single-fault\"\n{more}\n[[model]]\nlabel = \"n\"\ncheckpoint = \
                 \"n.safetensors\"\n[data]\nset = \"synthetic\"\nsplit = \"test\"\n"
            )
        };
        let parse = |more: &str| SingleFaultExperiment::parse(&file(more), Path::new("x.toml"));
        let refused = |more: &str| parse(more).unwrap_err().to_string();
        assert_eq!(
            refused(""),
            "x.toml: `margin` is absent, expected a share between 0 and 1, or `exhaustive = true`"
        );
        assert_eq!(
            refused("margin = 1.0"),
            "x.toml: `margin` is 1, expected a share between 0 and 1, e.g. 0.01"
        );
        assert!(refused("margin = 0.1\nexhaustive = true").contains("no key beside `exhaustive = true`"));
        assert!(refused("exhaustive = true\nconfidence = 1.0").starts_with("x.toml: `confidence` is 1,"));
        assert!(refused("margin = 0.1\nstrata = \"layer\"").contains("unknown variant `layer`"));
        assert!(refused("margin = 0.1\ntrials = 3").contains("unknown field `trials`"));
        let experiment = parse("margin = 0.1\nstrata = \"both\"").unwrap();
        assert_eq!((experiment.strata, experiment.sample().margin), (Strata::Both, 0.1));
        assert!(is_single_fault(&file("")) && !is_single_fault("name = \"a\""));
    }
}
