//! Quantization that another program chose and a file gives.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{InvalidLevelsPerUnit, LevelsPerUnit};

/// Arithmetic by which a network from elsewhere computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// ONNX Runtime's, with `session.x64quantprecision=1` and full optimisation.
    Ort,
    /// That of the reference kernels of TensorFlow Lite (LiteRT).
    TfliteReference,
}

impl Rule {
    /// Name of the rule, as in checkpoints and evaluator names.
    pub fn id(self) -> &'static str {
        match self {
            Self::Ort => "ort",
            Self::TfliteReference => "tflite-reference",
        }
    }
}

/// Activations whose levels, scales and biases a file gives.
#[derive(Clone, Debug, PartialEq)]
pub struct GivenActivations {
    /// Arithmetic between the levels.
    pub rule: Rule,
    /// Levels of each place: of the input, then of each layer. The last is none if the last layer returns real logits.
    pub points: Vec<Option<GivenPoint>>,
    /// Summands of the integer sums of output channels, by parameter name (`conv1.bias`).
    pub biases: BTreeMap<String, Vec<i32>>,
}

/// Levels of one place: the real value is `(level - zero_point) * scale`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GivenPoint {
    /// Units per level; finite and positive.
    pub scale: f32,
    /// Level of 0.
    pub zero_point: i16,
    /// `true`: levels are -128..=127. `false`: 0..=255.
    pub signed: bool,
}

impl GivenPoint {
    /// Smallest and largest level.
    pub fn levels(self) -> (i16, i16) {
        if self.signed { (-128, 127) } else { (0, 255) }
    }

    /// Says what is wrong with the fields, if anything is.
    pub(crate) fn defect(self) -> Option<String> {
        let (low, high) = self.levels();
        if let Err(error) = LevelsPerUnit::new(self.scale) {
            return Some(format!("scale {error}"));
        }
        let outside = !(low..=high).contains(&self.zero_point);
        outside.then(|| format!("zero point {}, expected {low}..={high}", self.zero_point))
    }
}

/// Scale of weights as a file gives it, in units per level: of the tensor, or of each output channel. The weight of a level q is
/// (q - zero point) times the units per level.
#[derive(Clone, Debug, PartialEq)]
pub struct GivenScale {
    units_per_level: Vec<f32>,
    levels_per_unit: Vec<LevelsPerUnit>,
    zero_point: i8,
}

impl GivenScale {
    /// Takes units per level, one for the tensor or one for each output channel, and the level of weight 0.
    ///
    /// # Errors
    /// A number is not finite or not positive, or its reciprocal is not.
    pub fn new(units_per_level: Vec<f32>, zero_point: i8) -> Result<Self, InvalidLevelsPerUnit> {
        let levels_per_unit = units_per_level
            .iter()
            .map(|&scale| LevelsPerUnit::new(scale).and_then(|_| LevelsPerUnit::new(1.0 / scale)))
            .collect::<Result<_, _>>()?;
        Ok(Self { units_per_level, levels_per_unit, zero_point })
    }

    /// Units per level: a single number, or one for each output channel.
    pub fn units_per_level(&self) -> &[f32] {
        &self.units_per_level
    }

    /// Levels per unit, rounded: for tables and messages, not for arithmetic.
    pub(crate) fn levels_per_unit(&self) -> &[LevelsPerUnit] {
        &self.levels_per_unit
    }

    /// Level of weight 0; 0 for symmetric levels.
    pub fn zero_point(&self) -> i8 {
        self.zero_point
    }
}
