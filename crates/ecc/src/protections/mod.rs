mod faulty;
mod in_place;
mod parity_zero;
mod secded;

pub use faulty::Faulty;
pub use in_place::InPlace;
pub use parity_zero::ParityZero;
pub use secded::SecDed;

use crate::{BLOCK, Kernel, Protection};

/// The registry: each protection with the other names it answers to.
fn registry(kernel: Kernel) -> [(Box<dyn Protection>, &'static [&'static str]); 4] {
    [
        (Box::new(Faulty::new(kernel)), &[]),
        (Box::new(ParityZero::new(kernel)), &["zero"]),
        (Box::new(SecDed::new(kernel)), &["ecc"]),
        (Box::new(InPlace::new(kernel)), &["in-place"]),
    ]
}

/// A protection that does not exist.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown protection `{0}`, expected one of {known}", known = known_ids())]
pub struct UnknownProtection(pub String);

/// Every protection, in the paper's order.
pub fn all() -> Vec<Box<dyn Protection>> {
    all_with(Kernel::fastest())
}

/// Every protection, with a given form of the dense loops: for comparing the forms.
pub fn all_with(kernel: Kernel) -> Vec<Box<dyn Protection>> {
    registry(kernel).into_iter().map(|(protection, _)| protection).collect()
}

/// The protection of that id, or of that name in the paper.
///
/// # Errors
/// When there is none; the message lists those there are.
pub fn by_id(name: &str) -> Result<Box<dyn Protection>, UnknownProtection> {
    registry(Kernel::fastest())
        .into_iter()
        .find(|(protection, aliases)| protection.id() == name || aliases.contains(&name))
        .map(|(protection, _)| protection)
        .ok_or_else(|| UnknownProtection(name.into()))
}

fn known_ids() -> String {
    all().iter().map(|p| p.id()).collect::<Vec<_>>().join(", ")
}

/// A block's weights as a word, weight i in bits 8 i .. 8 i + 8.
fn word(weights: &[i8; BLOCK]) -> u64 {
    u64::from_le_bytes(weights.map(i8::cast_unsigned))
}

/// Writes a block's weights.
fn store(block: u64, weights: &mut [i8]) {
    for (weight, byte) in weights.iter_mut().zip(block.to_le_bytes()) {
        *weight = byte.cast_signed();
    }
}
