"""Between the trials of a campaign and the user's evaluator: weights as read, and results checked."""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Mapping
from typing import Any


class ReadWeights:
    """A network that the int8 executor runs."""

    def __init__(self, source: Any) -> None:
        self.source = source


class ArrayWeights:
    """Weights as arrays that a trial changes in place, and that nobody else can write to."""

    def __init__(self, source, tensors, dtype):
        import numpy as np

        self.source = source
        self._own, self._clean, self._levels, self._shown = [], [], [], {}
        for name, shape, values, levels in tensors:
            clean = np.frombuffer(values, np.int8)
            levels = np.asarray(levels, np.float32)
            levels = np.repeat(levels, len(clean) // len(levels)) if len(levels) > 1 else levels
            floats = clean / levels if dtype == "float32" else clean
            memory = bytearray(np.ascontiguousarray(floats, dtype).tobytes())
            self._own.append(np.frombuffer(memory, dtype) if memory else np.empty(0, dtype))
            self._levels.append(levels if dtype == "float32" else None)
            shown = np.frombuffer(memoryview(memory).toreadonly(), dtype) if memory else np.empty(0, dtype)
            self._shown[name] = shown.reshape(shape)

    @classmethod
    def int8(cls, label, arrays):
        """Weights of a mapping of int8 arrays, which stay int8."""
        import numpy as np

        tensors = []
        for name, array in arrays.items():
            what = f"networks[{label!r}][{name!r}]"
            if not isinstance(name, str):
                raise TypeError(f"a name in networks[{label!r}] is {name!r}, expected a string")
            if not isinstance(array, np.ndarray) or array.dtype != np.int8:
                found = f"dtype {array.dtype}" if isinstance(array, np.ndarray) else f"type {type(array).__name__}"
                raise TypeError(f"{what} has {found}, expected an int8 array")
            if array.size and array.min() == -128:
                raise ValueError(f"{what} holds -128, expected -127 to 127: only a fault makes -128")
            tensors.append((name, list(array.shape), array.tobytes(), [1.0]))
        if not tensors:
            raise ValueError(f"networks[{label!r}] has no arrays, expected at least one")
        return cls((tensors, "int8 arrays of a Python program"), tensors, "int8")

    @classmethod
    def dequantized(cls, tensors, source):
        """Weights of a checkpoint, as real numbers."""
        return cls(source, tensors, "float32")

    @contextlib.contextmanager
    def reading(self, changes):
        """The weights of a trial, until the block ends."""
        import numpy as np

        undo = []
        for tensor, indices, values in changes:
            indices, values, own = np.frombuffer(indices, np.int64), np.frombuffer(values, np.int8), self._own[tensor]
            undo.append((own, indices, own[indices]))
            levels = self._levels[tensor]
            if levels is None:
                own[indices] = values
            else:
                own[indices] = values / (levels if len(levels) == 1 else levels[indices])
        try:
            yield dict(self._shown)
        finally:
            for own, indices, before in undo:
                own[indices] = before

    def check(self):
        """Nothing: the arrays cannot be written to."""


class Evaluator:
    """A user's function with the weights of one network, as the campaign calls it: ``(trial, changes, images)`` to plain results."""

    def __init__(self, function, weights, metrics, labels, images_per_trial=None):
        self.function, self.weights = function, weights
        if images_per_trial is not None:
            _check_takes_images(function)
        self.images_per_trial = images_per_trial
        self.metrics = None if metrics is None else _checked_metrics(metrics)
        self.labels = labels
        #: "predictions" or the names of the metrics, once the network was evaluated without faults.
        self.kind: Any = None
        self.count = 0
        self.clean: Any = None

    def fault_free(self, label):
        """Evaluate without faults, which decides what the other trials must return."""
        try:
            self.clean = self._evaluated(None, [], None)
        except Exception as error:
            if hasattr(error, "add_note"):
                error.add_note(f"in {label}, without faults")
            raise

    def __call__(self, trial, changes, images):
        import numpy as np

        if trial is None:
            if self.clean is None:
                self.clean = self._evaluated(None, [], None)
            return self.clean
        return self._evaluated(trial, changes, None if images is None else np.frombuffer(images, np.uint32))

    def _evaluated(self, trial, changes, images):
        given = () if self.images_per_trial is None else (images,)
        with self.weights.reading(changes) as weights:
            return self._plain(self.function(weights, trial, *given), images)

    def _plain(self, answer, images):
        """Bytes of predictions or a list of scores, like those without faults."""
        if isinstance(answer, Mapping):
            return self._scores({_metric(name): _number(value, name) for name, value in answer.items()})
        array = answer.detach().cpu() if hasattr(answer, "detach") else answer
        if isinstance(array, (list, tuple)) or getattr(array, "ndim", 0) > 0:
            return self._predictions(array, images)
        names = list(self.metrics or {"score": "higher"})
        if len(names) != 1:
            raise ValueError(f"the evaluator returned one number, expected a dict with {', '.join(names)}")
        return self._scores({names[0]: _number(array, names[0])})

    def _scores(self, scores):
        if self.metrics is None:
            self.metrics = _checked_metrics(dict.fromkeys(scores, "higher"))
        self._same_kind(tuple(self.metrics))
        if set(scores) != set(self.metrics):
            raise ValueError(
                f"the evaluator returned {', '.join(scores) or 'no score'}, expected a score for each of {', '.join(self.metrics)}"
            )
        return [scores[name] for name in self.metrics]

    def _predictions(self, answer, images):
        import numpy as np

        if self.metrics:
            raise ValueError(f"the evaluator returned an array, expected a score for each of {', '.join(self.metrics)}")
        array = np.asarray(answer)
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise TypeError(
                f"the evaluator returned an array of dtype {array.dtype} and shape {array.shape}, expected class predictions: "
                "integers of shape (n,)"
            )
        if len(array) == 0 or array.min() < 0 or array.max() > 65535:
            found = "none" if len(array) == 0 else f"from {array.min()} to {array.max()}"
            raise ValueError(f"the evaluator's class predictions are {found}, expected at least one, from 0 to 65535")
        if images is not None:
            expected = len(images)
        elif self.kind is None:
            expected = len(array) if self.labels is None else len(self.labels)
        else:
            expected = self.count
        if len(array) != expected:
            raise ValueError(f"the evaluator returned {len(array)} class predictions, expected {expected}")
        self._same_kind("predictions")
        self.metrics, self.count = {}, len(array) if images is None else self.count
        return array.astype(np.uint16).tobytes()

    def _same_kind(self, kind):
        if self.kind is None:
            self.kind = kind
        elif self.kind != kind:
            raise ValueError("the evaluator returned predictions once and scores once, expected the same in every trial")


def _check_takes_images(function):
    try:
        inspect.signature(function).bind(None, None, None)
    except ValueError:
        return  # It does not tell its arguments.
    except TypeError:
        raise TypeError(
            "images_per_trial is given, but the evaluator does not take three arguments, expected evaluator(weights, trial, images): the "
            "indices of the images of the trial, or None for all"
        ) from None


def _metric(name):
    if not isinstance(name, str):
        raise TypeError(f"the evaluator returned a score named {name!r}, expected a string")
    return name


def _number(value, name):
    if hasattr(value, "item") and not isinstance(value, (bool, int, float)):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(
            f"the evaluator returned {name} of type {type(value).__name__}, expected a number, a dict of numbers or an array of class "
            "predictions"
        )
    value = float(value)
    if not math.isfinite(value):
        raise ValueError(f"the evaluator's {name} is {value}, expected a finite number")
    return value


def _checked_metrics(metrics):
    if not isinstance(metrics, Mapping):
        raise TypeError(
            f"metrics is of type {type(metrics).__name__}, expected a mapping from names to \"higher\" or \"lower\""
        )
    for name, better in metrics.items():
        if better not in ("higher", "lower"):
            raise ValueError(f"metrics[{name!r}] is {better!r}, expected \"higher\" or \"lower\", whichever is better")
    if not metrics:
        raise ValueError("the evaluator has no metrics, expected at least one")
    return dict(metrics)
