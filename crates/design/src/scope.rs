use std::fmt;

use crate::SharedText;

/// The stored bits that a fault model sees. It takes these, in their order, for the whole memory: a rate, a count or a
/// distance between bits is one among the bits in scope.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// Only this bit of the byte that holds each weight, 0 the least significant, 7 the sign; no check bits.
    pub bit: Option<u8>,
    /// Only the bits of the tensor with this name: of its weights and padding, and the check bits of its code words, or
    /// the entries of an exception list that name its weights.
    pub tensor: Option<SharedText>,
}

impl Scope {
    /// Returns true if all bits are in scope.
    pub fn is_whole(&self) -> bool {
        self.bit.is_none() && self.tensor.is_none()
    }
}

impl fmt::Display for Scope {
    /// `bit=K,tensor=NAME`, without the absent parts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.bit, &self.tensor) {
            (None, None) => Ok(()),
            (Some(bit), None) => write!(f, "bit={bit}"),
            (None, Some(tensor)) => write!(f, "tensor={tensor}"),
            (Some(bit), Some(tensor)) => write!(f, "bit={bit},tensor={tensor}"),
        }
    }
}
