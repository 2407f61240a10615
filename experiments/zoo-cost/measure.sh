#!/bin/sh
# What the nine networks of the paper's Table 1 cost here: peak memory and time an image, a process a network.
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

Peak memory and time of every network of the paper's Table 1 in full size, measured by
[\`measure.sh\`](../../experiments/zoo-cost/measure.sh), a process a network:

\`\`\`sh
python3 experiments/zoo-cost/random_weights.py DIR
experiments/zoo-cost/measure.sh DIR > results/zoo-cost/README.md
\`\`\`

which calls, for each, \`/usr/bin/time zerospace table1 --models NETWORK $arguments\`.

- Machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) cores, $(uname -sm). $(rustc --version), $("$zerospace" --version).
- Commit $(git rev-parse --short HEAD). Load average over one minute before the first: $(cut -d' ' -f1 /proc/loadavg); when others
  work on the machine too, times are too long, memory is not.
- The weights: torchvision's initialization from a seed, with the versions that [\`random_weights.py\`](../../experiments/zoo-cost/random_weights.py) names.
- Peak memory is the most that was resident (VmHWM), in MiB, over reading, float network, ranges and int8 network.
- Time an image is the wall time of a pass over $images images, divided by $images: on all cores, with the preparation of the
  network, which weighs more the fewer the images.
- They are random, so that the accuracies in the last table mean nothing; its weights are counted, though.

| network | peak memory, MiB | float, ms an image | ranges, ms an image | int8, ms an image |
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
