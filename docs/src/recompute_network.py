"""The int8 network, from the page "Inference" beside this file."""

import itertools
import math

import numpy as np

f32 = np.float32


def layers_of(checkpoint):
    """The nodes of a network: name, operation, inputs by number, and what the operation takes (S301, S302)."""
    model = checkpoint.model
    nodes = [("input", "input", [], {})]
    if checkpoint.layers:
        for layer in checkpoint.layers:
            op = layer["op"]
            name, takes = (op, {}) if isinstance(op, str) else next(iter(op.items()))
            nodes.append((layer["name"], name, layer["inputs"], takes))
        return nodes

    def add(name, op, inputs=None, **takes):
        nodes.append((name, op, [len(nodes) - 1] if inputs is None else inputs, takes))
        return len(nodes) - 1

    def conv(name, inputs=None, kernel=3, stride=1, bias=False, norm=None, relu=None):
        square = {"kernel": [kernel] * 2, "stride": [stride] * 2, "padding": [kernel // 2] * 2}
        last = add(name, "conv", inputs, bias=bias, groups=1, **square)
        last = add(norm, "batch_norm", epsilon=1e-5) if norm else last
        return add(relu, "relu") if relu else last

    def pool(name, kernel, ceil):
        return add(name, "max_pool", kernel=[kernel] * 2, stride=[2, 2], padding=[0, 0], ceil=ceil)

    architecture = model["architecture"]
    implied = "cifar" if model["input"][1:] == [32, 32] else "torchvision"
    if architecture != "resnet20" and model.get("variant", implied) != "cifar":
        raise SystemExit(f"{architecture}: only the layers of its variant for CIFAR are written down here")
    if architecture in ("resnet18", "resnet20"):
        stages, blocks = (4, 2) if architecture == "resnet18" else (3, 3)
        x = conv("conv1", norm="bn1", relu="relu")
        for stage, block in itertools.product(range(1, stages + 1), range(blocks)):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            conv(f"{name}.conv1", stride=stride, norm=f"{name}.bn1", relu=f"{name}.relu1")
            y = conv(f"{name}.conv2", norm=f"{name}.bn2")
            if stride == 2 and architecture == "resnet18":
                x = conv(f"{name}.downsample.0", [x], 1, 2, norm=f"{name}.downsample.1")
            elif stride == 2:
                x = add(f"{name}.shortcut", "pad_shortcut", [x], beside=f"{name}.conv2.weight")
            add(f"{name}.add", "add", [y, x])
            x = add(f"{name}.relu2", "relu")
        add("avgpool", "global_avg_pool")
        add("fc" if architecture == "resnet18" else "linear", "linear")
    elif architecture == "vgg16_bn":
        index = itertools.count()
        for convolutions in (2, 2, 3, 3, 3):
            for _ in range(convolutions):
                names = [f"features.{next(index)}" for _ in range(3)]
                conv(names[0], bias=True, norm=names[1], relu=names[2])
            pool(f"features.{next(index)}", 2, False)
        add("flatten", "flatten")
        for i in (0, 3):
            add(f"classifier.{i}", "linear")
            add(f"classifier.{i + 1}", "relu")
        add("classifier.6", "linear")
    elif architecture == "squeezenet1_1_bn":
        def part(name, inputs=None, kernel=1, relu=None):
            return conv(name, inputs, kernel, bias=True, norm=f"{name}_bn", relu=relu or f"{name}_activation")

        part("features.0", kernel=3, relu="features.1")
        for i in range(2, 13):
            name = f"features.{i}"
            if i in (2, 5, 8):
                pool(name, 3, True)
                continue
            x = part(f"{name}.squeeze")
            branches = [part(f"{name}.expand{k}x{k}", [x], k) for k in (1, 3)]
            add(name, "concat", branches)
        conv("classifier.1", kernel=1, bias=True)
        add("classifier.3", "global_avg_pool")
    else:
        raise SystemExit(f"{architecture}: its layers are not written down here")
    return nodes


def windows(x, takes, pad):
    """The windows of an image [n, c, h, w] as [n, c, rows, columns, kh, kw], `pad` around it (S303)."""
    before, dilation = takes["padding"], takes.get("dilation", [1, 1])
    after, extents = list(takes.get("after") or before), [(k - 1) * d + 1 for k, d in zip(takes["kernel"], dilation)]
    for axis, (size, extent, stride) in enumerate(zip(x.shape[2:], extents, takes["stride"])):
        span = size + before[axis] + after[axis] - extent
        if takes.get("ceil") and span % stride and (span // stride + 1) * stride < size + before[axis]:
            after[axis] += stride - span % stride
    x = np.pad(x, ((0, 0), (0, 0), *zip(before, after)), constant_values=pad)
    (down, right), (apart, beside) = takes["stride"], dilation
    view = np.lib.stride_tricks.sliding_window_view(x, extents, (2, 3))
    return view[:, :, ::down, ::right, ::apart, ::beside]


def convolution(x, weights, takes):
    """The exact sums of level times weight."""
    groups, x = takes["groups"], x.astype(np.float64)  # exact: all sums are below 2^53
    view = windows(x, takes, 0)
    n, channels, rows, columns, *kernel = view.shape
    parts = weights.astype(np.float64).reshape(groups, -1, channels // groups, *kernel)
    sums = 0.0
    for at in np.ndindex(*kernel):
        values = view[(..., *at)].reshape(n, groups, channels // groups, rows * columns)
        sums = sums + np.ascontiguousarray(parts[(..., *at)]) @ values
    return sums.reshape(n, -1, rows, columns)


def predictions(checkpoint, weights, images):
    """The class of each image (S315). `weights` are tensors by name."""
    return logits(checkpoint, weights, images).argmax(1).astype("<u2")


def logits(checkpoint, weights, images):
    """The logits of each image (S301 to S314, S318 to S321, S341 to S343)."""
    if "activations" not in checkpoint.meta:
        raise SystemExit("dynamic ranges (S317) are not written down here")
    nodes = layers_of(checkpoint)
    last = len(nodes) - 1
    last_reader = {n: i for i, node in enumerate(nodes) for n in node[2]}
    activations = {name: (float(f32(scale["levels_per_unit"])), scale["signed"])
                   for name, scale in checkpoint.meta["activations"].items()}
    weight_scales = {entry["name"]: np.array(entry.get("scales") or [entry["scale"]], f32).astype(float)
                     for entry in checkpoint.meta["weights"]}

    def parameter(name):
        return checkpoint.parameters[name].astype(np.float64)

    kept, chains = {}, {}  # by node: levels and their scale, or sums that are not rounded yet
    for i, (name, op, inputs, takes) in enumerate(nodes):
        x, s = kept.get(inputs[0], (None, None)) if inputs else (None, None)
        chain = chains.pop(inputs[0], None) if inputs else None
        out = 1.0 if i == last else activations.get(name, [None])[0]  # none: the node does not round
        if op == "input":
            mean, std = (np.array(checkpoint.meta["preprocessing"][key], f32)[:, None] for key in ("mean", "std"))
            table = levels((np.arange(256, dtype=f32) / f32(255) - mean) / std * f32(out), activations[name])
            kept[i] = np.stack([table[c][images[:, c]] for c in range(images.shape[1])], 1), out
            continue
        if op in ("conv", "linear"):
            w = weights[f"{name}.weight"]
            sums = convolution(x, w, takes) if op == "conv" else x.astype(np.float64) @ w.T.astype(np.float64)
            bias = parameter(f"{name}.bias") if takes.get("bias", op == "linear") else 0.0
            chain = Chain(sums, s * weight_scales[f"{name}.weight"], bias)
        elif op == "batch_norm":
            chain = chain or Chain(x, s)
            gamma, beta, mean, variance = (parameter(f"{name}.{which}")
                                           for which in ("weight", "bias", "running_mean", "running_var"))
            chain.g, chain.mean, chain.beta = gamma / np.sqrt(variance + float(takes["epsilon"])), mean, beta
        elif op == "add":
            chain = Chain(*zip(*(kept[n] for n in inputs)))
        elif op == "clipped_relu" or op == "relu" and chain:
            chain = chain or Chain(x, s)
            chain.ceiling = float(takes.get("max", math.inf))

        if chain and out is None:
            chains[i] = chain
        elif chain:
            value, ceiling = chain.value(out), chain.ceiling
        elif out is not None and op in ROUNDED:
            values = {which: checkpoint.parameters.get(f"{name}.{which}") for which in ("weight", "bias")}
            value, ceiling = rescaled(op, [kept[n] for n in inputs], takes, out, values), None
        else:
            if "beside" in takes:  # the shortcut of resnet20
                missing = len(weights[takes["beside"]]) - x.shape[1]
                takes = {"stride": 2, "before": missing // 2, "after": missing - missing // 2}
            kept[i] = moved(op, x, takes), s
            value, ceiling = (kept[i][0].astype(f32) * f32(1 / s), None) if i == last else (None, None)
        if i == last:
            found = value if ceiling is None else value.clip(0, f32(ceiling))
        elif i not in kept and i not in chains:
            kept[i] = levels(value, activations[name], ceiling), out
        for n in inputs:
            if last_reader[n] == i:
                kept.pop(n, None)
    return found.reshape(len(images), -1)


def levels(value, activation, ceiling=None):
    """Clamped and rounded (S306)."""
    scale, signed = activation
    low, high = (-127, 127) if signed else (0, 255)
    if ceiling is not None:
        low, high = 0, min(float(np.rint(f32(ceiling) * f32(scale))), high)
    return np.rint(np.clip(value, f32(low), f32(high))).astype(np.int32)


class Chain:
    """Sums on their way to the end of a chain, or the two levels of a sum (S308, S309)."""

    def __init__(self, sums, scale, bias=0.0):
        self.sums, self.scale, self.bias = sums, scale, bias
        self.g, self.mean, self.beta, self.ceiling = 1.0, 0.0, 0.0, None

    def value(self, out):
        if isinstance(self.sums, tuple):
            a, b = (x.astype(f32) * f32(out / scale) for x, scale in zip(self.sums, self.scale))
            return a + b
        sums = self.sums.astype(f32)

        def per_channel(values):
            return np.asarray(values, f32).reshape(1, -1, *[1] * (sums.ndim - 2))

        offset = ((self.bias - self.mean) * self.g + self.beta) * out
        return sums * per_channel(out * self.g / self.scale) + per_channel(offset)


ROUNDED = ("global_avg_pool", "avg_pool", "concat", "leaky_relu", "function", "mul", "p_relu", "layer_norm",
           "token_embedding", "attention")


def rescaled(op, inputs, takes, out, parameters):
    """Operations that round (S310 to S312, S318 to S321, S341, S342)."""
    (x, s), *_ = inputs

    def channels(values):
        return values.reshape(-1, *[1] * (x.ndim - 2))

    if op == "leaky_relu":
        real = x / s
        return (np.where(real > 0, real, real * float(f32(takes["slope"]))) * out).astype(f32)
    if op == "function":
        name, fields = (takes, {}) if isinstance(takes, str) else next(iter(takes.items()))
        fields = {key: float(f32(value)) for key, value in fields.items()}
        table = {level: f32(function(name, fields, level / s) * out) for level in np.unique(x).tolist()}
        return np.array([table.get(level, 0) for level in range(-127, 256)], f32)[x + 127]
    if op == "mul":
        y, other = inputs[1]
        y = y.reshape(*y.shape[:2], *[1] * (x.ndim - 2)) if y[0].size != x[0].size else y
        return (x * y).astype(f32) * f32(out / (s * other))
    if op == "p_relu":
        slopes = (parameters["weight"].astype(float) * (out / s)).astype(f32)
        return x.astype(f32) * np.where(x > 0, f32(out / s), channels(slopes))
    if op == "layer_norm":
        n, level = x.shape[1], x.astype(np.int64)
        sums, squares = level.sum(1, keepdims=True), (level * level).sum(1, keepdims=True)
        spread = s * float(n)
        root = np.sqrt((n * squares - sums * sums).astype(float) + float(takes["epsilon"]) * (spread * spread))
        r = np.divide(1.0, root, out=np.zeros_like(root), where=root > 0)
        weight, bias = ((parameters[which].astype(float) * out).astype(f32) for which in ("weight", "bias"))
        return ((n * level - sums).astype(float) * r).astype(f32) * channels(weight) + channels(bias)
    if op == "token_embedding":
        tokens = np.pad(x.reshape(*x.shape[:2], -1), ((0, 0), (0, 0), (takes["class_tokens"], 0)))
        bias = (parameters["bias"].astype(float) * out).astype(f32).reshape(x.shape[1], -1)
        return (tokens.astype(f32) * f32(out / s) + bias)[:, :, None]
    if op == "attention":
        return attention(inputs, takes, out)
    if op == "concat":
        return np.concatenate([x.astype(f32) * f32(out / s) for x, s in inputs], 1)
    if op == "global_avg_pool":
        return x.sum((2, 3)).astype(f32) * f32(out / (s * float(x.shape[2] * x.shape[3])))
    inside = windows(np.ones_like(x[:1, :1]), takes, 0).sum((4, 5))
    count = np.full_like(inside, math.prod(takes["kernel"])) if takes["count_include_pad"] else inside
    return windows(x, takes, 0).sum((4, 5)).astype(f32) * (out / (s * count.astype(float))).astype(f32)


def attention(inputs, takes, out):
    """Attention of queries, keys and values (S342)."""
    shape, heads = inputs[0][0].shape, takes["heads"]
    q, k, v = (x.reshape(shape[0], heads, shape[1] // heads, -1).astype(np.float64) for x, _ in inputs)
    (_, s_q), (_, s_k), (_, s_v) = inputs
    products = (q.swapaxes(2, 3) @ k).astype(np.int64)  # exact: sums are below 2^53
    b = f32(float(takes["scale"]) * math.log2(math.e) / (s_q * s_k))
    x = np.minimum((products.max(3, keepdims=True) - products).astype(f32) * b, f32(9))
    i = np.rint(x)
    r, power = x - i, f32(POWER[0])
    for coefficient in POWER[1:]:
        power = power * r + f32(coefficient)
    weights = np.rint(power * np.exp2(-i)).astype(np.float64)
    sums, total = v @ weights.swapaxes(2, 3), weights.sum(3)[:, :, None]
    return (sums.astype(f32) * (f32(out / s_v) / total.astype(f32))).reshape(shape)


POWER = (2.4436276, -14.256139, 61.26145, -176.74667, 255)


def function(name, fields, x):
    """A function of one value (S318)."""
    def sigmoid(x):
        return 1 / (1 + math.exp(-x)) if x > -700 else 0.0

    def softplus(x):
        return max(x, 0.0) + math.log1p(math.exp(-abs(x)))

    if name == "sigmoid":
        return sigmoid(x)
    if name == "hard_sigmoid":
        return min(max(fields["slope"] * x + fields["offset"], 0.0), 1.0)
    if name == "hard_swish":
        return x * min(max(x + 3, 0.0), 6.0) / 6
    if name == "silu":
        return x / (1 + math.exp(-x)) if x > -700 else 0.0
    if name == "tanh":
        return math.tanh(x)
    if name == "elu":
        return x if x > 0 else fields["alpha"] * math.expm1(x)
    if name == "gelu":
        return x * (1 + math.erf(x * math.sqrt(0.5))) / 2
    if name == "gelu_tanh":
        return x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))) / 2
    if name == "mish":
        return x * math.tanh(softplus(x))
    if name == "softplus":
        return softplus(x)
    if name == "clip":
        return min(max(x, fields["min"]), fields["max"])
    raise SystemExit(f"{name}: this function is not written down here")


def moved(op, x, takes):
    """Levels that are moved or compared (S313)."""
    if op == "relu":
        return np.maximum(x, 0)
    if op == "max_pool":
        return windows(x, takes, -1000).max((4, 5))
    if op == "flatten":
        return x.reshape(len(x), -1)
    if op == "pad":
        return np.pad(x, ((0, 0), (0, 0), *zip(takes["before"], takes["after"])))
    if op == "pad_shortcut":
        step = takes["stride"]
        return np.pad(x[:, :, ::step, ::step], ((0, 0), (takes["before"], takes["after"]), (0, 0), (0, 0)))
    if op == "channel_slice":
        return x[:, takes["first"] : takes["first"] + takes["channels"]]
    if op == "select_token":
        return x.reshape(*x.shape[:2], -1)[:, :, takes["index"]]
    if op == "channel_shuffle":
        return x.reshape(len(x), takes["groups"], -1, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape)
    raise SystemExit(f"{op}: this operation is not written down here")
