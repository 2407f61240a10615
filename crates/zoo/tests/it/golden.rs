//! Whole networks against `golden/make.py`, which defines them a second time, in NumPy and f64, and against
//! torchvision's own modules (`golden/torchvision.py`).

use graph::ModelSpec;
use serde_json::Value;
use zoo::{FloatNetwork, bind, build, model};

use crate::architectures::spec;
use crate::seeded::{parameters, values};

/// Logits of the image for a side, of a network with seeded parameters.
fn logits(architecture: &str, width: f64, side: usize) -> Vec<f64> {
    logits_of(&spec(architecture, 5, side, width))
}

fn logits_of(model: &ModelSpec) -> Vec<f64> {
    let side = model.input[1];
    let graph = build(model).unwrap();
    let network = FloatNetwork::from_parameters(&graph, &bind(&graph, parameters(&graph)).unwrap()).unwrap();
    let image = values(&format!("image{side}"), &[1, 3, side, side], -2.0, 2.0);
    network.logits(&image).unwrap().values().iter().map(|&v| v.into()).collect()
}

fn assert_close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() < tolerance * largest, "{what}: {found:?}, expected {expected:?}");
    }
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
        let what = format!("{architecture} at {side}");
        assert_close(&what, &logits(architecture, width, side), &expected, 1e-5);
    }
}

#[test]
fn networks_agree_with_torchvision() {
    let golden: Value = serde_json::from_str(include_str!("golden/torchvision.json")).unwrap();
    let golden = golden.as_array().unwrap();
    assert_eq!(golden.len(), 9);
    for entry in golden {
        let architecture = entry["architecture"].as_str().unwrap();
        let (width, side) = (entry["width"].as_f64().unwrap(), entry["side"].as_u64().unwrap());
        let expected: Vec<f64> =
            entry["logits"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        let found = logits(architecture, width, side as usize);
        // Measured: at most 1.5e-6.
        assert_close(architecture, &found, &expected, 1e-5);
    }
}

/// Written by `golden/variants.py`.
#[test]
fn variants_agree_with_torchvision() {
    for (architecture, variant, width, side, expected) in [
        ("resnet18", "torchvision", 0.25, 32, [18.871729, 5.038438, 17.387502, -91.325460, -87.250209]),
        (
            "resnet50",
            "torchvision",
            0.125,
            32,
            [-550.028846, -357.771273, -524.391315, 150.365329, -378.504421],
        ),
        ("squeezenet1_0", "torchvision", 0.5, 32, [14.027848, 0.000000, 7.424146, 3.426075, 0.944590]),
        ("squeezenet1_1", "torchvision", 0.5, 32, [6.003548, 0.000000, 6.124161, 2.869233, 2.607429]),
        ("resnet18", "cifar", 0.25, 64, [198.361374, -46.700755, -30.806058, -135.619421, -4.065013]),
        (
            "resnet18",
            "cifar-maxpool",
            0.25,
            32,
            [144.386206, -23.057348, -4.304209, -138.523846, -100.241747],
        ),
        ("squeezenet1_1", "cifar", 0.5, 64, [1.598670, 0.578898, 8.269676, 1.294083, 0.799076]),
    ] {
        let what = format!("{architecture}, {variant}, at {side}");
        let named = model(architecture, Some(variant.parse().unwrap()), width, 5, [3, side, side]).unwrap();
        assert_close(&what, &logits_of(&named), &expected, 1e-5);
        if variant == "torchvision" {
            assert_eq!(
                model(architecture, None, width, 5, [3, side, side]).unwrap(),
                named,
                "the name alone"
            );
        }
    }
}
