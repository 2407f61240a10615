//! Calibration: the ranges that scales are made of.

use graph::{Graph, ModelSpec, Preprocessing};
use quant::ActivationScale;
use zoo::{ZooError, build, calibrate};

use crate::seeded::{hashed, parameters};

fn graph() -> Graph {
    build(&ModelSpec { width: 0.25, ..ModelSpec::new("resnet20", 10, [3, 32, 32]) }).unwrap()
}

fn preprocessing() -> Preprocessing {
    Preprocessing::new(vec![0.5, 0.0, 1.0], vec![1.0, 0.25, 0.125]).unwrap()
}

#[test]
fn every_quantization_point_gets_a_scale_and_the_input_its_exact_range() {
    let graph = graph();
    // Grey images, which never reach the input's extremes.
    let pixels = vec![128; 5 * 3 * 32 * 32];
    let scales = calibrate(&graph, &parameters(&graph), &preprocessing(), &pixels).unwrap();
    let points = graph.quantization_points();
    assert_eq!(scales.len(), points.len());
    for point in points {
        assert_eq!(scales[&graph.nodes()[point.node].name].signed, point.signed);
    }
    // Channel 2 spans (0 - 1) / 0.125 = -8 to 0.
    assert_eq!(scales["input"], ActivationScale::from_range(8.0, true));
}

#[test]
fn the_range_is_the_largest_over_all_batches_and_any_number_of_threads() {
    let graph = graph();
    let parameters = parameters(&graph);
    let pixels: Vec<u8> = hashed("pixels", 70 * 3 * 32 * 32).map(|hash| hash as u8).collect();
    let run = |pixels: &[u8]| calibrate(&graph, &parameters, &preprocessing(), pixels).unwrap();
    let all = run(&pixels);
    let halves = pixels.chunks(35 * 3 * 32 * 32).map(run).collect::<Vec<_>>();
    for (name, scale) in &all {
        let coarsest =
            halves.iter().map(|half| half[name].levels_per_unit.get()).fold(f32::INFINITY, f32::min);
        let ratio = scale.levels_per_unit.get() / coarsest;
        assert!((ratio - 1.0).abs() < 1e-5, "{name}: {ratio}");
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    assert_eq!(pool.install(|| run(&pixels)), all);
}

#[test]
fn what_no_network_can_be_calibrated_on_is_refused() {
    let graph = graph();
    let calibrate = |preprocessing: &Preprocessing, pixels: &[u8]| {
        calibrate(&graph, &parameters(&graph), preprocessing, pixels).unwrap_err()
    };
    let error = calibrate(&preprocessing(), &[0; 5]);
    assert!(matches!(error, ZooError::PixelCount { found: 5, image: 3072 }), "{error}");
    let error = calibrate(&preprocessing(), &[]);
    assert_eq!(error.to_string(), "calibration got no images, expected at least one");
    let error = calibrate(&Preprocessing::new(vec![0.5], vec![0.25]).unwrap(), &[0; 3072]);
    let expected = "preprocessing.mean is [0.5], expected 3 finite numbers, one per channel";
    assert_eq!(error.to_string(), expected);
}
