#!/usr/bin/env bash
# kill-node.sh LAB NODE: simulates a power failure of a node: kills its daemon, its step managers and all
# their processes.
set -euo pipefail
lab=$1 node=$2
ids=$("$(dirname "$0")/steps.sh" "$lab" "$node")
all="$(cat "$lab/run/slurmd.$node.pid") $ids"
while [ -n "$ids" ]; do
  children=""
  for id in $ids; do children="$children $(cat /proc/"$id"/task/*/children 2>/dev/null || true)"; done
  ids=$(echo $children)
  all="$all $ids"
done
kill -9 $all
rm "$lab/run/slurmd.$node.pid"
