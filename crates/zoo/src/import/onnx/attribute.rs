//! Reads attributes of nodes, each with a default if it is absent. [`super::operators`] has already checked
//! their names and kinds.

use super::convert::Done;
use super::message::{Attribute, Node, Tensor};
use super::operators;
use crate::import::shown;

/// Largest kernel, stride or padding that is read; `layers` has the limits of each layer.
pub(super) const MAX_EXTENT: i64 = 1 << 20;

/// The type of an attribute's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Float,
    Int,
    String,
    Tensor,
    Floats,
    Ints,
}

/// A type of attribute: its number in `AttributeProto`, its name, and a test whether an attribute holds such
/// a value.
type Field = (i32, &'static str, fn(&Attribute) -> bool);

const FIELDS: [Field; 14] = [
    (1, "a float", |a| a.f.is_some()),
    (2, "an integer", |a| a.i.is_some()),
    (3, "a string", |a| a.s.is_some()),
    (4, "a tensor", |a| a.t.is_some()),
    (5, "a graph", |a| a.g.is_some()),
    (6, "floats", |a| !a.floats.is_empty()),
    (7, "integers", |a| !a.ints.is_empty()),
    (8, "strings", |a| !a.strings.is_empty()),
    (9, "tensors", |a| !a.tensors.is_empty()),
    (10, "graphs", |a| !a.graphs.is_empty()),
    (11, "a sparse tensor", |a| a.sparse_tensor.is_some()),
    (12, "sparse tensors", |a| !a.sparse_tensors.is_empty()),
    (13, "a type", |a| a.tp.is_some()),
    (14, "types", |a| !a.type_protos.is_empty()),
];

impl Kind {
    pub(super) fn number(self) -> i32 {
        match self {
            Self::Float => 1,
            Self::Int => 2,
            Self::String => 3,
            Self::Tensor => 4,
            Self::Floats => 6,
            Self::Ints => 7,
        }
    }

    /// Checks that an attribute holds a value of this type and nothing else.
    pub(super) fn check(self, attribute: &Attribute) -> Done<()> {
        let name = shown(&attribute.name);
        let called = |number: i32| FIELDS.iter().find(|field| field.0 == number).map_or("a value", |f| f.1);
        let expected = called(self.number());
        if !attribute.ref_attr_name.is_empty() {
            let outer = shown(&attribute.ref_attr_name);
            return Err(format!("attribute {name} is taken from {outer} of a function, expected {expected}"));
        }
        if ![0, self.number()].contains(&attribute.r#type) {
            return Err(format!("attribute {name} is {}, expected {expected}", called(attribute.r#type)));
        }
        if let Some(other) = FIELDS.iter().find(|field| field.0 != self.number() && (field.2)(attribute)) {
            return Err(format!("attribute {name} holds {}, expected {expected}", other.1));
        }
        let is_list = matches!(self, Self::Floats | Self::Ints);
        let holds = FIELDS.iter().any(|field| field.0 == self.number() && (field.2)(attribute));
        if !holds && !is_list && attribute.r#type == 0 {
            return Err(format!("attribute {name} holds nothing, expected {expected}"));
        }
        Ok(())
    }
}

fn attribute<'a>(node: &'a Node, name: &str) -> Option<&'a Attribute> {
    debug_assert!(
        operators::find(&node.op_type).and_then(|operator| operator.row(name)).is_some_and(|row| !row.idle),
        "{name} of {} is read, and idle or not in the table",
        node.op_type
    );
    node.attribute.iter().find(|attribute| attribute.name == name)
}

pub(super) fn int(node: &Node, name: &str, absent: i64) -> i64 {
    attribute(node, name).map_or(absent, |a| a.i.unwrap_or_default())
}

/// Returns an integer attribute that must be 0 or 1.
pub(super) fn flag(node: &Node, name: &str, absent: bool) -> Done<bool> {
    match int(node, name, absent.into()) {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(format!("{name} is {other}, expected 0 or 1")),
    }
}

pub(super) fn float(node: &Node, name: &str, absent: f32) -> f32 {
    attribute(node, name).map_or(absent, |a| a.f.unwrap_or_default())
}

pub(super) fn ints<'a>(node: &'a Node, name: &str) -> Option<&'a [i64]> {
    attribute(node, name).map(|a| a.ints.as_slice())
}

pub(super) fn floats<'a>(node: &'a Node, name: &str) -> Option<&'a [f32]> {
    attribute(node, name).map(|a| a.floats.as_slice())
}

pub(super) fn tensor<'a>(node: &'a Node, name: &str) -> Option<&'a Tensor> {
    attribute(node, name).and_then(|a| a.t.as_ref())
}

/// Returns a string, for messages and comparisons.
pub(super) fn string(node: &Node, name: &str, absent: &str) -> String {
    attribute(node, name)
        .map_or(absent.into(), |a| shown(&String::from_utf8_lossy(a.s.as_deref().unwrap_or(&[]))))
}

pub(super) fn extent(value: i64, least: i64, what: &str) -> Done<usize> {
    if (least..=MAX_EXTENT).contains(&value) {
        return Ok(value as usize);
    }
    Err(format!("{what} holds {value}, expected {least}..={MAX_EXTENT}"))
}

/// Returns two positive numbers, height and width.
pub(super) fn pair(node: &Node, name: &str, absent: [usize; 2]) -> Done<[usize; 2]> {
    pair_of(ints(node, name), name, absent)
}

/// Returns two positive numbers, height and width, from the values of an attribute, if it is there.
pub(super) fn pair_of(values: Option<&[i64]>, name: &str, absent: [usize; 2]) -> Done<[usize; 2]> {
    match values {
        None => Ok(absent),
        Some(&[height, width]) => Ok([extent(height, 1, name)?, extent(width, 1, name)?]),
        Some(other) => Err(format!("{name} is {other:?}, expected two numbers, of height and width")),
    }
}

/// Returns kernel, stride and dilation of a pool.
pub(super) fn pool(node: &Node) -> Done<[[usize; 2]; 3]> {
    let two = |name| pair(node, name, [1, 1]);
    Ok([two("kernel_shape")?, two("strides")?, two("dilations")?])
}
