use std::borrow::Cow;
use std::sync::Arc;

use crate::{BLOCK, Protection};

/// A region of a weight memory: whole blocks of eight bytes, stored in the words of one code.
///
/// [`Protection::regions`] lays a plane of weights out in one region or in several.
#[derive(Debug)]
pub struct Region<'p> {
    /// Name of the region.
    pub name: &'static str,
    /// Bytes that the region stores, a whole number of blocks.
    pub bytes: Cow<'p, [i8]>,
    /// Code of the region's words; `None` for the protection itself.
    pub code: Option<Arc<dyn Protection>>,
    /// True if faults reach the check bits. Only then do they count as stored bits.
    pub check_bits_exposed: bool,
    /// Index of the weight that each block belongs to, ascending; `None` if block b holds weights 8 b to 8 b + 7.
    pub owners: Option<Vec<u32>>,
}

impl<'p> Region<'p> {
    /// Region that stores a plane of weights in the protection's own words. Faults reach all of its bits.
    pub fn weights(plane: &'p [i8]) -> Self {
        Self {
            name: "weights",
            bytes: Cow::Borrowed(plane),
            code: None,
            check_bits_exposed: true,
            owners: None,
        }
    }

    /// Number of blocks that belong to weights before `weight`, an index on a block boundary.
    pub fn blocks_before(&self, weight: usize) -> usize {
        match &self.owners {
            None => weight / BLOCK,
            Some(owners) => owners.partition_point(|owner| (*owner as usize) < weight),
        }
    }
}
