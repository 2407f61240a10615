use ecc::{Constraint, TensorRanges};
use serde::{Serialize, Serializer};

use crate::WotError;
use crate::random::{Purpose, permutation, stream};

/// The settings of a training: everything except the data, the network and its initial parameters.
///
/// A state of a training holds its JSON, so a field or variant that is renamed keeps its name there (`serde(rename)`).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recipe {
    /// Training method.
    pub method: Method,
    /// Rule for the scale of each tensor.
    pub scale: Scale,
    /// Random bit errors in the weights during training, if any.
    pub bit_errors: Option<BitErrors>,
    /// Number of iterations.
    pub iterations: u64,
    /// Number of images in a batch; the last incomplete batch of an epoch is dropped.
    pub batch_images: usize,
    /// Learning rate over the iterations.
    pub schedule: Schedule,
    /// Momentum of SGD (paper: 0.9).
    pub momentum: f32,
    /// Weight decay of SGD, on every parameter as in PyTorch (paper: 1e-4).
    pub weight_decay: f32,
    /// Random changes to training images, if any.
    pub augmentation: Option<Augmentation>,
    /// The training images that are held out for evaluation.
    pub validation: Validation,
    /// Number of iterations from one [`crate::Check`] to the next.
    pub check_every: u64,
    /// Seed of the order of images and of their augmentation.
    pub seed: u64,
}

/// The training method.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Float training, with real weights and activations.
    Float,
    /// Quantization-aware training with throttling (the paper's QATT): weights and activations are rounded,
    /// and after every iteration the weights are clamped to the constraint.
    Qatt {
        /// Allowed levels of each tensor, by position.
        #[serde(serialize_with = "levels")]
        constraint: TensorRanges,
    },
    /// Quantization-aware training with the alternating direction method of multipliers (the paper's other
    /// solver). The loss gets the penalty beta / 2 * |W - Z + U|^2, where Z is the point nearest to W + U
    /// that satisfies the constraint and U is the scaled dual variable. Weights that violate the constraint
    /// at the end are clamped.
    Admm {
        /// Allowed levels of each tensor, by position.
        #[serde(serialize_with = "levels")]
        constraint: TensorRanges,
        /// Weight of the penalty (the release's value: 0.0015).
        beta: f32,
        /// Number of iterations from one update of Z and U to the next.
        dual_every: u64,
    },
}

/// Writes a constraint as its smallest levels by position and its largest ones, by the names of tensors if these differ.
fn levels<S: Serializer>(constraint: &TensorRanges, serializer: S) -> Result<S::Ok, S::Error> {
    let pair = |range: &Constraint| [range.low, range.high];
    match constraint.by_tensor() {
        None => constraint.all().map(pair).next().serialize(serializer),
        Some(tensors) => serializer.collect_map(tensors.iter().map(|(tensor, range)| (tensor, pair(range)))),
    }
}

impl Method {
    /// QATT for in-place protection.
    pub const QATT: Self = Self::Qatt { constraint: TensorRanges::alike(Constraint::WOT) };

    /// ADMM for in-place protection with the release's penalty; Z and U are updated every 100 iterations.
    pub const ADMM: Self =
        Self::Admm { constraint: TensorRanges::alike(Constraint::WOT), beta: 0.0015, dual_every: 100 };

    /// The constraint that stored integers must satisfy; `None` if nothing is quantized.
    pub fn constraint(&self) -> Option<&TensorRanges> {
        match self {
            Self::Float => None,
            Self::Qatt { constraint } | Self::Admm { constraint, .. } => Some(constraint),
        }
    }
}

/// The rule that determines the scale of a tensor, in levels per unit, from the initial weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// 127 / max|w|: the largest weight gets the largest level, as in the paper.
    #[default]
    Largest,
    /// The scale with the least squared error of the levels that the constraint allows; no scale has less
    /// than 0.998 of its squared error. Under a narrow constraint it is coarser than [`Scale::Largest`], so
    /// that fewer weights violate the constraint. (Networks whose file says "scales of least error" were
    /// trained when only 127 / max|w| times 2^(k/8) was tried, with k from -24 to 16.)
    LeastError,
    /// 127 / bound, where the bound is `deviations` root mean squares of the tensor, at most max|w|. Larger
    /// weights are clipped, initially and throughout training (weight clipping: Stutz et al., MLSys 2021).
    /// Stutz et al. use one bound for all tensors, but with batch norm the sizes of tensors have no meaning.
    Clipped {
        /// Bound in root mean squares, above 0.
        deviations: f32,
    },
}

/// Training with random bit errors (RandBET: Stutz et al., MLSys 2021).
///
/// Every iteration runs its batch twice: with the stored weights, and with each selected bit of each stored
/// weight flipped with probability `rate`, drawn again in every iteration. The weights follow the mean of the
/// two gradients (Stutz et al. take the sum, which doubles the learning rate). The second pass normalizes by
/// its own batch, and updates neither running statistics nor ranges of activations.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BitErrors {
    /// Probability of a flip, in (0, 1).
    pub rate: f32,
    /// Mask of the bits that can flip: bit k is set if bit k of a weight can flip.
    pub bits: u8,
}

/// Learning rate, by iteration.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// A constant rate.
    Constant {
        /// Learning rate.
        rate: f32,
    },
    /// The rate is multiplied by `factor` after every `every` iterations.
    Step {
        /// Initial learning rate.
        rate: f32,
        /// Number of iterations at one rate.
        every: u64,
        /// Factor, e.g. 0.1.
        factor: f32,
    },
    /// Half a cosine, from `rate` down to 0 at the last iteration.
    Cosine {
        /// Initial learning rate.
        rate: f32,
    },
}

impl Schedule {
    /// Returns the rate of iteration `iteration` (0 is the first) of `iterations`.
    pub fn rate(&self, iteration: u64, iterations: u64) -> f32 {
        match *self {
            Self::Constant { rate } => rate,
            Self::Step { rate, every, factor } => {
                (f64::from(rate) * libm::pow(f64::from(factor), (iteration / every) as f64)) as f32
            }
            Self::Cosine { rate } => {
                let angle = std::f64::consts::PI * iteration as f64 / iterations as f64;
                (f64::from(rate) * 0.5 * (1.0 + libm::cos(angle))) as f32
            }
        }
    }
}

/// Random changes to training images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Augmentation {
    /// Images are shifted by up to this number of pixels in each direction; zeros (black) fill in.
    pub shift: usize,
    /// True if half of the images are mirrored.
    pub mirror: bool,
}

/// Training images that are held out. They depend only on this value and the size of the set, so float
/// training and later training can hold out the same ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Validation {
    /// Number of images held out.
    pub images: usize,
    /// Seed of the choice.
    pub seed: u64,
}

impl Validation {
    /// Returns the indices of the images that are held out of a set, and of the others, both ascending.
    ///
    /// # Panics
    /// When more images are held out than there are.
    pub fn split(self, images: usize) -> (Vec<u32>, Vec<u32>) {
        let mut held_out = permutation(&mut stream(self.seed, Purpose::Validation, 0), images);
        let mut others = held_out.split_off(self.images);
        held_out.sort_unstable();
        others.sort_unstable();
        (held_out, others)
    }
}

impl Recipe {
    /// Refuses invalid values.
    pub(crate) fn check(&self) -> Result<(), WotError> {
        let refuse = |field: &'static str, value: String, expected: &'static str| {
            Err(WotError::Recipe { field, value, expected })
        };
        let positive = |field, value: f32| match value.is_finite() && value > 0.0 {
            true => Ok(()),
            false => refuse(field, value.to_string(), "a finite number above 0"),
        };
        let counts = [("iterations", self.iterations), ("check_every", self.check_every)];
        if let Some((field, _)) = counts.into_iter().find(|(_, value)| *value == 0) {
            return refuse(field, "0".into(), "at least 1");
        }
        if self.batch_images < 2 {
            return refuse("batch_images", self.batch_images.to_string(), "at least 2");
        }
        if !(0.0..1.0).contains(&self.momentum) {
            return refuse("momentum", self.momentum.to_string(), "a number in [0, 1)");
        }
        if !(self.weight_decay.is_finite() && self.weight_decay >= 0.0) {
            return refuse("weight_decay", self.weight_decay.to_string(), "a finite number of at least 0");
        }
        match self.schedule {
            Schedule::Constant { rate } | Schedule::Cosine { rate } => positive("rate", rate)?,
            Schedule::Step { rate, every, factor } => {
                positive("rate", rate)?;
                positive("factor", factor)?;
                if every == 0 {
                    return refuse("every", "0".into(), "at least 1");
                }
            }
        }
        if let Scale::Clipped { deviations } = self.scale {
            positive("clip", deviations)?;
        }
        if let Some(BitErrors { rate, bits }) = self.bit_errors {
            if !(rate > 0.0 && rate < 1.0) {
                return refuse("bit_errors.rate", rate.to_string(), "a number between 0 and 1");
            }
            if bits == 0 {
                return refuse("bit_errors.bits", "empty".into(), "at least one bit");
            }
        }
        if self.method == Method::Float && (self.scale != Scale::Largest || self.bit_errors.is_some()) {
            return refuse(
                "method",
                "float".into(),
                "qatt or admm with a scale or bit errors: only they round weights",
            );
        }
        if let Method::Admm { beta, dual_every, .. } = self.method {
            positive("beta", beta)?;
            if dual_every == 0 {
                return refuse("dual_every", "0".into(), "at least 1");
            }
        }
        if let Some(constraint) = self.method.constraint() {
            let excludes_zero = |(low, high): (&i8, &i8)| *low > 0 || *high < 0;
            if constraint.all().any(|range| range.low.iter().zip(&range.high).any(excludes_zero)) {
                return refuse("constraint", format!("{constraint:?}"), "ranges that hold 0");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_follow_their_formulas() {
        assert_eq!(Schedule::Constant { rate: 0.1 }.rate(99, 100), 0.1);
        let step = Schedule::Step { rate: 0.1, every: 10, factor: 0.5 };
        assert_eq!([0, 9, 10, 25].map(|i| step.rate(i, 100)), [0.1, 0.1, 0.05, 0.025]);
        let cosine = Schedule::Cosine { rate: 0.2 };
        assert_eq!([0, 50].map(|i| cosine.rate(i, 100)), [0.2, 0.1]);
        assert!(cosine.rate(99, 100) < 1e-4);
    }
}
