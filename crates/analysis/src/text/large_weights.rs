//! Large weights by position as CSV.

use crate::estimate::column::{count, text};
use crate::estimate::large_weights::{BLOCK, LargeWeightCounts, LargeWeights};
use crate::text::csv::csv;

/// The counts as CSV (RFC 4180): a line for each network and position.
pub fn large_weights_csv(large: &LargeWeights) -> String {
    let lines: Vec<(&LargeWeightCounts, usize)> =
        large.networks.iter().flat_map(|network| (0..BLOCK).map(move |at| (network, at))).collect();
    csv(vec![
        text("network", &lines, |(network, _)| &network.network),
        count("weights", &lines, |(network, _)| network.weights),
        count("blocks", &lines, |(network, _)| network.blocks),
        count("position", &lines, |(_, at)| *at as u64),
        count("blocks_with_large_weight", &lines, |(network, at)| network.large_at[*at]),
    ])
}
