#!/bin/sh
# Measures the executor on modern networks of torchvision at 224 pixels beside PyTorch and ONNX Runtime, in turns, on one
# thread.
#
#   experiments/bench/modern.sh FORMS [EXECUTOR] > results/bench/DATE-CPU/modern.md
#
# FORMS and EXECUTOR are those of instruction-sets.sh. python3 must have torch, torchvision, onnx and onnxruntime.
set -eu
. experiments/bench/page.sh
forms=$1
executor=${2:-$(built executor)}

head_of_page "Modern networks" modern.sh
for network in mobilenet_v3_large efficientnet_b0 shufflenet_v2_x1_0 densenet121; do
    run python3 crates/infer/benches/pytorch_onnxruntime.py 1 $network 224 8 "$executor" "$forms"
done
