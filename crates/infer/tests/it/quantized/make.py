"""Makes the small quantized networks of this folder, and what ONNX Runtime computes for them.

    pip install torch onnx onnxruntime numpy
    python3 make.py

NAME.onnx is a network; images.bin holds 24 images of 3 x 12 x 12 bytes, which are normalized with mean 0.5 and standard
deviation 0.25; NAME.bin holds the logits, 7 an image as little-endian f32, from onnxruntime 1.32.0 on x64 with
session.x64quantprecision=1 and full optimisation. int8 activations are given to ONNX Runtime as uint8.
mobilenet_v2-int8.onnx is the network of ../../../../zoo/tests/it/onnx/mobilenet_v2.onnx, quantized for the manual.
"""
import os
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from torch import nn
from torch.nn import functional

HERE = os.path.dirname(os.path.abspath(__file__))


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.squeeze = nn.Conv2d(16, 8, 1)
        self.excite = nn.Conv2d(8, 16, 1)
        self.left = nn.Conv2d(8, 12, 3, padding=1)
        self.right = nn.Conv2d(8, 12, 1, bias=False)
        self.strided = nn.Conv2d(24, 20, 3, stride=2, padding=1, groups=2)
        self.hidden = nn.Linear(20 * 2 * 2, 11)
        self.last = nn.Linear(11, 7)

    def forward(self, x):
        x = functional.relu(self.stem(x))
        y = self.depthwise(x)
        y = y * torch.sigmoid(y)
        weight = functional.relu(self.squeeze(functional.adaptive_avg_pool2d(y, 1)))
        x = functional.max_pool2d(x + y * functional.hardsigmoid(self.excite(weight)), 3, 2, 1)
        left, right = torch.split(x, 8, 1)
        x = torch.cat([functional.relu(self.left(left)), functional.leaky_relu(self.right(right), 0.1)], 1)
        n, _, h, w = x.shape
        x = x.reshape(n, 2, 12, h, w).transpose(1, 2).reshape(n, 24, h, w)
        x = functional.avg_pool2d(functional.relu(self.strided(x)), 2, 1)
        return self.last(functional.relu(self.hidden(torch.flatten(x, 1))))


def normalized(images):
    f = np.float32
    return ((images.astype(f) / f(255) - f(0.5)) / f(0.25)).astype(f)


class Reader(CalibrationDataReader):
    def __init__(self, images):
        self.images = iter(normalized(images)[:, None])

    def get_next(self):
        image = next(self.images, None)
        return None if image is None else {"x": image}


def mobilenet():
    source = os.path.join(HERE, "../../../../zoo/tests/it/onnx/mobilenet_v2.onnx")
    images = np.random.default_rng(5).integers(0, 256, (16, 3, 32, 32)).astype(np.float32) / 255
    # Quantizers leave a ReduceMean in float.
    model = onnx.load(source)
    for node in model.graph.node:
        if node.op_type == "ReduceMean":
            del node.input[1:], node.attribute[:]
            node.op_type = "GlobalAveragePool"
    image = model.graph.input[0].name
    reader = Reader(np.zeros((0, 3, 32, 32), np.uint8))
    feeds = iter([{image: ((value[None] - 0.45) / 0.225).astype(np.float32)} for value in images])
    reader.get_next = lambda: next(feeds, None)
    target = os.path.join(HERE, "mobilenet_v2-int8.onnx")
    quantize_static(
        model, target, reader, quant_format=QuantFormat.QOperator, activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8, per_channel=True,
    )
    print("mobilenet_v2-int8", os.path.getsize(target))


def main():
    torch.manual_seed(3)
    model = Network().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 1.6
    generator = np.random.default_rng(4)
    images = generator.integers(0, 256, (24, 3, 12, 12)).astype(np.uint8)
    images.tofile(os.path.join(HERE, "images.bin"))
    sys.path.insert(0, os.path.join(HERE, "../../../../../experiments/quantized-onnx"))
    from measure import unsigned

    with tempfile.TemporaryDirectory() as folder:
        source, other = os.path.join(folder, "float.onnx"), os.path.join(folder, "uint8.onnx")
        torch.onnx.export(
            model, torch.zeros(1, 3, 12, 12), source, dynamo=False, opset_version=17, input_names=["x"],
            output_names=["y"],
        )
        for name, form, activations, weights, per_channel in [
            ("qdq-u8s8", "QDQ", "QUInt8", "QInt8", True),
            ("qdq-s8s8", "QDQ", "QInt8", "QInt8", False),
            ("qdq-u8u8", "QDQ", "QUInt8", "QUInt8", False),
            ("qoperator-u8s8", "QOperator", "QUInt8", "QInt8", True),
        ]:
            file = os.path.join(HERE, name + ".onnx")
            quantize_static(
                source, file, Reader(images), quant_format=QuantFormat[form], activation_type=QuantType[activations],
                weight_type=QuantType[weights], per_channel=per_channel, extra_options={"WeightSymmetric": True},
            )
            model_of = onnx.load(file)
            del model_of.graph.value_info[:]
            model_of.doc_string = ""
            for node in model_of.graph.node:
                node.doc_string = ""
            onnx.save(model_of, file)
            given = file
            if activations == "QInt8":
                unsigned(file, other)
                given = other
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3
            options.add_session_config_entry("session.x64quantprecision", "1")
            session = onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
            logits = [session.run(None, {"x": image[None]})[0][0] for image in normalized(images)]
            np.array(logits, "<f4").tofile(os.path.join(HERE, name + ".bin"))
            print(name, os.path.getsize(file), {tuple(logit) for logit in np.argmax(logits, 1)[:, None].tolist()})


main()
mobilenet()
