//! Int8 weights to stored bits and back, through a protection.
//!
//! ```text
//! tensors --MemoryLayout--> weights, padded, in memory order --encode_plane--> MemoryImage
//!                                                                                  | faults
//!                               weights as the network reads them <--decode_word--+
//! ```
//!
//! A [`MemoryImage`] holds the stored bits: a *data plane* of one byte for each weight, and a *check plane* for the check
//! bits that a protection keeps beside the weights. A [`Protection`] stores blocks of weights in an image and reads single
//! code words back. It never sees the original, so it reports a word as [`WordStatus::Clean`], `Corrected` or `Detected`.
//! The caller, who has the original, judges whether a correction is right.
//!
//! A memory is a list of [`Region`]s, each with its own code ([`Protection::regions`]). Most protections have one region,
//! the weights. A [`CodeMap`] gives each tensor a code of its own. Layouts and violations carry the names of tensors for messages; nothing else here knows of networks.
//!
//! # The protections
//!
//! | id | paper's name | code word | stored overhead | constraint |
//! |---|---|---|---|---|
//! | `faulty` | faulty | a weight, bare | 0 | none |
//! | `parity-zero` | zero | a weight and an even-parity bit; mismatch: weight := 0 | 12.5 % | none |
//! | `secded-72-64` | ecc | 8 weights and 8 check bits beside them | 12.5 % | none |
//! | `in-place-64-57` | in-place | 8 weights, 7 check bits inside | 0 | [`Constraint::WOT`] |
//! | `in-place-list` | | 8 weights, 7 check bits inside; weights outside the range are clamped, and restored from an exception list | 72 bits for each clamped weight | none |
//! | `in-place-dected-64-51` | | 8 weights, 13 check bits inside: two flips corrected, three detected | 0 | [`Constraint::TWO_BIT`] |
//! | `in-place-32-26` | | 4 weights, 6 check bits inside | 0 | [`Constraint::TWO_BIT_OF_FOUR`] |
//! | `in-place-dected-64-48` | | 8 weights, 16 check bits inside: two flips corrected, three detected | 0 | [`Constraint::TWO_BIT_ALL`] |
//! | `in-place-msb-32-16` | | bits 7..=4 of 8 weights, 16 check bits inside: three flips of these bits corrected, four detected | 0 | [`Constraint::TWO_BIT_ALL`] |
//! | `in-place-msb-16-8` | | bits 7..=4 of 4 weights, 8 check bits inside: two flips of these bits corrected | 0 | [`Constraint::TWO_BIT_ALL`] |
//! | `in-place-msb-48-24` | | bits 7..=2 of 8 weights of five bits, 24 check bits inside: five flips of these bits corrected, six detected | 0 | all weights in [-16, 15] |
//! | `in-place-msb-64-32` | | all bits of 8 weights of four bits, 32 check bits inside: five flips corrected, six detected | 0 | all weights in [-8, 7] |
//! | `lsb-64-56` | | 8 weights, 8 check bits on their least significant bits, which are lost | 0 | none |
//! | `bch-79-64` | | 8 weights and 15 check bits beside them: two flips corrected, three detected | 23.4 % | none |
//! | `dec-64-50` | | 8 weights as sign and magnitude, 14 check bits inside, and a marker of large blocks, which lose two bits a weight: two flips corrected | 1.6 % | none |
//! | `parity-avg` | avg | 8 weights and an even-parity bit each; mismatch: weight := mean of its neighbours | 12.5 % | none |
//! | `vote` | vote | a weight and a flag that it is in [-32, 31]; majority of its top three bits | 12.5 % | none |
//! | `weight-nulling` | | a weight, its bit 0 an even-parity bit; mismatch: weight := 0 | 0, lossy | none |
//! | `msb-tmr` | | a weight and two copies of its sign; majority | 25 % | none |
//! | `cep-8` | | a weight, bits 1 and 0 parities of three bits each; mismatch: these := 0 | 0, lossy | none |
//! | `mset-8` | | a weight, bits 1 and 0 copies of its sign; majority | 0, lossy | none |
//! | `idealized-64` | | 8 weights, restored by knowing them when at most one bit flips; `idealized-64-t2`: two | 0 | none |
//!
//! The idealized protections cannot be built: the paper's released simulation computes them ([`Idealized`]). A lossy
//! protection returns other weights than were stored even without faults ([`Protection::as_stored`]). `in-place-list` loses
//! nothing: a second region lists the clamped weights ([`Exception`]) in words of `secded-72-64`.
//!
//! [`by_id`] finds a protection by its id or the paper's name. A new protection is a file in `src/protections/` and a
//! line in its registry; `docs/src/own-protection.md` shows how. `docs/src/specification-memory.md` specifies the bits,
//! matrix and decoding of each, so that another implementation reads the same weights.
//!
//! A code whose words hold several weights leaves a detected word (DUE) as received, as in the paper. `id+zero-word` reads
//! all its weights as 0 instead, `id+range-clamp` clamps them into the range of small weights ([`DuePolicy`]).
//!
//! An [`OutcomeDistribution`] counts in closed form how many patterns of k flips a decoder corrects, detects or misses.
//! The probability of each outcome at a bit error rate follows, for a word or a whole memory ([`MemoryDistribution`]).
//!
//! # Three codecs for each code
//!
//! 1. [`LinearCode`] is the reference: a parity-check matrix and the textbook rules, bit by bit.
//! 2. The block and word codecs ([`Protection::encode_block`], [`Protection::decode_word`]) decide the effect of a flip.
//!    They are fold kernels (see `codes/fold.rs`) or tables (see `codes/matrix.rs`), tested against the reference over every stored
//!    bit.
//! 3. The [`Dense`] loops handle whole memories (see `dense/kernel.rs`), with a [`Kernel`] for each kind of machine, chosen at
//!    run time. They handle clean blocks and leave the others to the word codecs, against which they are tested. A
//!    protection may have no such loops.

mod codes;
mod dense;
mod due;
mod memory;
mod protection;
mod protections;
mod registration;
mod soundness;

pub use codes::outcomes::{MemoryDistribution, OutcomeDistribution, Outcomes};
pub use codes::{LinearCode, LinearCodeError, MatrixError, ParityCheckMatrix};
pub use dense::{Dense, Kernel};
pub use due::DuePolicy;
pub use memory::{BLOCK, Constraint, MemoryImage, MemoryLayout, Region, TensorRanges, TensorSpan, Violation};
pub use protection::{Protection, StatusCounts, WordShape, WordStatus};
pub use protections::{
    BlockCode, CodeMap, CodeMapError, Dec, Exception, Idealized, InPlace, InPlaceList, InPlaceSelfDual,
    MatrixCode, MatrixCodeError, Mixed, NoProtection, ParityAverage, ParityZero, SecDed, UnknownProtection,
    Unprotected, all, all_with, by_id, for_layout, known_id,
};
pub use registration::{
    RegistrationError, register, register_map, registered, registered_map, replace, replace_map,
};
pub use soundness::{UnsoundProtection, check_protection};
