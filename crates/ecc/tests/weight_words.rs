//! The protections of single weights against their definitions, written down bit by bit: every value, every pattern of
//! flips.

use ecc::{MemoryImage, WordStatus, by_id};

/// Bits of a word, the bits of the weight from the least significant, then its check bits.
type Bits = Vec<bool>;

/// A protection as one would define it on paper: what it stores for a weight, and what it reads from bits.
struct Definition {
    id: &'static str,
    store: fn(i8) -> Bits,
    read: fn(&[bool]) -> (i8, WordStatus),
}

fn bits(value: i8) -> Bits {
    (0..8).map(|bit| value >> bit & 1 == 1).collect()
}

fn weight(bits: &[bool]) -> i8 {
    (0..8).fold(0, |value, bit| value | i8::from(bits[bit]) << bit)
}

fn odd(stored: &[bool]) -> bool {
    stored.iter().filter(|bit| **bit).count() % 2 == 1
}

fn majority(a: bool, b: bool, c: bool) -> bool {
    [a, b, c].into_iter().filter(|bit| *bit).count() >= 2
}

/// With the three bits of a repeated sign at these places.
fn repeated_sign(stored: &[bool], places: [usize; 3]) -> (bool, WordStatus) {
    let [a, b, c] = places.map(|place| stored[place]);
    let same = a == b && b == c;
    (majority(a, b, c), if same { WordStatus::Clean } else { WordStatus::Corrected })
}

const DEFINITIONS: [Definition; 6] = [
    Definition {
        id: "parity-zero",
        store: |value| [bits(value), vec![odd(&bits(value))]].concat(),
        read: |stored| match odd(stored) {
            false => (weight(&stored[..8]), WordStatus::Clean),
            true => (0, WordStatus::Detected),
        },
    },
    Definition {
        id: "weight-nulling",
        store: |value| {
            let mut bits = bits(value);
            bits[0] = odd(&bits[1..]);
            bits
        },
        read: |stored| match odd(stored) {
            false => (weight(stored), WordStatus::Clean),
            true => (0, WordStatus::Detected),
        },
    },
    Definition {
        id: "vote",
        store: |value| [bits(value), vec![(-32..32).contains(&value)]].concat(),
        read: |stored| {
            let mut bits = stored[..8].to_vec();
            let differ = !(bits[7] == bits[6] && bits[6] == bits[5]);
            if !(stored[8] && differ) {
                return (weight(&bits), WordStatus::Clean);
            }
            let top = majority(bits[7], bits[6], bits[5]);
            bits[5..].fill(top);
            (weight(&bits), WordStatus::Corrected)
        },
    },
    Definition {
        id: "msb-tmr",
        store: |value| [bits(value), vec![value < 0; 2]].concat(),
        read: |stored| {
            let (sign, status) = repeated_sign(stored, [7, 8, 9]);
            (weight(&[&stored[..7], &[sign]].concat()), status)
        },
    },
    Definition {
        id: "mset-8",
        store: |value| [&[value < 0; 2], &bits(value)[2..]].concat(),
        read: |stored| {
            let (sign, status) = repeated_sign(stored, [7, 1, 0]);
            (weight(&[&[false; 2], &stored[2..7], &[sign]].concat()), status)
        },
    },
    Definition {
        id: "cep-8",
        store: |value| {
            let magnitude = i32::from(value).abs().min(127) as i8 / 4 * 4;
            let mut stored = bits(magnitude);
            stored[7] = value < 0 && magnitude > 0;
            stored[1] = odd(&stored[5..8]);
            stored[0] = odd(&stored[2..5]);
            stored
        },
        read: |stored| {
            let mut kept = stored.to_vec();
            let mut status = WordStatus::Clean;
            for (chunk, parity) in [(5..8, 1), (2..5, 0)] {
                if odd(&stored[chunk.clone()]) != stored[parity] {
                    kept[chunk].fill(false);
                    status = WordStatus::Detected;
                }
            }
            let magnitude = weight(&[&[false; 2], &kept[2..7], &[false]].concat());
            (if kept[7] { -magnitude } else { magnitude }, status)
        },
    },
];

/// The bits of weight `index` in a memory whose words are of one weight.
fn bits_of(image: &MemoryImage, index: usize, check_bits: usize) -> Bits {
    let is_set = |plane: &[u8], bit: usize| plane[bit / 8] >> (bit % 8) & 1 == 1;
    let data = (0..8).map(|bit| is_set(image.data(), 8 * index + bit));
    data.chain((0..check_bits).map(|bit| is_set(image.check(), check_bits * index + bit))).collect()
}

/// S211, S212, S214, S215, S216, S217 and S218 of the specification.
#[test]
fn every_value_under_every_pattern_of_flips_is_read_as_defined() {
    for Definition { id, store, read } in DEFINITIONS {
        let protection = by_id(id).unwrap();
        let shape = protection.word();
        assert_eq!(shape.weights, 1);
        for value in i8::MIN..=i8::MAX {
            // The weight in question is the fourth; its neighbours have other values.
            let mut weights = [value.wrapping_add(77); 8];
            weights[3] = value;
            let mut image = MemoryImage::blank(shape, 8);
            protection.encode_block(&weights, &mut image, 0);
            let stored = bits_of(&image, 3, shape.check_bits);
            assert_eq!(stored, store(value), "{id} {value}");
            assert_eq!((protection.as_stored(weights)[3], WordStatus::Clean), read(&stored), "{id} {value}");
            for flips in 0u32..1 << stored.len() {
                let flipped: Vec<usize> = (0..stored.len()).filter(|i| flips >> i & 1 == 1).collect();
                let flip = |image: &mut MemoryImage| {
                    for &bit in &flipped {
                        match bit.checked_sub(8) {
                            None => image.flip_data(3 * 8 + bit as u64),
                            Some(check) => image.flip_check((3 * shape.check_bits + check) as u64),
                        }
                    }
                };
                flip(&mut image);
                let mut found = [1];
                let status = protection.decode_word(&image, 3, &mut found);
                let expected = read(&bits_of(&image, 3, shape.check_bits));
                assert_eq!((found[0], status), expected, "{id} {value} {flips:b}");
                let quiet = protection.syndrome(&image, 3) == 0;
                assert_eq!(quiet, status == WordStatus::Clean, "{id} {value} {flips:b}");
                flip(&mut image);
            }
        }
    }
}

#[test]
fn what_storing_costs() {
    for (id, most) in [("parity-zero", 0), ("vote", 0), ("msb-tmr", 0), ("weight-nulling", 1), ("mset-8", 3)]
    {
        let protection = by_id(id).unwrap();
        for value in i8::MIN..=i8::MAX {
            let loss = i32::from(value) - i32::from(protection.as_stored([value; 8])[0]);
            assert!(loss.abs() <= most, "{id} {value}: {loss}");
        }
    }
    // A magnitude is cut off, and 128 is no magnitude of seven bits.
    let cep = |value| by_id("cep-8").unwrap().as_stored([value; 8])[0];
    assert_eq!([0, 3, -3, 4, -4, 7, 127, -127, -128].map(cep), [0, 0, 0, 4, -4, 4, 124, -124, -124]);
}

/// S213 of the specification.
#[test]
fn a_parity_mismatch_takes_the_mean_of_the_neighbours_in_the_block_as_received() {
    let protection = by_id("parity-avg").unwrap();
    let block: [i8; 8] = [-100, 37, -8, 0, 127, 126, -128, 5];
    // Toward zero: (37 + 0) / 2 is 18, (-8 + 127) / 2 is 59, (127 - 128) / 2 is 0, (-100 - 8) / 2 is -54.
    let means = [37, -54, 18, 59, 63, 0, 65, -128];
    let read = |flips: &[(usize, u64)]| {
        let mut image = MemoryImage::blank(protection.word(), 16);
        protection.encode_block(&[1; 8], &mut image, 0);
        protection.encode_block(&block, &mut image, 1);
        for &(weight, bit) in flips {
            let weight = 8 + weight as u64;
            if bit < 8 { image.flip_data(8 * weight + bit) } else { image.flip_check(weight) }
        }
        let mut read = [99; 8];
        let status = protection.decode_word(&image, 1, &mut read);
        let mismatches = (0..8).filter(|i| flips.iter().filter(|(weight, _)| weight == i).count() % 2 == 1);
        assert_eq!(protection.syndrome(&image, 1), mismatches.fold(0, |all, i| all | 1 << i));
        (read, status)
    };
    assert_eq!(read(&[]), (block, WordStatus::Clean));
    for i in 0..8 {
        for pattern in 1u32..512 {
            let flips: Vec<_> = (0..9).filter(|bit| pattern >> bit & 1 == 1).map(|bit| (i, bit)).collect();
            let mut expected = block;
            let status = if flips.len() % 2 == 1 {
                expected[i] = means[i];
                WordStatus::Detected
            } else {
                expected[i] ^= (pattern & 0xff) as u8 as i8;
                WordStatus::Clean
            };
            assert_eq!(read(&flips), (expected, status), "weight {i}, flips {pattern:b}");
        }
    }
    // Neighbours that mismatch too are taken as they were received: 37 with bit 1 flipped is 39, 0 with bit 3 is 8.
    let (found, _) = read(&[(1, 1), (2, 0), (3, 3)]);
    assert_eq!(found[1..4], [(-100 - 7) / 2, (39 + 8) / 2, (-7 + 127) / 2]);
}
