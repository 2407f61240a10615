"""Fault injection into the memory of int8 neural networks, bit for bit.

A :class:`Memory` holds int8 arrays under a protection; its faults and readings are those of the program's trials.

>>> import numpy as np
>>> memory = zerospace.Memory({"conv": np.zeros((4, 2), np.int8)}, protection="secded-72-64")
>>> memory.overhead
0.125
"""

from importlib.metadata import version as _version

from zerospace._quantize import from_onnx, from_safetensors, from_state_dict
from zerospace._zerospace import (
    Changes,
    CodeMap,
    Faults,
    FlipMap,
    LinearCode,
    Memory,
    Network,
    OtherPlanError,
    Outcomes,
    Reading,
    Run,
    Table,
    VerificationError,
    code_map,
    linear_code,
    open_run,
)
from zerospace._from_torch import quantize
from zerospace._protection import Protection, register
from zerospace._run import replay, run, verify

__version__ = _version("zerospace")

__all__ = [
    "Changes",
    "CodeMap",
    "Faults",
    "FlipMap",
    "LinearCode",
    "Memory",
    "Network",
    "OtherPlanError",
    "Outcomes",
    "Protection",
    "Reading",
    "Run",
    "Table",
    "VerificationError",
    "__version__",
    "code_map",
    "from_onnx",
    "from_safetensors",
    "from_state_dict",
    "linear_code",
    "open_run",
    "quantize",
    "register",
    "replay",
    "run",
    "verify",
]


def __getattr__(name):
    """``zerospace.torch`` is imported, and torch with it, at its first use."""
    if name == "torch":
        from importlib import import_module

        return import_module("zerospace.torch")
    raise AttributeError(f"module 'zerospace' has no attribute {name!r}")
