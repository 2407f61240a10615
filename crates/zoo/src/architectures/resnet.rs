//! ResNet-18, 34, 50 and 152: He et al., "Deep Residual Learning for Image Recognition", 2015, table 1,
//! <https://arxiv.org/abs/1512.03385>. Names as in torchvision's `resnet18` and so on; like there, a
//! bottleneck's stride is that of its 3x3 convolution, where the paper has it at the first 1x1. The variants for
//! CIFAR have a stem of 3x3 with stride 1, with torchvision's max pool behind it or without.

use quant::Variant;

use crate::graph::{Graph, GraphBuilder, NodeId, Window};

/// The residual block of a network.
#[derive(Clone, Copy)]
pub(super) enum Block {
    /// Two 3x3 convolutions.
    Basic,
    /// 1x1, 3x3, and 1x1 with four times the channels.
    Bottleneck,
}

/// `blocks` gives the number of blocks in each of the four layers.
pub(super) fn build(
    mut g: GraphBuilder,
    channels: impl Fn(usize) -> usize,
    classes: usize,
    variant: Variant,
    block: Block,
    blocks: [usize; 4],
) -> Graph {
    let stem = match variant {
        Variant::Torchvision => Window::square(7, 2, 3),
        Variant::Cifar | Variant::CifarMaxpool => Window::square(3, 1, 1),
    };
    let x = g.conv("conv1", GraphBuilder::INPUT, channels(64), stem, false);
    let x = g.batch_norm("bn1", x);
    let mut x = g.relu("relu", x);
    if variant != Variant::Cifar {
        x = g.max_pool("maxpool", x, Window::square(3, 2, 1));
    }
    for (layer, (planes, blocks)) in (1..).zip([64, 128, 256, 512].into_iter().zip(blocks)) {
        for index in 0..blocks {
            let stride = if layer > 1 && index == 0 { 2 } else { 1 };
            x = residual(&mut g, &format!("layer{layer}.{index}"), x, channels(planes), stride, block);
        }
    }
    let x = g.global_avg_pool("avgpool", x);
    g.linear("fc", x, classes);
    g.finish()
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
