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
    /// Index of the first weight whose byte the region holds: block b then holds the eight weights from 8 b after it on. `None`
    /// if the region holds other bytes than weights.
    pub first_weight: Option<usize>,
    /// Index of the weight that each block belongs to, ascending; `None` if the region holds weights.
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
            first_weight: Some(0),
            owners: None,
        }
    }

    /// Number of blocks that belong to weights before `weight`, an index on a block boundary.
    pub fn blocks_before(&self, weight: usize) -> usize {
        match &self.owners {
            None => {
                let before = weight.saturating_sub(self.first_weight.unwrap_or(0));
                before.min(self.bytes.len()) / BLOCK
            }
            Some(owners) => owners.partition_point(|owner| (*owner as usize) < weight),
        }
    }
}
