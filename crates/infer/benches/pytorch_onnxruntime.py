"""Measures images per second of PyTorch (f32, batch norm folded, channels-last, inference mode) and of ONNX Runtime (f32,
and int8 with u8 activations and s8 weights, statically quantized), to compare with `executor.rs` beside this file.

    python pytorch_onnxruntime.py THREADS ARCHITECTURE SIDE [BATCH]

Needs torch, torchvision, onnx, onnxruntime. At 32 pixels a ResNet gets the stem of its CIFAR variants, as in
zerospace: 3x3 with stride 1, no pooling. Weights are random; speed does not depend on them.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import torchvision
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

ROUNDS = 7


def network(architecture, side):
    torch.manual_seed(0)
    options = {"init_weights": False} if architecture == "inception_v3" else {}
    model = getattr(torchvision.models, architecture)(num_classes=10 if side == 32 else 1000, **options)
    if side == 32 and architecture.startswith("resnet"):
        model.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        model.maxpool = torch.nn.Identity()
    return model.eval()


class Random(CalibrationDataReader):
    def __init__(self, x):
        self.batches = iter([{"x": x[:4].numpy()}] * 2)

    def get_next(self):
        return next(self.batches, None)


def rate(run, images):
    """Returns the best of a few rounds, as the executor's benchmark does."""
    run()
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return images / best


def main():
    threads, architecture, side = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    batch = int(sys.argv[4]) if len(sys.argv) > 4 else 64
    torch.set_num_threads(threads)
    model = network(architecture, side)
    x = torch.randn(batch, 3, side, side)
    print(f"{architecture} at {side} pixels, batch {batch}, {threads} threads; torch {torch.__version__}, "
          f"onnxruntime {onnxruntime.__version__}")
    with torch.inference_mode():
        frozen = torch.jit.freeze(torch.jit.trace(model, x))
        last = torch.jit.freeze(torch.jit.trace(model.to(memory_format=torch.channels_last),
                                                x.to(memory_format=torch.channels_last)))
        y = x.to(memory_format=torch.channels_last)
        print(f"PyTorch f32, contiguous         {rate(lambda: frozen(x), batch):9.1f} images/s")
        print(f"PyTorch f32, channels-last      {rate(lambda: last(y), batch):9.1f} images/s")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("f32.onnx", "pre.onnx", "int8.onnx")]
        torch.onnx.export(network(architecture, side), (x[:4],), paths[0], input_names=["x"], dynamo=False,
                          dynamic_axes={"x": {0: "n"}})
        quant_pre_process(paths[0], paths[1])
        quantize_static(paths[1], paths[2], Random(x), quant_format=QuantFormat.QDQ,
                        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
        for name, path in (("ONNX Runtime f32", paths[0]), ("ONNX Runtime int8 (u8s8)", paths[2])):
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            feed = {"x": np.ascontiguousarray(x.numpy())}
            print(f"{name:31} {rate(lambda: session.run(None, feed), batch):9.1f} images/s")


main()
