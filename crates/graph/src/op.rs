use serde::de::value::StrDeserializer;
use serde::{Deserialize, Serialize};

use crate::{Function, Window};

/// Largest kernel, stride, dilation and padding of a layer.
const MAX_EXTENT: usize = 4096;

/// Largest number of channels that are normalized together; sums of squares of so many levels are exact in f64.
const MAX_NORMALIZED: usize = 1 << 16;

/// Largest number of tokens of an attention, and of channels of one of its heads; sums of so many products of two levels
/// stay inside i32.
const MAX_ATTENDED: usize = 1 << 14;

/// Operation of a layer, as checkpoints list it. Images are `[channels, height, width]`; sizes, strides and paddings
/// are given in the order height, width. Semantics are PyTorch's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Op {
    /// The normalized image. Each network begins with it; it is never listed.
    #[serde(skip)]
    Input,
    /// Convolution of an image.
    Conv(Conv),
    /// Inference-mode batch normalization of channels or features; parameters `<name>.weight`, `.bias`,
    /// `.running_mean` and `.running_var`.
    BatchNorm {
        /// Summand of the variance, in 0..=1. PyTorch's default is [`crate::BATCH_NORM_EPSILON`].
        epsilon: f64,
    },
    /// max(x, 0).
    Relu,
    /// min(max(x, 0), max), e.g. ReLU6.
    ClippedRelu {
        /// Largest output; finite and positive.
        max: f32,
    },
    /// Maximum over a window of an image; padding never wins.
    MaxPool(MaxPool),
    /// Mean over a window of an image.
    AvgPool(AvgPool),
    /// Mean over height and width: an image to `[channels]`.
    GlobalAvgPool,
    /// An image to `[channels * height * width]`, row-major.
    Flatten,
    /// y = x W^T + b; parameters `<name>.weight` (OI) and `<name>.bias`.
    Linear {
        /// Number of output features.
        features: usize,
    },
    /// Sum of two inputs of one shape.
    Add,
    /// Concatenation of the channels of all inputs, images of one height and width.
    Concat,
    /// Zeros around an image.
    Pad {
        /// Rows above, columns on the left.
        before: [usize; 2],
        /// Rows below, columns on the right.
        after: [usize; 2],
    },
    /// Every `stride`-th row and column of an image from the first on, with channels of zeros: the parameter-free
    /// shortcut of CIFAR's ResNets (option A).
    PadShortcut {
        /// Step in both axes.
        stride: usize,
        /// Zero channels in front.
        before: usize,
        /// Zero channels behind.
        after: usize,
    },
    /// x where it is positive, `slope` times x elsewhere.
    LeakyRelu {
        /// Slope for negative x, in 0..=1.
        slope: f32,
    },
    /// A function of each value.
    Function(Function),
    /// x where it is positive, elsewhere x times a slope of each channel; parameter `<name>.weight`.
    PRelu,
    /// Product of two inputs of one shape, or of an image and one factor for each of its channels, which is the second
    /// input: `[channels]` or `[channels, 1, 1]`.
    Mul,
    /// Consecutive channels of an image or of features.
    ChannelSlice {
        /// First channel.
        first: usize,
        /// Number of channels.
        channels: usize,
    },
    /// Channels of `groups` groups interleaved: with c channels, output channel i is input channel
    /// (i mod groups) (c / groups) + floor(i / groups).
    ChannelShuffle {
        /// Number of groups; divides the channels.
        groups: usize,
    },
    /// Normalization over the channels of each pixel, (x - mean) / sqrt(variance + epsilon) weight + bias, with the
    /// variance of the population; parameters `<name>.weight` and `<name>.bias`.
    LayerNorm {
        /// Summand of the variance, in 0..=1.
        epsilon: f64,
    },
    /// The pixels of an image as tokens, row by row, behind `class_tokens` tokens of zeros, plus a constant for each value:
    /// `[channels, height, width]` to `[channels, 1, class_tokens + height * width]`. The parameter `<name>.bias` has the
    /// constants of the output, `[channels * tokens]`, row-major: the position embedding, and the class tokens with theirs.
    TokenEmbedding {
        /// Number of tokens in front; 0 if there are only pixels.
        class_tokens: usize,
    },
    /// Multi-head attention of three images of one shape: queries, keys and values, whose pixels are tokens. Head h has the
    /// channels from h c / heads on, c / heads in number. For each token t and each head,
    ///
    /// ```text
    /// output[t] = sum over s of weight[s] values[s] / sum over s of weight[s]
    /// weight[s] = exp(scale (queries[t] . keys[s]))
    /// ```
    Attention {
        /// Number of heads; divides the channels.
        heads: usize,
        /// Factor of the dot products; finite and positive. PyTorch's is 1 / sqrt(channels / heads).
        scale: f64,
    },
    /// One token of an image, by its index row by row: `[channels, height, width]` to `[channels]`.
    SelectToken {
        /// Index of the token.
        index: usize,
    },
}

impl Op {
    /// True if an operation has this name in a list of layers, such as `leaky_relu`.
    pub fn is_known(name: &str) -> bool {
        !matches!(Self::deserialize(StrDeserializer::new(name)), Err(NameError::Unknown))
    }
}

/// Error of an operation that is read from its name alone: the name is unknown, or the operation has fields.
#[derive(Debug)]
enum NameError {
    Unknown,
    Fields,
}

impl std::fmt::Display for NameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown operation",
            Self::Fields => "operation with fields",
        })
    }
}

impl std::error::Error for NameError {}

impl serde::de::Error for NameError {
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        Self::Fields
    }

    fn unknown_variant(_: &str, _: &'static [&'static str]) -> Self {
        Self::Unknown
    }
}

/// Two-dimensional convolution; parameters `<name>.weight` (OIHW) and, with `bias`, `<name>.bias`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv {
    /// Number of output channels.
    pub channels: usize,
    /// Number of groups; equal to the input channels for a depthwise convolution.
    pub groups: usize,
    /// True if `<name>.bias` exists.
    pub bias: bool,
    /// Size of the kernel.
    pub kernel: [usize; 2],
    /// Step of the kernel.
    pub stride: [usize; 2],
    /// Zeros on both sides.
    pub padding: [usize; 2],
    /// Distance between the values that the kernel meets.
    #[serde(default = "adjacent", skip_serializing_if = "is_adjacent")]
    pub dilation: [usize; 2],
}

impl Conv {
    /// Window of the kernel.
    pub fn window(&self) -> Window {
        Window { dilation: self.dilation, ..Window::of(self.kernel, self.stride, self.padding) }
    }
}

/// Maximum over a window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaxPool {
    /// Size of the window.
    pub kernel: [usize; 2],
    /// Step of the window.
    pub stride: [usize; 2],
    /// Border on both sides.
    pub padding: [usize; 2],
    /// True if the output size is rounded up, where the last window still begins inside the input or its leading
    /// border.
    pub ceil: bool,
    /// Border below and on the right, if it differs from `padding`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<[usize; 2]>,
    /// Distance between the values that the window holds.
    #[serde(default = "adjacent", skip_serializing_if = "is_adjacent")]
    pub dilation: [usize; 2],
}

impl MaxPool {
    /// Window of the maximum.
    pub fn window(&self) -> Window {
        let &Self { kernel, stride, padding, ceil, after, dilation } = self;
        Window { ceil, after, dilation, ..Window::of(kernel, stride, padding) }
    }
}

/// Mean over a window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AvgPool {
    /// Size of the window.
    pub kernel: [usize; 2],
    /// Step of the window.
    pub stride: [usize; 2],
    /// Zeros on both sides.
    pub padding: [usize; 2],
    /// True if the divisor counts the zeros of the padding (PyTorch's default), false if it counts only the values of
    /// the image. False with `ceil` or `after`.
    pub count_include_pad: bool,
    /// True if the output size is rounded up, as in [`MaxPool`].
    #[serde(default, skip_serializing_if = "is_false")]
    pub ceil: bool,
    /// Border below and on the right, if it differs from `padding`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<[usize; 2]>,
}

impl AvgPool {
    /// Window of the mean.
    pub fn window(&self) -> Window {
        Window { ceil: self.ceil, after: self.after, ..Window::of(self.kernel, self.stride, self.padding) }
    }
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

impl Op {
    /// Suffix and shape of each parameter of a layer that reads a first input of shape `input`, in the order of
    /// [`crate::Graph::parameters`].
    pub(crate) fn parameters(&self, input: &[usize]) -> Vec<(&'static str, Vec<usize>)> {
        match self {
            Op::Conv(Conv { channels, groups, bias, kernel: [rows, columns], .. }) => {
                let weight = ("weight", vec![*channels, input[0] / groups, *rows, *columns]);
                let bias = bias.then(|| ("bias", vec![*channels]));
                [weight].into_iter().chain(bias).collect()
            }
            Op::BatchNorm { .. } => {
                ["weight", "bias", "running_mean", "running_var"].map(|name| (name, vec![input[0]])).into()
            }
            Op::Linear { features } => {
                vec![("weight", vec![*features, input[0]]), ("bias", vec![*features])]
            }
            Op::PRelu => vec![("weight", vec![input[0]])],
            Op::LayerNorm { .. } => vec![("weight", vec![input[0]]), ("bias", vec![input[0]])],
            Op::TokenEmbedding { class_tokens } => {
                let tokens = class_tokens + input[1..].iter().product::<usize>();
                vec![("bias", vec![input[0] * tokens])]
            }
            Op::Input
            | Op::Relu
            | Op::ClippedRelu { .. }
            | Op::MaxPool(_)
            | Op::AvgPool(_)
            | Op::GlobalAvgPool
            | Op::Flatten
            | Op::Add
            | Op::Concat
            | Op::Pad { .. }
            | Op::PadShortcut { .. }
            | Op::LeakyRelu { .. }
            | Op::Function(_)
            | Op::Mul
            | Op::ChannelSlice { .. }
            | Op::ChannelShuffle { .. }
            | Op::Attention { .. }
            | Op::SelectToken { .. } => vec![],
        }
    }

    /// Shape of the output for inputs of these shapes.
    ///
    /// # Errors
    /// If the number of inputs, their shapes or the fields do not fit the operation. The message is the rest of a sentence
    /// that begins with the layer's name.
    pub fn output(&self, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
        let wanted = match self {
            Op::Input => false,
            Op::Add | Op::Mul => inputs.len() == 2,
            Op::Attention { .. } => inputs.len() == 3,
            Op::Concat => !inputs.is_empty(),
            _ => inputs.len() == 1,
        };
        if !wanted {
            return Err(format!("reads {} places, expected another number for {self:?}", inputs.len()));
        }
        let first = inputs[0];
        let image = || -> Result<[usize; 3], String> {
            first.try_into().map_err(|_| format!("reads {first:?}, expected [channels, height, width]"))
        };
        Ok(match self {
            Op::Input => unreachable!("refused above"),
            Op::Conv(conv) => {
                let (&Conv { channels, groups, .. }, [inputs, height, width]) = (conv, image()?);
                let divides = |n: usize| groups > 0 && n > 0 && n.is_multiple_of(groups);
                if !divides(inputs) || !divides(channels) {
                    return Err(format!(
                        "{groups} groups, expected a divisor of its {inputs} input and {channels} output channels"
                    ));
                }
                let [rows, columns] = fitting(conv.window(), [height, width])?.output(height, width);
                vec![channels, rows, columns]
            }
            Op::BatchNorm { epsilon } if !(0.0..=1.0).contains(epsilon) => {
                return Err(format!("epsilon is {epsilon}, expected 0..=1"));
            }
            Op::LeakyRelu { slope } if !(0.0..=1.0).contains(slope) => {
                return Err(format!("slope is {slope}, expected 0..=1"));
            }
            Op::ClippedRelu { max } if !(max.is_finite() && *max > 0.0) => {
                return Err(format!("max is {max}, expected a finite positive number"));
            }
            Op::LayerNorm { epsilon } if !(0.0..=1.0).contains(epsilon) => {
                return Err(format!("epsilon is {epsilon}, expected 0..=1"));
            }
            Op::LayerNorm { .. } if first[0] > MAX_NORMALIZED => {
                return Err(format!("normalizes {} channels, expected at most {MAX_NORMALIZED}", first[0]));
            }
            Op::Function(function) => {
                function.check()?;
                first.to_vec()
            }
            Op::BatchNorm { .. }
            | Op::Relu
            | Op::LeakyRelu { .. }
            | Op::ClippedRelu { .. }
            | Op::PRelu
            | Op::LayerNorm { .. } => first.to_vec(),
            Op::MaxPool(pool) => pooled(pool.window(), image()?)?,
            Op::AvgPool(pool) => {
                if pool.count_include_pad && (pool.ceil || pool.after.is_some()) {
                    return Err(
                        "counts padding, expected that with one padding and sizes rounded down only".into()
                    );
                }
                pooled(pool.window(), image()?)?
            }
            Op::GlobalAvgPool => vec![image()?[0]],
            Op::Flatten => vec![image()?.iter().product()],
            Op::Linear { features } => match first {
                [_] => vec![*features],
                _ => return Err(format!("reads {first:?}, expected features")),
            },
            Op::Add if inputs[1] != first => {
                return Err(format!("adds {first:?} and {:?}, expected equal shapes", inputs[1]));
            }
            Op::Add => first.to_vec(),
            Op::Mul => {
                let factors = inputs[1];
                let is_one_each = first.len() == 3 && (factors == [first[0]] || factors == [first[0], 1, 1]);
                if factors != first && !is_one_each {
                    return Err(format!(
                        "multiplies {first:?} by {factors:?}, expected an equal shape, or one factor for each channel"
                    ));
                }
                first.to_vec()
            }
            &Op::ChannelSlice { first: begin, channels } => {
                if channels == 0 || begin.checked_add(channels).is_none_or(|end| end > first[0]) {
                    return Err(format!(
                        "takes {channels} channels from {begin} on, expected at least one, of {}",
                        first[0]
                    ));
                }
                [&[channels], &first[1..]].concat()
            }
            &Op::ChannelShuffle { groups } => {
                if groups == 0 || !first[0].is_multiple_of(groups) {
                    return Err(format!(
                        "shuffles {groups} groups, expected a divisor of {} channels",
                        first[0]
                    ));
                }
                first.to_vec()
            }
            Op::Concat => {
                let [_, height, width] = image()?;
                let fits = |other: &&[usize]| other.len() == 3 && other[1..] == [height, width];
                if let Some(other) = inputs.iter().find(|other| !fits(other)) {
                    return Err(format!("joins {first:?} and {other:?}, expected images of equal size"));
                }
                vec![inputs.iter().map(|shape| shape[0]).sum(), height, width]
            }
            Op::Pad { before, after } => {
                let [channels, height, width] = image()?;
                if before.iter().chain(after).any(|&n| n > MAX_EXTENT) {
                    return Err(format!("pads {before:?} and {after:?}, expected at most {MAX_EXTENT}"));
                }
                vec![channels, height + before[0] + after[0], width + before[1] + after[1]]
            }
            &Op::PadShortcut { stride, before, after } => {
                let [channels, height, width] = image()?;
                if !(1..=MAX_EXTENT).contains(&stride) || before.max(after) > MAX_EXTENT {
                    return Err(format!(
                        "stride {stride}, channels {before} and {after}, expected at most {MAX_EXTENT}, at least 1 \
                         for the stride"
                    ));
                }
                let [rows, columns] = Window::square(1, stride, 0).output(height, width);
                vec![channels + before + after, rows, columns]
            }
            &Op::TokenEmbedding { class_tokens } => {
                let [channels, height, width] = image()?;
                if class_tokens > MAX_EXTENT {
                    return Err(format!("class_tokens is {class_tokens}, expected at most {MAX_EXTENT}"));
                }
                vec![channels, 1, class_tokens + height * width]
            }
            &Op::Attention { heads, scale } => {
                let [channels, height, width] = image()?;
                if let Some(other) = inputs.iter().find(|other| **other != first) {
                    return Err(format!("attends with {first:?} to {other:?}, expected equal shapes"));
                }
                if heads == 0 || !channels.is_multiple_of(heads) {
                    return Err(format!("heads is {heads}, expected a divisor of {channels} channels"));
                }
                if (channels / heads).max(height * width) > MAX_ATTENDED {
                    return Err(format!(
                        "attends to {} tokens with {} channels of each head, expected at most {MAX_ATTENDED}",
                        height * width,
                        channels / heads
                    ));
                }
                if !(scale.is_finite() && scale > 0.0) {
                    return Err(format!("scale is {scale}, expected a finite positive number"));
                }
                first.to_vec()
            }
            &Op::SelectToken { index } => {
                let [channels, height, width] = image()?;
                if index >= height * width {
                    return Err(format!("index is {index}, expected one of {} tokens", height * width));
                }
                vec![channels]
            }
        })
    }
}

/// Refuses sizes out of range, and a window larger than the padded input.
fn fitting(window: Window, size: [usize; 2]) -> Result<Window, String> {
    let Window { kernel, stride, padding, dilation, .. } = window;
    let positive = kernel.iter().chain(&stride).chain(&dilation).all(|n| (1..=MAX_EXTENT).contains(n));
    let after = window.after.unwrap_or(padding);
    if !positive || padding.iter().chain(&after).any(|&n| n > MAX_EXTENT) {
        return Err(format!(
            "kernel {kernel:?}, stride {stride:?}, padding {padding:?}, expected at most {MAX_EXTENT}, at least 1 \
             for kernel and stride"
        ));
    }
    if !window.fits(size[0], size[1]) {
        return Err(format!(
            "kernel {kernel:?} with padding {padding:?}, expected one that fits into {size:?}"
        ));
    }
    Ok(window)
}

/// Output shape of a pool, whose window must never lie in its border alone.
fn pooled(window: Window, [channels, height, width]: [usize; 3]) -> Result<Vec<usize>, String> {
    let Window { kernel, padding, dilation, .. } = fitting(window, [height, width])?;
    if dilation != [1, 1] {
        let outputs = window.output(height, width);
        for (axis, size) in [height, width].into_iter().enumerate() {
            if let Some(empty) = (0..outputs[axis]).find(|&out| window.taps(axis, out, size).len() == 0) {
                return Err(format!(
                    "window {empty} of kernel {kernel:?}, dilation {dilation:?} and padding {padding:?} holds no value \
                     of {size}, expected at least one"
                ));
            }
        }
        return Ok([&[channels], &outputs[..]].concat());
    }
    let after = window.after.unwrap_or(padding);
    if (0..2).any(|axis| padding[axis].max(after[axis]) >= kernel[axis]) {
        return Err(format!("padding {padding:?}, expected less than the kernel {kernel:?}"));
    }
    let [rows, columns] = window.output(height, width);
    Ok(vec![channels, rows, columns])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_of_tokens_check_their_fields_and_inputs() {
        let image = [12, 2, 3].as_slice();
        let attention = |heads, scale| Op::Attention { heads, scale };
        assert_eq!(attention(3, 0.5).output(&[image; 3]), Ok(vec![12, 2, 3]));
        assert_eq!(Op::TokenEmbedding { class_tokens: 2 }.output(&[image]), Ok(vec![12, 1, 8]));
        assert_eq!(Op::TokenEmbedding { class_tokens: 2 }.parameters(image), [("bias", vec![96])]);
        assert_eq!(Op::SelectToken { index: 5 }.output(&[image]), Ok(vec![12]));
        let wide = [4, 1, MAX_ATTENDED + 1].as_slice();
        for (op, inputs, expected) in [
            (attention(5, 0.5), [image; 3], "heads is 5, expected a divisor of 12 channels"),
            (attention(0, 0.5), [image; 3], "heads is 0, expected a divisor of 12 channels"),
            (attention(3, -0.5), [image; 3], "scale is -0.5, expected a finite positive number"),
            (
                attention(3, 0.5),
                [image, image, &[12, 6, 1]],
                "attends with [12, 2, 3] to [12, 6, 1], expected equal shapes",
            ),
            (
                attention(4, 0.5),
                [wide; 3],
                "attends to 16385 tokens with 1 channels of each head, expected at most 16384",
            ),
        ] {
            assert_eq!(op.output(&inputs).unwrap_err(), expected);
        }
        let error = Op::SelectToken { index: 6 }.output(&[image]).unwrap_err();
        assert_eq!(error, "index is 6, expected one of 6 tokens");
        let error = Op::TokenEmbedding { class_tokens: 5000 }.output(&[image]).unwrap_err();
        assert_eq!(error, "class_tokens is 5000, expected at most 4096");
    }
}
