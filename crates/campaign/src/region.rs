//! One region of a stored network: the bits that flip in it, and what its words return.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use ecc::{BLOCK, MemoryImage, MemoryLayout, Protection, Region, UnsoundProtection, WordShape, WordStatus};
use inject::FaultPattern;

use crate::account::{WordAccount, WordOutcome};
use graph::WeightChange;

use crate::Trial;

/// Bytes that are read back at a time when a region is stored: few enough for the caches.
const READ_BACK: usize = 1 << 16;

/// Blocks that are stored and read together when faults hit them: few enough for the caches, and enough that a call of the
/// code costs little.
const TOGETHER: usize = 1 << 12;

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

    /// Flips the bits of block `number` of an image.
    fn apply(&self, image: &mut MemoryImage, number: usize, shape: WordShape) {
        image.set_block(number, image.block(number) ^ self.data);
        let first = (number * shape.check_bits_of(BLOCK)) as u64;
        ones(self.check).for_each(|bit| image.flip_check(first + bit));
    }

    /// Bit w: word w of the block is hit.
    fn words_hit(&self, shape: WordShape) -> u64 {
        if shape.weights == BLOCK {
            return 1;
        }
        let bytes = shape.weights.trailing_zeros();
        let of_data = ones(self.data).fold(0, |hit, bit| hit | 1 << (bit >> 3 >> bytes));
        // Narrow numbers divide faster.
        let word_of_check = |bit: u64| bit as u32 / shape.check_bits as u32;
        ones(self.check).fold(of_data, |hit, bit| hit | 1 << word_of_check(bit))
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

/// Number of bits that a block of a region has in the check plane. The bytes of the regions that hold weights are the data
/// plane; all bits of the others are in the check plane.
pub(crate) fn check_plane_bits(region: &Region<'_>, code: &dyn Protection) -> u64 {
    let check_bits = if region.check_bits_exposed { code.word().check_bits_of(BLOCK) as u64 } else { 0 };
    check_bits + if region.first_weight.is_some() { 0 } else { DATA_BITS }
}

/// A region of a stored network.
///
/// The memory itself is nowhere: it follows from the bytes, so the few blocks that a trial hits are encoded when they are
/// hit.
#[derive(Debug)]
pub struct StoredRegion<'a> {
    region: Region<'a>,
    layout: Cow<'a, MemoryLayout>,
    /// Number of the network's tensors before those of the layout.
    first_tensor: usize,
    code: Arc<dyn Protection>,
    /// Offset of the region's bits in the check plane.
    check_plane: Range<u64>,
    /// Bits of a block in the check plane: the check bits that faults reach, after the bytes unless these are the data
    /// plane.
    check_plane_bits: u64,
    losses: Vec<WeightChange>,
}

impl<'a> StoredRegion<'a> {
    /// Stores a region and reads it back. Its bits in the check plane begin at `check_start`. A region of weights has the tensors
    /// of the network's layout that it holds.
    ///
    /// # Errors
    /// When other bytes are read back than [`Protection::as_stored`] says, or padding is.
    pub(crate) fn new(
        mut region: Region<'a>,
        protection: &Arc<dyn Protection>,
        weights: &'a MemoryLayout,
        check_start: u64,
    ) -> Result<Self, UnsoundProtection> {
        let code = region.code.take().unwrap_or_else(|| Arc::clone(protection));
        let bytes = region.bytes.len();
        let (layout, first_tensor) = match region.first_weight {
            None => (Cow::Owned(MemoryLayout::new([(region.name, bytes)])), 0),
            Some(0) if bytes == weights.plane_len() => (Cow::Borrowed(weights), 0),
            Some(first) => {
                let (layout, before) = weights.part(first..first + bytes);
                (Cow::Owned(layout), before)
            }
        };
        let check_plane_bits = check_plane_bits(&region, &*code);
        let blocks = (bytes / BLOCK) as u64;
        let check_plane = check_start..check_start + blocks * check_plane_bits;
        let losses = losses(&region.bytes, &layout, first_tensor, &*code)?;
        Ok(Self { region, layout, first_tensor, code, check_plane, check_plane_bits, losses })
    }

    /// Names of the region's bytes: the network's tensors that it holds, or one name for all.
    pub fn layout(&self) -> &MemoryLayout {
        &self.layout
    }

    /// True if the region's bytes are weights, a part of the data plane.
    pub(crate) fn holds_weights(&self) -> bool {
        self.region.first_weight.is_some()
    }

    /// Number of the block of the data plane that is the region's first one; 0 for other bytes.
    fn first_block(&self) -> u64 {
        (self.region.first_weight.unwrap_or(0) / BLOCK) as u64
    }

    /// Code of the region's words.
    pub fn code(&self) -> &dyn Protection {
        &*self.code
    }

    pub(crate) fn bytes(&self) -> &[i8] {
        &self.region.bytes
    }

    /// Offsets of the region's bits in the check plane.
    pub fn check_plane(&self) -> Range<u64> {
        self.check_plane.clone()
    }

    /// Bytes that are read with other values without faults, in memory order.
    pub(crate) fn losses(&self) -> &[WeightChange] {
        &self.losses
    }

    /// Word with the check bits that faults reach.
    pub fn exposed_word(&self) -> WordShape {
        let shape = self.code.word();
        WordShape { check_bits: if self.region.check_bits_exposed { shape.check_bits } else { 0 }, ..shape }
    }

    /// Number of stored bits that hold 1 and belong to some weights, which are whole blocks: all bits that faults reach,
    /// or bit `bit` of the weights' own bytes.
    pub(crate) fn ones_of(&self, weights: Range<usize>, bit: Option<u8>) -> u64 {
        if bit.is_some() && !self.holds_weights() {
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
        if self.holds_weights() && self.check_plane_bits > 0 {
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
        let first_bit = self.first_block() * DATA_BITS;
        let data = match self.holds_weights() {
            true => {
                let end_bit = first_bit + 8 * self.bytes().len() as u64;
                let [first, end] =
                    [first_bit, end_bit].map(|end| pattern.data.partition_point(|bit| *bit < end));
                &pattern.data[first..end]
            }
            false => &[],
        };
        let first = pattern.check.partition_point(|bit| *bit < self.check_plane.start);
        let end = pattern.check.partition_point(|bit| *bit < self.check_plane.end);
        let check = &pattern.check[first..end];
        let mut flips: Vec<BlockFlips> = Vec::with_capacity(data.len() + check.len());
        let mut flip = |block: u64, data: u64, check: u64| match flips.last_mut() {
            Some(last) if last.block == block => {
                last.data |= data;
                last.check |= check;
            }
            _ => flips.push(BlockFlips { block, data, check }),
        };
        let mut data = data.iter().map(|bit| bit - first_bit).peekable();
        for bit in check {
            let offset = bit - self.check_plane.start;
            let (block, bit) = (offset / self.check_plane_bits, offset % self.check_plane_bits);
            while let Some(bit) = data.next_if(|bit| bit / DATA_BITS <= block) {
                flip(bit / DATA_BITS, 1 << (bit % DATA_BITS), 0);
            }
            match if self.holds_weights() { Some(bit) } else { bit.checked_sub(DATA_BITS) } {
                None => flip(block, 1 << bit, 0),
                Some(check) => flip(block, 0, 1 << check),
            }
        }
        data.for_each(|bit| flip(bit / DATA_BITS, 1 << (bit % DATA_BITS), 0));
        flips
    }

    /// Adds flips to a pattern that has those of the regions before.
    pub(crate) fn add_to(&self, pattern: &mut FaultPattern, flips: &[BlockFlips]) {
        for flips in flips {
            let in_check_plane = self.check_plane.start + flips.block * self.check_plane_bits;
            let bytes_in_check_plane = if self.holds_weights() { 0 } else { DATA_BITS };
            if self.holds_weights() {
                let block = self.first_block() + flips.block;
                pattern.data.extend(ones(flips.data).map(|bit| block * DATA_BITS + bit));
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
            for flips in flips.chunks_mut(TOGETHER) {
                let image = self.stored(&self.blocks(flips));
                for (number, flips) in flips.iter_mut().enumerate() {
                    flips.data &= image.block(number) ^ inverted;
                    flips.check &= image.check_word(number, check_bits) ^ inverted;
                }
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
            let mut hit: Vec<BlockFlips> = interval.iter().map(|flips| blocks[&flips.block]).collect();
            hit.chunks_mut(TOGETHER).for_each(|hit| self.scrub(hit));
            for net in hit {
                if net.is_empty() {
                    blocks.remove(&net.block);
                } else {
                    blocks.insert(net.block, net);
                }
            }
        }
        blocks.into_values().filter(|net| !net.is_empty()).collect()
    }

    /// Reads each word that is hit; where the decoder corrects it, stores what was read. Words that it declares
    /// uncorrectable stay as they are.
    fn scrub(&self, nets: &mut [BlockFlips]) {
        let shape = self.code.word();
        let check_bits = shape.check_bits_of(BLOCK);
        let words_of_block = BLOCK / shape.weights;
        let Hit { own, words, read, statuses, .. } = self.hit(nets);
        let stored = self.stored(&own);
        let mut rewritten = own;
        let corrected: Vec<usize> =
            (0..words.len()).filter(|&i| statuses[i] == WordStatus::Corrected).collect();
        for &i in &corrected {
            let read = &read[i * shape.weights..][..shape.weights];
            rewritten.as_flattened_mut()[words[i] * shape.weights..][..shape.weights].copy_from_slice(read);
        }
        let anew = self.stored(&rewritten);
        for i in corrected {
            let (number, word) = (words[i] / words_of_block, words[i] % words_of_block);
            let net = &mut nets[number];
            let differing = BlockFlips {
                block: net.block,
                data: anew.block(number) ^ stored.block(number),
                check: anew.check_word(number, check_bits) ^ stored.check_word(number, check_bits),
            };
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
        let mut image = self.stored(std::slice::from_ref(stored));
        let data = flips as u64 & u64::MAX >> (64 - data_bits);
        let check = (flips >> data_bits) as u64;
        let flips = BlockFlips {
            block: block as u64,
            data: data << (word * data_bits),
            check: check << (word * shape.check_bits),
        };
        flips.apply(&mut image, 0, shape);
        let mut read = [0; BLOCK];
        let read = &mut read[..shape.weights];
        self.code.decode_word(&image, word, read);
        let as_stored = if self.losses.is_empty() { *stored } else { self.code.as_stored(*stored) };
        *read != as_stored[word * shape.weights..][..shape.weights]
    }

    /// Adds the outcomes of the words that are hit, the bytes that they return with other values than the region's own,
    /// and the losses of the other words.
    pub(crate) fn read(&self, flips: &[BlockFlips], trial: &mut Trial) {
        let mut losses = self.losses.as_slice();
        for flips in flips.chunks(TOGETHER) {
            let hit = self.hit(flips);
            losses = match self.code.word().weights {
                1 => self.tally::<1>(&hit, losses, trial),
                2 => self.tally::<2>(&hit, losses, trial),
                4 => self.tally::<4>(&hit, losses, trial),
                _ => self.tally::<BLOCK>(&hit, losses, trial),
            };
        }
        trial.changes.extend_from_slice(losses);
    }

    /// Adds the outcomes of words of `N` bytes, the bytes that they return with other values than the region's own, and the
    /// losses before and between them. Returns the losses after them.
    fn tally<'l, const N: usize>(
        &self,
        hit: &Hit<'_>,
        mut losses: &'l [WeightChange],
        trial: &mut Trial,
    ) -> &'l [WeightChange] {
        let as_stored = self.as_stored(&hit.own);
        let own_words = hit.own.as_flattened().as_chunks::<N>().0;
        let as_stored_words = as_stored.as_flattened().as_chunks::<N>().0;
        let words = hit.words.iter().zip(hit.read.as_chunks::<N>().0).zip(&hit.statuses);
        let tensors = self.layout.tensors();
        let mut tensor = 0;
        trial.words_hit += hit.words.len() as u64;
        for ((&word, read), &status) in words {
            let right = *read == as_stored_words[word];
            match WordOutcome::new(status, right) {
                WordOutcome::Harmless => {}
                WordOutcome::Corrected => trial.corrected += 1,
                WordOutcome::Detected => trial.detected += 1,
                WordOutcome::Miscorrected => trial.miscorrected += 1,
                WordOutcome::Silent => trial.silent += 1,
            }
            if right && self.losses.is_empty() {
                continue;
            }
            let byte = word * N;
            let first = hit.flips[byte / BLOCK].block as usize * BLOCK + byte % BLOCK;
            losses = self.losses_up_to(first..first + N, losses, &mut trial.changes);
            // Words ascend, and none has bytes of two tensors.
            while tensors.get(tensor + 1).is_some_and(|next| next.start <= first) {
                tensor += 1;
            }
            let span = &tensors[tensor];
            for (byte, (&value, own)) in (first..).zip(read.iter().zip(&own_words[word])) {
                if value == *own {
                    continue;
                }
                let index = byte - span.start;
                match index < span.len {
                    true => {
                        let tensor = self.first_tensor + tensor;
                        trial.changes.push(WeightChange { tensor, index, value });
                    }
                    false => trial.padding_changed += 1,
                }
            }
        }
        losses
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
        let index = |loss: &WeightChange| tensors[loss.tensor - self.first_tensor].start + loss.index;
        let (before, rest) = losses.split_at(losses.partition_point(|loss| index(loss) < word.start));
        changes.extend_from_slice(before);
        &rest[rest.partition_point(|loss| index(loss) < word.end)..]
    }

    /// Goes through the words that are hit, one by one. `number` is that of the region.
    pub(crate) fn account(&self, number: usize, flips: &[BlockFlips]) -> Vec<WordAccount> {
        flips.chunks(TOGETHER).flat_map(|flips| self.account_of(number, &self.hit(flips))).collect()
    }

    fn account_of(&self, region: usize, hit: &Hit<'_>) -> Vec<WordAccount> {
        let shape = self.code.word();
        let (check_bits, size) = (shape.check_bits_of(BLOCK) as u64, shape.weights);
        let as_stored = self.as_stored(&hit.own);
        let account = |(i, &word): (usize, &usize)| {
            let bytes = word * size..(word + 1) * size;
            let BlockFlips { block, .. } = hit.flips[bytes.start / BLOCK];
            let in_block = bytes.start % BLOCK;
            let flips = hit.flips[bytes.start / BLOCK].of_word(in_block / size, shape);
            let weights = as_stored.as_flattened()[bytes.clone()].to_vec();
            let received = hit.received.data()[bytes].to_vec();
            let flipped = &flips.data.to_le_bytes()[in_block..];
            let read = hit.read[i * size..][..size].to_vec();
            WordAccount {
                region,
                word: (block as usize * BLOCK + in_block) as u64 / size as u64,
                first: block as usize * BLOCK + in_block,
                outcome: WordOutcome::new(hit.statuses[i], read == weights),
                weights,
                stored: received.iter().zip(flipped).map(|(byte, flips)| byte ^ flips).collect(),
                received,
                data_flips: ones(flips.data).map(|bit| block * DATA_BITS + bit).collect(),
                check_flips: ones(flips.check).map(|bit| block * check_bits + bit).collect(),
                syndrome: self.code.syndrome(&hit.received, word),
                read,
            }
        };
        hit.words.iter().enumerate().map(account).collect()
    }

    /// Bytes of the blocks that are hit.
    fn blocks(&self, flips: &[BlockFlips]) -> Vec<[i8; BLOCK]> {
        let (blocks, _) = self.bytes().as_chunks::<BLOCK>();
        flips.iter().map(|flips| blocks[flips.block as usize]).collect()
    }

    /// Bytes that blocks are read as without faults.
    fn as_stored<'o>(&self, own: &'o [[i8; BLOCK]]) -> Cow<'o, [[i8; BLOCK]]> {
        let mut as_stored = Cow::Borrowed(own);
        // Nobody need be asked where storage changes nothing.
        if !self.losses.is_empty() {
            self.code.as_stored_plane(as_stored.to_mut().as_flattened_mut());
        }
        as_stored
    }

    /// A memory that stores blocks.
    fn stored(&self, blocks: &[[i8; BLOCK]]) -> MemoryImage {
        let mut image = MemoryImage::blank(self.code.word(), BLOCK * blocks.len());
        self.code.encode_plane(blocks.as_flattened(), &mut image);
        image
    }

    /// Stores the blocks that are hit, flips their bits, and reads the words with flips.
    fn hit<'f>(&self, flips: &'f [BlockFlips]) -> Hit<'f> {
        let shape = self.code.word();
        // Fetched together, so that the waits for memory overlap.
        let own = self.blocks(flips);
        let mut received = self.stored(&own);
        let words_of_block = BLOCK / shape.weights;
        let mut words = Vec::with_capacity(flips.len());
        for (number, flips) in flips.iter().enumerate() {
            flips.apply(&mut received, number, shape);
            for word in ones(flips.words_hit(shape)) {
                words.push(number * words_of_block + word as usize);
            }
        }
        let mut read = vec![0; words.len() * shape.weights];
        let mut statuses = vec![WordStatus::Clean; words.len()];
        self.code.decode_words(&received, &words, &mut read, &mut statuses);
        Hit { flips, own, received, words, read, statuses }
    }
}

/// Blocks that are hit, and what their words return.
struct Hit<'f> {
    flips: &'f [BlockFlips],
    /// Bytes of each block.
    own: Vec<[i8; BLOCK]>,
    /// Memory of these blocks, in their order, under the flips.
    received: MemoryImage,
    /// Words with flips, numbered in this memory, ascending.
    words: Vec<usize>,
    /// Bytes that these words return, word after word.
    read: Vec<i8>,
    /// Status of each of these words.
    statuses: Vec<WordStatus>,
}

/// Stores all bytes, reads them back, and returns those that differ.
fn losses(
    bytes: &[i8],
    layout: &MemoryLayout,
    first_tensor: usize,
    code: &dyn Protection,
) -> Result<Vec<WeightChange>, UnsoundProtection> {
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
        let mut as_stored = part.to_vec();
        code.as_stored_plane(&mut as_stored);
        if let Some(i) = (0..part.len()).find(|&i| read[i] != as_stored[i]) {
            let block = i / BLOCK * BLOCK..i / BLOCK * BLOCK + BLOCK;
            return Err(UnsoundProtection {
                id: code.id().into(),
                found: format!(
                    "block {:?} is read as {:?} without a flip",
                    &part[block.clone()],
                    &read[block.clone()]
                ),
                expected: format!("{:?}, as it is stored", &as_stored[block]),
            });
        }
        for (i, (&value, _)) in read.iter().zip(part).enumerate().filter(|(_, (value, own))| value != own) {
            let (tensor, index) = layout.locate(first + i).ok_or_else(|| UnsoundProtection {
                id: code.id().into(),
                found: format!("padding is stored as {value}"),
                expected: "0".into(),
            })?;
            losses.push(WeightChange { tensor: first_tensor + tensor, index, value });
        }
    }
    Ok(losses)
}
