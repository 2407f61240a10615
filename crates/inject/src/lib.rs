//! The faults of a trial: which stored bits flip, drawn from seeded streams.
//!
//! [`sample`] draws, for a fault model ([`design::FaultKind`]) and a trial, [`Faults`]: for most models the set of bits that
//! flip in each plane of a memory, a [`FaultPattern`] of sorted offsets; if flips depend on the stored bits, the sets from
//! which the owner of the memory finds them. The cost is proportional to the number of flips, not to the memory.
//! [`ScopedBits`] confines a model to a tensor or to one bit of each weight, and lets the bits of blocks take turns. [`FlipRate`] converts failures in time (FIT) to
//! bit error rates.
//!
//! **Streams.** Trial t of a campaign with seed s draws from ChaCha8 with key (s, plane) and stream t:
//! every trial can be drawn alone, in any order, on any machine. The data plane and the check plane
//! have keys of their own, so all protections of a network, whatever check bits they keep, meet the
//! same flips of their data bits. Rates share streams too: the curves of one campaign are paired
//! across rates as they are across protections.
//!
//! A user's own faults are a list of bits ([`FaultPattern::new`]), or drawn from a flip probability for every stored bit
//! ([`FlipMap`]), such as the map of a measured chip.
//!
//! Conditional sampling, where faults are drawn given that some word reads back wrong, draws word by word from streams of
//! its own ([`WordFaults`]).
//!
//! If a trial sees a block of the evaluation set only, [`ImageBlocks`] has the images of each trial, from streams of its own.
//!
//! **Stability.** The offsets for given arguments are part of this crate's interface: they are fixed
//! by tests, and depend on no floating-point routine of the platform (logarithms come from `libm`). The draws behind
//! them are public in [`sampling`], equally fixed.

mod faults;
mod fit;
mod image_blocks;
mod models;
mod own_faults;
mod pattern;
pub mod sampling;
mod scoped_bits;
mod single_fault;
mod stream;
mod word_faults;

pub use faults::Faults;
pub use fit::{BITS_OF_MEGABIT, FitError, FlipRate};
pub use image_blocks::ImageBlocks;
pub use models::{MeanFlips, mean_flips, sample};
pub use own_faults::{FlipMap, NoProbability, PositionError};
pub use pattern::{FaultPattern, PlaneSizes};
pub use scoped_bits::ScopedBits;
pub use single_fault::draw_faults;
pub use word_faults::WordFaults;
