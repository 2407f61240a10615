//! How large the weights are, and where the large ones lie.

use ecc::{BLOCK, Constraint};
use quant::QuantTensor;
use serde::Serialize;

/// Weights of a network that a constraint forbids.
pub(crate) fn violations(weights: &[QuantTensor], constraint: &Constraint) -> usize {
    weights.iter().map(|tensor| constraint.violations(&tensor.values).count()).sum()
}

/// How the weights of a tensor are distributed.
#[derive(Default, Serialize)]
pub(crate) struct Distribution {
    pub(crate) weights: usize,
    /// Of 8 weights, the last padded.
    pub(crate) blocks: usize,
    /// |q| below 32, below 64, and above.
    pub(crate) magnitudes: [usize; 3],
    /// Values outside the range of the restricted positions of [`Constraint::WOT`], by position in their block.
    pub(crate) large_at: [usize; BLOCK],
    /// Weights that in-place protection could not store.
    pub(crate) violations: usize,
}

impl Distribution {
    pub(crate) fn of(values: &[i8]) -> Self {
        let mut d = Self { weights: values.len(), blocks: values.len().div_ceil(BLOCK), ..Self::default() };
        let small = Constraint::WOT.narrowest();
        for (index, &value) in values.iter().enumerate() {
            d.magnitudes[usize::from(value.unsigned_abs() / 32).min(2)] += 1;
            d.large_at[index % BLOCK] += usize::from(!small.contains(&value));
        }
        d.violations = Constraint::WOT.violations(values).count();
        d
    }

    /// Of all weights of a network.
    pub(crate) fn of_all(weights: &[QuantTensor]) -> Self {
        let mut total = Self::default();
        weights.iter().for_each(|tensor| total.add(&Self::of(&tensor.values)));
        total
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.weights += other.weights;
        self.blocks += other.blocks;
        self.violations += other.violations;
        self.magnitudes.iter_mut().zip(other.magnitudes).for_each(|(a, b)| *a += b);
        self.large_at.iter_mut().zip(other.large_at).for_each(|(a, b)| *a += b);
    }
}
