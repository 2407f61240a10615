use graph::{Graph, Op};
use quant::{FloatTensor, Parameters};

use crate::random::{Purpose, normal, stream};

/// Returns parameters for training from scratch, as a function of graph and seed.
///
/// Weights of convolutions are normal with variance 2 / fan-in (He et al., "Delving Deep into Rectifiers",
/// 2015, equation 10, <https://arxiv.org/abs/1502.01852>). Weights of linear layers are normal with variance
/// 1 / (3 fan-in), which is PyTorch's default: in VGG16, which has no batch norms after them, larger logits
/// cost the first hundred iterations. Biases are 0; batch and layer norms are the identity; slopes of a parametric ReLU
/// are 0.25, PyTorch's default.
pub fn initialize(graph: &Graph, seed: u64) -> Parameters {
    let parametric = graph.nodes().iter().filter(|node| node.op == Op::PRelu);
    let slopes: Vec<String> = parametric.map(|node| format!("{}.weight", node.name)).collect();
    let specs = graph.parameters().into_iter().enumerate();
    let values = specs.map(|(place, spec)| {
        let len = spec.shape.iter().product();
        let values = if spec.is_stored_weight() {
            let fan_in: usize = spec.shape[1..].iter().product();
            let gain = if spec.shape.len() == 2 { 1.0 / 3.0 } else { 2.0 };
            normal(&mut stream(seed, Purpose::Weights, place as u64), (gain / fan_in as f64).sqrt(), len)
        } else if slopes.contains(&spec.name) {
            vec![0.25; len]
        } else {
            // Another one-dimensional `weight` is the factor of a norm.
            let ones = spec.name.ends_with(".weight") || spec.name.ends_with(".running_var");
            vec![if ones { 1.0 } else { 0.0 }; len]
        };
        (spec.name, FloatTensor::new(spec.shape, values))
    });
    values.collect()
}
