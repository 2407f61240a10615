//! Gradients against central differences of the operations themselves.

use candle_core::{Result, Tensor, Var};
use quant::ActivationScale;
use zoo::Window;

use crate::noise::{noise, tensor, values, variable};

/// Compares the gradient of every input, for a random linear function of the output, with central
/// differences. `step` must be small against the distance to the next kink of the operation.
fn check(what: &str, inputs: &[Var], step: f32, run: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let tracked: Vec<Tensor> = inputs.iter().map(|v| v.as_tensor().clone()).collect();
    let y = run(&tracked).unwrap();
    let weights = noise(y.elem_count(), 77);
    let loss = (&y * tensor(weights.clone(), y.dims())).unwrap().sum_all().unwrap();
    let gradients = loss.backward().unwrap();
    // In f64: the output has 24 bits, and differences of sums would lose the rest.
    let function = |inputs: &[Tensor]| -> f64 {
        let y = values(&run(inputs).unwrap());
        y.iter().zip(&weights).map(|(y, w)| f64::from(*y) * f64::from(*w)).sum()
    };
    for (which, input) in inputs.iter().enumerate() {
        let gradient = values(gradients.get(input).unwrap());
        let base = values(input);
        // At most some 60 places of a large tensor.
        for place in (0..base.len()).step_by(base.len().div_ceil(60)) {
            let moved = |by: f32| {
                let mut moved = base.clone();
                moved[place] += by;
                let mut inputs: Vec<Tensor> = inputs.iter().map(|v| v.detach()).collect();
                inputs[which] = tensor(moved, input.dims());
                function(&inputs)
            };
            let expected = (moved(step) - moved(-step)) / (2.0 * f64::from(step));
            let found = f64::from(gradient[place]);
            let bound = 2e-3 * expected.abs().max(1.0);
            assert!(
                (found - expected).abs() <= bound,
                "{what}: gradient {place} of input {which} is {found}, differences give {expected}"
            );
        }
    }
}

#[test]
fn conv2d_in_many_configurations() {
    let mut seen = 0;
    for (h, w) in [(1, 1), (4, 4), (5, 8), (7, 3), (9, 12)] {
        for (kh, kw) in [(1, 1), (2, 2), (3, 3), (1, 5), (4, 1)] {
            for (sh, sw) in [(1, 1), (2, 2), (1, 3)] {
                for (ph, pw) in [(0, 0), (1, 1), (0, 2)] {
                    if h + 2 * ph < kh || w + 2 * pw < kw {
                        continue;
                    }
                    for (inputs, outputs, groups) in [(3, 5, 1), (4, 6, 2), (3, 3, 3), (17, 18, 1)] {
                        seen += 1;
                        if seen % 5 != 0 {
                            continue;
                        }
                        let window =
                            Window { kernel: [kh, kw], stride: [sh, sw], padding: [ph, pw], ceil: false };
                        let x = variable(&[2, h, w, inputs], 1.0, 1);
                        let weight = variable(&[outputs, inputs / groups, kh, kw], 1.0, 2);
                        // The function is bilinear: any step is exact.
                        check(&format!("{window:?}, {h}x{w}, groups {groups}"), &[x, weight], 0.25, |v| {
                            wot::conv2d(&v[0], &v[1], &window, groups)
                        });
                    }
                }
            }
        }
    }
    assert!(seen > 600, "{seen} configurations");
}

#[test]
fn linear_and_bias() {
    for (n, i, o) in [(1, 1, 1), (5, 33, 17), (40, 16, 10)] {
        let (x, weight, bias) =
            (variable(&[n, i], 1.0, 1), variable(&[o, i], 1.0, 2), variable(&[o], 1.0, 3));
        check("linear", &[x, weight, bias], 0.25, |v| wot::add_bias(&wot::linear(&v[0], &v[1])?, &v[2]));
    }
}

#[test]
fn batch_norm_in_many_shapes() {
    for shape in [[2, 1, 1, 3], [3, 4, 5, 2], [8, 2, 2, 17], [2, 9, 7, 1], [6, 8, 8, 3]] {
        let c = shape[3];
        let (x, weight, bias) = (variable(&shape, 4.0, 1), variable(&[c], 1.0, 2), variable(&[c], 1.0, 3));
        let x = if shape == [2, 1, 1, 3] { variable(&shape, 40.0, 5) } else { x };
        check(&format!("{shape:?}"), &[x, weight, bias], 0.02, |v| {
            Ok(wot::batch_norm(&v[0], &v[1], &v[2])?.0)
        });
    }
}

/// Distinct values, at least 1 / len apart, in an order that looks random.
fn distinct(shape: &[usize]) -> Var {
    let len: usize = shape.iter().product();
    let step = (0..).map(|i| len / 2 + 1 + i).find(|step| gcd(*step, len) == 1).unwrap();
    let values = (0..len).map(|i| ((i * step) % len) as f32 / len as f32 - 0.4971).collect();
    Var::from_tensor(&tensor(values, shape)).unwrap()
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[test]
fn max_pool_in_many_configurations() {
    for (h, w) in [(4, 4), (5, 7), (8, 3), (9, 12)] {
        for kernel in [[2, 2], [3, 3], [2, 3]] {
            for stride in [[1, 1], [2, 2], [3, 2]] {
                for padding in [[0, 0], [1, 1]] {
                    for ceil in [false, true] {
                        let window = Window { kernel, stride, padding, ceil };
                        let x = distinct(&[2, h, w, 3]);
                        let step = 0.3 / x.elem_count() as f32;
                        check(&format!("{window:?}, {h}x{w}"), &[x], step, |v| wot::max_pool(&v[0], &window));
                    }
                }
            }
        }
    }
}

#[test]
fn pooling_over_everything_and_shortcuts() {
    for shape in [[1, 1, 1, 1], [2, 5, 3, 17], [3, 8, 8, 4]] {
        check("mean", &[variable(&shape, 1.0, 1)], 0.25, |v| wot::global_avg_pool(&v[0]));
        for (stride, before, after) in [(1, 0, 0), (2, 1, 2), (3, 0, 4)] {
            check("shortcut", &[variable(&shape, 1.0, 1)], 0.25, |v| {
                wot::pad_shortcut(&v[0], stride, before, after)
            });
        }
    }
}

#[test]
fn cross_entropy_of_confident_and_unsure_rows() {
    let labels = [0, 4, 2, 2];
    for factor in [0.1, 4.0, 30.0] {
        check("cross entropy", &[variable(&[4, 5], factor, 1)], 0.01, |v| wot::cross_entropy(&v[0], &labels));
    }
    // A logit difference that would overflow a careless exponential.
    let logits = tensor(vec![500.0, 0.0, 0.0, -500.0], &[2, 2]);
    let loss = wot::cross_entropy(&logits, &[1, 0]).unwrap().to_scalar::<f32>().unwrap();
    assert_eq!(loss, 250.0); // 500 for the first row, 0 for the second
}

#[test]
fn relu_has_no_gradient_at_zero() {
    check("relu", &[distinct(&[2, 5, 5, 3])], 1e-4, |v| wot::relu(&v[0]));
    let x = Var::from_tensor(&tensor(vec![-1.0, -0.0, 0.0, 1.0], &[4])).unwrap();
    let y = wot::relu(&x).unwrap();
    let gradient = y.sum_all().unwrap().backward().unwrap();
    assert_eq!(values(gradient.get(&x).unwrap()), [0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn straight_through_gradients_stop_only_where_activations_are_clamped() {
    let gradient = |x: &Var, y: Tensor| values(y.sum_all().unwrap().backward().unwrap().get(x).unwrap());
    let x = Var::from_tensor(&tensor(vec![-1.1, -1.0, -0.3, 0.0, 0.3, 1.0, 1.1], &[7])).unwrap();
    let signed = wot::fake_quantize_activation(&x, ActivationScale::from_range(1.0, true)).unwrap();
    assert_eq!(values(&signed)[0], -1.0);
    assert_eq!(gradient(&x, signed), [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0]);
    let unsigned = wot::fake_quantize_activation(&x, ActivationScale::from_range(1.0, false)).unwrap();
    assert_eq!(gradient(&x, unsigned), [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0]);
    let weight = wot::fake_quantize_weight(&x, 127.0).unwrap();
    assert_eq!(values(&weight)[..2], [-1.0, -1.0]);
    assert_eq!(gradient(&x, weight), [1.0; 7]);
}

#[test]
fn operations_take_tensors_with_strides() {
    let x = variable(&[2, 3, 4, 5], 1.0, 1);
    let weight = variable(&[6, 5, 3, 3], 1.0, 2);
    check("permuted", &[x, weight], 0.25, |v| {
        let x = v[0].permute((0, 2, 1, 3))?;
        wot::conv2d(&x, &v[1], &Window::square(3, 1, 1), 1)?.permute((3, 0, 1, 2))
    });
}

#[test]
fn shapes_that_do_not_fit_are_errors() {
    let x = variable(&[1, 4, 4, 3], 1.0, 1);
    let weight = |shape: &[usize]| variable(shape, 1.0, 2);
    let square = Window::square;
    for (weights, window, groups) in [
        (weight(&[4, 2, 3, 3]), square(3, 1, 1), 1),
        (weight(&[4, 3, 5, 5]), square(5, 1, 0), 1),
        (weight(&[4, 3, 3, 3]), square(3, 0, 1), 1),
        (weight(&[4, 1, 3, 3]), square(3, 1, 1), 3),
        (weight(&[4, 3, 3, 3]), Window { ceil: true, ..square(3, 2, 1) }, 1),
        (weight(&[4, 3, 3, 3]), square(3, 1, 1), 0),
    ] {
        assert!(wot::conv2d(&x, &weights, &window, groups).is_err(), "{window:?}, {groups} groups");
    }
    assert!(wot::max_pool(&x, &square(5, 1, 0)).is_err());
    assert!(wot::max_pool(&x, &square(2, 0, 0)).is_err());
    assert!(wot::add_bias(&x, &weight(&[4])).is_err());
    assert!(wot::batch_norm(&x, &weight(&[4]), &weight(&[4])).is_err());
    assert!(wot::batch_norm(&variable(&[1, 1, 1, 2], 1.0, 1), &weight(&[2]), &weight(&[2])).is_err());
    let logits = variable(&[2, 3], 1.0, 1);
    assert!(wot::cross_entropy(&logits, &[0]).is_err());
    assert!(wot::cross_entropy(&logits, &[0, 3]).is_err());
    assert!(wot::pad_shortcut(&x, 0, 0, 0).is_err());
}
