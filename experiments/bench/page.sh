# What the scripts here share: `head_of_page TITLE SCRIPT` begins a page, `run COMMAND...` adds a command and what it
# printed. To be sourced.

run() {
    printf '```\n$ %s\n' "$*"
    "$@" 2> /dev/null
    printf '```\n\n'
}

head_of_page() {
    cat <<HEAD
# $1

By [\`experiments/bench/$2\`](../../../experiments/bench/$2), every block a command and what it printed.

- Machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) cores, $(grep -o -w -E 'avx2|avx512_vnni|avx_vnni|gfni' /proc/cpuinfo | sort -u | tr '\n' ' '), $(uname -sm). $(rustc --version).
- Commit $(git rev-parse --short HEAD). Load average over one minute before the first: $(cut -d' ' -f1 /proc/loadavg).

HEAD
}
