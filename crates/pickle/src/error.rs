use crate::machine::MAX_STEPS;

/// The position and the reason at which parsing a pickle failed.
#[derive(Debug, thiserror::Error)]
#[error("at byte {position}: {kind}")]
pub struct PickleError {
    pub(crate) position: usize,
    pub(crate) kind: Kind,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Kind {
    #[error("the input ends too early")]
    Truncated,
    #[error("opcode {opcode:#04x} is not one of protocols 1 to 5")]
    Opcode { opcode: u8 },
    #[error("protocol is {found}, expected 1..=5")]
    Protocol { found: u8 },
    #[error("more than {MAX_STEPS} steps")]
    TooLong,
    #[error("the stack is empty")]
    EmptyStack,
    #[error("the stack has no mark")]
    NoMark,
    #[error("memo entry {index} was never stored")]
    Memo { index: u32 },
    #[error("text is not valid UTF-8")]
    Text,
    #[error("the line is not an integer")]
    Integer,
    #[error("the length {length} is negative")]
    Length { length: i32 },
    #[error("found type {found}, expected {expected}")]
    Type { found: &'static str, expected: &'static str },
    #[error("a dict is given a key without a value")]
    OddItems,
}
