//! The exact int8 executor. It computes predictions from a graph and an int8 checkpoint, with some weights
//! changed.
//!
//! This page describes [`Network`], whose activations have static scales. [`DynamicNetwork`] scales
//! activations by each batch of images, and [`GivenNetwork`] runs a network that another program quantized by that
//! program's arithmetic; both document their own rules.
//!
//! # Computation
//!
//! Activations are levels: integers in 0..=255 (u8) if a value cannot be negative, otherwise in -127..=127
//! (i8), with one scale for each quantization point of the graph ([`graph::Graph::quantization_points`]).
//! Weights are the checkpoint's int8 values, as the memory holds them: batch norm is *not* folded into them,
//! and a faulty weight may be -128. A chain of layers (for example a convolution with its batch norm and
//! ReLU) that ends in a quantization point computes
//!
//! ```text
//! acc   = sum of level * weight                                     exact, i32
//! value = (acc as f32) * multiplier[c] + offset[c]                  one f32 product, one f32 sum
//! level = round_half_even(clamp(value, low, high))                  a fused ReLU is low = 0, a clipped
//!                                                                   one also high = the level of its bound
//!
//! multiplier[c] = s_out * g / (s_in * s_weight)                     in f64, rounded to f32 once
//! offset[c]     = ((bias - mean) * g + beta) * s_out                g = gamma / sqrt(variance + epsilon)
//! ```
//!
//! Scales are in levels per unit; s_weight is that of channel c if channels have separate scales. Without a
//! batch norm, g = 1 and mean = beta = 0. Sums, means and concatenations take one f32 product for each input
//! and one sum, rounded in the same way; max pooling, flattening and padding move or compare levels. The last
//! layer returns `value` with s_out = 1: the logits, unrounded. The prediction is the class of the largest
//! logit, the lowest class on ties. `docs/src/specification-inference.md` has the rules of every operation
//! (S301 to S316, S318 to S321, S341 to S343), from which another implementation computes the same bits.
//!
//! # Why it is exact
//!
//! Integer sums do not depend on their order, [`Network::new`] refuses a layer whose sum could overflow i32,
//! and IEEE 754 fixes each of the few float operations. Therefore every machine, instruction set, number of
//! threads and division into batches gives the same bits. The tests compare all of this with nested loops.
//!
//! # Layout
//!
//! Pixels enter as u8 in [channels, height, width], image by image. Inside, levels are channels-last bytes
//! (i8 levels plus 128), and each image has a border of zeros, as dot-product instructions need it. The sum
//! of the weights, times 128, is subtracted from a sum over such bytes. Weights are stored once, packed, and
//! changed in place while a network with changes runs. A weight change has the address that the memory has:
//! tensor in memory order, row-major index in the tensor.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let checkpoint = quant::Checkpoint::load("resnet20.safetensors".as_ref())?;
//! let graph = zoo::build_stored(&checkpoint.model, &checkpoint.layers)?;
//! let mut network = infer::Network::new(&graph, &checkpoint)?;
//! let inputs = network.prepare(&[0; 3 * 32 * 32])?;
//! let clean = network.predict_clean(&inputs);
//! let faulty = network.predict(&inputs, &[graph::WeightChange { tensor: 0, index: 0, value: -128 }]);
//! assert_eq!(clean.len(), faulty.len());
//! # Ok(())
//! # }
//! ```

mod attention;
mod baseline;
mod batch;
mod block_baseline;
mod check;
mod compile;
mod conv;
mod differences;
mod dynamic;
mod error;
mod fixed_point;
mod fixed_tables;
mod frame;
mod given;
mod given_tables;
mod kernel;
mod network;
mod requantize;
mod single_change;
mod split;
mod step;
mod value;
mod winograd;

pub use baseline::Baseline;
pub use block_baseline::{BlockBaseline, BlockTrial};
pub use dynamic::{DYNAMIC_EVALUATOR, DynamicNetwork};
pub use error::InferError;
pub use given::GivenNetwork;
pub use kernel::kernel_forms;
pub use network::{EVALUATOR, Inputs, Network};
pub use single_change::Effect;
