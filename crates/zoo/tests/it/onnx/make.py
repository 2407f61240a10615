"""Exports the models that tests/it/onnx.rs reads, and records ONNX Runtime's logits for one image each.

Written with PyTorch 2.15.0, onnx 1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0. Parameters are seeded and thin;
running statistics are those of a few random images, so that no layer is idle. Run in this folder:
python3 make.py

- mobilenet_v2: torchvision's, width 0.1 and fewer blocks, by the exporter that torch.onnx.export uses unless told otherwise
- mobilenet_v2_traced: the same network by the older, tracing exporter, which folds batch norms and leaves
  `Clip` bounds and shapes as nodes
- efficientnet_lite: inverted residuals with 3x3 and 5x5 depthwise convolutions, "same" padding as TensorFlow
  has it (zeros below and on the right), ReLU6, no squeeze-and-excitation; exported without fusion, so that
  batch norms and padding stay nodes, and with a batch of any size
- mixed: what the others leave out: average pools with and without counted padding, a max pool with ceil mode,
  grouped convolution, concatenation, a batch norm behind it, padding that only an own layer can add, a linear layer without a bias as
  MatMul and one as MatMul and Add, Softmax at the end
"""
import json
import warnings

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import torch
from onnx import helper, numpy_helper
from onnxscript.optimizer import fold_constants, remove_unused_nodes
from torch import nn
from torch.nn import functional as F
from torchvision.models import mobilenet_v2
from torchvision.ops import Conv2dNormActivation

warnings.filterwarnings("ignore")
CLASSES = 10


def seeded(model, side, channels=3):
    """Random running statistics and affine parameters; weights are PyTorch's, from the seed."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
            module.momentum = None
    model.train()
    with torch.no_grad():
        for _ in range(4):
            model(torch.randn(8, channels, side, side))
    return model.eval()


class Same(nn.Module):
    """TensorFlow's "same" padding in front of a convolution without padding."""

    def __init__(self, kernel, stride):
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x):
        def pads(size):
            total = max((-(-size // self.stride) - 1) * self.stride + self.kernel - size, 0)
            return [total // 2, total - total // 2]

        return F.pad(x, pads(int(x.shape[3])) + pads(int(x.shape[2])))


def block(inputs, outputs, kernel=1, stride=1, groups=1, act=True):
    layers = [Same(kernel, stride)] if kernel > 1 else []
    layers += [nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False), nn.BatchNorm2d(outputs, eps=1e-3)]
    return nn.Sequential(*layers, *([nn.ReLU6()] if act else []))


class Inverted(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride, expand):
        super().__init__()
        hidden = inputs * expand
        first = [block(inputs, hidden)] if expand > 1 else []
        self.body = nn.Sequential(
            *first, block(hidden, hidden, kernel, stride, hidden), block(hidden, outputs, act=False)
        )
        self.skips = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.body(x) if self.skips else self.body(x)


class EfficientNetLite(nn.Module):
    """The stages of Tan and Le, "EfficientNet", 2019, table 1, in the Lite form, thinner."""

    def __init__(self):
        super().__init__()
        stages = [(1, 8, 1, 3, 1), (6, 8, 2, 3, 2), (6, 8, 2, 5, 2), (4, 12, 1, 3, 2), (4, 12, 2, 5, 1), (4, 16, 1, 5, 2)]
        layers, inputs = [block(3, 8, 3, 2)], 8
        for expand, outputs, count, kernel, stride in stages:
            for i in range(count):
                layers.append(Inverted(inputs, outputs, kernel, stride if i == 0 else 1, expand))
                inputs = outputs
        self.features = nn.Sequential(*layers, block(inputs, 48))
        self.classifier = nn.Linear(48, CLASSES)

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.grouped = nn.Conv2d(8, 12, 3, stride=2, groups=2, bias=False)
        self.bn = nn.BatchNorm2d(16, eps=1e-3)
        self.side = nn.Conv2d(8, 4, (1, 7), stride=2, padding=(0, 3))
        self.hidden = nn.Linear(16 * 3 * 3, 20, bias=False)
        self.logits = nn.Linear(20, CLASSES)

    def forward(self, x):
        x = F.relu(self.stem(x))
        x = F.avg_pool2d(x, 3, 1, 1) + F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        wide = self.grouped(F.pad(x, (1, 2, 0, 2)))
        narrow = F.hardtanh(self.side(x), 0, 2.5)
        x = F.relu6(self.bn(torch.cat([wide, narrow], 1)))
        x = F.max_pool2d(x, 3, 2, ceil_mode=True)
        x = F.relu(F.max_pool2d(x, 2, 1, 0))
        x = F.relu(self.hidden(torch.flatten(x, 1)))
        return F.softmax(self.logits(x), 1)


def export(name, model, side, channels=3, **options):
    path = f"{name}.onnx"
    torch.manual_seed(1)
    x = torch.randn(1, channels, side, side)
    torch.onnx.export(model, (x,), path, input_names=["image"], output_names=["logits"], verbose=False, **options)
    model = onnx_ir.load(path)
    fold_constants(model)
    remove_unused_nodes(model)
    file = onnx_ir.to_proto(model)
    for node in file.graph.node:
        # Where in the script a node came from: half of the file.
        del node.metadata_props[:]
        node.doc_string = ""
    del file.graph.value_info[:], file.metadata_props[:], file.graph.metadata_props[:]
    onnx.save(file, path)
    return record(name, file, (channels, side, side))


def record(name, file, shape):
    # A multiplicative hash of the index, in steps of 1/1000 from -2 to 2: tests repeat it.
    count = int(np.prod(shape))
    hashed = (np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
    image = (hashed % np.uint64(4001)).astype(np.float32) / np.float32(1000) - np.float32(2)
    session = onnxruntime.InferenceSession(file.SerializeToString(), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {session.get_inputs()[0].name: image.reshape(1, *shape)})
    operators = sorted({node.op_type for node in file.graph.node})
    print(name, file.ByteSize(), file.opset_import[0].version, operators)
    return {"shape": shape, "logits": [float(v) for v in logits.flatten()]}


def with_matmul(file):
    """Gemm as TensorFlow's exporter writes it: MatMul, and an Add where there is a bias."""
    weights = {tensor.name: tensor for tensor in file.graph.initializer}
    for index, node in reversed(list(enumerate(file.graph.node))):
        if node.op_type != "Gemm":
            continue
        weight = weights[node.input[1]]
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight).T.copy(), weight.name))
        product = node.output[0] + "_product"
        nodes = [helper.make_node("MatMul", list(node.input[:2]), [product], node.name + "_matmul")]
        bias = node.input[2] if len(node.input) > 2 else None
        if bias:
            nodes.append(helper.make_node("Add", [bias, product], [node.output[0]], node.name + "_add"))
        else:
            nodes[0].output[0] = node.output[0]
        file.graph.node.remove(node)
        for new in reversed(nodes):
            file.graph.node.insert(index, new)
    onnx.checker.check_model(file)
    return file


if __name__ == "__main__":
    golden = {}
    torch.manual_seed(0)
    # Expansion, channels, repeats and stride of torchvision's stages, with fewer repeats.
    stages = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 2, 2), (6, 64, 2, 2), (6, 96, 1, 1), (6, 160, 1, 2)]
    mobile = mobilenet_v2(num_classes=CLASSES, width_mult=0.1, inverted_residual_setting=stages)
    mobile.features[-1] = Conv2dNormActivation(16, 64, kernel_size=1, activation_layer=nn.ReLU6)
    mobile.classifier[1] = nn.Linear(64, CLASSES)
    mobile = seeded(mobile, 32)
    golden["mobilenet_v2"] = export("mobilenet_v2", mobile, 32, external_data=False)
    golden["mobilenet_v2_traced"] = export("mobilenet_v2_traced", mobile, 32, dynamo=False, opset_version=13)
    lite = seeded(EfficientNetLite(), 48)
    golden["efficientnet_lite"] = export(
        "efficientnet_lite",
        lite,
        48,
        external_data=False,
        optimize=False,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
    )
    mixed = seeded(Mixed(), 15, 1)
    golden["mixed"] = export("mixed", mixed, 15, 1, external_data=False)
    file = with_matmul(onnx.load("mixed.onnx"))
    onnx.save(file, "mixed.onnx")
    golden["mixed"] = record("mixed", file, (1, 15, 15))
    with open("golden.json", "w") as out:
        json.dump(golden, out, indent=1)
