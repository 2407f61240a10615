//! Which stored bits flip: seeded fault models.
//!
//! A [`FaultModel`] draws, for a trial, [`Faults`]: mostly the set of cells that flip in each plane of a memory, a
//! [`FaultPattern`] of sorted offsets; where it depends on the stored bits what flips, the sets from which whoever has
//! these finds it. The cost is in proportion to the flips and not to the memory. A [`Scope`] confines a model to a tensor
//! or to one bit of each weight. [`FlipRate`] says which bit error rates failures in time (FIT) come to.
//!
//! **Streams.** Trial t of a campaign with seed s draws from ChaCha8 with key (s, plane) and stream t:
//! every trial can be drawn alone, in any order, on any machine. The data plane and the check plane
//! have keys of their own, so all protections of a network, whatever check bits they keep, meet the
//! same flips of their data cells. Rates share streams too: the curves of one campaign are paired
//! across rates as they are across protections.
//!
//! Faults under a condition on what words read back as are drawn word by word, from streams of their own
//! ([`WordFaults`]).
//!
//! **Stability.** The offsets for given arguments are part of this crate's interface: they are fixed
//! by tests, and depend on no floating-point routine of the platform (logarithms come from `libm`).

mod burst;
mod faults;
mod fit;
mod grammar;
mod model;
mod pattern;
mod rate;
mod sampling;
mod scope;
mod word_faults;

pub use faults::Faults;
pub use fit::{BITS_OF_MEGABIT, FitError, FlipRate};
pub use grammar::{FaultModelError, ScopedFaultModel};
pub use model::{FaultModel, RateTooHigh};
pub use pattern::{FaultPattern, PlaneSizes};
pub use rate::{BitErrorRate, RateError};
pub use scope::{Scope, ScopedCells};
pub use word_faults::WordFaults;
