//! Parameters and images from an integer formula, which `golden/make.py` and `golden/torchvision.py` repeat.

use graph::{Graph, Op};
use quant::{FloatTensor, Parameters};

/// A multiplicative hash of (FNV-1a of the name, index).
pub(crate) fn hashed(name: &str, count: usize) -> impl Iterator<Item = u64> {
    let seed = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (0..count as u64).map(move |i| {
        let s = seed.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        (s ^ s >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40
    })
}

/// The hash mapped to [low, high] in steps of 1/1000.
pub(crate) fn values(name: &str, shape: &[usize], low: f64, high: f64) -> FloatTensor {
    let value = |hash: u64| (low + (high - low) * ((hash % 1001) as f64 / 1000.0)) as f32;
    FloatTensor::new(shape.to_vec(), hashed(name, shape.iter().product()).map(value).collect())
}

/// Parameters that let values neither die nor explode (He et al. 2015).
pub(crate) fn parameters(graph: &Graph) -> Parameters {
    let batch_norms: Vec<&str> = graph
        .nodes()
        .iter()
        .filter(|node| matches!(node.op, Op::BatchNorm { .. }))
        .map(|node| node.name.as_str())
        .collect();
    let parameter = |name: &str, shape: &[usize]| {
        let (owner, suffix) = name.rsplit_once('.').unwrap();
        let (low, high) = match (suffix, shape.len()) {
            ("weight", 2..) => {
                let bound = (6.0 / shape[1..].iter().product::<usize>() as f64).sqrt();
                (-bound, bound)
            }
            ("weight" | "running_var", _) => (0.5, 1.5),
            ("running_mean", _) => (-0.2, 0.2),
            _ if batch_norms.contains(&owner) => (-0.2, 0.2),
            _ => (-0.1, 0.1),
        };
        values(name, shape, low, high)
    };
    graph.parameters().into_iter().map(|p| (p.name.clone(), parameter(&p.name, &p.shape))).collect()
}
