use quant::ModelSpec;

use crate::ZooError;
use crate::graph::{Graph, GraphBuilder};

mod resnet18;
mod resnet20;
mod squeezenet;
mod vgg16;

/// Ids of the architectures that [`build`] knows.
pub const ARCHITECTURES: &[&str] =
    &["resnet20", "resnet18", "vgg16", "vgg16_bn", "squeezenet1_0", "squeezenet1_1", "squeezenet1_1_bn"];

/// Wider networks than this are a typing error; the bound also keeps every size far from overflow.
const MAX_WIDTH: f64 = 16.0;
const MAX_CLASSES: usize = 1 << 20;
const MAX_CHANNELS: usize = 1024;
const MAX_SIDE: usize = 4096;

/// Builds the layer graph of an architecture.
///
/// | architecture | input | network |
/// |---|---|---|
/// | `resnet20` | height and width 8..=4096 | the CIFAR ResNet with option-A shortcuts |
/// | `resnet18` | 32x32 | 3x3 stem with stride 1 and no max pool |
/// | | 64..=4096 | torchvision's |
/// | `vgg16`, `vgg16_bn` | 32x32 | classifier of 512-512-classes |
/// | | 224x224 | torchvision's |
/// | `squeezenet1_0`, `squeezenet1_1`, `squeezenet1_1_bn` | 32x32 | 3x3 stem with stride 1, torchvision's three pools |
/// | | 64..=4096 | torchvision's |
///
/// `width` multiplies every hidden channel and feature count, rounded to the nearest multiple of 8 (a
/// half away from zero) and at least 8; input channels and classes stay. Dropout does nothing at
/// inference and is left out.
///
/// # Errors
/// An unknown architecture; `classes` outside 1..=2^20; `width` outside (0, 16]; input channels outside
/// 1..=1024; a height or width that the architecture has no variant for.
pub fn build(spec: &ModelSpec) -> Result<Graph, ZooError> {
    let error = |field, value: String, expected| {
        Err(ZooError::Spec { architecture: spec.architecture.clone(), field, value, expected })
    };
    if !ARCHITECTURES.contains(&spec.architecture.as_str()) {
        return Err(ZooError::UnknownArchitecture { found: spec.architecture.clone() });
    }
    if !(1..=MAX_CLASSES).contains(&spec.classes) {
        return error("classes", spec.classes.to_string(), "1..=1048576");
    }
    if !(spec.width > 0.0 && spec.width <= MAX_WIDTH) {
        return error("width", spec.width.to_string(), "a number above 0 and at most 16");
    }
    let [channels, height, wide] = spec.input;
    if !(1..=MAX_CHANNELS).contains(&channels) {
        return error("input channels", channels.to_string(), "1..=1024");
    }
    let sides = |low: usize| [height, wide].iter().all(|side| (low..=MAX_SIDE).contains(side));
    let cifar = [height, wide] == [32, 32];
    let (fits, expected) = match spec.architecture.as_str() {
        "resnet20" => (sides(8), "height and width in 8..=4096"),
        "vgg16" | "vgg16_bn" => (
            cifar || [height, wide] == [224, 224],
            "32x32, or 224x224 where the adaptive pooling before the classifier does nothing",
        ),
        _ => (cifar || sides(64), "32x32, or height and width in 64..=4096"),
    };
    if !fits {
        return error("input size", format!("{height}x{wide}"), expected);
    }

    let builder = GraphBuilder::new(spec);
    let channels = |published: usize| -> usize {
        let scaled = (published as f64 * spec.width / 8.0).round() as usize * 8;
        scaled.max(8)
    };
    Ok(match spec.architecture.as_str() {
        "resnet20" => resnet20::build(builder, channels, spec.classes),
        "resnet18" => resnet18::build(builder, channels, spec.classes, cifar),
        "vgg16" => vgg16::build(builder, channels, spec.classes, cifar, false),
        "vgg16_bn" => vgg16::build(builder, channels, spec.classes, cifar, true),
        "squeezenet1_0" => squeezenet::build_1_0(builder, channels, spec.classes, cifar),
        "squeezenet1_1" => squeezenet::build_1_1(builder, channels, spec.classes, cifar, false),
        _ => squeezenet::build_1_1(builder, channels, spec.classes, cifar, true),
    })
}
