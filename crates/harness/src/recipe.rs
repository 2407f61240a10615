//! The recipe file of a training.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use ecc::TensorRanges;
use graph::{Preprocessing, Variant};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use wot::{Augmentation, BitErrors, Method, Scale, Schedule, Validation};
use zoo::Selection;

use crate::images::has_image_files;
use crate::{PreprocessingFile, Storable};

/// Seed of the choice of held-out images: one for all stages and recipes, so that what a float network was
/// judged on is never trained on later.
pub(crate) const VALIDATION_SEED: u64 = 0;

/// A training recipe (TOML), checked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Name of the output folder.
    pub name: String,
    /// Seed of the initialization, the order of images and the augmentation.
    pub seed: u64,
    /// `[network]`.
    pub network: Network,
    /// `[data]`.
    pub data: Data,
    /// Float training from scratch; absent when `network.import` names a checkpoint.
    pub float: Option<Stage>,
    /// Int8 trainings; each starts from the float network.
    #[serde(default)]
    pub wot: Vec<Stage>,
}

/// `[network]`: the network that is trained.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Architecture of the zoo; absent when `import` is an ONNX model, which has its own layers.
    pub architecture: Option<String>,
    /// Variant of the architecture, if it has several; torchvision's when absent.
    pub variant: Option<Variant>,
    /// Multiplier of the channel counts.
    #[serde(default = "one")]
    pub width: f64,
    /// Mean of each input channel, for pixels in 0..1; ImageNet's when neither it nor a file is given.
    mean: Option<Vec<f32>>,
    /// Standard deviation of each input channel; ImageNet's when neither it nor a file is given.
    std: Option<Vec<f32>>,
    /// Preprocessing file in the place of `mean` and `std`; a relative path starts at the recipe. When all three are absent,
    /// the file beside `import`, if there is one.
    preprocessing: Option<PathBuf>,
    /// Float checkpoint or ONNX model to start from; a relative path starts at the recipe.
    pub import: Option<PathBuf>,
    /// Output of an ONNX model that holds the logits; needed if it has several outputs.
    pub onnx_output: Option<String>,
    /// Keys that lead to the state dict in it, joined by dots; found by fit when absent.
    key: Option<String>,
    /// Prefix of the parameters' names there; found by fit when absent.
    prefix: Option<String>,
}

impl Network {
    /// Place of the parameters in the imported checkpoint.
    pub fn selection(&self) -> Selection {
        Selection { key: self.key.clone(), prefix: self.prefix.clone() }
    }
}

impl Network {
    /// Reads the preprocessing file that the recipe names, or that lies beside the imported network.
    ///
    /// # Errors
    /// If the file is damaged, or describes preprocessing that is not available.
    pub fn preprocessing_file(&self) -> anyhow::Result<Option<PreprocessingFile>> {
        match (&self.preprocessing, &self.import) {
            (Some(file), _) => PreprocessingFile::read(file).context("network.preprocessing").map(Some),
            (None, Some(import)) if self.mean.is_none() && self.std.is_none() => {
                PreprocessingFile::beside(import)
            }
            _ => Ok(None),
        }
    }

    /// Preprocessing of images of `channels` channels: the file's, or else the recipe's own numbers.
    ///
    /// # Errors
    /// If the numbers are impossible or not one for each channel.
    pub fn preprocessing(
        &self,
        file: Option<&PreprocessingFile>,
        channels: usize,
    ) -> anyhow::Result<Preprocessing> {
        let [mean, std] = [&self.mean, &self.std].map(|numbers| numbers.as_deref());
        PreprocessingFile::or_numbers(file, mean, std, channels, "network.")
    }

    /// Refuses fields that have no meaning beside the others.
    fn check(&self) -> anyhow::Result<()> {
        let Self { architecture, variant, width, import, onnx_output, key, prefix, .. } = self;
        if let Some(file) = &self.preprocessing {
            let numbers = [("mean", &self.mean), ("std", &self.std)];
            if let Some((field, Some(numbers))) = numbers.iter().find(|(_, numbers)| numbers.is_some()) {
                let file = file.display();
                return Err(anyhow!(
                    "network.{field} is {numbers:?}, expected none beside network.preprocessing, which is {file}"
                ));
            }
        }
        if let (Some(_), Some(output)) = (architecture, onnx_output) {
            return Err(anyhow!(
                "network.onnx_output is {output:?}, expected none beside network.architecture: an ONNX model has its own \
                 layers"
            ));
        }
        if architecture.is_some() {
            return Ok(());
        }
        if import.is_none() {
            return Err(anyhow!(
                "network.architecture is missing, expected one, or an ONNX model as network.import"
            ));
        }
        let of_architectures = [
            ("variant", variant.map(|variant| format!("{:?}", variant.id()))),
            ("width", Some(width.to_string()).filter(|_| *width != 1.0)),
            ("key", key.as_ref().map(|key| format!("{key:?}"))),
            ("prefix", prefix.as_ref().map(|prefix| format!("{prefix:?}"))),
        ];
        match of_architectures.into_iter().find_map(|(field, value)| Some((field, value?))) {
            Some((field, value)) => {
                Err(anyhow!("network.{field} is {value}, expected none without network.architecture"))
            }
            None => Ok(()),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(architecture) = &self.architecture else {
            let file = self.import.as_deref().and_then(Path::file_name).unwrap_or_default();
            return write!(f, "{}", file.to_string_lossy());
        };
        let variant = self.variant.map_or(String::new(), |variant| format!(", variant {}", variant.id()));
        write!(f, "{architecture}{variant}, width {}", self.width)
    }
}

/// `[data]`: the images.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Name of the data set.
    pub set: String,
    /// Training images, from the first; all when absent.
    pub images: Option<usize>,
    /// Training images that are held out to judge the network during training.
    pub validation: usize,
    /// Test images that measure the result, from the first; all when absent.
    pub test_images: Option<usize>,
    /// Rows and columns to which image files are cut; 224 when absent.
    pub side: Option<usize>,
}

/// `[float]` or `[[wot]]`: one training.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Name of the checkpoint and the log; `float` for the float stage.
    #[serde(default = "float")]
    pub name: String,
    method: MethodName,
    /// Name of the protection whose range the trained weights satisfy, or file of a code map for a range of each tensor; a relative
    /// path starts at the recipe.
    #[serde(default = "in_place", deserialize_with = "known")]
    protection: String,
    /// The range, or the code map after it is read.
    #[serde(skip)]
    storable: Option<Storable>,
    /// Rule from the float weights of a tensor to its scale.
    #[serde(default)]
    scale: ScaleRule,
    /// Clipping threshold of a tensor's weights, in units of their root mean square; no clipping when absent.
    clip: Option<f32>,
    /// Random bit errors in the weights during training; none when absent.
    bit_errors: Option<BitErrorSection>,
    /// Penalty of ADMM (default: the release's 0.0015).
    #[serde(default = "release_beta")]
    beta: f32,
    /// Iterations from one dual update of ADMM to the next.
    #[serde(default = "hundred")]
    dual_every: u64,
    /// Number of iterations.
    pub iterations: u64,
    batch: usize,
    rate: f32,
    schedule: ScheduleName,
    #[serde(default = "momentum")]
    momentum: f32,
    #[serde(default = "weight_decay")]
    weight_decay: f32,
    /// Largest shift of the augmentation in pixels, which also mirrors half of the images; none when absent.
    shift: Option<usize>,
    check_every: u64,
    /// Stop when held-out accuracy after throttling reaches that of the network before training.
    #[serde(default)]
    pub early_stop: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum MethodName {
    Float,
    Qatt,
    Admm,
}

/// Rule from the weights of a tensor to its scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScaleRule {
    /// 127 / max|w|: the paper's rule.
    #[default]
    Largest,
    /// The scale with the least sum of squared errors of the levels, after clamping where levels are clamped. An
    /// extension of the paper.
    LeastError,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BitErrorSection {
    /// Probability that a bit flips in an iteration.
    rate: f32,
    /// Bits of a weight that can flip, 0 is the least significant; all when absent.
    #[serde(default = "all_bits")]
    bits: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ScheduleName {
    Constant,
    Cosine,
}

fn one() -> f64 {
    1.0
}

fn float() -> String {
    "float".into()
}

fn in_place() -> String {
    "in-place-64-57".into()
}

/// Reads the name of a known protection, or of a file.
fn known<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let name = String::deserialize(from)?;
    if !Storable::is_file(&name) {
        ecc::by_id(&name).map_err(|unknown| D::Error::custom(format!("protection: {unknown}")))?;
    }
    Ok(name)
}

fn all_bits() -> Vec<u8> {
    (0..8).collect()
}

fn release_beta() -> f32 {
    0.0015
}

fn hundred() -> u64 {
    100
}

fn momentum() -> f32 {
    0.9
}

fn weight_decay() -> f32 {
    1e-4
}

impl Recipe {
    /// Reads and checks a recipe.
    ///
    /// # Errors
    /// With the file, the key, its value and the expectation.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let mut recipe: Self =
            campaign::from_toml(&text).map_err(|message| anyhow!("{}: {message}", path.display()))?;
        recipe.check().with_context(|| path.display().to_string())?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let Network { import, preprocessing, .. } = &mut recipe.network;
        for file in [import, preprocessing].into_iter().flatten() {
            *file = folder.join(&file);
        }
        for stage in recipe.float.iter_mut().chain(&mut recipe.wot) {
            let storable = Storable::named(&stage.protection, folder);
            stage.storable = Some(storable.with_context(|| format!("{}: protection", path.display()))?);
        }
        Ok(recipe)
    }

    fn check(&self) -> anyhow::Result<()> {
        let plain = |name: &String| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        };
        let names: Vec<&String> = self.wot.iter().map(|stage| &stage.name).collect();
        if let Some(bad) = names.iter().copied().chain([&self.name]).find(|name| !plain(name)) {
            return Err(anyhow!("name is {bad:?}, expected letters, digits, `-` and `_`"));
        }
        for (i, name) in names.iter().enumerate() {
            if names[..i].contains(name) || ["float", "int8"].contains(&name.as_str()) {
                return Err(anyhow!("wot.name is {name:?}, expected a name of its own"));
            }
        }
        if self.float.is_some() == self.network.import.is_some() {
            return Err(anyhow!("expected either a [float] stage or network.import"));
        }
        self.network.check()?;
        let Network { import, key, prefix, preprocessing, .. } = &self.network;
        let of_imports = [
            ("key", key.as_ref().map(|key| format!("{key:?}"))),
            ("prefix", prefix.as_ref().map(|prefix| format!("{prefix:?}"))),
            ("preprocessing", preprocessing.as_ref().map(|file| file.display().to_string())),
        ];
        let given = of_imports.into_iter().find_map(|(field, value)| Some((field, value?)));
        if let (None, Some((field, value))) = (import, given) {
            return Err(anyhow!("network.{field} is {value}, expected none without network.import"));
        }
        if self.float.as_ref().is_some_and(|stage| stage.method != MethodName::Float) {
            return Err(anyhow!("float.method is not \"float\""));
        }
        if let (Some(side), false) = (self.data.side, has_image_files(&self.data.set)) {
            let set = &self.data.set;
            return Err(anyhow!(
                "data.side is {side}, expected none: images of {set} have a size of their own"
            ));
        }
        if self.wot.iter().any(|stage| stage.method == MethodName::Float) {
            return Err(anyhow!("wot.method is \"float\", expected \"qatt\" or \"admm\""));
        }
        self.wot.iter().try_for_each(Stage::check)
    }
}

impl Stage {
    fn check(&self) -> anyhow::Result<()> {
        if let (Some(clip), ScaleRule::LeastError) = (self.clip, self.scale) {
            return Err(anyhow!("wot.clip is {clip}, expected none beside scale = \"least-error\""));
        }
        let bits = self.bit_errors.iter().flat_map(|errors| &errors.bits);
        if let Some(bit) = bits.copied().find(|&bit| bit > 7) {
            return Err(anyhow!("wot.bit_errors.bits holds {bit}, expected numbers from 0 to 7"));
        }
        Ok(())
    }

    /// Ranges that the trained weights satisfy.
    pub fn storable(&self) -> &Storable {
        self.storable.as_ref().expect("a recipe that was read has it")
    }

    /// The same for the trainer. `validation` is the number of held-out images, `constraint` has the range of each tensor.
    pub fn recipe(&self, seed: u64, validation: usize, constraint: TensorRanges) -> wot::Recipe {
        let bits = |bits: &[u8]| bits.iter().fold(0, |set, bit| set | 1 << bit);
        wot::Recipe {
            method: match self.method {
                MethodName::Float => Method::Float,
                MethodName::Qatt => Method::Qatt { constraint },
                MethodName::Admm => Method::Admm { constraint, beta: self.beta, dual_every: self.dual_every },
            },
            scale: match (self.clip, self.scale) {
                (Some(deviations), _) => Scale::Clipped { deviations },
                (None, ScaleRule::Largest) => Scale::Largest,
                (None, ScaleRule::LeastError) => Scale::LeastError,
            },
            bit_errors: self
                .bit_errors
                .as_ref()
                .map(|errors| BitErrors { rate: errors.rate, bits: bits(&errors.bits) }),
            iterations: self.iterations,
            batch_images: self.batch,
            schedule: match self.schedule {
                ScheduleName::Constant => Schedule::Constant { rate: self.rate },
                ScheduleName::Cosine => Schedule::Cosine { rate: self.rate },
            },
            momentum: self.momentum,
            weight_decay: self.weight_decay,
            augmentation: self.shift.map(|shift| Augmentation { shift, mirror: true }),
            validation: Validation { images: validation, seed: VALIDATION_SEED },
            check_every: self.check_every,
            seed,
        }
    }
}
