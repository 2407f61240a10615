use quant::{FloatTensor, Parameters};
use zoo::Graph;

use crate::random::{Purpose, normal, stream};

/// Parameters for training from scratch, a function of graph and seed.
///
/// Weights are normal with variance 2 / fan-in (He et al., "Delving Deep into Rectifiers", 2015, equation
/// 10, <https://arxiv.org/abs/1502.01852>); biases 0; batch norms the identity.
pub fn initialize(graph: &Graph, seed: u64) -> Parameters {
    let specs = graph.parameters().into_iter().enumerate();
    let values = specs.map(|(place, spec)| {
        let len = spec.shape.iter().product();
        let values = if spec.is_stored_weight() {
            let fan_in: usize = spec.shape[1..].iter().product();
            normal(&mut stream(seed, Purpose::Weights, place as u64), (2.0 / fan_in as f64).sqrt(), len)
        } else {
            // One-dimensional `weight` is a batch norm's factor.
            let ones = spec.name.ends_with(".weight") || spec.name.ends_with(".running_var");
            vec![if ones { 1.0 } else { 0.0 }; len]
        };
        (spec.name, FloatTensor::new(spec.shape, values))
    });
    values.collect()
}
