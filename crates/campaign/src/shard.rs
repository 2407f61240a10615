use std::fmt;
use std::str::FromStr;

/// A share of a plan's units, for one of several processes or machines: shard `index` of `count`.
///
/// Units are dealt in plan order by the fair-share sequence (Prouhet, Thue, Morse): unit `i` belongs to the shard
/// that is the digit sum of `i`, written in base `count`, modulo `count`. Every `count` consecutive units then go
/// to different shards, so that shards have equally many units, but for one; and unlike in dealing by turns, no
/// shard meets the same rate or the same protection in every round, so that they have about equal work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u64,
    count: u64,
}

/// Why a text names no shard.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// It is not two numbers.
    #[error("a shard is K/N, two whole numbers, such as 0/8")]
    Syntax,
    /// There is no shard of that number.
    #[error("shards of {count} are numbered from 0, expected K below {count}")]
    Index {
        /// Number of shards, as given.
        count: u64,
    },
    /// No shards at all.
    #[error("0 shards, expected at least 1")]
    NoShards,
}

impl Shard {
    /// The one shard of a plan that is not divided.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Shard `index` of `count`, the first of which is 0.
    ///
    /// # Errors
    /// When there is no such shard.
    pub fn new(index: u64, count: u64) -> Result<Self, ShardError> {
        match count {
            0 => Err(ShardError::NoShards),
            _ if index >= count => Err(ShardError::Index { count }),
            _ => Ok(Self { index, count }),
        }
    }

    /// The shard of `count` to which the unit at `position` in the plan's order belongs.
    ///
    /// # Panics
    /// When `count` is 0.
    pub fn of(position: usize, count: u64) -> Self {
        let mut rest = position as u64;
        let mut sum = 0;
        while count > 1 && rest > 0 {
            sum += rest % count;
            rest /= count;
        }
        Self { index: sum % count, count }
    }

    /// Its number, from 0.
    pub fn index(self) -> u64 {
        self.index
    }

    /// Returns true if the unit at `position` in the plan's order belongs to this shard.
    pub fn takes(self, position: usize) -> bool {
        self == Self::of(position, self.count)
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let (index, count) = text.split_once('/').ok_or(ShardError::Syntax)?;
        let number = |digits: &str| digits.parse().map_err(|_| ShardError::Syntax);
        Self::new(number(index)?, number(count)?)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}
