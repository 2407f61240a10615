//! Batch norms behind filters without weights.
//!
//! Training, and rounding to few bits, can leave a filter with zeros only. Its output is then constant and its running
//! variance nearly zero, so that the batch norm multiplies it by `gamma / sqrt(variance + epsilon)`, a large gain, and
//! adds what makes up for it. Without faults the gain multiplies zeros. A flipped bit puts a weight into the filter, and
//! the gain makes it the loudest of the layer. Since a constant times the gain is a constant, the batch norm can give it
//! directly: with `gamma = 0` and `beta` equal to the constant, faults in the filter have no effect at all.

use graph::{Graph, Op};

use crate::{Contents, FloatTensor, Parameters};

/// Gains above this multiple of the layer's median are reported.
const LARGE_GAIN: f64 = 8.0;

/// A filter whose batch norm has a gain far above the others of its layer.
#[derive(Clone, Debug, PartialEq)]
pub struct AmplifiedFilter {
    /// Name of the weights.
    pub weights: String,
    /// Output channel.
    pub channel: usize,
    /// Number of weights of the filter that are not zero.
    pub nonzero: usize,
    /// `|gamma| / sqrt(variance + epsilon)`.
    pub gain: f64,
    /// Median of the layer's gains that are not zero.
    pub median: f64,
}

/// A batch norm that directly follows a layer with stored weights.
struct Norm<'a> {
    name: &'a str,
    layer: &'a str,
    epsilon: f64,
}

fn norms(graph: &Graph) -> impl Iterator<Item = Norm<'_>> {
    graph.nodes().iter().filter_map(|node| {
        let Op::BatchNorm { epsilon } = node.op else { return None };
        let layer = &graph.nodes()[node.inputs[0]];
        matches!(layer.op, Op::Conv(_) | Op::Linear { .. }).then_some(Norm {
            name: &node.name,
            layer: &layer.name,
            epsilon,
        })
    })
}

impl Norm<'_> {
    fn values<'p>(&self, parameters: &'p Parameters, suffix: &str) -> &'p [f32] {
        parameters[&format!("{}.{suffix}", self.name)].values()
    }

    /// `gamma / sqrt(variance + epsilon)` of each channel.
    fn gains(&self, parameters: &Parameters) -> Vec<f64> {
        let variances = self.values(parameters, "running_var").iter();
        let deviations = variances.map(|&variance| (f64::from(variance) + self.epsilon).sqrt());
        self.values(parameters, "weight")
            .iter()
            .zip(deviations)
            .map(|(&gamma, d)| f64::from(gamma) / d)
            .collect()
    }
}

impl Contents {
    /// Weights that are not zero in each filter of a layer.
    fn nonzero(&self, layer: &str, channels: usize) -> Option<Vec<usize>> {
        let name = format!("{layer}.weight");
        let tensor = self.weights.iter().find(|tensor| tensor.name() == name)?;
        let filters = tensor.values().chunks_exact(tensor.values().len() / channels);
        Some(filters.map(|filter| filter.iter().filter(|&&weight| weight != 0).count()).collect())
    }

    /// Replaces each batch norm behind a filter without weights by the constant that it gives, computed in f64 and
    /// rounded once to f32. Returns the number of channels that changed. `graph` is the network of these contents.
    pub fn fold_empty_filters(&mut self, graph: &Graph) -> usize {
        let mut folded = 0;
        for norm in norms(graph) {
            let gains = norm.gains(&self.parameters);
            let Some(nonzero) = self.nonzero(norm.layer, gains.len()) else { continue };
            let bias = self.parameters.get(&format!("{}.bias", norm.layer)).map(FloatTensor::values);
            let means = norm.values(&self.parameters, "running_mean");
            let betas = norm.values(&self.parameters, "bias");
            let constants: Vec<(usize, f32)> = (0..gains.len())
                .filter(|&channel| nonzero[channel] == 0 && gains[channel] != 0.0)
                .map(|channel| {
                    let at = |values: &[f32]| f64::from(values[channel]);
                    let constant = (bias.map_or(0.0, at) - at(means)) * gains[channel] + at(betas);
                    (channel, constant as f32)
                })
                .filter(|(_, constant)| constant.is_finite())
                .collect();
            folded += constants.len();
            for (channel, constant) in constants {
                for (suffix, value) in [("weight", 0.0), ("bias", constant)] {
                    let tensor = self.parameters.get_mut(&format!("{}.{suffix}", norm.name));
                    tensor.expect("a batch norm has these parameters").values_mut()[channel] = value;
                }
            }
        }
        folded
    }

    /// Returns the filters whose batch norm has more than eight times the median gain of its layer, the largest ratio
    /// first: a faulty weight in them does that much more than elsewhere. `graph` is the network of these contents.
    pub fn amplified_filters(&self, graph: &Graph) -> Vec<AmplifiedFilter> {
        let mut found = Vec::new();
        for norm in norms(graph) {
            let gains: Vec<f64> = norm.gains(&self.parameters).into_iter().map(f64::abs).collect();
            let Some(nonzero) = self.nonzero(norm.layer, gains.len()) else { continue };
            let mut sorted: Vec<f64> = gains.iter().copied().filter(|&gain| gain > 0.0).collect();
            sorted.sort_by(f64::total_cmp);
            let Some(&median) = sorted.get(sorted.len() / 2) else { continue };
            let large = (0..gains.len()).filter(|&channel| gains[channel] > LARGE_GAIN * median);
            found.extend(large.map(|channel| AmplifiedFilter {
                weights: format!("{}.weight", norm.layer),
                channel,
                nonzero: nonzero[channel],
                gain: gains[channel],
                median,
            }));
        }
        found.sort_by(|a, b| (b.gain / b.median).total_cmp(&(a.gain / a.median)));
        found
    }
}
