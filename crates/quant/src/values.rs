use crate::Parameters;

/// Parameter value that no network can be run with.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("value {index} of {parameter} is {value}, expected {expected}")]
pub struct ValueError {
    /// Parameter name.
    pub parameter: String,
    /// Row-major index of the value.
    pub index: usize,
    /// The value.
    pub value: f32,
    /// The requirement, in words.
    pub expected: &'static str,
}

/// Checks that all values are finite and that no running variance (`*.running_var`) is negative.
///
/// A variance is a mean of squares, so a negative one is damage; the square root of a variance between minus epsilon
/// and 0 exists, but float and int8 networks refuse it alike.
///
/// # Errors
/// The first other value.
pub fn check_values(parameters: &Parameters) -> Result<(), ValueError> {
    for (name, tensor) in parameters {
        let error = |(index, value), expected| ValueError { parameter: name.clone(), index, value, expected };
        if let Some(found) = tensor.first_non_finite() {
            return Err(error(found, "a finite number"));
        }
        let mut values = tensor.values().iter().copied().enumerate();
        if let Some(found) = values.find(|(_, value)| name.ends_with(".running_var") && *value < 0.0) {
            return Err(error(found, "a variance of at least 0"));
        }
    }
    Ok(())
}
