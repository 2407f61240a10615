//! Checks of a protection that someone else has written.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::{BLOCK, MemoryImage, Protection, WordShape, WordStatus};

/// Longest id of a protection.
const LONGEST_ID: usize = 64;
/// Most check bits of a block.
const MOST_CHECK_BITS: usize = 64;
/// Random blocks that are stored and read back.
const RANDOM_BLOCKS: usize = 4096;
/// Blocks, the first ones of the list, that are also stored and read alone and under each single flip.
const SINGLE_BLOCKS: usize = 12;

/// A protection that breaks a rule of [`Protection`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("protection {id:?}: {found}, expected {expected}")]
pub struct UnsoundProtection {
    /// Id of the protection.
    pub id: String,
    /// What it does, or the value that it has.
    pub found: String,
    /// What the rule demands.
    pub expected: String,
}

/// Checks that a protection keeps the rules of [`Protection`], as far as trying it out can show:
///
/// * Its id and parameters can stand in records, its words fit into blocks, and every position can store 0.
/// * A memory without faults is read as [`Protection::as_stored`] says, with status [`WordStatus::Clean`] and syndrome 0, and
///   zeros as zeros. Weights as stored are stored as the same bits. The blocks tried are zeros, the ends of the constraint's
///   ranges, all constant blocks, and some thousand random ones that are always the same.
/// * Some blocks, under no flip and under each single flip of a stored bit, are read twice alike and never with a panic. A
///   flip changes no other word. They are stored and read alone as among others, and storing one leaves its neighbours.
/// * Outcome distributions count the bits of a word, and every block has one.
///
/// # Errors
/// The first rule that is broken, with the block, what came back and what was expected. A panic of the protection is an
/// error with the panic's message, if it has a text.
pub fn check_protection(protection: &dyn Protection) -> Result<(), UnsoundProtection> {
    let tried = Tried { protection, shape: protection.word(), doing: RefCell::default() };
    match catch_unwind(AssertUnwindSafe(|| tried.check())) {
        Ok(result) => result,
        Err(panic) => {
            let message = message(panic);
            tried.refuse(format!("{} panics: {message}", tried.doing.borrow()), "no panic")
        }
    }
}

/// Refuses an id that experiments and file names cannot have.
pub(crate) fn check_id(id: &str) -> Result<(), UnsoundProtection> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !id.is_empty() && id.len() <= LONGEST_ID && !id.starts_with('.') && id.chars().all(plain) {
        return Ok(());
    }
    let expected = format!("1 to {LONGEST_ID} letters, digits, `-`, `_` and `.`, and no `.` in front");
    Err(UnsoundProtection { id: id.into(), found: format!("the id is {id:?}"), expected })
}

/// The text of a panic. A panic without one is not for us: it goes on.
fn message(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => match panic.downcast::<&str>() {
            Ok(text) => (*text).to_owned(),
            Err(panic) => resume_unwind(panic),
        },
    }
}

type Checked = Result<(), UnsoundProtection>;

struct Tried<'p> {
    protection: &'p dyn Protection,
    shape: WordShape,
    /// What the protection is asked to do, for the message of a panic.
    doing: RefCell<String>,
}

/// Words of a memory as they are read.
#[derive(PartialEq)]
struct Read {
    weights: Vec<i8>,
    statuses: Vec<WordStatus>,
}

impl Tried<'_> {
    fn refuse<T>(&self, found: String, expected: impl Into<String>) -> Result<T, UnsoundProtection> {
        Err(UnsoundProtection { id: self.protection.id().into(), found, expected: expected.into() })
    }

    fn check(&self) -> Checked {
        self.doing("naming the id, the parameters or the constraint".into());
        self.check_terms()?;
        let blocks = self.blocks();
        let plane = blocks.as_flattened();
        let as_stored = self.as_stored(plane);
        let image = self.stored(plane);
        self.check_read_back(plane, &as_stored, &image)?;
        self.check_alone(&blocks[..SINGLE_BLOCKS], &as_stored, &image)?;
        self.check_flips(&blocks[..SINGLE_BLOCKS], &as_stored)?;
        self.check_distributions(plane)
    }

    fn check_terms(&self) -> Checked {
        check_id(self.protection.id())?;
        let parameters = self.protection.parameters();
        if parameters.chars().any(char::is_control) {
            return self.refuse(format!("the parameters are {parameters:?}"), "one line of text");
        }
        let WordShape { weights, check_bits } = self.shape;
        if ![1, 2, 4, BLOCK].contains(&weights) {
            return self.refuse(format!("a word has {weights} weights"), "1, 2, 4 or 8");
        }
        if check_bits > MOST_CHECK_BITS * weights / BLOCK {
            let expected =
                format!("at most {}: a block of 8 weights has at most 64", MOST_CHECK_BITS * weights / BLOCK);
            return self.refuse(format!("a word of {weights} weights has {check_bits} check bits"), expected);
        }
        let constraint = self.protection.constraint();
        match (0..BLOCK).find(|&position| !constraint.allows(position, 0)) {
            None => Ok(()),
            Some(position) => {
                let (low, high) = (constraint.low[position], constraint.high[position]);
                self.refuse(
                    format!("position {position} stores weights from {low} to {high}"),
                    "a range with 0, which pads tensors",
                )
            }
        }
    }

    /// Blocks that satisfy the constraint: zeros, the ends of the ranges and their mixtures, random ones, constants.
    fn blocks(&self) -> Vec<[i8; BLOCK]> {
        let constraint = self.protection.constraint();
        let (low, high) = (constraint.low, constraint.high);
        let mixed =
            |low_at: fn(usize) -> bool| std::array::from_fn(|i| if low_at(i) { low[i] } else { high[i] });
        let mut blocks =
            vec![[0; BLOCK], low, high, mixed(|i| i % 2 == 0), mixed(|i| i % 2 == 1), mixed(|i| i < 4)];
        // SplitMix64.
        let mut state = 0u64;
        let mut random = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ mixed >> 31
        };
        for _ in 0..RANDOM_BLOCKS {
            let bytes = random().to_le_bytes();
            blocks.push(std::array::from_fn(|i| {
                let (low, high) = (i16::from(low[i]), i16::from(high[i]));
                (low + i16::from(bytes[i]) % (high - low + 1)) as i8
            }));
        }
        for value in i8::MIN..=i8::MAX {
            let mut block = [value; BLOCK];
            constraint.throttle(&mut block);
            blocks.push(block);
        }
        blocks
    }

    fn doing(&self, what: String) {
        *self.doing.borrow_mut() = what;
    }

    fn as_stored(&self, plane: &[i8]) -> Vec<i8> {
        self.doing(format!("finding what {} blocks are stored as", plane.len() / BLOCK));
        let mut as_stored = plane.to_vec();
        self.protection.as_stored_plane(&mut as_stored);
        as_stored
    }

    fn stored(&self, plane: &[i8]) -> MemoryImage {
        self.doing(format!("storing {} blocks", plane.len() / BLOCK));
        let mut image = MemoryImage::blank(self.shape, plane.len());
        self.protection.encode_plane(plane, &mut image);
        image
    }

    fn read(&self, image: &MemoryImage) -> Read {
        self.doing(format!("reading {} blocks", image.data().len() / BLOCK));
        let words: Vec<usize> = (0..image.data().len() / self.shape.weights).collect();
        let mut weights = vec![0; image.data().len()];
        let mut statuses = vec![WordStatus::Clean; words.len()];
        self.protection.decode_words(image, &words, &mut weights, &mut statuses);
        Read { weights, statuses }
    }

    /// Bits of a block: data, and check bits.
    fn bits(&self, image: &MemoryImage, block: usize) -> (u64, u64) {
        (image.block(block), image.check_word(block, self.shape.check_bits_of(BLOCK)))
    }

    fn check_read_back(&self, plane: &[i8], as_stored: &[i8], image: &MemoryImage) -> Checked {
        let blocks = |plane: &[i8]| plane.as_chunks::<BLOCK>().0.to_vec();
        let (blocks, as_stored_blocks) = (blocks(plane), blocks(as_stored));
        if as_stored_blocks[0] != [0; BLOCK] {
            let found = format!("zeros are stored as {:?}", as_stored_blocks[0]);
            return self.refuse(found, "zeros, which pad tensors");
        }
        let read = self.read(image);
        let again = self.stored(as_stored);
        for (number, (block, as_stored)) in blocks.iter().zip(&as_stored_blocks).enumerate() {
            let read_block = &read.weights[number * BLOCK..][..BLOCK];
            if read_block != as_stored {
                return self.refuse(
                    format!("block {block:?} is read as {read_block:?} without a flip"),
                    format!("{as_stored:?}, as it is stored"),
                );
            }
            let (bits, bits_again) = (self.bits(image, number), self.bits(&again, number));
            if bits != bits_again {
                return self.refuse(
                    format!(
                        "block {block:?} is stored as {as_stored:?}, which is stored as the bits {bits_again:x?} (data, \
                         check)"
                    ),
                    format!("{bits:x?}, as the block itself"),
                );
            }
        }
        let words = BLOCK / self.shape.weights;
        for (word, &status) in read.statuses.iter().enumerate() {
            let block = &blocks[word / words];
            if status != WordStatus::Clean {
                return self.refuse(
                    format!("word {} of block {block:?} is {status:?} without a flip", word % words),
                    "Clean",
                );
            }
        }
        Ok(())
    }

    /// Checks blocks that are stored and read one by one, and syndromes. The blocks are the first ones of the memory.
    fn check_alone(&self, blocks: &[[i8; BLOCK]], as_stored: &[i8], image: &MemoryImage) -> Checked {
        let words = BLOCK / self.shape.weights;
        for (number, (block, as_stored)) in blocks.iter().zip(as_stored.as_chunks().0).enumerate() {
            self.doing(format!("storing block {block:?} alone"));
            let found = self.protection.as_stored(*block);
            if found != *as_stored {
                return self.refuse(
                    format!("block {block:?} alone is stored as {found:?}"),
                    format!("{as_stored:?}, as among other blocks"),
                );
            }
            // Between two other blocks, in a memory of ones.
            let check_bytes = self.shape.check_bits_of(3 * BLOCK).div_ceil(8);
            let mut memory = MemoryImage::new(vec![u8::MAX; 3 * BLOCK], vec![u8::MAX; check_bytes]);
            self.protection.encode_block(block, &mut memory, 1);
            let (found, expected) = (self.bits(&memory, 1), self.bits(image, number));
            if found != expected {
                return self.refuse(
                    format!("block {block:?} alone is stored as the bits {found:x?} (data, check)"),
                    format!("{expected:x?}, as among other blocks"),
                );
            }
            let ones = u64::MAX.checked_shr(64 - self.shape.check_bits_of(BLOCK) as u32).unwrap_or(0);
            if let Some(other) =
                [0, 2].into_iter().find(|other| self.bits(&memory, *other) != (u64::MAX, ones))
            {
                return self.refuse(
                    format!("storing {block:?} as block 1 changes bits of block {other}"),
                    "bits of block 1 alone to change",
                );
            }
            for word in 0..words {
                self.doing(format!("finding the syndrome of word {word} of block {block:?}"));
                let syndrome = self.protection.syndrome(&memory, words + word);
                if syndrome != 0 {
                    return self.refuse(
                        format!("word {word} of block {block:?} has syndrome {syndrome:#x} without a flip"),
                        "0",
                    );
                }
            }
        }
        Ok(())
    }

    /// Checks how blocks are read under each single flip.
    fn check_flips(&self, blocks: &[[i8; BLOCK]], as_stored: &[i8]) -> Checked {
        let (data_bits, check_bits) = (8 * BLOCK, self.shape.check_bits_of(BLOCK));
        let WordShape { weights: size, .. } = self.shape;
        for (block, as_stored) in blocks.iter().zip(as_stored.as_chunks::<BLOCK>().0) {
            // Copy f of the block has flip f.
            let copies = data_bits + check_bits;
            let mut image = self.stored(vec![*block; copies].as_flattened());
            for flip in 0..copies {
                match flip.checked_sub(data_bits) {
                    None => image.flip_data((flip * data_bits + flip) as u64),
                    Some(check) => image.flip_check((flip * check_bits + check) as u64),
                }
            }
            let (first, second) = (self.read(&image), self.read(&image));
            let flip_of = |copy: usize| match copy.checked_sub(data_bits) {
                None => format!("bit {copy} of block {block:?} flipped"),
                Some(check) => format!("check bit {check} of block {block:?} flipped"),
            };
            let words = BLOCK / size;
            for word in 0..copies * words {
                let (copy, in_block) = (word / words, word % words);
                let of = |read: &Read| (read.weights[word * size..][..size].to_vec(), read.statuses[word]);
                self.doing(format!("reading word {in_block} with {}", flip_of(copy)));
                let mut alone = vec![0; size];
                let alone_status = self.protection.decode_word(&image, word, &mut alone);
                self.protection.syndrome(&image, word);
                let found = of(&first);
                for (other, how) in [(of(&second), "before"), ((alone, alone_status), "among other words")] {
                    if other != found {
                        return self.refuse(
                            format!("word {in_block} with {} is read as {other:?}", flip_of(copy)),
                            format!("{found:?}, as {how}"),
                        );
                    }
                }
                let hit = match copy.checked_sub(data_bits) {
                    None => copy / (8 * size),
                    Some(check) => check / self.shape.check_bits,
                };
                let untouched = (as_stored[in_block * size..][..size].to_vec(), WordStatus::Clean);
                if in_block != hit && found != untouched {
                    return self.refuse(
                        format!(
                            "word {in_block} with {}, a bit of word {hit}, is read as {found:?}",
                            flip_of(copy)
                        ),
                        format!("{untouched:?}, as without the flip"),
                    );
                }
            }
        }
        Ok(())
    }

    fn check_distributions(&self, plane: &[i8]) -> Checked {
        self.doing("counting outcomes".into());
        let Some(distributions) = self.protection.outcome_distributions() else { return Ok(()) };
        let exposed = self.protection.regions(&[0; BLOCK])[0].check_bits_exposed;
        let bits = 8 * self.shape.weights + if exposed { self.shape.check_bits } else { 0 };
        if let Some(other) = distributions.iter().find(|distribution| distribution.bits() != bits) {
            let found = format!("an outcome distribution counts patterns of {} bits", other.bits());
            return self.refuse(found, format!("{bits}, the bits of a word"));
        }
        let classes = distributions.len();
        for word in plane.chunks_exact(self.shape.weights) {
            self.doing(format!("finding the class of the word {word:?}"));
            let class = self.protection.class_of(word);
            if class >= classes {
                let found = format!("the class of the word {word:?} is {class}");
                return self.refuse(found, format!("one of the {classes} outcome distributions, from 0 on"));
            }
        }
        Ok(())
    }
}
