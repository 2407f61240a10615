//! Tests of the crate through its public names.
#![allow(missing_docs)]

mod architectures;
mod bind;
mod golden;
mod import;
