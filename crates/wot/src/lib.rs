//! Operations for training: channels-last f32 tensors on the CPU, gradients checked against PyTorch and against
//! finite differences, the same bits for any number of threads.

mod conv;
mod kernel;
mod ops;

pub use ops::{
    BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM, BatchStatistics, RunningStatistics, add_bias, batch_norm,
    batch_norm_inference, conv2d, cross_entropy, fake_quantize_activation, fake_quantize_weight,
    global_avg_pool, linear, max_pool, pad_shortcut, relu,
};
