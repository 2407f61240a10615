/// Number of bits of each plane of a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaneSizes {
    /// Bits of the data plane.
    pub data_bits: u64,
    /// Bits of the check plane.
    pub check_bits: u64,
}

/// The bits that flip in one trial. Offsets are ascending and distinct.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultPattern {
    /// Offsets into the data plane.
    pub data: Vec<u64>,
    /// Offsets into the check plane.
    pub check: Vec<u64>,
}
