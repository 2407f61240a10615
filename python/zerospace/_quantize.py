"""Float networks to int8 networks: from ONNX models, and from state dicts with their architecture."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zerospace._protection import id_of
from zerospace._zerospace import Network

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Calibration = NDArray[np.uint8] | str | None

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
_SAFETENSORS = {"float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64"}

Progress = Callable[[int, int, str], object]


def from_onnx(
    path: str | PathLike[str],
    calibration: Calibration = None,
    *,
    output: str | None = None,
    calibration_images: int = 512,
    calibration_split: Literal["train", "test"] = "train",
    data: str | PathLike[str] = "data",
    mean: Sequence[float] = _MEAN,
    std: Sequence[float] = _STD,
    per_channel: bool = False,
    scale: Literal["largest", "least-error"] = "largest",
    throttle: Any = None,
    batch: int | None = None,
    progress: Progress | None = None,
) -> Network:
    """Quantize an ONNX model to an int8 network, as ``zerospace quantize`` does.

    ``calibration`` fixes the activation ranges: a uint8 array of images, (n, channels, height, width) or (n, height, width,
    channels), or the name of a data set in the folder ``data``, of which the first ``calibration_images`` images of
    ``calibration_split`` are taken (``"synthetic"`` needs no files). With ``batch=N`` the ranges are those of each batch of N
    images instead, as in the paper.

    Pixels are divided by 255; then ``mean`` is subtracted and ``std`` divides, for each channel. ``throttle`` clamps the weights
    into the range of a protection, such as ``"in-place-64-57"`` or one of your own, or each tensor into the range of its code in a
    :class:`CodeMap` or its file, ``"codes.toml"``. ``output`` names the output of the model that holds the logits,
    if it has several. ``progress`` is called as ``progress(done, total, unit)``; remarks are warnings.

    Raises ``OSError`` if a file cannot be read, ``TypeError`` and ``ValueError`` if an argument or a file is wrong.
    """
    options = _options(
        calibration, calibration_images, calibration_split, data, mean, std, per_channel, scale, throttle, batch, progress
    )
    return Network._from_onnx(path, output, options)


def from_state_dict(
    state_dict: str | PathLike[str] | Mapping[str, Any],
    arch: str,
    calibration: Calibration = None,
    *,
    classes: int | None = None,
    input: tuple[int, int, int] | None = None,
    variant: str | None = None,
    width: float = 1.0,
    key: str | None = None,
    prefix: str | None = None,
    calibration_images: int = 512,
    calibration_split: Literal["train", "test"] = "train",
    data: str | PathLike[str] = "data",
    mean: Sequence[float] = _MEAN,
    std: Sequence[float] = _STD,
    per_channel: bool = False,
    scale: Literal["largest", "least-error"] = "largest",
    throttle: Any = None,
    batch: int | None = None,
    progress: Progress | None = None,
) -> Network:
    """Quantize a state dict of a known architecture to an int8 network, as ``zerospace quantize --arch`` does.

    ``state_dict`` is a file (PyTorch or safetensors; no code in it runs), or a mapping from names to numpy arrays or torch
    tensors. ``arch`` is a name such as ``resnet20``, with ``variant`` and ``width`` if it has several. ``classes`` and ``input``,
    the shape (channels, height, width) of an image, are taken from the calibration images where these have them. ``key`` and
    ``prefix`` select one of several state dicts in a file. The other arguments are those of :func:`from_onnx`.

    Raises ``OSError`` if a file cannot be read, ``TypeError`` and ``ValueError`` if an argument or a file is wrong.
    """
    options = _options(
        calibration, calibration_images, calibration_split, data, mean, std, per_channel, scale, throttle, batch, progress
    )
    within = (arch, variant, width, classes, input, key, prefix, options)
    if not isinstance(state_dict, Mapping):
        return Network._from_state_dict(state_dict, *within)
    with tempfile.TemporaryDirectory(prefix="zerospace-") as folder:
        path = Path(folder) / "state_dict.safetensors"
        path.write_bytes(_safetensors(state_dict))
        return Network._from_state_dict(path, *within)


def from_safetensors(path: str | PathLike[str], arch: str, calibration: Calibration = None, **options: Any) -> Network:
    """Quantize a safetensors file of float weights. The arguments are those of :func:`from_state_dict`."""
    return from_state_dict(path, arch, calibration, **options)


def _options(
    calibration: Any,
    calibration_images: int,
    calibration_split: str,
    data: str | PathLike[str],
    mean: Sequence[float],
    std: Sequence[float],
    per_channel: bool,
    scale: str,
    throttle: Any,
    batch: int | None,
    progress: Progress | None,
) -> dict[str, Any]:
    """The options of quantization under the names that the extension reads."""
    throttle = throttle if throttle is None else id_of(throttle)
    return dict(locals())


def _safetensors(state_dict: Mapping[str, Any]) -> bytes:
    """The tensors as a safetensors file."""
    import numpy as np

    header, contents, end = {}, [], 0
    for name, tensor in state_dict.items():
        if not isinstance(name, str):
            raise TypeError(f"a name in state_dict is {name!r}, expected a string")
        if hasattr(tensor, "detach"):
            tensor = tensor.detach().cpu()
            tensor = tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor
            tensor = tensor.numpy()
        if not isinstance(tensor, np.ndarray):
            raise TypeError(f"state_dict[{name!r}] is of type {type(tensor).__name__}, expected a numpy array or a torch tensor")
        kind = _SAFETENSORS.get(str(tensor.dtype))
        if kind is None:
            raise TypeError(f"state_dict[{name!r}] has dtype {tensor.dtype}, expected one of {', '.join(_SAFETENSORS)}")
        content = tensor.tobytes()
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [end, end + len(content)]}
        contents.append(content)
        end += len(content)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(contents)
