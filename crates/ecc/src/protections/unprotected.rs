use super::per_weight::WeightCode;
use crate::WordStatus;
use crate::kernel::Code;

/// No protection: a weight is its own word, and every flip is silent.
#[derive(Debug)]
pub(super) struct Unprotected;

impl WeightCode for Unprotected {
    const ID: &'static str = "faulty";
    const DEFINITION: &'static str = "";
    const LOOPS: Option<Code> = Some(Code::Faulty);

    fn store(weight: i8) -> (u8, u8) {
        (weight.cast_unsigned(), 0)
    }

    fn syndrome(_: u8, _: u8) -> u8 {
        0
    }

    fn read(byte: u8, _: u8) -> (i8, WordStatus) {
        (byte.cast_signed(), WordStatus::Clean)
    }
}
