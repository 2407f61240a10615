//! The self-dual codes of rate one half: five flips of the protected bits are corrected, six detected.

use ecc::{BLOCK, InPlaceSelfDual, Kernel, MemoryImage, Protection, WordStatus};
use proptest::prelude::*;

struct Case {
    protection: InPlaceSelfDual,
    /// Protected bits of a weight, check bits included; the others are silent.
    protected: &'static [u64],
}

fn cases() -> [Case; 2] {
    [
        Case { protection: InPlaceSelfDual::msb_48_24(Kernel::fastest()), protected: &[2, 3, 4, 5, 6, 7] },
        Case {
            protection: InPlaceSelfDual::msb_64_32(Kernel::fastest()),
            protected: &[0, 1, 2, 3, 4, 5, 6, 7],
        },
    ]
}

impl Case {
    fn bits(&self) -> Vec<u64> {
        (0..8).flat_map(|weight| self.protected.iter().map(move |bit| 8 * weight + bit)).collect()
    }

    fn stored(&self, weights: [i8; BLOCK]) -> MemoryImage {
        let mut image = MemoryImage::blank(self.protection.word(), BLOCK);
        self.protection.encode_block(&weights, &mut image, 0);
        image
    }

    fn read(&self, image: &MemoryImage) -> ([i8; BLOCK], WordStatus) {
        let mut weights = [0; BLOCK];
        let status = self.protection.decode_word(image, 0, &mut weights);
        (weights, status)
    }

    /// Reads under `flips` flips of protected bits, every `step`-th pattern in lexicographic order.
    fn for_each(
        &self,
        weights: [i8; BLOCK],
        flips: usize,
        step: usize,
        mut seen: impl FnMut([i8; BLOCK], WordStatus),
    ) {
        let bits = self.bits();
        let mut image = self.stored(weights);
        let mut chosen: Vec<usize> = (0..flips).collect();
        let mut count = 0;
        loop {
            if count % step == 0 {
                chosen.iter().for_each(|&i| image.flip_data(bits[i]));
                let (read, status) = self.read(&image);
                seen(read, status);
                chosen.iter().for_each(|&i| image.flip_data(bits[i]));
            }
            count += 1;
            let Some(i) = (0..flips).rev().find(|&i| chosen[i] < bits.len() - flips + i) else { return };
            chosen[i] += 1;
            for j in i + 1..flips {
                chosen[j] = chosen[j - 1] + 1;
            }
        }
    }

    fn storable(&self, mut weights: [i8; BLOCK]) -> [i8; BLOCK] {
        self.protection.constraint().throttle(&mut weights);
        weights
    }
}

const WEIGHTS: [i8; BLOCK] = [15, -16, 1, -1, 7, -9, 0, 12];

/// S227 of the specification.
#[test]
fn five_flips_are_corrected_and_six_detected() {
    for case in cases() {
        let weights = case.storable(WEIGHTS);
        // All of up to three; of more some 100,000 spread over all.
        for (flips, step) in [(0, 1), (1, 1), (2, 1), (3, 1), (4, 7), (5, 61), (6, 631)] {
            let status = match flips {
                0 => WordStatus::Clean,
                6 => WordStatus::Detected,
                _ => WordStatus::Corrected,
            };
            case.for_each(weights, flips, step, |read, found| {
                assert_eq!(found, status, "{}: {flips} flips", case.protection.id());
                assert!(
                    flips == 6 || read == weights,
                    "{}: {flips} flips read as {read:?}",
                    case.protection.id()
                );
            });
        }
    }
}

#[test]
fn every_weight_value_survives_at_every_position() {
    for case in cases() {
        let range = case.protection.constraint().narrowest();
        for position in 0..BLOCK {
            for value in range.clone() {
                let mut weights = case.storable(WEIGHTS);
                weights[position] = value;
                assert_eq!(case.read(&case.stored(weights)), (weights, WordStatus::Clean));
            }
        }
    }
}

#[test]
fn flips_of_the_lowest_bits_are_silent_and_small() {
    let [case, _] = cases();
    let weights = case.storable(WEIGHTS);
    let mut image = case.stored(weights);
    for weight in 0..8 {
        image.flip_data(8 * weight);
        image.flip_data(8 * weight + 1);
    }
    assert_eq!(case.read(&image), (weights.map(|weight| weight ^ 3), WordStatus::Clean));
}

/// SplitMix64 (Steele, Lea, Flood 2014).
fn numbers() -> impl Iterator<Item = u64> {
    let mut state = 1u64;
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    })
}

/// Beyond the radius nothing is exhaustive: a sample, against the number of code words of weight 12 and their parts of
/// seven and eight bits, the only patterns that are within five flips of a code word.
#[test]
fn more_flips_mislead_as_often_as_code_words_of_least_weight_say() {
    for (case, [lightest, sevens, eights]) in cases()
        .into_iter()
        .zip([[17_296.0, 73_629_072.0, 377_348_994.0], [2_976.0, 621_216_192.0, 4_426_165_368.0]])
    {
        for (flips, parts, patterns) in [(7, 792.0, sevens), (8, 495.0, eights)] {
            let (mut miscorrected, mut seen) = (0u32, 0u32);
            let mut image = case.stored(case.storable(WEIGHTS));
            let mut numbers = numbers();
            while seen < 20_000 {
                let mut bits = case.bits();
                let chosen: Vec<u64> = (0..flips)
                    .map(|_| bits.swap_remove(numbers.next().unwrap() as usize % bits.len()))
                    .collect();
                chosen.iter().for_each(|&bit| image.flip_data(bit));
                miscorrected += u32::from(case.read(&image).1 == WordStatus::Corrected);
                chosen.iter().for_each(|&bit| image.flip_data(bit));
                seen += 1;
            }
            let (share, expected) = (f64::from(miscorrected) / f64::from(seen), lightest * parts / patterns);
            let deviation = (expected * (1.0 - expected) / f64::from(seen)).sqrt();
            assert!((share - expected).abs() < 5.0 * deviation, "{flips}: {share} against {expected}");
            if case.bits().len() == 64 {
                let distribution = case.protection.outcome_distributions().unwrap().remove(0);
                assert_eq!(distribution.patterns()[flips].corrected_wrong as f64, lightest * parts);
            }
        }
    }
}

proptest! {
    #[test]
    fn what_is_read_of_garbage_is_within_the_range_and_explained(bytes: [u8; 8]) {
        for case in cases() {
            let received = MemoryImage::new(bytes.to_vec(), vec![]);
            let (read, status) = case.read(&received);
            let range = case.protection.constraint().narrowest();
            prop_assert!(read.iter().all(|weight| range.contains(weight)));
            // A corrected word is a stored word within five flips of what was received, in its protected bits.
            let again = case.stored(read);
            let mask: u64 = case.bits().iter().fold(0, |mask, bit| mask | 1 << bit);
            let word = |image: &MemoryImage| u64::from_le_bytes(image.data().try_into().unwrap()) & mask;
            let distance = (word(&again) ^ word(&received)).count_ones();
            match status {
                WordStatus::Clean => prop_assert_eq!(distance, 0),
                WordStatus::Corrected => prop_assert!((1..=5).contains(&distance)),
                WordStatus::Detected => prop_assert!(distance != 0),
            }
        }
    }
}
