//! A network of listed layers that reaches every operation that no architecture has: clipped ReLUs inside and
//! outside chains, grouped, depthwise and dilated convolution, window means with either divisor, unequal
//! borders, padding, leaky ReLUs, batch norms of features. And one with the operations of later networks:
//! functions, squeeze and excitation, channels that are sliced and shuffled, normalization over channels. And a vision
//! transformer, whose attentions read signed and unsigned levels, rows of tokens and images.

use graph::{AvgPool, Conv, Function, Graph, Layer, MaxPool, ModelSpec, Op};

pub(crate) fn graph() -> Graph {
    let conv = |channels, groups, bias, kernel, stride, padding| {
        Op::Conv(Conv { channels, groups, bias, kernel, stride, padding, dilation: [1, 1] })
    };
    let average = |count_include_pad| {
        Op::AvgPool(AvgPool {
            kernel: [3, 3],
            stride: [1, 1],
            padding: [1, 1],
            count_include_pad,
            ceil: false,
            after: None,
        })
    };
    let dilated = |channels, groups, dilation| {
        Op::Conv(Conv {
            channels,
            groups,
            bias: true,
            kernel: [3, 2],
            stride: [1, 1],
            padding: [2, 1],
            dilation,
        })
    };
    let (kernel, stride, padding) = ([3, 3], [2, 2], [1, 0]);
    let layers = [
        ("stem", vec![0], conv(8, 1, true, [3, 3], [1, 1], [1, 1])),
        ("stem_clip", vec![1], Op::ClippedRelu { max: 1.5 }),
        ("depthwise", vec![2], conv(16, 8, false, [5, 5], [2, 2], [2, 2])),
        ("depthwise_bn", vec![3], Op::BatchNorm { epsilon: 0.125 }),
        ("depthwise_clip", vec![4], Op::ClippedRelu { max: 1.25 }),
        // This layer has two readers: its clipped ReLU is a separate step and rounds a second time.
        ("grouped", vec![5], conv(12, 4, true, [1, 7], [1, 1], [0, 3])),
        ("alone", vec![6], Op::ClippedRelu { max: 0.375 }),
        ("with_padding", vec![6], average(true)),
        ("without_padding", vec![7], average(false)),
        ("sum", vec![8, 9], Op::Add),
        ("sum_clip", vec![10], Op::ClippedRelu { max: 0.5 }),
        ("padded", vec![11], Op::Pad { before: [1, 0], after: [0, 2] }),
        ("narrow", vec![12], conv(20, 1, false, [2, 3], [1, 1], [0, 0])),
        ("narrow_relu", vec![13], Op::Relu),
        ("both", vec![11, 14], Op::Concat),
        ("dilated", vec![15], dilated(6, 1, [2, 3])),
        ("leaky", vec![16], Op::LeakyRelu { slope: 0.25 }),
        ("dilated_groups", vec![17], dilated(8, 2, [1, 2])),
        ("shortcut", vec![17], Op::PadShortcut { stride: 1, before: 2, after: 0 }),
        ("apart", vec![18], dilated(8, 8, [3, 1])),
        (
            "largest",
            vec![20],
            Op::MaxPool(MaxPool {
                kernel,
                stride,
                padding,
                ceil: false,
                after: Some([0, 2]),
                dilation: [1, 1],
            }),
        ),
        (
            "mean_up",
            vec![19],
            Op::AvgPool(AvgPool {
                kernel,
                stride,
                padding,
                count_include_pad: false,
                ceil: true,
                after: Some([2, 1]),
            }),
        ),
        ("flat", vec![22], Op::Flatten),
        ("hidden", vec![23], Op::Linear { features: 7 }),
        ("hidden_bn", vec![24], Op::BatchNorm { epsilon: 1e-3 }),
        ("hidden_relu", vec![25], Op::Relu),
        ("features_bn", vec![26], Op::BatchNorm { epsilon: 1e-5 }),
        ("features_leaky", vec![27], Op::LeakyRelu { slope: 0.0 }),
        ("largest_flat", vec![21], Op::Flatten),
        ("largest_features", vec![29], Op::Linear { features: 7 }),
        ("features", vec![28, 30], Op::Add),
        ("logits", vec![31], Op::Linear { features: 10 }),
        // The last layer clips the logits.
        ("cut", vec![32], Op::ClippedRelu { max: 0.5 }),
    ];
    build("listed", layers.into())
}

fn build(name: &str, layers: Vec<(&str, Vec<usize>, Op)>) -> Graph {
    let layers: Vec<Layer> =
        layers.into_iter().map(|(name, inputs, op)| Layer { name: name.into(), inputs, op }).collect();
    let model = ModelSpec::new(name, 10, [3, 13, 11]);
    zoo::build_stored(&model, &layers).unwrap()
}

pub(crate) fn modern() -> Graph {
    let conv = |channels, groups, kernel: usize, stride| {
        Op::Conv(Conv {
            channels,
            groups,
            bias: true,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: [kernel / 2; 2],
            dilation: [1, 1],
        })
    };
    let function = Op::Function;
    let largest = Op::MaxPool(MaxPool {
        kernel: [7, 6],
        stride: [1, 1],
        padding: [0, 0],
        ceil: false,
        after: None,
        dilation: [1, 1],
    });
    let layers = vec![
        ("stem", vec![0], conv(12, 1, 3, 2)),
        ("swish", vec![1], function(Function::HardSwish)),
        // Squeeze and excitation, with the factors as features.
        ("squeeze", vec![2], Op::GlobalAvgPool),
        ("reduce", vec![3], Op::Linear { features: 5 }),
        ("silu", vec![4], function(Function::Silu)),
        ("expand", vec![5], Op::Linear { features: 12 }),
        ("sigmoid", vec![6], function(Function::Sigmoid)),
        ("excited", vec![2, 7], Op::Mul),
        // Two branches, shuffled.
        ("first", vec![8], Op::ChannelSlice { first: 0, channels: 5 }),
        ("second", vec![8], Op::ChannelSlice { first: 5, channels: 7 }),
        ("depthwise", vec![10], conv(7, 7, 3, 1)),
        ("both", vec![9, 11], Op::Concat),
        ("shuffle", vec![12], Op::ChannelShuffle { groups: 3 }),
        // A block of ConvNeXt.
        ("norm", vec![13], Op::LayerNorm { epsilon: 1e-6 }),
        ("pointwise", vec![14], conv(17, 1, 1, 1)),
        ("gelu", vec![15], function(Function::Gelu)),
        ("back", vec![16], conv(12, 1, 1, 1)),
        ("sum", vec![17, 13], Op::Add),
        ("prelu", vec![18], Op::PRelu),
        ("clip", vec![18], function(Function::Clip { min: -0.5, max: 0.75 })),
        ("squares", vec![19, 20], Op::Mul),
        // Factors from the largest values, which are an image of one pixel.
        ("largest", vec![21], largest),
        ("gate", vec![22], function(Function::HardSigmoid { slope: 0.2, offset: 0.5 })),
        ("gated", vec![21, 23], Op::Mul),
        ("mean", vec![24], Op::GlobalAvgPool),
        ("features_norm", vec![25], Op::LayerNorm { epsilon: 0.0 }),
        ("features_prelu", vec![26], Op::PRelu),
        ("tanh", vec![27], function(Function::Tanh)),
        ("part", vec![28], Op::ChannelSlice { first: 1, channels: 10 }),
        ("mixed", vec![29], Op::ChannelShuffle { groups: 5 }),
        ("logits", vec![30], Op::Linear { features: 10 }),
        // The last layer gives the logits unrounded.
        ("mish", vec![31], function(Function::Mish)),
    ];
    build("modern", layers)
}

pub(crate) fn transformer() -> Graph {
    let conv = |channels, kernel: usize| {
        Op::Conv(Conv {
            channels,
            groups: 1,
            bias: true,
            kernel: [kernel; 2],
            stride: [kernel; 2],
            padding: [0, 0],
            dilation: [1, 1],
        })
    };
    let part = |first| Op::ChannelSlice { first, channels: 12 };
    let layers = vec![
        ("patches", vec![0], conv(12, 3)),
        // An image attends to itself, with values that cannot be negative.
        ("values", vec![1], Op::Relu),
        ("of_image", vec![1, 1, 2], Op::Attention { heads: 2, scale: 0.5 }),
        ("tokens", vec![3], Op::TokenEmbedding { class_tokens: 2 }),
        ("norm", vec![4], Op::LayerNorm { epsilon: 1e-6 }),
        ("qkv", vec![5], conv(36, 1)),
        ("queries", vec![6], part(0)),
        ("keys", vec![6], part(12)),
        ("own_values", vec![6], part(24)),
        ("attention", vec![7, 8, 9], Op::Attention { heads: 3, scale: 4.0 }),
        ("projection", vec![10], conv(12, 1)),
        ("sum", vec![4, 11], Op::Add),
        ("second_norm", vec![12], Op::LayerNorm { epsilon: 1e-6 }),
        ("up", vec![13], conv(70, 1)),
        ("gelu", vec![14], Op::Function(Function::Gelu)),
        // One head with more channels than are summed at once; the queries cannot be negative.
        ("positive", vec![15], Op::Function(Function::Sigmoid)),
        ("wide", vec![16, 15, 15], Op::Attention { heads: 1, scale: 0.25 }),
        ("down", vec![17], conv(12, 1)),
        ("second_sum", vec![12, 18], Op::Add),
        ("positions", vec![19], Op::TokenEmbedding { class_tokens: 0 }),
        ("class", vec![20], Op::SelectToken { index: 1 }),
        ("last", vec![20], Op::SelectToken { index: 13 }),
        ("both", vec![21, 22], Op::Add),
        ("logits", vec![23], Op::Linear { features: 10 }),
    ];
    build("transformer", layers)
}
