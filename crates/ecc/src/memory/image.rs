use crate::{BLOCK, WordShape};

/// Stored bits of a memory: the bytes of the weights, and check bits beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryImage {
    data: Vec<u8>,
    check: Vec<u8>,
}

impl MemoryImage {
    /// Makes an image of two planes. Bit `i` of a plane is bit `i % 8` (from the least significant)
    /// of its byte `i / 8`; byte `i` of the data plane holds weight `i`.
    pub fn new(data: Vec<u8>, check: Vec<u8>) -> Self {
        Self { data, check }
    }

    /// Makes an image of zeros for `weights` weights in words of a shape.
    ///
    /// # Panics
    /// When the weights are no whole number of blocks.
    pub fn blank(word: WordShape, weights: usize) -> Self {
        assert!(weights.is_multiple_of(BLOCK), "a plane is a whole number of blocks, got {weights} weights");
        Self::new(vec![0; weights], vec![0; word.check_bits_of(weights).div_ceil(8)])
    }

    /// Bytes of the weights.
    #[inline]
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Bytes of the check bits beside the weights; empty if there are none.
    #[inline]
    pub fn check(&self) -> &[u8] {
        &self.check
    }

    /// Number of bits of the data plane.
    pub fn data_bits(&self) -> u64 {
        8 * self.data.len() as u64
    }

    /// Number of bits of the check plane.
    pub fn check_bits(&self) -> u64 {
        8 * self.check.len() as u64
    }

    /// Flips one bit of the data plane.
    ///
    /// # Panics
    /// When there is no such bit.
    #[inline]
    pub fn flip_data(&mut self, bit: u64) {
        flip(&mut self.data, bit);
    }

    /// Flips one bit of the check plane.
    ///
    /// # Panics
    /// When there is no such bit.
    #[inline]
    pub fn flip_check(&mut self, bit: u64) {
        flip(&mut self.check, bit);
    }

    /// Returns block `index` of the data plane: weight `i` of the block in bits `8 i .. 8 i + 8`.
    ///
    /// # Panics
    /// When there is no such block.
    #[inline]
    pub fn block(&self, index: usize) -> u64 {
        u64::from_le_bytes(self.data.as_chunks().0[index])
    }

    /// Writes block `index` of the data plane.
    ///
    /// # Panics
    /// When there is no such block.
    #[inline]
    pub fn set_block(&mut self, index: usize, block: u64) {
        self.data.as_chunks_mut().0[index] = block.to_le_bytes();
    }

    /// Returns the check bits of word `word` if each word has `bits` of them, at most 64.
    ///
    /// # Panics
    /// When there is no such word.
    #[inline]
    pub fn check_word(&self, word: usize, bits: usize) -> u64 {
        if bits == 0 {
            return 0;
        }
        if bits.is_multiple_of(8) {
            let mut value = [0; 8];
            value[..bits / 8].copy_from_slice(&self.check[word * bits / 8..][..bits / 8]);
            return u64::from_le_bytes(value);
        }
        let range = word * bits..(word + 1) * bits;
        let bytes = self.check[range.start / 8..range.end.div_ceil(8)].iter().rev();
        let around = bytes.fold(0, |value, &byte| value << 8 | u128::from(byte));
        (around >> (range.start % 8)) as u64 & u64::MAX >> (64 - bits)
    }

    /// Writes the check bits of word `word`; no higher bit of `value` may be set.
    ///
    /// # Panics
    /// When there is no such word.
    #[inline]
    pub fn set_check_word(&mut self, word: usize, bits: usize, value: u64) {
        if bits == 0 {
            return;
        }
        if bits.is_multiple_of(8) {
            let place = &mut self.check[word * bits / 8..][..bits / 8];
            return place.copy_from_slice(&value.to_le_bytes()[..bits / 8]);
        }
        let range = word * bits..(word + 1) * bits;
        let shift = range.start % 8;
        let kept = !(u128::from(u64::MAX >> (64 - bits)) << shift);
        let value = u128::from(value) << shift;
        for (i, byte) in self.check[range.start / 8..range.end.div_ceil(8)].iter_mut().enumerate() {
            *byte = *byte & (kept >> (8 * i)) as u8 | (value >> (8 * i)) as u8;
        }
    }

    /// The data plane and the check plane.
    pub(crate) fn planes_mut(&mut self) -> (&mut [u8], &mut [u8]) {
        (&mut self.data, &mut self.check)
    }
}

#[inline]
fn flip(plane: &mut [u8], bit: u64) {
    plane[usize::try_from(bit / 8).expect("planes are addressed with usize")] ^= 1 << (bit % 8);
}
