"""Measures images per second of PyTorch (f32, batch norm folded, channels-last, inference mode), of ONNX Runtime (f32, and
int8 with u8 activations and s8 weights, statically quantized), and of the executor, in turns.

    python pytorch_onnxruntime.py THREADS ARCHITECTURE SIDE [BATCH [EXECUTOR [FORMS [WEIGHTS [RATE]]]]]

EXECUTOR is the program that `cargo bench -p zerospace-infer --bench executor --no-run` names; without it, only the others
are measured. FORMS are forms of its inner loop, separated by commas. WEIGHTS is the executor's network, as its benchmark
takes it, for example an ONNX file or `resnet20=FILE` with trained weights; `-` and the default are the random weights of
the others. At RATE, each bit of the executor's weights flips with this probability. The best of several rounds counts. One
thread is measured in processor time, which other processes disturb less.

Needs torch, torchvision, onnx, onnxruntime. ONEDNN_MAX_CPU_ISA=AVX2 and ATEN_CPU_CAPABILITY=avx2 in the environment restrict
PyTorch to AVX2; ONNX Runtime cannot be restricted. At 32 pixels a ResNet gets the stem of its CIFAR variants, as in
zerospace: 3x3 with stride 1, no pooling. Weights are random; speed does not depend on them.
"""

import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import torchvision
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch.nn import AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Flatten, Identity, Linear, Module, ReLU, Sequential

ROUNDS = 7


class Block(Module):
    """A block of the ResNet for CIFAR-10, with a projection where the size changes."""

    def __init__(self, inputs, outputs):
        super().__init__()
        stride = outputs // inputs
        self.body = Sequential(Conv2d(inputs, outputs, 3, stride, 1, bias=False), BatchNorm2d(outputs), ReLU(),
                               Conv2d(outputs, outputs, 3, 1, 1, bias=False), BatchNorm2d(outputs))
        self.short = Identity() if stride == 1 else Sequential(Conv2d(inputs, outputs, 1, stride, bias=False),
                                                               BatchNorm2d(outputs))

    def forward(self, x):
        return torch.relu(self.body(x) + self.short(x))


def resnet20():
    widths = [16] * 4 + [32] * 3 + [64] * 3
    blocks = [Block(*pair) for pair in zip(widths, widths[1:])]
    return Sequential(Conv2d(3, 16, 3, 1, 1, bias=False), BatchNorm2d(16), ReLU(), *blocks, AdaptiveAvgPool2d(1),
                      Flatten(), Linear(64, 10))


def network(architecture, side):
    torch.manual_seed(0)
    if architecture == "resnet20":
        return resnet20().eval()
    if architecture == "vit_tiny":  # torchvision's layers in the size of DeiT-Tiny
        return torchvision.models.VisionTransformer(side, 16, 12, 3, 192, 768).eval()
    options = {"init_weights": False} if architecture == "inception_v3" else {}
    model = getattr(torchvision.models, architecture)(num_classes=10 if side == 32 else 1000, **options)
    if side == 32 and architecture.startswith("resnet"):
        model.conv1 = Conv2d(3, 64, 3, 1, 1, bias=False)
        model.maxpool = Identity()
    if side == 32 and architecture == "vgg16":
        model.avgpool, model.classifier = Identity(), Linear(512, 10)
    return model.eval()


class Random(CalibrationDataReader):
    def __init__(self, x):
        self.batches = iter([{"x": x[:4].numpy()}] * 2)

    def get_next(self):
        return next(self.batches, None)


def seconds(threads, run):
    clock = time.process_time if threads == 1 else time.perf_counter
    start = clock()
    run()
    return clock() - start


def instructions():
    """The vector instructions of this machine, and what PyTorch was restricted to."""
    flags = next((line.split() for line in open("/proc/cpuinfo") if line.startswith("flags")), [])
    known = [flag for flag in ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8") if flag in flags]
    only = os.environ.get("ONEDNN_MAX_CPU_ISA")
    return " ".join(known) + (f", PyTorch restricted to {only}" if only else "")


def main():
    warnings.filterwarnings("ignore")
    threads, architecture, side = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    batch = int(sys.argv[4]) if len(sys.argv) > 4 else 64
    executor, forms = (sys.argv[5:] + [None, "avx512-vnni"])[:2] if len(sys.argv) > 5 else (None, "")
    forms = sys.argv[6] if len(sys.argv) > 6 else forms
    weights, rate = (sys.argv[7:] + ["-", "0"][len(sys.argv[7:]):])[:2]
    torch.set_num_threads(threads)
    model = network(architecture, side)
    x = torch.randn(batch, 3, side, side)
    print(f"{architecture} at {side} pixels, batch {batch}, {threads} threads; torch {torch.__version__}, "
          f"onnxruntime {onnxruntime.__version__}; {instructions()}")
    engines = {}
    with torch.inference_mode(), tempfile.TemporaryDirectory() as folder:
        frozen = torch.jit.freeze(torch.jit.trace(model, x))
        last = torch.jit.freeze(torch.jit.trace(model.to(memory_format=torch.channels_last),
                                                x.to(memory_format=torch.channels_last)))
        y = x.to(memory_format=torch.channels_last)
        engines["PyTorch f32, contiguous"] = lambda: frozen(x)
        engines["PyTorch f32, channels-last"] = lambda: last(y)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        paths = [Path(folder) / name for name in ("f32.onnx", "pre.onnx", "int8.onnx")]
        with torch.inference_mode(False):
            torch.onnx.export(network(architecture, side), (x[:4].clone(),), paths[0], input_names=["x"],
                              dynamo=False, dynamic_axes={"x": {0: "n"}})
        # Its symbolic shapes stop at the reshapes of attention.
        quant_pre_process(paths[0], paths[1], skip_symbolic_shape=architecture == "vit_tiny")
        quantize_static(paths[1], paths[2], Random(x), quant_format=QuantFormat.QDQ,
                        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
        feed = {"x": np.ascontiguousarray(x.numpy())}
        for name, path in (("ONNX Runtime f32", paths[0]), ("ONNX Runtime int8 (u8s8)", paths[2])):
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            engines[name] = lambda session=session: session.run(None, feed)
        best = {}
        process = None
        if executor:
            own = str(paths[0]) if weights == "-" else weights
            arguments = [executor, str(threads), own, str(side), str(batch), forms, rate, "turns"]
            process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            print(process.stdout.readline().strip().replace(str(paths[0]), architecture))
        for run in engines.values():
            run()
        for _ in range(ROUNDS):
            for name, run in engines.items():
                best[name] = max(best.get(name, 0), batch / seconds(threads, run))
            if process:
                print(file=process.stdin, flush=True)
                for _ in forms.split(","):
                    form, rate = process.stdout.readline().split()
                    best[f"executor, {form}"] = max(best.get(f"executor, {form}", 0), float(rate))
        if process:
            process.stdin.close()
            process.wait()
    float_best = max(rate for name, rate in best.items() if name.startswith("PyTorch"))
    for name, rate in best.items():
        print(f"{name:28} {rate:9.1f} images/s  {rate / float_best:5.2f} x PyTorch  "
              f"{rate / best['ONNX Runtime int8 (u8s8)']:5.2f} x ONNX Runtime int8")


main()
