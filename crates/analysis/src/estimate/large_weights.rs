//! Large weights by their position in the 8-byte block.

use crate::AnalysisError;

/// Weights of a block.
pub(crate) const BLOCK: usize = 8;
/// In-place protection stores a check bit in each weight of a block but the last.
pub(crate) const FREE_POSITION: usize = 7;

/// Counts of large weights, which are outside a range, by position in the 8-byte block of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LargeWeightCounts {
    /// Name of the network in the figure.
    pub network: String,
    /// Number of weights.
    pub weights: u64,
    /// Number of blocks of 8 weights; the last block of a tensor is padded.
    pub blocks: u64,
    /// Blocks with a large weight, by position.
    pub large_at: [u64; BLOCK],
    /// Note on the network for readers; may be empty.
    pub note: String,
}

impl LargeWeightCounts {
    /// Large weights at positions at which in-place protection does not allow them.
    pub(crate) fn restricted(&self) -> u64 {
        self.large_at[..FREE_POSITION].iter().sum()
    }

    pub(crate) fn most(&self) -> u64 {
        self.large_at.iter().copied().max().unwrap_or(0)
    }
}

/// Large weights by position, of one network or of several below each other.
#[derive(Clone, Debug)]
pub struct LargeWeights {
    pub(crate) networks: Vec<LargeWeightCounts>,
    pub(crate) small: String,
}

impl LargeWeights {
    /// Checks the counts; `small` is the range of all other weights, in words.
    ///
    /// # Errors
    /// Without networks; when one has more large weights at a position than blocks, or more blocks than weights.
    pub fn new(networks: Vec<LargeWeightCounts>, small: String) -> Result<Self, AnalysisError> {
        if networks.is_empty() {
            return Err(AnalysisError::NoNetworks);
        }
        for one in &networks {
            let (network, blocks, weights) = (one.network.clone(), one.blocks, one.weights);
            if one.most() > blocks || blocks > weights {
                return Err(AnalysisError::Blocks { network, most: one.most(), blocks, weights });
            }
        }
        Ok(Self { networks, small })
    }
}
