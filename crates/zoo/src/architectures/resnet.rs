//! ResNet-18, 34, 50 and 152: He et al., "Deep Residual Learning for Image Recognition", 2015, table 1,
//! <https://arxiv.org/abs/1512.03385>. Names as in torchvision's `resnet18` and so on; like there, a
//! bottleneck's stride is that of its 3x3 convolution, where the paper has it at the first 1x1. The variants for
//! CIFAR have a stem of 3x3 with stride 1, with torchvision's max pool behind it or without.

use graph::{GraphBuilder, MAX_SIDE, NodeId, Variant, Window};

use super::{Form, MAX_CIFAR_SIDE, Sizes};

pub(super) const FORMS: &[Form] = &[
    Form::of(Variant::Torchvision, "stem of 7x7 with stride 2, then a max pool", 1..=MAX_SIDE),
    Form::of(Variant::Cifar, "stem of 3x3 with stride 1, no max pool", 1..=MAX_CIFAR_SIDE),
    Form::of(Variant::CifarMaxpool, "stem of 3x3 with stride 1, then a max pool", 1..=MAX_CIFAR_SIDE),
];

/// Residual block of a network.
#[derive(Clone, Copy)]
enum Block {
    /// Two 3x3 convolutions.
    Basic,
    /// 1x1, 3x3, and 1x1 with four times the channels.
    Bottleneck,
}

pub(super) fn resnet18(g: &mut GraphBuilder, sizes: &Sizes) {
    resnet(g, sizes, Block::Basic, [2, 2, 2, 2]);
}

pub(super) fn resnet34(g: &mut GraphBuilder, sizes: &Sizes) {
    resnet(g, sizes, Block::Basic, [3, 4, 6, 3]);
}

pub(super) fn resnet50(g: &mut GraphBuilder, sizes: &Sizes) {
    resnet(g, sizes, Block::Bottleneck, [3, 4, 6, 3]);
}

pub(super) fn resnet152(g: &mut GraphBuilder, sizes: &Sizes) {
    resnet(g, sizes, Block::Bottleneck, [3, 8, 36, 3]);
}

/// `blocks` is the number of blocks in each of the four layers.
fn resnet(g: &mut GraphBuilder, sizes: &Sizes, block: Block, blocks: [usize; 4]) {
    let stem = match sizes.variant {
        Variant::Torchvision => Window::square(7, 2, 3),
        Variant::Cifar | Variant::CifarMaxpool => Window::square(3, 1, 1),
    };
    let x = g.conv("conv1", GraphBuilder::INPUT, sizes.channels(64), stem, false);
    let x = g.batch_norm("bn1", x);
    let mut x = g.relu("relu", x);
    if sizes.variant != Variant::Cifar {
        x = g.max_pool("maxpool", x, Window::square(3, 2, 1));
    }
    for (layer, (planes, blocks)) in (1..).zip([64, 128, 256, 512].into_iter().zip(blocks)) {
        for index in 0..blocks {
            let stride = if layer > 1 && index == 0 { 2 } else { 1 };
            x = residual(g, &format!("layer{layer}.{index}"), x, sizes.channels(planes), stride, block);
        }
    }
    let x = g.global_avg_pool("avgpool", x);
    g.linear("fc", x, sizes.classes);
}

fn residual(
    g: &mut GraphBuilder,
    name: &str,
    x: NodeId,
    planes: usize,
    stride: usize,
    block: Block,
) -> NodeId {
    let [point, square] = [Window::square(1, 1, 0), Window::square(3, 1, 1)];
    let strided = Window::square(3, stride, 1);
    let convolutions = match block {
        Block::Basic => vec![(planes, strided), (planes, square)],
        Block::Bottleneck => vec![(planes, point), (planes, strided), (4 * planes, point)],
    };
    let last = convolutions.len();
    let mut y = x;
    for (index, (planes, window)) in (1..).zip(convolutions) {
        y = g.conv(&format!("{name}.conv{index}"), y, planes, window, false);
        y = g.batch_norm(&format!("{name}.bn{index}"), y);
        if index < last {
            y = g.relu(&format!("{name}.relu{index}"), y);
        }
    }
    let planes = g.shape(y)[0];
    let shortcut = if stride == 1 && g.shape(x)[0] == planes {
        x
    } else {
        let s = g.conv(&format!("{name}.downsample.0"), x, planes, Window::square(1, stride, 0), false);
        g.batch_norm(&format!("{name}.downsample.1"), s)
    };
    let sum = g.add(&format!("{name}.add"), y, shortcut);
    g.relu(&format!("{name}.relu{last}"), sum)
}
