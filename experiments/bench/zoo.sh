#!/bin/sh
# Measures the executor beside PyTorch and ONNX Runtime, on every network of the zoo that PyTorch also has, on all cores.
#
#   experiments/bench/zoo.sh > results/bench/DATE-CPU/zoo.md
#
# python3 must have torch, torchvision, onnx and onnxruntime.
set -eu
. experiments/bench/page.sh
threads=$(nproc)
cargo build --release --quiet -p zerospace-infer --benches

head_of_page "Speed of the zoo" zoo.sh
for network in alexnet:224 vgg16:224 resnet18:224 resnet34:224 resnet50:224 resnet152:224 squeezenet1_0:224 \
    squeezenet1_1:224 inception_v3:299; do
    run cargo bench --quiet -p zerospace-infer --bench executor -- "$threads" "${network%:*}" "${network#*:}" 32
    run python3 crates/infer/benches/pytorch_onnxruntime.py "$threads" "${network%:*}" "${network#*:}" 16
done
