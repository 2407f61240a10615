use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use design::{
    BitErrorRate, FailureRule, FaultKind, FaultModel, FaultModelError, HalfWidthRule, Metric, MetricError,
    ProtectionName, StopRule,
};
use ecc::{BLOCK, Kernel, MatrixCode, MatrixError};
use records::MAX_UNITS;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::{from_toml, is_single_fault, read_code_map};

/// A checked experiment file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Short name and default name of the run directory: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Title of figures and reports, one line.
    pub title: String,
    /// Seed of all randomness.
    pub seed: u64,
    /// Trials of each cell; the maximum if there is a `[stop]`.
    pub trials: u64,
    /// Trials of a unit, whose records share a file. Default 10.
    #[serde(default = "default_unit_trials")]
    pub unit_trials: u64,
    /// Trials that are drawn. Default [`TrialsOf::All`].
    #[serde(default)]
    pub trials_of: TrialsOf,
    /// Condition under which cells end earlier: `failures = N`, `drop_points = X`.
    pub stop: Option<StopRule>,
    /// Texts of the fault models, a string or a list of strings; the check of the file takes them.
    #[serde(rename = "fault_model", deserialize_with = "one_or_several")]
    fault_model_texts: Vec<String>,
    #[serde(skip)]
    fault_models: Vec<FaultModel>,
    /// Sweeps of each fault model, with a cell for each place. Default none.
    #[serde(default)]
    pub sweep: Vec<Sweep>,
    /// The numbers of `rates`; the check of the file takes them.
    #[serde(rename = "rates")]
    rate_numbers: Vec<f64>,
    #[serde(skip)]
    rates: Vec<BitErrorRate>,
    /// Protections by a parity-check matrix, which `protections` may name. Reading the file registers them
    /// ([`ecc::register`]).
    #[serde(default, rename = "code")]
    pub codes: Vec<CodeSection>,
    /// Codes of single tensors, which `protections` may name as one protection. Reading the file registers them
    /// ([`ecc::register_map`]).
    #[serde(default, rename = "code_map")]
    pub code_maps: Vec<CodeMapSection>,
    /// Protection ids; the file may also have the paper's names.
    pub protections: Vec<ProtectionName>,
    /// The networks.
    #[serde(rename = "model")]
    pub models: Vec<ModelSection>,
    /// Images that they are evaluated on; absent with metrics, which are the evaluator's own.
    pub data: Option<DataSection>,
    /// Folder of the file, in which the process of an evaluator runs.
    #[serde(skip)]
    pub folder: PathBuf,
    /// The user's own evaluator; absent: the exact int8 executor.
    pub evaluator: Option<EvaluatorSection>,
}

/// The trials of a cell that are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrialsOf {
    /// Ordinary trials.
    #[default]
    All,
    /// Conditional sampling: only trials in which some stored word reads back wrong, with their distribution among ordinary
    /// trials. Their mean drop is multiplied by the probability of such a trial.
    Changed,
}

/// Places that a fault model is confined to, one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sweep {
    /// Each tensor of the network.
    Tensor,
    /// Each bit of the weights' bytes.
    Bit,
}

/// `[[code]]`: a protection by its parity-check matrix ([`ecc::MatrixCode`]).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeSection {
    /// Id of the protection.
    pub name: String,
    /// File of the matrix ([`ecc::ParityCheckMatrix`]); a relative path is relative to the experiment file.
    pub matrix: PathBuf,
    /// Number of flips in a word that are always corrected.
    pub corrects: usize,
    /// Weights of a word, 8 or 4. Default 8.
    #[serde(default = "weights_of_block")]
    pub weights: usize,
    /// Stored bit of each column; absent: column i is stored bit i.
    pub positions: Option<Vec<usize>>,
    /// Stored bits that are check bits; absent: those beside the weights.
    pub check_bits: Option<Vec<usize>>,
}

fn weights_of_block() -> usize {
    BLOCK
}

impl CodeSection {
    /// Makes the protection and registers it. `path` is the experiment file.
    fn register(&self, path: &Path) -> Result<(), ExperimentError> {
        let wrong = |error: Box<dyn std::error::Error + Send + Sync>| ExperimentError::Code {
            path: path.into(),
            name: self.name.clone(),
            error,
        };
        let file = path.parent().unwrap_or(Path::new("")).join(&self.matrix);
        let text = std::fs::read_to_string(&file)
            .map_err(|source| ExperimentError::Io { path: file.clone(), source })?;
        let matrix = text.parse().map_err(|error: MatrixError| ExperimentError::Syntax {
            path: file,
            message: error.to_string(),
        })?;
        let code = MatrixCode {
            id: self.name.clone(),
            matrix,
            corrects: self.corrects,
            weights: self.weights,
            positions: self.positions.clone(),
            check_bits: self.check_bits.clone(),
        };
        let protection = code.protection(Kernel::fastest()).map_err(|error| wrong(error.into()))?;
        ecc::register(Arc::new(protection)).map_err(|error| wrong(error.into()))
    }
}

/// `[[code_map]]`: a protection with a code of its own for each tensor ([`ecc::CodeMap`]).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeMapSection {
    /// Id of the protection.
    pub name: String,
    /// File of the codes ([`read_code_map`]); a relative path is relative to the experiment file.
    pub file: PathBuf,
}

impl CodeMapSection {
    /// Reads the map and registers it. `path` is the experiment file.
    fn register(&self, path: &Path) -> Result<(), ExperimentError> {
        let wrong = |error: Box<dyn std::error::Error + Send + Sync>| ExperimentError::CodeMap {
            path: path.into(),
            name: self.name.clone(),
            error,
        };
        let file = path.parent().unwrap_or(Path::new("")).join(&self.file);
        let map = read_code_map(&self.name, &file).map_err(|error| wrong(error.into()))?;
        ecc::register_map(map.into()).map_err(|error| wrong(error.into()))
    }
}

/// `[[model]]`: a network.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSection {
    /// Name in tables and figures.
    pub label: String,
    /// Checkpoint file; a relative path is relative to the experiment file.
    pub checkpoint: PathBuf,
    /// Name of the network that this one is a version of; the report compares the versions of one network.
    pub family: Option<String>,
    /// Number of the training of this network, if its family has versions of several trainings; the label ends in it, as in
    /// `resnet18-five-bit-2`. The report then gives the spread between trainings.
    pub training: Option<u32>,
    /// Protections of this network; absent: the protections of the experiment.
    pub protections: Option<Vec<ProtectionName>>,
}

/// `[data]`: the evaluation set.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSection {
    /// Data set name.
    pub set: String,
    /// `train` or `test`.
    pub split: String,
    /// Number of images, from the first; absent: all.
    pub images: Option<usize>,
    /// Number of images that each trial sees, a balanced block of the set; absent: all.
    pub images_per_trial: Option<u64>,
}

/// `[evaluator]`: an evaluator of the user's own, in place of the exact int8 executor.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluatorSection {
    /// Name, part of every cell's identity: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Version of its rules, part of every cell's identity.
    pub version: String,
    /// Scores that it gives, the first is the headline; none: it gives predictions.
    #[serde(default)]
    pub metrics: Vec<Metric>,
    /// Program and arguments of a process; absent if the evaluator is a function of a program that uses the library.
    pub command: Option<Vec<String>>,
    /// Form in which a process gets the weights of a trial. Default [`WeightsForm::Changes`].
    #[serde(default)]
    pub weights: WeightsForm,
    /// Longest time that a process may take for a trial, in seconds. Default 600.
    #[serde(default = "default_timeout_s")]
    pub timeout_s: u64,
}

/// Form in which a process gets the weights of a trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WeightsForm {
    /// The changed weights, in the line of the trial.
    #[default]
    Changes,
    /// A safetensors file with all weights as int8.
    File,
    /// A safetensors file with all weights as floats: the integers divided by the levels per unit of the checkpoint.
    FileFloat,
}

/// The reason for which an experiment file is refused.
#[derive(Debug, thiserror::Error)]
pub enum ExperimentError {
    /// The file cannot be read.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The file is not TOML, or a key is unknown, missing or of the wrong type.
    #[error("{path}: {message}", path = .path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, key and what was expected.
        message: String,
    },
    /// A text names no fault model.
    #[error("{path}: `fault_model`: {error}", path = .path.display())]
    FaultModel {
        /// The file.
        path: PathBuf,
        /// The fault of the text.
        error: FaultModelError,
    },
    /// A metric cannot be.
    #[error("{path}: `evaluator.metrics`: {error}", path = .path.display())]
    Metrics {
        /// The file.
        path: PathBuf,
        /// The wrong metric.
        error: MetricError,
    },
    /// A `[[code]]` makes no protection.
    #[error("{path}: code {name:?}: {error}", path = .path.display())]
    Code {
        /// The file.
        path: PathBuf,
        /// Name of the code.
        name: String,
        /// The reason: a [`ecc::MatrixCodeError`] or a [`ecc::RegistrationError`].
        error: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A `[[code_map]]` makes no protection.
    #[error("{path}: code map {name:?}: {error}", path = .path.display())]
    CodeMap {
        /// The file.
        path: PathBuf,
        /// Name of the code map.
        name: String,
        /// The reason: a [`CodeMapFileError`](crate::CodeMapFileError) or a [`ecc::RegistrationError`].
        error: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A key has an impossible value.
    #[error("{path}: `{key}` is {value}, expected {expected}", path = .path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// The value found.
        value: String,
        /// Values that are possible.
        expected: String,
    },
}

fn default_unit_trials() -> u64 {
    10
}

fn default_timeout_s() -> u64 {
    600
}

/// Reads a string or a list of strings.
fn one_or_several<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    struct OneOrSeveral;
    impl<'de> Visitor<'de> for OneOrSeveral {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a string or a list of strings")
        }

        fn visit_str<E>(self, one: &str) -> Result<Vec<String>, E> {
            Ok(vec![one.into()])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
            let mut several = Vec::new();
            while let Some(one) = list.next_element()? {
                several.push(one);
            }
            Ok(several)
        }
    }
    from.deserialize_any(OneOrSeveral)
}

impl Experiment {
    /// Reads a file; returns the experiment and the file's text.
    ///
    /// # Errors
    /// With the file, the key, its value, and the expected values.
    pub fn load(path: &Path) -> Result<(Self, String), ExperimentError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ExperimentError::Io { path: path.into(), source })?;
        Ok((Self::parse(&text, path)?, text))
    }

    /// Reads the text of the file `path`, which need not exist: paths of checkpoints and matrices are relative to its
    /// directory.
    ///
    /// # Errors
    /// As [`Experiment::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ExperimentError> {
        if is_single_fault(text) {
            return Err(ExperimentError::Value {
                path: path.into(),
                key: "design",
                value: "\"single-fault\"".into(),
                expected: "no such key: this command works on trials; `zerospace run`, `submit`, `status`, `merge`, `report` and \
                           `verify` work on single faults"
                    .into(),
            });
        }
        let mut experiment: Self =
            from_toml(text).map_err(|message| ExperimentError::Syntax { path: path.into(), message })?;
        experiment.codes.iter().try_for_each(|code| code.register(path))?;
        experiment.code_maps.iter().try_for_each(|map| map.register(path))?;
        experiment.check(path)?;
        let base = path.parent().unwrap_or(Path::new(""));
        experiment.folder = base.into();
        for model in &mut experiment.models {
            model.checkpoint = base.join(&model.checkpoint);
        }
        Ok(experiment)
    }

    /// Returns the fault models, before any sweep.
    pub fn fault_models(&self) -> &[FaultModel] {
        &self.fault_models
    }

    /// Returns the bit error rates, or the quantities that the fault models take instead.
    pub fn rates(&self) -> &[BitErrorRate] {
        &self.rates
    }

    /// Returns the metrics of the evaluator; none if networks give predictions.
    pub fn metrics(&self) -> &[Metric] {
        self.evaluator.as_ref().map_or(&[], |evaluator| &evaluator.metrics)
    }

    /// Returns the number of images that each trial sees; `None`: all.
    pub fn images_per_trial(&self) -> Option<u64> {
        self.data.as_ref().and_then(|data| data.images_per_trial)
    }

    /// Returns the number of units of the plan. `tensors` is the number of tensors of each model, for sweeps.
    ///
    /// # Panics
    /// When `tensors` has not one number for each model.
    pub fn units(&self, tensors: &[usize]) -> u64 {
        self.units_of(self.cells(tensors))
    }

    /// Returns the number of units of a plan with `cells` cells.
    pub(crate) fn units_of(&self, cells: u64) -> u64 {
        self.trials.div_ceil(self.unit_trials).saturating_mul(cells)
    }

    /// Returns the number of cells of the plan, as [`Experiment::units`] does.
    fn cells(&self, tensors: &[usize]) -> u64 {
        assert_eq!(tensors.len(), self.models.len(), "a number of tensors for each model");
        let swept = |sweep, places: usize| if self.sweep.contains(&sweep) { places } else { 1 };
        let rows = self.models.iter().zip(tensors).map(|(model, &tensors)| {
            let protections = model.protections.as_ref().unwrap_or(&self.protections).len();
            protections * swept(Sweep::Tensor, tensors)
        });
        let columns = self.fault_models.len() * swept(Sweep::Bit, 8) * self.rates.len();
        (rows.sum::<usize>() as u64).saturating_mul(columns as u64)
    }

    fn check(&mut self, path: &Path) -> Result<(), ExperimentError> {
        let wrong = |key, value: String, expected: &str| {
            Err(ExperimentError::Value { path: path.into(), key, value, expected: expected.into() })
        };
        let is_word = |text: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !text.is_empty() && text.chars().all(plain) && !text.starts_with('.')
        };
        if !is_word(&self.name) {
            return wrong("name", format!("{:?}", self.name), "letters, digits, `-`, `_` and `.`");
        }
        if self.title.contains(char::is_control) {
            return wrong("title", format!("{:?}", self.title), "text without control characters");
        }
        for (key, value) in [("trials", self.trials), ("unit_trials", self.unit_trials)] {
            if value == 0 {
                return wrong(key, "0".into(), "at least 1");
            }
        }
        let points = "more than 0 and at most 100";
        let is_points = |number: f64| number > 0.0 && number <= 100.0;
        match self.stop {
            Some(StopRule::Failures(FailureRule { failures: 0, .. })) => {
                return wrong("stop.failures", "0".into(), "at least 1");
            }
            Some(StopRule::Failures(FailureRule { drop_points, .. })) if !is_points(drop_points) => {
                return wrong("stop.drop_points", drop_points.to_string(), points);
            }
            Some(StopRule::HalfWidth(HalfWidthRule { half_width })) if !is_points(half_width) => {
                return wrong("stop.half_width", half_width.to_string(), points);
            }
            _ => {}
        }
        let mut seen = BTreeSet::new();
        for number in std::mem::take(&mut self.rate_numbers) {
            let Ok(rate) = BitErrorRate::new(number) else {
                return wrong("rates", number.to_string(), "numbers in [0, 1]");
            };
            // 0 has two signs and is one rate.
            if !seen.insert((number + 0.0).to_bits()) {
                return wrong("rates", format!("{rate} twice"), "different numbers");
            }
            self.rates.push(rate);
        }
        let mut seen = BTreeSet::new();
        for text in std::mem::take(&mut self.fault_model_texts) {
            let model: FaultModel =
                text.parse().map_err(|error| ExperimentError::FaultModel { path: path.into(), error })?;
            let swept = [
                ("bit", Sweep::Bit, model.scope.bit.is_some()),
                ("tensor", Sweep::Tensor, model.scope.tensor.is_some()),
            ];
            if let Some((key, ..)) =
                swept.iter().find(|(_, sweep, given)| *given && self.sweep.contains(sweep))
            {
                let expected = format!("no `{key}`, over which `sweep` goes");
                return wrong("fault_model", quoted(&model), &expected);
            }
            if let Some(error) = self.rates.iter().find_map(|rate| model.kind.check_rate(*rate).err()) {
                let expected = format!("at most {:e} under {}", error.most, error.model);
                return wrong("rates", format!("{:e}", error.rate), &expected);
            }
            if !seen.insert(model.to_string()) {
                return wrong("fault_model", format!("{} twice", quoted(&model)), "different fault models");
            }
            self.fault_models.push(model);
        }
        if self.sweep.len() > 1 && self.sweep[1..].contains(&self.sweep[0]) {
            return wrong("sweep", format!("{:?}", self.sweep), "\"tensor\", \"bit\" or both, each once");
        }
        if self.trials_of == TrialsOf::Changed {
            if let Some(other) = self.fault_models.iter().find(|model| **model != FaultKind::Bernoulli.into())
            {
                let expected =
                    "\"bernoulli\" when `trials_of` is \"changed\": only there are words independent";
                return wrong("fault_model", quoted(other), expected);
            }
            if !self.sweep.is_empty() {
                return wrong("sweep", "not empty".into(), "nothing when `trials_of` is \"changed\"");
            }
            if self.rates.iter().any(|rate| rate.get() == 0.0) {
                return wrong("rates", "0".into(), "positive numbers when `trials_of` is \"changed\"");
            }
        }
        let own = self.models.iter_mut().filter_map(|model| model.protections.as_mut());
        for list in std::iter::once(&mut self.protections).chain(own) {
            for protection in list.iter_mut() {
                match ecc::known_id(protection) {
                    Ok(id) => {
                        *protection = id.parse().expect("the id of a known protection is a name");
                    }
                    Err(unknown) => {
                        return wrong("protections", format!("{:?}", protection.as_str()), &unknown.expected);
                    }
                }
            }
            if let Some(twice) = repeated(list) {
                return wrong("protections", format!("{:?} twice", twice.as_str()), "different protections");
            }
            if list.is_empty() {
                return wrong("protections", "empty".into(), "at least one");
            }
        }
        let labels: Vec<String> = self.models.iter().map(|m| m.label.clone()).collect();
        if let Some(bad) = labels.iter().find(|label| !is_word(label)) {
            return wrong("model.label", format!("{bad:?}"), "letters, digits, `-`, `_` and `.`");
        }
        if let Some(bad) =
            self.models.iter().filter_map(|m| m.family.as_ref()).find(|family| !is_word(family))
        {
            return wrong("model.family", format!("{bad:?}"), "letters, digits, `-`, `_` and `.`");
        }
        for model in &self.models {
            let Some(training) = model.training else { continue };
            if model.family.is_none() {
                return wrong("model.training", training.to_string(), "model.family beside it");
            }
            if !model.label.ends_with(&format!("-{training}")) {
                let label = format!("{:?} beside model.training = {training}", model.label);
                return wrong("model.label", label, &format!("a label that ends in -{training}"));
            }
        }
        if let Some(twice) = repeated(&labels) {
            return wrong("model.label", format!("{twice:?} twice"), "different labels");
        }
        let lists = [
            ("fault_model", self.fault_models.is_empty()),
            ("rates", self.rates.is_empty()),
            ("model", self.models.is_empty()),
        ];
        for (key, empty) in lists {
            if empty {
                return wrong(key, "empty".into(), "at least one");
            }
        }
        // One tensor each: the plan knows the tensors that a sweep goes over, and checks again.
        let least = vec![1; self.models.len()];
        let (cells, units) = (self.cells(&least), self.units(&least));
        if units > MAX_UNITS {
            let expected = format!(
                "fewer, or more unit_trials: {cells} cells make {units} units, and a run has at most {MAX_UNITS}"
            );
            return wrong("trials", self.trials.to_string(), &expected);
        }
        if let Some(EvaluatorSection { name, version, metrics, command, timeout_s, .. }) = &self.evaluator {
            for (key, text) in [("evaluator.name", name), ("evaluator.version", version)] {
                if !is_word(text) {
                    return wrong(key, format!("{text:?}"), "letters, digits, `-`, `_` and `.`");
                }
            }
            if let Err(error) = Metric::check(metrics) {
                return Err(ExperimentError::Metrics { path: path.into(), error });
            }
            if command.as_ref().is_some_and(|words| words.first().is_none_or(String::is_empty)) {
                return wrong("evaluator.command", "empty".into(), "a program and its arguments");
            }
            if *timeout_s == 0 {
                return wrong("evaluator.timeout_s", "0".into(), "at least 1");
            }
        }
        match (&self.data, self.metrics().is_empty()) {
            (None, true) => {
                let expected = "the evaluation set: only an `[evaluator]` with `metrics` has data of its own";
                return wrong("data", "absent".into(), expected);
            }
            (Some(_), false) => {
                let expected = "no section: an `[evaluator]` with `metrics` has data of its own";
                return wrong("data", "given".into(), expected);
            }
            (Some(DataSection { images: Some(0), .. }), _) => {
                return wrong("data.images", "0".into(), "at least 1");
            }
            _ => {}
        }
        if let Some(DataSection { images, images_per_trial: Some(block), .. }) = &self.data {
            let key = "data.images_per_trial";
            if *block == 0 || images.is_some_and(|images| *block > images as u64) {
                let most = images.map_or("the number of images".into(), |images| images.to_string());
                return wrong(key, block.to_string(), &format!("1 to {most}"));
            }
            if let Some(StopRule::Failures(_)) = self.stop {
                let expected = "no key with `stop.failures`, only with `stop.half_width`: a trial's loss is known on its own images only";
                return wrong(key, block.to_string(), expected);
            }
        }
        if self.stop.is_some() && !self.metrics().is_empty() {
            let expected = "no section with `evaluator.metrics`: its `drop_points` are percent of images";
            return wrong("stop", "given".into(), expected);
        }
        Ok(())
    }
}

fn repeated<N: Ord>(names: &[N]) -> Option<&N> {
    let mut seen = BTreeSet::new();
    names.iter().find(|name| !seen.insert(*name))
}

/// The text of a fault model in quotation marks.
fn quoted(model: &FaultModel) -> String {
    format!("{:?}", model.to_string())
}
