//! Magnitudes of weights, and the positions of large ones in their blocks.

use ecc::{BLOCK, Constraint, TensorRanges};
use quant::QuantTensor;
use serde::Serialize;

/// Number of weights outside the range of their tensor.
pub fn violations(weights: &[QuantTensor], ranges: &TensorRanges) -> usize {
    weights.iter().map(|tensor| ranges.of(tensor.name()).violations(tensor.values()).count()).sum()
}

/// Magnitudes of the weights of a tensor or a network.
#[derive(Debug, Default, Serialize)]
pub struct Distribution {
    /// Number of weights.
    pub weights: usize,
    /// Number of blocks of 8 weights; the last one is padded.
    pub blocks: usize,
    /// Number of weights with |q| below 32, from 32 to 63, and above.
    pub magnitudes: [usize; 3],
    /// Number of values outside [`Self::small`], by position in their block.
    pub large_at: [usize; BLOCK],
    /// Number of weights that in-place protection cannot store.
    pub violations: usize,
}

impl Distribution {
    /// Range of small weights, the narrow one of [`Constraint::WOT`]; all others count in [`Self::large_at`].
    pub fn small() -> Constraint {
        Constraint::WOT.narrowed()
    }

    /// Counts the weights of a tensor.
    pub fn of(values: &[i8]) -> Self {
        let mut d = Self { weights: values.len(), blocks: values.len().div_ceil(BLOCK), ..Self::default() };
        let small = Self::small();
        for (index, &value) in values.iter().enumerate() {
            d.magnitudes[usize::from(value.unsigned_abs() / 32).min(2)] += 1;
            d.large_at[index % BLOCK] += usize::from(!small.allows(index, value));
        }
        d.violations = Constraint::WOT.violations(values).count();
        d
    }

    /// Counts all weights of a network.
    pub fn of_all(weights: &[QuantTensor]) -> Self {
        let mut total = Self::default();
        weights.iter().for_each(|tensor| total.add(&Self::of(tensor.values())));
        total
    }

    /// Adds the counts of another tensor.
    pub fn add(&mut self, other: &Self) {
        self.weights += other.weights;
        self.blocks += other.blocks;
        self.violations += other.violations;
        self.magnitudes.iter_mut().zip(other.magnitudes).for_each(|(a, b)| *a += b);
        self.large_at.iter_mut().zip(other.large_at).for_each(|(a, b)| *a += b);
    }
}
