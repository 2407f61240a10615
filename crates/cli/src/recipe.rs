//! The recipe file of `zerospace train`.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::ValueEnum;
use ecc::Constraint;
use quant::Variant;
use serde::Deserialize;
use wot::{Augmentation, BitErrors, Method, Scale, Schedule, Validation};
use zoo::Selection;

use crate::images::is_folder;

/// Seed of the choice of held-out images: one for all stages and recipes, so that what a float network was
/// judged on is never trained on later.
const VALIDATION_SEED: u64 = 0;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recipe {
    /// Names the output folder.
    pub(crate) name: String,
    /// Seed of initialization, order of images and augmentation.
    pub(crate) seed: u64,
    pub(crate) network: Network,
    pub(crate) data: Data,
    /// Float training from scratch; absent when `network.import` names a checkpoint.
    pub(crate) float: Option<Stage>,
    /// Int8 trainings, each from the float network.
    #[serde(default)]
    pub(crate) wot: Vec<Stage>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Network {
    pub(crate) architecture: String,
    /// Form of the architecture, where it has several; torchvision's when absent.
    pub(crate) variant: Option<Variant>,
    #[serde(default = "one")]
    pub(crate) width: f64,
    pub(crate) mean: Vec<f32>,
    pub(crate) std: Vec<f32>,
    /// A float checkpoint to begin with; a relative path is relative to the recipe.
    pub(crate) import: Option<PathBuf>,
    /// Keys that lead to the state dict in it, joined by dots; found by fit when absent.
    key: Option<String>,
    /// Prefix of the parameters' names there; found by fit when absent.
    prefix: Option<String>,
}

impl Network {
    /// Where in the imported checkpoint the parameters are.
    pub(crate) fn selection(&self) -> Selection {
        Selection { key: self.key.clone(), prefix: self.prefix.clone() }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variant = self.variant.map_or(String::new(), |variant| format!(", variant {}", variant.id()));
        write!(f, "{}{variant}, width {}", self.architecture, self.width)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Data {
    pub(crate) set: String,
    /// Training images, from the first; all when absent.
    pub(crate) images: Option<usize>,
    /// Of these, held out to judge by.
    pub(crate) validation: usize,
    /// Test images that measure the result; all when absent.
    pub(crate) test_images: Option<usize>,
    /// Rows and columns to which images of a folder are cut; 224 when absent.
    pub(crate) side: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stage {
    /// Names the checkpoint and the log's lines; `float` for the float stage.
    #[serde(default = "float")]
    pub(crate) name: String,
    method: MethodName,
    /// Protection whose constraint the weights are to satisfy.
    #[serde(default = "in_place")]
    protection: String,
    /// How the scales of weights follow from the float network.
    #[serde(default)]
    scale: ScaleRule,
    /// Root mean squares of a tensor at which its weights are clipped; no clipping when absent.
    clip: Option<f32>,
    /// Random bit errors in the weights during training; none when absent.
    bit_errors: Option<BitErrorSection>,
    /// Penalty of ADMM (default: the release's 0.0015).
    #[serde(default = "release_beta")]
    beta: f32,
    /// Iterations from one dual update of ADMM to the next.
    #[serde(default = "hundred")]
    dual_every: u64,
    pub(crate) iterations: u64,
    batch: usize,
    rate: f32,
    schedule: ScheduleName,
    #[serde(default = "momentum")]
    momentum: f32,
    #[serde(default = "weight_decay")]
    weight_decay: f32,
    /// Shift by up to so many pixels and mirror half of the images; no augmentation when absent.
    shift: Option<usize>,
    check_every: u64,
    /// Stop when held-out accuracy after throttling reaches that of the network before training.
    #[serde(default)]
    pub(crate) early_stop: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum MethodName {
    Float,
    Qatt,
    Admm,
}

/// How a tensor's scale follows from its weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ScaleRule {
    /// 127 / max|w|, the paper's
    #[default]
    Largest,
    /// Of all scales the one whose levels are nearest to the weights, in the sum of squared distances; where these are clamped (--throttle), after clamping: far more
    /// accurate than clamping at the paper's scale. Not the paper's: an extension
    LeastError,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BitErrorSection {
    /// Probability that a bit flips, in each iteration.
    rate: f32,
    /// Bits of a weight that can flip, 0 the least significant; all when absent.
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
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let mut recipe: Self = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(0, |span| 1 + text[..span.start].matches('\n').count());
            anyhow!("{}: line {line}: {}", path.display(), error.message())
        })?;
        recipe.check().with_context(|| path.display().to_string())?;
        if let Some(import) = &mut recipe.network.import {
            *import = path.parent().unwrap_or(Path::new("")).join(&import);
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
        let Network { import, key, prefix, .. } = &self.network;
        if let (None, Some(text)) = (import, key.as_ref().or(prefix.as_ref())) {
            let field = if key.is_some() { "key" } else { "prefix" };
            return Err(anyhow!("network.{field} is {text:?}, expected none without network.import"));
        }
        if self.float.as_ref().is_some_and(|stage| stage.method != MethodName::Float) {
            return Err(anyhow!("float.method is not \"float\""));
        }
        if let (Some(side), false) = (self.data.side, is_folder(&self.data.set)) {
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
        ecc::by_id(&self.protection).context("wot.protection")?;
        if let (Some(clip), ScaleRule::LeastError) = (self.clip, self.scale) {
            return Err(anyhow!("wot.clip is {clip}, expected none beside scale = \"least-error\""));
        }
        let bits = self.bit_errors.iter().flat_map(|errors| &errors.bits);
        if let Some(bit) = bits.copied().find(|&bit| bit > 7) {
            return Err(anyhow!("wot.bit_errors.bits holds {bit}, expected numbers from 0 to 7"));
        }
        Ok(())
    }

    /// Which weights the stage may end with.
    pub(crate) fn constraint(&self) -> Constraint {
        ecc::by_id(&self.protection).expect("checked when the recipe was read").constraint()
    }

    /// The trainer's recipe.
    pub(crate) fn recipe(&self, seed: u64, validation: usize) -> wot::Recipe {
        let constraint = self.constraint();
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
