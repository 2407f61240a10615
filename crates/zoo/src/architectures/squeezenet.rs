//! SqueezeNet 1.0 and 1.1: Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters
//! and <0.5MB model size", 2016, <https://arxiv.org/abs/1602.07360>; 1.1 is the authors' later release.
//! Names as in torchvision's `squeezenet1_0` and `squeezenet1_1`. For CIFAR the stem is a 3x3 convolution
//! with stride 1 and padding 1; all three pools stay, so the last maps are 4x4.
//!
//! `squeezenet1_1_bn` is 1.1 with a batch norm behind every convolution but the last, named after its
//! convolution (`features.3.squeeze_bn`), and without the ReLU behind the last, which can silence a class
//! for good. torchvision has no such network; it trains from scratch where the plain one does not leave
//! the start.

use graph::{GraphBuilder, MAX_SIDE, Variant, Window};

use super::{Form, MAX_CIFAR_SIDE, Sizes};

const CIFAR: Form = Form::of(Variant::Cifar, "stem of 3x3 with stride 1 and padding 1", 12..=MAX_CIFAR_SIDE);

pub(super) const FORMS_1_0: &[Form] =
    &[Form::of(Variant::Torchvision, "stem of 7x7 with stride 2 and no padding", 29..=MAX_SIDE), CIFAR];

pub(super) const FORMS_1_1: &[Form] =
    &[Form::of(Variant::Torchvision, "stem of 3x3 with stride 2 and no padding", 25..=MAX_SIDE), CIFAR];

/// One entry of torchvision's `features`, after the stem and its ReLU.
enum Feature {
    Pool,
    /// Squeeze channels, and expand channels of each of the two branches.
    Fire(usize, usize),
}
use Feature::{Fire, Pool};

pub(super) fn squeezenet1_0(g: &mut GraphBuilder, sizes: &Sizes) {
    let features = [
        Pool,
        Fire(16, 64),
        Fire(16, 64),
        Fire(32, 128),
        Pool,
        Fire(32, 128),
        Fire(48, 192),
        Fire(48, 192),
        Fire(64, 256),
        Pool,
        Fire(64, 256),
    ];
    squeezenet(g, sizes, 96, Window::square(7, 2, 0), &features, false);
}

pub(super) fn squeezenet1_1(g: &mut GraphBuilder, sizes: &Sizes) {
    squeezenet(g, sizes, 64, Window::square(3, 2, 0), &FEATURES_1_1, false);
}

pub(super) fn squeezenet1_1_bn(g: &mut GraphBuilder, sizes: &Sizes) {
    squeezenet(g, sizes, 64, Window::square(3, 2, 0), &FEATURES_1_1, true);
}

const FEATURES_1_1: [Feature; 11] = [
    Pool,
    Fire(16, 64),
    Fire(16, 64),
    Pool,
    Fire(32, 128),
    Fire(32, 128),
    Pool,
    Fire(48, 192),
    Fire(48, 192),
    Fire(64, 256),
    Fire(64, 256),
];

/// `stem` is torchvision's window.
fn squeezenet(
    g: &mut GraphBuilder,
    sizes: &Sizes,
    stem_channels: usize,
    stem: Window,
    features: &[Feature],
    batch_norm: bool,
) {
    let stem = if sizes.is_cifar() { Window::square(3, 1, 1) } else { stem };
    let conv = |g: &mut GraphBuilder, name: &str, relu: &str, x, channels, window| {
        let mut x = g.conv(name, x, channels, window, true);
        if batch_norm {
            x = g.batch_norm(&format!("{name}_bn"), x);
        }
        g.relu(relu, x)
    };
    let point = Window::square(1, 1, 0);
    let mut x = conv(g, "features.0", "features.1", GraphBuilder::INPUT, sizes.channels(stem_channels), stem);
    for (index, feature) in (2..).zip(features) {
        let name = format!("features.{index}");
        x = match feature {
            Pool => g.max_pool(&name, x, Window { ceil: true, ..Window::square(3, 2, 0) }),
            Fire(squeeze, expand) => {
                let mut part = |part: &str, x, planes, window| {
                    let name = format!("{name}.{part}");
                    conv(g, &name, &format!("{name}_activation"), x, sizes.channels(planes), window)
                };
                let x = part("squeeze", x, *squeeze, point);
                let narrow = part("expand1x1", x, *expand, point);
                let wide = part("expand3x3", x, *expand, Window::square(3, 1, 1));
                g.concat(&name, &[narrow, wide])
            }
        };
    }
    let mut x = g.conv("classifier.1", x, sizes.classes, point, true);
    if !batch_norm {
        x = g.relu("classifier.2", x);
    }
    g.global_avg_pool("classifier.3", x);
}
