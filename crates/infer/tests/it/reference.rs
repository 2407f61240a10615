//! A plain implementation of the int8 network: one image at a time, row-major [channels, height, width]
//! levels, nested loops over OIHW weights in i64, requantization as in the crate's documentation. It shares
//! only the graph with the executor.

use std::collections::BTreeMap;

use graph::{Graph, Node, Op, Window};
use quant::{ActivationScale, Contents, WeightScale};

/// The result of one image.
pub(crate) struct Outcome {
    /// Levels of every node that stores them, row-major.
    pub(crate) levels: BTreeMap<String, Vec<i16>>,
    pub(crate) logits: Vec<f32>,
}

#[derive(Clone)]
enum Value {
    Levels {
        levels: Vec<i64>,
        scale: ActivationScale,
    },
    Sums(Sums),
    /// Values in units of 1 / `levels_per_unit`, after the executor's single f32 product.
    Units {
        values: Vec<f32>,
        levels_per_unit: f64,
    },
    Pair {
        a: Vec<i64>,
        a_scale: f64,
        b: Vec<i64>,
        b_scale: f64,
        ceiling: Option<f64>,
    },
}

/// Integer sums, the levels per unit of each channel's sum, and the remaining operations on them.
#[derive(Clone)]
struct Sums {
    sums: Vec<i64>,
    levels_per_unit: Vec<f64>,
    bias: Vec<f64>,
    g: Vec<f64>,
    mean: Vec<f64>,
    beta: Vec<f64>,
    /// Bound of a ReLU, which may be infinite.
    ceiling: Option<f64>,
}

/// Runs one image of u8 pixels, [channels, height, width], with the levels of each weight tensor.
pub(crate) fn run(graph: &Graph, checkpoint: &Contents, levels: &[Vec<i8>], pixels: &[u8]) -> Outcome {
    let nodes = graph.nodes();
    let points: Vec<usize> = graph.quantization_points().iter().map(|p| p.node).collect();
    let weights: BTreeMap<&str, (&[i8], &WeightScale)> =
        checkpoint.weights.iter().zip(levels).map(|(w, q)| (w.name(), (q.as_slice(), w.scale()))).collect();
    let parameter = |node: &Node, suffix: &str| -> Vec<f64> {
        let values = checkpoint.parameters[&format!("{}.{suffix}", node.name)].values();
        values.iter().map(|&v| f64::from(v)).collect()
    };

    let mut values: Vec<Value> = Vec::new();
    let mut outcome = Outcome { levels: BTreeMap::new(), logits: vec![] };
    for (id, node) in nodes.iter().enumerate() {
        let scale = checkpoint.activations.scales().unwrap().get(&node.name).copied();
        let shape = |i: usize| nodes[node.inputs[i]].shape.as_slice();
        let levels = |i: usize| match &values[node.inputs[i]] {
            Value::Levels { levels, scale } => (levels.clone(), *scale),
            _ => panic!("{} reads unrounded values", node.name),
        };
        let sums = |sums: Vec<i64>, levels_per_unit: &dyn Fn(usize) -> f64, bias: Option<Vec<f64>>| {
            let channels = node.shape[0];
            let levels_per_unit = (0..channels).map(levels_per_unit).collect();
            let bias = bias.unwrap_or_else(|| vec![0.0; channels]);
            let (g, mean, beta) = (vec![1.0; channels], vec![0.0; channels], vec![0.0; channels]);
            Value::Sums(Sums { sums, levels_per_unit, bias, g, mean, beta, ceiling: None })
        };
        let value = match &node.op {
            Op::Input => {
                let scale = scale.unwrap();
                let plane = node.shape[1] * node.shape[2];
                let level = |(i, &p): (usize, &u8)| {
                    i64::from(scale.quantize(checkpoint.preprocessing.value(i / plane, p)))
                };
                Value::Levels { levels: pixels.iter().enumerate().map(level).collect(), scale }
            }
            Op::Conv(layer) => {
                let (x, scale) = levels(0);
                let (w, w_scale) = weights[format!("{}.weight", node.name).as_str()];
                let y = conv(&x, shape(0), w, &node.shape, &layer.window(), layer.groups);
                let product = |c| f64::from(scale.levels_per_unit) * f64::from(w_scale.of(c));
                sums(y, &product, layer.bias.then(|| parameter(node, "bias")))
            }
            Op::Linear { features } => {
                let (x, scale) = levels(0);
                let (w, w_scale) = weights[format!("{}.weight", node.name).as_str()];
                let mut y = vec![0; *features];
                for o in 0..*features {
                    for i in 0..x.len() {
                        y[o] += x[i] * i64::from(w[o * x.len() + i]);
                    }
                }
                let product = |c| f64::from(scale.levels_per_unit) * f64::from(w_scale.of(c));
                sums(y, &product, Some(parameter(node, "bias")))
            }
            Op::BatchNorm { epsilon } => {
                let mut chain = match values[node.inputs[0]].clone() {
                    Value::Sums(chain) => chain,
                    Value::Levels { levels, scale } => {
                        match sums(levels, &|_| f64::from(scale.levels_per_unit), None) {
                            Value::Sums(chain) => chain,
                            _ => unreachable!(),
                        }
                    }
                    _ => panic!("a batch norm cannot follow an unrounded sum"),
                };
                let (gamma, variance) = (parameter(node, "weight"), parameter(node, "running_var"));
                chain.g = gamma.iter().zip(variance).map(|(g, v)| g / (v + epsilon).sqrt()).collect();
                chain.mean = parameter(node, "running_mean");
                chain.beta = parameter(node, "bias");
                Value::Sums(chain)
            }
            Op::Relu => match rectified(values[node.inputs[0]].clone(), f64::INFINITY) {
                Value::Levels { levels, scale } => {
                    Value::Levels { levels: levels.into_iter().map(|v| v.max(0)).collect(), scale }
                }
                chain => chain,
            },
            Op::LeakyRelu { slope } => {
                let (x, scale) = levels(0);
                let out = scale_of_output(id, nodes.len(), checkpoint, node);
                let leaky = |level: i64| {
                    let x = level as f64 / f64::from(scale.levels_per_unit);
                    ((if level > 0 { x } else { x * f64::from(*slope) }) * out) as f32
                };
                Value::Units { values: x.into_iter().map(leaky).collect(), levels_per_unit: out }
            }
            Op::Function(function) => {
                let (x, scale) = levels(0);
                let out = scale_of_output(id, nodes.len(), checkpoint, node);
                let value = |level: i64| {
                    (function.value(level as f64 / f64::from(scale.levels_per_unit)) * out) as f32
                };
                Value::Units { values: x.into_iter().map(value).collect(), levels_per_unit: out }
            }
            Op::PRelu => {
                let (x, scale) = levels(0);
                let out = scale_of_output(id, nodes.len(), checkpoint, node);
                let (slopes, plane) = (parameter(node, "weight"), x.len() / node.shape[0]);
                let factor = out / f64::from(scale.levels_per_unit);
                let value = |(i, &level): (usize, &i64)| {
                    let slope = if level > 0 { 1.0 } else { slopes[i / plane] };
                    level as f32 * (slope * factor) as f32
                };
                Value::Units { values: x.iter().enumerate().map(value).collect(), levels_per_unit: out }
            }
            Op::Mul => {
                let ((a, a_scale), (b, b_scale)) = (levels(0), levels(1));
                let out = scale_of_output(id, nodes.len(), checkpoint, node);
                let scales = f64::from(a_scale.levels_per_unit) * f64::from(b_scale.levels_per_unit);
                let shared = a.len() / b.len();
                let value = |(i, a): (usize, &i64)| (a * b[i / shared]) as f32 * (out / scales) as f32;
                Value::Units { values: a.iter().enumerate().map(value).collect(), levels_per_unit: out }
            }
            Op::LayerNorm { epsilon } => {
                let (x, scale) = levels(0);
                let out = scale_of_output(id, nodes.len(), checkpoint, node);
                let (gamma, beta) = (parameter(node, "weight"), parameter(node, "bias"));
                let (n, plane) = (node.shape[0], x.len() / node.shape[0]);
                let e = f64::from(scale.levels_per_unit) * n as f64;
                let mut values = vec![0.0; x.len()];
                for pixel in 0..plane {
                    let pixels = || (0..n).map(|c| x[c * plane + pixel]);
                    let (sum, squares) = (pixels().sum::<i64>(), pixels().map(|l| l * l).sum::<i64>());
                    let root = ((n as i64 * squares - sum * sum) as f64 + epsilon * (e * e)).sqrt();
                    for (c, level) in pixels().enumerate() {
                        let r = if root == 0.0 { 0.0 } else { 1.0 / root };
                        let normal = ((n as i64 * level - sum) as f64 * r) as f32;
                        values[c * plane + pixel] = normal * (gamma[c] * out) as f32 + (beta[c] * out) as f32;
                    }
                }
                Value::Units { values, levels_per_unit: out }
            }
            Op::TokenEmbedding { class_tokens } => {
                let (x, scale) = levels(0);
                let out = scale_of_output(id, nodes.len(), checkpoint, node);
                let bias = parameter(node, "bias");
                let (tokens, plane) = (node.shape[2], x.len() / node.shape[0]);
                let m = (out / f64::from(scale.levels_per_unit)) as f32;
                let value = |(i, bias): (usize, &f64)| {
                    let (channel, token) = (i / tokens, i % tokens);
                    let level =
                        token.checked_sub(*class_tokens).map_or(0, |pixel| x[channel * plane + pixel]);
                    level as f32 * m + (bias * out) as f32
                };
                Value::Units { values: bias.iter().enumerate().map(value).collect(), levels_per_unit: out }
            }
            Op::Attention { heads, scale } => {
                let inputs = [levels(0), levels(1), levels(2)];
                let out = scale_of_output(id, nodes.len(), checkpoint, node);
                let [s_q, s_k, s_v] = [0, 1, 2].map(|i: usize| f64::from(inputs[i].1.levels_per_unit));
                let [q, k, v] = inputs.map(|(x, _)| x);
                let b = (scale * std::f64::consts::LOG2_E / (s_q * s_k)) as f32;
                let (size, plane) = (node.shape[0] / heads, q.len() / node.shape[0]);
                let mut values = vec![0.0; q.len()];
                for head in 0..*heads {
                    let channels = head * size..(head + 1) * size;
                    let product = |t: usize, s: usize| -> i64 {
                        channels.clone().map(|c| q[c * plane + t] * k[c * plane + s]).sum()
                    };
                    for t in 0..plane {
                        let products: Vec<i64> = (0..plane).map(|s| product(t, s)).collect();
                        let largest = *products.iter().max().unwrap();
                        let levels: Vec<i64> =
                            products.iter().map(|a| power((largest - a) as f32 * b)).collect();
                        let r = (out / s_v) as f32 / levels.iter().sum::<i64>() as f32;
                        for c in channels.clone() {
                            let sum: i64 = (0..plane).map(|s| levels[s] * v[c * plane + s]).sum();
                            values[c * plane + t] = sum as f32 * r;
                        }
                    }
                }
                Value::Units { values, levels_per_unit: out }
            }
            Op::SelectToken { index } => {
                let (x, scale) = levels(0);
                let plane = x.len() / node.shape[0];
                Value::Levels { levels: x.chunks(plane).map(|channel| channel[*index]).collect(), scale }
            }
            Op::ChannelSlice { first, channels } => {
                let (x, scale) = levels(0);
                let plane = x.len() / shape(0)[0];
                Value::Levels { levels: x[first * plane..(first + channels) * plane].to_vec(), scale }
            }
            Op::ChannelShuffle { groups } => {
                let (x, scale) = levels(0);
                let (size, plane) = (node.shape[0] / groups, x.len() / node.shape[0]);
                let mut y = Vec::new();
                for i in 0..size {
                    for group in 0..*groups {
                        y.extend_from_slice(&x[(group * size + i) * plane..][..plane]);
                    }
                }
                Value::Levels { levels: y, scale }
            }
            Op::ClippedRelu { max } => {
                let bound = f64::from(*max);
                match values[node.inputs[0]].clone() {
                    Value::Levels { levels, scale } => {
                        rectified(sums(levels, &|_| f64::from(scale.levels_per_unit), None), bound)
                    }
                    chain => rectified(chain, bound),
                }
            }
            Op::Add => {
                let ((a, a_scale), (b, b_scale)) = (levels(0), levels(1));
                let (a_scale, b_scale) = (a_scale.levels_per_unit.into(), b_scale.levels_per_unit.into());
                Value::Pair { a, a_scale, b, b_scale, ceiling: None }
            }
            Op::MaxPool(pool) => {
                let (x, scale) = levels(0);
                Value::Levels { levels: max_pool(&x, shape(0), &node.shape, &pool.window()), scale }
            }
            Op::GlobalAvgPool => {
                let (x, scale) = levels(0);
                let pixels = shape(0)[1] * shape(0)[2];
                let y = x.chunks(pixels).map(|channel| channel.iter().sum()).collect();
                sums(y, &|_| f64::from(scale.levels_per_unit) * pixels as f64, None)
            }
            Op::AvgPool(pool) => {
                let (x, scale) = levels(0);
                let out = scale_of_output(id, nodes.len(), checkpoint, node);
                let m = |count: usize| (out / (f64::from(scale.levels_per_unit) * count as f64)) as f32;
                let whole = pool.kernel[0] * pool.kernel[1];
                let means = window_sums(&x, shape(0), &node.shape, &pool.window())
                    .into_iter()
                    .map(|(sum, inside)| sum as f32 * m(if pool.count_include_pad { whole } else { inside }));
                Value::Units { values: means.collect(), levels_per_unit: out }
            }
            Op::Pad { before: [top, left], .. } => {
                let (x, scale) = levels(0);
                let ([c, h, w], [_, oh, ow]) = (image(shape(0)), image(&node.shape));
                let mut y = vec![0; c * oh * ow];
                for c in 0..c {
                    for i in 0..h {
                        for j in 0..w {
                            y[(c * oh + i + top) * ow + j + left] = x[(c * h + i) * w + j];
                        }
                    }
                }
                Value::Levels { levels: y, scale }
            }
            Op::Flatten => values[node.inputs[0]].clone(),
            Op::Concat => {
                let out = scale.unwrap();
                let mut all = Vec::new();
                for i in 0..node.inputs.len() {
                    let (x, scale) = levels(i);
                    let m = (f64::from(out.levels_per_unit) / f64::from(scale.levels_per_unit)) as f32;
                    all.extend(x.iter().map(|&v| i64::from(round(v as f32 * m, out))));
                }
                Value::Levels { levels: all, scale: out }
            }
            Op::PadShortcut { stride, before, .. } => {
                let (x, scale) = levels(0);
                let [c, h, w] = *shape(0) else { panic!("an image") };
                let [_, oh, ow] = *node.shape else { panic!("an image") };
                let mut y = vec![0; node.shape.iter().product()];
                for c in 0..c {
                    for i in 0..oh {
                        for j in 0..ow {
                            y[((c + before) * oh + i) * ow + j] = x[(c * h + i * stride) * w + j * stride];
                        }
                    }
                }
                Value::Levels { levels: y, scale }
            }
        };
        let value = if id + 1 == nodes.len() {
            outcome.logits = unrounded(&value, 1.0);
            value
        } else if points.contains(&id) && !matches!(value, Value::Levels { .. }) {
            let scale = scale.unwrap();
            let real = unrounded(&value, scale.levels_per_unit.into());
            Value::Levels { levels: real.iter().map(|&v| i64::from(round(v, scale))).collect(), scale }
        } else {
            value
        };
        if let (Value::Levels { levels, .. }, true) = (&value, id + 1 < nodes.len()) {
            let levels = levels.iter().map(|&v| v as i16).collect();
            outcome.levels.insert(node.name.clone(), levels);
        }
        values.push(value);
    }
    outcome
}

fn round(value: f32, scale: ActivationScale) -> i16 {
    let (low, high) = scale.levels();
    value.round_ties_even().clamp(low.into(), high.into()) as i16
}

/// Returns 255 2^-x as a level, in the operations of S342.
fn power(x: f32) -> i64 {
    let x = x.min(9.0);
    let i = x.round_ties_even();
    let r = x - i;
    let p = (((2.4436276 * r - 14.256139) * r + 61.26145) * r - 176.74667) * r + 255.0;
    (p * 2f32.powi(-(i as i32))).round_ties_even() as i64
}

/// Appends a ReLU to a chain; `bound` is infinite unless it is a clipped one.
fn rectified(chain: Value, bound: f64) -> Value {
    match chain {
        Value::Sums(chain) => Value::Sums(Sums { ceiling: Some(bound), ..chain }),
        Value::Pair { a, a_scale, b, b_scale, .. } => {
            Value::Pair { a, a_scale, b, b_scale, ceiling: Some(bound) }
        }
        other => other,
    }
}

/// Returns the levels per unit of a node's output; 1 for logits.
fn scale_of_output(id: usize, nodes: usize, checkpoint: &Contents, node: &Node) -> f64 {
    if id + 1 == nodes {
        1.0
    } else {
        checkpoint.activations.scales().unwrap()[&node.name].levels_per_unit.into()
    }
}

fn image(shape: &[usize]) -> [usize; 3] {
    shape.try_into().expect("an image")
}

/// Returns the values of a node in units of 1 / `out`, with the executor's f32 operations.
fn unrounded(value: &Value, out: f64) -> Vec<f32> {
    // Levels are clipped at the level nearest to the bound, logits at the bound itself.
    let bound = |ceiling: f64| match out {
        1.0 => ceiling as f32,
        _ => (ceiling as f32 * out as f32).round_ties_even(),
    };
    let cut = |v: f32, ceiling: Option<f64>| match ceiling {
        Some(ceiling) => v.max(0.0).min(bound(ceiling)),
        None => v,
    };
    match value {
        Value::Levels { levels, scale } => {
            let m = (out / f64::from(scale.levels_per_unit)) as f32;
            levels.iter().map(|&v| v as f32 * m).collect()
        }
        Value::Units { values, levels_per_unit } => {
            assert_eq!(*levels_per_unit, out, "a mean is rounded where it is");
            values.clone()
        }
        Value::Sums(s) => {
            let plane = s.sums.len() / s.bias.len();
            let one = |(i, &sum): (usize, &i64)| {
                let c = i / plane;
                let m = (out * s.g[c] / s.levels_per_unit[c]) as f32;
                let b = (((s.bias[c] - s.mean[c]) * s.g[c] + s.beta[c]) * out) as f32;
                let sum = i32::try_from(sum).expect("sums fit into i32");
                cut(sum as f32 * m + b, s.ceiling)
            };
            s.sums.iter().enumerate().map(one).collect()
        }
        Value::Pair { a, a_scale, b, b_scale, ceiling } => {
            let (ma, mb) = ((out / a_scale) as f32, (out / b_scale) as f32);
            a.iter().zip(b).map(|(&a, &b)| cut(a as f32 * ma + b as f32 * mb, *ceiling)).collect()
        }
    }
}

pub(crate) fn conv(
    x: &[i64],
    from: &[usize],
    weights: &[i8],
    to: &[usize],
    window: &Window,
    groups: usize,
) -> Vec<i64> {
    let ([ic, h, w], [oc, oh, ow]) = ([from[0], from[1], from[2]], [to[0], to[1], to[2]]);
    let ([kh, kw], group_in, group_out) = (window.kernel, ic / groups, oc / groups);
    let mut y = vec![0; oc * oh * ow];
    for o in 0..oc {
        for i in 0..oh {
            for j in 0..ow {
                for c in 0..group_in {
                    for ki in 0..kh {
                        for kj in 0..kw {
                            let row = i * window.stride[0] + ki * window.dilation[0];
                            let column = j * window.stride[1] + kj * window.dilation[1];
                            let inside = row >= window.padding[0] && column >= window.padding[1];
                            let (row, column) =
                                (row.wrapping_sub(window.padding[0]), column.wrapping_sub(window.padding[1]));
                            if inside && row < h && column < w {
                                let channel = o / group_out * group_in + c;
                                y[(o * oh + i) * ow + j] += x[(channel * h + row) * w + column]
                                    * i64::from(weights[((o * group_in + c) * kh + ki) * kw + kj]);
                            }
                        }
                    }
                }
            }
        }
    }
    y
}

fn max_pool(x: &[i64], from: &[usize], to: &[usize], window: &Window) -> Vec<i64> {
    let windows = windows(x, from, to, window).into_iter();
    windows.map(|inside| inside.into_iter().max().unwrap_or(i64::MIN)).collect()
}

/// Returns the sum of each window over the values inside the input, and their number.
fn window_sums(x: &[i64], from: &[usize], to: &[usize], window: &Window) -> Vec<(i64, usize)> {
    let windows = windows(x, from, to, window).into_iter();
    windows.map(|inside| (inside.iter().sum(), inside.len())).collect()
}

/// Returns the values of each window that lie inside the input.
pub(crate) fn windows<T: Copy>(x: &[T], from: &[usize], to: &[usize], window: &Window) -> Vec<Vec<T>> {
    let ([c, h, w], [_, oh, ow]) = (image(from), image(to));
    let mut y = Vec::new();
    for c in 0..c {
        for i in 0..oh {
            for j in 0..ow {
                let mut inside = Vec::new();
                for ki in 0..window.kernel[0] {
                    for kj in 0..window.kernel[1] {
                        let row = (i * window.stride[0] + ki).checked_sub(window.padding[0]);
                        let column = (j * window.stride[1] + kj).checked_sub(window.padding[1]);
                        if let (Some(row), Some(column)) = (row, column)
                            && row < h
                            && column < w
                        {
                            inside.push(x[(c * h + row) * w + column]);
                        }
                    }
                }
                y.push(inside);
            }
        }
    }
    y
}
