//! Operations of training and their gradients, on slices of f32. They accept every shape, and give the same
//! bits for any number of threads.
//!
//! Activations are channels-last: `[images, height, width, channels]` (NHWC). Weights keep PyTorch's layout,
//! OIHW and OI. Results are written into slices of the caller, usually from a [`Pool`]. A wrong shape is a
//! bug of the caller and panics.

mod batch_norm;
mod channel_sums;
mod channels;
mod concat;
mod convolution;
mod cross_entropy;
mod fake_quantize;
mod finish;
mod function;
mod layer_norm;
mod pad;
mod parametric;
mod pool;
mod product;
mod shortcut;
mod sum;

pub use batch_norm::{BATCH_NORM_MOMENTUM, BatchStatistics, Norm, NormGradient, RunningStatistics, extremes};
pub use channel_sums::Extremes;
pub use channels::{select_channels, select_channels_backward};
pub use concat::{concat, concat_backward};
pub use convolution::Conv2d;
pub use cross_entropy::{cross_entropy, cross_entropy_backward};
pub use fake_quantize::fake_quantize_weight;
pub use finish::Finish;
pub use function::Activation;
pub use layer_norm::LayerNorm;
pub use pad::Pad;
pub use parametric::{parametric_relu, parametric_relu_backward};
pub use pool::{AvgPool, MaxPool, global_avg_pool, global_avg_pool_backward};
pub use product::{multiply, multiply_channels, multiply_channels_backward};
pub use shortcut::PadShortcut;
pub use sum::{add, add_in_place};

pub use crate::buffer::{Buffer, Pool};
