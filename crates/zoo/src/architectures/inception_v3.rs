//! Inception v3: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2015,
//! <https://arxiv.org/abs/1512.00567>, as in torchvision's `inception_v3`, with its names and its epsilon of
//! 0.001 in every batch norm. Without the auxiliary classifier, which only training uses: its parameters
//! (`AuxLogits.*`) in a state dict are left out on import.
//!
//! torchvision's pretrained weights expect pixels in [-1, 1]: its `transform_input` turns ImageNet's
//! normalization into mean 0.5 and standard deviation 0.5 for every channel. So give these as
//! preprocessing.

use graph::{GraphBuilder, NodeId, Op, Window};

use super::Sizes;

/// Prefix of the auxiliary classifier's parameters in torchvision.
pub(super) const AUXILIARY: &str = "AuxLogits.";

/// torchvision's epsilon of every batch norm in this network.
const EPSILON: f64 = 1e-3;

/// One step of a branch: name, published output channels, window.
type Step = (&'static str, usize, Window);

pub(super) fn inception_v3(g: &mut GraphBuilder, sizes: &Sizes) {
    let [point, square, wide] = [(1, 0), (3, 1), (5, 2)].map(|(k, p)| Window::square(k, 1, p));
    let [valid, halving] = [1, 2].map(|stride| Window::square(3, stride, 0));
    let row = |length| Window { kernel: [1, length], padding: [0, length / 2], ..point };
    let column = |length| Window { kernel: [length, 1], padding: [length / 2, 0], ..point };

    let mut b = Blocks { g, sizes };
    let x = b.steps(
        "",
        GraphBuilder::INPUT,
        &[("Conv2d_1a_3x3", 32, halving), ("Conv2d_2a_3x3", 32, valid), ("Conv2d_2b_3x3", 64, square)],
    );
    let x = b.g.max_pool("maxpool1", x, halving);
    let x = b.steps("", x, &[("Conv2d_3b_1x1", 80, point), ("Conv2d_4a_3x3", 192, valid)]);
    let mut x = b.g.max_pool("maxpool2", x, halving);

    for (name, pooled) in [("Mixed_5b.", 32), ("Mixed_5c.", 64), ("Mixed_5d.", 64)] {
        let branches = [
            b.steps(name, x, &[("branch1x1", 64, point)]),
            b.steps(name, x, &[("branch5x5_1", 48, point), ("branch5x5_2", 64, wide)]),
            b.steps(
                name,
                x,
                &[
                    ("branch3x3dbl_1", 64, point),
                    ("branch3x3dbl_2", 96, square),
                    ("branch3x3dbl_3", 96, square),
                ],
            ),
            b.average(name, x, pooled),
        ];
        x = b.concat(name, &branches);
    }

    let name = "Mixed_6a.";
    let branches = [
        b.steps(name, x, &[("branch3x3", 384, halving)]),
        b.steps(
            name,
            x,
            &[("branch3x3dbl_1", 64, point), ("branch3x3dbl_2", 96, square), ("branch3x3dbl_3", 96, halving)],
        ),
        b.g.max_pool("Mixed_6a.branch_pool", x, halving),
    ];
    x = b.concat(name, &branches);

    for (name, c7) in [("Mixed_6b.", 128), ("Mixed_6c.", 160), ("Mixed_6d.", 160), ("Mixed_6e.", 192)] {
        let branches = [
            b.steps(name, x, &[("branch1x1", 192, point)]),
            b.steps(
                name,
                x,
                &[("branch7x7_1", c7, point), ("branch7x7_2", c7, row(7)), ("branch7x7_3", 192, column(7))],
            ),
            b.steps(
                name,
                x,
                &[
                    ("branch7x7dbl_1", c7, point),
                    ("branch7x7dbl_2", c7, column(7)),
                    ("branch7x7dbl_3", c7, row(7)),
                    ("branch7x7dbl_4", c7, column(7)),
                    ("branch7x7dbl_5", 192, row(7)),
                ],
            ),
            b.average(name, x, 192),
        ];
        x = b.concat(name, &branches);
    }

    let name = "Mixed_7a.";
    let branches = [
        b.steps(name, x, &[("branch3x3_1", 192, point), ("branch3x3_2", 320, halving)]),
        b.steps(
            name,
            x,
            &[
                ("branch7x7x3_1", 192, point),
                ("branch7x7x3_2", 192, row(7)),
                ("branch7x7x3_3", 192, column(7)),
                ("branch7x7x3_4", 192, halving),
            ],
        ),
        b.g.max_pool("Mixed_7a.branch_pool", x, halving),
    ];
    x = b.concat(name, &branches);

    for name in ["Mixed_7b.", "Mixed_7c."] {
        let single = b.steps(name, x, &[("branch1x1", 320, point)]);
        let y = b.steps(name, x, &[("branch3x3_1", 384, point)]);
        let short = [
            b.steps(name, y, &[("branch3x3_2a", 384, row(3))]),
            b.steps(name, y, &[("branch3x3_2b", 384, column(3))]),
        ];
        let y = b.steps(name, x, &[("branch3x3dbl_1", 448, point), ("branch3x3dbl_2", 384, square)]);
        let long = [
            b.steps(name, y, &[("branch3x3dbl_3a", 384, row(3))]),
            b.steps(name, y, &[("branch3x3dbl_3b", 384, column(3))]),
        ];
        let pooled = b.average(name, x, 192);
        x = b.concat(name, &[single, short[0], short[1], long[0], long[1], pooled]);
    }

    let x = b.g.global_avg_pool("avgpool", x);
    b.g.linear("fc", x, sizes.classes);
}

struct Blocks<'a> {
    g: &'a mut GraphBuilder,
    sizes: &'a Sizes,
}

impl Blocks<'_> {
    /// torchvision's `BasicConv2d`, one after the other: convolution, batch norm, ReLU.
    fn steps(&mut self, prefix: &str, mut x: NodeId, steps: &[Step]) -> NodeId {
        for &(name, planes, window) in steps {
            let name = format!("{prefix}{name}");
            x = self.g.conv(&format!("{name}.conv"), x, self.sizes.channels(planes), window, false);
            x = self.g.push(&format!("{name}.bn"), Op::BatchNorm { epsilon: EPSILON }, &[x]);
            x = self.g.relu(&format!("{name}.relu"), x);
        }
        x
    }

    /// The branch with the average pool; its divisor counts the padding.
    fn average(&mut self, prefix: &str, x: NodeId, planes: usize) -> NodeId {
        let x = self.g.avg_pool(&format!("{prefix}branch_avg"), x, Window::square(3, 1, 1), true);
        self.steps(prefix, x, &[("branch_pool", planes, Window::square(1, 1, 0))])
    }

    fn concat(&mut self, prefix: &str, branches: &[NodeId]) -> NodeId {
        self.g.concat(prefix.trim_end_matches('.'), branches)
    }
}
