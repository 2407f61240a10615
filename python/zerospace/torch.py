"""Torch modules whose weights sit in a memory: int8 weights, and the weights of a trial written into the module.

>>> import torch, zerospace.torch
>>> module = torch.nn.Sequential(torch.nn.Linear(16, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4))
>>> q = zerospace.torch.QuantizedModule(module, protection="in-place-64-57")
>>> {name: array.shape for name, array in q.weights.items()}
{'0.weight': (8, 16), '2.weight': (4, 8)}
>>> memory = zerospace.Memory(q.weights, protection="in-place-64-57")
>>> clean = module[0].weight.detach().clone()
>>> with q.reading(memory.read(memory.faults(rate=0.05, seed=1)).weights) as hit:
...     bool((hit[0].weight == clean).all())
False
>>> bool((module[0].weight == clean).all())
True

This module imports torch; the rest of the package does not.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from zerospace._zerospace import quantized

__all__ = ["QuantizedModule"]

#: Share of the time of evaluations that tests of the bits may take.
_TESTED = 0.02
_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class QuantizedModule:
    """A torch module with int8 weights.

    The weights of convolutions, linear layers and attention (``in_proj_weight``) are quantized, each tensor with one scale: 127 levels
    for its largest magnitude, half to even, as ``zerospace quantize`` does. They are then clamped into the range of
    ``protection``, if one is given; ``clamped`` is the number of weights that this changed. ``weights`` chooses other parameters:
    their names, or a function of a name and a parameter.

    **The module is changed in place**: the weights become the real values of the int8 weights, ``int8 / levels_per_unit``. This is
    the network without faults. Pass ``copy.deepcopy(module)`` to keep the float weights. Biases, norms and embeddings stay as
    they are. A parameter that several layers share is stored once.

    Raises ``ValueError`` if no parameter is chosen, a weight is not finite, or a chosen layer computes its weight.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        protection: Any = None,
        weights: Iterable[str] | Callable[[str, torch.nn.Parameter], bool] | None = None,
    ) -> None:
        if not isinstance(module, torch.nn.Module):
            raise TypeError(f"module is of type {type(module).__name__}, expected a torch.nn.Module")
        self.module = module
        #: Number of weights that the protection's range changed.
        self.clamped = 0
        self._parameters, self._levels, self._weights = [], {}, {}
        for name, parameter in _chosen(module, weights):
            floats = parameter.detach().to("cpu", torch.float32).contiguous().numpy()
            values, levels, clamped = quantized(name, list(floats.shape), floats.tobytes(), protection or "faulty")
            self.clamped += clamped
            self._parameters.append(parameter)
            self._levels[name] = levels
            self._weights[name] = np.frombuffer(values, np.int8).reshape(floats.shape)
        if not self._parameters:
            raise ValueError("no weight of the module is chosen, expected at least one convolution or linear layer")
        self.source = (
            [(name, list(array.shape), array.tobytes(), [self._levels[name]]) for name, array in self._weights.items()],
            f"{type(module).__name__}, a torch module: 127 / max|w| a tensor, {self.clamped} weights clamped",
        )
        with torch.no_grad():
            for (name, array), parameter in zip(self._weights.items(), self._parameters):
                parameter.copy_(self._real(name, array, parameter))
        self._notice()
        # Seconds in the blocks of `reading`, and in tests of the bits after them.
        self._used, self._tested = 0.0, 0.0

    def _notice(self) -> None:
        """Take the parameters as they are for those without faults."""
        self._seen = [_state(parameter) for parameter in self._parameters]
        self._sums = [_sum(parameter) for parameter in self._parameters]

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """The int8 weights in memory order, which is the order of ``module.named_parameters()``: read-only arrays by name."""
        return dict(self._weights)

    @property
    def levels_per_unit(self) -> dict[str, float]:
        """Levels per unit of each tensor: a weight is its int8 value divided by this number."""
        return dict(self._levels)

    @property
    def scales(self) -> dict[str, float]:
        """Scale of each tensor as PyTorch has it: a weight is its int8 value times this number, the reciprocal of ``levels_per_unit``."""
        return {name: 1 / levels for name, levels in self._levels.items()}

    @contextlib.contextmanager
    def reading(self, weights: Mapping[str, np.ndarray] | Iterable[tuple[int, bytes, bytes]]) -> Iterator[Any]:
        """The module with other weights, until the block ends.

        ``weights`` maps names to int8 arrays, such as ``Memory.read(faults).weights``; a name that is absent keeps its weights. Only
        elements that differ are written, in place, on the parameter's device. When the block ends, also by an exception, they
        get back the bits that they had.

        Raises ``ValueError`` or ``TypeError`` for other names, shapes or types, and ``ValueError`` if the block changed the
        weights itself.
        """
        changes = self._differences(weights) if isinstance(weights, Mapping) else weights
        names, undo = list(self._weights), []
        if any(_state(parameter) != seen for parameter, seen in zip(self._parameters, self._seen)):
            # Moved, converted, or written to: the values decide.
            self.check()
            self._notice()
        begun = time.perf_counter()
        try:
            with torch.no_grad():
                for tensor, indices, values in changes:
                    parameter = self._parameters[tensor]
                    place = _place(parameter, np.frombuffer(indices, np.int64))
                    real = self._real(names[tensor], np.frombuffer(values, np.int8), parameter)
                    undo.append((parameter, place, parameter[place]))
                    parameter[place] = real
            self._seen = [_state(parameter) for parameter in self._parameters]
            yield self.module
            self._unchanged()
        finally:
            with torch.no_grad():
                for parameter, place, before in undo:
                    parameter[place] = before
            self._seen = [_state(parameter) for parameter in self._parameters]
        self._used += time.perf_counter() - begun
        if self._tested <= _TESTED * self._used:
            self._test()

    def _test(self) -> None:
        """Compare the bits with those without faults: writes to ``parameter.data`` leave no other trace."""
        begun = time.perf_counter()
        for name, parameter, expected in zip(self._weights, self._parameters, self._sums):
            if _sum(parameter) != expected:
                raise ValueError(
                    f"{name} was changed by the program, expected that only trials change the weights: trials since the last test, "
                    "which are seldom more than a few, are wrong"
                )
        self._tested += time.perf_counter() - begun

    def check(self) -> None:
        """Check that the module has its weights without faults.

        Raises ``ValueError`` if something else has changed them.
        """
        for (name, array), parameter in zip(self._weights.items(), self._parameters):
            if not torch.equal(parameter.detach(), self._real(name, array, parameter)):
                raise ValueError(f"{name} of the module has changed, expected the weights that were quantized: its trials are wrong")

    def _differences(self, weights):
        unknown = [name for name in weights if name not in self._weights]
        if unknown:
            raise ValueError(f"weights has {unknown[0]!r}, expected names among {', '.join(self._weights)}")
        for tensor, (name, clean) in enumerate(self._weights.items()):
            array = weights.get(name, clean)
            if not isinstance(array, np.ndarray) or array.dtype != np.int8:
                raise TypeError(f"weights[{name!r}] is of type {type(array).__name__}, expected an int8 array")
            if array.shape != clean.shape:
                raise ValueError(f"weights[{name!r}] has shape {array.shape}, expected {clean.shape}")
            indices = np.flatnonzero(array != clean)
            if len(indices):
                yield tensor, indices.astype(np.int64), np.ascontiguousarray(array).reshape(-1)[indices]

    def _real(self, name, values, parameter):
        """The real values of int8 weights, as a parameter holds them."""
        real = values.astype(np.float32) / np.float32(self._levels[name])
        return torch.from_numpy(real).to(parameter.device, parameter.dtype)

    def _unchanged(self):
        for name, parameter, seen in zip(self._weights, self._parameters, self._seen):
            if _state(parameter) != seen:
                raise ValueError(f"{name} was changed by the program, expected that only trials change the weights")


def _chosen(module, weights):
    """The parameters that are stored, once each, by name and in the order of ``named_parameters``."""
    if weights is None:
        stored = {id(parameter) for layer in module.modules() for parameter in _stored(layer)}
        return [(name, parameter) for name, parameter in module.named_parameters() if id(parameter) in stored]
    if callable(weights):
        return [(name, parameter) for name, parameter in module.named_parameters() if weights(name, parameter)]
    names, parameters = list(weights), dict(module.named_parameters())
    for name in names:
        if name not in parameters:
            raise ValueError(f"weights has {name!r}, expected names of parameters, such as {next(iter(parameters), 'none')!r}")
    return [(name, parameter) for name, parameter in parameters.items() if name in names]


def _stored(layer):
    if isinstance(layer, torch.nn.MultiheadAttention):
        names = ["in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"]
    elif isinstance(layer, (torch.nn.modules.conv._ConvNd, torch.nn.Linear)):
        names = ["weight"]
    else:
        return
    for name in names:
        parameter = getattr(layer, name)
        if isinstance(parameter, torch.nn.Parameter):
            yield parameter
        elif parameter is not None:
            raise ValueError(f"the weight of {layer} is computed from other parameters, expected a layer without parametrizations")


def _place(parameter, indices):
    """Index of elements that are numbered row by row, in a parameter of any layout."""
    numbers = torch.from_numpy(np.array(indices)).to(parameter.device)
    return torch.unravel_index(numbers, parameter.shape)


def _sum(parameter):
    """Sum of the bits of a parameter, read as integers."""
    integers = parameter.detach().view(_INTEGERS[parameter.element_size()])
    return int(integers.sum(dtype=torch.int64))


def _state(parameter):
    """Changes when the parameter is written to, moved or converted."""
    return parameter.data_ptr(), parameter._version, parameter.dtype
