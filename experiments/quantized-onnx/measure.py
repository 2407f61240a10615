"""Compares zerospace with ONNX Runtime on networks that onnxruntime.quantization quantized.

    cargo build --release -p zerospace-infer --example quantized_logits
    pip install torch torchvision onnx onnxruntime numpy
    python3 experiments/quantized-onnx/measure.py target/release/examples/quantized_logits results/quantized-onnx [NAME...]

Each network has the initial weights of torchvision after torch.manual_seed(1), batch norms with the statistics of 64
images, images of 64 x 64 pixels and 100 classes; the last bias is shifted so that the mean logits are zero and images have different
classes. It is exported by torch.onnx.export, its batch norms are folded by quant_pre_process, and quantize_static
quantizes it in four forms. A row says on how many of IMAGES random images all logits of zerospace equal ONNX Runtime's bit
for bit, under session.x64quantprecision=1 and full optimisation, and on how many ONNX Runtime's default gives other logits
or another class than under the option. A network with int8 activations is given to ONNX Runtime with the same levels as
uint8 (each zero point and level plus 128); what ONNX Runtime makes of the file itself is a column of its own. Rows go
to rows.json, which a later call with other names extends, and to README.md.
"""
import json
import os
import platform
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
import torchvision
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

warnings.filterwarnings("ignore")
IMAGES, SIDE, CLASSES = int(os.environ.get("IMAGES", "1000")), 64, 100
MEAN, STD = 0.5, 0.25
FORMS = [
    ("QDQ", "u8s8", "channel"),
    ("QDQ", "u8s8", "tensor"),
    ("QOperator", "u8s8", "channel"),
    ("QDQ", "s8s8", "channel"),
]
NAMES = (
    "resnet18 mobilenet_v2 mobilenet_v3_small efficientnet_b0 shufflenet_v2_x1_0 squeezenet1_1 dense vgg11_bn".split()
)


class Unit(nn.Sequential):
    def __init__(self, inputs, outputs, kernel):
        conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        super().__init__(conv, nn.BatchNorm2d(outputs), nn.ReLU())


class DenseBlock(nn.Module):
    """DenseNet's concatenations; batch norms follow their convolutions, so that they can be folded."""

    def __init__(self, inputs, growth, layers):
        super().__init__()
        sizes = [inputs + i * growth for i in range(layers)]
        self.layers = nn.ModuleList(nn.Sequential(Unit(n, 4 * growth, 1), Unit(4 * growth, growth, 3)) for n in sizes)

    def forward(self, x):
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x


def dense():
    layers, channels = [Unit(3, 32, 3), nn.MaxPool2d(2)], 32
    for block in range(3):
        layers.append(DenseBlock(channels, 16, 4))
        channels += 64
        if block < 2:
            layers += [Unit(channels, channels // 2, 1), nn.AvgPool2d(2)]
            channels //= 2
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES))


def network(name):
    torch.manual_seed(1)
    if name == "dense":
        model = dense()
    elif name == "vgg11_bn":
        features = torchvision.models.vgg11_bn(weights=None).features
        head = [nn.Flatten(), nn.Linear(2048, 256), nn.ReLU(), nn.Linear(256, CLASSES)]
        model = nn.Sequential(*features, *head)
    else:
        model = getattr(torchvision.models, name)(weights=None, num_classes=CLASSES)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        model.train()(torch.from_numpy(normalized(pixels(64, 4))))
    model.eval()
    if name.startswith("shufflenet"):
        # x.mean([2, 3]) is exported as a ReduceMean, which quantizers leave in float.
        model.mean = nn.AdaptiveAvgPool2d(1)

        def forward(x):
            for part in (model.conv1, model.maxpool, model.stage2, model.stage3, model.stage4, model.conv5, model.mean):
                x = part(x)
            return model.fc(torch.flatten(x, 1))

        model.forward = forward
    last = [m for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv2d))][-1]
    found = []
    hook = last.register_forward_hook(lambda module, inputs, output: found.append(output))
    with torch.no_grad():
        model(torch.from_numpy(normalized(pixels(16, 5))))
        hook.remove()
        last.bias -= found[0].mean([d for d in range(found[0].dim()) if d != 1])
    return model


def pixels(count, seed):
    """Smooth images with noise."""
    generator = np.random.default_rng(seed)
    coarse = torch.from_numpy(generator.random((count, 3, 5, 5), np.float32))
    smooth = nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bicubic").numpy()
    noise = generator.normal(0, 0.1, smooth.shape)
    return (np.clip(smooth + noise, 0, 1) * 255).round().astype(np.uint8)


def normalized(images):
    f = np.float32
    return ((images.astype(f) / f(255) - f(MEAN)) / f(STD)).astype(f)


class Reader(CalibrationDataReader):
    def __init__(self):
        self.images = iter(normalized(pixels(32, 6))[:, None])

    def get_next(self):
        image = next(self.images, None)
        return None if image is None else {"x": image}


def unsigned(source, target):
    """The same network with uint8 activations: each int8 zero point of an activation plus 128."""
    model = onnx.load(source)
    constants = {tensor.name for tensor in model.graph.initializer}
    zeros = set()
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear" or node.op_type == "DequantizeLinear" and node.input[0] not in constants:
            zeros.add(node.input[2])
    for tensor in model.graph.initializer:
        if tensor.name in zeros:
            value = numpy_helper.to_array(tensor).astype(int) + 128
            tensor.CopyFrom(numpy_helper.from_array(value.astype(np.uint8), tensor.name))
    del model.graph.value_info[:]
    onnx.save(model, target)


def run(file, images, precise):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if precise:
        options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"x": image[None]})[0] for image in normalized(images)])


def measure(program, name, folder):
    source = os.path.join(folder, "float.onnx")
    model = network(name)
    torch.onnx.export(
        model, torch.zeros(1, 3, SIDE, SIDE), source, dynamo=False, opset_version=17, input_names=["x"],
        output_names=["y"],
    )
    quant_pre_process(source, source, skip_symbolic_shape=True)
    images = pixels(IMAGES, 7)
    kinds = {"u": QuantType.QUInt8, "s": QuantType.QInt8}
    for form, types, scales in FORMS:
        file, other = os.path.join(folder, "int8.onnx"), os.path.join(folder, "uint8.onnx")
        quantize_static(
            source, file, Reader(), quant_format=QuantFormat[form], activation_type=kinds[types[0]],
            weight_type=QuantType.QInt8, per_channel=scales == "channel",
        )
        given = file
        if types == "s8s8":
            unsigned(file, other)
            given = other
        done = subprocess.run([program, file, str(MEAN), str(STD)], input=images.tobytes(), capture_output=True)
        row = {"network": name, "format": form, "types": types, "scales": scales, "images": IMAGES}
        if done.returncode:
            yield {**row, "refused": done.stderr.decode().strip()}
            continue
        precise, default = run(given, images, True), run(given, images, False)
        own = np.frombuffer(done.stdout, "<f4").reshape(precise.shape)
        itself = run(file, images, True) if given != file else precise
        span = precise.max(1) - precise.min(1)
        yield {
            **row,
            "equal": int((own == precise).all(1).sum()),
            "file_equal": int((own == itself).all(1).sum()),
            "classes": len(set(own.argmax(1).tolist())),
            "default_logits": int((default != precise).any(1).sum()),
            "default_top1": int((default.argmax(1) != precise.argmax(1)).sum()),
            "default_change": float(np.median(np.abs(default - precise).max(1) / span)),
        }


def table(rows, machine):
    head = (
        "| network | format | types | scales by | images | logits equal | equal to the file itself | classes predicted | "
        "default: other logits | default: other class | default: largest change of a logit |"
    )
    lines = [head, "|---|---|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        start = f"| {row['network']} | {row['format']} | {row['types']} | {row['scales']} | {row['images']} | "
        if "refused" in row:
            lines.append(start + f"refused: {row['refused']} | | | | | |")
            continue
        lines.append(
            start + f"{row['equal']} | {row['file_equal']} | {row['classes']} | {row['default_logits']} | "
            f"{row['default_top1']} | {100 * row['default_change']:.1f} % |"
        )
    return f"""# Quantized ONNX models beside ONNX Runtime

Made by `experiments/quantized-onnx/measure.py`, which says how networks and images are made. {machine}

*Logits equal* counts images on which all logits of the rule `ort` equal those of ONNX Runtime with
`session.x64quantprecision=1` and full optimisation, bit for bit. *Default* is ONNX Runtime without the option, whose int8
products saturate on this machine (AVX2, no VNNI): the last three columns compare it with the option. The largest change of
a logit is the median over the images of the largest difference, as a share of the range of the image's logits.

ONNX Runtime computes int8 activations on x64 as uint8, but leaves layers of some s8s8 files in float. These files are
compared after the script itself has added 128 to levels and zero points; *equal to the file itself* counts the
images on which ONNX Runtime, given the file as it is, has the same bits.

""" + "\n".join(lines) + "\n"


def main():
    program, folder, *names = sys.argv[1:]
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "rows.json")
    rows = json.load(open(path)) if os.path.exists(path) else []
    with open("/proc/cpuinfo") as file:
        model = next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    machine = (
        f"Machine: {model}; onnxruntime {onnxruntime.__version__}, torch {torch.__version__}, torchvision "
        f"{torchvision.__version__}, Python {platform.python_version()}."
    )
    for name in names or NAMES:
        with tempfile.TemporaryDirectory() as temporary:
            new = list(measure(program, name, temporary))
        rows = [row for row in rows if row["network"] != name] + new
        rows.sort(key=lambda row: NAMES.index(row["network"]))
        for row in new:
            print(row, flush=True)
        with open(path, "w") as file:
            json.dump(rows, file, indent=1)
            file.write("\n")
        with open(os.path.join(folder, "README.md"), "w") as file:
            file.write(table(rows, machine))


if __name__ == "__main__":
    main()
