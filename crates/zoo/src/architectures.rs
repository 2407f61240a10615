use std::ops::RangeInclusive;

use graph::{Graph, GraphBuilder, Layer, MAX_SIDE, ModelSpec, Variant};

use crate::ZooError;

mod alexnet;
mod cifar_resnet;
mod inception_v3;
mod resnet;
mod squeezenet;
mod vgg16;

/// Largest width; wider networks are a typing error. The bound also keeps every size far from overflow.
const MAX_WIDTH: f64 = 16.0;

/// Largest height and width of a variant for small images, which keeps the size of its input in the first layers.
const MAX_CIFAR_SIDE: usize = 512;

/// Architecture that has a name.
struct Architecture {
    name: &'static str,
    /// Forms of the architecture; its name alone means the first. An architecture with a single form has no variant.
    forms: &'static [Form],
    /// Appends the layers of the network.
    build: fn(&mut GraphBuilder, &Sizes),
}

/// Form of an architecture.
struct Form {
    /// Variant, and a description of the layers in which the variants differ.
    variant: Option<(Variant, &'static str)>,
    /// Heights and widths of the images for which the form can be built.
    sides: RangeInclusive<usize>,
}

impl Form {
    /// The single form of an architecture.
    const fn only(sides: RangeInclusive<usize>) -> Self {
        Self { variant: None, sides }
    }

    const fn of(variant: Variant, layers: &'static str, sides: RangeInclusive<usize>) -> Self {
        Self { variant: Some((variant, layers)), sides }
    }

    fn variant(&self) -> Option<Variant> {
        self.variant.map(|(variant, _)| variant)
    }

    fn takes(&self, [_, height, width]: [usize; 3]) -> bool {
        [height, width].iter().all(|side| self.sides.contains(side))
    }
}

/// Sizes of the network that is built.
struct Sizes {
    classes: usize,
    /// Multiplier on the published channels.
    width: f64,
    /// Torchvision if the architecture has a single form.
    variant: Variant,
}

impl Sizes {
    /// Number of channels or features for a published number: the nearest multiple of 8 to `published * width`, at
    /// least 8.
    fn channels(&self, published: usize) -> usize {
        let scaled = (published as f64 * self.width / 8.0).round() as usize * 8;
        scaled.max(8)
    }

    fn is_cifar(&self) -> bool {
        self.variant != Variant::Torchvision
    }
}

const CIFAR_RESNET: Form = Form::only(8..=MAX_SIDE);

/// All architectures, in alphabetical order.
static REGISTRY: [Architecture; 15] = [
    Architecture { name: "alexnet", forms: &[Form::only(224..=224)], build: alexnet::alexnet },
    Architecture {
        name: "inception_v3",
        forms: &[Form::only(75..=MAX_SIDE)],
        build: inception_v3::inception_v3,
    },
    Architecture { name: "resnet18", forms: resnet::FORMS, build: resnet::resnet18 },
    Architecture { name: "resnet20", forms: &[CIFAR_RESNET], build: cifar_resnet::resnet20 },
    Architecture { name: "resnet32", forms: &[CIFAR_RESNET], build: cifar_resnet::resnet32 },
    Architecture { name: "resnet34", forms: resnet::FORMS, build: resnet::resnet34 },
    Architecture { name: "resnet44", forms: &[CIFAR_RESNET], build: cifar_resnet::resnet44 },
    Architecture { name: "resnet50", forms: resnet::FORMS, build: resnet::resnet50 },
    Architecture { name: "resnet56", forms: &[CIFAR_RESNET], build: cifar_resnet::resnet56 },
    Architecture { name: "resnet152", forms: resnet::FORMS, build: resnet::resnet152 },
    Architecture { name: "squeezenet1_0", forms: squeezenet::FORMS_1_0, build: squeezenet::squeezenet1_0 },
    Architecture { name: "squeezenet1_1", forms: squeezenet::FORMS_1_1, build: squeezenet::squeezenet1_1 },
    Architecture {
        name: "squeezenet1_1_bn",
        forms: squeezenet::FORMS_1_1,
        build: squeezenet::squeezenet1_1_bn,
    },
    Architecture { name: "vgg16", forms: vgg16::FORMS, build: vgg16::vgg16 },
    Architecture { name: "vgg16_bn", forms: vgg16::FORMS, build: vgg16::vgg16_bn },
];

const NAMES: [&str; REGISTRY.len()] = {
    let mut names = [""; REGISTRY.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = REGISTRY[i].name;
        i += 1;
    }
    names
};

/// Names of the architectures that [`build`] knows.
pub const ARCHITECTURES: &[&str] = &NAMES;

fn find(name: &str) -> Result<&'static Architecture, ZooError> {
    let found = REGISTRY.iter().find(|architecture| architecture.name == name);
    found.ok_or_else(|| ZooError::UnknownArchitecture { found: name.into() })
}

impl Architecture {
    /// The form of a network, or the error for a variant that the architecture does not have.
    fn form(&self, variant: Option<Variant>) -> Result<&Form, ZooError> {
        let found = self.forms.iter().find(|form| form.variant() == variant);
        found.ok_or_else(|| {
            let variants: Vec<&str> = self.variants().map(Variant::id).collect();
            ZooError::Variant {
                architecture: self.name.into(),
                found: variant.map_or("none", Variant::id),
                expected: match variants.as_slice() {
                    [] => "none: there is one form of it".into(),
                    ids => ids.join(" or "),
                },
            }
        })
    }

    fn variants(&self) -> impl Iterator<Item = Variant> {
        self.forms.iter().filter_map(Form::variant)
    }
}

/// Returns the variants of an architecture; its name alone means the first. The list is empty if the architecture has
/// a single form.
///
/// # Errors
/// An unknown architecture.
pub fn variants(architecture: &str) -> Result<Vec<Variant>, ZooError> {
    Ok(find(architecture)?.variants().collect())
}

/// Names a network by its architecture, its variant (the first of [`variants`] if `variant` is none) and its sizes.
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
    let architecture = find(architecture)?;
    let variant = variant.or(architecture.variants().next());
    architecture.form(variant)?;
    Ok(ModelSpec {
        width,
        variant: variant.filter(|&variant| variant != Variant::implied(input)),
        ..ModelSpec::new(architecture.name, classes, input)
    })
}

/// Returns the variant of a network; none if its architecture has a single form or no name stands for it.
pub fn variant(model: &ModelSpec) -> Option<Variant> {
    let several = find(&model.architecture).is_ok_and(|found| found.variants().next().is_some());
    several.then(|| model.variant.unwrap_or(Variant::implied(model.input)))
}

/// Describes the layers of a network's variant in which the variants of its architecture differ; none if there is a
/// single form.
pub fn variant_layers(model: &ModelSpec) -> Option<&'static str> {
    let form = find(&model.architecture).ok()?.forms.iter().find(|form| form.variant() == variant(model))?;
    form.variant.map(|(_, layers)| layers)
}

/// Builds the layer graph of an architecture, in the variant that the specification names, or else the one that its
/// image size implies ([`Variant::implied`], the rule of files that name none). [`model`] makes a specification from
/// a name.
///
/// | architecture | variant | height and width | network |
/// |---|---|---|---|
/// | `alexnet` | | 224 | torchvision's |
/// | `inception_v3` | | 75..=4096, published 299 | torchvision's, without its auxiliary classifier |
/// | `resnet20`, `resnet32`, `resnet44`, `resnet56` | | 8..=4096 | the CIFAR ResNets with option-A shortcuts |
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
/// SqueezeNet's lower bounds are the sizes at which its last pool still fits (torchvision lets it hang over, from 21
/// and 17).
///
/// `width` multiplies every hidden channel and feature count, rounded to the nearest multiple of 8 (a half away from
/// zero) and at least 8; input channels and classes stay. Dropout does nothing at inference and is left out.
///
/// # Errors
/// An unknown architecture; a variant that it does not have; `classes` outside 1..=2^20; `width` outside (0, 16];
/// input channels outside 1..=1024; a height or width outside those of the table.
pub fn build(spec: &ModelSpec) -> Result<Graph, ZooError> {
    let architecture = find(&spec.architecture)?;
    if spec.variant.is_some() {
        architecture.form(spec.variant)?;
    }
    spec.check_classes_and_channels()?;
    if !(spec.width > 0.0 && spec.width <= MAX_WIDTH) {
        return Err(spec.refused("width", spec.width, "a number above 0 and at most 16").into());
    }
    let variant = variant(spec);
    let form = architecture.form(variant)?;
    if !form.takes(spec.input) {
        let (low, high) = (form.sides.start(), form.sides.end());
        let expected = match low == high {
            true => format!("{low}x{low}"),
            false => format!("height and width in {low}..={high}"),
        };
        let of = variant.map_or(String::new(), |variant| format!(" for its variant {}", variant.id()));
        let fitting: Vec<&str> = architecture
            .forms
            .iter()
            .filter(|other| other.variant() != variant && other.takes(spec.input))
            .filter_map(|other| other.variant().map(Variant::id))
            .collect();
        let hint = match fitting.as_slice() {
            [] => String::new(),
            ids => format!(", or its variant {}", ids.join(" or ")),
        };
        let [_, height, width] = spec.input;
        return Err(spec.refused("input size", format!("{height}x{width}"), expected + &of + &hint).into());
    }
    let mut builder = GraphBuilder::new(spec.input);
    let variant = variant.unwrap_or(Variant::Torchvision);
    (architecture.build)(&mut builder, &Sizes { classes: spec.classes, width: spec.width, variant });
    Ok(builder.finish(spec))
}

/// Builds the layer graph of a checkpoint: from its layers if it lists any, otherwise as [`build`] does.
///
/// # Errors
/// As [`build`] and [`Graph::listed`].
pub fn build_stored(model: &ModelSpec, layers: &[Layer]) -> Result<Graph, ZooError> {
    match layers {
        [] => build(model),
        layers => Ok(Graph::listed(model, layers)?),
    }
}

/// Describes a network as [`ModelSpec`] does, with the variant that its image size implies.
pub(crate) fn network_name(graph: &Graph) -> String {
    let variant = if graph.layers().is_empty() { variant(graph.spec()) } else { None };
    ModelSpec { variant, ..graph.spec().clone() }.to_string()
}

/// True for a parameter of a published state dict that belongs to a part of the network that only training uses,
/// which the graph leaves out.
pub(crate) fn is_left_out(architecture: &str, parameter: &str) -> bool {
    architecture == "inception_v3" && parameter.starts_with(inception_v3::AUXILIARY)
}
