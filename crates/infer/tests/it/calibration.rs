//! Tests of calibration.

use graph::Preprocessing;
use quant::ActivationScale;

use crate::random;

#[test]
fn every_quantization_point_gets_a_scale_and_the_input_its_exact_range() {
    let graph = zoo::build(&random::spec("resnet20", 0.25, 32)).unwrap();
    let checkpoint = random::checkpoint(&graph, 3);
    let preprocessing = Preprocessing { mean: vec![0.5, 0.0, 1.0], std: vec![1.0, 0.25, 0.125] };
    let parameters = checkpoint.dequantized();
    // Grey images never reach the extremes of the input.
    let pixels = vec![128; 5 * 3 * 32 * 32];
    let scales = infer::calibrate(&graph, &parameters, &preprocessing, &pixels).unwrap();
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
    let spec = random::spec("resnet20", 0.25, 32);
    let graph = zoo::build(&spec).unwrap();
    let checkpoint = random::checkpoint(&graph, 3);
    let parameters = checkpoint.dequantized();
    let pixels = random::pixels(70, &spec, 4);
    let run =
        |pixels: &[u8]| infer::calibrate(&graph, &parameters, &checkpoint.preprocessing, pixels).unwrap();
    let all = run(&pixels);
    let halves = pixels.chunks(35 * 3 * 32 * 32).map(run).collect::<Vec<_>>();
    for (name, scale) in &all {
        let coarsest = halves.iter().map(|half| half[name].levels_per_unit).fold(f32::INFINITY, f32::min);
        let ratio = scale.levels_per_unit / coarsest;
        assert!((ratio - 1.0).abs() < 1e-5, "{name}: {ratio}");
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    assert_eq!(pool.install(|| run(&pixels)), all);
}
