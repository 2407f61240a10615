"""The same single faults by zerospace, by a plain PyTorch loop and by PyTorchFI, on the same network and images and one thread.
Prints a Markdown report; README.md beside this file has the command.

    python single_faults.py --zerospace PROGRAM --checkpoint INT8.safetensors > single-faults.md
"""

import argparse
import importlib.metadata
import json
import logging
import os
import platform
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import safetensors
import torch
from torch import nn

IMAGES = 256
BATCH = 32
PLAIN_EVERY = 4  # the plain loop takes every fourth fault
EXPERIMENT = """name = "thousand"
title = "A thousand single faults"
design = "single-fault"
seed = 1
margin = {margin}

[[model]]
label = "resnet18"
checkpoint = {checkpoint}

[data]
set = "synthetic"
split = "test"
images = {images}
"""


class Block(nn.Module):
    def __init__(self, channels_in, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1)
        self.relu = nn.ReLU(inplace=True)
        if stride > 1:
            self.downsample = nn.Sequential(nn.Conv2d(channels_in, channels, 1, stride))

    def forward(self, x):
        y = self.conv2(self.relu(self.conv1(x)))
        return self.relu(y.add_(self.downsample(x) if hasattr(self, "downsample") else x))


class ResNet18(nn.Module):
    """For images of 32x32, with an eighth of the usual channels and with batch norms folded into the convolutions."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 1, 1)
        self.relu = nn.ReLU(inplace=True)
        before = 8
        for number, channels in enumerate([8, 16, 32, 64], 1):
            blocks = [Block(before, channels, 2 if number > 1 else 1), Block(channels, channels, 1)]
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
            before = channels
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.relu(self.conv1(x))))))
        return self.fc(x.mean((2, 3)))


class Network:
    """An int8 checkpoint in f32, and the f32 value of each weight after a flip."""

    def __init__(self, path):
        with safetensors.safe_open(path, "np") as file:
            head = json.loads(file.metadata()["zerospace"])
            self.names = [weight["name"] for weight in head["weights"]]
            self.levels = [file.get_tensor(name) for name in self.names]
            parameters = {name: file.get_tensor(name) for name in head["parameters"]}
        self.mean, self.std = head["preprocessing"]["mean"], head["preprocessing"]["std"]
        self.module = ResNet18().eval().requires_grad_(False)
        state, self.factors = {}, []
        for weight, levels in zip(head["weights"], self.levels):
            name, factor = weight["name"], np.full(levels.shape[0], 1 / weight["scale"], np.float32)
            bias = parameters.get(name.replace("weight", "bias"))
            if levels.ndim == 4:
                norm = name.removesuffix(".weight").replace("conv", "bn").replace("downsample.0", "downsample.1")
                gamma, beta, mean, variance = (
                    parameters[f"{norm}.{which}"] for which in ("weight", "bias", "running_mean", "running_var"))
                gain = gamma / np.sqrt(variance + 1e-5)
                factor, bias = factor * gain, beta - mean * gain
            self.factors.append(factor)
            state[name] = torch.from_numpy(levels * factor.reshape(-1, *[1] * (levels.ndim - 1)))
            state[name.replace("weight", "bias")] = torch.from_numpy(bias)
        self.module.load_state_dict(state)
        self.weights = [self.module.get_parameter(name) for name in self.names]
        self.first = np.cumsum([0] + [levels.size for levels in self.levels])

    def flipped(self, weight, bit):
        """Tensor, place in it and f32 value of a weight with one flipped bit."""
        tensor = int(np.searchsorted(self.first, weight, "right")) - 1
        place = np.unravel_index(weight - self.first[tensor], self.levels[tensor].shape)
        level = np.int8(np.uint8(self.levels[tensor][place].view(np.uint8) ^ np.uint8(1 << bit)).view(np.int8))
        return tensor, tuple(map(int, place)), float(level * self.factors[tensor][place[0]])


@torch.inference_mode()
def classes(module, x):
    return torch.cat([module(batch).argmax(1) for batch in x.split(BATCH)]).numpy()


def plain(network, x, faults):
    """The class of each image under each fault: the weight is overwritten and restored."""
    for weight, bit in faults:
        tensor, place, value = network.flipped(weight, bit)
        before = network.weights[tensor][place].item()
        network.weights[tensor][place] = value
        yield classes(network.module, x)
        network.weights[tensor][place] = before


def pytorchfi(network, x, faults):
    """The class of each image under each fault, by declare_weight_fi."""
    from pytorchfi.core import fault_injection

    injector = fault_injection(network.module, BATCH, [3, 32, 32], [nn.Conv2d, nn.Linear], use_cuda=False)
    # Its layer numbers are those of modules(), which is the memory order here.
    layers = [m.weight for m in network.module.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert all(a is b for a, b in zip(layers, network.weights, strict=True))
    for weight, bit in faults:
        tensor, place, value = network.flipped(weight, bit)
        k, c, row, column = place + (None,) * (4 - len(place))
        corrupted = injector.declare_weight_fi(
            layer_num=[tensor], k=[k], dim1=[c], dim2=[row], dim3=[column], value=[value])
        yield classes(corrupted, x)


def timed(run):
    """The classes that a generator yields, and the processor seconds that it took."""
    begin = time.process_time()
    found = np.array(list(run))
    return found, time.process_time() - begin


def of_children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def campaign(program, folder, checkpoint, margin, images):
    """Rows (weight, bit, top1) of the sampled campaign, and the processor seconds of the whole program."""
    (folder / "x.toml").write_text(EXPERIMENT.format(checkpoint=json.dumps(str(checkpoint)), images=images, margin=margin))
    begin, out = of_children(), folder / f"run-{images}"
    subprocess.run([program, "run", folder / "x.toml", "--out", out, "--threads", "1"], check=True, capture_output=True)
    seconds = of_children() - begin
    rows = [line for part in sorted((out / "parts").glob("*.jsonl")) for line in part.read_text().splitlines()[1:-1]]
    records = [json.loads(row) for row in rows]
    return [(fault // 8, fault % 8, top1) for fault, _, top1, _ in records], seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--zerospace", required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--margin", type=float, default=0.03, help="fewer faults with a wider margin")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    network = Network(arguments.checkpoint)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        records, seconds = campaign(arguments.zerospace, folder, arguments.checkpoint.resolve(), arguments.margin, IMAGES)
        _, load = campaign(arguments.zerospace, folder, arguments.checkpoint.resolve(), arguments.margin, 1)
        write = [arguments.zerospace, "data", "write", "synthetic", "--split", "test", "--images", str(IMAGES), folder / "set"]
        subprocess.run(write, check=True, capture_output=True)
        rows = np.fromfile(folder / "set" / "test_batch.bin", np.uint8).reshape(-1, 3073)
    pixels = torch.from_numpy(rows[:, 1:].reshape(-1, 3, 32, 32).copy()).float() / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (network.mean, network.std))
    x = ((pixels - mean) / std).to(memory_format=torch.channels_last)
    network.module.to(memory_format=torch.channels_last)
    faults = [record[:2] for record in records]
    clean = classes(network.module, x)
    for run in (plain, pytorchfi):  # warm up
        list(run(network, x, faults[:3]))
    own, plain_seconds = timed(plain(network, x, faults[::PLAIN_EVERY]))
    fi, fi_seconds = timed(pytorchfi(network, x, faults))
    assert (classes(network.module, x) == clean).all(), "the weights are restored"

    ours = np.array([record[2] for record in records])
    theirs = (fi != clean).sum(1)
    both = {(a, b): int(((ours > 0) == a).__and__((theirs > 0) == b).sum()) for a in (True, False) for b in (True, False)}
    all_faults, n = 8 * int(network.first[-1]), len(faults)
    cpu = next((line.split(": ")[1] for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    version = subprocess.run([arguments.zerospace, "--version"], capture_output=True, text=True).stdout.strip()
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("torch", "pytorchfi", "numpy")]
    print(f"""# The same {n:,} single faults in three programs

{cpu.strip()}, {os.cpu_count()} cores, one thread; {version}, {", ".join(versions)}, Python {platform.python_version()}. The faults are the
sample of a campaign with `margin = {arguments.margin}` on the small synthetic ResNet18 ({all_faults:,} faults), each on the same {IMAGES} images. Seconds are of
processor time. *All faults* multiplies by {all_faults:,}; nobody has run PyTorchFI that long.

| program | faults | processor time | ms a fault | all faults, hours on one core |
|---|--:|--:|--:|--:|""")
    for name, count, whole in [
            ("zerospace, with loading", n, seconds), ("PyTorch loop", len(own), plain_seconds), ("PyTorchFI", n, fi_seconds)]:
        print(f"| {name} | {count:,} | {whole:.1f} s | {1000 * whole / count:.2f} | {whole / count * all_faults / 3600:.1f} |")
    print(f"""
On one image the same campaign takes zerospace {load:.2f} s, which bounds what loading, drawing and reporting take. A sample has one fault of a weight;
in a campaign of all faults the eight bits of a weight and the weights of a channel share work.

The PyTorch loop takes every fourth fault, and predicts as PyTorchFI does in {int((own == fi[::PLAIN_EVERY]).all(1).sum())} of {len(own)}; both compute in f32. zerospace computes the int8 network, so a
fault may be critical in one and not in the other. Critical means: at least one of the {IMAGES} images changes its class.

| | critical in f32 | not critical in f32 |
|---|--:|--:|
| critical in int8 | {both[True, True]} | {both[True, False]} |
| not critical in int8 | {both[False, True]} | {both[False, False]} |""")


if __name__ == "__main__":
    main()
