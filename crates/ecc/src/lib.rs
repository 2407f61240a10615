//! Int8 weights to stored bits and back, through a protection.
//!
//! ```text
//! tensors --MemoryLayout--> weights, padded, in memory order --Protection::encode--> MemoryImage
//!                                                                                        | faults
//!                          weights as the network reads them <--Protection::decode_word--+
//! ```
//!
//! A [`MemoryImage`] is the memory itself: a *data plane* of one byte a weight, and a *check plane*
//! for the check bits that a protection keeps beside the weights. Every cell of both can flip. A
//! [`Protection`] stores blocks of weights in an image and reads single code words back; it never sees the
//! original, so all it can say of a word is [`WordStatus::Clean`], `Corrected` or `Detected`. Whether
//! a correction was right is for the caller to find out, who has the original.
//!
//! # The protections
//!
//! | id | paper's name | code word | stored overhead | constraint |
//! |---|---|---|---|---|
//! | `faulty` | faulty | a weight, bare | 0 | none |
//! | `parity-zero` | zero | a weight and an even-parity bit; mismatch: weight := 0 | 12.5 % | none |
//! | `secded-72-64` | ecc | 8 weights and 8 check bits beside them | 12.5 % | none |
//! | `in-place-64-57` | in-place | 8 weights, 7 check bits inside | 0 | [`Constraint::WOT`] |
//! | `in-place-list` | | 8 weights, 7 check bits inside; weights outside the range are clamped, and restored from an exception list | 72 cells for each of these | none |
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
//! | `idealized-64` | | 8 weights, restored by knowing them when at most one cell flips; `idealized-64-t2`: two | 0 | none |
//!
//! The idealized ones cannot be built: they are what the paper's released simulation computes ([`Idealized`]). A lossy
//! protection reads other weights than it was given even without faults ([`Protection::as_stored`]), unless it keeps those
//! beside the array in a list of [`Exception`]s, a memory of its own under `secded-72-64`, from which the caller puts them
//! back.
//!
//! [`by_id`] finds one by its id or the paper's name. A new one is a file in `src/protections/` and a
//! line in its registry; `docs/src/own-protection.md` shows how.
//!
//! The cells, matrix and decoding of each, in a form from which another implementation reads the same weights, are in
//! `docs/src/specification-memory.md`.
//!
//! A code of words of several weights leaves a detected word (DUE) as received, as in the paper. `id+zero-word` reads all
//! its weights as 0 instead, `id+range-clamp` clamps them into the range of small weights ([`DuePolicy`]).
//!
//! What flips do to a word is also known in closed form ([`OutcomeLaw`]): how many patterns of k flips its decoder corrects,
//! detects or misses, and so the probability of each at a bit error rate, for a word or a whole memory ([`MemoryLaw`]).
//!
//! # Three codecs for each code
//!
//! 1. [`LinearCode`] is the reference: a parity-check matrix and the textbook rules, bit by bit.
//! 2. The block and word codecs ([`Protection::encode_block`], [`Protection::decode_word`]) decide what a flip
//!    does. They are fold kernels (see `fold.rs`) or tables (see `matrix.rs`), tested against the reference over every stored cell.
//! 3. The [`Dense`] loops take whole memories (see `kernel.rs`), a [`Kernel`] for each kind of machine, chosen at
//!    run time. They do clean groups of blocks and leave the others to the word codecs, against which they are
//!    tested. A protection does without until it has some.

mod constraint;
mod dense;
mod due;
mod exception;
mod fold;
mod image;
mod kernel;
mod law;
mod layout;
mod linear;
mod matrix;
mod protection;
mod protections;

pub use constraint::{Constraint, Violation};
pub use dense::Dense;
pub use due::DuePolicy;
pub use exception::Exception;
pub use image::MemoryImage;
pub use kernel::Kernel;
pub use law::{MemoryLaw, OutcomeLaw, Outcomes};
pub use layout::{BLOCK, MemoryLayout, TensorSpan};
pub use linear::LinearCode;
pub use protection::{Protection, StatusCounts, WordShape, WordStatus};
pub use protections::{
    BlockCode, Cep, Dec, Faulty, Idealized, InPlace, InPlaceList, InPlaceSelfDual, MsbTmr, Mset,
    ParityAverage, ParityZero, SecDed, UnknownProtection, Vote, WeightNulling, all, all_with, by_id,
};
