"""Logits of variants at sizes that do not imply them: the numbers of `variants_agree_with_torchvision` in golden.rs.

Written with PyTorch 2.15.0 and torchvision 0.29.2: python3 variants.py

Parameters and images are those of torchvision.py. The variants for CIFAR are torchvision's own modules with the first
convolution, and for `cifar` the max pool, replaced.
"""
import importlib.util
import os

import torch
from torch import nn

HERE = os.path.dirname(os.path.abspath(__file__))
spec = importlib.util.spec_from_file_location("golden", os.path.join(HERE, "torchvision.py"))
golden = importlib.util.module_from_spec(spec)
spec.loader.exec_module(golden)

NETWORKS = [
    ("resnet18", "torchvision", 0.25, 32),
    ("resnet50", "torchvision", 0.125, 32),
    ("squeezenet1_0", "torchvision", 0.5, 32),
    ("squeezenet1_1", "torchvision", 0.5, 32),
    ("resnet18", "cifar", 0.25, 64),
    ("resnet18", "cifar-maxpool", 0.25, 32),
    ("squeezenet1_1", "cifar", 0.5, 64),
]


def stem(model, variant):
    if variant == "torchvision":
        return model
    if hasattr(model, "conv1"):
        old = model.conv1
        model.conv1 = nn.Conv2d(old.in_channels, old.out_channels, 3, 1, 1, bias=False)
        bound = (6 / 27) ** 0.5
        model.conv1.weight.data = golden.values("conv1.weight", tuple(model.conv1.weight.shape), -bound, bound)
        if variant == "cifar":
            model.maxpool = nn.Identity()
    else:
        old = model.features[0]
        old.stride, old.padding = (1, 1), (1, 1)
    return model


for architecture, variant, width, side in NETWORKS:
    model = stem(golden.seeded(architecture, width), variant).double()
    image = golden.values(f"image{side}", (1, 3, side, side), -2, 2).double()
    with torch.no_grad():
        logits = model(image)[0]
    print(f'("{architecture}", "{variant}", {width}, {side}, [{", ".join(f"{v:.6f}" for v in logits)}]),')
