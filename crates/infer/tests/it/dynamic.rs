//! Compares the network with dynamic ranges with nested loops that follow its documentation one operation at
//! a time, and with PyTorch's emulation of Distiller on torchvision's modules, whose logits
//! `zoo/tests/it/golden/dynamic.py` recorded.

use std::num::NonZeroU32;

use graph::{Graph, ModelSpec, Op, Preprocessing};
use infer::{DynamicNetwork, Network};
use quant::{Activations, Checkpoint, Contents};
use serde_json::Value;

use crate::exactness::{self, changed, flips};
use crate::listed;
use crate::random::{self, SplitMix64};
use crate::reference::{conv, windows};
use crate::torchvision;

fn dynamic(checkpoint: Checkpoint, batch: u32) -> Checkpoint {
    let activations = Activations::Dynamic { batch: NonZeroU32::new(batch).unwrap() };
    Checkpoint::new(Contents { activations, ..checkpoint.into_contents() }).unwrap()
}

fn scale(values: impl IntoIterator<Item = f32>) -> f32 {
    match values.into_iter().fold(0f32, |most, v| most.max(v.abs())) {
        0.0 => 1.0,
        most => 127.0 / most,
    }
}

fn level(value: f32) -> f32 {
    value.round_ties_even().clamp(-127.0, 127.0)
}

/// Returns the logits of one batch, computed from row-major values of each node, with a list for each image.
fn run(graph: &Graph, checkpoint: &Contents, levels: &[Vec<i8>], pixels: &[u8]) -> Vec<f32> {
    let nodes = graph.nodes();
    let size = nodes[0].shape.iter().product();
    let mut values: Vec<Vec<Vec<f32>>> = Vec::new();
    for (id, node) in nodes.iter().enumerate() {
        let parameter = |suffix: &str| {
            let found = checkpoint.parameters.get(&format!("{}.{suffix}", node.name));
            found.map(|tensor| tensor.values().to_vec())
        };
        let shape = |i: usize| nodes[node.inputs[i]].shape.as_slice();
        let plane = node.shape.iter().skip(1).product::<usize>();
        let layer = |window: &graph::Window, groups: usize, from: &[usize], to: &[usize]| {
            let x = &values[node.inputs[0]];
            let name = format!("{}.weight", node.name);
            let weights = checkpoint.weights.iter().zip(levels);
            let (weight, weight_levels) = weights.into_iter().find(|(w, _)| w.name() == name).unwrap();
            let s_in = scale(x.iter().flatten().copied());
            let a: Vec<f32> = (0..to[0]).map(|c| s_in * weight.scale().of(c).get()).collect();
            let bias: Vec<i64> = match parameter("bias") {
                Some(bias) => {
                    let s = scale(bias.iter().copied());
                    let one = |(c, b): (usize, &f32)| (level(b * s) * (a[c] / s)).round_ties_even() as i64;
                    bias.iter().enumerate().map(one).collect()
                }
                None => vec![0; to[0]],
            };
            let plane = to[1] * to[2];
            let sums = x.iter().map(|x| {
                let levels: Vec<i64> = x.iter().map(|v| level(v * s_in) as i64).collect();
                let sums = conv(&levels, from, weight_levels, to, window, groups).into_iter().enumerate();
                sums.map(|(i, sum)| i32::try_from(sum + bias[i / plane]).unwrap() as f32)
                    .collect::<Vec<f32>>()
            });
            let sums: Vec<Vec<f32>> = sums.collect();
            let real =
                sums.iter().flat_map(|sums| sums.iter().enumerate().map(|(i, sum)| sum / a[i / plane]));
            let s_out = scale(real);
            let y = |sums: &Vec<f32>| {
                let sums = sums.iter().enumerate();
                sums.map(|(i, sum)| level(sum * (s_out / a[i / plane])) / s_out).collect()
            };
            sums.iter().map(y).collect::<Vec<Vec<f32>>>()
        };
        let each = |one: &dyn Fn(&[f32]) -> Vec<f32>| -> Vec<Vec<f32>> {
            values[node.inputs[0]].iter().map(|x| one(x)).collect()
        };
        let mean = |values: &[f32], count: usize| {
            (values.iter().map(|&v| f64::from(v)).sum::<f64>() / count as f64) as f32
        };
        let value = match &node.op {
            Op::Input => pixels
                .chunks(size)
                .map(|image| {
                    let value = |(i, &p): (usize, &u8)| {
                        checkpoint.preprocessing.value(i / (node.shape[1] * node.shape[2]), p)
                    };
                    image.iter().enumerate().map(value).collect()
                })
                .collect(),
            Op::Conv(conv) => layer(&conv.window(), conv.groups, shape(0), &node.shape),
            Op::Linear { features } => {
                layer(&graph::Window::square(1, 1, 0), 1, &[shape(0)[0], 1, 1], &[*features, 1, 1])
            }
            Op::BatchNorm { epsilon } => {
                let of = |suffix: &str, c: usize| f64::from(parameter(suffix).unwrap()[c]);
                let scales: Vec<(f32, f32)> = (0..node.shape[0])
                    .map(|c| {
                        let g = of("weight", c) / (of("running_var", c) + epsilon).sqrt();
                        (g as f32, ((0.0 - of("running_mean", c)) * g + of("bias", c)) as f32)
                    })
                    .collect();
                each(&|x| {
                    x.iter().enumerate().map(|(i, x)| x * scales[i / plane].0 + scales[i / plane].1).collect()
                })
            }
            Op::Relu => each(&|x| x.iter().map(|x| x.max(0.0)).collect()),
            Op::LeakyRelu { slope } => {
                each(&|x| x.iter().map(|&x| if x > 0.0 { x } else { x * slope }).collect())
            }
            Op::Function(function) => {
                each(&|x| x.iter().map(|&x| function.value(f64::from(x)) as f32).collect())
            }
            Op::PRelu => {
                let slopes = parameter("weight").unwrap();
                let value = |(i, &x): (usize, &f32)| if x > 0.0 { x } else { x * slopes[i / plane] };
                each(&|x| x.iter().enumerate().map(value).collect())
            }
            Op::Mul => {
                let pairs = values[node.inputs[0]].iter().zip(&values[node.inputs[1]]);
                let product = |a: &[f32], b: &[f32]| {
                    let shared = a.len() / b.len();
                    a.iter().enumerate().map(|(i, a)| a * b[i / shared]).collect()
                };
                pairs.map(|(a, b)| product(a, b)).collect()
            }
            Op::ChannelSlice { first, channels } => {
                each(&|x| x[first * plane..(first + channels) * plane].to_vec())
            }
            Op::ChannelShuffle { groups } => each(&|x| {
                let size = node.shape[0] / groups;
                let from = |i: usize| (i / plane % groups * size + i / plane / groups) * plane + i % plane;
                (0..x.len()).map(|i| x[from(i)]).collect()
            }),
            op @ (Op::TokenEmbedding { .. } | Op::Attention { .. } | Op::SelectToken { .. }) => {
                panic!("{op:?} is refused")
            }
            Op::LayerNorm { epsilon } => {
                let [weight, bias] = ["weight", "bias"].map(|suffix| parameter(suffix).unwrap());
                each(&|x| {
                    let mut y = vec![0.0; x.len()];
                    for pixel in 0..plane {
                        let channels = || (0..node.shape[0]).map(|c| f64::from(x[c * plane + pixel]));
                        let n = node.shape[0] as f64;
                        let mean = channels().sum::<f64>() / n;
                        let square = |x: f64| (x - mean) * (x - mean);
                        let r = 1.0 / (channels().map(square).sum::<f64>() / n + epsilon).sqrt();
                        for (c, x) in channels().enumerate() {
                            let x = if r.is_finite() { (x - mean) * r } else { 0.0 };
                            y[c * plane + pixel] = x as f32 * weight[c] + bias[c];
                        }
                    }
                    y
                })
            }
            Op::ClippedRelu { max } => each(&|x| x.iter().map(|x| x.max(0.0).min(*max)).collect()),
            Op::MaxPool(pool) => each(&|x| {
                let windows = windows(x, shape(0), &node.shape, &pool.window()).into_iter();
                windows.map(|w| w.into_iter().fold(f32::NEG_INFINITY, f32::max)).collect()
            }),
            Op::AvgPool(pool) => each(&|x| {
                let whole = pool.kernel[0] * pool.kernel[1];
                let windows = windows(x, shape(0), &node.shape, &pool.window()).into_iter();
                windows.map(|w| mean(&w, if pool.count_include_pad { whole } else { w.len() })).collect()
            }),
            Op::GlobalAvgPool => {
                let pixels = shape(0)[1] * shape(0)[2];
                each(&|x| x.chunks(pixels).map(|channel| mean(channel, pixels)).collect())
            }
            Op::Flatten => values[node.inputs[0]].clone(),
            Op::Add => {
                let pairs = values[node.inputs[0]].iter().zip(&values[node.inputs[1]]);
                pairs.map(|(a, b)| a.iter().zip(b).map(|(a, b)| a + b).collect()).collect()
            }
            Op::Concat => {
                let image = |n: usize| node.inputs.iter().flat_map(|&i| values[i][n].clone()).collect();
                (0..values[0].len()).map(image).collect()
            }
            Op::Pad { before: [top, left], .. } => each(&|x| {
                let (h, w) = (shape(0)[1], shape(0)[2]);
                let mut y = vec![0.0; node.shape.iter().product()];
                for (i, x) in x.iter().enumerate() {
                    let (c, row, column) = (i / (h * w), i / w % h, i % w);
                    y[(c * node.shape[1] + row + top) * node.shape[2] + column + left] = *x;
                }
                y
            }),
            Op::PadShortcut { stride, before, .. } => each(&|x| {
                let (c, h, w) = (shape(0)[0], shape(0)[1], shape(0)[2]);
                let mut y = vec![0.0; node.shape.iter().product()];
                for c in 0..c {
                    for row in 0..node.shape[1] {
                        for column in 0..node.shape[2] {
                            y[((c + before) * node.shape[1] + row) * node.shape[2] + column] =
                                x[(c * h + row * stride) * w + column * stride];
                        }
                    }
                }
                y
            }),
        };
        assert!(
            value.iter().all(|image| image.len() == node.shape.iter().product::<usize>()),
            "{id}: {}",
            node.name
        );
        values.push(value);
    }
    values.pop().unwrap().concat()
}

/// Rule S317 of the specification.
#[test]
fn logits_equal_nested_loops() {
    for i in 0..exactness::WITHOUT_ATTENTION {
        let name = exactness::NETWORKS.get(i);
        let (graph, mut checkpoint, _) = exactness::network(i, 300 + i as u64);
        if i % 2 == 1 {
            checkpoint = exactness::per_channel(&graph, checkpoint);
        }
        let checkpoint = dynamic(checkpoint, 3);
        let mut network = DynamicNetwork::new(&graph, &checkpoint).unwrap();
        let pixels = random::pixels(5, graph.spec(), 7);
        let inputs = network.prepare(&pixels).unwrap();
        let mut random = SplitMix64(i as u64);
        for count in [0, 40] {
            let changes = flips(&checkpoint, count, &mut random);
            let faulty = changed(&checkpoint, &changes);
            let batches = pixels.chunks(3 * pixels.len() / 5);
            let expected: Vec<f32> =
                batches.flat_map(|batch| run(&graph, &checkpoint, &faulty, batch)).collect();
            assert!(expected.iter().any(|&logit| logit != expected[0]));
            assert_eq!(network.logits(&inputs, &changes), expected, "{name:?}, {count} changes");
            let best =
                |logits: &[f32]| (0..10).rev().max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
            let classes: Vec<u16> = expected.chunks(10).map(|logits| best(logits) as u16).collect();
            assert_eq!(network.predict(&inputs, &changes), classes, "{name:?}, {count} changes");
        }
    }
}

#[test]
fn threads_change_nothing_and_the_batch_is_named() {
    let (graph, checkpoint, _) = exactness::network(0, 5);
    let pixels = random::pixels(11, graph.spec(), 8);
    let logits = |batch| {
        let mut network = DynamicNetwork::new(&graph, &dynamic(checkpoint.clone(), batch)).unwrap();
        assert_eq!((network.batch(), network.classes()), (batch as usize, 10));
        network.logits(&network.prepare(&pixels).unwrap(), &[])
    };
    let expected = logits(4);
    for threads in 1..=3 {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(|| logits(4)), expected, "{threads} threads");
    }
    assert_ne!(logits(5), expected);
    assert_ne!(logits(11), expected);
    // A batch larger than the number of images holds all of them.
    assert_eq!(logits(12), logits(11));
    let batch = |n| NonZeroU32::new(n).unwrap();
    assert_eq!(DynamicNetwork::evaluator(batch(4)), "int8-dynamic-1/4");
}

#[test]
fn dead_and_dark_images_give_levels_of_zero() {
    let (graph, checkpoint, _) = exactness::network(2, 5);
    let preprocessing = Preprocessing::new(vec![0.0; 3], checkpoint.preprocessing.std().to_vec()).unwrap();
    let checkpoint = Checkpoint::new(Contents { preprocessing, ..checkpoint.into_contents() }).unwrap();
    let mut network = DynamicNetwork::new(&graph, &dynamic(checkpoint.clone(), 2)).unwrap();
    let pixels = vec![0; 2 * 3 * 32 * 32];
    let found = network.logits(&network.prepare(&pixels).unwrap(), &[]);
    assert_eq!(found, run(&graph, &checkpoint, &changed(&checkpoint, &[]), &pixels));
    assert!(network.predict_clean(&network.prepare(&[]).unwrap()).is_empty());
}

#[test]
fn each_evaluator_takes_its_own_checkpoints() {
    let (graph, checkpoint, _) = exactness::network(0, 5);
    let error = DynamicNetwork::new(&graph, &checkpoint).unwrap_err();
    assert_eq!(error.to_string(), "the checkpoint's activation ranges are static, expected dynamic ones");
    let error = Network::new(&graph, &dynamic(checkpoint, 4)).unwrap_err();
    assert_eq!(error.to_string(), "the checkpoint's activation ranges are dynamic, expected static ones");
}

#[test]
fn attention_has_no_dynamic_rule() {
    let graph = listed::transformer();
    let checkpoint = dynamic(random::checkpoint(&graph, 4), 2);
    assert_eq!(
        DynamicNetwork::new(&graph, &checkpoint).unwrap_err().to_string(),
        "layer of_image is Attention { heads: 2, scale: 0.5 }, for which dynamic ranges have no rule, expected static ones"
    );
}

#[test]
fn predictions_agree_with_pytorch() {
    let golden: Value =
        serde_json::from_str(include_str!("../../../zoo/tests/it/golden/dynamic.json")).unwrap();
    for entry in golden.as_array().unwrap() {
        let architecture = entry["architecture"].as_str().unwrap();
        let (width, side) = (entry["width"].as_f64().unwrap(), entry["side"].as_u64().unwrap() as usize);
        let logits = entry["logits"].as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap());
        let expected: Vec<f32> = logits.map(|v| v.as_f64().unwrap() as f32).collect();
        let images = expected.len() / 5;

        let model = ModelSpec { width, ..ModelSpec::new(architecture, 5, [3, side, side]) };
        let graph = zoo::build(&model).unwrap();
        let pixels: Vec<u8> = (0..images).flat_map(|i| torchvision::pixels(i, side)).collect();
        let checkpoint = torchvision::checkpoint(&graph, &pixels, entry["per_channel"].as_bool().unwrap());
        let checkpoint = dynamic(checkpoint, entry["batch"].as_u64().unwrap() as u32);
        let mut network = DynamicNetwork::new(&graph, &checkpoint).unwrap();
        let found = network.logits(&network.prepare(&pixels).unwrap(), &[]);

        let largest = expected.iter().fold(0f32, |most, v| most.max(v.abs()));
        let error = found.iter().zip(&expected).fold(0f32, |most, (a, b)| most.max((a - b).abs())) / largest;
        // Measured error: none, except 0.019 of the largest logit for PyTorch's batch norms with scales by
        // channel. A batch norm that differs by one ulp moves a value across the middle between two levels.
        let tolerance = if entry["per_channel"].as_bool().unwrap() { 0.04 } else { 1e-6 };
        assert!(error <= tolerance, "{architecture}, {error}: {found:?}, expected {expected:?}");
    }
}
