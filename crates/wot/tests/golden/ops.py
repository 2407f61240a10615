"""Golden values of the operations, by PyTorch's autograd: writes ops.json beside this file.

    pip install torch numpy && python ops.py

Inputs are not stored: `noise` here and in tests/it/noise.rs returns the same values. Images are NHWC in the file, as in
this crate, and NCHW inside PyTorch.
"""
import json, pathlib
import numpy as np, torch, torch.nn.functional as F

torch.set_num_threads(1)


def noise(shape, seed):
    """Uniform in [-0.5, 0.5): a linear congruential generator (Numerical Recipes), upper 24 bits."""
    out, state = np.empty(int(np.prod(shape)), np.float32), seed
    for i in range(out.size):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        out[i] = np.float32(np.float32(state >> 8) / np.float32(16777216.0) - np.float32(0.5))
    return torch.from_numpy(out.reshape(shape))


nchw = lambda t: t.permute(0, 3, 1, 2)
nhwc = lambda t: t.permute(0, 2, 3, 1)
flat = lambda t: [float(f"{v:.7g}") for v in t.detach().contiguous().flatten().tolist()]
cases = []


def case(op, settings, inputs, compute, **extra):
    """`inputs` are (name, shape as in the crate, factor); seeds count from 1; the gradient that comes in has seed 9."""
    tensors = [(noise(shape, i + 1) * factor).requires_grad_() for i, (_, shape, factor) in enumerate(inputs)]
    y = compute(*tensors)
    y.backward(noise(tuple(y.shape), 9) if y.dim() else None)
    cases.append({"op": op, **settings, "inputs": [{"name": n, "shape": s, "factor": f, "gradient": flat(t.grad)}
                  for (n, s, f), t in zip(inputs, tensors)], "y": flat(y), "y_shape": list(y.shape), **extra})


for n, h, w, i, o, kh, kw, sh, sw, ph, pw, g in [
    (2, 6, 6, 3, 8, 3, 3, 1, 1, 1, 1, 1), (1, 7, 5, 4, 6, 3, 3, 2, 2, 1, 1, 1), (1, 9, 12, 2, 3, 3, 3, 2, 2, 1, 1, 1),
    (2, 5, 4, 6, 4, 1, 1, 1, 1, 0, 0, 1), (1, 6, 7, 4, 4, 1, 1, 2, 2, 0, 0, 1), (1, 8, 8, 4, 6, 3, 3, 1, 1, 1, 1, 2),
    (1, 6, 6, 5, 5, 3, 3, 2, 2, 1, 1, 5), (1, 4, 9, 2, 3, 1, 7, 1, 1, 0, 3, 1), (1, 9, 4, 2, 3, 7, 1, 1, 2, 3, 0, 1),
    (1, 11, 11, 3, 4, 7, 7, 2, 2, 3, 3, 1), (1, 4, 4, 20, 33, 3, 3, 1, 1, 1, 1, 1)]:
    case("conv2d", {"kernel": [kh, kw], "stride": [sh, sw], "padding": [ph, pw], "groups": g},
         [("x", [n, h, w, i], 1.0), ("weight", [o, i // g, kh, kw], 1.0)],
         lambda x, k: nhwc(F.conv2d(nchw(x), k, None, (sh, sw), (ph, pw), 1, g)))
case("linear", {}, [("x", [3, 10], 1.0), ("weight", [7, 10], 1.0)], lambda x, w: F.linear(x, w))
case("add_bias", {}, [("x", [2, 3, 4, 5], 1.0), ("bias", [5], 1.0)], lambda x, b: x + b)

for n, h, w, c, offset in [(4, 3, 5, 6, 0.0), (2, 1, 1, 3, 0.0), (3, 4, 4, 2, 8.0)]:
    mean, var = torch.zeros(c), torch.ones(c)
    run = lambda x, a, b: nhwc(F.batch_norm(nchw(x + offset), mean, var, a, b, True, 0.1, 1e-5))
    case("batch_norm", {"offset": offset}, [("x", [n, h, w, c], 2.0), ("weight", [c], 1.0), ("bias", [c], 1.0)], run)
    cases[-1]["running_mean"], cases[-1]["running_var"] = flat(mean), flat(var)

for n, h, w, c, k, s, p, ceil in [(2, 4, 4, 3, 2, 2, 0, False), (1, 7, 9, 2, 3, 2, 1, False), (1, 8, 7, 2, 3, 2, 0, True),
                                  (1, 5, 5, 2, 3, 1, 1, False), (1, 6, 5, 2, 3, 2, 1, True)]:
    case("max_pool", {"kernel": [k, k], "stride": [s, s], "padding": [p, p], "ceil": ceil}, [("x", [n, h, w, c], 1.0)],
         lambda x: nhwc(F.max_pool2d(nchw(x), k, s, p, ceil_mode=ceil)))
# Ties: values rounded to multiples of 1 / 4, so that many are equal; the straight-through rounding keeps gradients.
case("max_pool_ties", {"kernel": [3, 3], "stride": [2, 2], "padding": [1, 1], "ceil": False}, [("x", [1, 8, 8, 2], 1.0)],
     lambda x: nhwc(F.max_pool2d(nchw(x + ((x * 4).round() / 4 - x).detach()), 3, 2, 1)))
case("global_avg_pool", {}, [("x", [2, 3, 5, 4], 1.0)], lambda x: nchw(x).mean((2, 3)))
case("relu", {}, [("x", [2, 3, 3, 2], 1.0)], F.relu)
case("fake_quantize_activation", {"levels_per_unit": 500.0, "signed": True}, [("x", [2, 3, 3, 4], 1.0)],
     lambda x: torch.fake_quantize_per_tensor_affine(x, 1 / 500.0, 0, -127, 127))
case("fake_quantize_activation", {"levels_per_unit": 700.0, "signed": False}, [("x", [2, 3, 3, 4], 1.0)],
     lambda x: torch.fake_quantize_per_tensor_affine(x, 1 / 700.0, 0, 0, 255))
case("fake_quantize_weight", {"levels_per_unit": 256.0}, [("weight", [2, 3, 3, 2], 1.0)],
     lambda w: w + ((w * 256.0).round().clamp(-127, 127) / 256.0 - w).detach())
case("cross_entropy", {"labels": [3, 0, 9, 3]}, [("logits", [4, 10], 20.0)],
     lambda x: F.cross_entropy(x, torch.tensor([3, 0, 9, 3])))
case("pad_shortcut", {"stride": 2, "before": 1, "after": 2}, [("x", [2, 5, 4, 3], 1.0)],
     lambda x: nhwc(F.pad(nchw(x)[:, :, ::2, ::2], (0, 0, 0, 0, 1, 2))))


# Operations of imported networks.
for h, w, k, s, p, d, g in [(9, 8, 3, 1, 2, 2, 1), (11, 12, 3, 2, 3, 3, 4), (7, 9, 2, 3, 1, 4, 2)]:
    case("conv2d", {"kernel": [k, k], "stride": [s, s], "padding": [p, p], "dilation": [d, d], "groups": g},
         [("x", [2, h, w, 4], 1.0), ("weight", [8, 4 // g, k, k], 1.0)],
         lambda x, weight: nhwc(F.conv2d(nchw(x), weight, None, s, p, d, g)))
run = lambda x, a, b: nhwc(F.batch_norm(nchw(x), torch.zeros(3), torch.ones(3), a, b, True, 0.1, 0.25))
case("norm_of_epsilon", {"epsilon": 0.25}, [("x", [2, 3, 4, 3], 2.0), ("weight", [3], 1.0), ("bias", [3], 1.0)], run)
case("clipped_relu", {"max": 0.25}, [("x", [2, 3, 3, 2], 1.0)], lambda x: F.hardtanh(x, 0.0, 0.25))
case("max_pool", {"kernel": [3, 3], "stride": [2, 2], "padding": [0, 1], "after": [1, 2]}, [("x", [2, 6, 7, 2], 1.0)],
     lambda x: nhwc(F.max_pool2d(F.pad(nchw(x), (1, 2, 0, 1), value=float("-inf")), 3, 2)))
for k, s, p, ceil, include in [(2, 2, 0, False, True), (3, 2, 1, False, True), (3, 2, 1, False, False), (3, 2, 1, True, False),
                               (3, 1, 1, False, False), (3, 3, 0, True, False)]:
    case("avg_pool", {"kernel": [k, k], "stride": [s, s], "padding": [p, p], "ceil": ceil, "count_include_pad": include},
         [("x", [2, 8, 7, 3], 1.0)], lambda x: nhwc(F.avg_pool2d(nchw(x), k, s, p, ceil, include)))
case("pad", {"before": [1, 0], "after": [2, 3]}, [("x", [2, 3, 4, 2], 1.0)],
     lambda x: nhwc(F.pad(nchw(x), (0, 3, 1, 2))))
case("leaky_relu", {"slope": 0.1}, [("x", [2, 3, 3, 2], 1.0)], lambda x: F.leaky_relu(x, 0.1))
case("parametric_relu", {}, [("x", [2, 3, 3, 4], 1.0), ("slopes", [4], 1.0)], lambda x, a: nhwc(F.prelu(nchw(x), a)))
for function, compute in [
    ("sigmoid", torch.sigmoid), ({"hard_sigmoid": {"slope": 1 / 6, "offset": 0.5}}, F.hardsigmoid),
    ("hard_swish", F.hardswish), ("silu", F.silu), ("tanh", torch.tanh), ({"elu": {"alpha": 0.5}}, lambda x: F.elu(x, 0.5)),
    ("gelu", F.gelu), ("gelu_tanh", lambda x: F.gelu(x, approximate="tanh")), ("mish", F.mish), ("softplus", F.softplus),
    ({"clip": {"min": -1.0, "max": 2.0}}, lambda x: F.hardtanh(x, -1.0, 2.0))]:
    case("function", {"function": function}, [("x", [2, 3, 3, 2], 9.0)], compute)
case("multiply", {}, [("x", [2, 3, 3, 2], 1.0), ("y", [2, 3, 3, 2], 1.0)], lambda x, y: x * y)
case("multiply_channels", {}, [("x", [2, 3, 3, 4], 1.0), ("factors", [2, 4], 1.0)], lambda x, y: x * y[:, None, None])
case("select_channels", {"kept": [2, 3, 4]}, [("x", [2, 3, 2, 6], 1.0)], lambda x: x[..., 2:5])
case("select_channels", {"kept": [0, 2, 4, 1, 3, 5]}, [("x", [2, 3, 2, 6], 1.0)],
     lambda x: nhwc(F.channel_shuffle(nchw(x), 3)))
for shape, epsilon in [([2, 3, 3, 5], 1e-6), ([4, 8], 0.1)]:
    case("layer_norm", {"epsilon": epsilon}, [("x", shape, 2.0), ("weight", shape[-1:], 1.0), ("bias", shape[-1:], 1.0)],
         lambda x, a, b: F.layer_norm(x, shape[-1:], a, b, epsilon))

path = pathlib.Path(__file__).with_name("ops.json")
path.write_text(json.dumps({"torch": torch.__version__, "cases": cases}, separators=(",", ":")) + "\n")
print(path, len(cases), "cases")
