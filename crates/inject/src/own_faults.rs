//! Faults of the user's own: a list of bits, or a flip probability for every bit.

use rand_chacha::ChaCha8Rng;

use crate::sampling::uniform;
use crate::stream::stream;
use crate::{FaultPattern, PlaneSizes};

/// Bits of a map whose largest probability is found once: few enough that one weak bit costs little.
const TOGETHER: usize = 512;

/// The reason for which positions are no fault pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PositionError {
    /// The plane has no such bit.
    #[error("{plane} bit {index} is {position}, expected less than {bits}, the bits of the {plane} plane")]
    Range {
        /// `data` or `check`.
        plane: &'static str,
        /// Place in the list.
        index: usize,
        /// The position found.
        position: u64,
        /// Number of bits of the plane.
        bits: u64,
    },
    /// The positions do not ascend, or one comes twice.
    #[error("{plane} bit {index} is {position} after {before}, expected ascending positions, each once")]
    Order {
        /// `data` or `check`.
        plane: &'static str,
        /// Place in the list.
        index: usize,
        /// The position found.
        position: u64,
        /// The position before it.
        before: u64,
    },
}

impl FaultPattern {
    /// Takes the offsets of flipped bits in the planes of a memory.
    ///
    /// # Errors
    /// The first offset that a plane does not have, or that is not above the one before it.
    pub fn new(data: Vec<u64>, check: Vec<u64>, sizes: PlaneSizes) -> Result<Self, PositionError> {
        for (plane, positions, bits) in
            [("data", &data, sizes.data_bits), ("check", &check, sizes.check_bits)]
        {
            let mut last = None;
            for (index, &position) in positions.iter().enumerate() {
                if position >= bits {
                    return Err(PositionError::Range { plane, index, position, bits });
                }
                if let Some(before) = last.replace(position).filter(|before| *before >= position) {
                    return Err(PositionError::Order { plane, index, position, before });
                }
            }
        }
        Ok(Self { data, check })
    }
}

/// A number of a map that is no probability.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the flip probability of {plane} bit {bit} is {value}, expected a number in [0, 1]")]
pub struct NoProbability {
    /// `data` or `check`.
    pub plane: &'static str,
    /// Offset of the bit in the plane.
    pub bit: usize,
    /// The number found.
    pub value: f64,
}

/// A flip probability for every stored bit, such as the map of a chip that was measured. Bits flip independently.
#[derive(Clone, Debug)]
pub struct FlipMap<'m, P> {
    data: PlaneMap<'m, P>,
    check: PlaneMap<'m, P>,
}

#[derive(Clone, Debug)]
struct PlaneMap<'m, P> {
    probabilities: &'m [P],
    /// Largest probability of each [`TOGETHER`] bits.
    largest: Vec<f64>,
}

impl<'m, P: Copy + Into<f64>> FlipMap<'m, P> {
    /// Takes the probabilities of the bits of each plane, bit by bit.
    ///
    /// # Errors
    /// The first number that is no probability.
    pub fn new(data: &'m [P], check: &'m [P]) -> Result<Self, NoProbability> {
        Ok(Self { data: PlaneMap::new("data", data)?, check: PlaneMap::new("check", check)? })
    }

    /// Returns the number of bits of the planes.
    pub fn sizes(&self) -> PlaneSizes {
        PlaneSizes {
            data_bits: self.data.probabilities.len() as u64,
            check_bits: self.check.probabilities.len() as u64,
        }
    }

    /// Returns the mean number of flips of a trial.
    pub fn mean_flips(&self) -> f64 {
        let planes = [self.data.probabilities, self.check.probabilities];
        planes.into_iter().flatten().map(|&p| p.into()).sum()
    }

    /// Draws the flips of trial `trial` of a campaign with seed `seed`, from the streams of [`crate::sample`].
    ///
    /// # Cost
    /// One draw and one logarithm for each bit that would flip if all bits of its part of 512 had the largest probability of
    /// the part, and a look at each part.
    pub fn sample(&self, seed: u64, trial: u64) -> FaultPattern {
        FaultPattern {
            data: self.data.sample(&mut stream(seed, *b"data\0\0\0\0", trial)),
            check: self.check.sample(&mut stream(seed, *b"check\0\0\0", trial)),
        }
    }
}

impl<'m, P: Copy + Into<f64>> PlaneMap<'m, P> {
    fn new(plane: &'static str, probabilities: &'m [P]) -> Result<Self, NoProbability> {
        let outside = |&p: &P| !(0.0..=1.0).contains(&p.into());
        if let Some(bit) = probabilities.iter().position(outside) {
            return Err(NoProbability { plane, bit, value: probabilities[bit].into() });
        }
        let largest = |part: &[P]| part.iter().fold(0.0, |most: f64, &p| most.max(p.into()));
        Ok(Self { probabilities, largest: probabilities.chunks(TOGETHER).map(largest).collect() })
    }

    /// Bits are candidates with the largest probability of their part, and a candidate flips with the ratio of its own
    /// probability to that (thinning). An exponential variate is the hazard until the next candidate, so that parts
    /// without one take no draw.
    fn sample(&self, rng: &mut ChaCha8Rng) -> Vec<u64> {
        let mut flips = Vec::new();
        let mut until = -libm::log(uniform(rng));
        for ((first, part), &largest) in
            (0..).step_by(TOGETHER).zip(self.probabilities.chunks(TOGETHER)).zip(&self.largest)
        {
            if largest == 0.0 {
                continue;
            }
            // Infinite if every bit is a candidate.
            let hazard = -libm::log1p(-largest);
            let mut next = 0;
            loop {
                let gap = until / hazard;
                let rest = (part.len() - next) as f64;
                if gap >= rest {
                    until = (until - rest * hazard).max(0.0);
                    break;
                }
                next += gap as usize;
                let p: f64 = part[next].into();
                if p == largest || uniform(rng) * largest <= p {
                    flips.push(first + next as u64);
                }
                next += 1;
                until = -libm::log(uniform(rng));
                if next == part.len() {
                    break;
                }
            }
        }
        flips
    }
}
