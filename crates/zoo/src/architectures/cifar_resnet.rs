//! ResNets of 6n + 2 layers for CIFAR: He et al., "Deep Residual Learning for Image Recognition", 2015, section 4.2,
//! <https://arxiv.org/abs/1512.03385>, with parameter-free shortcuts (option A). Names as in
//! <https://github.com/akamaster/pytorch_resnet_cifar10>.

use graph::{GraphBuilder, NodeId, Op, Window};

use super::Sizes;

pub(super) fn resnet20(g: &mut GraphBuilder, sizes: &Sizes) {
    resnet(g, sizes, 3);
}

pub(super) fn resnet32(g: &mut GraphBuilder, sizes: &Sizes) {
    resnet(g, sizes, 5);
}

pub(super) fn resnet44(g: &mut GraphBuilder, sizes: &Sizes) {
    resnet(g, sizes, 7);
}

pub(super) fn resnet56(g: &mut GraphBuilder, sizes: &Sizes) {
    resnet(g, sizes, 9);
}

/// The network with `blocks` blocks in each of its three stages.
fn resnet(g: &mut GraphBuilder, sizes: &Sizes, blocks: usize) {
    let x = g.conv("conv1", GraphBuilder::INPUT, sizes.channels(16), Window::square(3, 1, 1), false);
    let x = g.batch_norm("bn1", x);
    let mut x = g.relu("relu", x);
    for (layer, planes, first_stride) in [(1, 16, 1), (2, 32, 2), (3, 64, 2)] {
        for block in 0..blocks {
            let stride = if block == 0 { first_stride } else { 1 };
            x = basic_block(g, &format!("layer{layer}.{block}"), x, sizes.channels(planes), stride);
        }
    }
    let x = g.global_avg_pool("avgpool", x);
    g.linear("linear", x, sizes.classes);
}

fn basic_block(g: &mut GraphBuilder, name: &str, x: NodeId, planes: usize, stride: usize) -> NodeId {
    let y = g.conv(&format!("{name}.conv1"), x, planes, Window::square(3, stride, 1), false);
    let y = g.batch_norm(&format!("{name}.bn1"), y);
    let y = g.relu(&format!("{name}.relu1"), y);
    let y = g.conv(&format!("{name}.conv2"), y, planes, Window::square(3, 1, 1), false);
    let y = g.batch_norm(&format!("{name}.bn2"), y);

    // Published: planes / 4 zero channels on either side, which doubles the channels. Rounded widths
    // need not double.
    let added = planes - g.shape(x)[0];
    let shortcut = if stride == 1 && added == 0 {
        x
    } else {
        let op = Op::PadShortcut { stride, before: added / 2, after: added - added / 2 };
        g.push(&format!("{name}.shortcut"), op, &[x])
    };
    let sum = g.add(&format!("{name}.add"), y, shortcut);
    g.relu(&format!("{name}.relu2"), sum)
}
