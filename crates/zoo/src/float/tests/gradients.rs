//! Gradients of every operation against central differences, and a network that candle trains.

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{Module, Optimizer, SGD, VarBuilder, VarMap, loss};
use graph::{Conv, Function, Graph, GraphBuilder, ModelSpec, NodeId, Op, Window};

use super::{N, graph, noise, parameters, small_network};
use crate::{FloatNetwork, ZooError};

/// Step of a difference: values are further apart than two of them, so that no maximum changes.
const STEP: f32 = 1e-3;

fn on_cpu(values: Vec<f32>, shape: &[usize]) -> Tensor {
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// A map with the parameters of the forward tests.
fn variables(graph: &Graph) -> VarMap {
    let map = VarMap::new();
    for (name, tensor) in parameters(graph) {
        let variable = Var::from_tensor(&on_cpu(tensor.values().to_vec(), tensor.shape())).unwrap();
        map.data().lock().unwrap().insert(name, variable);
    }
    map
}

fn network(graph: &Graph, map: &VarMap) -> FloatNetwork {
    FloatNetwork::new(graph, VarBuilder::from_varmap(map, DType::F32, &Device::Cpu)).unwrap()
}

/// Compares the gradients of sum(logits * noise), by the images and by every parameter, with differences.
#[track_caller]
fn check(input: [usize; 3], train: bool, body: impl FnOnce(&mut GraphBuilder) -> NodeId) {
    let graph = graph(input, body);
    let map = variables(&graph);
    let network = network(&graph, &map);
    let [c, h, w] = input;
    let count = N * c * h * w;
    // In an order without a pattern; the prime does not divide any count.
    let images = (0..count).map(|i| (i * 10_007 % count) as f32 / count as f32 * 2.0 - 0.997).collect();
    let images = Var::from_tensor(&on_cpu(images, &[N, c, h, w])).unwrap();
    let weights = noise(N * graph.spec().classes, 17);
    let run = |network: &FloatNetwork| match train {
        true => network.forward_train(&images).unwrap(),
        false => network.forward(&images).unwrap(),
    };
    let loss = || {
        let logits = run(&network).flatten_all().unwrap().to_vec1::<f32>().unwrap();
        logits.iter().zip(&weights).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
    };
    let backward = |network: &FloatNetwork| {
        let logits = run(network);
        (&logits * on_cpu(weights.clone(), logits.dims())).unwrap().sum_all().unwrap().backward().unwrap()
    };
    let gradients = backward(&network);
    let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();

    let mut checked: Vec<(String, Var)> = map.data().lock().unwrap().clone().into_iter().collect();
    checked.retain(|(name, _)| !name.contains("running"));
    checked.push(("images".into(), images.clone()));
    for (name, variable) in checked {
        let found = flat(gradients.get(&variable).unwrap_or_else(|| panic!("{name} has no gradient")));
        let values = flat(&variable);
        for index in (0..values.len()).step_by(values.len().div_ceil(60)) {
            let at = |step: f32| {
                let mut values = values.clone();
                values[index] += step;
                variable.set(&on_cpu(values, variable.dims())).unwrap();
                loss()
            };
            let expected = (at(STEP) - at(-STEP)) / f64::from(2.0 * STEP);
            let found = f64::from(found[index]);
            assert!(
                (found - expected).abs() < 5e-3 * (1.0 + expected.abs()),
                "gradient {index} of {name} is {found}, expected {expected}"
            );
        }
        variable.set(&on_cpu(values, variable.dims())).unwrap();
    }

    if !train {
        let frozen = FloatNetwork::from_parameters(&graph, &parameters(&graph)).unwrap();
        assert_eq!(flat(&run(&frozen)), flat(&run(&network)), "parameters that are no variables");
        assert_eq!(flat(backward(&frozen).get(&images).unwrap()), flat(gradients.get(&images).unwrap()));
    }
}

const INPUT: NodeId = GraphBuilder::INPUT;

#[test]
fn convolutions() {
    let window = Window::of;
    for (input, channels, window, groups, bias) in [
        ([3, 7, 5], 4, Window::square(3, 1, 1), 1, true),
        ([3, 9, 12], 4, Window::square(3, 2, 1), 1, false),
        ([4, 6, 5], 8, Window::square(1, 1, 0), 1, true),
        ([4, 6, 5], 8, Window::square(1, 2, 0), 2, false),
        ([4, 8, 9], 4, Window::square(3, 2, 0), 4, true),
        ([3, 8, 9], 6, window([1, 7], [1, 1], [0, 3]), 3, true),
        ([2, 8, 9], 3, window([5, 3], [1, 2], [2, 1]), 1, true),
        ([2, 8, 9], 4, Window { dilation: [2, 3], ..window([3, 2], [1, 2], [2, 1]) }, 2, true),
    ] {
        let Window { kernel, stride, padding, dilation, .. } = window;
        let conv = Conv { channels, groups, bias, kernel, stride, padding, dilation };
        check(input, false, |g| g.push("conv", Op::Conv(conv), &[INPUT]));
    }
}

#[test]
fn batch_norms() {
    for train in [false, true] {
        check([3, 4, 5], train, |g| g.push("bn", Op::BatchNorm { epsilon: 0.25 }, &[INPUT]));
        check([3, 4, 5], train, |g| {
            let x = g.flatten("flat", INPUT);
            let x = g.linear("hidden", x, 5);
            let x = g.push("bn", Op::BatchNorm { epsilon: 0.25 }, &[x]);
            g.linear("fc", x, 4)
        });
        // What candle's normalization gives in training is not contiguous.
        check([3, 4, 5], train, |g| {
            let x = g.push("bn", Op::BatchNorm { epsilon: 0.25 }, &[INPUT]);
            let y = g.max_pool("pool", x, Window::square(3, 1, 1));
            let x = g.add("add", x, y);
            g.conv("conv", x, 2, Window::square(3, 1, 1), true)
        });
    }
}

#[test]
fn pools() {
    for ceil in [false, true] {
        for (kernel, stride, padding) in [
            ([3, 3], [2, 2], [0, 0]),
            ([3, 3], [2, 2], [1, 1]),
            ([2, 2], [3, 3], [1, 1]),
            ([3, 2], [1, 2], [1, 0]),
        ] {
            let window = Window { ceil, ..Window::of(kernel, stride, padding) };
            check([2, 6, 7], false, |g| g.max_pool("pool", INPUT, window));
            for count_include_pad in [false, true].into_iter().filter(|counts| !(ceil && *counts)) {
                check([2, 6, 7], false, |g| g.avg_pool("pool", INPUT, window, count_include_pad));
            }
        }
    }
}

#[test]
fn the_first_of_equal_values_gets_the_gradient() {
    let graph = graph([1, 2, 2], |g| g.max_pool("pool", INPUT, Window::square(2, 2, 0)));
    let network = network(&graph, &VarMap::new());
    let images = Var::from_tensor(&on_cpu(vec![0.0, 1.0, 1.0, 0.0], &[1, 1, 2, 2])).unwrap();
    let gradients = network.forward(&images).unwrap().sum_all().unwrap().backward().unwrap();
    let found = gradients.get(&images).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(found, [0.0, 1.0, 0.0, 0.0]);
}

#[test]
fn activations() {
    for (op, expected) in [
        (Op::Relu, [0.0, 0.0, 1.0, 1.0, 1.0]),
        (Op::LeakyRelu { slope: 0.25 }, [0.25, 0.25, 1.0, 1.0, 1.0]),
        (Op::ClippedRelu { max: 6.0 }, [0.0, 0.0, 1.0, 0.0, 0.0]),
        (Op::Function(Function::Clip { min: 0.0, max: 6.0 }), [0.0, 0.0, 1.0, 0.0, 0.0]),
        (Op::Function(Function::HardSwish), [1.0 / 6.0, 0.5, 7.0 / 6.0, 1.0, 1.0]),
    ] {
        let graph = graph([1, 1, 5], |g| g.push("activation", op, &[INPUT]));
        let network = network(&graph, &VarMap::new());
        let images = Var::from_tensor(&on_cpu(vec![-1.0, 0.0, 2.0, 6.0, 7.0], &[1, 1, 1, 5])).unwrap();
        let gradients = network.forward(&images).unwrap().sum_all().unwrap().backward().unwrap();
        let found = gradients.get(&images).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(found, expected);
    }
}

#[test]
fn layers_without_parameters() {
    check([2, 5, 7], false, |g| {
        let double = g.add("add", INPUT, INPUT);
        let both = g.concat("cat", &[INPUT, double]);
        g.push("pad", Op::PadShortcut { stride: 2, before: 1, after: 2 }, &[both])
    });
    check([2, 3, 2], false, |g| g.push("pad", Op::Pad { before: [0, 2], after: [1, 0] }, &[INPUT]));
    check([3, 4, 5], false, |g| {
        let x = g.global_avg_pool("mean", INPUT);
        g.linear("fc", x, 4)
    });
}

#[test]
fn products_and_channels() {
    check([4, 3, 2], false, |g| {
        let factors = g.global_avg_pool("mean", INPUT);
        let factors = g.push("sigmoid", Op::Function(Function::Sigmoid), &[factors]);
        let scaled = g.push("scaled", Op::Mul, &[INPUT, factors]);
        let squares = g.push("squares", Op::Mul, &[scaled, INPUT]);
        let shuffled = g.push("shuffled", Op::ChannelShuffle { groups: 2 }, &[squares]);
        g.push("slice", Op::ChannelSlice { first: 1, channels: 2 }, &[shuffled])
    });
}

#[test]
fn layer_norm_and_parametric_relu() {
    for train in [false, true] {
        check([5, 2, 3], train, |g| {
            let x = g.push("norm", Op::LayerNorm { epsilon: 0.125 }, &[INPUT]);
            let x = g.push("relu", Op::PRelu, &[x]);
            let x = g.global_avg_pool("mean", x);
            g.push("features_norm", Op::LayerNorm { epsilon: 0.5 }, &[x])
        });
    }
}

#[test]
fn candle_trains_a_network_and_saves_it() {
    let graph = small_network();
    let mut map = VarMap::new();
    let network = network(&graph, &map);
    let images = on_cpu(noise(6 * 16, 3), &[6, 1, 4, 4]);
    let labels = Tensor::new(&[0u32, 1, 2, 0, 1, 2], &Device::Cpu).unwrap();
    let running_mean = map.data().lock().unwrap()["bn.running_mean"].clone();
    let before = network.forward(&images).unwrap();
    assert_eq!(running_mean.to_vec1::<f32>().unwrap(), [0.0, 0.0]);

    let mut sgd = SGD::new(map.all_vars(), 0.1).unwrap();
    let mut losses = Vec::new();
    for _ in 0..60 {
        let loss = loss::cross_entropy(&network.forward_train(&images).unwrap(), &labels).unwrap();
        sgd.backward_step(&loss).unwrap();
        losses.push(loss.to_scalar::<f32>().unwrap());
    }
    assert!(losses[59] < 0.5 * losses[0], "{losses:?}");
    assert_ne!(running_mean.to_vec1::<f32>().unwrap(), [0.0, 0.0]);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trained.safetensors");
    map.save(&file).unwrap();
    let bytes = std::fs::read(&file).unwrap();
    let saved = VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu).unwrap();
    let loaded = FloatNetwork::new(&graph, saved).unwrap();
    let values = |logits: Tensor| logits.to_vec2::<f32>().unwrap();
    let trained = values(network.forward(&images).unwrap());
    assert_eq!(values(loaded.forward(&images).unwrap()), trained);
    assert_ne!(values(before), trained);

    // The variables of a map may change behind the network.
    map.set_one("fc.bias", Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap()).unwrap();
    assert_ne!(values(network.forward(&images).unwrap()), trained);
}

#[test]
fn every_parameter_of_a_network_gets_a_gradient() {
    for architecture in ["resnet18", "resnet20", "squeezenet1_1_bn", "vgg16_bn"] {
        let spec = crate::model(architecture, None, 0.125, 10, [3, 32, 32]).unwrap();
        let variant = crate::variants(architecture).unwrap().iter().find(|v| v.id() == "cifar").copied();
        let graph = crate::build(&ModelSpec { variant, ..spec }).unwrap();
        let map = VarMap::new();
        let network = network(&graph, &map);
        let images = on_cpu(noise(2 * 3 * 32 * 32, 5), &[2, 3, 32, 32]);
        let labels = Tensor::new(&[3u32, 7], &Device::Cpu).unwrap();
        let loss = loss::cross_entropy(&network.forward_train(&images).unwrap(), &labels).unwrap();
        let gradients = loss.backward().unwrap();

        let variables = map.data().lock().unwrap();
        let mut expected: Vec<_> = graph.parameters().into_iter().map(|p| (p.name, p.shape)).collect();
        let mut found: Vec<_> = variables.iter().map(|(n, v)| (n.clone(), v.dims().to_vec())).collect();
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "{architecture}");
        for (name, variable) in variables.iter().filter(|(name, _)| !name.contains("running")) {
            let gradient =
                gradients.get(variable).unwrap_or_else(|| panic!("{architecture}: {name} has none"));
            let largest = gradient.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(largest.is_finite(), "{architecture}: {name} has {largest}");
        }
    }
}

#[test]
fn unusable_variables_and_images_are_refused() {
    let graph = small_network();
    let new = |tensors: VarBuilder| FloatNetwork::new(&graph, tensors).unwrap_err();
    let error = new(VarBuilder::zeros(DType::F16, &Device::Cpu));
    assert_eq!(error.to_string(), "the variables are f16 on Cpu, expected f32 on the CPU");
    let error = new(VarBuilder::from_tensors(Default::default(), DType::F32, &Device::Cpu));
    assert!(matches!(&error, ZooError::Candle(_)) && error.to_string().contains("conv.weight"), "{error}");

    let network = FloatNetwork::new(&graph, VarBuilder::zeros(DType::F32, &Device::Cpu)).unwrap();
    let error = network.forward(&on_cpu(vec![0.0; 20], &[1, 1, 4, 5])).unwrap_err();
    assert!(
        error.to_string().starts_with("images have shape [1, 1, 4, 5], expected [n, 1, 4, 4]"),
        "{error}"
    );
}
