//! Every operation and its gradients against PyTorch: tests/golden/ops.py made the values.

use candle_core::{Tensor, Var};
use quant::ActivationScale;
use serde_json::Value;
use wot::RunningStatistics;
use zoo::Window;

use crate::noise::{noise, tensor, values, variable};

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
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
    Window {
        kernel: pair(&case["kernel"]),
        stride: pair(&case["stride"]),
        padding: pair(&case["padding"]),
        ceil: case["ceil"].as_bool().unwrap_or(false),
    }
}

fn run(case: &Value, inputs: &[Var]) -> Tensor {
    let x = inputs[0].as_tensor();
    let size = |field: &str| number(&case[field]) as usize;
    let result = match case["op"].as_str().unwrap() {
        "conv2d" => wot::conv2d(x, &inputs[1], &window(case), size("groups")),
        "linear" => wot::linear(x, &inputs[1]),
        "add_bias" => wot::add_bias(x, &inputs[1]),
        "batch_norm" => {
            let x = (x + number(&case["offset"])).unwrap();
            let (y, batch) = wot::batch_norm(&x, &inputs[1], &inputs[2]).unwrap();
            let mut running = RunningStatistics::new(batch.mean.len());
            running.update(&batch);
            close(&running.mean, &numbers(&case["running_mean"]), "running mean");
            close(&running.variance, &numbers(&case["running_var"]), "running variance");
            Ok(y)
        }
        "max_pool" => wot::max_pool(x, &window(case)),
        "max_pool_ties" => {
            // Rounding whose gradient passes, to multiples of 1 / 4.
            wot::max_pool(&wot::fake_quantize_weight(x, 4.0).unwrap(), &window(case))
        }
        "global_avg_pool" => wot::global_avg_pool(x),
        "relu" => wot::relu(x),
        "fake_quantize_activation" => {
            let signed = case["signed"].as_bool().unwrap();
            let levels_per_unit = number(&case["levels_per_unit"]) as f32;
            wot::fake_quantize_activation(x, ActivationScale { levels_per_unit, signed })
        }
        "fake_quantize_weight" => wot::fake_quantize_weight(x, number(&case["levels_per_unit"]) as f32),
        "cross_entropy" => {
            let labels: Vec<u16> = sizes(&case["labels"]).into_iter().map(|v| v as u16).collect();
            wot::cross_entropy(x, &labels)
        }
        "pad_shortcut" => wot::pad_shortcut(x, size("stride"), size("before"), size("after")),
        other => panic!("unknown operation {other}"),
    };
    result.unwrap()
}

fn close(found: &[f32], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let bound = 1e-5 * expected.abs().max(1.0);
        assert!((f64::from(*found) - expected).abs() <= bound, "{what}: {i} is {found}, expected {expected}");
    }
}

#[test]
fn operations_and_gradients_are_pytorchs() {
    let golden: Value = serde_json::from_str(include_str!("../golden/ops.json")).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() > 25);
    for case in cases {
        let inputs: Vec<Var> = (1..)
            .zip(case["inputs"].as_array().unwrap())
            .map(|(seed, input)| variable(&sizes(&input["shape"]), number(&input["factor"]) as f32, seed))
            .collect();
        let y = run(case, &inputs);
        let name = |what: &str| {
            let mut settings = case.clone();
            for long in ["inputs", "y", "running_mean", "running_var"] {
                settings.as_object_mut().unwrap().remove(long);
            }
            format!("{what} of {settings}")
        };
        assert_eq!(y.dims(), sizes(&case["y_shape"]), "{}", name("shape"));
        close(&values(&y), &numbers(&case["y"]), &name("y"));
        let loss = if y.rank() == 0 {
            y
        } else {
            (&y * tensor(noise(y.elem_count(), 9), y.dims())).unwrap().sum_all().unwrap()
        };
        let gradients = loss.backward().unwrap();
        for (variable, input) in inputs.iter().zip(case["inputs"].as_array().unwrap()) {
            let found = values(gradients.get(variable).unwrap());
            close(&found, &numbers(&input["gradient"]), &name(input["name"].as_str().unwrap()));
        }
    }
}
