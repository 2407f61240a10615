//! Attributes of nodes, each with what stands in for it where it is absent.

use super::convert::Done;
use super::message::{Attribute, Node};

/// Largest number that a kernel, a stride or a padding may be here; `layers` says what is allowed.
pub(super) const MAX_EXTENT: i64 = 1 << 20;

pub(super) fn attribute<'a>(node: &'a Node, name: &str) -> Option<&'a Attribute> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

pub(super) fn int(node: &Node, name: &str, absent: i64) -> i64 {
    attribute(node, name).map_or(absent, |a| a.i)
}

pub(super) fn float(node: &Node, name: &str, absent: f32) -> f32 {
    attribute(node, name).map_or(absent, |a| a.f)
}

pub(super) fn ints<'a>(node: &'a Node, name: &str) -> Option<&'a [i64]> {
    attribute(node, name).map(|a| a.ints.as_slice())
}

pub(super) fn extent(value: i64, least: i64, what: &str) -> Done<usize> {
    if (least..=MAX_EXTENT).contains(&value) {
        return Ok(value as usize);
    }
    Err(format!("{what} holds {value}, expected {least}..={MAX_EXTENT}"))
}

/// Two positive numbers, height and width.
pub(super) fn pair(node: &Node, name: &str, absent: [usize; 2]) -> Done<[usize; 2]> {
    match ints(node, name) {
        None => Ok(absent),
        Some(&[height, width]) => Ok([extent(height, 1, name)?, extent(width, 1, name)?]),
        Some(other) => Err(format!("{name} is {other:?}, expected height and width")),
    }
}

/// Kernel and stride of a pool.
pub(super) fn pool(node: &Node) -> Done<([usize; 2], [usize; 2])> {
    if ints(node, "kernel_shape").is_none() {
        return Err("kernel_shape is missing".into());
    }
    if pair(node, "dilations", [1, 1])? != [1, 1] {
        return Err(format!("dilations are {:?}, expected 1", ints(node, "dilations")));
    }
    Ok((pair(node, "kernel_shape", [1, 1])?, pair(node, "strides", [1, 1])?))
}
