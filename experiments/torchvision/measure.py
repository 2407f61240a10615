"""Imports torchvision's classifiers through both ONNX exporters of PyTorch, and compares them with PyTorch.

    cargo build --release -p zerospace-infer --example onnx_logits
    pip install torch torchvision onnx onnxscript numpy
    python3 experiments/torchvision/measure.py target/release/examples/onnx_logits results/torchvision [NAME...]
    pip install tensorflow-cpu tf2onnx
    python3 experiments/torchvision/measure.py target/release/examples/onnx_logits results/torchvision keras:MobileNetV2 keras:ResNet50V2

Each network has the initial weights of torchvision after torch.manual_seed(1), and batch norms with drawn statistics. The
parameters of vision transformers that begin as zeros, such as the weights of the head, are drawn too. `vit_tiny` is
torchvision's VisionTransformer in the size of DeiT-Tiny. A name `keras:NAME` is a classifier of keras.applications with its initial
weights of seed 1, without its softmax, whose images have their channels last; tf2onnx exports it.
A row says whether the file was read, the largest difference of the float logits as a share of the largest logit, and
on how many of IMAGES images all logits of the int8 network equal, bit for bit, those that
docs/src/recompute_network.py computes with numpy from the checkpoint alone. Rows go to rows.json, which a later call with other names extends, and to README.md.
"""
import collections
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import types
import warnings

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../docs/src"))

import numpy as np
import onnx
import recompute_network
import torch
import torchvision

warnings.filterwarnings("ignore")
NAMES = (
    "alexnet convnext_tiny densenet121 efficientnet_b0 efficientnet_v2_s googlenet inception_v3 mnasnet1_0 mobilenet_v2 "
    "mobilenet_v3_small mobilenet_v3_large regnet_x_400mf regnet_y_400mf resnet18 resnet50 resnext50_32x4d "
    "shufflenet_v2_x1_0 squeezenet1_0 squeezenet1_1 swin_t maxvit_t vgg11 vgg11_bn vit_b_16 vit_tiny wide_resnet50_2"
).split()
IMAGES = int(os.environ.get("IMAGES", "64"))
SIDE = {"inception_v3": 299}


def network(name):
    torch.manual_seed(1)
    more = {"init_weights": True, "aux_logits": True} if name in ("googlenet", "inception_v3") else {}
    if name == "vit_tiny":  # torchvision's layers in the size of DeiT-Tiny
        model = torchvision.models.VisionTransformer(224, 16, 12, 3, 192, 768).eval()
    else:
        model = getattr(torchvision.models, name)(weights=None, **more).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.8, 1.2)
    if isinstance(model, torchvision.models.VisionTransformer):
        for parameter in model.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.02)
    return model


def pixels(side):
    """Smooth images, so that values differ from place to place and from image to image."""
    noise = torch.rand(IMAGES, 3, 9, 9, generator=torch.Generator().manual_seed(3))
    smooth = torch.nn.functional.interpolate(noise, (side, side), mode="bicubic")
    return (smooth.clamp(0, 1) * 255).round().to(torch.uint8)


def checkpoint_of(path):
    """What recompute_network reads of a checkpoint, and its weights."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = file.read()
    meta = json.loads(header.pop("__metadata__")["zerospace"])
    types_of = {"F32": "<f4", "I8": "i1"}
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        tensors[name] = np.frombuffer(data[begin:end], types_of[entry["dtype"]]).reshape(entry["shape"])
    weights = {entry["name"]: tensors[entry["name"]] for entry in meta["weights"]}
    parameters = {name: tensors[name] for name in meta["parameters"]}
    found = types.SimpleNamespace(meta=meta, model=meta["model"], layers=meta.get("layers"), parameters=parameters)
    return found, weights


def exported_by_torch(name, inputs, path, dynamo, opset):
    """Writes a network of torchvision as ONNX; returns its logits."""
    model = network(name)
    more = {"opset_version": opset} if opset else {}
    torch.onnx.export(model, (inputs[:1],), path, dynamo=dynamo, verbose=False, **more)
    with torch.no_grad():
        return model(inputs).numpy().reshape(-1)


def exported_by_tf2onnx(name, inputs, path, opset):
    """Writes a network of Keras as ONNX; returns its logits."""
    import tensorflow
    import tf2onnx

    tensorflow.keras.utils.set_random_seed(1)
    side = inputs.shape[-1]
    application = getattr(tensorflow.keras.applications, name.removeprefix("keras:"))
    model = application(weights=None, input_shape=(side, side, 3), classifier_activation=None)
    signature = (tensorflow.TensorSpec((None, side, side, 3), tensorflow.float32, name="x"),)
    function = tensorflow.function(lambda x: model(x, training=False), input_signature=signature)
    tf2onnx.convert.from_function(function, input_signature=signature, opset=opset or 17, output_path=path)
    return model(inputs.permute(0, 2, 3, 1).numpy(), training=False).numpy().reshape(-1)


def measure(program, name, dynamo, opset):
    side = SIDE.get(name, 224)
    images = pixels(side)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    inputs = (images[:2].float() / 255 - mean) / std
    is_keras = name.startswith("keras:")
    row = {"network": name, "exporter": "tf2onnx" if is_keras else "dynamo" if dynamo else "traced"}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "m.onnx")
        if is_keras:
            expected = exported_by_tf2onnx(name, inputs, path, opset)
        else:
            expected = exported_by_torch(name, inputs, path, dynamo, opset)
        graph = onnx.load(path, load_external_data=False)
        row["opset"] = next(s.version for s in graph.opset_import if s.domain == "")
        row["external"] = any(t.data_location == 1 for t in graph.graph.initializer)
        images.numpy().tofile(os.path.join(folder, "images.u8"))
        begin = time.time()
        done = subprocess.run([program, path, os.path.join(folder, "images.u8"), folder], capture_output=True, text=True)
        row["seconds"] = round(time.time() - begin, 1)
        if done.returncode:
            row["refused"] = done.stderr.strip().replace(path, "m.onnx")[-400:]
            return row
        found = np.fromfile(os.path.join(folder, "float.f32"), "<f4")
        row["float"] = float(np.abs(found - expected).max() / np.abs(expected).max())
        with open(os.path.join(folder, "int8.safetensors"), "rb") as file:
            row["checkpoint"] = hashlib.sha256(file.read()).hexdigest()[:12]
        checkpoint, weights = checkpoint_of(os.path.join(folder, "int8.safetensors"))
        used = collections.Counter(op if isinstance(op, str) else next(iter(op)) for op in
                                   (layer["op"] for layer in checkpoint.layers))
        row["layers"] = dict(sorted(used.items()))
        found = np.fromfile(os.path.join(folder, "int8.f32"), "<f4").reshape(IMAGES, -1)
        parts = [images[i : i + 2].numpy() for i in range(0, IMAGES, 2)]
        own = np.concatenate([recompute_network.logits(checkpoint, weights, part) for part in parts])
        row["images"], row["int8"] = IMAGES, int((own.astype("<f4") == found).all(1).sum())
        row["top1"] = int((own.argmax(1) == found.argmax(1)).sum())
    return row


def page(rows):
    lines = [
        "# torchvision through ONNX",
        "",
        "[`experiments/torchvision/measure.py`](../../experiments/torchvision/measure.py) writes this page; it describes",
        "the columns. *float* is the largest difference of the logits of two images, as a share of the largest logit.",
        "*int8* is the number of images on which all 1000 logits of the int8 network equal those of",
        "[`recompute_network.py`](../../docs/src/recompute_network.py) bit for bit; *top-1* is that of equal classes. The",
        "weights are random, so accuracies have no meaning. Networks of Keras came through tf2onnx.",
        "",
        f"torch {torch.__version__.split('+')[0]}, torchvision {torchvision.__version__.split('+')[0]}, onnx {onnx.__version__}.",
        "",
        "| network | exporter | operator set | external data | float | int8 | top-1 | new operations |",
        "|---|---|--:|---|--:|--:|--:|---|",
    ]
    new = ("function", "mul", "p_relu", "layer_norm", "channel_slice", "channel_shuffle", "token_embedding", "attention",
           "select_token")
    for row in rows:
        cells = [row["network"], row["exporter"], str(row["opset"]), "yes" if row["external"] else "no"]
        if "refused" in row:
            lines.append("| " + " | ".join([*cells, "refused", "", "", row["refused"].replace("|", "/").replace("\n", " ")]) + " |")
            continue
        used = ", ".join(f"{n} `{op}`" for op, n in row.get("layers", {}).items() if op in new)
        int8 = [f"{row['int8']} of {row['images']}", str(row["top1"])] if "int8" in row else ["not run", ""]
        cells += [f"{row['float']:.1e}", *int8, used]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main():
    program, out, names = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3:] or NAMES
    torch.set_num_threads(2)
    saved = os.path.join(out, "rows.json")
    rows = {}
    if os.path.exists(saved):
        with open(saved) as file:
            rows = {(r["network"], r["exporter"], r["opset"]): r for r in json.load(file)}
    for name in names:
        name, _, opset = name.partition("@")
        for dynamo in [False] if opset or name.startswith("keras:") else [False, True]:
            row = measure(program, name, dynamo, int(opset) if opset else None)
            rows[row["network"], row["exporter"], row["opset"]] = row
            print(row, flush=True)
            ordered = [rows[key] for key in sorted(rows, key=lambda key: (key[0], key[1] == "dynamo", -key[2]))]
            with open(saved, "w") as file:
                json.dump(ordered, file, indent=1)
                file.write("\n")
            with open(os.path.join(out, "README.md"), "w") as file:
                file.write(page(ordered))


main()
