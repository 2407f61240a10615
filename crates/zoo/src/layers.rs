//! Graphs from listed layers: what a checkpoint carries where no architecture name stands for its network.
//!
//! A list comes from a file, so nothing in it is trusted: every layer is checked against the shapes before
//! it, and sizes are bounded where arithmetic or memory could suffer.

use std::collections::BTreeSet;

use quant::{Layer, LayerOp, ModelSpec};

use crate::ZooError;
use crate::architectures::{MAX_SIDE, build, check_channels, check_classes, refused};
use crate::graph::{Graph, Node, Op, Window};

/// Longest list; published networks have up to about a thousand layers.
pub(crate) const MAX_LAYERS: usize = 4096;

/// Largest kernel, stride and padding.
const MAX_EXTENT: usize = MAX_SIDE;

/// Most values that one image may have in one place.
const MAX_VALUES: usize = 1 << 28;

/// Most pixels of an image anywhere: sums of this many levels stay inside i32.
const MAX_PIXELS: usize = 1 << 22;

/// Builds the layer graph of a checkpoint: from its layers where it lists any, otherwise as [`build`] does.
///
/// Takes the two fields of [`quant::Checkpoint`] that say what the network is.
///
/// # Errors
/// As [`build`]; and for listed layers, with the layer's name: a name that is empty or taken, a place that
/// does not exist yet, shapes that do not fit the operation, sizes out of range, a last layer that does not
/// give one logit a class.
pub fn build_stored(model: &ModelSpec, layers: &[Layer]) -> Result<Graph, ZooError> {
    if layers.is_empty() {
        return build(model);
    }
    check_model(model, layers)?;
    let input = Node { name: "input".into(), op: Op::Input, inputs: vec![], shape: model.input.to_vec() };
    let mut nodes = vec![input];
    let mut names = BTreeSet::from(["input".to_string()]);
    for layer in layers {
        let problem = |problem: String| ZooError::Layer { layer: layer.name.clone(), problem };
        if layer.name.is_empty() || !names.insert(layer.name.clone()) {
            return Err(problem("the name is empty or taken, expected one of its own".into()));
        }
        if let Some(place) = layer.inputs.iter().find(|place| **place >= nodes.len()) {
            return Err(problem(format!("reads place {place}, expected one before {}", nodes.len())));
        }
        let inputs: Vec<&[usize]> = layer.inputs.iter().map(|&i| nodes[i].shape.as_slice()).collect();
        let (op, shape) = node(&layer.op, &inputs).map_err(problem)?;
        nodes.push(Node { name: layer.name.clone(), op, inputs: layer.inputs.clone(), shape });
    }
    let read: BTreeSet<usize> = layers.iter().flat_map(|layer| layer.inputs.iter().copied()).collect();
    if let Some(id) = (0..nodes.len() - 1).find(|id| !read.contains(id)) {
        let problem = "no layer reads its output, expected one, or that it is the last layer".into();
        return Err(ZooError::Layer { layer: nodes[id].name.clone(), problem });
    }
    let last = nodes.last().expect("there is an input");
    if last.shape != [model.classes] {
        let problem = format!("is the last and gives {:?}, expected [{}] logits", last.shape, model.classes);
        return Err(ZooError::Layer { layer: last.name.clone(), problem });
    }
    Ok(Graph::of_layers(model.clone(), layers.to_vec(), nodes))
}

fn check_model(model: &ModelSpec, layers: &[Layer]) -> Result<(), ZooError> {
    let error = |field, value: String, expected| Err(refused(model, field, value, expected));
    check_classes(model)?;
    check_channels(model)?;
    let [_, height, width] = model.input;
    if !is_size([height, width]) {
        let expected = "height and width in 1..=4096, at most 4194304 pixels";
        return error("input size", format!("{height}x{width}"), expected);
    }
    if model.width != 1.0 {
        return error("width", model.width.to_string(), "1, since its layers are listed");
    }
    if layers.len() > MAX_LAYERS {
        return error("layers", layers.len().to_string(), "at most 4096");
    }
    Ok(())
}

/// Whether the input of a network may have so many rows and columns.
pub(crate) fn is_size([height, width]: [usize; 2]) -> bool {
    let sides = [height, width].iter().all(|side| (1..=MAX_SIDE).contains(side));
    sides && height * width <= MAX_PIXELS
}

/// The operation of a layer, and the shape that it gives.
pub(crate) fn node(op: &LayerOp, inputs: &[&[usize]]) -> Result<(Op, Vec<usize>), String> {
    let wanted = match op {
        LayerOp::Add => inputs.len() == 2,
        LayerOp::Concat => !inputs.is_empty(),
        _ => inputs.len() == 1,
    };
    if !wanted {
        return Err(format!("reads {} places, expected another number for {op:?}", inputs.len()));
    }
    let first = inputs[0];
    let image = || -> Result<[usize; 3], String> {
        first.try_into().map_err(|_| format!("reads {first:?}, expected [channels, height, width]"))
    };
    let (op, shape) = match *op {
        LayerOp::Conv { channels, groups, bias, kernel, stride, padding, dilation } => {
            let [inputs, height, width] = image()?;
            let divides = |n: usize| groups > 0 && n > 0 && n.is_multiple_of(groups);
            if !divides(inputs) || !divides(channels) {
                return Err(format!(
                    "{groups} groups, expected a divisor of its {inputs} input and {channels} output channels"
                ));
            }
            let window =
                self::window(Window { dilation, ..Window::of(kernel, stride, padding) }, [height, width])?;
            let [rows, columns] = window.output(height, width);
            (Op::Conv2d { out_channels: channels, window, groups, bias }, vec![channels, rows, columns])
        }
        LayerOp::BatchNorm { epsilon } => {
            if !(0.0..=1.0).contains(&epsilon) {
                return Err(format!("epsilon is {epsilon}, expected 0..=1"));
            }
            (Op::BatchNorm { epsilon }, first.to_vec())
        }
        LayerOp::Relu => (Op::Relu, first.to_vec()),
        LayerOp::LeakyRelu { slope } => {
            if !(0.0..=1.0).contains(&slope) {
                return Err(format!("slope is {slope}, expected 0..=1"));
            }
            (Op::LeakyRelu { slope }, first.to_vec())
        }
        LayerOp::ClippedRelu { max } => {
            if !(max.is_finite() && max > 0.0) {
                return Err(format!("max is {max}, expected a finite positive number"));
            }
            (Op::ClippedRelu { max }, first.to_vec())
        }
        LayerOp::MaxPool { kernel, stride, padding, ceil, after } => {
            let [channels, height, width] = image()?;
            let window = Window { ceil, after, ..Window::of(kernel, stride, padding) };
            let window = pool(self::window(window, [height, width])?)?;
            let [rows, columns] = window.output(height, width);
            (Op::MaxPool(window), vec![channels, rows, columns])
        }
        LayerOp::AvgPool { kernel, stride, padding, count_include_pad, ceil, after } => {
            let [channels, height, width] = image()?;
            if count_include_pad && (ceil || after.is_some()) {
                return Err(
                    "counts padding, expected that with one padding and sizes rounded down only".into()
                );
            }
            let window = Window { ceil, after, ..Window::of(kernel, stride, padding) };
            let window = pool(self::window(window, [height, width])?)?;
            let [rows, columns] = window.output(height, width);
            (Op::AvgPool { window, count_include_pad }, vec![channels, rows, columns])
        }
        LayerOp::GlobalAvgPool => (Op::GlobalAvgPool, vec![image()?[0]]),
        LayerOp::Flatten => (Op::Flatten, vec![image()?.iter().product()]),
        LayerOp::Linear { features } => {
            if first.len() != 1 {
                return Err(format!("reads {first:?}, expected features"));
            }
            (Op::Linear { out_features: features }, vec![features])
        }
        LayerOp::Add => {
            if inputs[1] != first {
                return Err(format!("adds {first:?} and {:?}, expected equal shapes", inputs[1]));
            }
            (Op::Add, first.to_vec())
        }
        LayerOp::Concat => {
            let [_, height, width] = image()?;
            let fits = |other: &&[usize]| other.len() == 3 && other[1..] == [height, width];
            if let Some(other) = inputs.iter().find(|other| !fits(other)) {
                return Err(format!("joins {first:?} and {other:?}, expected images of equal size"));
            }
            (Op::Concat, vec![inputs.iter().map(|shape| shape[0]).sum(), height, width])
        }
        LayerOp::Pad { before, after } => {
            let [channels, height, width] = image()?;
            if before.iter().chain(&after).any(|&n| n > MAX_EXTENT) {
                return Err(format!("pads {before:?} and {after:?}, expected at most {MAX_EXTENT}"));
            }
            let shape = vec![channels, height + before[0] + after[0], width + before[1] + after[1]];
            (Op::Pad { before, after }, shape)
        }
        LayerOp::PadShortcut { stride, before, after } => {
            let [channels, height, width] = image()?;
            if !(1..=MAX_EXTENT).contains(&stride) || before.max(after) > MAX_EXTENT {
                return Err(format!(
                    "stride {stride}, channels {before} and {after}, expected at most {MAX_EXTENT}, at least 1 for the \
                     stride"
                ));
            }
            let [rows, columns] = Window::square(1, stride, 0).output(height, width);
            (Op::PadShortcut { stride, before, after }, vec![channels + before + after, rows, columns])
        }
    };
    let values = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
    let pixels: usize = shape[1..].iter().product();
    if !values.is_some_and(|n| (1..=MAX_VALUES).contains(&n)) || pixels > MAX_PIXELS {
        return Err(format!(
            "gives {shape:?}, expected 1..={MAX_VALUES} values in at most {MAX_PIXELS} pixels"
        ));
    }
    Ok((op, shape))
}

fn window(window: Window, size: [usize; 2]) -> Result<Window, String> {
    let Window { kernel, stride, padding, dilation, .. } = window;
    let positive = kernel.iter().chain(&stride).chain(&dilation).all(|n| (1..=MAX_EXTENT).contains(n));
    let after = window.after.unwrap_or(padding);
    if !positive || padding.iter().chain(&after).any(|&n| n > MAX_EXTENT) {
        return Err(format!(
            "kernel {kernel:?}, stride {stride:?}, padding {padding:?}, expected at most {MAX_EXTENT}, at least 1 \
             for kernel and stride"
        ));
    }
    if !window.fits(size[0], size[1]) {
        return Err(format!(
            "kernel {kernel:?} with padding {padding:?}, expected one that fits into {size:?}"
        ));
    }
    Ok(window)
}

/// A pool's window must never lie in its border alone.
fn pool(window: Window) -> Result<Window, String> {
    let Window { kernel, padding, .. } = window;
    let after = window.after.unwrap_or(padding);
    if (0..2).any(|axis| padding[axis].max(after[axis]) >= kernel[axis]) {
        return Err(format!("padding {padding:?}, expected less than the kernel {kernel:?}"));
    }
    Ok(window)
}
