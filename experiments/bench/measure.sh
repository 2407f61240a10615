#!/bin/sh
# How fast executor, trials, codecs and injector are here, each beside a reference in the same run.
#
#   ZEROSPACE_DATA=DIR [PEERS=yes] experiments/bench/measure.sh > results/bench/DATE-CPU/README.md
#
# DIR, an absolute path, holds cifar10/. With PEERS, python3 must have torch, torchvision, onnx and onnxruntime.
# CHECKPOINT is an int8 ResNet-20 for CIFAR-10 (experiments/README.md says how to make one).
set -eu
. experiments/bench/page.sh
: "${ZEROSPACE_DATA:?the directory of data sets}"
checkpoint=${CHECKPOINT:-runs/checkpoints/resnet20.safetensors}
networks=experiments/networks
cargo build --release --quiet --workspace --benches

head_of_page "Speed" measure.sh
cat <<HEAD
## Executor

The networks are complete and have random weights. The plain reference consists of nested loops.

HEAD
for threads in 1 2; do
    for network in 'resnet20 32 1024' 'resnet18 32 256' 'resnet18 224 64' 'squeezenet1_0 224 64'; do
        # shellcheck disable=SC2086
        run cargo bench --quiet -p zerospace-infer --bench executor -- $threads $network
    done
done
if [ -n "${PEERS:-}" ]; then
    for threads in 1 2; do
        for network in 'resnet18 32 64' 'resnet18 224 16' 'squeezenet1_0 224 16'; do
            # shellcheck disable=SC2086
            run python3 crates/infer/benches/pytorch_onnxruntime.py $threads $network
        done
    done
fi

printf '## Trials on a baseline\n\nTrials on CIFAR-10 images alternate with full passes.\n\n'
for network in "$checkpoint" $networks/vgg16-cifar10.safetensors $networks/resnet18-cifar10.safetensors; do
    run cargo bench --quiet -p zerospace --bench trials -- "../../$network" cifar10 1000 1
done

printf '## Codecs\n\n'
run cargo bench --quiet -p zerospace-ecc
printf '## Injector\n\n'
run cargo bench --quiet -p zerospace-inject
printf '## Trials without the network\n\n'
run cargo bench --quiet -p zerospace-campaign
