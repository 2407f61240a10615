//! VGG-16, without and with batch normalization: Simonyan & Zisserman, "Very Deep Convolutional Networks
//! for Large-Scale Image Recognition", 2014, configuration D, <https://arxiv.org/abs/1409.1556>. Names as
//! in torchvision's `vgg16` and `vgg16_bn`. For CIFAR the five pools leave 512 features, and the hidden
//! layers of the classifier have 512 units instead of 4096.

use crate::graph::{Graph, GraphBuilder, Window};

/// Output channels of the convolutions between two pools.
const STAGES: [&[usize]; 5] = [&[64, 64], &[128, 128], &[256, 256, 256], &[512, 512, 512], &[512, 512, 512]];

pub(super) fn build(
    mut g: GraphBuilder,
    channels: impl Fn(usize) -> usize,
    classes: usize,
    cifar: bool,
    batch_norm: bool,
) -> Graph {
    let mut x = GraphBuilder::INPUT;
    let mut index = 0;
    let mut name = || {
        index += 1;
        format!("features.{}", index - 1)
    };
    for stage in STAGES {
        for &planes in stage {
            x = g.conv(&name(), x, channels(planes), Window::square(3, 1, 1), true);
            if batch_norm {
                x = g.batch_norm(&name(), x);
            }
            x = g.relu(&name(), x);
        }
        x = g.max_pool(&name(), x, Window::square(2, 2, 0));
    }
    let hidden = channels(if cifar { 512 } else { 4096 });
    let x = g.flatten("flatten", x);
    let x = g.linear("classifier.0", x, hidden);
    let x = g.relu("classifier.1", x);
    let x = g.linear("classifier.3", x, hidden);
    let x = g.relu("classifier.4", x);
    g.linear("classifier.6", x, classes);
    g.finish()
}
