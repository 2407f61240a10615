use std::ops::Range;

use design::{BitErrorRate, FaultKind, Scope};

use crate::{FaultPattern, Faults, PlaneSizes, sample};

/// The bits of a [`Scope`] in both planes of a memory, in their order in the memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopedBits {
    data: Bits,
    check: Bits,
}

/// `count` bits, the first at `first`, each `apart` from the next, in an order of their own if blocks take turns.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bits {
    first: u64,
    count: u64,
    apart: u64,
    turns: Option<Turns>,
}

/// The order of bits in a memory in which the bits of `depth` neighbouring blocks of a tensor take turns: bit 0 of each of
/// them, then bit 1 of each, and so on. A tensor ends with a group of the blocks that are left.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Turns {
    depth: u64,
    /// Bits of a block.
    bits: u64,
    /// Number of the first block of each tensor, and the number of all blocks.
    tensors: Vec<u64>,
}

impl Turns {
    /// Returns the number of the bit that lies at a place.
    fn bit_at(&self, place: u64) -> u64 {
        let next = self.tensors.partition_point(|&first| first * self.bits <= place);
        let (first, end) = (self.tensors[next - 1], self.tensors[next]);
        let group = first + (place / self.bits - first) / self.depth * self.depth;
        let blocks = self.depth.min(end - group);
        let place = place - group * self.bits;
        (group + place % blocks) * self.bits + place / blocks
    }
}

impl Bits {
    fn all(range: Range<u64>) -> Self {
        Self { first: range.start, count: range.end - range.start, apart: 1, turns: None }
    }

    /// Turns places in the memory into offsets in the plane, ascending.
    fn offsets(&self, mut bits: Vec<u64>) -> Vec<u64> {
        if let Some(turns) = &self.turns {
            bits.iter_mut().for_each(|bit| *bit = turns.bit_at(*bit));
            bits.sort_unstable();
        }
        bits.iter_mut().for_each(|bit| *bit = self.first + *bit * self.apart);
        bits
    }

    /// Lets the blocks of each tensor take turns; `blocks` are the numbers of blocks of the tensors, in order.
    fn interleave(&mut self, depth: u64, blocks: impl Iterator<Item = u64>) {
        let mut tensors = vec![0];
        tensors.extend(blocks.scan(0, |end, blocks| {
            *end += blocks;
            Some(*end)
        }));
        let all = *tensors.last().expect("it begins with 0");
        if self.count == 0 {
            return;
        }
        assert!(all > 0 && self.count.is_multiple_of(all), "{} bits in {all} blocks", self.count);
        self.turns = Some(Turns { depth, bits: self.count / all, tensors });
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
                    turns: None,
                },
                check: Bits::all(check.start..check.start),
            },
        }
    }

    /// Lets the bits of `depth` neighbouring blocks of each tensor take turns in the memory. `blocks` are the numbers of blocks
    /// that the tensors in scope have in the data plane and in the check plane, in order; all blocks of a plane have equally many
    /// bits.
    ///
    /// # Panics
    /// When the blocks of a plane with bits in scope do not divide these evenly.
    pub fn interleaved(mut self, depth: u64, blocks: &[[u64; 2]]) -> Self {
        self.data.interleave(depth, blocks.iter().map(|[data, _]| *data));
        self.check.interleave(depth, blocks.iter().map(|[_, check]| *check));
        self
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
            data: self.data.offsets(data),
            check: self.check.offsets(check),
        })
    }
}
