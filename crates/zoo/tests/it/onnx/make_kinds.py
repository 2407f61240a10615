"""Makes kinds.json: small models of each kind that tools write, with ONNX Runtime's logits for one image.

Written with PyTorch 2.15.0, onnx 1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0, numpy 2.4.6. Everything is seeded. Run
in this folder: python3 make_kinds.py
"""
import io
import json
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto as T
from onnx import helper, numpy_helper
from torch import nn
from torch.nn import functional as F

warnings.filterwarnings("ignore")
SHAPE = (1, 2, 6, 7)


def image(count):
    """As `image` in tests/it/onnx.rs."""
    index = np.arange(count, dtype=np.uint64)
    hashed = (index * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
    return ((hashed % np.uint64(4001)).astype(np.float32) / np.float32(1000) - np.float32(2)).astype(np.float32)


KINDS = {}


def runtime(model, x, output=None):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    info = session.get_inputs()[0]
    batch = info.shape[0] if isinstance(info.shape[0], int) else 1
    x = np.concatenate([x] * batch)
    names = [o.name for o in session.get_outputs()]
    return session.run([output or names[0]], {info.name: x})[0][0].reshape(-1)


class Graph:
    def __init__(self, opset=13, seed=1, shape=SHAPE, kind=T.FLOAT, batch="N"):
        self.rng, self.opset, self.shape, self.kind, self.batch = np.random.default_rng(seed), opset, shape, kind, batch
        self.nodes, self.constants, self.x, self.n, self.channels = [], [], "x", 0, shape[1]
        self.more = []

    def name(self, stem):
        self.n += 1
        return f"{stem}{self.n}"

    def constant(self, values, name=None):
        name = name or self.name("c")
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def ints(self, *values):
        return self.constant(np.array(values, np.int64))

    def floats(self, *shape, low=-1.0, high=1.0):
        return self.constant(self.rng.uniform(low, high, shape).astype(np.float32))

    def op(self, kind, *inputs, **attributes):
        name = self.name(kind)
        self.nodes.append(helper.make_node(kind, list(inputs) or [self.x], [name], name=name, **attributes))
        self.x = name
        return name

    def conv(self, out, size=3, x=None, group=1, bias=True, **attributes):
        rows, columns = (size, size) if isinstance(size, int) else size
        weight = self.rng.normal(size=(out, self.channels // group, rows, columns)) / (rows * columns)
        inputs = [x or self.x, self.constant(weight.astype(np.float32), self.name("conv") + ".weight")]
        if bias:
            inputs.append(self.floats(out))
        self.channels = out
        return self.op("Conv", *inputs, group=group, **attributes)

    def head(self, flat="Flatten", features=None):
        if flat:
            self.op(flat)
        features = features or len(runtime(self.model(), self.image()))
        weight = self.rng.normal(size=(5, features)).astype(np.float32) / np.sqrt(features).astype(np.float32)
        self.op("Gemm", self.x, self.constant(weight, "fc.weight"), self.floats(5), transB=1)

    def image(self):
        values = image(int(np.prod(self.shape))).reshape(self.shape)
        if self.kind == T.UINT8:
            return ((values + 2) * 63).astype(np.uint8)
        return values.astype(np.float16) if self.kind == T.FLOAT16 else values

    def model(self):
        x = helper.make_tensor_value_info("x", self.kind, [self.batch, *self.shape[1:]])
        outputs = [helper.make_tensor_value_info(name, T.FLOAT, None) for name in [self.x, *self.more]]
        graph = helper.make_graph(self.nodes, "kind", [x], outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)])
        model.ir_version = 8
        return model


def keep(name, model, x=image(int(np.prod(SHAPE))).reshape(SHAPE)):
    logits = runtime(model, x)
    assert np.isfinite(logits).all() and logits.std() > 0.01, (name, logits)
    # What tools note beside the network.
    del model.graph.value_info[:], model.metadata_props[:], model.graph.metadata_props[:]
    for part in [*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output]:
        part.doc_string = ""
        if hasattr(part, "metadata_props"):
            del part.metadata_props[:]
    KINDS[name] = {"model": model.SerializeToString().hex(), "logits": [float(f"{v:.7g}") for v in logits.astype(np.float64)]}


def kind(opset=13, **more):
    def run(build):
        g = Graph(opset, **more)
        build(g)
        keep(build.__name__, g.model(), g.image())

    return run


# Constants.
@kind()
def bias_behind_a_convolution(g):
    g.conv(4, bias=False)
    g.op("Add", g.x, g.floats(1, 4, 1, 1))
    g.op("Relu")
    g.conv(4)
    g.op("Add", g.floats(4, 1, 1), g.x)
    g.head()


@kind()
def bias_of_a_value_that_is_read_twice(g):
    x = g.conv(4)
    y = g.op("Add", x, g.floats(1, 4, 1, 1))
    g.op("Add", x, y)
    g.head()


@kind()
def scales_and_shifts_in_the_middle(g):
    g.conv(4)
    g.op("Mul", g.x, g.floats(1, 4, 1, 1))
    g.op("Sub", g.floats(1, 4, 1, 1), g.x)
    g.op("Div", g.x, g.constant(np.float32(0.7)))
    g.op("Relu")
    g.op("Mul", g.floats(4, 1, 1), g.x)
    g.head()
    g.op("Mul", g.x, g.constant(np.array([0.5], np.float32)))
    g.op("Add", g.x, g.floats(1, 5))


@kind()
def arithmetic_on_the_image(g):
    g.op("Sub", g.x, g.floats(1, 2, 1, 1))
    g.op("Div", g.x, g.constant(np.array([[[0.4]], [[0.6]]], np.float32)))
    g.op("Mul", g.x, g.constant(np.float32(1.5)))
    g.op("Add", g.constant(np.float32(0.25)), g.x)
    g.conv(4, pads=[1, 1, 1, 1])
    g.head()


@kind()
def arithmetic_on_one_reading_of_the_image(g):
    a = g.op("Sub", "x", g.floats(1, 2, 1, 1))
    g.op("Mul", "x", g.constant(np.float32(-2)))
    g.op("Add", a, g.x)
    g.head()


@kind(kind=T.UINT8)
def bytes_as_input(g):
    g.op("Cast", to=T.FLOAT)
    g.op("Div", g.x, g.constant(np.float32(255)))
    g.op("Sub", g.x, g.floats(1, 2, 1, 1, low=0.3, high=0.6))
    g.op("Div", g.x, g.floats(1, 2, 1, 1, low=0.2, high=0.3))
    g.conv(4, pads=[1, 1, 1, 1])
    g.head()


@kind(kind=T.UINT8, shape=(1, 6, 7, 3))
def bytes_with_channels_last(g):
    g.op("Transpose", perm=[0, 3, 1, 2])
    g.op("Cast", to=T.FLOAT)
    g.op("Sub", g.x, g.constant(np.array([120, 110, 100], np.float32).reshape(1, 3, 1, 1)))
    g.op("Mul", g.x, g.constant(np.float32(0.02)))
    g.channels = 3
    g.conv(4)
    g.head()


# Channels behind height and width.
@kind(15, shape=(1, 6, 7, 3))
def channels_last(g):
    g.op("Sub", g.x, g.floats(3))
    g.op("Transpose", perm=[0, 3, 1, 2])
    g.channels = 3
    g.conv(4, auto_pad="SAME_UPPER", strides=[2, 2])
    g.op("Transpose", perm=[0, 2, 3, 1])
    g.op("Add", g.x, g.floats(4))
    g.op("Relu")
    y = g.op("Pad", g.x, g.ints(0, 1, 0, 0, 0, 0, 1, 0))
    g.op("Mul", g.x, g.floats(1, 1, 1, 4))
    g.op("Concat", g.x, y, axis=-1)
    g.op("Flatten")
    g.op("Relu")
    g.head(None)


@kind(15, shape=(1, 6, 7, 3))
def mean_of_channels_last(g):
    g.op("Transpose", perm=[0, 3, 1, 2])
    g.channels = 3
    g.conv(4)
    g.op("Transpose", perm=[0, 2, 3, 1])
    g.op("ReduceMean", axes=[1, 2], keepdims=0)
    g.head(None)


@kind(15, shape=(1, 6, 7, 1))
def one_channel_behind(g):
    g.op("Reshape", g.x, g.ints(-1, 1, 6, 7))
    g.channels = 1
    g.conv(4)
    g.op("Transpose", perm=[0, 2, 3, 1])
    g.op("Reshape", g.x, g.ints(-1, 80))
    g.op("MatMul", g.x, g.floats(80, 5))
    g.op("Add", g.x, g.floats(5))


@kind()
def transposes_that_cancel(g):
    g.conv(4)
    g.op("Transpose", perm=[0, 2, 1, 3])
    g.op("Relu")
    g.op("Transpose", perm=[0, 3, 2, 1])
    g.op("Transpose", perm=[0, 3, 2, 1])
    g.op("Transpose", perm=[0, 2, 1, 3])
    g.conv(3)
    g.op("Transpose", perm=[0, 3, 1, 2])
    g.op("Flatten")
    g.op("BatchNormalization", g.x, *[g.floats(18, low=0.5, high=1.5) for _ in range(4)])
    g.head(None)


@kind()
def a_mean_over_one_axis_of_pixels(g):
    g.conv(4)
    g.op("Reshape", g.x, g.ints(0, 4, -1))
    g.op("ReduceMean", axes=[-1], keepdims=0)
    g.head(None)


# Batches and outputs.
@kind(batch=3)
def a_fixed_batch(g):
    x = g.conv(4)
    shape = g.op("Shape")
    g.op("Slice", shape, g.ints(0), g.ints(1))
    g.op("Concat", g.x, g.ints(-1), axis=0)
    g.op("Reshape", x, g.x)
    g.head(None)


@kind(batch=4)
def a_fixed_batch_in_the_shapes(g):
    g.conv(4)
    g.op("Reshape", g.x, g.ints(4, 80))
    g.head(None)
    g.op("Softmax", axis=1)


@kind()
def features_beside_logits(g):
    features = g.conv(4)
    g.head()
    g.more = [features]


# Windows.
for mode in ["SAME_UPPER", "SAME_LOWER"]:
    for size, stride in [((2, 2), (1, 1)), ((3, 2), (2, 2)), ((4, 3), (2, 3)), ((2, 5), (1, 3))]:

        def same(g):
            g.conv(4, (3, 1))
            x = g.x
            for pool, more in [("MaxPool", {}), ("AveragePool", {}), ("AveragePool", {"count_include_pad": 1})]:
                g.op(pool, x, kernel_shape=size, strides=stride, auto_pad=mode, **more)
            y = [node.output[0] for node in g.nodes if node.op_type.endswith("Pool")]
            g.op("Concat", *y, axis=1)
            g.channels = 12
            g.conv(4, (2, 2), auto_pad=mode, strides=[1, 1])
            g.head()

        same.__name__ = f"{mode.lower()}_{size[0]}{size[1]}_{stride[0]}{stride[1]}"
        kind()(same)


@kind()
def pad_that_never_wins(g):
    x = g.conv(4)
    a = g.op("Pad", x, g.ints(0, 0, 0, 2, 0, 0, 1, 0), g.constant(np.array(-np.inf, np.float32)))
    a = g.op("MaxPool", a, kernel_shape=[3, 3], strides=[2, 2])
    r = g.op("Relu", x)
    b = g.op("Pad", r, g.ints(0, 0, 1, 1, 0, 0, 1, 1), g.constant(np.array(-5, np.float32)))
    b = g.op("MaxPool", b, kernel_shape=[3, 3], strides=[3, 2])
    c = g.op("Pad", r, g.ints(0, 0, 2, 2, 0, 0, 2, 2))
    c = g.op("MaxPool", c, kernel_shape=[2, 2], strides=[4, 3])
    g.op("Concat", a, b, c, axis=1)
    g.head()


@kind(19)
def average_pools_that_round_up(g):
    x = g.conv(4)
    a = g.op("AveragePool", x, kernel_shape=[3, 3], strides=[2, 3], ceil_mode=1)
    b = g.op("AveragePool", x, kernel_shape=[2, 3], strides=[2, 3], ceil_mode=1, pads=[0, 1, 0, 0])
    c = g.op("AveragePool", x, kernel_shape=[3, 3], strides=[2, 3], ceil_mode=1, count_include_pad=1)
    g.op("Concat", a, b, c, axis=1)
    g.head()


@kind()
def dilated_convolutions(g):
    g.conv(4, (3, 2), dilations=[2, 3], pads=[2, 1, 2, 2])
    g.op("Relu")
    g.conv(4, 2, dilations=[2, 1], group=2)
    g.conv(4, (1, 2), dilations=[1, 2], strides=[2, 1], pads=[0, 1, 0, 1], group=4)
    g.head()


@kind()
def dilated_max_pools(g):
    g.conv(4, 1, pads=[2, 2, 2, 2])
    g.op("MaxPool", kernel_shape=[3, 2], strides=[2, 1], dilations=[2, 3], pads=[1, 1, 1, 1])
    g.op("MaxPool", kernel_shape=[3, 3], strides=[1, 1], dilations=[1, 2], pads=[1, 1, 1, 0])
    g.op("MaxPool", kernel_shape=[2, 3], strides=[2, 2], dilations=[2, 2], ceil_mode=1)
    g.head()


@kind()
def unequal_padding(g):
    g.conv(4, 3, pads=[0, 2, 1, 0], strides=[2, 1])
    g.op("Pad", g.x, g.ints(0, 0, 1, 0, 0, 0, 0, 1))
    g.op("AveragePool", kernel_shape=[2, 2], strides=[2, 2], pads=[0, 1, 1, 0], count_include_pad=1)
    g.op("MaxPool", kernel_shape=[2, 2], strides=[1, 1], pads=[1, 0, 0, 1])
    g.head()


# Bounds.
@kind()
def bounds(g):
    g.conv(4)
    g.op("Min", g.constant(np.float32(0.5)), g.x)
    g.op("Max", g.x, g.constant(np.float32(0)))
    g.conv(4, 1)
    g.op("Relu")
    g.op("Min", g.x, g.constant(np.array([0.3], np.float32)))
    g.conv(4, 1)
    g.op("Max", g.x, g.constant(np.float32(0)))
    g.op("Clip", g.x, "", g.constant(np.float32(0.2)))
    g.head()


@kind()
def leaky_relu(g):
    g.conv(4)
    g.op("LeakyRelu", alpha=0.2)
    g.conv(4)
    g.op("LeakyRelu")
    g.head()


@kind()
def largest_of_each_channel(g):
    g.conv(4)
    g.op("GlobalMaxPool")
    g.head()


# Layer norms that are written out.
def written_out(g, x, axis, squared):
    axes = {"axes": [axis]} if g.opset < 18 else {}
    mean = lambda of: g.op("ReduceMean", of, *([] if axes else [g.ints(axis)]), keepdims=1, **axes)
    centered = g.op("Sub", x, mean(x))
    if squared == "Pow":
        square = g.op("Pow", centered, g.constant(np.float32(2)))
    else:
        square = g.op("Mul", centered, centered)
    root = g.op("Sqrt", g.op("Add", mean(square), g.constant(np.float32(1e-3))))
    if squared == "Pow":
        g.op("Div", centered, root)
    else:
        g.op("Mul", g.op("Reciprocal", root), centered)
    shape = (4,) if axis == -1 else (4, 1, 1)
    g.op("Mul", g.x, g.floats(*shape, low=0.5, high=1.5))
    g.op("Add", g.x, g.floats(*shape))


@kind(9)
def layer_norms_written_out(g):
    x = g.op("Transpose", g.conv(4), perm=[0, 2, 3, 1])
    written_out(g, x, -1, "Pow")
    g.op("Relu", g.op("Transpose", perm=[0, 3, 1, 2]))
    g.conv(4, 1)
    written_out(g, g.x, 1, "Mul")
    g.head()


@kind(20)
def layer_norms_of_features_written_out(g):
    g.conv(4)
    g.op("GlobalAveragePool")
    written_out(g, g.op("Flatten"), -1, "Mul")
    g.head(None)


@kind(17)
def standardized_weights(g):
    """A convolution whose weights the file normalizes, as normalizer-free networks and BiT do."""
    weight = g.floats(4, 2, 3, 3)
    centered = g.op("Sub", weight, g.op("ReduceMean", weight, axes=[1, 2, 3], keepdims=1))
    count = g.op("Cast", g.op("ReduceProd", g.ints(2, 3, 3), keepdims=0), to=T.FLOAT)
    variance = g.op("Div", g.op("ReduceSum", g.op("Mul", centered, centered), g.ints(1, 2, 3), keepdims=1), count)
    scaled = g.op("Div", centered, g.op("Sqrt", variance))
    unit = g.op("Div", scaled, g.op("ReduceL2", scaled, axes=[1, 2, 3], keepdims=1))
    both = g.op("Concat", g.op("Conv", "x", scaled), g.op("Conv", "x", unit), axis=1)
    largest = g.op("ReduceMax", g.constant(np.array([[0.5, 2], [1, -3]], np.float32)), keepdims=0)
    g.op("Mul", both, largest)
    g.channels = 8
    g.head()


@kind(12)
def scaled_exponential_units(g):
    g.conv(4)
    g.op("Selu")
    g.conv(4, 1)
    g.op("Celu", alpha=0.7)
    g.conv(4, 1)
    g.op("Selu", alpha=1.5, gamma=1.2)
    g.head()


@kind()
def negated_and_summed(g):
    x = g.conv(4)
    g.op("Relu", g.op("Concat", x, g.op("Neg", x), axis=1))
    g.channels = 8
    g.conv(4, 1)
    g.op("Neg")
    g.op("ReduceSum", g.x, g.ints(2, 3), keepdims=0)
    g.head(None)


# Shortcuts without parameters.
@kind()
def option_a(g):
    x = g.op("Relu", g.conv(4, pads=[1, 1, 1, 1]))
    g.op("Slice", x, g.ints(0, 0), g.ints(2**63 - 1, 99), g.ints(-2, 3), g.ints(2, 2))
    s = g.op("Pad", g.x, g.ints(0, 1, 0, 0, 0, 3, 0, 0))
    g.op("Add", s, g.conv(8, x=x, strides=[2, 2], pads=[1, 1, 1, 1]))
    x = g.op("Relu")
    pooled = g.op("AveragePool", x, kernel_shape=[1, 1], strides=[2, 2])
    s = g.op("Concat", pooled, g.op("Mul", pooled, g.constant(np.float32(0))), axis=1)
    g.op("Add", g.conv(16, x=x, strides=[2, 2], pads=[1, 1, 1, 1]), s)
    g.head()


# Linear layers.
@kind()
def batch_norms_of_features(g):
    g.op("Flatten")
    g.op("MatMul", g.x, g.floats(84, 6))
    g.op("BatchNormalization", g.x, *[g.floats(6, low=0.5, high=1.5) for _ in range(4)], epsilon=1e-3)
    g.op("Relu")
    g.op("BatchNormalization", g.x, *[g.floats(6, low=0.5, high=1.5) for _ in range(4)])
    g.head(None)


@kind()
def gemms(g):
    g.op("Flatten")
    g.op("Gemm", g.x, g.floats(84, 6), g.floats(1, 6), alpha=0.5, beta=2.0)
    g.op("Relu")
    g.op("Gemm", g.x, g.floats(5, 6), g.constant(np.float32(0.5)), transB=1)


@kind()
def weights_made_of_constants(g):
    g.constants.append(numpy_helper.from_array(np.arange(24, dtype=np.float32).reshape(3, 4, 2, 1) / 20 - 0.5, "raw"))
    g.op("Transpose", "raw", perm=[1, 2, 0, 3])
    g.op("Slice", g.x, g.ints(0), g.ints(4), g.ints(2))
    g.op("Reshape", g.x, g.ints(4, 2, 3, 1))
    g.op("Mul", g.x, g.floats(4, 1, 1, 1))
    w = g.op("Div", g.x, g.op("Sqrt", g.floats(4, 1, 1, 1, low=0.5, high=2)))
    g.op("Conv", "x", w)
    g.head()


# Operator sets before 13, with attributes that became inputs.
@kind(7)
def operator_set_7(g):
    g.op("Pad", mode="constant", pads=[0, 0, 1, 0, 0, 0, 0, 1], value=0.0)
    g.conv(4)
    g.op("BatchNormalization", g.x, *[g.floats(4, low=0.5, high=1.5) for _ in range(4)], spatial=1, momentum=0.9)
    g.op("Clip", min=0.0, max=0.5)
    g.op("Dropout", ratio=0.5)
    g.op("Slice", axes=[2], starts=[0], ends=[99])
    g.op("ReduceMean", axes=[2, 3], keepdims=1)
    g.op("Squeeze", axes=[3])
    g.op("Unsqueeze", axes=[3])
    g.op("Squeeze", axes=[2, 3])
    g.head(None)
    g.op("Softmax")


@kind(12)
def operator_set_12(g):
    g.conv(4)
    g.op("Clip", g.x, g.constant(np.float32(0)), g.constant(np.float32(0.7)))
    g.op("Pad", g.x, g.ints(0, 0, 1, 0, 0, 0, 0, 1))
    g.op("AveragePool", kernel_shape=[2, 2], strides=[2, 2])
    g.op("Dropout", g.x, g.constant(np.float32(0.5)))
    g.op("Flatten", axis=-3)
    g.head(None)
    g.op("LogSoftmax")


@kind(kind=T.FLOAT16)
def halves(g):
    g.conv(4)
    g.op("Relu")
    g.head(features=4 * 4 * 5)
    for tensor in g.constants:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32:
            half = values.astype(np.float16)
            tensor.CopyFrom(helper.make_tensor(tensor.name, T.FLOAT16, half.shape, half.flatten()))
            assert tensor.int32_data
    g.op("Cast", to=T.FLOAT)


# What PyTorch writes of padding: by both exporters, with a batch of one and of any size.
# Modern blocks.
class Excited(nn.Module):
    """Squeeze and excitation with each activation."""

    def __init__(self):
        super().__init__()
        self.conv, self.down, self.up, self.fc = nn.Conv2d(2, 6, 3), nn.Conv2d(6, 3, 1), nn.Conv2d(3, 6, 1), nn.Linear(6, 5)
        self.prelu = nn.PReLU(6, init=0.3)
        with torch.no_grad():
            self.prelu.weight.copy_(torch.linspace(-0.2, 0.4, 6))

    def forward(self, x):
        x = F.hardswish(self.conv(x))
        x = x * torch.sigmoid(self.up(F.silu(self.down(F.adaptive_avg_pool2d(x, 1)))))
        x = F.mish(self.prelu(x)) - 0.3 * torch.tanh(x)
        x = x * F.hardsigmoid(torch.amax(x, (2, 3), keepdim=True)) + F.softplus(x) * F.elu(x, 0.7)
        return self.fc(F.hardtanh(x, -0.2, 0.9).mean((2, 3)))


class Shuffled(nn.Module):
    """A unit of ShuffleNet."""

    def __init__(self):
        super().__init__()
        self.conv, self.branch, self.fc = nn.Conv2d(2, 12, 3), nn.Conv2d(6, 6, 3, 1, 1, groups=6), nn.Linear(12, 5)

    def forward(self, x):
        x = F.relu(self.conv(x))
        a, b = x.chunk(2, 1)
        x = torch.cat([a, self.branch(b)], 1)
        n, c, h, w = x.shape
        x = x.view(n, 3, c // 3, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
        x = torch.cat([x[:, 4:], x[:, :4]], 1)
        return self.fc(x.mean((2, 3)))


class Normalized(nn.Module):
    """A block of ConvNeXt."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.last = nn.Conv2d(2, 8, 3), nn.LayerNorm(8, 1e-6), nn.LayerNorm(8)
        self.up, self.down, self.fc = nn.Linear(8, 16), nn.Linear(16, 8), nn.Linear(8, 5)
        self.scale = nn.Parameter(torch.linspace(0.5, 1.5, 8).view(8, 1, 1))

    def forward(self, x):
        x = F.gelu(self.conv(x))
        y = self.down(F.gelu(self.up(self.norm(x.permute(0, 2, 3, 1))), approximate="tanh"))
        x = x + self.scale * y.permute(0, 3, 1, 2)
        return self.fc(self.last(x.mean((2, 3))))


class Padded(nn.Module):
    def __init__(self):
        super().__init__()
        self.pad, self.conv, self.fc = nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(2, 4, 3, 2), nn.Linear(4, 5)

    def forward(self, x):
        x = F.relu(self.conv(self.pad(x)))
        x = F.pad(x, (1, 0, 2, 1, 0, 0))
        return self.fc(x.mean((2, 3)))


class OptionA(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.next, self.fc = nn.Conv2d(2, 4, 3, 1, 1), nn.Conv2d(4, 8, 3, 2, 1), nn.Linear(8, 5)

    def forward(self, x):
        x = F.relu(self.conv(x))
        x = F.relu(self.next(x) + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2), "constant", 0))
        return self.fc(F.avg_pool2d(x, (3, 4)).view(x.size(0), -1))


class Packed(nn.Module):
    """Attention as torchvision's vision transformers have it."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(12, 3, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x, need_weights=False)[0]


class Joined(nn.Module):
    """Attention as timm's DeiT has it, with queries, keys and values in one layer."""

    def __init__(self):
        super().__init__()
        self.qkv, self.out = nn.Linear(12, 36), nn.Linear(12, 12)

    def forward(self, x):
        n, tokens, channels = x.shape
        q, k, v = self.qkv(x).reshape(n, tokens, 3, 3, channels // 3).permute(2, 0, 3, 1, 4).unbind(0)
        x = F.scaled_dot_product_attention(q, k, v)
        return self.out(x.transpose(1, 2).reshape(n, tokens, channels))


class Apart(nn.Module):
    """Attention with a layer each for queries, keys and values, written out, with a scale of its own."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(12, 12) for _ in range(4)])

    def forward(self, x):
        n, tokens, channels = x.shape
        q, k, v = (layer(x).view(n, tokens, 2, 6).transpose(1, 2) for layer in self.layers[:3])
        x = ((q @ k.transpose(-2, -1)) / 3.0).softmax(dim=-1) @ v
        return self.layers[3](x.transpose(1, 2).reshape(n, tokens, channels))


class Transformer(nn.Module):
    """A vision transformer of one block, with a class token, or with the mean of all tokens."""

    def __init__(self, attention, mean=False):
        super().__init__()
        self.mean, self.patches = mean, nn.Conv2d(2, 12, 2, 2)
        self.token = nn.Parameter(torch.randn(1, 1, 12))
        self.positions = nn.Parameter(torch.randn(1, 9 if mean else 10, 12))
        self.first, self.attention, self.second = nn.LayerNorm(12, 1e-6), attention(), nn.LayerNorm(12, 1e-6)
        self.perceptron = nn.Sequential(nn.Linear(12, 20), nn.GELU(), nn.Linear(20, 12))
        self.norm, self.head = nn.LayerNorm(12, 1e-6), nn.Linear(12, 5)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        if not self.mean:
            x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1)
        x = x + self.positions
        x = x + self.attention(self.first(x))
        x = self.norm(x + self.perceptron(self.second(x)))
        return self.head(x.mean(1) if self.mean else x[:, 0])


def exported(module, dynamo, dynamic, opset=17):
    torch.manual_seed(3)
    model, x = module().eval(), torch.zeros(SHAPE)
    file = io.BytesIO()
    if dynamo:
        shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
        torch.onnx.export(model, torch.zeros(2 if dynamic else 1, *SHAPE[1:]), file, dynamo=True, dynamic_shapes=shapes, verbose=False)
    else:
        axes = {"x": {0: "batch"}} if dynamic else None
        torch.onnx.export(model, x, file, dynamo=False, input_names=["x"], dynamic_axes=axes, opset_version=opset)
    return onnx.load_from_string(file.getvalue())


for module in [Padded, OptionA]:
    for dynamo in [False, True]:
        for dynamic in [False, True]:
            name = f"{module.__name__}_{'dynamo' if dynamo else 'traced'}_{'dynamic' if dynamic else 'fixed'}".lower()
            keep(name, exported(module, dynamo, dynamic))

for module, opsets in [(Excited, (9, 13, 17, 18)), (Shuffled, (9, 13, 17, 18)), (Normalized, (17, 20))]:
    for opset in opsets:
        keep(f"{module.__name__.lower()}_traced_{opset}", exported(module, False, True, opset))
    keep(f"{module.__name__.lower()}_dynamo", exported(module, True, True))

for attention, mean, opset in [(Packed, False, 17), (Joined, False, 20), (Apart, True, 13)]:
    for dynamo, dynamic in [(False, True), (True, attention is Joined)]:
        name = f"transformer_{attention.__name__}_{'dynamo' if dynamo else 'traced'}"
        keep(name.lower(), exported(lambda: Transformer(attention, mean), dynamo, dynamic, opset))

with open("kinds.json", "w") as file:
    json.dump(KINDS, file, indent=0)
    file.write("\n")
