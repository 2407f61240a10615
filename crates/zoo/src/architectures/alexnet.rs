//! AlexNet: Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014,
//! <https://arxiv.org/abs/1404.5997>, as in torchvision's `alexnet`, with its names.

use graph::{GraphBuilder, Window};

use super::Sizes;

pub(super) fn alexnet(g: &mut GraphBuilder, sizes: &Sizes) {
    let pool = Window::square(3, 2, 0);
    let mut x = GraphBuilder::INPUT;
    // Place of the convolution in torchvision's `features`, its channels and window, and whether a pool
    // follows its ReLU.
    for (index, planes, window, pooled) in [
        (0, 64, Window::square(11, 4, 2), true),
        (3, 192, Window::square(5, 1, 2), true),
        (6, 384, Window::square(3, 1, 1), false),
        (8, 256, Window::square(3, 1, 1), false),
        (10, 256, Window::square(3, 1, 1), true),
    ] {
        x = g.conv(&format!("features.{index}"), x, sizes.channels(planes), window, true);
        x = g.relu(&format!("features.{}", index + 1), x);
        if pooled {
            x = g.max_pool(&format!("features.{}", index + 2), x, pool);
        }
    }
    x = g.flatten("flatten", x);
    for index in [1, 4] {
        x = g.linear(&format!("classifier.{index}"), x, sizes.channels(4096));
        x = g.relu(&format!("classifier.{}", index + 1), x);
    }
    g.linear("classifier.6", x, sizes.classes);
}
