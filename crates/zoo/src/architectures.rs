use std::ops::RangeInclusive;

use quant::{ModelSpec, Variant};

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
const MAX_CIFAR_SIDE: usize = 512;

/// The forms that an architecture has, the first being the one that its name alone stands for; none where there is
/// only one network of this name.
///
/// # Errors
/// An unknown architecture.
pub fn variants(architecture: &str) -> Result<&'static [Variant], ZooError> {
    use Variant::{Cifar, CifarMaxpool, Torchvision};
    match architecture {
        "alexnet" | "inception_v3" | "resnet20" => Ok(&[]),
        "resnet18" | "resnet34" | "resnet50" | "resnet152" => Ok(&[Torchvision, Cifar, CifarMaxpool]),
        "squeezenet1_0" | "squeezenet1_1" | "squeezenet1_1_bn" | "vgg16" | "vgg16_bn" => {
            Ok(&[Torchvision, Cifar])
        }
        _ => Err(ZooError::UnknownArchitecture { found: architecture.into() }),
    }
}

/// A network by its architecture, its variant, or the first of [`variants`] where none is named, and its sizes.
///
/// # Errors
/// An unknown architecture, or a variant that it does not have. The sizes are checked by [`build`].
pub fn model(
    architecture: &str,
    variant: Option<Variant>,
    width: f64,
    classes: usize,
    input: [usize; 3],
) -> Result<ModelSpec, ZooError> {
    let variants = variants(architecture)?;
    let variant = variant.or(variants.first().copied());
    let model = ModelSpec {
        architecture: architecture.into(),
        classes,
        input,
        width,
        variant: variant.filter(|&variant| variant != Variant::implied(input)),
    };
    match variant {
        Some(variant) if !variants.contains(&variant) => Err(no_variant(&model, variant)),
        _ => Ok(model),
    }
}

/// The variant of a network; none where its architecture has only one form.
pub fn variant(model: &ModelSpec) -> Option<Variant> {
    let several = variants(&model.architecture).is_ok_and(|variants| !variants.is_empty());
    several.then(|| model.variant.unwrap_or(Variant::implied(model.input)))
}

fn no_variant(model: &ModelSpec, found: Variant) -> ZooError {
    let variants = variants(&model.architecture).unwrap_or_default();
    ZooError::Variant {
        architecture: model.architecture.clone(),
        found: found.id(),
        expected: match variants {
            [] => "none: there is one form of it".into(),
            variants => variants.iter().map(|variant| variant.id()).collect::<Vec<_>>().join(" or "),
        },
    }
}

/// In words, the layers of a network's variant that another variant has otherwise; none where there is one form.
pub fn variant_layers(model: &ModelSpec) -> Option<String> {
    let layers = match (model.architecture.as_str(), variant(model)?) {
        ("vgg16" | "vgg16_bn", Variant::Torchvision) => "two hidden layers of 4096 units, times width",
        ("vgg16" | "vgg16_bn", _) => "two hidden layers of 512 units, times width",
        ("squeezenet1_0", Variant::Torchvision) => "stem of 7x7 with stride 2 and no padding",
        (name, Variant::Torchvision) if name.starts_with("squeezenet") => {
            "stem of 3x3 with stride 2 and no padding"
        }
        (_, Variant::Torchvision) => "stem of 7x7 with stride 2, then a max pool",
        (name, _) if name.starts_with("squeezenet") => "stem of 3x3 with stride 1 and padding 1",
        (_, Variant::Cifar) => "stem of 3x3 with stride 1, no max pool",
        (_, Variant::CifarMaxpool) => "stem of 3x3 with stride 1, then a max pool",
    };
    Some(layers.into())
}

/// Builds the layer graph of an architecture, in the variant that the specification names, or else the one that its
/// image size implies ([`Variant::implied`], the rule of files that name none). [`model`] makes a specification from
/// a name.
///
/// | architecture | variant | height and width | network |
/// |---|---|---|---|
/// | `alexnet` | | 224 | torchvision's |
/// | `inception_v3` | | 75..=4096, published 299 | torchvision's, without its auxiliary classifier |
/// | `resnet20` | | 8..=4096 | the CIFAR ResNet with option-A shortcuts |
/// | `resnet18`, `resnet34`, `resnet50`, `resnet152` | `torchvision` | 1..=4096 | torchvision's |
/// | | `cifar` | 1..=512 | 3x3 stem with stride 1 and no max pool |
/// | | `cifar-maxpool` | 1..=512 | 3x3 stem with stride 1, torchvision's max pool |
/// | `vgg16`, `vgg16_bn` | `torchvision` | 224 | torchvision's |
/// | | `cifar` | 32 | classifier of 512-512-classes |
/// | `squeezenet1_0` | `torchvision` | 29..=4096 | torchvision's |
/// | `squeezenet1_1`, `squeezenet1_1_bn` | `torchvision` | 25..=4096 | torchvision's (`_bn`: ours) |
/// | all SqueezeNets | `cifar` | 12..=512 | 3x3 stem with stride 1 and padding 1, torchvision's three pools |
///
/// AlexNet and VGG have an adaptive pool before the classifier, which does nothing at 224x224 and is not built.
/// SqueezeNet's lower bounds are where its last pool still fits (torchvision lets it hang over, from 21 and 17).
///
/// `width` multiplies every hidden channel and feature count, rounded to the nearest multiple of 8 (a
/// half away from zero) and at least 8; input channels and classes stay. Dropout does nothing at
/// inference and is left out.
///
/// # Errors
/// An unknown architecture; a variant that it does not have; `classes` outside 1..=2^20; `width` outside (0, 16];
/// input channels outside 1..=1024; a height or width outside those of the table.
pub fn build(spec: &ModelSpec) -> Result<Graph, ZooError> {
    let error = |field, value: String, expected: String| Err(refused(spec, field, value, expected));
    let variants = variants(&spec.architecture)?;
    if let Some(variant) = spec.variant.filter(|variant| !variants.contains(variant)) {
        return Err(no_variant(spec, variant));
    }
    check_classes(spec)?;
    if !(spec.width > 0.0 && spec.width <= MAX_WIDTH) {
        return error("width", spec.width.to_string(), "a number above 0 and at most 16".into());
    }
    check_channels(spec)?;
    let [_, height, wide] = spec.input;
    let variant = variant(spec);
    let sides = sides(&spec.architecture, variant);
    if ![height, wide].iter().all(|side| sides.contains(side)) {
        let (low, high) = (sides.start(), sides.end());
        let expected = match low == high {
            true => format!("{low}x{low}"),
            false => format!("height and width in {low}..={high}"),
        };
        let of = variant.map_or(String::new(), |variant| format!(" for its variant {}", variant.id()));
        let others = variants.iter().copied().filter(|&other| Some(other) != variant);
        let fitting = others.filter(|&other| {
            let sides = self::sides(&spec.architecture, Some(other));
            [height, wide].iter().all(|side| sides.contains(side))
        });
        let fitting: Vec<&str> = fitting.map(Variant::id).collect();
        let hint = match fitting.as_slice() {
            [] => String::new(),
            ids => format!(", or its variant {}", ids.join(" or ")),
        };
        return error("input size", format!("{height}x{wide}"), format!("{expected}{of}{hint}"));
    }

    let builder = GraphBuilder::new(spec);
    let channels = |published: usize| -> usize {
        let scaled = (published as f64 * spec.width / 8.0).round() as usize * 8;
        scaled.max(8)
    };
    let variant = variant.unwrap_or(Variant::Torchvision);
    let cifar = variant != Variant::Torchvision;
    let resnet =
        |builder, block, blocks| resnet::build(builder, channels, spec.classes, variant, block, blocks);
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
        "squeezenet1_1_bn" => squeezenet::build_1_1(builder, channels, spec.classes, cifar, true),
        other => return Err(ZooError::UnknownArchitecture { found: other.into() }),
    })
}

/// Heights and widths at which a form of an architecture is built. A form for small images keeps the size of its
/// input in the first layers, which bounds it from above.
fn sides(architecture: &str, variant: Option<Variant>) -> RangeInclusive<usize> {
    let cifar = matches!(variant, Some(Variant::Cifar | Variant::CifarMaxpool));
    match architecture {
        "alexnet" => 224..=224,
        "inception_v3" => 75..=MAX_SIDE,
        "resnet20" => 8..=MAX_SIDE,
        "vgg16" | "vgg16_bn" if cifar => 32..=32,
        "vgg16" | "vgg16_bn" => 224..=224,
        "squeezenet1_0" | "squeezenet1_1" | "squeezenet1_1_bn" if cifar => 12..=MAX_CIFAR_SIDE,
        "squeezenet1_0" => 29..=MAX_SIDE,
        "squeezenet1_1" | "squeezenet1_1_bn" => 25..=MAX_SIDE,
        _ if cifar => 1..=MAX_CIFAR_SIDE,
        _ => 1..=MAX_SIDE,
    }
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
    expected: impl Into<String>,
) -> ZooError {
    ZooError::Spec { architecture: spec.architecture.clone(), field, value, expected: expected.into() }
}

/// Whether a parameter of a published state dict belongs to a part of the network that only training uses,
/// which the graph leaves out.
pub(crate) fn is_left_out(architecture: &str, parameter: &str) -> bool {
    architecture == "inception_v3" && parameter.starts_with(inception_v3::AUXILIARY)
}
