"""torchvision's networks of the paper's Table 1 with seeded random weights, and a folder of 16 drawn images.

Written for PyTorch 2.15.0 and torchvision 0.29.2: python3 random_weights.py DIR

DIR/weights takes a state dict a network, initialized by torchvision from seed 2019. Batch norms then take their
means and variances from one batch of noise, so that values neither die nor explode. DIR/imagenet has torchvision's
layout: 1,000 class folders in val with an image each, the same 16 again and again, and 16 images in train.
"""
import os
import sys
from pathlib import Path

import torch
from torch import nn
from torchvision import models
from torchvision.transforms.functional import to_pil_image

SEED, IMAGES, CLASSES = 2019, 16, 1000
NETWORKS = "alexnet vgg16 vgg16_bn inception_v3 resnet18 resnet34 resnet50 resnet152 squeezenet1_0".split()


def network(name):
    torch.manual_seed(SEED)
    options = {"init_weights": False} if name == "inception_v3" else {}
    model = getattr(models, name)(weights=None, **options)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    if norms:
        for norm in norms:
            norm.momentum = None  # the plain mean over batches, here of one
        with torch.no_grad():
            model.train()(torch.randn(2, 3, *[299 if name == "inception_v3" else 224] * 2))
    return model.state_dict()


def image(seed):
    torch.manual_seed(seed)
    height, width = (int(n) for n in torch.randint(300, 500, (2,)))
    patches = torch.rand(1, 3, 12, 12)
    return to_pil_image(nn.functional.interpolate(patches, (height, width), mode="bilinear")[0])


root = Path(sys.argv[1])
(root / "weights").mkdir(parents=True, exist_ok=True)
for name in NETWORKS:
    torch.save(network(name), root / "weights" / f"{name}.pth")
for part, classes, first in [("train", IMAGES, IMAGES), ("val", CLASSES, 0)]:
    for i in range(classes):
        folder = root / "imagenet" / part / f"n{i:08}"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "image.jpeg"
        if i < IMAGES:
            image(first + i).save(file)
        elif not file.exists():
            os.link(root / "imagenet" / part / f"n{i % IMAGES:08}" / "image.jpeg", file)
