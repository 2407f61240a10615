//! Compares gradients with central differences of the operations themselves.

use graph::{BATCH_NORM_EPSILON, Function, Window};
use quant::{ActivationScale, FloatTensor, LevelsPerUnit};
use wot::ops::{Activation, AvgPool, BatchStatistics, Conv2d, Finish, Norm, Pool, extremes};

use crate::noise::{noise, tensor};
use crate::operation::{self, Outcome};

/// Compares the gradient of every input, for a random linear function of the output, with central
/// differences. `step` must be small compared with the distance to the next kink of the operation.
fn check(what: &str, inputs: &[FloatTensor], step: f32, run: impl Fn(&[FloatTensor]) -> Outcome) {
    check_against(what, inputs, step, &run, |inputs| run(inputs).y);
}

/// Compares gradients like [`check`], but with the differences of another function.
fn check_against(
    what: &str,
    inputs: &[FloatTensor],
    step: f32,
    run: impl Fn(&[FloatTensor]) -> Outcome,
    like: impl Fn(&[FloatTensor]) -> FloatTensor,
) {
    let outcome = run(inputs);
    let is_loss = outcome.y.shape().is_empty();
    let weights = if is_loss { vec![1.0] } else { noise(outcome.y.values().len(), 77) };
    let gradients = outcome.gradients(&weights);
    assert_eq!(gradients.len(), inputs.len(), "{what}");
    // Sums are in f64, because f32 differences of sums would lose digits.
    let function = |inputs: &[FloatTensor]| -> f64 {
        like(inputs).values().iter().zip(&weights).map(|(y, w)| f64::from(*y) * f64::from(*w)).sum()
    };
    for (which, (input, gradient)) in inputs.iter().zip(&gradients).enumerate() {
        let len = input.values().len();
        // At most about 60 positions of a large tensor are tested.
        for place in (0..len).step_by(len.div_ceil(60)) {
            let moved = |by: f32| {
                let mut inputs = inputs.to_vec();
                inputs[which].values_mut()[place] += by;
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
                        let window = Window::of([kh, kw], [sh, sw], [ph, pw]);
                        let x = tensor(&[2, h, w, inputs], 1.0, 1);
                        let weight = tensor(&[outputs, inputs / groups, kh, kw], 1.0, 2);
                        // The function is bilinear: any step is exact.
                        let bias = tensor(&[outputs], 1.0, 3);
                        let what = format!("{window:?}, {h}x{w}, groups {groups}");
                        check(&what, &[x, weight, bias], 0.25, |v| operation::conv2d(v, &window, groups));
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
        let (x, weight, bias) = (tensor(&[n, i], 1.0, 1), tensor(&[o, i], 1.0, 2), tensor(&[o], 1.0, 3));
        check("linear", &[x, weight, bias], 0.25, operation::linear);
    }
}

#[test]
fn batch_norm_in_many_shapes() {
    for shape in [[2, 1, 1, 3], [3, 4, 5, 2], [8, 2, 2, 17], [2, 9, 7, 1], [6, 8, 8, 3]] {
        let c = shape[3];
        let (x, weight, bias) = (tensor(&shape, 4.0, 1), tensor(&[c], 1.0, 2), tensor(&[c], 1.0, 3));
        let x = if shape == [2, 1, 1, 3] { tensor(&shape, 40.0, 5) } else { x };
        check(&format!("{shape:?}"), &[x, weight, bias], 0.02, |v| operation::finish(v, true, false, None));
    }
}

#[test]
fn one_pass_of_batch_norm_relu_and_rounding_has_the_right_gradient() {
    for shape in [[3, 4, 5, 2], [8, 2, 2, 17], [2, 9, 7, 1], [6, 8, 8, 3], [40, 3, 3, 300]] {
        let c = shape[3];
        // Values around -1.5, -0.5, 0.5 and 1.5, far from where ReLU (0) and rounding (1) have their kinks.
        let mut x = tensor(&shape, 0.2, 1);
        x.values_mut().iter_mut().enumerate().for_each(|(i, v)| *v += (i / c * 7 % 4) as f32 - 1.5);
        let (mut weight, mut bias) = (tensor(&[c], 0.2, 2), tensor(&[c], 0.1, 3));
        weight.values_mut().iter_mut().for_each(|v| *v += 1.1);
        // The change must be visible in the gradient.
        bias.values_mut()[0] += 0.01;
        for norm in [false, true] {
            for relu in [false, true] {
                for high in [None, Some(1.0f32)] {
                    let inputs = [x.clone(), weight.clone(), bias.clone()];
                    let inputs = if norm { &inputs[..] } else { &inputs[..1] };
                    let scale = high.map(|high| ActivationScale::from_range(high, !relu));
                    // The straight-through gradient is that of clamping.
                    let like = |v: &[FloatTensor]| {
                        let mut y = operation::finish(v, norm, relu, None).y;
                        let low = if relu { 0.0 } else { -1.0 };
                        y.values_mut()
                            .iter_mut()
                            .for_each(|y| *y = high.map_or(*y, |high| y.clamp(low, high)));
                        y
                    };
                    let what = format!("{shape:?}, norm {norm}, relu {relu}, rounding {scale:?}");
                    check_against(&what, inputs, 0.02, |v| operation::finish(v, norm, relu, scale), like);
                }
            }
        }
    }
}

#[test]
fn one_pass_equals_separate_passes_bit_for_bit() {
    let inputs = [tensor(&[5, 6, 7, 19], 3.0, 1), tensor(&[19], 2.0, 2), tensor(&[19], 1.0, 3)];
    let scale = Some(ActivationScale::from_range(0.9, false));
    let norm = operation::finish(&inputs, true, false, None);
    let relu = operation::finish(std::slice::from_ref(&norm.y), false, true, None);
    let rounded = operation::finish(std::slice::from_ref(&relu.y), false, false, scale);
    let whole = operation::finish(&inputs, true, true, scale);
    assert!(whole.y == rounded.y);
    let dy = noise(whole.y.values().len(), 4);
    let after = relu.gradients(&rounded.gradients(&dy)[0]);
    assert!(whole.gradients(&dy) == norm.gradients(&after[0]));
}

#[test]
fn the_largest_magnitude_is_that_of_the_extremes() {
    let (x, weight, bias) = (tensor(&[5, 6, 7, 19], 3.0, 1), tensor(&[19], 2.0, 2), tensor(&[19], 1.0, 3));
    let batch = BatchStatistics::of(x.values(), 19);
    assert_eq!(batch.extremes, extremes(x.values(), 19));
    let (weight, bias) = (weight.values(), bias.values());
    let norm = Norm::new(&batch.mean, &batch.variance, weight, bias, BATCH_NORM_EPSILON);
    for norm in [None, Some(norm)] {
        for relu in [None, Some(f32::INFINITY), Some(0.25)] {
            let finish = Finish { norm: norm.clone(), relu, rounding: None };
            let mut y = vec![f32::NAN; x.values().len()];
            finish.forward(x.values(), &mut y);
            let expected = y.iter().fold(0f32, |largest, y| largest.max(y.abs()));
            assert_eq!(finish.largest(&batch.extremes), expected);
        }
    }
}

#[test]
fn sums_and_concatenations() {
    for shape in [[1, 1, 1, 1], [2, 5, 3, 17], [3, 8, 8, 4]] {
        let [n, h, w, _] = shape;
        check("sum", &[tensor(&shape, 1.0, 1), tensor(&shape, 1.0, 2)], 0.25, operation::sum);
        let parts = [tensor(&shape, 1.0, 1), tensor(&[n, h, w, 3], 1.0, 2), tensor(&[n, h, w, 20], 1.0, 3)];
        check("concatenation", &parts, 0.25, operation::concatenate);
    }
}

/// Returns distinct values, at least 1 / len apart, in an order that looks random.
fn distinct(shape: &[usize]) -> FloatTensor {
    let len: usize = shape.iter().product();
    let step = (0..).map(|i| len / 2 + 1 + i).find(|step| gcd(*step, len) == 1).unwrap();
    let values = (0..len).map(|i| ((i * step) % len) as f32 / len as f32 - 0.4971).collect();
    FloatTensor::new(shape.to_vec(), values)
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
                    for (ceil, wide) in [(false, 1), (true, 1), (false, 2)] {
                        let window =
                            Window { ceil, dilation: [1, wide], ..Window::of(kernel, stride, padding) };
                        if !window.fits(h, w) {
                            continue;
                        }
                        let x = distinct(&[2, h, w, 3]);
                        let step = 0.3 / x.values().len() as f32;
                        check(&format!("{window:?}, {h}x{w}"), &[x], step, |v| {
                            operation::max_pool(v, &window)
                        });
                    }
                }
            }
        }
    }
}

#[test]
fn pooling_over_everything_and_shortcuts() {
    for shape in [[1, 1, 1, 1], [2, 5, 3, 17], [3, 8, 8, 4]] {
        check("mean", &[tensor(&shape, 1.0, 1)], 0.25, operation::mean);
        for (stride, before, after) in [(1, 0, 0), (2, 1, 2), (3, 0, 4)] {
            check("shortcut", &[tensor(&shape, 1.0, 1)], 0.25, |v| {
                operation::pad_shortcut(v, stride, before, after)
            });
        }
    }
}

#[test]
fn cross_entropy_of_confident_and_unsure_rows() {
    let labels = [0, 4, 2, 2];
    for factor in [0.1, 4.0, 30.0] {
        check("cross entropy", &[tensor(&[4, 5], factor, 1)], 0.01, |v| operation::loss(v, &labels));
    }
    // A logit difference that would overflow a naive exponential.
    let loss = wot::ops::cross_entropy(&[500.0, 0.0, 0.0, -500.0], &[1, 0]);
    assert_eq!(loss, 250.0); // 500 for the first row, 0 for the second
}

#[test]
fn relu_has_no_gradient_at_zero() {
    check("relu", &[distinct(&[2, 5, 5, 3])], 1e-4, |v| operation::finish(v, false, true, None));
    let relu = Finish { relu: Some(f32::INFINITY), ..Finish::default() };
    let x = [-1.0, -0.0, 0.0, 1.0];
    let mut dx = [1.0; 4];
    relu.backward(&x, None, &mut dx);
    assert_eq!(dx, [0.0, 0.0, 0.0, 1.0]);
    // In place, the gradient is computed from the result and is the same.
    let mut y = x;
    relu.forward_in_place(&mut y);
    assert_eq!(y, [0.0, 0.0, 0.0, 1.0]);
    let mut dx = [1.0; 4];
    relu.backward(&y, None, &mut dx);
    assert_eq!(dx, [0.0, 0.0, 0.0, 1.0]);
    let mut not_a_number = [f32::NAN];
    relu.forward_in_place(&mut not_a_number);
    assert!(not_a_number[0].is_nan());
}

#[test]
fn a_clipped_relu_has_no_gradient_at_its_ends() {
    check("clipped relu", &[distinct(&[2, 5, 5, 3])], 1e-4, |v| {
        operation::finish_by(v, None, Some(0.25), None)
    });
    let relu = Finish { relu: Some(6.0), ..Finish::default() };
    let mut y = [-1.0, 0.0, 2.0, 6.0, 7.0];
    relu.forward_in_place(&mut y);
    assert_eq!(y, [0.0, 0.0, 2.0, 6.0, 6.0]);
    let mut dx = [1.0; 5];
    relu.backward(&y, None, &mut dx);
    assert_eq!(dx, [0.0, 0.0, 1.0, 0.0, 0.0]);
    let mut not_a_number = [f32::NAN];
    relu.forward_in_place(&mut not_a_number);
    assert!(not_a_number[0].is_nan());
}

#[test]
fn functions_of_each_value() {
    // Steps of 0.08 with a shift: no value lies near a corner at a multiple of 0.5.
    let x = FloatTensor::new(vec![100], (0..100).map(|i| (i as f32 - 50.0) * 0.08 + 0.01).collect());
    for function in [
        Function::Sigmoid,
        Function::HardSigmoid { slope: 0.25, offset: 0.5 },
        Function::HardSwish,
        Function::Silu,
        Function::Tanh,
        Function::Elu { alpha: 0.5 },
        Function::Gelu,
        Function::GeluTanh,
        Function::Mish,
        Function::Softplus,
        Function::Clip { min: -1.0, max: 0.5 },
    ] {
        let activation = Activation::Function(function);
        check(&format!("{function:?}"), std::slice::from_ref(&x), 2e-3, |v| {
            operation::activation(v, activation)
        });
    }
    let leaky = Activation::Leaky { slope: 0.1 };
    check("leaky relu", std::slice::from_ref(&x), 2e-3, |v| operation::activation(v, leaky));
    check("parametric relu", &[x.clone(), tensor(&[5], 1.0, 2)], 2e-3, operation::parametric);
    // Corners have PyTorch's derivatives.
    let corners = FloatTensor::new(vec![4], vec![0.0, -1.0, 0.5, 3.0]);
    let at = |activation| {
        operation::activation(std::slice::from_ref(&corners), activation).gradients(&[1.0; 4]).remove(0)
    };
    assert_eq!(at(leaky), [0.1, 0.1, 1.0, 1.0]);
    assert_eq!(at(Activation::Function(Function::Clip { min: -1.0, max: 0.5 })), [1.0, 0.0, 0.0, 0.0]);
    assert_eq!(at(Activation::Function(Function::HardSwish))[3], 1.0);
    let slopes = FloatTensor::new(vec![1], vec![0.1]);
    let outcome = operation::parametric(&[corners, slopes]);
    assert_eq!(outcome.gradients(&[1.0; 4]), [vec![0.1, 0.1, 1.0, 1.0], vec![-1.0]]);
}

#[test]
fn products_paddings_and_selections() {
    for shape in [[1, 1, 1, 1], [2, 5, 3, 17], [3, 8, 8, 4]] {
        let [n, .., channels] = shape;
        let x = tensor(&shape, 1.0, 1);
        check("product", &[x.clone(), tensor(&shape, 1.0, 2)], 0.25, operation::product);
        let factors = tensor(&[n, channels], 1.0, 2);
        check("product of channels", &[x.clone(), factors], 0.25, operation::product_of_channels);
        check("padding", std::slice::from_ref(&x), 0.25, |v| operation::pad(v, [1, 0], [0, 3]));
        let kept: Vec<usize> = (0..channels).rev().step_by(2).collect();
        check("selection", std::slice::from_ref(&x), 0.25, |v| operation::selection(v, &kept));
    }
}

#[test]
fn layer_norm_in_many_shapes() {
    for shape in [vec![2, 3, 3, 4], vec![3, 4, 5, 17], vec![6, 33]] {
        let channels = *shape.last().unwrap();
        let inputs = [tensor(&shape, 4.0, 1), tensor(&[channels], 1.0, 2), tensor(&[channels], 1.0, 3)];
        for epsilon in [1e-6, 0.5] {
            check(&format!("{shape:?}"), &inputs, 5e-3, |v| operation::layer_norm(v, epsilon));
        }
    }
    // A pixel without variance.
    let inputs = [vec![2.0, 2.0], vec![3.0, 4.0], vec![0.5, 0.25]].map(|v| FloatTensor::new(vec![2], v));
    let outcome = operation::layer_norm(&inputs, 0.0);
    assert_eq!(outcome.y.values(), [0.5, 0.25]);
    assert_eq!(outcome.gradients(&[1.0, 1.0]), [[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]]);
}

#[test]
fn average_pools_in_many_configurations() {
    for (kernel, stride, padding, after) in [
        ([2, 2], [2, 2], [0, 0], None),
        ([3, 3], [1, 2], [1, 1], None),
        ([3, 2], [2, 3], [2, 1], None),
        ([3, 3], [2, 2], [0, 1], Some([1, 2])),
    ] {
        for ceil in [false, true] {
            for count_include_pad in [false, true] {
                if count_include_pad && (ceil || after.is_some()) {
                    continue;
                }
                let window = Window { ceil, after, ..Window::of(kernel, stride, padding) };
                for (h, w) in [(4, 4), (5, 7), (9, 6)] {
                    let x = tensor(&[2, h, w, 3], 1.0, 1);
                    check(&format!("{window:?}, {h}x{w}"), &[x], 0.25, |v| {
                        operation::avg_pool(v, &window, count_include_pad)
                    });
                }
            }
        }
    }
    let everything = Window::square(4, 4, 0);
    let x = tensor(&[2, 4, 4, 3], 1.0, 1);
    assert_eq!(
        operation::avg_pool(std::slice::from_ref(&x), &everything, true).y.values(),
        operation::mean(std::slice::from_ref(&x)).y.values()
    );
}

#[test]
fn straight_through_gradients_stop_only_at_clamped_activations() {
    let x = FloatTensor::new(vec![7], vec![-1.1, -1.0, -0.3, 0.0, 0.3, 1.0, 1.1]);
    let run = |signed| {
        let scale = Some(ActivationScale::from_range(1.0, signed));
        let outcome = operation::finish(std::slice::from_ref(&x), false, false, scale);
        (outcome.y.values()[0], outcome.gradients(&[1.0; 7]).remove(0))
    };
    assert_eq!(run(true), (-1.0, vec![0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0]));
    assert_eq!(run(false), (0.0, vec![0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0]));
    let weight = operation::round_weight(std::slice::from_ref(&x), LevelsPerUnit::new(127.0).unwrap());
    assert_eq!(weight.y.values()[..2], [-1.0, -1.0]);
}

/// Returns the panic message of an operation.
fn refusal<T>(run: impl FnOnce() -> T) -> String {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    let words = caught.err().expect("a shape that does not fit was taken");
    let words = words
        .downcast::<String>()
        .map_or_else(|other| other.downcast::<&str>().map(|s| s.to_string()), |s| Ok(*s));
    words.expect("words")
}

#[test]
fn wrong_shapes_are_refused_with_a_message() {
    let images = [1, 4, 4, 3];
    let square = Window::square;
    for (out_channels, window, groups) in [
        (4, square(5, 1, 0), 1),
        (4, square(3, 0, 1), 1),
        (4, square(3, 1, 1), 3),
        (4, Window { ceil: true, ..square(3, 2, 1) }, 1),
        (4, square(3, 1, 1), 0),
        (0, square(3, 1, 1), 1),
    ] {
        let words = refusal(|| Conv2d::new(images, out_channels, &window, groups, &Pool::default()));
        assert!(words.contains("does not make"), "{words}");
    }
    let x = tensor(&images, 1.0, 1);
    let weight = |shape: &[usize]| tensor(shape, 1.0, 2);
    for (wrong, shape) in [("weight", vec![4, 2, 3, 3]), ("weight", vec![4, 3, 5, 3])] {
        let words = refusal(|| operation::conv2d(&[x.clone(), weight(&shape)], &square(3, 1, 1), 1));
        assert!(words.contains(wrong), "{words}");
    }
    let bias = [x.clone(), weight(&[4, 3, 3, 3]), weight(&[3])];
    assert!(refusal(|| operation::conv2d(&bias, &square(3, 1, 1), 1)).contains("bias"));
    for window in [square(5, 1, 0), square(2, 0, 0)] {
        let words = refusal(|| operation::max_pool(std::slice::from_ref(&x), &window));
        assert!(words.contains("does not take"), "{words}");
        assert_eq!(refusal(|| AvgPool::new(images, &window, false)), words);
    }
    let norm = [x.clone(), weight(&[5]), weight(&[5])];
    let words = refusal(|| operation::finish(&norm, true, false, None));
    assert_eq!(words, "48 values are not pixels of 5");
    let one = [tensor(&[1, 1, 1, 2], 1.0, 1), weight(&[2]), weight(&[2])];
    let words = refusal(|| operation::finish(&one, true, false, None));
    assert_eq!(words, "batch norm over 1 values of a channel, expected at least 2");
    let logits = tensor(&[2, 3], 1.0, 1);
    let words = refusal(|| operation::loss(std::slice::from_ref(&logits), &[0, 1, 2, 0]));
    assert!(words.contains("4 labels for 6 logits"), "{words}");
    let words = refusal(|| operation::loss(std::slice::from_ref(&logits), &[0, 3]));
    assert_eq!(words, "a label is 3, expected less than 3");
    let words = refusal(|| operation::pad_shortcut(std::slice::from_ref(&x), 0, 0, 0));
    assert!(words.contains("stride 0"), "{words}");
}
