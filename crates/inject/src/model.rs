use std::fmt;

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use crate::burst::Bursts;
use crate::sampling::{bernoulli, distinct};
use crate::{BitErrorRate, FaultPattern, Faults, PlaneSizes};

/// How faults fall on a memory at a rate.
///
/// Display gives the form `name` or `name:key=value,key=value` that enters plans and records;
/// [`crate::ScopedFaultModel`] reads it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FaultModel {
    /// `bernoulli`: every cell flips with the given probability, independently of all others.
    Bernoulli,
    /// `fixed-count`: exactly floor(cells * rate) distinct cells of each plane flip, all sets equally likely: the
    /// paper's protocol, where n = int(weights * 8 * rate). The released code draws the sites tensor by
    /// tensor, in proportion to size; here they are drawn from the whole plane.
    FixedCount,
    /// `burst:length=L[-M],distance=D`: bursts of L to M cells, all lengths equally likely, whose cells are D apart
    /// (1: adjacent; physically adjacent cells of a memory that interleaves D words are D apart in logical
    /// addresses).
    ///
    /// Bursts start at each position independently with the probability s that makes every cell flip with the given
    /// rate p: a cell stays when none of the bursts that could cover it does, 1 - p = prod over j < M of
    /// (1 - s P(length > j)). A cell that several bursts cover flips once (union). Bursts that begin before a
    /// plane and reach into it count too, so that p holds at the edges; none goes on from one plane to another.
    Burst {
        /// Fewest and most cells of a burst.
        length: (u64, u64),
        /// From one of its cells to the next, in cells.
        distance: u64,
    },
    /// `stuck-at:value=V`: every cell is stuck at V with the given probability, and flips where another bit was
    /// stored.
    StuckAt {
        /// Whether at 1.
        one: bool,
    },
    /// `asymmetric:share=S`: a stored 1 flips with probability 2 p S, a stored 0 with 2 p (1 - S), so that p is the
    /// flip probability of a memory with as many ones as zeros, and S is the share of its flips that are 1 to 0.
    Asymmetric {
        /// S.
        share: f64,
    },
    /// `accumulate:hours=H[,scrub=I]`: the rate is the probability with which a cell flips in an hour, and the
    /// memory is read at the end of H hours. Every I hours before that, where I is given, it is scrubbed: each
    /// word is decoded, and where that changes it, what was read is stored anew, rightly or not.
    Accumulate {
        /// H.
        hours: u64,
        /// I, less than H; `None`: the memory is never scrubbed.
        scrub: Option<u64>,
    },
}

/// A rate at which a fault model makes no sense.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{rate:e}, expected at most {most:e} under {model}")]
pub struct RateTooHigh {
    /// The rate.
    pub rate: f64,
    /// The highest that does.
    pub most: f64,
    /// Display of the model.
    pub model: String,
}

impl FaultModel {
    /// Checks that the model has a meaning at a rate: `asymmetric` when both of its probabilities are at most 1,
    /// `accumulate` up to 1/2 (a cell that is more likely than not to flip within the hour has no rate), the others
    /// always.
    ///
    /// # Errors
    /// When it has none.
    pub fn check_rate(self, rate: BitErrorRate) -> Result<(), RateTooHigh> {
        let most = match self {
            Self::Asymmetric { share } => 0.5 / share.max(1.0 - share),
            Self::Accumulate { .. } => 0.5,
            _ => 1.0,
        };
        if rate.get() <= most {
            return Ok(());
        }
        Err(RateTooHigh { rate: rate.get(), most, model: self.to_string() })
    }

    /// Cells that a trial flips in the mean; for `fixed-count` in every trial. For `stuck-at` those that it makes stuck,
    /// for `asymmetric` those of a memory with as many ones as zeros, for `accumulate` the flips of all intervals together.
    pub fn mean_flips(self, rate: BitErrorRate, planes: PlaneSizes) -> f64 {
        let p = rate.get();
        if self == Self::FixedCount {
            return (fixed_count(planes.data_bits, rate) + fixed_count(planes.check_bits, rate)) as f64;
        }
        let of_a_cell = match self {
            Self::Accumulate { hours, scrub } => {
                let (between, interval, rest) = intervals(hours, scrub);
                between as f64 * odd_flips(p, interval) + odd_flips(p, rest)
            }
            _ => p,
        };
        of_a_cell * (planes.data_bits + planes.check_bits) as f64
    }

    /// What the faults of trial `trial` of a campaign with seed `seed` do.
    ///
    /// # Precision
    /// Independent flips are drawn as gaps between flips from 53-bit uniforms: a gap longer than 36.7 / rate, which
    /// has probability 2^-53, is never drawn. `fixed-count` is exactly uniform; its count is the f64
    /// product rounded down, as in the paper's code.
    ///
    /// # Cost
    /// In proportion to the flips: one draw and one logarithm each, or for `fixed-count` one draw and
    /// their sorting. `accumulate` draws one interval between scrubs after another.
    ///
    /// # Panics
    /// At a rate that [`FaultModel::check_rate`] refuses.
    pub fn sample(self, rate: BitErrorRate, planes: PlaneSizes, seed: u64, trial: u64) -> Faults {
        assert_eq!(self.check_rate(rate), Ok(()));
        let p = rate.get();
        let mut planes = Planes {
            data: (stream(seed, *b"data\0\0\0\0", trial), planes.data_bits),
            check: (stream(seed, *b"check\0\0\0", trial), planes.check_bits),
        };
        match self {
            Self::Bernoulli => Faults::Flips(planes.independent(p)),
            Self::FixedCount => {
                Faults::Flips(planes.draw(|rng, cells| distinct(rng, cells, fixed_count(cells, rate))))
            }
            Self::Burst { length, distance } => {
                let bursts = Bursts::new(length, distance, p);
                Faults::Flips(planes.draw(|rng, cells| bursts.draw(rng, cells)))
            }
            Self::StuckAt { one } => {
                let stuck = planes.independent(p);
                match one {
                    true => Faults::ByStoredBit { ones: FaultPattern::default(), zeros: stuck },
                    false => Faults::ByStoredBit { ones: stuck, zeros: FaultPattern::default() },
                }
            }
            Self::Asymmetric { share } => Faults::ByStoredBit {
                ones: planes.independent(2.0 * p * share),
                zeros: planes.independent(2.0 * p * (1.0 - share)),
            },
            Self::Accumulate { hours, scrub } => {
                let (between, interval, rest) = intervals(hours, scrub);
                let mut flips = |hours| planes.independent(odd_flips(p, hours));
                let mut intervals: Vec<FaultPattern> = (0..between).map(|_| flips(interval)).collect();
                intervals.push(flips(rest));
                match intervals.len() {
                    1 => Faults::Flips(intervals.remove(0)),
                    _ => Faults::BetweenScrubs(intervals),
                }
            }
        }
    }
}

/// How many intervals of how many hours end with a scrub, and the hours after the last.
fn intervals(hours: u64, scrub: Option<u64>) -> (u64, u64, u64) {
    let interval = scrub.unwrap_or(hours);
    let between = hours.div_ceil(interval) - 1;
    (between, interval, hours - between * interval)
}

/// The planes of a memory, each with its stream and its cells.
struct Planes {
    data: (ChaCha8Rng, u64),
    check: (ChaCha8Rng, u64),
}

impl Planes {
    fn draw(&mut self, draw: impl Fn(&mut ChaCha8Rng, u64) -> Vec<u64>) -> FaultPattern {
        FaultPattern {
            data: draw(&mut self.data.0, self.data.1),
            check: draw(&mut self.check.0, self.check.1),
        }
    }

    fn independent(&mut self, p: f64) -> FaultPattern {
        self.draw(|rng, cells| bernoulli(rng, cells, p))
    }
}

/// The probability that a cell which flips with probability `p` in an hour is another one after `hours` hours:
/// (1 - (1 - 2p)^hours) / 2.
fn odd_flips(p: f64, hours: u64) -> f64 {
    -0.5 * libm::expm1(hours as f64 * libm::log1p(-2.0 * p))
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
        match *self {
            Self::Bernoulli => f.write_str("bernoulli"),
            Self::FixedCount => f.write_str("fixed-count"),
            Self::Burst { length: (least, most), distance } if least == most => {
                write!(f, "burst:length={least},distance={distance}")
            }
            Self::Burst { length: (least, most), distance } => {
                write!(f, "burst:length={least}-{most},distance={distance}")
            }
            Self::StuckAt { one } => write!(f, "stuck-at:value={}", u8::from(one)),
            Self::Asymmetric { share } => write!(f, "asymmetric:share={share}"),
            Self::Accumulate { hours, scrub: None } => write!(f, "accumulate:hours={hours}"),
            Self::Accumulate { hours, scrub: Some(scrub) } => {
                write!(f, "accumulate:hours={hours},scrub={scrub}")
            }
        }
    }
}
