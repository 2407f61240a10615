//! Whole networks against `golden/make.py`, which defines them a second time, in NumPy and f64. Its formula
//! for parameters and images is repeated here.

use quant::{FloatTensor, Parameters};
use zoo::{Executor, Op, bind, build};

use crate::architectures::spec;

fn values(name: &str, shape: &[usize], low: f64, high: f64) -> FloatTensor {
    let seed = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let value = |i: u64| {
        let s = seed.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let s = (s ^ s >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let step = ((s >> 40) % 1001) as f64;
        (low + (high - low) * (step / 1000.0)) as f32
    };
    let count = shape.iter().product::<usize>() as u64;
    FloatTensor::new(shape.to_vec(), (0..count).map(value).collect())
}

fn parameter(name: &str, shape: &[usize], batch_norm: bool) -> FloatTensor {
    let (low, high) = match (name.rsplit('.').next().unwrap(), shape.len()) {
        ("weight", 2..) => {
            let bound = (6.0 / shape[1..].iter().product::<usize>() as f64).sqrt();
            (-bound, bound)
        }
        ("weight" | "running_var", _) => (0.5, 1.5),
        ("running_mean", _) => (-0.2, 0.2),
        _ if batch_norm => (-0.2, 0.2),
        _ => (-0.1, 0.1),
    };
    values(name, shape, low, high)
}

#[test]
fn networks_agree_with_numpy() {
    for (architecture, width, side, expected) in [
        ("resnet20", 0.5, 32, [-61.468596, 337.139512, 72.706648, -108.253949, 12.254513]),
        ("resnet18", 0.25, 32, [146.102543, -16.358560, -23.070615, -100.639020, -24.178956]),
        ("resnet18", 0.25, 64, [159.101346, -9.640830, 2.855605, -151.526967, -97.451822]),
        ("vgg16", 0.125, 32, [-0.388387, -0.071074, 0.142097, -1.987426, -0.506654]),
        ("vgg16_bn", 0.125, 32, [-0.290146, 1.166820, 1.501809, -2.523035, -3.448240]),
        ("squeezenet1_0", 0.5, 32, [8.518960, 0.000000, 5.055144, 2.801219, 4.161119]),
        ("squeezenet1_0", 0.5, 75, [9.240185, 0.000000, 5.462907, 2.876487, 4.028413]),
        ("squeezenet1_1", 0.5, 64, [3.290667, 0.649395, 7.552220, 2.513676, 2.167092]),
    ] {
        let graph = build(&spec(architecture, 5, side, width)).unwrap();
        let batch_norms: Vec<&str> = graph
            .nodes()
            .iter()
            .filter(|node| matches!(node.op, Op::BatchNorm { .. }))
            .map(|node| node.name.as_str())
            .collect();
        let parameters: Parameters = graph
            .parameters()
            .into_iter()
            .map(|p| {
                let owner = p.name.rsplit_once('.').unwrap().0;
                let tensor = parameter(&p.name, &p.shape, batch_norms.contains(&owner));
                (p.name, tensor)
            })
            .collect();
        let executor = Executor::new(&graph, &bind(&graph, parameters).unwrap()).unwrap();
        let image = values(&format!("image{side}"), &[1, 3, side, side], -2.0, 2.0);
        let logits = executor.forward(&image).unwrap();
        let largest = expected.iter().fold(0.0, |m: f64, v| m.max(f64::abs(*v)));
        for (found, expected) in logits.values().iter().zip(expected) {
            assert!(
                (f64::from(*found) - expected).abs() < 1e-5 * largest,
                "{architecture} at {side}: {:?}, expected {expected}",
                logits.values()
            );
        }
    }
}
