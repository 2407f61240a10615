//! Cost of storing a network's weights under each protection, without training.

use ecc::{BLOCK, Protection, Region};
use quant::QuantTensor;
use serde::Serialize;

/// Cost of storing int8 weights under one protection.
///
/// A protection with a range stores the weights only after weights outside the range are clamped into it
/// (`zerospace quantize --throttle=ID`). A lossy protection, such as `lsb-64-56`, then gives up the lowest bits of
/// some weights. Changes are counted in levels, of which one weight has 256.
#[derive(Clone, Debug, PartialEq, Serialize)]
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
    /// Number of bits stored beside a byte for each weight: check bits, and a list with its own.
    pub extra_bits: usize,
    /// `extra_bits` in percent of the weights' bits.
    pub overhead_percent: f64,
}

impl StorageCost {
    /// Costs under all built-in protections, in their order. Each tensor begins a block of 8 weights.
    pub fn of_all(weights: &[QuantTensor]) -> Vec<Self> {
        let mut plane = Vec::new();
        for tensor in weights {
            plane.extend(tensor.values());
            plane.resize(plane.len().next_multiple_of(BLOCK), 0);
        }
        ecc::all().iter().map(|protection| Self::of(&**protection, &plane)).collect()
    }

    /// The cost of a plane. Its padding is in every range and is stored as it is.
    fn of(protection: &dyn Protection, plane: &[i8]) -> Self {
        let mut kept = plane.to_vec();
        let clamped = protection.constraint().throttle(&mut kept);
        let mut read = kept.clone();
        // A block alone may lose what a list beside it keeps.
        if protection.loses(&kept) {
            protection.as_stored_plane(&mut read);
        }
        let bits = |region: &Region<'_>| {
            let shape = region.code.as_deref().unwrap_or(protection).word();
            let check_bits =
                if region.check_bits_exposed { shape.check_bits_of(region.bytes.len()) } else { 0 };
            8 * region.bytes.len() + check_bits
        };
        let stored_bits: usize = protection.regions(&kept).iter().map(bits).sum();
        let extra_bits = stored_bits - 8 * plane.len();
        Self {
            protection: protection.id().to_string(),
            clamped,
            largest_clamp: largest_change(plane, &kept),
            lost: kept.iter().zip(&read).filter(|(kept, read)| kept != read).count(),
            largest_loss: largest_change(&kept, &read),
            extra_bits,
            overhead_percent: 100.0 * extra_bits as f64 / (8 * plane.len()).max(1) as f64,
        }
    }

    /// True if the memory returns the weights as they are.
    pub fn is_free(&self) -> bool {
        self.clamped == 0 && self.lost == 0
    }
}

fn largest_change(a: &[i8], b: &[i8]) -> u8 {
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
}
