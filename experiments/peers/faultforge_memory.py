"""CPU seconds that FaultForge takes for the memory of a trial: copies the encoded memory, draws and flips bits, decodes. Runs
under its own Python (3.14 or newer) and prints a JSON line for each encoder and rate.

    python faultforge_memory.py BYTES THREADS RATE...
"""

import importlib.metadata
import json
import statistics
import sys
import time

import torch
from faultforge import _rust
from faultforge.encoding import CepEncoder, MsetEncoder, SecdedEncoder
from faultforge._internal.fault import BitFlip

REPETITIONS = 3


def main():
    size, threads, rates = int(sys.argv[1]), int(sys.argv[2]), [float(rate) for rate in sys.argv[3:]]
    torch.set_num_threads(threads)
    weights = torch.rand(size // 4, generator=torch.Generator().manual_seed(1)) - 0.5
    encoders = {"secded, 64 bits": SecdedEncoder(bits_per_chunk=64), "mset": MsetEncoder(), "cep": CepEncoder()}
    for name, encoder in encoders.items():
        memory = encoder.encode([weights.clone()])
        for rate in rates:
            flips = round(rate * memory.bit_count())
            seconds = []
            for seed in range(REPETITIONS):
                start = time.process_time()
                faulty = memory.clone()
                picker = _rust.Picker(memory.bit_count(), seed)
                faulty.apply_faults([(BitFlip(), next(picker)) for _ in range(flips)])
                middle = time.process_time()
                faulty.decode()
                seconds.append((time.process_time() - start, time.process_time() - middle))
            together, decode = (statistics.median(column) for column in zip(*seconds))
            version = importlib.metadata.version("faultforge")
            print(json.dumps(dict(name=name, rate=rate, seconds=together, decode=decode, flips=flips,
                                  bits=memory.bit_count(), version=version)), flush=True)


if __name__ == "__main__":
    main()
