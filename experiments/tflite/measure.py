"""Compares zerospace with LiteRT's reference kernels on two published TensorFlow Lite models.

    cargo build --release -p zerospace-infer --example quantized_logits
    pip install ai-edge-litert numpy pillow pyarrow
    python3 experiments/tflite/measure.py target/release/examples/quantized_logits DATA IMAGENET CACHE results/tflite [NAME...]

DATA holds `tflite/*.tflite` and `cifar10/`, IMAGENET a folder for each of 1,000 classes with its images (the 1,000 of
github.com/EliSchwartz/imagenet-sample-images, one a class, as `n01440764/*.JPEG`). Images are taken in an order of
numpy.random.default_rng(1), resized so that the shorter side has 256 pixels, bilinear with Pillow, and cropped to the middle
224 x 224. IMAGES in the environment is the number of
real images, 1000 by default. The reference kernels are slow, so their results are
kept in CACHE.

A row compares a network on a set of images: random bytes (numpy.random.default_rng(0)), or real images. Rows go to rows.json,
which a later call with other names extends, and to README.md.
"""
import io
import json
import os
import platform
import subprocess
import sys

import numpy as np
import pyarrow.parquet
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from importlib.metadata import version
from PIL import Image

COUNT = int(os.environ.get("IMAGES", "1000"))
MODELS = {
    "mlperf-tiny-resnet8": ("mlperf-tiny-resnet8-int8.tflite", "cifar10", 0, 1000),
    # Class 0 is the background. The reference kernels take half a second to two seconds for an image.
    "mobilenet-v2-imagenet": ("mobilenet-v2-imagenet-uint8.tflite", "imagenet", 1, 1000),
}


def cifar10(data, folder):
    table = pyarrow.parquet.read_table(os.path.join(data, "cifar10/test-00000-of-00001.parquet"))
    rows = table.slice(0, COUNT).to_pylist()
    images = [np.array(Image.open(io.BytesIO(row["img"]["bytes"])).convert("RGB")) for row in rows]
    return np.stack(images), np.array([row["label"] for row in rows])


def imagenet(data, folder):
    names = sorted(name for name in os.listdir(folder) if os.path.isdir(os.path.join(folder, name)))
    files = [(label, name, file) for label, name in enumerate(names) for file in sorted(os.listdir(os.path.join(folder, name)))]
    order = np.random.default_rng(1).permutation(len(files))[:COUNT]
    images, labels = [], []
    for label, name, file in (files[i] for i in order):
        image = Image.open(os.path.join(folder, name, file)).convert("RGB")
        width, height = image.size
        size = (256, int(256 * height / width)) if width < height else (int(256 * width / height), 256)
        image = image.resize(size, Image.BILINEAR)
        left, top = round((size[0] - 224) / 2), round((size[1] - 224) / 2)
        images.append(np.array(image.crop((left, top, left + 224, top + 224))))
        labels.append(label)
    return np.stack(images), np.array(labels)


def run(interpreter, images):
    """Levels before the softmax, and the network's output."""
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    operators = interpreter._get_ops_details()
    (softmax,) = [o for o in operators if o["op_name"] == "SOFTMAX"]
    before = [d for d in interpreter.get_tensor_details() if d["index"] == softmax["inputs"][0]][0]
    levels, outputs = [], []
    for image in images:
        image = image if source["dtype"] == np.uint8 else (image.astype(np.int16) - 128).astype(np.int8)
        interpreter.set_tensor(source["index"], image[None])
        interpreter.invoke()
        levels.append(interpreter.get_tensor(before["index"])[0].copy())
        outputs.append(interpreter.get_tensor(target["index"])[0].copy())
    return np.stack(levels), np.stack(outputs), before["quantization"]


def reference(model, images, cache):
    """Results of the reference kernels, kept after every 20 images, so that a later call goes on."""
    kept = dict(np.load(cache)) if os.path.exists(cache) else {}
    done = len(kept.get("levels", []))
    if done < len(images):
        interpreter = Interpreter(
            model_path=model,
            experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
            experimental_preserve_all_tensors=True,
        )
        for first in range(done, len(images), 20):
            levels, outputs, (scale, zero) = run(interpreter, images[first : first + 20])
            if first:
                levels = np.concatenate([kept["levels"], levels])
                outputs = np.concatenate([kept["outputs"], outputs])
            kept = {"levels": levels, "outputs": outputs, "scale": scale, "zero": zero}
            np.savez(cache, **kept)
    return kept["levels"][: len(images)], kept["outputs"][: len(images)], (float(kept["scale"]), int(kept["zero"]))


def measure(program, model, name, images, labels, shift, cache):
    levels, outputs, (scale, zero) = reference(model, images, cache)
    pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    result = subprocess.run([program, model], input=pixels.tobytes(), stdout=subprocess.PIPE, check=True)
    logits = np.frombuffer(result.stdout, np.float32).reshape(levels.shape)
    expected = np.float32(scale) * (levels.astype(np.int32) - zero).astype(np.float32)
    interpreter = Interpreter(model_path=model)
    interpreter.allocate_tensors()
    default = default_outputs(interpreter, images)
    row = {
        "images": len(images),
        "equal": int((logits == expected).all(1).sum()),
        "classes": len(set(logits.argmax(1))),
        "softmax_class": int((outputs.argmax(1) != logits.argmax(1)).sum()),
        "default_class": int((default.argmax(1) != outputs.argmax(1)).sum()),
    }
    if labels is not None:
        row["correct"] = int((logits.argmax(1) == labels + shift).sum())
        row["reference_correct"] = int((outputs.argmax(1) == labels + shift).sum())
        row["default_correct"] = int((default.argmax(1) == labels + shift).sum())
    return row


def default_outputs(interpreter, images):
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    outputs = []
    for image in images:
        image = image if source["dtype"] == np.uint8 else (image.astype(np.int16) - 128).astype(np.int8)
        interpreter.set_tensor(source["index"], image[None])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(target["index"])[0].copy())
    return np.stack(outputs)


def table(rows, machine):
    lines = [
        "| network | images | number | logits equal | classes predicted | softmax: other class | top-1 | top-1 after the softmax | "
        "default: other class | default: top-1 |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        percent = [
            f"{100 * row[key] / row['images']:.2f} %" if key in row else ""
            for key in ["correct", "reference_correct", "default_correct"]
        ]
        lines.append(
            f"| {row['network']} | {row['set']} | {row['images']} | {row['equal']} | {row['classes']} | "
            f"{row['softmax_class']} | {percent[0]} | {percent[1]} | {row['default_class']} | {percent[2]} |"
        )
    return f"""# TensorFlow Lite models beside LiteRT

Made by `experiments/tflite/measure.py`, which says where models and images are from. {machine}

*Logits equal* counts images on which all levels before the softmax equal those of LiteRT's reference kernels
(`OpResolverType.BUILTIN_REF`), bit for bit. *Softmax: other class* counts images on which the largest probability of LiteRT's
integer softmax, the first of equal ones, is of another class than the largest level: probabilities have 256 levels, and neighbours fall
together. *Default* is LiteRT without a resolver, which takes XNNPACK: its classes beside those of the reference kernels.

""" + "\n".join(lines) + "\n"


def main():
    program, data, folder, cache, out, *names = sys.argv[1:]
    os.makedirs(out, exist_ok=True)
    os.makedirs(cache, exist_ok=True)
    path = os.path.join(out, "rows.json")
    rows = json.load(open(path)) if os.path.exists(path) else []
    with open("/proc/cpuinfo") as file:
        cpu = next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    packages = ", ".join(f"{name} {version(name)}" for name in ["ai-edge-litert", "numpy", "pillow"])
    machine = f"Machine: {cpu}; {packages}, Python {platform.python_version()}."
    for name in names or MODELS:
        file, source, shift, random = MODELS[name]
        model = os.path.join(data, "tflite", file)
        side = 32 if source == "cifar10" else 224
        noise = np.random.default_rng(0).integers(0, 256, (random, side, side, 3)).astype(np.uint8)
        real, labels = globals()[source](data, folder)
        for images, kind, labels in [(noise, "random bytes", None), (real, source, labels)]:
            kept = os.path.join(cache, f"{name}-{kind.split()[0]}.npz")
            row = {"network": name, "set": kind, **measure(program, model, name, images, labels, shift, kept)}
            print(row, flush=True)
            rows = [other for other in rows if (other["network"], other["set"]) != (name, kind)] + [row]
        rows.sort(key=lambda row: list(MODELS).index(row["network"]))
        with open(path, "w") as file:
            json.dump(rows, file, indent=1)
            file.write("\n")
        with open(os.path.join(out, "README.md"), "w") as file:
            file.write(table(rows, machine))


if __name__ == "__main__":
    main()
