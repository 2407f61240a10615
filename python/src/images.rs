//! Images as numpy arrays.

use data::{ImageSet, ImageShape, Split};
use harness::Failure;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::arrays;
use crate::error::raised;

/// Numbers of channels that images may have.
const CHANNELS: [usize; 2] = [1, 3];

/// Returns the images of a uint8 array of shape (n, channels, height, width) or (n, height, width, channels). `input` is the
/// shape of one image as a network takes it, channels first, if it is known; otherwise 1 or 3 channels tell the layouts apart.
///
/// # Errors
/// A `TypeError` for another object or type, a `ValueError` for another shape.
pub(crate) fn images(
    array: &Bound<'_, PyAny>,
    input: Option<[usize; 3]>,
    split: Split,
    what: &str,
) -> PyResult<ImageSet> {
    let checked = arrays::elements(array, "uint8", what)?;
    let wrong = |expected: String| {
        let shape = checked.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        PyValueError::new_err(format!("{what} has shape ({shape}), expected {expected}"))
    };
    let &[_, a, b, c] = checked.shape.as_slice() else {
        return Err(wrong("(n, channels, height, width) or (n, height, width, channels)".into()));
    };
    let first = match input {
        Some(input) if input == [a, b, c] => true,
        Some([channels, height, width]) if [height, width, channels] == [a, b, c] => false,
        Some([channels, height, width]) => {
            return Err(wrong(format!(
                "(n, {channels}, {height}, {width}) or (n, {height}, {width}, {channels}), as the network takes them"
            )));
        }
        None if CHANNELS.contains(&c) => false,
        None if CHANNELS.contains(&a) => true,
        None => return Err(wrong("1 or 3 channels in the second or in the last place".into())),
    };
    let ([channels, height, width], pixels) = match first {
        true => ([a, b, c], checked.bytes().to_vec()),
        false => {
            let turned = array.call_method1("transpose", (0, 3, 1, 2))?;
            ([c, a, b], arrays::elements(&turned, "uint8", what)?.bytes().to_vec())
        }
    };
    let shape = ImageShape { channels, height, width };
    ImageSet::without_labels("array", split, shape, pixels).map_err(|error| raised(&Failure::input(error)))
}
