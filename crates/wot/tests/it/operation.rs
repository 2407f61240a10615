//! Operations of `wot::ops` as functions of tensors, with their results and gradients.

use graph::{BATCH_NORM_EPSILON, Window};
use quant::{ActivationScale, FloatTensor, LevelsPerUnit};
use wot::ops::{
    Activation, AvgPool, BatchStatistics, Conv2d, Finish, LayerNorm, MaxPool, Norm, Pad, PadShortcut, Pool,
    add, add_in_place, concat, concat_backward, cross_entropy, cross_entropy_backward, fake_quantize_weight,
    global_avg_pool, global_avg_pool_backward, multiply, multiply_channels, multiply_channels_backward,
    parametric_relu, parametric_relu_backward, select_channels, select_channels_backward,
};

/// A result, and a function that returns the gradients of all inputs.
pub(crate) struct Outcome {
    pub(crate) y: FloatTensor,
    backward: Box<Backward>,
}

/// A function from the gradient of the result to those of the inputs.
type Backward = dyn Fn(&[f32]) -> Vec<Vec<f32>>;

impl Outcome {
    fn new(
        shape: impl Into<Vec<usize>>,
        y: Vec<f32>,
        backward: impl Fn(&[f32]) -> Vec<Vec<f32>> + 'static,
    ) -> Self {
        Self { y: FloatTensor::new(shape.into(), y), backward: Box::new(backward) }
    }

    pub(crate) fn gradients(&self, dy: &[f32]) -> Vec<Vec<f32>> {
        (self.backward)(dy)
    }
}

/// Returns NaNs, which reveal a value that an operation does not write.
fn unwritten(len: usize) -> Vec<f32> {
    vec![f32::NAN; len]
}

fn four(x: &FloatTensor) -> [usize; 4] {
    x.shape().try_into().expect("NHWC")
}

/// Runs a convolution. Inputs: images, weights, and optionally a bias.
pub(crate) fn conv2d(inputs: &[FloatTensor], window: &Window, groups: usize) -> Outcome {
    let (x, weight) = (&inputs[0], &inputs[1]);
    let conv = Conv2d::new(four(x), weight.shape()[0], window, groups, &Pool::default());
    convolve(conv, inputs, None)
}

/// Runs a linear layer; inputs as in [`conv2d`], with x as `[n, features]`.
pub(crate) fn linear(inputs: &[FloatTensor]) -> Outcome {
    let (&[n, features], &[outputs, _]) = (inputs[0].shape(), inputs[1].shape()) else {
        panic!("two dimensions");
    };
    convolve(Conv2d::linear(n, features, outputs, &Pool::default()), inputs, Some(vec![n, outputs]))
}

fn convolve(conv: Conv2d, inputs: &[FloatTensor], shape: Option<Vec<usize>>) -> Outcome {
    let bias = inputs.get(2).map(FloatTensor::values);
    let mut y = unwritten(conv.output_shape().iter().product());
    conv.forward(inputs[0].values(), inputs[1].values(), bias, &mut y);
    let inputs = inputs.to_vec();
    Outcome::new(shape.unwrap_or(conv.output_shape().to_vec()), y, move |dy| {
        let mut gradients: Vec<Vec<f32>> = inputs.iter().map(|v| unwritten(v.values().len())).collect();
        conv.input_gradient(dy, inputs[1].values(), &mut gradients[0], false);
        conv.weight_gradient(inputs[0].values(), dy, &mut gradients[1]);
        if let Some(db) = gradients.get_mut(2) {
            conv.bias_gradient(dy, db);
        }
        gradients
    })
}

/// Adds a bias: a convolution with the identity. Inputs: x, `[.., channels]`, and the bias.
pub(crate) fn add_bias(inputs: &[FloatTensor]) -> Outcome {
    let channels = inputs[1].values().len();
    let pixels = inputs[0].values().len() / channels;
    let mut identity = vec![0.0; channels * channels];
    identity.iter_mut().step_by(channels + 1).for_each(|v| *v = 1.0);
    let x = FloatTensor::new(vec![pixels, channels], inputs[0].values().to_vec());
    let whole = linear(&[x, FloatTensor::new(vec![channels; 2], identity), inputs[1].clone()]);
    Outcome::new(inputs[0].shape(), whole.y.values().to_vec(), move |dy| {
        let mut gradients = whole.gradients(dy);
        gradients.remove(1);
        gradients
    })
}

/// Runs a [`Finish`] with PyTorch's epsilon and without a bound of the ReLU. Inputs: x, and with `norm` the batch
/// norm's weight and bias.
pub(crate) fn finish(
    inputs: &[FloatTensor],
    norm: bool,
    relu: bool,
    rounding: Option<ActivationScale>,
) -> Outcome {
    finish_by(inputs, norm.then_some(BATCH_NORM_EPSILON), relu.then_some(f32::INFINITY), rounding)
}

/// Runs a [`Finish`] with the epsilon of a batch norm and the bound of a ReLU. Inputs as in [`finish`].
pub(crate) fn finish_by(
    inputs: &[FloatTensor],
    epsilon: Option<f64>,
    relu: Option<f32>,
    rounding: Option<ActivationScale>,
) -> Outcome {
    let x = inputs[0].clone();
    let norm = epsilon.map(|epsilon| {
        let [weight, bias] = [&inputs[1], &inputs[2]].map(FloatTensor::values);
        let batch = BatchStatistics::of(x.values(), weight.len());
        Norm::new(&batch.mean, &batch.variance, weight, bias, epsilon)
    });
    let finish = Finish { norm, relu, rounding };
    let mut y = unwritten(x.values().len());
    finish.forward(x.values(), &mut y);
    Outcome::new(x.shape().to_vec(), y, move |dy| {
        let mut dx = unwritten(dy.len());
        let norm = finish.backward(x.values(), Some(dy), &mut dx);
        // The result in place is the same.
        let mut in_place = dy.to_vec();
        assert_eq!(finish.backward(x.values(), None, &mut in_place), norm);
        assert!(dx == in_place);
        [vec![dx], norm.map_or(vec![], |norm| vec![norm.weight, norm.bias])].concat()
    })
}

pub(crate) fn round_weight(inputs: &[FloatTensor], scale: LevelsPerUnit) -> Outcome {
    let mut y = unwritten(inputs[0].values().len());
    fake_quantize_weight(inputs[0].values(), scale, &mut y);
    Outcome::new(inputs[0].shape(), y, |dy| vec![dy.to_vec()])
}

pub(crate) fn max_pool(inputs: &[FloatTensor], window: &Window) -> Outcome {
    let pool = MaxPool::new(four(&inputs[0]), window);
    let len = pool.output_shape().iter().product();
    let (mut y, mut winners) = (unwritten(len), vec![u32::MAX; len]);
    pool.forward(inputs[0].values(), &mut y, &mut winners);
    let values = inputs[0].values().len();
    Outcome::new(pool.output_shape(), y, move |dy| {
        let mut dx = unwritten(values);
        pool.backward(dy, &winners, &mut dx);
        vec![dx]
    })
}

pub(crate) fn avg_pool(inputs: &[FloatTensor], window: &Window, count_include_pad: bool) -> Outcome {
    let pool = AvgPool::new(four(&inputs[0]), window, count_include_pad);
    let mut y = unwritten(pool.output_shape().iter().product());
    pool.forward(inputs[0].values(), &mut y);
    let values = inputs[0].values().len();
    Outcome::new(pool.output_shape(), y, move |dy| {
        let mut dx = unwritten(values);
        pool.backward(dy, &mut dx);
        vec![dx]
    })
}

pub(crate) fn pad(inputs: &[FloatTensor], before: [usize; 2], after: [usize; 2]) -> Outcome {
    let pad = Pad::new(four(&inputs[0]), before, after);
    let mut y = unwritten(pad.output_shape().iter().product());
    pad.forward(inputs[0].values(), &mut y);
    let values = inputs[0].values().len();
    Outcome::new(pad.output_shape(), y, move |dy| {
        let mut dx = unwritten(values);
        pad.backward(dy, &mut dx);
        vec![dx]
    })
}

pub(crate) fn activation(inputs: &[FloatTensor], activation: Activation) -> Outcome {
    let x = inputs[0].clone();
    let mut y = unwritten(x.values().len());
    activation.forward(x.values(), &mut y);
    Outcome::new(x.shape().to_vec(), y, move |dy| {
        let mut dx = unwritten(dy.len());
        activation.backward(x.values(), dy, &mut dx);
        vec![dx]
    })
}

/// Inputs: x, `[.., channels]`, and a slope for each channel.
pub(crate) fn parametric(inputs: &[FloatTensor]) -> Outcome {
    let [x, slopes] = inputs else { panic!("values and slopes") };
    let (x, slopes) = (x.clone(), slopes.clone());
    let mut y = unwritten(x.values().len());
    parametric_relu(x.values(), slopes.values(), &mut y);
    Outcome::new(x.shape().to_vec(), y, move |dy| {
        let mut dx = unwritten(dy.len());
        let of_slopes = parametric_relu_backward(x.values(), slopes.values(), dy, &mut dx);
        vec![dx, of_slopes]
    })
}

/// Multiplies two tensors of one shape.
pub(crate) fn product(inputs: &[FloatTensor]) -> Outcome {
    let [a, b] = inputs else { panic!("two factors") };
    let (a, b) = (a.clone(), b.clone());
    let mut y = unwritten(a.values().len());
    multiply(a.values(), b.values(), &mut y);
    Outcome::new(a.shape().to_vec(), y, move |dy| {
        let [mut da, mut db] = [unwritten(dy.len()), unwritten(dy.len())];
        multiply(dy, b.values(), &mut da);
        multiply(dy, a.values(), &mut db);
        vec![da, db]
    })
}

/// Inputs: x, `[n, .., channels]`, and factors, `[n, channels]`.
pub(crate) fn product_of_channels(inputs: &[FloatTensor]) -> Outcome {
    let [x, factors] = inputs else { panic!("values and factors") };
    let (x, factors, channels) = (x.clone(), factors.clone(), *x.shape().last().unwrap());
    let mut y = unwritten(x.values().len());
    multiply_channels(x.values(), factors.values(), channels, &mut y);
    Outcome::new(x.shape().to_vec(), y, move |dy| {
        let (mut dx, mut of_factors) = (unwritten(dy.len()), unwritten(factors.values().len()));
        multiply_channels(dy, factors.values(), channels, &mut dx);
        multiply_channels_backward(x.values(), dy, channels, &mut of_factors);
        vec![dx, of_factors]
    })
}

/// Takes channels of `[.., channels]`.
pub(crate) fn selection(inputs: &[FloatTensor], kept: &[usize]) -> Outcome {
    let (x, kept) = (&inputs[0], kept.to_vec());
    let mut shape = x.shape().to_vec();
    let channels = std::mem::replace(shape.last_mut().unwrap(), kept.len());
    let mut y = unwritten(shape.iter().product());
    select_channels(x.values(), channels, &kept, &mut y);
    let values = x.values().len();
    Outcome::new(shape, y, move |dy| {
        let mut dx = unwritten(values);
        select_channels_backward(dy, channels, &kept, &mut dx);
        vec![dx]
    })
}

/// Inputs: x, `[.., channels]`, weight and bias.
pub(crate) fn layer_norm(inputs: &[FloatTensor], epsilon: f64) -> Outcome {
    let inputs = inputs.to_vec();
    let mut y = unwritten(inputs[0].values().len());
    let norm = LayerNorm { weight: inputs[1].values(), bias: inputs[2].values(), epsilon };
    norm.forward(inputs[0].values(), &mut y);
    Outcome::new(inputs[0].shape().to_vec(), y, move |dy| {
        let mut dx = unwritten(dy.len());
        let norm = LayerNorm { weight: inputs[1].values(), bias: inputs[2].values(), epsilon };
        let gradient = norm.backward(inputs[0].values(), dy, &mut dx);
        vec![dx, gradient.weight, gradient.bias]
    })
}

pub(crate) fn mean(inputs: &[FloatTensor]) -> Outcome {
    let [n, _, _, channels] = four(&inputs[0]);
    let mut y = unwritten(n * channels);
    global_avg_pool(inputs[0].values(), channels, &mut y);
    let values = inputs[0].values().len();
    Outcome::new([n, channels], y, move |dy| {
        let mut dx = unwritten(values);
        global_avg_pool_backward(dy, channels, &mut dx);
        vec![dx]
    })
}

pub(crate) fn pad_shortcut(inputs: &[FloatTensor], stride: usize, before: usize, after: usize) -> Outcome {
    let shortcut = PadShortcut::new(four(&inputs[0]), stride, before, after);
    let mut y = unwritten(shortcut.output_shape().iter().product());
    shortcut.forward(inputs[0].values(), &mut y);
    let values = inputs[0].values().len();
    Outcome::new(shortcut.output_shape(), y, move |dy| {
        let mut dx = unwritten(values);
        shortcut.backward(dy, &mut dx);
        vec![dx]
    })
}

pub(crate) fn sum(inputs: &[FloatTensor]) -> Outcome {
    let mut y = unwritten(inputs[0].values().len());
    let extremes = add(inputs[0].values(), inputs[1].values(), &mut y);
    assert_eq!(extremes.low[0], y.iter().copied().fold(f32::INFINITY, f32::min));
    assert_eq!(extremes.high[0], y.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let mut in_place = inputs[0].values().to_vec();
    add_in_place(&mut in_place, inputs[1].values());
    assert!(in_place == y);
    Outcome::new(inputs[0].shape(), y, |dy| vec![dy.to_vec(); 2])
}

/// Concatenates the channels of `[.., channels]` inputs.
pub(crate) fn concatenate(inputs: &[FloatTensor]) -> Outcome {
    let channels: Vec<usize> = inputs.iter().map(|input| *input.shape().last().unwrap()).collect();
    let mut shape = inputs[0].shape().to_vec();
    *shape.last_mut().unwrap() = channels.iter().sum();
    let mut y = unwritten(shape.iter().product());
    let parts: Vec<(&[f32], usize)> =
        inputs.iter().map(FloatTensor::values).zip(channels.iter().copied()).collect();
    concat(&parts, &mut y);
    let lens: Vec<usize> = inputs.iter().map(|input| input.values().len()).collect();
    Outcome::new(shape, y, move |dy| {
        let mut gradients: Vec<Vec<f32>> = lens.iter().map(|&len| unwritten(len)).collect();
        let mut parts: Vec<(&mut [f32], usize)> =
            gradients.iter_mut().map(|part| &mut part[..]).zip(channels.iter().copied()).collect();
        concat_backward(dy, &mut parts);
        gradients
    })
}

/// Computes the loss; its gradient is that of the mean over the batch.
pub(crate) fn loss(inputs: &[FloatTensor], labels: &[u16]) -> Outcome {
    let (logits, labels) = (inputs[0].clone(), labels.to_vec());
    let loss = cross_entropy(logits.values(), &labels);
    Outcome::new(Vec::new(), vec![loss], move |dy| {
        assert_eq!(dy, [1.0]);
        let mut gradient = unwritten(logits.values().len());
        cross_entropy_backward(logits.values(), &labels, &mut gradient);
        vec![gradient]
    })
}
