use serde::{Deserialize, Serialize};

/// A layer of a network that no architecture name stands for: plain data, interpreted by `zoo`.
///
/// A network is a list of layers in execution order. Place 0 of a network is its input, layer i computes
/// place i + 1, and the last layer gives the logits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// Name of the layer, unique in its network; the prefix of its parameters, e.g. `<name>.weight`.
    pub name: String,
    /// Places it reads, each before its own.
    pub inputs: Vec<usize>,
    /// What it computes.
    pub op: LayerOp,
}

/// What a layer computes. Images are `[channels, height, width]`; sizes, strides and paddings are given in
/// the order height, width. Semantics are PyTorch's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum LayerOp {
    /// Convolution of an image; parameters `<name>.weight` (OIHW) and, with `bias`, `<name>.bias`.
    Conv {
        /// Output channels.
        channels: usize,
        /// Groups; equal to the input channels for a depthwise convolution.
        groups: usize,
        /// Whether there is a bias.
        bias: bool,
        /// Size of the kernel.
        kernel: [usize; 2],
        /// Step of the kernel.
        stride: [usize; 2],
        /// Zeros on both sides.
        padding: [usize; 2],
        /// Distance between the values that the kernel meets.
        #[serde(default = "adjacent", skip_serializing_if = "is_adjacent")]
        dilation: [usize; 2],
    },
    /// Inference-mode batch normalization of channels or features; parameters `<name>.weight`, `.bias`,
    /// `.running_mean` and `.running_var`.
    BatchNorm {
        /// Added to the variance.
        epsilon: f64,
    },
    /// max(x, 0).
    Relu,
    /// min(max(x, 0), max).
    ClippedRelu {
        /// The largest output.
        max: f32,
    },
    /// Maximum over a window of an image; padding never wins.
    MaxPool {
        /// Size of the window.
        kernel: [usize; 2],
        /// Step of the window.
        stride: [usize; 2],
        /// Border on both sides.
        padding: [usize; 2],
        /// Whether the output size is rounded up, if the last window still begins inside the input or its
        /// leading border.
        ceil: bool,
        /// Border below and on the right, where that is another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<[usize; 2]>,
    },
    /// Mean over a window of an image.
    AvgPool {
        /// Size of the window.
        kernel: [usize; 2],
        /// Step of the window.
        stride: [usize; 2],
        /// Zeros on both sides.
        padding: [usize; 2],
        /// Whether the divisor counts the zeros of the padding.
        count_include_pad: bool,
        /// Whether the output size is rounded up, as that of a maximum; the divisor then counts only the values of the
        /// image.
        #[serde(default, skip_serializing_if = "is_false")]
        ceil: bool,
        /// Border below and on the right, where that is another; the divisor then counts only the values of the image.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<[usize; 2]>,
    },
    /// Mean over height and width: an image to `[channels]`.
    GlobalAvgPool,
    /// An image to `[channels * height * width]`, row-major.
    Flatten,
    /// y = x W^T + b; parameters `<name>.weight` (OI) and `<name>.bias`.
    Linear {
        /// Output features.
        features: usize,
    },
    /// Sum of two inputs of one shape.
    Add,
    /// Channels of all inputs, images of one height and width, one after the other.
    Concat,
    /// Zeros around an image.
    Pad {
        /// Rows above, columns on the left.
        before: [usize; 2],
        /// Rows below, columns on the right.
        after: [usize; 2],
    },
    /// Every `stride`-th row and column of an image from the first on, with channels of zeros: the shortcut without
    /// parameters of CIFAR's ResNets (option A).
    PadShortcut {
        /// Step in both axes.
        stride: usize,
        /// Channels in front.
        before: usize,
        /// Channels behind.
        after: usize,
    },
    /// x where it is positive, `slope` times x elsewhere.
    LeakyRelu {
        /// Between 0 and 1.
        slope: f32,
    },
}

fn adjacent() -> [usize; 2] {
    [1, 1]
}

fn is_adjacent(dilation: &[usize; 2]) -> bool {
    *dilation == adjacent()
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Whether a list needs more than the layers of version 2 of the checkpoint format: dilated convolutions, average pools
/// that round up, pools with unequal borders, batch norms of features, shortcuts without parameters, leaky ReLUs.
pub(crate) fn has_newer(layers: &[Layer]) -> bool {
    // Of each place, whether it holds features and no image.
    let mut flat = vec![false];
    layers.iter().any(|layer| {
        let reads_flat = layer.inputs.first().is_some_and(|&place| flat.get(place) == Some(&true));
        let makes_flat =
            matches!(layer.op, LayerOp::GlobalAvgPool | LayerOp::Flatten | LayerOp::Linear { .. });
        flat.push(reads_flat || makes_flat);
        match &layer.op {
            LayerOp::Conv { dilation, .. } => !is_adjacent(dilation),
            LayerOp::MaxPool { after, .. } => after.is_some(),
            LayerOp::AvgPool { ceil, after, .. } => *ceil || after.is_some(),
            LayerOp::BatchNorm { .. } => reads_flat,
            LayerOp::PadShortcut { .. } | LayerOp::LeakyRelu { .. } => true,
            _ => false,
        }
    })
}
