use std::ops::Range;

use design::{BitErrorRate, FaultKind, Scope};

use crate::{FaultPattern, Faults, PlaneSizes, sample};

/// The bits of a [`Scope`] in both planes of a memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopedBits {
    data: Bits,
    check: Bits,
}

/// `count` bits, the first at `first`, each `apart` from the next.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bits {
    first: u64,
    count: u64,
    apart: u64,
}

impl Bits {
    fn all(range: Range<u64>) -> Self {
        Self { first: range.start, count: range.end - range.start, apart: 1 }
    }

    /// Turns numbers of bits in scope into offsets in the plane.
    fn place(&self, mut bits: Vec<u64>) -> Vec<u64> {
        bits.iter_mut().for_each(|bit| *bit = self.first + *bit * self.apart);
        bits
    }
}

impl ScopedBits {
    /// Returns the bits in scope, where `data` and `check` are all bits of the scope's tensor, or of the memory if the scope
    /// has no tensor.
    ///
    /// # Panics
    /// When `data` does not begin and end with a byte.
    pub fn new(scope: &Scope, data: Range<u64>, check: Range<u64>) -> Self {
        assert!(
            data.start.is_multiple_of(8) && data.end.is_multiple_of(8),
            "weights are whole bytes: {data:?}"
        );
        match scope.bit {
            None => Self { data: Bits::all(data), check: Bits::all(check) },
            Some(bit) => Self {
                data: Bits {
                    first: data.start + u64::from(bit),
                    count: (data.end - data.start) / 8,
                    apart: 8,
                },
                check: Bits::all(check.start..check.start),
            },
        }
    }

    /// Returns the number of bits in scope.
    pub fn sizes(&self) -> PlaneSizes {
        PlaneSizes { data_bits: self.data.count, check_bits: self.check.count }
    }

    /// Draws the faults of a trial on the bits in scope, as [`sample`] does on a whole memory. The offsets are those in the
    /// planes.
    ///
    /// # Panics
    /// At a rate that [`FaultKind::check_rate`] refuses.
    pub fn sample(&self, kind: FaultKind, rate: BitErrorRate, seed: u64, trial: u64) -> Faults {
        sample(kind, rate, self.sizes(), seed, trial).map(|FaultPattern { data, check }| FaultPattern {
            data: self.data.place(data),
            check: self.check.place(check),
        })
    }
}
