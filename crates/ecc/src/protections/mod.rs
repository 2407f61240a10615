mod faulty;
mod in_place;
mod parity_zero;
mod secded;

pub use faulty::Faulty;
pub use in_place::InPlace;
pub use parity_zero::ParityZero;
pub use secded::SecDed;

use crate::Protection;

/// The registry: each protection with the other names it answers to.
fn registry() -> [(Box<dyn Protection>, &'static [&'static str]); 4] {
    [
        (Box::new(Faulty), &[]),
        (Box::new(ParityZero), &["zero"]),
        (Box::new(SecDed::new()), &["ecc"]),
        (Box::new(InPlace::new()), &["in-place"]),
    ]
}

/// A protection that does not exist.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown protection `{0}`, expected one of {known}", known = known_ids())]
pub struct UnknownProtection(pub String);

/// Every protection, in the paper's order.
pub fn all() -> Vec<Box<dyn Protection>> {
    registry().into_iter().map(|(protection, _)| protection).collect()
}

/// The protection of that id, or of that name in the paper.
///
/// # Errors
/// When there is none; the message lists those there are.
pub fn by_id(name: &str) -> Result<Box<dyn Protection>, UnknownProtection> {
    registry()
        .into_iter()
        .find(|(protection, aliases)| protection.id() == name || aliases.contains(&name))
        .map(|(protection, _)| protection)
        .ok_or_else(|| UnknownProtection(name.into()))
}

fn known_ids() -> String {
    all().iter().map(|p| p.id()).collect::<Vec<_>>().join(", ")
}

/// The bytes of a plane.
fn bytes(plane: &[i8]) -> Vec<u8> {
    plane.iter().map(|w| w.cast_unsigned()).collect()
}

/// The blocks of a plane, weight i in bits 8 i .. 8 i + 8.
fn blocks(plane: &[i8]) -> impl Iterator<Item = u64> + '_ {
    let (blocks, rest) = plane.as_chunks::<{ crate::BLOCK }>();
    assert!(rest.is_empty(), "a plane is a whole number of blocks, got {} weights", plane.len());
    blocks.iter().map(|block| u64::from_le_bytes(block.map(i8::cast_unsigned)))
}

/// Writes a block's weights.
fn store(block: u64, weights: &mut [i8]) {
    for (weight, byte) in weights.iter_mut().zip(block.to_le_bytes()) {
        *weight = byte.cast_signed();
    }
}
