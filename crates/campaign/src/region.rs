//! One region of a stored network: the bits that flip in it, and what its words return.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use ecc::{BLOCK, MemoryImage, MemoryLayout, Protection, Region, WordShape, WordStatus};
use inject::FaultPattern;

use crate::account::{WordAccount, WordOutcome};
use graph::WeightChange;

use crate::Trial;

/// Bytes that are read back at a time when a region is stored: few enough for the caches.
const READ_BACK: usize = 1 << 16;

/// Bits of a block's bytes.
const DATA_BITS: u64 = 8 * BLOCK as u64;

/// Flips in one block of a region.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BlockFlips {
    /// Number of the block in the region.
    block: u64,
    /// Flips of the block's bytes, bit j of byte i in bit 8 i + j.
    data: u64,
    /// Flips of the block's check bits.
    check: u64,
}

impl BlockFlips {
    fn is_empty(&self) -> bool {
        self.data | self.check == 0
    }

    /// Flips the bits of `image`, which has one block.
    fn apply(&self, image: &mut MemoryImage, shape: WordShape) {
        image.set_block(0, image.block(0) ^ self.data);
        if self.check != 0 {
            let check_bits = shape.check_bits_of(BLOCK);
            image.set_check_word(0, check_bits, image.check_word(0, check_bits) ^ self.check);
        }
    }

    /// Bit w: word w of the block is hit.
    fn words_hit(&self, shape: WordShape) -> u8 {
        let of_data = ones(self.data).map(|bit| bit / (8 * shape.weights as u64));
        let of_check = ones(self.check).map(|bit| bit / shape.check_bits as u64);
        of_data.chain(of_check).fold(0, |hit, word| hit | 1 << word)
    }

    /// The flips in word `word` of the block alone.
    fn of_word(&self, word: usize, shape: WordShape) -> Self {
        let mask = |bits: usize| match bits {
            0 => 0,
            _ => u64::MAX >> (64 - bits) << (bits * word),
        };
        Self {
            block: self.block,
            data: self.data & mask(8 * shape.weights),
            check: self.check & mask(shape.check_bits),
        }
    }
}

/// Blocks in ascending order with all their flips, from ascending runs.
fn merged(mut flips: Vec<BlockFlips>) -> Vec<BlockFlips> {
    flips.sort_by_key(|flips| flips.block);
    flips.dedup_by(|later, first| {
        let same = later.block == first.block;
        if same {
            first.data ^= later.data;
            first.check ^= later.check;
        }
        same
    });
    flips
}

/// Indices of the bits of a number that are 1.
fn ones(mut bits: u64) -> impl Iterator<Item = u64> {
    std::iter::from_fn(move || {
        let lowest = bits.trailing_zeros();
        bits &= bits.wrapping_sub(1);
        (lowest < 64).then_some(lowest.into())
    })
}

/// Number of bits that a block of a region has in the check plane. The bytes of a network's first region are the data
/// plane; all bits of the others are in the check plane.
pub(crate) fn check_plane_bits(region: &Region<'_>, code: &dyn Protection, is_first: bool) -> u64 {
    let check_bits = if region.check_bits_exposed { code.word().check_bits_of(BLOCK) as u64 } else { 0 };
    check_bits + if is_first { 0 } else { DATA_BITS }
}

/// A region of a stored network.
///
/// The memory itself is nowhere: it follows from the bytes, so the few blocks that a trial hits are encoded when they are
/// hit.
#[derive(Debug)]
pub struct StoredRegion<'a> {
    region: Region<'a>,
    layout: Cow<'a, MemoryLayout>,
    code: Arc<dyn Protection>,
    /// Offset of the region's bits in the check plane.
    check_plane: Range<u64>,
    /// Bits of a block in the check plane: the check bits that faults reach, after the bytes unless these are the data
    /// plane.
    check_plane_bits: u64,
    is_data_plane: bool,
    losses: Vec<WeightChange>,
}

impl<'a> StoredRegion<'a> {
    /// Stores a region and reads it back. Its bits in the check plane begin at `check_start`; the first region of a
    /// network, whose bytes are laid out as its weights, has that layout.
    ///
    /// # Panics
    /// When other bytes are read back than [`Protection::as_stored`] says, or padding is.
    pub(crate) fn new(
        mut region: Region<'a>,
        protection: &Arc<dyn Protection>,
        weights: Option<&'a MemoryLayout>,
        check_start: u64,
    ) -> Self {
        let code = region.code.take().map_or_else(|| Arc::clone(protection), Arc::from);
        let is_data_plane = weights.is_some();
        let layout = weights.map_or_else(
            || Cow::Owned(MemoryLayout::new([(region.name, region.bytes.len())])),
            Cow::Borrowed,
        );
        let check_plane_bits = check_plane_bits(&region, &*code, is_data_plane);
        let blocks = (region.bytes.len() / BLOCK) as u64;
        let check_plane = check_start..check_start + blocks * check_plane_bits;
        let losses = losses(&region.bytes, &layout, &*code);
        Self { region, layout, code, check_plane, check_plane_bits, is_data_plane, losses }
    }

    /// Names of the region's bytes: the network's tensors, or one name for all.
    pub fn layout(&self) -> &MemoryLayout {
        &self.layout
    }

    /// Code of the region's words.
    pub fn code(&self) -> &dyn Protection {
        &*self.code
    }

    pub(crate) fn bytes(&self) -> &[i8] {
        &self.region.bytes
    }

    pub(crate) fn check_plane(&self) -> Range<u64> {
        self.check_plane.clone()
    }

    /// Bytes that are read with other values without faults, in memory order.
    pub(crate) fn losses(&self) -> &[WeightChange] {
        &self.losses
    }

    /// Word with the check bits that faults reach.
    pub(crate) fn exposed_word(&self) -> WordShape {
        let shape = self.code.word();
        WordShape { check_bits: if self.region.check_bits_exposed { shape.check_bits } else { 0 }, ..shape }
    }

    /// Number of stored bits that hold 1 and belong to some weights, which are whole blocks: all bits that faults reach,
    /// or bit `bit` of the weights' own bytes.
    pub(crate) fn ones_of(&self, weights: Range<usize>, bit: Option<u8>) -> u64 {
        if bit.is_some() && !self.is_data_plane {
            return 0;
        }
        let blocks = self.region.blocks_before(weights.start)..self.region.blocks_before(weights.end);
        let mask = bit.map_or(u8::MAX, |bit| 1 << bit);
        let ones = |bytes: &[u8], mask: u8| {
            bytes.iter().map(|byte| u64::from((byte & mask).count_ones())).sum::<u64>()
        };
        let checks = bit.is_none() && self.region.check_bits_exposed;
        let of_part = |part: &[i8]| {
            let mut memory = MemoryImage::blank(self.code.word(), part.len());
            self.code.encode_plane(part, &mut memory);
            ones(memory.data(), mask) + if checks { ones(memory.check(), u8::MAX) } else { 0 }
        };
        self.bytes()[BLOCK * blocks.start..BLOCK * blocks.end].chunks(READ_BACK).map(of_part).sum()
    }

    /// Writes the region's bits of the check plane, and returns its bytes as stored.
    pub(crate) fn write(&self, check_plane: &mut [u8]) -> Vec<u8> {
        let mut memory = MemoryImage::blank(self.code.word(), self.bytes().len());
        self.code.encode_plane(self.bytes(), &mut memory);
        if self.is_data_plane && self.check_plane_bits > 0 {
            // Its check bits begin the plane, block after block.
            check_plane[..memory.check().len()].copy_from_slice(memory.check());
        } else if self.check_plane_bits > 0 {
            let check_bits = self.code.word().check_bits_of(BLOCK);
            for block in 0..memory.data().len() / BLOCK {
                let start = self.check_plane.start + block as u64 * self.check_plane_bits;
                let checks = ones(memory.check_word(block, check_bits)).map(|bit| DATA_BITS + bit);
                for bit in ones(memory.block(block)).chain(checks) {
                    check_plane[((start + bit) / 8) as usize] |= 1 << ((start + bit) % 8);
                }
            }
        }
        memory.data().to_vec()
    }

    /// Flips of a pattern that are in this region.
    pub(crate) fn flips(&self, pattern: &FaultPattern) -> Vec<BlockFlips> {
        let data = if self.is_data_plane { pattern.data.as_slice() } else { &[] };
        let first = pattern.check.partition_point(|bit| *bit < self.check_plane.start);
        let end = pattern.check.partition_point(|bit| *bit < self.check_plane.end);
        let check = pattern.check[first..end].iter().map(|bit| bit - self.check_plane.start);
        let bytes_first = if self.is_data_plane { DATA_BITS } else { 0 };
        let mut data = data.iter().map(|bit| (bit / DATA_BITS, bit % DATA_BITS)).peekable();
        let mut check = check
            .map(|bit| (bit / self.check_plane_bits, bytes_first + bit % self.check_plane_bits))
            .peekable();
        let mut flips = Vec::with_capacity(pattern.data.len() + pattern.check.len());
        while let Some(block) =
            [data.peek(), check.peek()].into_iter().flatten().map(|(block, _)| *block).min()
        {
            let mut hit = BlockFlips { block, ..BlockFlips::default() };
            while let Some((_, bit)) = data.next_if(|(of, _)| *of == block) {
                hit.data |= 1 << bit;
            }
            while let Some((_, bit)) = check.next_if(|(of, _)| *of == block) {
                match bit.checked_sub(DATA_BITS) {
                    None => hit.data |= 1 << bit,
                    Some(check) => hit.check |= 1 << check,
                }
            }
            flips.push(hit);
        }
        flips
    }

    /// Adds flips to a pattern that has those of the regions before.
    pub(crate) fn add_to(&self, pattern: &mut FaultPattern, flips: &[BlockFlips]) {
        for flips in flips {
            let in_check_plane = self.check_plane.start + flips.block * self.check_plane_bits;
            let bytes_in_check_plane = if self.is_data_plane { 0 } else { DATA_BITS };
            if self.is_data_plane {
                pattern.data.extend(ones(flips.data).map(|bit| flips.block * DATA_BITS + bit));
            } else {
                pattern.check.extend(ones(flips.data).map(|bit| in_check_plane + bit));
            }
            pattern.check.extend(ones(flips.check).map(|bit| in_check_plane + bytes_in_check_plane + bit));
        }
    }

    /// Bits that flip where those of `ones` flip if they hold 1, and those of `zeros` if they hold 0.
    pub(crate) fn flips_by_stored_bit(
        &self,
        ones: Vec<BlockFlips>,
        zeros: Vec<BlockFlips>,
    ) -> Vec<BlockFlips> {
        let check_bits = self.code.word().check_bits_of(BLOCK);
        let held = |mut flips: Vec<BlockFlips>, inverted: u64| {
            for flips in &mut flips {
                let image = self.stored(flips.block);
                flips.data &= image.block(0) ^ inverted;
                flips.check &= image.check_word(0, check_bits) ^ inverted;
            }
            flips
        };
        let mut flips = held(ones, 0);
        flips.extend(held(zeros, u64::MAX));
        flips.retain(|flips| !flips.is_empty());
        merged(flips)
    }

    /// Bits that differ from what was stored when in each of several intervals some bits flip, and the region is scrubbed
    /// between two of them. Only blocks that differ are kept.
    pub(crate) fn flips_between_scrubs(&self, intervals: Vec<Vec<BlockFlips>>) -> Vec<BlockFlips> {
        let mut blocks: BTreeMap<u64, BlockFlips> = BTreeMap::new();
        let last = intervals.len() - 1;
        for (number, interval) in intervals.into_iter().enumerate() {
            for flips in &interval {
                let net = blocks.entry(flips.block).or_insert(BlockFlips { data: 0, check: 0, ..*flips });
                net.data ^= flips.data;
                net.check ^= flips.check;
            }
            if number == last {
                break;
            }
            // A scrub changes nothing in the others: it has seen them as they are before.
            for BlockFlips { block, .. } in interval {
                let net = blocks.get_mut(&block).expect("it was hit");
                self.scrub(net);
                if net.is_empty() {
                    blocks.remove(&block);
                }
            }
        }
        blocks.into_values().filter(|net| !net.is_empty()).collect()
    }

    /// Reads each word of a block; where the decoder corrects it, stores what was read. Words that it declares
    /// uncorrectable stay as they are.
    fn scrub(&self, net: &mut BlockFlips) {
        let shape = self.code.word();
        let check_bits = shape.check_bits_of(BLOCK);
        let mut weights = self.bytes().as_chunks::<BLOCK>().0[net.block as usize];
        let stored = self.encoded(&weights);
        let mut image = stored.clone();
        net.apply(&mut image, shape);
        let mut rewritten = Vec::new();
        for (word, read) in weights.chunks_exact_mut(shape.weights).enumerate() {
            let mut now = [0; BLOCK];
            let now = &mut now[..shape.weights];
            if self.code.decode_word(&image, word, now) == WordStatus::Corrected {
                read.copy_from_slice(now);
                rewritten.push(word);
            }
        }
        let anew = self.encoded(&weights);
        let differing = BlockFlips {
            block: net.block,
            data: anew.block(0) ^ stored.block(0),
            check: anew.check_word(0, check_bits) ^ stored.check_word(0, check_bits),
        };
        for word in rewritten {
            let (old, new) = (net.of_word(word, shape), differing.of_word(word, shape));
            net.data ^= old.data ^ new.data;
            net.check ^= old.check ^ new.check;
        }
    }

    /// True if word `word` is read wrong when the bits flip that are set in `flips`, check bits after data bits.
    pub(crate) fn reads_wrong(&self, word: u64, flips: u128) -> bool {
        let shape = self.code.word();
        let (words, data_bits) = (BLOCK / shape.weights, 8 * shape.weights);
        let (block, word) = (word as usize / words, word as usize % words);
        let stored = &self.bytes().as_chunks::<BLOCK>().0[block];
        let mut image = self.encoded(stored);
        let data = flips as u64 & u64::MAX >> (64 - data_bits);
        let check = (flips >> data_bits) as u64;
        let flips = BlockFlips {
            block: block as u64,
            data: data << (word * data_bits),
            check: check << (word * shape.check_bits),
        };
        flips.apply(&mut image, shape);
        let mut read = [0; BLOCK];
        let read = &mut read[..shape.weights];
        self.code.decode_word(&image, word, read);
        *read != self.as_stored(*stored)[word * shape.weights..][..shape.weights]
    }

    /// Adds the outcomes of the words that are hit, the bytes that they return with other values than the region's own,
    /// and the losses of the other words.
    pub(crate) fn read(&self, flips: &[BlockFlips], trial: &mut Trial) {
        let shape = self.code.word();
        // Fetched together, so that the waits for memory overlap.
        let (blocks, _) = self.bytes().as_chunks::<BLOCK>();
        let stored: Vec<[i8; BLOCK]> = flips.iter().map(|flips| blocks[flips.block as usize]).collect();
        let mut image = MemoryImage::blank(shape, BLOCK);
        let mut losses = self.losses.as_slice();
        for (flips, stored) in flips.iter().zip(&stored) {
            self.code.encode_block(stored, &mut image, 0);
            flips.apply(&mut image, shape);
            let as_stored = self.as_stored(*stored);
            let hit = flips.words_hit(shape);
            let words = stored.chunks_exact(shape.weights).zip(as_stored.chunks_exact(shape.weights));
            for (word, (own, as_stored)) in words.enumerate() {
                if hit >> word & 1 == 0 {
                    continue;
                }
                let first = flips.block as usize * BLOCK + word * shape.weights;
                losses = self.losses_up_to(first..first + shape.weights, losses, &mut trial.changes);
                self.read_word(&image, word, own, as_stored, first, trial);
            }
        }
        trial.changes.extend_from_slice(losses);
    }

    /// Adds those of `losses` to `changes` that lie before the bytes of a word, and returns those after them: the word's
    /// own bytes are for its decoder to say.
    fn losses_up_to<'l>(
        &self,
        word: Range<usize>,
        losses: &'l [WeightChange],
        changes: &mut Vec<WeightChange>,
    ) -> &'l [WeightChange] {
        if losses.is_empty() {
            return losses;
        }
        let tensors = self.layout.tensors();
        let index = |loss: &WeightChange| tensors[loss.tensor].start + loss.index;
        let (before, rest) = losses.split_at(losses.partition_point(|loss| index(loss) < word.start));
        changes.extend_from_slice(before);
        &rest[rest.partition_point(|loss| index(loss) < word.end)..]
    }

    /// Reads a word of a block. The region's bytes there are `own`, the first of them at `first`; without faults they
    /// are read as `as_stored`.
    fn read_word(
        &self,
        image: &MemoryImage,
        word: usize,
        own: &[i8],
        as_stored: &[i8],
        first: usize,
        trial: &mut Trial,
    ) {
        let mut read = [0; BLOCK];
        let read = &mut read[..own.len()];
        let status = self.code.decode_word(image, word, read);
        let right = read == as_stored;
        trial.words_hit += 1;
        match WordOutcome::new(status, right) {
            WordOutcome::Harmless => {}
            WordOutcome::Corrected => trial.corrected += 1,
            WordOutcome::Detected => trial.detected += 1,
            WordOutcome::Miscorrected => trial.miscorrected += 1,
            WordOutcome::Silent => trial.silent += 1,
        }
        if right && self.losses.is_empty() {
            return;
        }
        for (i, (&value, own)) in read.iter().zip(own).enumerate() {
            if value == *own {
                continue;
            }
            match self.layout.locate(first + i) {
                Some((tensor, index)) => trial.changes.push(WeightChange { tensor, index, value }),
                None => trial.padding_changed += 1,
            }
        }
    }

    /// Goes through the words that are hit, one by one. `number` is that of the region.
    pub(crate) fn account(&self, number: usize, flips: Vec<BlockFlips>) -> Vec<WordAccount> {
        let shape = self.code.word();
        let check_bits = shape.check_bits_of(BLOCK) as u64;
        let mut accounts = Vec::new();
        for flips in flips {
            let block = flips.block as usize;
            let stored = self.stored(flips.block);
            let mut received = stored.clone();
            flips.apply(&mut received, shape);
            let as_stored = self.code.as_stored(self.bytes().as_chunks().0[block]);
            for in_block in 0..BLOCK / shape.weights {
                let flips = flips.of_word(in_block, shape);
                if flips.is_empty() {
                    continue;
                }
                let bytes = in_block * shape.weights..(in_block + 1) * shape.weights;
                let weights = as_stored[bytes.clone()].to_vec();
                let mut read = vec![0; shape.weights];
                let status = self.code.decode_word(&received, in_block, &mut read);
                accounts.push(WordAccount {
                    region: number,
                    word: (block * BLOCK / shape.weights + in_block) as u64,
                    first: block * BLOCK + bytes.start,
                    outcome: WordOutcome::new(status, read == weights),
                    weights,
                    stored: stored.data()[bytes.clone()].to_vec(),
                    received: received.data()[bytes].to_vec(),
                    data_flips: ones(flips.data).map(|bit| flips.block * DATA_BITS + bit).collect(),
                    check_flips: ones(flips.check).map(|bit| flips.block * check_bits + bit).collect(),
                    syndrome: self.code.syndrome(&received, in_block),
                    read,
                });
            }
        }
        accounts
    }

    /// Bytes that a block of the region is read as without faults.
    fn as_stored(&self, bytes: [i8; BLOCK]) -> [i8; BLOCK] {
        // Nobody need be asked where storage changes nothing.
        if self.losses.is_empty() { bytes } else { self.code.as_stored(bytes) }
    }

    /// A memory of one block, as block `block` of the region is stored.
    fn stored(&self, block: u64) -> MemoryImage {
        self.encoded(&self.bytes().as_chunks::<BLOCK>().0[block as usize])
    }

    fn encoded(&self, bytes: &[i8; BLOCK]) -> MemoryImage {
        let mut image = MemoryImage::blank(self.code.word(), BLOCK);
        self.code.encode_block(bytes, &mut image, 0);
        image
    }
}

/// Stores all bytes, reads them back, and returns those that differ.
fn losses(bytes: &[i8], layout: &MemoryLayout, code: &dyn Protection) -> Vec<WeightChange> {
    let mut memory = MemoryImage::blank(code.word(), READ_BACK);
    let mut read = vec![0; READ_BACK];
    let mut losses = Vec::new();
    for (first, part) in (0..).step_by(READ_BACK).zip(bytes.chunks(READ_BACK)) {
        if part.len() < READ_BACK {
            memory = MemoryImage::blank(code.word(), part.len());
            read.truncate(part.len());
        }
        code.encode_plane(part, &mut memory);
        code.decode(&memory, &mut read);
        if read == part {
            continue;
        }
        let as_stored = part.as_chunks().0.iter().map(|block| code.as_stored(*block));
        let as_stored: Vec<i8> = as_stored.flatten().collect();
        assert!(read == as_stored, "{} reads other weights than it has stored", code.id());
        for (i, (&value, _)) in read.iter().zip(part).enumerate().filter(|(_, (value, own))| value != own) {
            let place = layout.locate(first + i);
            let (tensor, index) = place.unwrap_or_else(|| panic!("{} changes padding", code.id()));
            losses.push(WeightChange { tensor, index, value });
        }
    }
    losses
}
