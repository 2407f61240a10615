"""Whole fault-injection trials per second: zerospace, a plain PyTorch loop, PyTorchFI and MRFI, on the same int8
network, the same images and the same threads. Prints a Markdown report; README.md beside this file has the commands.

    python measure.py --zerospace PROGRAM --data DIR --checkpoint INT8.safetensors > peers.md
"""

import argparse
import hashlib
import importlib.metadata
import io
import json
import logging
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet
import safetensors
import torch
from PIL import Image
from torch import nn

PROTECTIONS = {"faulty": "faulty", "ecc": "secded-72-64", "in-place": "in-place-64-57"}
RATES = [1e-6, 1e-5, 1e-4, 1e-3]
IMAGES = 1000
BATCH = 50
SEED = 2019
QUIET = 0.05  # of the machine's cores: more than that for others disturbs a sample


# The network and the images.


def images(data):
    """The first test images, as the published network expects them, and their labels."""
    table = pyarrow.parquet.read_table(data / "cifar10" / "test-00000-of-00001.parquet").slice(0, IMAGES)
    pixels = [np.asarray(Image.open(io.BytesIO(img["bytes"])).convert("RGB")) for img in table["img"].to_pylist()]
    x = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255
    return x, torch.tensor(table["label"].to_pylist())


class Checkpoint:
    """An int8 network as zerospace stores it: weights in memory order, and a scale for each tensor."""

    def __init__(self, path):
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
        """Factor and shift of the batch norm behind a convolution, channel by channel."""
        norm = convolution.removesuffix(".weight").replace("conv", "bn")
        gamma, beta, mean, variance = (
            self.parameters[f"{norm}.{name}"] for name in ("weight", "bias", "running_mean", "running_var"))
        factor = gamma / torch.sqrt(variance + 1e-5)
        return factor, beta - mean * factor


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
        self.module = ResNet20(norms).eval().requires_grad_(False)
        state = {} if not norms else {name: tensor for name, tensor in checkpoint.parameters.items()}
        self.factors = []
        for name, scale in zip(checkpoint.names, checkpoint.scales):
            factor = torch.full((1,), 1 / scale)
            if "conv" in name and not norms:
                channel, state[name.replace("weight", "bias")] = checkpoint.batch_norm(name)
                factor = factor * channel
            self.factors.append(factor.view(-1, 1, 1, 1) if "conv" in name else factor)
        state["linear.bias"] = checkpoint.parameters["linear.bias"]
        missing = self.module.load_state_dict(state, strict=False).missing_keys
        assert set(missing) - {n for n in missing if n.endswith("num_batches_tracked")} == set(checkpoint.names), missing
        self.module.to(memory_format=torch.channels_last)
        self.weights = [self.module.get_parameter(name) for name in checkpoint.names]
        self.shapes = [weight.shape for weight in self.weights]
        self.store(checkpoint.plane)

    def store(self, plane):
        """Converts all weights: one pass over 268 thousand of them."""
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


# Faults and codes, in NumPy, on the words that are hit.


def inner_product(a, b):
    return (a & b).bit_count() & 1


def secded_columns():
    """The parity-check matrix of zerospace's (72,64) code: cells of the block, then those of the check byte."""
    c = [0x0F, 0x33, 0x3C, 0x55, 0x5A, 0xA5, 0xC3, 0xF0]
    return np.array([1 << cell // 8 ^ c[cell % 8] for cell in range(64)] + [1 << j for j in range(8)], np.uint8)


def in_place_columns():
    """That of the (64,57) code."""
    simplex = [sum(inner_product(label, b + 1) << b for b in range(7)) for label in [1, 2, 3, 4, 5, 6, 0, 7]]
    return np.array([(1 << cell // 8 if cell < 56 else 0x7F) ^ simplex[cell % 8] for cell in range(64)], np.uint8)


class Memory:
    """What is stored under a protection; reads it back under random flips."""

    def __init__(self, plane, protection):
        self.plane = plane
        self.protection = protection
        if protection == "faulty":
            self.cells, self.word_cells = 8 * plane.size, 8
            return
        self.words = plane.view("<u8")
        self.columns = secded_columns() if protection == "ecc" else in_place_columns()
        self.word_cells = self.columns.size
        self.cells = self.words.size * self.word_cells
        self.cell_of = np.full(256, -1)
        self.cell_of[self.columns] = np.arange(self.word_cells)

    def flips(self, rng, rate):
        """Cells that flip, each with the same probability, on its own: a binomial number of distinct cells."""
        count = rng.binomial(self.cells, rate)
        cells = np.unique(rng.integers(0, self.cells, count))
        while cells.size < count:
            cells = np.unique(np.concatenate([cells, rng.integers(0, self.cells, count - cells.size)]))
        return cells

    def read(self, cells):
        """Weights that read back changed, by place in the plane, and their values."""
        if self.protection == "faulty":
            index, first = np.unique(cells >> 3, return_index=True)
            if not cells.size:
                return index, index.astype(np.uint8)
            return index, self.plane[index] ^ np.bitwise_xor.reduceat((1 << (cells & 7)).astype(np.uint8), first)
        word, first = np.unique(cells // self.word_cells, return_index=True)
        if not word.size:
            return word, word.astype(np.uint8)
        cell = cells % self.word_cells
        # The code is linear and the stored word a code word, so that the flips alone give the syndrome.
        syndrome = np.bitwise_xor.reduceat(self.columns[cell], first)
        bits = np.where(cell < 64, np.uint64(1) << (cell & 63).astype(np.uint64), np.uint64(0))
        flips = np.bitwise_xor.reduceat(bits, first)
        repaired = self.cell_of[syndrome]
        flips ^= np.where((repaired >= 0) & (repaired < 64) & (syndrome != 0),
                          np.uint64(1) << (repaired & 63).astype(np.uint64), np.uint64(0))
        stored = self.words[word]
        read = stored ^ flips
        if self.protection == "in-place":
            # Bit 6 := bit 7 in the first seven bytes, which is also what was stored there before encoding.
            ones = np.uint64(0x0040404040404040)
            read = read & ~ones | read >> np.uint64(1) & ones
        wrong = np.flatnonzero(read != stored)
        byte = read[wrong, None].view(np.uint8)
        row, column = np.nonzero(byte != stored[wrong, None].view(np.uint8))
        return word[wrong][row] * 8 + column, byte[row, column]


def check_codes(checkpoint):
    """Single flips leave no trace, double flips of data cells do, and no code reads its own words wrong."""
    for protection in ("ecc", "in-place"):
        memory = Memory(checkpoint.plane, protection)
        assert np.unique(memory.columns).size == memory.word_cells
        for cell in range(memory.word_cells):
            assert memory.read(np.array([5 * memory.word_cells + cell]))[0].size == 0
        index, values = memory.read(np.array([5 * memory.word_cells, 5 * memory.word_cells + 9]))
        assert list(index) == [40, 41] and list(values ^ checkpoint.plane[index]) == [1, 2]


# The tools. A trial draws flips, reads the memory back, and counts the images that are still right.


class Plain:
    """A loop in PyTorch and NumPy: flips in int8, decoding, conversion, and a pass over all images."""

    def __init__(self, checkpoint, x, y, skip):
        self.name = "PyTorch, skipping" if skip else "PyTorch"
        self.skip = skip
        self.checkpoint = checkpoint
        self.network = FloatNetwork(checkpoint)
        self.batches = [batch.to(memory_format=torch.channels_last) for batch in x.split(BATCH)]
        self.labels = y.split(BATCH)
        self.memories = {name: Memory(checkpoint.plane, name) for name in PROTECTIONS}
        self.clean = correct(self.network.module, self.batches, self.labels)

    def can(self, protection, rate):
        return True

    def prepare(self, protection, rate):
        self.memory, self.rate = self.memories[protection], rate

    def trial(self, rng):
        index, values = self.memory.read(self.memory.flips(rng, self.rate))
        if self.skip and not index.size:
            return self.clean
        plane = self.checkpoint.plane.copy()
        plane[index] = values
        self.network.store(plane)
        return correct(self.network.module, self.batches, self.labels)


class PyTorchFI:
    """declare_weight_fi with the list of changed weights and their values, drawn and converted as for the plain loop."""

    def __init__(self, checkpoint, x, y):
        from pytorchfi.core import fault_injection

        self.name = "PyTorchFI"
        self.network = FloatNetwork(checkpoint)
        self.injector = fault_injection(self.network.module, BATCH, [3, 32, 32], [nn.Conv2d, nn.Linear], use_cuda=False)
        # Its layer numbers are those of modules(), which is the memory order here.
        layers = [m.weight for m in self.network.module.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
        assert all(a is b for a, b in zip(layers, self.network.weights, strict=True))
        self.checkpoint = checkpoint
        self.batches = [batch.to(memory_format=torch.channels_last) for batch in x.split(BATCH)]
        self.labels = y.split(BATCH)
        self.memory = Memory(checkpoint.plane, "faulty")
        self.clean = correct(self.network.module, self.batches, self.labels)

    def can(self, protection, rate):
        return protection == "faulty"

    def prepare(self, protection, rate):
        self.rate = rate

    def trial(self, rng):
        index, levels = self.memory.read(self.memory.flips(rng, self.rate))
        tensor = np.searchsorted(self.checkpoint.first, index, "right") - 1
        dims, values = [[], [], [], []], []
        for t in np.unique(tensor):
            here = tensor == t
            places = np.unravel_index(index[here] - self.checkpoint.first[t], self.network.shapes[t])
            for d in range(4):
                dims[d] += places[d].tolist() if d < len(places) else [None] * int(here.sum())
            values += self.network.value(t, places[0], levels[here]).tolist()
        corrupted = self.injector.declare_weight_fi(
            layer_num=tensor.tolist(), k=dims[0], dim1=dims[1], dim2=dims[2], dim3=dims[3], value=values)
        return correct(corrupted, self.batches, self.labels)


class Mrfi:
    """Its own quantization and bit flips. It draws anew at every forward pass: seeded alike, all draw the same.
    Batch norms stay, since what it quantizes should be what is stored."""

    def __init__(self, checkpoint, x, y):
        self.name = "MRFI"
        self.checkpoint = checkpoint
        self.batches = [batch.to(memory_format=torch.channels_last) for batch in x.split(BATCH)]
        self.labels = y.split(BATCH)
        self.injectors = {rate: self.configured(rate) for rate in RATES}
        self.clean = correct(FloatNetwork(checkpoint, norms=True).module, self.batches, self.labels)

    def configured(self, rate):
        from mrfi import MRFI, EasyConfig

        module = FloatNetwork(self.checkpoint, norms=True).module
        module.to(memory_format=torch.contiguous_format)  # it flattens weights with view
        # A weight is chosen with eight times the rate of a bit, and one of its eight bits flips.
        return MRFI(module, EasyConfig({"faultinject": [{
            "type": "weight", "name": ["weight"], "enabled": True, "module_type": ["Conv2d", "Linear"],
            "quantization": {"method": "SymmericQuantization", "dynamic_range": "auto", "bit_width": 8},
            "selector": {"method": "RandomPositionByRate", "poisson": True, "rate": 8 * rate},
            "error_mode": {"method": "IntRandomBitFlip", "bit_width": 8}}]}))

    def can(self, protection, rate):
        return protection == "faulty"

    def prepare(self, protection, rate):
        self.injector = self.injectors[rate]

    def trial(self, rng):
        seed = int(rng.integers(1 << 62))

        def seeded(batch):
            torch.manual_seed(seed)
            return self.injector(batch)

        return correct(seeded, self.batches, self.labels)


# Measuring. A sample is a rate and what it cost: trials per second, CPU milliseconds a trial, share of the threads,
# and the share of the machine that others had meanwhile.


def busy():
    """CPU seconds that all cores have spent on anything."""
    user, nice, system, _, _, irq, softirq, steal = map(int, open("/proc/stat").readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


class Sample:
    def __init__(self, trials, wall, cpu, threads, others, accuracy, whole=None):
        self.others = others
        self.rate = trials / wall
        self.cpu_ms = 1000 * cpu / trials
        self.used = cpu / wall / threads
        self.trials, self.accuracy, self.whole = trials, accuracy, whole


def python_sample(tool, protection, rate, threads, options, rng):
    """Trials until the time is over, at least two."""
    torch.set_num_threads(threads)
    tool.prepare(protection, rate)
    right = [tool.trial(rng)]  # warms up
    start, cpu, all_cpu = time.perf_counter(), time.process_time(), busy()
    while len(right) < 3 or time.perf_counter() - start < options.seconds:
        right.append(tool.trial(rng))
    wall, cpu, all_cpu = time.perf_counter() - start, time.process_time() - cpu, busy() - all_cpu
    others = (all_cpu - cpu) / wall / os.cpu_count()
    return Sample(len(right) - 1, wall, cpu, threads, others, 100 * statistics.fmean(right[1:]) / IMAGES)


EXPERIMENT = """name = "peers"
title = "{protection} at {rate:.0e}"
seed = {seed}
trials = {trials}
unit_trials = {unit}
fault_model = "bernoulli"
rates = [{rate:.0e}]
protections = ["{id}"]

[[model]]
label = "resnet20"
checkpoint = "{checkpoint}"

[data]
set = "cifar10"
split = "test"
images = {images}
"""


class Zerospace:
    """`zerospace run` from start to end: reading, trials, records on disk, tables and a figure."""

    name = "zerospace"

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.counts = {}

    def run(self, protection, rate, threads, trials, unit, seed):
        """Wall and CPU seconds of the process, others' CPU seconds, and the mean accuracy; in a fresh directory."""
        out = self.folder / "run"
        shutil.rmtree(out, ignore_errors=True)
        file = self.folder / "experiment.toml"
        file.write_text(EXPERIMENT.format(
            protection=protection, id=PROTECTIONS[protection], rate=rate, seed=seed, trials=trials, images=IMAGES,
            unit=unit, checkpoint=self.options.checkpoint.resolve()))
        command = [self.options.zerospace, "run", file, "--data", self.options.data, "--out", out, "--threads", threads]
        start, all_cpu = time.perf_counter(), busy()
        process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall, cpu, all_cpu = time.perf_counter() - start, usage.ru_utime + usage.ru_stime, busy() - all_cpu
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{command}: {said.decode()}")
        table = pyarrow.parquet.read_table(out / "trials.parquet", columns=["correct"])
        return wall, cpu, all_cpu - cpu, 100 * float(np.mean(table["correct"].to_numpy())) / IMAGES

    def sample(self, protection, rate, threads, seed):
        """The trials of a long run that a run a quarter as long does not have: without start and end."""
        cell = protection, rate, threads
        if cell not in self.counts:
            base = min(self.run(*cell, 2, 1000, seed)[0] for _ in range(2))
            trials = 16
            while (wall := self.run(*cell, trials, 1000, seed)[0]) < base + self.options.seconds / 3:
                trials *= 4
            trials = 4 * max(4, round(trials / (wall - base) * self.options.run_seconds / 4))
            # A unit, which a kill costs, is about a second.
            self.counts[cell] = trials, max(1, round(trials / self.options.run_seconds))
        trials, unit = self.counts[cell]
        for _ in range(5):
            short, short_cpu, short_others, _ = self.run(*cell, trials // 4, unit, seed)
            long, long_cpu, long_others, accuracy = self.run(*cell, trials, unit, seed)
            if long > short and long_cpu > short_cpu:
                break
        else:
            sys.exit(f"{cell}: a run of {trials} trials is never longer than one of a quarter; raise --run-seconds")
        others = (short_others + long_others) / (short + long) / os.cpu_count()
        return Sample(trials - trials // 4, long - short, long_cpu - short_cpu, threads, others, accuracy,
                      long_cpu / long / threads)


class Patience:
    """Seconds that the whole run may spend on waiting for a quiet machine and on repeating disturbed samples."""

    def __init__(self, seconds):
        self.seconds, self.repeated = seconds, 0

    def wait(self):
        while self.seconds > 0:
            start, all_cpu, own = time.perf_counter(), busy(), time.process_time()
            time.sleep(0.5)
            wall = time.perf_counter() - start
            if (busy() - all_cpu - time.process_time() + own) / wall / os.cpu_count() < 2 * QUIET:
                return
            self.seconds -= wall

    def sample(self, measure):
        """The least disturbed of up to three samples; whether one is disturbed does not depend on its result."""
        self.wait()
        best = measure()
        for _ in range(2):
            if best.others < QUIET or self.seconds <= 0:
                break
            start = time.perf_counter()
            again = measure()
            self.seconds -= time.perf_counter() - start
            self.repeated += 1
            best = min(best, again, key=lambda sample: sample.others)
        return best


# The report.


def spread(values, form):
    middle = form(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({form(min(values))} to {form(max(values))})"


def rate_text(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def percent(value):
    return f"{100 * value:.0f}"


def version(package):
    return f"{package} {importlib.metadata.version(package)}"


def said(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def head(options, checkpoint, others, repeated, minutes):
    cpu = next((l.split(": ")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "unknown")
    program = hashlib.sha256(options.zerospace.read_bytes()).hexdigest()[:16]
    built = f", built from {options.built_from}" if options.built_from else ""
    median, tenth, most = (100 * max(0, others[int(q * (len(others) - 1))]) for q in (0.5, 0.9, 1))
    packages = ", ".join(map(version, ["torch", "pytorchfi", "MRFI", "numpy"]))
    return f"""# Trials a second, beside PyTorch, PyTorchFI and MRFI

[`measure.py`](../../../experiments/peers/measure.py) printed this page, in one run of {minutes:.0f} minutes. Its
[README](../../../experiments/peers/README.md) explains how to make the checkpoint and the environment, what each tool does,
and the limits of the comparison.

```sh
python experiments/peers/measure.py --zerospace PROGRAM --data DATA --checkpoint CHECKPOINT{options.said}
```

- Machine: {cpu}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}. Share of other processes during a sample: median {median:.0f} %, a tenth of
  the samples {tenth:.0f} % or more, at most {most:.0f} %; {repeated} samples with {100 * QUIET:.0f} % or more were repeated.
- {said(str(options.zerospace), "--version")} (SHA-256 of the program {program}{built}); Python {platform.python_version()}, {packages}.
- ResNet-20 (int8 checkpoint {checkpoint.digest[:16]}), the first {IMAGES:,} test images of CIFAR-10, batches of {BATCH} in PyTorch.
- {options.rounds} round{"s" * (options.rounds > 1)}; cells take turns, and tools take turns within a cell. Values: median (smallest to largest). A sample is {options.seconds:g} s of trials of
  a Python tool, or the difference between two runs of `zerospace run --threads N`, of about {options.run_seconds:g} s and a quarter of that.
"""


def report(samples, tools, threads):
    cells = [(p, r) for p in PROTECTIONS for r in RATES]
    names = [tool.name for tool in tools]
    print(f"\n## {threads} thread{'s' * (threads > 1)}\n\nTrials per second:\n")
    print(f"| cell | zerospace | {' | '.join(names)} |\n|---|---:|{'---:|' * len(names)}")
    for cell in cells:
        row = [samples.get((name, *cell, threads)) for name in ["zerospace", *names]]
        print(f"| {cell[0]} {cell[1]:.0e} | " + " | ".join(
            spread([s.rate for s in found], rate_text) if found else "" for found in row) + " |")
    print("\nSpeed of zerospace relative to the peer, by wall time, and in brackets by CPU time per trial (medians):\n")
    print(f"| cell | {' | '.join(names)} |\n|---|{'---:|' * len(names)}")
    for cell in cells:
        ours = samples[("zerospace", *cell, threads)]
        row = []
        for name in names:
            theirs = samples.get((name, *cell, threads))
            if theirs:
                wall = statistics.median(s.rate for s in ours) / statistics.median(s.rate for s in theirs)
                cpu = statistics.median(s.cpu_ms for s in theirs) / statistics.median(s.cpu_ms for s in ours)
                row.append(f"{rate_text(wall)} ({rate_text(cpu)})")
            else:
                row.append("")
        print(f"| {cell[0]} {cell[1]:.0e} | " + " | ".join(row) + " |")
    print(f"""
CPU used, % of {threads} thread{'s' * (threads > 1)}, and mean accuracy of all measured trials, %. `run` is the CPU time of a complete long
`zerospace run`, start and end included, divided by its wall time:
""")
    print(f"| cell | zerospace, trials | zerospace, run | {' | '.join(names)} | trials of the long run | zerospace, accuracy | "
          f"{' | '.join(name + ', accuracy' for name in names)} |\n|---|---:|---:|{'---:|' * (2 * len(names) + 2)}")
    for cell in cells:
        ours = samples[("zerospace", *cell, threads)]
        row = [samples.get((name, *cell, threads)) for name in names]
        print(f"| {cell[0]} {cell[1]:.0e} | " + " | ".join(
            [spread([s.used for s in ours], percent), spread([s.whole for s in ours], percent)]
            + [percent(statistics.median(s.used for s in r)) if r else "" for r in row]
            + [f"{ours[0].trials // 3 * 4:,}", f"{statistics.fmean(s.accuracy for s in ours):.2f}"]
            + [f"{sum(s.accuracy * s.trials for s in r) / sum(s.trials for s in r):.2f}" if r else "" for r in row]) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zerospace", type=Path, required=True, help="the program")
    parser.add_argument("--data", type=Path, required=True, help="holds cifar10/")
    parser.add_argument("--checkpoint", type=Path, required=True, help="from zerospace quantize --throttle")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3, help="of a Python tool's sample")
    parser.add_argument("--run-seconds", type=float, default=6, help="of zerospace's long run")
    parser.add_argument("--patience", type=float, default=300, help="seconds to wait and repeat where others disturb")
    parser.add_argument("--built-from", default="", help="what the program was built from, for the report")
    options = parser.parse_args()
    hidden = {"zerospace", "data", "checkpoint", "built_from"}
    options.said = "".join(f" --{name.replace('_', '-')} {value}" for name, value in vars(options).items()
                           if name not in hidden and value != parser.get_default(name))
    logging.disable(logging.INFO)

    checkpoint = Checkpoint(options.checkpoint)
    check_codes(checkpoint)
    x, y = images(options.data)
    x = checkpoint.normalized(x)
    tools = [Plain(checkpoint, x, y, skip=False), Plain(checkpoint, x, y, skip=True),
             PyTorchFI(checkpoint, x, y), Mrfi(checkpoint, x, y)]
    thread_counts = [int(n) for n in options.threads.split(",")]
    rng = np.random.default_rng(SEED)
    samples, begun, patience = {}, time.perf_counter(), Patience(options.patience)
    with tempfile.TemporaryDirectory() as folder:
        zerospace = Zerospace(options, Path(folder))
        for number in range(options.rounds):
            for threads in thread_counts:
                for protection in PROTECTIONS:
                    for rate in RATES:
                        cell = protection, rate, threads
                        turns = [zerospace, *(tool for tool in tools if tool.can(protection, rate))]
                        for tool in turns if number % 2 == 0 else turns[::-1]:
                            if tool is zerospace:
                                sample = patience.sample(lambda: zerospace.sample(*cell, SEED + number))
                            else:
                                sample = patience.sample(lambda: python_sample(tool, *cell, options, rng))
                            samples.setdefault((tool.name, *cell), []).append(sample)
                            print(f"round {number + 1}: {tool.name}, {protection} {rate:.0e}, {threads} threads: "
                                  f"{sample.rate:.2f} trials/s, {100 * sample.used:.0f} % CPU, others "
                                  f"{100 * sample.others:.0f} %", file=sys.stderr, flush=True)
    others = sorted(sample.others for found in samples.values() for sample in found)
    print(head(options, checkpoint, others, patience.repeated, (time.perf_counter() - begun) / 60), end="")
    print(f"- Fault-free: {', '.join(f'{tool.name} {100 * tool.clean / IMAGES:.1f} %' for tool in tools)}.")
    for threads in thread_counts:
        report(samples, tools, threads)


if __name__ == "__main__":
    main()
