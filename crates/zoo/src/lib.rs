//! Architectures as layer graphs, as float networks in candle, and the import of foreign checkpoints.
//!
//! **A network is data**: [`build`] turns a [`graph::ModelSpec`] into a [`graph::Graph`], a list of nodes in
//! execution order with PyTorch's parameter names. [`ARCHITECTURES`] lists what can be built. A network that
//! none of these names stands for lists its layers, and [`build_stored`] takes either.
//!
//! **Parameters** come from elsewhere: [`read_checkpoint`] reads safetensors and both of PyTorch's formats without
//! running anything in them, and [`FloatCheckpoint::bind`] finds in them exactly what a graph needs, or says what does not
//! fit. [`read_onnx`] reads a network and its parameters from an ONNX file, and [`bind()`] checks those.
//!
//! **A float network** ([`FloatNetwork`]) is a graph as a module of candle, with parameters from a `VarBuilder` under
//! PyTorch's names:
//!
//! ```no_run
//! use candle_core::{DType, Device, Tensor};
//! use candle_nn::{Module, VarBuilder};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let resnet18 = zoo::build(&zoo::model("resnet18", None, 1.0, 1000, [3, 224, 224])?)?;
//! let file = std::fs::read("resnet18.safetensors")?;
//! let variables = VarBuilder::from_buffered_safetensors(file, DType::F32, &Device::Cpu)?;
//! let network = zoo::FloatNetwork::new(&resnet18, variables)?;
//! let images = Tensor::zeros((1, 3, 224, 224), DType::F32, &Device::Cpu)?;
//! assert_eq!(network.forward(&images)?.dims(), [1, 1000]);
//! # Ok(())
//! # }
//! ```
//!
//! With a `VarMap` it is trained: [`FloatNetwork::forward_train`], a loss, `backward`. Here it runs imported checkpoints,
//! records the range of every node (calibration), and rounds activations as the int8 network does (the oracle that the
//! int8 executor is tested against).

mod architectures;
mod bind;
mod calibrate;
mod error;
mod float;
mod import;

pub use architectures::{ARCHITECTURES, build, build_stored, model, variant, variant_layers, variants};
pub use bind::{MismatchError, Misshaped, bind};
pub use calibrate::{calibrate, calibrate_observed};
pub use error::ZooError;
pub use float::{FloatNetwork, Range};
pub use import::{
    Bound, FloatCheckpoint, ImportError, InputArithmetic, OnnxFile, OnnxModel, QuantizedModel, Selection,
    is_tflite, read_any_onnx, read_checkpoint, read_onnx, read_quantized_onnx, read_tflite,
};
