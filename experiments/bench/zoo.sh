#!/bin/sh
# The executor on every network of the zoo that PyTorch has too, beside PyTorch and ONNX Runtime, on all cores.
#
#   experiments/bench/zoo.sh > results/bench/DATE-CPU/zoo.md
#
# python3 must have torch, torchvision, onnx and onnxruntime.
set -eu
threads=$(nproc)
cargo build --release --quiet -p zerospace-infer --benches

run() {
    printf '```\n$ %s\n' "$*"
    "$@" 2> /dev/null
    printf '```\n\n'
}

cat <<HEAD
# Speed of the zoo

By [\`experiments/bench/zoo.sh\`](../../../experiments/bench/zoo.sh), every block a command and what it printed.

- Machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) cores, $(grep -o -w -E 'avx2|avx512_vnni|avx_vnni|gfni' /proc/cpuinfo | sort -u | tr '\n' ' '), $(uname -sm). $(rustc --version).
- Commit $(git rev-parse --short HEAD). Load average over one minute before the first: $(cut -d' ' -f1 /proc/loadavg).

HEAD
for network in alexnet:224 vgg16:224 resnet18:224 resnet34:224 resnet50:224 resnet152:224 squeezenet1_0:224 \
    squeezenet1_1:224 inception_v3:299; do
    run cargo bench --quiet -p zerospace-infer --bench executor -- "$threads" "${network%:*}" "${network#*:}" 32
    run python3 crates/infer/benches/pytorch_onnxruntime.py "$threads" "${network%:*}" "${network#*:}" 16
done
