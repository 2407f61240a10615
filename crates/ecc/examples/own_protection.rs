//! A protection of one's own, from its definition to its distribution: `cargo run -p zerospace-ecc --example own_protection`.
//! `docs/src/own-protection.md` walks through this file.

#![allow(clippy::print_stdout, reason = "an example shows what it does by printing")]

use std::fmt::Write;

use ecc::{BLOCK, Constraint, MemoryImage, OutcomeDistribution, Protection, WordShape, WordStatus};

/// A copy of its sign beside each weight; a weight whose sign differs from the copy is read as zero. Flips of the seven
/// other bits pass unseen.
#[derive(Clone, Copy, Debug)]
struct SignZero;

impl Protection for SignZero {
    fn id(&self) -> &'static str {
        "sign-zero"
    }

    fn definition(&self) -> String {
        "copy of bit 7".into()
    }

    fn word(&self) -> WordShape {
        WordShape { weights: 1, check_bits: 1 }
    }

    fn constraint(&self) -> Constraint {
        Constraint::NONE
    }

    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize) {
        let bytes = weights.map(i8::cast_unsigned);
        image.set_block(block, u64::from_le_bytes(bytes));
        for (i, byte) in bytes.into_iter().enumerate() {
            image.set_check_word(BLOCK * block + i, 1, u64::from(byte >> 7));
        }
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        if self.syndrome(image, word) == 0 {
            weights[0] = image.data()[word].cast_signed();
            WordStatus::Clean
        } else {
            weights[0] = 0;
            WordStatus::Detected
        }
    }

    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64 {
        u64::from(image.data()[word] >> 7) ^ image.check_word(word, 1)
    }

    fn outcome_distributions(&self) -> Option<Vec<OutcomeDistribution>> {
        Some([1, 0].map(|weight| OutcomeDistribution::of_weight(self, weight)).into())
    }

    fn class_of(&self, weights: &[i8]) -> usize {
        usize::from(weights[0] == 0)
    }
}

/// What it costs, and how often a weight is read wrong.
fn report() -> String {
    let word = SignZero.word();
    let overhead = 100.0 * word.check_bits as f64 / (8 * word.weights) as f64;
    let mut text = format!("{}: stored overhead {overhead} %\n", SignZero.id());
    text += "    rate  P(wrong), not zero  P(wrong), zero  P(detected)\n";
    let distributions = SignZero.outcome_distributions().expect("it has two");
    for rate in [1e-5, 1e-4, 1e-3, 1e-2] {
        let [other, zero] = [0, 1].map(|class: usize| distributions[class].probabilities(rate));
        let (wrong, zero_wrong, detected) = (other.wrong(), zero.wrong(), other.detected());
        writeln!(text, "{rate:8e}{wrong:21.4e}{zero_wrong:16.4e}{detected:13.4e}")
            .expect("a String takes it");
    }
    text
}

fn main() {
    print!("{}", report());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_under_every_pattern_of_flips_is_read_as_defined() {
        for weight in i8::MIN..=i8::MAX {
            for flips in 0u16..512 {
                // Bits 0..8 hit weight 3, bit 8 its copy.
                let mut image = MemoryImage::blank(SignZero.word(), BLOCK);
                SignZero.encode_block(&[weight; BLOCK], &mut image, 0);
                (0..8).filter(|bit| flips >> bit & 1 == 1).for_each(|bit| image.flip_data(3 * 8 + bit));
                if flips >> 8 == 1 {
                    image.flip_check(3);
                }
                let mut read = [99];
                let status = SignZero.decode_word(&image, 3, &mut read);
                let expected = match (flips >> 7) & 0b11 {
                    0b00 | 0b11 => ([weight ^ (flips & 0xff) as u8 as i8], WordStatus::Clean),
                    _ => ([0], WordStatus::Detected),
                };
                assert_eq!((read, status), expected, "{weight} {flips:b}");
            }
        }
    }

    #[test]
    fn each_weight_has_the_distribution_of_its_class() {
        let distributions = SignZero.outcome_distributions().unwrap();
        for weight in i8::MIN..=i8::MAX {
            assert_eq!(
                distributions[SignZero.class_of(&[weight])],
                OutcomeDistribution::of_weight(&SignZero, weight)
            );
        }
    }

    /// The page shows this code and what it prints.
    #[test]
    fn the_tutorial_is_about_this_file() {
        let page = include_str!("../../../docs/src/own-protection.md");
        let code = include_str!("own_protection.rs");
        let blocks = page.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        let blocks: Vec<&str> = blocks.collect();
        assert!(blocks.len() > 3);
        for block in blocks {
            assert!(code.contains(block), "not in the example:\n{block}");
        }
        assert!(page.contains(&report()), "the page shows another output than\n{}", report());
    }
}
