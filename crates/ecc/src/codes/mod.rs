//! Linear codes: the reference codec, the fast forms of their matrices, and the outcomes of decoding.

pub(crate) mod fold;
mod linear;
pub(crate) mod matrix;
pub(crate) mod outcomes;
mod parity_check;
pub(crate) mod sign_magnitude;

pub use linear::{LinearCode, LinearCodeError};
pub use parity_check::{MatrixError, ParityCheckMatrix};
