#!/bin/sh
# Measures forms of the executor's inner loop beside PyTorch and ONNX Runtime, in turns, on one thread: first with all
# instructions of the machine, then with PyTorch restricted to AVX2. ONNX Runtime cannot be restricted.
#
#   experiments/bench/instruction-sets.sh FORMS [EXECUTOR] > results/bench/DATE-CPU/instruction-sets.md
#
# Then the executor runs with trained weights of $DATA, a folder with checkpoints/resnet20-cifar10.pth and
# imagenet-squeezenet/squeezenet1_0.onnx, and with flipped bits in them.
#
# FORMS are separated by commas. EXECUTOR is the built benchmark; without it, cargo builds it. python3 must have torch, torchvision, onnx and onnxruntime.
set -eu
. experiments/bench/page.sh
: "${DATA:=../shared/data}"
forms=$1
executor=${2:-$(built executor)}

head_of_page "Forms of the inner loop" instruction-sets.sh
printf '## All instructions\n\n'
for network in resnet18:32:64 resnet20:32:256 squeezenet1_0:224:16 vgg16:32:64 mobilenet_v2:32:64 mobilenet_v2:224:16; do
    run python3 crates/infer/benches/pytorch_onnxruntime.py 1 $(echo "$network" | tr : ' ') "$executor" "$forms"
done
printf '## PyTorch with AVX2\n\n'
for network in resnet18:32:64 squeezenet1_0:224:16 mobilenet_v2:224:16; do
    run env ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 python3 crates/infer/benches/pytorch_onnxruntime.py 1 \
        $(echo "$network" | tr : ' ') "$executor" "$forms"
done
printf '## Trained weights, and flipped bits\n\nEach bit of a weight flips with the probability that the command ends with.\n\n'
for rate in 0 1e-2; do
    run python3 crates/infer/benches/pytorch_onnxruntime.py 1 resnet18 32 64 "$executor" "$forms" - $rate
    run python3 crates/infer/benches/pytorch_onnxruntime.py 1 resnet20 32 256 "$executor" "$forms" \
        "resnet20=$DATA/checkpoints/resnet20-cifar10.pth" $rate
    run python3 crates/infer/benches/pytorch_onnxruntime.py 1 squeezenet1_0 224 16 "$executor" "$forms" \
        "$DATA/imagenet-squeezenet/squeezenet1_0.onnx" $rate
done
