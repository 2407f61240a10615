use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI, FRAC_2_SQRT_PI, SQRT_2};

use serde::{Deserialize, Serialize};

/// Function of each value, with the semantics of PyTorch's module of that name. In the int8 executors it is a table of
/// 256 levels, so a new one needs only a variant with its formula, its derivative and its fields.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Function {
    /// 1 / (1 + exp(-x)).
    Sigmoid,
    /// min(max(slope x + offset, 0), 1). PyTorch has 1/6 and 1/2, ONNX by default 0.2 and 0.5.
    HardSigmoid {
        /// Slope where the function is neither 0 nor 1; positive.
        slope: f32,
        /// Value at 0.
        offset: f32,
    },
    /// x min(max(x + 3, 0), 6) / 6.
    HardSwish,
    /// x / (1 + exp(-x)).
    Silu,
    /// tanh(x).
    Tanh,
    /// x where it is positive, alpha (exp(x) - 1) elsewhere.
    Elu {
        /// Minus the limit for negative x; not negative.
        alpha: f32,
    },
    /// x (1 + erf(x / sqrt(2))) / 2.
    Gelu,
    /// x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.
    GeluTanh,
    /// x tanh(log(1 + exp(x))).
    Mish,
    /// log(1 + exp(x)).
    Softplus,
    /// min(max(x, min), max).
    Clip {
        /// Lowest value.
        min: f32,
        /// Highest value; above `min`.
        max: f32,
    },
}

/// Factor of the tanh form of GELU.
const CUBIC: f64 = 0.044715;

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + libm::log1p(libm::exp(-x.abs()))
}

impl Function {
    /// Value at `x`, in f64 with the functions of `libm`, which are the same on every machine.
    pub fn value(self, x: f64) -> f64 {
        match self {
            Self::Sigmoid => sigmoid(x),
            Self::HardSigmoid { slope, offset } => (f64::from(slope) * x + f64::from(offset)).clamp(0.0, 1.0),
            Self::HardSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
            Self::Silu => x / (1.0 + libm::exp(-x)),
            Self::Tanh => libm::tanh(x),
            Self::Elu { alpha } => {
                if x > 0.0 {
                    x
                } else {
                    f64::from(alpha) * libm::expm1(x)
                }
            }
            Self::Gelu => x * (1.0 + libm::erf(x * FRAC_1_SQRT_2)) / 2.0,
            Self::GeluTanh => x * (1.0 + libm::tanh(FRAC_2_PI.sqrt() * (x + CUBIC * x * x * x))) / 2.0,
            Self::Mish => x * libm::tanh(softplus(x)),
            Self::Softplus => softplus(x),
            Self::Clip { min, max } => x.max(min.into()).min(max.into()),
        }
    }

    /// Derivative at `x`: where the function has a corner, PyTorch's choice, that of the flatter side.
    pub fn derivative(self, x: f64) -> f64 {
        let inside = |low: f64, high: f64, slope: f64| if x > low && x < high { slope } else { 0.0 };
        match self {
            Self::Sigmoid => sigmoid(x) * sigmoid(-x),
            Self::HardSigmoid { slope, offset } => {
                let (slope, offset) = (f64::from(slope), f64::from(offset));
                inside(-offset / slope, (1.0 - offset) / slope, slope)
            }
            Self::HardSwish => match x {
                _ if x <= -3.0 => 0.0,
                _ if x >= 3.0 => 1.0,
                _ => (2.0 * x + 3.0) / 6.0,
            },
            Self::Silu => sigmoid(x) * (1.0 + x * sigmoid(-x)),
            Self::Tanh => 1.0 - libm::tanh(x) * libm::tanh(x),
            Self::Elu { alpha } => {
                if x > 0.0 {
                    1.0
                } else {
                    f64::from(alpha) * libm::exp(x)
                }
            }
            Self::Gelu => {
                let density = libm::exp(-x * x / 2.0) * FRAC_2_SQRT_PI / (2.0 * SQRT_2);
                (1.0 + libm::erf(x * FRAC_1_SQRT_2)) / 2.0 + x * density
            }
            Self::GeluTanh => {
                let root = FRAC_2_PI.sqrt();
                let tanh = libm::tanh(root * (x + CUBIC * x * x * x));
                (1.0 + tanh + x * (1.0 - tanh * tanh) * root * (1.0 + 3.0 * CUBIC * x * x)) / 2.0
            }
            Self::Mish => {
                let tanh = libm::tanh(softplus(x));
                tanh + x * (1.0 - tanh * tanh) * sigmoid(x)
            }
            Self::Softplus => sigmoid(x),
            Self::Clip { min, max } => inside(min.into(), max.into(), 1.0),
        }
    }

    /// True if the function has negative values, for arguments that are negative somewhere if `negative` and nowhere
    /// otherwise.
    pub fn can_be_negative(self, negative: bool) -> bool {
        match self {
            Self::Sigmoid | Self::HardSigmoid { .. } | Self::Softplus => false,
            Self::HardSwish
            | Self::Silu
            | Self::Tanh
            | Self::Elu { .. }
            | Self::Gelu
            | Self::GeluTanh
            | Self::Mish => negative,
            Self::Clip { min, max } => (min < 0.0 && negative) || max < 0.0,
        }
    }

    /// Refuses fields that have no meaning. The message is the rest of a sentence that begins with the layer's name.
    pub(crate) fn check(self) -> Result<(), String> {
        match self {
            Self::HardSigmoid { slope, offset }
                if !(slope.is_finite() && slope > 0.0 && offset.is_finite()) =>
            {
                Err(format!(
                    "slope is {slope} and offset {offset}, expected finite numbers and a positive slope"
                ))
            }
            Self::Elu { alpha } if !(alpha.is_finite() && alpha >= 0.0) => {
                Err(format!("alpha is {alpha}, expected a finite number of at least 0"))
            }
            Self::Clip { min, max } if !(min.is_finite() && max.is_finite() && min < max) => {
                Err(format!("clips to {min} and {max}, expected finite numbers that ascend"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Function; 12] = [
        Function::Sigmoid,
        Function::HardSigmoid { slope: 0.2, offset: 0.5 },
        Function::HardSwish,
        Function::Silu,
        Function::Tanh,
        Function::Elu { alpha: 0.5 },
        Function::Gelu,
        Function::GeluTanh,
        Function::Mish,
        Function::Softplus,
        Function::Clip { min: -1.0, max: 0.5 },
        Function::Clip { min: -2.0, max: -0.5 },
    ];

    /// Values at -2.5, -0.7, 0.0, 0.3 and 4.0 of the formulas in Python 3.11, with the functions of its module `math`.
    #[test]
    fn values_are_those_of_the_formulas() {
        for (function, expected) in [
            (
                Function::Sigmoid,
                [0.07585818002124355, 0.3318122278318339, 0.5, 0.574442516811659, 0.9820137900379085],
            ),
            (Function::HardSigmoid { slope: 0.5, offset: 0.25 }, [0.0, 0.0, 0.25, 0.4, 1.0]),
            (Function::HardSwish, [-0.20833333333333334, -0.2683333333333333, 0.0, 0.16499999999999998, 4.0]),
            (
                Function::Silu,
                [-0.18964545005310887, -0.2322685594822837, 0.0, 0.1723327550434977, 3.928055160151634],
            ),
            (
                Function::Tanh,
                [-0.9866142981514303, -0.6043677771171636, 0.0, 0.2913126124515909, 0.999329299739067],
            ),
            (Function::Elu { alpha: 0.5 }, [-0.45895750068805063, -0.25170734810429524, 0.0, 0.3, 4.0]),
            (
                Function::Gelu,
                [-0.015524163314440398, -0.1693745565561511, 0.0, 0.18537342665668577, 3.9998733150326675],
            ),
            (
                Function::GeluTanh,
                [-0.015084266089998577, -0.16942986529488321, 0.0, 0.18537092354275922, 3.9999297540518075],
            ),
            (
                Function::Mish,
                [-0.19681620390653337, -0.2678702347955009, 0.0, 0.20800137234811503, 3.9974128069762385],
            ),
            (
                Function::Softplus,
                [
                    0.07888973429254963,
                    0.4031860488854579,
                    std::f64::consts::LN_2,
                    0.8543552444685272,
                    4.0181499279178094,
                ],
            ),
            (Function::Clip { min: -1.0, max: 0.5 }, [-1.0, -0.7, 0.0, 0.3, 0.5]),
        ] {
            for (x, expected) in [-2.5, -0.7, 0.0, 0.3, 4.0].into_iter().zip(expected) {
                let found = function.value(x);
                assert!(
                    (found - expected).abs() <= 1e-15 * expected.abs().max(1.0),
                    "{function:?}({x}) is {found}"
                );
            }
        }
    }

    #[test]
    fn derivatives_are_those_of_differences() {
        for function in ALL {
            for x in (-40..=40).map(|i| f64::from(i) / 8.0 + 0.0137) {
                let step = 1e-5;
                let slope = (function.value(x + step) - function.value(x - step)) / (2.0 * step);
                assert!((function.derivative(x) - slope).abs() < 1e-8, "{function:?} at {x}");
            }
        }
    }

    #[test]
    fn signs_are_those_of_the_values_and_extremes_are_finite() {
        for function in ALL {
            for negative in [false, true] {
                let low = if negative { -4000 } else { 0 };
                let values = (low..=4000).map(|i| function.value(f64::from(i) / 4.0));
                let values: Vec<f64> = values.collect();
                assert_eq!(
                    values.iter().any(|&y| y < 0.0),
                    function.can_be_negative(negative),
                    "{function:?}"
                );
                assert!(values.iter().all(|y| y.is_finite()), "{function:?}");
            }
        }
    }
}
