"""Computes the logits that tests/it/golden.rs expects, with NumPy alone.

The networks are written down here a second time, from the papers and torchvision's source, and every
operation from its definition, in f64. Parameters and images come from `values`, an integer formula that the
Rust test repeats. Needs NumPy (written with 2.4.6): python3 make.py
"""
import numpy as np


def values(name, shape, low, high):
    """A multiplicative hash of (FNV-1a of the name, index), mapped to [low, high] in steps of 1/1000."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    count = int(np.prod(shape))
    state = [(seed + i * 0x9E3779B97F4A7C15) % 2**64 for i in range(count)]
    state = [((s ^ s >> 29) * 0xBF58476D1CE4E5B9) % 2**64 for s in state]
    step = np.array([(s >> 40) % 1001 for s in state])
    return (low + (high - low) * (step / 1000)).astype(np.float32).astype(np.float64).reshape(shape)


def weight(name, shape):
    bound = np.sqrt(6 / np.prod(shape[1:]))  # He et al. 2015, so that values neither die nor explode
    return values(name, shape, -bound, bound)


def conv(x, name, out, k, stride=1, pad=0, bias=False):
    w = weight(name + ".weight", (out, x.shape[0], k, k))
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    h, wd = (x.shape[1] - k) // stride + 1, (x.shape[2] - k) // stride + 1
    y = np.zeros((out, h, wd))
    for i in range(k):
        for j in range(k):
            part = x[:, i : i + stride * (h - 1) + 1 : stride, j : j + stride * (wd - 1) + 1 : stride]
            y += np.einsum("oc,chw->ohw", w[:, :, i, j], part)
    if bias:
        y += values(name + ".bias", (out,), -0.1, 0.1)[:, None, None]
    return y


def bn(x, name):
    c = x.shape[0]
    gamma, beta = values(name + ".weight", (c,), 0.5, 1.5), values(name + ".bias", (c,), -0.2, 0.2)
    mean, var = values(name + ".running_mean", (c,), -0.2, 0.2), values(name + ".running_var", (c,), 0.5, 1.5)
    each = lambda v: v[:, None, None]
    return (x - each(mean)) / np.sqrt(each(var) + 1e-5) * each(gamma) + each(beta)


def relu(x):
    return np.maximum(x, 0)


def pool(x, k, stride, pad=0, ceil=False):
    def count(n):
        out = -(-(n + 2 * pad - k) // stride) + 1 if ceil else (n + 2 * pad - k) // stride + 1
        return out - 1 if ceil and (out - 1) * stride >= n + pad else out

    h, w = count(x.shape[1]), count(x.shape[2])
    x = np.pad(x, ((0, 0), (pad, pad + k), (pad, pad + k)), constant_values=-np.inf)
    rows = [[x[:, i * stride : i * stride + k, j * stride : j * stride + k].max((1, 2)) for j in range(w)] for i in range(h)]
    return np.array(rows).transpose(2, 0, 1)


def linear(x, name, out):
    return weight(name + ".weight", (out, x.size)) @ x + values(name + ".bias", (out,), -0.1, 0.1)


def resnet20(x):  # width 0.5: 8, 16, 32 channels
    x = relu(bn(conv(x, "conv1", 8, 3, 1, 1), "bn1"))
    for layer, planes in ((1, 8), (2, 16), (3, 32)):
        for block in range(3):
            p = f"layer{layer}.{block}."
            stride = 2 if layer > 1 and block == 0 else 1
            y = relu(bn(conv(x, p + "conv1", planes, 3, stride, 1), p + "bn1"))
            y = bn(conv(y, p + "conv2", planes, 3, 1, 1), p + "bn2")
            if stride == 2:
                x = np.pad(x[:, ::2, ::2], ((planes // 4, planes // 4), (0, 0), (0, 0)))
            x = relu(y + x)
    return linear(x.mean((1, 2)), "linear", 5)


def resnet18(x, cifar):  # width 0.25: 16, 32, 64, 128 channels
    x = relu(bn(conv(x, "conv1", 16, 3, 1, 1) if cifar else conv(x, "conv1", 16, 7, 2, 3), "bn1"))
    if not cifar:
        x = pool(x, 3, 2, 1)
    for layer in (1, 2, 3, 4):
        for block in range(2):
            p, planes = f"layer{layer}.{block}.", 8 * 2**layer
            stride = 2 if layer > 1 and block == 0 else 1
            y = relu(bn(conv(x, p + "conv1", planes, 3, stride, 1), p + "bn1"))
            y = bn(conv(y, p + "conv2", planes, 3, 1, 1), p + "bn2")
            if stride == 2:
                x = bn(conv(x, p + "downsample.0", planes, 1, 2), p + "downsample.1")
            x = relu(y + x)
    return linear(x.mean((1, 2)), "fc", 5)


def vgg16(x, batch_norm):  # width 0.125
    n = 0
    for v in (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"):
        if v == "M":
            x, n = pool(x, 2, 2), n + 1
            continue
        x, n = conv(x, f"features.{n}", v // 8, 3, 1, 1, bias=True), n + 1
        if batch_norm:
            x, n = bn(x, f"features.{n}"), n + 1
        x, n = relu(x), n + 1
    x = relu(linear(x.reshape(-1), "classifier.0", 64))
    return linear(relu(linear(x, "classifier.3", 64)), "classifier.6", 5)


def squeezenet(x, version, cifar):  # width 0.5
    def fire(x, n, squeeze, expand):
        p = f"features.{n}."
        x = relu(conv(x, p + "squeeze", squeeze, 1, bias=True))
        narrow = relu(conv(x, p + "expand1x1", expand, 1, bias=True))
        return np.concatenate([narrow, relu(conv(x, p + "expand3x3", expand, 3, 1, 1, bias=True))])

    out = 48 if version == 0 else 32
    k, stride, pad = (3, 1, 1) if cifar else (7, 2, 0) if version == 0 else (3, 2, 0)
    x = relu(conv(x, "features.0", out, k, stride, pad, bias=True))
    pools = (2, 6, 11) if version == 0 else (2, 5, 8)
    fires = iter(((8, 32), (8, 32), (16, 64), (16, 64), (24, 96), (24, 96), (32, 128), (32, 128)))
    for n in range(2, 13):
        x = pool(x, 3, 2, ceil=True) if n in pools else fire(x, n, *next(fires))
    return relu(conv(x, "classifier.1", 5, 1, bias=True)).mean((1, 2))


def image(side):
    return values(f"image{side}", (3, side, side), -2, 2)


for name, logits in (
    ("resnet20, 0.5, 32", resnet20(image(32))),
    ("resnet18, 0.25, 32", resnet18(image(32), True)),
    ("resnet18, 0.25, 64", resnet18(image(64), False)),
    ("vgg16, 0.125, 32", vgg16(image(32), False)),
    ("vgg16_bn, 0.125, 32", vgg16(image(32), True)),
    ("squeezenet1_0, 0.5, 32", squeezenet(image(32), 0, True)),
    ("squeezenet1_0, 0.5, 75", squeezenet(image(75), 0, False)),
    ("squeezenet1_1, 0.5, 64", squeezenet(image(64), 1, False)),
):
    print(f"({name}):", ", ".join(f"{v:.6f}" for v in logits))
