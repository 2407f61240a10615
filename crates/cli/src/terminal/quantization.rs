//! Options on how a float network is read and becomes an int8 one.

use std::num::NonZeroU32;

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use harness::Rounding;
use zoo::Selection;

/// Images in a batch of the paper's release, on ImageNet.
const BATCH: NonZeroU32 = NonZeroU32::new(100).expect("100 is not 0");

/// Rules of rounding and of the activation ranges.
#[derive(Args, Clone, Copy, Default)]
pub(crate) struct RoundingOptions {
    /// Give each output channel its own scale, 127 / max|w| of the channel, instead of one for each tensor. An
    /// extension of the paper
    #[arg(long)]
    pub(crate) per_channel: bool,
    /// Rule from the weights of a tensor to its scale
    #[arg(long, value_name = "RULE", value_enum, default_value_t, conflicts_with = "per_channel")]
    scale: ScaleRule,
    /// Source of the activation ranges
    #[arg(long, value_name = "KIND", value_enum, default_value_t)]
    activations: Activations,
    /// Images in a batch, for dynamic ranges [default: 100, as in the paper's release]
    #[arg(long, value_name = "N")]
    batch: Option<NonZeroU32>,
}

#[derive(Clone, Copy, Default, ValueEnum)]
pub(crate) enum ScaleRule {
    /// 127 / max|w|, the paper's
    #[default]
    Largest,
    /// The scale with the least sum of squared errors of the levels; with --throttle the errors after clamping, which is
    /// far more accurate than clamping at the paper's scale. An extension of the paper
    LeastError,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Activations {
    /// Calibration images fix the ranges before the evaluation
    #[default]
    Static,
    /// Each batch of images has its own largest magnitudes, as in the paper; every layer rounds its input and its output
    Dynamic,
}

impl From<ScaleRule> for harness::ScaleRule {
    fn from(rule: ScaleRule) -> Self {
        match rule {
            ScaleRule::Largest => Self::Largest,
            ScaleRule::LeastError => Self::LeastError,
        }
    }
}

impl RoundingOptions {
    /// Images in a batch if ranges are dynamic.
    pub(crate) fn batch(self) -> anyhow::Result<Option<NonZeroU32>> {
        match (self.activations, self.batch) {
            (Activations::Dynamic, batch) => Ok(Some(batch.unwrap_or(BATCH))),
            (Activations::Static, None) => Ok(None),
            (Activations::Static, Some(batch)) => {
                Err(anyhow!("--batch is {batch}, but only --activations dynamic has batches"))
            }
        }
    }

    /// Refuses every choice for a network that is already quantized.
    pub(crate) fn check_given(self) -> anyhow::Result<()> {
        let chosen = [
            ("--per-channel", self.per_channel),
            ("--scale", matches!(self.scale, ScaleRule::LeastError)),
            ("--activations", matches!(self.activations, Activations::Dynamic)),
            ("--batch", self.batch.is_some()),
        ];
        match chosen.into_iter().find(|(_, is_chosen)| *is_chosen) {
            None => Ok(()),
            Some((option, _)) => Err(anyhow!(
                "{option} is given, but the network is already quantized and keeps its own levels"
            )),
        }
    }

    /// The rule of rounding.
    pub(crate) fn rule(self) -> Rounding {
        Rounding { per_channel: self.per_channel, scale: self.scale.into() }
    }
}

/// Place of the parameters in a float checkpoint.
#[derive(Args, Clone, Default)]
pub(crate) struct Within {
    /// Keys that lead to the state dict in a float checkpoint, joined by dots: state_dict_ema, ema.model [default: the
    /// keys under which all parameters are found; averaged weights are not preferred]
    #[arg(long, value_name = "KEYS", requires = "architecture")]
    key: Option<String>,
    /// Prefix of the parameters' names: module., model. [default: the prefix with which all parameters are found]
    #[arg(long, value_name = "TEXT", requires = "architecture")]
    prefix: Option<String>,
}

impl Within {
    pub(crate) fn selection(&self) -> Selection {
        Selection { key: self.key.clone(), prefix: self.prefix.clone() }
    }
}
