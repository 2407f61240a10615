use super::word;
use crate::codes::fold::weight_parities;
use crate::dense::Code;
use crate::{BLOCK, Constraint, Dense, Kernel, MemoryImage, Protection, WordShape, WordStatus};

/// One even-parity bit for each weight; a weight whose parity does not match is read as the mean of its two neighbours in memory
/// order, as they were received, rounded toward zero (`avg` in the paper's release).
///
/// The code word is the block, so that no read reaches beyond it: the first and the last weight of a block have one
/// neighbour, which stands for the mean. (The release takes neighbours over the whole flattened tensor.) Check bit i
/// belongs to weight i.
///
/// There is no closed form: the weight that a mismatch is read as depends on all weights of the block.
#[derive(Clone, Copy, Debug)]
pub struct ParityAverage {
    kernel: Kernel,
}

impl ParityAverage {
    /// Makes the protection with a given form of the dense loops.
    pub fn new(kernel: Kernel) -> Self {
        Self { kernel }
    }
}

impl Protection for ParityAverage {
    fn id(&self) -> &'static str {
        "parity-avg"
    }

    fn definition(&self) -> String {
        "even, mean within the block, toward zero".into()
    }

    fn word(&self) -> WordShape {
        WordShape { weights: BLOCK, check_bits: BLOCK }
    }

    fn constraint(&self) -> Constraint {
        Constraint::NONE
    }

    fn encode_block(&self, weights: &[i8; BLOCK], image: &mut MemoryImage, block: usize) {
        image.set_block(block, word(weights));
        image.set_check_word(block, BLOCK, weight_parities(word(weights)).into());
    }

    fn decode_word(&self, image: &MemoryImage, word: usize, weights: &mut [i8]) -> WordStatus {
        let received = image.block(word).to_le_bytes().map(u8::cast_signed);
        let mismatches = self.syndrome(image, word);
        for (i, weight) in weights.iter_mut().enumerate() {
            *weight = match mismatches >> i & 1 {
                0 => received[i],
                _ => neighbours_mean(&received, i),
            };
        }
        if mismatches == 0 { WordStatus::Clean } else { WordStatus::Detected }
    }

    fn syndrome(&self, image: &MemoryImage, word: usize) -> u64 {
        u64::from(weight_parities(image.block(word))) ^ image.check_word(word, BLOCK)
    }

    /// Clean weights and check bits are those of `parity-zero`.
    fn dense(&self) -> Option<Dense<'_>> {
        Some(Dense::new(self.kernel, Code::WeightParity))
    }
}

fn neighbours_mean(block: &[i8; BLOCK], i: usize) -> i8 {
    match i {
        0 => block[1],
        7 => block[6],
        _ => ((i16::from(block[i - 1]) + i16::from(block[i + 1])) / 2) as i8,
    }
}
