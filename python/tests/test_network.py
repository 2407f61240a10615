"""Networks: quantized as the program does it, and their predictions."""

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import zerospace
from zerospace._quantize import _safetensors

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM = Path(sys.executable).with_name("zerospace")
STORED = REPOSITORY / "experiments" / "networks" / "resnet18-synthetic.safetensors"
ONNX = REPOSITORY / "crates" / "zoo" / "tests" / "it" / "onnx" / "mobilenet_v2.onnx"


@pytest.fixture(scope="module")
def network():
    return zerospace.Network.load(STORED)


@pytest.fixture(scope="module")
def images():
    """Stripes of random colours and directions, which the network puts into different classes."""
    draw = np.random.default_rng(3)
    row, column = (axis[None, :, :, None] for axis in np.mgrid[:32, :32])
    per_row, per_column = draw.uniform(0, 1.5, (2, 300, 1, 1, 3))
    wave = np.sin(row * per_row + column * per_column + draw.uniform(0, 6, (300, 1, 1, 3)))
    return (draw.uniform(60, 200, (300, 1, 1, 3)) + 55 * wave).astype(np.uint8)


@pytest.fixture(scope="module")
def state_dict(network):
    """The float parameters of a thin ResNet-18: the stored ones, and the weights as the network computes with them."""
    content = STORED.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + size]), content[8 + size :]
    parameters = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            first, end = entry["data_offsets"]
            parameters[name] = np.frombuffer(data[first:end], np.float32).reshape(entry["shape"])
    for name, weights in network.weights.items():
        parameters[name] = weights.astype(np.float32) / network.levels_per_unit[name][0]
    return {name: array for name, array in parameters.items() if "levels" not in name and "scale" not in name}


def quantized_by_the_program(tmp_path, arguments):
    output = tmp_path / "program.safetensors"
    command = [PROGRAM, "quantize", *arguments, "--set", "synthetic", "--images", "10", "-o", output]
    subprocess.run([str(word) for word in command], check=True, capture_output=True, cwd=tmp_path)
    return output.read_bytes()


def saved(network, tmp_path):
    network.save(tmp_path / "package.safetensors")
    return (tmp_path / "package.safetensors").read_bytes()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_onnx_model_is_quantized_as_by_the_program(tmp_path):
    network = zerospace.from_onnx(ONNX, "synthetic", throttle="in-place-64-57", scale="least-error")
    asked = [ONNX, "--throttle", "--scale", "least-error"]
    assert saved(network, tmp_path) == quantized_by_the_program(tmp_path, asked)
    zerospace.Memory(network.weights, "in-place-64-57")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_each_tensor_is_clamped_into_the_range_of_its_code():
    free = zerospace.from_onnx(ONNX, "synthetic", scale="least-error")
    seven_bits = "in-place-64-57"
    one_code = zerospace.from_onnx(ONNX, "synthetic", throttle=seven_bits, scale="least-error")
    names = list(free.weights)
    codes = zerospace.code_map({**dict.fromkeys(names, seven_bits), names[0]: "faulty"}, "all-but-the-first")
    mixed = zerospace.from_onnx(ONNX, "synthetic", throttle=codes, scale="least-error")
    assert (mixed.weights[names[0]] == free.weights[names[0]]).all()
    assert all((mixed.weights[name] == one_code.weights[name]).all() for name in names[1:])
    zerospace.Memory(mixed.weights, codes)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_state_dict_is_quantized_as_by_the_program(tmp_path, state_dict):
    file = tmp_path / "state_dict.safetensors"
    file.write_bytes(_safetensors(state_dict))
    form = {"variant": "cifar", "width": 0.125, "calibration_images": 64}
    asked = ["--arch", "resnet18", "--variant", "cifar", "--width", "0.125", "--calibration-images", "64"]
    by_program = quantized_by_the_program(tmp_path, [file, *asked])
    assert saved(zerospace.from_state_dict(file, "resnet18", "synthetic", **form), tmp_path) == by_program
    assert saved(zerospace.from_state_dict(state_dict, "resnet18", "synthetic", **form), tmp_path) == by_program
    assert saved(zerospace.from_safetensors(file, "resnet18", "synthetic", **form), tmp_path) == by_program


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_array_calibrates(state_dict, images):
    form = {"arch": "resnet18", "variant": "cifar", "width": 0.125, "classes": 10}
    rows_first = zerospace.from_state_dict(state_dict, calibration=images[:20], **form)
    channels_first = zerospace.from_state_dict(state_dict, calibration=images[:20].transpose(0, 3, 1, 2), **form)
    assert rows_first.digest == channels_first.digest
    assert rows_first.digest != zerospace.from_state_dict(state_dict, calibration=images[20:40], **form).digest
    dynamic = zerospace.from_state_dict(state_dict, batch=10, input=(3, 32, 32), **form)
    assert dynamic.predict(images[:20]).shape == (20,)


def test_remarks_are_warnings():
    with pytest.warns(UserWarning, match="the images are synthetic"):
        zerospace.from_onnx(ONNX, "synthetic", calibration_images=8)


def test_predictions_depend_on_no_layout_and_no_division(network, images):
    predictions = network.predict(images)
    assert predictions.shape == (300,) and predictions.dtype == np.uint16
    assert len(set(predictions.tolist())) > 1 and predictions.max() < 10
    assert (network.predict(images.transpose(0, 3, 1, 2)) == predictions).all()
    assert (np.concatenate([network.predict(images[:7]), network.predict(images[7:])]) == predictions).all()
    assert network.predict(images[:0]).shape == (0,)


def test_progress_is_reported_in_the_callers_thread(network, images):
    calls = []
    network.predict(images, progress=lambda *call: calls.append((*call, threading.get_ident())))
    assert calls[-1][:3] == (300, 300, "images")
    assert {call[3] for call in calls} == {threading.get_ident()}

    def refuse(done, total, unit):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        network.predict(images, progress=refuse)


def test_ctrl_c_interrupts_a_prediction(tmp_path):
    code = f"""
import numpy, zerospace
network = zerospace.Network.load({str(STORED)!r})
print("ready", flush=True)
network.predict(numpy.zeros((40000, 32, 32, 3), numpy.uint8))
"""
    running = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout.readline() == "ready\n"
    time.sleep(0.3)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=30)
    assert said.rstrip().endswith("KeyboardInterrupt") and running.returncode != 0


def test_ctrl_c_ends_a_calibration_and_its_threads(tmp_path):
    told = []
    zerospace.from_onnx(ONNX, calibration=np.zeros((8, 3, 32, 32), np.uint8), progress=lambda *step: told.append(step))
    assert told[-1] == (8, 8, "images")
    code = f"""
import numpy, time, zerospace
images = numpy.zeros((60_000, 3, 32, 32), numpy.uint8)
begun = []
def progress(done, total, unit):
    if done and not begun:
        begun.append(print("ready", flush=True))
try:
    zerospace.from_onnx({str(ONNX)!r}, calibration=images, progress=progress)
except KeyboardInterrupt:
    for _ in range(40):
        used = time.process_time()
        time.sleep(0.5)
        if time.process_time() - used < 0.05:
            print("ended")
            break
"""
    running = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout.readline() == "ready\n"
    running.send_signal(signal.SIGINT)
    ended, said = running.communicate(timeout=120)
    assert ended == "ended\n", said


@pytest.mark.parametrize(
    "given, error, sentence",
    [
        (np.zeros((2, 32, 32, 3)), TypeError, "images has dtype float64, expected uint8"),
        ([1], TypeError, "images is of type list, expected a numpy array of dtype uint8"),
        (np.zeros((32, 32, 3), np.uint8), ValueError, "images has shape (32, 32, 3), expected (n, channels, height, width) or"),
        (np.zeros((2, 28, 28, 1), np.uint8), ValueError, "images has shape (2, 28, 28, 1), expected (n, 3, 32, 32) or (n, 32, 32, 3)"),
    ],
)
def test_wrong_images_are_refused_in_a_sentence(network, given, error, sentence):
    with pytest.raises(error) as refused:
        network.predict(given)
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({}, "calibration is missing, expected a uint8 array of images, the name of a data set, or batch=N"),
        ({"calibration": "synthetic", "batch": 3}, "calibration and batch are given, expected one"),
        ({"batch": 0}, "batch is 0, expected at least 1 image"),
        ({"batch": 1, "scale": "least"}, 'scale is "least", expected "largest" or "least-error"'),
        ({"batch": 1, "throttle": "none"}, "throttle: unknown protection `none`"),
        ({"batch": 1, "std": [0.0]}, "std is "),
        ({"calibration": np.zeros((0, 32, 32, 3), np.uint8)}, "calibration has no images"),
    ],
)
def test_wrong_options_are_refused_in_a_sentence(options, sentence):
    with pytest.raises(ValueError) as refused:
        zerospace.from_onnx(ONNX, **options)
    assert str(refused.value).startswith(sentence)


def test_wrong_state_dicts_are_refused_in_a_sentence(state_dict):
    form = {"variant": "cifar", "width": 0.125, "batch": 1, "input": (3, 32, 32)}
    with pytest.raises(ValueError, match="classes is missing, expected the number of classes"):
        zerospace.from_state_dict(state_dict, "resnet18", **form)
    with pytest.raises(ValueError, match="resnet81"):
        zerospace.from_state_dict(state_dict, "resnet81", classes=10, **form)
    with pytest.raises(TypeError, match="state_dict\\['w'\\] is of type list"):
        zerospace.from_state_dict({"w": [1.0]}, "resnet18", classes=10, **form)
    with pytest.raises(ValueError, match="no dict in the file resembles resnet18"):
        zerospace.from_state_dict({"w": np.zeros(3, np.float32)}, "resnet18", classes=10, **form)
    with pytest.raises(FileNotFoundError):
        zerospace.from_onnx("missing.onnx", batch=1)


def test_tensors_of_torch_are_taken(state_dict):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    form = {"variant": "cifar", "width": 0.125, "batch": 1, "input": (3, 32, 32), "classes": 10}
    tensors = {name: torch.from_numpy(array.copy()).requires_grad_() for name, array in state_dict.items()}
    by_arrays = zerospace.from_state_dict(state_dict, "resnet18", **form)
    assert zerospace.from_state_dict(tensors, "resnet18", **form).digest == by_arrays.digest
