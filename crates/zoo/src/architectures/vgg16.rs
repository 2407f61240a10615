//! VGG-16, without and with batch normalization: Simonyan & Zisserman, "Very Deep Convolutional Networks
//! for Large-Scale Image Recognition", 2014, configuration D, <https://arxiv.org/abs/1409.1556>. Names as
//! in torchvision's `vgg16` and `vgg16_bn`. For CIFAR the five pools leave 512 features, and the hidden
//! layers of the classifier have 512 units instead of 4096.

use graph::{GraphBuilder, Variant, Window};

use super::{Form, Sizes};

pub(super) const FORMS: &[Form] = &[
    Form::of(Variant::Torchvision, "two hidden layers of 4096 units, times width", 224..=224),
    Form::of(Variant::Cifar, "two hidden layers of 512 units, times width", 32..=32),
];

/// Output channels of the convolutions between two pools.
const STAGES: [&[usize]; 5] = [&[64, 64], &[128, 128], &[256, 256, 256], &[512, 512, 512], &[512, 512, 512]];

pub(super) fn vgg16(g: &mut GraphBuilder, sizes: &Sizes) {
    vgg(g, sizes, false);
}

pub(super) fn vgg16_bn(g: &mut GraphBuilder, sizes: &Sizes) {
    vgg(g, sizes, true);
}

fn vgg(g: &mut GraphBuilder, sizes: &Sizes, batch_norm: bool) {
    let mut x = GraphBuilder::INPUT;
    let mut index = 0;
    let mut name = || {
        index += 1;
        format!("features.{}", index - 1)
    };
    for stage in STAGES {
        for &planes in stage {
            x = g.conv(&name(), x, sizes.channels(planes), Window::square(3, 1, 1), true);
            if batch_norm {
                x = g.batch_norm(&name(), x);
            }
            x = g.relu(&name(), x);
        }
        x = g.max_pool(&name(), x, Window::square(2, 2, 0));
    }
    let hidden = sizes.channels(if sizes.is_cifar() { 512 } else { 4096 });
    let x = g.flatten("flatten", x);
    let x = g.linear("classifier.0", x, hidden);
    let x = g.relu("classifier.1", x);
    let x = g.linear("classifier.3", x, hidden);
    let x = g.relu("classifier.4", x);
    g.linear("classifier.6", x, sizes.classes);
}
