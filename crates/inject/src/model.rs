use std::fmt;
use std::str::FromStr;

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use crate::sampling::{bernoulli, distinct};
use crate::{BitErrorRate, FaultPattern, PlaneSizes};

/// How faults fall on a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultModel {
    /// Every cell flips with the given probability, independently of all others.
    Bernoulli,
    /// Exactly floor(cells * rate) distinct cells of each plane flip, all sets equally likely: the
    /// paper's protocol, where n = int(weights * 8 * rate). The released code draws the sites tensor by
    /// tensor, in proportion to size; here they are drawn from the whole plane.
    FixedCount,
}

/// Not a fault model.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown fault model `{0}`, expected one of {known}", known = FaultModel::ALL.map(FaultModel::id).join(", "))]
pub struct UnknownFaultModel(pub String);

impl FaultModel {
    /// Every fault model.
    pub const ALL: [Self; 2] = [Self::Bernoulli, Self::FixedCount];

    /// The name used in plans and records.
    pub fn id(self) -> &'static str {
        match self {
            Self::Bernoulli => "bernoulli",
            Self::FixedCount => "fixed-count",
        }
    }

    /// The cells that flip in trial `trial` of a campaign with seed `seed`.
    ///
    /// # Precision
    /// `Bernoulli` draws gaps between flips from 53-bit uniforms: a gap longer than 36.7 / rate, which
    /// has probability 2^-53, is never drawn. `FixedCount` is exactly uniform; its count is the f64
    /// product rounded down, as in the paper's code.
    ///
    /// # Cost
    /// In proportion to the flips: one draw and one logarithm each (`Bernoulli`), or one draw and
    /// their sorting (`FixedCount`).
    pub fn sample(self, rate: BitErrorRate, planes: PlaneSizes, seed: u64, trial: u64) -> FaultPattern {
        let draw = |domain, cells| {
            let mut rng = stream(seed, domain, trial);
            match self {
                Self::Bernoulli => bernoulli(&mut rng, cells, rate.get()),
                Self::FixedCount => distinct(&mut rng, cells, fixed_count(cells, rate)),
            }
        };
        FaultPattern {
            data: draw(*b"data\0\0\0\0", planes.data_bits),
            check: draw(*b"check\0\0\0", planes.check_bits),
        }
    }
}

fn fixed_count(cells: u64, rate: BitErrorRate) -> u64 {
    ((cells as f64 * rate.get()) as u64).min(cells)
}

/// ChaCha8 with key = seed (8 bytes, little-endian), domain (8 bytes), and a constant (16 bytes).
pub(crate) fn stream(seed: u64, domain: [u8; 8], trial: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&domain);
    key[16..].copy_from_slice(b"zerospace inject");
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(trial);
    rng
}

impl fmt::Display for FaultModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl FromStr for FaultModel {
    type Err = UnknownFaultModel;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|model| model.id() == name).ok_or_else(|| UnknownFaultModel(name.into()))
    }
}
