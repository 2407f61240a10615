//! The exact int8 executor: from a graph and an int8 checkpoint to predictions, with some weights changed.
//!
//! This page is about [`Network`], whose activations have static scales. [`DynamicNetwork`] takes them from each batch
//! of images, by rules of its own.
//!
//! # What it computes
//!
//! Activations are levels: integers in 0..=255 (u8) where a value cannot be negative, in -127..=127 (i8)
//! elsewhere, with one scale for each quantization point of the graph
//! ([`zoo::Graph::quantization_points`]). Weights are the checkpoint's int8 values, as the memory holds
//! them: batch norm is *not* folded into them, and a faulty one may be -128. Where a chain of layers (a
//! convolution with its batch norm and ReLU, say) ends in a quantization point,
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
//! with scales in levels per unit (s_weight is that of channel c where channels have their own), g = 1 and mean = beta = 0
//! without a batch norm. Sums, means and concatenations are one f32 product for each input and one sum, rounded likewise; max
//! pooling, flattening and padding move or compare levels. The last layer gives `value` with s_out = 1: the logits, unrounded.
//! The prediction is the class of the largest logit, the lowest class on ties. `docs/src/specification-inference.md` has the
//! rules of every operation (S301 to S316), from which another implementation computes the same bits.
//!
//! # Why it is exact
//!
//! Integer sums do not depend on their order, [`Network::new`] refuses a layer whose sum could leave i32,
//! and IEEE 754 fixes each of the few float operations. So every machine, instruction set, number of
//! threads and division into batches gives the same bits. The tests compare all of it with nested loops.
//!
//! # Layout
//!
//! Pixels enter as u8 in [channels, height, width], image by image. Inside, levels are channels-last bytes
//! (i8 levels plus 128), each image with a border of zeros, which is the form that dot-product instructions
//! take; the sum of the weights, times 128, is subtracted from the sum. Weights are kept once, packed, and
//! changed in place while a network with changes runs. Weight changes are addressed as the fault model sees
//! the memory: tensor in memory order, row-major index in the tensor.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let checkpoint = quant::Checkpoint::load("resnet20.safetensors".as_ref())?;
//! let graph = zoo::build_stored(&checkpoint.model, &checkpoint.layers)?;
//! let mut network = infer::Network::new(&graph, &checkpoint)?;
//! let inputs = network.prepare(&[0; 3 * 32 * 32])?;
//! let clean = network.predict_clean(&inputs);
//! let faulty = network.predict(&inputs, &[infer::WeightChange { tensor: 0, index: 0, value: -128 }]);
//! assert_eq!(clean.len(), faulty.len());
//! # Ok(())
//! # }
//! ```

mod baseline;
mod calibrate;
mod check;
mod compile;
mod conv;
mod dims;
mod dynamic;
mod error;
mod kernel;
mod network;
mod requantize;
mod step;
mod value;

pub use baseline::Baseline;
pub use calibrate::calibrate;
pub use dynamic::{DYNAMIC_EVALUATOR, DynamicNetwork};
pub use error::InferError;
pub use kernel::kernel_forms;
pub use network::{EVALUATOR, Inputs, Network, WeightChange};
