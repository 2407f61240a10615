use std::collections::BTreeMap;

use graph::{AvgPool, Conv, Function, Graph, GraphBuilder, MaxPool, ModelSpec, NodeId, Op, Window};
use quant::{FloatTensor, Parameters, QuantTensor};

use super::*;
use crate::batches::channels_last;
use crate::ops::{cross_entropy, cross_entropy_backward};
use crate::random::{Purpose, normal, stream};
use crate::{Method, Recipe, Scale, Schedule, Trainer, Validation};

fn depthwise(g: &mut GraphBuilder, name: &str, x: NodeId, window: Window) -> NodeId {
    let channels = g.shape(x)[0];
    let Window { kernel, stride, padding, dilation, .. } = window;
    let conv = Conv { channels, groups: channels, bias: true, kernel, stride, padding, dilation };
    g.push(name, Op::Conv(conv), &[x])
}

fn function(g: &mut GraphBuilder, name: &str, x: NodeId, function: Function) -> NodeId {
    g.push(name, Op::Function(function), &[x])
}

/// Inverted residuals with hard swish, and squeeze-and-excite.
fn mobile() -> Graph {
    let mut g = GraphBuilder::new([3, 12, 10]);
    let x = g.conv("stem", GraphBuilder::INPUT, 8, Window::square(3, 2, 1), false);
    let x = g.push("stem_bn", Op::BatchNorm { epsilon: 1e-3 }, &[x]);
    let stem = function(&mut g, "stem_act", x, Function::HardSwish);
    let x = g.conv("expand", stem, 16, Window::square(1, 1, 0), false);
    let x = g.push("expand_bn", Op::BatchNorm { epsilon: 1e-3 }, &[x]);
    let x = g.push("expand_act", Op::ClippedRelu { max: 6.0 }, &[x]);
    let x = depthwise(&mut g, "deep", x, Window::square(3, 1, 1));
    let deep = function(&mut g, "deep_act", x, Function::HardSwish);
    let x = g.global_avg_pool("squeeze", deep);
    let x = g.linear("reduce", x, 6);
    let x = g.relu("reduce_act", x);
    let x = g.linear("excite", x, 16);
    let gate = function(&mut g, "gate", x, Function::HardSigmoid { slope: 1.0 / 6.0, offset: 0.5 });
    let x = g.push("scaled", Op::Mul, &[deep, gate]);
    let x = g.conv("project", x, 8, Window::square(1, 1, 0), true);
    let x = g.add("residual", stem, x);
    let x = g.global_avg_pool("mean", x);
    g.linear("logits", x, 5);
    g.finish(&ModelSpec::new("mobile", 5, [3, 12, 10]))
}

/// Patches, depthwise 7x7 convolutions, layer norms, GELU and scales of channels.
fn convnext() -> Graph {
    let mut g = GraphBuilder::new([3, 12, 16]);
    let x = g.conv("patches", GraphBuilder::INPUT, 8, Window::square(2, 2, 0), true);
    let stem = g.push("stem_norm", Op::LayerNorm { epsilon: 1e-6 }, &[x]);
    let x = depthwise(&mut g, "deep", stem, Window::square(7, 1, 3));
    let x = g.push("norm", Op::LayerNorm { epsilon: 1e-6 }, &[x]);
    let x = g.conv("up", x, 32, Window::square(1, 1, 0), true);
    let x = function(&mut g, "gelu", x, Function::Gelu);
    let x = g.conv("down", x, 8, Window::square(1, 1, 0), true);
    let x = g.add("residual", stem, x);
    let x = g.push("down_norm", Op::LayerNorm { epsilon: 1e-6 }, &[x]);
    let x = g.conv("downsample", x, 12, Window::square(2, 2, 0), true);
    let x = g.global_avg_pool("mean", x);
    let x = g.push("head_norm", Op::LayerNorm { epsilon: 1e-6 }, &[x]);
    g.linear("logits", x, 5);
    g.finish(&ModelSpec::new("convnext", 5, [3, 12, 16]))
}

/// Every operation that the two others do not have.
fn others() -> Graph {
    let mut g = GraphBuilder::new([3, 13, 11]);
    let x = g.push("pad", Op::Pad { before: [0, 1], after: [2, 1] }, &[GraphBuilder::INPUT]);
    let dilated = Window { dilation: [2, 3], ..Window::of([3, 3], [1, 1], [2, 3]) };
    let x = g.conv("dilated", x, 8, dilated, true);
    let x = g.push("leaky", Op::LeakyRelu { slope: 0.1 }, &[x]);
    let (kernel, stride, padding) = ([3, 3], [2, 2], [0, 1]);
    let pool = MaxPool { kernel, stride, padding, ceil: false, after: Some([1, 2]), dilation: [1, 2] };
    let x = g.push("max", Op::MaxPool(pool), &[x]);
    let x = g.push("clip", Op::ClippedRelu { max: 1.5 }, &[x]);
    let left = g.push("left", Op::ChannelSlice { first: 0, channels: 3 }, &[x]);
    let right = g.push("right", Op::ChannelSlice { first: 3, channels: 5 }, &[x]);
    let right = g.conv("mix", right, 5, Window::square(3, 1, 1), false);
    let right = g.push("prelu", Op::PRelu, &[right]);
    let x = g.concat("both", &[left, right]);
    let x = g.push("shuffle", Op::ChannelShuffle { groups: 4 }, &[x]);
    let x = g.push("square", Op::Mul, &[x, x]);
    let pool = |count_include_pad, ceil, after| {
        let (kernel, stride, padding) = ([3, 2], [2, 2], [1, 0]);
        Op::AvgPool(AvgPool { kernel, stride, padding, count_include_pad, ceil, after })
    };
    let counted = g.push("counted", pool(true, false, None), &[x]);
    let inside = g.push("inside", pool(false, false, None), &[x]);
    let sum = g.add("sum", counted, inside);
    let up = g.push("up", pool(false, true, None), &[x]);
    let uneven = g.push("uneven", pool(false, false, Some([1, 1])), &[x]);
    let product = g.push("product", Op::Mul, &[up, uneven]);
    let a = g.flatten("flat_sum", sum);
    let b = g.flatten("flat_product", product);
    let a = g.linear("of_sum", a, 9);
    let a = g.push("bn", Op::BatchNorm { epsilon: 0.01 }, &[a]);
    let a = function(&mut g, "softplus", a, Function::Softplus);
    let b = g.linear("of_product", b, 9);
    let b = function(&mut g, "tanh", b, Function::Tanh);
    let x = g.push("features", Op::Mul, &[a, b]);
    let x = function(&mut g, "mish", x, Function::Mish);
    g.linear("logits", x, 5);
    g.finish(&ModelSpec::new("others", 5, [3, 13, 11]))
}

/// Random parameters; those that are no weights are moved away from their initial values.
fn parameters(graph: &Graph) -> Parameters {
    let mut parameters = crate::initialize(graph, 1);
    for (place, values) in parameters.values_mut().enumerate().filter(|(_, v)| v.shape().len() < 2) {
        let noise = normal(&mut stream(2, Purpose::Weights, place as u64), 0.2, values.values().len());
        values.values_mut().iter_mut().zip(noise).for_each(|(value, noise)| *value += noise.abs());
    }
    parameters
}

/// Four random images as `[4, channels, height, width]`.
fn images(graph: &Graph) -> FloatTensor {
    let [channels, height, width] = graph.spec().input;
    let values = normal(&mut stream(3, Purpose::Weights, 0), 1.0, 4 * channels * height * width);
    FloatTensor::new(vec![4, channels, height, width], values)
}

fn batch(network: &Network, images: &FloatTensor) -> Buffer {
    let mut batch = network.pool().take(images.values().len());
    channels_last(images, &mut batch);
    batch
}

#[test]
fn logits_equal_those_of_the_float_executor() {
    let zoo = |architecture, width, side| {
        zoo::build(&ModelSpec { width, ..ModelSpec::new(architecture, 10, [3, side, side]) }).unwrap()
    };
    for graph in [
        zoo("resnet20", 0.5, 12),
        zoo("resnet18", 0.125, 32),
        zoo("squeezenet1_1", 0.125, 32),
        zoo("vgg16_bn", 0.125, 32),
        zoo("inception_v3", 0.125, 75),
        mobile(),
        convnext(),
        others(),
    ] {
        let architecture = &graph.spec().architecture;
        let mut parameters = parameters(&graph);
        let weights: Vec<QuantTensor> = graph
            .stored_weights()
            .iter()
            .map(|spec| QuantTensor::quantize(&spec.name, &parameters[&spec.name]).unwrap())
            .collect();
        let mut network = Network::new(&graph, &parameters);
        assert_eq!(network.parameters(), parameters);
        let nchw = images(&graph);
        let close = |found: &[f32], expected: &FloatTensor, bound: f32| {
            let largest = expected.values().iter().fold(0f32, |largest, v| largest.max(v.abs()));
            for (found, expected) in found.iter().zip(expected.values()) {
                let off = (found - expected).abs() / largest;
                assert!(off < bound, "{architecture}: a logit is {found}, expected {expected}");
            }
        };

        let float_network = zoo::FloatNetwork::from_parameters(&graph, &parameters).unwrap();
        let logits = network.forward(batch(&network, &nchw), Mode::Evaluate);
        close(&logits, &float_network.logits(&nchw).unwrap(), 1e-4);

        let scales = weights.iter().map(|w| (w.name().into(), w.scale().of(0))).collect();
        let ranges = BTreeMap::from([("input".to_string(), 3.0)]);
        network.rounding = Some(Rounding { scales, ranges });
        network.forward(batch(&network, &nchw), Mode::Calibrate);
        let logits = network.forward(batch(&network, &nchw), Mode::Evaluate);
        let points = graph.quantization_points();
        let scales: BTreeMap<_, _> = points
            .iter()
            .map(|point| {
                (graph.nodes()[point.node].name.clone(), network.activation_scale(point.node).unwrap())
            })
            .collect();
        assert_eq!(network.rounding.as_ref().unwrap().ranges.len(), points.len());
        parameters.extend(weights.iter().map(|w| (w.name().into(), w.dequantize())));
        let float_network = zoo::FloatNetwork::from_parameters(&graph, &parameters).unwrap();
        // A sum in another order may round a tie to the other level.
        close(&logits, &float_network.logits_fake_quantized(&nchw, &scales).unwrap(), 0.02);
    }
}

/// Compares the gradient of every parameter of whole networks with differences of the loss, in a random direction and
/// along the gradient itself.
#[test]
fn gradients_of_whole_networks_are_those_of_differences() {
    for graph in [mobile(), convnext(), others()] {
        let mut network = Network::new(&graph, &parameters(&graph));
        let (nchw, labels) = (images(&graph), [3, 0, 4, 1]);
        let logits = network.forward(batch(&network, &nchw), Mode::Train);
        let mut gradient = network.pool().take(logits.len());
        cross_entropy_backward(&logits, &labels, &mut gradient);
        let gradients = network.backward(gradient);
        assert!(gradients.keys().eq(network.variables.keys()), "every parameter has a gradient");
        for (place, (name, gradient)) in gradients.iter().enumerate() {
            let random = normal(&mut stream(4, Purpose::Weights, place as u64), 1.0, gradient.len());
            for direction in [random, gradient.to_vec()] {
                let length = direction.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-30);
                let mut moved = |by: f32| {
                    let before = network.variables[name].clone();
                    let values = network.variables.get_mut(name).unwrap().values_mut();
                    values.iter_mut().zip(&direction).for_each(|(value, d)| *value += by * d / length);
                    let logits = network.forward(batch(&network, &nchw), Mode::Train);
                    network.variables.insert(name.clone(), before);
                    f64::from(cross_entropy(&logits, &labels))
                };
                let step = 5e-4;
                let expected = (moved(step) - moved(-step)) / (2.0 * f64::from(step));
                let found: f64 =
                    gradient.iter().zip(&direction).map(|(g, d)| f64::from(*g) * f64::from(*d)).sum();
                let found = found / f64::from(length);
                assert!(
                    (found - expected).abs() <= 3e-3 + 0.02 * expected.abs(),
                    "{}: the gradient of {name} gives {found}, differences {expected}",
                    graph.spec().architecture
                );
            }
        }
    }
}

/// The evaluation of a training is that of the network that it returns, whose levels satisfy the constraint.
#[test]
fn a_short_qatt_learns_and_satisfies_the_constraint() {
    let constraint = ecc::Constraint::TWO_BIT_ALL;
    for graph in [mobile(), convnext(), others()] {
        let name = &graph.spec().architecture;
        let recipe = Recipe {
            method: Method::Qatt { constraint: constraint.into() },
            scale: Scale::Largest,
            bit_errors: None,
            iterations: 40,
            batch_images: 4,
            schedule: Schedule::Constant { rate: 0.02 },
            momentum: 0.9,
            weight_decay: 0.0,
            augmentation: None,
            validation: Validation { images: 0, seed: 0 },
            check_every: 1,
            seed: 0,
        };
        let identity = graph::Preprocessing::new(vec![0.0; 3], vec![1.0; 3]).unwrap();
        let mut parameters = parameters(&graph);
        let mut trainer = Trainer::new(&graph, parameters.clone(), &identity, recipe).unwrap();
        trainer.network.rounding.as_mut().unwrap().ranges.insert("input".into(), 3.0);
        let (nchw, labels) = (images(&graph), [3, 0, 4, 1]);
        let losses: Vec<f32> = (0..40).map(|_| trainer.step(&nchw, &labels).unwrap()).collect();
        let (first, last) = (losses[0], losses[39]);
        assert!(last < 0.95 * first, "{name}: the loss went from {first} to {last}");
        assert!(trainer.parameters() != parameters, "{name}");

        let images = batch(&trainer.network, &nchw);
        let logits = trainer.network.forward(images, Mode::Evaluate);
        let trained = trainer.finish().unwrap();
        assert_eq!(trained.clamped_at_end, 0);
        for tensor in &trained.weights {
            assert_eq!(constraint.violations(tensor.values()).count(), 0, "{name}: {}", tensor.name());
        }
        parameters = trained.parameters;
        parameters.extend(trained.weights.iter().map(|w| (w.name().into(), w.dequantize())));
        let float_network = zoo::FloatNetwork::from_parameters(&graph, &parameters).unwrap();
        let expected = float_network.logits_fake_quantized(&nchw, &trained.activations).unwrap();
        let largest = expected.values().iter().fold(0f32, |largest, v| largest.max(v.abs()));
        for (found, expected) in logits.iter().zip(expected.values()) {
            // A sum in another order may round a tie to the other level.
            assert!((found - expected).abs() < 0.02 * largest, "{name}: {found}, expected {expected}");
        }
    }
}
