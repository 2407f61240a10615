//! Weight distribution-oriented training (WOT): networks whose int8 weights have room for check bits.
//!
//! In-place protection (Guan et al., 2019) stores check bits in bit 6 of seven of every eight weights, so
//! these must lie in [-64, 63]; [`ecc::Constraint`] defines the positions and ranges. This crate trains
//! networks that satisfy such a constraint exactly, and the float networks from which such training begins.
//!
//! **Training**: a [`Trainer`] has a `zoo` graph, its parameters, and a [`Recipe`]. [`Method::Float`] trains
//! from scratch ([`initialize()`]). [`Method::Qatt`] is the paper's quantization-aware training with
//! throttling. [`Method::Admm`] is the paper's alternating direction method of multipliers, with a penalty
//! that has a gradient (the released one has none). Weights and activations are rounded exactly where the
//! int8 network rounds them. The result is [`Trained`]: int8 tensors with their scales, in which every weight
//! satisfies the constraint.
//!
//! **Operations**: [`ops`] has the forward and the backward pass of every operation on channels-last f32
//! values, tested against PyTorch and finite differences.
//!
//! # Repeatability
//! A training is a function of graph, parameters, preprocessing, recipe and images. The number of threads,
//! and stopping and resuming ([`Trainer::save`], [`Trainer::resume`]), change no bit; all random numbers are
//! functions of seed and iteration. Nothing here prints, or reads a clock or the environment.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use wot::{Augmentation, Method, Recipe, Scale, Schedule, Trainer, Validation};
//!
//! let images = data::ImageSet::open("data".as_ref(), data::DataSource::Cifar10, data::Split::Train)?;
//! let spec = graph::ModelSpec::new("resnet20", 10, [3, 32, 32]);
//! let graph = zoo::build(&spec)?;
//! let preprocessing = graph::Preprocessing::new(vec![0.5; 3], vec![0.25; 3])?;
//! let recipe = Recipe {
//!     method: Method::QATT,
//!     scale: Scale::Largest,
//!     bit_errors: None,
//!     iterations: 2000,
//!     batch_images: 128,
//!     schedule: Schedule::Constant { rate: 1e-4 },
//!     momentum: 0.9,
//!     weight_decay: 1e-4,
//!     augmentation: Some(Augmentation { shift: 4, mirror: true }),
//!     validation: Validation { images: 5000, seed: 0 },
//!     check_every: 100,
//!     seed: 1,
//! };
//! let mut trainer = Trainer::new(&graph, wot::initialize(&graph, 1), &preprocessing, recipe)?;
//! while let Some(check) = trainer.next_check(&images, |_, _| {})? {
//!     trainer.save("training.safetensors".as_ref())?;
//!     if check.throttled.is_some_and(|throttled| throttled.correct >= 4500) {
//!         break;
//!     }
//! }
//! let trained = trainer.finish()?;
//! # Ok(())
//! # }
//! ```

mod batches;
mod buffer;
mod conv;
mod error;
mod initialize;
mod kernel;
mod network;
pub mod ops;
mod random;
mod recipe;
mod scale;
mod state;
mod throttle;
mod trainer;

pub use error::{StateError, WotError};
pub use initialize::initialize;
pub use recipe::{Augmentation, BitErrors, Method, Recipe, Scale, Schedule, Validation};
pub use throttle::{levels, scale_of};
pub use trainer::{Check, Throttled, Trained, Trainer};
