//! Kernels, strides and paddings.

use graph::{AvgPool, Conv, MaxPool, Op};

use super::{Done, int, ints};
use crate::import::onnx::attribute::{extent, pair_of};
use crate::import::onnx::message::Node;

fn pair(node: &Node, name: &str, absent: [usize; 2]) -> Done<[usize; 2]> {
    pair_of(ints(node, name), name, absent)
}

/// Equal paddings before and after.
fn padding(node: &Node) -> Done<[usize; 2]> {
    let found = super::attribute(node, "auto_pad").and_then(|a| a.s.as_deref());
    match found {
        None | Some(b"NOTSET" | b"VALID" | b"") => {}
        Some(other) => {
            let other = String::from_utf8_lossy(other);
            return Err(format!("auto_pad is {}, expected pads", crate::import::shown(&other)));
        }
    }
    match ints(node, "pads") {
        None => Ok([0, 0]),
        Some(&[top, left, bottom, right]) if [top, left] == [bottom, right] => {
            Ok([extent(top, 0, "pads")?, extent(left, 0, "pads")?])
        }
        Some(other) => {
            Err(format!("pads is {other:?}, expected the same before and after, of height and width"))
        }
    }
}

/// A convolution with weights of this shape (OIHW).
pub(super) fn conv(node: &Node, shape: &[usize], bias: bool) -> Done<Conv> {
    let &[channels, _, rows, columns] = shape else {
        return Err(format!("has a weight of {shape:?}, expected [outputs, inputs, height, width]"));
    };
    let kernel = pair(node, "kernel_shape", [rows, columns])?;
    if kernel != [rows, columns] {
        return Err(format!(
            "kernel_shape is {kernel:?}, expected that of the weight, {:?}",
            [rows, columns]
        ));
    }
    Ok(Conv {
        channels,
        groups: extent(int(node, "group", 1), 1, "group")?,
        bias,
        kernel,
        stride: pair(node, "strides", [1, 1])?,
        padding: padding(node)?,
        dilation: pair(node, "dilations", [1, 1])?,
    })
}

fn pool(node: &Node) -> Done<[[usize; 2]; 3]> {
    let dilations = pair(node, "dilations", [1, 1])?;
    if dilations != [1, 1] {
        return Err(format!("dilations is {dilations:?}, expected [1, 1]"));
    }
    let kernel = pair(node, "kernel_shape", [0, 0])?;
    Ok([kernel, pair(node, "strides", [1, 1])?, padding(node)?])
}

fn ceil(node: &Node) -> bool {
    int(node, "ceil_mode", 0) != 0
}

pub(super) fn max_pool(node: &Node) -> Done<Op> {
    let [kernel, stride, padding] = pool(node)?;
    if ceil(node) && padding != [0, 0] {
        return Err("has ceil_mode with pads, expected one of them".into());
    }
    if int(node, "storage_order", 0) != 0 {
        return Err("has storage_order, expected row major".into());
    }
    Ok(Op::MaxPool(MaxPool { kernel, stride, padding, ceil: ceil(node), after: None, dilation: [1, 1] }))
}

pub(super) fn average_pool(node: &Node) -> Done<Op> {
    let [kernel, stride, padding] = pool(node)?;
    if ceil(node) {
        return Err("has ceil_mode, expected sizes rounded down".into());
    }
    // Without a padding both divisors are the same, and the layer has one spelling.
    let count_include_pad = int(node, "count_include_pad", 0) != 0 || padding == [0, 0];
    Ok(Op::AvgPool(AvgPool { kernel, stride, padding, count_include_pad, ceil: false, after: None }))
}
