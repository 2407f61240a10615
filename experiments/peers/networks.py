"""The networks and images of the measurement: int8 checkpoints of zerospace, and the same networks in PyTorch's f32."""

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet
import safetensors
import torch
import torchvision
from PIL import Image
from torch import nn


@dataclass
class Subject:
    """A network, and the campaign that is measured on it."""

    name: str
    title: str
    checkpoint: Path
    data: Path
    set: str
    images: int
    drawn: int  # images of a trial that sees a block of them
    batch: int
    side: int
    protections: list
    rates: list

    def load(self):
        """The int8 network, normalized images and labels."""
        checkpoint = Checkpoint(self.checkpoint, ResNet20 if self.name == "resnet20" else squeezenet)
        read = cifar10 if self.set == "cifar10" else imagenet
        pixels, labels = read(self.data, self.images)
        x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        return checkpoint, checkpoint.normalized(x), torch.tensor(labels)


def subjects(options):
    protections, rates = ["faulty", "ecc", "in-place"], [1e-6, 1e-5, 1e-4, 1e-3]
    cifar = Subject("resnet20", "ResNet-20 on CIFAR-10", options.resnet20, options.data, "cifar10", 1000, 50, 50, 32, protections, rates)
    # In-place protection would need clamped weights, which cost half the accuracy without training.
    return [cifar, Subject("squeezenet", "SqueezeNet 1.0 on ImageNet images", options.squeezenet, options.data, "imagenet", 50, 10, 10,
                           224, protections[:2], rates[1:])]


def cifar10(data, count):
    """The first test images, and their labels."""
    table = pyarrow.parquet.read_table(data / "cifar10" / "test-00000-of-00001.parquet").slice(0, count)
    pixels = [np.asarray(Image.open(io.BytesIO(img["bytes"])).convert("RGB")) for img in table["img"].to_pylist()]
    return np.stack(pixels), table["label"].to_pylist()


def imagenet(data, count):
    """The first images of `imagenet/val` in the order of their classes, cut as torchvision cuts them, and their labels."""
    cut = torchvision.transforms.Compose([torchvision.transforms.Resize(256), torchvision.transforms.CenterCrop(224)])
    folders = enumerate(sorted((data / "imagenet" / "val").iterdir()))
    files = [(file, label) for label, folder in folders for file in sorted(folder.iterdir())][:count]
    pixels = [np.asarray(cut(Image.open(file).convert("RGB"))) for file, _ in files]
    return np.stack(pixels), [label for _, label in files]


class Checkpoint:
    """An int8 network as zerospace stores it: weights in memory order, and a scale for each tensor."""

    def __init__(self, path, module):
        self.module = module
        with safetensors.safe_open(path, "np") as file:
            head = json.loads(file.metadata()["zerospace"])
            self.names = [weight["name"] for weight in head["weights"]]
            self.scales = [weight["scale"] for weight in head["weights"]]
            self.tensors = [file.get_tensor(name) for name in self.names]
            self.parameters = {name: torch.from_numpy(file.get_tensor(name)) for name in head["parameters"]}
        self.digest = head["digest"]
        self.mean, self.std = head["preprocessing"]["mean"], head["preprocessing"]["std"]
        assert all(tensor.size % 8 == 0 for tensor in self.tensors), "blocks with padding are not supported here"
        self.plane = np.concatenate([tensor.ravel() for tensor in self.tensors]).view(np.uint8)
        self.first = np.cumsum([0] + [tensor.size for tensor in self.tensors])

    def normalized(self, x):
        return (x - torch.tensor(self.mean).view(1, 3, 1, 1)) / torch.tensor(self.std).view(1, 3, 1, 1)

    def batch_norm(self, convolution):
        """Factor and shift of the batch norm behind a convolution, channel by channel; None without one."""
        norm = convolution.removesuffix(".weight").replace("conv", "bn")
        if f"{norm}.running_mean" not in self.parameters:
            return None
        gamma, beta, mean, variance = (
            self.parameters[f"{norm}.{name}"] for name in ("weight", "bias", "running_mean", "running_var"))
        factor = gamma / torch.sqrt(variance + 1e-5)
        return factor, beta - mean * factor


def squeezenet(norms):
    """torchvision's SqueezeNet 1.0, which has no batch norms."""
    return torchvision.models.squeezenet1_0(weights=None)


class Block(nn.Module):
    def __init__(self, channels_in, channels, stride, norms):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=not norms)
        self.bn1 = nn.BatchNorm2d(channels) if norms else nn.Identity()
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=not norms)
        self.bn2 = nn.BatchNorm2d(channels) if norms else nn.Identity()
        self.relu = nn.ReLU(inplace=True)
        self.widen = (channels - channels_in) // 2
        self.stride = stride

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        if self.widen:
            x = nn.functional.pad(x[:, :, ::self.stride, ::self.stride], (0, 0, 0, 0, self.widen, self.widen))
        return self.relu(y.add_(x))


class ResNet20(nn.Module):
    """With zero-padded shortcuts, with batch norms or with them folded into the convolutions."""

    def __init__(self, norms):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=not norms)
        self.bn1 = nn.BatchNorm2d(16) if norms else nn.Identity()
        self.relu = nn.ReLU(inplace=True)
        before = 16
        for number, channels in enumerate([16, 32, 64], 1):
            blocks = []
            for i in range(3):
                blocks.append(Block(before, channels, 2 if number > 1 and i == 0 else 1, norms))
                before = channels
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(self.relu(self.bn1(self.conv1(x))))))
        return self.linear(x.mean((2, 3)))


class FloatNetwork:
    """The network in f32, from int8 weights that are converted on the way in."""

    def __init__(self, checkpoint, norms=False):
        self.checkpoint = checkpoint
        self.module = checkpoint.module(norms).eval().requires_grad_(False)
        modules = dict(self.module.named_modules())
        state = dict(checkpoint.parameters)
        self.factors = []
        for name, scale in zip(checkpoint.names, checkpoint.scales):
            factor = torch.full((1,), 1 / scale)
            folded = None if norms else checkpoint.batch_norm(name)
            if folded:
                channel, state[name.replace("weight", "bias")] = folded
                factor = factor * channel
            convolution = isinstance(modules[name.removesuffix(".weight")], nn.Conv2d)
            self.factors.append(factor.view(-1, 1, 1, 1) if convolution else factor)
        missing = self.module.load_state_dict(state, strict=False).missing_keys
        assert set(missing) - {n for n in missing if n.endswith("num_batches_tracked")} == set(checkpoint.names), missing
        self.module.to(memory_format=torch.channels_last)
        self.weights = [self.module.get_parameter(name) for name in checkpoint.names]
        self.shapes = [weight.shape for weight in self.weights]
        self.store(checkpoint.plane)

    def store(self, plane):
        """Converts all weights: one pass over them."""
        levels = torch.from_numpy(plane.view(np.int8))
        for weight, factor, first, shape in zip(self.weights, self.factors, self.checkpoint.first, self.shapes):
            torch.mul(levels[first:first + shape.numel()].view(shape), factor, out=weight)

    def value(self, tensor, channel, level):
        """The f32 weights of int8 levels, at channels of one tensor."""
        factor = self.factors[tensor].numpy().ravel()
        return level.view(np.int8) * (factor[channel] if factor.size > 1 else factor[0])


@torch.inference_mode()
def correct(module, batches, labels):
    """Images that the network gets right."""
    return sum(int((module(x).argmax(1) == y).sum()) for x, y in zip(batches, labels))
