use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use graph::{Layer, ModelSpec, Op, Preprocessing, PreprocessingError, Variant};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    ActivationScale, Activations, FloatTensor, GivenActivations, GivenPoint, GivenScale,
    InvalidLevelsPerUnit, InvalidTensor, LevelsPerUnit, Parameters, Provenance, QuantTensor, Rule,
    ValueError, WeightScale, check_values,
};

/// Newest version of the checkpoint format that this crate reads. It writes the oldest that can hold a
/// checkpoint: 1; 2 when layers are listed; 3 when output channels have scales of their own or activations have
/// dynamic ranges; 4 when the model names its variant, the provenance says how the source was read, or a listed layer
/// is one that version 2 had not ([`Layer`]); 5 when another program quantized the network ([`Activations::Given`]).
pub const CHECKPOINT_VERSION: u32 = 5;

const FIRST_VERSION: u32 = 1;

const VERSION_WITH_LAYERS: u32 = 2;

const VERSION_WITH_SCALES: u32 = 3;

const VERSION_WITH_VARIANTS: u32 = 4;

/// The one metadata key; a single key keeps the file's bytes a function of its content.
const METADATA_KEY: &str = "zerospace";

/// Int8 network: everything that is needed to run it, and its origin.
///
/// All values in it are valid ([`Checkpoint::new`]), so whoever receives one does not check them again. The fields are
/// those of [`Contents`], which can be read and not changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    contents: Contents,
}

/// Fields of a [`Checkpoint`].
#[derive(Clone, Debug, PartialEq)]
pub struct Contents {
    /// Architecture and sizes, for `zoo` to build.
    pub model: ModelSpec,
    /// Layers of a network that no architecture name stands for; otherwise none.
    pub layers: Vec<Layer>,
    /// Input normalization.
    pub preprocessing: Preprocessing,
    /// Weights that faults can reach, in memory order.
    pub weights: Vec<QuantTensor>,
    /// Biases and batch-norm parameters, which the fault model leaves alone.
    pub parameters: Parameters,
    /// Source of the activations' scales.
    pub activations: Activations,
    /// Origin of the network; not part of [`Checkpoint::digest`].
    pub provenance: Provenance,
}

impl Contents {
    /// Returns the real weights and the other parameters under their names, with which a float executor runs this
    /// network without rounding activations.
    pub fn dequantized(&self) -> Parameters {
        let weights = self.weights.iter().map(|w| (w.name().into(), w.dequantize()));
        weights.chain(self.parameters.clone()).collect()
    }
}

impl Deref for Checkpoint {
    type Target = Contents;

    fn deref(&self) -> &Contents {
        &self.contents
    }
}

/// Value that no checkpoint may hold.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InvalidCheckpoint {
    /// A parameter that is not finite, or a negative variance.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// Means and deviations that are not one for each channel of the images.
    #[error("preprocessing.{0}")]
    Preprocessing(#[from] PreprocessingError),
    /// A second spelling of a network, which would give it a second identity.
    #[error("model.variant is `{found}`, expected {expected}")]
    Variant {
        /// The variant named.
        found: &'static str,
        /// The reason why none may be named.
        expected: &'static str,
    },
    /// A given quantization with a value that it cannot have.
    #[error("given.{field} is {found}")]
    Given {
        /// Field of the quantization.
        field: String,
        /// Its value, and what was expected.
        found: String,
    },
}

/// Reason why a checkpoint file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {kind}", path = .path.display())]
pub struct CheckpointError {
    path: PathBuf,
    #[source]
    kind: CheckpointErrorKind,
}

#[derive(Debug, thiserror::Error)]
enum CheckpointErrorKind {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("not a safetensors file: {0}")]
    Safetensors(#[from] safetensors::SafeTensorError),
    #[error(
        "the file is {what}, expected an int8 checkpoint: make one of it with `zerospace quantize FILE{options} -o \
         int8.safetensors`"
    )]
    Float { what: &'static str, options: &'static str },
    #[error(
        "not a zerospace checkpoint: its metadata has no `{METADATA_KEY}` entry (make one with `zerospace quantize`)"
    )]
    Foreign,
    #[error("metadata: {0}")]
    Metadata(#[from] serde_json::Error),
    #[error(
        "format version {found}, newest known is {CHECKPOINT_VERSION}: a newer zerospace reads the file{}",
        .needs.as_ref().map(|needs| format!("; {needs}")).unwrap_or_default()
    )]
    Version { found: u32, needs: Option<UnknownOperation> },
    #[error("{0}; a newer zerospace may read the file")]
    UnknownOperation(UnknownOperation),
    #[error("version is {found}, expected {expected}, the oldest that can hold what the file holds")]
    OtherVersion { found: u32, expected: u32 },
    #[error("tensor {tensor} is named in the metadata and missing from the file")]
    MissingTensor { tensor: String },
    #[error("tensor {tensor} is not named in the metadata")]
    UnexpectedTensor { tensor: String },
    #[error("tensor {tensor} is named twice in the metadata")]
    TensorTwice { tensor: String },
    #[error("tensor {tensor} has type {found:?}, expected {expected:?}")]
    WrongType { tensor: String, found: Dtype, expected: Dtype },
    #[error(
        "metadata has several or none of `activations`, `dynamic_activations` and `given`, expected one of them"
    )]
    StaticOrDynamic,
    #[error(
        "weight tensor {name} has several or none of `scale`, `scales` and `given`, expected one of them"
    )]
    ScaleOrScales { name: String },
    #[error("scale of {name} is {error}")]
    Scale { name: String, error: InvalidLevelsPerUnit },
    #[error(transparent)]
    Tensor(#[from] InvalidTensor),
    #[error(transparent)]
    Invalid(#[from] InvalidCheckpoint),
    #[error("content hash is {found}, the metadata says {recorded}: the file was damaged or edited")]
    Digest { found: String, recorded: String },
}

/// The metadata entry. Maps are ordered, so equal checkpoints have equal bytes.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    version: u32,
    digest: String,
    model: ModelSpec,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    layers: Vec<Layer>,
    preprocessing: Preprocessing,
    weights: Vec<WeightEntry>,
    parameters: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    activations: Option<BTreeMap<String, ActivationEntry>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dynamic_activations: Option<DynamicActivations>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    given: Option<GivenEntry>,
    provenance: Provenance,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DynamicActivations {
    batch: NonZeroU32,
}

/// A [`GivenActivations`] whose biases are tensors of type I32.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenEntry {
    rule: Rule,
    points: Vec<Option<GivenPoint>>,
    biases: Vec<String>,
}

impl GivenEntry {
    fn of(given: &GivenActivations) -> Self {
        let GivenActivations { rule, points, biases } = given;
        Self { rule: *rule, points: points.clone(), biases: biases.keys().cloned().collect() }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenWeights {
    units_per_level: Vec<f32>,
    /// Level of weight 0; absent if it is 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    zero_point: i8,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(zero_point: &i8) -> bool {
    *zero_point == 0
}

impl GivenWeights {
    fn of(scale: &GivenScale) -> Self {
        Self { units_per_level: scale.units_per_level().to_vec(), zero_point: scale.zero_point() }
    }

    fn scale(&self, name: &str) -> Result<GivenScale, CheckpointErrorKind> {
        GivenScale::new(self.units_per_level.clone(), self.zero_point)
            .map_err(|error| CheckpointErrorKind::Scale { name: name.into(), error })
    }
}

/// An [`ActivationScale`] whose number is not checked yet: the error names its node.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ActivationEntry {
    levels_per_unit: f32,
    signed: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WeightEntry {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scale: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scales: Option<Vec<f32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    given: Option<GivenWeights>,
}

impl WeightEntry {
    fn of(tensor: &QuantTensor) -> Self {
        let mut entry = Self { name: tensor.name().into(), scale: None, scales: None, given: None };
        match tensor.scale() {
            WeightScale::Tensor(scale) => entry.scale = Some(scale.get()),
            WeightScale::Channels(scales) => {
                entry.scales = Some(scales.iter().map(|scale| scale.get()).collect());
            }
            WeightScale::Given(scale) => entry.given = Some(GivenWeights::of(scale)),
        }
        entry
    }

    fn weight_scale(&self) -> Result<WeightScale, CheckpointErrorKind> {
        match (self.scale, &self.scales, &self.given) {
            (Some(scale), None, None) => Ok(WeightScale::Tensor(levels_per_unit(&self.name, scale)?)),
            (None, None, Some(given)) => Ok(WeightScale::Given(given.scale(&self.name)?)),
            (None, Some(scales), None) => {
                let scales = scales.iter().map(|&scale| levels_per_unit(&self.name, scale));
                Ok(WeightScale::Channels(scales.collect::<Result<_, _>>()?))
            }
            _ => Err(CheckpointErrorKind::ScaleOrScales { name: self.name.clone() }),
        }
    }
}

impl Checkpoint {
    /// Checks the values of a network: parameters are finite; running variances are not negative; means and deviations
    /// are one for each channel of the images; the model names no variant that its image size implies; a given
    /// quantization has levels for each place and weights of given scales.
    ///
    /// The executors check that tensors and scales are those of the network's graph.
    ///
    /// # Errors
    /// The first value that breaks a rule.
    pub fn new(contents: Contents) -> Result<Self, InvalidCheckpoint> {
        check_values(&contents.parameters)?;
        contents.preprocessing.check_channels(contents.model.input[0])?;
        check_variant(&contents.model, &contents.layers)?;
        check_given(&contents)?;
        Ok(Self { contents })
    }

    /// Returns the fields, to be changed and checked again.
    pub fn into_contents(self) -> Contents {
        self.contents
    }

    /// Identity of the network: lowercase hex SHA-256 over everything that changes what it computes
    /// (architecture or layers, preprocessing, weights and their order, parameters, scales) and nothing else.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"zerospace checkpoint 1\n");
        let mut json = |value: String| {
            hash.update((value.len() as u64).to_le_bytes());
            hash.update(value);
        };
        json(to_json(&self.model));
        // Where there are none, nothing is hashed: networks of version 1 keep their identity.
        if !self.layers.is_empty() {
            json(to_json(&self.layers));
        }
        json(to_json(&self.preprocessing));
        match &self.activations {
            Activations::Static(scales) => json(to_json(scales)),
            Activations::Dynamic { batch } => json(to_json(&DynamicActivations { batch: *batch })),
            Activations::Given(given) => json(to_json(&GivenEntry::of(given))),
        }
        for tensor in &self.weights {
            match tensor.scale() {
                WeightScale::Tensor(scale) => json(to_json(&(tensor.name(), tensor.shape(), scale))),
                WeightScale::Channels(scales) => json(to_json(&(tensor.name(), tensor.shape(), scales))),
                WeightScale::Given(scale) => {
                    json(to_json(&(tensor.name(), tensor.shape(), GivenWeights::of(scale))));
                }
            }
        }
        for (name, tensor) in &self.parameters {
            json(to_json(&(name, tensor.shape())));
        }
        for (name, values) in self.given_biases() {
            json(to_json(&(name, [values.len()])));
        }
        for tensor in &self.weights {
            hash.update(as_bytes(tensor.values()));
        }
        for tensor in self.parameters.values() {
            hash.update(le_bytes(tensor.values()));
        }
        for (_, values) in self.given_biases() {
            hash.update(le_integers(values));
        }
        durable::hex(&hash.finalize())
    }

    /// Writes the file under a temporary name beside `path`, flushes it to disk, and renames it.
    ///
    /// # Errors
    /// When the file cannot be written; `path` is then as it was before.
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        let write = || -> Result<(), CheckpointErrorKind> { Ok(durable::write(path, &self.to_bytes()?)?) };
        write().map_err(|kind| CheckpointError { path: path.into(), kind })
    }

    /// Reads and verifies a file: version, types, finite values, positive scales, content hash.
    ///
    /// # Errors
    /// With the file's name and the first thing that is wrong in it.
    pub fn load(path: &Path) -> Result<Self, CheckpointError> {
        let bytes =
            std::fs::read(path).map_err(|error| CheckpointError { path: path.into(), kind: error.into() })?;
        Self::parse(&bytes, path)
    }

    /// As [`Checkpoint::load`], of bytes that are, or would be, the file `path`.
    ///
    /// # Errors
    /// As [`Checkpoint::load`].
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, CheckpointError> {
        let checkpoint = match float(bytes) {
            Some(float) => Err(float),
            None => Self::from_bytes(bytes),
        };
        checkpoint.map_err(|kind| CheckpointError { path: path.into(), kind })
    }

    /// True if a file with this header calls itself a checkpoint.
    pub(crate) fn is_named_in(header: &safetensors::tensor::Metadata) -> bool {
        header.metadata().as_ref().is_some_and(|entries| entries.contains_key(METADATA_KEY))
    }

    /// Integer biases with their names; empty unless the quantization is given.
    fn given_biases(&self) -> impl Iterator<Item = (&String, &Vec<i32>)> {
        self.activations.given().into_iter().flat_map(|given| &given.biases)
    }

    /// The oldest version that can hold this network.
    fn version(&self) -> u32 {
        let per_channel = self.weights.iter().any(|w| matches!(w.scale(), WeightScale::Channels(_)));
        let dynamic = self.activations.scales().is_none();
        if self.activations.given().is_some() {
            CHECKPOINT_VERSION
        } else if self.model.variant.is_some()
            || !self.provenance.reading.is_empty()
            || has_newer(&self.layers)
        {
            VERSION_WITH_VARIANTS
        } else if per_channel || dynamic {
            VERSION_WITH_SCALES
        } else if !self.layers.is_empty() {
            VERSION_WITH_LAYERS
        } else {
            FIRST_VERSION
        }
    }

    fn to_bytes(&self) -> Result<Vec<u8>, CheckpointErrorKind> {
        let metadata = Metadata {
            version: self.version(),
            digest: self.digest(),
            model: self.model.clone(),
            layers: self.layers.clone(),
            preprocessing: self.preprocessing.clone(),
            weights: self.weights.iter().map(WeightEntry::of).collect(),
            parameters: self.parameters.keys().cloned().collect(),
            activations: self.activations.scales().map(activation_entries),
            dynamic_activations: match self.activations {
                Activations::Static(_) | Activations::Given(_) => None,
                Activations::Dynamic { batch } => Some(DynamicActivations { batch }),
            },
            given: self.activations.given().map(GivenEntry::of),
            provenance: self.provenance.clone(),
        };
        let floats: Vec<(&String, &FloatTensor, Vec<u8>)> =
            self.parameters.iter().map(|(name, t)| (name, t, le_bytes(t.values()))).collect();
        let levels: Vec<Vec<u8>> = self.weights.iter().map(|w| as_bytes(w.values())).collect();
        let biases: Vec<(&String, usize, Vec<u8>)> =
            self.given_biases().map(|(name, values)| (name, values.len(), le_integers(values))).collect();
        let mut views = Vec::new();
        for (w, bytes) in self.weights.iter().zip(&levels) {
            views.push((w.name(), TensorView::new(Dtype::I8, w.shape().to_vec(), bytes)?));
        }
        for (name, tensor, bytes) in &floats {
            views.push((name.as_str(), TensorView::new(Dtype::F32, tensor.shape().to_vec(), bytes)?));
        }
        for (name, count, bytes) in &biases {
            views.push((name.as_str(), TensorView::new(Dtype::I32, vec![*count], bytes)?));
        }
        let entry = HashMap::from([(METADATA_KEY.to_string(), serde_json::to_string(&metadata)?)]);
        Ok(safetensors::serialize(views, Some(entry))?)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, CheckpointErrorKind> {
        use CheckpointErrorKind as Kind;
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let text = header.metadata().as_ref().and_then(|m| m.get(METADATA_KEY)).ok_or(Kind::Foreign)?;
        let found = durable::version(text.as_bytes(), "version")?;
        if !(FIRST_VERSION..=CHECKPOINT_VERSION).contains(&found) {
            return Err(Kind::Version { found, needs: UnknownOperation::first_of(text) });
        }
        let metadata: Metadata =
            serde_json::from_str(text).map_err(|error| match UnknownOperation::first_of(text) {
                Some(unknown) => Kind::UnknownOperation(unknown),
                None => error.into(),
            })?;
        let file = SafeTensors::deserialize(bytes)?;

        // Each at most once, so that what is read takes no more memory than the file.
        let biases = metadata.given.iter().flat_map(|given| &given.biases);
        let names: [Vec<&str>; 2] = [
            metadata.weights.iter().map(|entry| entry.name.as_str()).collect(),
            metadata.parameters.iter().chain(biases).map(String::as_str).collect(),
        ];
        for names in &names {
            let mut seen = BTreeSet::new();
            if let Some(name) = names.iter().find(|name| !seen.insert(**name)) {
                return Err(Kind::TensorTwice { tensor: (*name).into() });
            }
        }
        let named: BTreeSet<&str> = names.into_iter().flatten().collect();
        let tensor = |name: &str, expected: Dtype| -> Result<TensorView<'_>, Kind> {
            let view = file.tensor(name).map_err(|_| Kind::MissingTensor { tensor: name.into() })?;
            if view.dtype() != expected {
                return Err(Kind::WrongType { tensor: name.into(), found: view.dtype(), expected });
            }
            Ok(view)
        };
        let mut weights = Vec::new();
        for entry in &metadata.weights {
            let name = &entry.name;
            let view = tensor(name, Dtype::I8)?;
            let scale = entry.weight_scale()?;
            let values: Vec<i8> = view.data().iter().map(|&b| b as i8).collect();
            weights.push(QuantTensor::new(name.clone(), view.shape().to_vec(), values, scale)?);
        }
        let mut parameters = Parameters::new();
        for name in &metadata.parameters {
            let view = tensor(name, Dtype::F32)?;
            let values: Vec<f32> =
                view.data().as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect();
            parameters.insert(name.clone(), FloatTensor::new(view.shape().to_vec(), values));
        }
        if let Some(name) = file.names().into_iter().find(|name| !named.contains(name)) {
            return Err(Kind::UnexpectedTensor { tensor: name.into() });
        }
        let activations = match (metadata.activations, metadata.dynamic_activations, metadata.given) {
            (Some(entries), None, None) => Activations::Static(activation_scales(entries)?),
            (None, Some(DynamicActivations { batch }), None) => Activations::Dynamic { batch },
            (None, None, Some(GivenEntry { rule, points, biases })) => {
                let mut found = BTreeMap::new();
                for name in biases {
                    let view = tensor(&name, Dtype::I32)?;
                    let values = view.data().as_chunks().0.iter().map(|chunk| i32::from_le_bytes(*chunk));
                    let values: Vec<i32> = values.collect();
                    if view.shape() != [values.len()] {
                        let found = format!("{:?}, expected one dimension", view.shape());
                        let field = format!("biases: shape of {name}");
                        return Err(InvalidCheckpoint::Given { field, found }.into());
                    }
                    found.insert(name, values);
                }
                Activations::Given(GivenActivations { rule, points, biases: found })
            }
            _ => return Err(Kind::StaticOrDynamic),
        };
        let checkpoint = Self::new(Contents {
            model: metadata.model,
            layers: metadata.layers,
            preprocessing: metadata.preprocessing,
            weights,
            parameters,
            activations,
            provenance: metadata.provenance,
        })?;
        if found != checkpoint.version() {
            return Err(Kind::OtherVersion { found, expected: checkpoint.version() });
        }
        let found = checkpoint.digest();
        if found != metadata.digest {
            return Err(Kind::Digest { found, recorded: metadata.digest });
        }
        Ok(checkpoint)
    }
}

/// Layer whose operation this program does not know.
#[derive(Debug, thiserror::Error)]
#[error("layer {layer} has the operation `{operation}`, which this program does not know")]
struct UnknownOperation {
    layer: String,
    operation: String,
}

/// Names of a file's operations, whatever else it holds.
#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    layers: Vec<ListedLayer>,
}

#[derive(Deserialize)]
struct ListedLayer {
    name: String,
    op: ListedOp,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ListedOp {
    Plain(String),
    WithFields(BTreeMap<String, IgnoredAny>),
}

impl UnknownOperation {
    fn first_of(metadata: &str) -> Option<Self> {
        let Listed { layers } = serde_json::from_str(metadata).ok()?;
        layers.into_iter().find_map(|ListedLayer { name, op }| {
            let operation = match op {
                ListedOp::Plain(operation) => operation,
                ListedOp::WithFields(fields) => fields.into_keys().next()?,
            };
            (!Op::is_known(&operation)).then_some(Self { layer: name, operation })
        })
    }
}

/// True if a list needs version 4: dilated convolutions and max pools, average pools that round up, pools with unequal borders, batch
/// norms of features, shortcuts without parameters, leaky ReLUs.
fn has_newer(layers: &[Layer]) -> bool {
    // True for each place that holds features and no image.
    let mut flat = vec![false];
    layers.iter().any(|layer| {
        let reads_flat = layer.inputs.first().is_some_and(|&place| flat.get(place) == Some(&true));
        flat.push(reads_flat || matches!(layer.op, Op::GlobalAvgPool | Op::Flatten | Op::Linear { .. }));
        match &layer.op {
            Op::Conv(conv) => conv.dilation != [1, 1],
            Op::MaxPool(pool) => pool.after.is_some() || pool.dilation != [1, 1],
            Op::AvgPool(pool) => pool.ceil || pool.after.is_some(),
            Op::BatchNorm { .. } => reads_flat,
            Op::PadShortcut { .. }
            | Op::LeakyRelu { .. }
            | Op::Function(_)
            | Op::PRelu
            | Op::Mul
            | Op::ChannelSlice { .. }
            | Op::ChannelShuffle { .. }
            | Op::LayerNorm { .. }
            | Op::TokenEmbedding { .. }
            | Op::Attention { .. }
            | Op::SelectToken { .. } => true,
            Op::Input
            | Op::Relu
            | Op::ClippedRelu { .. }
            | Op::GlobalAvgPool
            | Op::Flatten
            | Op::Linear { .. }
            | Op::Add
            | Op::Concat
            | Op::Pad { .. } => false,
        }
    })
}

fn levels_per_unit(name: &str, value: f32) -> Result<LevelsPerUnit, CheckpointErrorKind> {
    LevelsPerUnit::new(value).map_err(|error| CheckpointErrorKind::Scale { name: name.into(), error })
}

fn activation_entries(scales: &BTreeMap<String, ActivationScale>) -> BTreeMap<String, ActivationEntry> {
    let entry = |scale: &ActivationScale| ActivationEntry {
        levels_per_unit: scale.levels_per_unit.get(),
        signed: scale.signed,
    };
    scales.iter().map(|(name, scale)| (name.clone(), entry(scale))).collect()
}

fn activation_scales(
    entries: BTreeMap<String, ActivationEntry>,
) -> Result<BTreeMap<String, ActivationScale>, CheckpointErrorKind> {
    let scale = |(name, entry): (String, ActivationEntry)| {
        let levels_per_unit = levels_per_unit(&name, entry.levels_per_unit)?;
        Ok((name, ActivationScale { levels_per_unit, signed: entry.signed }))
    };
    entries.into_iter().map(scale).collect()
}

/// The error of a float network, by how its file begins.
fn float(bytes: &[u8]) -> Option<CheckpointErrorKind> {
    let (what, options) = match bytes {
        // A safetensors file, whose length can begin with anything.
        [_, _, _, _, _, _, _, _, b'{', ..] => return None,
        [b'P', b'K', 3, 4, ..] => ("a zip, as torch.save writes it", " --arch NAME"),
        [0x80, 2..=5, ..] => ("a pickle, as torch.save writes it", " --arch NAME"),
        // The version of the format, and the producer's name, the graph or the operator sets.
        [8, 1..=20, 0x12 | 0x3a | 0x42, ..] => ("an ONNX model", ""),
        _ => return None,
    };
    Some(CheckpointErrorKind::Float { what, options })
}

/// Checks that a given quantization has levels for each place, and that the weights' scales are given with it and only
/// with it.
fn check_given(contents: &Contents) -> Result<(), InvalidCheckpoint> {
    let wrong = |field: &str, found: String| Err(InvalidCheckpoint::Given { field: field.into(), found });
    let given = contents.activations.given();
    let is_given = given.is_some();
    let other = contents.weights.iter().find(|w| matches!(w.scale(), WeightScale::Given(_)) != is_given);
    if let Some(other) = other {
        let found = if is_given { "absent, expected it with `given`" } else { "present without `given`" };
        return wrong(&format!("weights: scale of {}", other.name()), found.into());
    }
    let Some(GivenActivations { points, .. }) = given else { return Ok(()) };
    let places = contents.layers.len() + 1;
    if points.len() != places {
        return wrong("points", format!("a list of {}, expected {places}, one for each place", points.len()));
    }
    for (place, point) in points.iter().enumerate() {
        match point {
            Some(point) => {
                if let Some(defect) = point.defect() {
                    return wrong(&format!("points[{place}]"), defect);
                }
            }
            None if place > 0 && place + 1 == places => {}
            None => return wrong(&format!("points[{place}]"), "null, expected levels".into()),
        }
    }
    Ok(())
}

fn check_variant(model: &ModelSpec, layers: &[Layer]) -> Result<(), InvalidCheckpoint> {
    let Some(variant) = model.variant else { return Ok(()) };
    let expected = if !layers.is_empty() {
        "none beside listed layers"
    } else if variant == Variant::implied(model.input) {
        "none, since images of this size imply it"
    } else {
        return Ok(());
    };
    Err(InvalidCheckpoint::Variant { found: variant.id(), expected })
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain data with string keys always serializes")
}

pub(crate) fn as_bytes(values: &[i8]) -> Vec<u8> {
    values.iter().map(|&v| v as u8).collect()
}

fn le_integers(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

pub(crate) fn le_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}
