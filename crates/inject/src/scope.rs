use std::fmt;
use std::ops::Range;

use crate::{BitErrorRate, FaultModel, FaultPattern, Faults, PlaneSizes};

/// Which cells of a memory a fault model sees: it takes them, in their order, for all there are, so that a rate, a
/// count or the distance between cells is one among these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Only this bit of the byte that holds each weight, 0 the least significant, 7 the sign; no check cells.
    pub bit: Option<u8>,
    /// Only the cells of the tensor of this name: those of its weights and of its padding, and the check cells of its
    /// code words, or the entries of an exception list that name its weights.
    pub tensor: Option<String>,
}

impl Scope {
    /// Whether all cells are in it.
    pub fn is_whole(&self) -> bool {
        *self == Self::default()
    }

    /// The cells in scope, where `data` and `check` are all cells of the tensor, or of the memory without one.
    ///
    /// # Panics
    /// When `data` does not begin and end with a byte.
    pub fn cells(&self, data: Range<u64>, check: Range<u64>) -> ScopedCells {
        assert!(
            data.start.is_multiple_of(8) && data.end.is_multiple_of(8),
            "weights are whole bytes: {data:?}"
        );
        match self.bit {
            None => ScopedCells { data: Cells::all(data), check: Cells::all(check) },
            Some(bit) => ScopedCells {
                data: Cells {
                    first: data.start + u64::from(bit),
                    count: (data.end - data.start) / 8,
                    apart: 8,
                },
                check: Cells::all(check.start..check.start),
            },
        }
    }
}

impl fmt::Display for Scope {
    /// `bit=K,tensor=NAME`, or what there is of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.bit, &self.tensor) {
            (None, None) => Ok(()),
            (Some(bit), None) => write!(f, "bit={bit}"),
            (None, Some(tensor)) => write!(f, "tensor={tensor}"),
            (Some(bit), Some(tensor)) => write!(f, "bit={bit},tensor={tensor}"),
        }
    }
}

/// The cells of a [`Scope`] in both planes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopedCells {
    data: Cells,
    check: Cells,
}

/// `count` cells, the first at `first`, each `apart` from the next.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cells {
    first: u64,
    count: u64,
    apart: u64,
}

impl Cells {
    fn all(range: Range<u64>) -> Self {
        Self { first: range.start, count: range.end - range.start, apart: 1 }
    }

    /// Offsets in the plane of cells that are numbered in scope.
    fn place(&self, mut cells: Vec<u64>) -> Vec<u64> {
        cells.iter_mut().for_each(|cell| *cell = self.first + *cell * self.apart);
        cells
    }
}

impl ScopedCells {
    /// How many cells are in scope.
    pub fn sizes(&self) -> PlaneSizes {
        PlaneSizes { data_bits: self.data.count, check_bits: self.check.count }
    }

    /// As [`FaultModel::sample`] for the cells in scope; the offsets are those in the planes.
    ///
    /// # Panics
    /// As it does.
    pub fn sample(&self, model: FaultModel, rate: BitErrorRate, seed: u64, trial: u64) -> Faults {
        model.sample(rate, self.sizes(), seed, trial).map(|FaultPattern { data, check }| FaultPattern {
            data: self.data.place(data),
            check: self.check.place(check),
        })
    }
}
