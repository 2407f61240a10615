//! Linear codes: the reference codec, the fast forms of their matrices, and the outcomes of decoding.

pub(crate) mod fold;
mod linear;
pub(crate) mod matrix;
pub(crate) mod outcomes;

pub use linear::LinearCode;
