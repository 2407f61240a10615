//! Which stored bits flip: seeded fault models.
//!
//! A [`FaultModel`] draws, for a trial, the set of cells that flip in each plane of a memory: a
//! [`FaultPattern`] of sorted offsets, whose cost is in proportion to the flips and not to the memory.
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

mod model;
mod pattern;
mod rate;
mod sampling;
mod word_faults;

pub use model::{FaultModel, UnknownFaultModel};
pub use pattern::{FaultPattern, PlaneSizes};
pub use rate::{BitErrorRate, RateError};
pub use word_faults::WordFaults;
