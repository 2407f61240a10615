//! From what faults do to stored bits, to the cells that flip.

use std::collections::BTreeMap;
use std::ops::Range;

use design::Scope;
use ecc::{BLOCK, Exception, MemoryImage, Protection};
use inject::{FaultPattern, Faults, ScopedBits};

use crate::exceptions::ExceptionList;
use crate::trial::READ_BACK;
use crate::{Network, StoredNetwork};

/// A scope that names a tensor which the network does not have.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{model} has no tensor {tensor:?}, expected one of {known}")]
pub struct UnknownTensor {
    /// Network label.
    pub model: String,
    /// The name found.
    pub tensor: String,
    /// Its tensors.
    pub known: String,
}

impl Network {
    /// Returns the bits that a fault model with this scope sees under a protection.
    pub(crate) fn bits_in(
        &self,
        scope: &Scope,
        protection: &dyn Protection,
    ) -> Result<ScopedBits, UnknownTensor> {
        let weights = match &scope.tensor {
            None => 0..self.plane.len(),
            Some(name) => self.stored_tensor(name)?,
        };
        let exceptions = protection.exceptions(&self.plane);
        let listed = |weights: usize| exceptions.partition_point(|entry| (entry.index as usize) < weights);
        let check_bits =
            |weights: usize| protection.exposed().check_bits_of(weights) + listed(weights) * Exception::CELLS;
        let cells = |weights: usize| [8 * weights, check_bits(weights)].map(|cells| cells as u64);
        let ([data_start, check_start], [data_end, check_end]) = (cells(weights.start), cells(weights.end));
        Ok(ScopedBits::new(scope, data_start..data_end, check_start..check_end))
    }
}

impl StoredNetwork<'_> {
    /// The cells that differ from what was stored when the network reads the memory.
    pub(crate) fn resolve(&self, faults: Faults) -> FaultPattern {
        let Some(list) = &self.list else { return self.resolve_words(faults) };
        let [array, entries] = ExceptionList::split_faults(faults);
        ExceptionList::joined([self.resolve_words(array), list.memory.resolve_words(entries)])
    }

    fn resolve_words(&self, faults: Faults) -> FaultPattern {
        match faults {
            Faults::Flips(pattern) => pattern,
            Faults::ByStoredBit { ones, zeros } => {
                let (ones, zeros) = (self.split_by_bit(ones).1, self.split_by_bit(zeros).0);
                FaultPattern { data: merged(zeros.data, ones.data), check: merged(zeros.check, ones.check) }
            }
            Faults::BetweenScrubs(intervals) => self.net_flips(intervals),
        }
    }

    /// How many cells in a scope hold 1.
    pub(crate) fn ones_in(&self, scope: &Scope) -> Result<u64, UnknownTensor> {
        let network = self.network();
        let weights = match &scope.tensor {
            None => 0..network.plane.len(),
            Some(name) => network.stored_tensor(name)?,
        };
        let mut ones = self.ones_of(weights.clone(), scope.bit);
        if let (Some(list), None) = (&self.list, scope.bit) {
            let exceptions = self.protection().exceptions(&network.plane);
            let listed =
                |end: usize| BLOCK * exceptions.partition_point(|entry| (entry.index as usize) < end);
            ones += list.memory.ones_of(listed(weights.start)..listed(weights.end), None);
        }
        Ok(ones)
    }

    /// How many cells of whole blocks hold 1, all that faults can reach, or those of a bit of the weights' bytes.
    fn ones_of(&self, weights: Range<usize>, bit: Option<u8>) -> u64 {
        let mask = bit.map_or(u8::MAX, |bit| 1 << bit);
        let ones = |bytes: &[u8], mask: u8| {
            bytes.iter().map(|byte| u64::from((byte & mask).count_ones())).sum::<u64>()
        };
        let checks = bit.is_none() && self.protection().exposed().check_bits_of(BLOCK) > 0;
        let of_part = |part: &[i8]| {
            let mut memory = MemoryImage::blank(self.protection().word(), part.len());
            self.protection().encode_plane(part, &mut memory);
            ones(memory.data(), mask) + if checks { ones(memory.check(), u8::MAX) } else { 0 }
        };
        self.network().plane[weights].chunks(READ_BACK).map(of_part).sum()
    }

    /// The cells of a pattern that hold 0, and those that hold 1.
    fn split_by_bit(&self, pattern: FaultPattern) -> (FaultPattern, FaultPattern) {
        let mut blocks: BTreeMap<u64, MemoryImage> = BTreeMap::new();
        let [data_cells, check_cells] = self.cells_of_block();
        let mut split = |offsets: Vec<u64>, cells: u64, plane: fn(&MemoryImage) -> &[u8]| {
            offsets.into_iter().partition::<Vec<u64>, _>(|offset| {
                let image = blocks.entry(offset / cells).or_insert_with_key(|&block| self.stored(block));
                !is_set(plane(image), offset % cells)
            })
        };
        let (data_zeros, data_ones) = split(pattern.data, data_cells, MemoryImage::data);
        let (check_zeros, check_ones) = split(pattern.check, check_cells, MemoryImage::check);
        (
            FaultPattern { data: data_zeros, check: check_zeros },
            FaultPattern { data: data_ones, check: check_ones },
        )
    }

    /// Cells of a block in the data plane and in the check plane.
    pub(crate) fn cells_of_block(&self) -> [u64; 2] {
        [8 * BLOCK, self.protection().word().check_bits_of(BLOCK)].map(|cells| cells as u64)
    }

    /// A memory of one block, as block `block` of the network is stored.
    pub(crate) fn stored(&self, block: u64) -> MemoryImage {
        self.encoded(&self.network().plane.as_chunks::<BLOCK>().0[block as usize])
    }

    pub(crate) fn encoded(&self, weights: &[i8; BLOCK]) -> MemoryImage {
        let mut image = MemoryImage::blank(self.protection().word(), BLOCK);
        self.protection().encode_block(weights, &mut image, 0);
        image
    }
}

pub(crate) fn is_set(plane: &[u8], bit: u64) -> bool {
    plane[(bit / 8) as usize] >> (bit % 8) & 1 == 1
}

/// Two ascending lists as one.
fn merged(mut one: Vec<u64>, other: Vec<u64>) -> Vec<u64> {
    one.extend(other);
    one.sort(); // two ascending runs
    one
}
