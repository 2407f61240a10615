//! Operations on f32 CPU tensors with gradients that are right (candle's own are not, for max pooling,
//! ReLU at 0 and some convolutions) and the same bits for any number of threads.
//!
//! Activations are channels-last: `[images, height, width, channels]` (NHWC). Weights keep PyTorch's
//! layout, OIHW and OI.

mod activation;
mod batch_norm;
mod bias;
mod channel_sums;
mod convolution;
mod cross_entropy;
mod fake_quantize;
mod pool;
mod shortcut;
mod values;

pub use activation::relu;
pub use batch_norm::{
    BATCH_NORM_MOMENTUM, BatchStatistics, RunningStatistics, batch_norm, batch_norm_inference,
};
pub use bias::add_bias;
pub use convolution::{conv2d, linear};
pub use cross_entropy::cross_entropy;
pub use fake_quantize::{fake_quantize_activation, fake_quantize_weight};
pub use pool::{global_avg_pool, max_pool};
pub use shortcut::pad_shortcut;
pub(crate) use values::{read, tensor};
