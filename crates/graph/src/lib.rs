//! Networks as data: operations, shapes, and graphs of layers.
//!
//! An [`Op`] says how a layer computes its output, and [`Op::output`] gives the output's shape. A [`Graph`] is a list
//! of nodes in execution order with PyTorch's parameter names; the order of the weights in it is their order in
//! memory. An architecture writes its graph with a [`GraphBuilder`]; a network that no architecture name stands for
//! lists its layers ([`Graph::listed`]), in the form that a checkpoint stores.
//!
//! The crate knows neither tensors nor files. The float executor is in `zoo`, the int8 executors are in `infer`, the
//! trainer is in `wot`.
//!
//! ```
//! use graph::{GraphBuilder, ModelSpec, Window};
//!
//! let mut g = GraphBuilder::new([3, 32, 32]);
//! let x = g.conv("conv", GraphBuilder::INPUT, 8, Window::square(3, 1, 1), true);
//! let x = g.relu("relu", x);
//! let x = g.global_avg_pool("mean", x);
//! g.linear("fc", x, 10);
//! let graph = g.finish(&ModelSpec::new("small", 10, [3, 32, 32]));
//! let weights: Vec<String> = graph.stored_weights().into_iter().map(|weight| weight.name).collect();
//! assert_eq!(weights, ["conv.weight", "fc.weight"]);
//! ```

mod builder;
mod dims;
mod error;
mod function;
mod listed;
mod network;
mod op;
mod preprocessing;
mod quantization;
mod spec;
mod weight_change;
mod window;

pub use builder::GraphBuilder;
pub use dims::Dims;
pub use error::GraphError;
pub use function::Function;
pub use listed::{Layer, MAX_LAYERS};
pub use network::{BATCH_NORM_EPSILON, Graph, Node, NodeId, ParameterSpec};
pub use op::{AvgPool, Conv, MaxPool, Op};
pub use preprocessing::{Preprocessing, PreprocessingError};
pub use quantization::QuantizationPoint;
pub use spec::{MAX_CHANNELS, MAX_SIDE, ModelSpec, UnknownVariant, Variant};
pub use weight_change::WeightChange;
pub use window::Window;
