"""Logits of torchvision's networks, thin and seeded, with dynamic ranges of activations: dynamic.json.

Written with PyTorch 2.15.0 and torchvision 0.29.2: python3 dynamic.py

Parameters and images are those of torchvision.py beside this file. Convolutions and linear layers are replaced by what
Distiller's range_linear.py does in symmetric mode with 8 bits and without a statistics file (versions until July 2019,
which leave batch norms alone), for tests of infer: inputs, weights, biases and outputs are rounded with scales from the
batch. Only the sums of levels are in f64, so that they are exact; all else is f32.
"""
import importlib.util
import json
import pathlib

import numpy as np
import torch
from torch import nn

here = pathlib.Path(__file__).parent
spec = importlib.util.spec_from_file_location("seeded", here / "torchvision.py")
seeded = importlib.util.module_from_spec(spec)
spec.loader.exec_module(seeded)

BATCH = 3
# Architecture, width, side, and whether output channels have scales of their own.
NETWORKS = [
    ("alexnet", 0.125, 224, False),
    ("resnet18", 0.25, 64, False),
    ("resnet18", 0.25, 64, True),
    ("squeezenet1_1", 0.5, 64, False),
]


def scale_of(largest):
    # Not 127 / largest, which PyTorch computes as a reciprocal times 127.
    return torch.where(largest == 0, torch.ones_like(largest), torch.div(torch.tensor(127.0), largest))


def rounded(x, scale):
    return torch.clamp(torch.round(x * scale), -128, 127)


class Rounded(nn.Module):
    def __init__(self, layer, per_channel):
        super().__init__()
        self.layer = layer.double()
        weight = layer.weight.data.float()
        self.shape = [1, -1] + [1] * (weight.dim() - 2)
        largest = weight.abs().flatten(1).amax(1) if per_channel else weight.abs().max().reshape(1)
        self.weight_scale = scale_of(largest)
        layer.weight.data = rounded(weight, self.weight_scale.reshape([-1] + [1] * (weight.dim() - 1))).double()
        self.bias = None
        if layer.bias is not None:
            bias = layer.bias.data.float()
            self.bias_scale = scale_of(bias.abs().max())
            self.bias = rounded(bias, self.bias_scale)
            layer.bias = None

    def forward(self, x):
        scale = scale_of(x.abs().max())
        sums = self.layer(rounded(x, scale).double())
        sum_scale = scale * self.weight_scale
        if self.bias is not None:
            sums = sums + torch.round(self.bias * (sum_scale / self.bias_scale)).double().reshape(self.shape)
        sums, sum_scale = sums.float(), sum_scale.reshape(self.shape)
        out = scale_of((sums / sum_scale).abs().max())
        return rounded(sums, out / sum_scale) / out


def replace(module, per_channel):
    for name, child in module.named_children():
        if isinstance(child, (nn.Conv2d, nn.Linear)):
            setattr(module, name, Rounded(child, per_channel))
        else:
            replace(child, per_channel)


golden = []
for architecture, width, side, per_channel in NETWORKS:
    model = seeded.seeded(architecture, width)
    replace(model, per_channel)
    raw = np.stack([seeded.pixels(i, side) for i in range(seeded.IMAGES)]).astype(np.float32)
    images = torch.from_numpy((raw / np.float32(255) - seeded.MEAN[:, None, None]) / seeded.STD[:, None, None])
    with torch.no_grad():
        logits = torch.cat([model(batch) for batch in images.split(BATCH)])
    golden.append(
        {
            "architecture": architecture,
            "width": width,
            "side": side,
            "per_channel": per_channel,
            "batch": BATCH,
            "logits": [[float(f"{x:.8g}") for x in row] for row in logits.tolist()],
        }
    )
    print(architecture, per_channel, logits.argmax(1).tolist())
with open(here / "dynamic.json", "w") as out:
    out.write("[\n" + ",\n".join(json.dumps(entry) for entry in golden) + "\n]\n")
