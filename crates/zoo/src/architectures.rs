use quant::ModelSpec;

use crate::ZooError;
use crate::architectures::resnet::Block;
use crate::graph::{Graph, GraphBuilder};

mod alexnet;
mod inception_v3;
mod resnet;
mod resnet20;
mod squeezenet;
mod vgg16;

/// Ids of the architectures that [`build`] knows.
pub const ARCHITECTURES: &[&str] = &[
    "alexnet",
    "inception_v3",
    "resnet18",
    "resnet20",
    "resnet34",
    "resnet50",
    "resnet152",
    "squeezenet1_0",
    "squeezenet1_1",
    "squeezenet1_1_bn",
    "vgg16",
    "vgg16_bn",
];

/// Wider networks than this are a typing error; the bound also keeps every size far from overflow.
const MAX_WIDTH: f64 = 16.0;
const MAX_CLASSES: usize = 1 << 20;
pub(crate) const MAX_CHANNELS: usize = 1024;
pub(crate) const MAX_SIDE: usize = 4096;

/// Builds the layer graph of an architecture.
///
/// | architecture | input | network |
/// |---|---|---|
/// | `alexnet` | 224x224 | torchvision's |
/// | `inception_v3` | height and width 75..=4096, published 299 | torchvision's, without its auxiliary classifier |
/// | `resnet20` | height and width 8..=4096 | the CIFAR ResNet with option-A shortcuts |
/// | `resnet18`, `resnet34`, `resnet50`, `resnet152` | 32x32 | 3x3 stem with stride 1 and no max pool |
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
    let error = |field, value: String, expected| Err(refused(spec, field, value, expected));
    if !ARCHITECTURES.contains(&spec.architecture.as_str()) {
        return Err(ZooError::UnknownArchitecture { found: spec.architecture.clone() });
    }
    check_classes(spec)?;
    if !(spec.width > 0.0 && spec.width <= MAX_WIDTH) {
        return error("width", spec.width.to_string(), "a number above 0 and at most 16");
    }
    check_channels(spec)?;
    let [_, height, wide] = spec.input;
    let sides = |low: usize| [height, wide].iter().all(|side| (low..=MAX_SIDE).contains(side));
    let cifar = [height, wide] == [32, 32];
    let (fits, expected) = match spec.architecture.as_str() {
        "resnet20" => (sides(8), "height and width in 8..=4096"),
        "alexnet" => (
            [height, wide] == [224, 224],
            "224x224, where the adaptive pooling before the classifier does nothing",
        ),
        "inception_v3" => (sides(75), "height and width in 75..=4096"),
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
    let resnet =
        |builder, block, blocks| resnet::build(builder, channels, spec.classes, cifar, block, blocks);
    Ok(match spec.architecture.as_str() {
        "alexnet" => alexnet::build(builder, channels, spec.classes),
        "inception_v3" => inception_v3::build(builder, channels, spec.classes),
        "resnet18" => resnet(builder, Block::Basic, [2, 2, 2, 2]),
        "resnet20" => resnet20::build(builder, channels, spec.classes),
        "resnet34" => resnet(builder, Block::Basic, [3, 4, 6, 3]),
        "resnet50" => resnet(builder, Block::Bottleneck, [3, 4, 6, 3]),
        "resnet152" => resnet(builder, Block::Bottleneck, [3, 8, 36, 3]),
        "vgg16" => vgg16::build(builder, channels, spec.classes, cifar, false),
        "vgg16_bn" => vgg16::build(builder, channels, spec.classes, cifar, true),
        "squeezenet1_0" => squeezenet::build_1_0(builder, channels, spec.classes, cifar),
        "squeezenet1_1" => squeezenet::build_1_1(builder, channels, spec.classes, cifar, false),
        _ => squeezenet::build_1_1(builder, channels, spec.classes, cifar, true),
    })
}

pub(crate) fn check_classes(spec: &ModelSpec) -> Result<(), ZooError> {
    if (1..=MAX_CLASSES).contains(&spec.classes) {
        return Ok(());
    }
    Err(refused(spec, "classes", spec.classes.to_string(), "1..=1048576"))
}

pub(crate) fn check_channels(spec: &ModelSpec) -> Result<(), ZooError> {
    if (1..=MAX_CHANNELS).contains(&spec.input[0]) {
        return Ok(());
    }
    Err(refused(spec, "input channels", spec.input[0].to_string(), "1..=1024"))
}

/// The error for a field of a specification.
pub(crate) fn refused(
    spec: &ModelSpec,
    field: &'static str,
    value: String,
    expected: &'static str,
) -> ZooError {
    ZooError::Spec { architecture: spec.architecture.clone(), field, value, expected }
}

/// Whether a parameter of a published state dict belongs to a part of the network that only training uses,
/// which the graph leaves out.
pub(crate) fn is_left_out(architecture: &str, parameter: &str) -> bool {
    architecture == "inception_v3" && parameter.starts_with(inception_v3::AUXILIARY)
}
