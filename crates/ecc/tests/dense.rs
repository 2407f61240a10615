//! The dense loops against the word codecs: every form that this machine has, every protection.

use std::sync::Arc;

use ecc::{
    BLOCK, Constraint, Kernel, MemoryImage, Protection, StatusCounts, WordShape, WordStatus, all_with,
};
use proptest::prelude::*;

/// A protection without its dense loops.
#[derive(Debug)]
struct Slowly<'a>(&'a dyn Protection);

impl Protection for Slowly<'_> {
    fn id(&self) -> &str {
        self.0.id()
    }

    fn definition(&self) -> String {
        self.0.definition()
    }

    fn word(&self) -> WordShape {
        self.0.word()
    }

    fn constraint(&self) -> Constraint {
        self.0.constraint()
    }

    fn as_stored(&self, weights: [i8; BLOCK]) -> [i8; BLOCK] {
        self.0.as_stored(weights)
    }

    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize) {
        self.0.encode_block(weights, image, block);
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        self.0.decode_word(image, word, weights)
    }

    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64 {
        self.0.syndrome(image, word)
    }
}

/// Every form with every protection that has dense loops.
fn cases() -> Vec<(&'static str, Arc<dyn Protection>)> {
    let with = |kernel: Kernel| all_with(kernel).into_iter().map(move |protection| (kernel.id(), protection));
    let all = Kernel::available().into_iter().flat_map(with);
    all.filter(|(_, protection)| protection.dense().is_some()).collect()
}

/// A sequence of bytes that looks random.
fn noise(seed: u64) -> impl Iterator<Item = u8> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 56) as u8
    })
}

/// Weights that a protection can store.
fn weights(protection: &dyn Protection, blocks: usize, seed: u64) -> Vec<i8> {
    let mut plane: Vec<i8> = noise(seed).take(blocks * BLOCK).map(u8::cast_signed).collect();
    protection.constraint().throttle(&mut plane);
    plane
}

fn stored(protection: &dyn Protection, plane: &[i8]) -> MemoryImage {
    let mut image = MemoryImage::blank(protection.word(), plane.len());
    protection.encode_plane(plane, &mut image);
    image
}

fn decoded(protection: &dyn Protection, image: &MemoryImage, place: &mut [i8]) -> StatusCounts {
    place.fill(0x55);
    protection.decode(image, place)
}

/// Decodes and verifies, and compares with the words read one by one.
fn check(form: &str, protection: &dyn Protection, image: &MemoryImage, place: &mut [i8]) {
    let counts = decoded(protection, image, place);
    let mut slow = vec![0; place.len()];
    let expected = decoded(&Slowly(protection), image, &mut slow);
    assert_eq!(counts, expected, "{form} {}", protection.id());
    assert!(place == slow, "{form} {}: other weights", protection.id());
    assert_eq!(protection.verify(image), expected, "{form} {}", protection.id());
}

/// Flips bit `bit` of what is stored for a block: first its 64 data bits, then its `checks` check bits.
fn flip(image: &mut MemoryImage, block: usize, bit: u64, checks: u64) {
    match bit.checked_sub(64) {
        None => image.flip_data(64 * block as u64 + bit),
        Some(check) => image.flip_check(checks * block as u64 + check),
    }
}

#[test]
fn one_and_two_flips_of_every_stored_cell_of_a_block_at_every_place() {
    // Two groups of 32 blocks and 5 blocks more. Single flips in each block, double flips in each lane of a
    // line and in the rest.
    let blocks = 69;
    for (form, protection) in cases() {
        let mut image = stored(&*protection, &weights(&*protection, blocks, 1));
        let checks = protection.word().check_bits_of(BLOCK) as u64;
        let bits = 64 + checks;
        let mut place = vec![0; blocks * BLOCK];
        check(form, &*protection, &image, &mut place);
        for block in 0..blocks {
            for first in 0..bits {
                flip(&mut image, block, first, checks);
                check(form, &*protection, &image, &mut place);
                if block < 8 || block == 63 || block >= 64 {
                    for second in 0..first {
                        flip(&mut image, block, second, checks);
                        check(form, &*protection, &image, &mut place);
                        flip(&mut image, block, second, checks);
                    }
                }
                flip(&mut image, block, first, checks);
            }
        }
    }
}

#[test]
fn planes_past_the_caches_are_stored_and_read_alike_at_any_address() {
    let blocks = (4 << 20) / BLOCK + 77;
    for (form, protection) in cases() {
        let plane = weights(&*protection, blocks, 2);
        let mut image = stored(&*protection, &plane);
        assert!(image == stored(&Slowly(&*protection), &plane), "{form} {}", protection.id());
        for (bit, step) in [(5, 1_000_003), (77, 64 * 31)] {
            (bit..image.data_bits()).step_by(step).for_each(|bit| image.flip_data(bit));
            (bit..image.check_bits()).step_by(step).for_each(|bit| image.flip_check(bit));
            let mut place = vec![0; plane.len() + 64];
            for start in [0, 8, 40, 57] {
                check(form, &*protection, &image, &mut place[start..][..plane.len()]);
            }
        }
    }
}

proptest! {
    #[test]
    fn planes_of_any_length_are_stored_alike(blocks in 0usize..200, seed: u64) {
        for (form, protection) in cases() {
            let plane = weights(&*protection, blocks, seed);
            let image = stored(&*protection, &plane);
            prop_assert_eq!(&image, &stored(&Slowly(&*protection), &plane), "{} {}", form, protection.id());
            let mut place = vec![0; plane.len()];
            check(form, &*protection, &image, &mut place);
            let blocks = plane.as_chunks::<BLOCK>().0.iter();
            let expected: Vec<i8> = blocks.flat_map(|block| protection.as_stored(*block)).collect();
            prop_assert_eq!(place, expected);
        }
    }

    #[test]
    fn memories_of_any_content_are_read_alike(blocks in 0usize..200, seed: u64, rarity in 0u32..12) {
        for (form, protection) in cases() {
            // One byte in 2^rarity is noise.
            let mut image = stored(&*protection, &weights(&*protection, blocks, seed));
            let mut noise = noise(!seed);
            let mut flips = |bits: u64| -> Vec<u64> {
                let bytes = (0..bits / 8).flat_map(|byte| {
                    let quiet = (0..rarity).any(|_| noise.next().unwrap() & 0x80 != 0);
                    let pattern = if quiet { 0 } else { noise.next().unwrap() };
                    (0..8).filter(move |bit| pattern >> bit & 1 == 1).map(move |bit| 8 * byte + bit)
                });
                bytes.collect()
            };
            let (data, checks) = (flips(image.data_bits()), flips(image.check_bits()));
            data.into_iter().for_each(|bit| image.flip_data(bit));
            checks.into_iter().for_each(|bit| image.flip_check(bit));
            check(form, &*protection, &image, &mut vec![0; blocks * BLOCK]);
        }
    }
}
