//! Every operation against loops that follow its definition, in f64.

use std::collections::BTreeMap;

use graph::{Conv, Graph, GraphBuilder, ModelSpec, NodeId, Op, Window};
use quant::{ActivationScale, FloatTensor, LevelsPerUnit, Parameters};

use crate::{FloatNetwork, Range, ZooError};

mod gradients;

/// Numbers in [-1, 1) without a pattern that padding or transposition could hide behind.
fn noise(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
        })
        .collect()
}

fn parameters(graph: &Graph) -> Parameters {
    let tensors = (1..).zip(graph.parameters()).map(|(seed, spec)| {
        let count = spec.shape.iter().product();
        let mut values = noise(count, seed);
        if spec.name.ends_with("running_var") {
            values.iter_mut().for_each(|v| *v = v.abs());
        }
        (spec.name, FloatTensor::new(spec.shape, values))
    });
    tensors.collect()
}

/// A graph whose body ends in an image or in features; all of it becomes the logits.
fn graph(input: [usize; 3], body: impl FnOnce(&mut GraphBuilder) -> NodeId) -> Graph {
    let mut g = GraphBuilder::new(input);
    let mut end = body(&mut g);
    if g.shape(end).len() > 1 {
        end = g.flatten("flatten", end);
    }
    let classes = g.shape(end)[0];
    g.finish(&ModelSpec::new("test", classes, input))
}

const N: usize = 2;

/// The output of the graph for two images, and the images.
fn run(graph: &Graph) -> (Vec<f32>, FloatTensor) {
    let [c, h, w] = graph.spec().input;
    let images = FloatTensor::new(vec![N, c, h, w], noise(N * c * h * w, 99));
    let network = FloatNetwork::from_parameters(graph, &parameters(graph)).unwrap();
    let logits = network.logits(&images).unwrap();
    assert_eq!(logits.shape(), [N, graph.spec().classes]);
    (logits.values().to_vec(), images)
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(*f) - e).abs() < 1e-4 * (1.0 + e.abs()), "value {i} is {f}, expected {e}");
    }
}

/// x[n][c][y][x], zero outside.
fn at(images: &FloatTensor, n: usize, c: usize, y: isize, x: isize) -> Option<f64> {
    let [_, channels, h, w] = images.shape().try_into().unwrap();
    let inside = (0..h as isize).contains(&y) && (0..w as isize).contains(&x);
    inside.then(|| f64::from(images.values()[((n * channels + c) * h + y as usize) * w + x as usize]))
}

#[test]
fn convolution() {
    let window = Window::of;
    for (input, out_channels, window, groups, bias) in [
        ([3, 7, 5], 4, Window::square(3, 1, 1), 1, true),
        ([3, 7, 10], 4, Window::square(3, 2, 1), 1, false),
        ([2, 9, 12], 3, Window::square(7, 2, 3), 1, true),
        ([4, 6, 5], 8, Window::square(1, 1, 0), 1, true),
        ([4, 6, 5], 8, Window::square(1, 2, 0), 1, false),
        ([4, 6, 5], 8, Window::square(1, 1, 1), 1, false),
        ([4, 8, 9], 6, Window::square(3, 1, 1), 2, true),
        ([4, 8, 9], 4, Window::square(3, 2, 0), 4, true),
        ([5, 9, 8], 5, Window::square(5, 1, 2), 5, false),
        ([2, 7, 9], 4, Window::square(3, 1, 1), 2, true),
        ([3, 8, 9], 6, window([1, 7], [1, 1], [0, 3]), 3, true),
        ([2, 8, 9], 3, window([5, 3], [1, 2], [2, 1]), 1, true),
        ([2, 8, 9], 3, window([3, 2], [3, 1], [0, 1]), 1, false),
        ([1, 1, 1], 1, Window::square(3, 1, 1), 1, true),
    ] {
        let [c, h, w] = input;
        let graph = graph(input, |g| {
            let Window { kernel, stride, padding, dilation, .. } = window;
            let conv = Conv { channels: out_channels, groups, bias, kernel, stride, padding, dilation };
            g.push("conv", Op::Conv(conv), &[GraphBuilder::INPUT])
        });
        let (found, images) = run(&graph);
        let parameters = parameters(&graph);
        let weight = parameters["conv.weight"].values();
        let [oh, ow] = window.output(h, w);
        let [kh, kw] = window.kernel;
        let per_group = c / groups;
        let mut expected = Vec::new();
        for n in 0..N {
            for o in 0..out_channels {
                for y in 0..oh {
                    for x in 0..ow {
                        let mut sum = if bias { f64::from(parameters["conv.bias"].values()[o]) } else { 0.0 };
                        for i in 0..per_group {
                            for ky in 0..kh {
                                for kx in 0..kw {
                                    let channel = o / (out_channels / groups) * per_group + i;
                                    let iy =
                                        (y * window.stride[0] + ky) as isize - window.padding[0] as isize;
                                    let ix =
                                        (x * window.stride[1] + kx) as isize - window.padding[1] as isize;
                                    let value = at(&images, n, channel, iy, ix).unwrap_or(0.0);
                                    let index = ((o * per_group + i) * kh + ky) * kw + kx;
                                    sum += f64::from(weight[index]) * value;
                                }
                            }
                        }
                        expected.push(sum);
                    }
                }
            }
        }
        assert_close(&found, &expected);
    }
}

#[test]
fn max_pooling() {
    for ceil in [false, true] {
        for (kernel, stride, padding) in [
            ([3, 3], [2, 2], [0, 0]),
            ([3, 3], [2, 2], [1, 1]),
            ([2, 2], [2, 2], [0, 0]),
            ([2, 2], [3, 3], [1, 1]),
            ([3, 2], [1, 2], [1, 0]),
            ([2, 3], [3, 1], [0, 1]),
        ] {
            for (h, w) in (3..10).flat_map(|h| (3..10).map(move |w| (h, w))) {
                let window = Window { ceil, ..Window::of(kernel, stride, padding) };
                // Negative everywhere, so that padding with zeros would win.
                let graph = graph([2, h, w], |g| g.max_pool("pool", GraphBuilder::INPUT, window));
                let network = FloatNetwork::from_parameters(&graph, &Parameters::new()).unwrap();
                let values = noise(N * 2 * h * w, 5).iter().map(|v| v - 1.0).collect();
                let images = FloatTensor::new(vec![N, 2, h, w], values);
                let [oh, ow] = window.output(h, w);
                let mut expected = Vec::new();
                for (n, c, y, x) in product([N, 2, oh, ow]) {
                    let mut largest = f64::NEG_INFINITY;
                    for (ky, kx, _, _) in product([kernel[0], kernel[1], 1, 1]) {
                        let iy = (y * stride[0] + ky) as isize - padding[0] as isize;
                        let ix = (x * stride[1] + kx) as isize - padding[1] as isize;
                        largest = largest.max(at(&images, n, c, iy, ix).unwrap_or(f64::NEG_INFINITY));
                    }
                    expected.push(largest);
                }
                assert_close(network.logits(&images).unwrap().values(), &expected);
            }
        }
    }
}

#[test]
fn average_pooling() {
    for (kernel, stride, padding) in [
        ([3, 3], [1, 1], [1, 1]),
        ([3, 3], [2, 2], [1, 1]),
        ([2, 2], [2, 2], [0, 0]),
        ([3, 2], [1, 2], [1, 0]),
        ([2, 3], [3, 1], [0, 1]),
        ([5, 5], [2, 3], [2, 2]),
    ] {
        for (h, w, count_include_pad) in [(5, 7, true), (5, 7, false), (6, 5, true), (6, 5, false)] {
            let window = Window::of(kernel, stride, padding);
            let graph =
                graph([2, h, w], |g| g.avg_pool("pool", GraphBuilder::INPUT, window, count_include_pad));
            let (found, images) = run(&graph);
            let [oh, ow] = window.output(h, w);
            let mut expected = Vec::new();
            for (n, c, y, x) in product([N, 2, oh, ow]) {
                let (mut sum, mut inside) = (0.0, 0);
                for (ky, kx, _, _) in product([kernel[0], kernel[1], 1, 1]) {
                    let iy = (y * stride[0] + ky) as isize - padding[0] as isize;
                    let ix = (x * stride[1] + kx) as isize - padding[1] as isize;
                    if let Some(value) = at(&images, n, c, iy, ix) {
                        sum += value;
                        inside += 1;
                    }
                }
                let divisor = if count_include_pad { kernel[0] * kernel[1] } else { inside };
                expected.push(sum / divisor as f64);
            }
            assert_close(&found, &expected);
        }
    }
}

#[test]
fn clipped_relu() {
    let graph = graph([1, 1, 4], |g| g.push("clip", Op::ClippedRelu { max: 6.0 }, &[GraphBuilder::INPUT]));
    let network = FloatNetwork::from_parameters(&graph, &Parameters::new()).unwrap();
    let images = FloatTensor::new(vec![1, 1, 1, 4], vec![-1.0, 0.5, 6.0, 7.5]);
    assert_eq!(network.logits(&images).unwrap().values(), [0.0, 0.5, 6.0, 6.0]);
}

#[test]
fn zeros_around_an_image() {
    let (before, after) = ([0, 2], [1, 0]);
    let graph = graph([2, 3, 2], |g| g.push("pad", Op::Pad { before, after }, &[GraphBuilder::INPUT]));
    let (found, images) = run(&graph);
    let expected: Vec<f64> = product([N, 2, 4, 4])
        .map(|(n, c, y, x)| at(&images, n, c, y as isize, x as isize - 2).unwrap_or(0.0))
        .collect();
    assert_close(&found, &expected);
}

fn product([a, b, c, d]: [usize; 4]) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    (0..a * b * c * d).map(move |i| (i / (b * c * d), i / (c * d) % b, i / d % c, i % d))
}

#[test]
fn batch_norm_and_relu() {
    // An epsilon that shows when it is ignored.
    let graph = graph([3, 4, 5], |g| {
        let x = g.push("bn", Op::BatchNorm { epsilon: 0.25 }, &[GraphBuilder::INPUT]);
        g.relu("relu", x)
    });
    let (found, images) = run(&graph);
    let parameters = parameters(&graph);
    let expected: Vec<f64> = product([N, 3, 4, 5])
        .map(|(n, c, y, x)| {
            let p = |suffix: &str| f64::from(parameters[&format!("bn.{suffix}")].values()[c]);
            let value = at(&images, n, c, y as isize, x as isize).unwrap();
            let normal = (value - p("running_mean")) / (p("running_var") + 0.25).sqrt();
            (normal * p("weight") + p("bias")).max(0.0)
        })
        .collect();
    assert!(expected.contains(&0.0) && expected.iter().any(|&v| v > 0.0));
    assert_close(&found, &expected);
}

#[test]
fn linear_after_flatten() {
    let graph = graph([2, 3, 4], |g| {
        let x = g.flatten("flat", GraphBuilder::INPUT);
        g.linear("fc", x, 5)
    });
    let (found, images) = run(&graph);
    let parameters = parameters(&graph);
    let [weight, bias] = ["fc.weight", "fc.bias"].map(|name| parameters[name].values());
    let expected: Vec<f64> = product([N, 5, 1, 1])
        .map(|(n, o, _, _)| {
            let row = &weight[o * 24..][..24];
            let dot: f64 =
                row.iter().zip(&images.values()[n * 24..]).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            dot + f64::from(bias[o])
        })
        .collect();
    assert_close(&found, &expected);
}

#[test]
fn global_average() {
    let graph = graph([3, 4, 5], |g| g.global_avg_pool("pool", GraphBuilder::INPUT));
    let (found, images) = run(&graph);
    let expected: Vec<f64> =
        images.values().chunks(20).map(|c| c.iter().map(|&v| f64::from(v)).sum::<f64>() / 20.0).collect();
    assert_close(&found, &expected);
}

#[test]
fn add_concat_and_pad_shortcut() {
    // Odd sizes, and unequal padding, would show an off-by-one.
    let graph = graph([2, 5, 7], |g| {
        let double = g.add("add", GraphBuilder::INPUT, GraphBuilder::INPUT);
        let both = g.concat("cat", &[GraphBuilder::INPUT, double]);
        g.push("pad", Op::PadShortcut { stride: 2, before: 1, after: 2 }, &[both])
    });
    let (found, images) = run(&graph);
    let expected: Vec<f64> = product([N, 7, 3, 4])
        .map(|(n, c, y, x)| {
            let value = |c| at(&images, n, c, 2 * y as isize, 2 * x as isize).unwrap();
            match c {
                1 | 2 => value(c - 1),
                3 | 4 => 2.0 * value(c - 3),
                _ => 0.0,
            }
        })
        .collect();
    assert_close(&found, &expected);
}

#[test]
fn observation_widens_the_range_of_every_node() {
    let graph = graph([1, 1, 2], |g| g.relu("relu", GraphBuilder::INPUT));
    let network = FloatNetwork::from_parameters(&graph, &Parameters::new()).unwrap();
    let mut ranges = vec![Range::EMPTY; 3];
    assert_eq!(ranges[0].max_abs(), 0.0);
    let image = |a, b| FloatTensor::new(vec![1, 1, 1, 2], vec![a, b]);
    network.observe(&image(-3.0, 1.0), &mut ranges).unwrap();
    assert_eq!(ranges[0], Range { min: -3.0, max: 1.0 });
    assert_eq!(ranges[1], Range { min: 0.0, max: 1.0 });
    network.observe(&image(2.0, 1.5), &mut ranges).unwrap();
    assert_eq!(
        ranges,
        [Range { min: -3.0, max: 2.0 }, Range { min: 0.0, max: 2.0 }, Range { min: 0.0, max: 2.0 }]
    );
    assert_eq!(ranges[0].max_abs(), 3.0);

    let error = network.observe(&image(f32::INFINITY, 0.0), &mut ranges).unwrap_err();
    assert_eq!(error.to_string(), "node input computed inf, expected finite numbers");
    let error = network.observe(&image(0.0, 0.0), &mut ranges[1..]).unwrap_err();
    assert_eq!(error.to_string(), "2 ranges were given for 3 nodes, expected one per node");
}

/// input -> conv -> bn -> relu -> max pool -> flatten -> fc
fn small_network() -> Graph {
    graph([1, 4, 4], |g| {
        let x = g.conv("conv", GraphBuilder::INPUT, 2, Window::square(3, 1, 1), true);
        let x = g.batch_norm("bn", x);
        let x = g.relu("relu", x);
        let x = g.max_pool("pool", x, Window::square(2, 2, 0));
        let x = g.flatten("flat", x);
        g.linear("fc", x, 3)
    })
}

fn scales(entries: &[(&str, f32, bool)]) -> BTreeMap<String, ActivationScale> {
    entries
        .iter()
        .map(|&(name, levels_per_unit, signed)| {
            let levels_per_unit = LevelsPerUnit::new(levels_per_unit).unwrap();
            (name.to_string(), ActivationScale { levels_per_unit, signed })
        })
        .collect()
}

#[test]
fn fake_quantization_rounds_the_quantization_points_and_nothing_else() {
    let graph = small_network();
    let parameters = parameters(&graph);
    let network = FloatNetwork::from_parameters(&graph, &parameters).unwrap();
    let images = FloatTensor::new(vec![1, 1, 4, 4], noise(16, 3));
    let (input_scale, relu_scale) = (20.0, 15.0);
    let found = network
        .logits_fake_quantized(&images, &scales(&[("input", input_scale, true), ("relu", relu_scale, false)]))
        .unwrap();

    // The same, cut at the two points: round, run the first half in float, round, run the second half.
    let round = |values: &[f32], levels: f32, low: f32, high: f32| -> Vec<f32> {
        values.iter().map(|v| (v * levels).round_ties_even().clamp(low, high) / levels).collect()
    };
    let part = |names: &[&str]| -> Parameters {
        let mut part = parameters.clone();
        part.retain(|name, _| names.iter().any(|n| name.starts_with(n)));
        part
    };
    let first = self::graph([1, 4, 4], |g| {
        let x = g.conv("conv", GraphBuilder::INPUT, 2, Window::square(3, 1, 1), true);
        let x = g.batch_norm("bn", x);
        g.relu("relu", x)
    });
    let second = self::graph([2, 4, 4], |g| {
        let x = g.max_pool("pool", GraphBuilder::INPUT, Window::square(2, 2, 0));
        let x = g.flatten("flat", x);
        g.linear("fc", x, 3)
    });
    let rounded = FloatTensor::new(vec![1, 1, 4, 4], round(images.values(), input_scale, -127.0, 127.0));
    let hidden =
        FloatNetwork::from_parameters(&first, &part(&["conv", "bn"])).unwrap().logits(&rounded).unwrap();
    let rounded = FloatTensor::new(vec![1, 2, 4, 4], round(hidden.values(), relu_scale, 0.0, 255.0));
    let expected = FloatNetwork::from_parameters(&second, &part(&["fc"])).unwrap().logits(&rounded).unwrap();
    assert_eq!(found, expected);
    assert_ne!(found, network.logits(&images).unwrap(), "nothing was rounded");
}

#[test]
fn fake_quantization_clamps() {
    let graph = graph([1, 1, 3], |g| g.flatten("flat", GraphBuilder::INPUT));
    let network = FloatNetwork::from_parameters(&graph, &Parameters::new()).unwrap();
    let images = FloatTensor::new(vec![1, 1, 1, 3], vec![-500.0, 0.25, 500.0]);
    let found = network.logits_fake_quantized(&images, &scales(&[("input", 2.0, true)])).unwrap();
    // 0.25 * 2 is halfway between 0 and 1, and 0 is even.
    assert_eq!(found.values(), [-63.5, 0.0, 63.5]);
}

#[test]
fn fake_quantization_with_calibrated_scales_is_close_to_float() {
    let graph = small_network();
    let network = FloatNetwork::from_parameters(&graph, &parameters(&graph)).unwrap();
    let images = FloatTensor::new(vec![4, 1, 4, 4], noise(64, 3));
    let mut ranges = vec![Range::EMPTY; graph.nodes().len()];
    network.observe(&images, &mut ranges).unwrap();
    let scales = graph
        .quantization_points()
        .into_iter()
        .map(|p| {
            let scale = ActivationScale::from_range(ranges[p.node].max_abs(), p.signed);
            (graph.nodes()[p.node].name.clone(), scale)
        })
        .collect();
    let float = network.logits(&images).unwrap();
    let rounded = network.logits_fake_quantized(&images, &scales).unwrap();
    for (a, b) in float.values().iter().zip(rounded.values()) {
        assert!((a - b).abs() < 0.05, "{a} became {b}");
    }
}

#[test]
fn scales_must_be_those_of_the_quantization_points() {
    let graph = small_network();
    let network = FloatNetwork::from_parameters(&graph, &parameters(&graph)).unwrap();
    let images = FloatTensor::new(vec![1, 1, 4, 4], noise(16, 3));
    let error = |entries: &[(&str, f32, bool)]| {
        network.logits_fake_quantized(&images, &scales(entries)).unwrap_err().to_string()
    };
    assert_eq!(error(&[("input", 1.0, true)]), "the activation scale of node relu is missing");
    assert_eq!(
        error(&[("conv", 1.0, true), ("input", 1.0, true), ("relu", 1.0, false)]),
        "the activation scale of conv belongs to no quantization point of the network"
    );
}

#[test]
fn images_must_have_the_shape_of_the_input() {
    let graph = small_network();
    let network = FloatNetwork::from_parameters(&graph, &parameters(&graph)).unwrap();
    for shape in [vec![1, 1, 4, 5], vec![0, 1, 4, 4], vec![1, 4, 4], vec![]] {
        let count = shape.iter().product();
        let error = network.logits(&FloatTensor::new(shape.clone(), vec![0.0; count])).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("images have shape {shape:?}, expected [n, 1, 4, 4] with n of at least 1")
        );
    }
}

#[test]
fn unusable_parameters_are_named() {
    let graph = small_network();
    let good = parameters(&graph);
    let with = |name: &str, index: usize, value: f32| {
        let mut parameters = good.clone();
        let mut values = parameters[name].values().to_vec();
        values[index] = value;
        parameters.insert(name.into(), FloatTensor::new(good[name].shape().to_vec(), values));
        FloatNetwork::from_parameters(&graph, &parameters).unwrap_err()
    };
    assert_eq!(
        with("conv.weight", 3, f32::NAN).to_string(),
        "value 3 of conv.weight is NaN, expected a finite number"
    );
    assert_eq!(
        with("bn.running_var", 1, -0.5).to_string(),
        "value 1 of bn.running_var is -0.5, expected a variance of at least 0"
    );
    let mut missing = good.clone();
    missing.remove("fc.bias");
    assert!(matches!(FloatNetwork::from_parameters(&graph, &missing), Err(ZooError::Mismatch(_))));
}
