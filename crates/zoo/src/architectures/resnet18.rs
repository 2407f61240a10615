//! ResNet-18: He et al., "Deep Residual Learning for Image Recognition", 2015, table 1,
//! <https://arxiv.org/abs/1512.03385>. Names as in torchvision's `resnet18`. For CIFAR the stem is a 3x3
//! convolution with stride 1 and no max pool.

use crate::graph::{Graph, GraphBuilder, NodeId, Window};

pub(super) fn build(
    mut g: GraphBuilder,
    channels: impl Fn(usize) -> usize,
    classes: usize,
    cifar: bool,
) -> Graph {
    let stem = if cifar { Window::square(3, 1, 1) } else { Window::square(7, 2, 3) };
    let x = g.conv("conv1", GraphBuilder::INPUT, channels(64), stem, false);
    let x = g.batch_norm("bn1", x);
    let mut x = g.relu("relu", x);
    if !cifar {
        x = g.max_pool("maxpool", x, Window::square(3, 2, 1));
    }
    for (layer, planes, first_stride) in [(1, 64, 1), (2, 128, 2), (3, 256, 2), (4, 512, 2)] {
        for block in 0..2 {
            let stride = if block == 0 { first_stride } else { 1 };
            x = basic_block(&mut g, &format!("layer{layer}.{block}"), x, channels(planes), stride);
        }
    }
    let x = g.global_avg_pool("avgpool", x);
    g.linear("fc", x, classes);
    g.finish()
}

fn basic_block(g: &mut GraphBuilder, name: &str, x: NodeId, planes: usize, stride: usize) -> NodeId {
    let y = g.conv(&format!("{name}.conv1"), x, planes, Window::square(3, stride, 1), false);
    let y = g.batch_norm(&format!("{name}.bn1"), y);
    let y = g.relu(&format!("{name}.relu1"), y);
    let y = g.conv(&format!("{name}.conv2"), y, planes, Window::square(3, 1, 1), false);
    let y = g.batch_norm(&format!("{name}.bn2"), y);

    let shortcut = if stride == 1 && g.shape(x)[0] == planes {
        x
    } else {
        let s = g.conv(&format!("{name}.downsample.0"), x, planes, Window::square(1, stride, 0), false);
        g.batch_norm(&format!("{name}.downsample.1"), s)
    };
    let sum = g.add(&format!("{name}.add"), y, shortcut);
    g.relu(&format!("{name}.relu2"), sum)
}
