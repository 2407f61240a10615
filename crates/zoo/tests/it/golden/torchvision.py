"""Logits and int8 predictions of torchvision's networks, thin, with seeded parameters: torchvision.json.

Written with PyTorch 2.15.0 and torchvision 0.29.2: python3 torchvision.py

Parameters and images come from the integer formula of make.py, which the Rust tests repeat; nothing of them is
stored. `thin` builds torchvision's own modules with every channel count multiplied by a width.

For each network:
- `logits`: of one image, in f64 (tests of zoo: the float network)
- `int8`: for `IMAGES` images, logits of a second writing of the int8 network (tests of infer). It follows the
  text of infer's documentation: weights rounded with 127 / max|w|, every quantization point rounded with a
  scale from its largest magnitude over the same images, everything else in f64.
"""
import contextlib
import json
import operator
import sys

import numpy as np
import torch
from torch import fx, nn
from torch.nn import functional as F

sys.path.pop(0)  # this script's own name is torchvision
from torchvision import models  # noqa: E402

CLASSES, IMAGES = 5, 8
MEAN, STD = np.float32([0.5, 0.45, 0.4]), np.float32([0.25, 0.2, 0.3])
NETWORKS = [
    ("alexnet", 0.125, 224),
    ("inception_v3", 0.5, 75),
    ("resnet18", 0.25, 64),
    ("resnet34", 0.125, 64),
    ("resnet50", 0.125, 64),
    ("resnet152", 0.125, 64),
    ("squeezenet1_0", 0.5, 75),
    ("squeezenet1_1", 0.5, 64),
    ("vgg16_bn", 0.125, 224),
]


def hashed(name, count):
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    with np.errstate(over="ignore"):
        s = np.uint64(seed) + np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        s = (s ^ s >> np.uint64(29)) * np.uint64(0xBF58476D1CE4E5B9)
    return s >> np.uint64(40)


def values(name, shape, low, high):
    step = (hashed(name, int(np.prod(shape))) % np.uint64(1001)).astype(np.float64)
    return torch.from_numpy((low + (high - low) * (step / 1000)).astype(np.float32).reshape(shape))


def pixels(image, side):
    """Blocks of 8x8 equal pixels, so that images differ in more than noise; u8, [3, side, side]."""
    blocks = -(-side // 8)
    channels = [(hashed(f"image{image}.{c}", blocks * blocks) % np.uint64(256)).reshape(blocks, blocks) for c in range(3)]
    return np.stack([np.kron(c, np.ones((8, 8), np.uint64))[:side, :side] for c in channels]).astype(np.uint8)


@contextlib.contextmanager
def thin(width):
    def scaled(n):
        if n in (3, CLASSES):
            return n
        assert n * width % 8 == 0, n
        return int(n * width)

    originals = nn.Conv2d.__init__, nn.BatchNorm2d.__init__, nn.Linear.__init__
    conv, norm, linear = originals
    nn.Conv2d.__init__ = lambda self, i, o, *a, **k: conv(self, scaled(i), scaled(o), *a, **k)
    nn.BatchNorm2d.__init__ = lambda self, n, *a, **k: norm(self, scaled(n), *a, **k)
    nn.Linear.__init__ = lambda self, i, o, *a, **k: linear(self, scaled(i), scaled(o), *a, **k)
    yield
    nn.Conv2d.__init__, nn.BatchNorm2d.__init__, nn.Linear.__init__ = originals


def seeded(architecture, width):
    options = {"aux_logits": False, "init_weights": False} if architecture == "inception_v3" else {}
    with thin(width):
        model = getattr(models, architecture)(weights=None, num_classes=CLASSES, **options).eval()
    state = {}
    for path, module in model.named_modules():
        for name, tensor in list(module._parameters.items()) + list(module._buffers.items()):
            if tensor is None or name == "num_batches_tracked":
                continue
            full, shape = f"{path}.{name}", tuple(tensor.shape)
            if len(shape) > 1:
                bound = np.sqrt(6 / np.prod(shape[1:]))
                state[full] = values(full, shape, -bound, bound)
            elif name in ("weight", "running_var"):
                state[full] = values(full, shape, 0.5, 1.5)
            elif isinstance(module, nn.BatchNorm2d):
                state[full] = values(full, shape, -0.2, 0.2)
            else:
                state[full] = values(full, shape, -0.1, 0.1)
    model.load_state_dict(state, strict=False)
    return model


class Int8(fx.Interpreter):
    """Runs a traced network, rounding where the int8 network rounds, or watching the ranges there."""

    CHAIN = {"conv", "bn", "linear", "add"}
    MOVES = {"max", "pass"}

    def __init__(self, model):
        super().__init__(fx.symbolic_trace(model))
        self.kinds = {node: self.kind(node) for node in self.module.graph.nodes}
        nodes = [node for node in self.module.graph.nodes if self.kinds[node] not in ("pass", None)]
        self.last, self.signed, self.scales, self.ranges, open_ = nodes[-1], {}, None, {}, {}
        for node in nodes[:-1]:
            kind = self.kinds[node]
            if kind in self.MOVES or (kind == "relu" and not open_.get(node.args[0], False)):
                continue
            readers = list(node.users)
            next_ = self.kinds[readers[0]] if len(readers) == 1 else None
            open_[node] = kind in self.CHAIN and (next_ == "relu" or (next_ == "bn" and kind == "conv"))
            if not open_[node]:
                self.signed[node] = self.negative(node)

    def kind(self, node):
        if node.op == "placeholder":
            return "input"
        if node.op == "output":
            return None
        what = self.module.get_submodule(node.target) if node.op == "call_module" else node.target
        if isinstance(what, nn.AdaptiveAvgPool2d):
            return "mean" if what.output_size in (1, (1, 1)) else "pass"
        modules = {nn.Conv2d: "conv", nn.BatchNorm2d: "bn", nn.Linear: "linear", nn.ReLU: "relu", nn.MaxPool2d: "max"}
        modules |= {nn.Dropout: "pass"}
        functions = {operator.add: "add", operator.iadd: "add", F.relu: "relu", torch.cat: "cat", torch.flatten: "pass"}
        functions |= {F.avg_pool2d: "mean", F.max_pool2d: "max"}
        return modules.get(type(what)) or functions[what]

    def negative(self, node):
        if self.kinds[node] == "relu":
            return False
        if self.kinds[node] in {"mean", "cat"} | self.MOVES:
            return any(self.negative(reads) for reads in node.all_input_nodes)
        return True

    def run_node(self, node):
        y = super().run_node(node)
        if node not in self.signed:
            return y
        if self.scales is None:
            self.ranges[node] = max(self.ranges.get(node, 0.0), np.float32(y.abs().max().item()))
            return y
        low, high = (-127, 127) if self.signed[node] else (0, 255)
        scale = self.scales[node].item()
        return torch.round(y * scale).clamp(low, high) / scale

    def calibrate(self, images):
        self.scales = None
        self.run(images)
        extremes = [abs((np.float32(p) / np.float32(255) - MEAN) / STD).max() for p in (0, 255)]
        self.ranges[next(iter(self.module.graph.nodes))] = max(extremes)
        levels = {True: np.float32(127), False: np.float32(255)}
        self.scales = {node: levels[self.signed[node]] / self.ranges[node] for node in self.signed}


def int8_logits(model, side):
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                scale = np.float32(127) / np.float32(parameter.abs().max().item())
                levels = torch.round(parameter * torch.tensor(scale))
                parameter.copy_(levels.double() / scale.item())
    network = Int8(model.double())
    raw = np.stack([pixels(i, side) for i in range(IMAGES)]).astype(np.float32)
    images = (raw / np.float32(255) - MEAN[:, None, None]) / STD[:, None, None]
    images = torch.from_numpy(images).double()
    with torch.no_grad():
        network.calibrate(images)
        return network.run(images)


def main():
    golden = []
    for architecture, width, side in NETWORKS:
        model = seeded(architecture, width)
        image = values(f"image{side}", (1, 3, side, side), -2, 2).double()
        with torch.no_grad():
            logits = model.double()(image)[0]
        int8 = int8_logits(seeded(architecture, width), side)
        print(architecture, [f"{v:.3f}" for v in logits], int8.argmax(1).tolist())
        rounded = lambda v: [float(f"{x:.8g}") for x in v.tolist()]
        golden.append(
            {
                "architecture": architecture,
                "width": width,
                "side": side,
                "logits": rounded(logits),
                "int8": [rounded(row) for row in int8],
            }
        )
    with open("torchvision.json", "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(entry) for entry in golden) + "\n]\n")


if __name__ == "__main__":
    main()
