use std::fmt;
use std::ops::RangeInclusive;

use crate::{BLOCK, MemoryLayout};

/// Range of the weights at each position of a block.
///
/// A position is a weight's flat row-major index in its tensor, modulo 8, as in the paper; since
/// tensors begin on block boundaries, it is also its plane index modulo 8.
///
/// The project writes ranges only as the text of a constraint ([`Display`](fmt::Display)): `[-16, 15]` if all positions
/// are alike, `any value` for [`Self::NONE`], and otherwise every range with its
/// positions, free ones last: `[-64, 63] at positions 0 to 6 of each 8-byte block, any value at position 7`. Equal
/// constraints have equal texts, different ones different texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Constraint {
    /// Smallest allowed value at each position.
    pub low: [i8; BLOCK],
    /// Largest allowed value at each position.
    pub high: [i8; BLOCK],
}

/// A weight that a constraint forbids.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("weight {index} of {tensor} is {value}, outside [{low}, {high}]")]
pub struct Violation {
    /// Tensor name.
    pub tensor: String,
    /// Row-major index in the tensor.
    pub index: usize,
    /// Value of the weight.
    pub value: i8,
    /// Smallest allowed value at that position.
    pub low: i8,
    /// Largest allowed value at that position.
    pub high: i8,
}

impl Constraint {
    /// Any value at any position.
    pub const NONE: Self = Self { low: [i8::MIN; BLOCK], high: [i8::MAX; BLOCK] };

    /// The paper's: positions 0..=6 in [-64, 63], where bit 6 of a weight equals its sign, position 7
    /// free.
    pub const WOT: Self = Self {
        low: [-64, -64, -64, -64, -64, -64, -64, i8::MIN],
        high: [63, 63, 63, 63, 63, 63, 63, i8::MAX],
    };

    /// Positions 0..=5 in [-32, 31], where bits 6 and 5 of a weight equal its sign, position 6 in [-64, 63], where
    /// bit 6 does, position 7 free.
    pub const TWO_BIT: Self = Self {
        low: [-32, -32, -32, -32, -32, -32, -64, i8::MIN],
        high: [31, 31, 31, 31, 31, 31, 63, i8::MAX],
    };

    /// Positions 0, 1, 2, 4, 5 and 6 in [-32, 31], positions 3 and 7 free.
    pub const TWO_BIT_OF_FOUR: Self = Self {
        low: [-32, -32, -32, i8::MIN, -32, -32, -32, i8::MIN],
        high: [31, 31, 31, i8::MAX, 31, 31, 31, i8::MAX],
    };

    /// All positions in [-32, 31].
    pub const TWO_BIT_ALL: Self = Self { low: [-32; BLOCK], high: [31; BLOCK] };

    /// The weights that both constraints allow; 0 must be among them.
    pub(crate) fn and(&self, other: &Self) -> Self {
        Self {
            low: std::array::from_fn(|i| self.low[i].max(other.low[i])),
            high: std::array::from_fn(|i| self.high[i].min(other.high[i])),
        }
    }

    /// True if `value` is allowed at an index of the plane or of a tensor.
    pub fn allows(&self, index: usize, value: i8) -> bool {
        (self.low[index % BLOCK]..=self.high[index % BLOCK]).contains(&value)
    }

    /// Distinct ranges with their positions, in order of the first position; the whole range of an 8-bit weight comes
    /// last.
    fn ranges(&self) -> Vec<([i8; 2], Vec<usize>)> {
        let mut ranges: Vec<([i8; 2], Vec<usize>)> = Vec::new();
        for position in 0..BLOCK {
            let range = [self.low[position], self.high[position]];
            match ranges.iter_mut().find(|(known, _)| *known == range) {
                Some((_, positions)) => positions.push(position),
                None => ranges.push((range, vec![position])),
            }
        }
        ranges.sort_by_key(|(range, _)| *range == [i8::MIN, i8::MAX]);
        ranges
    }

    /// True if all weights of one tensor are allowed. The compiler turns this form into vector instructions.
    fn allows_all(&self, tensor: &[i8]) -> bool {
        const LANES: usize = 4 * BLOCK;
        let low: [i8; LANES] = std::array::from_fn(|i| self.low[i % BLOCK]);
        let high: [i8; LANES] = std::array::from_fn(|i| self.high[i % BLOCK]);
        let (parts, rest) = tensor.as_chunks::<LANES>();
        let mut outside = [0; LANES];
        for part in parts {
            for i in 0..LANES {
                outside[i] |= u8::from(part[i] < low[i]) | u8::from(part[i] > high[i]);
            }
        }
        outside == [0; LANES] && rest.iter().enumerate().all(|(i, value)| self.allows(i, *value))
    }

    /// Weights of one tensor that are not allowed, as (index, value).
    pub fn violations<'a>(&'a self, tensor: &'a [i8]) -> impl Iterator<Item = (usize, i8)> + 'a {
        tensor.iter().copied().enumerate().filter(|&(index, value)| !self.allows(index, value))
    }

    /// Range of the narrowest position.
    pub fn narrowest(&self) -> RangeInclusive<i8> {
        let low = self.low.into_iter().max().expect("a block has positions");
        let high = self.high.into_iter().min().expect("a block has positions");
        low..=high
    }

    /// Returns the constraint with the range of the narrowest position at all positions; its text is this range.
    pub fn narrowed(&self) -> Self {
        let range = self.narrowest();
        Self { low: [*range.start(); BLOCK], high: [*range.end(); BLOCK] }
    }

    /// Clamps each weight of one tensor into its range (the paper's *throttling*); returns how many
    /// changed.
    pub fn throttle(&self, tensor: &mut [i8]) -> usize {
        let mut changed = 0;
        for (index, value) in tensor.iter_mut().enumerate() {
            let allowed = (*value).clamp(self.low[index % BLOCK], self.high[index % BLOCK]);
            changed += usize::from(allowed != *value);
            *value = allowed;
        }
        changed
    }

    /// Refuses a plane with a weight outside its range.
    ///
    /// # Errors
    /// The first such weight.
    pub fn check(&self, layout: &MemoryLayout, plane: &[i8]) -> Result<(), Violation> {
        let mut spans = layout.tensors().iter();
        spans.try_for_each(|span| self.check_tensor(&span.name, &plane[span.range()]))
    }

    /// Refuses a tensor with a weight outside its range.
    pub(crate) fn check_tensor(&self, name: &str, tensor: &[i8]) -> Result<(), Violation> {
        if self.allows_all(tensor) {
            return Ok(());
        }
        let Some((index, value)) = self.violations(tensor).next() else { return Ok(()) };
        let (low, high) = (self.low[index % BLOCK], self.high[index % BLOCK]);
        Err(Violation { tensor: name.into(), index, value, low, high })
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |[low, high]: [i8; 2]| match (low, high) {
            (i8::MIN, i8::MAX) => "any value".to_string(),
            _ => format!("[{low}, {high}]"),
        };
        let ranges = self.ranges();
        if let [(range, _)] = ranges.as_slice() {
            return f.write_str(&text(*range));
        }
        for (i, (range, positions)) in ranges.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{} at {}", text(*range), positions_text(positions))?;
            if i == 0 {
                f.write_str(" of each 8-byte block")?;
            }
        }
        Ok(())
    }
}

/// `position 7`, `positions 0 to 5`, `positions 0 to 2 and 4 to 6`, `positions 1, 3 and 7`; the numbers ascend.
fn positions_text(positions: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &position in positions {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == position => *last = position,
            _ => runs.push((position, position)),
        }
    }
    let parts: Vec<String> = runs
        .into_iter()
        .flat_map(|(first, last)| match last - first {
            0 => vec![first.to_string()],
            1 => vec![first.to_string(), last.to_string()],
            _ => vec![format!("{first} to {last}")],
        })
        .collect();
    let noun = if positions.len() == 1 { "position" } else { "positions" };
    match parts.as_slice() {
        [before @ .., last] if !before.is_empty() => format!("{noun} {} and {last}", before.join(", ")),
        _ => format!("{noun} {}", parts.concat()),
    }
}
