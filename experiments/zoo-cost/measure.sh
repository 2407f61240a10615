#!/bin/sh
# Measures peak memory and time per image of the nine networks of the paper's Table 1, with one process per network.
#
#   experiments/zoo-cost/measure.sh DIR > results/zoo-cost/README.md
#
# DIR holds weights and images: python3 experiments/zoo-cost/random_weights.py DIR
# ZEROSPACE is the program (default: target/release/zerospace).
set -eu
dir=$1
zerospace=${ZEROSPACE:-target/release/zerospace}
images=16
arguments="--weights DIR/weights --images DIR/imagenet --first $images"
said=$(mktemp -d)
trap 'rm -r "$said"' EXIT

# Images are decoded once, before anything is measured: at 224 and at 299 pixels.
measure() {
    /usr/bin/time -f 'peak %M' "$zerospace" table1 --models "$1" --weights "$dir/weights" --images "$dir/imagenet" \
        --first $images > "$said/$1.md" 2> "$said/$1.txt" || { cat "$said/$1.txt" >&2; exit 1; }
}
measure alexnet
measure inception_v3

cat <<HEAD
# What networks cost

This page lists peak memory and time of every network of the paper's Table 1 in full size. [\`measure.sh\`](../../experiments/zoo-cost/measure.sh)
measured them, with one process per network:

\`\`\`sh
python3 experiments/zoo-cost/random_weights.py DIR
experiments/zoo-cost/measure.sh DIR > results/zoo-cost/README.md
\`\`\`

For each network it calls \`/usr/bin/time zerospace table1 --models NETWORK $arguments\`.

- Machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) cores, $(uname -sm). $(rustc --version), $("$zerospace" --version).
- Commit $(git rev-parse --short HEAD). Load average over one minute before the first: $(cut -d' ' -f1 /proc/loadavg). Other load on
  the machine makes times longer, but does not change memory.
- The weights are random: torchvision's initialization from a seed, with the versions in [\`random_weights.py\`](../../experiments/zoo-cost/random_weights.py).
  The accuracies in the last table therefore mean nothing; its counts of weights are valid.
- Peak memory is the largest resident size (VmHWM), in MiB, over reading, float network, ranges and int8 network.
- Time per image is the wall time of a pass over $images images on all cores, divided by $images. It includes the preparation of the
  network, whose share is larger for fewer images.

| network | peak memory, MiB | float, ms per image | ranges, ms per image | int8, ms per image |
|---|---:|---:|---:|---:|
HEAD
for network in alexnet vgg16 vgg16_bn inception_v3 resnet18 resnet34 resnet50 resnet152 squeezenet1_0; do
    measure $network
    awk -v network=$network -v images=$images '
        $1 == network ":" { split($0, part, /: float | s, ranges | s, int8 | s$/); for (i = 2; i <= 4; i++) ms[i] = part[i] * 1000 / images }
        $1 == "peak" { printf "| %s | %.0f | %.0f | %.0f | %.0f |\n", network, $2 / 1024, ms[2], ms[3], ms[4] }
    ' "$said/$network.txt"
done

printf '\n## The table of random networks\n\n`zerospace table1 --models all %s`:\n\n' "$arguments"
measure all
cat "$said/all.md"
