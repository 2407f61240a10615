//! Cost of storing a network's weights under each protection, without training.

use ecc::{BLOCK, Constraint, Protection};
use quant::QuantTensor;
use serde::Serialize;

/// Cost of storing int8 weights under one protection.
///
/// A protection with a range stores the weights only after weights outside the range are clamped into it
/// (`zerospace quantize --throttle=ID`). A lossy protection, such as `lsb-64-56`, then gives up the lowest bits of
/// some weights. Changes are counted in levels, of which one weight has 256.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StorageCost {
    /// Id of the protection.
    pub protection: String,
    /// Number of weights outside the range.
    pub clamped: usize,
    /// Largest change of a weight by clamping, in levels.
    pub largest_clamp: u8,
    /// Number of weights that a memory without faults returns otherwise than they were stored, after clamping.
    pub lost: usize,
    /// Largest change of a weight by storing, in levels.
    pub largest_loss: u8,
}

impl StorageCost {
    /// Costs under all built-in protections, in their order. Each tensor begins a block of 8 weights.
    pub fn of_all(weights: &[QuantTensor]) -> Vec<Self> {
        ecc::all().iter().map(|protection| Self::of(&**protection, weights)).collect()
    }

    fn of(protection: &dyn Protection, weights: &[QuantTensor]) -> Self {
        let constraint = protection.constraint();
        let mut cost = Self {
            protection: protection.id().to_string(),
            clamped: 0,
            largest_clamp: 0,
            lost: 0,
            largest_loss: 0,
        };
        for tensor in weights {
            let own = tensor.values();
            let mut kept = own.to_vec();
            cost.clamped += constraint.throttle(&mut kept);
            cost.largest_clamp = cost.largest_clamp.max(largest_change(own, &kept));
            let mut stored = kept.clone();
            stored.resize(own.len().next_multiple_of(BLOCK), 0);
            protection.as_stored_plane(&mut stored);
            cost.lost += kept.iter().zip(&stored).filter(|(kept, stored)| kept != stored).count();
            cost.largest_loss = cost.largest_loss.max(largest_change(&kept, &stored));
        }
        cost
    }

    /// True if the memory returns the weights as they are.
    pub fn is_free(&self) -> bool {
        self.clamped == 0 && self.lost == 0
    }
}

fn largest_change(a: &[i8], b: &[i8]) -> u8 {
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
}

/// Clamps weights into a range; returns the clamped tensors and the number of weights that changed.
pub fn clamped(weights: Vec<QuantTensor>, constraint: &Constraint) -> (Vec<QuantTensor>, usize) {
    let mut changed = 0;
    let tensors = weights.into_iter().map(|tensor| {
        let mut values = tensor.values().to_vec();
        changed += constraint.throttle(&mut values);
        tensor.with_values(values).expect("a clamped tensor has as many values")
    });
    (tensors.collect(), changed)
}
