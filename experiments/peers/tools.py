"""The Python tools of the measurement. A trial draws flips, reads the memory back, and counts the images that are still
right."""

import numpy as np
import torch
from torch import nn

from memory import Memory
from networks import FloatNetwork, correct


class Plain:
    """A loop in PyTorch and NumPy: flips in int8, decoding, conversion, and a pass over all images."""

    def __init__(self, subject, checkpoint, x, y, skip):
        self.name = "PyTorch, skipping" if skip else "PyTorch"
        self.skip = skip
        self.checkpoint = checkpoint
        self.network = FloatNetwork(checkpoint)
        self.batches = [batch.to(memory_format=torch.channels_last) for batch in x.split(subject.batch)]
        self.labels = y.split(subject.batch)
        self.memories = {name: Memory(checkpoint.plane, name) for name in subject.protections}
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

    def __init__(self, subject, checkpoint, x, y):
        from pytorchfi.core import fault_injection

        self.name = "PyTorchFI"
        self.network = FloatNetwork(checkpoint)
        self.injector = fault_injection(self.network.module, subject.batch, [3, subject.side, subject.side], [nn.Conv2d, nn.Linear], use_cuda=False)
        # Its layer numbers are those of modules(), which is the memory order here.
        layers = [m.weight for m in self.network.module.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
        assert all(a is b for a, b in zip(layers, self.network.weights, strict=True))
        self.checkpoint = checkpoint
        self.batches = [batch.to(memory_format=torch.channels_last) for batch in x.split(subject.batch)]
        self.labels = y.split(subject.batch)
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

    def __init__(self, subject, checkpoint, x, y):
        self.name = "MRFI"
        self.checkpoint = checkpoint
        self.batches = [batch.to(memory_format=torch.channels_last) for batch in x.split(subject.batch)]
        self.labels = y.split(subject.batch)
        self.injectors = {rate: self.configured(rate) for rate in subject.rates}
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
