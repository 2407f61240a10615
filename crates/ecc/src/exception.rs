use crate::{BLOCK, Kernel, Protection, SecDed};

/// An entry of an exception list: a weight that its code words cannot hold, kept beside them
/// ([`Protection::exceptions`]).
///
/// It is stored as a word of `secded-72-64`: the index in bytes 0..=3, least significant first, the value in byte 4,
/// and zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Plane index of the weight.
    pub index: u32,
    /// Its value.
    pub value: i8,
}

impl Exception {
    /// Stored cells of an entry.
    pub const CELLS: usize = 72;

    /// The code of its word.
    pub fn code() -> SecDed {
        SecDed::new(Kernel::fastest())
    }

    /// The bytes of its word.
    pub fn to_bytes(self) -> [i8; BLOCK] {
        let [a, b, c, d] = self.index.to_le_bytes().map(u8::cast_signed);
        [a, b, c, d, self.value, 0, 0, 0]
    }

    /// What the bytes of a word say, whatever is in the last three.
    pub fn from_bytes([a, b, c, d, value, ..]: [i8; BLOCK]) -> Self {
        Self { index: u32::from_le_bytes([a, b, c, d].map(i8::cast_unsigned)), value }
    }

    /// Those of `plane` that read back as other values than its own, as `protection` stores them.
    ///
    /// # Panics
    /// When the plane has more than 2^32 weights.
    pub(crate) fn all_of<P: Protection + ?Sized>(protection: &P, plane: &[i8]) -> Vec<Self> {
        let mut all = Vec::new();
        for (block, weights) in plane.as_chunks().0.iter().enumerate() {
            for (i, (&value, stored)) in weights.iter().zip(protection.as_stored(*weights)).enumerate() {
                if value != stored {
                    let index = u32::try_from(BLOCK * block + i).expect("a plane of at most 2^32 weights");
                    all.push(Self { index, value });
                }
            }
        }
        all
    }
}
