//! Memories that gather flips and are scrubbed between.

use std::collections::BTreeMap;

use ecc::{BLOCK, MemoryImage, WordStatus};
use inject::FaultPattern;

use crate::StoredNetwork;
use crate::resolve::is_set;

impl StoredNetwork<'_> {
    /// The cells that differ from what was stored when in each of several intervals the cells of a pattern flip, and the
    /// memory is scrubbed between two of them. Only blocks that differ are kept.
    pub(crate) fn net_flips(&self, intervals: Vec<FaultPattern>) -> FaultPattern {
        let [data_cells, check_cells] = self.cells_of_block();
        let mut blocks: BTreeMap<u64, MemoryImage> = BTreeMap::new();
        let last = intervals.len() - 1;
        for (number, flips) in intervals.into_iter().enumerate() {
            let mut hit = Vec::new();
            for bit in flips.data {
                let block = bit / data_cells;
                blocks.entry(block).or_insert_with(|| self.stored(block)).flip_data(bit % data_cells);
                hit.push(block);
            }
            for bit in flips.check {
                let block = bit / check_cells;
                blocks.entry(block).or_insert_with(|| self.stored(block)).flip_check(bit % check_cells);
                hit.push(block);
            }
            if number == last {
                break;
            }
            hit.sort(); // two ascending runs
            hit.dedup();
            // A scrub changes nothing in the others: it has seen them as they are before.
            for block in hit {
                let image = blocks.get_mut(&block).expect("it was hit");
                let stored = self.stored(block);
                self.scrub(block, image);
                if *image == stored {
                    blocks.remove(&block);
                }
            }
        }
        let mut net = FaultPattern::default();
        for (block, image) in blocks {
            let stored = self.stored(block);
            let differ = |plane: fn(&MemoryImage) -> &[u8], cells: u64| {
                let (now, then) = (plane(&image), plane(&stored));
                let differing = (0..cells).filter(|&bit| is_set(now, bit) != is_set(then, bit));
                differing.map(|bit| block * cells + bit).collect::<Vec<_>>()
            };
            net.data.extend(differ(MemoryImage::data, data_cells));
            net.check.extend(differ(MemoryImage::check, check_cells));
        }
        net
    }

    /// Reads each word of a block; where the decoder changes it, stores what was read. Words that it declares
    /// uncorrectable stay as they are.
    fn scrub(&self, block: u64, image: &mut MemoryImage) {
        let shape = self.protection().word();
        let mut weights = self.network().plane.as_chunks::<BLOCK>().0[block as usize];
        let mut rewritten = Vec::new();
        for (word, read) in weights.chunks_exact_mut(shape.weights).enumerate() {
            let mut now = vec![0; shape.weights];
            if self.protection().decode_word(image, word, &mut now) == WordStatus::Corrected {
                read.copy_from_slice(&now);
                rewritten.push(word);
            }
        }
        let anew = self.encoded(&weights);
        for word in rewritten {
            for bit in cells_of(word, 8 * shape.weights) {
                if is_set(image.data(), bit) != is_set(anew.data(), bit) {
                    image.flip_data(bit);
                }
            }
            for bit in cells_of(word, shape.check_bits) {
                if is_set(image.check(), bit) != is_set(anew.check(), bit) {
                    image.flip_check(bit);
                }
            }
        }
    }
}

/// The cells of a word in a plane in which each word has `cells` of them.
fn cells_of(word: usize, cells: usize) -> std::ops::Range<u64> {
    (word * cells) as u64..((word + 1) * cells) as u64
}
