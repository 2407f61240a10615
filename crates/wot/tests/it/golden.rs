//! Compares every operation and its gradients with PyTorch's, which tests/golden/ops.py recorded.

use graph::Window;
use quant::{ActivationScale, FloatTensor, LevelsPerUnit};
use serde_json::Value;
use wot::ops::{Activation, BatchStatistics, RunningStatistics};

use crate::noise::{noise, tensor};
use crate::operation::{self, Outcome};

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn per_unit(value: &Value) -> LevelsPerUnit {
    LevelsPerUnit::new(number(value) as f32).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list")).iter().map(number).collect()
}

fn sizes(value: &Value) -> Vec<usize> {
    numbers(value).into_iter().map(|v| v as usize).collect()
}

fn pair(value: &Value) -> [usize; 2] {
    sizes(value).try_into().unwrap()
}

fn window(case: &Value) -> Window {
    let [kernel, stride, padding] = ["kernel", "stride", "padding"].map(|field| pair(&case[field]));
    Window {
        ceil: case["ceil"].as_bool().unwrap_or(false),
        after: case.get("after").map(pair),
        dilation: case.get("dilation").map_or([1, 1], pair),
        ..Window::of(kernel, stride, padding)
    }
}

fn run(case: &Value, inputs: &[FloatTensor]) -> Outcome {
    let size = |field: &str| number(&case[field]) as usize;
    match case["op"].as_str().unwrap() {
        "conv2d" => operation::conv2d(inputs, &window(case), size("groups")),
        "linear" => operation::linear(inputs),
        "add_bias" => operation::add_bias(inputs),
        "batch_norm" => {
            let offset = number(&case["offset"]) as f32;
            let moved = inputs[0].values().iter().map(|v| v + offset).collect();
            let mut inputs = inputs.to_vec();
            inputs[0] = FloatTensor::new(inputs[0].shape().to_vec(), moved);
            let batch = BatchStatistics::of(inputs[0].values(), inputs[1].values().len());
            let mut running = RunningStatistics::new(batch.mean.len());
            running.update(&batch);
            close(&running.mean, &numbers(&case["running_mean"]), "running mean");
            close(&running.variance, &numbers(&case["running_var"]), "running variance");
            operation::finish(&inputs, true, false, None)
        }
        "max_pool" => operation::max_pool(inputs, &window(case)),
        // Rounds to multiples of 1 / 4; the gradient passes.
        "max_pool_ties" => operation::max_pool(
            &[operation::round_weight(inputs, LevelsPerUnit::new(4.0).unwrap()).y],
            &window(case),
        ),
        "norm_of_epsilon" => operation::finish_by(inputs, Some(number(&case["epsilon"])), None, None),
        "clipped_relu" => operation::finish_by(inputs, None, Some(number(&case["max"]) as f32), None),
        "avg_pool" => {
            operation::avg_pool(inputs, &window(case), case["count_include_pad"].as_bool().unwrap())
        }
        "pad" => operation::pad(inputs, pair(&case["before"]), pair(&case["after"])),
        "leaky_relu" => {
            operation::activation(inputs, Activation::Leaky { slope: number(&case["slope"]) as f32 })
        }
        "function" => {
            let function = serde_json::from_value(case["function"].clone()).unwrap();
            operation::activation(inputs, Activation::Function(function))
        }
        "parametric_relu" => operation::parametric(inputs),
        "multiply" => operation::product(inputs),
        "multiply_channels" => operation::product_of_channels(inputs),
        "select_channels" => operation::selection(inputs, &sizes(&case["kept"])),
        "layer_norm" => operation::layer_norm(inputs, number(&case["epsilon"])),
        "global_avg_pool" => operation::mean(inputs),
        "relu" => operation::finish(inputs, false, true, None),
        "fake_quantize_activation" => {
            let signed = case["signed"].as_bool().unwrap();
            let levels_per_unit = per_unit(&case["levels_per_unit"]);
            operation::finish(inputs, false, false, Some(ActivationScale { levels_per_unit, signed }))
        }
        "fake_quantize_weight" => operation::round_weight(inputs, per_unit(&case["levels_per_unit"])),
        "cross_entropy" => {
            let labels: Vec<u16> = sizes(&case["labels"]).into_iter().map(|v| v as u16).collect();
            operation::loss(inputs, &labels)
        }
        "pad_shortcut" => operation::pad_shortcut(inputs, size("stride"), size("before"), size("after")),
        other => panic!("unknown operation {other}"),
    }
}

fn close(found: &[f32], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let bound = 1e-5 * expected.abs().max(1.0);
        assert!((f64::from(*found) - expected).abs() <= bound, "{what}: {i} is {found}, expected {expected}");
    }
}

#[test]
fn operations_and_gradients_equal_those_of_pytorch() {
    let golden: Value = serde_json::from_str(include_str!("../golden/ops.json")).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() > 60);
    for case in cases {
        let inputs: Vec<FloatTensor> = (1..)
            .zip(case["inputs"].as_array().unwrap())
            .map(|(seed, input)| tensor(&sizes(&input["shape"]), number(&input["factor"]) as f32, seed))
            .collect();
        let outcome = run(case, &inputs);
        let y = outcome.y.values();
        let name = |what: &str| {
            let mut settings = case.clone();
            for long in ["inputs", "y", "running_mean", "running_var"] {
                settings.as_object_mut().unwrap().remove(long);
            }
            format!("{what} of {settings}")
        };
        assert_eq!(outcome.y.shape(), sizes(&case["y_shape"]), "{}", name("shape"));
        close(y, &numbers(&case["y"]), &name("y"));
        let dy = if outcome.y.shape().is_empty() { vec![1.0] } else { noise(y.len(), 9) };
        let gradients = outcome.gradients(&dy);
        assert_eq!(gradients.len(), inputs.len());
        for (found, input) in gradients.iter().zip(case["inputs"].as_array().unwrap()) {
            close(found, &numbers(&input["gradient"]), &name(input["name"].as_str().unwrap()));
        }
    }
}
