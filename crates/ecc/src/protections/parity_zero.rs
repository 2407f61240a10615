use super::per_weight::{WeightCode, parity};
use crate::WordStatus;
use crate::kernel::Code;

/// One even-parity bit for each weight; a weight whose parity does not match is read as zero (the paper's "Parity
/// Zero"). Check bit i belongs to weight i.
#[derive(Debug)]
pub(super) struct ParityZero;

impl WeightCode for ParityZero {
    const ID: &'static str = "parity-zero";
    const DEFINITION: &'static str = "even";
    const CHECK_BITS: usize = 1;
    /// A mismatch leaves zeros as they are, and no other weight.
    const CLASSES: &'static [i8] = &[1, 0];
    const LOOPS: Option<Code> = Some(Code::ParityZero);

    fn store(weight: i8) -> (u8, u8) {
        (weight.cast_unsigned(), parity(weight.cast_unsigned()))
    }

    fn syndrome(byte: u8, checks: u8) -> u8 {
        parity(byte) ^ checks
    }

    fn read(byte: u8, syndrome: u8) -> (i8, WordStatus) {
        match syndrome {
            0 => (byte.cast_signed(), WordStatus::Clean),
            _ => (0, WordStatus::Detected),
        }
    }

    fn class_of(weight: i8) -> usize {
        usize::from(weight == 0)
    }
}
