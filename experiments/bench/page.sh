# Functions of the scripts in this folder: `head_of_page TITLE SCRIPT` begins a page, `run COMMAND...` adds a command and its
# output, and `built BENCH` builds a benchmark of the executor and prints its path. Source this file.

built() {
    cargo bench -p zerospace-infer --bench "$1" --no-run 2>&1 | sed -n "s/.*(\\(.*$1.*\\))/\\1/p"
}

run() {
    printf '```\n$ %s\n' "$*"
    "$@" 2> /dev/null
    printf '```\n\n'
}

head_of_page() {
    cat <<HEAD
# $1

[\`experiments/bench/$2\`](../../../experiments/bench/$2) wrote this page. Each block shows a command and its output.

- Machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(getconf _NPROCESSORS_ONLN) cores, $(grep -o -w -E 'avx2|avx512_vnni|avx_vnni|gfni' /proc/cpuinfo | sort -u | tr '\n' ' '), $(uname -sm). $(rustc --version).
- Commit $(git rev-parse --short HEAD). Load average over one minute before the first: $(cut -d' ' -f1 /proc/loadavg).

HEAD
}
