use super::per_weight::{WeightCode, parity};
use crate::WordStatus;

/// The least significant bit of a weight makes its parity even; a weight whose parity is odd is read as zero (Qin et
/// al., "Robustness of Neural Networks against Storage Media Errors", 2017). Lossy: the network reads the parity as the
/// bit it stands in for, so half of all weights are off by one.
#[derive(Debug)]
pub(super) struct WeightNulling;

impl WeightCode for WeightNulling {
    const ID: &'static str = "weight-nulling";
    const DEFINITION: &'static str = "even parity in bit 0";
    /// A mismatch leaves weights as they are that are stored as zero, and no other weight.
    const CLASSES: &'static [i8] = &[2, 0];

    fn store(weight: i8) -> (u8, u8) {
        let byte = weight.cast_unsigned();
        (byte ^ parity(byte), 0)
    }

    #[inline(always)]
    fn syndrome(byte: u8, _: u8) -> u8 {
        parity(byte)
    }

    #[inline(always)]
    fn read(byte: u8, syndrome: u8) -> (i8, WordStatus) {
        match syndrome {
            0 => (byte.cast_signed(), WordStatus::Clean),
            _ => (0, WordStatus::Detected),
        }
    }

    fn class_of(weight: i8) -> usize {
        usize::from(Self::store(weight).0 == 0)
    }
}
