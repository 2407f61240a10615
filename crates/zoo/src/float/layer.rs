//! Layers: candle's where these are right and fast in this program, and otherwise ours behind the same interface.
//!
//! Time of candle's layer, as a multiple of ours, on the networks of `experiments/networks` and on ResNet-18 and
//! SqueezeNet at 224x224 (candle 0.11.1, one core of an Intel Xeon with AVX-512, batches of 2 and 4 images). The workspace
//! compiles candle without optimization; with it, a build from nothing takes over a third more CPU time.
//!
//! | layer | as built | optimized | what else differs in candle |
//! |---|---:|---:|---|
//! | convolution | 6-57 | 2-14 | one stride and padding for both axes; at 224x224, last bits of 0.1 % of the values |
//! | batch norm, inference | 107-173 | 5-12 | last bits of 42 % of the values |
//! | max pool | 8-10 | 0.7-1.0 | no padding, no ceil mode; its gradient is a quarter of the right one |
//! | average pool | not measured | | no padding, no ceil mode; its gradient is wrong for odd sizes |
//! | ReLU | 26-70 | 0.9-1.0 | the gradient at 0 is 1, PyTorch's is 0 |
//! | sum | 40-76 | 1.0 | |
//! | every n-th row and column | 18 | 4 | |
//! | linear, mean, concatenation | 0.8-1.1 | 1.0-1.1 | candle's are used |
//!
//! Ranges of activations are stored in checkpoints, so last bits must stay.

use candle_core::{CustomOp1, Result};
use candle_nn::{Init, ModuleT, VarBuilder, batch_norm, func, linear};
use graph::{Node, Op, Window};

use super::activation::Activation;
use super::attention::{Attention, select_token, token_embedding};
use super::batch_norm::BatchNorm;
use super::convolution::{Convolution, Unfold};
use super::layer_norm::layer_norm;
use super::parametric::parametric;
use super::pooling::{AvgPool, MaxPool};

/// Operation of a node.
pub(super) enum Layer {
    /// The images.
    Input,
    /// A module, which reads one tensor.
    Module(Box<dyn ModuleT + Send + Sync>),
    /// The sum of two tensors.
    Add,
    /// The product of two tensors, of which the second may have one value for each channel.
    Mul,
    /// The channels of all tensors, one after the other.
    Concat,
    /// Attention of queries, keys and values.
    Attention(Attention),
}

/// Makes the layer of a node from the shapes that it reads, of one image each, and from its variables.
pub(super) fn layer(node: &Node, inputs: &[&[usize]], variables: VarBuilder) -> Result<Layer> {
    let module: Box<dyn ModuleT + Send + Sync> = match &node.op {
        Op::Input => return Ok(Layer::Input),
        Op::Add => return Ok(Layer::Add),
        Op::Mul => return Ok(Layer::Mul),
        Op::Concat => return Ok(Layer::Concat),
        &Op::Attention { heads, scale } => return Ok(Layer::Attention(Attention { heads, scale })),
        Op::Conv(conv) => Box::new(Convolution::new(inputs[0][0], conv, variables)?),
        &Op::BatchNorm { epsilon } => Box::new(BatchNorm(batch_norm(node.shape[0], epsilon, variables)?)),
        &Op::Linear { features } => Box::new(linear(inputs[0][0], features, variables)?),
        Op::Relu => custom(Activation::Relu),
        &Op::LeakyRelu { slope } => custom(Activation::Leaky { slope }),
        &Op::ClippedRelu { max } => custom(Activation::Clipped { max }),
        &Op::Function(function) => custom(Activation::Function(function)),
        Op::PRelu => {
            let slope = variables.get_with_hints(node.shape[0], "weight", Init::Const(0.25))?;
            Box::new(func(move |x| parametric(x, &slope)))
        }
        &Op::LayerNorm { epsilon } => {
            let weight = variables.get_with_hints(node.shape[0], "weight", Init::Const(1.0))?;
            let bias = variables.get_with_hints(node.shape[0], "bias", Init::Const(0.0))?;
            Box::new(func(move |x| layer_norm(x, epsilon, &weight, &bias)))
        }
        &Op::ChannelSlice { first, channels } => Box::new(func(move |x| x.narrow(1, first, channels))),
        &Op::ChannelShuffle { groups } => Box::new(func(move |x| {
            let (n, channels, rest) = (x.dim(0)?, x.dim(1)?, x.dims()[2..].iter().product::<usize>());
            let divided = x.reshape((n, groups, channels / groups, rest))?;
            divided.transpose(1, 2)?.reshape(x.shape())
        })),
        &Op::TokenEmbedding { class_tokens } => {
            let bias =
                variables.get_with_hints(node.shape.iter().product::<usize>(), "bias", Init::Const(0.0))?;
            Box::new(func(move |x| token_embedding(x, class_tokens, &bias)))
        }
        &Op::SelectToken { index } => Box::new(func(move |x| select_token(x, index))),
        Op::MaxPool(pool) => custom(MaxPool(pool.window())),
        Op::AvgPool(pool) => {
            custom(AvgPool { window: pool.window(), count_include_pad: pool.count_include_pad })
        }
        Op::GlobalAvgPool => Box::new(func(|x| x.mean((2, 3)))),
        Op::Flatten => Box::new(func(|x| x.flatten_from(1))),
        &Op::Pad { before, after } => Box::new(func(move |x| {
            x.pad_with_zeros(2, before[0], after[0])?.pad_with_zeros(3, before[1], after[1])
        })),
        &Op::PadShortcut { stride, before, after } => {
            let every = custom(Unfold { window: Window::square(1, stride, 0), groups: 1 });
            let [_, rows, columns] = node.shape[..] else { unreachable!("a shortcut gives an image") };
            Box::new(func(move |x| {
                let (n, channels, _, _) = x.dims4()?;
                let kept = every.forward_t(x, false)?.reshape((n, channels, rows, columns))?;
                kept.pad_with_zeros(1, before, after)
            }))
        }
    };
    Ok(Layer::Module(module))
}

/// A module that is one operation of ours.
fn custom(operation: impl CustomOp1 + Copy + Send + Sync + 'static) -> Box<dyn ModuleT + Send + Sync> {
    Box::new(func(move |x| x.contiguous()?.apply_op1(operation)))
}
