use serde::{Deserialize, Serialize};

/// Levels per unit of a value: finite and positive. The level of x is `round(x * levels_per_unit)`, so one level spans
/// `1 / levels_per_unit`, the number that PyTorch, ONNX and TFLite call scale.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f32", into = "f32")]
pub struct LevelsPerUnit(f32);

/// Number that is no [`LevelsPerUnit`]: zero, negative, infinite or NaN.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{0}, expected a finite positive number")]
pub struct InvalidLevelsPerUnit(f32);

impl LevelsPerUnit {
    /// One level per unit.
    pub const ONE: Self = Self(1.0);

    /// Checks a number of levels per unit.
    ///
    /// # Errors
    /// The number is not finite or not positive.
    pub fn new(value: f32) -> Result<Self, InvalidLevelsPerUnit> {
        if value.is_finite() && value > 0.0 { Ok(Self(value)) } else { Err(InvalidLevelsPerUnit(value)) }
    }

    /// The number.
    #[inline]
    pub fn get(self) -> f32 {
        self.0
    }
}

impl TryFrom<f32> for LevelsPerUnit {
    type Error = InvalidLevelsPerUnit;

    fn try_from(value: f32) -> Result<Self, InvalidLevelsPerUnit> {
        Self::new(value)
    }
}

impl From<LevelsPerUnit> for f32 {
    fn from(value: LevelsPerUnit) -> Self {
        value.0
    }
}

impl From<LevelsPerUnit> for f64 {
    fn from(value: LevelsPerUnit) -> Self {
        value.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_finite_and_positive() {
        for value in [f32::from_bits(1), 1.0, f32::MAX] {
            assert_eq!(LevelsPerUnit::new(value).unwrap().get(), value);
            let json = serde_json::to_string(&LevelsPerUnit(value)).unwrap();
            assert_eq!(json, serde_json::to_string(&value).unwrap());
            assert_eq!(serde_json::from_str::<LevelsPerUnit>(&json).unwrap().get(), value);
        }
        for (value, shown) in
            [(0.0, "0"), (-0.0, "-0"), (-1.5, "-1.5"), (f32::INFINITY, "inf"), (f32::NAN, "NaN")]
        {
            let error = LevelsPerUnit::new(value).unwrap_err().to_string();
            assert_eq!(error, format!("{shown}, expected a finite positive number"));
        }
        let error = serde_json::from_str::<LevelsPerUnit>("-1.5").unwrap_err().to_string();
        assert!(error.contains("-1.5, expected a finite positive number"), "{error}");
    }
}
