"""From a torch module to an int8 network, by way of ONNX."""

from __future__ import annotations

import io
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from zerospace._quantize import from_onnx
from zerospace._zerospace import Network


def quantize(
    module: Any,
    calibration: Any,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    **options: Any,
) -> Network:
    """Make an int8 network of a torch module: export it to ONNX in memory, and quantize it as ``zerospace quantize`` does.

    ``calibration`` are images that fix the ranges of activations: pixels from 0 to 255 as an array or tensor of uint8
    ``(n, channels, height, width)``, or a loader: an iterable of such batches, or of tuples that begin with one. Batches of
    floats from 0 to 1 are taken if they are pixels divided by 255, as ``torchvision.transforms.ToTensor`` gives them. The module
    receives ``(pixel / 255 - mean) / std``. The other options are those of :func:`from_onnx`, such as ``throttle="in-place-64-57"``,
    which clamps the weights into the range of a protection. The module is exported in evaluation mode, and keeps the mode that
    it has.

    Raises ``TypeError`` for other calibration images, ``ImportError`` if ``onnx`` is not installed, and ``ValueError`` for an
    operation that the int8 executor does not have; an evaluator of your own can run such a module.
    """
    torch = _torch()
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module is of type {type(module).__name__}, expected a torch.nn.Module")
    images = _pixels(calibration)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{type(module).__name__}.onnx"
        path.write_bytes(_exported(torch, module, images.shape[1:]))
        return from_onnx(path, images, mean=list(mean), std=list(std), **options)


def _torch():
    try:
        import torch
    except ImportError as error:
        raise ImportError(f"quantize takes a torch module, and torch cannot be imported: {error}") from error
    return torch


def _exported(torch, module, shape):
    """The bytes of the module's ONNX model for one image."""
    parameter = next(module.parameters(), None)
    image = torch.zeros((1, *shape), dtype=torch.float32, device=None if parameter is None else parameter.device)
    training, target = module.training, io.BytesIO()
    module.eval()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                torch.onnx.export(module, (image,), target, dynamo=False, input_names=["image"], dynamic_axes={"image": {0: "n"}})
            except TypeError:
                # A version of torch without the choice of an exporter, or without the one chosen here.
                target = io.BytesIO()
                torch.onnx.export(module, (image,), target, input_names=["image"])
    finally:
        module.train(training)
    return target.getvalue()


def _pixels(calibration):
    import numpy as np

    if hasattr(calibration, "shape"):
        return _batch(calibration)
    if not isinstance(calibration, Iterable) or isinstance(calibration, (str, bytes)):
        raise TypeError(f"calibration is of type {type(calibration).__name__}, expected an array of images or a loader of batches")
    batches = [_batch(batch[0] if isinstance(batch, (list, tuple)) else batch) for batch in calibration]
    if not batches:
        raise ValueError("calibration has no batch, expected at least one image")
    return np.concatenate(batches)


def _batch(batch):
    import numpy as np

    array = np.asarray(batch.detach().cpu() if hasattr(batch, "detach") else batch)
    if array.ndim != 4 or array.shape[1] not in (1, 3) or 0 in array.shape:
        raise ValueError(f"calibration images have shape {array.shape}, expected (n, channels, height, width) with 1 or 3 channels")
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "f":
        raise TypeError(f"calibration images have dtype {array.dtype}, expected uint8, or floats from 0 to 1")
    pixels = np.rint(array * 255)
    if not (np.abs(array * 255 - pixels) <= 1e-3).all() or pixels.min() < 0 or pixels.max() > 255:
        raise ValueError(
            f"calibration images are floats from {array.min()} to {array.max()}, expected pixels divided by 255, before they are normalized"
        )
    return pixels.astype(np.uint8)
