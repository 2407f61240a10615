//! `manifest.json`: the plan of a run, expanded to its cells, and the units that it divides into.

use std::collections::BTreeSet;

use design::{CellId, CellSpec, FailureRule, HalfWidthRule, Metric, StopRule};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::RunArguments;
use crate::grid::GridManifest;

/// Newest version of `manifest.json`; a manifest has the oldest version that can hold it ([`Manifest::oldest_version`]).
const MANIFEST_VERSION: u32 = TRAININGS_VERSION;

/// The first version that has grids and compressed parts.
const GRIDS_VERSION: u32 = 7;

/// The version that numbers the trainings of a network. It always has grids.
const TRAININGS_VERSION: u32 = 8;

/// Most units of a plan, each of which is a file: 2^20.
pub const MAX_UNITS: u64 = 1 << 20;

/// Most cells that a manifest lists one by one; more are written as grids (version 7).
const MOST_LISTED: usize = 1 << 14;

/// Most trials of a run whose parts are plain text; those of a larger run are compressed.
const MOST_PLAIN: u64 = 1 << 24;

/// A cell as the plan lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedCell {
    /// Content hash of `spec`.
    pub id: CellId,
    /// Conditions of the cell.
    pub spec: CellSpec,
}

/// Description of a network of the plan, for people.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkEntry {
    /// Label in the plan.
    pub label: String,
    /// Content hash of the checkpoint.
    pub network: String,
    /// Architecture id, width and input size.
    pub architecture: String,
    /// Name of the network that this one is a version of, for comparing protections that need versions of their own. Absent
    /// in JSON if the plan names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// Number of the training, if the network was trained several times; absent in JSON otherwise. The label ends in it, and
    /// the label before it is the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<u32>,
    /// Number of classes; chance accuracy is 1/classes.
    pub classes: u64,
    /// Images of the evaluation set that the fault-free network classifies correctly.
    pub clean_correct: u64,
    /// Scores of the fault-free network, one for each metric of the plan; absent in JSON without metrics.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clean_scores: Vec<f64>,
    /// Origin of the weights and the steps that changed them, one line each.
    pub provenance: Vec<String>,
    /// Tensors in memory order, if a fault model is confined to a tensor; absent in JSON otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tensors: Vec<TensorEntry>,
}

/// A tensor of a network of the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorEntry {
    /// Name.
    pub name: String,
    /// Number of weights, without padding.
    pub weights: u64,
}

/// Environment in which a run was started. Informative: a resume may have another one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Program name and version.
    pub program: String,
    /// Operating system and architecture.
    pub platform: String,
    /// CPU model, if the system reports it.
    pub cpu: String,
    /// Number of threads.
    pub threads: usize,
    /// Time of the first start, in seconds since 1970-01-01 UTC.
    pub started_unix_s: u64,
    /// The command line; only in manifests before version 3.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// The arguments on which the records depend; since version 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<RunArguments>,
}

impl Environment {
    /// The arguments of the command; those of an older manifest are read from its command line.
    pub fn arguments(&self) -> RunArguments {
        self.arguments.clone().unwrap_or_else(|| RunArguments::of_words(&self.command))
    }
}

/// Average outcome of an ordinary trial of a cell, in closed form; the fields count the same words as those of
/// [`design::TrialRecord`]. Informative: no record depends on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedOutcomes {
    /// The cell.
    pub cell: CellId,
    /// Code words with at least one flipped bit.
    pub words_hit: f64,
    /// Words that are corrected rightly.
    pub corrected: f64,
    /// Words that are declared uncorrectable (DUE).
    pub detected: f64,
    /// Words that are changed to something that was never stored.
    pub miscorrected: f64,
    /// Words that pass as clean although they read back wrong (SDC).
    pub silent: f64,
    /// Probability that some word reads back wrong, padding included.
    pub changed_probability: f64,
}

/// One increase of the number of trials of an existing run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extension {
    /// Trials of each cell before the increase.
    pub trials: u64,
    /// Environment in which it was made.
    pub by: Environment,
}

/// The expanded plan of a run directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Format version of this file.
    pub manifest_version: u32,
    /// The experiment's name.
    pub experiment: String,
    /// The experiment file, word for word.
    pub source: String,
    /// Networks.
    pub networks: Vec<NetworkEntry>,
    /// Cells in plan order, which is the order of `trials.parquet`.
    pub cells: Vec<PlannedCell>,
    /// Trials of each cell; the maximum if there is a stop rule.
    pub trials: u64,
    /// Trials of a unit. Units end at its multiples, at the last trial of a cell, and at the last trial before an
    /// extension.
    pub unit_trials: u64,
    /// Average outcomes of ordinary trials, for the cells that have them in closed form; absent in JSON if none has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expected: Vec<ExpectedOutcomes>,
    /// Condition under which a cell ends earlier; absent in JSON if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<StopRule>,
    /// Increases of the number of trials, in order; absent in JSON if there was none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extensions: Vec<Extension>,
    /// True if parts are compressed by gzip, as they are in a run of more than 2^24 trials; absent in JSON if not.
    #[serde(default, skip_serializing_if = "is_false")]
    pub compressed_parts: bool,
    /// Environment of the first start.
    pub environment: Environment,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// A block of consecutive trials of one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Unit {
    /// The cell.
    pub cell: CellId,
    /// First trial.
    pub first: u64,
    /// Number of trials.
    pub count: u64,
}

impl Manifest {
    /// Makes a manifest for `cells`, in that order, without a stop rule, expectations or extensions.
    pub fn new(
        experiment: &str,
        source: &str,
        networks: Vec<NetworkEntry>,
        cells: Vec<CellSpec>,
        trials: u64,
        unit_trials: u64,
        environment: Environment,
    ) -> Self {
        let cells: Vec<PlannedCell> =
            cells.into_par_iter().map(|spec| PlannedCell { id: spec.id(), spec }).collect();
        let compressed_parts = trials.saturating_mul(cells.len() as u64) > MOST_PLAIN;
        let mut manifest = Self {
            manifest_version: 1,
            experiment: experiment.into(),
            source: source.into(),
            networks,
            cells,
            trials,
            unit_trials,
            expected: Vec::new(),
            stop: None,
            extensions: Vec::new(),
            compressed_parts,
            environment,
        };
        manifest.manifest_version = manifest.oldest_version();
        manifest
    }

    /// Returns all units, interleaved over the cells: the first unit of every cell, then the second, so that an early look
    /// at a run shows every cell.
    pub fn units(&self) -> Vec<Unit> {
        let blocks = self.blocks().into_iter();
        blocks.flat_map(|block| self.cells.iter().map(move |cell| unit(cell.id, block))).collect()
    }

    /// Returns the units of a cell, ascending.
    pub fn units_of(&self, cell: &CellId) -> impl Iterator<Item = Unit> + use<> {
        let cell = *cell;
        self.blocks().into_iter().map(move |block| unit(cell, block))
    }

    /// Returns the first trial and the number of trials of each unit of a cell. An extension only adds units: every unit of
    /// the shorter run, including a short last one, is a unit of the longer run.
    pub(crate) fn blocks(&self) -> Vec<(u64, u64)> {
        let step = usize::try_from(self.unit_trials).expect("64-bit");
        let mut firsts: Vec<u64> = (0..self.trials).step_by(step).collect();
        firsts.extend(self.extensions.iter().map(|extension| extension.trials));
        firsts.sort();
        firsts.dedup();
        let ends = firsts.iter().skip(1).chain([&self.trials]);
        firsts.iter().zip(ends).map(|(&first, end)| (first, end - first)).collect()
    }

    /// Returns the metrics of the plan's cells, the first of which is the headline; none if the networks give predictions.
    pub fn metrics(&self) -> &[Metric] {
        self.cells.first().map_or(&[], |cell| &cell.spec.metrics)
    }

    /// Returns the number of images that each trial sees; `None`: all images of its evaluation set.
    pub fn images_per_trial(&self) -> Option<u64> {
        self.cells.first().and_then(|cell| cell.spec.evaluation.images_per_trial)
    }

    /// Returns the oldest format version that can hold the cells: 4 has metrics, 5 has blocks of images, 7 has grids and
    /// compressed parts.
    fn version_of_cells(&self) -> u32 {
        if self.compressed_parts || self.cells.len() > MOST_LISTED {
            return GRIDS_VERSION;
        }
        match (self.images_per_trial(), self.metrics()) {
            (Some(_), _) => 5,
            (None, [_, ..]) => 4,
            (None, []) => 1,
        }
    }

    /// Returns the oldest format version that can hold the manifest: 2 has extensions, 3 has
    /// arguments instead of command lines, 4 has metrics, 5 has blocks of images, 6 ends cells by the width of their intervals, 7
    /// has grids and compressed parts, 8 numbers trainings.
    pub(crate) fn oldest_version(&self) -> u32 {
        if self.networks.iter().any(|network| network.training.is_some()) {
            return TRAININGS_VERSION;
        }
        let of_cells = self.version_of_cells();
        if let Some(StopRule::HalfWidth(_)) = self.stop {
            return of_cells.max(6);
        }
        if of_cells > 1 {
            return of_cells;
        }
        let mut environments =
            self.extensions.iter().map(|extension| &extension.by).chain([&self.environment]);
        match environments.any(|environment| environment.arguments.is_some()) {
            true => 3,
            false => 1 + u32::from(!self.extensions.is_empty()),
        }
    }

    /// Reads the text of `manifest.json`; the error says what is wrong with it.
    pub(crate) fn from_json(text: &str) -> Result<Self, String> {
        let manifest_version = durable::version(text.as_bytes(), "manifest_version")
            .map_err(|e| format!("not a zerospace manifest: {e}"))?;
        if manifest_version > MANIFEST_VERSION {
            return Err(format!("manifest version {manifest_version}, newest known is {MANIFEST_VERSION}"));
        }
        if manifest_version >= GRIDS_VERSION {
            let grids: GridManifest = serde_json::from_str(text).map_err(|e| e.to_string())?;
            let manifest = grids.expanded()?;
            return manifest.check_sizes().map(|()| manifest);
        }
        let manifest: Self = serde_json::from_str(text).map_err(|e| e.to_string())?;
        manifest.check().map(|()| manifest)
    }

    /// The bytes of `manifest.json`.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut text = match self.manifest_version >= GRIDS_VERSION {
            true => serde_json::to_string_pretty(&GridManifest::of(self)),
            false => serde_json::to_string_pretty(self),
        }
        .expect("plain data serializes");
        text.push('\n');
        text.into_bytes()
    }

    /// Returns the environment of the last extension, or of the first start: its command has all trials.
    pub fn latest(&self) -> &Environment {
        self.extensions.last().map_or(&self.environment, |extension| &extension.by)
    }

    /// Checks that a run can have the manifest.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.check_sizes()?;
        match self.cells.par_iter().find_first(|cell| cell.spec.id() != cell.id) {
            None => Ok(()),
            Some(cell) => Err(format!(
                "the id of cell {} is {}, but its content hashes to {}",
                cell.spec.label(),
                cell.id,
                cell.spec.id()
            )),
        }
    }

    /// Checks all but the ids of the cells.
    fn check_sizes(&self) -> Result<(), String> {
        if self.unit_trials == 0 {
            return Err("unit_trials is 0, expected at least 1".into());
        }
        let mut before = 0;
        for extension in &self.extensions {
            let Extension { trials, .. } = extension;
            if *trials <= before || *trials >= self.trials {
                return Err(format!(
                    "extensions.trials is {trials}, expected more than {before} and less than trials, {}",
                    self.trials
                ));
            }
            before = *trials;
        }
        let short = self.extensions.iter().filter(|extension| extension.trials % self.unit_trials != 0);
        let blocks = self.trials.div_ceil(self.unit_trials).saturating_add(short.count() as u64);
        let units = blocks.saturating_mul(self.cells.len().max(1) as u64);
        if units > MAX_UNITS {
            return Err(format!("it plans {units} units, expected at most {MAX_UNITS}"));
        }
        let metrics = self.metrics();
        Metric::check(metrics).map_err(|error| format!("metrics: {error}"))?;
        if let Some(cell) = self.cells.iter().find(|cell| cell.spec.metrics != metrics) {
            return Err(format!(
                "the metrics of cell {} differ from those of the first cell, expected one list",
                cell.spec.label()
            ));
        }
        let images = self.images_per_trial();
        if let Some(cell) = self.cells.iter().find(|cell| cell.spec.evaluation.images_per_trial != images) {
            return Err(format!(
                "images_per_trial of cell {} differs from that of the first cell, expected one number",
                cell.spec.label()
            ));
        }
        Ok(())
    }

    /// Returns the first condition that differs in `other`, for an error message; `None` if both lead to the same records.
    /// `environment` and the descriptions for people may differ. `trials` may differ too, because a trial depends on its
    /// number and not on the number of trials.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        if self.unit_trials != other.unit_trials {
            return Some(format!("unit_trials is {}, was {}", other.unit_trials, self.unit_trials));
        }
        if self.stop != other.stop {
            let words = |stop: Option<StopRule>| match stop {
                None => "absent".into(),
                Some(StopRule::Failures(FailureRule { failures, drop_points })) => {
                    format!("{failures} failures of {drop_points} points")
                }
                Some(StopRule::HalfWidth(HalfWidthRule { half_width })) => {
                    format!("a half width of {half_width} points")
                }
            };
            return Some(format!("stop is {}, was {}", words(other.stop), words(self.stop)));
        }
        if self.cells.len() != other.cells.len() {
            return Some(format!("the plan has {} cells, had {}", other.cells.len(), self.cells.len()));
        }
        let (was, is) = self.cells.iter().zip(&other.cells).find(|(a, b)| a != b)?;
        let json = |cell: &PlannedCell| serde_json::to_value(&cell.spec).expect("plain data serializes");
        let (field, old, new) = first_difference(&json(was), &json(is))?;
        Some(format!("{field} of cell {} is {new}, was {old}", was.spec.label()))
    }
}

pub(crate) fn unit(cell: CellId, (first, count): (u64, u64)) -> Unit {
    Unit { cell, first, count }
}

/// Returns the first field in which two JSON values differ, with both values.
fn first_difference(was: &Value, is: &Value) -> Option<(String, String, String)> {
    if was == is {
        return None;
    }
    let (Value::Object(old), Value::Object(new)) = (was, is) else {
        return Some((String::new(), was.to_string(), is.to_string()));
    };
    let fields: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    fields.into_iter().find_map(|field| {
        let [old, new] = [old, new].map(|object| object.get(field).unwrap_or(&Value::Null));
        let (inner, old, new) = first_difference(old, new)?;
        Some((if inner.is_empty() { field.clone() } else { format!("{field}.{inner}") }, old, new))
    })
}
