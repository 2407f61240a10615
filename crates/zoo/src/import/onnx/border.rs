//! A border around an image, and its effect on the windows that slide over the image.

use super::attribute::{extent, ints, string};
use super::convert::Done;
use super::message::Node;

/// Number of rows above and columns on the left (`before`), rows below and columns on the right (`after`).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Border {
    pub(super) before: [usize; 2],
    pub(super) after: [usize; 2],
}

impl Border {
    pub(super) fn plus(self, other: Self) -> Self {
        let sum = |a: [usize; 2], b: [usize; 2]| [a[0] + b[0], a[1] + b[1]];
        Self { before: sum(self.before, other.before), after: sum(self.after, other.after) }
    }

    /// Returns the output size of a window that slides over an image of `size` with this border; `None` if
    /// the window does not fit.
    fn output(self, size: [usize; 2], kernel: [usize; 2], stride: [usize; 2]) -> Option<[usize; 2]> {
        let axis = |i: usize| {
            let room = (size[i] + self.before[i] + self.after[i]).checked_sub(kernel[i])?;
            Some(room / stride[i] + 1)
        };
        Some([axis(0)?, axis(1)?])
    }

    /// Returns an equal padding on both sides with which windows cover the same values at the same positions,
    /// if there is one.
    pub(super) fn symmetric(
        self,
        size: [usize; 2],
        kernel: [usize; 2],
        stride: [usize; 2],
    ) -> Option<[usize; 2]> {
        let both = Self { before: self.before, after: self.before };
        (both.output(size, kernel, stride)? == self.output(size, kernel, stride)?).then_some(self.before)
    }

    /// True if windows leave rows or columns uncovered.
    pub(super) fn leaves_some(self, size: [usize; 2], kernel: [usize; 2], stride: [usize; 2]) -> bool {
        (0..2).any(|i| {
            let room = (size[i] + self.before[i] + self.after[i]).checked_sub(kernel[i]);
            room.is_some_and(|room| !room.is_multiple_of(stride[i]))
        })
    }
}

/// Returns the border that a node itself adds to an image of `size`, which already has the border `outer`.
/// `kernel` includes the dilation.
pub(super) fn border(
    node: &Node,
    outer: Border,
    size: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
) -> Done<Border> {
    let pads = match ints(node, "pads") {
        None => Border::default(),
        Some(&[top, left, bottom, right]) => Border {
            before: [extent(top, 0, "pads")?, extent(left, 0, "pads")?],
            after: [extent(bottom, 0, "pads")?, extent(right, 0, "pads")?],
        },
        Some(other) => return Err(format!("pads are {other:?}, expected four numbers")),
    };
    let mode = string(node, "auto_pad", "NOTSET");
    let upper = match mode.as_str() {
        "NOTSET" => return Ok(pads),
        _ if pads != Border::default() => {
            return Err(format!("has auto_pad {mode} and pads, expected one of them"));
        }
        "VALID" => return Ok(pads),
        "SAME_UPPER" => true,
        "SAME_LOWER" => false,
        _ => return Err(format!("auto_pad is {mode}, expected NOTSET, SAME_UPPER, SAME_LOWER or VALID")),
    };
    let mut own = Border::default();
    for i in 0..2 {
        let size = size[i] + outer.before[i] + outer.after[i];
        let total = ((size.div_ceil(stride[i]) - 1) * stride[i] + kernel[i]).saturating_sub(size);
        let (less, more) = (total / 2, total - total / 2);
        (own.before[i], own.after[i]) = if upper { (less, more) } else { (more, less) };
    }
    Ok(own)
}
