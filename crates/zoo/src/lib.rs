//! Architectures as layer graphs, their float executor, and the import of foreign checkpoints.
//!
//! **A network is data**: [`build`] turns a [`quant::ModelSpec`] into a [`Graph`], a list of nodes in
//! execution order with PyTorch's parameter names. [`ARCHITECTURES`] lists what can be built. A network that
//! none of these names stands for lists its layers, and [`build_stored`] takes either.
//!
//! **Parameters** come from elsewhere: [`read_checkpoint`] reads safetensors and both of PyTorch's formats without
//! running anything in them, and [`FloatCheckpoint::bind`] finds in them exactly what a graph needs, or says what does not
//! fit. [`read_onnx`] reads a network and its parameters from an ONNX file, and [`bind()`] checks those.
//!
//! **The float executor** ([`Executor`]) runs a graph with candle on the CPU: plainly, while watching
//! the range of every node (calibration), or with activations rounded as the int8 network rounds them
//! (the oracle that the int8 executor is tested against).
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let spec = quant::ModelSpec { architecture: "resnet20".into(), classes: 10, input: [3, 32, 32], width: 1.0, variant: None };
//! let graph = zoo::build(&spec)?;
//! let checkpoint = zoo::read_checkpoint("resnet20.th".as_ref())?;
//! let bound = checkpoint.bind(&graph, &zoo::Selection::default())?;
//! let executor = zoo::Executor::new(&graph, &bound.parameters)?;
//! let images = quant::FloatTensor::new(vec![1, 3, 32, 32], vec![0.0; 3 * 32 * 32]);
//! let logits = executor.forward(&images)?;
//! assert_eq!(logits.shape(), [1, 10]);
//! # Ok(())
//! # }
//! ```

mod architectures;
mod bind;
mod error;
mod executor;
mod graph;
mod import;
mod layers;

pub use architectures::{ARCHITECTURES, build, model, variant, variant_layers, variants};
pub use bind::{MismatchError, Misshaped, bind};
pub use error::ZooError;
pub use executor::{Executor, Range};
pub use graph::{BATCH_NORM_EPSILON, Graph, Node, NodeId, Op, ParameterSpec, QuantizationPoint, Window};
pub use import::{
    Bound, FloatCheckpoint, ImportError, InputArithmetic, OnnxModel, Selection, read_checkpoint, read_onnx,
};
pub use layers::build_stored;
