//! SqueezeNet 1.0 and 1.1: Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters
//! and <0.5MB model size", 2016, <https://arxiv.org/abs/1602.07360>; 1.1 is the authors' later release.
//! Names as in torchvision's `squeezenet1_0` and `squeezenet1_1`. For CIFAR the stem is a 3x3 convolution
//! with stride 1 and padding 1; all three pools stay, so the last maps are 4x4.

use crate::graph::{Graph, GraphBuilder, NodeId, Window};

/// One entry of torchvision's `features`, after the stem and its ReLU.
enum Feature {
    Pool,
    /// Squeeze channels, and expand channels of each of the two branches.
    Fire(usize, usize),
}
use Feature::{Fire, Pool};

pub(super) fn build_1_0(
    g: GraphBuilder,
    channels: impl Fn(usize) -> usize,
    classes: usize,
    cifar: bool,
) -> Graph {
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
    let stem = if cifar { Window::square(3, 1, 1) } else { Window::square(7, 2, 0) };
    build(g, channels, classes, 96, stem, &features)
}

pub(super) fn build_1_1(
    g: GraphBuilder,
    channels: impl Fn(usize) -> usize,
    classes: usize,
    cifar: bool,
) -> Graph {
    let features = [
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
    let stem = if cifar { Window::square(3, 1, 1) } else { Window::square(3, 2, 0) };
    build(g, channels, classes, 64, stem, &features)
}

fn build(
    mut g: GraphBuilder,
    channels: impl Fn(usize) -> usize,
    classes: usize,
    stem_channels: usize,
    stem: Window,
    features: &[Feature],
) -> Graph {
    let x = g.conv("features.0", GraphBuilder::INPUT, channels(stem_channels), stem, true);
    let mut x = g.relu("features.1", x);
    for (index, feature) in (2..).zip(features) {
        let name = format!("features.{index}");
        x = match feature {
            Pool => g.max_pool(&name, x, Window { ceil: true, ..Window::square(3, 2, 0) }),
            Fire(squeeze, expand) => fire(&mut g, &name, x, channels(*squeeze), channels(*expand)),
        };
    }
    let x = g.conv("classifier.1", x, classes, Window::square(1, 1, 0), true);
    let x = g.relu("classifier.2", x);
    g.global_avg_pool("classifier.3", x);
    g.finish()
}

fn fire(g: &mut GraphBuilder, name: &str, x: NodeId, squeeze: usize, expand: usize) -> NodeId {
    let x = g.conv(&format!("{name}.squeeze"), x, squeeze, Window::square(1, 1, 0), true);
    let x = g.relu(&format!("{name}.squeeze_activation"), x);
    let narrow = g.conv(&format!("{name}.expand1x1"), x, expand, Window::square(1, 1, 0), true);
    let narrow = g.relu(&format!("{name}.expand1x1_activation"), narrow);
    let wide = g.conv(&format!("{name}.expand3x3"), x, expand, Window::square(3, 1, 1), true);
    let wide = g.relu(&format!("{name}.expand3x3_activation"), wide);
    g.concat(name, &[narrow, wide])
}
