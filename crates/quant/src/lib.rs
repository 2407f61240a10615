//! Float tensors to int8 tensors, and the checkpoint file that keeps them.
//!
//! **Quantization** is the paper's (`Distiller`'s symmetric mode): linear, symmetric,
//! range-based, one scale a tensor. A scale is written here as *levels per unit*,
//!
//! ```text
//! scale = 127 / max|w|        q = round_half_even(w * scale)        w ~ q / scale
//! ```
//!
//! so clean weights lie in [-127, 127], and -128 arises only from a bit flip. As an extension, each output
//! channel may have a scale of its own ([`WeightScale`]).
//!
//! **Activations** are quantized with scales fixed at calibration: values that cannot be negative to
//! u8 (0..=255), others to i8 (-127..=127), see [`ActivationScale`]. Or each batch of images gives them, as in
//! the paper ([`Activations::Dynamic`]). A network that another program quantized keeps that program's scales, zero
//! points, biases and arithmetic ([`Activations::Given`]).
//!
//! **Empty filters** have batch norms with dangerous gains; [`Contents::fold_empty_filters`] takes the danger away.
//!
//! **The checkpoint** ([`Checkpoint`]) is one safetensors file: int8 weights in memory order, float
//! parameters that the fault model leaves alone, and one metadata entry that says how to run them.
//! Its format is specified in this crate's README.

mod checkpoint;
mod empty_filters;
mod float;
mod given;
mod int8;
mod levels_per_unit;
mod provenance;
mod tensor_file;
mod values;

pub use checkpoint::{CHECKPOINT_VERSION, Checkpoint, CheckpointError, Contents, InvalidCheckpoint};
pub use empty_filters::AmplifiedFilter;
pub use float::{FloatTensor, Parameters};
pub use given::{GivenActivations, GivenPoint, GivenScale, Rule};
pub use int8::{
    ActivationScale, Activations, InvalidTensor, MAX_LEVEL, QuantError, QuantTensor, WeightScale,
};
pub use levels_per_unit::{InvalidLevelsPerUnit, LevelsPerUnit};
pub use provenance::Provenance;
pub use tensor_file::{FileTensor, MissingScale, TensorFile, TensorFileError, WeightsAs};
pub use values::{ValueError, check_values};
