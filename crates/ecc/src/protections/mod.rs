mod bch;
mod block_code;
mod cep;
mod code_map;
mod dec;
mod idealized;
mod in_place;
mod in_place_32;
mod in_place_dected;
mod in_place_list;
mod in_place_msb;
mod in_place_self_dual;
mod lsb;
mod matrix_code;
mod msb_tmr;
mod mset;
mod parity_average;
mod parity_zero;
mod per_weight;
mod secded;
mod unprotected;
mod vote;
mod weight_nulling;

pub use block_code::BlockCode;
pub use code_map::{CodeMap, CodeMapError, Mixed};
pub use dec::Dec;
pub use idealized::Idealized;
pub use in_place::InPlace;
pub use in_place_list::{Exception, InPlaceList};
pub use in_place_self_dual::InPlaceSelfDual;
pub use matrix_code::{MatrixCode, MatrixCodeError};
pub use parity_average::ParityAverage;
pub use parity_zero::ParityZero;
pub use secded::SecDed;
pub use unprotected::Unprotected;

use std::sync::Arc;

use design::ProtectionName;

use self::cep::Cep;
use self::msb_tmr::MsbTmr;
use self::mset::Mset;
use self::per_weight::PerWeight;
use self::vote::Vote;
use self::weight_nulling::WeightNulling;
use crate::due::UnderPolicy;
use crate::registration::{registered, registered_map};
use crate::{BLOCK, DuePolicy, Kernel, MemoryLayout, Protection};

/// A protection that does not exist.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown protection `{name}`, expected {expected}")]
pub struct UnknownProtection {
    /// Name that was asked for.
    pub name: String,
    /// Known names.
    pub expected: String,
}

/// Returns all built-in protections, the paper's four first. Detected words are read as received.
pub fn all() -> Vec<Arc<dyn Protection>> {
    all_with(Kernel::fastest())
}

/// Returns all built-in protections, the registry, with a given form of the dense loops, for comparisons of the forms.
pub fn all_with(kernel: Kernel) -> Vec<Arc<dyn Protection>> {
    vec![
        Arc::new(Unprotected::new(kernel)),
        Arc::new(ParityZero::new(kernel)),
        Arc::new(SecDed::new(kernel)),
        Arc::new(InPlace::new(kernel)),
        Arc::new(InPlaceList::new(kernel)),
        Arc::new(BlockCode::in_place_dected(kernel)),
        Arc::new(BlockCode::in_place_32(kernel)),
        Arc::new(BlockCode::in_place_dected_narrow(kernel)),
        Arc::new(BlockCode::in_place_msb(kernel)),
        Arc::new(BlockCode::in_place_msb_of_four(kernel)),
        Arc::new(InPlaceSelfDual::msb_48_24(kernel)),
        Arc::new(InPlaceSelfDual::msb_64_32(kernel)),
        Arc::new(BlockCode::lsb(kernel)),
        Arc::new(BlockCode::bch(kernel)),
        Arc::new(Dec::new(kernel)),
        Arc::new(ParityAverage::new(kernel)),
        PerWeight::<Vote>::shared(kernel),
        PerWeight::<WeightNulling>::shared(kernel),
        PerWeight::<MsbTmr>::shared(kernel),
        PerWeight::<Cep>::shared(kernel),
        PerWeight::<Mset>::shared(kernel),
        Arc::new(Idealized::SINGLE),
        Arc::new(Idealized::DOUBLE),
    ]
}

/// Returns the protection with an id, or with a name in the paper ([`ProtectionName`]); for `id+policy`, the protection
/// whose detected words are read by another policy ([`DuePolicy::id`]). Built-in and registered protections
/// ([`crate::register`]) are known.
///
/// # Errors
/// When no protection has the name; the message lists the known names.
pub fn by_id(name: &str) -> Result<Arc<dyn Protection>, UnknownProtection> {
    let unknown = |expected: String| UnknownProtection { name: name.into(), expected };
    let no_code = || unknown(format!("one of {}", known_ids()));
    let asked = ProtectionName::new(name).map_err(|_| no_code())?;
    let mut known = all().into_iter().chain(registered());
    let found = known.find(|protection| protection.id() == asked.code()).ok_or_else(no_code)?;
    let Some(policy) = asked.policy() else {
        return Ok(found);
    };
    match found.due_policies().iter().find(|known| known.id() == policy) {
        Some(DuePolicy::Keep) => Ok(found),
        Some(&policy) => Ok(Arc::new(UnderPolicy::new(found, policy))),
        None => Err(unknown(expected_policy(&*found, policy))),
    }
}

/// The reason for which a name stands for no protection of a network.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoProtection {
    /// No protection has the name.
    #[error(transparent)]
    Unknown(#[from] UnknownProtection),
    /// The code map with the name does not fit the network.
    #[error(transparent)]
    Map(#[from] CodeMapError),
}

/// Returns the protection with a name for a memory with this layout: the protection of [`by_id`], or the codes of the registered
/// [`CodeMap`] with this id.
///
/// # Errors
/// When nothing has the name, or the code map has not one code for each tensor.
pub fn for_layout(name: &str, layout: &MemoryLayout) -> Result<Arc<dyn Protection>, NoProtection> {
    match registered_map(name) {
        Some(map) => Ok(Arc::new(map.protection(layout)?)),
        None => Ok(by_id(name)?),
    }
}

/// Returns the id that a name stands for: that of the protection of [`by_id`], or of a registered [`CodeMap`].
///
/// # Errors
/// When nothing has the name.
pub fn known_id(name: &str) -> Result<String, UnknownProtection> {
    match registered_map(name) {
        Some(map) => Ok(map.id().into()),
        None => Ok(by_id(name)?.id().into()),
    }
}

/// Names to use instead of a protection with a policy that it does not have.
fn expected_policy(protection: &dyn Protection, policy: &str) -> String {
    let id = protection.id();
    if protection.due_policies().is_empty() {
        return format!("{id} alone, which has no choice of what a detected word reads as");
    }
    let known: Vec<String> =
        protection.due_policies().iter().map(|policy| format!("+{}", policy.id())).collect();
    let known = format!("{id} with one of {}", known.join(", "));
    match policy {
        "zero-weights" => format!("{known}: it cannot tell which weights of a detected word are wrong"),
        _ => known,
    }
}

fn known_ids() -> String {
    all().iter().chain(&registered()).map(|p| p.id()).collect::<Vec<_>>().join(", ")
}

/// Weights of a block as a word, weight i in bits 8 i .. 8 i + 8.
fn word(weights: &[i8; BLOCK]) -> u64 {
    u64::from_le_bytes(weights.map(i8::cast_unsigned))
}

/// Writes a block's weights.
#[inline]
fn store(block: u64, weights: &mut [i8]) {
    let bytes = block.to_le_bytes().map(u8::cast_signed);
    match <&mut [i8; BLOCK]>::try_from(&mut *weights) {
        Ok(weights) => *weights = bytes,
        Err(_) => weights.iter_mut().zip(bytes).for_each(|(weight, byte)| *weight = byte),
    }
}

/// Powers of x in the field GF(2^m) of a primitive polynomial of degree m, which are all elements but 0. Bit j of an
/// element is its coefficient of x^j.
fn powers_of_x(polynomial: u16) -> Vec<u16> {
    let times_x = |element: u16| (element << 1).min(element << 1 ^ polynomial);
    let mut powers = vec![1];
    while let next @ 2.. = times_x(powers[powers.len() - 1]) {
        powers.push(next);
    }
    powers
}
