//! The file of a training's state: a safetensors file with everything that the next iteration depends on.
//!
//! | tensors (f32) | content |
//! |---|---|
//! | `parameter.<name>` | every parameter, running statistics included |
//! | `momentum.<name>` | SGD's momentum of every trained parameter |
//! | `target.<name>`, `dual.<name>` | ADMM's Z and U of every stored weight |
//! | `scales`, `ranges` | scale of every stored weight; range of every activation seen so far |
//!
//! The metadata entry `zerospace-training` holds the format's version, the number of iterations done, losses
//! since the last check, the names that `scales` and `ranges` belong to, and network, preprocessing and recipe
//! as JSON, so that the state cannot continue another training, and the digest of the parameters that the training began with. If the
//! network lists its layers, the SHA-256 of their JSON follows it. The metadata holds no random generator: all random numbers are functions of seed and
//! iteration.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::path::Path;

use graph::{Graph, Preprocessing};
use quant::{FloatTensor, LevelsPerUnit, Parameters};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

use crate::WotError;
use crate::error::StateError;
use crate::network::Rounding;
use crate::recipe::Recipe;
use crate::trainer::{Admm, Trainer};

/// Version 1 describes network, preprocessing and recipe by their `Debug` text, version 2 as JSON; version 3 has the digest of the
/// first parameters.
const VERSION: u32 = 3;
const FIRST_VERSION: u32 = 1;
const KEY: &str = "zerospace-training";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    version: u32,
    network: String,
    preprocessing: String,
    recipe: String,
    /// [`digest`] of the parameters before the first iteration; absent before version 3.
    #[serde(default)]
    start: Option<String>,
    iteration: u64,
    checked: bool,
    /// Bits of the f64 sum of losses, and number of losses.
    losses: (u64, u64),
    /// Names of the stored weights of `scales` and of the nodes of `ranges`.
    scales: Vec<String>,
    ranges: Vec<String>,
}

impl Trainer {
    /// Writes the state under a temporary name beside `path`, flushes it to disk, and renames it.
    ///
    /// # Errors
    /// The file cannot be written; `path` is then unchanged.
    pub fn save(&self, path: &Path) -> Result<(), WotError> {
        let bytes = self.to_bytes();
        durable::write(path, &bytes)
            .map_err(|error| WotError::State { path: path.into(), kind: error.into() })
    }

    /// Continues a saved training with the same graph, first parameters, preprocessing and recipe. All further bits equal those
    /// of a training without interruption. A state before version 3 does not name its first parameters, and continues with any.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or belongs to another training.
    pub fn resume(
        graph: &Graph,
        start: &Parameters,
        preprocessing: &Preprocessing,
        recipe: Recipe,
        path: &Path,
    ) -> Result<Self, WotError> {
        let state = |kind: StateError| WotError::State { path: path.into(), kind };
        let bytes = std::fs::read(path).map_err(|error| state(error.into()))?;
        let start = digest(start);
        let saved = Saved::read(graph, preprocessing, &recipe, &bytes).map_err(state)?;
        if let Some(found) = saved.metadata.start.filter(|found| *found != start) {
            return Err(state(StateError::OtherTraining { what: "start", found, expected: start }));
        }
        let mut trainer = Self::new(graph, saved.parameters, preprocessing, recipe)?;
        trainer.start = start;
        trainer.momentum = saved.momentum;
        trainer.admm = saved.admm;
        trainer.network.rounding = saved.rounding;
        trainer.iteration = saved.metadata.iteration;
        trainer.checked = saved.metadata.checked;
        trainer.losses = (f64::from_bits(saved.metadata.losses.0), saved.metadata.losses.1);
        Ok(trainer)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut tensors: Vec<(String, Vec<f32>)> = Vec::new();
        for (name, values) in self.network.parameters() {
            tensors.push((format!("parameter.{name}"), values.values().to_vec()));
        }
        for (name, values) in &self.momentum {
            tensors.push((format!("momentum.{name}"), values.clone()));
        }
        for (name, Admm { target, dual }) in &self.admm {
            tensors.push((format!("target.{name}"), target.clone()));
            tensors.push((format!("dual.{name}"), dual.clone()));
        }
        let (no_scales, no_ranges) = (BTreeMap::new(), BTreeMap::new());
        let rounding = self.network.rounding.as_ref();
        let scales = rounding.map_or(&no_scales, |rounding| &rounding.scales);
        let ranges = rounding.map_or(&no_ranges, |rounding| &rounding.ranges);
        tensors.push(("scales".into(), scales.values().map(|scale| scale.get()).collect()));
        tensors.push(("ranges".into(), ranges.values().copied().collect()));

        let metadata = Metadata {
            version: VERSION,
            network: described_network(self.network.graph(), VERSION),
            preprocessing: described(&self.preprocessing, VERSION),
            recipe: described(&self.recipe, VERSION),
            start: Some(self.start.clone()),
            iteration: self.iteration,
            checked: self.checked,
            losses: (self.losses.0.to_bits(), self.losses.1),
            scales: scales.keys().cloned().collect(),
            ranges: ranges.keys().cloned().collect(),
        };
        let bytes: Vec<(String, usize, Vec<u8>)> = tensors
            .into_iter()
            .map(|(name, values)| (name, values.len(), values.iter().flat_map(|v| v.to_le_bytes()).collect()))
            .collect();
        let views = bytes.iter().map(|(name, len, bytes)| {
            let view = TensorView::new(Dtype::F32, vec![*len], bytes).expect("four bytes a value");
            (name, view)
        });
        let json = serde_json::to_string(&metadata).expect("plain data always serializes");
        let entry = HashMap::from([(KEY.to_string(), json)]);
        safetensors::serialize(views, Some(entry)).expect("names are distinct")
    }
}

/// SHA-256 of parameters: of the lines of each tensor's name and the SHA-256 of its values, f32 in little endian.
pub(crate) fn digest(parameters: &Parameters) -> String {
    let line = |(name, values): (&String, &FloatTensor)| {
        let bytes: Vec<u8> = values.values().iter().flat_map(|value| value.to_le_bytes()).collect();
        format!("{name} {}\n", durable::sha256_hex(&bytes))
    };
    durable::sha256_hex(parameters.iter().map(line).collect::<String>().as_bytes())
}

/// Returns the text of a part of a training in a state of some version.
fn described<T: Debug + Serialize>(part: &T, version: u32) -> String {
    match version {
        FIRST_VERSION => format!("{part:?}"),
        _ => serde_json::to_string(part).expect("plain data always serializes"),
    }
}

/// Returns the text of a network. Listed layers stand in it as the SHA-256 of their JSON.
fn described_network(graph: &Graph, version: u32) -> String {
    let model = described(graph.spec(), version);
    if graph.layers().is_empty() {
        return model;
    }
    let layers = serde_json::to_string(graph.layers()).expect("plain data always serializes");
    format!("{model} with the layers {}", durable::sha256_hex(layers.as_bytes()))
}

struct Saved {
    metadata: Metadata,
    parameters: Parameters,
    momentum: BTreeMap<String, Vec<f32>>,
    admm: BTreeMap<String, Admm>,
    rounding: Option<Rounding>,
}

impl Saved {
    fn read(
        graph: &Graph,
        preprocessing: &Preprocessing,
        recipe: &Recipe,
        bytes: &[u8],
    ) -> Result<Self, StateError> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let text = header.metadata().as_ref().and_then(|map| map.get(KEY));
        let text = text.ok_or(StateError::Foreign { key: KEY })?;
        let version = durable::version(text.as_bytes(), "version")?;
        if !(FIRST_VERSION..=VERSION).contains(&version) {
            return Err(StateError::Version { found: version, newest: VERSION });
        }
        let metadata: Metadata = serde_json::from_str(text)?;
        for (what, found, expected) in [
            ("network", &metadata.network, described_network(graph, version)),
            ("preprocessing", &metadata.preprocessing, described(preprocessing, version)),
            ("recipe", &metadata.recipe, described(recipe, version)),
        ] {
            if *found != expected {
                return Err(StateError::OtherTraining { what, found: found.clone(), expected });
            }
        }
        let file = SafeTensors::deserialize(bytes)?;
        let values = |name: String, expected: usize| -> Result<Vec<f32>, StateError> {
            let wrong = |found: String| StateError::Tensor { tensor: name.clone(), found, expected };
            let view = file.tensor(&name).map_err(|_| wrong("missing".into()))?;
            if view.dtype() != Dtype::F32 || view.shape() != [expected] {
                return Err(wrong(format!("{:?} {:?}", view.dtype(), view.shape())));
            }
            let values: Vec<f32> =
                view.data().as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect();
            match values.iter().position(|value| !value.is_finite()) {
                Some(index) => Err(StateError::NonFinite { tensor: name, index, value: values[index] }),
                None => Ok(values),
            }
        };

        let mut saved = Self {
            parameters: Parameters::new(),
            momentum: BTreeMap::new(),
            admm: BTreeMap::new(),
            rounding: None,
            metadata,
        };
        for spec in graph.parameters() {
            let (name, len) = (&spec.name, spec.shape.iter().product());
            let parameter = values(format!("parameter.{name}"), len)?;
            saved.parameters.insert(name.clone(), FloatTensor::new(spec.shape.clone(), parameter));
            if !name.ends_with(".running_mean") && !name.ends_with(".running_var") {
                saved.momentum.insert(name.clone(), values(format!("momentum.{name}"), len)?);
            }
            if spec.is_stored_weight() && matches!(recipe.method, crate::Method::Admm { .. }) {
                let target = values(format!("target.{name}"), len)?;
                let dual = values(format!("dual.{name}"), len)?;
                saved.admm.insert(name.clone(), Admm { target, dual });
            }
        }
        if recipe.method.constraint().is_some() {
            let named = |names: &[String], tensor: &str| -> Result<BTreeMap<String, f32>, StateError> {
                let values = values(tensor.into(), names.len())?;
                match values.iter().position(|value| value.is_sign_negative()) {
                    Some(index) => {
                        Err(StateError::Negative { tensor: tensor.into(), index, value: values[index] })
                    }
                    None => Ok(names.iter().cloned().zip(values).collect()),
                }
            };
            let scale = |(tensor, value): (String, f32)| match LevelsPerUnit::new(value) {
                Ok(scale) => Ok((tensor, scale)),
                Err(error) => Err(StateError::Scale { tensor, error }),
            };
            let scales = named(&saved.metadata.scales, "scales")?.into_iter().map(scale);
            let scales = scales.collect::<Result<BTreeMap<_, _>, _>>()?;
            let ranges = named(&saved.metadata.ranges, "ranges")?;
            let stored = graph.stored_weights();
            if let Some(missing) = stored.iter().find(|spec| !scales.contains_key(&spec.name)) {
                return Err(StateError::Tensor {
                    tensor: format!("scale of {}", missing.name),
                    found: "missing".into(),
                    expected: 1,
                });
            }
            saved.rounding = Some(Rounding { scales, ranges });
        }
        Ok(saved)
    }
}
