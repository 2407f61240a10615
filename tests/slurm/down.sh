#!/usr/bin/env bash
# down.sh LAB: stops the daemons that up.sh has started, by their process id files, and the step managers of
# this cluster.
lab=$1
export SLURM_CONF="$lab/etc/slurm.conf"
jobs=$(timeout 5 squeue -h -r -o %A 2>/dev/null | sort -u) && [ -n "$jobs" ] && timeout 10 scancel $jobs
ids=$("$(dirname "$0")/steps.sh" "$lab")
for file in "$lab"/run/slurmd.*.pid "$lab"/run/slurmctld.pid "$lab"/run/munged.pid; do
  [ -s "$file" ] && ids="$ids $(cat "$file")"
done
kill $ids 2>/dev/null
for _ in $(seq 1 50); do
  kill -0 $ids 2>/dev/null || exit 0
  sleep 0.1
done
kill -9 $ids 2>/dev/null
exit 0
